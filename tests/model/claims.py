"""What a node decides about a resume, and which node has the session then: docs/session.md, 4.3 and 11.2."""

from collections.abc import Iterator

from tests.model.bounds import Bounds
from tests.model.handshake import go_on, reset, take
from tests.model.repair import repaired
from tests.model.state import (
    NOBODY,
    OVER,
    REPLACED,
    A,
    B,
    Memory,
    Move,
    Question,
    Record,
    Resume,
    State,
    TurnedAway,
)
from tests.model.store import unchanged, write


def resume(
    bounds: Bounds, state: State, place: int, asked: Resume, move: Move | None = None
) -> Iterator[State]:
    """Decide about a resume; nothing comes of it while another node has still to record what it has begun.

    move: in which the owner was asked already.
    """
    session = asked.session
    node = state.links[place].node
    if bounds.moves:
        state = repaired(bounds, state, session, (node,))
    record = state.record(session)
    # The store says who has it. One that may have forgotten something is not trusted: all nodes are asked.
    is_forgetful = state.lineage and (record is None or record.lineage != state.lineage)
    if is_forgetful and bounds.moves:
        state = repaired(bounds, state, session, (A, B))
        record = state.record(session)
    for holder in () if bounds.moves else (A, B):
        is_asked = is_forgetful and (holder == node or bounds.rule("ask_all"))
        if is_asked and state.memory(holder, session) is not None:
            known = write(bounds, state, holder, session, unchanged)
            state = known if known is not None else state.forget(holder, session)
            record = state.record(session)
    if record is None or record.ended == REPLACED:
        yield reset(bounds, state, place, session)
    elif record.ended == OVER:
        yield state.send_down(place, TurnedAway("ended")).close_server(place)
    elif asked.key != record.key:
        yield reset(bounds, state, place, session)
    elif bounds.rule("ordinal") and asked.link <= record.link:
        yield state.send_down(place, TurnedAway("replaced")).close_server(place)
    elif bounds.moves and (not bounds.rule("lineage") or record.lineage == state.lineage):
        yield from _claim(bounds, state, place, asked, move)
    else:
        yield from _hand_over(bounds, state, place, asked, record)


def _hand_over(bounds: Bounds, state: State, place: int, asked: Resume, record: Record) -> Iterator[State]:
    """Have the other node let go of the session, if it is its owner; then take it."""
    session = asked.session
    other = 1 - state.links[place].node
    memory = state.memory(other, session)
    if record.owner == other and memory is not None and memory.link == record.link and bounds.rule("handoff"):
        if bounds.forced and memory.inbox:
            # It does not answer in time, and may go on with what it has begun until it writes.
            begun = state._replace(ambiguous=state.ambiguous | {memory.inbox[0]})
            yield from take(bounds, begun, place, asked)
        if memory.is_running:
            return  # wait until it has recorded
        state = state.forget(other, session, closes=False)
        old = state.link_at(memory.link)
        if old is not None and state.links[old].server_open and state.links[old].node == other:
            state = state.close_server(old)
    yield from take(bounds, state, place, asked)


# Where sessions move step by step: moves.py


def _claim(bounds: Bounds, state: State, place: int, asked: Resume, move: Move | None) -> Iterator[State]:
    """Claim a session for a link, or ask its owner first. move: in which that was asked before.

    What that has claimed since, for another link, it has not been asked for.
    """
    session = asked.session
    node = state.links[place].node
    record = state.record(session)
    assert record is not None
    is_asked_for = move is not None and (record.claims == move.held or not bounds.rule("same_claim"))
    if record.owner == 1 - node and not is_asked_for:
        question = Question(asked.link, record.owner, session)
        waits = (*state.moves, Move(asked.link, asked, record.claims))
        yield state._replace(questions=(*state.questions, question), moves=waits)
        return
    if any(each.given is not None and each.to == node for each in state.questions):
        return  # the store has what it gives up before a resume of an older link comes to it
    memory = state.memory(node, session)
    if bounds.in_memory and record.owner != NOBODY:
        yield from _claim_in_memory(bounds, state, place, asked, move)
        return
    if memory is not None and record.owner == node:
        if memory.record.claims != record.claims:  # by a claim that was never answered
            old = state.attached(node, session)
            state = state if old is None else state.close_server(old)
            known = memory.record._replace(claims=record.claims)
            state = state.with_memory(node, session, memory._replace(link=record.link, record=known))
        yield from take(bounds, state, place, asked)
        return
    if memory is not None:
        state = state.forget(node, session)  # the other one has had it since
    found = record._replace(link=asked.link, owner=node, claims=record.claims + 1)
    state = state.with_record(session, found.bare if bounds.in_memory else found)
    lost = state.spend("late")
    if lost is not None:
        yield lost.close_server(place)
    if move is not None:
        state = state._replace(moves=(*state.moves, move._replace(found=found)))
        yield state.with_vouch(node, session, found) if bounds.rule("claimed") else state
        return
    # It goes on at once, and tells the other one, which may have given the session up before.
    if lost is not None:
        yield from attached(bounds, lost, place, asked, found)
    state = told(state, 1 - node, session, found.claims)
    yield from attached(bounds, state, place, asked, found)


