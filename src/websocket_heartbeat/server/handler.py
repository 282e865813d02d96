"""The inside of a peer: takes what its link reports, answers heartbeats, pings and drops, and ends once."""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from websocket_heartbeat.config import Dialect
from websocket_heartbeat.engines.base import Closure, Link, SharedMessage
from websocket_heartbeat.engines.logged import LoggedLink
from websocket_heartbeat.errors import HookFailed, MessageTooBig, PeerGone, ProtocolViolation, SessionOver
from websocket_heartbeat.events import Message
from websocket_heartbeat.observer import Observer
from websocket_heartbeat.server.admission import Request
from websocket_heartbeat.server.backlog import Backlog
from websocket_heartbeat.server.flow import LOOK, Progress
from websocket_heartbeat.server.hooks import Hooks
from websocket_heartbeat.server.mailbox import Keeper as MailboxKeeper
from websocket_heartbeat.server.mailbox import Mailbox
from websocket_heartbeat.server.peer import DISMISSED, Peer
from websocket_heartbeat.server.places import Place
from websocket_heartbeat.server.rooms import Rooms
from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.server.sessions.state import PeerState
from websocket_heartbeat.server.shared_rooms import name_in
from websocket_heartbeat.server.silence import Silence
from websocket_heartbeat.server.stats import Tally
from websocket_heartbeat.system.callbacks import place_of
from websocket_heartbeat.system.kernel import tcp_info

if TYPE_CHECKING:
    from websocket_heartbeat.server.links.aiohttp import WebSocketResponse

_logger = logging.getLogger("websocket_heartbeat.server")

_KINDS: dict[type[Exception], str] = {
    ProtocolViolation: "protocol_violation",
    MessageTooBig: "protocol_violation",
    SessionOver: "session_over",
}
"""The classes of what ends a peer; everything else is a loss."""


class Keeper(MailboxKeeper, Protocol):
    """What a peer needs of the roster of all peers (roster.py), beside what its mailbox needs."""

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Those that are told of the peers."""

    @property
    def tally(self) -> Tally:
        """Where what becomes of peers is counted."""

    @property
    def rooms(self) -> Rooms:
        """The rooms that peers join."""

    @property
    def users(self) -> Rooms:
        """The peers of each principal."""

    def number(self) -> int:
        """Return the number of the next client."""

    def add(self, handler: "PeerHandler") -> None:
        """Keep a client whose link has opened, with its peer."""

    def watch(self, handler: "PeerHandler", due: float) -> None:
        """Call its `check_deadlines` by that time of the loop's clock, or soon after."""

    def link_ended(self, number: int) -> None:
        """Count a client as connected no more; `remove` follows when on_close was called."""

    def remove(self, number: int) -> None:
        """Forget the client."""


class End(NamedTuple):
    """How a peer has ended: the code of its close frame, None if it sent none, and a reason."""

    code: int | None
    reason: str


