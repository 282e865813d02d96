"""Walks through the model at random, and does with the real halves what it says: they must be where it is.

What the real halves do by themselves, to acknowledge when time has passed, is a step of the model too, and is
looked for there.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

from tests.model.bounds import Bounds, Step
from tests.model.compare import compare, content_of, frames_down, frames_up
from tests.model.links import End
from tests.model.real import TTL, Application, SharedStore, World
from tests.model.rules import Violation
from tests.model.search import successors
from tests.model.state import (
    GONE,
    LEAVING,
    Ack,
    Contents,
    Down,
    Reset,
    Resume,
    State,
    TurnedAway,
    Up,
    initial,
)
from tests.model.state import End as EndOfSession

from websocket_heartbeat.config import Session
from websocket_heartbeat.controls import decode
from websocket_heartbeat.core.session import REPLACED
from websocket_heartbeat.engines.base import Closure
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.sessions.book import WINDOW
from websocket_heartbeat.server.sessions.link import SessionLink

_SESSIONS = "websocket_heartbeat.server.sessions"

_TICK = "a second passes"
_AGAIN = "a resume comes again"
_EXPIRE = "the session expires"
_CLIENT_ACKNOWLEDGES = "client acknowledges"
_NODE_ACKNOWLEDGES = "NODE acknowledges"

_SIZE = 64
"""Characters of a message to the client. One to the server has as many as make its window the model's."""

_LIKELY = 3.0
_WEIGHTS = {
    "client gives the link up": 0.3,
    "server loses its end": 0.15,
    "client ends the session": 0.05,
    "NODE dismisses the client": 0.05,
    "NODE sends too much": 0.05,
    "NODE crashes and restarts": 0.1,
    _EXPIRE: 0.1,
    "the host loses to the client": 0.1,
    "the host loses to the server": 0.1,
    "the server restarts without its store": 0.05,
    "the store is reverted": 0.1,
    "the store is copied": 0.5,
    _TICK: 0.7,
    _AGAIN: 0.2,
    # What the halves do when they think that it is time; and what is not built.
    _CLIENT_ACKNOWLEDGES: 0.0,
    _NODE_ACKNOWLEDGES: 0.0,
    "server sends to the detached session": 0.0,
}
"""How likely each step is."""


_WRITING = {
    "NODE handles",
    "NODE sends",
    "NODE sends too much",
    "NODE dismisses the client",
    "NODE reads out of step",
}


_ENDING = {
    "client ends the session": _CLIENT_ACKNOWLEDGES,
    "NODE dismisses the client": _NODE_ACKNOWLEDGES,
}


class Diverged(AssertionError):
    """The real halves are not where the model is."""


