"""A client under test, as the judge sees it: a process that takes orders and tells what happens."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.npm import find_node

from benchmarks.node_peers import NodePeers

HERE = Path(__file__).parent
NODE_PEERS = NodePeers(
    HERE.parents[1] / "build" / "torture",
    {
        "websocket-heartbeat-js": "1.1.3",
        "reconnecting-websocket": "4.4.0",
        "partysocket": "1.3.0",
        "ws": "8.23.0",
    },
)
LINE_LIMIT = 2**22


@dataclass(frozen=True)
class Client:
    """One client.

    name: as the table has it. adapter: its module, or "peers.mjs". package: what to install.
    dialect: what its server speaks above WebSocket: plain, socketio or centrifuge. can: what it has at all:
    reconnect, heartbeat, pings (which it sends itself), tasks, hooks (for messages), queue, headers, dialogue
    (to send and to wait for the answer, before messages go to the user).
    """

    name: str
    adapter: str
    package: str
    can: frozenset[str]
    dialect: str = "plain"

    @property
    def version(self) -> str | None:
        """The installed one."""
        if self.adapter == "peers.mjs":
            return NODE_PEERS.version(self.package)
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    def command(self, options: dict[str, Any]) -> list[str]:
        if self.adapter == "peers.mjs":
            program = str(HERE / "adapters" / "peers.mjs")
            return [find_node(), program, str(NODE_PEERS.folder), self.name, json.dumps(options)]
        return [sys.executable, "-m", "benchmarks.torture.user", self.adapter, json.dumps(options)]


def _can(*words: str) -> frozenset[str]:
    return frozenset(words)


CLIENTS = (
    Client(
        "websocket-heartbeat",
        "ours",
        "websocket-heartbeat",
        _can("reconnect", "heartbeat", "pings", "tasks", "hooks", "queue", "headers", "dialogue"),
    ),
    Client(
        "websockets",
        "with_websockets",
        "websockets",
        _can("reconnect", "heartbeat", "pings", "tasks", "queue", "headers", "dialogue"),
    ),
    Client("aiohttp", "with_aiohttp", "aiohttp", _can("heartbeat", "pings", "tasks", "queue", "headers")),
    Client("picows", "with_picows", "picows", _can("heartbeat", "pings", "tasks", "hooks", "headers")),
    Client(
        "picows.websockets",
        "with_picows_websockets",
        "picows",
        _can("reconnect", "heartbeat", "pings", "tasks", "queue", "headers", "dialogue"),
    ),
    Client(
        "websocket-client",
        "with_websocket_client",
        "websocket-client",
        _can("reconnect", "heartbeat", "pings", "hooks", "queue", "headers"),
    ),
    Client("httpx-ws", "with_httpx_ws", "httpx-ws", _can("heartbeat", "pings", "tasks", "queue", "headers")),
    Client(
        "python-socketio",
        "with_socketio",
        "python-socketio",
        _can("reconnect", "heartbeat", "tasks", "hooks", "queue", "headers"),
        "socketio",
    ),
    Client(
        "centrifuge-python",
        "with_centrifuge",
        "centrifuge-python",
        _can("reconnect", "heartbeat", "tasks", "hooks", "queue", "headers"),
        "centrifuge",
    ),
    Client(
        "websocket-heartbeat-js",
        "peers.mjs",
        "websocket-heartbeat-js",
        _can("reconnect", "heartbeat", "pings", "hooks"),
    ),
    Client("reconnecting-websocket", "peers.mjs", "reconnecting-websocket", _can("reconnect", "hooks")),
    Client("partysocket", "peers.mjs", "partysocket", _can("reconnect", "hooks")),
)


Event = dict[str, Any]


class ClientProcess:
    """One process of a client.

    events: what it told, as dicts with the kind as "event" and the time as "at" (time.monotonic()).
    """

    def __init__(self, client: Client, url: str, **options: Any) -> None:
        self.client = client
        defaults = {"interval": 1.0, "timeout": 1.0, "open_timeout": 2.0, "close_timeout": 1.0}
        self._options = {"url": url, **defaults, **options}
        self._changed = asyncio.Event()
        self.events: list[Event] = []
        self.stderr = ""

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self.client.command(self._options),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            limit=LINE_LIMIT,
            cwd=HERE.parents[1],
            env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        )
        self._readers = [asyncio.create_task(self._listen()), asyncio.create_task(self._read_errors())]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def order(self, do: str, **details: Any) -> None:
        """Tell the client's user to do something."""
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps({"do": do, **details}) + "\n").encode())

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def told(self, *kinds: str, since: float = 0.0) -> list[Event]:
        """Return what was told of these kinds since then."""
        return [event for event in self.events if event["event"] in kinds and event["at"] >= since]

    async def until(self, condition: Callable[[], object], timeout: float) -> bool:
        """Wait for a condition, looking at every event and every few milliseconds; tell whether it came."""
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), min(left, 0.02))
            except TimeoutError:
                pass
        return True

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            try:
                self.events.append(json.loads(line))
            except ValueError:  # a library that prints
                continue
            self._changed.set()
        self.events.append({"event": "exited", "at": time.monotonic()})
        self._changed.set()

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        while text := await self._process.stderr.read(4096):
            self.stderr = (self.stderr + text.decode(errors="replace"))[-20_000:]
