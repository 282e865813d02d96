"""A WebSocket connection that outlives its sockets.

Names are imported when they are first used: pytest loads this package in every run of every user, for the
fixtures in `testing`, and asyncio alone takes longer to import than most tests to run.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from websocket_heartbeat.version import __version__

if TYPE_CHECKING:
    from websocket_heartbeat.client import Connection, connect
    from websocket_heartbeat.config import FINAL_CLOSE_CODES, Backoff, Dialect, Heartbeat, Session
    from websocket_heartbeat.errors import (
        ConnectionClosed,
        ConnectionFailed,
        EngineNotInstalled,
        HandshakeError,
        HandshakeRejected,
        HookFailed,
        LinkRejected,
        MessageTooBig,
        NotConnected,
        NotJSON,
        ProtocolViolation,
        ProxyFailed,
        ProxyNotSupported,
        RedirectRefused,
        SendQueueFull,
        ServerClosed,
        SessionNotOffered,
        SessionOver,
        Undelivered,
        WebSocketHeartbeatError,
    )
    from websocket_heartbeat.events import (
        CloseEvent,
        Message,
        OpenEvent,
        ReconnectEvent,
        SessionEvent,
        State,
        Stats,
    )
    from websocket_heartbeat.fleet import Fleet

__all__ = [
    "FINAL_CLOSE_CODES",
    "Backoff",
    "CloseEvent",
    "Connection",
    "ConnectionClosed",
    "ConnectionFailed",
    "Dialect",
    "EngineNotInstalled",
    "Fleet",
    "HandshakeError",
    "HandshakeRejected",
    "Heartbeat",
    "HookFailed",
    "LinkRejected",
    "Message",
    "MessageTooBig",
    "NotConnected",
    "NotJSON",
    "OpenEvent",
    "ProtocolViolation",
    "ProxyFailed",
    "ProxyNotSupported",
    "ReconnectEvent",
    "RedirectRefused",
    "SendQueueFull",
    "ServerClosed",
    "Session",
    "SessionEvent",
    "SessionNotOffered",
    "SessionOver",
    "State",
    "Stats",
    "Undelivered",
    "WebSocketHeartbeatError",
    "__version__",
    "connect",
]

if not TYPE_CHECKING:
    _HOMES = {
        "client": ("Connection", "connect"),
        "config": ("FINAL_CLOSE_CODES", "Backoff", "Dialect", "Heartbeat", "Session"),
        "events": ("CloseEvent", "Message", "OpenEvent", "ReconnectEvent", "SessionEvent", "State", "Stats"),
        "fleet": ("Fleet",),
    }

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = next((home for home, names in _HOMES.items() if name in names), "errors")
        value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
