"""A link ends once, with the code, reason or error that it ended with, and says nothing afterwards."""

import asyncio

import pytest
import websockets.asyncio.server
import websockets.exceptions
from tests.engines import peers
from tests.engines.peers import Peer, close_frame, frame, port_of, quiet, ws_server
from tests.engines.recorder import MAX_SIZE, Recorder, opened
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.engines.base import Closure, Engine, OpenRequest


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1001, "bye"),
        (1011, "gr\u00fc\u00dfe"),
        (1014, ""),
        (3000, "x" * 123),
        (4999, "late"),
        (None, ""),
    ],
)
def test_a_close_of_the_server_gives_code_and_reason_and_is_answered(
    engine: Engine, run: Run, code: int | None, reason: str
) -> None:
    echoes: list[int | None] = []

    async def handler(peer: Peer) -> None:
        peer.write(close_frame(code, reason))
        echoes.append((await peer.read_frame()).close_code)
        assert not await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            _, recorder = await opened(engine, server.url())
            assert await recorder.closure() == Closure(code, reason)
            await until(lambda: echoes)
            assert echoes[0] == code or (code is None and echoes[0] in (None, 1000))

    run(main())


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1000, "done"), (3001, "x" * 123), (4000, "\u00fc")]
)
def test_our_close_gives_the_server_code_and_reason(engine: Engine, run: Run, code: int, reason: str) -> None:
    async def main() -> None:
        seen: list[tuple[int | None, str]] = []

        async def handler(connection: websockets.asyncio.server.ServerConnection) -> None:
            await connection.wait_closed()
            seen.append((connection.close_code, connection.close_reason or ""))

        async with websockets.asyncio.server.serve(handler, "127.0.0.1", 0, compression=None) as server:
            link, recorder = await opened(engine, f"ws://127.0.0.1:{port_of(server)}/")
            link.close(code, reason)
            assert await recorder.closure() == Closure(code, reason)
            await until(lambda: seen)
            assert seen == [(code, reason)]

    run(main())


def test_messages_that_come_before_the_answer_to_our_close_are_delivered(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        assert (await peer.read_frame()).close_code == 1000
        peer.write(frame(peers.TEXT, b"still here") + close_frame(1000))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            link.close(1000, "")
            assert await recorder.closure() == Closure(1000, "")
            assert recorder.messages == ["still here"]

    run(main())


def test_a_close_without_an_answer_ends_nothing_until_the_abort(engine: Engine, run: Run) -> None:
    async def main() -> None:
        async with ws_server(quiet) as server:
            link, recorder = await opened(engine, server.url())
            link.close(1000, "")
            link.send("too late")
            await asyncio.sleep(0.2)
            assert recorder.log == []
            link.abort()

    run(main())


def test_frames_after_the_close_frame_are_ignored(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(
            frame(peers.TEXT, b"a")
            + close_frame(1000)
            + frame(peers.TEXT, b"b")
            + frame(peers.PONG)
            + frame(peers.PING)
            + close_frame(1001)
            + frame(7)
        )
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            _, recorder = await opened(engine, server.url())
            await recorder.closure()
            for _ in range(20):
                await asyncio.sleep(0)
            assert recorder.log == ["a", "batch", Closure(1000, "")]

    run(main())


def test_the_end_of_the_stream_without_a_close_frame_has_no_code_and_no_error(
    engine: Engine, run: Run
) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(frame(peers.TEXT, b"a") + frame(peers.TEXT, b"half")[:3])

    async def main() -> None:
        async with ws_server(handler) as server:
            _, recorder = await opened(engine, server.url())
            assert await recorder.closure() == Closure()
            assert recorder.messages == ["a"]

    run(main())


def test_a_reset_is_kept_as_the_error(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_frame()
        peer.reset()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            link.ping()
            closure = await recorder.closure()
            assert isinstance(closure.error, ConnectionResetError)
            assert closure.code is None

    run(main())


def test_calls_on_a_link_that_has_ended_do_nothing(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(close_frame(1000))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await recorder.closure()
            for _ in range(2):
                link.send("text")
                link.ping()
                link.close(1000, "again")
                link.pause_reading()
                link.resume_reading()
                link.abort()
                assert link.buffered == 0
                assert not link.full
                assert link.evidence().heard_at <= asyncio.get_running_loop().time()
                await asyncio.sleep(0.02)
            assert len(recorder.closures) == 1

    run(main())


@pytest.mark.parametrize("moment", ["opened", "message", "batch", "pong", "idle"])
def test_nothing_is_called_after_an_abort(engine: Engine, run: Run, moment: str) -> None:
    data = frame(peers.TEXT, b"a") + frame(peers.PONG) + frame(peers.TEXT, b"b") + close_frame(1000)

    async def main() -> None:
        async with ws_server(quiet, first=data if moment != "idle" else b"") as server:
            recorder = Recorder()
            count = -1

            def drop(*_: object) -> None:
                nonlocal count
                assert recorder.link is not None
                recorder.link.abort()
                count = len(recorder.log)

            if moment == "opened":
                recorder.on_opened = drop
            elif moment == "message":
                recorder.on_opened = lambda link: setattr(link, "deliver", drop)
            elif moment == "batch":
                recorder.batch_delivered = drop  # type: ignore[method-assign]
            elif moment == "pong":
                recorder.ponged = drop  # type: ignore[method-assign]
            async with asyncio.timeout(PATIENCE):
                await engine.open(OpenRequest(server.url(), max_size=MAX_SIZE), recorder)
                if moment == "idle":
                    drop()
                await until(lambda: count >= 0)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(recorder.log) == count

    run(main())
