"""Runs the machine of one connection: carries out its actions, and tells it what links and timers report.

The machine (core/machine.py) decides, also that a link is dead: when its deadline has come, it is told first
what is known of the link (`LinkHandler.report_evidence`). Two things are decided elsewhere: retry.py says
which failures are final, inbox.py when reading pauses. Which links there are, and where their messages go,
is in links.py; what the user is told of their ends, in reporter.py.
"""

import asyncio
import os
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import replace
from functools import lru_cache, partial

from websocket_heartbeat import observer
from websocket_heartbeat.checks import check_message
from websocket_heartbeat.client.attempt import open_link
from websocket_heartbeat.client.dropping import DroppingInbox, LatestInbox
from websocket_heartbeat.client.evidence import Loss, error_of
from websocket_heartbeat.client.greeter import SessionEngine
from websocket_heartbeat.client.history import History
from websocket_heartbeat.client.hooks import Hooks
from websocket_heartbeat.client.inbox import Inbox
from websocket_heartbeat.client.lifetime import ENDED, Lifetime, running_loop
from websocket_heartbeat.client.link import LinkHandler
from websocket_heartbeat.client.links import Links
from websocket_heartbeat.client.log import Log
from websocket_heartbeat.client.logged import LoggedEngine
from websocket_heartbeat.client.options import Options
from websocket_heartbeat.client.outbox import Outbox
from websocket_heartbeat.client.reporter import Reporter
from websocket_heartbeat.client.retry import Verdict, judge
from websocket_heartbeat.client.send_queue import SendQueue
from websocket_heartbeat.client.session import ClientSession
from websocket_heartbeat.config import Dialect, dialect_of
from websocket_heartbeat.core import machine as core
from websocket_heartbeat.engines.base import Closure, Engine, Link, OpenRequest
from websocket_heartbeat.errors import ConnectionClosed, HookFailed, LinkRejected, ServerClosed, Undelivered
from websocket_heartbeat.events import Message, OpenEvent, SessionEvent, State, Stats
from websocket_heartbeat.system.alarm import Alarm
from websocket_heartbeat.system.awaiting import await_shared
from websocket_heartbeat.system.callbacks import call, check_returned

_INBOXES = {"pause": Inbox, "drop_oldest": DroppingInbox, "latest": LatestInbox}
_UP = (core.OPEN, core.PROBING)


@lru_cache(256)
def _same(address: tuple[str, int]) -> tuple[str, int]:
    """Return one object for all equal ones: of thousands of connections, most go to few servers."""
    return address


