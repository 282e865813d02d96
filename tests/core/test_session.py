"""A session over links that break anywhere: nothing is lost, doubled or out of order, and memory is bounded.

The client is the real one (core/resume.py over core/session.py); the server is as small as the rules allow,
over the same half: it stands for the hosts of the back end. What each application has handled is what counts.
"""

import random
from collections import deque
from dataclasses import dataclass, field
from itertools import count

import pytest

from websocket_heartbeat.core import resume
from websocket_heartbeat.core.resume import Control, Resumption
from websocket_heartbeat.core.session import CHARACTERS, OUT_OF_STEP, REPLACED, VIOLATION, Half, Window

Frame = tuple[str, object]
"""What goes over a link: ("control", Control), ("message", (character, payload)), ("ack", number)."""


@dataclass
class Wire:
    """One link: an ordered pipe each way; either end may be cut, and loses what it has not read."""

    up: deque[Frame] = field(default_factory=deque)
    down: deque[Frame] = field(default_factory=deque)
    client_open: bool = True
    server_open: bool = True
    code: int = 0
    session: "Session | None" = None

    def to_server(self, *frame: object) -> None:
        if self.server_open:
            self.up.append(frame)  # type: ignore[arg-type]

    def to_client(self, *frame: object) -> None:
        if self.client_open:
            self.down.append(frame)  # type: ignore[arg-type]

    def close(self, code: int) -> None:
        """Close it at the server."""
        self.server_open = False
        self.code = code
        self.up.clear()


@dataclass
class Session:
    """A session at the server."""

    key: str
    half: Half
    link: int = 0
    wire: Wire | None = None
    inbox: deque[object] = field(default_factory=deque)
    ended: str = ""


