"""The fault proxy does to real sockets what it says, and leaves nothing behind."""

import asyncio
import contextlib
import gc
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from websocket_heartbeat.testing import FaultProxy

LONG = 10.0
"""Seconds after which something that must happen has not happened."""

SILENCE = 0.15
"""Seconds in which something that must not happen would have happened."""

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return asyncio.run if request.param == "asyncio" else uvloop.run


class End:
    """One end of a TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receives(self, data: bytes) -> None:
        """Wait for exactly this."""
        assert await asyncio.wait_for(self.reader.readexactly(len(data)), LONG) == data

    async def is_silent(self) -> None:
        """Nothing arrives: no byte, no end, no reset."""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.reader.read(1), SILENCE)

    async def ends(self) -> None:
        """A clean end of the stream arrives."""
        assert await asyncio.wait_for(self.reader.read(), LONG) == b""

    async def is_reset(self) -> None:
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(self.reader.read(), LONG)

    def end(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Server:
    """Accepts connections and hands the ends to the test."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[End] = asyncio.Queue()
        self.port = 0

    async def next(self) -> End:
        return await asyncio.wait_for(self.arrived.get(), LONG)


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[Server]:
    self = Server()
    ends = []

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(End(reader, writer))
        self.arrived.put_nowait(ends[-1])

    listener = await asyncio.start_server(take, "127.0.0.1", 0)
    self.port = listener.sockets[0].getsockname()[1]
    try:
        yield self
    finally:
        listener.close()
        for end in ends:
            end.writer.transport.abort()
        # Let the aborted sockets close before the loop does.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


class Stage:
    """A server, a proxy before it, and the clients of a test."""

    def __init__(self, server: Server, proxy: FaultProxy) -> None:
        self.server = server
        self.proxy = proxy
        self.clients: list[End] = []

    async def client(self) -> End:
        """Connect to the proxy, wherever that leads."""
        end = End(*await asyncio.wait_for(asyncio.open_connection(self.proxy.host, self.proxy.port), LONG))
        self.clients.append(end)
        return end

    async def pair(self) -> tuple[End, End]:
        """Return the client's and the server's end of a new connection."""
        client = await self.client()
        return client, await self.server.next()


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    async with server() as behind, FaultProxy("127.0.0.1", behind.port) as proxy:
        self = Stage(behind, proxy)
        try:
            yield self
        finally:
            for client in self.clients:
                client.writer.transport.abort()


async def until(condition: Callable[[], object], pause: float = 0.005) -> None:
    async with asyncio.timeout(LONG):
        while not condition():  # noqa: ASYNC110 - anything may be waited for
            await asyncio.sleep(pause)


def events(proxy: FaultProxy) -> list[str]:
    return [entry.event for entry in proxy.log]


def peek_held(proxy: FaultProxy) -> bool:
    return any(connection.to_server.held or connection.to_client.held for connection in proxy._connections)


# Without faults


