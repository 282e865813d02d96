"""What the engine says of one link of a connection, and the evidence of whether the link lives."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from websocket_heartbeat.client.dialogue import Dialogue
from websocket_heartbeat.client.evidence import Loss, of_silence
from websocket_heartbeat.client.hooks import Hooks
from websocket_heartbeat.client.inbox import Inbox
from websocket_heartbeat.client.outbox import Outbox
from websocket_heartbeat.config import Dialect
from websocket_heartbeat.core import machine as core
from websocket_heartbeat.engines.base import Closure, Link, LinkEvents
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.events import Message
from websocket_heartbeat.system.kernel import TELLS

_SLOW_ANSWER = 0.1
"""Seconds of round trip from which it may be our own loop that was slow."""

_FIRST_LOOK = 1.0
"""Seconds after a ping until the kernel is first asked whether it was acknowledged."""

_MOMENT = 0.01
"""Seconds after a ping within which what was sent is taken for the ping itself."""


class Keeper(Protocol):
    """What a link needs of the host that has it."""

    dialect: Dialect | None
    dismissal: str | None
    hooks: Hooks
    inbox: Inbox
    outbox: Outbox

    def link_opened(self, handler: "LinkHandler", link: Link) -> None:
        """The handshake is complete."""

    def proof_of_life(self, handler: "LinkHandler") -> None:
        """Something has come from the peer, which may be the answer to a ping."""

    def ponged(self, handler: "LinkHandler", is_message: bool) -> None:
        """A pong has come, or a message that the dialect has for one."""

    def message_came(self, handler: "LinkHandler") -> None:
        """A message has come, which is no heartbeat: the watchdog of the connection may wait for it."""

    def dismissed(self, handler: "LinkHandler") -> None:
        """The message has come that says not to come back."""

    def batch_delivered(self, handler: "LinkHandler") -> None:
        """A read has brought its last message, and not all were taken by a hook."""

    def update_deliver(self) -> None:
        """Where the link delivers may have changed."""

    def link_closed(self, handler: "LinkHandler", closure: Closure) -> None:
        """The link has ended by itself."""


class LinkHandler(LinkEvents):
    """One link, from its attempt to its end. What it says when it is not current any more changes nothing.

    number: of the link. link: None until it is open. task: of the attempt, then of the on_open hook, if
    it needs one. dialogue: that hook, while it runs. closure: how the link has ended, once it has. inbox:
    where messages go: the connection's, or the one of the dialogue. paused: whether the link is not read
    until there is room in that. awaits_proof: whether nothing has come since the latest ping.
    awaits_pong, awaits_message: whether a pong, or a message of the dialect, is to answer it and has not
    come. is_dismissed: whether the server has said on it that we are not to come back.
    """

    __slots__ = (
        "_blocked_for",
        "_deliver",
        "_keeper",
        "_owed",
        "_ping_begins",
        "_pinged_at",
        "_taken",
        "awaits_message",
        "awaits_pong",
        "awaits_proof",
        "closure",
        "dialogue",
        "inbox",
        "is_dismissed",
        "link",
        "number",
        "paused",
        "task",
    )

    def __init__(self, keeper: Keeper, number: int) -> None:
        self._keeper = keeper
        self.number: int = number
        self.link: Link | None = None
        self.task: asyncio.Task[None] | None = None
        self.dialogue: Dialogue | None = None
        self.closure: Closure | None = None
        self.inbox: Inbox = keeper.inbox
        self.paused: bool = False
        self.is_dismissed: bool = False
        self._deliver: Callable[[Message], Any]  # where there is a dismissal to look for; set by `deliver_to`
        self.awaits_proof: bool = False
        self.awaits_message: bool = False
        self._pinged_at = 0.0
        self.awaits_pong: bool = False
        self._owed: Message | None = None  # the answer to the peer's latest heartbeat, while the link is full
        # Of the bytes that we send: where the latest ping begins, and how many the peer had taken when last
        # looked at.
        self._ping_begins = 0
        self._taken = 0
        # By how much our own loop missed the deadline of the latest ping, or one of its answer since.
        self._blocked_for = 0.0

    # What the engine says

    def opened(self, link: Link) -> None:
        """As in LinkEvents."""
        self._keeper.link_opened(self, link)

    def batch_delivered(self) -> None:
        """As in LinkEvents."""
        if self.inbox.waiting:  # else a hook has taken them all
            self._keeper.batch_delivered(self)

    def deliver_returned(self, result: object) -> None:
        """As in LinkEvents."""
        self._keeper.inbox.hook_returned(result)
        self._keeper.update_deliver()

    def deliver_failed(self, error: BaseException) -> None:
        """As in LinkEvents."""
        self._keeper.hooks.report(HookFailed("on_message", error))

    def ponged(self) -> None:
        """As in LinkEvents."""
        self._keeper.ponged(self, is_message=False)

    def writable(self) -> None:
        """As in LinkEvents."""
        owed, self._owed = self._owed, None
        if owed is not None:
            self._reply(owed)
        self._keeper.outbox.flush()

    def closed(self, closure: Closure) -> None:
        """As in LinkEvents."""
        self._keeper.link_closed(self, closure)

    # Where messages go: one of these, or `Inbox.deliver`

    def deliver_to(self, link: Link, deliver: Callable[[Message], Any]) -> None:
        """Have the link deliver its messages there, up to the one that dismisses us."""
        if self.is_dismissed:
            link.deliver = self.discard
        elif self._keeper.dismissal is None:
            link.deliver = deliver
        else:
            self._deliver = deliver
            link.deliver = self._deliver_unless_dismissal

    def _deliver_unless_dismissal(self, message: Message) -> Any:
        # The type first: under `python -bb`, comparing bytes with a str is an error.
        if type(message) is str and message == self._keeper.dismissal:
            self._keeper.dismissed(self)
            return None
        return self._deliver(message)

    def deliver_proof(self, message: Message) -> Any:
        """Deliver a message that may be the answer to a ping."""
        self._keeper.proof_of_life(self)
        return self.inbox.deliver(message)

    def deliver_watched(self, message: Message) -> Any:
        """Deliver a message that the watchdog waits for."""
        self._keeper.message_came(self)
        return self.inbox.deliver(message)

    def deliver_late(self, message: Message) -> Any:
        """Deliver what has come on a link that was renewed."""
        if self._keeper.dialect is not None:
            return self.deliver_in_dialect(message)
        return self._keeper.inbox.deliver(message)

    def deliver_in_dialect(self, message: Message) -> Any:
        """Deliver a message, unless it answers our heartbeat or is one of the peer's, to be answered."""
        dialect = self._keeper.dialect
        assert dialect is not None
        try:
            if dialect.is_pong(message):
                self._keeper.ponged(self, is_message=True)
                return None
            reply = dialect.reply_to(message)
        except HookFailed as failed:
            self._keeper.hooks.report(failed)
            reply = None
        if reply is None:
            self._keeper.message_came(self)
            return self.inbox.deliver(message)
        self._keeper.proof_of_life(self)
        self._reply(reply)
        return None

    def _reply(self, reply: Message) -> None:
        """Answer a heartbeat of the peer, or the latest once the link takes it: who pings need not read."""
        if self.link is None:
            return
        if self.link.full:
            self._owed = reply
        else:
            self.link.send(reply)

    def discard(self, message: Message) -> None:
        """Take what arrives while we close, or after the server has dismissed us."""

    # Whether it lives

    def ping(self, now: float, message: Message | None) -> None:
        """Send a ping, or the message that stands for one."""
        assert self.link is not None
        self._pinged_at = now
        self.awaits_proof = True
        self._ping_begins = self.link.position
        dialect = self._keeper.dialect
        self.awaits_message = message is not None and dialect is not None and dialect.pong is not None
        # What nobody answers needs a ping besides. A plain message has some answer, by which it is not known.
        self.awaits_pong = message is None or (dialect is not None and dialect.pong is None)
        if message is not None:
            self.link.send(message)
        if self.awaits_pong:
            self.link.ping()

    def await_acknowledgement(self, machine: core.Machine, now: float) -> None:
        """Have the core ask for evidence of the ping soon, where the kernel tells."""
        if TELLS and self.link is not None and self.link.socket is not None:
            machine.unacknowledged(now, self.number, 0, _FIRST_LOOK)

    def report_evidence(self, machine: core.Machine, now: float, late: float, sent_at: float | None) -> None:
        """Tell the machine what it cannot see: bytes not read yet, and pings not acknowledged.

        late: seconds by which we have missed the deadline for it. sent_at: when a message was last sent,
        where only messages count as sent; None where every byte does.
        """
        if self.link is None:
            return
        self._blocked_for = max(late, self._blocked_for if machine.state == core.PROBING else 0.0)
        evidence = self.link.evidence()
        taken_before, self._taken = self._taken, evidence.taken
        machine.heard(evidence.heard_at, self.number)
        if sent_at is None:
            sent_at = evidence.sent_at
        if sent_at > self._pinged_at + _MOMENT:
            # Else it was the ping, which for the machine left when it was due. Told that this was a little
            # later, it would have the alarm ring twice for each heartbeat.
            machine.sent(sent_at, self.number)
        if machine.state == core.PROBING:
            info = evidence.info
            if taken_before < min(self._ping_begins, self._taken):
                machine.acknowledged(now - (info.since_ack if info is not None else 0.0), self.number)
            if info is not None and info.unacked:
                machine.unacknowledged(now, self.number, info.retransmits, info.rto)

    def round_trip(self, now: float) -> float:
        """Return the seconds that the ping took to be answered."""
        round_trip = now - self._pinged_at
        if round_trip < _SLOW_ANSWER or self.link is None:
            return round_trip
        # Where we were slow to read the answer, the kernel knows when it came, if only by milliseconds.
        return max(0.0, min(now, self.link.evidence().heard_at) - self._pinged_at)

    def loss_of_abandoned(self, now: float, heard_at: float) -> Loss:
        """Return what is known of the open link's silence, now that the core gives it up."""
        assert self.link is not None
        evidence = self.link.evidence()
        silence = of_silence(
            now - heard_at,
            now - self._pinged_at,
            evidence.info,
            self._blocked_for,
            self._ping_begins - evidence.taken,
        )
        return Loss(silence=silence, uncertain_bytes=self.link.uncertain, is_dismissal=self.is_dismissed)
