"""What the client may do next."""

from collections.abc import Iterator

from tests.model.bounds import Bounds, Step, Steps
from tests.model.rules import require
from tests.model.state import (
    DISMISSED,
    ENDING,
    GONE,
    NO_LINK,
    OPEN,
    RUNNING,
    WAITING,
    Ack,
    Client,
    Down,
    End,
    Hello,
    Link,
    Message,
    Reset,
    Resume,
    Resumed,
    Snapshot,
    State,
    TurnedAway,
    Welcome,
)


def steps(bounds: Bounds, state: State) -> Steps:
    """The program runs."""
    if state.client.hidden and bounds.rule("frozen"):
        return
    yield from _application(bounds, state)
    yield from _acknowledge(bounds, state)
    yield from _connect(bounds, state)
    yield from _end(bounds, state)
    client = state.client
    if client.link:
        # The server may not notice.
        yield Step("client gives the link up", link=client.link), state.close_client()
        place = state.link_at(client.link)
        assert place is not None
        link = state.links[place]
        if link.down:
            frame = link.down[0]
            then = state.with_link(place, link._replace(down=link.down[1:]))
            yield Step("client reads", link=client.link, frame=frame), _read(bounds, then, frame)


def _application(bounds: Bounds, state: State) -> Steps:
    client = state.client
    waits = client.restored and bounds.rule("restored_waits")
    has_room = client.sent - client.acked < bounds.window or not bounds.rule("window")
    may_send = client.ending == RUNNING and client.session and not waits
    if may_send and len(state.accepted_up) < bounds.up and has_room:
        content = len(state.accepted_up) + 1
        sending = client._replace(sent=client.sent + 1, outbox=(*client.outbox, content))
        require(len(sending.outbox) <= bounds.window, "J5", "the client's outbox exceeds the window")
        then = state._replace(accepted_up=(*state.accepted_up, client.session), client=sending)
        if client.phase == OPEN:
            then = then.send_up(Message(sending.sent, content))
        yield Step("client sends", content=content), then
    if client.inbox:
        then = _handle(state, client.inbox[0])
        then = then.with_client(client._replace(done=client.done + 1, inbox=client.inbox[1:]))
        yield Step("client handles", content=client.inbox[0]), _over_if_dismissed(then)


def _handle(state: State, content: int) -> State:
    session = state.accepted_down[content - 1]
    require(content not in state.handled_down, "J1", f"the client handles message {content} twice")
    for other, of in enumerate(state.accepted_down[: content - 1], 1):
        if of == session:
            handled = other in state.handled_down
            require(handled, "J2", f"the client handles message {content} without {other}")
    return state._replace(handled_down=state.handled_down | {content})


def _acknowledge(bounds: Bounds, state: State) -> Steps:
    client = state.client
    level = client.done if bounds.rule("client_ack_handled") else client.got
    if client.phase == OPEN and level > client.told:
        then = state.send_up(Ack(level))
        yield Step("client acknowledges", frame=Ack(level)), then.with_client(client._replace(told=level))


def _connect(bounds: Bounds, state: State) -> Steps:
    client = state.client
    if client.link or client.links >= bounds.links or client.ending not in (RUNNING, ENDING):
        return
    number = client.links + 1
    first: Hello | Resume = Hello(number)
    if client.session:
        first = Resume(client.session, client.key, number, client.done, client.got, client.acked, client.sent)
    connected = client._replace(links=number, link=number, phase=WAITING, told=0)
    for node in bounds.nodes:
        link = Link(number, node, True, True, 0, 0, (first,), ())
        then = state._replace(client=connected, links=(*state.links, link))
        yield Step("client opens a link to NODE", node=node, link=number, frame=first), then


def _end(bounds: Bounds, state: State) -> Steps:
    client = state.client
    if bounds.ends and client.ending == RUNNING and client.session:
        then = state.with_client(client._replace(ending=ENDING))
        yield Step("client ends the session"), then.send_up(End()) if client.phase == OPEN else then


def _over_if_dismissed(state: State) -> State:
    """Be over, if dismissed, once all is handled that came before: acknowledge that, and close."""
    client = state.client
    if client.ending == DISMISSED and not client.inbox:
        if client.phase == OPEN:
            state = state.send_up(Ack(client.done))
        state = state.close_client()
        state = state.with_client(state.client._replace(ending=GONE))
    return state


