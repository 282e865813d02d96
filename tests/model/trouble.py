"""What may go wrong beneath: stores, nodes, time and hosts."""

from tests.model.bounds import Bounds, Step, Steps
from tests.model.repair import is_known
from tests.model.state import LEAVING, NOBODY, OVER, REPLACED, A, B, Down, Link, Message, State, Up


def steps(bounds: Bounds, state: State) -> Steps:
    yield from _store(bounds, state)
    for node in (A, B):
        yield from _crash(bounds, state, node)
        yield from _leave(bounds, state, node)
    yield from _expire(state)
    yield from _lose(state)
    yield from _restart(bounds, state)


def _store(bounds: Bounds, state: State) -> Steps:
    if state.replica != state.records and state.left_of("failover"):
        yield Step("the replica catches up"), state._replace(replica=state.records)
    then = state.spend("failover")
    if then is not None and state.replica != state.records:
        is_held = any(state.is_current(node, state.sessions) for node in (A, B))
        if bounds.moves:
            all_live = all(state.left_of(end) == bounds.faults.get(end, 0) for end in ("node", "leave"))
            is_held = all_live or is_known(bounds, state, state.sessions)
        has_cause = state.has_cause or (state.sessions > 0 and not is_held)
        then = then._replace(records=state.replica, lineage=state.lineage + 1, has_cause=has_cause)
        yield Step("the store fails over"), then


def _sessions(state: State) -> range:
    return range(1, len(state.records) + 1)


def _crash(bounds: Bounds, state: State, node: int) -> Steps:
    then = state.spend("node")
    knows = any(state.memory(node, each) or state.vouch(node, each) for each in _sessions(state))
    if then is not None and knows:
        yield Step("NODE crashes and restarts", node=node), _without_memory(bounds, state, then, node)


def _without_memory(bounds: Bounds, state: State, then: State, node: int) -> State:
    for session in _sessions(state):
        memory = state.memory(node, session)
        if memory is not None:
            if memory.record.lineage != state.lineage or bounds.in_memory:
                then = then._replace(has_cause=True)  # it had not written again what the store has forgotten
            if memory.is_running:
                then = then._replace(ambiguous=then.ambiguous | {memory.inbox[0]})
            then = then.with_memory(node, session, None)
        vouch = state.vouch(node, session)
        if vouch is not None:
            is_alone = vouch.lineage != state.lineage or (bounds.in_memory and vouch.owner == node)
            then = then.with_vouch(node, session, None)._replace(has_cause=then.has_cause or is_alone)
    if any(each.to == node and each.given is not None for each in then.questions):
        then = then._replace(has_cause=True)
    then = then._replace(questions=tuple(each for each in then.questions if each.to != node))
    for place, link in enumerate(then.links):
        if link.node == node:
            then = then.close_server(place)
    return then


def _leave(bounds: Bounds, state: State, node: int) -> Steps:
    """A process ends in good order that serves no links, and leaves its sessions to nobody."""
    then = state.spend("leave")
    if then is None or any(link.node == node and link.server_open for link in state.links):
        return
    if any(each.to == node for each in state.questions):
        return  # it answers first
    for session in _sessions(state):
        memory, record = state.memory(node, session), state.record(session)
        if memory is None or memory.is_running:
            continue
        if memory.record.lineage != state.lineage:
            then = then._replace(has_cause=True)
        is_ours = record is not None and record.owner == node and record.claims == memory.record.claims
        if record is not None and is_ours and not record.is_tombstone:
            left = memory.record if bounds.in_memory else record
            then = then.with_record(session, left._replace(owner=NOBODY))
        then = then.with_memory(node, session, None)
        yield Step("NODE is closed", node=node, session=session), then


def _expire(state: State) -> Steps:
    for session, record in enumerate(state.records, 1):
        if record is None or record.is_tombstone:
            continue
        then = state.spend("expire")
        if then is not None and all(state.attached(node, session) is None for node in (A, B)):
            then = then.with_memory(A, session, None).with_memory(B, session, None)
            then = then.with_vouch(A, session, None).with_vouch(B, session, None)  # they are as old
            ended = OVER if record.ended == LEAVING else REPLACED
            then = then.with_record(session, record._replace(ended=ended, log=()))
            yield Step("the session expires", session=session), then._replace(has_cause=True)


def _lose(state: State) -> Steps:
    then = state.spend("host")
    if then is None:
        return
    for place, link in enumerate(state.links):
        for at, up in enumerate(link.up):
            if isinstance(up, Message):
                yield _lost(
                    "the host loses to the server",
                    then,
                    place,
                    up,
                    link._replace(up=link.up[:at] + link.up[at + 1 :]),
                )
        for at, down in enumerate(link.down):
            if isinstance(down, Message):
                yield _lost(
                    "the host loses to the client",
                    then,
                    place,
                    down,
                    link._replace(down=link.down[:at] + link.down[at + 1 :]),
                )


def _lost(what: str, state: State, place: int, frame: Up | Down, link: Link) -> tuple[Step, State]:
    return Step(what, link=link.number, frame=frame), state.with_link(place, link)


def _restart(bounds: Bounds, state: State) -> Steps:
    """All nodes start again, and their store has forgotten all, or what the replica does not have."""
    for fault, records in (("restart", (None,) * len(state.records)), ("revert", state.replica)):
        then = state.spend(fault)
        if then is not None and state.records != records:
            for node in (A, B):
                then = _without_memory(bounds, state, then, node)
            what = "the server restarts without its store" if fault == "restart" else "the store is reverted"
            yield Step(what), then._replace(records=records, has_cause=True)
    if state.left_of("revert") and state.replica != state.records:
        yield Step("the store is copied"), state._replace(replica=state.records)
