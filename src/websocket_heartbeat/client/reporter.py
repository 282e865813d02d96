"""Tells the user how links and attempts ended: by the hooks, the log, and the reasons that `stats` keeps."""

import logging
from dataclasses import replace

from websocket_heartbeat.client.evidence import NO_LOSS, Loss, in_words
from websocket_heartbeat.client.history import History
from websocket_heartbeat.client.hooks import Hooks, logger
from websocket_heartbeat.client.options import Options
from websocket_heartbeat.client.outage import Outage
from websocket_heartbeat.client.retry import Verdict
from websocket_heartbeat.core import machine as core
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.events import CloseEvent, ReconnectEvent


class Reporter:
    """Tells of one connection.

    loss: how the latest link or attempt ended; set before the core is told of that.
    """

    __slots__ = ("_history", "_hooks", "_options", "_outage", "loss")

    def __init__(self, options: Options, hooks: Hooks, history: History) -> None:
        self._options = options
        self._hooks = hooks
        self._history = history
        self._outage = Outage()
        self.loss = NO_LOSS

    def attempted(self) -> None:
        """Count an attempt."""
        self._history.attempts += 1
        self._outage.attempted()

    def attempt_failed(self, error: Exception, verdict: Verdict, *, is_renewal: bool) -> None:
        """Tell why an attempt failed."""
        self._history.add_reason(in_words(error))
        level = logging.DEBUG  # where what is final, or that a renewal has failed, follows itself
        if not is_renewal:
            level = self._level(verdict.is_refusal)
        self._report_attempt(error, logging.DEBUG if verdict.final else level)

    def link_is_ready(self, link: int) -> None:
        """Tell that a link is ready."""
        self._outage.ended(self._hooks.label, link, self._hooks.loop.time())

    def link_is_left(self, uncertain_bytes: int | None) -> None:
        """Note what was in flight on a link that is left for another one."""
        self.loss = replace(self.loss, uncertain_bytes=uncertain_bytes)

    def link_is_gone(self, action: core.Action, *, is_ours: bool, has_another: bool) -> None:
        """Tell that an open link is gone. is_ours: we have closed it. has_another: another one is open."""
        # Of a link that was given up before it was ready, no loss was noted.
        loss = NO_LOSS if action.cause in (core.STOPPED, core.OPEN_TIMEOUT) else self.loss
        reason = loss.in_words(action.cause)
        self._history.add_reason(reason)
        is_outage = action.cause != core.RENEWED and not is_ours and not has_another
        level = self._level() if is_outage else logging.DEBUG
        logger.log(level, "%s: link %d is gone: %s", self._hooks.label, action.link, reason)
        # A server that has answered our close frame has read what came before it.
        if loss.uncertain_bytes and is_ours and action.code is None:
            words = "%s: closed, though %d bytes that were sent may not have arrived: %s"
            logger.warning(words, self._hooks.label, loss.uncertain_bytes, reason)
        self._hooks.call_hook("on_close", CloseEvent(action.link, reason, action.code, loss.uncertain_bytes))

    def retry(self, action: core.Action) -> None:
        """Tell of a retry before it happens."""
        self._report_open_timeout(action.cause)
        reason = self.loss.in_words(action.cause)
        logger.debug("%s: retry %d in %.1f s: %s", self._hooks.label, action.attempt, action.delay, reason)
        self._hooks.call_hook("on_reconnect", ReconnectEvent(action.attempt, action.delay, reason))

    def failed(self, action: core.Action) -> tuple[str, Exception]:
        """Tell that there will be no further link; return why, and the error."""
        self._report_open_timeout(action.cause)
        reason = self.loss.in_words(action.cause)
        error = self.loss.error or TimeoutError(reason)
        if action.out_of_retries:
            retries = self._options.max_retries
            reason = f"gave up after {retries} {'retry' if retries == 1 else 'retries'}: {reason}"
        logger.warning("%s: failed for good: %s", self._hooks.label, reason)
        return reason, error

    def renewal_failed(self, action: core.Action) -> Exception:
        """Tell that the current link stays, as the one to replace it has failed; return the error."""
        error = self.loss.error
        if action.cause == core.OPEN_TIMEOUT or error is None:
            error = TimeoutError(f"no link was ready within open_timeout={self._options.open_timeout:g} s")
        logger.warning("%s: the renewal failed: %s", self._hooks.label, in_words(error))
        return error

    def _report_open_timeout(self, cause: str) -> None:
        """Tell of an attempt that the core gave up, of which no engine has raised an error."""
        if cause == core.OPEN_TIMEOUT:
            limit = self._options.open_timeout
            error = TimeoutError(f"no link opened within open_timeout={limit:g} s")
            self.loss = Loss(error)
            self._history.add_reason(self.loss.in_words(cause))
            self._report_attempt(error, self._level())

    def _report_attempt(self, error: Exception, level: int) -> None:
        if isinstance(error, HookFailed):
            self._hooks.report(error)
        else:
            logger.log(level, "%s: cannot connect: %s; trying again", self._hooks.label, in_words(error))
            self._hooks.call_hook("on_error", error)

    def _level(self, is_refusal: bool = False) -> int:
        """Return the level at which to tell a failure."""
        return self._outage.level(self._hooks.loop.time(), is_refusal)
