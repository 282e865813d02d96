"""One client of a server, as users hold it: from its handshake to its end."""

from collections.abc import AsyncIterator, Hashable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from websocket_heartbeat.checks import check_close, check_hashable, check_message, check_seconds
from websocket_heartbeat.events import Message
from websocket_heartbeat.json_messages import JsonMessages, from_json, to_json
from websocket_heartbeat.server.admission import Request
from websocket_heartbeat.server.farewell import with_hint
from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.server.sessions.transaction import PeerTransaction

if TYPE_CHECKING:
    from websocket_heartbeat.server.handler import PeerHandler
    from websocket_heartbeat.server.links.aiohttp import WebSocketResponse

DISMISSED = 4500
"""The close code of `dismiss`. Its range says that the client must not come back: docs/server/closing.md."""


class Peer:
    """One client, from its handshake to its end. The server makes these and gives them to your code."""

    __slots__ = ("_handler", "id", "request", "since", "subprotocol")

    id: int
    """1 for the first client of the server or hub, and so on; also the key in logs."""
    request: Request
    """Its handshake."""
    subprotocol: str | None
    """The one that was agreed on, or None."""
    since: float
    """When it was let in, in seconds since the epoch."""

    def __init__(self, handler: "PeerHandler", number: int, request: Request, since: float) -> None:
        self._handler = handler
        self.id = number
        self.request = request
        self.subprotocol = handler.link.subprotocol
        self.since = since

    def __repr__(self) -> str:
        return f"<Peer {self.id} {self.request.shown!r}>"

    def _here(self) -> "PeerHandler":
        """Return the inside of the peer, for what is done to it.

        Raises:
            RuntimeError: the peer is not gone, and this is not its event loop.
        """
        handler = self._handler
        if handler.end is None:
            handler.keeper.check_loop()
        return handler

    # Messages

    def send(self, message: Message, *, volatile: bool = False) -> None:
        """Send a text message (str) or a binary one (bytes); never waits.

        Does nothing once the peer is gone or was asked to go. What the peer does not take yet is buffered:
        `drain` waits for it, `buffered` tells how much it is. A peer that goes on reading may be sent as much
        as memory holds; one that does not is dropped when more than `write_limit` bytes wait for it.

        volatile: the message is worth nothing later, as a position is. It is sent now or never: dropped, and
            counted by `dropped_messages`, while a session has no link, and while 64 KiB wait for the peer. No
            session keeps it or sends it again. Default False.

        Raises:
            TypeError: the message is neither str nor bytes-like.
            ValueError: the text holds a lone surrogate, which UTF-8 cannot carry; or it is the `dismissal` of
                the hub, which no client is to make others get.
            RuntimeError: this is not the event loop of the peer, as in another thread; the text says how to
                get there. So do all calls that do something to it.
        """
        message = check_message("message", message)
        handler = self._handler
        if handler.end is None:  # as `_here`, but at each message
            handler.keeper.check_loop()
        policy = handler.keeper.policy
        if policy.dismissal is not None:  # else a call for each message would be for nothing
            policy.check_allowed(message)
        if volatile:
            handler.send_volatile(message)
        else:
            handler.send(message)

    async def drain(self) -> None:
        """Wait until the peer has taken most of what was sent to it; gives other tasks a turn in any case.

        It has when at most 16 KiB are buffered, where they were more than 64 KiB, as with `asyncio`. To send
        much, or to a client that may be slow: `peer.send(part)`, `await peer.drain()`, and so on.

        Raises:
            PeerGone: the peer is gone, or is asked to go, and has gone now. A hook does not see this, as it
                is cancelled when its peer goes.
        """
        await self._handler.drain()

    async def recv(self) -> Message:
        """Wait for the next message and return it.

        For endpoints, and for asynchronous hooks: while one runs, messages wait, and it may take them. A
        message that nobody takes by then goes to on_message, where there is one.

        Raises:
            PeerGone: the peer is gone, and there are no more messages of it.
            RuntimeError: another task waits for one already; or messages go to on_message; or the block of a
                `transaction` runs, which is about the message before.
        """
        self._handler.check_receive()
        message = await self._handler.mailbox.recv()
        if message is None:
            raise self._handler.gone_error()
        return message

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Yield each message, as `recv` does; end when the peer is gone."""
        while (message := await self._handler.mailbox.recv()) is not None:
            yield message
            self._handler.check_receive()

    # JSON

    def send_json(self, value: Any, *, volatile: bool = False) -> None:
        """Send a value as a text message of JSON; otherwise as `send`.

        Raises:
            TypeError, ValueError: JSON has no such value.
            and as `send`.
        """
        self.send(to_json(value), volatile=volatile)

    async def recv_json(self) -> Any:
        """Wait for the next message and return what it says in JSON; otherwise as `recv`.

        Raises:
            NotJSON: it is none. It was taken, and is in the exception; the next call goes on.
            and as `recv`.
        """
        return from_json(await self.recv())

    def json(self) -> AsyncIterator[Any]:
        """Iterate over what each message says in JSON: `async for value in peer.json()`.

        Ends when the peer is gone. A message that is no JSON raises NotJSON; another `async for` goes on with
        the next one.
        """
        return JsonMessages(aiter(self))

    # Sessions

    @property
    def session(self) -> str | None:
        """The ID of its session, which is no secret; None: it has none, and is gone when its link is."""
        return self._handler.link.id if isinstance(self._handler.link, SessionLink) else None

    @property
    def number(self) -> int:
        """The number of the message that is being handled: with `session`, it names that message for good.

        0 where there is no session, and for a volatile message, which has none.
        """
        link = self._handler.link
        return link.number if isinstance(link, SessionLink) else 0

    @property
    def state(self) -> MutableMapping[str, Any]:
        """What your application keeps of this client: str to JSON, at most 64 KiB of it, empty at first.

        With a session it is written together with the record that the message is handled which changed it, so
        that neither is without the other; it is found again when the process has restarted, if the store of
        the sessions was. Without a session it is gone with the peer.

        Assign values: `peer.state["cart"] = [*peer.state["cart"], item]`. One that is in it cannot be changed
        in place: that is a TypeError. What is no JSON is one too, and what is too much a ValueError.
        """
        handler = self._here()
        return handler.link.state if isinstance(handler.link, SessionLink) else handler.state

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """Return a block of one transaction in the database of the sessions: `async with` gives a connection.

        What the block does by it, what it sends to this peer, its changes of `state`, and that the message in
        hand is handled: all of it is committed together at the end, or nothing is, whatever crashes. So the
        message is handled once. One block of a message may succeed, and what its hook sends after it is no
        part of it.

        A block that raises is undone, and raises that. A hook that raises has handled its message, as ever.
        But `NotCommitted` says that the database has failed, or that others were in the way: a hook that
        raises it is called again with the message, when the database answers.

        Returns:
            For sessions in PostgreSQL, what gives a connection of asyncpg, in a transaction.

        Raises:
            RuntimeError: the peer has no session, or none in PostgreSQL; there is no message in hand, or not
                one with a number; or it was committed before.
            SessionOver: the session has ended, or has gone to another process, which has the message.
        """
        link = self._here().link
        if not isinstance(link, SessionLink):
            raise RuntimeError("peer.transaction() needs sessions in PostgreSQL, and this peer has none")
        return PeerTransaction(link)

    # Parting

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Ask the peer to go; returns at once, and `on_close` follows.

        A peer that has not answered after `close_timeout` seconds is dropped, also if it is still taking what
        was sent before: where that may be much, `drain` first. Does nothing the second time.

        Raises:
            TypeError: the code is no whole number, or the reason no str.
            ValueError: the code may not be sent, or the reason is longer than 123 bytes of UTF-8.
        """
        check_close(code, reason)
        self._here().close(code, reason)

    def send_away(self, after: float, code: int = 1012, reason: str = "restarting") -> None:
        """Ask the peer to go and to come back, not before so many seconds have passed; else as `close`.

        `Hub.send_away` and `Room.send_away` give each peer a moment of its own.

        Raises:
            ValueError, TypeError: `after` is negative or not finite, or as `close`; the reason gets the hint.
        """
        self.close(code, with_hint(reason, check_seconds("after", after, zero=True)))

    def dismiss(self, reason: str = "", code: int = DISMISSED) -> None:
        """Ask the peer to go and not to come back: by the hub's `dismissal` message, if any, and a code.

        code: our Python client does not come back after one from 4500 to 4999 or from 3500 to 3999, unless
        its `final_close_codes` say otherwise. Where codes do not arrive, the message must say it. Else as
        `close`.
        """
        check_close(code, reason)
        self._here().dismiss(code, reason)

    async def end(self, reason: str = "") -> None:
        """Dismiss the peer, and wait until it is gone, `close_timeout` at most.

        Its session, if it has one, is over then: the client has handled all that was sent before, or had no
        more time; what it has not handled goes to `on_session_end`. A client that is away learns of it when
        it comes back. With `dismiss` alone it has as long as it may be away to handle the rest. In a hook of
        the peer itself call that: hooks are cancelled when their peer goes, and this with it.

        Raises:
            TypeError, ValueError: the reason is no str, or longer than 123 bytes of UTF-8.
        """
        check_close(DISMISSED, reason)
        await self._here().end_session(reason)

    def abort(self) -> None:
        """Drop the peer at once, by a TCP reset where its transport can; `on_close` follows."""
        self._here().drop("abort", "aborted")

    async def wait_closed(self) -> None:
        """Wait until the peer is gone and its on_close was called."""
        await self._handler.wait_gone()

    @property
    def closed(self) -> bool:
        """Whether the peer is gone."""
        return self._handler.end is not None

    @property
    def close_code(self) -> int | None:
        """The code of the client's close frame; None if there was none, or the peer is not gone."""
        return None if self._handler.end is None else self._handler.end.code

    @property
    def close_reason(self) -> str:
        """The client's reason, or why the peer is gone; "" while it is not."""
        return "" if self._handler.end is None else self._handler.end.reason

    # Rooms

    def join(self, name: Hashable) -> None:
        """Become a member of a room, `Hub.room(name)`, until `leave` or the end; once only.

        With a session it is one until the session is over, also on other processes that share its store.
        """
        check_hashable("name", name)
        self._here().join(name)

    def leave(self, name: Hashable) -> None:
        """Be a member of the room no more; does nothing if it is none."""
        check_hashable("name", name)
        self._here().leave(name)

    @property
    def rooms(self) -> tuple[Hashable, ...]:
        """The rooms of which this is a member."""
        return self._handler.rooms

    # Facts

    @property
    def principal(self) -> Hashable | None:
        """Who this is, as `Hub(authenticate=...)` has named it; None: unknown.

        It may be set, as after a login. `Hub.user(principal)` are all peers of one principal.
        """
        return self._handler.principal

    @principal.setter
    def principal(self, principal: Hashable | None) -> None:
        check_hashable("principal", principal)
        self._here().principal = principal

    @property
    def response(self) -> "WebSocketResponse":
        """What a handler of aiohttp.web returns at its end: the `web.WebSocketResponse` of the peer.

        Raises:
            AttributeError: the peer has not come by `Hub.aiohttp`.
        """
        response = self._handler.response
        if response is None:
            raise AttributeError("a peer has a response where it has come by Hub.aiohttp")
        return response

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """The headers of the handshake, as `request.headers`."""
        return self.request.headers

    @property
    def remote_address(self) -> tuple[str, int] | None:
        """Address and port of the client, or of the proxy before us; None where that is unknown."""
        return self.request.remote_address

    @property
    def certificate(self) -> Mapping[str, Any] | None:
        """The client's TLS certificate, as `ssl.SSLSocket.getpeercert` returns it; None: there is none."""
        return self.request.certificate

    @property
    def latency(self) -> float | None:
        """Seconds of a round trip: the kernel's estimate, or that of the last ping; None: not known yet."""
        return self._handler.latency

    @property
    def silent_for(self) -> float | None:
        """Seconds since anything of it has arrived; None: it is gone, or its session waits for a link."""
        return self._handler.silent_for

    @property
    def buffered(self) -> int:
        """Bytes sent that the socket has not taken yet, as the peer does not read so fast."""
        return self._handler.link.buffered

    @property
    def dropped_messages(self) -> int:
        """Messages that were dropped: of rooms, as the peer reads too slowly, by `Room.send(keep=...)`; and
        volatile ones that would have had to wait, to the peer or, in a session, from it.
        """
        handler = self._handler
        return handler.dropped_messages + handler.dropped_volatile

    @property
    def waiting(self) -> int:
        """Messages that have come and wait for a hook that still runs, or for `recv`."""
        return self._handler.mailbox.waiting

    @property
    def paused(self) -> bool:
        """Whether reading from the peer pauses, as more messages wait than may."""
        return self._handler.mailbox.is_paused
