"""Delays and throttles hold bytes for a time, in order, and make the sender feel it."""

import asyncio
import fcntl
import sys
import termios
import time
from asyncio.trsock import TransportSocket
from collections.abc import Awaitable

import pytest
from tests.testing.fault_proxy.stage import NOTICEABLE, stage
from tests.watch import PATIENCE, Run, until


async def seconds(awaitable: Awaitable[object]) -> float:
    start = time.monotonic()
    await awaitable
    return time.monotonic() - start


def test_a_delay_holds_every_byte_for_so_long_in_its_direction_only(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.delay(0.3, "to_server")
            client.send(b"up")
            assert await seconds(peer.receives(b"up")) > 0.28
            on.proxy.delay(5, "to_server")
            peer.send(b"down")
            assert await seconds(client.receives(b"down")) < 4

    run(main())


def test_a_proxy_says_whether_it_holds_something(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            assert not on.proxy.is_holding
            on.proxy.delay(NOTICEABLE)
            client.send(b"held")
            await until(lambda: on.proxy.is_holding)
            await peer.receives(b"held")
            assert not on.proxy.is_holding

    run(main())


def test_a_delay_does_not_narrow_the_stream(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, _ = await on.pair()
            on.proxy.delay(60)
            client.send(b"held")
            await until(lambda: on.proxy.is_holding)
            # More than the kernel buffers: it can leave only if the proxy reads on.
            client.send(bytes(64 * 1024 * 1024))
            await asyncio.wait_for(client.writer.drain(), PATIENCE)

    run(main())


def test_bytes_do_not_overtake_each_other_when_a_delay_ends(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.delay(NOTICEABLE)
            client.send(b"first ")
            await until(lambda: on.proxy.is_holding)
            on.proxy.delay(0)
            client.send(b"second")
            await peer.receives(b"first second")

    run(main())


def test_freezing_holds_bytes_whose_delay_is_over(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.delay(NOTICEABLE)
            client.send(b"late")
            await until(lambda: on.proxy.is_holding)
            on.proxy.freeze()
            await asyncio.sleep(NOTICEABLE)
            await peer.is_silent()
            on.proxy.thaw()
            await peer.receives(b"late")

    run(main())


def test_a_throttle_limits_the_bytes_per_second(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.throttle(40_000)
            client.send(bytes(20_000))
            first = await seconds(peer.receives(bytes(1)))
            rest = await seconds(peer.receives(bytes(19_999)))
            assert 0.4 < rest < 5
            assert first < rest

    run(main())


def test_a_throttle_makes_the_sender_wait(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, _ = await on.pair()
            on.proxy.throttle(1000, "to_server")
            client.send(bytes(64 * 1024 * 1024))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.writer.drain(), 0.5)
            assert 0 < on.proxy.bytes_to_server < 10_000

    run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count what waits in a socket otherwise")
def test_a_throttled_sender_is_acknowledged_little_that_has_not_passed(run: Run) -> None:
    def waiting(sock: TransportSocket) -> int:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)

    async def main() -> None:
        async with stage() as on:
            for direction in ("to_server", "to_client"):
                client, peer = await on.pair()
                on.proxy.throttle(100_000)
                sender, receiver = (client, peer) if direction == "to_server" else (peer, client)
                sender.send(bytes(300_000))
                await receiver.receives(bytes(100_000))
                assert max(map(waiting, on.proxy.sockets)) < 100_000

    run(main())


def test_bytes_that_a_throttle_holds_flow_as_soon_as_it_ends(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.throttle(1)
            client.send(bytes(1000))
            await until(lambda: on.proxy.bytes_to_server == 1)
            on.proxy.throttle(None)
            await peer.receives(bytes(1000))

    run(main())
