"""ASGI: the middleware that makes peers of an application's WebSockets, and what `Hub.accept` uses of it.

Pure ASGI, so that it works for every framework: only there is the server's own `send` to be seen. The
endpoint gets a `receive` and a `send` of ours: what comes is read ahead of it, so that the heartbeats of its
client are answered whatever it is doing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, MutableMapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from websocket_heartbeat.checks import check_close
from websocket_heartbeat.controls import SUBPROTOCOL
from websocket_heartbeat.engines.base import LinkEvents
from websocket_heartbeat.errors import NotCommitted, PeerGone
from websocket_heartbeat.server.admission import Refusal, Request
from websocket_heartbeat.server.gate import Gate
from websocket_heartbeat.server.handler import PeerHandler
from websocket_heartbeat.server.links.asgi_channel import AsgiChannel, Receive
from websocket_heartbeat.server.links.asgi_refusal import refuse, to_bytes
from websocket_heartbeat.server.links.asgi_servers import Event, Send, largest_message
from websocket_heartbeat.server.links.pump import PumpedLink
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.server.sessions.door import Door
from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.system.callbacks import log_raised

Scope = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[Any]]
"""An application. Each framework has types of its own for what it is called with."""

_KEY = "websocket_heartbeat"
"""Where the scope holds the connections, by their hubs."""

_connections: "ContextVar[dict[Hashable, AsgiConnection]]" = ContextVar("_connections")
"""Those whose endpoint the running task is, by their hubs."""

_LONGEST_REASON = 123
"""Bytes that a close frame has for its reason: RFC 6455, section 5.5."""

_LAST_WORDS = 0.5
"""Seconds that an endpoint that is cancelled waits for its close frame to leave."""


class HasScope(Protocol):
    """What frameworks give to an endpoint: their object of a WebSocket, which has the scope."""

    @property
    def scope(self) -> Any:
        """The scope of ASGI."""


class AsgiMiddleware:
    """Wraps an application; `Hub.asgi` makes it.

    owner: the hub, by which an endpoint finds what belongs to it, as there may be several.
    elsewhere: returns the application that a WebSocket, given by its scope, is for in place of this one, and
    without the hub; None: it is for these.
    """

    def __init__(
        self, app: App, gate: Gate, owner: Hashable, elsewhere: Callable[[Scope], App | None]
    ) -> None:
        self._app = app
        self._gate = gate
        self._owner = owner
        self._elsewhere = elsewhere

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the application."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        connections = scope.setdefault(_KEY, {})
        if self._owner in connections:  # it stands before an outer application too
            await self._app(scope, receive, send)
            return
        elsewhere = self._elsewhere(scope)
        if elsewhere is not None:
            await elsewhere(scope, receive, send)
            return
        # In the scope itself, not in a copy: middlewares around this one look for what routers put into it.
        connection = connections[self._owner] = AsgiConnection(self._gate, receive, send)
        _connections.set(connections)
        try:
            await connection.run(self._app, scope)
        finally:
            await connection.let_go()
            if not connection.is_serving:
                del connections[self._owner]


class AsgiConnection:
    """One WebSocket, from its handshake to the end of its endpoint, or to its own end if it is a session's.

    The endpoint of a client that offers a session is run by a task of its own, as it is to outlive the link.
    If a session begins, it goes on until that is over. If the link resumes one, whose endpoint runs already,
    or comes to nothing, it is cancelled where it accepts.

    is_serving: whether the endpoint still runs.
    """

    def __init__(self, gate: Gate, receive: Receive, send: Send) -> None:
        self._gate = gate
        self._receive = receive
        self._send = send
        self.is_serving: bool = False
        self._http_version = ""
        self._door: Door | None = None  # of a link that is a session's
        self._carried: asyncio.Future[None] | None = None  # done when it is gone; None: no session is offered
        self._has_opened = False  # whether there is a peer
        self._has_connected = False  # whether the event websocket.connect was received
        self._connect: Event | None = None  # that event, until the endpoint asks for it
        self._early: asyncio.Task[Event] | None = None  # waits for an event before the endpoint has accepted
        self._opening: asyncio.Future[None] | None = None  # done once it has
        self._is_receiving = False
        self._turn: asyncio.Future[None] | None = None  # done when the next of several tasks may receive
        self._has_messages = True  # whether the endpoint gets them here, and not a hook or `Hub.accept`
        self._answer: Event = {}  # what `Hub.accept` adds to the event websocket.accept
        self._handler: PeerHandler
        self._channel: AsgiChannel | None = None
        self._link: PumpedLink

    async def run(self, app: App, scope: Scope) -> None:
        """Decide about the client; if it is let in, run the application and see to the end."""
        decision = await self._gate.decide(_request(scope))
        self._http_version = scope.get("http_version", "1.1")
        if isinstance(decision, Refusal):
            timeout = self._gate.roster.policy.close_timeout
            await refuse(decision, scope, self._receive, self._send, timeout)
            return
        self._handler = decision
        offered = scope.get("subprotocols") or ()
        if self._gate.has_sessions and SUBPROTOCOL in offered:
            scope["subprotocols"] = [name for name in offered if name != SUBPROTOCOL]
            await self._carry(app, scope)
            return
        try:
            await self._serve(app, scope)
        except Exception:
            await self._wait_gone()
            raise
        except BaseException:
            if self._has_opened:
                await self._link.wait_written(_LAST_WORDS)
            raise
        await self._wait_gone()

    async def _wait_gone(self) -> None:
        if self._has_opened:
            await self._handler.wait_gone()

    async def _carry(self, app: App, scope: Scope) -> None:
        """Run the application in a task of its own; return when the link is gone.

        Raises what the application does while the link is here.
        """
        carried = self._carried = asyncio.get_running_loop().create_future()
        serving = self._gate.roster.spawn(self._serve_apart(app, scope, carried), None)
        try:
            await asyncio.wait((serving, carried), return_when=asyncio.FIRST_COMPLETED)
            if self._door is not None:
                await asyncio.wait((carried,))
        except asyncio.CancelledError:
            if self._door is None:
                serving.cancel()
            else:
                self._door.part(1001, "")
                await self._link.wait_written(_LAST_WORDS)
            raise
        if serving.done() and not serving.cancelled() and (error := serving.result()) is not None:
            raise error

    async def _serve_apart(self, app: App, scope: Scope, carried: asyncio.Future[None]) -> Exception | None:
        """Run the application; return what it has raised, or log it, if nobody is here to take it."""
        try:
            await self._serve(app, scope)
        except asyncio.CancelledError:
            if self._door is None or self._has_opened:
                raise
            return None  # as it was to be: its link begins no session
        except Exception as error:
            if not carried.done():
                return error
            what = f"the endpoint of {self._handler.peer!r}"
            log_raised(self._gate.roster.log.error, what, error, self._handler.fields)
        return None

    async def _serve(self, app: App, scope: Scope) -> None:
        """Run the application, and close the connection as it ends."""
        self.is_serving = True
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            if not self._has_opened:
                raise
            if not (isinstance(error, PeerGone) and self._handler.end is not None):
                if isinstance(error, NotCommitted):  # as where it is cancelled, its message comes again
                    self._handler.endpoint_cancelled()
                else:
                    self._handler.endpoint_failed()
                raise
            # else the endpoint has been told by this that its client is gone, and has ended
        except BaseException:
            if self._has_opened:
                self._handler.endpoint_cancelled()
            raise
        else:
            if self._has_opened:
                self._handler.endpoint_returned()
        finally:
            self.is_serving = False
            if self._early is not None:
                self._early.cancel()
            if self._channel is None:
                self._handler.never_opened()

    # What the endpoint calls

    async def receive(self) -> Event:
        """Return the next event, as `receive` of ASGI."""
        while self._is_receiving:
            await self._wait_turn()
        self._is_receiving = True
        try:
            if self._connect is not None:
                connect, self._connect = self._connect, None
                return connect
            if not self._has_opened:
                event = await self._receive_early()
                if event is not None:
                    return event
            message = await self._handler.mailbox.recv() if self._has_messages else None
            if message is None:
                await self._handler.wait_gone()
                return self._disconnect()
        finally:
            self._end_turn()
        kind = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", kind: message}

    async def _wait_turn(self) -> None:
        if self._turn is None:
            self._turn = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._turn,))

    def _end_turn(self) -> None:
        self._is_receiving = False
        if self._turn is not None:
            self._turn.set_result(None)
            self._turn = None

    async def _be_connected(self) -> None:
        """Receive websocket.connect, if the endpoint has not: those of Quart 0.23 may accept before."""
        while not self._has_connected:
            if self._is_receiving:
                await self._wait_turn()
                continue
            self._is_receiving = True
            try:
                self._connect = await self._receive()
                self._has_connected = True
            finally:
                self._end_turn()

    async def _receive_early(self) -> Event | None:
        """Return an event that comes before the endpoint has accepted; None once it has."""
        if not self._has_connected:
            event = await self._receive()
            self._has_connected = True
            return event
        loop = asyncio.get_running_loop()
        if self._opening is None:
            self._opening = loop.create_future()
        if self._channel is None:
            early = self._early = self._early or loop.create_task(self._receive_event())
            await asyncio.wait((early, self._opening), return_when=asyncio.FIRST_COMPLETED)
            if self._channel is None:
                return early.result()
        await asyncio.wait((self._opening,))  # which is for a session until there is one, or none comes of it
        return None if self._has_opened else self._disconnect()

    async def _receive_event(self) -> Event:
        return await self._receive()

    def _disconnect(self) -> Event:
        if self._door is None and self._channel is not None and self._channel.disconnect is not None:
            return self._channel.disconnect
        # The hub has dropped it; or a session is over, or has none begun.
        code, reason = self._handler.end or (None, "")
        return {"type": "websocket.disconnect", "code": code or 1006, "reason": reason}

    async def send(self, event: Event) -> None:
        """Send an event, as `send` of ASGI.

        Raises:
            PeerGone: an OSError, as the client is gone, or was asked to go and has gone.
            TypeError, ValueError: the code of a close frame is none, or a text is the hub's `dismissal`.
        """
        kind = event["type"]
        if self._channel is None:
            if kind == "websocket.accept":
                await self._accept({**event, **self._answer})
            else:
                await self._send(event)
        elif self._handler.end is not None or not self._has_opened:
            raise self._handler.gone_error()
        elif kind == "websocket.close":
            code, reason = event.get("code", 1000), _cut(event.get("reason") or "")
            check_close(code, reason)
            if code == 1000:
                self._handler.endpoint_returned(reason)
            else:
                self._handler.endpoint_failed(code, reason)
        elif self._door is None and self._link.is_closing:
            await self._handler.wait_gone()
            raise self._handler.gone_error()
        else:
            text = event.get("text")
            message = event["bytes"] if text is None else text
            self._handler.keeper.policy.check_allowed(message)
            if self._door is None:
                await self._link.send_now(message)
            else:
                await self._handler.drain()  # the endpoint knows nothing of windows
                self._handler.send(message)

    async def accept(
        self,
        websocket: object,
        subprotocol: str | None,
        headers: Sequence[tuple[str, str]],
        principal: Hashable | None,
    ) -> Peer:
        """Let the client in, unless the endpoint has done so; return its peer, which has the messages."""
        if principal is not None:
            self._handler.principal = principal
        if self._channel is None:
            if subprotocol is not None:
                self._answer["subprotocol"] = subprotocol
            if headers:
                self._answer["headers"] = to_bytes(headers)
            await self._accept_by(websocket)
        if self._has_messages:
            self._has_messages = False
            self._handler.mailbox.release()
        return self._handler.peer

    async def session(self) -> SessionLink | None:
        """Return the session of the client, once it is known; None: it has none."""
        if self._carried is None:
            return None
        if not self._has_opened:
            self._opening = self._opening or asyncio.get_running_loop().create_future()
            await asyncio.wait((self._opening,))
        return self._handler.session if self._has_opened else None

    # The beginning and the end

    async def _accept_by(self, websocket: object) -> None:
        """Accept by the framework's object, if it can, so that it knows."""
        accept = getattr(websocket, "accept", None)
        if accept is not None:
            await accept()
        if not self._has_connected:
            await self.receive()
        if self._channel is None:
            await self.send({"type": "websocket.accept"})

    async def _accept(self, event: Event) -> None:
        """Accept the WebSocket, and wait for the peer.

        Raises:
            CancelledError: none comes of it: the link resumes a session, or ends before one has begun.
        """
        await self._be_connected()
        subprotocol = event.get("subprotocol")
        carried = self._carried
        if carried is None:
            await self._send(event)
            self._begin(self._handler, subprotocol)
            self._has_opened = True
        else:
            await self._send({**event, "subprotocol": SUBPROTOCOL})
            door = self._door = self._gate.door(self._handler, subprotocol, largest_message(self._send))
            door.gone().add_done_callback(lambda _: carried.set_result(None))
            self._begin(door, SUBPROTOCOL)
            self._has_opened = await door.has_begun()
        if self._opening is not None:
            self._opening.set_result(None)
        if not self._has_opened:
            raise asyncio.CancelledError
        self._has_messages = not self._handler.mailbox.is_taken_by_hook

    def _begin(self, events: LinkEvents, subprotocol: str | None) -> None:
        self._channel = AsgiChannel(self._receive, self._send, self._http_version, subprotocol, self._early)
        self._early = None
        self._link = PumpedLink(self._channel, events)
        self._link.begin()

    def finish(self) -> None:
        """Take the news that the block of `Hub.accept` has ended."""
        self._handler.endpoint_returned()

    async def let_go(self) -> None:
        """Wait until the server has taken a close frame that is in place of a reset, if it does in time.

        granian may keep the connection of an application that ends meanwhile.
        """
        closing = None if self._channel is None else self._channel.closing
        if closing is not None:
            await asyncio.wait([closing], timeout=self._gate.roster.policy.close_timeout)
            closing.cancel()


