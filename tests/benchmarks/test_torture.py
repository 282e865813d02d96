"""The torture can fail: its judges see what is wrong, and our client handles what it must."""

import asyncio

import pytest
from benchmarks.torture.clients import CLIENTS
from benchmarks.torture.report import markdown
from benchmarks.torture.traps import TRAPS, judge
from benchmarks.torture.verdict import FAILED, HANDLED, NOT_APPLICABLE, Verdict, by_time

OURS = CLIENTS[0]


@pytest.mark.parametrize("number", [1, 13, 21, 26, 27, 28, 29])
def test_our_client_handles_traps_in_the_torture_as_in_its_own_tests(number: int) -> None:
    verdict = asyncio.run(judge(TRAPS[number - 1], OURS))
    assert verdict.word == HANDLED, verdict


def test_what_a_client_lacks_is_not_held_against_it_and_seconds_are() -> None:
    aiohttp = next(client for client in CLIENTS if client.name == "aiohttp")
    verdict = asyncio.run(judge(TRAPS[0], aiohttp))
    assert (verdict.word, verdict.note) == (NOT_APPLICABLE, "does not reconnect")
    assert by_time(None, 1, 2).word == FAILED
    assert [by_time(seconds, 1, 2).word for seconds in (0.9, 1.1, 2.1)] == ["handled", "partly", "failed"]


def test_the_page_says_where_a_peer_does_better() -> None:
    clients = CLIENTS[:2]
    table = {
        (trap.number, client.name): Verdict(HANDLED, "1 s", "", 1.0) for trap in TRAPS for client in clients
    }
    facts: dict[str, object] = dict.fromkeys(
        ["command", "date", "seconds", "python", "node", "system", "cores", "load"], "x"
    )
    assert "In no row of this run." in markdown(table, clients, TRAPS, facts)
    table[7, "websocket-heartbeat"] = Verdict(FAILED, "9 s", "", 9.0)
    table[1, "websockets"] = Verdict(HANDLED, "0.1 s", "", 0.1)
    page = markdown(table, clients, TRAPS, facts)
    better = page.partition("## Where a peer does better")[2].partition("##")[0]
    assert [row.partition(",")[0] for row in better.strip().splitlines()] == ["- 1", "- 7"]
    assert f"| {len(TRAPS) - 1} of {len(TRAPS)} | {len(TRAPS)} of {len(TRAPS)} |" in page
