"""What the user holds, whatever the host: one connection, with the methods that both originals have."""

from typing import Any, Final

from websocket_heartbeat.core.machine import (
    CLOSING,
    CONNECTING,
    RECONNECT_REQUESTED,
    STOPPED,
    WAITING,
    Machine,
)
from websocket_heartbeat.miniprogram.clock import Clock
from websocket_heartbeat.miniprogram.driver import Driver
from websocket_heartbeat.miniprogram.language import record
from websocket_heartbeat.miniprogram.outbox import answer

MOST_AT_ONCE: Final = 3
"""How many new links the user may have at once: a person is impatient, too."""


class Connection(Driver):
    """One connection over many links. A subclass knows the kind of host.

    opts: the options, defaults included; a change of them holds from the next event on. repeat: retries since
    the connection was last stable. forbidReconnect: whether `close` was called, or the server has ended the
    connection for good; set it, and no retry follows when the link is lost. state: a state of the core.

    granted_until: until when new links were granted, of which each takes one reconnectTimeout, in seconds of
    the clock. reopening: the timer of one that has to wait after the end of the connection. renewing: the
    timer of a renewal that has to wait.
    """

    def __init__(self, clock: Clock, opts: dict[str, Any]) -> None:
        super().__init__(clock, opts)
        self.granted_until: float = 0.0
        self.reopening: Any = None
        self.renewing: Any = None
        self.is_destroyed: bool = False

    # With the names of the originals: users call these, and may put their own in their place

    def createWebSocket(self) -> None:
        """Connect now, also after closing. The library calls it for each attempt, which it then begins."""
        if self.is_attempt_due():
            self.dialled: int = self.machine.last_link
            link = self.dial(self.dialled)
            self.links.add(link, self.machine.successor is not None)
            link.open()
        elif not self.is_destroyed:
            self.forbidReconnect = False
            self.reconnect()

    def reconnect(self) -> None:
        """Open a new link now: in place of an open one, instead of waiting, or after giving up.

        Nothing happens after closing, nor once the server has ended the connection for good. Within a hook,
        and called more often than once in reconnectTimeout, the new link waits as any retry does: where a
        login fails on every link, this would never end.
        """
        if self.is_destroyed or self.forbidReconnect:
            return
        now = self.now()
        is_hasty = self.is_busy or self._wait_for_grant(now) > 0
        if not is_hasty:
            self._grant(now)
        self._end_closing()
        if self.is_over():
            if not is_hasty:
                self._reopen()
            elif self.reopening is None:
                wait = self.current.settings.initial * 1000
                self.reopening = self.clock.start_timer(lambda: self._reopen(), wait)
        elif not is_hasty:
            self.machine.reconnect_now(now)
            self.settle(None)
        elif self.is_open():
            self.machine.rejected(now, self.machine.link)
            self.collect(None, RECONNECT_REQUESTED)
            self.carry_out()

    def renew(self) -> None:
        """Replace the open link without a gap: the next one opens first, and takes over when onOpen is done.

        Then the old one is closed with 1000. If the next one fails, onError is told, and the old one goes on.
        Nothing happens while no link is open and ready, or another renewal is under way. Where the host has
        a single socket this is `reconnect`. More than three in reconnectTimeout wait for their turn.
        """
        if self.forbidReconnect or not self.is_open() or self.machine.successor is not None:
            return
        if self.links.current.is_alone():
            self.reconnect()
        elif self.renewing is None:
            wait = self._wait_for_grant(self.now())
            if wait > 0:
                self.renewing = self.clock.start_timer(lambda: self._renew(), wait * 1000)
            else:
                self._renew()

    def heartCheck(self) -> None:
        """Count the silence until the next heartbeat from now on. Called after onOpen and onMessage."""
        self.heartReset()
        self.heartStart()

    def heartStart(self) -> None:
        """Send heartbeats on this link, the first one after pingTimeout."""
        self.heart.is_beating = True
        self._count_from_now()

    def heartReset(self) -> None:
        """Send no heartbeat, and await no answer, until heartStart, the next message or the next link."""
        self.heart.is_beating = False
        self._count_from_now()

    def flush(self) -> Any:
        """A promise that is kept when all that was sent is acknowledged; without a session, when none waits.

        It is broken when the connection ends before that.

        Raises:
            ValueError: the option `session` is off.
        """
        if self.session is None:
            raise ValueError("flush needs the option session")
        return self.session.flush()

    def destroy(self) -> None:
        """Close at once, wait for nothing and remove all listeners; the object cannot be used after that."""
        self.is_destroyed = True
        self.stop(None)
        self._end_closing()

    # For subclasses

    def stop(self, params: Any) -> None:
        """The user closes; `params` go to the host's close."""
        was_open = self.is_open()
        state = self.machine.state
        self.forbidReconnect: bool = True
        self._forget_waiting()
        if self.is_over():
            self.outbox.refuse_all()
        is_under_way = state == CONNECTING and self.dialled == self.machine.link
        if is_under_way or (state == WAITING and not self.is_busy):
            # The host has nothing to report, and whoever closes may wait for onClose.
            self.tell_closed(record(None), STOPPED)
        self.machine.stopped(self.now())
        self.settle(params)
        if not was_open:
            # The host was not asked, so it calls nothing back.
            answer(params, "success", "close:ok")

    def forget_renewal(self) -> None:
        """Drop a renewal that waits for its turn: the connection has ended, or begins anew."""
        self.clock.stop_timer(self.renewing)
        self.renewing = None

    def has_ended(self) -> bool:
        """Whether the connection has ended, and the user has not asked for another."""
        return self.is_over() and self.reopening is None

    def _end_closing(self) -> None:
        """Do not wait for the host to report that the link has closed."""
        if self.machine.state == CLOSING:
            self.links.current.drop()
            self.link_lost(self.links.current, record(None), STOPPED, None)

    def _reopen(self) -> None:
        """Begin anew after the end of the connection."""
        self._forget_waiting()
        if self.is_over():
            number = self.machine.last_link
            self.machine: Machine = Machine(self.current.settings, lambda: self.clock.random())
            # Numbers go on: what an earlier link still says is about no link of the new machine.
            self.machine.link = number
            self.machine.last_link = number
            # A hook that is told of the end may call this before the end is carried out.
            self.unwatch()
            self.begin_session()
            self.start()

    def _forget_waiting(self) -> None:
        self.clock.stop_timer(self.reopening)
        self.reopening = None
        self.forget_renewal()

    def _renew(self) -> None:
        self.renewing = None
        now = self.now()
        self.machine.renew(now)
        if self.machine.successor is not None:
            self._grant(now)
            self.settle(None)

    def _wait_for_grant(self, now: float) -> float:
        """Seconds until the user may have another new link; 0 if at once."""
        return max(0.0, self.granted_until - now - (MOST_AT_ONCE - 1) * self.current.settings.initial)

    def _grant(self, now: float) -> None:
        """The user gets a new link now."""
        self.granted_until = max(self.granted_until, now) + self.current.settings.initial

    def _count_from_now(self) -> None:
        self.machine.heard(self.clock.now(), self.machine.link)
        self.settle(None)
