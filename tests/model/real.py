"""The real halves in the world of the model: the package's client, doors, sessions and store, step by step.

Nothing happens unless a schedule says so: links deliver and hooks end when they are told to, and time stands
still unless a step lets it pass.
"""

import asyncio
import logging
from collections import deque
from copy import copy
from types import SimpleNamespace
from typing import Any, cast

from tests.model.links import Wire
from tests.model.state import A

from websocket_heartbeat.client.greeter import SessionEngine
from websocket_heartbeat.client.session import ClientSession
from websocket_heartbeat.client.session_link import SessionLink as ClientLink
from websocket_heartbeat.config import Session
from websocket_heartbeat.core.resume import Resumption
from websocket_heartbeat.core.session import REPLACED
from websocket_heartbeat.engines.base import Closure, Engine, Link, LinkEvents, OpenRequest
from websocket_heartbeat.errors import HandshakeError, ServerClosed, SessionOver
from websocket_heartbeat.events import Message, SessionEvent
from websocket_heartbeat.server.admission import Request
from websocket_heartbeat.server.handler import PeerHandler
from websocket_heartbeat.server.sessions.book import Book
from websocket_heartbeat.server.sessions.door import Door
from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.server.sessions.memory import MemoryStore
from websocket_heartbeat.server.sessions.store import Refused

MAX_SIZE = 2**21
TTL = 120.0


class Application:
    """What a session has in place of a peer: it is given a message, and handles it when it is told to."""

    def __init__(self) -> None:
        self.principal = None
        self.request = Request("/")
        policy = SimpleNamespace(close_timeout=60.0)
        self.keeper = SimpleNamespace(policy=policy, log=logging.getLogger("tests.model"))
        self.link: SessionLink | None = None
        self.given: Message | None = None

    def opened(self, link: Link) -> None:
        assert isinstance(link, SessionLink)
        self.link = link
        link.deliver = self._take

    def _take(self, message: Message) -> None:
        assert self.given is None, "a message was given before the last one was handled"
        self.given = message

    def handle(self) -> None:
        assert self.link is not None
        self.given = None
        self.link.handled()

    def closed(self, closure: Closure) -> None:
        """Do nothing: the link says that it is over."""

    def never_opened(self) -> None:
        """Do nothing: there are places for all."""

    def give_place_back(self) -> None:
        """Do nothing."""

    def writable(self) -> None:
        """Do nothing: what is sent is what the schedule says."""

    def ponged(self) -> None:
        """Do nothing."""

    def stalled(self) -> None:
        """Do nothing: a schedule lets a client take as long as it likes."""

    def deliver_failed(self, error: BaseException) -> None:
        raise error


class SharedStore(MemoryStore):
    """A store that outlives the processes that use it, and may be slow: `hold` stops it for a while."""

    is_immediate = False  # sessions write to it what they send and handle, as to all that outlive them

    def __init__(self, *, is_slow: bool = False) -> None:
        super().__init__(TTL)
        self.is_slow = is_slow
        self._pause: asyncio.Future[None] | None = None

    async def close(self) -> None:
        """Do nothing: others go on."""

    async def write(self, *arguments: Any, **more: Any) -> int | Refused:
        """As in Store."""
        if self._pause is not None:
            await asyncio.shield(self._pause)
        return await super().write(*arguments, **more)

    def hold(self) -> None:
        assert self._pause is None
        self._pause = asyncio.get_running_loop().create_future()

    def go_on(self) -> None:
        assert self._pause is not None
        self._pause.set_result(None)
        self._pause = None

    def fail(self) -> None:
        if self._pause is not None:
            self._pause.set_exception(OSError("the process has ended"))
            self._pause.exception()
            self._pause = None

    def copy(self) -> "SharedStore":
        """Return a store with all that this one has now."""
        made = SharedStore(is_slow=self.is_slow)
        for id, session in self._sessions.items():
            made._sessions[id] = kept = copy(session)
            kept.record = copy(session.record)
            kept.log = None if session.log is None else deque(session.log)
        made._due = list(self._due)
        made._tombs = deque(self._tombs)
        return made


