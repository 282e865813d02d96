"""The messages that wait to be sent: bounded in number and in bytes, and some of them only for a time."""

from collections.abc import Iterable, Iterator

from websocket_heartbeat.events import Message, size_of


class _Dated:
    """A message that is not to be sent any more from the time `due` on."""

    __slots__ = ("due", "message")

    def __init__(self, message: Message, due: float) -> None:
        self.message = message
        self.due = due

    def __repr__(self) -> str:
        return f"<message until {self.due:.1f}>"


class SendQueue:
    """Messages in the order in which they are to be sent; iterating yields them.

    limit, limit_bytes: how many may wait, and how many bytes; a single message may have more.
    entries: the messages, some of them dated: for others to see at once whether there are any. A tuple while
    there is none, as the empty one takes no memory: there are thousands of queues, and few have messages.
    """

    __slots__ = ("_bytes", "entries", "limit", "limit_bytes")

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self.limit: int = limit
        self.limit_bytes: int = limit_bytes
        self.entries: list[Message | _Dated] | tuple[()] = ()
        self._bytes = 0

    def __iter__(self) -> Iterator[Message]:
        return map(_message_of, self.entries)

    def add(self, message: Message, due: float | None) -> bool:
        """Add a message, until the time `due` if that is given; return False if there is no room."""
        size = size_of(message)
        if len(self.entries) >= self.limit or (self.entries and self._bytes + size > self.limit_bytes):
            return False
        entry = message if due is None else _Dated(message, due)
        if isinstance(self.entries, tuple):
            self.entries = [entry]
        else:
            self.entries.append(entry)
        self._bytes += size
        return True

    def take(self, count: int) -> tuple[Message, ...]:
        """Remove so many messages, the oldest ones, and return them."""
        taken = self.entries[:count]
        self._keep(list(self.entries[count:]))
        return self._taken(taken)

    def take_expired(self, now: float) -> tuple[Message, ...]:
        """Remove the messages whose time is over, and return them."""
        expired = [entry for entry in self.entries if isinstance(entry, _Dated) and entry.due <= now]
        if expired:
            self._keep([e for e in self.entries if not isinstance(e, _Dated) or e.due > now])
        return self._taken(expired)

    def next_due(self) -> float | None:
        """Return when the next message expires; None if none ever does."""
        return min((entry.due for entry in self.entries if isinstance(entry, _Dated)), default=None)

    def _keep(self, entries: list[Message | _Dated]) -> None:
        self.entries = entries if entries else ()

    def _taken(self, entries: Iterable[Message | _Dated]) -> tuple[Message, ...]:
        messages = tuple(map(_message_of, entries))
        self._bytes -= sum(map(size_of, messages))
        return messages


def _message_of(entry: Message | _Dated) -> Message:
    return entry.message if isinstance(entry, _Dated) else entry
