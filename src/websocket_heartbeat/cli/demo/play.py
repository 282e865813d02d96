"""The demo from its beginning to its end: one act without a session, and one with."""

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from websocket_heartbeat.cli.demo.act import Act
from websocket_heartbeat.cli.demo.back_end import read_ledger
from websocket_heartbeat.cli.demo.ledger import Account, Follower, Ledger, SessionAccount, SessionLedger
from websocket_heartbeat.cli.demo.pace import Pace
from websocket_heartbeat.cli.demo.report import ActReport, Entry, Outcome, Report
from websocket_heartbeat.cli.demo.scenes import Scene, Scenes
from websocket_heartbeat.cli.demo.stage import Stage
from websocket_heartbeat.client import connect
from websocket_heartbeat.config import Backoff, Heartbeat

FIRST = "without a session"
SECOND = "the same faults with a session"


class Play:
    """One run of the demo.

    seed: for all that is random in it: when faults begin, and when which messages are sent.
    show: called with each Entry of the timeline; announce: with the name and the story of each scene; begin:
    with the number and the name of each act.

    For a status line: `elapsed`, and `act`, the present one, or None.
    """

    def __init__(
        self,
        seconds: float,
        seed: int,
        show: Callable[[Entry], None],
        announce: Callable[[str, str], None],
        begin: Callable[[int, str], None],
    ) -> None:
        self.act: Act | None = None
        self._seconds = seconds
        self._pace = Pace.of(seconds)
        self._seed = seed
        self._show = show
        self._announce = announce
        self._begin = begin
        self._timeline: list[Entry] = []
        self._start = time.monotonic()

    async def perform(self) -> Report:
        """Run all scenes of both acts, whatever their outcome."""
        # The server's ledger is whole when the server has ended: each act's account is made then.
        with tempfile.TemporaryDirectory(prefix="heartbeat-") as name:
            folder = Path(name)
            async with Stage(folder, idle_timeout=10 * self._pace.interval) as stage:
                plain, session = Ledger(), SessionLedger()
                self._begin(1, FIRST)
                first = await self._perform_act(
                    stage, plain, str(self._seed), Scenes.all, name="act 1, without a session"
                )
                self._begin(2, SECOND)
                second = await self._perform_act(
                    stage,
                    session,
                    f"{self._seed} with a session",
                    Scenes.faults,
                    name="act 2, with a session",
                    session="require",
                )
            handled = read_ledger(folder)
        return Report(
            seed=self._seed,
            seconds=self._seconds,
            duration=self.elapsed,
            settings=asdict(self._pace),
            acts=(first(plain.account(handled)), second(session.account(handled))),
            timeline=self._timeline,
        )

    async def _perform_act(
        self,
        stage: Stage,
        ledger: Follower,
        seed: str,
        scenes: Callable[[Scenes], list[Scene]],
        **options: Any,
    ) -> Callable[[Account | SessionAccount], ActReport]:
        pace = self._pace
        # The client draws its delays from here. Not earlier: rich draws a number when it is imported.
        random.seed(seed)
        connection = connect(
            stage.url,
            heartbeat=Heartbeat(interval=pace.interval, timeout=pace.timeout),
            backoff=Backoff(initial=pace.initial, maximum=pace.maximum, stable_after=pace.stable_after),
            open_timeout=pace.open_timeout,
            close_timeout=pace.timeout,
            proxy=None,
            **options,
        )
        if isinstance(ledger, SessionLedger):
            connection.on_session = ledger.told
        self.act = act = Act(connection, ledger, pace, seed, self._tell)
        outcomes: list[Outcome] = []
        async with act.playing():
            for scene in scenes(Scenes(act, stage)):
                self._announce(scene.name, scene.story)
                outcomes.append(await act.scene(scene.name, scene.play))
        if act.mistake is not None:
            raise act.mistake
        stats = connection.stats
        return partial(ActReport, outcomes, act.false_alarms, stats.links, stats.attempts, stats.pings)

    def _tell(self, state: str, event: str, why: str, round_trip: float | None) -> None:
        entry = Entry(self.elapsed, state, event, why, round_trip)
        self._timeline.append(entry)
        self._show(entry)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start