def _claim_in_memory(
    bounds: Bounds, state: State, place: int, asked: Resume, move: Move | None
) -> Iterator[State]:
    """Claim a session that only the memory of a node has: this one; or it is lost."""
    session = asked.session
    node = state.links[place].node
    record, memory, vouch = state.record(session), state.memory(node, session), state.vouch(node, session)
    assert record is not None
    claims = record.claims + 1
    if record.owner == node and memory is not None:
        state = state.with_record(session, record._replace(link=asked.link, claims=claims))
        old = state.attached(node, session)
        state = state if old is None else state.close_server(old)
        known = memory.record._replace(link=asked.link, owner=node, claims=claims)
        yield from go_on(bounds, state, place, asked, known, memory)
    elif record.owner == node and vouch is not None and vouch.owner == node:
        state = state.with_record(session, record._replace(link=asked.link, claims=claims))
        found = vouch._replace(link=asked.link, claims=claims)
        yield from attached(bounds, state, place, asked, found)
    else:
        has_cause = state.has_cause or (move is not None and not move.is_answered)
        yield reset(bounds, state._replace(has_cause=has_cause), place, session)


def attached(bounds: Bounds, state: State, place: int, asked: Resume, found: Record) -> Iterator[State]:
    """Go on with what was found, over the link that has asked."""
    session = asked.session
    node = state.links[place].node
    memory = state.memory(node, session)
    if memory is not None and memory.link > asked.link:  # it was claimed for a newer link meanwhile
        yield state.send_down(place, TurnedAway("replaced")).close_server(place)
        return
    state = state.with_vouch(node, session, None)
    if memory is not None and memory.record.claims >= found.claims - 1:  # what was found is not newer
        known = memory.record._replace(
            claims=max(memory.record.claims, found.claims), link=asked.link, owner=node
        )
        old = state.attached(node, session)
        state = state if old is None else state.close_server(old)
        yield from go_on(bounds, state, place, asked, known, memory)
        return
    if memory is not None:
        state = state.forget(node, session)  # another one has had it meanwhile
    yield from go_on(bounds, state, place, asked, found, None)


def claimed_for_application(bounds: Bounds, state: State, node: int, session: int) -> State | None:
    """Have a node claim a session without a link, as its application has something to send.

    None: another one has it, which is asked to send, or nobody can have it.
    """
    record, vouch = state.record(session), state.vouch(node, session)
    if record is None or record.is_tombstone or record.lineage != state.lineage:
        return None
    other = 1 - node
    is_dead = state.memory(other, session) is None and state.vouch(other, session) is None
    if record.owner == other and (bounds.in_memory or not is_dead):
        return None
    if bounds.in_memory and record.owner == node:
        if vouch is None or vouch.owner != node:
            return None
        record = vouch
    found = record._replace(owner=node, claims=record.claims + 1)
    state = state.with_record(session, found.bare if bounds.in_memory else found)
    state = state.with_memory(node, session, Memory(session, found.link, found, ()))
    return told(state.with_vouch(node, session, None), other, session, found.claims)


def told(state: State, node: int, session: int, claims: int) -> State:
    """Have a node forget what it knows of a session that was claimed since."""
    vouch, memory = state.vouch(node, session), state.memory(node, session)
    if vouch is not None and vouch.claims < claims:
        state = state.with_vouch(node, session, None)
    if memory is not None and memory.record.claims < claims:
        state = state.forget(node, session)
    return state
