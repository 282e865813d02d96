"""What the nodes of the server may do next: read, handle, acknowledge; and its application: send, dismiss."""

from tests.model import handshake, moves
from tests.model.bounds import Bounds, Step, Steps
from tests.model.claims import claimed_for_application, resume
from tests.model.rules import require
from tests.model.state import (
    ALIVE,
    LEAVING,
    OVER,
    REPLACED,
    A,
    Ack,
    B,
    End,
    Hello,
    Message,
    Resume,
    State,
    TurnedAway,
)
from tests.model.store import acknowledged, write


def reads(bounds: Bounds, state: State, place: int) -> Steps:
    """A node reads the next frame of a link, or finds that the link has ended."""
    link = state.links[place]
    if not link.server_open:
        return
    if not state.is_held_by_client(place):
        yield Step("server notices the end", link=link.number), state.close_server(place)
    elif link.session:
        severed = state.spend("sever")
        if severed is not None:
            yield Step("server loses its end", link=link.number), severed.close_server(place)
    if link.up:
        frame = link.up[0]
        rest = state.with_link(place, link._replace(up=link.up[1:]))
        yield from _read(bounds, state, rest, place, frame)


def _read(
    bounds: Bounds, state: State, rest: State, place: int, frame: Hello | Resume | Message | Ack | End
) -> Steps:
    """state: before the frame was taken; rest: without it."""
    link = state.links[place]
    node, session = link.node, link.session
    step = Step("NODE reads", node=node, link=link.number, frame=frame)
    if isinstance(frame, Hello):
        if not state.is_held_by_client(place):
            yield step._replace(what="NODE reads from nobody"), rest.close_server(place)
        elif state.sessions < bounds.sessions:
            yield step, handshake.create(rest, place, None)
        return
    if isinstance(frame, Resume):
        for then in resume(bounds, rest, place, frame):
            yield step, then
        return
    memory = state.memory(node, session) if session else None
    if memory is None or (memory.link != link.number and bounds.rule("current_link")):
        yield step._replace(what="NODE reads on a stale link"), rest.close_server(place)
        return
    match frame:
        case Message():
            if frame.number != memory.got + 1 and bounds.rule("numbers"):
                require(bounds.faults.get("host"), "J9", "a message out of step on a healthy link")
                yield step._replace(what="NODE reads out of step"), rest.close_server(place)
                return
            has_room = len(memory.inbox) < bounds.window or not bounds.rule("window")
            require(has_room, "J5", "the server's inbox exceeds the window")
            taken = memory._replace(inbox=(*memory.inbox, frame.content))
            yield step, rest.with_memory(node, session, taken)
        case Ack():
            number = frame.number
            require(number <= memory.record.sent, "J9", "acknowledged more than was sent")
            known = write(bounds, rest, node, session, lambda record: acknowledged(state, record, number))
            if known is None:
                yield step, rest.forget(node, session)
            else:
                yield step, _released_if_over(known, node, session, place)
        case End():
            if not bounds.rule("end_after_handled"):
                for content in memory.inbox[memory.is_running :]:
                    is_handled = content in state.handled_up
                    require(
                        is_handled, "J3", f"the session ended well, and message {content} was never handled"
                    )
                yield step, _end(bounds, rest, node, session)
                return
            then = rest.with_memory(node, session, memory._replace(is_ending=True))
            yield step, _end_if_handled(bounds, then, node, session)


def _released_if_over(state: State, node: int, session: int, place: int) -> State:
    """Let go of a session whose dismissal is acknowledged."""
    memory = state.memory(node, session)
    if memory is not None and memory.record.ended == OVER:
        return state.close_server(place).with_memory(node, session, None)
    return state


def _end_if_handled(bounds: Bounds, state: State, node: int, session: int) -> State:
    """End a session whose client wants that, once all is handled and recorded that came before."""
    memory = state.memory(node, session)
    is_due = memory is not None and memory.is_ending and not memory.inbox
    return _end(bounds, state, node, session) if is_due else state


def _end(bounds: Bounds, state: State, node: int, session: int) -> State:
    then = write(bounds, state, node, session, lambda record: record._replace(ended=OVER, log=()))
    if then is None:
        return state.forget(node, session)
    memory = then.memory(node, session)
    assert memory is not None
    place = then.attached(node, session)
    if place is not None:
        then = then.send_down(place, Ack(memory.record.done), TurnedAway("ended")).close_server(place)
    if not bounds.rule("tombstone"):
        then = then.with_record(session, None)
    return then.with_memory(node, session, None)


