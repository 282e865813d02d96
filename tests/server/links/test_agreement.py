"""Over every framework, the hub keeps what it promises: heartbeats, dead peers, slow readers."""

import asyncio

import pytest
import websockets
from tests.server.links.back_ends import BackEnd, Place, echo, stay
from tests.server.raw import BINARY, CLOSE, PING, PONG, TEXT, Closes, client, frame, reluctant
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Dialect, Heartbeat, connect
from websocket_heartbeat.errors import PeerGone
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer, flow

MEBIBYTE = 2**20


def test_pings_and_heartbeats_are_answered_while_thirty_messages_wait_for_a_busy_handler(
    run: Run, back_end: BackEnd
) -> None:
    async def main() -> None:
        released = asyncio.Event()

        async def busy(peer: Peer) -> None:
            await released.wait()
            await echo(peer)

        async with back_end(Hub(), busy) as place, client(place) as raw:
            for number in range(30):
                raw.frame(TEXT, b"%d" % number)
            raw.frame(PING, b"are you there")
            raw.frame(TEXT, b"heartbeat")
            assert {await raw.read(), await raw.read()} == {(PONG, b"are you there"), (TEXT, b"heartbeat")}
            released.set()
            assert [await raw.read() for _ in range(30)] == [(TEXT, b"%d" % number) for number in range(30)]

    run(main())


