"""One open WebSocket over an asyncio transport: what the links of a client and of a server have in common.

Of the frames of RFC 6455, section 5, we read and write ourselves what links live of: whole messages and
fragments, compressed or not, pings and pongs. A close frame is given to websockets' protocol, which is made
only then, and says how the link has ended (`closure_of` in sansio.py). A frame that breaks the rules ends it
by its head: its payload is not waited for.

How bytes become frames:
- A read brings READ bytes at most. So a flood of tiny frames, however long, gives the loop back soon; and all
  links of a thread can read into one buffer, which belongs to none of them.
- `_read` of a side takes apart what was read: texts that are whole at once, each other frame by `_frame`. At
  its end `_rest` holds the beginning of a frame of which too little has come, about two reads at most.
- A read of compressed messages may bring a thousand times its size. After INFLATED bytes of them what is left
  of it waits in `_rest` (`_has_more`) until the loop has had a turn, and while reading is paused. The end of
  the connection waits behind it (`_loss`).
- A data frame longer than a read is read straight into a buffer of its own (long_frame.py), and what comes
  with its end goes to `_read` again. Behind it a read may bring more: other long frames are taken where they
  lie, and of what is not long `_read` takes READ bytes in each turn of the loop, twice that in the last.
- Fragments are gathered in `_fragments`. A message, and what is gathered of one, is never above max_size: it
  is refused by its header or, where it is compressed, at the byte too many.

What holds between two reads: at most one of `_rest` and `_long` is set, each begins at a frame, and none is
set on an idle link. What was sent within the read is written, and `batch_delivered` was called: also
where a hook has raised what ends the program, whose last words may still go out. While `_fragments` is set,
`_longest` lets no text pass beside it.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Any

from websocket_heartbeat.engines.base import WRITE_LIMIT, Closure, LinkEvents
from websocket_heartbeat.engines.long_frame import LongFrame
from websocket_heartbeat.engines.masks import apply_mask
from websocket_heartbeat.engines.sansio import Deflate, Extension, Side, closure_of
from websocket_heartbeat.engines.transport import READ, SCRATCH, TransportLink
from websocket_heartbeat.errors import MessageTooBig, ProtocolViolation
from websocket_heartbeat.system.kernel import Socket, tcp_info

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
"""The first byte of a frame that is whole and not compressed."""

_PLAIN = {0x81: 127, 0x01: 127, 0x82: 127, 0x02: 127, 0x80: 127, 0x00: 127, 0x88: 125, 0x89: 125, 0x8A: 125}
_DEFLATED = {**_PLAIN, 0xC1: 127, 0x41: 127, 0xC2: 127, 0x42: 127}
_NONE: dict[int, int] = {}
"""First bytes of frames that we read, and how large their second may be: plain, compressed, after the end."""


_HALF = READ // 2

INFLATED = 512 * 1024
"""Bytes that are decompressed, but for one message, before the loop has a turn for others."""


class WireLink(TransportLink, asyncio.BufferedProtocol):
    """The side that both ends share. native: the transport."""

    __slots__ = (
        "_deflate",
        "_fragments",
        "_has_delivered",
        "_has_more",
        "_inflated",
        "_is_text",
        "_known",
        "_long",
        "_longest",
        "_loss",
        "_most",
        "_out",
        "_rest",
        "_scratch",
        "_stamp",
        "_taken",
    )

    side: Side
    _mark: int
    """What the second byte of a frame that we read has set: 128 where frames are masked, on the server."""
    _head: int
    """Bytes before the payload of a short frame that we read."""

    def __init__(
        self, events: LinkEvents, max_size: int, subprotocol: str | None, extensions: Sequence[Extension] = ()
    ) -> None:
        """extensions: those agreed on in the handshake, of which we know permessage-deflate alone."""
        super().__init__(events, max_size, subprotocol)
        self._deflate = Deflate(extensions[0], max_size) if extensions else None
        self._most = _most_of(max_size)
        self._known = _DEFLATED if extensions else _PLAIN
        # Half of it for compressed frames, of which each takes twice the time.
        self._scratch = SCRATCH.view[:_HALF] if extensions else SCRATCH.view
        # Tells the time of a read or a write, where the kernel does not.
        self._stamp: Callable[[], float] | None = None
        self._rest = b""
        self._taken = 0  # where in this read the last frame ends that `_frame` has handed over
        self._inflated = 0  # bytes decompressed in this read
        self._has_more = False
        self._loss: Closure | None = None  # how the transport was lost, to be told when `_rest` is taken
        self._long: LongFrame | None = None
        self._fragments: bytearray | None = None
        self._is_text = False  # what the fragments are of
        self._longest = max_size  # of the texts that `_read` may take; -1 while there are fragments
        self._has_delivered = False  # in the read that is under way
        # What was sent within the read that is under way, and goes out in one write at its end. On a server
        # also what was sent to many, and all else behind it, until `flush`.
        self._out: bytearray | None = None

    def begin(self, transport: Any, rest: bytes) -> None:
        """Take over a transport whose handshake is done; rest: what was read behind that."""
        self.native = transport
        self._take_over(transport)
        self._stamp = self._loop.time if tcp_info(self.socket) is None else None
        self._rest = rest
        self._events.opened(self)
        self.response_headers: Sequence[tuple[str, str]] = ()
        if self._rest:
            self._read(b"")

    def accept_up_to(self, size: int) -> None:
        self._max_size = size
        self._most = _most_of(size)
        if self._fragments is None:
            self._longest = size
        if self._deflate is not None:
            self._deflate.max_size = size

    def resume_reading(self) -> None:
        if self._has_more:  # which is not delivered within this very call
            self._is_paused = False
            self._put_off()
        else:
            super().resume_reading()

    # Calls from the transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._scratch if self._long is None else self._long.room()

    def buffer_updated(self, nbytes: int) -> None:
        if self._stamp is not None:
            self._heard_at = self._stamp()
        if self._ended:
            return
        try:
            if self._long is not None:
                if self._long.filled(nbytes):
                    self._long_is_whole(self._long)
                return
            if nbytes > READ and not self._rest:
                self._read_long(self._scratch[:nbytes])
            else:
                self._read(self._scratch[:nbytes].tobytes())
                if len(self._scratch) > READ:
                    self._scratch = SCRATCH.view
        except BaseException:  # of a hook that ends the program
            self._read_ends()
            raise
        if nbytes >= READ or (nbytes >= _HALF and self._deflate is not None):
            self._yield_after_read()

    def eof_received(self) -> None:
        """End the link: nothing more can come, and a peer that does not read would keep it for ever."""
        if not (self._ended or self._has_more):
            self._sends = False  # no close frame is waited for
            self._leave(Closure(), b"")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ended or not self._has_more:
            super().connection_lost(exc)
            return
        # What has come is delivered first. Until then nothing is taken, which would be lost.
        self._loss = Closure(error=exc, uncertain_bytes=self._uncertain(is_broken=True))
        self._heard_at, self._sent_at, *_ = self.evidence()
        self._is_counted = False
        self._sends = False
        self._out = None
        self.full = True
        self._transport = None
        self.socket: Socket | None = None

    # Reading

    def _read(self, data: bytes) -> None:
        """Take apart what was read, which begins at a frame or behind `_rest`."""
        raise NotImplementedError

    def _long_is_whole(self, long: LongFrame) -> None:
        """Take a long frame, and what was read behind it."""
        self._long = None
        self._rest = long.behind()
        self._data(long.first, long.payload())
        SCRATCH.spare = long.buffer  # for the next one, if that begins in what is left
        self._read(b"")
        if len(SCRATCH.spare) > LongFrame.KEPT:
            SCRATCH.spare = bytearray()
        if self._deflate is None:
            self._scratch = SCRATCH.large

    def _read_long(self, view: memoryview) -> None:
        """Take apart what was read behind a long frame: mostly more of them, which are not copied first."""
        at = 0
        try:
            while len(view) - at > READ:
                stop = self._frame(view, at)
                if stop - at <= READ:
                    at = max(at, stop)
                    break
                at = stop
        except BaseException:  # of a hook that ends the program
            self._rest = bytes(view[max(at, self._taken) :])
            raise
        if at < READ:
            self._scratch = SCRATCH.view
        self._taken = 0  # of what follows
        self._read(bytes(view[at:]))

    def _read_on(self) -> None:
        """Take apart what was put off, and then read again."""
        if self._has_more:
            self._has_more = False
            self._read(b"")
        if self._has_more:
            return
        if self._loss is not None and not self._ended:
            self._finish(self._loss)
        elif not self._is_paused:
            super()._read_on()

    def _wait_for_a_turn(self) -> int:
        """Leave the rest of what was read to the next turn of the loop; return READ."""
        self._has_more = True
        self._put_off()
        return READ

    def _frame(self, data: Any, position: int) -> int:
        """Take the frame at the position; return where the next one begins, -1 to have this one again later.

        data: bytes, or a view of them. There are at least two bytes of the frame.
        """
        end = len(data)
        first: int = data[position]
        size: int = data[position + 1] ^ self._mark
        longest = self._known.get(first, -1)
        if size > longest:
            if not self._ended:
                self._give_up(ProtocolViolation(1002, _mistake_of(first, size)))
            return end
        start = position + self._head
        if size > 125:
            width = 2 if size == 126 else 8
            start += width
            size = int.from_bytes(data[position + 2 : position + 2 + width])
        if start > end:
            return -1
        stop = start + size
        fragments = self._fragments
        if longest == 125:
            if stop > end:
                return -1
            self._taken = stop
            if first == CLOSE:
                self._close_received(bytes(data[position:stop]))
                return end
            self._control(first, data[start:stop], data[start - 4 : start])
            return stop
        if fragments is None:
            if first & 0x0F == 0:
                self._give_up(ProtocolViolation(1002, "the peer sent a continuation of no message"))
                return end
            room = self._most if first & 0x40 else self._max_size
        elif first & 0x0F:
            self._give_up(ProtocolViolation(1002, "the peer sent a message within another"))
            return end
        else:
            # What is compressed is measured when it is not any more.
            room = self._most if self._deflate is not None else self._max_size - len(fragments)
        if size > room:
            self._give_up(
                ProtocolViolation(1002, "the peer announced a length with its first bit set")
                if size >> 63
                else MessageTooBig(self._max_size)
            )
            return end
        if stop > end:
            if size <= READ:
                return -1
            mask = bytes(data[start - 4 : start]) if self._mark else b""
            self._long = LongFrame(first, size, mask, memoryview(data)[start:])
            return end
        if self._inflated > INFLATED:
            self._wait_for_a_turn()
            return -1
        self._taken = stop
        payload = data[start:stop]
        if self._mark:
            payload = apply_mask(payload, data[start - 4 : start])
        if first == BINARY or first == TEXT:  # noqa: SIM109
            self._message(first == TEXT, payload)
        else:
            self._data(first, payload)
        return stop

    def _control(self, first: int, payload: Any, mask: Any) -> None:
        """Take a ping or a pong."""
        if first == PONG:
            self._events.ponged()
            return
        # A peer that pings and does not read must not fill our memory: section 5.5.3 lets us skip some.
        if not self.full:
            if payload and self._mark:
                payload = apply_mask(payload, mask)
            self._put(self._framed(PONG, payload))

    def _data(self, first: int, payload: bytes | memoryview) -> None:
        """Take the payload of a data frame: a whole message, or a fragment of one (section 5.4)."""
        fragments = self._fragments
        if self._deflate is not None:
            try:
                payload = self._deflate.decompressed(first, payload, len(fragments or b""))
            except ProtocolViolation as violation:
                self._give_up(violation)
                return
            self._inflated += len(payload)
        is_last = first & 0x80
        if fragments is not None:
            fragments += payload
            if is_last:
                self._fragments = None
                self._longest = self._max_size
                self._message(self._is_text, fragments)
        elif is_last:
            self._message(first & 0x0F == 1, payload)
        else:
            self._fragments = bytearray(payload)
            self._is_text = first & 0x0F == 1
            self._longest = -1

    def _message(self, is_text: bool, data: bytes | bytearray | memoryview) -> None:
        """Hand over a whole message."""
        self._has_delivered = True
        try:
            message = str(data, "utf-8") if is_text else bytes(data)
        except UnicodeDecodeError:
            self._not_utf8()
            return
        self._hand_over(message)

    def _not_utf8(self) -> None:
        self._give_up(ProtocolViolation(1007, "the peer sent text that is not UTF-8"))

    def _close_received(self, frame: bytes) -> None:
        closure = closure_of(frame, self.side)
        if isinstance(closure.error, ProtocolViolation):
            self._give_up(closure.error)
        else:
            self._peer_closed(closure)

    def _read_ends(self) -> None:
        """Write what was sent within this read, and tell of its messages."""
        self._taken = self._inflated = 0
        out, self._out = self._out, None
        if out and not self._ended:
            self._write(out)
        if self._has_delivered:
            self._has_delivered = False
            self._events.batch_delivered()

    # Writing, and the end

    def _framed(self, first: int, payload: bytes) -> bytes:
        """Return a frame as this side sends it."""
        raise NotImplementedError

    @property
    def buffered(self) -> int:
        return super().buffered + len(self._out or b"")

    def _end_of_stream(self) -> int:
        return super()._end_of_stream() + len(self._out or b"")

    def _write(self, data: bytes | bytearray) -> None:
        self._written += len(data)
        self._transport.write(data)

    def _put(self, frame: bytes) -> None:
        """Write a frame, in the middle of a read together with others."""
        if self._stamp is not None:
            self._sent_at = self._stamp()
        if self._out is None:
            self._written += len(frame)  # as _write does, without the call
            self._transport.write(frame)
        else:
            self._out += frame
            if len(self._out) > WRITE_LIMIT:
                self._write(self._out)
                self._out = bytearray()

    def _put_message(self, first: int, payload: bytes) -> None:
        """Write a message that is not short, or is to be compressed."""
        if self._deflate is not None:
            payload = self._deflate.compressed(first, payload)
            first |= 0x40
        self._put(self._framed(first, payload))

    def _write_close(self, payload: bytes) -> None:
        self._put(self._framed(CLOSE, payload))

    def _leave(self, closure: Closure, farewell: bytes) -> None:
        self._read_ends()
        super()._leave(closure, farewell)

    def _end(self) -> None:
        super()._end()
        self._known = _NONE
        self._rest = b""
        self._out = self._long = self._fragments = self._deflate = None


def _most_of(max_size: int) -> int:
    """Return the bytes that a compressed frame may carry: what cannot shrink grows, by an eighth at most."""
    return max_size + max_size // 8 + 64


def _mistake_of(first: int, size: int) -> str:
    """Say what is wrong with a frame of that first byte; size: its second, above 127 by a wrong mask."""
    opcode = first & 0x0F
    if opcode not in (0, 1, 2, 8, 9, 10):
        return f"the peer sent a frame of the unknown opcode {opcode}"
    if first & 0x70:
        return "the peer sent a frame with reserved bits that were not agreed on"
    if size > 127:
        return "the peer masked a frame as a server, or did not as a client"
    return "the peer sent a control frame in fragments, or one of more than 125 bytes"


def frame_head(first: int, size: int, mark: int) -> bytes:
    """Return the beginning of a frame, up to the mask or the payload; mark: 128 for a masked one."""
    if size < 126:
        return bytes((first, mark | size))
    if size < 65536:
        return struct.pack("!BBH", first, mark | 126, size)
    return struct.pack("!BBQ", first, mark | 127, size)
