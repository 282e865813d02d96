"""The client's side of a link: it reads plain frames and writes masked ones (RFC 6455, section 5.3)."""

from asyncio import CancelledError

from websocket_heartbeat.engines.masks import apply_mask, masks, new_mask
from websocket_heartbeat.engines.sansio import Side
from websocket_heartbeat.engines.transport import READ
from websocket_heartbeat.engines.wire import BINARY, PING, PONG, TEXT, WireLink, frame_head
from websocket_heartbeat.events import Message

_TEXT_HEADS = [frame_head(TEXT, size, 128) for size in range(126)]
_BINARY_HEADS = [frame_head(BINARY, size, 128) for size in range(126)]
"""The heads of short messages, by their size."""
_PING_HEAD = frame_head(PING, 0, 128)


class ClientLink(WireLink):
    """The link of a client; wire.py says how it reads."""

    __slots__ = ()

    side = Side.CLIENT
    _mark = 0
    _head = 2

    def send(self, message: Message) -> None:
        if not self._sends or self._transport.is_closing():
            self._came_too_late(message)
            return
        if type(message) is str:
            payload = message.encode()
            first = TEXT
            heads = _TEXT_HEADS
        else:
            payload = message  # type: ignore[assignment]
            first = BINARY
            heads = _BINARY_HEADS
        size = len(payload)
        if size > 125 or self._deflate is not None:
            self._put_message(first, payload)
            return
        try:
            mask = masks.pop()  # as new_mask() does, without the call
        except IndexError:
            mask = new_mask()
        self._put(heads[size] + mask + apply_mask(payload, mask))

    def ping(self, payload: bytes = b"") -> None:
        # A transport that is closing logs what is written to it.
        if self._sends and not self._transport.is_closing():
            self._put(self._framed(PING, payload) if payload else _PING_HEAD + new_mask())

    def pong(self, payload: bytes = b"") -> None:
        """Send a pong that nobody has asked for: RFC 6455, section 5.5.3."""
        if self._sends and not self._transport.is_closing():
            self._put(self._framed(PONG, payload))

    def _framed(self, first: int, payload: bytes) -> bytes:
        mask = new_mask()
        return b"".join((frame_head(first, len(payload), 128), mask, apply_mask(payload, mask)))

    def _read(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        self._out = bytearray()
        end = len(data)
        # As much as this comes behind long frames only, and may be a flood.
        last = end if end <= 2 * READ else self._wait_for_a_turn()
        start = 2  # of the payload, so that a short text takes one addition
        longest = self._longest
        short = longest if longest < 125 else 125
        try:
            while start <= last:
                size = data[start - 1]
                if size <= short and data[start - 2] == TEXT:
                    stop = start + size
                    if stop > end:
                        break
                elif (
                    size == 126
                    and data[start - 2] == TEXT
                    and start + 2 <= end
                    and (size := data[start] << 8 | data[start + 1]) <= longest
                    and start + 2 + size <= end
                ):
                    start += 2
                    stop = start + size
                elif size == 0 and data[start - 2] == PONG and not self._ended:
                    self._events.ponged()  # as `_frame` does, sooner: answers to our heartbeats are such
                    start += 2
                    continue
                else:
                    stop = self._frame(data, start - 2)
                    if stop < 0:
                        break
                    start = stop + 2
                    longest = self._longest
                    short = min(125, longest)
                    continue
                try:
                    message = data[start:stop].decode()
                except UnicodeDecodeError:
                    self._not_utf8()
                    return
                start = stop + 2
                self._has_delivered = True
                try:
                    result = self.deliver(message)
                except (Exception, CancelledError) as error:
                    self._events.deliver_failed(error)
                else:
                    if result is not None:
                        self._events.deliver_returned(result)
        except BaseException:  # of a hook that ends the program
            start = max(start, self._taken + 2)
            raise
        finally:
            self._rest = b"" if self._ended else data[start - 2 :]
            self._read_ends()
