"""Runs the machine of one connection: carries out its actions, and tells it what links and timers report.

The machine (core/machine.py) decides, also that a link is dead: when its deadline has come, it is told first
what is known of the link (`LinkHandler.report_evidence`). Two things are decided elsewhere: retry.py says
which failures are final, inbox.py when reading pauses.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import replace
from functools import partial

from websocket_heartbeat.checks import check_message
from websocket_heartbeat.client.attempt import open_link
from websocket_heartbeat.client.dropping import DroppingInbox, LatestInbox
from websocket_heartbeat.client.evidence import NO_LOSS, Loss, error_of, in_words
from websocket_heartbeat.client.hooks import Hooks, logger
from websocket_heartbeat.client.inbox import Inbox
from websocket_heartbeat.client.lifetime import ENDED, Lifetime
from websocket_heartbeat.client.link import LinkHandler
from websocket_heartbeat.client.options import Options
from websocket_heartbeat.client.outbox import Outbox
from websocket_heartbeat.client.retry import judge
from websocket_heartbeat.client.send_queue import SendQueue
from websocket_heartbeat.core import machine as core
from websocket_heartbeat.engines.base import Closure, Link, OpenRequest
from websocket_heartbeat.errors import ConnectionClosed
from websocket_heartbeat.events import CloseEvent, Message, OpenEvent, ReconnectEvent, State, Stats
from websocket_heartbeat.redaction import shown_url
from websocket_heartbeat.system.alarm import Alarm
from websocket_heartbeat.system.kernel import tcp_info

_INBOXES = {"pause": Inbox, "drop_oldest": DroppingInbox, "latest": LatestInbox}
_UP = (core.OPEN, core.PROBING)
_KEPT_REASONS = 10
_NO_REASONS: list[str] = []  # shared, to save memory: never changed, as `_keep_reason` makes a new list


class Host:
    """Runs the machine of one connection.

    hooks, inbox, outbox, lifetime: the other parts of the connection.
    latency: seconds that the last answered ping took, None before the first.
    pacer: set by a fleet. Called before a retry with a function that starts it; returns True if the retry
    is to start now, else calls the function later.
    """

    __slots__ = (
        "_alarm",
        "_close_with",
        "_context",
        "_current",
        "_loop",
        "_loss",
        "_machine",
        "_options",
        "_performing",
        "_stats",
        "hooks",
        "inbox",
        "latency",
        "lifetime",
        "outbox",
        "pacer",
    )

    def __init__(self, options: Options) -> None:
        self._options = options
        self._machine = core.Machine(options.settings(), random.random)
        self.lifetime = Lifetime(self._machine)
        self.hooks = Hooks("(url callable)" if callable(options.url) else shown_url(options.url))
        bounds = options.receive_queue, options.receive_queue_bytes
        make_inbox = _INBOXES[options.receive_policy]
        self.inbox = make_inbox(*bounds, self.lifetime, self.hooks, self._resume_reading)
        queue = SendQueue(options.send_queue, options.send_queue_bytes)
        self.outbox = Outbox(queue, self.lifetime, self.hooks)
        self.latency: float | None = None
        self.pacer: Callable[[Callable[[], None]], bool] | None = None
        self._stats = Stats(reasons=_NO_REASONS)
        self._loop: asyncio.AbstractEventLoop
        self._context: Context
        self._alarm: Alarm | None = None  # none before the start
        self._current: LinkHandler | None = None
        self._performing = False
        self._close_with = 1000, ""  # the code and reason to close the link with
        self._loss = NO_LOSS  # how the last link or attempt ended

    # What the user asks for

    def start(self) -> None:
        """Start the machine on the running loop."""
        loop = asyncio.get_running_loop()
        if self._machine.state != core.IDLE:
            raise RuntimeError("a connection can be started only once; call connect() again for another one")
        self._loop = self.hooks.loop = loop
        self.lifetime.bind()
        # Links and alarms live in the context of the start, not in that of whoever happened to cause them.
        self._context = copy_context()
        self._alarm = Alarm(self._alarm_rang, self._options.granularity())
        self._machine.started(loop.time())
        self._perform()

    def reconnect_now(self) -> None:
        """Skip a wait, or replace the open link."""
        if self._machine.state != core.IDLE:
            self.lifetime.check_place()
            self._machine.reconnect_now(self._loop.time())
            self._perform()

    async def close(self, code: int, reason: str) -> None:
        """Close for good, within `close_timeout`; if cancelled, at once."""
        loop = asyncio.get_running_loop()
        if self.lifetime.loop is not None:
            self.lifetime.check_place()
        self._loop = self.hooks.loop = loop
        now = loop.time()
        deadline = now + self._options.close_timeout
        self.outbox.close()
        with self.hooks.closing():
            try:
                await self._send_queue(deadline)
                if self._machine.state in _UP:
                    self._close_with = code, reason
                    self.outbox.link_lost()  # behind a close frame nothing can be sent
                self._machine.stopped(now)
                self._perform()
                while not self.lifetime.has_ended:
                    await self.lifetime.change()
                await self.hooks.finish(deadline)
            except asyncio.CancelledError:
                self._drop()
                raise

    async def _send_queue(self, deadline: float) -> None:
        """Wait until what waits for a link was sent, or cannot be by the deadline."""
        machine = self._machine
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self.outbox.keeps_waiting and (
                    machine.state == core.CONNECTING
                    or machine.state in _UP
                    or (machine.state == core.WAITING and machine.retry_at < deadline)
                    or (machine.state == core.IDLE and self.lifetime.loop is not None)
                ):
                    await self.lifetime.change()

    def _drop(self) -> None:
        """End at once, because the task that closes the connection was cancelled."""
        self.hooks.cancel_all()
        self._loss = Loss(ConnectionClosed("close was cancelled"))
        if self.link is not None:
            self._forget_link().abort()
        now = self._loop.time()
        self._machine.stopped(now)
        self._machine.lost(now, self._machine.link)
        self._perform()

    # Facts

    @property
    def state(self) -> str:
        """The state of the machine."""
        return self._machine.state

    @property
    def link(self) -> Link | None:
        """The open link, if there is one."""
        current = self._current  # asked for by other threads too, for whom it may go at any moment
        return current.link if current is not None else None

    def stats(self) -> Stats:
        """Return what the connection has done so far."""
        link = self.link
        info = tcp_info(link.socket) if link is not None else None
        return replace(
            self._stats,
            queued=len(self.outbox.queue.entries),
            dropped=self.inbox.dropped,
            reasons=list(self._stats.reasons),
            bytes_received=self._stats.bytes_received + (info.bytes_received if info else 0),
            bytes_sent=self._stats.bytes_sent + (info.bytes_acked if info else 0),
        )

    @property
    def is_unattended(self) -> bool:
        """Whether the connection goes on although nobody can close it any more, now that nobody holds it."""
        return self._machine.state in (core.CONNECTING, core.WAITING, *_UP)

    def __repr__(self) -> str:
        return f"{self.hooks.label} {self._machine.state} link={self._machine.link}"

    # What the core decided

    def _perform(self) -> None:
        """Carry out all actions of the core, including those that come up on the way, then set the alarm."""
        if self._performing:
            return
        self._performing = True
        try:
            while self._machine.actions:
                action = self._machine.actions.pop(0)
                self._actions[action.kind](self, action)
        finally:
            # Also when a hook raised what ends the program: the rest is done by the next call.
            self._performing = False
            self._set_alarm()

    def _open_link(self, action: core.Action) -> None:
        self._stats.attempts += 1
        current = self._current = LinkHandler(self, action.link)
        current.task = self.hooks.spawn(self._attempt(current), self._context.copy())

    def _ping_link(self, action: core.Action) -> None:
        message = self._options.heartbeat.message
        if callable(message):
            message = self._heartbeat_message(message)
        current = self._current
        if current is not None and current.link is not None:
            self._stats.pings += 1
            current.ping(self._machine, self._loop.time(), message)

    def _heartbeat_message(self, function: Callable[[], Message]) -> Message | None:
        """Return the message that the user's function makes; None, which is a ping, if it fails."""
        name = "Heartbeat.message"
        made: Message | None = self.hooks.call_function(
            name, lambda: check_message(name, function(), self._options.max_size)
        )
        return made

    def _close_link(self, action: core.Action) -> None:
        if self.link is not None:
            self.link.close(*self._close_with)

    def _abandon_link(self, action: core.Action) -> None:
        current = self._current
        if current is None:
            return
        if current.link is not None:
            self._loss = current.loss_of_abandoned(self._loop.time(), self._machine.liveness.heard_at)
            self._forget_link().abort()
        elif current.task is not None:
            self._current = None
            current.task.cancel()

    def _notify_opened(self, action: core.Action) -> None:
        current = self._current
        if current is None or current.link is None:
            return
        self._stats.links += 1
        logger.info("%s: link %d is open", self.hooks.label, action.link)
        event = OpenEvent(action.link, current.link.subprotocol, current.link.response_headers)
        current.task = self.outbox.link_opened(current.link, partial(self.hooks.call_hook, "on_open", event))

    def _notify_closed(self, action: core.Action) -> None:
        reason = self._loss.in_words(action.cause)
        self._keep_reason(reason)
        logger.info("%s: link %d is gone: %s", self.hooks.label, action.link, reason)
        self.hooks.call_hook(
            "on_close", CloseEvent(action.link, reason, action.code, self._loss.unsent_bytes)
        )

    def _notify_retry(self, action: core.Action) -> None:
        self._report_open_timeout(action.cause)
        reason = self._loss.in_words(action.cause)
        logger.info("%s: retry %d in %.1f s: %s", self.hooks.label, action.attempt, action.delay, reason)
        self.hooks.call_hook("on_reconnect", ReconnectEvent(action.attempt, action.delay, reason))

    def _notify_failed(self, action: core.Action) -> None:
        self._report_open_timeout(action.cause)
        reason = self._loss.in_words(action.cause)
        error = self._loss.error or TimeoutError(reason)
        if action.out_of_retries:
            reason = f"gave up after {self._options.max_attempts} retries: {reason}"
        logger.warning("%s: failed for good: %s", self.hooks.label, reason)
        self.lifetime.fail(reason, action.code, error)

    def _report_open_timeout(self, cause: str) -> None:
        """Tell of an attempt that the core gave up, of which no engine has raised an error."""
        if cause == core.OPEN_TIMEOUT:
            limit = self._options.open_timeout
            error = TimeoutError(f"no link opened within open_timeout={limit:g} s")
            self._loss = Loss(error)
            self._keep_reason(self._loss.in_words(cause))
            self.hooks.report(error)

    def _notify_state(self, action: core.Action) -> None:
        self.update_deliver()
        if action.state == core.CLOSING and self.inbox.paused:
            self._resume_reading()  # behind what nobody reads, the server's close frame would never be seen
        if "on_state" in self.hooks:
            self.hooks.call_hook("on_state", State(action.state))
        if action.state in _UP:
            return  # the outbox wakes those that wait for a link, after the on_open hook
        if action.state in ENDED:
            self.outbox.end()
        self.lifetime.changed.notify()
        self.outbox.wake()
        self.inbox.arrived.notify()

    _actions: dict[str, Callable[["Host", core.Action], None]] = {  # noqa: RUF012  # a constant
        core.OPEN_LINK: _open_link,
        core.PING_LINK: _ping_link,
        core.CLOSE_LINK: _close_link,
        core.ABANDON_LINK: _abandon_link,
        core.NOTIFY_OPENED: _notify_opened,
        core.NOTIFY_CLOSED: _notify_closed,
        core.NOTIFY_RETRY: _notify_retry,
        core.NOTIFY_FAILED: _notify_failed,
        core.NOTIFY_STATE: _notify_state,
    }

    # What happens on a link: called by LinkHandler

    async def _attempt(self, handler: LinkHandler) -> None:
        try:
            await open_link(self._options, handler, self._set_label)
        except Exception as error:
            # Without its traceback: error and frames refer to each other, and the collection of such cycles
            # stops the loop for long when thousands of attempts fail together.
            self._attempt_failed(handler, error.with_traceback(None))

    def _set_label(self, request: OpenRequest) -> None:
        self.hooks.label = shown_url(request.url)

    def _attempt_failed(self, handler: LinkHandler, error: Exception) -> None:
        if handler is not self._current or handler.link is not None:
            return
        self._current = None
        self._keep_reason(in_words(error))
        self.hooks.report(error)
        self._lost(handler, error)

    def link_opened(self, handler: LinkHandler, link: Link) -> None:
        """The handshake is complete."""
        if handler is not self._current or self._machine.state != core.CONNECTING:
            link.abort()
            return
        handler.link = link
        handler.task = None
        self.inbox.paused = False
        link.deliver = self.inbox.deliver
        self._machine.opened(self._loop.time(), handler.number)
        self._perform()
        self.batch_delivered()  # what the link before has left may be too much already

    def link_closed(self, handler: LinkHandler, closure: Closure) -> None:
        """The link has ended by itself."""
        if handler is not self._current or handler.link is None:
            return
        self._forget_link()
        if self._machine.state == core.CLOSING:
            error: Exception = ConnectionClosed("we closed the connection")
        else:
            error = error_of(closure)
        self._lost(handler, error, closure.code, closure.unsent_bytes)

    def _lost(
        self, handler: LinkHandler, error: Exception, code: int | None = None, unsent_bytes: int = 0
    ) -> None:
        self._loss = Loss(error, unsent_bytes=unsent_bytes)
        retry_if = self._options.retry_if
        retry = self.hooks.call_function("retry_if", retry_if, error) if retry_if is not None else None
        verdict = judge(error, self._options.final_close_codes, retry)
        now = self._loop.time()
        self._machine.lost(now, handler.number, code, hint=verdict.hint, is_final=verdict.final)
        self._perform()

    def proof_of_life(self, handler: LinkHandler) -> None:
        """Something has come on the link; while a ping is unanswered it matters."""
        if handler is not self._current or self._machine.state != core.PROBING:
            return
        now = self._loop.time()
        self.latency = handler.end_round_trip(now)
        self._machine.heard(now, handler.number)
        if self._alarm is not None:
            self._alarm.cancel()  # set for much earlier, to look for the answer
        self._perform()

    def _forget_link(self) -> Link:
        """Let go of the open link, whose end has come."""
        current = self._current
        assert current is not None
        link = current.link
        assert link is not None
        self._current = current.link = None
        self.outbox.link_lost()
        info = tcp_info(link.socket)
        if info is not None:
            self._stats.bytes_received += info.bytes_received
            self._stats.bytes_sent += info.bytes_acked
        if current.task is not None:
            self.hooks.cancel(current.task)
        return link

    def _keep_reason(self, reason: str) -> None:
        self._stats.reasons = [*self._stats.reasons, reason][-_KEPT_REASONS:]

    # Messages from a link to the inbox

    def update_deliver(self) -> None:
        """Let the link deliver to where messages go now; while a ping is unanswered, by way of the core."""
        current = self._current
        if current is None or current.link is None:
            return
        if self._machine.state == core.CLOSING:
            current.link.deliver = current.discard
        elif self._machine.state == core.PROBING:
            current.link.deliver = current.deliver_proof
        else:
            current.link.deliver = self.inbox.deliver

    def batch_delivered(self) -> None:
        """A read has brought its last message."""
        if self._machine.state == core.CLOSING:
            return
        if self.inbox.batch_delivered() and self.link is not None:
            self.inbox.paused = True
            self.link.pause_reading()
            self._machine.reading_paused(self._loop.time(), self._machine.link)

    def _resume_reading(self) -> None:
        self.inbox.paused = False
        if self.link is not None:
            self.link.resume_reading()
            self._machine.reading_resumed(self._loop.time(), self._machine.link)
            self._set_alarm()

    # Time

    def _set_alarm(self) -> None:
        """Ring at the core's deadline or before it: traffic moves the deadline and leaves the alarm."""
        alarm = self._alarm
        if alarm is None:
            return
        deadline = self._machine.deadline
        if deadline is not None:
            # The core has spread the retries of a herd: rounded, they would come in bunches again.
            alarm.ring_by(deadline, exact=self._machine.state == core.WAITING)
        else:
            alarm.cancel()

    def _alarm_rang(self, was_suspended: bool) -> None:
        self._context.run(self._ask_pacer, was_suspended)

    def _ask_pacer(self, was_suspended: bool) -> None:
        # To be late with a retry is allowed: a pacer calls back when it is this connection's turn.
        go_on = partial(self._deadline_came, was_suspended)
        if self.pacer is None or self._machine.state != core.WAITING or self.pacer(go_on):
            go_on()

    def _deadline_came(self, was_suspended: bool) -> None:
        now = self._loop.time()
        machine = self._machine
        if was_suspended:
            # The latest that was heard is of before the suspend: what came after it is not read yet.
            machine.shown(now)
        deadline = machine.deadline
        if deadline is not None and now >= deadline:
            late = now - deadline
            if self._current is not None:
                self._current.report_evidence(machine, now, late)
            # Rounding up is not lateness: the core would let the peer have it as grace.
            assert self._alarm is not None
            machine.woke(now if late > self._alarm.granularity else deadline)
        self._perform()
