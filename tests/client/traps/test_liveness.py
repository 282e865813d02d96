"""The traps of other clients, over real sockets: dead links are noticed, and no live one is given up."""

import asyncio
import time

import pytest
from tests.client.servers import alongside, in_a_thread, talk, well_behaved
from tests.client.traps.log import BOUND, QUICK, SLACK, SOON, Log
from tests.engines.peers import PING, PONG, TEXT, Peer, frame, ws_server
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat import Backoff, Heartbeat, OpenEvent, State, connect
from websocket_heartbeat.testing import FaultProxy


def test_trap_2_a_half_open_link_is_noticed_in_time_though_the_send_buffer_is_full(run: Run) -> None:
    async def main() -> None:
        async with ws_server(well_behaved) as server, FaultProxy("127.0.0.1", server.port) as proxy:
            connection = connect(proxy.url(), heartbeat=QUICK, backoff=SOON, send_queue=4, close_timeout=0.5)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                proxy.freeze()
                since = time.monotonic()
                block = b"x" * 500_000
                async with asyncio.timeout(PATIENCE):
                    sending = asyncio.create_task(connection.send(block))
                    await turns(3)
                    while sending.done():  # until there is no room, in the queue neither
                        sending = asyncio.create_task(connection.send(block))
                        await turns(3)
                sending.cancel()
                assert not log.closes
                await until(lambda: log.closes)
                assert BOUND * 0.9 <= log.closed_at[0] - since <= BOUND + SLACK
                assert log.closes[0].reason.startswith("heartbeat timeout")
                assert (log.closes[0].uncertain_bytes or 0) > 0
                proxy.heal()
                await until(lambda: connection.stats.links >= 2)

    run(main())


def test_trap_3_a_pong_that_lies_in_the_kernel_while_our_loop_is_blocked_saves_the_link(run: Run) -> None:
    async def main() -> None:
        with in_a_thread(well_behaved) as url:
            connection = connect(url, heartbeat=QUICK, backoff=SOON)
            log = Log(connection)
            blocked = 0

            @connection.on_state
            def block_the_loop(state: State) -> None:
                nonlocal blocked
                if state == "probing" and blocked < 3:  # the ping has just been sent
                    blocked += 1
                    time.sleep(1.2)  # far longer than the timeout

            async with connection:
                await connection.wait_open(PATIENCE)
                await until(lambda: blocked == 3)
                await until(lambda: connection.state == "open")
                assert log.closes == []
                assert connection.stats.links == 1

    run(main())


def test_trap_4_a_slow_consumer_does_not_lose_a_live_link(run: Run) -> None:
    async def main() -> None:
        count = 4000
        block = b"y" * 1000

        async def pour(peer: Peer) -> None:
            for number in range(count):
                peer.write(frame(TEXT, b"%d " % number + block))
                await peer.writer.drain()
            await well_behaved(peer)

        async with ws_server(pour) as server:
            connection = connect(server.url(), heartbeat=QUICK, backoff=SOON, receive_queue=4)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                await asyncio.sleep(BOUND * 3)
                assert log.closes == []
                for number in range(count):
                    message = await asyncio.wait_for(connection.recv(), PATIENCE)
                    assert str(message).startswith(f"{number} ")
                assert log.closes == []

    run(main())


def test_trap_5_data_is_proof_of_life_though_pongs_never_come(run_asyncio: Run) -> None:
    async def read(peer: Peer) -> None:
        while True:
            await peer.read_frame()

    async def data_without_pongs(peer: Peer) -> None:
        await alongside(peer, lambda peer: talk(peer, 0.6), read)

    async def main() -> None:
        async with ws_server(data_without_pongs) as server:
            connection = connect(server.url(), heartbeat=Heartbeat(0.3, 1.5), close_timeout=0.2)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                await asyncio.sleep(3.5)
                assert log.closes == []
                assert connection.stats.pings >= 2

    run_asyncio(main())


def test_trap_6_a_dead_link_is_given_up_without_a_closing_handshake(run_asyncio: Run) -> None:
    async def main() -> None:
        async with ws_server(well_behaved) as server, FaultProxy("127.0.0.1", server.port) as proxy:
            connection = connect(proxy.url(), heartbeat=QUICK, backoff=SOON, close_timeout=60)
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                proxy.freeze()
                since = time.monotonic()
                await until(lambda: log.closes)
                assert BOUND * 0.9 <= time.monotonic() - since <= BOUND + SLACK
                proxy.heal()
                await until(lambda: connection.stats.links >= 2)

    run_asyncio(main())


def test_trap_14_a_wall_clock_that_is_set_changes_nothing(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    offset = [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + offset[0])

    async def main() -> None:
        async with ws_server(well_behaved) as server:
            connection = connect(server.url(), heartbeat=Heartbeat(0.1, 2))
            log = Log(connection)
            async with connection:
                await connection.wait_open(PATIENCE)
                for jump in (86400.0, -86400.0, 0.0):
                    offset[0] = jump
                    pings = connection.stats.pings
                    await until(lambda pings=pings: connection.stats.pings >= pings + 2)  # type: ignore[misc]
                assert log.closes == []
                assert connection.latency is not None
                assert 0 <= connection.latency < 2

    run_asyncio(main())


def test_trap_17_no_ping_comes_before_the_application_s_first_frame(run_asyncio: Run) -> None:
    async def main() -> None:
        kinds: list[int] = []

        async def note(peer: Peer) -> None:
            while True:
                got = await peer.read_frame()
                kinds.append(got.opcode)
                if got.opcode == PING:
                    peer.write(frame(PONG, got.payload))

        async with ws_server(note) as server:
            connection = connect(server.url(), heartbeat=Heartbeat(1, 5), close_timeout=0.1)

            @connection.on_open
            async def login(event: OpenEvent) -> None:
                await asyncio.sleep(0.3)
                await connection.send("token")

            async with connection:
                await until(lambda: PING in kinds)
        assert kinds[0] == TEXT

    run_asyncio(main())


def test_trap_18_a_ping_that_the_last_link_owed_is_not_held_against_the_next(run_asyncio: Run) -> None:
    async def main() -> None:
        probed = asyncio.Event()
        pinged: list[float] = []

        async def first_dies_while_probed(peer: Peer) -> None:
            if not probed.is_set():
                while (await peer.read_frame()).opcode != PING:
                    pass
                probed.set()
                peer.reset()
                return
            while True:
                got = await peer.read_frame()
                if got.opcode == PING:
                    pinged.append(time.monotonic())
                    peer.write(frame(PONG, got.payload))

        async with ws_server(first_dies_while_probed) as server:
            connection = connect(
                server.url(), heartbeat=Heartbeat(0.6, 2), backoff=Backoff(0.01, 1, 30), close_timeout=0.1
            )
            log = Log(connection)
            async with connection:
                await until(lambda: len(pinged) == 3)
                assert [event.link for event in log.closes] == [1]
                assert pinged[0] - log.opens[1] >= 0.55
                assert connection.latency is not None
                assert connection.latency < 2

    run_asyncio(main())
