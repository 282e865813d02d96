"""One open WebSocket over an asyncio transport, of a client or a server.

Whole plain messages, pings and pongs are read and written here, in a fraction of a library's time. Every other
frame, that is fragments, compression, close frames and whatever breaks the rules, goes to the protocol of
websockets, which is made when the first such frame comes and forgotten when it holds nothing more: an idle link
has none. Of each frame it gets all or nothing, so this always knows where the next one begins.
"""

import asyncio
import socket
import struct
import threading
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from websocket_heartbeat.engines.base import WRITE_LIMIT, Closure, Link, LinkEvents
from websocket_heartbeat.engines.masks import apply_mask, masks, new_mask
from websocket_heartbeat.engines.transport import NOT_UTF8, SILENT, Ended, discard, drop
from websocket_heartbeat.errors import MessageTooBig, ProtocolViolation
from websocket_heartbeat.events import Message
from websocket_heartbeat.system.kernel import Socket, since_data

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
_DATA = (_TEXT, _BINARY, 0x01, 0x02, 0x00, 0x80)
_NO_STATUS = 1005
_LINGER_NOT = struct.pack("ii", 1, 0)


class _Scratch(threading.local):
    """Where links read to: one for all of a thread, as what was read is taken before the next link reads."""

    def __init__(self) -> None:
        self.large = memoryview(bytearray(256 * 1024))
        self.small = self.large[
            : 64 * 1024
        ]  # what may hold many small frames, and not keep the loop for long


_SCRATCH = _Scratch()


def _heads(first: int, mark: int) -> list[bytes]:
    return [bytes((first, mark | size)) for size in range(126)]


