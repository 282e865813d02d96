"""`serve` and its Server: our own listener with a roster of peers above it."""

import asyncio
import os
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from types import TracebackType

from websocket_heartbeat.config import Dialect
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.admission import Refusal, Request
from websocket_heartbeat.server.farewell import send_away
from websocket_heartbeat.server.gate import Gate
from websocket_heartbeat.server.hooks import CloseHook, Hooks, MessageHook, OpenHook
from websocket_heartbeat.server.hub import Hub
from websocket_heartbeat.server.links.endpoint import HOST, PORT, Endpoint
from websocket_heartbeat.server.links.listener import Listener
from websocket_heartbeat.server.links.terms import Terms
from websocket_heartbeat.server.origins import Origin, Origins
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.server.places import Limits
from websocket_heartbeat.server.policy import Policy
from websocket_heartbeat.server.roster import Commons, Roster

HandshakeHook = Callable[[Request], Refusal | Awaitable[Refusal | None] | None]


def echo(peer: Peer, message: Message) -> None:
    """Send the message back."""
    peer.send(message)


def serve(
    on_message: MessageHook | None = None,
    host: str = HOST,
    port: int = PORT,
    *,
    hub: Hub | None = None,
    unix_path: str | os.PathLike[str] | None = None,
    on_open: OpenHook | None = None,
    on_close: CloseHook | None = None,
    on_handshake: HandshakeHook | None = None,
    origins: Collection[Origin] | None = ("self", None),
    heartbeat: str | Dialect | None = "heartbeat",
    idle_timeout: float | None = 60,
    open_timeout: float = 10,
    close_timeout: float = 5,
    max_size: int = 2**20,
    write_limit: int = 4 * 2**20,
    compression: bool = False,
    subprotocols: Sequence[str] = (),
    ssl: ssl_module.SSLContext | None = None,
    max_peers: int | None = None,
    max_handshakes: int = 1000,
    max_peers_per_address: int | None = None,
    shown_path: Callable[[str], str] | None = None,
) -> "Server":
    """Serve WebSockets within `async with`; leaving it closes the server.

    Hooks may be functions or coroutine functions. For each peer they run one at a time and in order; while an
    asynchronous one runs, up to 64 messages or 256 KiB wait, and then reading from that peer pauses.
    An asynchronous hook is cancelled when its peer goes, all but on_close. A hook that raises is logged by
    the name of its exception and the line of code, without its text, and harms nobody.

    on_message: called with (peer, message), a str or bytes. Default: sends the message back.
    hub: whose peers its clients are, with those of other transports; then what is the hub's cannot be given
        here: on_handshake, heartbeat, idle_timeout, close_timeout, write_limit, max_peers,
        max_peers_per_address and shown_path. Hooks that are not given here are the hub's, and without any
        on_message, messages wait for `Peer.recv`. Default: a hub of its own.
    host: the address to listen on; a name stands for all of its addresses, and "" for all of this machine.
        Default 127.0.0.1. port: 0 (default) takes a free one, `Server.port`.
    unix_path: a Unix socket to listen on instead of host and port. The file must not be there, or be what a
        server has left that is dead; it is removed when this one closes. Programs that may write to it may
        connect. Default none.
    on_open: called with (peer) before its first message. Default none.
    on_close: called with (peer, code, reason) once for each peer that opened. The code is that of the
        client's close frame, None if it sent none; the reason is the client's, or says why the peer is gone.
    on_handshake: called with (request) for every well-formed HTTP request; returns None to let the client in
        or a Refusal. If it raises, the client gets a 500 with no body; if it takes longer than open_timeout,
        a 503. An asynchronous one is cancelled then, and when the client leaves.
    origins: the pages that may connect, by the header Origin that a browser sends: strings such as
        "https://example.com" and "null", compiled patterns that match the whole of it, "self" for the host of
        the header Host, and None for a request without one, as programs send it. What is not among them gets
        a 403 before on_handshake is asked. None instead: any. Default ("self", None): a browser's cookies
        come along whatever page connects.
    heartbeat: a text message that is answered with itself and kept from on_message; or a Dialect, by which
        heartbeats of clients are answered, at once, whatever hooks are doing. None: there is none. Default
        "heartbeat". Pings of the protocol are always answered, and what a silent peer is sent is one.
    idle_timeout: seconds after which a silent peer is dropped. At half of them it is sent a ping, which every
        client answers; any byte is life. None: no peer is pinged or held to be silent. Default 60.
    open_timeout: seconds that TLS may take, and the HTTP request and its answer after it. Default 10, at most
        3600. Also the time for which messages may wait for one call of a hook before a warning is logged.
    close_timeout: seconds in which a closed peer must answer before it is dropped, and in which
        `Server.close` returns. Default 5, at most 3600.
    max_size: the largest message accepted, in bytes; a larger one closes its peer with 1009. Default 1 MiB.
    write_limit: bytes that may wait for a peer that does not read, or reads too slowly; above them it is
        dropped. A peer that reads may be sent more, in a burst or in one message. Default 4 MiB.
    compression: True agrees on permessage-deflate (RFC 7692) with clients that offer it. It makes repetitive
        text small, at the price of time for each message and some 60 KiB for each peer. Default False.
    subprotocols: spoken here, best first; the first that the client offers too is agreed on. Default none.
    ssl: the TLS context, which makes it a server for wss. None (default): ws, without TLS.
    max_peers: clients that may be connected. Another one gets a 503 with a Retry-After before on_handshake is
        asked; requests that ask for no WebSocket do not count. None (default): any number.
    max_handshakes: connections that may be in the middle of TLS or of their handshake, and of what
        on_handshake has to decide. While there are as many, the kernel keeps the next ones waiting, and those
        that are silent are dropped after open_timeout. Default 1000.
    max_peers_per_address: clients that may be connected from one address, of IPv6 from one /64. Another one
        gets a 429 with a Retry-After. All clients behind one proxy have its address. None (default): any
        number.
    shown_path: called with the path of a request, and returns what logs and reprs show instead, where paths
        carry keys. If it raises, they show "(hidden)". None (default): the path. Queries are never shown.

    Raises:
        TypeError, ValueError: an argument is wrong; the text names it.
        OSError: from `async with`: the address cannot be listened on.
        RuntimeError: from `async with`: the hub has peers on another event loop.
    """
    hooks = Hooks(on_message, on_open, on_close)
    allowed = Origins(origins)
    if hub is not None and not isinstance(hub, Hub):
        raise TypeError(f"hub must be a Hub or None, not {hub!r}")
    if hub is not None:
        _check_not_given(
            on_handshake=(on_handshake, None),
            heartbeat=(heartbeat, "heartbeat"),
            idle_timeout=(idle_timeout, 60),
            close_timeout=(close_timeout, 5),
            write_limit=(write_limit, 4 * 2**20),
            max_peers=(max_peers, None),
            max_peers_per_address=(max_peers_per_address, None),
            shown_path=(shown_path, None),
        )
        gate = hub._entrance(hooks, allowed)
    else:
        if on_message is None:
            hooks = replace(hooks, on_message=echo)
        if unix_path is not None and max_peers_per_address is not None:
            raise ValueError("max_peers_per_address and unix_path exclude each other")
        policy = Policy(heartbeat, idle_timeout, open_timeout, close_timeout, write_limit, None)
        commons = Commons(policy, Limits(max_peers, max_peers_per_address))
        gate = Gate(Roster(commons), hooks, allowed, "on_handshake", on_handshake, shown_path)
    terms = Terms(
        open_timeout,
        max_size,
        compression,
        subprotocols,
        ssl,
        max_handshakes,
    )
    return Server(gate, Endpoint(host, port, unix_path), terms)


