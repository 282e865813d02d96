"""The traps of other clients, over real sockets: what was given up ends, and is not heard again."""

import asyncio
import contextlib
import time
from typing import Any

import pytest
from tests.client.servers import alongside, talk, well_behaved
from tests.client.traps.log import SLACK, SOON, Log
from tests.engines.peers import TEXT, Peer, close_frame, frame, raw_server, ws_server
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat import CloseEvent, Message, connect


@pytest.mark.parametrize("reading", ["iterates", "hook", "nobody"])
def test_trap_7_close_returns_in_time_though_the_peer_keeps_talking(reading: str, run: Run) -> None:
    async def main() -> None:
        async def deaf(peer: Peer) -> None:
            await talk(peer, 0.001)

        async with ws_server(deaf) as server:
            connection = connect(server.url(), close_timeout=0.5, receive_queue=4)
            got: list[Message] = []
            if reading == "hook":
                connection.on_message = got.append
            async with connection:
                await connection.wait_open(PATIENCE)
                if reading == "iterates":
                    await asyncio.wait_for(connection.recv(), PATIENCE)
                await asyncio.sleep(0.2)
                since = time.monotonic()
                await connection.close()
                assert time.monotonic() - since <= 0.5 + SLACK

    run(main())


def test_trap_7_close_does_not_wait_behind_messages_that_nobody_reads(run_asyncio: Run) -> None:
    async def main() -> None:
        async def pour(peer: Peer) -> None:
            for _ in range(300):
                peer.write(frame(TEXT, b"x" * 2000))
            await well_behaved(peer)

        async with ws_server(pour) as server:
            connection = connect(server.url(), close_timeout=PATIENCE, receive_queue=1)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                await asyncio.sleep(0.3)
                since = time.monotonic()
                await connection.close()
                assert time.monotonic() - since < PATIENCE / 2
            assert log.closes == [CloseEvent(1, "we closed the connection", 1000)]

    run_asyncio(main())


def test_trap_8_a_link_that_opens_after_it_was_given_up_is_dropped_unheard(run_asyncio: Run) -> None:
    async def main() -> None:
        late: list[Peer] = []
        dropped = asyncio.Event()
        second = asyncio.Event()

        async def handler(peer: Peer) -> None:
            await peer.read_request()
            if not late:
                late.append(peer)
                await second.wait()
                peer.write(peer.response() + frame(TEXT, b"stale") + close_frame(4000))
                await peer.gone()
                dropped.set()
                return
            peer.write(peer.response())
            second.set()
            await well_behaved(peer)

        async with raw_server(handler) as server:
            connection = connect(server.url(), open_timeout=0.5, backoff=SOON)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                await asyncio.wait_for(dropped.wait(), PATIENCE)
                await connection.send("current")
                assert await asyncio.wait_for(connection.recv(), PATIENCE) == "current"
                assert log.closes == []
                assert connection.stats.links == 1

    run_asyncio(main())


def test_trap_8_a_replaced_link_is_closed_and_its_late_events_change_nothing(run_asyncio: Run) -> None:
    async def main() -> None:
        here: set[Peer] = set()

        async def chatty(peer: Peer) -> None:
            here.add(peer)
            text = f"from {len(here)}".encode()
            try:
                await alongside(peer, lambda peer: talk(peer, 0.001, text), well_behaved)
            finally:
                here.discard(peer)

        async with ws_server(chatty) as server:
            connection = connect(server.url(), backoff=SOON)
            log = Log(connection)
            async with connection:
                for link in range(1, 6):
                    await until(lambda link=link: connection.stats.links == link)  # type: ignore[misc]
                    await asyncio.wait_for(connection.recv(), PATIENCE)
                    connection.reconnect_now()
                    assert connection.native is None
                await until(lambda: connection.stats.links == 6)
                async with asyncio.timeout(SLACK):  # later the server itself gives up on silent clients
                    await until(lambda: len(here) == 1)
                assert [event.link for event in log.closes] == [1, 2, 3, 4, 5]
                assert {event.reason for event in log.closes} == {"reconnect requested"}
                await asyncio.wait_for(connection.recv(), PATIENCE)

    run_asyncio(main())


@pytest.mark.parametrize("hangs", [False, True])
def test_trap_9_cancelled_at_any_moment_the_task_ends_and_no_socket_stays(hangs: bool, run: Run) -> None:
    async def slow(peer: Peer) -> None:
        await asyncio.sleep(0.01)
        await peer.read_request()
        await asyncio.sleep(0.01)
        if hangs:
            await peer.gone()
        peer.write(peer.response())
        await well_behaved(peer)

    async def headers() -> dict[str, str]:
        await asyncio.sleep(0.005)
        return {}

    async def user(url: str) -> None:
        async with connect(url, additional_headers=headers, close_timeout=60) as connection:
            await connection.wait_open()
            await connection.send("x")
            await connection.recv()
            await connection.drain()
            await asyncio.sleep(0.01)
            await connection.close()

    async def main() -> None:
        async with raw_server(slow) as server:
            cancelled = finished = step = 0
            while not finished and step < 25:
                task = asyncio.create_task(user(server.url()))
                await asyncio.sleep(0)
                await asyncio.wait([task], timeout=step * 0.002)
                finished = task.done()
                since = time.monotonic()
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                assert time.monotonic() - since < PATIENCE
                assert finished or task.cancelled()
                cancelled += task.cancelled()
                step += 1
            assert cancelled >= 5
            await turns(5)
            assert asyncio.all_tasks() - {asyncio.current_task()} <= server_tasks(server.url())

    def server_tasks(url: str) -> set[asyncio.Task[Any]]:
        return {
            task for task in asyncio.all_tasks() if "start_server" in repr(task) or "connected" in repr(task)
        }

    run(main())
