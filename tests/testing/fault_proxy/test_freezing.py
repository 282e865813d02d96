"""A frozen direction holds everything on open sockets until it is thawed."""

import asyncio

import pytest
from tests.testing.fault_proxy.stage import NOTICEABLE, SILENCE, stage
from tests.watch import Run, until


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
            on.proxy.delay(NOTICEABLE, "to_client")
            peer.reset()
            await until(lambda: on.proxy.is_holding)
            on.proxy.freeze("to_client")
            await asyncio.sleep(NOTICEABLE)
            await client.is_silent()
            on.proxy.thaw()
            on.proxy.freeze()
            await client.is_reset()

    run(main())
