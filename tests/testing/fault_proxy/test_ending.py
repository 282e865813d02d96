"""A proxy ends with all its connections, whatever their condition, and leaves nothing behind."""

import asyncio
import contextlib
import gc
import os
import socket
from typing import Any

import pytest
from tests.testing.fault_proxy.stage import End, server, stage
from tests.watch import Run, turns, until

from websocket_heartbeat.testing import FaultProxy


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
                tasks = asyncio.all_tasks()
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
                    assert asyncio.all_tasks() > tasks  # those that dial
                    port = proxy.port
                assert proxy.connections_open == 0
                await until(lambda: asyncio.all_tasks() == tasks)  # the server behind has some, too
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", port)
                for client in clients:
                    client.writer.transport.abort()

                def all_closed() -> bool:
                    while not behind.arrived.empty():  # some may arrive only now
                        behind.arrived.get_nowait().writer.transport.abort()
                    return open_files() <= before

                await until(all_closed)
                await proxy.aclose()

    run(main())


def test_a_connection_that_has_just_arrived_is_closed_with_the_proxy(run: Run) -> None:
    async def main() -> None:
        async with server() as behind:
            proxy = FaultProxy("127.0.0.1", behind.port)
            async with proxy:
                connecting = asyncio.ensure_future(asyncio.open_connection(proxy.host, proxy.port))
                while not proxy.connections_open:  # to see its first moment
                    await turns(1)
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
