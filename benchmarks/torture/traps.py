"""All traps, in the order of the table, and what a client must have for each."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.torture.clients import Client
from benchmarks.torture.liveness import (
    blocked_loop,
    data_without_pongs,
    dead_link,
    first_frame,
    full_buffer,
    leaking_state,
    slow_consumer,
    suspended,
    wall_clock,
)
from benchmarks.torture.opening import (
    hammering,
    hanging_opening,
    herd,
    hidden_cause,
    keep_alive_header,
    leaking_credentials,
    polite_close,
    refused_later,
    what_is_final,
)
from benchmarks.torture.traffic import demanding_server, pinging_server, slow_upload
from benchmarks.torture.using import (
    cancellation,
    failing_hook,
    lasting_hooks,
    login_dialogue,
    replaced_link,
    send_and_leave,
    talking_peer,
    unbounded_queue,
)
from benchmarks.torture.verdict import NOT_APPLICABLE, UNPROVOKED, NotProvoked, Verdict


@dataclass(frozen=True)
class Trap:
    """One row.

    needs: what a client must have for it to mean anything. heavy: needs much of the machine, so no two of
    these run side by side.
    """

    number: int
    title: str
    play: Callable[[Client], Awaitable[Verdict]]
    needs: tuple[str, ...] = ()
    heavy: bool = False


LACKS = {
    "reconnect": "does not reconnect",
    "heartbeat": "has no heartbeat",
    "pings": "the server sends the pings",
    "tasks": "has no tasks to cancel",
    "hooks": "has no hooks: messages come to the user's own loop",
    "queue": "has no queue: messages come as calls",
    "headers": "takes no headers",
    "dialogue": "has no place to wait for an answer before messages flow",
}
TRAPS = (
    Trap(1, "a server accepts, then closes at once", hammering, ("reconnect",)),
    Trap(2, "half-open link, send buffer full", full_buffer, ("heartbeat",), heavy=True),
    Trap(3, "own loop blocked 3 s, the pong waits in the kernel", blocked_loop, ("heartbeat",)),
    Trap(4, "slow consumer for 6 s on a live link", slow_consumer, ("heartbeat", "queue"), heavy=True),
    Trap(5, "data flows, pongs never come", data_without_pongs, ("heartbeat",)),
    Trap(6, "dead link: until the user knows", dead_link, ("heartbeat",)),
    Trap(7, "close() against a peer that keeps talking", talking_peer),
    Trap(8, "late events of a replaced link", replaced_link, ("reconnect", "heartbeat")),
    Trap(9, "cancelled at any moment", cancellation, ("tasks",), heavy=True),
    Trap(10, "a hook that fails", failing_hook, ("hooks",)),
    Trap(11, "40 clients dropped at once come back", herd, ("reconnect",), heavy=True),
    Trap(12, "bad certificate is final, 429 is not", what_is_final, ("reconnect",)),
    Trap(13, "server closes with 1000 or 1001", polite_close, ("reconnect",)),
    Trap(14, "wall clock set by a day", wall_clock, ("heartbeat",)),
    Trap(15, "the machine sleeps, the process is stopped", suspended, ("heartbeat",)),
    Trap(16, "handshake that drips for ever", hanging_opening),
    Trap(17, "no ping before the login", first_frame, ("heartbeat", "pings")),
    Trap(18, "a pong owed to the last link", leaking_state, ("reconnect", "heartbeat")),
    Trap(19, "open, loss and messages told after reconnects", lasting_hooks, ("reconnect",)),
    Trap(20, "redirect to another origin, with credentials", leaking_credentials, ("headers",)),
    Trap(21, "why the handshake was refused", hidden_cause),
    Trap(22, "receive queue of a user who is away", unbounded_queue, ("queue",), heavy=True),
    Trap(23, "push feed of a server that demands heartbeats", demanding_server, ("heartbeat", "pings")),
    Trap(24, "1 MB goes up at 100 kB/s", slow_upload, ("heartbeat",)),
    Trap(25, "slow consumer for 6 s, the server pings", pinging_server, ("queue",), heavy=True),
    Trap(26, "login dialogue on each link, refused for 2 s", login_dialogue, ("reconnect", "dialogue")),
    Trap(27, "connect, send 100 messages, leave", send_and_leave),
    Trap(28, "403 for 1.5 s after a link that worked", refused_later, ("reconnect",)),
    Trap(29, "101 with Connection: Upgrade, Keep-Alive", keep_alive_header),
)


async def judge(trap: Trap, client: Client) -> Verdict:
    """Set the trap for the client."""
    for need in trap.needs:
        if need not in client.can:
            return Verdict(NOT_APPLICABLE, "", LACKS[need])
    try:
        return await trap.play(client)
    except NotProvoked as why:
        return Verdict(UNPROVOKED, "", str(why))
