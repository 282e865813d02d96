"""How a session begins, goes on or is given up over a link: docs/session.md, 4.3, from step 7."""

from collections.abc import Iterator

from tests.model.bounds import Bounds
from tests.model.rules import require
from tests.model.state import (
    ALIVE,
    LEAVING,
    OVER,
    REPLACED,
    End,
    Memory,
    Message,
    Record,
    Reset,
    Resume,
    Resumed,
    State,
    TurnedAway,
    Welcome,
)
from tests.model.store import acknowledged, write


def create(state: State, place: int, done: int | None) -> State:
    """Begin a session over a link. done: what was handled of the one that it replaces, if any."""
    link = state.links[place]
    session = state.sessions + 1
    record = Record(0, link.number, link.node, state.lineage, 0, (), 0, ALIVE)
    state = state._replace(sessions=session).with_record(session, record)
    state = state.with_link(place, link._replace(session=session, fresh=session))
    state = state.with_memory(link.node, session, Memory(session, link.number, record, ()))
    return state.send_down(place, Welcome(session) if done is None else Reset(session, done))


def reset(bounds: Bounds, state: State, place: int, session: int) -> State:
    """Give a session up and begin another; what is not acknowledged is reported to the application here."""
    record = state.record(session)
    done = 0
    if record is not None:
        done = record.done if not bounds.rule("lineage") or record.lineage == state.lineage else 0
        ended = REPLACED if bounds.rule("tombstone_reason") else OVER
        buried = record._replace(ended=ended, log=(), lineage=state.lineage)
        state = state.with_record(session, buried)
    node = state.links[place].node
    if state.memory(node, session) is not None:
        state = state.forget(node, session)
    if state.sessions == bounds.sessions:
        return state.send_down(place, TurnedAway("enough")).close_server(
            place
        )  # of the model, not the protocol
    if not state.is_held_by_client(place):
        return state.close_server(place)
    return create(state, place, done)


def take(bounds: Bounds, state: State, place: int, asked: Resume) -> Iterator[State]:
    """Compare what both say, and go on with the session over a link."""
    session = asked.session
    node = state.links[place].node
    record = state.record(session)
    assert record is not None
    memory = state.memory(node, session)
    if memory is not None and memory.link != record.link:
        state = state.forget(node, session)  # another node has had the session since
        memory = None
    if bounds.rule("lineage") and record.lineage != state.lineage:
        yield reset(bounds, state, place, session)
        return
    got = record.done if memory is None else record.done + len(memory.inbox)
    sent = record.sent
    fits = asked.acked <= got <= asked.sent and record.acked <= asked.done <= asked.got <= sent
    if bounds.rule("range") and not fits:
        yield reset(bounds, state, place, session)
        return
    if memory is not None and bounds.rule("current_link"):
        old = state.attached(node, session)
        if old is not None and old != place:
            state = state.close_server(old)
    key = record.key if bounds.rule("stable_key") else record.key + 1
    claimed = record._replace(
        key=key, link=asked.link, owner=node, claims=record.claims + (1 if bounds.moves else 0)
    )
    record = acknowledged(state, claimed, asked.done)
    state = state.with_record(session, record)
    if record.ended == OVER:
        state = state.with_memory(node, session, None)
        yield state.send_down(place, Resumed(key, got, record.done), End()).close_server(place)
        return
    _require_nothing_lost(state, session, record)
    known = memory if memory is not None else Memory(session, asked.link, record, ())
    state = state.with_memory(node, session, known._replace(link=asked.link, record=record, told=0))
    yield _welcomed(bounds, state, place, asked, got)


def go_on(
    bounds: Bounds, state: State, place: int, asked: Resume, found: Record, memory: Memory | None
) -> Iterator[State]:
    """Compare what both say, and go on with a session that was claimed before. memory: that of this node."""
    session = asked.session
    node = state.links[place].node
    if memory is None:
        memory = Memory(session, asked.link, found, ())
    fits = asked.acked <= memory.got <= asked.sent and found.acked <= asked.done <= asked.got <= found.sent
    if bounds.rule("range") and not fits:
        yield reset(bounds, state, place, session)
        return
    got = memory.got
    state = state.with_memory(node, session, memory._replace(link=asked.link, record=found, told=0))
    state = state.with_link(place, state.links[place]._replace(session=session))
    known = write(bounds, state, node, session, lambda record: acknowledged(state, record, asked.done))
    if known is None:
        yield state.forget(node, session)
        return
    memory = known.memory(node, session)
    assert memory is not None
    if state.is_held_by_client(place):
        _require_nothing_lost(known, session, memory.record)
    yield _welcomed(bounds, known, place, asked, got)


def _welcomed(bounds: Bounds, state: State, place: int, asked: Resume, got: int) -> State:
    """Answer a resume, and send what the client has not received."""
    session = asked.session
    memory = state.memory(state.links[place].node, session)
    assert memory is not None
    record = memory.record
    state = state.with_link(place, state.links[place]._replace(session=session))
    after = asked.got if bounds.rule("exact_replay") else record.acked
    state = state.send_down(place, Resumed(record.key, got, record.done))
    for number in range(max(after, record.acked) + 1, record.sent + 1):
        state = state.send_down(place, Message(number, record.log[number - record.acked - 1]))
    return state.send_down(place, End()) if record.ended == LEAVING else state


def _require_nothing_lost(state: State, session: int, record: Record) -> None:
    client = state.client
    for content, of in enumerate(state.accepted_down, 1):
        if of == session and content not in state.handled_down:
            is_known = client.session == session and content in client.inbox
            require(is_known or content in record.log, "J4", f"resumed, but message {content} is lost")
