"""The pairs of client and server that are compared, how each is started, and which versions they are."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tools.npm import find_node

from benchmarks.node_peers import NodePeers

HERE = Path(__file__).parent
NODE_PEERS = NodePeers(
    HERE.parents[1] / "build" / "delivery",
    {
        "@microsoft/signalr": "10.0.11",
        "@microsoft/signalr-protocol-msgpack": "10.0.11",
        "reconnecting-websocket": "4.4.0",
        "socket.io": "4.8.4",
        "socket.io-client": "4.8.4",
        "ws": "8.23.0",
    },
)


@dataclass(frozen=True)
class End:
    """One program. module: of `pairs`, or "peers.mjs". kind: its last argument."""

    module: str
    kind: str

    def command(self, role: str, options: dict[str, Any]) -> list[str]:
        text = json.dumps({**options, "role": role})
        if self.module == "peers.mjs":
            return [
                find_node(),
                str(HERE / "pairs" / "peers.mjs"),
                str(NODE_PEERS.folder),
                text,
                role,
                self.kind,
            ]
        return [sys.executable, "-m", f"benchmarks.delivery.pairs.{self.module}", text, role, self.kind]


@dataclass(frozen=True)
class Contestant:
    """One row of the table.

    packages: whose versions are told. note: how it is configured.
    """

    name: str
    client: End
    server: End
    packages: tuple[str, ...]
    note: str

    @property
    def versions(self) -> dict[str, str] | None:
        """The installed ones; None if one is missing."""
        found = {package: _version(package) for package in self.packages}
        return None if None in found.values() else {name: str(text) for name, text in found.items()}


def _both(module: str, kind: str = "") -> tuple[End, End]:
    return End(module, kind), End(module, kind)


CONTESTANTS: Sequence[Contestant] = (
    Contestant(
        "websocket-heartbeat, session",
        *_both("ours", "session"),
        ("websocket-heartbeat",),
        '`connect(session="require")`, `Hub(sessions="sqlite:///...")`; producers await `send`, '
        "and `drain` and `hub.send`",
    ),
    Contestant(
        "websocket-heartbeat",
        *_both("ours", "plain"),
        ("websocket-heartbeat",),
        "the same without a session",
    ),
    Contestant(
        "websockets",
        *_both("with_websockets"),
        ("websockets",),
        "`async for websocket in connect(...)`; pings each second",
    ),
    Contestant(
        "aiohttp",
        *_both("with_aiohttp"),
        ("aiohttp",),
        "`ws_connect(heartbeat=2)` in a loop by hand",
    ),
    Contestant(
        "python-socketio",
        *_both("with_socketio", "plain"),
        ("python-socketio",),
        "`emit`; its server has no connection state recovery",
    ),
    Contestant(
        "python-socketio, acknowledged",
        *_both("with_socketio", "acknowledged"),
        ("python-socketio",),
        "`call`, again after 1 s without an acknowledgement: at least once, one message at a time",
    ),
    Contestant(
        "aiosignalr",
        *_both("with_aiosignalr"),
        ("aiosignalr",),
        "SignalR's stateful reconnect on both sides, and a retry policy behind it",
    ),
    Contestant(
        "@microsoft/signalr",
        End("peers.mjs", "signalr"),
        End("with_aiosignalr", ""),
        ("@microsoft/signalr", "aiosignalr"),
        "`withStatefulReconnect`, `withAutomaticReconnect`, MessagePack, in Node; the server is aiosignalr's",
    ),
    Contestant(
        "socket.io",
        *_both("peers.mjs", "socket.io"),
        ("socket.io", "socket.io-client"),
        "`connectionStateRecovery` of 2 min, messages to a room, in Node",
    ),
    Contestant(
        "socket.io, acknowledged",
        *_both("peers.mjs", "socket.io acknowledged"),
        ("socket.io", "socket.io-client"),
        "the same, with `ackTimeout` and `retries` up, and `emitWithAck` until it is answered down: at least "
        "once, one message at a time",
    ),
    Contestant(
        "reconnecting-websocket",
        End("peers.mjs", "reconnecting-websocket"),
        End("with_websockets", ""),
        ("reconnecting-websocket", "ws", "websockets"),
        "its buffer on, in Node; the server is that of websockets",
    ),
)


def _version(package: str) -> str | None:
    if package in NODE_PEERS.packages:
        return NODE_PEERS.version(package)
    try:
        return version(package)
    except PackageNotFoundError:
        return None