class World:
    """A client, processes of the server, the store that these share, and all links there have been.

    inbox: what the client was given; the first `stale` of it in sessions before.
    told: what on_session was told. reports: of each session that is over, what on_session_end was told.
    """

    def __init__(self, nodes: int, session: Session, *, is_slow: bool) -> None:
        self.store = SharedStore(is_slow=is_slow)
        self.books = [self._book() for _ in range(nodes)]
        self.reports: dict[str, tuple[Message, ...]] = {}
        self.applications: list[list[Application]] = [[], []]
        self.wires: list[Wire] = []
        self.client = ClientSession(
            session, self._told, _nothing, _nothing, _never, max_size=MAX_SIZE, probes=False
        )
        self.client_link: ClientLink | None = None
        self.inbox: deque[Message] = deque()
        self.stale = 0
        self.told: list[SessionEvent] = []
        self._engine = SessionEngine(_Wires(self), self.client)
        self._opening: asyncio.Task[None] | None = None
        self.node = A

    def _told(self, event: SessionEvent) -> None:
        self.told.append(event)
        if event.kind == "reset":
            self.stale = len(self.inbox)

    def _book(self) -> Book:
        return Book(self.store, self._ended, session_limit=2**40)

    def _ended(self, id: str, why: str, unacknowledged: tuple[Message, ...]) -> None:
        assert id not in self.reports, "the end of a session was told twice"
        self.reports[id] = unacknowledged

    @staticmethod
    async def settle() -> None:
        """Let all run that is due."""
        await asyncio.sleep(1e-6)

    async def begin(self) -> None:
        for book in self.books:
            await book.ready()

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        self.client.stop()
        self.store.fail()
        for book in self.books:
            await book.close(0.0)
        await self.settle()

    # The client

    @property
    def resumption(self) -> Resumption:
        """The client's decisions."""
        return self.client._resumption

    def send(self, message: Message) -> None:
        assert self.client_link is not None
        assert self.client.half.has_room(), "the client has no room, and the model has"
        self.client_link.send(message)

    def handle(self) -> None:
        """Handle the next message, after those of sessions before, which count for none."""
        for _ in range(self.stale + 1):
            self.inbox.popleft()
            self.client.handled()
        self.stale = 0

    @property
    def wire(self) -> Wire:
        """The newest."""
        return self.wires[-1]

    def open(self, node: int) -> None:
        self.node = node
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        try:
            await self._engine.open(OpenRequest("ws://model/", MAX_SIZE), cast(LinkEvents, self))
        except (ServerClosed, HandshakeError, SessionOver):
            pass  # the link was lost before its welcome

    def link_opened(self, events: LinkEvents) -> None:
        """Connect a link to its server, up to where the client has said what it wants."""
        wire = Wire(len(self.wires) + 1, self.node, asyncio.get_running_loop().time())
        self.wires.append(wire)
        wire.client.events = events
        events.opened(wire.client)
        self._greet(wire)
        wire.client.read()

    def _greet(self, wire: Wire) -> None:
        application = Application()
        self.applications[wire.node].append(application)
        door = Door(self.books[wire.node], set(), cast(PeerHandler, application), "", MAX_SIZE)
        wire.server.events = door
        door.opened(wire.server)

    async def ask_again(self, node: int, resume: Message) -> int | None:
        """Send a resume over a link that is not the client's; return the code with which that is closed."""
        wire = Wire(0, node, 0.0)
        self._greet(wire)
        wire.up.append(resume)
        wire.server.read()
        await self.settle()
        closure = wire.down[-1]
        assert isinstance(closure, Closure), f"a resume that came again was answered with {closure!r}"
        return closure.code

    def give_up(self) -> None:
        """Drop the client's link; or learn that the server has closed it, if that is all there is to read."""
        unread = self.wire.down
        if len(unread) == 1 and isinstance(unread[0], Closure) and unread[0].code not in (1000, REPLACED):
            self.wire.client.read()
        elif self.client.link is not None:
            self.client.link.abort()
        else:
            assert self._opening is not None
            self._opening.cancel()

    # Calls from the client's link

    def opened(self, link: Link) -> None:
        assert isinstance(link, ClientLink)
        self.client_link = link
        link.deliver = self.inbox.append

    def batch_delivered(self) -> None:
        """Do nothing."""

    def closed(self, closure: Closure) -> None:
        """Do nothing: the session knows."""

    def writable(self) -> None:
        """Do nothing."""

    # The server

    def application(self, node: int, id: str) -> Application | None:
        """Return the application of a session that a process has."""
        for application in reversed(self.applications[node]):
            link = application.link
            if link is not None and link.id == id:
                return None if link.has_ended else application
        return None

    async def crash(self, node: int) -> None:
        """End a process without a word, and begin another one."""
        for wire in self.wires:
            if wire.node == node:
                wire.server.cut()
        self.applications[node] = []
        closing = asyncio.get_running_loop().create_task(self.books[node].close(0.0))
        await self.settle()
        self.store.fail()
        await closing
        self.books[node] = self._book()
        await self.books[node].ready()

    async def restart(self, store: SharedStore) -> None:
        """End all processes, and go on with another store."""
        before, self.store = self.store, store
        before.fail()
        for node in range(len(self.books)):
            await self.crash(node)


class _Wires(Engine):
    """Opens the links of a world."""

    name = "wires"

    def __init__(self, world: World) -> None:
        self._world = world

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        self._world.link_opened(events)


def _nothing() -> None:
    """Do nothing: a schedule says what the user does next."""


def _never(messages: Any) -> None:
    raise AssertionError("a message was too large")
