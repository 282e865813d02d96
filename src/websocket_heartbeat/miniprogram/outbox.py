"""What the user sends: it goes to the open link, or waits for one that is open and works."""

from typing import TYPE_CHECKING, Any, Final

from websocket_heartbeat.core.machine import CLOSING
from websocket_heartbeat.miniprogram.language import copied, read, record, tell
from websocket_heartbeat.miniprogram.link import Link

if TYPE_CHECKING:
    from websocket_heartbeat.miniprogram.driver import Driver

MOST_BUFFERED: Final = 65536
"""Bytes in the socket beyond which a volatile message is dropped: docs/session.md, chapter 5."""


class Outbox:
    """Messages that wait, oldest first, and whether the open link may take them.

    sent_at: when the user last sent something on the current link, in seconds of the clock.
    is_in_doubt: whether the host has said that the network is gone or the program in the background, or the
    core asks whether the link has come through that, and nothing was heard on the link since. What a host
    takes then may be lost, although it says `success`.
    has_asked: whether a heartbeat was sent to end the doubt, besides those of the core.
    """

    def __init__(self, owner: "Driver") -> None:
        self.owner = owner
        self.waiting: list[dict[str, Any]] = []
        self.sent_at: float = 0.0
        self.is_in_doubt: bool = False
        self.has_asked: bool = False

    def hand_over(self, message: dict[str, Any]) -> bool:
        """Send now, or let it wait; if neither is possible, call `fail` and return False."""
        owner = self.owner
        is_volatile: bool = message["volatile"]
        if is_volatile and owner.session is not None:
            return self._send_or_drop(message)
        # Nobody can tell what onOpen sends from what others send meanwhile.
        is_first = owner.is_in_dialogue() or (len(self.waiting) == 0 and not self.is_in_doubt)
        if is_first and owner.can_send() and owner.has_room():
            return self._send(message, owner.sending_link())
        limit: float = owner.opts["sendQueue"]
        state = owner.machine.state
        if owner.has_ended() or state == CLOSING or len(self.waiting) >= limit:
            answer(message, "fail", "send:fail " + state)
            return False
        # The user may write over the bytes meanwhile.
        message["data"] = copied(message["data"])
        self.waiting.append(message)
        if self.is_in_doubt and not self.has_asked:
            # The answer will end the doubt; the core asks only after pingTimeout.
            self.has_asked = True
            owner.ask_for_life()
        return True

    def send_past(self, data: Any, link: Link) -> None:
        """Send an answer to a heartbeat of the other side, past all that waits."""
        message = record(None)
        message["data"] = data
        self._send(message, link)

    def flush(self) -> None:
        """Send what waits, as far as the link may take it."""
        owner = self.owner
        while len(self.waiting) > 0 and self._may_flush():
            message: dict[str, Any] = self.waiting.pop(0)
            if not self._send(message, owner.sending_link()):
                self._warn(message)
        if owner.session is not None:
            owner.session.look()

    def _may_flush(self) -> bool:
        owner = self.owner
        return not self.is_in_doubt and not owner.is_in_dialogue() and owner.can_send() and owner.has_room()

    def doubt(self) -> None:
        """Begin to doubt that the link works."""
        if not self.is_in_doubt:
            self.is_in_doubt = True
            self.has_asked = False

    def trust(self) -> None:
        """The link works: it was heard, say."""
        if self.is_in_doubt:
            self.is_in_doubt = False
            self.flush()

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return len(self.waiting) == 0

    def put_first(self, messages: list[Any]) -> None:
        """Let messages wait that are older than all that wait; there are as many as were allowed."""
        while len(self.waiting) > 0:
            messages.append(self.waiting.pop(0))
        self.waiting = messages

    def refuse_all(self) -> None:
        """Tell of each message that it waits in vain, unless a callback opens the connection again."""
        while len(self.waiting) > 0 and self.owner.has_ended():
            message: dict[str, Any] = self.waiting.pop(0)
            answer(message, "fail", "send:fail " + self.owner.machine.state)
            self._warn(message)

    def _send(self, message: dict[str, Any], link: Link) -> bool:
        if link is self.owner.links.current:
            self.sent_at = self.owner.clock.now()
        session = self.owner.session
        if session is None or not link.is_session:
            is_sent = link.send(message)
        else:
            is_kept: bool = session.send(link, message)
            is_sent = is_kept
            if is_sent:
                answer(message, "success", "send:ok")
        if not is_sent:
            answer(message, "fail", "send:fail")
        return is_sent

    def _send_or_drop(self, message: dict[str, Any]) -> bool:
        """Send now or never: what is in time today is too late tomorrow."""
        owner = self.owner
        link = owner.sending_link()
        if owner.can_send() and link.buffered() < MOST_BUFFERED:
            return self._send(message, link)
        answer(message, "fail", "send:fail " + owner.machine.state)
        return False

    def _warn(self, message: dict[str, Any]) -> None:
        """Warn of a message that was accepted and is not sent, if no callback tells of it."""
        if not callable(read(message, "fail")) and not callable(read(message, "complete")):
            self.owner.advice.not_sent()


def answer(params: Any, name: str, text: str) -> None:
    """Call the user's `success` or `fail`, then `complete`, as a host would."""
    result = record(None)
    result["errMsg"] = text
    tell(params, name, result)
    tell(params, "complete", result)
