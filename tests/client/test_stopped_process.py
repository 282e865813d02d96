"""A process that stood still or was suspended asks once at most whether a link lives, and keeps it."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.client.conftest import World
from tests.client.servers import alongside, talk
from tests.engines.peers import CLOSE, PING, PONG, Peer, close_frame, frame, ws_server
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, Heartbeat
from websocket_heartbeat.system import kernel
from websocket_heartbeat.testing import SimulatedClock

STOPPED_FOR = float(os.environ.get("STOPPED_FOR", "6"))
"""Seconds: three times what the heartbeat of the program below allows, or what the environment says."""

PROGRAM = """
import asyncio, json, sys
from websocket_heartbeat import Heartbeat, connect

def tell(**what):
    print(json.dumps(what), flush=True)

async def main():
    connection = connect(sys.argv[1], heartbeat=Heartbeat(1, 1), proxy=None)
    connection.on_open = lambda event: tell(event="open")
    connection.on_close = lambda event: tell(event="close", reason=event.reason)
    connection.on_message = lambda message: None
    async with connection:
        await asyncio.to_thread(sys.stdin.readline)
        tell(event="end", pings=connection.stats.pings, links=connection.stats.links)

asyncio.run(main())
"""


class Program:
    """A client in a process of its own, which can be stopped."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def started(cls, url: str) -> "Program":
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, url, stdin=pipe, stdout=pipe
        )
        program = cls(process)
        assert await program.told() == {"event": "open"}
        return program

    async def told(self) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self.process.stdout.readline() or "null")

    async def ended(self) -> list[Any]:
        """Let the program end; return all that it told since its first line."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        lines = []
        while (line := await self.told()) is not None:
            lines.append(line)
        assert await self.process.wait() == 0
        return lines


class Server:
    """The server's end of the one link: when pings came; it may stop the client at the first of them."""

    def __init__(self, talks: bool, stops_at_ping: bool) -> None:
        self.talks = talks
        self.stops_at_ping = stops_at_ping
        self.pings: list[float] = []
        self.program: Program | None = None
        self.stopped = asyncio.Event()

    async def serve(self, peer: Peer) -> None:
        if self.talks:
            await alongside(peer, lambda peer: talk(peer, 0.1), self.answer)
        else:
            await self.answer(peer)

    async def answer(self, peer: Peer) -> None:
        while True:
            got = await peer.read_frame(STOPPED_FOR + PATIENCE)
            if got.opcode == PING:
                self.pings.append(time.monotonic())
                if self.stops_at_ping and self.program is not None and not self.stopped.is_set():
                    # The pong lies in the kernel of a client that stands still.
                    self.program.process.send_signal(signal.SIGSTOP)
                    self.stopped.set()
                peer.write(frame(PONG, got.payload))
            elif got.opcode == CLOSE:
                peer.write(close_frame(1000))
                return


async def stopped_and_resumed(talks: bool, at_ping: bool) -> tuple[Server, float, list[Any]]:
    """Stop a program while its link is open; return its server, when it went on, and what it told."""
    running = Server(talks, at_ping)
    async with ws_server(running.serve) as server:
        program = await Program.started(server.url())
        try:
            running.program = program
            if at_ping:
                await asyncio.wait_for(running.stopped.wait(), PATIENCE)
            else:
                program.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(STOPPED_FOR)
            program.process.send_signal(signal.SIGCONT)
            resumed = time.monotonic()
            await asyncio.sleep(2.5)  # longer than any verdict may take
            told = await program.ended()
        finally:
            if program.process.returncode is None:
                program.process.kill()
                await program.process.wait()
        assert server.connections == 1
    return running, resumed, told


@pytest.mark.timeout(STOPPED_FOR + 60)
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
def test_a_process_that_was_stopped_keeps_its_link_and_asks_at_most_once(run_asyncio: Run) -> None:
    async def main() -> None:
        scenes = await asyncio.gather(
            stopped_and_resumed(talks=False, at_ping=False),
            stopped_and_resumed(talks=True, at_ping=False),
            stopped_and_resumed(talks=False, at_ping=True),
        )
        for server, resumed, told in scenes:
            # Later ones are the usual pings of a link that is idle for an interval.
            at_once = [at for at in server.pings if resumed <= at < resumed + 0.9]
            assert len(at_once) <= 1
            assert [line["event"] for line in told] == ["end", "close"]  # the second by its own close
            assert told[0]["links"] == 1

    run_asyncio(main())


@pytest.fixture
def suspend(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the computer have been suspended for some seconds, in which the loop's clock stood still."""
    total = [0.0]
    monkeypatch.setattr(kernel, "suspended_for", lambda: total[0])

    def sleep(seconds: float) -> None:
        total[0] += seconds

    return sleep


def test_after_suspend_an_open_link_is_probed_within_two_seconds_whatever_the_interval(
    world: World, play: Run, suspend: Callable[[float], None], simulated_clock: SimulatedClock
) -> None:
    async def main() -> None:
        connections = [world.connect(heartbeat=Heartbeat(300, 60)) for _ in range(3)]
        for connection in connections:
            connection.start()
            await connection.wait_open()
        await asyncio.sleep(100)
        assert [peer.pings for peer in world.engine.peers] == [0, 0, 0]
        since = simulated_clock.now()
        suspend(8 * 3600)
        await until(lambda: all(connection.stats.pings for connection in connections))
        assert simulated_clock.now() - since <= 2
        await asyncio.sleep(100)
        assert [peer.pings for peer in world.engine.peers] == [1, 1, 1]
        for connection in connections:
            assert connection.stats.links == 1
            await connection.close()

    play(main())


def test_after_suspend_a_link_that_died_meanwhile_is_replaced_within_seconds(
    world: World, play: Run, suspend: Callable[[float], None], simulated_clock: SimulatedClock
) -> None:
    async def main() -> None:
        async with world.recorded(heartbeat=Heartbeat(300, 60)) as connection:
            peer = await world.opened(connection, 1)
            peer.frozen = True
            since = simulated_clock.now()
            suspend(3600)
            await world.opened(connection, 2)
            assert simulated_clock.now() - since <= 2 + 5 + 1  # to notice, to answer, to retry

    play(main())


@pytest.mark.parametrize(("reason", "least", "most"), [("", 0, 2), ("retry-after=50", 50, 151)])
def test_after_suspend_a_retry_is_made_at_once_but_not_before_the_server_asked_for_it(
    reason: str,
    least: float,
    most: float,
    world: World,
    play: Run,
    suspend: Callable[[float], None],
    simulated_clock: SimulatedClock,
) -> None:
    async def main() -> None:
        async with world.recorded(backoff=Backoff(100, 100, 30)) as connection:
            peer = await world.opened(connection, 1)
            peer.close(1012, reason)
            since = simulated_clock.now()
            suspend(3600)
            await world.opened(connection, 2)
            assert least <= simulated_clock.now() - since <= most

    play(main())


def test_a_nap_of_less_than_a_second_and_no_nap_at_all_ask_nothing(
    world: World, play: Run, suspend: Callable[[float], None]
) -> None:
    async def main() -> None:
        async with world.recorded(heartbeat=Heartbeat(300, 60)) as connection:
            peer = await world.opened(connection, 1)
            for _ in range(100):
                suspend(0.9)
                await asyncio.sleep(2.5)
            assert peer.pings == 0

    play(main())