class WireLink(asyncio.BufferedProtocol, Link):
    """What both sides have in common. native: the transport."""

    __slots__ = (
        "_body",
        "_body_first",
        "_body_mask",
        "_clock",
        "_ended",
        "_events",
        "_fragments",
        "_full",
        "_got",
        "_heard_at",
        "_is_text",
        "_loop",
        "_max_size",
        "_mute",
        "_owed",
        "_pongs",
        "_protocol",
        "_rest",
        "_short",
        "_view",
        "deliver",
        "native",
        "response_headers",
        "socket",
        "subprotocol",
    )

    side: Side
    _heads: dict[int, list[bytes]]
    _mark: int

    def __init__(
        self, events: LinkEvents, max_size: int, subprotocol: str | None, protocol: Protocol | None = None
    ) -> None:
        """protocol: that of the handshake, where it is to compress; else none is kept."""
        self.deliver: Callable[[Message], Any] = discard
        self.subprotocol = subprotocol
        self.response_headers: Sequence[tuple[str, str]] = ()
        self.native: Any = None
        self.socket: Socket | None = None
        self._events: LinkEvents = events
        self._max_size = max_size
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._clock: Callable[[], float] | None = None
        self._view = _SCRATCH.small
        self._full = False
        self._ended = False  # nothing is read or reported any more
        self._mute = False  # no message is sent any more
        self._protocol = protocol if protocol is not None and protocol.extensions else None
        # Reading. The beginning of a frame of which too little has come to do anything with it;
        # bytes still to come of the frame at the front, and of a plain message what has come of it.
        self._rest = b""
        self._owed = 0
        self._body: list[bytes] | None = None
        self._body_mask = b""
        self._body_first = 0
        self._got = False  # this read has brought a message
        self._pongs: list[bytes] = []
        # Fragments of a message, whose frames the library has read; while there are any, so it reads all data.
        self._fragments: bytearray | None = None
        self._is_text = False
        self._short = self._longest_short()

    def _longest_short(self) -> int:
        """Return the second byte of a frame up to which it is short."""
        return min(125, self._max_size)

    def begin(self, transport: Any, rest: bytes) -> None:
        """Take over a transport whose handshake is done; rest: what was read behind that."""
        self.native = transport
        self.socket = transport.get_extra_info("socket")
        # Once per read, where the kernel does not tell.
        self._clock = self._loop.time if since_data(self.socket) is None else None
        transport.set_write_buffer_limits(high=WRITE_LIMIT)
        transport.set_protocol(self)
        self._events.opened(self)
        self.response_headers = ()
        self._take_in(rest)

    # Calls from the client or the server

    def send(self, message: Message) -> None:
        raise NotImplementedError

    def ping(self) -> None:
        raise NotImplementedError

    def close(self, code: int, reason: str) -> None:
        if not self._mute:
            self._say_close(code, reason)

    def abort(self) -> None:
        self._end()
        if self.native is not None:
            self.native.abort()

    def pause_reading(self) -> None:
        if self.native is not None and not self.native.is_closing():
            self.native.pause_reading()

    def resume_reading(self) -> None:
        if self.native is not None and not self.native.is_closing():
            self.native.resume_reading()

    @property
    def buffered(self) -> int:
        return self.native.get_write_buffer_size() if self.native is not None else 0

    @property
    def full(self) -> bool:
        return self._full

    @property
    def heard_at(self) -> float:
        seconds = since_data(self.socket)
        return self._heard_at if seconds is None else self._loop.time() - seconds

    # Calls from the transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view if self._owed < 65536 else _SCRATCH.large

    def buffer_updated(self, nbytes: int) -> None:
        if self._clock is not None:
            self._heard_at = self._clock()
        if self._owed:
            self._settle(_SCRATCH.large[:nbytes])
        else:
            self._read(self._view[:nbytes].tobytes())

    def is_buffered_protocol(self) -> bool:
        """Tell aiofastnet, which asks."""
        return True

    def eof_received(self) -> bool | None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(Closure(error=exc))
        self.native = None
        self.socket = None

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._events.writable()

    # Reading

    def _read(self, data: bytes) -> None:
        """Take what the transport has read, which begins at a frame."""
        raise NotImplementedError

    def _take_in(self, data: bytes) -> None:
        if data and not self._ended:
            self._read(data)

    def _settle(self, view: memoryview) -> None:
        """Take more of the frame at the front, and then what lies behind it."""
        if self._ended:
            return
        part = bytes(view[: self._owed])
        rest = bytes(view[self._owed :])
        self._owed -= len(part)
        if self._body is None:
            self._ask(part)
        else:
            self._body.append(part)
            if self._owed:
                return
            data = b"".join(self._body)
            self._body = None
            self._data(self._body_first, apply_mask(data, self._body_mask) if self._body_mask else data)
        if not self._ended:
            self._read(rest)

    def _other(self, data: bytes, position: int, end: int) -> int:
        """Take the frame at the position, no short text; return where it ends here, -1 if it is to wait."""
        first = data[position]
        second = data[position + 1] ^ self._mark
        if second < 126 and (first == _PING or first == _PONG):
            start = position + (6 if self._mark else 2)
            stop = start + second
            if stop > end:
                return -1
            if first == _PONG:
                self._events.ponged()
                return stop
            self._got = True
            # A peer that pings and does not read must not fill our memory: RFC 6455 5.5.3 lets us skip some.
            if not self._full:
                payload = data[start:stop]
                if self._mark and payload:
                    payload = apply_mask(payload, data[start - 4 : start])
                self._pongs.append(self._framed(_PONG, payload))
                if data[stop : stop + 1] != b"\x89":  # answers to pings in a row go in one write
                    self._answer_pings()
            return stop
        bounds = _bounds(data, position, end, self._mark)
        if bounds is None:
            return -1
        start, stop = bounds
        size = stop - start
        if size >> 63:  # which websockets takes for a message too big
            self._give_up(
                ProtocolViolation(1002, "the peer announced a length with its first bit set"), self.buffered
            )
            return -1
        if first in _DATA and second < 128 and self._is_ours(first, size):
            mask = data[start - 4 : start] if self._mark else b""
            if stop > end:
                self._body = [data[start:end]]
                self._body_first = first
                self._body_mask = mask
                self._owed = stop - end
                return end
            payload = data[start:stop]
            self._data(first, apply_mask(payload, mask) if mask else payload)
            return stop
        if self._ended:
            return -1
        self._owed = max(0, stop - end)
        self._ask(data[position:stop])
        return min(stop, end)

    def _is_ours(self, first: int, size: int) -> bool:
        """Tell whether a data frame is taken here, and end the link over one that is wrong."""
        if self._compresses:
            return first & 0x80 != 0 and first & 0x0F != 0 and self._short >= 0 and size <= self._max_size
        had = self._fragments
        if first & 0x0F == 0:
            if had is None:
                return False  # the library says what is wrong with it
            size += len(had)
        elif had is not None:
            self._give_up(ProtocolViolation(1002, "the peer sent a message within another"), self.buffered)
            return False
        if size > self._max_size:
            self._give_up(MessageTooBig(self._max_size), self.buffered)
            return False
        return True

    def _data(self, first: int, data: bytes) -> None:
        """Take a data frame: a whole message or a fragment of one, RFC 6455, section 5.4."""
        if first & 0x0F:
            self._is_text = first & 0x0F == 1
        if first & 0x80:
            if self._fragments is not None:
                self._fragments += data
                data = self._fragments  # type: ignore[assignment]
                self._fragments = None
                self._short = self._longest_short()
            self._plain(data)
        elif self._fragments is None:
            self._fragments = bytearray(data)
            self._short = -1  # all data frames take the longer way
        else:
            self._fragments += data

    def _plain(self, data: bytes | bytearray) -> bool:
        """Hand over a plain message, of what kind `_is_text` says."""
        self._got = True
        try:
            message: Message = data.decode() if self._is_text else bytes(data)  # no copy of what is bytes
        except UnicodeDecodeError:
            self._not_utf8()
            return False
        self._hand_over(message)
        return True

    def _hand_over(self, message: Message) -> None:
        try:
            result = self.deliver(message)
        except (Exception, CancelledError) as error:
            self._events.deliver_failed(error)
        else:
            if result is not None:
                self._events.deliver_returned(result)

    # The library

    def _library(self) -> Protocol:
        if self._protocol is None:
            self._protocol = Protocol(self.side, state=State.OPEN, max_size=self._max_size, logger=SILENT)
        return self._protocol

    def _ask(self, data: bytes) -> None:
        """Let the library read a frame or a part of one, and carry out what comes of it."""
        protocol = self._library()
        protocol.receive_data(data)
        frames = protocol.events_received()
        closed = protocol.close_rcvd
        problem = protocol.parser_exc if closed is None else None
        unsent = self.buffered
        answers = b"".join(protocol.data_to_send())
        if answers and not self._ended:
            self._answer_pings()
            self.native.write(answers)
            self._mute = True  # a close frame it was, as pings are answered here
        for frame in frames:
            assert isinstance(frame, Frame)
            self._take(frame)
            if self._ended:
                return
        if closed is not None:
            self._tell()
            self._leave()
            code = None if closed.code == _NO_STATUS else closed.code
            self._finish(Closure(code=code, reason=closed.reason, unsent_bytes=unsent, framed=True))
        elif problem is not None:
            self._give_up(_violation(problem, self._max_size), unsent)

    def _forget_library(self) -> None:
        """Drop the library's protocol if it holds nothing: not for every frame of a flood, but for each read."""
        if self._fragments is None and not self._owed and not self._mute and not self._compresses:
            self._protocol = None

    @property
    def _compresses(self) -> bool:
        return self._protocol is not None and bool(self._protocol.extensions)

    def _take(self, frame: Frame) -> None:
        """Take a data frame that the library has read."""
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        if frame.fin and self._fragments is None:
            self._plain(frame.data)
            return
        if self._fragments is None:
            self._fragments = bytearray()
            self._short = -1
        self._fragments += frame.data
        if frame.fin:
            data = self._fragments
            self._fragments = None
            self._short = self._longest_short()
            self._plain(data)

    # Beneath

    def _framed(self, first: int, payload: bytes) -> bytes:
        raise NotImplementedError

    def _answer_pings(self) -> None:
        pongs = self._pongs
        if pongs:
            self._pongs = []
            if not self._ended:
                self.native.write(pongs[0] if len(pongs) == 1 else b"".join(pongs))

    def _say_close(self, code: int, reason: str) -> None:
        """Send a close frame, unless one was sent; reason has at most 123 bytes."""
        if self._mute:
            return
        self._mute = True
        protocol = self._library()
        protocol.send_close(code, reason)
        self.native.write(b"".join(protocol.data_to_send()))

    def _not_utf8(self) -> None:
        self._give_up(ProtocolViolation(1007, NOT_UTF8), self.buffered)

    def _give_up(self, violation: ProtocolViolation, unsent: int) -> None:
        """Fail the link, as RFC 6455, section 7.1.7, has it: say why, then drop it."""
        self._tell()
        if self._ended:
            return
        self._say_close(violation.code, str(violation).encode()[:123].decode(errors="ignore"))
        self._leave()
        self._finish(Closure(error=violation, unsent_bytes=unsent))

    def _tell(self) -> None:
        """Tell of the messages of a read in whose middle the link ends."""
        if self._got:
            self._got = False
            self._events.batch_delivered()

    def _leave(self) -> None:
        """Give the loop one turn to write what it can, then drop the socket: the peer may never read."""
        if self.native is not None:
            self.native.close()
            self._loop.call_soon(drop, self.native)

    def _finish(self, closure: Closure) -> None:
        events = self._events
        self._end()
        events.closed(closure)

    def _end(self) -> None:
        self._ended = True
        self._mute = True
        self._events = Ended(self._events)
        self.deliver = discard
        self._protocol = None
        self._fragments = self._body = None


