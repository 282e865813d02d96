"""Hooks see messages in order, with bounded memory, and the end of each peer once."""

import asyncio
import logging
import runpy
import sys
from typing import Any

import pytest
import websockets
from tests.server.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Closes,
    Raw,
    client,
    connect,
    frame,
)
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.engines import masks, wire, wire_client, wire_server
from websocket_heartbeat.engines.wire_server import ServerLink
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Peer, serve


@pytest.mark.parametrize("is_pure", [False, True], ids=["", "without C"])
def test_without_a_hook_messages_are_echoed_as_what_they_are(
    run: Run, is_pure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_pure:  # as websockets is installed where it has no wheel, and on PyPy
        monkeypatch.setitem(sys.modules, "websockets.speedups", None)
        pure = runpy.run_path(masks.__file__)["apply_mask"]
        for module in (wire, wire_client, wire_server):
            monkeypatch.setattr(module, "apply_mask", pure)

    async def main() -> None:
        async with serve() as server, websockets.connect(server.url("/x"), max_size=None) as ws:
            sizes = (0, 1, 125, 126, 8192, 8193, 65535, 65536, 300_000, 9_000)
            for size in sizes:  # at once, so that the server answers several in one turn of its loop
                await ws.send("é" * (size // 2))
                await ws.send(bytes(size))
            for size in sizes:
                assert await ws.recv() == "é" * (size // 2)
                assert await ws.recv() == bytes(size)

    run(main())


def test_many_large_messages_sent_at_once_arrive_whole_though_the_socket_is_full(run: Run) -> None:
    sizes = (200_000, 9_000, 70_000, 100, 400_000, 8_500) * 30  # more than the buffers of two kernels hold

    def burst(peer: Peer) -> None:
        for size in sizes:
            peer.send(bytes([size % 251]) * size)
        assert peer.buffered > 100_000

    async def main() -> None:
        async with (
            serve(on_open=burst, write_limit=10**8) as server,
            websockets.connect(server.url(), max_size=None) as ws,
        ):
            for size in sizes:
                async with asyncio.timeout(PATIENCE):
                    assert await ws.recv() == bytes([size % 251]) * size

    run(main())


def test_asynchronous_hooks_run_in_order_for_each_peer_and_side_by_side_for_several(run: Run) -> None:
    async def main() -> None:
        gates = {"a": asyncio.Event(), "b": asyncio.Event()}
        begun: list[str] = []

        async def hook(peer: Peer, message: Message) -> None:
            assert isinstance(message, str)
            begun.append(message)
            await gates[message[0]].wait()
            await asyncio.sleep(0)
            peer.send(message)

        async with serve(hook) as server, client(server) as first, client(server) as second:
            for number in b"123":
                first.frame(TEXT, b"a" + bytes([number]))
                second.frame(TEXT, b"b" + bytes([number]))
            await until(lambda: sorted(begun) == ["a1", "b1"])
            gates["b"].set()
            assert [await second.read() for _ in range(3)] == [(TEXT, b"b1"), (TEXT, b"b2"), (TEXT, b"b3")]
            assert "a2" not in begun
            gates["a"].set()
            assert [await first.read() for _ in range(3)] == [(TEXT, b"a1"), (TEXT, b"a2"), (TEXT, b"a3")]

    run(main())


@pytest.mark.parametrize("size", [1000, 16_384])
def test_a_peer_that_sends_faster_than_the_hook_works_is_read_more_slowly(run: Run, size: int) -> None:
    count = 16_000_000 // size  # more than the buffers of two kernels hold

    async def main() -> None:
        release = asyncio.Event()
        seen: list[int] = []

        async def slow(peer: Peer, message: Message) -> None:
            await release.wait()
            assert isinstance(message, bytes)
            seen.append(int.from_bytes(message[:4]))

        async with serve(slow) as server, client(server) as raw:
            (peer,) = server.connections
            writes = asyncio.create_task(_flood(raw.writer, count, size))
            await until(lambda: peer.paused)
            waiting = peer.waiting
            await asyncio.sleep(0.05)
            assert peer.waiting == waiting
            # One read may bring what the buffer of the reader holds above the bound.
            assert waiting * (size + 16) < 1_000_000
            assert not writes.done()
            release.set()
            await until(lambda: len(seen) == count)
            assert seen == list(range(1, count + 1))
            await writes
            raw.frame(PING)
            assert await raw.read() == (PONG, b"")

    run(main())


async def _flood(writer: asyncio.StreamWriter, count: int, size: int) -> None:
    for number in range(1, count + 1):
        writer.write(frame(BINARY, number.to_bytes(4).ljust(size, b".")[:size]))
        await writer.drain()


def test_the_hook_for_opening_comes_first_and_messages_wait_for_it(run: Run) -> None:
    async def main() -> None:
        release = asyncio.Event()
        seen: list[str] = []

        async def opened(peer: Peer) -> None:
            seen.append("opening")
            await release.wait()
            seen.append("opened")

        async with (
            serve(lambda _, message: seen.append(str(message)), on_open=opened) as server,
            client(server, tail=frame(TEXT, b"early")) as raw,
        ):
            raw.frame(PING)
            assert await raw.read() == (PONG, b"")
            assert seen == ["opening"]
            release.set()
            await until(lambda: len(seen) == 3)
            assert seen == ["opening", "opened", "early"]

    run(main())


def test_a_hook_is_cancelled_when_its_peer_goes_and_told_of_the_end_after_it(run: Run) -> None:
    async def main() -> None:
        story: list[str] = []

        async def endless(peer: Peer, message: Message) -> None:
            story.append("begun")
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                story.append("cleaned up")

        async def closed(peer: Peer, code: int | None, reason: str) -> None:
            await asyncio.sleep(0)
            story.append(f"closed {code} {reason}")

        async with serve(endless, on_close=closed) as server, websockets.connect(server.url()) as ws:
            await ws.send("go")
            await ws.send("never taken")
            await until(lambda: story)
            await ws.close(4000, "enough")
            await until(lambda: len(story) == 3)
        assert story == ["begun", "cleaned up", "closed 4000 enough"]

    run(main())


def test_a_hook_whose_peer_goes_before_its_first_step_leaves_no_coroutine_behind(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        calls: list[Message] = []

        async def hook(peer: Peer, message: Message) -> None:
            calls.append(message)

        frames = frame(TEXT, b"hello") + frame(8, (1000).to_bytes(2))
        async with serve(hook, on_close=closes) as server, client(server) as raw:
            raw.writer.write(frames)
            await until(lambda: closes.seen)
        assert closes.seen == [(1, 1000, "")]
        assert calls == []

    run(main())


def test_a_hook_may_drop_its_own_peer(run: Run) -> None:
    def at_once(peer: Peer, message: Message) -> None:
        peer.abort()
        peer.send("into the void")
        peer.close()

    async def later(peer: Peer, message: Message) -> None:
        await asyncio.sleep(0)
        at_once(peer, message)
        await asyncio.Event().wait()

    def now_and_later(peer: Peer, message: Message) -> object:
        peer.abort()
        return later(peer, message)

    async def main() -> None:
        for hook in (at_once, later, now_and_later):
            closes = Closes()
            async with serve(hook, on_close=closes) as server, client(server) as raw:
                raw.frame(TEXT, b"x")
                assert await raw.end() == "reset"
                await until(lambda: closes.seen)  # noqa: B023
                assert server.connections == ()
            assert closes.seen == [(1, None, "aborted")]

    run(main())


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="tasks are eager from Python 3.12 on")
def test_a_hook_that_drops_its_peer_ends_before_the_end_is_told_also_where_tasks_are_eager(
    run_asyncio: Run,
) -> None:
    story: list[str] = []

    async def drop(peer: Peer, message: Message) -> None:
        peer.abort()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            story.append("cleaned up")

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))
        async with (
            serve(drop, on_close=lambda *_: story.append("closed")) as server,
            client(server) as raw,
        ):
            raw.frame(TEXT, b"x")
            await until(lambda: len(story) == 2)
        assert story == ["cleaned up", "closed"]

    run_asyncio(main())


def test_when_something_that_a_hook_awaits_is_cancelled_the_next_message_is_still_taken(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async def hook(peer: Peer, message: Message) -> None:
            if message == "first":
                future = asyncio.get_running_loop().create_future()
                future.cancel()
                await future
            peer.send(message)

        async with serve(hook) as server, client(server) as raw:
            raw.frame(TEXT, b"first")
            raw.frame(TEXT, b"second")
            assert await raw.read() == (TEXT, b"second")

    run(main())
    assert "on_message for <Peer 1 '/'> raised CancelledError" in caplog.text


@pytest.mark.parametrize("name", ["on_handshake", "on_open", "on_message", "on_close"])
def test_a_plain_hook_that_asks_a_cancelled_future_has_failed_and_harms_nobody(
    run: Run, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    def ask(*_: object) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        future.result()

    async def main() -> None:
        closes = Closes()
        hooks: dict[str, Any] = {"on_close": closes, name: ask}
        async with serve(**hooks) as server, client(server) as raw:
            assert raw.status == (500 if name == "on_handshake" else 101)
            if raw.status == 101:
                raw.frame(TEXT, b"first")
                raw.frame(PING, b"second")
                while await raw.read() != (PONG, b"second"):
                    pass
                raw.frame(CLOSE, (1000).to_bytes(2))
                assert await raw.close_code() == 1000
            await until(lambda: not server.connections)
        assert closes.seen == ([] if name in ("on_handshake", "on_close") else [(1, 1000, "")])

    run(main())
    assert caplog.text.count(f"{name} ") == caplog.text.count("raised CancelledError at") == 1


def test_the_end_of_a_peer_is_told_once_with_code_and_reason(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(on_close=closes) as server:
            async with websockets.connect(server.url()) as ws:
                await ws.close(3001, "done für heute")
            await until(lambda: len(closes.seen) == 1)
            async with client(server) as raw:
                raw.frame(CLOSE)
                assert await raw.close_code() == 1000
            await until(lambda: len(closes.seen) == 2)
            async with client(server):
                pass
            await until(lambda: len(closes.seen) == 3)
            async with client(server):
                server.connections[0].close(4003, "go")
                server.connections[0].abort()
            await until(lambda: len(closes.seen) == 4)
        assert closes.seen[0] == (1, 3001, "done für heute")
        assert closes.seen[1] == (2, None, "ended without a close code")
        assert closes.seen[2][1] is None
        assert closes.seen[3] == (4, None, "aborted")
        assert len(closes.seen) == 4

    run(main())


def test_a_mistake_of_ours_in_taking_a_message_is_logged_by_its_place_and_the_next_one_comes(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def mistaken(self: ServerLink, message: Message) -> None:
        monkeypatch.undo()
        raise ZeroDivisionError("secret")

    async def main() -> None:
        async with serve() as server, websockets.connect(server.url()) as ws:
            monkeypatch.setattr(ServerLink, "send", mistaken)
            await ws.send("heartbeat")
            await ws.send("echoed")
            async with asyncio.timeout(PATIENCE):
                assert await ws.recv() == "echoed"

    run(main())
    assert "ZeroDivisionError at" in caplog.text
    assert "secret" not in caplog.text


def test_hooks_for_opening_and_closing_that_raise_harm_nothing(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def opened(peer: Peer) -> None:
        raise KeyError("secret")

    def closed(peer: Peer, code: int | None, reason: str) -> None:
        raise OSError("secret")

    async def main() -> None:
        async with serve(on_open=opened, on_close=closed) as server, websockets.connect(server.url()) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
        assert server.connections == ()

    run(main())
    assert "on_open for <Peer 1 '/'> raised KeyError" in caplog.text
    assert "on_close for <Peer 1 '/'> raised OSError" in caplog.text
    assert "secret" not in caplog.text


def test_what_cannot_be_sent_is_refused_where_it_is_written(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server):
            (peer,) = server.connections
            for wrong in (1, None, ["x"]):
                with pytest.raises(TypeError, match="message must be str or bytes-like, not"):
                    peer.send(wrong)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="message must be text that UTF-8 can carry"):
                peer.send("\ud800")
            for code in (0, 999, 1005, 1006, 1015, 2999, 5000):
                with pytest.raises(ValueError, match=rf"code must be a close code .* not {code}"):
                    peer.close(code)
            with pytest.raises(TypeError, match="code must be a whole number, not '1000'"):
                peer.close("1000")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="reason must be at most 123 bytes of UTF-8, not 124"):
                peer.close(1000, "é" * 62)
            assert server.connections == (peer,)

    run(main())


MESSAGES_THAT_END_THE_PROGRAM = {
    "text": frame(TEXT, b"exit"),
    "long text": frame(TEXT, b"exit" * 100),
    "binary": frame(BINARY, b"exit"),
    "fragments": frame(TEXT, b"ex", fin=False) + frame(CONTINUATION, b"it"),
    "longer than a read": frame(BINARY, b"exit" * 25_000),
}


@pytest.mark.parametrize(
    "ending", MESSAGES_THAT_END_THE_PROGRAM.values(), ids=MESSAGES_THAT_END_THE_PROGRAM.keys()
)
def test_a_program_that_ends_in_a_hook_can_still_part_from_the_peer_of_it(ending: bytes) -> None:
    received: list[str] = []

    def on_message(peer: Peer, message: Message) -> None:
        received.append((message if isinstance(message, str) else message.decode())[:4])
        peer.send(received[-1])
        if received[-1] == "exit":
            raise SystemExit

    with asyncio.Runner() as runner:
        server = serve(on_message)
        connection = client(server)

        async def begin() -> Raw:
            await server.__aenter__()
            return await connection.__aenter__()

        async def burst() -> None:
            raw.writer.write(frame(TEXT, b"1") + ending + frame(TEXT, b"2"))
            await asyncio.sleep(PATIENCE)

        async def end() -> None:
            raw.frame(PING, b"goes on")
            answers = [await raw.read() for _ in range(4)]
            assert answers == [(TEXT, b"1"), (TEXT, b"exit"), (TEXT, b"2"), (PONG, b"goes on")]
            closing = asyncio.create_task(server.close())
            assert await raw.close_code() == 1001
            raw.frame(CLOSE, b"\x03\xe9")
            await closing
            await connection.__aexit__(None, None, None)

        raw = runner.run(begin())
        with pytest.raises(SystemExit):
            runner.run(burst())
        runner.run(end())
    assert received == ["1", "exit", "2"]


def test_on_close_that_ends_the_program_does_not_keep_the_server_from_closing() -> None:
    def on_close(*_: object) -> None:
        raise SystemExit

    with asyncio.Runner() as runner:
        server = serve(on_close=on_close, close_timeout=1000)

        async def come_and_go() -> None:
            await server.__aenter__()
            async with client(server):
                pass
            await asyncio.sleep(PATIENCE)

        async def end() -> None:
            async with asyncio.timeout(PATIENCE):
                await server.close()

        with pytest.raises(SystemExit):
            runner.run(come_and_go())
        runner.run(end())


def test_nothing_is_written_to_a_peer_that_its_hook_has_aborted(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(lambda peer, _: peer.abort(), on_close=closes) as server, client(server) as raw:
            # asyncio and uvloop warn of the sixth write to a transport that was aborted.
            raw.writer.write(
                frame(TEXT, b"x") + frame(PING) * 100 + frame(PING, b"x") * 100 + frame(TEXT, b"y")
            )
            await until(lambda: closes.seen)
            assert closes.seen == [(1, None, "aborted")]
            assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == []

    run(main())


def test_who_is_asked_to_come_in_when_on_handshake_aborts_the_server_does_not(run: Run) -> None:
    async def main() -> None:
        opened: list[Peer] = []
        server = serve(on_open=opened.append, on_handshake=lambda _: server.abort())
        async with server, connect(server) as raw:
            raw.writer.write(
                b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert await raw.end() == "reset"
        assert opened == []

    run(main())


def test_messages_that_wait_for_an_on_open_without_end_are_told_of_once(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def push(peer: Peer) -> None:
        while True:
            peer.send("tick")
            await asyncio.sleep(0.01)

    async def main() -> None:
        async with serve(on_open=push, open_timeout=0.2) as server, client(server) as raw:
            await raw.read()
            assert "wait" not in caplog.text  # nobody is kept waiting yet
            raw.frame(TEXT, b"secret")
            await until(lambda: "on_open" in caplog.text)
            raw.frame(TEXT, b"secret")
            await asyncio.sleep(0.5)

    run(main())
    [line] = [record for record in caplog.records if "on_open" in record.getMessage()]
    assert line.levelno == logging.WARNING
    assert line.getMessage().startswith(
        "<Peer 1 '/'>: 1 message waits for on_open, which has not ended after"
    )
    assert "secret" not in line.getMessage()


def test_messages_that_wait_for_an_on_message_without_end_are_told_of_and_slow_hooks_are_not(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        endless = asyncio.Event()
        done = 0

        async def hook(peer: Peer, message: Message) -> None:
            nonlocal done
            if message == "subscribe":
                await endless.wait()
            await asyncio.sleep(0.1)
            done += 1

        async with serve(hook, open_timeout=1) as server, client(server) as raw:
            for _ in range(12):
                raw.frame(TEXT, b"quick")
            await until(
                lambda: done == 12
            )  # for longer than open_timeout messages waited, but for many hooks
            assert "not ended" not in caplog.text
            raw.frame(TEXT, b"subscribe")
            raw.frame(TEXT, b"unsubscribe")
            await until(lambda: "for on_message, which has not ended" in caplog.text)

    run(main())
