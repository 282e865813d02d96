"""The handshake of a session on one link: greets, and hears whether a session is to begin or to go on."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from websocket_heartbeat.controls import MAX_SIZE, decode, encode
from websocket_heartbeat.core.resume import (
    GREETING_CONTROL,
    HELLO,
    NEW,
    OVER,
    RESET,
    RESUME,
    RESUMED,
    WELCOME,
    Control,
)
from websocket_heartbeat.core.session import REPLACED, VIOLATION
from websocket_heartbeat.engines.base import Closure, Link, discard
from websocket_heartbeat.engines.logged import LoggedLink
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.farewell import with_hint
from websocket_heartbeat.server.handler import PeerHandler
from websocket_heartbeat.server.sessions.book import WINDOW, Book, Reset
from websocket_heartbeat.server.sessions.limits import OVER_LIMIT, OverLimit
from websocket_heartbeat.server.sessions.link import SessionLink
from websocket_heartbeat.server.sessions.store import Ended, Found, Refused
from websocket_heartbeat.system.callbacks import log_raised

_logger = logging.getLogger("websocket_heartbeat.server")

NO_HELLO = 4493
"""The close code of a link whose client does not say what it wants in time."""
HELLO_WITHIN = 5.0
"""Seconds that it has for that."""


class Door:
    """Takes the events of a link that has selected the subprotocol of sessions, for its whole life.

    handler: the inside of a peer, for a session that begins. protocol: the application's subprotocol, "" for
    none. max_size: the largest message that is taken. doors: those of the same entrance, for it to close.
    """

    def __init__(
        self, book: Book, doors: "set[Door]", handler: PeerHandler, protocol: str, max_size: int
    ) -> None:
        self._book = book
        self._doors = doors
        self._handler = handler
        self._protocol = protocol
        self._max_size = max_size
        self._link: Link
        self._session: SessionLink | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._has_ended = False  # whether no session is to begin here
        self._is_closed = False
        self._gone: asyncio.Future[None] | None = None
        self._has_begun = self._is_settled = False  # whether the handler has a peer; whether that is known
        self._settled: asyncio.Future[None] | None = None
        self._deciding: asyncio.Task[None] | None = None
        self._dropping: asyncio.TimerHandle | None = None  # of a link that is to close

    # Calls from the link

    def opened(self, link: Link) -> None:
        """Greet."""
        if _logger.isEnabledFor(logging.DEBUG):
            link = LoggedLink(link, self._handler.log_frame)
        self._link = link
        self._doors.add(self)
        link.deliver = self._first
        link.accept_up_to(MAX_SIZE)
        greeting = Control(GREETING_CONTROL)
        greeting.window = WINDOW
        greeting.max = self._max_size
        greeting.ttl = int(self._book.ttl)
        greeting.protocol = self._protocol
        link.send(encode(greeting))
        self._timer = asyncio.get_running_loop().call_later(HELLO_WITHIN, self._refuse, NO_HELLO)

    def closed(self, closure: Closure) -> None:
        """Take the news that the link has ended."""
        self._stop()
        self._doors.discard(self)
        self._is_closed = True
        self._settle()
        self._handler.give_place_back()
        if self._dropping is not None:
            self._dropping.cancel()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        if self._session is not None:
            self._session.detached(self._link)

    def batch_delivered(self) -> None:
        """Pass it on."""
        if self._session is not None:
            self._session.batch_delivered()

    def deliver_returned(self, result: object) -> None:
        """Does not happen."""

    def deliver_failed(self, error: BaseException) -> None:
        """Log where: a mistake in this package, or what ends the program. There may be no peer yet."""
        log_raised(_logger.error, "a frame of a session", error)

    def ponged(self) -> None:
        """Pass on that a pong has come."""
        if self._session is not None:
            self._session.ponged()

    def writable(self) -> None:
        """Nothing to do: the window bounds what is sent."""

    # Calls from the entrance

    def leave(self) -> None:
        """Close the link, as the server closes."""
        if self._session is None:
            self._refuse(1001)

    # Calls from its session, as its Carrier

    def part(self, code: int, reason: str) -> None:
        """Close the link, and drop it if its client does not answer in time."""
        if self._dropping is None and not self._is_closed:
            self._link.close(code, reason)
            timeout = self._handler.keeper.policy.close_timeout
            self._dropping = asyncio.get_running_loop().call_later(timeout, self.abort)

    def gone(self) -> asyncio.Future[None]:
        """Return a future that is done when the link has ended."""
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
            if self._is_closed:
                self._gone.set_result(None)
        return self._gone

    def abort(self) -> None:
        """Drop the link."""
        if not self._is_closed:
            self._link.abort()
            self.closed(Closure())

    # Calls from who runs endpoints

    async def has_begun(self) -> bool:
        """Wait for the end of the handshake; return whether the handler has a peer now.

        Otherwise the link carries a session that has one already, or ends.
        """
        if not self._is_settled:
            self._settled = asyncio.get_running_loop().create_future()
            await self._settled
        return self._has_begun

    def _settle(self) -> None:
        self._is_settled = True
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    # The handshake

    def _first(self, frame: Message) -> None:
        control = decode(frame) if isinstance(frame, str) and frame[:1] == "{" else None
        self._link.deliver = self._too_early
        if len(frame) > MAX_SIZE:
            self._refuse(NO_HELLO)
        elif control is not None and control.kind == HELLO:
            self._decide(self._begin(control))
        elif control is not None and control.kind == RESUME:
            self._decide(self._resume(control))
        else:
            self._refuse(VIOLATION)

    def _too_early(self, frame: Message) -> None:
        self._refuse(VIOLATION)

    def _decide(self, decision: Coroutine[Any, Any, None]) -> None:
        self._deciding = asyncio.get_running_loop().create_task(self._decided(decision))

    async def _decided(self, decision: Coroutine[Any, Any, None]) -> None:
        try:
            await decision
        except OverLimit as over:
            extra = {"code": OVER_LIMIT, "reason": str(over)}
            self._handler.keeper.log.warning(
                "a client was put off with %d: %s", OVER_LIMIT, over, extra=extra
            )
            self._refuse(OVER_LIMIT, with_hint("", over.seconds))
        except OSError as error:
            extra = {"code": 1013, "reason": str(error)}
            self._handler.keeper.log.error("a session cannot begin or go on: %s", error, extra=extra)
            self._refuse(1013, "sessions are not available now")
        except Exception as error:
            log_raised(self._handler.keeper.log.error, "the handshake of a session", error)
            self._refuse(1011)
        finally:
            if self._deciding is asyncio.current_task():  # else another decision has followed
                self._deciding = None  # a task that is done takes 0.8 KiB

    async def _begin(self, hello: Control) -> None:
        session, key = await self._new_session(hello)
        self._attach(session, hello, self._welcome(NEW, key=key))

    async def _new_session(self, asked: Control) -> tuple[SessionLink, str]:
        return await self._book.begin(asked, self._handler.principal, self._handler.request)

    async def _resume(self, asked: Control) -> None:
        answer = await self._book.resume(asked, self._handler.principal, self._handler.request)
        if isinstance(answer, Found):
            self._go_on(answer, asked)
        elif isinstance(answer, Ended):
            welcome = self._welcome(OVER, why=answer.why)
            welcome.done = answer.done
            self._say(welcome)
            self._refuse(1000)
        elif isinstance(answer, Reset):
            await self._reset(asked, answer)
        else:
            self._refuse(REPLACED if answer is Refused.STALE else VIOLATION)

    def _go_on(self, found: Found, asked: Control) -> None:
        session = self._book.owned(found)
        if session.link_number > asked.link:  # it was claimed for a newer link meanwhile
            self._refuse(REPLACED)
            return
        half = session.half
        if not (asked.acked <= half.got <= asked.sent and half.fits(asked.done, asked.got)):
            self._decide(self._mismatch(session, asked))
            return
        welcome = self._welcome(RESUMED)
        welcome.done, welcome.got = half.recorded, half.got
        self._attach(session, asked, welcome, asked.got, asked.done)

    async def _mismatch(self, session: SessionLink, asked: Control) -> None:
        done = session.half.recorded
        session.reset("mismatch")
        await self._reset(asked, Reset("mismatch", min(done, asked.sent)))

    async def _reset(self, asked: Control, reset: Reset) -> None:
        session, key = await self._new_session(asked)
        welcome = self._welcome(RESET, key=key, why=reset.why)
        welcome.done = reset.done
        self._attach(session, asked, welcome)

    def _attach(
        self, session: SessionLink, asked: Control, welcome: Control, got: int = 0, acked: int = 0
    ) -> None:
        self._stop_timer()
        self._link.accept_up_to(self._max_size + 1)  # with the character before each message
        self._say(welcome)
        self._session = session
        self._book.reports.changed(session.id, welcome.answer)
        session.attach(self._link, self, got, acked, is_text_only=not asked.binary)
        if self._has_ended:
            session.detached(self._link)
        elif not session.has_begun and not session.has_ended:
            self._has_begun = True
            session.begin(self._handler, self._protocol or None)
        self._settle()

    def _welcome(self, answer: str, *, key: str = "", why: str = "") -> Control:
        control = Control(WELCOME)
        control.answer, control.key, control.why = answer, key, why
        return control

    def _say(self, control: Control) -> None:
        self._link.send(encode(control))

    def _refuse(self, code: int, reason: str = "") -> None:
        self._link.deliver = discard
        self._stop()
        self._settle()
        self.part(code, reason)

    def _stop(self) -> None:
        self._has_ended = True
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