class World:
    """One client, one server, and what their applications have accepted and handled."""

    def __init__(self, seed: int, window: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.window = Window(window, 100)
        self.client = Resumption(False, self.window)
        self.client_inbox: deque[object] = deque()
        self.wire: Wire | None = None
        self.wires: list[Wire] = []
        self.sessions: dict[str, Session] = {}
        self.keys = count(1)
        self.accepted_up: list[int] = []
        self.accepted_down: list[int] = []
        self.handled_up: list[object] = []
        self.handled_down: list[object] = []
        self.told: list[tuple[str, str]] = []

    # The client's host

    def open(self) -> None:
        if self.wire is None and self.client.state == resume.DETACHED:
            self.wire = Wire()
            self.wires.append(self.wire)
            greeting = Control(resume.GREETING_CONTROL)
            greeting.window = self.window
            self.wire.to_client("control", greeting)
            self.client.opened(True)

    def client_reads(self) -> None:
        wire = self.wire
        if wire is None:
            return
        if not wire.down:
            if not wire.server_open:
                self.client_loses(wire.code)
            return
        kind, value = wire.down.popleft()
        if kind == "control":
            assert isinstance(value, Control)
            self.client.control_received(value)
        elif self.client.frame_received():
            if kind == "ack":
                assert isinstance(value, int)
                assert self.client.half.acknowledged(value)
            else:
                assert isinstance(value, tuple)
                character, payload = value
                assert self.client.half.take(character, 1) == 0
                self.client_inbox.append(payload)
        self.carry_out()

    def carry_out(self) -> None:
        for step in self.client.take_steps():
            if step.kind == resume.SAY:
                assert self.wire is not None
                self.wire.to_server("control", step.control)
            elif step.kind == resume.READY:
                assert self.wire is not None
                kept = self.client.half.after(step.number)
                while kept is not None:
                    self.wire.to_server("message", (kept.character, kept.payload))
                    kept = kept.next
            elif step.kind == resume.TELL:
                self.told.append((step.answer, step.why))
            elif step.kind == resume.CLOSE_LINK:
                assert self.wire is not None
                self.wire.to_server("ack", self.client.half.acknowledge())
                self.client_cuts()
            else:
                raise AssertionError(step.kind)

    def client_loses(self, code: int) -> None:
        self.client_cuts()
        self.client.lost(code)
        self.carry_out()

    def client_cuts(self) -> None:
        assert self.wire is not None
        self.wire.client_open = False
        self.wire.down.clear()
        self.wire = None

    def client_sends(self) -> None:
        if self.client.half.has_room() and self.client.state != resume.OVER:
            payload = len(self.accepted_up) + 1
            self.accepted_up.append(payload)
            character = self.client.half.accept(payload, 1)
            if self.client.state == resume.ATTACHED:
                assert self.wire is not None
                self.wire.to_server("message", (character, payload))

    def client_handles(self) -> None:
        if self.client_inbox:
            self.handled_down.append(self.client_inbox.popleft())
            self.client.handled(self.now)
            self.carry_out()

    def client_acknowledges(self) -> None:
        half = self.client.half
        if self.client.state == resume.ATTACHED and self.wire and half.is_acknowledgement_due(self.now):
            self.wire.to_server("ack", half.acknowledge())

    # The server

    def server_reads(self, wire: Wire) -> None:
        if not wire.server_open:
            return
        if not wire.up:
            if not wire.client_open:
                wire.close(0)
            return
        kind, value = wire.up.popleft()
        session = wire.session
        if kind == "control":
            assert isinstance(value, Control)
            if value.kind == resume.HELLO:
                self.welcome(wire, Session(f"key {next(self.keys)}", Half(self.window)), resume.NEW)
            elif value.kind == resume.RESUME:
                self.resumed(wire, value)
            elif value.kind == resume.END and session is not None:
                session.ended = value.why
        elif session is None or session.wire is not wire:
            wire.close(REPLACED)
        elif kind == "ack":
            assert isinstance(value, int)
            assert session.half.acknowledged(value)
        else:
            assert isinstance(value, tuple)
            character, payload = value
            assert session.half.take(character, 1) == 0
            session.inbox.append(payload)

    def welcome(self, wire: Wire, session: Session, answer: str, done: int = 0) -> None:
        session.half.theirs = self.window
        self.sessions[session.key] = session
        session.wire = wire
        wire.session = session
        control = Control(resume.WELCOME)
        control.answer = answer
        control.key = session.key
        control.done = done
        control.why = "expired" if answer == resume.RESET else ""
        wire.to_client("control", control)

    def resumed(self, wire: Wire, asked: Control) -> None:
        session = self.sessions.get(asked.key)
        if session is None:
            self.welcome(wire, Session(f"key {next(self.keys)}", Half(self.window)), resume.RESET)
            return
        half = session.half
        if asked.link <= session.link:
            wire.close(REPLACED)
            return
        assert half.fits(asked.done, asked.got)
        assert asked.acked <= half.got <= asked.sent
        session.link = asked.link
        if session.wire is not None and session.wire.server_open:
            session.wire.close(REPLACED)
        session.wire = wire
        wire.session = session
        half.acknowledged(asked.done)
        control = Control(resume.WELCOME)
        control.answer = resume.RESUMED
        control.done, control.got = half.recorded, half.got
        half.attached(half.recorded)
        wire.to_client("control", control)
        kept = half.after(asked.got)
        while kept is not None:
            wire.to_client("message", (kept.character, kept.payload))
            kept = kept.next

    def server_sends(self) -> None:
        session = self.session
        if session is not None and session.half.has_room():
            payload = len(self.accepted_down) + 1
            self.accepted_down.append(payload)
            character = session.half.accept(payload, 1)
            if session.wire is not None and session.wire.server_open:
                session.wire.to_client("message", (character, payload))

    def server_handles(self) -> None:
        session = self.session
        if session is not None and session.inbox:
            self.handled_up.append(session.inbox.popleft())
            session.half.handled()

    def server_records(self) -> None:
        session = self.session
        if session is not None:
            session.half.record(session.half.done, self.now)
            half, wire = session.half, session.wire
            if half.is_acknowledgement_due(self.now) and wire is not None and wire.server_open:
                wire.to_client("ack", half.acknowledge())

    @property
    def session(self) -> Session | None:
        return self.sessions.get(self.client.key)

    # What happens

    def server_reads_any(self) -> None:
        if self.wires:
            self.server_reads(self.random.choice(self.wires))

    def server_reads_newest(self) -> None:
        if self.wires:
            self.server_reads(self.wires[-1])

    def run(self, steps: int, breaks: float) -> None:
        for _ in range(steps):
            self.now += self.random.random()
            if self.random.random() < breaks:
                self.break_something()
            self.random.choice(
                [
                    self.open,
                    self.client_reads,
                    self.client_reads,
                    self.client_sends,
                    self.client_handles,
                    self.client_acknowledges,
                    self.server_sends,
                    self.server_handles,
                    self.server_records,
                    self.server_reads_any,
                    self.server_reads_newest,
                ]
            )()
            self.check()

    def break_something(self) -> None:
        if self.wire is not None:
            if self.random.random() < 0.5:
                self.client_loses(0)  # the server may go on reading what was written before
            elif self.wire.server_open:
                self.wire.close(0)

    def check(self) -> None:
        assert self.handled_up == self.accepted_up[: len(self.handled_up)]
        assert self.handled_down == self.accepted_down[: len(self.handled_down)]
        halves = [self.client.half] + ([self.session.half] if self.session is not None else [])
        for half in halves:
            assert half.acked <= half.sent
            assert half.told <= half.recorded <= half.done <= half.got
            assert half.sent - half.acked <= max(1, self.window.messages)
        assert len(self.client_inbox) <= max(1, self.window.messages)

    def settle(self) -> None:
        """Let everything go on without faults, until nothing is left to do."""
        for _ in range(2000):
            self.now += 1
            self.open()
            self.client_reads()
            self.client_handles()
            self.client_acknowledges()
            self.server_handles()
            self.server_records()
            for wire in self.wires:
                self.server_reads(wire)
            self.check()


@pytest.mark.parametrize("window", [1, 3, 64, 200])
def test_nothing_is_lost_or_doubled_whatever_happens_to_the_links(window: int) -> None:
    resumes = 0
    for seed in range(60):
        world = World(seed, window)
        world.run(600, breaks=0.03)
        world.settle()
        assert world.handled_up == world.accepted_up
        assert world.handled_down == world.accepted_down
        assert set(world.told) <= {("new", ""), ("resumed", "")}
        resumes += world.told.count(("resumed", ""))
        for half in (world.client.half, world.session.half if world.session else world.client.half):
            assert half.acked == half.sent
    assert resumes > 300


def test_the_welcome_to_a_new_session_may_be_lost_and_then_another_begins() -> None:
    for seed in range(40):
        world = World(seed, 8)
        world.run(200, breaks=0.3)
        world.settle()
        assert world.handled_up == world.accepted_up
        assert world.handled_down == world.accepted_down


def test_after_a_reset_the_user_is_told_what_is_uncertain_and_numbers_begin_again() -> None:
    world = World(1, 8)
    world.settle()
    world.client_sends()
    world.client_sends()
    before = world.client.half
    world.sessions.clear()  # it has expired
    world.client_loses(0)
    world.open()
    for _ in range(5):
        world.client_reads()
        world.server_reads(world.wires[-1])
    assert world.told[-1] == ("reset", "expired")
    assert (before.sent, before.acked) == (2, 0)
    assert (world.client.half.sent, world.client.key) == (0, "key 2")


def test_a_key_that_another_link_has_taken_is_never_used_again() -> None:
    world = World(1, 8)
    world.settle()
    world.client_loses(REPLACED)
    assert world.told[-1] == ("reset", "replaced")
    assert world.client.key == ""


def test_three_links_in_a_row_that_break_the_protocol_end_the_session() -> None:
    world = World(1, 8)
    world.settle()
    for _ in range(3):
        assert world.client.key != ""
        world.client.violated(VIOLATION)
        assert next(step.kind for step in world.client.take_steps()) == resume.DROP_LINK
        world.client_cuts()
        if world.client.key:
            world.settle()
    assert world.client.key == ""


def test_a_message_that_is_not_the_next_puts_its_link_out_of_step() -> None:
    half = Half(Window(8, 100))
    assert half.take("B", 1) == 0
    assert half.take("B", 1) == OUT_OF_STEP
    assert half.take("D", 1) == OUT_OF_STEP
    assert half.take("C", 1) == 0
    assert half.is_in_step(2)
    assert not half.is_in_step(66)


def test_the_characters_go_round() -> None:
    sender, receiver = Half(Window(100, 1000)), Half(Window(100, 1000))
    sender.theirs = receiver.ours
    for number in range(1, 200):
        character = sender.accept(number, 1)
        assert character == CHARACTERS[number % 64]
        assert receiver.take(character, 1) == 0
        receiver.handled()
        receiver.record(number, 0)
        assert sender.acknowledged(receiver.acknowledge())


def test_one_message_is_always_allowed_and_twice_the_window_breaks_the_protocol() -> None:
    sender = Half(Window(4, 10))
    sender.theirs = Window(4, 10)
    assert sender.has_room()
    character = sender.accept("large", 1000)
    assert not sender.has_room()
    receiver = Half(Window(4, 10))
    assert receiver.take(character, 1000) == 0
    assert receiver.take(CHARACTERS[2], 0) == VIOLATION
    assert not sender.acknowledged(2)


@pytest.mark.parametrize(("window", "size"), [(4, 1000), (200, 1000), (200, 40)])
def test_an_acknowledgement_is_due_after_a_quarter_of_the_window_or_after_a_second(
    window: int, size: int
) -> None:
    half = Half(Window(window, size))
    due_after = min(16, window // 4, size // 4)
    for number in range(1, due_after + 1):
        assert not half.is_acknowledgement_due(0.9)
        half.take(CHARACTERS[number], 1)
        half.handled()
        half.record(number, 0)
    assert half.is_acknowledgement_due(0)
    assert half.acknowledge() == due_after
    assert half.acknowledgement_due_at() is None
    half.take(CHARACTERS[due_after + 1], 1)
    half.handled()
    half.record(due_after + 1, 5.0)
    if due_after > 1:
        assert not half.is_acknowledgement_due(5.9)
        assert half.acknowledgement_due_at() == 6.0
    assert half.is_acknowledgement_due(6.0)


def test_an_acknowledgement_is_due_after_a_quarter_of_the_window_in_size_too() -> None:
    half = Half(Window(200, 1000))
    for number, size in ((1, 100), (2, 149), (3, 1), (4, 249), (5, 1000)):
        half.take(CHARACTERS[number], size)
        half.handled()
        half.record(number, 0)
        is_due = number in (3, 5)
        assert half.is_acknowledgement_due(0) == is_due
        if is_due:
            assert half.acknowledge() == number


@pytest.mark.parametrize("is_required", [False, True])
def test_a_server_that_does_not_speak_first_has_no_sessions(is_required: bool) -> None:
    for blindly_selected in (False, True):
        client = Resumption(is_required, Window(8, 100))
        client.opened(blindly_selected)
        if blindly_selected:
            assert client.take_steps() == []
            assert not client.frame_received()
        (step,) = client.take_steps()
        assert step.kind == (resume.REFUSE if is_required else resume.BE_PLAIN)
        assert client.state == (resume.REFUSED if is_required else resume.PLAIN)


def test_a_dismissed_client_handles_what_came_before_and_does_not_come_back() -> None:
    world = World(1, 8)
    world.settle()
    world.server_sends()
    world.client_reads()
    end = Control(resume.END)
    end.why = "account closed"
    assert world.wire is not None
    world.wire.to_client("control", end)
    world.client_reads()
    assert world.told[-1] == ("over", "account closed")
    assert world.client.state == resume.DISMISSED
    world.client_handles()
    world.open()
    assert world.client.state == resume.OVER
    assert len(world.wires) == 1


def test_a_message_that_is_refused_does_not_count_as_received() -> None:
    for window, sizes in ((Window(2, 100), [1, 1, 1, 1, 1]), (Window(100, 10), [25, 1])):
        sender, receiver = Half(window), Half(window)
        sender.theirs = Window(100, 1000)
        characters = [sender.accept(str(size), size) for size in sizes]
        codes = [receiver.take(each, size) for each, size in zip(characters, sizes, strict=True)]
        assert codes == [0] * (len(sizes) - 1) + [VIOLATION]
        assert receiver.got == len(sizes) - 1
        receiver.handled()
        assert receiver.take(characters[-1], sizes[-1]) == 0
