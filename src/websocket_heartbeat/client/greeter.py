"""The handshake of a session, once for each link: an engine whose links open when the server has welcomed it.

To the rest of the client it is the user's engine. What is said in a handshake is decided in core/resume.py.
"""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from websocket_heartbeat.client.session import ClientSession
from websocket_heartbeat.client.session_link import SessionLink
from websocket_heartbeat.controls import SUBPROTOCOL, decode
from websocket_heartbeat.core import resume
from websocket_heartbeat.engines.base import Closure, Engine, Link, LinkEvents, OpenRequest, discard
from websocket_heartbeat.errors import HandshakeError, RedirectRefused, ServerClosed, SessionOver
from websocket_heartbeat.events import Message
from websocket_heartbeat.redaction import with_reason

GREETED_WITHIN = 3.0
"""Seconds in which a server greets that has sessions: that travels with the answer to the handshake."""

CLOSED_WITHIN = 3.0
"""Seconds that a server has to close a link that is of no use any more."""

_DISMISSED = 4500
"""A close code that is final, for the end of a session: core/machine.py."""


class SessionEngine(Engine):
    """Opens links that belong to a session, or plain ones, where the server has none."""

    def __init__(self, engine: Engine, session: ClientSession) -> None:
        self._engine = engine
        self._session = session
        self.name: str = engine.name
        self.supports: Collection[str] = engine.supports

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        """As in Engine; a link is open when the session is welcome.

        Raises, besides:
            SessionNotOffered: the server has no sessions, and one is required.
            ServerClosed: it has closed the link before its welcome.
            SessionOver: the server has ended the session, and what it had sent before may still be handled.
        """
        session = self._session
        if session.is_over:
            raise SessionOver(with_reason("the session is over", session.why))
        if request.is_foreign:  # the key of a session is for its own origin
            if session.is_required or session.has_key:
                raise RedirectRefused("the server redirects to another origin, which the session is not for")
            await self._engine.open(request, events)
            return
        greeter = Greeter(session, events)
        subprotocols = (SUBPROTOCOL, *request.subprotocols)
        offer = replace(request, subprotocols=subprotocols, max_size=request.max_size + 1)
        await self._engine.open(offer, greeter)
        try:
            await greeter.outcome
        except BaseException:
            greeter.abort()
            raise


class Greeter:
    """Takes the events of a link: its handshake first; then it passes them on.

    outcome: done when the link is open for its user, or cannot be.
    """

    def __init__(self, session: ClientSession, events: LinkEvents) -> None:
        self._session = session
        self.events = events
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.physical: Link
        self._protocol: str | None = None
        self._link: SessionLink | None = None  # once the session is attached
        self._is_plain = False
        self._timer: asyncio.TimerHandle | None = None  # for the greeting, or for the end

    def abort(self) -> None:
        """Drop the link, as its attempt is over."""
        self._stop_timer()
        self.physical.abort()
        if self._link is None and not self._is_plain:
            self._session.lost(self, 0)

    # Calls from the link

    def opened(self, link: Link) -> None:
        """Wait for the greeting."""
        self.physical = link
        link.deliver = self._take
        self._timer = asyncio.get_running_loop().call_later(GREETED_WITHIN, self._session.other_frame, self)
        self._session.opened(self, is_selected=link.subprotocol == SUBPROTOCOL)

    def batch_delivered(self) -> None:
        """Pass it on, and acknowledge what a plain hook has handled."""
        if self._link is not None or self._is_plain:
            self.events.batch_delivered()
        self._session.settle_if_pending()

    def deliver_returned(self, result: object) -> None:
        """Pass it on."""
        self.events.deliver_returned(result)

    def deliver_failed(self, error: BaseException) -> None:
        """Pass it on."""
        self.events.deliver_failed(error)

    def ponged(self) -> None:
        """Pass it on."""
        if self._link is not None or self._is_plain:
            self.events.ponged()

    def writable(self) -> None:
        """Pass it on."""
        if self._is_plain:
            self.events.writable()
        elif self._link is not None:
            self._link.writable()

    def closed(self, closure: Closure) -> None:
        """Tell the session and the owner of the link that it has ended."""
        self._stop_timer()
        if self._is_plain:
            self._session.lost(self, 0)
            self.events.closed(closure)
            return
        self._session.lost(self, closure.code or 0)
        if self._link is not None:
            is_over = self._session.is_over
            self._link.ended(Closure(_DISMISSED, self._session.why, framed=True) if is_over else closure)
        else:
            self._finish(closure.error or ServerClosed(closure.code, closure.reason))

    # The handshake

    def _take(self, frame: Message) -> Any:
        self._stop_timer()
        control = decode(frame) if isinstance(frame, str) and frame[:1] == "{" else None
        if control is None:
            self._session.other_frame(self)
        else:
            if control.kind == resume.GREETING_CONTROL:
                self._protocol = control.protocol or None
            self._session.control(self, control)
        # If the link is plain after that, it was the first message.
        return self.physical.deliver(frame) if self._is_plain else None

    def be_plain(self) -> None:
        """Let the link be what it is."""
        self._is_plain = True
        self.events.opened(self.physical)
        self._finish(None)

    def attached(self, link: SessionLink) -> None:
        """Let the link be the session's."""
        self._link = link
        self.physical.deliver = link.take
        link.subprotocol = self._protocol
        self.events.opened(link)
        self._finish(None)

    def fail(self, error: Exception) -> None:
        """Give the link up."""
        self.physical.abort()
        self._finish(error)

    def refuse(self, code: int) -> None:
        """Close the link, which breaks the protocol."""
        self._close(code)
        if self._link is not None:
            self._link.ended(Closure(error=HandshakeError(f"the session was out of step: {code}")))
        else:
            self._finish(HandshakeError(f"the server broke the protocol of sessions: {code}"))

    def oust(self) -> None:
        """Drop a link that has lost the session to another one, which is lost too."""
        self.physical.abort()
        if self._link is not None:
            self._link.ended(Closure(error=HandshakeError("the link that was to take its place was lost")))

    def end(self, why: str) -> None:
        """Close the link: the session is over for good."""
        self._close(1000)
        if self._link is not None:
            self._link.ended(Closure(_DISMISSED, why, framed=True))
        else:
            self._finish(SessionOver(with_reason("the session is over", why)))

    def _close(self, code: int) -> None:
        """Close the link, which has no owner any more; drop it, if its server does not answer."""
        self._stop_timer()
        self.physical.deliver = discard
        self._timer = asyncio.get_running_loop().call_later(CLOSED_WITHIN, self.physical.abort)
        self.physical.close(code, "")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _finish(self, error: Exception | None) -> None:
        self._stop_timer()
        if self.outcome.done():
            return
        if error is None:
            self.outcome.set_result(None)
        else:
            self.outcome.set_exception(error)
            self.outcome.exception()  # retrieved here, as the task that awaits it may be cancelled
