"""A session moves from one node to the other, step by step: docs/session.md, 11.2.

The node that a resume has come to asks the owner, which gives the session up and writes it to nobody. Then it
claims the session, has the owner forget what that has given, and goes on. The store may forget all meanwhile.
`late`: an answer comes too late, or never; of a store, or to who has told another one what it has claimed.
"""

from collections.abc import Iterator

from tests.model import handshake
from tests.model.bounds import Bounds, Step, Steps
from tests.model.state import NOBODY, A, B, Move, Question, Record, Resume, State, TurnedAway
from tests.model.store import unchanged, write


def claim(bounds: Bounds, state: State, place: int, asked: Resume, move: Move | None) -> Iterator[State]:
    """Claim a session for a link, or ask its owner first. move: in which that was asked before."""
    session = asked.session
    node = state.links[place].node
    record = state.record(session)
    assert record is not None
    if record.owner == 1 - node and move is None:
        question = Question(asked.link, record.owner, session)
        waits = (*state.moves, Move(asked.link, asked))
        yield state._replace(questions=(*state.questions, question), moves=waits)
        return
    if any(each.given is not None and each.to == node for each in state.questions):
        return  # the store has what it gives up before a resume of an older link comes to it
    memory = state.memory(node, session)
    if memory is not None and record.owner == node:
        if memory.record.claims != record.claims:  # by a claim that was never answered
            old = state.attached(node, session)
            state = state if old is None else state.close_server(old)
            known = memory.record._replace(claims=record.claims)
            state = state.with_memory(node, session, memory._replace(link=record.link, record=known))
        yield from handshake.take(bounds, state, place, asked)
        return
    if memory is not None:
        state = state.forget(node, session)  # the other one has had it since
    found = record._replace(link=asked.link, owner=node, claims=record.claims + 1)
    state = state.with_record(session, found)
    lost = state.spend("late")
    if lost is not None:
        yield lost.close_server(place)
    if move is not None:
        state = state._replace(moves=(*state.moves, move._replace(found=found)))
        yield state.with_vouch(node, session, found) if bounds.rule("claimed") else state
        return
    # It goes on at once, and tells the other one, which may have given the session up before.
    if lost is not None:
        yield from _attached(bounds, lost, place, asked, found)
    state = _told(state, 1 - node, session, found.claims)
    yield from _attached(bounds, state, place, asked, found)


def _told(state: State, node: int, session: int, claims: int) -> State:
    """Have a node forget what it knows of a session that was claimed since."""
    vouch, memory = state.vouch(node, session), state.memory(node, session)
    if vouch is not None and vouch.claims < claims:
        state = state.with_vouch(node, session, None)
    if memory is not None and memory.record.claims < claims:
        state = state.forget(node, session)
    return state


def steps(bounds: Bounds, state: State) -> Steps:
    """What may happen next of the moves that are under way."""
    for question in state.questions:
        yield from _answers(bounds, state, question)
    for move in state.moves:
        yield from _goes_on(bounds, state, move)


def excused(bounds: Bounds, state: State, node: int, session: int) -> State:
    """Let the message in hand be handled twice, of a node from which the session was taken by force."""
    memory, record = state.memory(node, session), state.record(session)
    has_been_late = bounds.faults.get("late", 0) > state.left_of("late")
    if not (
        bounds.moves and has_been_late and memory and memory.inbox and record and record.link > memory.link
    ):
        return state
    return state._replace(ambiguous=state.ambiguous | {memory.inbox[0]})


# The node that is asked


def _answers(bounds: Bounds, state: State, question: Question) -> Steps:
    node, session = question.to, question.session
    about = Step("", node=node, link=question.link, session=session)
    others = tuple(other for other in state.questions if other is not question)
    rest = state._replace(questions=others)
    if question.given is not None:
        is_claimed = state.vouch(node, session) != question.given and bounds.rule("given")
        then = rest if is_claimed else _put(rest, session, question.given)
        yield about._replace(what="NODE writes what it gives up"), _answered(then, question)
        return
    memory, vouch = state.memory(node, session), state.vouch(node, session)
    if memory is None:
        if vouch is None or vouch.owner != node:
            yield about._replace(what="NODE says that it is not its own"), _answered(rest, question)
            return
        given = vouch._replace(owner=NOBODY)
    else:
        if memory.link >= question.link and bounds.rule("newer_link"):
            place = rest.link_at(question.link)
            assert place is not None
            yield about._replace(what="NODE keeps the session"), rest.close_server(place)
            return
        if memory.is_running:
            cut_off = rest.spend("late")
            if cut_off is None:
                return  # it waits for the hook
            rest = cut_off._replace(ambiguous=cut_off.ambiguous | {memory.inbox[0]})
        given = memory.record._replace(owner=NOBODY, link=memory.link)
        rest = rest.forget(node, session)
    then = rest.with_vouch(node, session, given if bounds.rule("given") else None)
    then = then._replace(questions=(*others, question._replace(given=given)))
    yield about._replace(what="NODE gives up"), then