_EMPTY_PONG = bytes((_PONG, 0))
_TEXT_HEADS = _heads(_TEXT, 128)
_BINARY_HEADS = _heads(_BINARY, 128)


class ClientLink(WireLink):
    """The client's side: reads without masks and writes with them."""

    __slots__ = ()

    side = Side.CLIENT
    _mark = 0
    _pong_heads = _heads(_PONG, 128)
    _ping_head = bytes((_PING, 128))

    def send(self, message: Message) -> None:
        if self._mute:
            return
        if self._protocol is not None and self._compresses:
            _send_by(self._protocol, message)
            self.native.write(b"".join(self._protocol.data_to_send()))
            return
        is_text = type(message) is str
        data: Any = message.encode() if is_text else message  # type: ignore[union-attr]
        try:
            mask = masks.pop()  # as new_mask() does, without the call
        except IndexError:
            mask = new_mask()
        size = len(data)
        if size < 126:
            self.native.write(
                (_TEXT_HEADS if is_text else _BINARY_HEADS)[size] + mask + apply_mask(data, mask)
            )
        else:
            head = _long_head(_TEXT if is_text else _BINARY, size, 128)
            self.native.write(b"".join((head, mask, apply_mask(data, mask))))

    def ping(self) -> None:
        if not self._mute:
            self.native.write(self._ping_head + new_mask())

    def _framed(self, first: int, payload: bytes) -> bytes:
        mask = new_mask()
        return self._pong_heads[len(payload)] + mask + apply_mask(payload, mask)

    def _read(self, data: bytes) -> None:
        if self._ended:
            return
        if self._rest:
            data = self._rest + data
        end = len(data)
        start = 2  # of the payload, so that a short message takes one addition less
        short = self._short
        while start <= end:
            first = data[start - 2]
            size = data[start - 1]
            if size <= short and first == _TEXT:
                stop = start + size
                if stop > end:
                    break
            elif (
                size == 126
                and _TEXT <= first <= _BINARY
                and short > 0
                and start + 2 <= end
                and 125 < (size := data[start] << 8 | data[start + 1]) <= self._max_size
                and start + 2 + size <= end
            ):
                start += 2
                stop = start + size
            elif size == 0 and first == _PONG:
                self._events.ponged()
                start += 2
                continue
            else:
                stop = self._other(data, start - 2, end)
                if self._ended:
                    return
                if stop < 0:
                    break
                start = stop + 2
                short = self._short
                continue
            try:
                message: Message = data[start:stop] if first == _BINARY else data[start:stop].decode()
            except UnicodeDecodeError:
                self._not_utf8()
                return
            start = stop + 2
            self._got = True
            try:
                result = self.deliver(message)
            except (Exception, CancelledError) as error:
                self._events.deliver_failed(error)
            else:
                if result is not None:
                    self._events.deliver_returned(result)
        self._rest = data[start - 2 :]
        if self._pongs:
            self._answer_pings()
        if self._protocol is not None:
            self._forget_library()
        if self._got:
            self._got = False
            self._events.batch_delivered()


