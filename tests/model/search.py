"""Searches all that may happen in a world, breadth first, so that a violation comes with a shortest trace."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tests.model import client, moves, server, trouble
from tests.model.bounds import Bounds, Step, Steps
from tests.model.rules import Violation
from tests.model.state import GONE, OPEN, A, B, State, initial


@dataclass(frozen=True)
class Found:
    """What a search has found. states: how many. violation: None if all holds. trace: the way to it."""

    states: int
    violation: Violation | None
    trace: tuple[Step, ...] = ()


def successors(bounds: Bounds, state: State) -> Steps:
    """Return what may happen next, and the state that follows; raises Violation."""
    for step, then in _all_steps(bounds, state):
        if bounds.dismisses and then.sessions > 1 and not then.has_cause:
            raise Violation("J7", "a dismissed client came back")
        yield step, then


def _all_steps(bounds: Bounds, state: State) -> Steps:
    yield from client.steps(bounds, state)
    if bounds.snapshots:
        yield from client.in_the_background(bounds, state)
    for place in range(len(state.links)):
        yield from server.reads(bounds, state, place)
    for node in (A, B):
        for session in range(1, bounds.sessions + 1):
            if state.memory(node, session) is not None:
                yield from server.works(bounds, state, node, session)
    yield from server.application(bounds, state)
    if bounds.moves:
        yield from moves.steps(bounds, state)
    yield from trouble.steps(bounds, state)


Parents = dict[State, tuple[State, Step] | None]


def search(bounds: Bounds, *, progress: bool = False) -> Found:
    """Search a world. progress: whether J8 is checked too, which takes more memory."""
    start = initial(bounds.sessions, dict(bounds.faults))
    parents: Parents = {start: None}
    edges: dict[State, list[State]] = {}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        followers = []
        try:
            for step, then in successors(bounds, state):
                if then not in parents:
                    parents[then] = (state, step)
                    queue.append(then)
                if progress:
                    followers.append(then)
        except Violation as violation:
            if violation.invariant in bounds.ignored:
                continue
            return Found(len(parents), violation, _trace(parents, state))
        if progress:
            edges[state] = followers
    for trap in _traps(bounds, edges):
        return Found(len(parents), Violation("J8", "nothing more can be delivered"), _trace(parents, trap))
    return Found(len(parents), None)


def _trace(parents: Parents, state: State) -> tuple[Step, ...]:
    steps = []
    while (parent := parents[state]) is not None:
        state, step = parent
        steps.append(step)
    return tuple(reversed(steps))


def _traps(bounds: Bounds, edges: dict[State, list[State]]) -> Iterator[State]:
    """Yield the states in which the client may open a link, and from which nothing leads to a goal."""
    back: dict[State, list[State]] = {}
    for state, followers in edges.items():
        for follower in followers:
            back.setdefault(follower, []).append(state)
    good = deque(state for state in edges if _is_goal(state))
    reached = set(good)
    while good:
        for before in back.get(good.popleft(), ()):
            if before not in reached:
                reached.add(before)
                good.append(before)
    for state in edges:
        may_go_on = state.client.links < bounds.links and state.sessions < bounds.sessions
        if may_go_on and state not in reached:
            yield state


def _is_goal(state: State) -> bool:
    """Whether all is delivered, or the client does not want more."""
    client = state.client
    if client.ending == GONE:
        return True
    if client.phase != OPEN or client.outbox or client.inbox:
        return False
    record = state.record(client.session)
    memories = [state.memory(node, client.session) for node in (A, B)]
    is_idle = all(memory is None or not (memory.inbox or memory.is_running) for memory in memories)
    return record is not None and not record.log and is_idle