def _check_not_given(**options: tuple[object, object]) -> None:
    """Refuse options that a hub has, given with their defaults."""
    for name, (value, default) in options.items():
        if value != default:
            raise TypeError(f"{name} and hub exclude each other: give it to the Hub")


class Server:
    """A listening server; `serve` makes it, and says what each argument means."""

    def __init__(self, gate: Gate, endpoint: Endpoint, terms: Terms) -> None:
        self._endpoint = endpoint
        self._is_secure = terms.ssl is not None
        self._gate = gate
        self._roster = gate.roster
        self._listener = Listener(gate, endpoint, terms, self._roster.log)

    def __repr__(self) -> str:
        where = self.url() if self.unix_path is None else f"unix:{self.unix_path}"
        return f"<Server {where} with {len(self._roster.here)} connections>"

    async def __aenter__(self) -> "Server":
        self._gate.enter()
        await self._listener.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connections(self) -> tuple[Peer, ...]:
        """The peers that are connected now."""
        return tuple(handler.peer for handler in self._roster.here)

    @property
    def host(self) -> str:
        """The host that the server listens at; "localhost" with a `unix_path`."""
        return self._endpoint.host

    @property
    def port(self) -> int:
        """Its port, known within `async with` and after it; 0 with a `unix_path`."""
        return self._endpoint.port

    @property
    def unix_path(self) -> str | None:
        """The path of the Unix socket that the server listens on, None if it listens at a host and port."""
        return self._endpoint.unix_path

    def url(self, path: str = "/") -> str:
        """Return the URL by which a client on this machine reaches the path.

        With a `unix_path` it is ws://localhost and the path, for a client that is told the socket besides.
        """
        return self._endpoint.url(path, secure=self._is_secure)

    async def send_away(self, over: float, code: int = 1012, reason: str = "restarting") -> None:
        """Ask every client that is connected to go and to come back spread evenly over so many seconds.

        Each gets the close code and, after the reason, a moment of its own: `retry-after=SECONDS`. Our client
        does not return before it, and other clients may read it. Returns when all of them are gone, those
        that do not answer after `close_timeout`. New clients are let in meanwhile.

        Raises:
            ValueError: `over` is negative or not finite, the code may not be sent, or the reason is longer
                than 123 bytes of UTF-8 with its hint; then nobody was sent away.
        """
        await send_away(self._roster.here, over, code, reason)

    async def close(self) -> None:
        """Stop listening, close every peer with 1001 and wait until all are gone.

        Returns within `close_timeout` seconds, whatever peers and hooks do: peers that have not answered by
        then are dropped, and hooks that still run are cancelled. Leaving `async with` does the same.
        """
        try:
            self._listener.stop()
            await self._roster.close()
        finally:
            self.abort()
            await asyncio.sleep(0)  # transports that were aborted close their sockets in the loop's next turn

    def abort(self) -> None:
        """Stop listening and reset every connection at once, as if the process had been killed."""
        self._listener.abort()
        self._roster.abort()
