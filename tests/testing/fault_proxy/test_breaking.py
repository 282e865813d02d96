"""reset, disconnect and cut_after end live connections, each in its own way."""

import asyncio
import socket
import struct

import pytest
from tests.testing.fault_proxy.stage import End, events, stage
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.testing import FaultProxy


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


def test_a_reset_reaches_a_server_that_accepted_before_the_proxy_could_know(run: Run) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            async with FaultProxy("127.0.0.1", listener.getsockname()[1]) as proxy:
                with socket.create_connection((proxy.host, proxy.port)):
                    accepted = await accepted_of(listener)
                    proxy.reset()
                    with accepted, pytest.raises(ConnectionResetError):
                        await asyncio.get_running_loop().sock_recv(accepted, 1)

    run(main())


async def accepted_of(listener: socket.socket) -> socket.socket:
    """Accept in the turn of the loop in which the kernel does."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                await asyncio.sleep(0)
            else:
                accepted.setblocking(False)
                return accepted


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


def test_cut_after_counts_the_bytes_to_the_server_where_that_is_asked_for(run: Run) -> None:
    async def main() -> None:
        async with stage() as on:
            client, peer = await on.pair()
            on.proxy.cut_after(5, "to_server")
            peer.send(b"to the client")
            await client.receives(b"to the client")
            client.send(b"12345678")
            await peer.receives(b"12345")
            await client.is_reset()
            await peer.is_reset()
            assert on.proxy.bytes_to_server == 5
            client, peer = await on.pair()
            client.send(b"whole again")
            await peer.receives(b"whole again")

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
            for narrow in on.proxy.sockets:
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
