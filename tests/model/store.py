"""The store, as the owner of a session uses it: it refuses who has not claimed the session last."""

from collections.abc import Callable

from tests.model.bounds import Bounds
from tests.model.rules import require
from tests.model.state import LEAVING, OVER, Memory, Record, State

Change = Callable[[Record], Record]


def write(bounds: Bounds, state: State, node: int, session: int, change: Change) -> State | None:
    """Change the record of a session on behalf of what a node knows of it; None: the store refuses."""
    memory, record = state.memory(node, session), state.record(session)
    assert memory is not None
    if bounds.in_memory:
        return _write_in_memory(state, node, session, change(memory.record))
    if bounds.rule("lineage") and memory.record.lineage != state.lineage:
        # The store is not the one that we wrote to: write again all that we know.
        if not bounds.rule("repair"):
            return None
        is_newer = record is not None and record.link > memory.link
        if bounds.moves and record is not None:
            is_newer = _is_claimed(state, record, memory, node)
        if record is not None and (is_newer or record.is_tombstone):
            return None
        record = memory.record._replace(lineage=state.lineage)
    if record is None or record.is_tombstone:
        return None
    is_fenced = _is_claimed(state, record, memory, node) if bounds.moves else record.link != memory.link
    if bounds.rule("fence") and is_fenced:
        return None
    changed = change(record)
    state = state.with_record(session, changed)
    return state.with_memory(node, session, memory._replace(record=changed))


def _write_in_memory(state: State, node: int, session: int, changed: Record) -> State:
    """Change what the memory of a node has, which asks nobody; the store is told of an end."""
    memory, record = state.memory(node, session), state.record(session)
    assert memory is not None
    is_ours = record is not None and not record.is_tombstone and not _is_claimed(state, record, memory, node)
    if changed.is_tombstone and is_ours:
        state = state.with_record(session, changed.bare)
    return state.with_memory(node, session, memory._replace(record=changed))


def _is_claimed(state: State, record: Record, memory: Memory, node: int) -> bool:
    """Whether another node has claimed a session since; a claim of the node itself may have had no answer.

    A store that has forgotten a claim may have given its number again.
    """
    is_newer = record.claims > memory.record.claims
    is_same = record.claims == memory.record.claims and record.lineage == state.lineage
    return (is_newer and record.owner != node) or (is_same and record.owner == 1 - node)


def unchanged(record: Record) -> Record:
    return record


def acknowledged(state: State, record: Record, number: int) -> Record:
    """Forget messages up to a number; they must have been handled."""
    count = min(number, record.sent) - record.acked
    if count <= 0:
        return record
    for content in record.log[:count]:
        is_handled = content in state.handled_down
        require(is_handled, "J3", f"the server forgets message {content} that the client has not handled")
    record = record._replace(acked=record.acked + count, log=record.log[count:])
    return record._replace(ended=OVER) if record.ended == LEAVING and not record.log else record
