"""Listens, shakes hands by the protocol of websockets, and puts its links beneath a roster."""

import asyncio
import logging
import ssl as ssl_module
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any

from websockets.datastructures import Headers
from websockets.http11 import Request as HTTPRequest
from websockets.http11 import Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from websocket_heartbeat.checks import check_count, check_seconds
from websocket_heartbeat.engines.answer import MAX_HEAD
from websocket_heartbeat.engines.sansio import SILENT
from websocket_heartbeat.engines.wire_server import ServerLink, end_by_reset
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.server.admission import Refusal, Request
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.server.policy import CloseHook, MessageHook, OpenHook, Policy, echo
from websocket_heartbeat.server.roster import Entrance, Roster
from websocket_heartbeat.system.callbacks import call, place_of

_logger = logging.getLogger("websocket_heartbeat.server")

HandshakeHook = Callable[[Request], Refusal | None]

_TURNS_TO_ACCEPT = 3
"""Turns of an asyncio loop from a listening socket that can be read to the call of `connection_made`."""


def serve(
    on_message: MessageHook | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    on_open: OpenHook | None = None,
    on_close: CloseHook | None = None,
    on_handshake: HandshakeHook | None = None,
    heartbeat: str | None = "heartbeat",
    idle_timeout: float | None = 60,
    open_timeout: float = 10,
    close_timeout: float = 5,
    max_size: int = 2**20,
    write_limit: int = 4 * 2**20,
    subprotocols: Sequence[str] = (),
    ssl: ssl_module.SSLContext | None = None,
) -> "Server":
    """Serve WebSockets within `async with`; leaving it closes the server.

    Hooks may be functions or coroutine functions. For each peer they run one at a time and in order; while an
    asynchronous one runs, up to 64 messages or 256 KiB wait, and then reading from that peer pauses.
    An asynchronous hook is cancelled when its peer goes, all but on_close. A hook that raises is logged by
    the name of its exception and the line of code, without its text, and harms nobody.

    on_message: called with (peer, message), a str or bytes. Default: sends the message back.
    host: the address to listen on. Default 127.0.0.1. port: 0 (default) takes a free one, `Server.port`.
    on_open: called with (peer) before its first message.
    on_close: called with (peer, code, reason) once for each peer that opened. The code is that of the
        client's close frame, None if it sent none; the reason is the client's, or says why the peer is gone.
    on_handshake: called with (request), a function only, for every well-formed HTTP request; returns None to
        let the client in or a Refusal. If it raises, the client gets a 500 with no body.
    heartbeat: a text message that is answered with itself and kept from on_message. None: there is none.
        Default "heartbeat". Pings of the protocol are always answered.
    idle_timeout: seconds after which a silent peer is dropped; any byte is life. Must be larger than the
        interval + timeout of clients, whose heartbeats are all that an idle peer says. None: never.
        Default 60.
    open_timeout: seconds that TLS may take, and the HTTP request after it. Default 10.
    close_timeout: seconds in which a closed peer must answer before it is dropped, and in which
        `Server.close` returns. Default 5.
    max_size: the largest message accepted, in bytes; a larger one closes its peer with 1009. Default 1 MiB.
    write_limit: bytes that may wait for a peer that does not read; above them it is dropped. Default 4 MiB.
    subprotocols: those spoken here, best first; the first that the client offers too is agreed on.
    ssl: for wss.

    Raises:
        TypeError, ValueError: an argument is wrong; the text names it.
        OSError: from `async with`: the address cannot be listened on.
    """
    policy = Policy(
        on_message or echo, on_open, on_close, heartbeat, idle_timeout, close_timeout, write_limit
    )
    return Server(policy, host, port, on_handshake, open_timeout, max_size, subprotocols, ssl)


