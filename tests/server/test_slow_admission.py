"""on_handshake may be a coroutine function: a client waits for it, no longer than open_timeout."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest
import websockets
from tests.server.raw import PING, PONG, TEXT, Raw, client, connect, frame
from tests.watch import Run, until

from websocket_heartbeat.server import Refusal, Request, Server, serve

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def by_token(request: Request) -> Refusal | None:
    """Ask some data base."""
    await asyncio.sleep(0.01)
    return None if request.query == "token=1" else Refusal(401, body=b"no")


class Waiting:
    """A hook that waits until it is told how to answer, and remembers how it ended."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended: list[str] = []
        self.answer: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()

    async def __call__(self, request: Request) -> Refusal | None:
        self.begun += 1
        try:
            answer = await asyncio.shield(self.answer)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("answered")
        return answer


async def head_of(raw: Raw) -> bytes:
    """Return the head of the answer that the client gets."""
    return await raw.reader.readuntil(b"\r\n\r\n")


def test_clients_of_other_libraries_are_let_in_and_refused_by_a_coroutine_function(run: Run) -> None:
    async def main() -> None:
        async with serve(on_handshake=by_token) as server:
            async with websockets.connect(server.url("/?token=1")) as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(server.url("/?token=2"))
            assert refused.value.response.status_code == 401
            async with aiohttp.ClientSession() as session:
                async with session.ws_connect(server.url("/?token=1")) as other:
                    await other.send_str("hello")
                    assert (await other.receive()).data == "hello"
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused_too:
                    await session.ws_connect(server.url("/?token=2"))
                assert refused_too.value.status == 401

    run(main())


@pytest.mark.parametrize("is_half_closed", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_health_check_waits_for_a_coroutine_function_too(
    run: Run, method: str, is_half_closed: bool
) -> None:
    async def health(request: Request) -> Refusal:
        await asyncio.sleep(0.02)
        return Refusal(200, body=b"ok")

    async def main() -> None:
        async with serve(on_handshake=health) as server, connect(server) as raw:
            raw.writer.write(f"{method} /health HTTP/1.0\r\n\r\n".encode())
            if is_half_closed:  # by nc, where its standard input ends
                raw.writer.write_eof()
            head, _, body = (await raw.reader.read()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nContent-Length: 2\r\n" in head
            assert body == (b"" if method == "HEAD" else b"ok")

    run(main())


def test_what_a_client_sends_ahead_is_taken_in_order_when_it_is_let_in(run: Run) -> None:
    async def main() -> None:
        hook = Waiting()
        received: list[Any] = []
        async with (
            serve(lambda _, message: received.append(message), on_handshake=hook) as server,
            connect(server) as raw,
        ):
            raw.writer.write(HANDSHAKE + frame(TEXT, b"one"))
            await until(lambda: hook.begun)
            raw.frame(TEXT, b"two")
            raw.frame(PING, b"three")
            await asyncio.sleep(0.02)
            assert server.connections == ()
            hook.answer.set_result(None)
            assert (await head_of(raw)).startswith(b"HTTP/1.1 101 ")
            assert await raw.read() == (PONG, b"three")
            assert received == ["one", "two"]

    run(main())


def test_a_client_that_sends_much_before_it_is_let_in_is_refused(run: Run) -> None:
    async def main() -> None:
        hook = Waiting()
        async with serve(on_handshake=hook) as server, connect(server) as raw:
            raw.writer.write(HANDSHAKE)
            await until(lambda: hook.begun)
            raw.writer.write(bytes(100_000))
            assert (await head_of(raw)).startswith(b"HTTP/1.1 400 ")
            await until(lambda: hook.ended)
            assert hook.ended == ["cancelled"]

    run(main())


def test_a_client_that_leaves_cancels_the_hook_and_is_said_to_no_log(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        hook = Waiting()
        async with serve(on_handshake=hook) as server:
            for leave in (Raw.reset, Raw.leave):
                async with connect(server) as raw:
                    raw.writer.write(HANDSHAKE)
                    await until(lambda: hook.begun)
                    leave(raw)
                    await until(lambda: hook.ended)
                assert (hook.begun, hook.ended) == (1, ["cancelled"])
                hook.begun, hook.ended = 0, []
            hook.answer.cancel()

    run(main())
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


def test_a_hook_that_takes_longer_than_open_timeout_is_cancelled_and_its_client_gets_a_503(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        hook = Waiting()
        async with serve(on_handshake=hook, open_timeout=0.1) as server, client(server) as raw:
            assert raw.status == 503
            assert await raw.end() == "end of file"
            assert hook.ended == ["cancelled"]
            assert server.connections == ()
            hook.answer.cancel()

    run(main())
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "on_handshake took longer than open_timeout=0.1 s" in record.getMessage()


def test_a_coroutine_function_that_raises_or_answers_nonsense_refuses_with_500(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(request: Request) -> None:
        await asyncio.sleep(0)
        raise ValueError(f"secret {request.query}")

    async def cancelled(request: Request) -> None:
        raise asyncio.CancelledError

    async def nonsense(request: Request) -> int:
        return 401

    async def main() -> None:
        for hook in (broken, cancelled, nonsense):
            async with serve(on_handshake=hook) as server, client(server, "/?secret") as raw:  # type: ignore[arg-type]
                assert raw.status == 500
                assert b"secret" not in raw.head + await raw.reader.read()

    run(main())
    assert "on_handshake raised ValueError at" in caplog.text
    assert "on_handshake raised CancelledError at" in caplog.text
    assert "on_handshake must return None or a Refusal, not int" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("end", [Server.close, Server.abort])
def test_a_server_that_ends_cancels_its_hooks_and_refuses_who_waits(
    run: Run, end: Callable[[Server], Coroutine[Any, Any, None] | None]
) -> None:
    async def main() -> None:
        hook = Waiting()
        async with serve(on_handshake=hook, open_timeout=300) as server, connect(server) as raw:
            raw.writer.write(HANDSHAKE)
            await until(lambda: hook.begun)
            ending = end(server)
            if ending is not None:
                await ending
                assert hook.ended == ["cancelled"]
                assert (await head_of(raw)).startswith(b"HTTP/1.1 503 ")
            assert await raw.end() in ("end of file", "reset")
            await until(lambda: hook.ended)
            hook.answer.cancel()

    run(main())


def test_a_hook_that_clears_up_slowly_harms_nobody(run: Run) -> None:
    cleared: list[None] = []

    async def slow(request: Request) -> None:
        try:
            await asyncio.sleep(300)
        finally:
            await asyncio.sleep(0.05)
            cleared.append(None)

    async def main() -> None:
        async with serve(on_handshake=slow, open_timeout=0.1) as server, client(server) as raw:
            assert raw.status == 503
            assert await raw.end() == "end of file"
        assert cleared == [None]  # the server has waited for it

    run(main())


def test_a_plain_function_may_return_what_is_to_be_awaited(run: Run) -> None:
    async def main() -> None:
        async with serve(on_handshake=lambda request: by_token(request)) as server:
            async with client(server, "/?token=1") as raw:
                assert raw.status == 101
            async with client(server) as raw:
                assert raw.status == 401

    run(main())


def test_a_hook_that_ends_the_program_ends_it() -> None:
    async def leave(request: Request) -> None:
        await asyncio.sleep(0)
        raise SystemExit(3)

    async def main() -> None:
        async with serve(on_handshake=leave) as server, connect(server) as raw:
            raw.writer.write(HANDSHAKE)
            await raw.end()

    with pytest.raises(SystemExit, match="3"):
        asyncio.run(main())
