"""Tells how links and attempts ended: by the hooks, the log, the reasons that `stats` keeps, to observers."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from websocket_heartbeat import observer
from websocket_heartbeat.client.evidence import NO_LOSS, Loss, in_words, kind_of
from websocket_heartbeat.client.history import History
from websocket_heartbeat.client.hooks import Hooks
from websocket_heartbeat.client.options import Options
from websocket_heartbeat.client.outage import Outage
from websocket_heartbeat.client.retry import Verdict
from websocket_heartbeat.core import machine as core
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.events import CloseEvent, ReconnectEvent, SessionEvent
from websocket_heartbeat.observer import ObservedConnection
from websocket_heartbeat.redaction import printable


class Reporter:
    """Tells of one connection.

    loss: how the latest link or attempt ended; set before the core is told of that.
    """

    __slots__ = ("_connection", "_history", "_hooks", "_log", "_options", "_outage", "loss")

    def __init__(
        self, connection: ObservedConnection, options: Options, hooks: Hooks, history: History
    ) -> None:
        self._connection = connection
        self._options = options
        self._hooks = hooks
        self._log = hooks.log
        self._history = history
        self._outage = Outage()
        self.loss: Loss = NO_LOSS

    def started(self) -> None:
        """Tell observers that the connection was started, now and later."""
        observer.connections.add(self._connection)
        for each in observer.observers:
            each.connection_started(self._connection)

    # Attempts

    def attempted(self, link: int) -> None:
        """Count an attempt."""
        self._history.attempts += 1
        self._outage.attempted()
        self._log.debug("link %d: an attempt begins", link, extra={"link": link})

    def attempt_begins(self, link: int) -> Sequence[tuple[str, str]]:
        """Tell observers of an attempt, in its own task; return headers that they have for its handshake."""
        headers: list[tuple[str, str]] = []
        for each in observer.observers:
            headers += each.attempt_began(self._connection, link)
        return headers

    def attempt_ends(self, link: int, error: str | None) -> None:
        """Tell observers how an attempt ended; None: its link has opened."""
        for each in observer.observers:
            each.attempt_ended(self._connection, link, error)

    def attempt_failed(self, link: int, error: Exception, verdict: Verdict, *, is_renewal: bool) -> None:
        """Tell why an attempt failed."""
        self.attempt_ends(link, kind_of(error))
        self._history.add_reason(in_words(error))
        level = logging.DEBUG  # where what is final, or that a renewal has failed, follows itself
        if not is_renewal:
            level = self._level(verdict.is_refusal)
        self._report_attempt(error, kind_of(error), logging.DEBUG if verdict.final else level)

    # Links

    def link_is_ready(self, link: int, queued: int) -> None:
        """Tell that a link is ready. queued: messages that have waited for it."""
        outage = self._outage.ended(self._hooks.loop.time())
        if outage is None:
            self._log.info("link %d is open", link, extra={"link": link, "queued": queued})
        else:
            down_for, retries = outage
            words = "link %d is open, after %.1f s and %d %s; queued messages to send: %d"
            tries = "retry" if retries == 1 else "retries"
            fields = {"link": link, "down_for": down_for, "retries": retries, "queued": queued}
            self._log.info(words, link, down_for, retries, tries, queued, extra=fields)
        for each in observer.observers:
            each.link_ready(self._connection, link, None if outage is None else outage.down_for)

    def link_is_left(self, uncertain_bytes: int | None) -> None:
        """Note what was in flight on a link that is left for another one."""
        self.loss = replace(self.loss, uncertain_bytes=uncertain_bytes)

    def link_is_gone(self, action: core.Action, *, is_ours: bool, has_another: bool) -> None:
        """Tell that an open link is gone. is_ours: we have closed it. has_another: another one is open."""
        # Of a link that was given up before it was ready, no loss was noted.
        loss = NO_LOSS if action.cause in (core.STOPPED, core.OPEN_TIMEOUT) else self.loss
        reason = loss.in_words(action.cause)
        self._history.add_reason(reason)
        is_loss = action.cause != core.RENEWED and not is_ours
        kind = loss.kind(action.cause) if is_loss else None
        event = CloseEvent(action.link, reason, action.code, loss.uncertain_bytes)
        fields = {
            "link": action.link,
            "reason": reason,
            "error_type": kind,
            "code": action.code,
            "uncertain_bytes": loss.uncertain_bytes,
        }
        level = self._level() if is_loss and not has_another else logging.DEBUG
        self._log.write(level, "link %d is gone: %s", action.link, reason, extra=fields)
        # A server that has answered our close frame has read what came before it.
        if loss.uncertain_bytes and is_ours and action.code is None:
            words = "closed, though %d bytes that were sent may not have arrived: %s"
            self._log.warning(words, loss.uncertain_bytes, reason, extra=fields)
        for each in observer.observers:
            each.link_lost(self._connection, event, kind)
        self._hooks.call_hook("on_close", event)

    def round_trip(self, link: int, seconds: float) -> None:
        """Tell how long a heartbeat took to be answered."""
        fields = {"link": link, "round_trip": seconds}
        self._log.debug("link %d: a round trip of %.3f s", link, seconds, extra=fields)
        for each in observer.observers:
            each.round_trip(self._connection, seconds)

    def session_told(self, event: SessionEvent) -> None:
        """Tell of what becomes of the session."""
        words = f": {printable(event.why)}" if event.why else ""
        fields = {"event": event.kind, "reason": event.why, "uncertain": len(event.uncertain)}
        self._log.debug("session: %s%s", event.kind, words, extra=fields)
        for each in observer.observers:
            each.session_told(self._connection, event)

    # What follows

    def retry(self, action: core.Action) -> None:
        """Tell of a retry before it happens."""
        self._report_open_timeout(action)
        reason = self.loss.in_words(action.cause)
        kind = self.loss.kind(action.cause)
        event = ReconnectEvent(action.attempt, action.delay, reason)
        fields = {"retry": event.retry, "delay": event.delay, "reason": reason, "error_type": kind}
        self._log.debug("retry %d in %.1f s: %s", event.retry, event.delay, reason, extra=fields)
        for each in observer.observers:
            each.retry_scheduled(self._connection, event, kind)
        self._hooks.call_hook("on_reconnect", event)

    def failed(self, action: core.Action) -> tuple[str, Exception]:
        """Tell that there will be no further link; return why, and the error."""
        self._report_open_timeout(action)
        reason = self.loss.in_words(action.cause)
        kind = self.loss.kind(action.cause)
        error = self.loss.error or TimeoutError(reason)
        if action.out_of_retries:
            retries = self._options.max_retries
            reason = f"gave up after {retries} {'retry' if retries == 1 else 'retries'}: {reason}"
        fields = {"reason": reason, "error_type": kind, "code": action.code}
        self._log.warning("failed for good: %s", reason, extra=fields)
        for each in observer.observers:
            each.connection_failed(self._connection, kind, reason)
        return reason, error

    def renewal_failed(self, action: core.Action) -> Exception:
        """Tell that the current link stays, as the one to replace it has failed; return the error."""
        error = self.loss.error
        if action.cause == core.OPEN_TIMEOUT or error is None:
            error = TimeoutError(f"no link was ready within open_timeout={self._options.open_timeout:g} s")
            self.attempt_ends(action.link, self.loss.kind(action.cause))
        fields = {"reason": in_words(error), "error_type": self.loss.kind(action.cause)}
        self._log.warning("the renewal failed: %s", in_words(error), extra=fields)
        return error

    def _report_open_timeout(self, action: core.Action) -> None:
        """Tell of an attempt that the core gave up, of which no engine has raised an error."""
        if action.cause == core.OPEN_TIMEOUT:
            limit = self._options.open_timeout
            error = TimeoutError(f"no link opened within open_timeout={limit:g} s")
            self.loss = Loss(error)
            self._history.add_reason(self.loss.in_words(action.cause))
            self.attempt_ends(action.link, self.loss.kind(action.cause))
            self._report_attempt(error, self.loss.kind(action.cause), self._level())

    def _report_attempt(self, error: Exception, kind: str, level: int) -> None:
        if isinstance(error, HookFailed):
            self._hooks.report(error)
        else:
            fields = {"reason": in_words(error), "error_type": kind}
            what_next = "" if self._options.max_retries == 0 else "; trying again"
            self._log.write(level, "cannot connect: %s%s", in_words(error), what_next, extra=fields)
            self._hooks.call_hook("on_error", error)

    def _level(self, is_refusal: bool = False) -> int:
        """Return the level at which to tell a failure."""
        return self._outage.level(self._hooks.loop.time(), is_refusal)
