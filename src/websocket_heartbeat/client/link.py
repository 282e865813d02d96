"""What the engine says of one link of a connection, and the evidence of whether the link lives."""

import asyncio
from typing import Any, Protocol

from websocket_heartbeat.client.evidence import Loss, of_silence
from websocket_heartbeat.client.hooks import Hooks
from websocket_heartbeat.client.inbox import Inbox
from websocket_heartbeat.client.outbox import Outbox
from websocket_heartbeat.core import machine as core
from websocket_heartbeat.engines.base import Closure, Link, LinkEvents
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.events import Message
from websocket_heartbeat.system.kernel import TELLS, tcp_info

_SLOW_ANSWER = 0.1
"""Seconds of round trip from which it may be our own loop that was slow."""

_FIRST_LOOK = 1.0
"""Seconds after a ping until the kernel is first asked whether it was acknowledged."""


class Keeper(Protocol):
    """What a link needs of the host that has it."""

    hooks: Hooks
    inbox: Inbox
    outbox: Outbox

    def link_opened(self, handler: "LinkHandler", link: Link) -> None:
        """The handshake is complete."""

    def proof_of_life(self, handler: "LinkHandler") -> None:
        """Something has come from the peer, which may be the answer to a ping."""

    def batch_delivered(self) -> None:
        """A read has brought its last message, and not all were taken by a hook."""

    def update_deliver(self) -> None:
        """Where the link delivers may have changed."""

    def link_closed(self, handler: "LinkHandler", closure: Closure) -> None:
        """The link has ended by itself."""


class LinkHandler(LinkEvents):
    """One link, from its attempt to its end. What it says when it is not current any more changes nothing.

    number: of the link. link: None until it is open. task: of the attempt, then of the on_open hook, if it
    needs one.
    """

    __slots__ = ("_blocked_for", "_keeper", "_pinged_at", "link", "number", "task")

    def __init__(self, keeper: Keeper, number: int) -> None:
        self._keeper = keeper
        self.number = number
        self.link: Link | None = None
        self.task: asyncio.Task[None] | None = None
        self._pinged_at = 0.0
        self._blocked_for = 0.0  # by how much our own loop missed a deadline since the last proof of life

    # What the engine says

    def opened(self, link: Link) -> None:
        """As in LinkEvents."""
        self._keeper.link_opened(self, link)

    def batch_delivered(self) -> None:
        """As in LinkEvents."""
        if self._keeper.inbox.waiting:  # else a hook has taken them all
            self._keeper.batch_delivered()

    def deliver_returned(self, result: object) -> None:
        """As in LinkEvents."""
        self._keeper.inbox.hook_returned(result)
        self._keeper.update_deliver()

    def deliver_failed(self, error: BaseException) -> None:
        """As in LinkEvents."""
        self._keeper.hooks.report(HookFailed("on_message", error))

    def ponged(self) -> None:
        """As in LinkEvents."""
        self._keeper.proof_of_life(self)

    def writable(self) -> None:
        """As in LinkEvents."""
        self._keeper.outbox.flush()

    def closed(self, closure: Closure) -> None:
        """As in LinkEvents."""
        self._keeper.link_closed(self, closure)

    # Where messages go: one of these, or `Inbox.deliver`

    def deliver_proof(self, message: Message) -> Any:
        """Deliver a message that may be the answer to a ping."""
        self._keeper.proof_of_life(self)
        return self._keeper.inbox.deliver(message)

    def discard(self, message: Message) -> None:
        """Take what arrives while we close."""

    # Whether it lives

    def ping(self, machine: core.Machine, now: float, message: Message | None) -> None:
        """Send a ping, or the message that stands for one; `report_evidence` follows in time."""
        assert self.link is not None
        self._pinged_at = now
        if message is None:
            self.link.ping()
        else:
            self.link.send(message)
        if TELLS and self.link.socket is not None:
            machine.unacknowledged(now, self.number, 0, _FIRST_LOOK)

    def report_evidence(self, machine: core.Machine, now: float, late: float) -> None:
        """Tell the machine what it cannot see: bytes not read yet, and pings not acknowledged.

        late: seconds by which we have missed the deadline for it.
        """
        if self.link is None:
            return
        self._blocked_for = max(late, self._blocked_for)
        machine.heard(self.link.heard_at, self.number)
        if machine.state == core.PROBING:
            info = tcp_info(self.link.socket)
            if info is not None and info.unacked:
                machine.unacknowledged(now, self.number, info.retransmits, info.rto)

    def end_round_trip(self, now: float) -> float:
        """Note that the ping was answered; return the seconds that it took."""
        self._blocked_for = 0.0
        round_trip = now - self._pinged_at
        if round_trip < _SLOW_ANSWER or self.link is None:
            return round_trip
        # Where we were slow to read the answer, the kernel knows when it came, if only by milliseconds.
        return max(0.0, min(now, self.link.heard_at) - self._pinged_at)

    def loss_of_abandoned(self, now: float, heard_at: float) -> Loss:
        """Return what is known of the open link's silence, now that the core gives it up."""
        assert self.link is not None
        info = tcp_info(self.link.socket)
        silence = of_silence(now - heard_at, now - self._pinged_at, info, self._blocked_for)
        return Loss(silence=silence, unsent_bytes=self.link.buffered)
