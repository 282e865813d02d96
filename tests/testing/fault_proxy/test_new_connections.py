"""New connections are refused, left hanging or led elsewhere, while the others live on."""

import socket

import pytest
from tests.testing.fault_proxy.stage import server, stage
from tests.watch import Run


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


def test_a_refusing_proxy_keeps_its_port_from_others(run: Run) -> None:
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
