"""A window that is full: who sends waits or is told, nothing is dropped, a stand-still is reported once."""

import asyncio
import logging
from typing import Any

import pytest
from tests.server.sessions.test_sessions import QUICK, running, session, told
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat import Backoff, SendQueueFull, Session, connect
from websocket_heartbeat.server import Hub, Peer, PeerGone, SessionOver
from websocket_heartbeat.server.sessions.memory import MemoryStore
from websocket_heartbeat.server.sessions.store import Refused
from websocket_heartbeat.system import stall

LATER = Backoff(initial=600, maximum=600)


class Gate:
    """A hook that waits until it is opened, and what has passed it."""

    def __init__(self) -> None:
        self.passed: list[object] = []
        self.opened = asyncio.Event()

    async def on_message(self, peer: Peer, message: object) -> None:
        await self.opened.wait()
        self.passed.append(message)


def test_a_client_waits_for_room_while_its_link_lives(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        gate = Gate()
        hub = Hub(sessions=place, on_message=gate.on_message)
        async with running(hub) as server, session(server.url(), send_queue=4) as connection:
            await connection.wait_open()
            for number in range(260):
                await connection.send(str(number))
            assert len(connection.queued) == 4
            with pytest.raises(SendQueueFull):
                connection.send_nowait("not taken")
            sending = asyncio.create_task(connection.send("260"))
            await turns()
            assert not sending.done()
            gate.opened.set()
            await sending
            await connection.flush()
            assert gate.passed == [str(number) for number in range(261)]

    run_asyncio(main())


def test_a_client_waits_for_room_while_it_has_no_link(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = Hub(sessions=place, on_message=lambda peer, message: up.append(message))
        async with (
            running(hub) as server,
            connect(server.url(), session="require", backoff=LATER, send_queue=4) as connection,
        ):
            await connection.send("first")
            await connection.flush()
            hub.peers[0].abort()
            await until(lambda: connection.state == "waiting")
            for number in range(4):
                await connection.send(str(number))
            with pytest.raises(SendQueueFull):
                connection.send_nowait("not taken")
            sending = asyncio.create_task(connection.send("4"))
            await turns()
            assert not sending.done()
            connection.reconnect_now()
            await sending
            await connection.flush()
            assert up == ["first", "0", "1", "2", "3", "4"]

    run_asyncio(main())


def test_a_link_that_resumes_does_not_go_beyond_the_window(run_asyncio: Run) -> None:
    async def main() -> None:
        gate = Gate()
        hub = Hub(sessions="memory", on_message=gate.on_message)
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            await connection.wait_open()
            for number in range(266):
                await connection.send(str(number))
            for links in range(2, 7):
                connection.reconnect_now()
                await until(lambda links=links: len(events) == links)  # type: ignore[misc]
                await connection.wait_open()
                assert connection.queued == tuple(str(number) for number in range(256, 266))
            gate.opened.set()
            await connection.flush()
            assert gate.passed == [str(number) for number in range(266)]

    run_asyncio(main())


@pytest.mark.parametrize("is_away", [False, True])
@pytest.mark.parametrize("by_room", [False, True])
def test_what_a_server_sends_beyond_the_window_ends_the_session_and_both_sides_are_told(
    run_asyncio: Run, place: str, is_away: bool, by_room: bool
) -> None:
    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(
            sessions=place,
            on_open=lambda peer: peer.join("all"),
            on_session_end=lambda *end: ends.append(end[1:]),
        )
        options = Session("require", window=8)
        async with (
            running(hub) as server,
            connect(server.url(), session=options, backoff=LATER) as connection,
        ):
            events = told(connection)
            await connection.wait_open()
            (peer,) = hub.peers
            send = hub.room("all").send if by_room else peer.send
            if is_away:
                peer.abort()
                await until(lambda: connection.state == "waiting")
            for number in range(8):
                send(str(number))
            assert (peer.closed, ends) == (False, [])
            send("8")
            await until(lambda: ends != [])  # rooms may go through the store
            assert ends == [("overflow", tuple(str(number) for number in range(9)))]
            assert (peer.closed, peer.close_reason) == (True, "overflow")
            await until(lambda: connection.state == "waiting")
            connection.reconnect_now()
            await until(lambda: events[-1].kind == "reset")
            assert events[-1].why == "overflow"

    run_asyncio(main())


def test_a_client_that_is_back_before_the_store_knows_of_the_end_is_told_of_it(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = MemoryStore.finish

    async def slow_finish(self: MemoryStore, *end: Any) -> Refused | None:
        await asyncio.sleep(0.5)
        return await finish(self, *end)

    monkeypatch.setattr(MemoryStore, "finish", slow_finish)

    async def main() -> None:
        hub = Hub(sessions="memory")
        options = Session("require", window=1)
        async with (
            running(hub) as server,
            connect(server.url(), session=options, backoff=QUICK) as connection,
        ):
            events = told(connection)
            await connection.wait_open()
            (peer,) = hub.peers
            id = str(peer.session)
            peer.send("1")
            peer.send("2")
            with pytest.raises(SessionOver, match="overflow"):
                await hub.send(id, "3")
            await until(lambda: len(events) == 2)
            assert (events[1].kind, events[1].why) == ("reset", "overflow")

    run_asyncio(main())


@pytest.mark.parametrize("is_away", [False, True])
def test_a_producer_waits_until_the_outbox_is_half_empty(run_asyncio: Run, place: str, is_away: bool) -> None:
    async def main() -> None:
        hub = Hub(sessions=place)
        options = Session("require", window=8)
        async with (
            running(hub) as server,
            connect(server.url(), session=options, backoff=LATER) as connection,
        ):
            await connection.wait_open()
            (peer,) = hub.peers
            if is_away:
                peer.abort()
                await until(lambda: connection.state == "waiting")
            for number in range(4):
                peer.send(str(number))
            await asyncio.wait_for(peer.drain(), PATIENCE)
            for number in range(4, 8):
                peer.send(str(number))
            draining = asyncio.create_task(peer.drain())
            await turns()
            assert not draining.done()
            connection.reconnect_now()
            assert [await connection.recv() for _ in range(4)] == list("0123")
            await connection.flush()
            assert not draining.done()  # three are handled
            assert await connection.recv() == "4"
            assert await connection.recv() == "5"
            async with asyncio.timeout(PATIENCE):
                await draining

    run_asyncio(main())


def test_a_producer_is_told_when_the_session_is_over(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        hub = Hub(sessions=place)
        options = Session("require", window=2)
        async with (
            running(hub) as server,
            connect(server.url(), session=options, backoff=LATER) as connection,
        ):
            await connection.wait_open()
            (peer,) = hub.peers
            peer.send("1")
            peer.send("2")
            draining = asyncio.create_task(peer.drain())
            await turns()
            peer.send("3")
            with pytest.raises(PeerGone, match="overflow"):
                await draining
            with pytest.raises(PeerGone, match="overflow"):
                await peer.drain()

    run_asyncio(main())


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stall, "STALLED_AFTER", 0.1)


@pytest.mark.usefixtures("_soon")
def test_a_client_is_told_once_that_its_server_handles_nothing(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        gate = Gate()
        hub = Hub(sessions="memory", on_message=gate.on_message)
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            await connection.wait_open()
            for number in range(300):
                await connection.send(str(number))
            await until(lambda: events[-1].kind == "stalled")
            await asyncio.sleep(0.3)
            connection.send_nowait("one more in the queue")
            assert [event.kind for event in events] == ["new", "stalled"]
            gate.opened.set()
            await connection.flush()
            gate.opened.clear()
            connection.on_session = None
            for number in range(256):
                await connection.send(str(number))
            await until(lambda: "has handled nothing for long" in caplog.text)
            gate.opened.set()
            await connection.flush()

    run_asyncio(main())


@pytest.mark.usefixtures("_soon")
def test_a_server_says_once_that_its_client_handles_nothing(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    def lines() -> int:
        return caplog.text.count("has handled nothing for long")

    async def main() -> None:
        hub = Hub(sessions="memory")
        options = Session("require", window=8)
        async with (
            running(hub) as server,
            connect(server.url(), session=options, backoff=LATER) as connection,
        ):
            events = told(connection)
            await connection.wait_open()
            (peer,) = hub.peers
            for number in range(5):
                peer.send(str(number))
            await until(lambda: lines() == 1)
            peer.send("5")
            await asyncio.sleep(0.3)
            peer.abort()
            await until(lambda: connection.state == "waiting")
            await asyncio.sleep(0.3)
            connection.reconnect_now()
            await until(lambda: len(events) == 2)
            assert lines() == 1
            assert [await connection.recv() for _ in range(6)] == list("012345")
            await peer.drain()
            for number in range(6, 10):
                peer.send(str(number))
            await until(lambda: lines() == 2)

    run_asyncio(main())
