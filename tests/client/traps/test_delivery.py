"""The traps of other clients, over real sockets: messages and hooks come across reconnects."""

import asyncio
import gc
import socket
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from tests.certificates import tls_pair
from tests.client.servers import well_behaved
from tests.client.traps.log import QUICK, SOON, Log
from tests.engines.peers import TEXT, Peer, frame, ws_server
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat import Backoff, HookFailed, Message, OpenEvent, State, connect
from websocket_heartbeat.testing import FaultProxy


def test_trap_10_tasks_of_hooks_are_not_collected_and_their_errors_are_told(run_asyncio: Run) -> None:
    async def main() -> None:
        async with ws_server(well_behaved) as server:
            # At the end a hook still waits for what never comes, and close() for the hook.
            connection = connect(server.url(), close_timeout=0.5)
            log = Log(connection)
            waiting: list[weakref.ref[asyncio.Future[None]]] = []
            done: list[str] = []

            async def wait_for_what_only_this_task_knows(event: Any) -> None:
                if isinstance(event, State) and event != "open":
                    return
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                waiting.append(weakref.ref(future))
                await future
                done.append("done")
                if not isinstance(event, OpenEvent):  # that would call the link bad
                    raise LookupError("mistake")

            def release(reference: weakref.ref[asyncio.Future[None]]) -> None:
                future = reference()
                assert future is not None
                future.set_result(None)

            connection.on_state = wait_for_what_only_this_task_knows
            connection.on_open = wait_for_what_only_this_task_knows
            connection.on_message = wait_for_what_only_this_task_knows
            async with connection:
                for count in (2, 3):
                    await until(lambda count=count: len(waiting) == count)  # type: ignore[misc]
                    gc.collect()
                    for reference in waiting[len(done) :]:
                        release(reference)
                    await until(lambda count=count: len(done) == count)  # type: ignore[misc]
                    await connection.wait_open(PATIENCE)
                    await connection.send("echo")
                await turns()
            assert [str(error) for error in log.errors] == [
                "on_state raised LookupError",
                "on_message raised LookupError",
            ]
            assert all(isinstance(error, HookFailed) for error in log.errors)

    run_asyncio(main())


def test_trap_19_hooks_are_called_after_every_reconnect(run_asyncio: Run) -> None:
    async def main() -> None:
        async def reset_soon(peer: Peer) -> None:
            peer.write(frame(TEXT, b"hello"))
            await peer.read_frame()
            peer.reset()

        async with ws_server(reset_soon) as server, FaultProxy("127.0.0.1", server.port) as proxy:
            connection = connect(proxy.url(), backoff=Backoff(0.02, 1, 30), close_timeout=0.1)
            log = Log(connection)
            got: list[Message] = []
            connection.on_message = got.append
            async with connection:
                for link in range(1, 5):
                    await until(lambda link=link: len(got) == link)  # type: ignore[misc]
                    proxy.refuse()
                    await connection.send("reset")
                    await until(lambda link=link: len(log.errors) >= link)  # type: ignore[misc]
                    proxy.accept()
                await until(lambda: len(got) == 5)
            assert len(log.opens) == 5
            assert len(log.closes) == 5
            assert len(log.retries) >= 8

    run_asyncio(main())


def test_trap_22_the_receive_queue_is_bounded_and_the_server_feels_it(run_asyncio: Run) -> None:
    async def main() -> None:
        sent: list[int] = []
        total = 400
        block = b"z" * 100_000

        async def pour(peer: Peer) -> None:
            peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            for number in range(total):
                peer.write(frame(TEXT, b"%d " % number + block))
                await peer.writer.drain()
                sent.append(number)
            await well_behaved(peer)

        async with ws_server(pour) as server:
            connection = connect(server.url(), receive_queue=4, heartbeat=QUICK)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                before = -1
                while before != len(sent):  # until the server is stuck
                    before = len(sent)
                    await asyncio.sleep(0.3)
                assert len(sent) < total / 2
                messages = await connection.recv_waiting()
                assert len(messages) < 50
                while len(messages) < total:
                    messages.append(await asyncio.wait_for(connection.recv(), PATIENCE))
                for number, message in enumerate(messages):
                    assert str(message).startswith(f"{number} ")
            assert log.closes[:-1] == []

    run_asyncio(main())


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_the_main_path_holds_on_every_loop_and_over_tls(scheme: str, run: Run) -> None:
    async def main() -> None:
        server_tls, client_tls = tls_pair() if scheme == "wss" else (None, None)
        async with (
            ws_server(well_behaved, tls=server_tls) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
        ):
            connection = connect(proxy.url(scheme=scheme), ssl=client_tls, heartbeat=QUICK, backoff=SOON)
            log = Log(connection)
            faults: list[Callable[[], Any]] = [proxy.reset, proxy.disconnect, proxy.freeze]
            async with connection:
                for number, fault in enumerate(faults, 1):
                    await until(lambda number=number: connection.stats.links >= number)  # type: ignore[misc]
                    await connection.send("ä" * 1000)
                    await connection.send(b"\0" * 100_000)
                    assert await asyncio.wait_for(connection.recv(), PATIENCE) == "ä" * 1000
                    assert await asyncio.wait_for(connection.recv(), PATIENCE) == b"\0" * 100_000
                    await until(lambda: connection.stats.pings)
                    fault()
                    await until(lambda number=number: len(log.closes) >= number)  # type: ignore[misc]
                    proxy.heal()
                await until(lambda: connection.stats.links >= 4)
                stats = connection.stats
                assert stats.bytes_sent > 300_000
                assert stats.bytes_received > 300_000
            assert log.closes[-1].reason == "we closed the connection"

    run(main())
