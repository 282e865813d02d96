"""What we take from websockets' Sans-I/O half, versions 15 to 17, and what must hold of it.

- `ClientProtocol` and `ServerProtocol` do the handshake: websockets.py beside this, server/links/upgrade.py.
- `Protocol(side, state=State.OPEN)` reads a close frame. It never raises; `receive_data` leaves the frame in
  `close_rcvd`, or what was wrong with it in `parser_exc`.
- An `Extension` has `decode(frame, max_size=...)` and `encode(frame)`; permessage-deflate is the only one. It
  keeps a `decoder`, for a window of 2 to the power of `remote_max_window_bits`, and an `encoder`, for one of
  `local_max_window_bits`; or makes them for each message, and then there is none between two.
- `websockets.speedups.apply_mask`, or the one of `websockets.utils`: masks.py.

tests/engines/test_fuzz.py and test_compression.py hold it to that; `make compat` runs them over each version.
"""

import logging
import zlib
from typing import Any

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from websocket_heartbeat.engines.base import Closure
from websocket_heartbeat.errors import MessageTooBig, ProtocolViolation

__all__ = [
    "CLIENT_DEFLATE",
    "SERVER_DEFLATE",
    "SILENT",
    "Deflate",
    "Extension",
    "Side",
    "closure_of",
    "compressed_alone",
]

SILENT = logging.Logger("websockets", logging.CRITICAL + 1)
"""A logger that writes nothing: the lines of websockets hold URLs and headers."""

# A window of 4 KiB and little memory beside it, as websockets' own server has it: 64 KiB a link, not 300.
_MEMORY = {"memLevel": 5}
CLIENT_DEFLATE = (ClientPerMessageDeflateFactory(compress_settings=_MEMORY),)
"""What a client offers that is to compress."""
SERVER_DEFLATE = (
    ServerPerMessageDeflateFactory(
        server_max_window_bits=12, client_max_window_bits=12, compress_settings=_MEMORY
    ),
)
"""What a server accepts that is to compress."""

_NO_STATUS = 1005


def closure_of(frame: bytes, side: Side) -> Closure:
    """Return how a close frame ends the link of that side: as its peer wants, or with a violation."""
    protocol = Protocol(side, state=State.OPEN, logger=SILENT)
    protocol.receive_data(frame)
    close = protocol.close_rcvd
    if close is None:
        return Closure(error=_violation(protocol.parser_exc, 0))
    return Closure(code=None if close.code == _NO_STATUS else close.code, reason=close.reason, framed=True)


class Deflate:
    """Compresses and decompresses the messages of one link: RFC 7692.

    window: how far back what we send may refer, as a power of 2. max_size: of the largest message taken.
    """

    __slots__ = ("_extension", "_is_outdated", "max_size", "window")

    def __init__(self, extension: Extension, max_size: int) -> None:
        self._extension = extension
        self.max_size: int = max_size
        self.window: int = extension.local_max_window_bits  # type: ignore[attr-defined]
        self._is_outdated = False  # whether the peer's window has what ours has not

    def forget(self) -> None:
        """Let what is compressed next refer to nothing before it: the peer gets something else meanwhile."""
        self._is_outdated = True

    def compressed(self, first: int, payload: bytes) -> bytes:
        """Return the payload of a whole message, of which `first` is the first byte of the frame."""
        if self._is_outdated:
            self._is_outdated = False
            encoder = getattr(self._extension, "encoder", None)
            if encoder is not None:
                encoder.flush(zlib.Z_FULL_FLUSH)  # what it returns is an empty block
        return bytes(self._extension.encode(Frame(Opcode(first & 0x0F), payload)).data)

    def decompressed(self, first: int, payload: bytes | memoryview, so_far: int) -> bytes:
        """Return what a data frame carries, of a message of which `so_far` bytes have come before.

        Raises:
            ProtocolViolation: it is no deflated data, or the message is above max_size.
        """
        frame = Frame(Opcode(first & 0x0F), bytes(payload), first & 0x80 != 0, first & 0x40 != 0)
        room = self.max_size - so_far
        problem: Exception
        try:
            # One byte more than there is room for: what fits is then never cut, and 0 would mean no limit.
            data = self._extension.decode(frame, max_size=room + 1).data
            self._renew()
            if len(data) <= room:
                return bytes(data)
            problem = PayloadTooBig(None, room)
        except (PayloadTooBig, ProtocolError) as error:
            problem = error
        raise _violation(problem, self.max_size)

    def _renew(self) -> None:
        """Have a decompressor for what comes next: behind a last block, one keeps all and returns nothing.

        RFC 7692, section 7.2.3.4, lets a peer end a message with a last block.
        """
        extension: Any = self._extension
        decoder = getattr(extension, "decoder", None)  # none is kept where each message gets its own
        if decoder is not None and decoder.eof:
            extension.decoder = zlib.decompressobj(wbits=-extension.remote_max_window_bits)


def compressed_alone(payload: bytes, window: int) -> bytes:
    """Return the payload of a whole message, compressed so that it refers to nothing before it.

    Every link may send it whose window is no smaller, and must `Deflate.forget` then.
    """
    compressor = zlib.compressobj(wbits=-window)
    # Section 7.2.1: without the empty block at the end.
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def _violation(problem: Exception | None, max_size: int) -> ProtocolViolation:
    """Return what websockets found wrong, with its close code, in words that hold nothing of the peer's."""
    if isinstance(problem, PayloadTooBig):
        return MessageTooBig(max_size)
    if isinstance(problem, UnicodeDecodeError):
        return ProtocolViolation(1007, "the peer sent a close reason that is not UTF-8")
    return ProtocolViolation(
        1002, str(problem) if isinstance(problem, ProtocolError) else "the peer broke RFC 6455"
    )
