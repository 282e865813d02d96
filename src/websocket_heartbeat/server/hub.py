"""`Hub`: the policy, the peers and the rooms of a back end, over whatever transports its clients come by."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

from websocket_heartbeat.checks import (
    check_close,
    check_count,
    check_hashable,
    check_headers,
    check_hook,
    check_message,
    check_seconds,
    check_token,
)
from websocket_heartbeat.config import Dialect, Headers
from websocket_heartbeat.errors import PeerGone
from websocket_heartbeat.events import Message
from websocket_heartbeat.renamed import renamed
from websocket_heartbeat.server.admission import Request
from websocket_heartbeat.server.farewell import send_away
from websocket_heartbeat.server.gate import Gate
from websocket_heartbeat.server.handler import PeerHandler
from websocket_heartbeat.server.hooks import CloseHook, Hooks, MessageHook, OpenHook
from websocket_heartbeat.server.links.asgi import App, AsgiMiddleware, HasScope, Scope, connection_of
from websocket_heartbeat.server.links.dashboard_app import DashboardApp
from websocket_heartbeat.server.links.send_away_app import SendAwayApp
from websocket_heartbeat.server.links.websockets import WebsocketsEntrance
from websocket_heartbeat.server.origins import Origin, Origins
from websocket_heartbeat.server.peer import DISMISSED, Peer
from websocket_heartbeat.server.places import Limits
from websocket_heartbeat.server.policy import Policy
from websocket_heartbeat.server.rooms import Member, Room
from websocket_heartbeat.server.roster import Commons, Roster
from websocket_heartbeat.server.sessions.book import Book
from websocket_heartbeat.server.sessions.nodes import Question
from websocket_heartbeat.server.sessions.reports import EndHook
from websocket_heartbeat.server.sessions.stores import MEMORY, check_durability, store_of
from websocket_heartbeat.server.shared_rooms import SharedRooms
from websocket_heartbeat.server.sigterm import before_sigterm
from websocket_heartbeat.server.stats import HubStats

if TYPE_CHECKING:
    from websocket_heartbeat.server.links.aiohttp import AiohttpEntrance
    from websocket_heartbeat.server.links.aiohttp import HTTPRequest as AiohttpRequest
    from websocket_heartbeat.server.links.websockets import HTTPRequest, HTTPResponse, ServerConnection

MissedHook = Callable[[Peer, Room], Any]


class Hub:
    """A back end: as a rule one for a process. Its peers come by `serve(hub=...)` and by frameworks.

    A process without peers may have one, too, to send to sessions that others have: `async with Hub(...) as
    hub: await hub.send(...)`. That opens the store of the sessions, and closes the hub at the end.

    It belongs to the event loop of its peers, and is not for several threads. When they have gone, or their
    loop is closed, it may serve on another one. Hooks are as `serve` has them.

    on_message: called with (peer, message). None (default): messages wait for `Peer.recv`, as endpoints call
        it.
    on_open, on_close: called with (peer), and with (peer, code, reason). Default none.
    authenticate: called with (request) for each client that wants to connect. Returns its `principal`, which
        says who it is: any hashable value, such as a str, but not a bool; None, if that is not known or does
        not matter; or a Refusal. May be a coroutine function. If it raises, the client gets a 500 with no
        body. None (default): every client may connect, and none has a principal.
    origins: the pages that may connect, as with `serve`. None (default): any, as what stands before the
        endpoints of a framework decides about that, and the Host may be that of a proxy.
    heartbeat, idle_timeout, open_timeout, close_timeout, write_limit, shown_path: as with `serve`.
    max_peers: clients that may be connected, from the request to the end. Another one gets a 503 with a
        Retry-After before `authenticate` is asked. None (default): any number.
    max_peers_per_address: clients that may be connected from one address, of IPv6 from one /64. Another one
        gets a 429 with a Retry-After. Clients behind a proxy have its address, unless the server beneath is
        told to believe what the proxy says of them; of one whose address is unknown nothing is limited. None
        (default): any number.
    max_new_peers_per_second: new clients in a second, over all transports. Another one gets a 503 before
        `authenticate` is asked, with a Retry-After of its own: those that were refused come back one after
        the other, at this rate. Set it to what the process serves well, so that it has time for those that
        it refuses and for its peers. None (default): any number.
    dismissal: a text message that tells clients not to come back, sent by `Peer.dismiss` before its close
        frame: not every platform of clients learns close codes. As in `connect`. None (default): none.
    sessions: "memory", "sqlite:///" and the path of a file, or the URL of a server of Valkey or Redis, as in
        "valkey://localhost:6379", or of a database of PostgreSQL, as in "postgresql://ann@db/shop": clients
        that ask for it get a session, which outlives their links; docs/server/sessions.md has more of it.
        None (default): nobody does.
    session_ttl: seconds that a session is kept without a link. Default 120.
    session_limit: bytes that messages of all sessions may take together: those to clients that are not
        acknowledged, and those of clients that are not handled. Beyond that there are no new sessions, and
        the largest are over ("overflow"), those without a link first. Default 256 MiB.
    durability: of what sessions hold, where their store is more than "memory". "through" (default): all of it
        is in the store before the other side knows, and survives a crash. "handover": it is in the memory of
        the process, and written when another process goes on with the session, or at `close`; a crash resets
        the session ("lost"). "memory": as that, but not written at `close`.
        docs/server/sessions.md has a table. All processes that share a store have the same.
    on_session_end: called with (session, why, unacknowledged) when a session is over: its ID, the reason, and
        the messages that the client has not acknowledged.
    on_missed: called with (peer, room) when that peer may have missed messages of the room, or of its user:
        they went through a store that processes share, which has forgotten them, or keeps so many no longer.
        Ask the peer to fetch anew what it shows. None (default): the log warns of it.

    Raises:
        TypeError, ValueError: an argument is wrong; the text names it.
    """

    @renamed(ttl="session_ttl", on_end="on_session_end")
    def __init__(
        self,
        *,
        on_message: MessageHook | None = None,
        on_open: OpenHook | None = None,
        on_close: CloseHook | None = None,
        authenticate: Callable[[Request], Any] | None = None,
        origins: Collection[Origin] | None = None,
        heartbeat: str | Dialect | None = "heartbeat",
        idle_timeout: float | None = 60,
        open_timeout: float = 10,
        close_timeout: float = 5,
        write_limit: int = 4 * 2**20,
        max_peers: int | None = None,
        max_peers_per_address: int | None = None,
        max_new_peers_per_second: float | None = None,
        dismissal: str | None = None,
        shown_path: Callable[[str], str] | None = None,
        sessions: str | None = None,
        durability: str = "through",
        session_ttl: float = 120,
        session_limit: int = 256 * 2**20,
        on_session_end: EndHook | None = None,
        on_missed: MissedHook | None = None,
    ) -> None:
        policy = Policy(heartbeat, idle_timeout, open_timeout, close_timeout, write_limit, dismissal)
        limits = Limits(max_peers, max_peers_per_address, max_new_peers_per_second)
        self._hooks = Hooks(on_message, on_open, on_close)
        self._shown_path = shown_path
        self._authenticate = authenticate
        self._origins = Origins(origins)
        if on_session_end is not None:
            check_hook("on_session_end", on_session_end, 3)
            if sessions is None:
                raise ValueError("on_session_end is for the end of sessions: give sessions= too")
        check_seconds("session_ttl", session_ttl)
        check_count("session_limit", session_limit)
        check_durability(durability, sessions)
        self._sessions = sessions
        self._session_ttl = session_ttl
        self._book: Book | None = None
        if sessions is not None:
            self._book = Book(
                store_of(sessions, session_ttl, durability),
                on_session_end,
                session_limit,
                keeps=durability != MEMORY,
                told=self._told,
            )
        streams = None if self._book is None else self._book.streams
        self._on_missed = on_missed
        if on_missed is not None:
            check_hook("on_missed", on_missed, 2)
            if streams is None:
                raise ValueError(
                    "on_missed is for rooms of several processes: give sessions= that they share"
                )
        self._commons = Commons(policy, limits, streams, self._missed, self._tell)
        self._dashboard: DashboardApp | None = None
        self._entrance()  # checks its arguments

    def __repr__(self) -> str:
        return f"<Hub with {len(self._here)} peers>"

    def _entrance(self, hooks: Hooks | None = None, origins: Origins | None = None) -> Gate:
        """Return an entrance for the clients of one transport, as serving.py and the links below need one.

        hooks, origins: its own; what it has none of is the hub's.
        """
        roster = Roster(self._commons)
        return Gate(
            roster,
            self._hooks if hooks is None else hooks.or_those_of(self._hooks),
            self._origins if origins is None else origins,
            "authenticate",
            self._authenticate,
            self._shown_path,
            self._book,
        )

    def _missed(self, member: Member, room: Room) -> None:
        if self._on_missed is not None:
            member.tell("on_missed", self._on_missed, room)
        else:
            words = "%r may have missed messages of a room, and no on_missed is told"
            self._commons.log.warning(words, member.peer, extra={"peer": member.peer.id})

    @property
    def _here(self) -> list[PeerHandler]:
        return [handler for roster in self._commons.rosters for handler in roster.here]

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The peers that are connected now, in the order in which they have come."""
        return tuple(sorted(self._commons.peers(), key=lambda peer: peer.id))

    @property
    def rooms(self) -> dict[Hashable, int]:
        """How many peers are in each room that has some, by its name."""
        return self._commons.rooms.sizes()

    @property
    def stats(self) -> HubStats:
        """What the hub has done so far; a snapshot."""
        return self._commons.stats()

    async def __aenter__(self) -> "Hub":
        self._commons.enter()
        if self._book is not None:
            try:
                await self._book.ready()
            except asyncio.CancelledError:
                await self.close()  # else it would go on to open, and nobody would close it
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def send(self, session: str, message: Message) -> None:
        """Send a message to the client of a session, wherever that is; it may be away: it gets it later.

        From any process that shares the store of the sessions, also one that has no peers. Returns when the
        message is kept with the session, as durably as `sessions` and `durability` say. What is sent after
        that, from wherever, comes after it. A session that has no room for the message is over by it, as with
        `Peer.send`. Waits while another process that has the session cannot reach the store, 10 s at most.

        session: its ID, as `Peer.session` tells it.

        Raises:
            SessionOver: there is no such session, or not any more.
            SendUncertain: the process that has the session was asked, and has not answered; or the session
                has gone on elsewhere before the store answered. The client may have the message, or get it
                yet. Who sends it again has the client tell the two from each other.
            RuntimeError: the hub has no sessions; or this is not its event loop, as in another thread.
            OSError: it was not sent: the store cannot be read, the hub is closed, or the session's process
                does not answer.
            TypeError, ValueError: the message cannot be sent, as with `Peer.send`, or the session is no str.
        """
        message = check_message("message", message)
        self._commons.policy.check_allowed(message)
        await self._book_for(session).send(session, message)

    async def dismiss(self, session: str, reason: str = "") -> None:
        """Dismiss the client of a session, wherever that is, as `Peer.dismiss` does.

        From any process, as `send`. Returns when it is kept with the session that it is dismissed: it is over
        when the client has handled what was sent before, or after `session_ttl`. To do it twice is no error.

        Raises:
            ValueError: the reason is longer than 123 bytes of UTF-8.
            SessionOver, RuntimeError, OSError, TypeError: as `send`; after SendUncertain, do it again.
        """
        check_close(DISMISSED, reason)
        await self._book_for(session).dismiss(session, reason)

    def _book_for(self, session: str) -> Book:
        if not isinstance(session, str):
            raise TypeError(f"session must be a str, not {type(session).__name__}")
        if self._book is None:
            raise RuntimeError("the hub has no sessions: make it with Hub(sessions=...)")
        self._commons.enter()
        return self._book

    def _tell(self, key: str, what: dict[str, Any]) -> None:
        """Have the other processes that share the store do something with a room of theirs."""
        if self._book is not None:
            self._book.tell_all(Question({"told": key, **what}))

    async def _told(self, question: Question) -> None:
        """Do what another process has told."""
        for rooms in (self._commons.rooms, self._commons.users):
            if isinstance(rooms, SharedRooms):
                await rooms.do(question["told"], question)

    def room(self, name: Hashable) -> Room:
        """Return the room of that name: the peers that have joined it.

        name: any hashable value; a str of at most 1,024 bytes of UTF-8, if processes share the store of the
            hub's sessions.
        """
        check_hashable("name", name)
        self._commons.rooms.check(name)
        return Room(self._commons.policy, self._commons.rooms, name)

    def user(self, principal: Hashable) -> Room:
        """Return the peers of one principal, as a room."""
        check_hashable("principal", principal)
        return Room(self._commons.policy, self._commons.users, principal)

    # ASGI

    def asgi(self, app: App) -> AsgiMiddleware:
        """Return the ASGI application with this hub before it: `app.add_middleware(hub.asgi)`.

        That alone makes a peer of each WebSocket that an endpoint accepts: its heartbeats are answered,
        whatever the endpoint is doing, it is pinged and dropped when it is silent, and can be sent away.
        The endpoint need not know of it: it gets its messages, without heartbeats, as before.

        Raises:
            TypeError: app is no application.
        """
        if not callable(app):
            raise TypeError(f"app must be callable, not {app!r}")
        return AsgiMiddleware(app, self._entrance(), self, self._for_viewer)

    @asynccontextmanager
    async def accept(
        self,
        websocket: HasScope | Scope,
        *,
        subprotocol: str | None = None,
        headers: Headers = (),
        principal: Hashable | None = None,
    ) -> AsyncIterator[Peer]:
        """Accept the WebSocket of an endpoint, unless that is done, and yield its peer.

        At the end of the block the peer is closed with 1000; returns when it is gone. Where the block raises,
        the framework's handlers of exceptions may close it with a code of theirs; else it is closed with
        1011. The block is not cancelled when the peer goes: iteration ends, `recv` and `drain` raise
        PeerGone, by which the block may end. One that only sends looks at `peer.closed`, or awaits `drain`.

        Messages go to the peer: what the framework offers to receive them gets the disconnect alone.

        websocket: what the framework gives to the endpoint, or the scope of ASGI. subprotocol, headers: of
        the answer. principal: who this is, in place of what `authenticate` has said.

        Raises:
            RuntimeError: the middleware is missing.
            TypeError, ValueError: an argument is wrong; the text names it.
        """
        connection = connection_of(websocket, self)
        if subprotocol is not None:
            check_token("subprotocol", subprotocol)
        check_hashable("principal", principal)
        peer = await connection.accept(websocket, subprotocol, check_headers("headers", headers), principal)
        try:
            yield peer
        except PeerGone:  # a client that leaves is no error, of which frameworks would log a traceback
            if not peer.closed:
                raise
        connection.finish()
        await peer.wait_closed()

    def dashboard(self) -> DashboardApp:
        """Return an ASGI application that shows the connections of this process live: the cardiogram.

        Starlette's `Mount("/cardiogram", hub.dashboard())` takes it. It shows every hub, server, client and
        fleet of the process, and what happens to them from this call on: addresses, paths, times and reasons,
        but no queries, headers, messages or principals. Its viewers are no peers of the hub.

        Whoever can load its page sees all of that: mount it behind your own authentication. The page's
        WebSocket requires a ticket, which the page gets by HTTP, so authentication of HTTP alone is enough.
        For programs without ASGI there is `serve_dashboard`.
        """
        if self._dashboard is None:
            self._dashboard = DashboardApp()
        return self._dashboard

    def _for_viewer(self, scope: Scope) -> App | None:
        """Return the dashboard if a WebSocket is that of a viewer, whom `authenticate` is not asked about.

        So no endpoint of the application gets it, whatever its routes.
        """
        return self._dashboard if self._dashboard is not None and self._dashboard.expects(scope) else None

    # aiohttp.web

    def aiohttp(
        self,
        request: "AiohttpRequest",
        *,
        protocols: Iterable[str] = (),
        compress: bool = True,
        max_msg_size: int = 4 * 2**20,
        headers: Headers = (),
        principal: Hashable | None = None,
    ) -> AbstractAsyncContextManager[Peer]:
        """Make a peer of the request of a handler of aiohttp.web: `async with hub.aiohttp(request) as peer`.

        At the end of the block the peer is closed: with 1000, or with 1011 where it raises, or with 1001
        where the handler is cancelled; it is gone then. Return `peer.response`. The block is not cancelled
        when the peer goes: iteration ends, and `recv` and `drain` raise PeerGone, which ends the block and
        goes no further.

        protocols, compress, max_msg_size: as `web.WebSocketResponse` has them, and with its defaults; the
            last is in bytes, and 0 is any.
        headers: of the answer. principal: who this is, in place of what `authenticate` has said.

        Raises:
            web.HTTPException: the client is not let in. Let it pass: it is the answer, with the status,
                headers and body of the Refusal.
            ImportError: aiohttp is missing or too old; the text names the install command.
            RuntimeError: the request is answered already, as by `prepare` of a WebSocketResponse.
            TypeError, ValueError: an argument is wrong; the text names it.
        """
        check_hashable("principal", principal)
        return self._aiohttp.accept(
            request, protocols, compress, max_msg_size, check_headers("headers", headers), principal
        )

    @cached_property
    def _aiohttp(self) -> "AiohttpEntrance":
        from websocket_heartbeat.server.links.aiohttp import AiohttpEntrance

        return AiohttpEntrance(self._entrance())

    async def on_shutdown(self, app: object, *, over: float = 30) -> None:
        """Send every peer away, as an application of aiohttp.web shuts down.

        `app.on_shutdown.append(hub.on_shutdown)`; with `web.run_app`, that is at SIGTERM. Each gets 1012 and
        a moment of its own, within `over` seconds, to come back at, as by `send_away`. Then the hub lets go
        of sessions when the message that a handler has in hand is handled, within `close_timeout`, and their
        handlers end: those that are kept in a file go on in the next process.

        over: default 30; for another time, append `partial(hub.on_shutdown, over=60)`.
        """
        self._aiohttp.shuts_down(app)
        await self.send_away(over, refuse=True)
        await asyncio.gather(*(roster.let_sessions_go() for roster in self._commons.rosters))
        if self._book is not None:
            await self._book.close(self._commons.policy.close_timeout)

    # websockets

    def websockets(
        self, on_peer: Callable[[Peer], Awaitable[object]] | None = None
    ) -> "Callable[[ServerConnection], Awaitable[None]]":
        """Return a handler for `websockets.serve`, which makes a peer of each connection.

        on_peer: called with (peer); when it has returned, the peer is closed with 1000, and where it has
        raised, with 1011. It is not cancelled when the peer goes: iteration ends, and `recv` and `drain`
        raise PeerGone, which it need not catch. None (default): the hub's hooks have it all.

        Give `process_request=hub.refuse`, so that a client that is refused gets an HTTP answer. Without it,
        the client gets a close frame: with 1013 for a 503 or a 429, with 1011 for another 5xx, else with
        1008. Give `ping_interval=None` too: it is the hub that pings, and those of websockets end here.

        Raises:
            TypeError: on_peer cannot be called with a peer.
        """
        if on_peer is not None:
            check_hook("on_peer", on_peer, 1)

        async def handler(connection: "ServerConnection") -> None:
            await self._websockets.run(connection, on_peer)

        return handler

    async def refuse(self, connection: "ServerConnection", request: "HTTPRequest") -> "HTTPResponse | None":
        """Decide about a client of a server of websockets before its handshake is answered.

        For `websockets.serve(process_request=hub.refuse)`: returns the answer where the client is not let in.
        """
        return await self._websockets.refuse(connection, request)

    @cached_property
    def _websockets(self) -> WebsocketsEntrance:
        return WebsocketsEntrance(self._entrance())

    # Parting

    async def send_away(
        self, over: float, code: int = 1012, reason: str = "restarting", *, refuse: bool = False
    ) -> None:
        """Ask every client that is connected to go and to come back spread evenly over so many seconds.

        Each gets the close code and, after the reason, a moment of its own: `retry-after=SECONDS`. Our client
        does not return before it, and other clients may read it. Returns when all of them are gone, those
        that do not answer after `close_timeout`.

        refuse: whether new clients are refused for so many seconds from now, with a 503 and a Retry-After
            within as many of their own. False (default): they are let in.

        Raises:
            ValueError: `over` is negative or not finite, the code may not be sent, or the reason is longer
                than 123 bytes of UTF-8 with its hint; then nobody was sent away.
        """
        self._commons.enter()
        if refuse:
            self._commons.places.shut(check_seconds("over", over, zero=True))
        await self._commons.rounds.done()
        await send_away(self._here, over, code, reason)

    def send_away_on_sigterm(self, over: float) -> AbstractContextManager[None]:
        """Within the block, have SIGTERM send every client away before the server beneath shuts down.

        For the lifespan of an application under uvicorn, which otherwise closes all connections at the same
        moment: `with hub.send_away_on_sigterm(over=20): yield`. New clients get a 503 with a Retry-After
        meanwhile. The shutdown begins when all are gone, after `close_timeout` at most, or at once at a
        second SIGTERM. Other servers have begun their shutdown by then: docs/server/closing.md.

        Raises:
            ValueError: `over` is negative or not finite.
        """
        check_seconds("over", over, zero=True)
        return before_sigterm(lambda: self.send_away(over, refuse=True))

    def send_away_app(self, over: float, *, token: str | None = None) -> SendAwayApp:
        """Return an ASGI application that sends every client away: for the preStop hooks of deployments.

        Starlette's `Route("/send-away", hub.send_away_app(over=20))` takes it. It answers a POST when all are
        gone; new clients are refused for `over` seconds. `websocket-heartbeat send-away URL` calls it.

        token: who sends `Authorization: Bearer TOKEN` may call it, by GET too. None (default): programs on
            this machine may, not through a proxy that tells of itself; set it behind one that does not.

        Raises:
            TypeError, ValueError: an argument is wrong; the text names it.
        """
        check_seconds("over", over, zero=True)

        async def send_all_away() -> int:
            count = len(self.peers)
            await self.send_away(over, refuse=True)
            return count

        return SendAwayApp(send_all_away, token)

    async def close(self) -> None:
        """Close every peer with 1001 and wait until all are gone, `close_timeout` seconds at most.

        Sessions are written then, and what waits for rooms is published. An asynchronous `on_session_end`
        that still runs after as many seconds again is cancelled.
        """
        self._commons.enter()
        await self._commons.rounds.done()
        await asyncio.gather(*(roster.close() for roster in self._commons.rosters))
        if self._book is not None:
            await self._book.close(self._commons.policy.close_timeout)
