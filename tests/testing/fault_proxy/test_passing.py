"""Without faults, bytes, ends and resets pass as if there were no proxy."""

import asyncio
import socket
from typing import Any

import pytest
from tests.testing.fault_proxy.stage import End, events, server, stage
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.testing import FaultProxy


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
            assert await asyncio.wait_for(peer.reader.read(), PATIENCE) == b"question"
            peer.send(b"answer")
            peer.end()
            assert await asyncio.wait_for(client.reader.read(), PATIENCE) == b"answer"
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
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            async with FaultProxy("127.0.0.1", unused.getsockname()[1]) as proxy:
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
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                addresses = [unused.getsockname(), ("127.0.0.1", behind.port)]

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
            await until(lambda: len(on.proxy.sockets) == 2)  # the server's end may come first
            for sock in on.proxy.sockets:
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    run(main())
