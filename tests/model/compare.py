"""Compares a state of the model with the real halves: positions, messages, links and the store."""

from collections.abc import Iterable
from typing import Any

from tests.model.links import Wire
from tests.model.real import Application, World
from tests.model.state import (
    DISMISSED,
    GONE,
    LEAVING,
    NO_LINK,
    OPEN,
    OVER,
    WAITING,
    A,
    Ack,
    B,
    Down,
    Hello,
    Link,
    Memory,
    Record,
    Reset,
    Resume,
    Resumed,
    State,
    TurnedAway,
    Up,
    Welcome,
)
from tests.model.state import Message as Numbered

from websocket_heartbeat.controls import decode
from websocket_heartbeat.core import resume as core
from websocket_heartbeat.core.session import CHARACTERS, REPLACED, Half
from websocket_heartbeat.engines.base import Closure
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.sessions import store as stores

Keys = dict[int, str]
"""The public part of the key of each session, as the model numbers them."""

Frame = tuple[Any, ...]
"""A frame, in a form that both have."""

_OVER = ("turned away", "ended")
"""What the model has in place of a close frame that ends a session."""

_PHASES = {NO_LINK: core.DETACHED, WAITING: core.WELCOMING, OPEN: core.ATTACHED}


def compare(state: State, world: World, keys: Keys) -> None:
    """Raise AssertionError unless the real halves are where the model is."""
    _compare_client(state, world, keys)
    is_slow = world.store.is_slow
    for session, key in keys.items():
        _compare_record(state.record(session), world, key)
        for node in (A, B):
            memory = state.memory(node, session)
            application = world.application(node, key)
            _same(f"whether {node} has session {session}", memory is not None, application is not None)
            if memory is not None and application is not None:
                _compare_memory(state, memory, application, is_slow=is_slow)
    for link in state.links:
        is_dismissed = state.client.ending == DISMISSED and state.client.link == link.number
        _compare_link(link, world.wires[link.number - 1], keys, is_dismissed=is_dismissed)


def frames_up(wire: Wire) -> list[Frame]:
    """Return what the client has sent, and the server has not read."""
    return _without_repeats(_frame_up(frame) for frame in wire.up if not isinstance(frame, Closure))


def frames_down(wire: Wire) -> list[Frame]:
    """Return what the server has sent, and the client has not read."""
    frames = []
    for frame in wire.down:
        if not isinstance(frame, Closure):
            frames.append(_frame_down(frame))
        elif frame.code == REPLACED:
            frames.append(("turned away", "replaced"))
        elif frame.code == 1000 and frames[-1:] != [_OVER]:
            frames.append(_OVER)
    return _without_repeats(frames)


def _without_repeats(frames: Iterable[Frame]) -> list[Frame]:
    """Leave out acknowledgements that say the same as the one before: before an end one is always said."""
    kept: list[Frame] = []
    for frame in frames:
        if not (kept and frame[0] == "ack" and kept[-1] == frame):
            kept.append(frame)
    return kept


def content_of(message: Message) -> int:
    """Return which message a text is."""
    assert isinstance(message, str)
    return int(message[: message.index(":")])


def _frame_up(frame: Message) -> Frame:
    assert isinstance(frame, str)
    control = decode(frame) if frame[0] == "{" else None
    if control is None:
        return _numbered(frame)
    if control.kind == core.RESUME:
        id = control.key.partition(".")[0]
        return ("resume", id, control.done, control.got, control.acked, control.sent)
    return (control.kind,)


def _frame_down(frame: Message) -> Frame:
    assert isinstance(frame, str)
    control = decode(frame) if frame[0] == "{" else None
    if control is None:
        return _numbered(frame)
    id = control.key.partition(".")[0]
    match control.answer:
        case core.NEW:
            return ("new", id)
        case core.RESUMED:
            return ("resumed", control.got, control.done)
        case core.RESET:
            return ("reset", id, control.done)
        case core.OVER:
            return _OVER
    return (control.kind,)


def _numbered(frame: str) -> Frame:
    if frame[0] == "=":
        return ("ack", int(frame[1:]))
    return ("message", frame[0], content_of(frame[1:]))


