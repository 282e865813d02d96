"""The scenes of the demo: which fault hits the connection, and what the client must do about it."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, replace

from websocket_heartbeat.cli.demo.ledger import Ledger
from websocket_heartbeat.cli.demo.pace import USUAL_SECONDS, Pace
from websocket_heartbeat.cli.demo.report import Entry, Outcome, Report
from websocket_heartbeat.cli.demo.stage import Stage
from websocket_heartbeat.client import connect
from websocket_heartbeat.config import Backoff, Heartbeat
from websocket_heartbeat.errors import ConnectionFailed, HookFailed
from websocket_heartbeat.events import CloseEvent, Message, OpenEvent, ReconnectEvent, State


class Play:
    """One run of the demo.

    seed: for all that is random in it: when faults begin, and when which messages are sent.
    show: called with each Entry of the timeline; announce: with the name and the story of each scene.

    For a status line: `elapsed`, `state`, `link` (its number, or None), `retry_at` (by
    time.monotonic), `ledger`.
    """

    def __init__(
        self,
        seconds: float,
        seed: int,
        show: Callable[[Entry], None],
        announce: Callable[[str, str], None],
    ) -> None:
        self.state = State.IDLE
        self.link: int | None = None
        self.retry_at = 0.0
        self.ledger = Ledger()
        self._seconds = seconds
        self._unit = seconds / USUAL_SECONDS
        self._pace = Pace.of(seconds)
        self._longest_wait = 5 * self._unit
        self._seed = seed
        # One for each purpose: how many messages fit between two faults depends on the machine.
        self._fault_times = random.Random(f"{seed} strikes")
        self._talking = random.Random(f"{seed} messages")
        self._show = show
        self._announce = announce
        self._timeline: list[Entry] = []
        self._start = time.monotonic()
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
        self._false_alarms = 0
        self._mistake: HookFailed | None = None

    async def perform(self) -> Report:
        """Run all scenes, whatever their outcome."""
        pace = self._pace
        # The client draws its delays from here. Not earlier: rich draws a number when it is imported.
        random.seed(self._seed)
        stage = Stage(idle_timeout=10 * pace.interval)
        async with stage:
            self._stage = stage
            connection = connect(
                stage.url,
                heartbeat=Heartbeat(interval=pace.interval, timeout=pace.timeout),
                backoff=Backoff(initial=pace.initial, maximum=pace.maximum, stable_after=pace.stable_after),
                open_timeout=pace.open_timeout,
                close_timeout=pace.timeout,
                proxy=None,
            )
            self._connection = connection
            connection.on_state = self._on_state
            connection.on_open = self._on_open
            connection.on_message = self._on_message
            connection.on_close = self._on_close
            connection.on_reconnect = self._on_reconnect
            connection.on_error = self._on_error
            async with connection:
                talker = asyncio.create_task(self._talk())
                try:
                    outcomes = [
                        await self._scene(name, story, scene) for name, story, scene in self._scenes()
                    ]
                    self._talks = False
                    await self._until(lambda: self.ledger.settled, self._longest_wait)
                finally:
                    talker.cancel()
                    self._over = True
                stats = connection.stats
        if self._mistake is not None:
            raise self._mistake
        return Report(
            seed=self._seed,
            seconds=self._seconds,
            duration=self.elapsed,
            settings=asdict(pace),
            outcomes=outcomes,
            false_alarms=self._false_alarms,
            messages=self.ledger.account(stage.received),
            links=stats.links,
            attempts=stats.attempts,
            pings=stats.pings,
            timeline=self._timeline,
        )

    # The scenes

    def _scenes(self) -> list[tuple[str, str, Callable[[], Awaitable[Outcome]]]]:
        return [
            ("traffic", "messages flow, so no heartbeat is needed", self._traffic),
            ("idleness", "no messages: heartbeats only", self._idleness),
            ("frozen link", "both sockets stay open, nothing passes", self._frozen_link),
            ("reset", "the connection is reset, as by a NAT that forgot it", self._reset),
            ("server killed", "and started again a little later", self._server_killed),
            (
                "accept, then close",
                "the server accepts each link and closes it at once",
                self._accept_and_close,
            ),
            ("hanging handshake", "connections are accepted and never answered", self._hanging_handshake),
            ("own loop stalls", "the client itself does not run for a while", self._own_loop_stalls),
        ]

    async def _scene(self, name: str, story: str, scene: Callable[[], Awaitable[Outcome]]) -> Outcome:
        self._announce(name, story)
        await self._until(lambda: self.link is not None or self._connection.closed, self._longest_wait)
        if self.link is None:
            outcome = Outcome(name, False, "no link is open to begin with")
        else:
            self._is_faulty = False
            self._talks = True
            outcome = await scene()
        self._tell("ok" if outcome.passed else "FAILED", outcome.verdict)
        return outcome

    async def _traffic(self) -> Outcome:
        return await self._kept("traffic", 2.5)

    async def _idleness(self) -> Outcome:
        with self._silence():
            return await self._kept("idleness", 3.5)

    async def _frozen_link(self) -> Outcome:
        bound = self._pace.interval + self._pace.timeout
        injected = await self._inject(self._stage.freeze, "the link freezes")
        noticed = await self._notice(injected, bound)
        healed = await self._heal(self._stage.thaw, "the link thaws")
        return await self._recovery("frozen link", bound, injected, noticed, healed)

    async def _reset(self) -> Outcome:
        bound = self._pace.interval + self._pace.timeout
        injected = await self._inject(self._stage.reset, "reset")
        noticed = await self._notice(injected, bound)
        return await self._recovery("reset", bound, injected, noticed, noticed or injected)

    async def _server_killed(self) -> Outcome:
        bound = self._pace.interval + self._pace.timeout
        injected = await self._inject(self._stage.kill_server, "the server is killed")
        noticed = await self._notice(injected, bound)
        await self._sleep_until(injected + 2 * self._unit)
        healed = await self._heal(self._stage.restart_server, "the server is back")
        return await self._recovery("server killed", bound, injected, noticed, healed)

    async def _accept_and_close(self) -> Outcome:
        bound = self._pace.interval + self._pace.timeout
        length = 3 * self._unit
        # Every attempt has a window of its own, and none is shorter than the first.
        allowed = int(length / self._pace.initial) + 1
        injected = await self._inject(self._stage.close_links, "server closes links")
        noticed = await self._notice(injected, bound)
        await self._sleep_until(injected + length)
        attempts = sum(at >= injected for at in self._attempts)
        healed = await self._heal(self._stage.keep_links, "server keeps links")
        outcome = await self._recovery("accept, then close", bound, injected, noticed, healed)
        if outcome.passed and attempts > allowed:
            verdict = (
                f"the server was hammered: {attempts} attempts in {length:.1f} s, at most {allowed} are due"
            )
            return replace(outcome, passed=False, verdict=verdict)
        return outcome

    async def _hanging_handshake(self) -> Outcome:
        bound = self._pace.open_timeout
        await self._inject(self._stage.hang, "handshakes hang")
        before = len(self._attempts)
        await self._until(lambda: len(self._attempts) > before, self._longest_wait)
        began = self._attempts[-1]
        noticed = None
        if await self._until(lambda: self._failed_since(began) is not None, bound + self._longest_wait):
            noticed = self._failed_since(began)
        healed = await self._heal(self._stage.answer, "handshakes answered")
        return await self._recovery("hanging handshake", bound, began, noticed, healed)

    async def _own_loop_stalls(self) -> Outcome:
        with self._silence():
            self._stalls = True
            outcome = await self._kept("own loop stalls", 3.5)
        if self._stalls:
            return Outcome("own loop stalls", False, "no heartbeat came in which to stall")
        return outcome

    # What scenes are made of

    async def _kept(self, name: str, units: float) -> Outcome:
        """Let time pass in which the link must stay open."""
        link = self.link
        pings = self._connection.stats.pings
        attempts = len(self._attempts)
        await asyncio.sleep(units * self._unit)
        pings = self._connection.stats.pings - pings
        beats = f"{pings or 'no'} heartbeat{'' if pings == 1 else 's'}"
        if self.link == link:
            return Outcome(name, True, f"kept, {beats}")
        return Outcome(name, False, f"link {link} was lost", attempts=len(self._attempts) - attempts)

    async def _inject(self, fault: Callable[[], Awaitable[float]], what: str) -> float:
        """Inject a fault at a random time; return when."""
        await asyncio.sleep(self._fault_times.uniform(0, 0.3) * self._unit)
        self._is_faulty = True
        self._echoed_on = None
        self._tell("fault", what)
        return await fault()

    async def _notice(self, injected: float, bound: float) -> float | None:
        """Return when the link was given up, None if that does not happen."""
        await self._until(
            lambda: self._lost_since(injected) is not None, bound + self._pace.tolerance + self._unit
        )
        return self._lost_since(injected)

    async def _heal(self, cure: Callable[[], Awaitable[float]], what: str) -> float:
        """End the fault; return when."""
        self._tell("healed", what)
        return await cure()

    async def _recovery(
        self, name: str, bound: float, injected: float, noticed: float | None, healed: float
    ) -> Outcome:
        """Wait for a new link that answers, and then until it counts as stable."""
        if noticed is None:
            return Outcome(name, False, f"not noticed within {bound:.2f} s", bound)
        if await self._until(lambda: self._answered_since(noticed) is not None, self._longest_wait):
            opened = self._answered_since(noticed)
        else:
            opened = None
        attempts = sum(at >= injected for at in self._attempts)
        after = noticed - injected
        if opened is None:
            return Outcome(name, False, "not recovered", bound, after, None, attempts)
        recovered = opened - healed
        self._is_faulty = False
        await asyncio.sleep(1.2 * self._unit)
        if after > bound + self._pace.tolerance:
            verdict = f"noticed in {after:.2f} s, later than {bound:.2f} s"
            return Outcome(name, False, verdict, bound, after, recovered, attempts)
        verdict = f"noticed in {after:.2f} s, recovered in {recovered:.2f} s"
        return Outcome(name, True, verdict, bound, after, recovered, attempts)

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

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition on what hooks have seen; return whether it came about in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        return condition()

    async def _sleep_until(self, when: float) -> None:
        await asyncio.sleep(when - time.monotonic())

    # Messages

    async def _talk(self) -> None:
        """Send numbered messages at random intervals, shorter than that of the heartbeat."""
        while True:
            await asyncio.sleep(self._talking.uniform(0.05, 0.3) * self._unit)
            if self._talks:
                message = self.ledger.write("x" * self._talking.randrange(1000))
                try:
                    self._connection.send_nowait(message)
                except ConnectionFailed:
                    return  # the scenes tell
                self.ledger.sent(message, self.link)

    @contextlib.contextmanager
    def _silence(self) -> Iterator[None]:
        self._talks = False
        try:
            yield
        finally:
            self._talks = True

    # Hooks of the connection

    def _on_state(self, state: State) -> None:
        before, self.state = self.state, state
        if state is State.CONNECTING:
            self._attempts.append(time.monotonic())
            self._tell(state, f"link {len(self._attempts)}: try")
        elif state is State.PROBING:
            self._tell(state, "ping", f"silent for {self._pace.interval:.2g} s")
            if self._stalls:
                self._tell(
                    "fault", "our own loop stalls", f"for {2 * self._unit:.2g} s; the answer lies unread"
                )
                time.sleep(2 * self._unit)
                self._stalls = False
                self._stalled = True
                self._tell("healed", "our own loop runs")
        elif state is State.OPEN and before is State.PROBING:
            # After the stall the connection has measured how late it read, which says nothing of the network.
            self._tell(state, "alive", round_trip=None if self._stalled else self._connection.latency)
            self._stalled = False
        self._changed.set()

    def _on_open(self, event: OpenEvent) -> None:
        self.link = event.link
        self._opened_at[event.link] = time.monotonic()
        waiting = self.ledger.opened(event.link)
        self._tell(
            State.OPEN,
            f"link {event.link}: open",
            f"{_messages(waiting)} sent from the queue" if waiting else "",
        )
        self._changed.set()

    def _on_message(self, message: Message) -> None:
        self.ledger.echoed(message)
        self._echoed_on = self.link
        self._changed.set()

    def _on_close(self, event: CloseEvent) -> None:
        link, self.link = self.link, None
        self._changed.set()
        if self._over:
            self._tell(self._connection.state, f"link {link}: closed", event.reason)
            return
        self._losses.append(time.monotonic())
        self._false_alarms += not self._is_faulty
        self._retry_follows_loss = True
        uncertain = self.ledger.closed(event.link)
        alarm = "" if self._is_faulty else " (FALSE ALARM)"
        fate = f"; {_messages(uncertain)} uncertain" if uncertain else ""
        self._tell(self._connection.state, f"link {link}: gone{alarm}", event.reason + fate)

    def _on_reconnect(self, event: ReconnectEvent) -> None:
        self.retry_at = time.monotonic() + event.delay
        why = ""
        if not self._retry_follows_loss:
            self._failed_attempts.append(time.monotonic())
            why = event.reason
        self._retry_follows_loss = False
        self._tell(State.WAITING, f"retry {event.attempt} in {event.delay:.2f} s", why)
        self._changed.set()

    def _on_error(self, error: Exception) -> None:
        # Why attempts fail is told with the retry. That a hook of ours raised must not pass for a success.
        if isinstance(error, HookFailed):
            self._mistake = error

    def _tell(self, state: str, event: str, why: str = "", round_trip: float | None = None) -> None:
        entry = Entry(self.elapsed, state, event, why, round_trip)
        self._timeline.append(entry)
        self._show(entry)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"
