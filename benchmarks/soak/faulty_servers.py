"""Servers behind proxies with random faults, in a process of its own, which reports each fault."""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, cast

from benchmarks.soak.constants import SITES
from websocket_heartbeat.server import Server, serve
from websocket_heartbeat.testing import FaultProxy

CODES = (1000, 1001, 1011, 1012, 1013, 4000)


class Site:
    """A server, the proxy before it, and their faults. A healthy site has only mild ones."""

    def __init__(self, number: int, healthy: bool, seed: int) -> None:
        self.number = number
        self.healthy = healthy
        self.random = random.Random(seed * 1000 + number)
        self.peers: set[Any] = set()
        self.is_away = False

    async def live(self, stack: AsyncExitStack, ready: Callable[[int], None]) -> None:
        """Run until cancelled."""
        self.stack = stack
        self.server = await self.new_server()
        self.proxy = await stack.enter_async_context(FaultProxy("127.0.0.1", self.server.port))
        ready(self.proxy.port)
        try:
            while True:
                await asyncio.sleep(self.random.uniform(1, 10))
                if self.healthy or self.random.random() < 0.3:
                    await self.mild()
                else:
                    await self.harsh()
        finally:
            self.proxy.heal()
            if self.is_away:
                await self.come_back()

    async def new_server(self) -> Server:
        server = serve(
            on_open=self.peers.add,
            on_close=lambda peer, code, reason: self.peers.discard(peer),
            idle_timeout=None,
            close_timeout=0.5,
        )
        return await self.stack.enter_async_context(server)

    async def mild(self) -> None:
        """Mild faults: no link may be lost by them."""
        kind = self.random.choice(["delay", "throttle", "freeze", "freeze to_client", "freeze to_server"])
        if kind == "delay":
            self.proxy.delay(self.random.uniform(0.01, 0.4))
        elif kind == "throttle":
            self.proxy.throttle(self.random.randint(200_000, 1_000_000))
        else:
            self.proxy.freeze(cast(Any, kind.partition(" ")[2] or "both"))
            await asyncio.sleep(self.random.uniform(0.05, 1))
            self.proxy.heal()
            return
        await asyncio.sleep(self.random.uniform(1, 8))
        self.proxy.heal()

    async def harsh(self) -> None:
        """Faults that cost links."""
        faults: list[Callable[[], Any]] = [
            lambda: self.proxy.freeze(),
            lambda: self.proxy.freeze("to_client"),
            lambda: self.proxy.freeze("to_server"),
            self.refuse,
            self.hang,
            lambda: self.proxy.delay(self.random.uniform(3, 6)),
            lambda: self.proxy.throttle(self.random.randint(200, 2000)),
            lambda: self.proxy.cut_after(self.random.randint(1, 20_000)),
            self.proxy.reset,
            self.proxy.disconnect,
            self.send_away,
            self.restart,
        ]
        since = time.monotonic()
        tell(fault=self.number, since=since, until=None)
        try:
            result = self.random.choice(faults)()
            if asyncio.iscoroutine(result):
                await result
            else:
                await asyncio.sleep(self.random.uniform(0.1, 12))
        finally:
            self.proxy.heal()
            tell(fault=self.number, since=since, until=time.monotonic())

    def refuse(self) -> None:
        self.proxy.reset()
        self.proxy.refuse()

    def hang(self) -> None:
        self.proxy.disconnect()
        self.proxy.hang()

    async def send_away(self) -> None:
        for peer in list(self.peers):
            peer.close(self.random.choice(CODES), self.random.choice(["", "maintenance", "retry-after=1"]))
        await asyncio.sleep(1)

    async def restart(self) -> None:
        """Stop the server, stay away a while, come back on another port."""
        self.is_away = True
        await self.server.close()
        await asyncio.sleep(self.random.uniform(0, 5))
        await self.come_back()

    async def come_back(self) -> None:
        self.server = await self.new_server()
        self.proxy.retarget("127.0.0.1", self.server.port)
        self.is_away = False


def tell(**facts: Any) -> None:
    """Write one line for the other process."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def run_faulty_servers(seed: int, healthy: int) -> None:
    """Report the ports, then each fault and how late this loop is, until told to stop the faults."""
    is_over = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop_faults() -> None:
        loop.remove_reader(0)
        os.read(0, 100)
        is_over.set()

    loop.add_reader(0, stop_faults)
    ports: dict[int, int] = {}
    async with AsyncExitStack() as stack:
        sites = [Site(number, number < healthy, seed) for number in range(SITES)]

        def ready(number: int) -> Callable[[int], None]:
            def note(port: int) -> None:
                ports[number] = port
                if len(ports) == SITES:
                    tell(ports=[ports[number] for number in range(SITES)])

            return note

        living = [asyncio.create_task(site.live(stack, ready(site.number))) for site in sites]
        late = asyncio.create_task(_lateness())
        await asyncio.wait(
            [*living, asyncio.create_task(is_over.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        for task in [*living, late]:
            task.cancel()
        for result in await asyncio.gather(*living, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        tell(faults_are_over=True)
        end = asyncio.Event()
        loop.add_reader(0, end.set)
        await end.wait()


async def _lateness() -> None:
    while True:
        due = time.monotonic() + 0.1
        await asyncio.sleep(0.1)
        late = time.monotonic() - due
        if late > 0.5:
            tell(late=late, until=time.monotonic())
