"""The scenes of the demo: which fault hits the connection, and what the client must do about it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from websocket_heartbeat.cli.demo.act import Act
from websocket_heartbeat.cli.demo.report import Outcome
from websocket_heartbeat.cli.demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Scene:
    """name, story: for a person. play: does it."""

    name: str
    story: str
    play: Callable[[], Awaitable[Outcome]]


class Scenes:
    """Those of one act on a stage."""

    def __init__(self, act: Act, stage: Stage) -> None:
        self._act = act
        self._stage = stage
        self._unit = act.pace.unit
        self._bound = act.pace.interval + act.pace.timeout

    def all(self) -> list[Scene]:
        """Return what happens to a client: nothing at first, and nothing of the network's at last."""
        return [
            Scene("traffic", "messages flow, so no heartbeat is needed", self._traffic),
            Scene("idleness", "no messages: heartbeats only", self._idleness),
            *self.faults(),
            Scene("own loop stalls", "the client itself does not run for a while", self._own_loop_stalls),
        ]

    def faults(self) -> list[Scene]:
        """Return those in which links are lost."""
        return [
            Scene("frozen link", "both sockets stay open, nothing passes", self._frozen_link),
            Scene("reset", "the connection is reset, as by a NAT that forgot it", self._reset),
            Scene("server killed", "and started again a little later", self._server_killed),
            Scene(
                "accept, then close",
                "the server accepts each link and closes it at once",
                self._accept_and_close,
            ),
            Scene(
                "hanging handshake", "connections are accepted and never answered", self._hanging_handshake
            ),
        ]

    async def _traffic(self) -> Outcome:
        return await self._act.kept("traffic", 2.5)

    async def _idleness(self) -> Outcome:
        with self._act.silence():
            return await self._act.kept("idleness", 3.5)

    async def _frozen_link(self) -> Outcome:
        injected = await self._act.inject(self._stage.freeze, "the link freezes")
        noticed = await self._act.notice(injected, self._bound)
        healed = await self._act.heal(self._stage.thaw, "the link thaws")
        return await self._act.recovery("frozen link", self._bound, injected, noticed, healed)

    async def _reset(self) -> Outcome:
        injected = await self._act.inject(self._stage.reset, "reset")
        noticed = await self._act.notice(injected, self._bound)
        return await self._act.recovery("reset", self._bound, injected, noticed, noticed or injected)

    async def _server_killed(self) -> Outcome:
        injected = await self._act.inject(self._stage.kill_server, "the server is killed")
        noticed = await self._act.notice(injected, self._bound)
        await self._sleep_until(injected + 2 * self._unit)
        healed = await self._act.heal(self._stage.restart_server, "the server is back")
        return await self._act.recovery("server killed", self._bound, injected, noticed, healed)

    async def _accept_and_close(self) -> Outcome:
        length = 3 * self._unit
        # Every attempt has a window of its own, and none is shorter than the first.
        allowed = int(length / self._act.pace.initial) + 1
        injected = await self._act.inject(self._stage.close_links, "server closes links")
        noticed = await self._act.notice(injected, self._bound)
        await self._sleep_until(injected + length)
        attempts = self._act.attempts_since(injected)
        healed = await self._act.heal(self._stage.keep_links, "server keeps links")
        outcome = await self._act.recovery("accept, then close", self._bound, injected, noticed, healed)
        if outcome.passed and attempts > allowed:
            verdict = (
                f"the server was hammered: {attempts} attempts in {length:.1f} s, at most {allowed} are due"
            )
            return replace(outcome, passed=False, verdict=verdict)
        return outcome

    async def _hanging_handshake(self) -> Outcome:
        bound = self._act.pace.open_timeout
        await self._act.inject(self._stage.hang, "handshakes hang")
        began, noticed = await self._act.notice_attempt(bound)
        healed = await self._act.heal(self._stage.answer, "handshakes answered")
        return await self._act.recovery("hanging handshake", bound, began, noticed, healed)

    async def _own_loop_stalls(self) -> Outcome:
        with self._act.silence():
            self._act.stall_at_the_next_heartbeat()
            outcome = await self._act.kept("own loop stalls", 3.5)
        if self._act.is_to_stall:
            return Outcome("own loop stalls", False, "no heartbeat came in which to stall")
        return outcome

    async def _sleep_until(self, when: float) -> None:
        await asyncio.sleep(when - time.monotonic())
