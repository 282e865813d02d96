"""The server's side of a link: it reads masked frames (RFC 6455, section 5.3) and writes plain ones."""

from asyncio import CancelledError
from collections.abc import Sequence

from websocket_heartbeat.engines.base import SharedMessage
from websocket_heartbeat.engines.masks import apply_mask
from websocket_heartbeat.engines.sansio import Side, compressed_alone
from websocket_heartbeat.engines.transport import READ
from websocket_heartbeat.engines.wire import BINARY, PING, PONG, TEXT, WireLink, frame_head
from websocket_heartbeat.events import Message
from websocket_heartbeat.system.kernel import end_by_reset

_TEXT_HEADS = [frame_head(TEXT, size, 0) for size in range(126)]
_BINARY_HEADS = [frame_head(BINARY, size, 0) for size in range(126)]
"""The heads of short messages, by their size."""
_PING_FRAME = frame_head(PING, 0, 0)
_SHORT = 8 * 1024
"""Bytes of a frame to many that waits for others: for a longer one, a system call of its own costs little."""
_EMPTY_PONG = frame_head(PONG, 0, 0)


class ServerLink(WireLink):
    """The link of a server; wire.py says how it reads."""

    __slots__ = ()

    side = Side.SERVER
    _mark = 128
    _head = 6

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
        else:
            self._put(heads[size] + payload)

    def send_all(self, messages: Sequence[Message]) -> None:
        if self._out is not None or self._ended:  # what is sent within a read goes out at its end
            super().send_all(messages)
        elif messages:
            self._out = bytearray()
            super().send_all(messages)
            self.flush()

    def send_shared(self, shared: SharedMessage) -> None:
        if not self._sends or self._transport.is_closing():
            self._came_too_late(shared.message)
            return
        form = 0
        if self._deflate is not None:
            form = self._deflate.window
            self._deflate.forget()
        frame = shared.frames.get(form)
        if frame is None:
            frame = shared.frames[form] = _shared_frame(shared.message, form)
        if self._out is None and len(frame) <= _SHORT:
            self._out = bytearray()
            shared.hold(self)
        self._put(frame)

    def flush(self) -> None:
        out, self._out = self._out, None
        if out and not self._transport.is_closing():
            self._write(out)

    def ping(self) -> None:
        # A transport that is closing logs what is written to it.
        if self._sends and not self._transport.is_closing():
            self._put(_PING_FRAME)

    def abort(self) -> None:
        end_by_reset(self.socket)  # what the kernel holds will not be read
        super().abort()

    def _framed(self, first: int, payload: bytes) -> bytes:
        return frame_head(first, len(payload), 0) + payload

    def _read(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if self._out is None:
            self._out = bytearray()
        end = len(data)
        # As much as this comes behind long frames only, and may be a flood.
        last = end if end <= 2 * READ else self._wait_for_a_turn()
        start = 6  # of the payload, behind the mask
        longest = self._longest
        short = (longest if longest < 125 else 125) | 128
        try:
            while start - 4 <= last:
                size = data[start - 5]
                if 127 < size <= short and data[start - 6] == TEXT:
                    stop = start + size - 128
                    if stop > end:
                        break
                elif (
                    size == 254
                    and data[start - 6] == TEXT
                    and start <= end
                    and (size := data[start - 4] << 8 | data[start - 3]) <= longest
                    and start + 2 + size <= end
                ):
                    start += 2
                    stop = start + size
                elif (
                    size == 128
                    and data[start - 6] == PING
                    and start <= end
                    and not (self.full or self._ended)
                ):
                    self._put(_EMPTY_PONG)  # as `_frame` does, sooner: heartbeats of our client are such
                    start += 6
                    continue
                else:
                    stop = self._frame(data, start - 6)
                    if stop < 0:
                        break
                    start = stop + 6
                    longest = self._longest
                    short = min(125, longest) | 128
                    continue
                try:
                    message = apply_mask(data[start:stop], data[start - 4 : start]).decode()
                except UnicodeDecodeError:
                    self._not_utf8()
                    return
                start = stop + 6
                self._has_delivered = True
                try:
                    result = self.deliver(message)
                except (Exception, CancelledError) as error:
                    self._events.deliver_failed(error)
                else:
                    if result is not None:
                        self._events.deliver_returned(result)
        except BaseException:  # of a hook that ends the program
            start = max(start, self._taken + 6)
            raise
        finally:
            self._rest = b"" if self._ended else data[start - 6 :]
            self._read_ends()


def _shared_frame(message: Message, window: int) -> bytes:
    """Return the frame that every link with that window may send; 0: without compression."""
    first = TEXT if isinstance(message, str) else BINARY
    payload = message.encode() if isinstance(message, str) else message
    if window:
        payload = compressed_alone(payload, window)
        first |= 0x40
    return frame_head(first, len(payload), 0) + payload