class ServerLink(WireLink):
    """The server's side: reads with masks and writes without."""

    __slots__ = ()

    side = Side.SERVER
    _mark = 128
    _text_heads = _heads(_TEXT, 0)
    _binary_heads = _heads(_BINARY, 0)
    _pong_heads = _heads(_PONG, 0)
    _ping_frame = bytes((_PING, 0))

    def _longest_short(self) -> int:
        return min(125, self._max_size) | 128

    def send(self, message: Message) -> None:
        if self._mute:
            return
        if self._protocol is not None and self._compresses:
            _send_by(self._protocol, message)
            self.native.write(b"".join(self._protocol.data_to_send()))
            return
        if type(message) is str:
            data = message.encode()
            heads = self._text_heads
            first = _TEXT
        else:
            data = message
            heads = self._binary_heads
            first = _BINARY
        size = len(data)
        if size < 126:
            self.native.write(heads[size] + data)
        else:
            self.native.write(_long_head(first, size, 0) + data)

    def ping(self) -> None:
        if not self._mute:
            self.native.write(self._ping_frame)

    def abort(self) -> None:
        if self.native is not None:
            end_by_reset(self.native)
        super().abort()

    def _framed(self, first: int, payload: bytes) -> bytes:
        return self._pong_heads[len(payload)] + payload

    def _read(self, data: bytes) -> None:
        if self._ended:
            return
        if self._rest:
            data = self._rest + data
        end = len(data)
        start = 6  # of the payload, behind the mask
        short = self._short
        while start <= end:
            first = data[start - 6]
            size = data[start - 5]
            if 127 < size <= short and first == _TEXT:
                stop = start + size - 128
                if stop > end:
                    break
            elif (
                size == 254
                and _TEXT <= first <= _BINARY
                and short > 0
                and start + 2 <= end
                and 125 < (size := data[start - 4] << 8 | data[start - 3]) <= self._max_size
                and start + 2 + size <= end
            ):
                start += 2
                stop = start + size
            elif size == 128 and first == _PING and start == end:  # as our client sends, and alone
                if not self._full:
                    self.native.write(_EMPTY_PONG)
                self._got = True
                start += 6
                continue
            else:
                stop = self._other(data, start - 6, end)
                if self._ended:
                    return
                if stop < 0:
                    break
                start = stop + 6
                short = self._short
                continue
            data_here = apply_mask(data[start:stop], data[start - 4 : start])
            try:
                message: Message = data_here if first == _BINARY else data_here.decode()
            except UnicodeDecodeError:
                self._not_utf8()
                return
            start = stop + 6
            self._got = True
            try:
                result = self.deliver(message)
            except (Exception, CancelledError) as error:
                self._events.deliver_failed(error)
            else:
                if result is not None:
                    self._events.deliver_returned(result)
        # What is left may be shorter than the head of a masked frame, and wrong nevertheless.
        if end - start + 6 >= 2 and data[start - 5] < 128:
            self._owed = 0
            self._ask(data[start - 6 :])
            if self._ended:
                return
        self._rest = data[start - 6 :]
        if self._pongs:
            self._answer_pings()
        if self._protocol is not None:
            self._forget_library()
        if self._got:
            self._got = False
            self._events.batch_delivered()


