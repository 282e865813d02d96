"""A back end drops silent peers, and nobody else."""

import asyncio
import logging
import os
import socket
import sys
import threading
import time
from typing import Any

import pytest
from tests.certificates import tls_pair
from tests.hostile.memory import Peak
from tests.server.raw import PING, PONG, TEXT, Closes, client, frame
from tests.watch import Run, until

from websocket_heartbeat.engines.memory import MemoryPeer
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Peer, serve
from websocket_heartbeat.server.admission import Request
from websocket_heartbeat.server.hooks import Hooks
from websocket_heartbeat.server.places import Limits
from websocket_heartbeat.server.policy import Policy
from websocket_heartbeat.server.roster import Commons, Roster


@pytest.mark.usefixtures("kernel")
def test_a_silent_peer_is_dropped_in_time_though_it_keeps_its_socket_open(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(on_close=closes, idle_timeout=0.3) as server, client(server) as raw:
            begun = time.monotonic()
            assert await raw.end() == "reset"
            assert 0.25 < time.monotonic() - begun < 5
            await until(lambda: closes.seen)
        assert closes.seen == [(1, None, "silent for 0.3 s")]

    run(main())


@pytest.mark.usefixtures("kernel")
def test_any_byte_is_life_be_it_part_of_a_frame(run: Run) -> None:
    async def main() -> None:
        async with serve(idle_timeout=0.5) as server, client(server) as raw:
            whole = frame(TEXT, b"ab")
            for start in range(0, 8, 2):
                raw.writer.write(whole[start : start + 2])
                await asyncio.sleep(0.12)
            assert await raw.read() == (TEXT, b"ab")
            for _ in range(2):
                raw.frame(PONG)  # unsolicited, as RFC 6455, section 5.5.3, allows
                await asyncio.sleep(0.12)
            assert len(server.connections) == 1

    run(main())


@pytest.mark.usefixtures("kernel")
def test_a_blocked_loop_drops_nobody_who_spoke_meanwhile(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(on_close=closes, idle_timeout=0.5) as server, client(server) as raw:
            native = socket.socket(fileno=os.dup(raw.writer.get_extra_info("socket").fileno()))
            stopped = threading.Event()

            def speak() -> None:
                while not stopped.wait(0.1):
                    native.send(frame(PONG))

            speaker = threading.Thread(target=speak)
            speaker.start()
            try:
                time.sleep(0.65)  # noqa: ASYNC251  # what is tested
                for _ in range(15):
                    await asyncio.sleep(0.01)
                assert closes.seen == []
            finally:
                stopped.set()
                speaker.join()
                native.close()

    run(main())


def test_a_loop_that_is_always_slow_still_drops_the_silent(run: Run) -> None:
    async def main() -> None:
        async with serve(idle_timeout=0.3) as server, client(server):
            begun = time.monotonic()
            while server.connections:
                assert time.monotonic() - begun < 10
                time.sleep(0.15)  # noqa: ASYNC251  # what is tested
                await asyncio.sleep(0)

    run(main())


@pytest.mark.usefixtures("kernel")
def test_a_peer_that_we_do_not_read_from_is_not_held_to_be_silent(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        release = asyncio.Event()

        async def slow(peer: Peer, message: Message) -> None:
            await release.wait()

        async with serve(slow, on_close=closes, idle_timeout=0.3) as server, client(server) as raw:
            (peer,) = server.connections
            for _ in range(100):
                raw.frame(TEXT, b"x")
            await until(lambda: peer.paused)
            await asyncio.sleep(0.5)
            assert closes.seen == []
            # When reading begins anew, the peer has the whole time to speak again.
            released = time.monotonic()
            release.set()
            await until(lambda: closes.seen)
            assert time.monotonic() - released > 0.25
        assert closes.seen == [(1, None, "silent for 0.3 s")]

    run(main())


class Timers:
    """Counts the timers that are set for a time of the running loop's clock, as those for silence are."""

    def __init__(self) -> None:
        self.count = 0
        loop: Any = asyncio.get_running_loop()
        call_at = loop.call_at

        def counted(*args: Any, **kwargs: Any) -> asyncio.TimerHandle:
            caller = sys._getframe(1).f_globals["__name__"]
            if not caller.startswith("asyncio"):  # whose call_later calls this too
                self.count += 1
            handle: asyncio.TimerHandle = call_at(*args, **kwargs)
            return handle

        loop.call_at = counted


def test_nobody_is_dropped_when_there_is_no_limit(run: Run) -> None:
    async def main() -> None:
        timers = Timers()
        async with serve(idle_timeout=None) as server, client(server) as raw:
            raw.frame(PING)
            assert await raw.read() == (PONG, b"")
            assert timers.count == 0

    run(main())


def test_where_there_is_no_limit_the_system_looks_for_peers_whose_machine_is_gone(run: Run) -> None:
    async def main() -> None:
        async with serve(idle_timeout=None) as server, client(server):
            (peer,) = server.connections
            beneath = peer._handler.link.socket
            assert beneath is not None
            assert int.from_bytes(
                beneath.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 4), sys.byteorder
            )

    run(main())


def test_one_timer_serves_all_peers_and_messages_do_not_touch_it(run: Run) -> None:
    async def main() -> None:
        timers = Timers()
        async with serve(idle_timeout=50) as server, client(server) as raw, client(server), client(server):
            for _ in range(100):
                raw.frame(PING)
                assert await raw.read() == (PONG, b"")
            assert timers.count == 1

    run(main())


def test_the_kernel_is_asked_beneath_tls_too(run: Run) -> None:
    async def main() -> None:
        there, here = tls_pair()
        closes = Closes()
        async with serve(on_close=closes, idle_timeout=0.5, ssl=there) as server:
            assert server.url().startswith("wss://127.0.0.1:")
            async with client(server, tls=here) as raw:
                raw.frame(PING)
                time.sleep(0.7)  # noqa: ASYNC251  # the ping lies in the kernel meanwhile
                assert await raw.read() == (PONG, b"")
                assert closes.seen == []
                assert await raw.end() == "reset"
                await until(lambda: closes.seen)
        assert closes.seen == [(1, None, "silent for 0.5 s")]

    run(main())


def test_peers_that_have_gone_are_not_remembered_until_they_would_have_been_judged(run_asyncio: Run) -> None:
    async def main() -> None:
        policy = Policy(
            None, idle_timeout=3600, open_timeout=10, close_timeout=5, write_limit=2**20, dismissal=None
        )
        roster = Roster(Commons(policy, Limits()))
        roster.enter()
        hooks = Hooks(on_message=print)

        async def come_and_go(count: int) -> None:
            for _ in range(count):
                events = roster.admit(Request("/"), hooks, None, None)
                peer = MemoryPeer(events)
                events.opened(peer.link)
                peer.close()
                await asyncio.sleep(0)

        await come_and_go(10)
        with Peak() as peak:
            await come_and_go(20_000)
        roster.abort()
        assert peak.python < 500_000

    run_asyncio(main())


def test_a_filter_of_the_log_that_raises_keeps_no_silent_peer_alive() -> None:
    async def main() -> None:
        raised: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        async with serve(idle_timeout=0.2) as server, client(server), client(server):
            assert len(server.connections) == 2
            await until(lambda: not server.connections)
        assert len(raised) == 2

    def broken(record: logging.LogRecord) -> bool:
        raise ZeroDivisionError

    logger = logging.getLogger("websocket_heartbeat.server")
    logger.addFilter(broken)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        asyncio.run(main())
    finally:
        logger.removeFilter(broken)
        logger.setLevel(level)
