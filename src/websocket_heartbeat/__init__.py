"""A WebSocket connection that outlives its sockets."""

from websocket_heartbeat.client import Connection, connect
from websocket_heartbeat.config import Backoff, Heartbeat
from websocket_heartbeat.errors import (
    ConnectionClosed,
    ConnectionFailed,
    EngineNotInstalled,
    HandshakeError,
    HandshakeRejected,
    HookFailed,
    MessageTooBig,
    NotConnected,
    ProtocolViolation,
    ProxyFailed,
    SendQueueFull,
    ServerClosed,
    Undelivered,
    WebSocketHeartbeatError,
)
from websocket_heartbeat.events import CloseEvent, Message, OpenEvent, ReconnectEvent, State, Stats
from websocket_heartbeat.fleet import Fleet

__all__ = [
    "Backoff",
    "CloseEvent",
    "Connection",
    "ConnectionClosed",
    "ConnectionFailed",
    "EngineNotInstalled",
    "Fleet",
    "HandshakeError",
    "HandshakeRejected",
    "Heartbeat",
    "HookFailed",
    "Message",
    "MessageTooBig",
    "NotConnected",
    "OpenEvent",
    "ProtocolViolation",
    "ProxyFailed",
    "ReconnectEvent",
    "SendQueueFull",
    "ServerClosed",
    "State",
    "Stats",
    "Undelivered",
    "WebSocketHeartbeatError",
    "connect",
]
