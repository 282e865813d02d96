"""A session moves from one node to the other, step by step: docs/session.md, 11.2 and 11.4.

The node that a resume has come to asks the owner, which gives the session up, and writes it where only its
memory has it. Then that node claims the session, has the owner forget what that has given, and goes on, if it
has not given it up itself by then. The store may forget all meanwhile.
`late`: an answer comes too late, or never; of a store, or to who has told another one what it has claimed.
"""

from tests.model.bounds import Bounds, Step, Steps
from tests.model.claims import attached, resume, told
from tests.model.repair import put
from tests.model.state import NOBODY, Move, Question, Record, State


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
        then = rest if is_claimed else put(rest, node, session, question.given)
        yield about._replace(what="NODE writes what it gives up"), _answered(then, question)
        return
    if any(other.given is not None and other.to == node for other in others):
        return  # it gives to one after the other
    memory, vouch = state.memory(node, session), state.vouch(node, session)
    claimed = vouch if vouch is not None and vouch.owner == node else None
    has_it = memory or claimed
    if has_it is None:
        yield about._replace(what="NODE says that it is not its own"), _answered(rest, question)
        return
    if has_it.link >= question.link and bounds.rule("newer_link"):
        place = rest.link_at(question.link)
        assert place is not None
        yield about._replace(what="NODE keeps the session"), rest.close_server(place)
        return
    if claimed is not None and memory is None:
        given = claimed._replace(owner=NOBODY)
    else:
        assert memory is not None
        if memory.is_running:
            cut_off = rest.spend("late")
            if cut_off is None:
                return  # it waits for the hook
            rest = cut_off._replace(ambiguous=cut_off.ambiguous | {memory.inbox[0]})
        given = memory.record._replace(owner=NOBODY, link=memory.link)
        rest = rest.forget(node, session)
    then = rest.with_vouch(node, session, given if bounds.rule("given") else None)
    if bounds.in_memory:
        then = then._replace(questions=(*others, question._replace(given=given)))
    else:
        then = _answered(then, question)  # the store has all of it
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
            for then in resume(bounds, rest, place, move.asked, move):
                other = then.memory(1 - node, session)
                if other is not None and other.is_running:
                    then = excused(bounds, then, 1 - node, session)
                yield about._replace(what=what), then
        return
    if not move.has_told:
        then = told(state, 1 - node, session, move.found.claims)
        then = then._replace(moves=(*others, move._replace(has_told=True)))
        yield about._replace(what="NODE hears of the claim", node=1 - node), then
    rest = state._replace(moves=others)
    rest = rest if move.has_told else rest.spend("late")
    if rest is not None and not _has_it(bounds, state, node, session, move.found):
        for then in resume(bounds, rest, place, move.asked):
            yield about._replace(what="NODE has lost what it has claimed"), then
    elif rest is not None:
        for then in attached(bounds, rest, place, move.asked, move.found):
            yield about._replace(what="NODE goes on"), then


def _has_it(bounds: Bounds, state: State, node: int, session: int, found: Record) -> bool:
    """Whether a node that has claimed a session may go on with it: it has not given that up meanwhile."""
    vouch = state.vouch(node, session)
    is_same = vouch is not None and vouch.owner == node and vouch.claims == found.claims
    is_looked_at = bounds.rule("claimed") and bounds.rule("still_claimed")
    return is_same or state.memory(node, session) is not None or not is_looked_at