def end_by_reset(transport: Any) -> None:
    """Have the coming abort reset the connection: the kernel then keeps nothing that nobody will read."""
    with suppress(OSError, AttributeError):  # closed already
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)


def _send_by(protocol: Protocol, message: Message) -> None:
    if isinstance(message, str):
        protocol.send_text(message.encode())
    else:
        protocol.send_binary(message)


def _long_head(first: int, size: int, mark: int) -> bytes:
    if size < 65536:
        return struct.pack("!BBH", first, mark | 126, size)
    return struct.pack("!BBQ", first, mark | 127, size)


def _bounds(data: bytes, position: int, end: int, mark: int) -> tuple[int, int] | None:
    """Return where the payload of a frame starts and stops; None if its header is cut off."""
    size = data[position + 1] & 127
    start = position + 2
    if size > 125:
        start += 2 if size == 126 else 8
        if start > end:
            return None
        size = int.from_bytes(data[position + 2 : start])
    if data[position + 1] & mark:  # a mask from a server is refused before it is read
        start += 4
        if start > end:
            return None
    return start, start + size


def _violation(problem: Exception, max_size: int) -> ProtocolViolation:
    """Return what websockets found wrong, with its close code, in words."""
    if isinstance(problem, PayloadTooBig):
        return MessageTooBig(max_size)
    if isinstance(problem, UnicodeDecodeError):
        return ProtocolViolation(1007, "the peer sent a close reason that is not UTF-8")
    return ProtocolViolation(
        1002, str(problem) if isinstance(problem, ProtocolError) else "the peer broke RFC 6455"
    )
