"""The demo passes with our client, fails with each kind of bad one, and tells all the same story."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.cli.program import ENVIRONMENT, MAIN, Result, discard, finish, start

SCENES = [
    "traffic",
    "idleness",
    "frozen link",
    "reset",
    "server killed",
    "accept, then close",
    "hanging handshake",
    "own loop stalls",
]
FAULTS = SCENES[2:7]

PATIENCE = 150.0
"""Seconds: many demos run at once, each with a server that is started again."""

pytestmark = pytest.mark.timeout(160)

ON_A_BUSY_MACHINE = """
from dataclasses import replace
from websocket_heartbeat.cli.demo.pace import Pace
of = Pace.of
Pace.of = classmethod(lambda cls, seconds: replace(of(seconds), tolerance=3.0))
"""
"""Many demos run at once, beside other tests: what they tell is tried here, not how quick the machine is."""

_WITH = """
import asyncio
from websocket_heartbeat import Backoff, Connection, Heartbeat
from websocket_heartbeat.cli.demo import play
real = play.connect
def connect_with(**others):
    play.connect = lambda url, **options: real(url, **(options | others))
"""
BROKEN = {
    "never notices": _WITH
    + "connect_with(heartbeat=Heartbeat(interval=3600, timeout=3600), open_timeout=3600)",
    "hammers": _WITH + "connect_with(backoff=Backoff(initial=0.001, maximum=0.001))",
    "gives up": _WITH + "connect_with(max_retries=0)",
    "drops a healthy link": _WITH
    + """
def connect(url, **options):
    connection = real(url, **options)
    def drop():
        if connection.state == "open":
            connection.reconnect_now()
        else:
            asyncio.get_running_loop().call_later(0.1, drop)
    asyncio.get_running_loop().call_later(0.5, drop)
    return connection
play.connect = connect
""",
    "loses and doubles messages": _WITH
    + """
send = Connection.send_nowait
def broken(self, message):
    for _ in range({"7": 0, "9": 2}.get(message.partition(" ")[0], 1)):
        send(self, message)
Connection.send_nowait = broken
""",
    "has a server that forgets its sessions": """
import asyncio
from websocket_heartbeat.cli.demo.stage import Stage
kill, launch = Stage.kill_server, Stage._launch
acts = iter("12")
async def kill_while_messages_wait_for_an_answer(self):
    if next(acts) == "1":
        return await kill(self)
    await self.freeze()
    await asyncio.sleep(1)
    at = await kill(self)
    await self.thaw()
    return at
Stage.kill_server = kill_while_messages_wait_for_an_answer
async def forget(self):
    for file in self._folder.glob("s.db*"):
        file.unlink()
    return await launch(self)
Stage._launch = forget
""",
}


@pytest.fixture(scope="module")
def shown() -> Iterator[dict[str, Any]]:
    """Start every performance at once, as they do little but wait; `finish` waits for one of them."""
    programs = {
        "json": start("demo", "--json", "--seconds", "20", "--seed", "11", before=ON_A_BUSY_MACHINE),
        "lines": start("demo", "--seconds", "20", "--seed", "11", before=ON_A_BUSY_MACHINE),
    }
    programs |= {
        name: start("demo", "--json", "--seconds", "30" if name == "hammers" else "15", before=code)
        for name, code in BROKEN.items()
    }
    results: dict[str, Any] = {}
    with ThreadPoolExecutor() as threads:
        yield {"programs": programs, "results": results, "terminal": threads.submit(on_a_terminal)}
    for program in programs.values():
        discard(program)


def result(shown: dict[str, Any], name: str) -> Result:
    if name not in shown["results"]:
        shown["results"][name] = finish(shown["programs"][name], patience=PATIENCE)
    found: Result = shown["results"][name]
    return found


def acts(shown: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was told of the two acts."""
    first, second = json.loads(result(shown, "json").out)["acts"]
    return first, second