def _answered(state: State, question: Question) -> State:
    """Have the one hear that has asked, if it waits still."""
    moves = tuple(
        move._replace(is_answered=True) if move.link == question.link and move.found is None else move
        for move in state.moves
    )
    return state._replace(moves=moves)


# The node that asks


def _goes_on(bounds: Bounds, state: State, move: Move) -> Steps:
    place = state.link_at(move.link)
    assert place is not None
    node, session = state.links[place].node, move.asked.session
    about = Step("", node=node, link=move.link, session=session)
    others = tuple(other for other in state.moves if other is not move)
    rest: State | None
    if move.found is None:
        rest = state._replace(moves=others)
        rest = rest if move.is_answered else rest.spend("late")
        if rest is not None:
            what = "NODE claims what was given up" if move.is_answered else "NODE claims by force"
            for then in handshake.resume(bounds, rest, place, move.asked, move):
                other = then.memory(1 - node, session)
                if other is not None and other.is_running:
                    then = excused(bounds, then, 1 - node, session)
                yield about._replace(what=what), then
        return
    if not move.has_told:
        then = _told(state, 1 - node, session, move.found.claims)
        then = then._replace(moves=(*others, move._replace(has_told=True)))
        yield about._replace(what="NODE hears of the claim", node=1 - node), then
    rest = state._replace(moves=others)
    rest = rest if move.has_told else rest.spend("late")
    if rest is not None:
        for then in _attached(bounds, rest, place, move.asked, move.found):
            yield about._replace(what="NODE goes on"), then


def _attached(bounds: Bounds, state: State, place: int, asked: Resume, found: Record) -> Iterator[State]:
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
        yield from handshake.go_on(bounds, state, place, asked, known, memory)
        return
    if memory is not None:
        state = state.forget(node, session)  # another one has had it meanwhile
    yield from handshake.go_on(bounds, state, place, asked, found, None)


# A store that has forgotten


def repaired(bounds: Bounds, state: State, session: int, nodes: tuple[int, ...]) -> State:
    """Have nodes write a session again: its owner; or if all are asked, one that has given it up."""
    for node in nodes:
        memory, vouch = state.memory(node, session), state.vouch(node, session)
        if memory is not None and memory.record.lineage != state.lineage:
            known = write(bounds, state, node, session, unchanged)
            state = known if known is not None else state.forget(node, session)
        if vouch is not None and vouch.owner == node and vouch.lineage != state.lineage:
            state = _put(state, session, vouch).with_vouch(
                node, session, vouch._replace(lineage=state.lineage)
            )
    record = state.record(session)
    is_lost = record is None or record.lineage != state.lineage
    for node in nodes if is_lost and len(nodes) > 1 else ():
        vouch = state.vouch(node, session)
        if vouch is not None and vouch.owner == NOBODY:
            state = _put(state, session, vouch)
    return state


def _put(state: State, session: int, found: Record) -> State:
    """Write a whole session, as `put` of the store."""
    record = state.record(session)
    if record is not None:
        is_ours = record.owner == found.owner
        is_newer = record.claims > found.claims and not is_ours
        is_there = is_ours and record.claims >= found.claims and record.lineage == state.lineage
        if record.is_tombstone or is_newer or is_there:
            return state
    return state.with_record(session, found._replace(lineage=state.lineage))


def is_known(state: State, session: int) -> bool:
    """Whether a node that lives knows of a session what the store does."""
    record = state.record(session)
    for node in (A, B):
        memory = state.memory(node, session)
        for known in (memory and memory.record, state.vouch(node, session)):
            if (
                record
                and known
                and (known.acked, known.log, known.done) == (record.acked, record.log, record.done)
            ):
                return True
    return False