def connection_of(websocket: HasScope | Scope, owner: Hashable) -> AsgiConnection:
    """Return the connection that the middleware of that hub has made.

    Raises:
        RuntimeError: there is none.
        TypeError: this is no WebSocket.
    """
    scope = websocket if isinstance(websocket, MutableMapping) else getattr(websocket, "scope", None)
    if not isinstance(scope, MutableMapping):
        given = type(websocket).__name__
        raise TypeError(f"websocket must be what the framework gives to an endpoint, not {given}")
    connection = scope.get(_KEY, {}).get(owner)
    if connection is None:
        raise RuntimeError(
            "the middleware of this hub is missing: app.add_middleware(hub.asgi), or app = hub.asgi(app)"
        )
    assert isinstance(connection, AsgiConnection)
    return connection


def connection_here(owner: Hashable) -> AsgiConnection | None:
    """Return the connection whose endpoint the running task is, as the middleware of that hub has made it."""
    return _connections.get({}).get(owner)


def _cut(reason: str) -> str:
    """Return as much of a reason as a close frame has room for."""
    return reason.encode(errors="replace")[:_LONGEST_REASON].decode(errors="ignore")


def _request(scope: Scope) -> Request:
    client = scope.get("client")
    return Request(
        scope["path"],
        scope.get("query_string", b"").decode("latin-1"),
        tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
        # granian gives the port as a str.
        remote_address=None if client is None or client[1] is None else (client[0], int(client[1])),
    )