def test_bytes_pass_in_both_directions_and_are_counted(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            client.send(b"question")
            await peer.receives(b"question")
            peer.send(b"the answer")
            await client.receives(b"the answer")
            assert (on.proxy.bytes_to_server, on.proxy.bytes_to_client) == (8, 10)
            assert (on.proxy.connections_accepted, on.proxy.connections_open) == (1, 1)

    run(main())


def test_a_large_transfer_arrives_whole_and_in_order(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            data = b"".join(number.to_bytes(4, "big") for number in range(1_000_000))
            client.send(data)
            await peer.receives(data)

    run(main())


def test_a_client_that_does_not_read_makes_the_server_wait(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            data = bytes(64 * 1024 * 1024)
            peer.send(data)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(peer.writer.drain(), 0.5)
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await client.receives(data)

    run(main())


def test_a_half_closed_stream_still_carries_the_answer(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            client.send(b"question")
            client.end()
            assert await asyncio.wait_for(peer.reader.read(), LONG) == b"question"
            peer.send(b"answer")
            peer.end()
            assert await asyncio.wait_for(client.reader.read(), LONG) == b"answer"
            await until(lambda: on.proxy.connections_open == 0)

    run(main())


def test_a_reset_by_the_server_reaches_the_client_as_a_reset(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            peer.reset()
            await client.is_reset()
            await until(lambda: on.proxy.connections_open == 0)

    run(main())


def test_a_reset_by_the_client_reaches_the_server_as_a_reset(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            client.reset()
            await peer.is_reset()
            await until(lambda: on.proxy.connections_open == 0)

    run(main())


def test_a_client_is_reset_while_the_server_cannot_be_reached(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            async with FaultProxy("127.0.0.1", nobody.getsockname()[1]) as proxy:
                client = End(*await asyncio.open_connection(proxy.host, proxy.port))
                await client.is_reset()
                client.writer.close()
                await until(lambda: proxy.connections_open == 0)
                assert events(proxy) == ["accepted", "unreachable", "closed"]

    run(main())


def test_a_client_is_reset_if_the_name_of_the_server_cannot_be_looked_up(run: Run) -> None:
    async def main() -> None:
        async with FaultProxy("label" * 20 + ".example", 80) as proxy:
            client = End(*await asyncio.open_connection(proxy.host, proxy.port))
            await client.is_reset()
            client.writer.close()
            await until(lambda: proxy.connections_open == 0)
            assert "unreachable" in events(proxy)

    run(main())


def test_every_address_of_the_server_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with server() as behind:
            with socket.socket() as nobody:
                nobody.bind(("127.0.0.1", 0))
                addresses = [nobody.getsockname(), ("127.0.0.1", behind.port)]

                async def getaddrinfo(*_: object, **__: object) -> list[Any]:
                    return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]

                monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
                async with FaultProxy("two.example", 80) as proxy:
                    sock = socket.create_connection((proxy.host, proxy.port))
                    client = End(*await asyncio.open_connection(sock=sock))
                    client.send(b"hello")
                    await (await behind.next()).receives(b"hello")
                    client.writer.close()
                    addresses.clear()
                    sock = socket.create_connection((proxy.host, proxy.port))
                    client = End(*await asyncio.open_connection(sock=sock))
                    await client.is_reset()
                    client.writer.close()
                    assert "connection 2: two.example has no address" in [entry.detail for entry in proxy.log]

    asyncio.run(main())


def test_small_writes_are_not_collected_on_either_socket(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            await on.pair()
            (connection,) = on.proxy._connections
            for side in (connection.client, connection.server):
                assert side.transport is not None
                sock = side.transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    run(main())


# Freezing


def test_a_frozen_proxy_holds_bytes_and_delivers_them_after_thaw(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.freeze()
            client.send(b"up")
            peer.send(b"down")
            await asyncio.gather(client.is_silent(), peer.is_silent())
            on.proxy.thaw()
            await peer.receives(b"up")
            await client.receives(b"down")

    run(main())


def test_a_proxy_frozen_toward_the_client_still_carries_bytes_to_the_server(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.freeze("to_client")
            client.send(b"up")
            await peer.receives(b"up")
            peer.send(b"down")
            await client.is_silent()
            on.proxy.thaw("to_client")
            await client.receives(b"down")

    run(main())


def test_a_proxy_frozen_toward_the_server_still_carries_bytes_to_the_client(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.freeze("to_server")
            peer.send(b"down")
            await client.receives(b"down")
            client.send(b"up")
            await peer.is_silent()
            on.proxy.thaw("to_server")
            await peer.receives(b"up")

    run(main())


def test_thawing_one_direction_leaves_the_other_frozen(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.freeze()
            on.proxy.thaw("to_server")
            client.send(b"up")
            await peer.receives(b"up")
            peer.send(b"down")
            await client.is_silent()

    run(main())


def test_a_frozen_proxy_stops_reading_so_that_the_sender_feels_backpressure(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.freeze()
            data = bytes(64 * 1024 * 1024)
            client.send(data)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.writer.drain(), 0.5)
            assert on.proxy.bytes_to_server == 0
            on.proxy.thaw()
            await peer.receives(data)

    run(main())


def test_a_proxy_frozen_in_the_middle_of_a_transfer_stops_it_there(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            data = bytes(64 * 1024 * 1024)
            peer.send(data)
            await until(lambda: on.proxy.bytes_to_client > 0)
            on.proxy.freeze()
            so_far = on.proxy.bytes_to_client
            reading = asyncio.ensure_future(client.receives(data))
            await asyncio.sleep(SILENCE)
            assert on.proxy.bytes_to_client == so_far < len(data)
            on.proxy.thaw()
            await reading

    run(main())


def test_a_frozen_proxy_lets_clients_connect_but_the_server_sees_them_after_thaw(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            on.proxy.freeze()
            client = await on.client()
            client.send(b"hello")
            await client.is_silent()
            assert on.server.arrived.empty()
            on.proxy.thaw()
            await (await on.server.next()).receives(b"hello")

    run(main())


def test_a_frozen_proxy_hides_the_end_of_a_stream_until_thaw(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.freeze()
            peer.end()
            await client.is_silent()
            on.proxy.thaw()
            await client.ends()

    run(main())


def test_a_reset_that_is_known_already_does_not_pass_a_frozen_direction(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.delay(SILENCE, "to_client")
            peer.reset()
            await until(lambda: peek_held(on.proxy))
            on.proxy.freeze("to_client")
            await client.is_silent()
            await client.is_silent()
            on.proxy.thaw()
            on.proxy.freeze()
            await client.is_reset()

    run(main())


# Breaking


def test_reset_breaks_every_connection_on_both_sides(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            first, first_peer = await on.pair()
            second, second_peer = await on.pair()
            on.proxy.reset()
            await asyncio.gather(*(end.is_reset() for end in (first, first_peer, second, second_peer)))
            await until(lambda: on.proxy.connections_open == 0)
            assert events(on.proxy)[-3:] == ["reset", "closed", "closed"]

    run(main())


def test_reset_breaks_frozen_connections_and_those_that_hang(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.hang()
            hanging = await on.client()
            on.proxy.freeze()
            await until(lambda: on.proxy.connections_accepted == 2)
            on.proxy.reset()
            await asyncio.gather(*(end.is_reset() for end in (client, peer, hanging)))

    run(main())


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("fault", ["reset", "disconnect"])
def test_a_connection_of_a_moment_ago_is_broken_like_every_other(run: Run, fault: str, turns: int) -> None:
    async def main() -> None:
        async with stage() as on:
            # Without a turn of the loop the connection waits in the kernel, and the proxy has not seen it.
            sock = socket.create_connection((on.proxy.host, on.proxy.port))
            for _ in range(turns):
                await asyncio.sleep(0)
            getattr(on.proxy, fault)()
            client = End(*await asyncio.open_connection(sock=sock))
            on.clients.append(client)
            await (client.is_reset() if fault == "reset" else client.ends())
            client.writer.close()
            while not on.server.arrived.empty():
                on.server.arrived.get_nowait().writer.close()
            await until(lambda: on.proxy.connections_open == 0)

    run(main())


def test_a_connection_of_a_moment_ago_outlives_a_refusal(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            sock = socket.create_connection((on.proxy.host, on.proxy.port))
            on.proxy.refuse()
            client = End(*await asyncio.open_connection(sock=sock))
            on.clients.append(client)
            client.send(b"still here")
            await (await on.server.next()).receives(b"still here")

    run(main())


def test_disconnect_ends_every_stream_cleanly(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.disconnect()
            await asyncio.gather(client.ends(), peer.ends())
            client.end()
            peer.end()
            await until(lambda: on.proxy.connections_open == 0)

    run(main())


def test_disconnect_is_clean_even_if_unread_bytes_lie_in_the_proxy(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.freeze()
            client.send(b"unread")
            peer.send(b"unread")
            await asyncio.gather(client.is_silent(), peer.is_silent())
            on.proxy.disconnect()
            await asyncio.gather(client.ends(), peer.ends())

    run(main())


def test_disconnect_ends_connections_that_hang(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            on.proxy.hang()
            client = await on.client()
            await client.is_silent()
            on.proxy.disconnect()
            await client.ends()
            client.end()
            await until(lambda: on.proxy.connections_open == 0)

    run(main())


def test_disconnect_ends_the_others_though_one_was_reset_a_moment_ago(run: Run) -> None:
    async def main() -> None:
        async with stage() as at:
            reset = socket.create_connection((at.proxy.host, at.proxy.port))
            await at.server.next()
            others = [await at.pair() for _ in range(3)]
            reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reset.close()
            at.proxy.disconnect()  # before the proxy can have heard of it
            for client, end in others:
                await client.ends()
                await end.ends()
            await until(lambda: not at.proxy.connections_open)

    run(main())


def test_disconnect_after_one_side_has_ended_closes_that_side(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            client.end()
            await peer.ends()
            on.proxy.disconnect()
            await client.ends()
            peer.end()
            await until(lambda: on.proxy.connections_open == 0)

    run(main())


def test_cut_after_delivers_so_many_bytes_and_resets_once(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.cut_after(5)
            peer.send(b"123")
            await client.receives(b"123")
            peer.send(b"45678")
            await client.receives(b"45")
            await client.is_reset()
            await peer.is_reset()
            assert on.proxy.bytes_to_client == 5
            assert "cut" in events(on.proxy)
            client, peer = await on.pair()
            peer.send(b"whole again")
            await client.receives(b"whole again")

    run(main())


def test_cut_after_lets_the_last_bytes_leave_before_it_resets(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            # Small buffers and a client that does not read: a part of a chunk stays in the proxy's transport.
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect((on.proxy.host, on.proxy.port))
            client = End(*await asyncio.open_connection(sock=sock))
            on.clients.append(client)
            peer = await on.server.next()
            (connection,) = on.proxy._connections
            assert connection.client.transport is not None
            narrow = connection.client.transport.get_extra_info("socket")
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            other, other_peer = await on.pair()
            on.proxy.freeze()
            peer.send(bytes(1024 * 1024))
            await client.is_silent()
            on.proxy.cut_after(50_000)
            on.proxy.thaw()
            await until(lambda: on.proxy.bytes_to_client == 50_000)
            other_peer.send(b"too late")
            await other.is_silent()
            assert "cut" not in events(on.proxy)
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await other.is_reset()
            await client.is_reset()
            assert on.proxy.bytes_to_client == 50_000

    run(main())


# New connections


def test_a_refusing_proxy_refuses_new_connections_and_keeps_the_others(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            port = on.proxy.port
            on.proxy.refuse()
            with pytest.raises(ConnectionRefusedError):
                await on.client()
            client.send(b"still here")
            await peer.receives(b"still here")
            on.proxy.refuse()
            on.proxy.reset()
            await client.is_reset()
            on.proxy.accept()
            assert on.proxy.port == port
            client, peer = await on.pair()
            client.send(b"again")
            await peer.receives(b"again")

    run(main())


def test_nobody_can_take_the_port_of_a_refusing_proxy(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            on.proxy.refuse()
            with socket.socket() as thief, pytest.raises(OSError, match="in use"):
                thief.bind((on.proxy.host, on.proxy.port))

    run(main())


def test_a_hanging_proxy_accepts_and_does_nothing_until_it_serves_again(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            on.proxy.hang()
            client = await on.client()
            client.send(b"anybody there?")
            await client.is_silent()
            assert on.server.arrived.empty()
            assert on.proxy.connections_open == 1
            assert on.proxy.bytes_to_server == 0
            on.proxy.accept()
            await (await on.server.next()).receives(b"anybody there?")

    run(main())


def test_a_refusing_proxy_can_be_made_to_hang(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            on.proxy.refuse()
            on.proxy.hang()
            await (await on.client()).is_silent()
            assert on.server.arrived.empty()

    run(main())


def test_a_retargeted_proxy_leads_new_connections_elsewhere_and_keeps_the_others(run: Run) -> None:
    async def main() -> None:
        async with stage() as on, server() as other:
            client, peer = await on.pair()
            on.proxy.retarget("127.0.0.1", other.port)
            newer = await on.client()
            newer.send(b"new")
            await (await other.next()).receives(b"new")
            client.send(b"old")
            await peer.receives(b"old")

    run(main())


# Slowing


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


def test_a_delay_does_not_narrow_the_stream(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, _ = await on.pair()
            on.proxy.delay(60)
            client.send(b"held")
            await until(lambda: peek_held(on.proxy))
            # More than the kernel buffers: it can leave only if the proxy reads on.
            client.send(bytes(64 * 1024 * 1024))
            await asyncio.wait_for(client.writer.drain(), LONG)

    run(main())


def test_bytes_do_not_overtake_each_other_when_a_delay_ends(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.delay(0.3)
            client.send(b"first ")
            await until(lambda: on.proxy._connections and peek_held(on.proxy))
            on.proxy.delay(0)
            client.send(b"second")
            await peer.receives(b"first second")

    run(main())


def test_freezing_holds_bytes_whose_delay_is_over(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.delay(SILENCE / 2)
            client.send(b"late")
            await until(lambda: peek_held(on.proxy))
            on.proxy.freeze()
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


# Healing, timetables, asking


def test_heal_ends_every_fault(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.delay(30)
            on.proxy.throttle(1)
            on.proxy.cut_after(1)
            on.proxy.freeze()
            on.proxy.refuse()
            on.proxy.heal()
            client.send(bytes(1000))
            await peer.receives(bytes(1000))
            peer.send(bytes(1000))
            await client.receives(bytes(1000))
            on.proxy.hang()
            on.proxy.heal()
            await on.pair()

    run(main())


def test_a_timetable_runs_its_faults_at_their_times_and_logs_them(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            start = time.monotonic()
            await on.proxy.play(
                [(0, "freeze", "to_client"), (0.1, "thaw"), (0.3, "delay", 0.2, "to_server"), (0.3, "heal")]
            )
            log = on.proxy.log
            assert [(entry.event, entry.detail) for entry in log] == [
                ("freeze", "to_client"),
                ("thaw", "both"),
                ("delay", "0.2 s to_server"),
                ("heal", ""),
            ]
            assert start <= log[0].at
            # uvloop rounds timers to milliseconds.
            assert 0.098 < log[1].at - log[0].at < 5
            assert 0.298 < log[2].at - log[0].at < 5

    run(main())


def test_a_cancelled_timetable_goes_no_further() -> None:
    async def main() -> None:
        async with stage() as on:
            playing = asyncio.ensure_future(on.proxy.play([(0, "freeze"), (0.1, "thaw")]))
            await until(lambda: on.proxy.log)
            playing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await playing
            await asyncio.sleep(SILENCE)
            assert events(on.proxy) == ["freeze"]

    asyncio.run(main())


def test_a_bad_timetable_is_refused_before_its_first_fault() -> None:
    async def main() -> None:
        async with stage() as on:
            with pytest.raises(ValueError, match=r"timetable must name one of freeze, .*, not 'aclose'"):
                await on.proxy.play([(0, "freeze"), (1, "aclose")])
            with pytest.raises(ValueError, match="timetable must be in the order of time, not 1 s after 2 s"):
                await on.proxy.play([(2, "freeze"), (1, "thaw")])
            assert on.proxy.log == []

    asyncio.run(main())


def test_the_url_leads_to_the_proxy() -> None:
    async def main() -> None:
        async with FaultProxy("localhost", 80) as proxy:
            assert proxy.url() == f"ws://127.0.0.1:{proxy.port}/"
            assert proxy.url("/feed?a=b", scheme="wss") == f"wss://127.0.0.1:{proxy.port}/feed?a=b"
            with pytest.raises(ValueError, match="path must begin with '/', not 'feed'"):
                proxy.url("feed")
            with pytest.raises(ValueError, match="scheme must be ws, wss, http or https, not 'ftp'"):
                proxy.url(scheme="ftp")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "port", "error", "message"),
    [
        (b"localhost", 80, TypeError, "target_host must be a str, not b'localhost'"),
        ("", 80, ValueError, "target_host must not be empty"),
        ("localhost", "80", TypeError, "target_port must be a whole number, not '80'"),
        ("localhost", True, TypeError, "target_port must be a whole number, not True"),
        ("localhost", 0, ValueError, "target_port must be at least 1, not 0"),
        ("localhost", 65536, ValueError, "target_port must be at most 65535, not 65536"),
    ],
)
def test_a_bad_target_is_refused_by_name(host: Any, port: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FaultProxy(host, port)


@pytest.mark.parametrize(
    ("fault", "arguments", "error", "message"),
    [
        ("freeze", ("up",), ValueError, "direction must be both, to_client or to_server, not 'up'"),
        ("thaw", (None,), ValueError, "direction must be both, to_client or to_server, not None"),
        ("delay", (-1,), ValueError, "seconds must be a finite number of seconds from 0 .*, not -1"),
        (
            "delay",
            (float("nan"),),
            ValueError,
            "seconds must be a finite number of seconds from 0 .*, not nan",
        ),
        ("delay", ("1",), TypeError, "seconds must be a number of seconds, not '1'"),
        ("delay", (1, "up"), ValueError, "direction must be"),
        ("throttle", (0,), ValueError, "bytes_per_second must be at least 1, not 0"),
        ("throttle", (0.5,), TypeError, "bytes_per_second must be a whole number, not 0.5"),
        ("throttle", (1, "up"), ValueError, "direction must be"),
        ("cut_after", (0,), ValueError, "n_bytes must be at least 1, not 0"),
        ("cut_after", (1.5,), TypeError, "n_bytes must be a whole number, not 1.5"),
        ("retarget", ("", 80), ValueError, "host must not be empty"),
        ("retarget", ("localhost", -1), ValueError, "port must be at least 1, not -1"),
    ],
)
def test_a_bad_argument_is_refused_by_name_and_changes_nothing(
    fault: str, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    async def main() -> None:
        async with stage() as on:
            with pytest.raises(error, match=message):
                getattr(on.proxy, fault)(*arguments)
            assert on.proxy.log == []
            await on.pair()

    asyncio.run(main())


# Ending


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/dev/fd"))


def test_closing_ends_connections_in_every_condition_and_leaves_nothing_behind(run: Run) -> None:
    async def main() -> None:
        async with server() as behind:
            # A server that accepts nothing, its backlog full: connecting to it takes for ever.
            with socket.socket() as full, socket.socket() as first:
                full.bind(("127.0.0.1", 0))
                full.listen(0)
                first.connect(full.getsockname())
                before = open_files()
                proxy = FaultProxy("127.0.0.1", behind.port)
                clients: list[End] = []
                async with proxy:

                    async def clients_come() -> None:
                        for _ in range(2):
                            clients.append(End(*await asyncio.open_connection(proxy.host, proxy.port)))
                            clients[-1].send(b"something")
                        await until(lambda: proxy.connections_accepted == len(clients))

                    await clients_come()
                    proxy.freeze()
                    await clients_come()
                    proxy.heal()
                    proxy.throttle(1)
                    await clients_come()
                    proxy.heal()
                    proxy.delay(30)
                    await clients_come()
                    proxy.hang()
                    await clients_come()
                    proxy.heal()
                    proxy.retarget("127.0.0.1", full.getsockname()[1])
                    await clients_come()
                    assert proxy.connections_open == len(clients)
                    assert [task for task in asyncio.all_tasks() if "_Connection.join" in repr(task)]
                    port = proxy.port
                assert proxy.connections_open == 0
                assert not [task for task in asyncio.all_tasks() if "_Connection.join" in repr(task)]
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", port)
                for client in clients:
                    client.writer.transport.abort()
                while not behind.arrived.empty():
                    behind.arrived.get_nowait().writer.transport.abort()
                await until(lambda: open_files() <= before)
                await proxy.aclose()

    run(main())


def test_a_connection_that_has_just_arrived_is_closed_with_the_proxy(run: Run) -> None:
    async def main() -> None:
        async with server() as behind:
            proxy = FaultProxy("127.0.0.1", behind.port)
            async with proxy:
                connecting = asyncio.ensure_future(asyncio.open_connection(proxy.host, proxy.port))
                await until(lambda: proxy.connections_open, pause=0)
            assert proxy.connections_open == 0
            client = End(*await connecting)
            with contextlib.suppress(ConnectionResetError):
                await client.ends()
            client.writer.close()

    run(main())


def test_cancelling_the_test_closes_the_proxy(run: Run) -> None:
    async def main() -> None:
        proxies = []

        async def body() -> None:
            async with stage() as on:
                await on.pair()
                on.proxy.freeze()
                proxies.append(on.proxy)
                await asyncio.sleep(60)

        task = asyncio.ensure_future(body())
        await until(lambda: proxies)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert proxies[0].connections_open == 0

    run(main())


def test_a_proxy_that_is_not_running_says_so() -> None:
    async def main() -> None:
        proxy = FaultProxy("127.0.0.1", 80)
        with pytest.raises(RuntimeError, match="the proxy has no port: it is not running"):
            proxy.url()
        with pytest.raises(RuntimeError, match="freeze: the proxy is not running"):
            proxy.freeze()
        async with proxy:
            proxy.freeze()
            with pytest.raises(RuntimeError, match="a FaultProxy can be entered once only"):
                await proxy.__aenter__()
        with pytest.raises(RuntimeError, match="accept: the proxy is not running"):
            proxy.accept()

    asyncio.run(main())


def test_an_end_that_is_passed_on_late_to_a_side_that_was_reset_meanwhile_ends_the_connection() -> None:
    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"late")
            await asyncio.sleep(0.1)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
            proxy.delay(0.3, "to_client")
            failures: list[dict[str, Any]] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"x")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            await until(lambda: proxy.connections_accepted and not proxy.connections_open)
            assert failures == []

    asyncio.run(main())