class Host:
    """Runs the machine of one connection.

    hooks, inbox, outbox, links, lifetime, log: the other parts of the connection.
    server: host and port of the latest URL, None before the first attempt.
    dialect: in which heartbeats are messages that the user does not see, None for pings and plain messages.
    dismissal: the message that ends the connection for good, None for none.
    latency: seconds that the last answered ping took, None before the first.
    pacer: set by a fleet. Called before a retry with a function that starts it; returns True if the retry
    is to start now, else calls the function later.
    """

    __slots__ = (
        "__weakref__",
        "_alarm",
        "_close_with",
        "_closing_at",
        "_context",
        "_engine",
        "_history",
        "_loop",
        "_machine",
        "_options",
        "_performing",
        "_renewal",
        "_reporter",
        "_session",
        "dialect",
        "dismissal",
        "hooks",
        "inbox",
        "latency",
        "lifetime",
        "links",
        "log",
        "outbox",
        "pacer",
        "server",
    )

    def __init__(self, options: Options) -> None:
        url = None if callable(options.url) else options.shown(options.url)
        self.log: Log = Log(options.name or url or "(url callable)", url)
        self.server: tuple[str, int] | None = None
        self._engine: Engine = LoggedEngine(options.engine, self.log)
        self._session: ClientSession | None = None
        if options.session.mode != "off":
            session = ClientSession(
                options.session,
                self._session_told,
                self._acknowledged,
                self._stop,
                self._report_uncertain,
                max_size=options.max_size,
                probes=options.heartbeat.message is not None,
            )
            self._session = session
            self._engine = SessionEngine(self._engine, session)
        self._options = options
        self._machine = core.Machine(options.settings(), random.random)
        self.lifetime: Lifetime = Lifetime(self._machine)
        self.hooks: Hooks = Hooks(self.log)
        self.dialect: Dialect | None = dialect_of(options.heartbeat)
        self.dismissal: str | None = options.dismissal
        self.links: Links = Links(self, options, self._machine)
        bounds = options.receive_queue, options.receive_queue_bytes
        if self._session is not None:  # which has bounds of its own, and must always be read
            window = options.session
            bounds = max(bounds[0], 3 * window.window), max(bounds[1], 3 * window.window_bytes)
        make_inbox = _INBOXES[options.receive_policy]
        self.inbox: Inbox = make_inbox(*bounds, self.lifetime, self.hooks, self.links.made_room)
        if self._session is not None:
            self.inbox.on_handled = self._session.handled
        counts_messages = options.heartbeat.message is not None
        queue = SendQueue(options.send_queue, options.send_queue_bytes)
        self.outbox: Outbox = Outbox(
            queue, self.lifetime, self.hooks, self._time if counts_messages else None
        )
        self.latency: float | None = None
        self.pacer: Callable[[Callable[[], None]], bool] | None = None
        self._history = History()
        self._reporter = Reporter(self, options, self.hooks, self._history)
        self._loop: asyncio.AbstractEventLoop
        self._context: Context
        self._alarm: Alarm | None = None  # none before the start
        # What `renew` waits for: done when the machine has no successor any more.
        self._renewal: asyncio.Future[None] | None = None
        self._performing = False
        self._close_with = 1000, ""  # the code and reason to close the link with
        self._closing_at = 0.0  # when the user has called close

    # What the user asks for

    def start(self) -> None:
        """Start the machine on the running loop."""
        loop = running_loop()
        if self._machine.state != core.IDLE:
            raise RuntimeError("a connection can be started only once; call connect() again for another one")
        self._loop = self.hooks.loop = loop
        self.lifetime.bind()
        # Links and alarms live in the context of the start, not in that of the call that caused them.
        self._context = copy_context()
        self._alarm = Alarm(self._alarm_rang, self._options.granularity())
        self._reporter.started()
        self._machine.started(loop.time())
        self._perform()

    def reconnect_now(self) -> None:
        """Skip a wait, or replace the open link."""
        if self._machine.state != core.IDLE:
            self.lifetime.check_place()
            self._machine.reconnect_now(self._loop.time())
            self._perform()

    def fail_link(self, reason: str) -> None:
        """Call the open link bad; within on_open, the link for which that runs."""
        self.lifetime.check_place()
        handler = self.links.of_task()
        if handler is not None and handler.link is not None:
            self.rejected(handler, LinkRejected(reason))

    async def renew(self) -> None:
        """Open another link, which takes the place of the open one; wait for that.

        Raises:
            Exception: why it did not open.
            ConnectionClosed, ConnectionFailed: there will be no further link.
        """
        self.lifetime.check_alive()
        self.lifetime.check_place()
        successor = self.links.successor
        if successor is not None and self.links.of_task() is successor:
            return  # its on_open hook, for which the renewal waits
        self._machine.renew(self._loop.time())
        if self._machine.successor is not None:
            if self._renewal is None:
                self._renewal = self._loop.create_future()
            renewal = self._renewal
            self._perform()
            await await_shared(renewal)  # for others it goes on when this task is cancelled

    async def close(self, code: int, reason: str) -> None:
        """Close for good, within `close_timeout`; if cancelled, at once."""
        loop = asyncio.get_running_loop()
        if self.lifetime.loop is not None:
            self.lifetime.check_place()
        self._loop = self.hooks.loop = loop
        self._closing_at = loop.time()
        deadline = self._closing_at + self._options.close_timeout
        self.outbox.close()
        self.inbox.done_with_last()
        with self.hooks.closing():
            self._tell_end()
            try:
                await self._while(lambda: self.outbox.keeps_waiting and not self.outbox.is_stuck, deadline)
                session = self._session
                if session is not None and session.has_key:
                    session.end(reason)
                    await self._while(lambda: session.awaits_end, deadline)
                if self._machine.state in _UP:
                    self._close_with = code, reason
                self._stop()
                while not self.lifetime.has_ended:
                    await self.lifetime.change()
                await self.hooks.finish(deadline)
            except asyncio.CancelledError:
                self._drop()
                raise

    def _tell_end(self) -> None:
        """Have the machine know now of the end of a link that waits for its on_open hook."""
        current = self.links.current
        if current is not None and current.dialogue is not None:
            current.dialogue.tell_end()

    def _stop(self) -> None:
        """Let the machine close the link, if there is one: nothing is left to send."""
        self._tell_end()
        if self._machine.state in _UP:
            self.outbox.link_lost()  # behind a close frame nothing can be sent
        self._machine.stopped(self._closing_at)
        self._perform()

    async def _while(self, condition: Callable[[], bool], deadline: float) -> None:
        """Wait as long as a condition holds, links can change that, and the deadline is not over."""
        machine = self._machine
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while condition() and (
                    machine.state == core.CONNECTING
                    or machine.state in _UP
                    or (machine.state == core.WAITING and machine.retries.due < deadline)
                    or (machine.state == core.IDLE and self.lifetime.loop is not None)
                ):
                    await self.lifetime.change()

    def _drop(self) -> None:
        """End at once, because the task that closes the connection was cancelled."""
        self.hooks.cancel_all()
        current = self.links.current
        uncertain = self.link.uncertain if self.link is not None else 0
        self._reporter.loss = Loss(ConnectionClosed("close was cancelled"), uncertain_bytes=uncertain)
        if current is not None and current.link is not None:
            self._forget(current).abort()
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
    def ended(self) -> bool:
        """Whether nothing will happen any more: it is closed or has failed, or its event loop is closed."""
        loop = self.lifetime.loop
        return self.lifetime.has_ended or (loop is not None and loop.is_closed())

    @property
    def name(self) -> str:
        """As in the log."""
        return self.log.name

    @property
    def url(self) -> str | None:
        """What may be shown of it; None before a callable has told."""
        return self.log.url

    @property
    def queued(self) -> int:
        """How many messages wait to be sent."""
        return len(self.outbox.queue.entries)

    @property
    def silent_for(self) -> float | None:
        """Seconds since anything arrived on the open link; None: there is none."""
        link = self.link
        return None if link is None else max(0.0, self._loop.time() - link.evidence().heard_at)

    @property
    def link(self) -> Link | None:
        """The open link, if there is one."""
        current = self.links.current  # asked for by other threads too, for whom it may go at any moment
        return current.link if current is not None else None

    def why_not_open(self) -> str:
        """Say what keeps the connection from being ready."""
        if self.link is not None:
            return "a link is open, but its on_open hook has not ended"
        if self._history.reasons:
            return f"the latest failure: {self._history.reasons[-1]}"
        return "the first attempt is still under way"

    def stats(self) -> Stats:
        """Return what the connection has done so far."""
        dropped = self.inbox.dropped + (0 if self._session is None else self._session.dropped)
        return self._history.stats(self.link, self.queued, dropped, self.outbox.dropped)

    def _time(self) -> float:
        return self._loop.time()

    @property
    def is_unattended(self) -> bool:
        """Whether it still runs: asked as the last reference to the connection goes, and nobody closes it."""
        return self._machine.state in (core.CONNECTING, core.WAITING, *_UP)

    def __repr__(self) -> str:
        return f"{self.name} {self._machine.state} link={self._machine.link}"

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
            # Also when a hook raised what ends the program: that still closes what it has, and waits for it.
            self._performing = False
            self._set_alarm()
            if self._machine.actions:
                self._loop.call_soon(self._perform)

    def _open_link(self, action: core.Action) -> None:
        self._reporter.attempted(action.link)
        handler = LinkHandler(self, action.link)
        self.links.add(handler)
        handler.task = self.hooks.spawn(self._attempt(handler), self._context.copy())

    def _ping_link(self, action: core.Action) -> None:
        message = self._heartbeat_message()
        current = self.links.current
        if current is not None and current.link is not None:
            self._history.pings += 1
            current.ping(self._loop.time(), message)
            if self._machine.state == core.OPEN:  # else a change of the state follows
                self.links.update_deliver()

    def _heartbeat_message(self) -> Message | None:
        """Return the message that stands for a ping; None, which is a ping, if the user's function fails.

        What has a dialect wants a login, say, before all else: a link that is not ready gets a ping.
        """
        if self.link is not None and self.link.is_session:
            return None  # its ping is a probe
        name = "Heartbeat.message"
        message = self._options.heartbeat.message
        if isinstance(message, Dialect):
            if self._machine.ready_at is None:
                return None
            name = "Dialect.ping"
            message = message.ping
        if callable(message):
            check = partial(check_message, name, max_size=self._options.max_size)
            try:
                return check_returned(name, check, call(name, message))
            except HookFailed as failed:
                self.hooks.report(failed)
                return None
        return message

    def _close_link(self, action: core.Action) -> None:
        if self.link is not None:
            self.link.end(*self._close_with)

    def _abandon_link(self, action: core.Action) -> None:
        handler = self.links.get(action.link)
        if handler is None:
            return
        if handler.link is not None:
            if handler is self.links.current:
                heard_at = self._machine.liveness.heard_at
                self._reporter.loss = handler.loss_of_abandoned(self._loop.time(), heard_at)
            self._forget(handler).abort()
        elif handler.task is not None:
            self.links.drop(handler)
            handler.task.cancel()
            if self._machine.state == core.CLOSED:  # else why is told with what follows
                self._reporter.attempt_ends(action.link, "cancelled")

    def _leave_link(self, action: core.Action) -> None:
        handler = self.links.get(action.link)
        if handler is not None:
            if handler is self.links.current and handler.link is not None:
                self._reporter.link_is_left(handler.link.uncertain)
            self._history.add_bytes(handler.link)
            is_read_on = action.cause == core.RENEWED
            self.links.leave(handler, within=self._options.close_timeout, is_read_on=is_read_on)

    def _switch_link(self, action: core.Action) -> None:
        self.links.switch()
        self.outbox.flush()  # what waited as the link before was full
        self._renewal_ended(None)

    def _notify_opened(self, action: core.Action) -> None:
        handler = self.links.get(action.link)
        if handler is None or handler.link is None:
            return
        self._history.links += 1
        self.links.opened(handler)
        link = handler.link
        kind = self._session.kind if self._session is not None and link.is_session else None
        event = OpenEvent(action.link, link.subprotocol, link.response_headers, kind)
        self.links.begin(handler, self.hooks.get("on_open"), event)

    def _notify_closed(self, action: core.Action) -> None:
        is_ours = self._machine.state in (core.CLOSING, core.CLOSED)
        self._reporter.link_is_gone(action, is_ours=is_ours, has_another=self.links.has_open(action.link))

    def _notify_retry(self, action: core.Action) -> None:
        self._reporter.retry(action)

    def _notify_failed(self, action: core.Action) -> None:
        reason, error = self._reporter.failed(action)
        self.lifetime.fail(reason, action.code, error)

    def _notify_renewal_failed(self, action: core.Action) -> None:
        # Else another link comes in its place, or none any more.
        has_failed = action.cause != core.STOPPED
        if not has_failed:
            self._reporter.attempt_ends(action.link, "cancelled")
        self._renewal_ended(self._reporter.renewal_failed(action) if has_failed else None)

    def _renewal_ended(self, error: Exception | None) -> None:
        renewal, self._renewal = self._renewal, None
        if renewal is None or renewal.done():
            return
        if error is None:
            renewal.set_result(None)
        else:
            renewal.set_exception(error)
            renewal.exception()  # retrieved here, as the task that awaits it may be cancelled

    def _notify_state(self, action: core.Action) -> None:
        self.links.update_deliver()
        current = self.links.current
        if action.state == core.PROBING and current is not None:
            current.await_acknowledgement(self._machine, self._loop.time())
        if action.state == core.CLOSING and current is not None:
            # The server's close frame comes behind messages that wait: it must be read.
            self.links.resume_reading(current)
        if "on_state" in self.hooks:
            self.hooks.call_hook("on_state", State(action.state))
        if action.state in _UP:
            return  # the outbox wakes those that wait for a link, after the on_open hook
        if action.state in ENDED:
            self.links.end()
            self.outbox.end()
            if self._session is not None:
                self._report_uncertain(self._session.stop())
        self.lifetime.changed.notify()
        self.outbox.wake()
        self.inbox.arrived.notify()

    _actions: dict[str, Callable[["Host", core.Action], None]] = {  # noqa: RUF012  # a constant
        core.OPEN_LINK: _open_link,
        core.PING_LINK: _ping_link,
        core.CLOSE_LINK: _close_link,
        core.ABANDON_LINK: _abandon_link,
        core.LEAVE_LINK: _leave_link,
        core.SWITCH_LINK: _switch_link,
        core.NOTIFY_OPENED: _notify_opened,
        core.NOTIFY_CLOSED: _notify_closed,
        core.NOTIFY_RETRY: _notify_retry,
        core.NOTIFY_FAILED: _notify_failed,
        core.NOTIFY_RENEWAL_FAILED: _notify_renewal_failed,
        core.NOTIFY_STATE: _notify_state,
    }

    # The session

    def _session_told(self, event: SessionEvent) -> None:
        self._reporter.session_told(event)
        if "on_session" in self.hooks:
            self.hooks.call_hook("on_session", event)
        elif event.kind == "stalled":
            self.log.warning("the server has handled nothing for long, and its window is full")
        else:
            self._report_uncertain(tuple(event.uncertain))

    def _report_uncertain(self, messages: Sequence[Message]) -> None:
        if messages:
            self.hooks.report(Undelivered(messages, uncertain=True))

    def _acknowledged(self) -> None:
        self.lifetime.changed.notify()

    async def flush(self) -> None:
        """Wait until the session has nothing unacknowledged."""
        session = self._session
        while session is not None and session.half.sent > session.half.acked:
            self.lifetime.check_alive()
            await self.lifetime.change()

    # What happens on a link: called by LinkHandler

    async def _attempt(self, handler: LinkHandler) -> None:
        headers = self._reporter.attempt_begins(handler.number)
        try:
            asked = partial(self._asked, handler.number, headers)
            await open_link(self._options, self._engine, handler, asked)
        except Exception as error:
            # Without its traceback: error and frames refer to each other, and the collection of such cycles
            # stops the loop for long when thousands of attempts fail together.
            self._attempt_failed(handler, error.with_traceback(None))

    def _asked(self, link: int, headers: Sequence[tuple[str, str]], request: OpenRequest) -> OpenRequest:
        """Take note of a request that was made of the user's URL; return it with what is of its attempt.

        headers: to be added; those of the user go before.
        """
        self.server = _same(request.address)
        log = self.log
        log.url = self._options.shown(request.url)
        log.name = self._options.name or log.url
        given = {name.lower() for name, _ in request.headers}
        added = [header for header in headers if header[0].lower() not in given]
        return replace(request, link=link, headers=[*request.headers, *added])

    def _attempt_failed(self, handler: LinkHandler, error: Exception) -> None:
        if self.links.get(handler.number) is not handler or handler.link is not None:
            return
        is_renewal = handler is self.links.successor
        self.links.drop(handler)
        verdict = self._verdict(error)
        self._reporter.attempt_failed(handler.number, error, verdict, is_renewal=is_renewal)
        self._lost(handler, error, verdict, error.code if isinstance(error, ServerClosed) else None)

    def link_opened(self, handler: LinkHandler, link: Link) -> None:
        """The handshake is complete."""
        links = self.links
        is_awaited = handler is links.current and self._machine.state == core.CONNECTING
        if not is_awaited and handler is not links.successor:
            link.abort()
            return
        handler.link = link
        handler.task = None
        self._reporter.attempt_ends(handler.number, None)
        self.links.update_deliver()
        self._machine.opened(self._loop.time(), handler.number)
        self._perform()
        self.batch_delivered(handler)  # what the link before has left may be too much already

    def link_closed(self, handler: LinkHandler, closure: Closure) -> None:
        """The link has ended by itself; an on_open hook is first to take what came before."""
        if handler.closure is not None:  # a link of a session may say it again, as what is beneath it ends
            return
        handler.closure = closure
        tell = partial(self._link_has_ended, handler, closure)
        if handler.dialogue is None or self._machine.state == core.CLOSING:
            tell()
        else:
            handler.dialogue.link_has_ended(tell)

    def _link_has_ended(self, handler: LinkHandler, closure: Closure) -> None:
        if self.links.get(handler.number) is not handler or handler.link is None:
            self.links.left(handler)
            return
        self._forget(handler)
        if self._machine.state == core.CLOSING:
            error: Exception = ConnectionClosed("we closed the connection")
        else:
            error = error_of(closure)
        verdict = Verdict(True) if handler.is_dismissed else self._verdict(error)
        self._lost(handler, error, verdict, closure.code, closure.uncertain_bytes)

    def _lost(
        self,
        handler: LinkHandler,
        error: Exception,
        verdict: Verdict,
        code: int | None = None,
        uncertain_bytes: int | None = 0,
    ) -> None:
        is_dismissal = handler.is_dismissed
        self._reporter.loss = Loss(error, uncertain_bytes=uncertain_bytes, is_dismissal=is_dismissal)
        self._machine.lost(self._loop.time(), handler.number, code, hint=verdict.hint, is_final=verdict.final)
        self._perform()

    def ready(self, handler: LinkHandler) -> None:
        """The link is there for all messages: its on_open hook is done."""
        self._machine.ready(self._loop.time(), handler.number)
        if handler.number == self._machine.link and self._machine.ready_at is not None:
            # Else a plain hook has called it bad before it returned.
            self._reporter.link_is_ready(handler.number, self.queued)
        self._perform()

    def rejected(self, handler: LinkHandler, error: Exception) -> None:
        """The program calls an open link bad: by `fail_link`, or as its on_open hook has raised."""
        if isinstance(error, HookFailed):
            self.hooks.report(error)
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        closure = handler.closure
        if closure is not None:  # the server has ended it meanwhile, maybe for good
            self._forget(handler)
            verdict = Verdict(True) if handler.is_dismissed else self._verdict(cause, error_of(closure))
            self._lost(handler, error, verdict, closure.code, closure.uncertain_bytes)
            return
        verdict = self._verdict(cause)
        self._reporter.loss = Loss(error, is_dismissal=handler.is_dismissed)
        is_final = verdict.final is True
        self._machine.rejected(self._loop.time(), handler.number, hint=verdict.hint, is_final=is_final)
        self._perform()

    def _verdict(self, error: Exception, ended: Exception | None = None) -> Verdict:
        """Judge an error by `retry_if`, or the table; or by that how the link has ended, if it has."""
        retry_if = self._options.retry_if
        retry = self.hooks.call_function("retry_if", retry_if, error) if retry_if is not None else None
        return judge(ended or error, retry, was_open=self._history.links > 0)

    def dismissed(self, handler: LinkHandler) -> None:
        """The server has said that we are not to come back."""
        handler.is_dismissed = True
        self.links.update_deliver()
        if handler is self.links.successor:
            self._reporter.loss = Loss(ConnectionAbortedError(core.DISMISSED))
        self._machine.dismissed(self._loop.time(), handler.number)
        self._perform()

    def proof_of_life(self, handler: LinkHandler) -> None:
        """Something has come on the link; while a ping is unanswered it matters."""
        if handler is not self.links.current or not handler.awaits_proof:
            return
        now = self._loop.time()
        handler.awaits_proof = False
        if self._machine.state == core.PROBING:
            round_trip = handler.round_trip(now)
            if not handler.awaits_message:
                self._note_round_trip(handler, round_trip)
            if self._alarm is not None:
                self._alarm.cancel()  # set for much earlier, to look for the answer
            self._machine.heard(now, handler.number)
            self._perform()
        else:
            self._machine.heard(now, handler.number)
            self.links.update_deliver()

    def ponged(self, handler: LinkHandler, is_message: bool) -> None:
        """A pong has come, or a message that the dialect has for one."""
        if handler is not self.links.current:
            return
        if handler.awaits_message if is_message else handler.awaits_pong:
            handler.awaits_pong = handler.awaits_message = False
            if self._machine.state != core.PROBING:  # else it is taken for the answer in any case
                self._note_round_trip(handler, handler.round_trip(self._loop.time()))
        self.proof_of_life(handler)

    def _note_round_trip(self, handler: LinkHandler, seconds: float) -> None:
        self.latency = seconds
        self._reporter.round_trip(handler.number, seconds)

    def message_came(self, handler: LinkHandler) -> None:
        """A message has come on a link with a watchdog or a dialect."""
        if handler is self.links.current:
            self._machine.received(self._loop.time(), handler.number)
            self.proof_of_life(handler)

    def update_deliver(self) -> None:
        """Where the links deliver may have changed."""
        self.links.update_deliver()

    def batch_delivered(self, handler: LinkHandler) -> None:
        """A read has brought its last message."""
        self.links.batch_delivered(handler)

    def reading_paused(self, handler: LinkHandler) -> None:
        """The link is not read any more, as its messages are not taken fast enough."""
        self._machine.reading_paused(self._loop.time(), handler.number)

    def reading_resumed(self, handler: LinkHandler) -> None:
        """The link is read again."""
        self._machine.reading_resumed(self._loop.time(), handler.number)
        self._set_alarm()

    def _forget(self, handler: LinkHandler) -> Link:
        """Let go of an open link, whose end has come."""
        link = handler.link
        assert link is not None
        self._history.add_bytes(link)
        self.links.drop(handler)
        return link

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
        deadline, current = machine.deadline, self.links.current
        if deadline is not None and now >= deadline and current is not None and current.dialogue is not None:
            current.dialogue.tell_end()  # the silence of a link that has ended would prove nothing
            deadline, current = machine.deadline, self.links.current
        if deadline is not None and now >= deadline:
            late = now - deadline
            if current is not None:
                sent_at = None if self._options.heartbeat.message is None else self.outbox.sent_at
                current.report_evidence(machine, now, late, sent_at)
            # Rounding up is not lateness: the core would let the peer have it as grace.
            assert self._alarm is not None
            machine.woke(now if late > self._alarm.granularity else deadline)
        self._perform()


def _after_fork_in_child() -> None:
    """Leave the connections to the parent: a child that writes to their sockets breaks them."""
    for connection in observer.connections:
        if isinstance(connection, Host):
            connection.lifetime.unbind()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