def broken(shown: dict[str, Any], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was told of the two acts of a demo that failed."""
    done = result(shown, name)
    document = json.loads(done.out)
    assert done.status == 1
    assert document["ok"] is False
    first, second = document["acts"]
    return first, second


def failures(act: dict[str, Any]) -> dict[str, str]:
    """Return the verdicts of the scenes that failed."""
    return {o["scene"]: o["verdict"] for o in act["outcomes"] if not o["passed"]}


def test_our_client_passes_every_scene(shown: dict[str, Any]) -> None:
    done = result(shown, "json")
    assert done.err == ""
    document = json.loads(done.out)
    assert (done.status, document["ok"]) == (0, True), done.out
    first, second = document["acts"]
    assert [outcome["scene"] for outcome in first["outcomes"]] == SCENES
    assert [outcome["scene"] for outcome in second["outcomes"]] == FAULTS
    assert document["seed"] == 11
    assert document["duration"] > 12


@pytest.mark.parametrize("act", [0, 1])
def test_every_fault_is_noticed_within_its_bound_and_recovered_from(shown: dict[str, Any], act: int) -> None:
    settings = json.loads(result(shown, "json").out)["settings"]
    by_scene = {outcome["scene"]: outcome for outcome in acts(shown)[act]["outcomes"]}
    for scene in FAULTS:
        outcome = by_scene[scene]
        bound = settings["interval"] + settings["timeout"]
        assert outcome["bound"] == (settings["open_timeout"] if scene == "hanging handshake" else bound)
        assert 0 <= outcome["noticed_after"] <= outcome["bound"] + settings["tolerance"]
        assert outcome["recovered_after"] >= 0
        assert outcome["attempts"] >= 1
    # These two are noticed by a timeout and by nothing else.
    assert by_scene["frozen link"]["noticed_after"] > settings["timeout"]
    assert by_scene["hanging handshake"]["noticed_after"] > settings["open_timeout"] * 0.9
    assert by_scene["server killed"]["attempts"] >= 2
    assert 2 <= by_scene["accept, then close"]["attempts"] <= 9


def test_every_message_is_accounted_for(shown: dict[str, Any]) -> None:
    messages = acts(shown)[0]["messages"]
    assert messages["sent"] > 50
    assert (
        messages["sent"] == messages["echoed"] + messages["uncertain"] + messages["queued"] + messages["lost"]
    )
    assert messages["uncertain"] > 0  # a frozen link takes some with it
    assert messages["lost"] == messages["unexpected"] == messages["queued"] == 0


def test_with_a_session_nothing_is_lost_or_doubled_or_uncertain(shown: dict[str, Any]) -> None:
    messages = acts(shown)[1]["messages"]
    assert messages["sent"] > 40
    assert messages["sent"] == messages["handled"] == messages["answered"]
    for what in ("lost", "doubled", "uncertain", "unexpected"):
        assert messages[what] == 0
    assert messages["repeated"] <= 1
    assert "0 lost, 0 doubled, 0 uncertain, by the server's ledger." in result(shown, "lines").out


def test_the_stall_comes_while_a_heartbeat_is_unanswered(shown: dict[str, Any]) -> None:
    document = json.loads(result(shown, "json").out)
    timeline = document["timeline"]
    stall = next(i for i, entry in enumerate(timeline) if entry["event"] == "our own loop stalls")
    before, after, then = timeline[stall - 1], timeline[stall + 1], timeline[stall + 2]
    assert before["state"] == "probing"
    assert after["at"] - timeline[stall]["at"] > 1.9 * document["settings"]["timeout"]
    assert (then["state"], then["event"]) == ("open", "alive")


def test_people_and_machines_are_told_the_same_story_for_the_same_seed(shown: dict[str, Any]) -> None:
    lines = result(shown, "lines")
    assert (lines.status, lines.err) == (0, ""), lines.out
    document = json.loads(result(shown, "json").out)
    first_retry = next(e["event"] for e in document["timeline"] if e["event"].startswith("retry 1 in"))
    assert first_retry == re.findall(r"retry 1 in \d+\.\d+ s", lines.out)[0]
    for scene in SCENES:  # in the timeline and in the table, of each act
        assert lines.out.count(scene) >= (4 if scene in FAULTS else 2)
    assert "False alarms: 0." in lines.out
    assert "--seed 11" in lines.out


def test_what_is_no_terminal_gets_plain_lines_of_80_columns(shown: dict[str, Any]) -> None:
    out = result(shown, "lines").out
    assert "\x1b" not in out
    assert "\r" not in out
    assert "next retry in" not in out  # the line that lives
    assert max(map(len, out.splitlines())) <= 80


def test_a_client_that_never_notices_fails_the_demo(shown: dict[str, Any]) -> None:
    first, second = broken(shown, "never notices")
    assert "not noticed" in failures(first)["frozen link"]
    assert "not noticed" in failures(second)["frozen link"]
    assert "no heartbeat" in failures(first)["own loop stalls"]


def test_a_client_without_an_open_timeout_fails_the_demo(shown: dict[str, Any]) -> None:
    for act in broken(shown, "never notices"):
        assert "not noticed" in failures(act)["hanging handshake"]


def test_a_client_that_hammers_the_server_fails_the_demo(shown: dict[str, Any]) -> None:
    first, _ = broken(shown, "hammers")
    assert "hammered" in failures(first)["accept, then close"]


def test_a_client_that_gives_up_fails_the_demo(shown: dict[str, Any]) -> None:
    for act in broken(shown, "gives up"):
        assert failures(act)["frozen link"] == "not recovered"
        assert failures(act)["reset"] == "no link is open to begin with"


def test_a_client_that_drops_a_healthy_link_fails_the_demo(shown: dict[str, Any]) -> None:
    first, _ = broken(shown, "drops a healthy link")
    assert first["false_alarms"] == 1
    assert "was lost" in failures(first)["traffic"]


def test_a_client_that_loses_a_message_fails_the_demo(shown: dict[str, Any]) -> None:
    for act in broken(shown, "loses and doubles messages"):
        assert act["messages"]["lost"] == 1


def test_a_client_that_doubles_a_message_fails_the_demo(shown: dict[str, Any]) -> None:
    first, second = broken(shown, "loses and doubles messages")
    assert first["messages"]["unexpected"] == 1
    assert second["messages"]["doubled"] == 2  # handled twice, and answered twice


def test_a_server_that_forgets_sessions_leaves_messages_uncertain(shown: dict[str, Any]) -> None:
    first, second = broken(shown, "has a server that forgets its sessions")
    assert not failures(first)
    assert second["messages"]["uncertain"] > 0
    assert second["messages"]["lost"] == second["messages"]["doubled"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_demo_at_once_without_a_traceback_and_leave_no_files(
    number: signal.Signals, tmp_path: Path
) -> None:
    program = start("demo", before=f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}")
    assert program.stdout is not None
    while "link 1: open" not in program.stdout.readline():
        pass
    began = time.monotonic()
    assert list(tmp_path.iterdir())
    program.send_signal(number)
    done = finish(program)
    assert time.monotonic() - began < 10
    assert done.status == 128 + number
    assert done.err == ""
    assert not list(tmp_path.iterdir())
    assert "FALSE ALARM" not in done.out


def test_on_a_terminal_a_line_lives_beneath_the_timeline(shown: dict[str, Any]) -> None:
    text = shown["terminal"].result()
    assert "All is well" in text or "NOT all is well" in text
    assert re.search(r"next retry in \d\.\d s", text)
    assert re.search(r"\d+ sent, \d+ back, \d+ queued", text)
    assert "\x1b[3" in text  # colours
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor was hidden and is back
    bare = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert max(map(len, re.split(r"[\r\n]+", bare))) <= 80


def on_a_terminal() -> str:
    """Return what a demo writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-c", MAIN, "demo", "--seconds", "15"],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=ENVIRONMENT | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
    )
    os.close(theirs)
    written = b""
    try:
        while data := os.read(ours, 65536):
            written += data
    except OSError:  # Linux says so that the last writer is gone
        pass
    finally:
        os.close(ours)
        program.wait()
    return written.decode()
