"""The hooks of peers: which of the user's functions are called with what happens to them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from websocket_heartbeat.checks import check_hook
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.peer import Peer

# A hook may be a function or a coroutine function: what it returns is awaited where it can be.
OpenHook = Callable[[Peer], Any]
MessageHook = Callable[[Peer, Message], Any]
CloseHook = Callable[[Peer, int | None, str], Any]


@dataclass(frozen=True, slots=True)
class Hooks:
    """Those of a peer, checked; `serve` documents each. Without on_message, messages wait for `Peer.recv`."""

    on_message: MessageHook | None = None
    on_open: OpenHook | None = None
    on_close: CloseHook | None = None

    def __post_init__(self) -> None:
        for name, hook, arguments in (
            ("on_message", self.on_message, 2),
            ("on_open", self.on_open, 1),
            ("on_close", self.on_close, 3),
        ):
            if hook is not None:
                check_hook(name, hook, arguments)

    def or_those_of(self, other: "Hooks") -> "Hooks":
        """Return these, with the other's where there is none."""
        return Hooks(
            self.on_message or other.on_message,
            self.on_open or other.on_open,
            self.on_close or other.on_close,
        )
