"""Links that hang while others take their session: answers and resumes come late, two have one key."""

import asyncio
from typing import Any

import pytest
from tests.server.sessions.test_sessions import running, told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, Connection, Heartbeat, connect
from websocket_heartbeat.server import Hub, Peer
from websocket_heartbeat.testing import FaultProxy

QUICK = Backoff(initial=0.01, maximum=0.02, stable_after=0)


def echo(up: list[object]) -> Hub:
    """Return a hub that notes what comes, and answers it."""

    def on_message(peer: Peer, message: str | bytes) -> None:
        up.append(message)
        peer.send(message)

    return Hub(sessions="memory", on_message=on_message)


def dial(url: Any, **options: Any) -> Connection:
    return connect(url, session="require", heartbeat=Heartbeat(30, 30), backoff=QUICK, **options)


@pytest.mark.timeout(60)
def test_a_resume_whose_answer_is_lost_again_and_again_takes_nothing_along(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        async with (
            running(echo(up)) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            dial(proxy.url(), open_timeout=0.3) as connection,
        ):
            events = told(connection)
            await until(lambda: len(events) == 1)
            sent = []
            for number in range(12):
                sent.append(str(number))
                if number % 3 == 0:
                    links = proxy.connections_accepted
                    proxy.freeze("to_client")
                    connection.reconnect_now()
                    # Of two attempts the resume arrives, and its answer does not.
                    await until(lambda links=links: proxy.connections_accepted >= links + 3)  # type: ignore[misc]
                    proxy.thaw()
                await connection.send(sent[-1])
            assert [await connection.recv() for _ in sent] == sent
            await connection.flush()
            assert up == sent
            assert {event.kind for event in events[1:]} == {"resumed"}

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_what_hangs_on_an_old_link_comes_too_late_when_a_new_one_has_the_session(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = echo(up)
        async with (
            running(hub) as server,
            FaultProxy("127.0.0.1", server.port) as slow,
            FaultProxy("127.0.0.1", server.port) as quick,
        ):
            way = slow
            async with dial(lambda: way.url(), open_timeout=0.3) as connection:
                events = told(connection)
                await until(lambda: len(events) == 1)
                sent = []
                for turn in range(5):
                    slow.delay(0.2)  # what is sent now arrives, when the new link has sent it again
                    for number in range(5):
                        sent.append(f"{turn} {number}")
                        await connection.send(sent[-1])
                    hub.peers[0].send(f"late {turn}")
                    way = quick
                    connection.reconnect_now()
                    await until(lambda turn=turn: len(events) == 2 * turn + 2)  # type: ignore[misc]
                    async with asyncio.timeout(PATIENCE):
                        got = [await connection.recv() for _ in range(6)]
                    assert got == [f"late {turn}", *sent[-5:]]
                    await until(lambda: not slow.is_holding)
                    slow.delay(0)
                    way = slow
                    connection.reconnect_now()
                    await until(lambda turn=turn: len(events) == 2 * turn + 3)  # type: ignore[misc]
                await connection.flush()
                assert up == sent
                assert {event.kind for event in events[1:]} == {"resumed"}

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_resume_that_arrives_late_does_not_take_the_session_back(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = echo(up)
        async with (
            running(hub) as server,
            FaultProxy("127.0.0.1", server.port) as slow,
            FaultProxy("127.0.0.1", server.port) as quick,
        ):
            way = quick
            async with dial(lambda: way.url(), open_timeout=0.2) as connection:
                events = told(connection)
                await until(lambda: len(events) == 1)
                for turn in range(3):
                    slow.delay(0.07, "to_server")  # a greeting comes in time, and the resume takes too long
                    slow.delay(0.1, "to_client")
                    way, count, links = slow, len(events), slow.connections_accepted + 1
                    connection.reconnect_now()
                    # Unless our loop stalls, which gives the slow link the time that it lacks.
                    await until(
                        lambda links=links, count=count: (  # type: ignore[misc]
                            slow.connections_accepted > links or len(events) > count
                        )
                    )
                    way = quick
                    await connection.send(str(turn))
                    async with asyncio.timeout(PATIENCE):
                        assert await connection.recv() == str(turn)
                    await until(lambda: not slow.is_holding)
                await connection.send("last")
                assert await connection.recv() == "last"
                await connection.flush()
                assert up == ["0", "1", "2", "last"]
                assert {event.kind for event in events[1:]} == {"resumed"}
                assert len(hub.peers) == 1

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_of_two_clients_with_one_key_one_keeps_the_session_and_there_is_no_war(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = echo(up)
        async with running(hub) as server, dial(server.url()) as first:
            told_first = told(first)
            await until(lambda: len(told_first) == 1)
            second = dial(server.url())
            told_second = told(second)
            mine, other = first._host._session, second._host._session
            assert mine is not None
            assert other is not None
            other._resumption.key = mine._resumption.key  # as a tab has it that was duplicated
            other._resumption.link = 5
            async with second:
                await until(lambda: len(told_first) == 3 and len(told_second) == 1)
                assert [(event.kind, event.why) for event in told_first] == [
                    ("new", ""),
                    ("reset", "replaced"),
                    ("new", ""),
                ]
                for number in range(20):
                    for connection in (first, second):
                        await connection.send(str(number))
                        assert await connection.recv() == str(number)
                assert [event.kind for event in told_second] == ["resumed"]
                assert len(told_first) == 3
                assert len(hub.peers) == 2

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_what_others_send_while_the_hook_of_a_renewed_link_runs_goes_over_that_link(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        may_end = asyncio.Event()
        async with (
            running(echo(up)) as server,
            FaultProxy("127.0.0.1", server.port) as old,
            FaultProxy("127.0.0.1", server.port) as new,
        ):
            way = old
            async with dial(lambda: way.url()) as connection:
                events = told(connection)
                await until(lambda: len(events) == 1)

                @connection.on_open
                async def log_in(event: object) -> None:
                    await connection.send("login")
                    await may_end.wait()
                    await connection.send("done")

                old.freeze("to_client")  # the client does not hear that the old link has the session no more
                way = new
                renewing = asyncio.create_task(connection.renew())
                await until(lambda: up == ["login"])
                for number in range(5):
                    await connection.send(str(number))
                await until(lambda: len(up) == 6)
                may_end.set()
                await renewing
                await connection.flush()
                assert up == ["login", *"01234", "done"]
                assert [event.kind for event in events] == ["new", "resumed"]

    run_asyncio(main())