class PeerHandler:
    """The inside of one client: called by its link (LinkEvents of engines/base.py), its roster and its Peer.

    keeper: who keeps all peers. request: the handshake. hooks: those of this one. peer: what users hold;
    link: its link; mailbox: its messages; these three from `opened` on.
    end: how it has ended, None while it has not. response: that of a handler of aiohttp.web, otherwise None.
    due: when the keeper will next call `check_deadlines`, None for never; the keeper's own.
    dropped_messages: of rooms, that it did not get, as it had not taken those before. dropped_volatile: those
    that would have had to wait, of either direction.
    """

    __slots__ = (
        "_backlog",
        "_close_by",
        "_drained",
        "_gone",
        "_has_opened",
        "_owed",
        "_place",
        "_principal",
        "_progress",
        "_rooms",
        "_silence",
        "_state",
        "dropped_messages",
        "dropped_volatile",
        "due",
        "end",
        "hooks",
        "keeper",
        "link",
        "mailbox",
        "peer",
        "request",
        "response",
    )

    link: Link
    peer: Peer
    mailbox: Mailbox

    def __init__(
        self,
        keeper: Keeper,
        request: Request,
        hooks: Hooks,
        principal: Hashable | None,
        place: Place | None,
    ) -> None:
        self.keeper: Keeper = keeper
        self.request: Request = request
        self.hooks: Hooks = hooks
        self._principal = principal
        self._place = place
        self._has_opened = False
        self._state: PeerState | None = None
        self._rooms: set[Hashable] | None = None  # those joined; an empty set would take memory
        self.end: End | None = None
        self.response: WebSocketResponse | None = None
        self._gone: asyncio.Future[None] | None = None
        self.due: float | None = None
        self._close_by: float | None = None  # when a peer that was asked to go must have answered
        self._silence = Silence()
        # While the link is full.
        self._progress: Progress | None = None
        self._drained: asyncio.Future[None] | None = None
        self._backlog: Backlog | None = None
        self._owed: Message | None = None  # the answer to the last heartbeat
        self.dropped_messages: int = 0
        self.dropped_volatile: int = 0

    # The log

    @property
    def fields(self) -> dict[str, object]:
        """The fields of its lines in the log."""
        session = self.link.id if isinstance(self.link, SessionLink) else None
        return {"peer": self.peer.id, "path": self.request.shown, "session": session}

    def log_frame(self, direction: str, kind: str, size: int) -> None:
        """Log a frame at DEBUG; beneath a session, also before there is a peer."""
        fields = self.fields if self._has_opened else {"path": self.request.shown}
        who = repr(self.peer) if self._has_opened else "a client that comes to its session"
        extra = {**fields, "direction": direction, "frame": kind, "size": size}
        _logger.debug("%s: %s %s, %d bytes", who, direction, kind, size, extra=extra)

    # Calls from the link

    def opened(self, link: Link) -> None:
        """Make a peer of the client and begin."""
        self._has_opened = True
        is_logged = _logger.isEnabledFor(logging.DEBUG)
        if is_logged and not link.is_session:  # beneath a session, door.py does so
            link = LoggedLink(link, self.log_frame)
        self.link = link
        self.peer = Peer(self, self.keeper.number(), self.request, time.time())
        self.keeper.add(self)
        self.mailbox = Mailbox(self)
        if is_logged:
            _logger.debug("%r has come", self.peer, extra=self.fields)
        for each in self.keeper.observers:
            each.peer_came(self.peer)
        policy = self.keeper.policy
        if link.is_session:
            link.deliver = self.mailbox.put
        elif isinstance(policy.heartbeat, Dialect):
            link.deliver = self._deliver_in_dialect
        else:
            link.deliver = self._deliver
        if self.session is not None:
            for key in list(self.session.rooms):
                name = name_in(key)
                if name is not None:
                    self.join(name)
        if self._principal is not None:
            self.keeper.users.join(self._principal, self)
        if policy.idle_timeout is not None:
            self.watch(asyncio.get_running_loop().time() + policy.idle_timeout / 2)
        if self.hooks.on_open is not None:
            self.mailbox.begin("on_open", self.hooks.on_open, self.peer)

    def never_opened(self) -> None:
        """Take the news that no link will open: the handshake has ended otherwise."""
        self.give_place_back()

    def give_place_back(self) -> None:
        """Let another client have the place: that of a session is its link's, which may be gone before it."""
        if self._place is not None:
            self._place.give_back()

    def closed(self, closure: Closure) -> None:
        """Take the news that the link has ended."""
        error = closure.error
        if isinstance(error, ProtocolViolation):
            words = "%r broke RFC 6455 and was closed with %d"
            _logger.info(words, self.peer, error.code, extra={**self.fields, "code": error.code})
        if error is not None:
            self._end(None, str(error), _KINDS.get(type(error), "connection_lost"))
        elif closure.code is None:
            self._end(None, "ended without a close code", None if closure.framed else "connection_lost")
        else:
            self._end(closure.code, closure.reason)

    def batch_delivered(self) -> None:
        """Nothing to do: messages are taken one by one."""

    def deliver_returned(self, result: object) -> None:
        """Does not happen: `_deliver` returns nothing."""

    def deliver_failed(self, error: BaseException) -> None:
        """Log where: what hooks raise is caught in the mailbox, so this is a mistake in this package."""
        kind, place = type(error).__name__, place_of(error)
        words = "a message of %r could not be taken: %s at %s"
        _logger.error(words, self.peer, kind, place, extra={**self.fields, "error": kind, "place": place})

    def ponged(self) -> None:
        """Take the answer to a ping."""
        round_trip = self._silence.ponged(asyncio.get_running_loop().time())
        if _logger.isEnabledFor(logging.DEBUG):
            self.log_frame("received", "pong", 0)
        if round_trip is not None:
            for each in self.keeper.observers:
                each.peer_round_trip(self.peer, round_trip)

    def writable(self) -> None:
        """Take the news that the link is not full any more."""
        self._progress = None
        owed, self._owed = self._owed, None
        if owed is not None:
            self.send(owed)
        self._send_backlog()
        self._wake_drains()

    # Messages

    def _deliver(self, message: Message) -> None:
        # The type first: `python -bb` lets nobody compare bytes with a str.
        if type(message) is str and message == self.keeper.policy.heartbeat:
            self._silence.has_beaten = True
            self._answer(message)
        else:
            self.mailbox.put(message)

    def _deliver_in_dialect(self, message: Message) -> None:
        dialect = self.keeper.policy.heartbeat
        assert isinstance(dialect, Dialect)
        try:
            reply = dialect.reply_to(message)
            if reply is None and dialect.is_pong(message):
                self._silence.has_beaten = True
                return
        except HookFailed as failed:
            self.mailbox.report(failed)
            reply = None
        if reply is not None:
            self._silence.has_beaten = True
            self._answer(reply)
        else:
            self.mailbox.put(message)

    def _answer(self, reply: Message) -> None:
        """Send the answer to a heartbeat; to a peer that does not read, only the last one, once it does.

        It has other signs of life to read before. And who sends heartbeats and never reads must not fill our
        memory: RFC 6455, section 5.5.3, has the same for pings.
        """
        if self.link.full:
            self._owed = reply
        else:
            self.send(reply)

    # Calls from the peer and the keeper

    def send(self, message: Message) -> None:
        """Do as `Peer.send`, with a message that was checked."""
        if self.end is not None:
            return
        link = self.link
        link.send(message)
        if link.full and self._progress is None:
            self._watch_progress()

    def send_shared(self, shared: SharedMessage, room: Hashable, keep: int | None) -> None:
        """Send a message of a room, of which `keep` messages may wait until what was sent before is taken."""
        if self.end is not None:
            return
        link = self.link
        if self._backlog is not None or (keep is not None and link.full):
            if keep is not None:
                self._put_back(shared, room, keep)
                return
            self._send_backlog(whole=True)  # it comes before this one
        link.send_shared(shared)
        if link.full and self._progress is None:
            self._watch_progress()

    def send_volatile(self, message: Message) -> None:
        """Do as `Peer.send` with `volatile`, with a message that was checked."""
        if self.end is None:
            self._note_volatile(self._backlog is None and self.link.send_volatile(message))

    def send_shared_volatile(self, shared: SharedMessage) -> None:
        """Do as `Room.send` with `volatile`."""
        if self.end is None:
            self._note_volatile(self._backlog is None and self.link.send_shared_volatile(shared))

    def _note_volatile(self, was_sent: bool) -> None:
        if not was_sent:
            self.volatile_dropped()
        elif self.link.full and self._progress is None:
            self._watch_progress()

    def volatile_dropped(self) -> None:
        """Count a volatile message that was dropped."""
        self.dropped_volatile += 1
        self.keeper.tally.dropped_messages += 1

    def stalled(self) -> None:
        """Tell that the client of a session handles nothing."""
        words = "%r has handled nothing for long, and more than half of its window is full"
        self.keeper.log.warning(words, self.peer, extra=self.fields)

    def _watch_progress(self) -> None:
        """Look from now on whether the peer takes what waits for it."""
        now = asyncio.get_running_loop().time()
        self._progress = Progress(self.link, now)
        self.watch(now + LOOK)

    def _put_back(self, shared: SharedMessage, room: Hashable, keep: int) -> None:
        """Let a message wait until the peer has taken what was sent before."""
        if self._close_by is not None:
            return
        if self._backlog is None:
            self._backlog = Backlog(self)
        self._backlog.put(room, shared, keep)
        if self._progress is None:  # as what made the link full may have been written later than it was sent
            self._watch_progress()

    def _send_backlog(self, *, whole: bool = False) -> None:
        """Send what waits, until the link is full again; or all of it."""
        if self._backlog is None:
            return
        if self._backlog.send(whole=whole):
            self._backlog = None
        if self.link.full and self._progress is None:
            self._watch_progress()

    async def drain(self) -> None:
        """Do as `Peer.drain`."""
        await asyncio.sleep(0)
        while self.end is None and (self.link.full or self._close_by is not None):
            if self._drained is None:
                self._drained = self.keeper.future()
            await asyncio.wait([self._drained])
        if self.end is not None:
            raise self.gone_error()

    def _wake_drains(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def gone_error(self) -> PeerGone:
        """Return what says that the peer is gone."""
        return PeerGone(*(self.end or (None, "")))

    def close(self, code: int, reason: str) -> None:
        """Do as `Peer.close`, with a code and a reason that were checked."""
        if self.end is not None or self._close_by is not None:
            return
        self._send_backlog(whole=True)
        self.link.close(code, reason)
        if self.link.is_session:
            return
        self._close_by = asyncio.get_running_loop().time() + self.keeper.policy.close_timeout
        self.mailbox.is_leaving = True
        self.mailbox.resume()  # its answer is still to be read
        self.watch(self._close_by)

    def dismiss(self, code: int, reason: str) -> None:
        """Do as `Peer.dismiss`, with a code and a reason that were checked."""
        if self.link.is_session:
            self.link.end(code, reason)
            return
        if self.keeper.policy.dismissal is not None and self._close_by is None:
            self._send_backlog(whole=True)
            self.send(self.keeper.policy.dismissal)
        self.close(code, reason)

    def check_receive(self) -> None:
        """Raise RuntimeError if a transaction is open: its message would count as handled without it."""
        if isinstance(self.link, SessionLink) and self.link.transaction is not None:
            raise RuntimeError(
                "the next message of a peer is to be had after the block of peer.transaction()"
            )

    async def settle(self, patience: float) -> None:
        """Give the hook of a session nothing more, and wait for the one that runs; seconds at most."""
        if isinstance(self.link, SessionLink):
            await self.link.settle(patience)

    async def end_session(self, reason: str) -> None:
        """Do as `Peer.end`, with a reason that was checked."""
        self.dismiss(DISMISSED, reason)
        await asyncio.wait([self.gone()], timeout=self.keeper.policy.close_timeout)
        if isinstance(self.link, SessionLink):
            self.link.end_now()
        await self.wait_gone()

    def let_go(self, reason: str = "the server has closed") -> None:
        """Be gone; a session goes on where its client comes to next, if its store does."""
        if self.end is None:
            self.link.release()
            self._end(None, reason)

    # Calls from who runs its endpoint

    def endpoint_returned(self, reason: str = "") -> None:
        """Be done with the client: a session ends once its client has handled all that was sent."""
        if not self.link.is_session:
            self.close(1000, reason)
        elif self.end is None:
            self.mailbox.done_with_last()
            self.link.end(1000, reason)

    def endpoint_failed(self, code: int = 1011, reason: str = "") -> None:
        """Be done with the client, as its endpoint has raised, or closes with another code than 1000.

        The client of a session comes back to a new one, and is told so.
        """
        if not self.link.is_session:
            self.close(code, reason)
        elif self.end is None:
            self.mailbox.done_with_last()
            self.link.fail(code, reason)

    def endpoint_cancelled(self) -> None:
        """Be done with the client here: a session goes on with the next endpoint that its client comes to."""
        if not self.link.is_session:
            self.close(1001, "")
        else:
            self.let_go("its endpoint was cancelled")

    def drop(self, cause: str, reason: str) -> None:
        """Reset the connection at once, and tell the hooks the reason; HubStats.dropped has the causes."""
        if self.end is not None:
            return
        self.keeper.tally.dropped[cause] += 1
        self.link.abort()
        extra = {**self.fields, "reason": reason, "error_type": cause}
        if not self.link.is_session:
            self._end(None, reason, cause)
        _logger.info("%r was dropped: %s", self.peer, reason, extra=extra)

    @property
    def session(self) -> SessionLink | None:
        """As in Member of rooms.py."""
        return self.link if isinstance(self.link, SessionLink) else None

    def tell(self, name: str, hook: Callable[..., Any], *arguments: Any) -> None:
        """As in Member of rooms.py."""
        if self.end is None:
            self.mailbox.tell(name, hook, *arguments)

    async def has_room(self) -> None:
        """As in Member of rooms.py."""
        while self.link.full:
            await self.drain()

    def join(self, name: Hashable) -> None:
        """Do as `Peer.join`."""
        if self.end is None and name not in (self._rooms or ()):
            self.keeper.rooms.check(name)
            if self._rooms is None:
                self._rooms = set()
            self._rooms.add(name)
            self.keeper.rooms.join(name, self)

    def leave(self, name: Hashable) -> None:
        """Do as `Peer.leave`."""
        if self._rooms is not None and name in self._rooms:
            self._rooms.remove(name)
            self.keeper.rooms.leave(name, self)

    @property
    def rooms(self) -> tuple[Hashable, ...]:
        """As `Peer.rooms`."""
        return tuple(self._rooms or ())

    @property
    def state(self) -> PeerState:
        """As `Peer.state`, without a session."""
        if self._state is None:
            self._state = PeerState(b"", lambda: None)
        return self._state

    @property
    def principal(self) -> Hashable | None:
        """As `Peer.principal`."""
        return self._principal

    @principal.setter
    def principal(self, principal: Hashable | None) -> None:
        users = self.keeper.users
        if self._has_opened and self.end is None:
            if self._principal is not None:
                users.leave(self._principal, self)
            if principal is not None:
                users.join(principal, self)
        self._principal = principal

    @property
    def latency(self) -> float | None:
        """As `Peer.latency`."""
        info = tcp_info(self.link.socket)
        return self._silence.round_trip if info is None else info.round_trip

    @property
    def silent_for(self) -> float | None:
        """As `Peer.silent_for`."""
        link = self.link
        if self.end is not None or (isinstance(link, SessionLink) and link.attachment is None):
            return None
        return max(0.0, asyncio.get_running_loop().time() - link.evidence().heard_at)

    # Time

    def watch(self, due: float) -> None:
        """Have `check_deadlines` called by that time of the loop's clock, or soon after."""
        self.keeper.watch(self, due)

    def check_deadlines(self, now: float) -> float | None:
        """Ping the peer, or drop it, if it is time to; return when to check again, None for never."""
        if self._close_by is not None:
            if now < self._close_by:
                return self._close_by
            self.drop("close_timeout", "did not answer the close frame in time")
            return None
        policy = self.keeper.policy
        dues = []
        if self._progress is None and self.link.buffered > policy.write_limit:
            # Not by `send`: the library beneath answers pings by itself, of a peer that does not read too.
            self._progress = Progress(self.link, now)
        if self._progress is not None:
            problem = self._progress.problem(self.link, now, policy.write_limit)
            if problem is not None:
                self.drop("write_limit", problem)
                if self.end is not None:
                    return None
                self._progress = None  # a session goes on, and its next link begins anew
            elif self.link.buffered or self.link.full or self._backlog is not None:
                dues.append(now + LOOK)
            else:
                self._progress = None
        due = self.mailbox.look(now)
        if due is not None:
            dues.append(due)
        if policy.idle_timeout is not None:
            if self.mailbox.is_paused:  # by us: that it is silent is not its fault
                due = now + policy.idle_timeout / 2
            else:
                due = self._silence.look(self.link, now, self.mailbox.listening_since, policy.idle_timeout)
            if due is None:
                self.drop("idle_timeout", f"silent for {policy.idle_timeout:g} s")
                if self.end is not None:
                    return None
                due = now + policy.idle_timeout / 2  # a session's next link may fall silent too
            dues.append(due)
        return min(dues, default=None)

    # The end

    def gone(self) -> asyncio.Future[None]:
        """Return a future that is done when `on_close` has been called."""
        if self._gone is None:
            self._gone = self.keeper.future()
        return self._gone

    def leaving(self) -> asyncio.Future[None]:
        """Return a future that is done when the link is gone that there is now: a session goes on without."""
        if self.end is not None or not self.link.is_session:
            return self.gone()
        gone = self.link.link_gone()
        if gone is None:
            gone = self.keeper.future()
            gone.set_result(None)
        return gone

    async def wait_gone(self) -> None:
        """Do as `Peer.wait_closed`."""
        await asyncio.wait([self.gone()])

    def _end(self, code: int | None, reason: str, error: str | None = None) -> None:
        """Be gone. error: the class of what ended it, None: a close frame, of one side or the other."""
        self.end = End(code, reason)
        if _logger.isEnabledFor(logging.DEBUG):
            # Without the reason, which may be the client's.
            extra = {**self.fields, "code": code, "error_type": error}
            _logger.debug("%r is gone: %s", self.peer, error or code, extra=extra)
        for each in self.keeper.observers:
            each.peer_gone(self.peer, code, error)
        self._wake_drains()
        self.keeper.link_ended(self.peer.id)
        self.mailbox.end(code, reason)
        self._leave_all()

    def forget(self) -> None:
        """End without a word to anybody, as the loop of the link and the hooks is closed."""
        self.end = End(None, "its event loop was closed")
        self.mailbox.has_ended = True
        self._leave_all()

    def _leave_all(self) -> None:
        if self._place is not None:
            self._place.give_back()
        keeper = self.keeper
        rooms, self._rooms = self._rooms, None
        for name in rooms or ():
            keeper.rooms.remove(name, self)
        if self._principal is not None:
            keeper.users.remove(self._principal, self)

    def has_ended(self) -> None:
        """Take the news that on_close was called."""
        self.keeper.remove(self.peer.id)
        self.gone().set_result(None)  # also for later callers
