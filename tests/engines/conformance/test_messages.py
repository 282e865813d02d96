"""Messages and heartbeats are delivered whole, in order, in batches, and to the function set for them."""

import asyncio
import os

import pytest
from tests.engines import peers
from tests.engines.peers import Peer, close_frame, frame, port_of, serve_echo, ws_server
from tests.engines.recorder import MAX_SIZE, Recorder, opened, warmed_up
from tests.watch import Run, until

from websocket_heartbeat.engines.base import Closure, Engine, OpenRequest
from websocket_heartbeat.errors import MessageTooBig
from websocket_heartbeat.events import Message


def test_fragments_are_assembled_with_control_frames_between(engine: Engine, run: Run) -> None:
    text = "gr\u00fc\u00dfe".encode()

    async def handler(peer: Peer) -> None:
        # Cut within a character, which only the whole message shows to be right.
        peer.write(frame(peers.TEXT, text[:3], fin=False) + frame(peers.PING, b"1"))
        assert (await peer.read_frame()).payload == b"1"
        peer.write(frame(peers.CONTINUATION, b"", fin=False) + frame(peers.PONG))
        peer.write(frame(peers.CONTINUATION, text[3:]))
        peer.write(frame(peers.BINARY, b"a", fin=False) + frame(peers.CONTINUATION, b"b"))
        peer.write(frame(peers.TEXT, b"", fin=False) + frame(peers.CONTINUATION, b""))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await recorder.until(lambda: len(recorder.messages) == 3)
            assert recorder.messages == ["gr\u00fc\u00dfe", b"ab", ""]
            assert recorder.pongs == 1
            link.abort()

    run(main())


def test_large_messages_pass_both_ways(engine: Engine, run: Run) -> None:
    async def main() -> None:
        async with serve_echo() as server:
            link, recorder = await opened(engine, f"ws://127.0.0.1:{port_of(server)}/", max_size=1 << 22)
            data = os.urandom(1 << 22)
            link.send(data)
            await recorder.until(lambda: recorder.messages)
            assert recorder.messages == [data]
            link.close(1000, "")
            await recorder.closure()

    run(main())


def test_a_message_of_exactly_max_size_is_accepted(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(frame(peers.BINARY, b"x" * 1000))
        peer.write(frame(peers.BINARY, b"x" * 400, fin=False) + frame(peers.CONTINUATION, b"x" * 600))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url(), max_size=1000)
            await recorder.until(lambda: len(recorder.messages) == 2)
            assert [len(message) for message in recorder.messages] == [1000, 1000]
            link.abort()

    run(main())


TOO_BIG = {
    "one frame": frame(peers.TEXT, b"x" * 1001),
    "fragments": frame(peers.TEXT, b"x" * 600, fin=False) + frame(peers.CONTINUATION, b"x" * 401),
    "endless fragments": frame(peers.TEXT, b"x" * 600, fin=False)
    + frame(peers.CONTINUATION, b"x" * 401, fin=False),
    "a header that announces it": frame(peers.BINARY, b"x" * 200_000)[:10],
}


@pytest.mark.parametrize("data", TOO_BIG.values(), ids=TOO_BIG.keys())
def test_a_message_above_max_size_ends_the_link(engine: Engine, run: Run, data: bytes) -> None:
    closes: list[int | None] = []

    async def handler(peer: Peer) -> None:
        await peers.warm_up(peer)
        peer.write(frame(peers.TEXT, b"before") + data)
        closes.append((await peer.read_frame()).close_code)
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url(), max_size=1000)
            await warmed_up(link, recorder)
            closure = await recorder.closure()
            assert isinstance(closure.error, MessageTooBig)
            assert "max_size=1000" in str(closure.error)
            assert recorder.messages == ["first", "before"]
            await until(lambda: closes)
            assert closes == [1009]

    run(main())


def test_pings_are_answered_with_their_payload(engine: Engine, run: Run) -> None:
    answers: list[bytes] = []

    async def handler(peer: Peer) -> None:
        for payload in (b"", b"hello", b"x" * 125):
            peer.write(frame(peers.PING, payload))
            pong = await peer.read_frame()
            assert pong.opcode == peers.PONG
            assert pong.masked
            answers.append(pong.payload)
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await until(lambda: len(answers) == 3)
            assert answers == [b"", b"hello", b"x" * 125]
            assert recorder.pongs == 0
            assert recorder.messages == []
            link.abort()

    run(main())