def _expected(frame: Up | Down, keys: Keys) -> Frame:
    match frame:
        case Hello():
            return ("hello",)
        case Resume():
            return ("resume", keys[frame.session], frame.done, frame.got, frame.acked, frame.sent)
        case Welcome():
            return ("new", keys[frame.session])
        case Resumed():
            return ("resumed", frame.got, frame.done)
        case Reset():
            return ("reset", keys[frame.session], frame.done)
        case TurnedAway():
            return ("turned away", frame.why)
        case Numbered():
            return ("message", CHARACTERS[frame.number % 64], frame.content)
        case Ack():
            return ("ack", frame.number)
    return ("end",)


def _compare_link(link: Link, wire: Wire, keys: Keys, *, is_dismissed: bool) -> None:
    """is_dismissed: whether the client has read on the link that it is dismissed."""
    name = f"link {link.number}"
    _same(f"the client's end of {name}", link.client_open, wire.client.is_open)
    _same(f"the server's end of {name}", link.server_open, wire.server.is_open)
    if link.server_open:
        expected = _without_repeats(_expected(frame, keys) for frame in link.up)
        _same(f"to the server on {name}", expected, frames_up(wire))
    if link.client_open:
        expected = _without_repeats(_expected(frame, keys) for frame in link.down)
        actual = frames_down(wire)
        if is_dismissed or ("end",) in actual:  # after which the close frame says nothing more
            expected = [frame for frame in expected if frame != _OVER]
            actual = [frame for frame in actual if frame != _OVER]
        _same(f"to the client on {name}", expected, actual)


def _compare_client(state: State, world: World, keys: Keys) -> None:
    client, real = state.client, world.client
    if client.ending == GONE:
        return
    phase = core.DISMISSED if client.ending == DISMISSED else _PHASES[client.phase]
    _same("the client's state", phase, world.resumption.state)
    _same("the client's session", keys.get(client.session, ""), world.resumption.key.partition(".")[0])
    half = real.half
    expected = (client.sent, client.acked, client.got, client.done)
    _same("the client's positions", expected, (half.sent, half.acked, half.got, half.done))
    _same("the client's outbox", client.outbox, _outbox(half))
    _same("the client's inbox", client.inbox, tuple(map(content_of, world.inbox))[world.stale :])
    if client.link and state.links[client.link - 1].server_open:
        _compare_told(client.told, half)


def _compare_memory(state: State, memory: Memory, application: Application, *, is_slow: bool) -> None:
    """is_slow: whether the hook has ended of a message that is handled and not recorded."""
    link = application.link
    assert link is not None
    half, record = link.half, memory.record
    ahead = int(memory.is_running and is_slow)
    expected = (record.sent, record.acked, memory.got, record.done + ahead, record.done)
    _same("the server's positions", expected, (half.sent, half.acked, half.got, half.done, half.recorded))
    _same("the server's outbox", record.log, _outbox(half))
    given = () if application.given is None else (application.given,)
    inbox = (*given, *link._incoming._waiting)
    _same("the server's inbox", memory.inbox[ahead:], tuple(map(content_of, inbox)))
    if state.links[memory.link - 1].client_open:
        _compare_told(memory.told, half)


def _compare_told(told: int, half: Half) -> None:
    """A handshake has told it already; the model may say it again."""
    assert told in (0, half.told), f"the model has acknowledged {told}, the real half {half.told}"


def _compare_record(record: Record | None, world: World, key: str) -> None:
    found = world.store._sessions.get(key)
    if record is None:
        assert found is None, "the store has the session"
        return
    assert found is not None, "the store does not have the session"
    if record.is_tombstone:
        assert found.end is not None, "the session goes on"
        _same("whether the session is over for good", record.ended == OVER, found.end.kind == stores.OVER)
        _same("what was handled", record.done, found.end.done)
        return
    real = found.record
    assert found.end is None, "the session is over"
    _same("the record", (record.sent, record.done), (real.sent, real.done))
    log = tuple(map(content_of, found.log or ()))
    late = record.acked - real.acked  # an acknowledgement is written with the next message, or the last one's
    assert late >= 0, "the store has an acknowledgement that has not come"
    _same("the record's acked", record.acked, real.acked + late)
    _same("the log", record.log, log[late:])
    _same("whether it is ending", record.ended == LEAVING, real.ending is not None)


def _outbox(half: Half) -> tuple[int, ...]:
    contents = []
    kept = half.after(half.acked)
    while kept is not None:
        contents.append(content_of(kept.payload))
        kept = kept.next
    return tuple(contents)


def _same(what: str, expected: object, actual: object) -> None:
    assert expected == actual, f"{what}: the model says {expected}, the real halves {actual}"
