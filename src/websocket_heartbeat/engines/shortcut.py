"""Reads whole messages below 64 KiB and pongs in front of picows, in half its time, and leaves it the rest.

A call of picows and what must be asked of its frame cost more than to read a short message here, where one
comparison settles type, end and reserved bits. picows gets every other frame, and of each all of it, so that
this always knows where the next one begins; every rule beyond those of a plain message is kept there.
"""

from asyncio import CancelledError
from collections.abc import Callable
from typing import Any, Protocol

from websocket_heartbeat.events import Message

_WHOLE_TEXT = 0x81
_WHOLE_BINARY = 0x82
_PONG = 0x8A


class Sink(Protocol):
    """What takes the messages.

    deaf: whether nothing more is to be read. assembling: whether fragments of a message wait for more.
    left: None while picows reads for itself, and then the sink reports the end of a batch. Not None while the
    shortcut lets it read: then the last frame sets it to the bytes behind it that picows holds.
    """

    deliver: Callable[[Message], Any]
    max_size: int
    deaf: bool
    left: int | None

    @property
    def assembling(self) -> bool: ...

    def deliver_returned(self, result: object) -> None: ...

    def deliver_failed(self, error: BaseException) -> None: ...

    def ponged(self) -> None: ...

    def not_utf8(self) -> None: ...

    def batch_delivered(self) -> None: ...


class Shortcut:
    """The reading of one link.

    inner: the protocol of picows, which has read up to the answer to the handshake and perhaps beyond.
    """

    __slots__ = ("_framed", "_inner", "_owed", "_rest", "_short", "_sink")

    def __init__(self, inner: Any, sink: Sink) -> None:
        self._inner = inner
        self._sink = sink
        self._short = min(125, sink.max_size)
        # The beginning of a frame of which too little has come to do anything with it.
        self._rest = b""
        # Bytes of the frame at the front that picows still has to get; below 0 while that is not known.
        self._owed = -1
        self._framed = False

    def data_received(self, data: bytes) -> None:
        """Take what the transport has read."""
        sink = self._sink
        if sink.deaf:
            return
        if self._owed:
            data = self._settle(data)
        elif self._rest:
            data = self._rest + data
        got = False
        end = len(data)
        start = 2  # of the payload, so that a short message takes one addition less
        short = -1 if sink.assembling else self._short
        while start <= end:
            size = data[start - 1]
            if size <= short and data[start - 2] == _WHOLE_TEXT:
                stop = start + size
                if stop > end:
                    break
                try:
                    message = data[start:stop].decode()
                except UnicodeDecodeError:
                    sink.not_utf8()
                    return
                start = stop + 2
                got = True
                try:
                    result = sink.deliver(message)
                except (Exception, CancelledError) as error:
                    sink.deliver_failed(error)
                else:
                    if result is not None:
                        sink.deliver_returned(result)
            else:
                stop = self._other(data, start - 2, end)
                if stop < 0 or sink.deaf:
                    break
                start = stop + 2
                short = -1 if sink.assembling else self._short
        self._rest = data[start - 2 :]
        if got or self._framed:
            self._framed = False
            sink.batch_delivered()

    def _settle(self, data: bytes) -> bytes:
        """Give picows what it lacks of a frame; return what lies behind that."""
        if self._owed > 0:
            part = data[: self._owed]
            self._feed(part)
            self._owed -= len(part)
            return data[len(part) :]
        left = self._feed(data)
        if left == 0:
            self._owed = 0
        elif left is not None:
            bounds = _bounds(data, len(data) - left, len(data))
            if bounds is not None:
                self._owed = bounds[1] - len(data)
        return b""

    def _other(self, data: bytes, position: int, end: int) -> int:
        """Take the frame at the position, no short text; return where it ends here, -1 if it is to wait."""
        sink = self._sink
        first = data[position]
        if first == _PONG and data[position + 1] < 126:
            stop = position + 2 + data[position + 1]
            if stop > end:
                return -1
            sink.ponged()
            return stop
        bounds = _bounds(data, position, end)
        if bounds is None:
            return -1
        start, stop = bounds
        size = stop - start
        if (
            first in (_WHOLE_TEXT, _WHOLE_BINARY)
            and (data[position + 1] < 126 or (data[position + 1] == 126 and size > 125))
            and size <= sink.max_size
            and not sink.assembling
        ):
            if stop > end:
                return -1
            payload = data[start:stop]
            try:
                message: Message = payload.decode() if first == _WHOLE_TEXT else payload
            except UnicodeDecodeError:
                sink.not_utf8()
                return -1
            self._framed = True
            try:
                result = sink.deliver(message)
            except (Exception, CancelledError) as error:
                sink.deliver_failed(error)
            else:
                if result is not None:
                    sink.deliver_returned(result)
            return stop
        self._feed(data[position:stop])
        self._owed = max(0, stop - end)
        return min(stop, end)

    def _feed(self, data: bytes) -> int | None:
        """Let picows read; return how much of a further frame it holds, None if it has ended none."""
        inner = self._inner
        sink = self._sink
        left: int | None = None
        view = memoryview(data)
        while view:
            room = inner.get_buffer(-1)
            count = min(len(room), len(view))
            room[:count] = view[:count]
            view = view[count:]
            sink.left = -1
            inner.buffer_updated(count)
            if sink.left >= 0:
                left = sink.left
                self._framed = True
            elif left is not None:
                left += count
        sink.left = None
        return left


def _bounds(data: bytes, position: int, end: int) -> tuple[int, int] | None:
    """Return where the payload of a frame starts and stops; None if its header is cut off."""
    if end - position < 2:
        return None
    size = data[position + 1] & 127
    start = position + 2
    if size > 125:
        start += 2 if size == 126 else 8
        if start > end:
            return None
        size = int.from_bytes(data[position + 2 : start])
    if data[position + 1] & 128:  # masked, which picows refuses
        start += 4
    return start, start + size
