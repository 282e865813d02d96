"""One act of the demo: a connection that talks while faults strike, and what is seen of it."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from websocket_heartbeat.cli.demo.ledger import Follower
from websocket_heartbeat.cli.demo.pace import Pace
from websocket_heartbeat.cli.demo.report import Outcome
from websocket_heartbeat.client import Connection
from websocket_heartbeat.errors import ConnectionFailed, HookFailed
from websocket_heartbeat.events import CloseEvent, Message, OpenEvent, ReconnectEvent, State

Tell = Callable[[str, str, str, float | None], None]


class Act:
    """One connection from its start to its end.

    ledger: follows its messages. seed: for when faults begin, and when which messages are sent.
    tell: called with what becomes a line of the timeline: state, event, why, round trip.

    state, link (its number, or None), retry_at (by time.monotonic): of the connection, for a status line.
    false_alarms: links given up though nothing was wrong. mistake: a hook of ours that raised.
    """

    def __init__(self, connection: Connection, ledger: Follower, pace: Pace, seed: str, tell: Tell) -> None:
        self.connection = connection
        self.ledger = ledger
        self.pace = pace
        self.state: State = State.IDLE
        self.link: int | None = None
        self.retry_at: float = 0.0
        self.false_alarms: int = 0
        self.mistake: HookFailed | None = None
        self._tell_play = tell
        # One for each purpose: how many messages fit between two faults depends on the machine.
        self._fault_times = random.Random(f"{seed} strikes")
        self._talking = random.Random(f"{seed} messages")
        self._longest_wait = 5 * pace.unit
        self._changed = asyncio.Event()
        self._talks = False
        self._stalls = False
        self._stalled = False
        self._over = False
        # What the hooks have seen
        self._attempts: list[float] = []
        self._opened_at: dict[int, float] = {}
        self._echoed_on: int | None = None
        self._losses: list[float] = []
        self._failed_attempts: list[float] = []
        self._retry_follows_loss = False
        self._is_faulty = False
        connection.on_state = self._on_state
        connection.on_open = self._on_open
        connection.on_message = self._on_message
        connection.on_close = self._on_close
        connection.on_reconnect = self._on_reconnect
        connection.on_error = self._on_error

    @contextlib.asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        """Have the connection, and messages on it; wait at the end until all of them are accounted for."""
        async with self.connection:
            talker = asyncio.create_task(self._talk())
            try:
                yield
                self._talks = False
                await self.until(lambda: self.ledger.settled, self._longest_wait)
            finally:
                talker.cancel()
                self._over = True

    async def scene(self, name: str, scene: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Play a scene, once a link is open."""
        await self.until(lambda: self.link is not None or self.connection.closed, self._longest_wait)
        if self.link is None:
            outcome = Outcome(name, False, "no link is open to begin with")
        else:
            self._is_faulty = False
            self._talks = True
            outcome = await scene()
        self._tell("ok" if outcome.passed else "FAILED", outcome.verdict)
        return outcome

    # What scenes are made of

    async def kept(self, name: str, units: float) -> Outcome:
        """Let time pass in which the link must stay open."""
        link = self.link
        pings = self.connection.stats.pings
        attempts = len(self._attempts)
        await asyncio.sleep(units * self.pace.unit)
        pings = self.connection.stats.pings - pings
        beats = f"{pings or 'no'} heartbeat{'' if pings == 1 else 's'}"
        if self.link == link:
            return Outcome(name, True, f"kept, {beats}")
        return Outcome(name, False, f"link {link} was lost", attempts=len(self._attempts) - attempts)

    async def inject(self, fault: Callable[[], Awaitable[float]], what: str) -> float:
        """Inject a fault at a random time; return when."""
        await asyncio.sleep(self._fault_times.uniform(0, 0.3) * self.pace.unit)
        self._is_faulty = True
        self._echoed_on = None
        self._tell("fault", what)
        return await fault()

    async def notice(self, injected: float, bound: float) -> float | None:
        """Return when the link was given up, None if that does not happen."""
        await self.until(
            lambda: self._lost_since(injected) is not None, bound + self.pace.tolerance + self.pace.unit
        )
        return self._lost_since(injected)

    async def notice_attempt(self, bound: float) -> tuple[float, float | None]:
        """Return when the next attempt begins, and when it has failed; None if that does not happen."""
        before = len(self._attempts)
        await self.until(lambda: len(self._attempts) > before, self._longest_wait)
        began = self._attempts[-1]
        await self.until(lambda: self._failed_since(began) is not None, bound + self._longest_wait)
        return began, self._failed_since(began)

    async def heal(self, cure: Callable[[], Awaitable[float]], what: str) -> float:
        """End the fault; return when."""
        healed = await cure()
        self._tell("healed", what)
        return healed

    async def recovery(
        self, name: str, bound: float, injected: float, noticed: float | None, healed: float
    ) -> Outcome:
        """Wait for a new link that answers, and then until it counts as stable."""
        if noticed is None:
            return Outcome(name, False, f"not noticed within {bound:.2f} s", bound)
        if await self.until(lambda: self._answered_since(noticed) is not None, self._longest_wait):
            opened = self._answered_since(noticed)
        else:
            opened = None
        attempts = self.attempts_since(injected)
        after = noticed - injected
        if opened is None:
            return Outcome(name, False, "not recovered", bound, after, None, attempts)
        recovered = max(0.0, opened - healed)
        self._is_faulty = False
        await asyncio.sleep(1.2 * self.pace.unit)
        if after > bound + self.pace.tolerance:
            verdict = f"noticed in {after:.2f} s, later than {bound:.2f} s"
            return Outcome(name, False, verdict, bound, after, recovered, attempts)
        verdict = f"noticed in {after:.2f} s, recovered in {recovered:.2f} s"
        return Outcome(name, True, verdict, bound, after, recovered, attempts)

    def attempts_since(self, since: float) -> int:
        """Return how many links were tried since then."""
        return sum(at >= since for at in self._attempts)

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition on what hooks have seen; return whether it came about in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        return condition()

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """Send no messages."""
        self._talks = False
        try:
            yield
        finally:
            self._talks = True

    def stall_at_the_next_heartbeat(self) -> None:
        """Have the client's own loop stand still while a heartbeat is unanswered."""
        self._stalls = True

    @property
    def is_to_stall(self) -> bool:
        """Whether that is still to come."""
        return self._stalls

    def _lost_since(self, since: float) -> float | None:
        return next((at for at in self._losses if at >= since), None)

    def _failed_since(self, since: float) -> float | None:
        return next((at for at in self._failed_attempts if at >= since), None)

    def _answered_since(self, since: float) -> float | None:
        """When the present link opened, if it did so since then and has carried a message both ways."""
        if self.link is None or self._echoed_on != self.link:
            return None
        opened = self._opened_at[self.link]
        return opened if opened >= since else None

    async def _talk(self) -> None:
        """Send numbered messages at random intervals, shorter than that of the heartbeat."""
        while True:
            await asyncio.sleep(self._talking.uniform(0.05, 0.3) * self.pace.unit)
            if self._talks:
                message = self.ledger.write("x" * self._talking.randrange(1000))
                try:
                    self.connection.send_nowait(message)
                except ConnectionFailed:
                    return  # the scenes tell
                self.ledger.sent(message, self.link)

    # Hooks of the connection

    def _on_state(self, state: State) -> None:
        before, self.state = self.state, state
        if state is State.CONNECTING:
            self._attempts.append(time.monotonic())
            self._tell(state, f"link {len(self._attempts)}: try")
        elif state is State.PROBING:
            self._tell(state, "ping", f"silent for {self.pace.interval:.2g} s")
            if self._stalls:
                length = 2 * self.pace.unit
                self._tell("fault", "our own loop stalls", f"for {length:.2g} s; the answer lies unread")
                time.sleep(length)
                self._stalls = False
                self._stalled = True
                self._tell("healed", "our own loop runs")
        elif state is State.OPEN and before is State.PROBING:
            # After the stall the connection has measured how late it read, which says nothing of the network.
            self._tell(state, "alive", round_trip=None if self._stalled else self.connection.latency)
            self._stalled = False
        self._changed.set()

    def _on_open(self, event: OpenEvent) -> None:
        self.link = event.link
        self._opened_at[event.link] = time.monotonic()
        self._tell(State.OPEN, f"link {event.link}: open", self.ledger.opened(event.link))
        self._changed.set()

    def _on_message(self, message: Message) -> None:
        self.ledger.echoed(message)
        self._echoed_on = self.link
        self._changed.set()

    def _on_close(self, event: CloseEvent) -> None:
        link, self.link = self.link, None
        self._changed.set()
        if self._over:
            self._tell(self.connection.state, f"link {link}: closed", event.reason)
            return
        self._losses.append(time.monotonic())
        self.false_alarms += not self._is_faulty
        self._retry_follows_loss = True
        alarm = "" if self._is_faulty else " (FALSE ALARM)"
        fate = self.ledger.closed(event.link)
        reason = f"{event.reason}; {fate}" if fate else event.reason
        self._tell(self.connection.state, f"link {link}: gone{alarm}", reason)

    def _on_reconnect(self, event: ReconnectEvent) -> None:
        self.retry_at = time.monotonic() + event.delay
        why = ""
        if not self._retry_follows_loss:
            self._failed_attempts.append(time.monotonic())
            why = event.reason
        self._retry_follows_loss = False
        self._tell(State.WAITING, f"retry {event.retry} in {event.delay:.2f} s", why)
        self._changed.set()

    def _on_error(self, error: Exception) -> None:
        # Why attempts fail is told with the retry. That a hook of ours raised must not pass for a success.
        if isinstance(error, HookFailed):
            self.mistake = error

    def _tell(self, state: str, event: str, why: str = "", round_trip: float | None = None) -> None:
        self._tell_play(state, event, why, round_trip)
