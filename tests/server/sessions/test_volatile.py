"""Volatile messages: sent now or never, at most once, in order with the others, and counted when dropped."""

import asyncio
from typing import Any

import pytest
from tests.server.sessions.test_sessions import HELLO, QUICK, handshake, running, session, told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, Session, connect, sync
from websocket_heartbeat.server import Hub, Peer, serve
from websocket_heartbeat.testing import FaultProxy

LATER = Backoff(initial=600, maximum=600)


def test_they_come_in_order_with_the_others_in_both_directions(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        up: list[tuple[int, object]] = []

        def on_message(peer: Peer, message: str | bytes) -> None:
            up.append((peer.number, message))
            peer.send(message, volatile=peer.number == 0)

        hub = Hub(sessions=place, on_message=on_message)
        async with running(hub) as server, session(server.url()) as connection:
            await connection.wait_open()
            for number in range(1, 6):
                await connection.send(str(number))
                await connection.send(f"position {number}".encode(), volatile=True)
            down = [await connection.recv() for _ in range(10)]
            assert down == [message for _, message in up]
            await connection.flush()
            assert connection.stats.not_sent == connection.stats.dropped == 0
            assert hub.stats.dropped_messages == 0
        assert up == [each for n in range(1, 6) for each in ((n, str(n)), (0, f"position {n}".encode()))]

    run_asyncio(main())


def test_they_do_not_pass_those_that_the_store_does_not_have_yet(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        hub = Hub(sessions=place)
        async with running(hub) as server, session(server.url()) as connection:
            await connection.wait_open()
            (peer,) = hub.peers
            peer.join("room")
            wanted = [f"{part} {number}" for number in range(20) for part in "abcd"]
            for number in range(20):
                peer.send(f"a {number}")
                peer.send(f"b {number}", volatile=True)
                hub.room("room").send(f"c {number}", volatile=True)
                peer.send(f"d {number}")
            down = [await connection.recv() for _ in wanted]
            if place == "memory":
                assert down == wanted
            else:  # what is sent to rooms goes through the store, in an order of its own
                for is_of_room in (False, True):
                    ours = [each for each in down if str(each).startswith("c") == is_of_room]
                    assert ours == [each for each in wanted if each.startswith("c") == is_of_room]
            for _ in range(50):
                peer.send("x" * 600, volatile=True)
            assert peer.dropped_messages == 0
            peer.send("first")
            for _ in range(150):  # behind which no more of them wait than may
                peer.send("x" * 600, volatile=True)
            down = [await connection.recv() for _ in range(50 + 1 + 150 - peer.dropped_messages)]
            assert down.index("first") == 50
            assert (peer.dropped_messages == 0) == (place == "memory")

    run_asyncio(main())


def test_without_a_link_they_are_dropped_and_counted_and_never_come_later(
    run_asyncio: Run, place: str
) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = Hub(sessions=place, on_message=lambda peer, message: up.append(message))
        async with (
            running(hub) as server,
            connect(server.url(), session="require", backoff=LATER) as connection,
        ):
            await connection.send("before", volatile=True)
            assert connection.stats.not_sent == 1
            await connection.wait_open()
            (peer,) = hub.peers
            peer.abort()
            await until(lambda: connection.state == "waiting")
            for message in ("1", "2"):
                await connection.send(message)
                await connection.send("position", volatile=True)
                peer.send(message)
                peer.send("position", volatile=True)
            hub.room("all").send("to nobody", volatile=True)
            assert (connection.stats.not_sent, peer.dropped_messages) == (3, 2)
            assert hub.stats.dropped_messages == 2
            connection.reconnect_now()
            await connection.flush()
            peer.send("last")
            assert [await connection.recv() for _ in range(3)] == ["1", "2", "last"]
            assert up == ["1", "2"]

    run_asyncio(main())


def test_they_acknowledge_nothing_when_they_are_handled(run_asyncio: Run) -> None:
    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(sessions="memory", session_ttl=0.4, on_session_end=lambda *end: ends.append(end[1:]))
        async with running(hub) as server:
            connection = connect(server.url(), session=Session("require", window=4), backoff=LATER)
            async with connection:
                await connection.wait_open()
                (peer,) = hub.peers
                for message, volatile in (("1", False), ("a", True), ("b", True), ("2", False)):
                    peer.send(message, volatile=volatile)
                assert [await connection.recv() for _ in range(4)] == ["1", "a", "b", "2"]
                await connection.send("handled one", volatile=True)
                assert await peer.recv() == "handled one"
                peer.abort()
                await until(lambda: bool(ends))
                assert ends == [("expired", ("2",))]

    run_asyncio(main())


def test_an_acknowledgement_is_not_late_for_those_that_came_between(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        hub = Hub(sessions=place)
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            await connection.wait_open()
            (peer,) = hub.peers
            for number in range(40):
                peer.send(str(number))
                peer.send("between", volatile=True)
                connection.reconnect_now() if number == 20 else None
            numbers: list[object] = []
            while len(numbers) < 40:
                message = await connection.recv()
                numbers += [] if message == "between" else [message]
            assert numbers == [str(number) for number in range(40)]
            await until(lambda: events[-1].kind == "resumed")
            peer.dismiss("done")  # over when all is acknowledged
            with pytest.raises(Exception, match="done"):
                await connection.recv()
            async with asyncio.timeout(PATIENCE):
                await peer.wait_closed()

    run_asyncio(main())


def test_a_hook_that_is_slow_gets_as_many_as_may_wait_and_all_that_have_a_number(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        go_on = asyncio.Event()

        async def on_message(peer: Peer, message: object) -> None:
            await go_on.wait()
            up.append(message)

        hub = Hub(sessions="memory", on_message=on_message)
        async with running(hub) as server:
            ws, _ = await handshake(server, HELLO)
            await ws.send("B1")
            for _ in range(1000):
                await ws.send("~x")
            await ws.send("C2")
            await until(lambda: hub.stats.dropped_messages == 1000 - 256)
            go_on.set()
            await until(lambda: up == ["1", *["x"] * 256, "2"])
            assert hub.peers[0].dropped_messages == 1000 - 256

    run_asyncio(main())


def test_those_that_wait_count_in_the_memory_that_sessions_may_take(run_asyncio: Run) -> None:
    async def main() -> None:
        ends: list[str] = []
        go_on = asyncio.Event()
        up: list[object] = []

        async def on_message(peer: Peer, message: object) -> None:
            await go_on.wait()
            up.append(message)

        hub = Hub(
            sessions="memory",
            session_limit=2**18,
            on_message=on_message,
            on_session_end=lambda session, why, left: ends.append(why),
        )
        async with running(hub) as server:
            ws, _ = await handshake(server, HELLO)
            go_on.set()
            for count in range(100, 500, 100):  # more than the limit, one after the other
                for _ in range(100):
                    await ws.send("~" + "x" * 1000)
                await until(lambda count=count: len(up) == count)  # type: ignore[misc]
            go_on.clear()
            for _ in range(200):
                await ws.send("~" + "x" * 1000)
            assert ends == []
            await ws.send("~" + "x" * 60_000)
            await until(lambda: ends == ["overflow"])
            go_on.set()

    run_asyncio(main())


def test_a_reader_that_is_slow_gets_as_many_as_may_wait_and_all_that_have_a_number(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory")
        async with running(hub) as server:
            options = Session("require", window=8)
            async with connect(server.url(), session=options, backoff=QUICK) as connection:
                await connection.wait_open()
                (peer,) = hub.peers
                peer.send("first")
                for _ in range(100):
                    peer.send("x", volatile=True)
                peer.send("second")
                await until(lambda: connection.stats.dropped == 92)
                assert [await connection.recv() for _ in range(10)] == ["first", *"x" * 8, "second"]
                peer.send("again", volatile=True)
                assert await connection.recv() == "again"

    run_asyncio(main())


@pytest.mark.parametrize("mode", ["off", "require"])
def test_they_are_dropped_while_much_waits_in_the_socket(run_asyncio: Run, mode: Any) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", on_open=lambda peer: peer.join("room"), on_message=lambda *_: None)
        options = Session(mode, window=10**6, window_bytes=2**30)
        async with (
            running(hub, max_size=2**26) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            connect(f"ws://127.0.0.1:{proxy.port}/", session=options, max_size=2**26) as connection,
        ):
            await connection.wait_open()
            (peer,) = hub.peers
            proxy.freeze()
            large = b"x" * 2**24
            peer.send(large)
            assert peer.buffered >= 2**16
            peer.send("position", volatile=True)
            hub.room("room").send("position", volatile=True)
            assert peer.dropped_messages == hub.stats.dropped_messages == 2
            await connection.send(large)
            await connection.send("position", volatile=True)
            assert connection.stats.not_sent == 1
            proxy.thaw()
            assert await connection.recv() == large
            await until(lambda: peer.buffered == 0)
            peer.send("now", volatile=True)
            hub.room("room").send("and now", volatile=True)
            assert [await connection.recv() for _ in range(2)] == ["now", "and now"]
            assert peer.dropped_messages == 2

    run_asyncio(main())


def test_a_room_sends_one_to_whoever_is_there_with_a_session_and_without(
    run_asyncio: Run, place: str
) -> None:
    async def main() -> None:
        hub = Hub(sessions=place, on_open=lambda peer: peer.join("all"))
        async with (
            running(hub) as server,
            session(server.url()) as one,
            session(server.url()) as other,
            connect(server.url()) as plain,
        ):
            await until(lambda: len(hub.room("all")) == 3)
            hub.room("all").send("first")
            hub.room("all").send("news", volatile=True)
            hub.room("all").send(b"last", volatile=True)
            for each in (one, other, plain):
                assert [await each.recv() for _ in range(3)] == ["first", "news", b"last"]
            await one.close()
            await other.flush()

    run_asyncio(main())


def test_a_plain_link_carries_them_as_any_message_and_they_pass_none_that_waits(run_asyncio: Run) -> None:
    async def main() -> None:
        async with serve() as server, connect(server.url(), backoff=LATER) as connection:
            await connection.wait_open()
            await connection.send("x", volatile=True)
            assert await connection.recv() == "x"
            held = asyncio.Event()

            async def on_open(event: object) -> None:
                connection.send_nowait("hello", volatile=True)
                await held.wait()

            connection.on_open = on_open
            connection.reconnect_now()
            await until(lambda: connection.stats.links == 2)
            await connection.send("waits for on_open")
            await connection.send("would pass it", volatile=True)
            held.set()
            assert [await connection.recv() for _ in range(2)] == ["hello", "waits for on_open"]
            assert connection.stats.not_sent == 1

    run_asyncio(main())


def test_one_that_the_other_side_does_not_take_is_dropped_and_ends_nothing(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory")
        async with (
            running(hub, max_size=100) as server,
            session(server.url(), max_size=200) as connection,
        ):
            await connection.wait_open()
            (peer,) = hub.peers
            await connection.send("x" * 101, volatile=True)
            peer.send("x" * 201, volatile=True)
            assert (connection.stats.not_sent, peer.dropped_messages) == (1, 1)
            await connection.send("y" * 100, volatile=True)
            assert await peer.recv() == "y" * 100

    run_asyncio(main())


def test_blocking_code_sends_them_too(run_asyncio: Run) -> None:
    def talk(url: str) -> None:
        with sync.connect(url, session="require", backoff=QUICK) as connection:
            connection.wait_open(PATIENCE)
            connection.send("position", volatile=True)
            assert connection.recv(PATIENCE) == "position"
            with pytest.raises(ValueError, match="ttl and volatile"):
                connection.send("x", ttl=1, volatile=True)

    async def main() -> None:
        hub = Hub(sessions="memory", on_message=lambda peer, message: peer.send(message, volatile=True))
        async with running(hub) as server:
            await asyncio.to_thread(talk, server.url())

    run_asyncio(main())


def test_what_waits_cannot_be_volatile(run_asyncio: Run) -> None:
    async def main() -> None:
        async with connect("ws://127.0.0.1:1/") as connection:
            with pytest.raises(ValueError, match="ttl and volatile"):
                await connection.send("x", ttl=1, volatile=True)
            with pytest.raises(ValueError, match="ttl and volatile"):
                connection.send_nowait("x", ttl=1, volatile=True)
        with pytest.raises(ValueError, match="keep and volatile"):
            Hub().room("x").send("x", keep=1, volatile=True)

    run_asyncio(main())