def _read(bounds: Bounds, state: State, frame: Down) -> State:
    client = state.client
    match frame:
        case Welcome():
            return state.with_client(client._replace(session=frame.session, key=0, phase=OPEN))
        case Resumed():
            return _resumed(bounds, state, frame)
        case Reset():
            return _reset(state, frame)
        case TurnedAway():
            return _turned_away(bounds, state, frame)
        case Message():
            if frame.number != client.got + 1 and bounds.rule("numbers"):
                require(bounds.faults.get("host"), "J9", "a message out of step on a healthy link")
                return state.close_client()
            taken = client._replace(got=client.got + 1, inbox=(*client.inbox, frame.content))
            require(len(taken.inbox) <= bounds.window, "J5", "the client's inbox exceeds the window")
            return state.with_client(taken)
        case Ack():
            require(frame.number <= client.sent, "J9", "acknowledged more than was sent")
            return _acknowledged(state, frame.number)
        case End():
            if not bounds.rule("dismissed_final"):
                state = state.close_client()
                return state.with_client(Client(links=client.links))
            return _over_if_dismissed(state.with_client(client._replace(ending=DISMISSED)))


def _acknowledged(state: State, number: int) -> State:
    """Forget the messages up to a number; they must have been handled."""
    client = state.client
    count = min(number, client.sent) - client.acked
    if count <= 0:
        return state
    for content in client.outbox[:count]:
        is_handled = content in state.handled_up
        require(is_handled, "J3", f"the client forgets message {content} that the server has not handled")
    return state.with_client(client._replace(acked=client.acked + count, outbox=client.outbox[count:]))


def _resumed(bounds: Bounds, state: State, welcome: Resumed) -> State:
    state = _acknowledged(state, welcome.done)
    client = state.client
    after = welcome.got if bounds.rule("exact_replay") else client.acked
    state = state.with_client(client._replace(phase=OPEN, key=welcome.key, restored=False))
    for number in range(max(after, client.acked) + 1, client.sent + 1):
        state = state.send_up(Message(number, client.outbox[number - client.acked - 1]))
    return state.send_up(End()) if client.ending == ENDING else state


def _reset(state: State, welcome: Reset) -> State:
    """Begin another session, and report of the old one what was not acknowledged."""
    client = state.client
    require(state.has_cause, "J6", "reset without a cause")
    for number in range(client.acked + 1, min(welcome.done, client.sent) + 1):
        is_handled = client.outbox[number - client.acked - 1] in state.handled_up
        require(is_handled, "J3", "a reset claims that a message was handled")
    state = state.with_client(
        Client(
            session=welcome.session,
            links=client.links,
            link=client.link,
            phase=OPEN,
            ending=client.ending,
            snapshot=client.snapshot,
        )
    )
    return state.send_up(End()) if client.ending == ENDING else state


def _turned_away(bounds: Bounds, state: State, frame: TurnedAway) -> State:
    client = state.client
    state = state.close_client()
    if frame.why != "replaced":
        is_right = client.ending == ENDING or client.snapshot or bounds.dismisses or frame.why == "enough"
        require(is_right, "J6", "the client is told that its session is over, and nobody ended it")
        return state.with_client(state.client._replace(ending=GONE))
    # Somebody else has the session: never resume it again.
    require(state.has_cause, "J6", "the client's current link was turned away as replaced")
    ending = GONE if client.ending == ENDING else client.ending
    return state.with_client(Client(links=client.links, ending=ending, snapshot=client.snapshot))


def in_the_background(bounds: Bounds, state: State) -> Steps:
    """The host hides the program, shows it again, or kills it."""
    client = state.client
    if not client.hidden and client.session and client.ending == RUNNING and state.left_of("kill") > 0:
        seen = client.done if bounds.rule("snapshot_handled") else client.got
        snapshot = Snapshot(client.session, client.key, client.sent, client.acked, client.outbox, seen)
        hidden = client._replace(hidden=True, snapshot=snapshot)
        yield Step("client is hidden and writes its snapshot"), state.with_client(hidden)
    if client.hidden:
        left = None if bounds.rule("snapshot_deleted") else client.snapshot
        yield Step("client is shown"), state.with_client(client._replace(hidden=False, snapshot=left))
    yield from _killed(bounds, state)


def _killed(bounds: Bounds, state: State) -> Iterator[tuple[Step, State]]:
    then = state.spend("kill")
    if then is None:
        return
    then = then.close_client()
    client = state.client
    snapshot = client.snapshot
    if snapshot is not None:
        # What the process accepted after its snapshot died with it; it may still arrive, no order is owed.
        accepted = tuple(
            0
            if of == snapshot.session and content not in snapshot.outbox and content not in then.handled_up
            else of
            for content, of in enumerate(then.accepted_up, 1)
        )
        restored = Client(
            session=snapshot.session,
            key=snapshot.key,
            links=client.links,
            sent=snapshot.sent,
            acked=snapshot.acked,
            outbox=snapshot.outbox,
            got=snapshot.done,
            done=snapshot.done,
            phase=NO_LINK,
            snapshot=None if bounds.rule("snapshot_deleted") else snapshot,
            restored=True,
        )
        yield (
            Step("client is killed, starts again from its snapshot"),
            then._replace(client=restored, accepted_up=accepted),
        )
    elif not client.hidden and client.session:
        again = Client(links=client.links)
        yield Step("client is killed, starts again from nothing"), then._replace(client=again, has_cause=True)
