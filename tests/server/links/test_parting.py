"""Over every framework, a peer ends once and for a reason that both sides learn."""

import asyncio
import logging

import pytest
import websockets
from tests.server.links.back_ends import BackEnd, aiohttp_web, echo, stay
from tests.server.raw import BINARY, CLOSE, TEXT, Closes, client, frame, reluctant
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat import connect
from websocket_heartbeat.errors import ConnectionFailed, PeerGone
from websocket_heartbeat.server import Hub, Peer


def test_a_handler_that_returns_closes_with_1000(run: Run, back_end: BackEnd) -> None:
    async def first(peer: Peer) -> None:
        peer.send(await peer.recv())

    async def main() -> None:
        closes = Closes()
        async with (
            back_end(Hub(on_close=closes), first) as place,
            websockets.connect(place.url(), ping_interval=None) as ws,
        ):
            await ws.send("one")
            assert await ws.recv() == "one"
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (1000, "")
        assert closes.seen == [(1, 1000, "")]

    run(main())


def test_a_handler_that_raises_closes_with_1011_and_its_framework_logs_it(
    run_asyncio: Run, back_end: BackEnd, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(peer: Peer) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        async with back_end(Hub(), fail) as place, websockets.connect(place.url()) as ws:
            await ws.wait_closed()
            assert ws.close_code == 1011

    run_asyncio(main())
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert record.name in ("aiohttp.server", "websockets.server")


def test_a_handler_that_is_cancelled_closes_with_1001(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []

        async def wait(peer: Peer) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.append(task)
            await asyncio.sleep(3600)

        hub = Hub()
        async with back_end(hub, wait) as place, websockets.connect(place.url()) as ws:
            await until(lambda: tasks)
            tasks[0].cancel()
            await ws.wait_closed()
            assert ws.close_code == 1001
            await until(lambda: not hub.peers)
            await turns()

    run(main())


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        ((4001).to_bytes(2) + b"bye", 4001, "bye"),
        ((1009).to_bytes(2) + b"too much for me", 1009, "too much for me"),
        (b"", None, "ended without a close code"),
    ],
)
def test_a_client_that_closes_is_answered_and_its_handler_learns_why(
    run: Run,
    back_end: BackEnd,
    payload: bytes,
    code: int | None,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        gone: list[PeerGone] = []

        async def receive(peer: Peer) -> None:
            try:
                await peer.recv()
            except PeerGone as error:
                gone.append(error)
                peer.send("too late")
                raise  # which nobody logs

        async with back_end(Hub(), receive) as place, client(place) as raw:
            raw.frame(CLOSE, payload)
            opcode, answer = await raw.read()
            assert opcode == CLOSE
            assert answer in (payload[:2], payload, (1000).to_bytes(2))
            assert await raw.reader.read() == b""
            raw.leave()
            await until(lambda: gone)
        assert (gone[0].code, gone[0].reason) == (code, reason)

    run(main())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_client_that_closes_and_does_not_read_is_not_waited_for(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        async def flood(peer: Peer) -> None:
            peer.send(bytes(16 * 2**20))
            await peer.wait_closed()

        hub = Hub(idle_timeout=1)
        async with back_end(hub, flood) as place, reluctant(place) as sock:
            await until(lambda: hub.peers and hub.peers[0].buffered)
            await asyncio.get_running_loop().sock_sendall(sock, frame(CLOSE, (4001).to_bytes(2)))
            await until(lambda: not hub.peers)
            # Its socket is gone too: what was on its way comes, and then the end.
            received = 0
            async with asyncio.timeout(PATIENCE):
                try:
                    while data := await asyncio.get_running_loop().sock_recv(sock, 2**20):
                        received += len(data)
                except ConnectionResetError:
                    pass
            assert received < 16 * 2**20

    run(main())


@pytest.mark.parametrize("how", ["leave", "reset"])
def test_a_client_that_vanishes_ends_the_iteration_of_its_handler(
    run: Run, back_end: BackEnd, how: str
) -> None:
    async def main() -> None:
        closes = Closes()
        ended: list[bool] = []

        async def read(peer: Peer) -> None:
            await echo(peer)
            ended.append(peer.closed)

        async with back_end(Hub(on_close=closes), read) as place, client(place) as raw:
            raw.frame(TEXT, b"hello")
            assert await raw.read() == (TEXT, b"hello")
            getattr(raw, how)()
            await until(lambda: ended)
        assert ended == [True]
        [(number, code, _)] = closes.seen
        assert (number, code) == (1, None)

    run(main())


def test_an_aborted_peer_is_reset(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        closes = Closes()

        async def abort(peer: Peer) -> None:
            peer.abort()

        async with back_end(Hub(on_close=closes), abort) as place, client(place) as raw:
            assert await raw.end() == "reset"
        assert closes.seen == [(1, None, "aborted")]

    run(main())


def test_a_peer_is_dismissed_by_a_message_and_a_final_code(run_asyncio: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        hub = Hub(dismissal="go away")
        async with back_end(hub) as place, client(place) as raw:
            await until(lambda: hub.peers)
            hub.peers[0].dismiss("banned")
            assert await raw.read() == (TEXT, b"go away")
            assert await raw.read() == (CLOSE, (4500).to_bytes(2) + b"banned")

    run_asyncio(main())


def test_a_dismissed_client_of_ours_does_not_come_back(run_asyncio: Run, back_end: BackEnd) -> None:
    async def dismiss(peer: Peer) -> None:
        peer.dismiss("banned")

    async def main() -> None:
        async with back_end(Hub(), dismiss) as place:
            with pytest.raises(ConnectionFailed, match="banned"):
                async with connect(place.url()) as connection:
                    await connection.recv()

    run_asyncio(main())


def test_peers_are_sent_away_with_a_moment_each(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        hub = Hub()
        async with (
            back_end(hub) as place,
            websockets.connect(place.url()) as one,
            websockets.connect(place.url()) as other,
        ):
            await until(lambda: len(hub.peers) == 2)
            await hub.send_away(8, 1012, "x" * 80)
            assert not hub.peers
            await one.wait_closed()
            await other.wait_closed()
            assert (one.close_code, other.close_code) == (1012, 1012)
            hints = {(ws.close_reason or "").removeprefix("x" * 80) for ws in (one, other)}
            assert hints == {"; retry-after=2", "; retry-after=6"}

    run(main())


def test_a_reason_of_123_bytes_is_sent_whole(run_asyncio: Run, back_end: BackEnd) -> None:
    reason = "ü" * 61 + "x"

    async def leave(peer: Peer) -> None:
        peer.close(4000, reason)

    async def main() -> None:
        async with back_end(Hub(), leave) as place, client(place) as raw:
            assert await raw.read() == (CLOSE, (4000).to_bytes(2) + reason.encode())

    run_asyncio(main())


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (frame(TEXT, b"\xff"), 1007),
        (frame(3), 1002),
        (frame(BINARY, bytes(5 * 2**20)), 1009),
    ],
    ids=["not UTF-8", "unknown opcode", "too large"],
)
def test_a_client_that_breaks_the_protocol_is_told_so(
    run: Run, back_end: BackEnd, frames: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        closes = Closes()
        async with back_end(Hub(on_close=closes, close_timeout=1), stay) as place, client(place) as raw:
            raw.writer.write(frames)
            assert await raw.close_code() == code
            raw.frame(CLOSE, code.to_bytes(2))
            await raw.end()
            raw.reset()
            await until(lambda: closes.seen)
        [(number, told, _)] = closes.seen
        assert (number, told) == (1, None)

    with caplog.at_level(logging.INFO, "websocket_heartbeat"):
        run(main())
    assert f"<Peer 1 '/'> broke RFC 6455 and was closed with {code}" in caplog.messages


def test_a_client_that_has_broken_the_protocol_gets_one_close_frame(
    run_asyncio: Run, back_end: BackEnd
) -> None:
    async def main() -> None:
        hub = Hub()
        async with back_end(hub, stay) as place, client(place) as raw:
            await until(lambda: hub.peers)
            raw.frame(3)
            assert await raw.close_code() == 1002
            for peer in hub.peers:
                peer.close(4000)  # meanwhile
            await turns()
            raw.frame(CLOSE, (1002).to_bytes(2))
            assert await raw.reader.read() == b""

    run_asyncio(main())


def test_large_messages_come_and_go(run: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        async with (
            back_end(Hub()) as place,
            websockets.connect(place.url(), max_size=None, ping_interval=None) as ws,
        ):
            for message in ("x" * 2**20, bytes(range(256)) * 2**12):
                await ws.send(message)
                assert await ws.recv() == message

    run(main())


def test_messages_of_all_sizes_keep_their_order(run: Run, back_end: BackEnd) -> None:
    sizes = [10, 2**16, 10, 2**20, 10, 200, 2**17, 1, 0]

    async def burst(peer: Peer) -> None:
        for turn in range(5):
            for size in sizes:
                peer.send(chr(97 + turn) * size)
                peer.send(bytes([turn]) * size)
            await asyncio.sleep(0)
        await peer.wait_closed()

    async def main() -> None:
        async with (
            back_end(Hub(), burst) as place,
            websockets.connect(place.url(), ping_interval=None, max_queue=1) as ws,
        ):
            for turn in range(5):
                for size in sizes:
                    assert await ws.recv() == chr(97 + turn) * size
                    assert await ws.recv() == bytes([turn]) * size

    run(main())


def test_hooks_and_rooms_work_as_over_our_own_listener(run_asyncio: Run, back_end: BackEnd) -> None:
    async def main() -> None:
        seen: list[object] = []

        def on_message(peer: Peer, message: object) -> None:
            seen.append(message)
            hub.room("all").send("news")

        hub = Hub(on_open=lambda peer: peer.join("all"), on_message=on_message)
        async with back_end(hub, stay) as place, client(place) as one, client(place) as other:
            one.frame(TEXT, b"hello")
            assert await one.read() == await other.read() == (TEXT, b"news")
        assert seen == ["hello"]

    run_asyncio(main())


def test_a_loop_that_ends_while_reading_pauses_closes_its_peers_in_order(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        hub = Hub(close_timeout=0.2)
        async with aiohttp_web(hub, stay_busy) as place:
            async with client(place) as raw:
                for _ in range(200):
                    raw.frame(TEXT, b"unread")
                await until(lambda: hub.peers and hub.peers[0].paused)
                (peer,) = hub.peers
                others = asyncio.all_tasks() - {asyncio.current_task()}
                for task in others:  # as `asyncio.run` does, in whatever order
                    task.cancel()
                await until(lambda: peer.closed)
            await asyncio.wait(others, timeout=PATIENCE)

    run(main())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def stay_busy(peer: Peer) -> None:
    await asyncio.sleep(3600)
