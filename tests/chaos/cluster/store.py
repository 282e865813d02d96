"""The store of the cluster chaos: one server, or two, of which one follows the other and may take over."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.server.sessions.valkey import Valkey
from tests.watch import PATIENCE

from websocket_heartbeat.testing import FaultProxy

_OPTIONS = {"aof": ("--appendonly", "yes", "--appendfsync", "always"), "memory": (), "replica": ()}


class Store:
    """kind: as in Row. port: where workers find it, over all failovers."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._servers: list[Valkey] = []  # with a replica, it is the second one
        self._address: FaultProxy | None = None
        self._replication: FaultProxy | None = None
        self.port = 0

    async def start(self, stack: AsyncExitStack, *, is_public: bool) -> None:
        """Start it. is_public: whether it is to be reached from other hosts than this one."""
        for number in range(2 if self._kind == "replica" else 1):
            folder = self._folder / f"valkey-{number}"
            folder.mkdir()
            options = _OPTIONS[self._kind]
            if is_public:
                options += ("--bind", "*", "--protected-mode", "no")
            server = Valkey(folder, *options, "--repl-diskless-sync-delay", "0")
            await asyncio.to_thread(server.start)
            stack.callback(server.kill)
            self._servers.append(server)
        self.port = self._servers[0].port
        if self._kind == "replica":
            self._address = await stack.enter_async_context(FaultProxy("127.0.0.1", self.port))
            self._replication = await stack.enter_async_context(FaultProxy("127.0.0.1", self.port))
            self.port = self._address.port
            await self._follow()

    async def _follow(self) -> None:
        """Have the second server follow the first one; return when it does."""
        assert self._replication is not None
        primary, replica = self._servers
        self._replication.retarget("127.0.0.1", primary.port)
        await asyncio.to_thread(_ask, replica, "REPLICAOF", "127.0.0.1", self._replication.port)
        async with asyncio.timeout(PATIENCE):
            while (await asyncio.to_thread(_told, replica)).get("master_link_status") != "up":  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def kill_and_start(self, after: float) -> None:
        """Kill it, and start it again after so many seconds."""
        await asyncio.to_thread(self._servers[0].kill)
        await asyncio.sleep(after)
        await asyncio.to_thread(self._servers[0].start)

    async def fail_over(self, lag: float) -> int:
        """Have the replica take over, which lacks the writes of so many seconds; return how many bytes."""
        assert self._address is not None
        assert self._replication is not None
        primary, replica = self._servers
        self._replication.freeze()
        await asyncio.sleep(lag)
        written = int((await asyncio.to_thread(_told, primary))["master_repl_offset"])
        await asyncio.to_thread(primary.kill)
        lacks = written - int((await asyncio.to_thread(_told, replica))["slave_repl_offset"])
        await asyncio.to_thread(_ask, replica, "REPLICAOF", "NO", "ONE")
        self._address.retarget("127.0.0.1", replica.port)
        self._address.reset()
        self._replication.reset()
        self._replication.thaw()
        self._servers.reverse()
        await asyncio.to_thread(primary.start)
        await self._follow()
        return lacks


def _ask(server: Valkey, *command: object) -> None:
    with server.client() as client:
        client.execute_command(*command)


def _told(server: Valkey) -> dict[str, Any]:
    with server.client() as client:
        told: dict[str, Any] = client.info("replication")
        return told
