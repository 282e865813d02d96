"""What every message and every heartbeat costs, counted in Python calls: time is too noisy to guard it."""

import asyncio
import base64
import fcntl
import hashlib
import sys
import threading
from asyncio.trsock import TransportSocket
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from tests.engines.peers import BINARY, frame, quiet, ws_server
from tests.watch import turns, until

import websocket_heartbeat
from websocket_heartbeat import Connection, Heartbeat, Message, connect
from websocket_heartbeat.engines.memory import MemoryEngine
from websocket_heartbeat.engines.wire_client import ClientLink
from websocket_heartbeat.server import Hub, serve
from websocket_heartbeat.system.kernel import TELLS
from websocket_heartbeat.testing.clock import SimulatedClock

PACKAGE = str(Path(websocket_heartbeat.__file__).parent)
FRAME = b"\x81\x20" + b"x" * 32
CLOSE = b"\x88"
"""The first byte of a close frame."""


class Counted:
    """Counts the calls of Python functions of the package, in this thread."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._ours: dict[CodeType, bool] = {}

    def __enter__(self) -> "Counted":
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            code = frame.f_code
            is_ours = self._ours.get(code)
            if is_ours is None:
                is_ours = self._ours[code] = code.co_filename.startswith(PACKAGE)
            if is_ours:
                self.calls[code.co_qualname] += 1

    def per(self, count: int) -> float:
        return sum(self.calls.values()) / count

    def __repr__(self) -> str:
        return repr(self.calls.most_common(12))


@pytest.fixture
def url() -> Iterator[str]:
    """A server in a thread of its own, which the count does not see: /N sends N texts of 32 bytes."""
    loop = asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split(b" ")[1][1:]
        headers = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:] if b": " in line)
        names = {name.lower(): value for name, value in headers.items()}
        digest = hashlib.sha1(names[b"sec-websocket-key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        writer.write(FRAME * int(path))
        while (data := await reader.read(1024)) and data[:1] != CLOSE:
            pass
        writer.close()

    async def main(ready: Callable[[int], None]) -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        ready(server.sockets[0].getsockname()[1])
        await stop.wait()
        server.close()

    stop = asyncio.Event()
    port: list[int] = []
    listening = threading.Event()

    def ready(number: int) -> None:
        port.append(number)
        listening.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(ready),))
    thread.start()
    listening.wait()
    try:
        yield f"ws://127.0.0.1:{port[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


MESSAGES = 20_000


def test_a_message_to_a_hook_takes_about_one_call(url: str) -> None:
    async def main() -> None:
        done = asyncio.get_running_loop().create_future()
        left = MESSAGES

        def take(message: Message) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                done.set_result(None)

        connection: Connection = connect(f"{url}/{MESSAGES}", proxy=None)
        connection.on_message = take
        with Counted() as counted:
            async with connection:
                await done
        # The guard around the hook; the hook itself is not ours. The rest is what a read costs, and the
        # frame at the edge of each.
        assert counted.per(MESSAGES) <= 1.3, counted

    run(main())


def test_a_message_to_an_iteration_takes_about_one_call(url: str) -> None:
    async def main() -> None:
        left = MESSAGES
        with Counted() as counted:
            async with connect(f"{url}/{MESSAGES}", proxy=None) as connection:
                async for _ in connection:
                    left -= 1
                    if left == 0:
                        break
        assert counted.per(MESSAGES) <= 1.3, counted

    run(main())


def test_messages_of_64_kib_come_several_in_a_read(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    take = ClientLink.buffer_updated

    def counted(self: ClientLink, nbytes: int) -> None:
        nonlocal reads
        reads += 1
        take(self, nbytes)

    async def main() -> None:
        messages = [bytes([number]) * 65_536 for number in range(100)]
        flood = b"".join(frame(BINARY, message) for message in messages)
        async with (
            ws_server(quiet, first=flood) as server,
            connect(server.url(), proxy=None) as connection,
        ):
            assert [await connection.recv() for _ in messages] == messages

    monkeypatch.setattr(ClientLink, "buffer_updated", counted)
    run(main())
    # A read takes 256 KiB, and what is left of the message at its end takes another.
    assert reads < 0.8 * 100


@pytest.mark.skipif(not TELLS, reason="the kernel has no TCP_INFO")
def test_a_heartbeat_asks_the_kernel_once(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = 0

    def counted(ask: Callable[..., Any]) -> Callable[..., Any]:
        def asks(*arguments: Any) -> Any:
            nonlocal questions
            questions += 1
            return ask(*arguments)

        return asks

    async def main() -> None:
        nonlocal questions
        heartbeat = Heartbeat(interval=0.2, timeout=30)
        async with (
            serve(lambda peer, message: None, idle_timeout=None) as server,
            connect(f"ws://127.0.0.1:{server.port}", heartbeat=heartbeat, proxy=None) as connection,
        ):
            await connection.wait_open()
            before, questions = connection.stats.pings, 0
            await asyncio.sleep(2)
            asked, pings = questions, connection.stats.pings - before
            assert 2 <= pings <= 10
            # One more for a beat that has begun.
            assert asked <= pings + 1

    for owner, name in ((TransportSocket, "getsockopt"), (fcntl, "ioctl")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    run(main())


def test_a_heartbeat_takes_few_calls() -> None:
    async def main() -> None:
        # On the simulated clock and without sockets: the same count every time.
        async with connect("ws://peer/", engine=MemoryEngine()) as connection:
            await connection.wait_open()
            with Counted() as counted:
                await asyncio.sleep(3600)
        pings = counted.calls["MemoryLink.ping"]
        assert pings == pytest.approx(3600 / 15, rel=0.05)
        # What the engine and the clocks do is not meant: others stand there in real life, and the clock of
        # the alarms looks for a suspend every 2 s, once for all connections of the loop.
        for name in list(counted.calls):
            clocks = ("_Simulated", "Simulated", "_Selector", "_AlarmClock._", "check_", "at_least_zero")
            if name.startswith(("Memory", *clocks)):
                del counted.calls[name]
        assert counted.calls["Alarm.ring"] == pytest.approx(pings, abs=1)
        assert counted.per(pings) <= 69, (pings, counted)

    SimulatedClock().run(main())


@pytest.mark.parametrize(("at_once", "most"), [(1, 8), (100, 5)])
def test_a_message_to_a_room_takes_a_few_calls_a_member_and_fewer_where_others_follow_it(
    at_once: int, most: int
) -> None:
    async def main() -> None:
        hub = Hub(on_open=lambda peer: peer.join("room"), idle_timeout=None)
        async with serve(hub=hub) as server, AsyncExitStack() as stack:
            for _ in range(20):
                await stack.enter_async_context(connect(server.url()))
            await until(lambda: len(hub.room("room")) == 20)
            await turns()
            with Counted() as counted:
                for _ in range(at_once):
                    hub.room("room").send("x" * 32)
                await asyncio.sleep(0)  # all is written, and nothing is received yet
            assert counted.per(20 * at_once) < most, counted

    run(main())
