"""Rooms: who is a member, what each member gets and in which order, and what a slow one costs the others."""

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import FrameType
from typing import Any

import pytest
import websockets
from starlette.websockets import WebSocket
from tests.server.frameworks.serving import Place, serving, socket_app
from tests.server.raw import CLOSE, PING, PONG, TEXT, client, reluctant
from tests.watch import PATIENCE, Run, until
from websockets.asyncio.client import ClientConnection
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from websocket_heartbeat import Message, connect
from websocket_heartbeat.engines import sansio, wire_server
from websocket_heartbeat.server import Hub, Peer, Server, batch, flow, rounds, serve

MEBIBYTE = 2**20


def join(*names: str) -> Callable[[Peer], None]:
    """Return a hook that joins rooms."""

    def on_open(peer: Peer) -> None:
        for name in names:
            peer.join(name)

    return on_open


@asynccontextmanager
async def members(server: Server, count: int) -> AsyncIterator[list[ClientConnection]]:
    """Connect so many clients."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(websockets.connect(server.url(), max_size=None))
            for _ in range(count)
        ]


async def received(connection: ClientConnection, count: int) -> list[Message]:
    """Receive so many messages."""
    async with asyncio.timeout(PATIENCE):
        return [await connection.recv() for _ in range(count)]


async def all_received(connections: Sequence[ClientConnection], count: int) -> list[list[Message]]:
    return [await received(each, count) for each in connections]


@pytest.fixture
def one_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach one member, and write to one, in each turn of the loop, as in a room of very many."""
    monkeypatch.setattr(rounds, "AT_ONCE", 1)
    monkeypatch.setattr(batch, "TURN", 0.0)


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge who takes nothing sooner than in real life."""
    for name, seconds in (("STALLED", 1.0), ("SHORTEST", 0.5)):
        monkeypatch.setattr(flow, name, seconds)
    monkeypatch.setattr("websocket_heartbeat.server.handler.LOOK", 0.05)


# Members


def test_members_get_what_is_sent_to_their_room_until_they_leave_it_or_go(run: Run) -> None:
    async def main() -> None:
        def on_message(peer: Peer, message: Message) -> None:
            peer.leave(str(message))
            peer.send("left")

        hub = Hub(on_open=join("a", "b"), on_message=on_message)
        a, b = hub.room("a"), hub.room("b")
        a.send("to nobody")
        assert (len(a), list(a), hub.rooms) == (0, [], {})
        async with serve(hub=hub) as server, members(server, 2) as (first, second):
            await until(lambda: len(a) == 2)
            assert (list(a), hub.rooms) == (list(hub.peers), {"a": 2, "b": 2})
            assert [sorted(map(str, peer.rooms)) for peer in a] == [["a", "b"], ["a", "b"]]
            a.send("one")
            await first.send("a")
            assert await received(first, 2) == ["one", "left"]
            a.send("two")
            b.send("three")
            assert await received(first, 1) == ["three"]
            assert await received(second, 3) == ["one", "two", "three"]
            await second.close()
            await until(lambda: hub.rooms == {"b": 1})
            (peer,) = hub.peers
            assert peer.rooms == ("b",)
            peer.join("b")
            peer.leave("never joined")
            b.send("four")
            assert await received(first, 1) == ["four"]
        assert (len(hub.rooms), len(peer.rooms)) == (0, 0)
        peer.leave("b")  # in which it was at its end
        peer.join("b")
        assert (len(hub.rooms), len(peer.rooms)) == (0, 0)

    run(main())


def test_on_close_may_leave_the_rooms_of_its_peer_as_well(run: Run) -> None:
    async def main() -> None:
        left: list[tuple[object, ...]] = []

        def on_close(peer: Peer, code: int | None, reason: str) -> None:
            peer.leave("a")
            left.append(peer.rooms)

        hub = Hub(on_open=join("a"), on_close=on_close)
        async with serve(hub=hub) as server, members(server, 1):
            await until(lambda: hub.rooms)
        assert left == [()]

    run(main())


def test_a_name_that_can_be_no_key_is_refused_where_it_is_given(run: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with serve(hub=hub) as server, members(server, 1):
            await until(lambda: hub.peers)
            (peer,) = hub.peers
            calls: list[Callable[[Any], object]] = [peer.join, peer.leave, hub.room]
            for call in calls:
                with pytest.raises(TypeError, match="name must be hashable"):
                    call([])
            assert hub.rooms == {}

    run(main())


def test_all_peers_of_a_user_are_a_room_too(run: Run) -> None:
    async def main() -> None:
        hub = Hub(authenticate=lambda request: request.query)
        async with (
            serve(hub=hub) as server,
            websockets.connect(server.url("/?ann")) as ann,
            websockets.connect(server.url("/?ann")) as ann_too,
            websockets.connect(server.url("/?bob")) as bob,
        ):
            await until(lambda: len(hub.peers) == 3)
            hub.user("ann").send("hello, Ann")
            hub.user("bob").send("hello, Bob")
            assert [await each.recv() for each in (ann, ann_too, bob)] == [
                "hello, Ann",
                "hello, Ann",
                "hello, Bob",
            ]

    run(main())


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((1,), "message must be str or bytes-like, not int"),
        (("\ud800",), "message must be text that UTF-8 can carry"),
        (("x", 0), "keep must be at least 1, not 0"),
        (("x", True), "keep must be a whole number, not True"),
    ],
)
def test_what_cannot_be_sent_is_refused_also_where_nobody_is_in_the_room(
    arguments: tuple[Any, ...], error: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        Hub().room("a").send(*arguments)


# What arrives

MESSAGES: list[Message] = ["", "x", "gr\u00fc\u00dfe", "t" * 200, b"", b"b" * 125, b"b" * 9000, "t" * 70_000]


def test_messages_of_every_length_arrive_in_order_among_all_else_that_is_sent_to_a_member(run: Run) -> None:
    async def main() -> None:
        def on_message(peer: Peer, message: Message) -> None:
            for each in MESSAGES:
                hub.room("a").send(each)
                peer.send(b"to you")

        hub = Hub(on_open=join("a"), on_message=on_message)
        async with serve(hub=hub) as server, members(server, 3) as connections:
            await until(lambda: len(hub.room("a")) == 3)
            await connections[0].send("go")
            both = [part for each in MESSAGES for part in (each, b"to you")]
            assert await received(connections[0], len(both)) == both
            assert await all_received(connections[1:], len(MESSAGES)) == [MESSAGES, MESSAGES]

    run(main())


def test_what_follows_quickly_arrives_whole_and_in_order_also_around_reads_pings_and_the_end(
    run: Run,
) -> None:
    async def main() -> None:
        def on_message(peer: Peer, message: Message) -> None:
            hub.room("a").send(f"{message!s} to all")
            peer.send(f"{message!s} to you")

        hub = Hub(on_open=join("a"), on_message=on_message)
        async with serve(hub=hub) as server, client(server) as raw:
            await until(lambda: hub.peers)
            (peer,) = hub.peers
            numbers = 0
            for _ in range(50):
                for _ in range(3):
                    hub.room("a").send(str(numbers))
                    peer.send(str(numbers + 1))
                    numbers += 2
                await asyncio.sleep(0)
            raw.frame(TEXT, b"hello")
            raw.frame(PING, b"ping")
            for number in range(numbers):
                assert await raw.read() == (TEXT, str(number).encode())
            assert [await raw.read() for _ in range(3)] == [
                (TEXT, b"hello to all"),
                (TEXT, b"hello to you"),
                (PONG, b"ping"),
            ]
            hub.room("a").send("last")
            peer.close(4000)
            hub.room("a").send("too late")
            assert await raw.read() == (TEXT, b"last")
            assert await raw.close_code() == 4000

    run(main())


@pytest.mark.usefixtures("one_a_turn")
def test_what_waits_to_be_written_is_not_lost_when_a_message_comes_meanwhile(run: Run) -> None:
    async def main() -> None:
        hub = Hub(on_open=join("a"), on_message=lambda peer, message: peer.send(message))
        async with serve(hub=hub) as server, members(server, 20) as connections:
            await until(lambda: len(hub.room("a")) == 20)
            for number in range(20):
                hub.room("a").send(f"all {number}")
                for connection in connections:
                    await connection.send(f"own {number}")
            for connection in connections:
                messages = await received(connection, 40)
                for kind in ("all", "own"):
                    mine = [message for message in messages if str(message).startswith(kind)]
                    assert mine == [f"{kind} {number}" for number in range(20)]

    run(main())


def test_members_without_compression_and_with_any_kind_of_it_get_the_same(run: Run) -> None:
    async def main() -> None:
        def greet(peer: Peer) -> None:
            peer.send("price " * 20)
            peer.join("a")

        hub = Hub(on_open=greet, on_message=lambda peer, message: peer.send(message))
        kinds: list[dict[str, Any]] = [
            {},
            {"server_no_context_takeover": True},
            {"server_max_window_bits": 9},
            {"server_max_window_bits": 9, "client_max_window_bits": 9},
        ]
        async with serve(hub=hub, compression=True) as server, AsyncExitStack() as stack:
            connections: list[Any] = [
                await stack.enter_async_context(
                    websockets.connect(
                        server.url(), compression=None, extensions=[ClientPerMessageDeflateFactory(**kind)]
                    )
                )
                for kind in kinds
            ]
            for compression in (None, "deflate"):
                connections.append(
                    await stack.enter_async_context(websockets.connect(server.url(), compression=compression))
                )
            connections.append(await stack.enter_async_context(connect(server.url(), compression=True)))
            await until(lambda: len(hub.room("a")) == len(connections))
            for number in range(5):
                hub.room("a").send(f"price {number} " * 30)
                for peer in hub.peers:  # between them each compresses on its own
                    peer.send(f"yours {number} price {number} " * 20)
                hub.room("a").send(b"price " * 2000)
            expected: list[Message] = ["price " * 20]
            for number in range(5):
                expected += [
                    f"price {number} " * 30,
                    f"yours {number} price {number} " * 20,
                    b"price " * 2000,
                ]
            for connection in connections:
                async with asyncio.timeout(PATIENCE):
                    assert [await connection.recv() for _ in expected] == expected

    run(main())


def test_members_of_one_room_may_come_by_our_listener_and_over_uvicorn(run: Run) -> None:
    async def main() -> None:
        hub = Hub(on_open=join("a"))
        async with (
            serve(hub=hub) as server,
            over_uvicorn(hub) as place,
            websockets.connect(server.url()) as ours,
            websockets.connect(place.url("/")) as theirs,
        ):
            await until(lambda: len(hub.room("a")) == 2)
            expected: list[Message] = []
            for message in MESSAGES:
                await theirs.send(message)
                expected += [message, "to you"]
            assert await received(theirs, len(expected)) == expected
            assert await received(ours, len(MESSAGES)) == MESSAGES

    run(main())


DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"


def test_a_message_is_compressed_once_for_all_whose_window_is_the_same(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows: list[int] = []

    def counted(payload: bytes, window: int) -> bytes:
        windows.append(window)
        return sansio.compressed_alone(payload, window)

    monkeypatch.setattr(wire_server, "compressed_alone", counted)

    async def main() -> None:
        hub = Hub(on_open=join("a"))
        small = DEFLATE.strip() + "; server_max_window_bits=9\r\n"
        async with (
            serve(hub=hub, compression=True) as server,
            client(server, headers=DEFLATE) as first,
            client(server, headers=DEFLATE) as second,
            client(server, headers=small) as third,
        ):
            await until(lambda: len(hub.room("a")) == 3)
            hub.room("a").send("price " * 100)
            frames = [await each.read() for each in (first, second, third)]
            assert frames[0] == frames[1]
            assert [opcode for opcode, _ in frames] == [TEXT, TEXT, TEXT]
            assert sorted(windows) == [9, 12]

    run_asyncio(main())


# Who reads slowly


class Slow:
    """A member that reads only when it is told to, and whose link is full."""

    def __init__(self, sock: socket.socket, peer: Peer) -> None:
        self.peer = peer
        self._sock = sock
        self._data = b""

    async def texts(self, last: str) -> list[str]:
        """Read up to that text; return all texts up to it."""
        seen: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while not seen or seen[-1] != last:
                opcode, payload = await self.frame()
                if opcode == TEXT:
                    seen.append(payload.decode())
        return seen

    async def frame(self) -> tuple[int, bytes]:
        """Read a frame."""
        first, size = await self._read(2)
        if size > 125:
            size = int.from_bytes(await self._read(2 if size == 126 else 8))
        return first & 15, await self._read(size)

    async def _read(self, size: int) -> bytes:
        while len(self._data) < size:
            part = await asyncio.get_running_loop().sock_recv(self._sock, 2**18)
            assert part, "the connection has ended"
            self._data += part
        part, self._data = self._data[:size], self._data[size:]
        return part


@asynccontextmanager
async def over_uvicorn(hub: Hub) -> AsyncIterator[Place]:
    """Serve an endpoint whose peers join "a"."""

    async def endpoint(socket: WebSocket) -> None:
        async with hub.accept(socket) as peer:
            peer.join("a")
            async for message in peer:
                hub.room("a").send(message)
                peer.send("to you")

    async with serving(hub.asgi(socket_app(endpoint))) as place:
        yield place
    await hub.close()


@asynccontextmanager
async def slow_and_quick(
    hub: Hub, *, on_uvicorn: bool = False
) -> AsyncIterator[tuple[Slow, ClientConnection]]:
    """Have a room, "a", with a member that does not read and one that does."""
    async with (
        serve(hub=hub, on_open=join("a")) as server,
        over_uvicorn(hub) as place,
        reluctant(place if on_uvicorn else server, room=100_000) as sock,
    ):
        await until(lambda: len(hub.room("a")) == 1)
        (peer,) = hub.peers
        while peer.buffered < 300_000:
            peer.send(bytes(50_000))
            await asyncio.sleep(0)
        async with websockets.connect(server.url(), max_queue=None) as quick:
            await until(lambda: len(hub.room("a")) == 2)
            yield Slow(sock, peer), quick


TICKS = [f"tick {number}" for number in range(100)]


@pytest.mark.parametrize("keep", [1, 5])
def test_of_a_slow_member_the_latest_messages_are_kept_and_the_dropped_ones_are_counted(
    run: Run, caplog: pytest.LogCaptureFixture, keep: int
) -> None:
    async def main() -> None:
        hub = Hub()
        async with slow_and_quick(hub) as (slow, quick):
            for tick in TICKS:
                hub.room("a").send(tick, keep=keep)
            assert await received(quick, 100) == TICKS
            assert (slow.peer.dropped_messages, hub.stats.dropped_messages) == (100 - keep, 100 - keep)
            assert [each.dropped_messages for each in hub.peers if each is not slow.peer] == [0]
            assert await slow.texts("tick 99") == TICKS[-keep:]
            hub.room("a").send("in time", keep=keep)
            assert await slow.texts("in time") == ["in time"]
            assert hub.stats.dropped_messages == 100 - keep

    with caplog.at_level(logging.WARNING, "websocket_heartbeat.server"):
        run(main())
    assert caplog.messages == [
        "<Peer 1 '/'> reads more slowly than its rooms send: messages of them are dropped, and counted"
    ]


def test_a_slow_member_over_uvicorn_gets_the_latest_message_too(run: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with slow_and_quick(hub, on_uvicorn=True) as (slow, quick):
            for tick in TICKS:
                hub.room("a").send(tick, keep=1)
            assert await received(quick, 100) == TICKS
            assert await slow.texts("tick 99") == ["tick 99"]
            assert hub.stats.dropped_messages == 99

    run(main())


def test_each_room_of_a_slow_member_has_its_own_latest_message_and_a_user_of_the_same_name_too(
    run: Run,
) -> None:
    async def main() -> None:
        hub = Hub(authenticate=lambda request: "a")
        async with slow_and_quick(hub) as (slow, _):
            slow.peer.join("b")
            for number in range(10):
                hub.room("a").send(f"a {number}", keep=1)
                hub.room("b").send(f"b {number}", keep=1)
                hub.user("a").send(f"user {number}", keep=1)
            hub.room("b").send("end")
            assert await slow.texts("end") == ["a 9", "b 9", "user 9", "end"]
            assert slow.peer.dropped_messages == 27

    run(main())


def test_a_message_that_must_arrive_comes_behind_those_that_wait_and_so_does_the_close_frame(
    run: Run,
) -> None:
    async def main() -> None:
        hub = Hub(dismissal="goodbye")
        async with slow_and_quick(hub) as (slow, _):
            room = hub.room("a")
            room.send("one", keep=3)
            room.send("two", keep=3)
            room.send("must arrive")
            room.send("three", keep=1)
            room.dismiss("over", code=4600)
            room.send("too late", keep=1)
            assert await slow.texts("goodbye") == ["one", "two", "must arrive", "three", "goodbye"]
            assert await slow.frame() == (CLOSE, (4600).to_bytes(2) + b"over")
            assert slow.peer.dropped_messages == 0

    run(main())


@pytest.mark.usefixtures("kernel", "hurry")
def test_a_member_that_does_not_read_is_dropped_where_every_message_must_arrive(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        hub = Hub(write_limit=MEBIBYTE)
        async with slow_and_quick(hub) as (slow, quick):
            sent = 0
            while len(hub.room("a")) == 2:
                hub.room("a").send(bytes(50_000))
                sent += 1
                await quick.recv()
            assert slow.peer.close_reason.startswith("did not read: of ")
            hub.room("a").send("still here")
            assert await quick.recv() == "still here"
            assert hub.stats.dropped_messages == 0

    run(main())


@pytest.mark.usefixtures("hurry")
def test_a_member_that_takes_nothing_is_dropped_also_where_only_the_latest_message_counts(run: Run) -> None:
    async def main() -> None:
        hub = Hub(write_limit=30_000, on_open=join("a"))
        async with serve(hub=hub) as server, reluctant(server):
            await until(lambda: hub.peers)
            (peer,) = hub.peers
            while not peer.closed:
                hub.room("a").send(bytes(8_000), keep=1)
                await asyncio.sleep(0.01 if peer.dropped_messages else 0)
            assert peer.close_reason.startswith("did not read: of ")
            assert peer.dropped_messages > 0

    run(main())


# Very large rooms


@pytest.mark.usefixtures("one_a_turn")
def test_a_large_room_gives_the_loop_turns_and_reaches_each_member_in_order(run: Run) -> None:
    async def main() -> None:
        hub = Hub(on_open=join("a", "b"))
        async with serve(hub=hub) as server, members(server, 5) as connections:
            await until(lambda: len(hub.room("a")) == 5)
            turns = 0

            def count_turn() -> None:
                nonlocal turns
                turns += 1
                if hub.peers:
                    loop.call_soon(count_turn)

            loop = asyncio.get_running_loop()
            loop.call_soon(count_turn)
            for number in range(20):
                hub.room("a").send(f"a {number}")
                hub.room("b").send(f"b {number}", keep=1)
            assert turns == 0
            for name in "ab":
                hub.room(name).send("end")
            for messages in await all_received(connections, 42):
                for name in "ab":
                    expected = [f"{name} {number}" for number in range(20)]
                    assert [each for each in messages if str(each).startswith(name)] == expected
            assert turns >= 5
            hub.room("a").send("over")
            hub.room("a").dismiss()
            assert await all_received(connections, 1) == [["over"]] * 5
            for connection in connections:
                await connection.wait_closed()
                assert connection.close_code == 4500

    run(main())


@pytest.mark.usefixtures("one_a_turn")
def test_who_joins_leaves_or_goes_while_a_message_is_on_its_way_harms_nobody(run: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with serve(hub=hub) as server, members(server, 5) as connections:
            await until(lambda: len(hub.peers) == 5)
            first, leaves, goes, last, later = hub.peers
            for peer in (first, leaves, goes, last):
                peer.join("a")
            hub.room("a").send("one")
            leaves.leave("a")
            goes.abort()
            later.join("a")
            hub.room("a").send("two")
            assert await received(connections[3], 2) == ["one", "two"]
            await hub.close()
            del connections[2]  # which raises, as it was reset
            rest = [[message async for message in connection] for connection in connections]
            assert rest == [["one", "two"], [], [], ["two"]]

    run(main())


@pytest.mark.usefixtures("one_a_turn")
def test_who_is_sent_away_or_closed_has_got_what_was_sent_before(run: Run) -> None:
    async def main() -> None:
        hub = Hub(on_open=join("a"))
        async with serve(hub=hub) as server:
            parts: list[Callable[[], Coroutine[Any, Any, None]]] = [
                lambda: hub.room("a").send_away(1),
                lambda: hub.send_away(1),
                hub.close,
            ]
            for part in parts:
                async with members(server, 4) as connections:
                    await until(lambda: len(hub.room("a")) == 4)
                    hub.room("a").send("one")
                    hub.room("a").send("two")
                    waits = asyncio.ensure_future(part())
                    assert await all_received(connections, 2) == [["one", "two"]] * 4
                    await waits
                    assert hub.peers == ()

    run(main())


# What it costs


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="PyPy tells of other calls named send")
def test_what_is_sent_in_one_turn_of_the_loop_is_written_at_once(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(on_open=join("a"))
        async with serve(hub=hub) as server, client(server) as raw:
            await until(lambda: hub.peers)
            writes = 0

            def note(frame: FrameType, event: str, called: Any) -> None:
                nonlocal writes
                if event == "c_call" and called.__name__ == "send":
                    writes += 1

            sys.setprofile(note)
            try:
                for number in range(10):
                    hub.room("a").send(str(number))
                for number in range(10):
                    assert await raw.read() == (TEXT, str(number).encode())
            finally:
                sys.setprofile(None)
            assert writes == 1

    run_asyncio(main())
