"""aiohttp.web: makes peers of the requests that its handlers are called with."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from weakref import WeakSet

try:
    import aiohttp
    from aiohttp import web
except ImportError as _missing:
    raise ImportError("Hub.aiohttp needs aiohttp: pip install 'websocket-heartbeat[aiohttp]'") from _missing

from websocket_heartbeat.checks import check_collection, check_count, check_token
from websocket_heartbeat.controls import SUBPROTOCOL
from websocket_heartbeat.engines.base import WRITE_LIMIT, Closure
from websocket_heartbeat.engines.transport import drop
from websocket_heartbeat.engines.wire import BINARY, CLOSE, PONG, TEXT, frame_head
from websocket_heartbeat.errors import ProtocolViolation
from websocket_heartbeat.events import Message, size_of
from websocket_heartbeat.redaction import printable
from websocket_heartbeat.server.admission import Refusal, Request
from websocket_heartbeat.server.gate import Gate
from websocket_heartbeat.server.links.closing import closing, ended
from websocket_heartbeat.server.links.http import Head, asks_for_websocket, offered
from websocket_heartbeat.server.links.pump import Channel, PumpedLink
from websocket_heartbeat.server.links.wires import AsyncioWire
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.system.awaiting import await_shared

if tuple(int(part) for part in aiohttp.__version__.split(".")[:3] if part.isdigit()) < (3, 14, 1):
    # Before, its reader buffers a frame above the limit whole, and its parser headers without end.
    raise ImportError("Hub.aiohttp needs aiohttp 3.14.1 or newer: pip install 'websocket-heartbeat[aiohttp]'")

HTTPRequest = web.BaseRequest
WebSocketResponse = web.WebSocketResponse

_TEXT = aiohttp.WSMsgType.TEXT
_BINARY = aiohttp.WSMsgType.BINARY
_PING = aiohttp.WSMsgType.PING
_PONG = aiohttp.WSMsgType.PONG
_CLOSE = aiohttp.WSMsgType.CLOSE
_ERROR = aiohttp.WSMsgType.ERROR


_ANY = 2**30
"""The largest message of a session where any is accepted, in bytes."""

_COMPRESSED_AT_ONCE = 4096
"""Characters or bytes of a message that aiohttp surely compresses without a thread."""


class AiohttpEntrance:
    """Lets clients in from handlers of aiohttp.web."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        # Each, as a hub may see several: those of the tests of a program.
        self._shutting_down: WeakSet[object] = WeakSet()

    def shuts_down(self, app: object) -> None:
        """Take the news that an application shuts down."""
        self._shutting_down.add(app)

    def is_shutting_down(self, request: HTTPRequest) -> bool:
        """Whether the application of a request shuts down: then aiohttp takes no bytes from sockets."""
        apps = request.match_info.apps if isinstance(request, web.Request) else ()
        return any(app in self._shutting_down for app in apps)

    @asynccontextmanager
    async def accept(
        self,
        request: HTTPRequest,
        protocols: Iterable[str],
        compress: bool,
        max_msg_size: int,
        headers: Sequence[tuple[str, str]],
        principal: Hashable | None,
    ) -> AsyncIterator[Peer]:
        """Do as `Hub.aiohttp`."""
        given: object = request
        if not isinstance(given, web.BaseRequest):
            raise TypeError(f"request must be that of a handler of aiohttp.web, not {type(given).__name__}")
        protocols = check_collection("protocols", protocols)
        for index, name in enumerate(protocols):
            check_token(f"protocols[{index}]", name)
        check_count("max_msg_size", max_msg_size)
        transport = request.transport
        if transport is None:
            raise _gone()
        if request.writer.output_size:
            raise RuntimeError("the request is answered already: hub.aiohttp takes the place of `prepare`")
        asked = _request(request, transport)
        decision = await self._gate.decide(asked, takes_place=asks_for_websocket(asked))
        if isinstance(decision, Refusal):
            raise _Refused(decision)
        if self.is_shutting_down(request):  # meanwhile
            decision.never_opened()
            raise _Refused(Refusal(503))
        if principal is not None:
            decision.principal = principal
        spoken, largest = tuple(protocols), max_msg_size
        if self._gate.has_sessions:
            spoken = (SUBPROTOCOL, *spoken)
            largest += 1 if largest else 0  # for the character before each message
        response = web.WebSocketResponse(
            autoclose=False,
            autoping=False,
            protocols=spoken,
            compress=compress,
            max_msg_size=largest,
        )
        response.headers.extend(headers)
        try:
            await response.prepare(request)
        except BaseException as error:
            decision.never_opened()
            if isinstance(error, ConnectionError):
                raise _gone() from error
            raise
        decision.response = response
        channel = _AiohttpChannel(self, request, response, transport)
        if self._gate.has_sessions and response.ws_protocol == SUBPROTOCOL:
            own = next((name for name in offered(asked.headers) if name in protocols), None)
            door = self._gate.door(decision, own, max_msg_size or _ANY)
            PumpedLink(channel, door).begin()
            try:
                if not await door.has_begun():
                    await asyncio.wait((door.gone(),))
                    raise asyncio.CancelledError
                async with closing(decision) as peer:
                    yield peer
            finally:
                await ended(door)
        else:
            PumpedLink(channel, decision).begin()
            async with closing(decision) as peer:
                yield peer


