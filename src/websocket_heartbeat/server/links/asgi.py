"""ASGI: the middleware that makes peers of an application's WebSockets, and what `Hub.accept` uses of it.

Pure ASGI, so that it works for every framework: only there is the server's own `send` to be seen. The
endpoint gets a `receive` and a `send` of ours: what comes is read ahead of it, so that the heartbeats of its
client are answered whatever it is doing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, MutableMapping, Sequence
from typing import Any, Protocol

from websocket_heartbeat.engines.base import Closure
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.admission import Refusal, Request
from websocket_heartbeat.server.gate import Gate
from websocket_heartbeat.server.handler import PeerHandler
from websocket_heartbeat.server.links.asgi_servers import Wire, complete, wire_of
from websocket_heartbeat.server.links.pump import Channel, PumpedLink
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.system.kernel import TELLS

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY = "websocket_heartbeat.connection"
"""Where the scope holds the connection."""


class HasScope(Protocol):
    """What frameworks give to an endpoint: their object of a WebSocket, which has the scope."""

    @property
    def scope(self) -> Any:
        """The scope of ASGI."""


class AsgiMiddleware:
    """Wraps an application; `Hub.asgi` makes it."""

    def __init__(self, app: App, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        connection = AsgiConnection(self._gate, scope, receive, send)
        await connection.run(self._app)


class AsgiConnection:
    """One WebSocket, from its handshake to the end of its endpoint."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self._gate = gate
        self._scope = scope
        self._receive = receive
        self._send = send
        self._has_connected = False  # whether the event websocket.connect was received
        self._handler: PeerHandler
        self._channel: _AsgiChannel | None = None
        self._link: PumpedLink

    async def run(self, app: App) -> None:
        """Decide about the client; if it is let in, run the application and see to the end."""
        decision = await self._gate.decide(_request(self._scope))
        if isinstance(decision, Refusal):
            await self._refuse(decision)
            return
        self._handler = decision
        scope = {**self._scope, KEY: self}
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._part(1001)
            raise
        except BaseException:
            await self._ended(1011)
            raise
        await self._ended(1000)

    # What the endpoint calls

    async def receive(self) -> Event:
        """Return the next event, as `receive` of ASGI."""
        if self._channel is None:
            event = await self._receive()
            self._has_connected = True
            return event
        mailbox = self._handler.mailbox
        message = None
        if mailbox.is_taken_by_hook:
            await self._handler.wait_gone()
        else:
            message = await mailbox.recv()
        if message is None:
            return self._channel.disconnect or {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        kind = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", kind: message}

    async def send(self, event: Event) -> None:
        """Send an event, as `send` of ASGI.

        Raises:
            PeerGone: an OSError, as the client is gone.
        """
        if self._channel is None:
            await self._send(event)
            if event["type"] == "websocket.accept":
                self._open(event.get("subprotocol"))
        elif self._handler.end is not None:
            raise self._handler.gone_error()
        elif event["type"] == "websocket.close":
            self._handler.close(event.get("code") or 1000, event.get("reason") or "")
        else:
            text = event.get("text")
            await self._link.send_now(event["bytes"] if text is None else text)

    async def accept(
        self, subprotocol: str | None, headers: Sequence[tuple[str, str]], principal: Hashable | None
    ) -> Peer:
        """Let the client in, unless the endpoint has done so; return its peer."""
        if principal is not None:
            self._handler.principal = principal
        if self._channel is None:
            if not self._has_connected:
                await self.receive()
            await self.send(
                {
                    "type": "websocket.accept",
                    "subprotocol": subprotocol,
                    "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
                }
            )
        return self._handler.peer

    # The beginning and the end

    def _open(self, subprotocol: str | None) -> None:
        self._channel = _AsgiChannel(self._receive, self._send, self._scope, subprotocol)
        self._link = PumpedLink(self._channel, self._handler)
        self._link.begin()

    async def _refuse(self, refusal: Refusal) -> None:
        await self._receive()
        if "websocket.http.response" in (self._scope.get("extensions") or {}):
            headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in refusal.headers]
            headers.append((b"content-length", str(len(refusal.body)).encode()))
            await self._send(
                {"type": "websocket.http.response.start", "status": refusal.status, "headers": headers}
            )
            await self._send({"type": "websocket.http.response.body", "body": refusal.body})
        else:
            await self._send({"type": "websocket.close", "code": 1000})

    def _part(self, code: int) -> None:
        if self._channel is not None:
            self._handler.close(code, "")

    async def _ended(self, code: int) -> None:
        """Close the connection, as the endpoint has ended, and wait for the end."""
        self._part(code)
        if self._channel is not None:
            await self._handler.wait_gone()


class _AsgiChannel(Channel):
    """disconnect: the event that has ended it, None before."""

    def __init__(self, receive: Receive, send: Send, scope: Scope, subprotocol: str | None) -> None:
        self._receive = receive
        self._send = complete(send)
        self._wire: Wire | None = wire_of(send, scope)
        self.subprotocol = subprotocol
        self.disconnect: Event | None = None
        if self._wire is not None:
            self.socket = self._wire.socket
            self.can_ping = TELLS  # what answers a ping is seen by the kernel alone

    async def receive(self) -> Message | Closure | None:
        event = await self._receive()
        if event["type"] == "websocket.receive":
            text: str | None = event.get("text")
            data: Message = event["bytes"] if text is None else text
            return data
        self.disconnect = event
        code = event.get("code")
        has_code = code is not None and code not in (1005, 1006)
        return Closure(code if has_code else None, event.get("reason") or "", framed=code != 1006)

    async def send(self, message: Message) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        await self._send({"type": "websocket.send", kind: message})

    async def close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def ping(self) -> None:
        if self._wire is not None:
            self._wire.ping()

    def reset(self) -> None:
        if self._wire is not None:
            self._wire.reset()
        else:
            self._closing = asyncio.get_running_loop().create_task(self._close_quietly())

    def pause_reading(self) -> None:
        if self._wire is not None:
            self._wire.pause_reading()

    def resume_reading(self) -> None:
        if self._wire is not None:
            self._wire.resume_reading()

    async def _close_quietly(self) -> None:
        try:
            await self.close(1001, "")
        except Exception:  # it has ended by itself
            pass

    @property
    def buffered(self) -> int:
        return 0 if self._wire is None else self._wire.buffered


def connection_of(websocket: HasScope | Scope) -> AsgiConnection:
    """Return the connection that the middleware has made.

    Raises:
        RuntimeError: there is none.
    """
    scope = websocket if isinstance(websocket, MutableMapping) else websocket.scope
    connection = scope.get(KEY)
    if connection is None:
        raise RuntimeError("the middleware is missing: app.add_middleware(hub.asgi)")
    assert isinstance(connection, AsgiConnection)
    return connection


def _request(scope: Scope) -> Request:
    client = scope.get("client")
    return Request(
        scope["path"],
        scope.get("query_string", b"").decode("latin-1"),
        tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
        remote_address=None if client is None else (client[0], client[1]),
    )
