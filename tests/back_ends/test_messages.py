"""What our client and foreign back ends say to each other: messages of any kind and size, and heartbeats."""

import contextlib

import pytest
import websockets
from tests.back_ends.conftest import Server
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, CloseEvent, Heartbeat, connect
from websocket_heartbeat.testing import FaultProxy

SOON = Backoff(0.05, 0.2)


def test_texts_bytes_and_a_subprotocol(server: Server, run_asyncio: Run) -> None:
    async def main() -> None:
        async with (
            FaultProxy("127.0.0.1", server.port) as proxy,
            connect(proxy.url("/feed"), subprotocols=["unknown", "v1"]) as connection,
        ):
            chosen: list[str | None] = []
            connection.on_open = lambda event: chosen.append(event.subprotocol)
            for message in ("grüße 🙂", b"\x00\xff", "", b""):
                await connection.send(message)
                assert await connection.recv() == message
            assert chosen == ["v1"]

    run_asyncio(main())


def test_a_client_that_offers_no_subprotocol_or_unknown_ones_comes_in(
    server: Server, run_asyncio: Run
) -> None:
    async def main() -> None:
        url = f"ws://127.0.0.1:{server.port}/feed"
        async with connect(url) as connection:
            await connection.send("hello")
            assert await connection.recv() == "hello"
        offer = [websockets.Subprotocol("unknown")]
        async with websockets.connect(url, subprotocols=offer) as other:
            assert other.subprotocol is None

    run_asyncio(main())


def test_messages_in_fragments_both_ways(server: Server, run_asyncio: Run) -> None:
    async def main() -> None:
        url = f"ws://127.0.0.1:{server.port}/feed"
        async with connect(url) as connection:
            await connection.wait_open(PATIENCE)
            await until(lambda: server.told("open"))
            server.order("parts", "one ", "two ", "three")
            assert await connection.recv() == "one two three"
        # Ours sends whole messages only.
        async with websockets.connect(url) as other:
            await other.send(["one ", "two ", "three"])
            assert await other.recv() == "one two three"

    run_asyncio(main())


def test_a_mebibyte(server: Server, run_asyncio: Run) -> None:
    async def main() -> None:
        async with (
            FaultProxy("127.0.0.1", server.port) as proxy,
            connect(proxy.url("/feed")) as connection,
        ):
            for message in ("x" * 2**20, b"x" * 2**20):
                await connection.send(message)
                assert await connection.recv() == message

    run_asyncio(main())


def test_many_clients_that_have_said_little_fit_into_a_small_heap(server: Server, run_asyncio: Run) -> None:
    async def main() -> None:
        url = f"ws://127.0.0.1:{server.port}/feed"
        async with contextlib.AsyncExitStack() as stack:
            # With 8 MiB for each, as Tomcat has it where its limit is raised to 4 MiB, 15 fill its heap.
            for _ in range(40):
                other = await stack.enter_async_context(websockets.connect(url))
                for message in ("hello", b"hello"):
                    await other.send(message)
                    assert await other.recv() == message

    run_asyncio(main())


def test_a_message_of_more_than_the_example_takes_is_closed_with_1009(
    server: Server, run_asyncio: Run
) -> None:
    async def main() -> None:
        closes: list[CloseEvent] = []
        url = f"ws://127.0.0.1:{server.port}/feed"
        async with connect(url, final_close_codes={1009}, max_size=2**23) as connection:
            connection.on_close = closes.append
            await connection.send("x" * (4 * 2**20 + 1))
            await until(lambda: closes)
            assert closes[0].code == 1009

    run_asyncio(main())


def test_a_container_closes_with_1009_above_8192_bytes(container: Server, run_asyncio: Run) -> None:
    async def main() -> None:
        closes: list[CloseEvent] = []
        url = f"ws://127.0.0.1:{container.port}/plain"
        async with connect(url, final_close_codes={1009}) as connection:
            connection.on_close = closes.append
            await connection.send("x" * 8192)
            assert await connection.recv() == "x" * 8192
            await connection.send("x" * 8193)
            await until(lambda: closes)
            assert closes[0].code == 1009
            assert "too big" in closes[0].reason

    run_asyncio(main())


@pytest.mark.parametrize("message", [None, "heartbeat"])
def test_heartbeats_keep_a_link_on_which_nothing_else_is_sent(
    server: Server, run_asyncio: Run, message: str | None
) -> None:
    async def main() -> None:
        heard: list[object] = []
        async with (
            FaultProxy("127.0.0.1", server.port) as proxy,
            connect(proxy.url("/feed"), heartbeat=Heartbeat(0.2, 10, message=message)) as connection,
        ):
            connection.on_message = heard.append
            await until(lambda: connection.stats.pings >= 5)
            await connection.send("work")
            await until(lambda: "work" in heard)
            assert connection.stats.links == 1
            assert heard.count("heartbeat") == (0 if message is None else connection.stats.pings)

    run_asyncio(main())


def test_a_frozen_link_is_noticed_and_replaced(server: Server, run_asyncio: Run) -> None:
    async def main() -> None:
        closes: list[CloseEvent] = []
        async with (
            FaultProxy("127.0.0.1", server.port) as proxy,
            connect(proxy.url("/feed"), heartbeat=Heartbeat(0.3, 0.5), backoff=SOON) as connection,
        ):
            connection.on_close = closes.append
            await connection.wait_open(PATIENCE)
            proxy.freeze()
            await until(lambda: closes)
            assert closes[0].reason.startswith("heartbeat timeout")
            proxy.thaw()
            await until(lambda: connection.stats.links >= 2 and connection.state == "open")
            await connection.send("hello")
            assert await connection.recv() == "hello"

    run_asyncio(main())