def works(bounds: Bounds, state: State, node: int, session: int) -> Steps:
    """A node handles a message in two steps, the effect and its record, and acknowledges."""
    memory = state.memory(node, session)
    assert memory is not None
    place = state.attached(node, session)
    about = Step("", node=node, session=session)
    if memory.inbox and not memory.is_running:
        content = memory.inbox[0]
        then = _handle(moves.excused(bounds, state, node, session), content)
        then = then.with_memory(node, session, memory._replace(is_running=True))
        yield about._replace(what="NODE handles", content=content), then
    if memory.is_running:
        content = memory.inbox[0]
        recorded = write(bounds, state, node, session, lambda record: record._replace(done=record.done + 1))
        if recorded is None:
            yield about._replace(what="NODE cannot record", content=content), state.forget(node, session)
        else:
            known = recorded.memory(node, session)
            assert known is not None
            known = known._replace(is_running=False, inbox=memory.inbox[1:])
            then = recorded.with_memory(node, session, known)
            yield (
                about._replace(what="NODE records", content=content),
                _end_if_handled(bounds, then, node, session),
            )
    level = memory.record.done
    if not bounds.rule("record_before_ack"):
        level += memory.is_running
    if not bounds.rule("ack_handled"):
        level = memory.got
    if place is not None and level > memory.told:
        then = state.send_down(place, Ack(level)).with_memory(node, session, memory._replace(told=level))
        yield about._replace(what="NODE acknowledges", frame=Ack(level)), then
    if not bounds.rule("append_before_send"):
        known_record = memory.record
        late = write(
            bounds,
            state,
            node,
            session,
            lambda record: known_record._replace(done=record.done, link=record.link),
        )
        if late is not None and late.records != state.records:
            yield about._replace(what="NODE writes to the store what it has sent"), late


def _handle(state: State, content: int) -> State:
    session = state.accepted_up[content - 1]
    if content in state.handled_up:
        is_excused = content in state.ambiguous
        require(is_excused, "J1", f"the server handles message {content} twice")
        return state
    for other, of in enumerate(state.accepted_up[: content - 1], 1):
        if session and of == session:
            is_handled = other in state.handled_up
            require(is_handled, "J2", f"the server handles message {content} without {other}")
    return state._replace(handled_up=state.handled_up | {content})


def application(bounds: Bounds, state: State) -> Steps:
    """The server's application sends to the newest session, or dismisses its client."""
    session = state.sessions
    is_wanted = state.client.session == session or any(
        link.fresh == session and link.client_open for link in state.links
    )
    if not session or not is_wanted:
        return
    owners = [node for node in (A, B) if state.memory(node, session) is not None]
    record = state.record(session)
    for node in owners:
        yield from _send(bounds, state, node, session)
    if len(state.accepted_down) < bounds.down and not owners and record is not None and not bounds.moves:
        has_room = len(record.log) < bounds.window
        is_known = record.lineage == state.lineage or not bounds.rule("lineage")
        if record.ended == ALIVE and has_room and is_known:
            content = len(state.accepted_down) + 1
            then = state.with_record(session, record._replace(log=(*record.log, content)))
            then = then._replace(accepted_down=(*state.accepted_down, session))
            yield Step("server sends to the detached session", session=session, content=content), then
    may_claim = state.spend("claim")
    if may_claim is not None and len(state.accepted_down) < bounds.down:
        for node in (A, B):
            claimed = None
            if state.memory(node, session) is None:
                claimed = claimed_for_application(bounds, may_claim, node, session)
            if claimed is not None:
                yield Step("NODE claims it to send", node=node, session=session), claimed
    if bounds.dismisses and record is not None and record.ended == ALIVE:
        for node in owners:
            dismissed = _dismiss(bounds, state, node, session)
            if dismissed is not None:
                yield Step("NODE dismisses the client", node=node, session=session), dismissed


def _send(bounds: Bounds, state: State, node: int, session: int) -> Steps:
    memory = state.memory(node, session)
    assert memory is not None
    if len(state.accepted_down) >= bounds.down or memory.record.ended != ALIVE:
        return
    content = len(state.accepted_down) + 1
    about = Step("NODE sends", node=node, session=session, content=content)
    if len(memory.record.log) >= bounds.window and bounds.rule("window"):
        if bounds.overflows:
            yield about._replace(what="NODE sends too much"), _overflow(bounds, state, node, session)
        return
    if bounds.rule("append_before_send"):
        then = write(bounds, state, node, session, lambda record: record._replace(log=(*record.log, content)))
        if then is None:
            yield about._replace(what="NODE cannot send"), state.forget(node, session)
            return
    else:
        ahead = memory.record._replace(log=(*memory.record.log, content))
        then = state.with_memory(node, session, memory._replace(record=ahead))
    known = then.memory(node, session)
    assert known is not None
    require(len(known.record.log) <= bounds.window, "J5", "the server's outbox exceeds the window")
    then = then._replace(accepted_down=(*state.accepted_down, session))
    place = state.attached(node, session)
    if place is not None:
        then = then.send_down(place, Message(known.record.sent, content))
    yield about, then


def _overflow(bounds: Bounds, state: State, node: int, session: int) -> State:
    """End the session, as the client's window has no room: both applications are told."""
    then = write(bounds, state, node, session, lambda record: record._replace(ended=REPLACED, log=()))
    if then is None:
        return state.forget(node, session)
    place = state.attached(node, session)
    if place is not None:
        then = then.close_server(place)
    return then.with_memory(node, session, None)._replace(has_cause=True)


def _dismiss(bounds: Bounds, state: State, node: int, session: int) -> State | None:
    then = write(
        bounds, state, node, session, lambda record: record._replace(ended=LEAVING if record.log else OVER)
    )
    if then is None:
        return None
    place = state.attached(node, session)
    if place is not None:
        then = then.send_down(place, End())
    known = then.memory(node, session)
    assert known is not None
    if known.record.ended == OVER:  # nothing is to be waited for
        then = then.with_memory(node, session, None)
        if place is not None:
            then = then.close_server(place)
        if not bounds.rule("tombstone"):
            then = then.with_record(session, None)
    return then
