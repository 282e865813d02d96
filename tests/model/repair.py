"""A store that has forgotten, and nodes that write to it again what they know: docs/session.md, 11.3."""

from tests.model.bounds import Bounds
from tests.model.state import NOBODY, A, B, Record, State
from tests.model.store import unchanged, write


def repaired(bounds: Bounds, state: State, session: int, nodes: tuple[int, ...]) -> State:
    """Have nodes write a session again: its owner; or if all are asked, one that has given it up."""
    for node in nodes:
        memory, vouch = state.memory(node, session), state.vouch(node, session)
        if memory is not None and memory.record.lineage != state.lineage and bounds.in_memory:
            known_here = memory.record._replace(lineage=state.lineage)
            state = put(state, node, session, known_here.bare)
            state = state.with_memory(node, session, memory._replace(record=known_here))
        elif memory is not None and memory.record.lineage != state.lineage:
            known = write(bounds, state, node, session, unchanged)
            state = known if known is not None else state.forget(node, session)
        if vouch is not None and vouch.owner == node and vouch.lineage != state.lineage:
            state = put(state, node, session, vouch.bare if bounds.in_memory else vouch)
            state = state.with_vouch(node, session, vouch._replace(lineage=state.lineage))
    record = state.record(session)
    is_lost = record is None or record.lineage != state.lineage
    for node in nodes if is_lost and len(nodes) > 1 else ():
        vouch = state.vouch(node, session)
        if vouch is not None and vouch.owner == NOBODY:
            state = put(state, node, session, vouch)
    return state


def put(state: State, node: int, session: int, found: Record) -> State:
    """Have a node write a whole session, as `put` of the store."""
    record = state.record(session)
    if record is not None:
        is_ours = record.owner == found.owner
        is_newer = record.claims > found.claims and not is_ours
        is_here = record.lineage == state.lineage
        is_there = is_ours and record.claims >= found.claims and is_here
        is_same = record.claims == found.claims and record.owner == 1 - node and is_here
        if record.is_tombstone or is_newer or is_there or is_same:
            return state
    return state.with_record(session, found._replace(lineage=state.lineage))


def is_known(bounds: Bounds, state: State, session: int) -> bool:
    """Whether a node that lives knows of a session what the store does."""
    record = state.record(session)
    for node in (A, B):
        memory = state.memory(node, session)
        for known in (memory and memory.record, state.vouch(node, session)):
            if record and known and (bounds.in_memory or _is_same(known, record)):
                return True
    return False


def _is_same(known: Record, record: Record) -> bool:
    return (known.acked, known.log, known.done) == (record.acked, record.log, record.done)