@pytest.mark.usefixtures("kernel")
def test_a_silent_peer_is_pinged_and_reset(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        closes = Closes()
        async with back_end(Hub(idle_timeout=0.4, on_close=closes), stay) as place, client(place) as raw:
            assert (await raw.read())[0] == PING
            assert await raw.end() == "reset"
            await until(lambda: closes.seen)
        assert closes.seen == [(1, None, "silent for 0.4 s")]

    run(main())


@pytest.mark.usefixtures("kernel")
def test_a_peer_that_answers_pings_is_kept(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        hub = Hub(idle_timeout=0.4)
        async with back_end(hub) as place, websockets.connect(place.url(), ping_interval=None) as ws:
            await asyncio.sleep(1)
            assert len(hub.peers) == 1
            latency = hub.peers[0].latency
            assert latency is not None
            assert 0 <= latency < PATIENCE
            await ws.send("still here")
            assert await ws.recv() == "still here"

    run(main())


@pytest.mark.usefixtures("kernel")
def test_a_peer_that_sends_heartbeats_alone_is_kept(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        hub = Hub(idle_timeout=1)
        async with back_end(hub, stay) as place, client(place) as raw:
            for _ in range(12):
                raw.frame(TEXT, b"heartbeat")
                while (got := await raw.read())[0] == PING:  # on a machine that was busy for half a second
                    pass
                assert got == (TEXT, b"heartbeat")
                await asyncio.sleep(0.1)
            assert len(hub.peers) == 1

    run(main())


@pytest.mark.parametrize("message", [None, Dialect("heartbeat", "heartbeat")], ids=["pings", "messages"])
def test_our_client_stays_on_one_link(run: Run, back_end: BackEnd, message: Dialect | None) -> None:
    async def main() -> None:
        heartbeat = Heartbeat(0.1, PATIENCE, message)
        async with (
            back_end(Hub(idle_timeout=0.5)) as place,
            connect(place.url(), heartbeat=heartbeat) as connection,
        ):
            for number in range(5):
                await connection.send(str(number))
                assert await connection.recv() == str(number)
                await asyncio.sleep(0.25)
            assert connection.stats.links == 1

    run(main())


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge who takes nothing sooner than in real life."""
    for name in ("STALLED", "SHORTEST"):
        monkeypatch.setattr(flow, name, 0.5)


@pytest.mark.usefixtures("kernel", "hurry")
def test_a_peer_that_does_not_read_makes_drain_wait_and_is_dropped(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        closes = Closes()
        most = 0
        ended: list[BaseException] = []

        async def flood(peer: Peer) -> None:
            nonlocal most
            try:
                while True:
                    peer.send(bytes(MEBIBYTE))
                    most = max(most, peer.buffered)
                    await peer.drain()
            except PeerGone as error:
                ended.append(error)

        hub = Hub(on_close=closes, write_limit=1024)
        async with back_end(hub, flood) as place, reluctant(place):
            await until(lambda: ended)
        assert most < 3 * MEBIBYTE
        [(_, code, reason)] = closes.seen
        assert (code, reason[:12]) == (None, "did not read")

    run(main())


def test_a_flood_for_a_busy_handler_waits_at_its_sender(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        released = asyncio.Event()
        received = 0

        async def busy(peer: Peer) -> None:
            nonlocal received
            await released.wait()
            async for message in peer:
                received += len(message)

        hub = Hub(idle_timeout=0.4)
        async with back_end(hub, busy) as place, client(place) as raw:
            raw.writer.transport.set_write_buffer_limits(high=0)

            async def flood() -> None:
                for _ in range(1000):
                    raw.frame(BINARY, bytes(64 * 1024))
                    await raw.writer.drain()

            flooding = asyncio.create_task(flood())
            await until(lambda: hub.peers and hub.peers[0].paused)
            await asyncio.sleep(0.8)
            assert not flooding.done()
            assert hub.peers[0].waiting <= 65  # and it is not dropped, as it is we who do not read
            released.set()
            await until(lambda: received == 1000 * 64 * 1024)
            await flooding

    run(main())


def test_a_flood_of_tiny_messages_leaves_turns_of_the_loop_to_others(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        received = 0

        def on_message(peer: Peer, message: Message) -> None:
            nonlocal received
            received += 1

        async with back_end(Hub(on_message=on_message), stay) as place, client(place) as raw:
            raw.writer.write(frame(TEXT, b"x") * 5000)
            most = 0
            async with asyncio.timeout(PATIENCE):
                while received < 5000:
                    before = received
                    await asyncio.sleep(0)
                    most = max(most, received - before)
            assert most <= 100

    run(main())


def test_of_the_heartbeats_of_a_peer_that_does_not_read_the_last_is_answered_when_it_does(
    run: Run, back_end: BackEnd
) -> None:
    async def main() -> None:
        async def feed(peer: Peer) -> None:
            async for _ in peer:
                while peer.buffered < 2**18:  # above 64 KiB, heartbeats are not answered
                    peer.send(bytes(2**16))
                    await asyncio.sleep(0)
                took.set()

        took = asyncio.Event()
        hub = Hub(write_limit=2**30)
        async with back_end(hub, feed) as place, client(place) as raw:
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            raw.frame(TEXT, b"feed me")
            await took.wait()
            (peer,) = hub.peers
            before = peer.buffered
            for _ in range(100):
                raw.writer.write(frame(TEXT, b"heartbeat") * 100)
                await raw.writer.drain()
            took.clear()
            raw.frame(TEXT, b"feed me")  # behind all of them
            await took.wait()
            assert peer.buffered < before + 2**16
            raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
            answers = 0
            while not answers:
                answers += (await raw.read()) == (TEXT, b"heartbeat")

    run(main())


def test_a_mute_peer_is_dropped_after_close_timeout(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        closes = Closes()

        async def leave(peer: Peer) -> None:
            peer.send("bye")

        hub = Hub(close_timeout=0.3, on_close=closes)
        async with back_end(hub, leave) as place, client(place) as raw:
            assert await raw.read() == (TEXT, b"bye")
            assert await raw.close_code() == 1000
            assert await raw.end() == "reset"
        assert closes.seen == [(1, None, "did not answer the close frame in time")]

    run(main())


def test_what_a_peer_sends_while_it_is_closed_still_arrives(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        received: list[object] = []
        closes = Closes()

        async def close(peer: Peer) -> None:
            peer.close(4000, "your turn")
            received.extend([message async for message in peer])

        async with back_end(Hub(on_close=closes), close) as place, client(place) as raw:
            assert await raw.close_code() == 4000
            raw.frame(TEXT, b"one more")
            raw.frame(CLOSE, (4001).to_bytes(2) + b"mine")
            assert await raw.reader.read() == b""
            raw.leave()  # as clients do; websockets tells of the end only then
            await until(lambda: closes.seen)
        assert closes.seen == [(1, 4001, "mine")]
        assert received == ["one more"]

    run(main())


def test_messages_and_the_code_of_who_has_left_reach_a_handler_that_was_busy(
    run: Run, back_end: BackEnd
) -> None:
    async def main() -> None:
        closes = Closes()
        left = asyncio.Event()
        received: list[object] = []

        async def busy(peer: Peer) -> None:
            await left.wait()
            received.extend([message async for message in peer])

        async with back_end(Hub(on_close=closes), busy) as place, client(place) as raw:
            for number in range(300):  # more than the mailbox holds
                raw.frame(TEXT, b"%d" % number)
            raw.frame(CLOSE, (4001).to_bytes(2) + b"bye")
            raw.writer.write_eof()
            await asyncio.sleep(0.2)
            left.set()
            await until(lambda: closes.seen)
        assert received == [str(number) for number in range(300)]
        assert closes.seen == [(1, 4001, "bye")]

    run(main())


def test_two_hundred_clients_at_once_are_served_and_leave_nothing_behind(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        hub = Hub()

        async def talk(place: Place) -> None:
            async with websockets.connect(place.url(), ping_interval=None, open_timeout=PATIENCE) as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"

        async with back_end(hub) as place:
            await asyncio.gather(*(talk(place) for _ in range(200)))
            await until(lambda: not hub.peers)

    run(main())