def test_our_pings_reach_the_server_and_its_pongs_reach_us(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        for _ in range(2):
            ping = await peer.read_frame()
            assert ping.opcode == peers.PING
            assert ping.masked
            peer.write(frame(peers.PONG, ping.payload))
        peer.write(frame(peers.PONG, b"unasked"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            link.ping()
            await recorder.until(lambda: recorder.pongs == 1)
            link.ping()
            await recorder.until(lambda: recorder.pongs == 3)
            link.abort()

    run(main())


def test_an_engine_sends_nothing_by_itself(engine: Engine, run: Run) -> None:
    async def main() -> None:
        received: list[bytes] = []

        async def handler(peer: Peer) -> None:
            received.append(await peer.reader.read(1))

        async with ws_server(handler) as server:
            link, _ = await opened(engine, server.url())
            await asyncio.sleep(0.3)
            assert received == []
            link.abort()

    run(main())


BATCHES = {
    "one message": (frame(peers.TEXT, b"a"), ["a", "batch"]),
    "two": (frame(peers.TEXT, b"a") + frame(peers.TEXT, b"b"), ["a", "b", "batch"]),
    "ends with a ping": (frame(peers.TEXT, b"a") + frame(peers.PING), ["a", "batch"]),
    "ends with a pong": (frame(peers.TEXT, b"a") + frame(peers.PONG), ["a", "pong", "batch"]),
    "ends with a fragment": (frame(peers.TEXT, b"a") + frame(peers.TEXT, b"b", fin=False), ["a", "batch"]),
    "holds no whole frame": (frame(peers.TEXT, b"bcd")[:3], []),
    "ends within a frame": (frame(peers.TEXT, b"a") + frame(peers.TEXT, b"bcd")[:3], ["a", "batch"]),
    "ends with a close": (
        frame(peers.TEXT, b"a") + close_frame(1000),
        ["a", "batch", Closure(1000, "")],
    ),
    "ends with a bad frame": (frame(peers.TEXT, b"a") + frame(3), ["a", "batch"]),
    "ends with reserved bits": (frame(peers.TEXT, b"a") + frame(peers.TEXT, rsv=2), ["a", "batch"]),
}


@pytest.mark.parametrize(("data", "log"), BATCHES.values(), ids=BATCHES.keys())
def test_a_batch_ends_exactly_once_after_its_last_message(
    engine: Engine, run: Run, data: bytes, log: list[object]
) -> None:
    async def handler(peer: Peer) -> None:
        await peers.warm_up(peer)
        peer.write(data)
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            link, recorder = await opened(engine, server.url())
            await warmed_up(link, recorder)
            await recorder.until(lambda: len(recorder.log) >= len(log))
            # What would come too much would come in the next turns.
            for _ in range(20):
                await asyncio.sleep(0)
            end = [entry for entry in recorder.log[len(log) :] if not isinstance(entry, Closure)]
            assert recorder.log[: len(log)] == log
            assert end == []
            link.abort()

    run(main())


@pytest.mark.parametrize("mishap", [ValueError(), asyncio.CancelledError()], ids=lambda it: type(it).__name__)
def test_a_deliver_that_raises_is_reported_and_the_link_goes_on(
    engine: Engine, run: Run, mishap: BaseException
) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(
            frame(peers.TEXT, b"bad") + frame(peers.TEXT, b"b", fin=False) + frame(peers.CONTINUATION, b"ad")
        )
        peer.write(frame(peers.TEXT, b"good"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            recorder = Recorder()

            def picky(message: Message) -> None:
                if message == "bad":
                    raise mishap
                recorder.deliver(message)

            recorder.on_opened = lambda link: setattr(link, "deliver", picky)
            await engine.open(OpenRequest(server.url(), max_size=MAX_SIZE), recorder)
            await recorder.until(lambda: recorder.messages)
            assert recorder.messages == ["good"]
            assert recorder.failures == [mishap, mishap]
            assert recorder.link is not None
            recorder.link.abort()

    run(main())


def test_what_a_deliver_returns_is_passed_on(engine: Engine, run: Run) -> None:
    async def handler(peer: Peer) -> None:
        peer.write(frame(peers.TEXT, b"a") + frame(peers.BINARY, b"b") + frame(peers.TEXT, b""))
        peer.write(frame(peers.TEXT, b"c", fin=False) + frame(peers.CONTINUATION, b"d"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(handler) as server:
            recorder = Recorder()
            recorder.on_opened = lambda link: setattr(link, "deliver", lambda message: message or None)
            await engine.open(OpenRequest(server.url(), max_size=MAX_SIZE), recorder)
            await recorder.until(lambda: len(recorder.results) == 3)
            assert recorder.results == ["a", b"b", "cd"]
            assert recorder.link is not None
            recorder.link.abort()

    run(main())


@pytest.mark.parametrize("path", ["/whole", "/fragments"])
@pytest.mark.parametrize("told", ["end", ValueError()], ids=["returns", "raises"])
def test_what_a_deliver_that_ends_the_link_comes_to_is_told_and_nothing_else(
    path: str, told: object, engine: Engine, run: Run
) -> None:
    async def handler(peer: Peer) -> None:
        whole = frame(peers.TEXT, b"x") + frame(peers.TEXT, b"too late") + frame(peers.PONG)
        fragments = frame(peers.TEXT, b"x", fin=False) + frame(peers.CONTINUATION, b"x") + whole
        peer.write(fragments if "fragments" in peer.request else whole)
        await peer.gone()

    async def main() -> None:
        recorder = Recorder()

        def end(message: Message) -> object:
            assert recorder.link is not None
            recorder.link.abort()
            if isinstance(told, Exception):
                raise told
            return told

        recorder.on_opened = lambda link: setattr(link, "deliver", end)
        async with ws_server(handler) as server:
            await engine.open(OpenRequest(server.url(path), max_size=MAX_SIZE), recorder)
            await recorder.until(lambda: recorder.log)
            for _ in range(20):
                await asyncio.sleep(0)
            assert recorder.log == [told]

    run(main())


def test_deliver_may_be_changed_at_any_time(engine: Engine, run: Run) -> None:
    async def main() -> None:
        async with serve_echo() as server:
            link, recorder = await opened(engine, f"ws://127.0.0.1:{port_of(server)}/")
            link.send("one")
            await recorder.until(lambda: recorder.messages)
            others: list[Message] = []
            link.deliver = others.append
            link.send("two")
            await until(lambda: others)
            assert (recorder.messages, others) == (["one"], ["two"])
            link.close(1000, "")
            await recorder.closure()

    run(main())