class _Refused(web.HTTPException):
    """A refusal, in the form in which handlers of aiohttp.web give one."""

    def __init__(self, refusal: Refusal) -> None:
        self.status_code = refusal.status
        super().__init__(headers=refusal.headers)
        self.body = refusal.body
        self.force_close()  # a crowd that is turned away must not hold its sockets for the keep-alive timeout


def _gone() -> _Refused:
    """Return what ends a handler whose client has gone before its answer, without a traceback in the log."""
    return _Refused(Refusal(400))


def _request(request: HTTPRequest, transport: asyncio.BaseTransport) -> Request:
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]
    asked = Head(request.method, request.raw_path, "HTTP/1.1", fields).request(transport)
    if request.remote is None or asked.remote_address is None or request.remote == asked.remote_address[0]:
        return asked
    # A middleware has cloned the request, as it believes what a proxy says of the client.
    return replace(asked, remote_address=(request.remote, 0))


class _AiohttpChannel(Channel):
    """Reads by the response, pings and pongs included, and ends the connection by its transport."""

    can_ping = True

    def __init__(
        self,
        entrance: AiohttpEntrance,
        request: HTTPRequest,
        response: WebSocketResponse,
        transport: asyncio.Transport,
    ) -> None:
        self._entrance = entrance
        self._request = request
        self._response = response
        self._transport = transport
        self._wire = AsyncioWire(transport)
        self._has_said_close = False
        self.subprotocol = response.ws_protocol
        self.socket = self._wire.socket

    async def receive(self) -> Message | Closure | None:
        received = await self._response.receive()
        kind = received.type
        if kind is _TEXT or kind is _BINARY:
            data: Message = received.data
            return data
        if kind is _PING:
            # A peer that pings and does not read must not fill our memory: RFC 6455 5.5.3 lets us skip some.
            if self.buffered <= WRITE_LIMIT:
                self._write(PONG, bytes(received.data))
            return None
        if kind is _PONG:
            self.ponged()
            return None
        if kind is _CLOSE and not self._has_said_close:
            self._write(CLOSE, (received.data or 1000).to_bytes(2))
        self._transport.close()
        # What the peer has not taken by the loop's next turn, it may never read.
        asyncio.get_running_loop().call_soon(drop, self._transport)
        if kind is _CLOSE:
            return Closure(received.data or None, received.extra or "", framed=True)
        if kind is not _ERROR:
            return Closure()
        error: Exception = received.data
        if isinstance(error, aiohttp.WebSocketError):  # of which the response has told the peer
            error = ProtocolViolation(error.code, printable(str(error)))
        return Closure(error=error)

    def _write(self, first: int, payload: bytes) -> None:
        """Write a frame; aiohttp writes whole ones, so this may come between any two."""
        if not self._transport.is_closing():
            self._transport.write(frame_head(first, len(payload), 0) + payload)

    def send_at_once(self, message: Message) -> bool:
        if self._response.compress or self.buffered + size_of(message) > WRITE_LIMIT:
            return False
        if isinstance(message, str):
            self._write(TEXT, message.encode())
        else:
            self._write(BINARY, message)
        return True

    async def send(self, message: Message) -> None:
        if self._response.compress and size_of(message) > _COMPRESSED_AT_ONCE:
            # aiohttp goes on when who sends is cancelled, and would then complain of a client that has left.
            await await_shared(asyncio.create_task(self._send(message)))
        else:
            await self._send(message)

    async def _send(self, message: Message) -> None:
        if isinstance(message, str):
            await self._response.send_str(message)
        else:
            await self._response.send_bytes(message)

    async def close(self, code: int, reason: str) -> None:
        # Not by its `close`, which would take the peer's last messages and its answer from `receive`.
        self._has_said_close = True
        self._write(CLOSE, code.to_bytes(2) + reason.encode())
        if self._entrance.is_shutting_down(self._request) and self._transport.can_write_eof():
            self._transport.write_eof()  # the answer would not be read; so the peer ends the connection

    def ping(self) -> None:
        self._wire.ping()

    def reset(self) -> None:
        self._wire.reset()

    @property
    def buffered(self) -> int:
        return self._wire.buffered
