"""The server of the library websockets: makes peers of its connections."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from websocket_heartbeat.controls import SUBPROTOCOL
from websocket_heartbeat.engines.base import WRITE_LIMIT, Closure
from websocket_heartbeat.errors import ProtocolViolation
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.server.admission import Refusal
from websocket_heartbeat.server.farewell import put_off
from websocket_heartbeat.server.gate import Gate
from websocket_heartbeat.server.handler import PeerHandler
from websocket_heartbeat.server.links.closing import closing, ended
from websocket_heartbeat.server.links.http import Head, answer_fields, asks_for_websocket
from websocket_heartbeat.server.links.pump import Channel, PumpedLink
from websocket_heartbeat.server.links.wires import AsyncioWire
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.system.callbacks import log_raised

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection as ServerConnection  # also for hub.py

HTTPRequest = Request
HTTPResponse = Response

_VIOLATIONS = (1002, 1003, 1007, 1009)
"""Codes that websockets closes with by itself, as the peer broke RFC 6455 or a limit."""

_ANY = 2**30
"""The largest message of a session where any is accepted, in bytes."""

PeerFunction = Callable[[Peer], Awaitable[object]]


class WebsocketsEntrance:
    """Lets clients in from a server of websockets."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        # Those whose handshake is not done; and the application's subprotocol where a session is to begin.
        self._admitted: dict[ServerConnection, PeerHandler] = {}
        self._own: dict[ServerConnection, str | None] = {}

    async def refuse(self, connection: "ServerConnection", request: HTTPRequest) -> HTTPResponse | None:
        """Do as `Hub.refuse`."""
        asked = _head(request).request(connection.transport)
        decision = await self._gate.decide(asked, takes_place=asks_for_websocket(asked))
        if isinstance(decision, Refusal):
            phrase, fields = answer_fields(decision)
            return HTTPResponse(decision.status, phrase, Headers(fields), decision.body)
        self._admitted[connection] = decision
        if self._gate.has_sessions:
            self._offer_session(connection)
        connection.connection_lost_waiter.add_done_callback(lambda _: self._lost(connection))
        return None

    def _offer_session(self, connection: "ServerConnection") -> None:
        """Have the subprotocol of sessions selected if it is offered, and keep the application's."""
        select = connection.protocol.select_subprotocol

        def select_session(offered: Sequence[Subprotocol]) -> Subprotocol | None:
            if SUBPROTOCOL not in offered:
                return select(offered)
            self._own[connection] = select([name for name in offered if name != SUBPROTOCOL])
            return Subprotocol(SUBPROTOCOL)

        connection.protocol.select_subprotocol = select_session  # type: ignore[method-assign, assignment]

    def _lost(self, connection: "ServerConnection") -> None:
        self._own.pop(connection, None)
        decision = self._admitted.pop(connection, None)
        if decision is not None:
            decision.never_opened()

    async def run(self, connection: "ServerConnection", on_peer: PeerFunction | None) -> None:
        """Make a peer of a connection that has opened, unless it is refused now; run `on_peer` to its end."""
        decision = self._admitted.pop(connection, None) or await self._decide(connection)
        if isinstance(decision, Refusal):
            await connection.close(*_close_of(decision))
            return
        if connection.keepalive_task is not None:
            # The hub pings. And this would drop a healthy peer while reading from it pauses.
            connection.keepalive_task.cancel()
        channel = _WebsocketsChannel(connection)
        if self._gate.has_sessions and connection.subprotocol == SUBPROTOCOL:
            door = self._gate.door(decision, self._own.pop(connection, None), _largest(connection) - 1)
            PumpedLink(channel, door).begin()
            if await door.has_begun() and on_peer is not None:
                self._gate.roster.spawn(self._serve_session(decision, on_peer), None)
            await ended(door)
        else:
            PumpedLink(channel, decision).begin()
            async with closing(decision) as peer:
                await (peer.wait_closed() if on_peer is None else on_peer(peer))

    async def _serve_session(self, handler: PeerHandler, on_peer: PeerFunction) -> None:
        """Run `on_peer` in a task of its own, as it outlives the connection."""
        try:
            async with closing(handler) as peer:
                await on_peer(peer)
        except Exception as error:
            what = f"on_peer for {handler.peer!r}"
            log_raised(self._gate.roster.log.error, what, error, {**handler.fields, "hook": "on_peer"})

    async def _decide(self, connection: "ServerConnection") -> PeerHandler | Refusal:
        """Decide about a connection that has opened, as process_request is not `refuse`."""
        request = connection.request
        assert request is not None  # as it has opened
        return await self._gate.decide(_head(request).request(connection.transport))


def _largest(connection: "ServerConnection") -> int:
    """Return how many bytes of a message are accepted; websockets 15 has another name for it."""
    protocol = connection.protocol
    largest: int | None = getattr(protocol, "max_message_size", None) or getattr(protocol, "max_size", None)
    return largest or _ANY


def _head(request: HTTPRequest) -> Head:
    return Head("GET", request.path, "HTTP/1.1", list(request.headers.raw_items()))


def _close_of(refusal: Refusal) -> tuple[int, str]:
    """Return the code and the reason of a close frame that says what the refusal does."""
    return put_off(refusal) or (1011 if refusal.status >= 500 else 1008, "")


class _WebsocketsChannel(Channel):
    """Reads, writes and pings by the connection; websockets answers pings and close frames by itself."""

    can_ping = True

    def __init__(self, connection: "ServerConnection") -> None:
        from websockets.asyncio.server import broadcast  # which the user has loaded

        self._connection = connection
        self._broadcast = broadcast
        self._wire = AsyncioWire(connection.transport)
        self._pings: set[asyncio.Task[None]] = set()  # those whose pongs have not come
        self.subprotocol = connection.subprotocol
        self.socket = self._wire.socket

    async def receive(self) -> Message | Closure | None:
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            return _closure(closed)

    async def send(self, message: Message) -> None:
        await self._connection.send(message)

    def send_at_once(self, message: Message) -> bool:
        if self.buffered + size_of(message) > WRITE_LIMIT:
            return False
        if not self._connection.transport.is_closing():  # which would log what is written to it
            self._broadcast((self._connection,), message)
        return True

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)

    def ping(self) -> None:
        task = asyncio.get_running_loop().create_task(self._ping())
        self._pings.add(task)
        task.add_done_callback(self._pings.discard)

    async def _ping(self) -> None:
        try:
            await (await self._connection.ping())
        except ConnectionClosed:
            return  # the reader learns it
        self.ponged()

    def reset(self) -> None:
        self._wire.reset()

    @property
    def buffered(self) -> int:
        return self._wire.buffered


def _closure(closed: ConnectionClosed) -> Closure:
    received, sent = closed.rcvd, closed.sent
    if sent is not None and sent.code in _VIOLATIONS and not closed.rcvd_then_sent:
        return Closure(error=ProtocolViolation(sent.code, sent.reason))
    if received is None:
        cause: Any = closed.__cause__
        return Closure(error=cause if isinstance(cause, Exception) else None)
    return Closure(None if received.code == 1005 else received.code, received.reason, framed=True)