class Walk:
    """One schedule.

    bounds: the world of the model through which it goes. is_slow: whether a hook ends when the model handles
    a message, and the store has that when the model records it; else a hook ends and is recorded at once.
    """

    def __init__(self, bounds: Bounds, seed: int, *, is_slow: bool = False) -> None:
        self.bounds = bounds
        self.is_slow = is_slow
        self.state = initial(bounds.sessions, dict(bounds.faults))
        self.taken: list[Step] = []
        self._random = Random(seed)
        self._keys: dict[int, str] = {}
        self._world: World
        self._copy = SharedStore(is_slow=self.is_slow)
        self._asked: Resume | None = None  # the last one, and how it was said
        self._asked_so: Message | Closure = ""
        self._passed = 0.0  # of the time of the store

    async def run(self, steps: int) -> None:
        """Walk so many steps, or until nothing more can happen.

        Raises:
            Diverged: the text has the steps.
        """
        window = self.bounds.window
        counts = {"window": window} if self._random.random() < 0.5 else {"window_bytes": window * _SIZE}
        self._world = World(len(self.bounds.nodes), Session("require", **counts), is_slow=self.is_slow)
        await self._world.begin()
        clock = SimpleNamespace(time=lambda: 1e9 + self._passed)
        with ExitStack() as patches:
            for name in ("link", "book", "memory"):
                patches.enter_context(patch(f"{_SESSIONS}.{name}.time", clock))
            # The model has no limits; and a walk resumes more often than a second passes.
            patches.enter_context(patch(f"{_SESSIONS}.limits.RESUMES_AT_ONCE", 10**6))
            try:
                while len(self.taken) < steps and (options := self._options()):
                    weights = [_WEIGHTS.get(step.what, _LIKELY) for step, _ in options]
                    step, then = self._random.choices(options, weights)[0]
                    self.taken.append(step)
                    if (sends := self._sends_meanwhile(step, then)) is not None:
                        await self._resume_before_write(step, sends)
                    elif (busy := self._busy(step)) is None:
                        await self._take(step, then)
                    elif then.memory(busy.node, busy.session) is None:
                        await self._hand_over(step, busy)
                    else:
                        await self._take_by_force(step, busy)
                    compare(self.state, self._world, self._keys)
            except Exception as error:
                # No protocol survives a store that is put back: then the walk ends where the model does.
                if not (isinstance(error, Violation) and self.bounds.faults.get("revert")):
                    walk = "\n".join(map(str, self.taken))
                    raise Diverged(f"{walk}\n{type(error).__name__}: {error}\n{self.state}") from error
            finally:
                await self._world.close()

    def _options(self) -> list[tuple[Step, State]]:
        """Return what may happen next."""
        if self.state.client.ending == GONE:
            return []
        options = [
            (step, then) for step, then in successors(self.bounds, self.state) if self._may_be(step, then)
        ]
        if options and self._has_time_for(Step(_TICK)):
            options.append((Step(_TICK), self.state))
        if self._asked is not None:
            asked = self._asked
            record = self.state.record(asked.session)
            if record is not None and not record.is_tombstone and asked.link <= record.link:
                node = self._random.choice(self.bounds.nodes)
                options.append((Step(_AGAIN, node=node, frame=asked), self.state))
        return options

    def _may_be(self, step: Step, then: State) -> bool:
        """Whether a step is built, time has room for it, and the bound of sessions does not end the world."""
        if _WEIGHTS.get(step.what, _LIKELY) == 0 or self._must_wait(step) or not self._has_time_for(step):
            return False
        is_resume = isinstance(step.frame, Resume) and step.what == "NODE reads"
        return not (is_resume and then.links[step.link - 1].down[-1:] == (TurnedAway("enough"),))

    def _must_wait(self, step: Step) -> bool:
        """Whether a step wants the store to write, which is slow with something else."""
        is_busy = self.is_slow and any(
            memory is not None and memory.is_running for memory in self.state.memories
        )
        if isinstance(step.frame, Ack):
            return is_busy and step.what != "client reads"
        return is_busy and step.what in _WRITING

    def _has_time_for(self, step: Step) -> bool:
        """Whether no client is turned away meanwhile as it has not said in time what it wants."""
        if step.what not in (_TICK, _EXPIRE) and self._busy(step) is None:
            return True
        if step.what == _EXPIRE and not self._has_deadline(step.session):
            return False
        since = asyncio.get_running_loop().time() - 3.5
        waiting = [link.number for link in self.state.links if link.server_open and not link.session]
        return all(self._world.wires[number - 1].opened_at > since for number in waiting)

    def _has_deadline(self, session: int) -> bool:
        """Whether the store waits for the client; not after a crash, which this store does not outlive."""
        return self._world.store._sessions[self._keys[session]].record.deadline is not None

    async def _take(self, step: Step, then: State) -> None:
        before = self.state
        await self._do(step)
        if step.what in _ENDING:  # what was handled may be acknowledged before
            self._acknowledge(_ENDING[step.what])
            then = next(t for other, t in successors(self.bounds, self.state) if other == step)
        self.state = then
        self._read_repeats(step)
        if step.what == "client opens a link to NODE" and isinstance(step.frame, Resume):
            self._asked = step.frame
            self._asked_so = self._world.wire.up[0]
        self._let_go(step)
        self._compare_reports(step, before)
        if then.sessions > before.sessions:
            self._keys[then.sessions] = self._newest_key(step)
        elif then.sessions < before.sessions:  # nobody can know it
            del self._keys[before.sessions]
        if step.what == _EXPIRE:
            self._expire(before)
        self._acknowledge(_CLIENT_ACKNOWLEDGES)
        self._acknowledge(_NODE_ACKNOWLEDGES)

    # A store that is slow to write a message

    def _sends_meanwhile(self, step: Step, then: State) -> Step | None:
        """Return what a node sends while a resume comes and the store is slow; None: it does not."""
        frame = step.frame
        if not self.is_slow or not isinstance(frame, Resume) or step.what != "NODE reads":
            return None
        memory = self.state.memory(step.node, frame.session)
        if memory is None or memory.is_running or len(memory.record.log) >= self.bounds.window:
            return None
        for other, _ in successors(self.bounds, then):
            if (other.what, other.node, other.session) == ("NODE sends", step.node, frame.session):
                return other
        return None

    async def _resume_before_write(self, step: Step, sends: Step) -> None:
        """Have the resume come first, though the message was sent before: the store did not have it yet."""
        self._world.store.hold()
        self._link(sends).send(_text(sends.content, _SIZE))
        await self._do(step)
        self._world.store.go_on()
        await self._world.settle()
        self._follow(step)
        self._follow(sends)

    # Hand-over: the owner has a message under way, which the model begins when it likes, and a hook at once.

    def _busy(self, step: Step) -> Step | None:
        """Return how the owner goes on of a session that is to move, if it has been given a message."""
        frame = step.frame
        if not isinstance(frame, Resume) or step.what != "NODE reads":
            return None
        owner = 1 - step.node
        memory, record = self.state.memory(owner, frame.session), self.state.record(frame.session)
        if memory is None or record is None or not memory.inbox or memory.link != record.link:
            return None
        if record.is_tombstone or frame.link <= record.link:
            return None
        return Step("NODE handles", node=owner, session=frame.session, content=memory.inbox[0])

    async def _hand_over(self, step: Step, busy: Step) -> None:
        """Have the resume wait until the owner has recorded."""
        await self._do(step)
        await self._handle(busy)
        records = busy._replace(what="NODE records")
        await self._do(records)
        self._follow(records)
        self._follow(step, forgets=busy)

    async def _take_by_force(self, step: Step, busy: Step) -> None:
        """Have the owner take too long to handle; but if it waits for the store, it keeps the session."""
        await self._handle(busy)
        application = self._application(busy)
        await self._do(step)
        await asyncio.sleep(1.5)
        if self.is_slow:
            self._world.store.go_on()
            await self._world.settle()
            self._follow(busy._replace(what="NODE records"))
            self._follow(step, forgets=busy)
            return
        self._follow(step)
        application.handle()
        await self._world.settle()
        self._follow(busy._replace(what="NODE cannot record"))

    async def _handle(self, busy: Step) -> None:
        memory = self.state.memory(busy.node, busy.session)
        if memory is not None and not memory.is_running:
            await self._do(busy)
            self._follow(busy)

    def _follow(self, step: Step, *, forgets: Step | None = None) -> None:
        """Take a step of the model alone. forgets: a step of the node that knows the session no more then."""
        self.taken.append(step)
        for other, then in successors(self.bounds, self.state):
            if other == step and (forgets is None or then.memory(forgets.node, forgets.session) is None):
                self.state = then
                return
        raise AssertionError(f"the model does not allow: {step}")

    def _expire(self, before: State) -> None:
        """Let all sessions expire that have no link, and all tombstones."""
        while True:
            for step, then in successors(self.bounds, self.state):
                if step.what == _EXPIRE and self._has_deadline(step.session):
                    self.state = then
                    break
            else:
                break
        for session, record in enumerate(before.records, 1):
            if record is not None and record.is_tombstone:
                self.state = self.state.with_record(session, None)

    def _follower(self, what: str) -> State | None:
        return next((then for step, then in successors(self.bounds, self.state) if step.what == what), None)

    def _read_repeats(self, step: Step) -> None:
        """Read in the model too the acknowledgements that say the same: `_read` does that."""
        if isinstance(step.frame, Ack) and step.what in ("client reads", "NODE reads"):
            while True:
                link = self.state.links[step.link - 1]
                unread = link.down if step.what == "client reads" else link.up
                if unread[:1] != (step.frame,):
                    return
                self._follow(step)

    def _compare_reports(self, step: Step, before: State) -> None:
        """See that both applications are told what became uncertain, each message once."""
        if isinstance(step.frame, Reset):
            client = before.client
            uncertain = client.outbox[max(0, step.frame.done - client.acked) :]
            _same_contents(uncertain, self._world.told[-1].uncertain)
        for session, key in self._keys.items():
            was, record = before.record(session), self.state.record(session)
            if was is None or was.is_tombstone or record is None or not record.is_tombstone:
                continue
            has_acknowledged_all = was.ended == LEAVING and isinstance(step.frame, Ack | Resume)
            left = () if has_acknowledged_all else was.log
            left = (*left, step.content) if step.what == "NODE sends too much" else left
            reported = self._world.reports[key]
            # Acknowledged ones may be among them, where an owner has died before it could record that.
            count = len(reported) - len(left)
            assert {content_of(message) for message in reported[:count]} <= self.state.handled_down
            _same_contents(left, reported[count:])

    def _let_go(self, step: Step) -> None:
        """Have the server lose the end of a link whose session nobody can know any more."""
        if step.link:
            link, wire = self.state.links[step.link - 1], self._world.wires[step.link - 1]
            if not link.server_open and not wire.client.is_open and wire.server.is_open:
                wire.server.lose()

    def _newest_key(self, step: Step) -> str:
        welcome = decode(str(self._world.wires[step.link - 1].down[-1]))
        assert welcome is not None
        return welcome.key.partition(".")[0]

    def _acknowledge(self, what: str) -> None:
        """Take the steps of the model by which a half acknowledges that has done so."""
        for link in self.state.links:
            wire = self._world.wires[link.number - 1]
            model: tuple[Up | Down, ...]
            if what == _CLIENT_ACKNOWLEDGES:
                is_read, real, model = link.server_open, frames_up(wire), link.up
            else:
                is_read, real, model = link.client_open, frames_down(wire), link.down
            said = [frame[1] for frame in real if frame[0] == "ack"]
            known = [frame.number for frame in model if isinstance(frame, Ack)]
            if is_read and said[-1:] != known[-1:] and (then := self._follower(what)) is not None:
                self.state = then
                self._put_before_end(link.number, real)

    def _put_before_end(self, number: int, real: list[tuple[object, ...]]) -> None:
        """Have the model's client acknowledge before it says an end, where the real one has."""
        links = list(self.state.links)
        link = links[number - 1]
        before, last = link.up[-2:] if len(link.up) > 1 else (None, None)
        has_said = isinstance(last, Ack) and real[-2:] == [("ack", last.number), ("end",)]
        if isinstance(before, EndOfSession) and has_said:
            links[number - 1] = link._replace(up=(*link.up[:-2], link.up[-1], link.up[-2]))
            self.state = self.state._replace(links=tuple(links))

    # What the real halves do

    async def _do(self, step: Step) -> None:
        world = self._world
        wire = world.wires[step.link - 1] if step.link and step.link <= len(world.wires) else None
        match step.what:
            case "client sends":
                world.send(_text(step.content, int(WINDOW.size) // self.bounds.window))
            case "client handles":
                world.handle()
            case "client opens a link to NODE":
                world.open(step.node)
            case "client ends the session":
                world.client.end("bye")
            case "client gives the link up":
                world.give_up()
            case "client reads":
                _read(world.wire.client, world.wire.down)
            case "NODE reads" | "NODE reads out of step" if wire is not None:
                _read(wire.server, wire.up)
            case "NODE reads from nobody" | "server notices the end" | "server loses its end" if (
                wire is not None
            ):
                wire.server.lose()
            case "NODE handles":
                if self.is_slow:
                    world.store.hold()
                    self._application(step).handle()
            case "NODE records":
                if self.is_slow:
                    world.store.go_on()
                else:
                    self._application(step).handle()
            case "NODE sends" | "NODE sends too much":
                self._link(step).send(_text(step.content, _SIZE))
            case "NODE dismisses the client":
                self._link(step).end(4000, "go")
            case "NODE crashes and restarts":
                await world.crash(step.node)
            case "a resume comes again":
                assert not isinstance(self._asked_so, Closure)
                code = await world.ask_again(step.node, self._asked_so)
                assert code == REPLACED, f"a resume that came again was answered with {code}"
            case "the session expires":
                self._passed += TTL + 100
                await asyncio.sleep(1)
            case "a second passes":
                await asyncio.sleep(1)
            case "the server restarts without its store":
                await world.restart(SharedStore(is_slow=self.is_slow))
            case "the store is copied":
                self._copy = world.store.copy()
            case "the store is reverted":
                await world.restart(self._copy.copy())
            case "the host loses to the client" if wire is not None:
                del wire.down[self.state.links[step.link - 1].down.index(step.frame)]
            case "the host loses to the server" if wire is not None:
                del wire.up[self.state.links[step.link - 1].up.index(step.frame)]
            case _:
                raise AssertionError(f"nobody knows how: {step}")
        await world.settle()

    def _application(self, step: Step) -> Application:
        application = self._world.application(step.node, self._keys[step.session])
        assert application is not None
        return application

    def _link(self, step: Step) -> SessionLink:
        link = self._application(step).link
        assert link is not None
        return link


def _same_contents(contents: Contents, messages: Sequence[Message]) -> None:
    reported = tuple(map(content_of, messages))
    assert contents == reported, f"uncertain are {contents}, and {reported} were reported"


def _text(content: int, size: int) -> str:
    return f"{content}:".ljust(size, ".")


def _read(end: End, unread: deque[Message | Closure]) -> None:
    """Read a frame, and with an acknowledgement those that say the same: one is always said before an end."""
    frame = unread[0]
    end.read()
    while unread and isinstance(frame, str) and frame[0] == "=" and unread[0] == frame:
        end.read()
