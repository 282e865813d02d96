"""Programs in Node that have a session with our hub, and a hub that notes what it gets."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tests.miniprogram.conftest import Npm, installed
from tests.miniprogram.led import Program, led
from tests.miniprogram.real_hosts import HOSTS

from websocket_heartbeat.cli.js import library
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer

QUICK = {"pingTimeout": 300, "pongTimeout": 1000, "reconnectTimeout": 50, "openTimeout": 3000}

Start = Callable[..., contextlib.AbstractAsyncContextManager[Program]]


def starter(node: str, npm: Npm, real_hosts: Path, directory: Path) -> Start:
    """Return what starts a program of node/session.js, with the scripts built into a directory."""
    modules = installed(npm, HOSTS)
    for target in ("miniprogram", "browser", "session"):
        (directory / f"{target}.js").write_text(library("cjs", target, minify=True))

    @contextlib.asynccontextmanager
    async def start(
        kind: str,
        url: str,
        mode: str = "prefer",
        holding: bool = False,
        how: Any = None,
        place: Any = None,
        **options: Any,
    ) -> AsyncIterator[Program]:
        about = {
            "library": str(directory / ("browser.js" if kind == "page" else "miniprogram.js")),
            "session": str(directory / "session.js"),
            "kind": kind,
            "modules": str(modules),
            "bundles": str(real_hosts),
            "url": url,
            "mode": mode,
            "how": how,
            "place": place,
            "holding": holding,
            "options": {**QUICK, **options},
        }
        async with led(node, "session.js", about) as program:
            yield program

    return start


class Ledger:
    """A hub that answers, and what it was told."""

    def __init__(self) -> None:
        self.up: list[Message] = []
        self.ends: list[tuple[str, tuple[Message, ...]]] = []
        self.hub = Hub(sessions="memory", on_message=self.answer, on_session_end=self.ended)

    def answer(self, peer: Peer, message: Message) -> None:
        self.up.append(message)
        peer.send(message)

    def ended(self, session: str, why: str, unacknowledged: tuple[Message, ...]) -> None:
        self.ends.append((why, unacknowledged))


def told(program: Program, name: str) -> list[list[Any]]:
    return [event[1:] for event in program.told if event[0] == name]