class Server:
    """A listening server; `serve` makes it.

    host, port: where it listens. The port is known within `async with`, and stays known after it.
    """

    def __init__(
        self,
        policy: Policy,
        host: str,
        port: int,
        on_handshake: HandshakeHook | None,
        open_timeout: float,
        max_size: int,
        subprotocols: Sequence[str],
        ssl: ssl_module.SSLContext | None,
    ) -> None:
        if not isinstance(host, str):
            raise TypeError(f"host must be a str, not {host!r}")
        if check_count("port", port) > 65535:
            raise ValueError(f"port must be at most 65535, not {port!r}")
        if on_handshake is not None and not callable(on_handshake):
            raise TypeError(f"on_handshake must be callable or None, not {on_handshake!r}")
        if iscoroutinefunction(on_handshake):
            raise TypeError(f"on_handshake must be a function, not the coroutine function {on_handshake!r}")
        if isinstance(subprotocols, str) or not all(isinstance(name, str) for name in subprotocols):
            raise TypeError(f"subprotocols must be a sequence of strings, not {subprotocols!r}")
        if ssl is not None and not isinstance(ssl, ssl_module.SSLContext):
            raise TypeError(f"ssl must be an ssl.SSLContext or None, not {ssl!r}")
        self.host = host
        self.port = port
        self._open_timeout = check_seconds("open_timeout", open_timeout)
        self._max_size = check_count("max_size", max_size, least=1)
        self._on_handshake = on_handshake
        self._subprotocols = tuple(subprotocols)
        self._ssl = ssl
        self._roster = Roster(policy)
        self._listener: asyncio.Server | None = None
        self._closed = False
        self._transports: set[asyncio.WriteTransport] = set()

    def __repr__(self) -> str:
        return f"<Server {self.url()} with {len(self._roster.peers)} connections>"

    async def __aenter__(self) -> "Server":
        self._closed = False
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: _Entry(self),
            self.host,
            self.port,
            ssl=self._ssl,
            ssl_handshake_timeout=None if self._ssl is None else self._open_timeout,
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connections(self) -> tuple[Peer, ...]:
        """The peers that are connected now."""
        return tuple(self._roster.peers.values())

    def url(self, path: str = "/") -> str:
        """Return the URL by which a client on this machine reaches the path."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        if ":" in host:
            host = f"[{host}]"
        return f"{'ws' if self._ssl is None else 'wss'}://{host}:{self.port}{path}"

    async def send_away(self, over: float, code: int = 1012, reason: str = "restarting") -> None:
        """Ask every client that is connected to go and to come back spread evenly over so many seconds.

        Each gets the close code and, after the reason, a moment of its own: `retry-after=SECONDS`. Our client
        does not return before it, and other clients may read it. Returns when all of them are gone, those
        that do not answer after `close_timeout`. New clients are let in meanwhile.

        Raises:
            ValueError: `over` is negative or not finite, the code may not be sent, or the reason is longer
                than 123 bytes of UTF-8 with its hint; then nobody was sent away.
        """
        await self._roster.send_away(check_seconds("over", over, zero=True), code, reason)

    async def close(self) -> None:
        """Stop listening, close every peer with 1001 and wait until all are gone.

        Returns within `close_timeout` seconds, whatever peers and hooks do: who has not answered by then is
        dropped, and hooks that still run are cancelled. Leaving `async with` does the same.
        """
        try:
            await self._stop_accepting()
            self._stop_listening()
            await self._roster.close()
        finally:
            self.abort()
            await asyncio.sleep(0)

    def abort(self) -> None:
        """Stop listening and reset every connection at once, as if the process had been killed."""
        self._stop_listening()
        self._roster.abort()
        self._drop_transports()

    async def _stop_accepting(self) -> None:
        """Accept nobody more, and let whom asyncio has accepted already come to us, to be dropped."""
        # Closed in between, asyncio of Python 3.11 leaves the socket open for the garbage collector to find.
        self._closed = True
        if self._listener is not None:
            loop = asyncio.get_running_loop()
            with suppress(NotImplementedError):  # not all loops wait for sockets to be readable
                for listening in self._listener.sockets:
                    loop.remove_reader(listening)
            for _ in range(_TURNS_TO_ACCEPT):
                await asyncio.sleep(0)

    def _stop_listening(self) -> None:
        self._closed = True
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _drop_transports(self) -> None:
        """Drop what is not a peer: handshakes that are under way."""
        for transport in list(self._transports):
            end_by_reset(transport)
            transport.abort()

    def refused(self, request: Request) -> Refusal | None:
        """Decide about a handshake."""
        if self._closed:
            return Refusal(503)
        if self._on_handshake is None:
            return None
        try:
            refusal: object = call("on_handshake", self._on_handshake, request)
        except HookFailed as failed:
            _logger.error("%s at %s", failed, place_of(failed.__cause__))
            return Refusal(500)
        if refusal is None or isinstance(refusal, Refusal):
            return refusal
        _logger.error("on_handshake must return None or a Refusal, not %s", type(refusal).__name__)
        return Refusal(500)


class _Entry(asyncio.Protocol):
    """One accepted connection, until its handshake is done."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._head = b""
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server = self._server
        self._transport = transport
        server._transports.add(self._transport)
        if server._closed:  # it was accepted before, or its TLS has taken so long
            server._drop_transports()
            return
        self._timer = asyncio.get_running_loop().call_later(server._open_timeout, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._done()

    def data_received(self, data: bytes) -> None:
        if self._timer is None:  # it was answered
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n") + 4
        if end >= 4:
            self._judge(self._head[:end], self._head[end:])
        elif len(self._head) > MAX_HEAD:
            self._refuse(Refusal(431))

    def _judge(self, head: bytes, rest: bytes) -> None:
        server = self._server
        protocol = ServerProtocol(
            subprotocols=[Subprotocol(name) for name in server._subprotocols] or None,
            select_subprotocol=_first_of_ours,
            max_size=server._max_size,
            logger=SILENT,
        )
        protocol.receive_data(head)
        events = protocol.events_received()
        if not events:
            self._refuse(Refusal(400))
            return
        asked = events[0]
        assert isinstance(asked, HTTPRequest)
        request = _request(asked)
        refusal = server.refused(request)
        if refusal is not None:
            self._refuse(refusal)
            return
        response = protocol.accept(asked)
        if response.status_code != 101:
            status = 400 if response.status_code == 426 else response.status_code
            self._refuse(Refusal(status, headers=[("Upgrade", "websocket")] if status == 400 else ()))
            return
        protocol.send_response(response)
        transport = self._transport
        self._done()
        transport.write(b"".join(protocol.data_to_send()))
        link = ServerLink(Entrance(server._roster, request), server._max_size, protocol.subprotocol)
        link.begin(transport, rest)

    def _refuse(self, refusal: Refusal) -> None:
        try:
            phrase = HTTPStatus(refusal.status).phrase
        except ValueError:
            phrase = "Refused"
        headers = Headers(refusal.headers)
        if refusal.status != 204:
            headers["Content-Length"] = str(len(refusal.body))
        headers["Connection"] = "close"
        answer = Response(refusal.status, phrase, headers, refusal.body).serialize()
        self._stop()
        self._transport.write(answer)
        self._transport.close()

    def _late(self) -> None:
        self._timer = None
        self._transport.abort()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _done(self) -> None:
        self._stop()
        self._server._transports.discard(self._transport)


def _first_of_ours(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return next((name for name in protocol.available_subprotocols or () if name in offered), None)


def _request(asked: HTTPRequest) -> Request:
    target, _, query = asked.path.partition("?")
    if not target.startswith("/"):  # the absolute form: RFC 9112, section 3.2.2
        target = "/" + target.partition("://")[2].partition("/")[2]
    return Request(target, query, tuple(asked.headers.raw_items()))
