"""TLS between a transport and a protocol, by the SSLObject of the standard library, which does no I/O itself.

asyncio's own TLS keeps 256 KiB for each connection and reads as much at a time, as do the libraries that are
faster (docs/engines.md). This one reads as little at a time as a link, and keeps no more than OpenSSL does.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from websocket_heartbeat.engines.transport import READ, SCRATCH, FairReading

_RECORD = 16 * 1024
"""Bytes of a TLS record at most. What goes through OpenSSL goes in such pieces: its buffers never shrink."""

_FACTS: dict[str, Callable[[ssl.SSLObject], Any]] = {
    "ssl_object": lambda tls: tls,
    "sslcontext": lambda tls: tls.context,
    "peercert": lambda tls: tls.getpeercert(),
    "cipher": lambda tls: tls.cipher(),
    "compression": lambda tls: tls.compression(),
}
"""What the TLS transports of asyncio tell by `get_extra_info`, and so does this one."""


class TlsTransport(FairReading, asyncio.BufferedProtocol):
    """The transport of the protocol above, and the protocol of the transport beneath.

    The protocol above is told of the transport once the handshake is done, and of nothing before.

    handshake: done when the handshake is, or has failed.
    """

    __slots__ = (
        "_end",
        "_incoming",
        "_is_open",
        "_outgoing",
        "_overhead",
        "_piece",
        "_protocol",
        "_tls",
        "_undecrypted",
        "_unwritten",
        "handshake",
    )

    def __init__(
        self,
        protocol: Any,
        context: ssl.SSLContext,
        *,
        server_hostname: str | None = None,
        server_side: bool = False,
    ) -> None:
        """protocol: that above, buffered or not. server_hostname: the name that the certificate must have."""
        super().__init__()
        self._protocol = protocol
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        # Bytes of what was read that TLS is given at a time. Less takes longer, by a tenth where messages are
        # large, and leaves 11 KiB less: that counts where there are thousands of peers.
        self._piece = _RECORD // 2 if server_side else _RECORD
        self._is_open = False
        self._overhead = 0  # bytes that we have written beneath, less those of the protocol above in them
        self._undecrypted: Any = b""  # bytes or a view: what has come, and TLS was not given yet
        self._unwritten = b""  # what TLS 1.2 does not take while it negotiates anew
        # What ends the stream of the peer: SSLZeroReturnError for its close_notify, else what is wrong.
        self._end: ssl.SSLError | None = None
        self.handshake: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # Calls from the transport beneath

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._must_yield = self._reads_on_and_on(transport)
        self._go_on_with_handshake()

    def get_buffer(self, sizehint: int) -> memoryview:
        return SCRATCH.view

    def buffer_updated(self, nbytes: int) -> None:
        view = SCRATCH.view[:nbytes]
        if not self._undecrypted:
            self._incoming.write(view[: self._piece])
            view = view[self._piece :]
        if view:  # copied, as the protocol above may read to the same buffer
            self._undecrypted = memoryview(b"".join((self._undecrypted, view)))
        self._go_on()
        if nbytes == READ:
            self._yield_after_read()

    def eof_received(self) -> None:
        """Let the transport beneath close itself: a WebSocket says by its own means when it ends."""

    def connection_lost(self, exc: Exception | None) -> None:
        error = exc
        if error is None and not isinstance(self._end, ssl.SSLZeroReturnError):
            error = self._end
        if self._is_open:
            protocol, self._protocol = self._protocol, None  # it may hold us: no circle is left
            try:
                while self._end is None and self._has_come():  # it is handed up now, or never
                    self._hand_up(protocol)
            finally:  # also where a hook ends the program
                protocol.connection_lost(error)
        elif not self.handshake.done():
            self.handshake.set_exception(
                error or ConnectionResetError("the connection ended in the TLS handshake")
            )

    def pause_writing(self) -> None:
        if self._is_open:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._is_open:
            self._protocol.resume_writing()

    # Between

    def _go_on(self) -> None:
        """Take what has come."""
        if self._is_open:
            self._decrypt()
        else:
            self._go_on_with_handshake()

    def _go_on_with_handshake(self) -> None:
        if self.handshake.done():  # it has failed
            return
        try:
            while not self._has_shaken_hands():
                if not self._undecrypted:
                    self._flush()
                    return
        except ssl.SSLError as error:
            self._flush()  # the alert that tells the peer
            self.handshake.set_exception(error)
            self._transport.close()
        else:
            self._flush()
            self._is_open = True
            self.handshake.set_result(None)
            self._protocol.connection_made(self)
            self._decrypt()

    def _has_shaken_hands(self) -> bool:
        """Take the next piece of what has come; return whether that was the end of the handshake."""
        self._feed()
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _feed(self) -> None:
        """Give TLS the next piece of what has come."""
        if self._undecrypted:
            self._incoming.write(self._undecrypted[: self._piece])
            self._undecrypted = self._undecrypted[self._piece :] or b""  # an empty view would keep all of it

    def _decrypt(self) -> None:
        """Hand up what has come, and answer what TLS itself was asked."""
        while not (self._is_paused or self.is_closing()):
            if self._end is not None:  # only now: the protocol above may have put off what came before
                self._finish(self._end)
            elif not self._has_come():
                break
            else:
                self._hand_up(self._protocol)
        if self._unwritten:
            self.write(b"")
        self._flush()

    def _has_come(self) -> int:
        return len(self._undecrypted) or self._incoming.pending or self._tls.pending()

    def _hand_up(self, protocol: Any) -> None:
        if isinstance(protocol, asyncio.BufferedProtocol):
            count = self._decrypt_to(memoryview(protocol.get_buffer(-1)))
            if count:
                protocol.buffer_updated(count)
        elif count := self._decrypt_to(SCRATCH.view):
            protocol.data_received(SCRATCH.view[:count].tobytes())

    def _decrypt_to(self, buffer: Any) -> int:
        """Fill a buffer, as far as goes, and return how much that is; set `_end` where the stream ends.

        Many small records come together, so that they cost the protocol above one call.
        """
        count = 0
        while count < len(buffer) and self._has_come():
            if self._undecrypted and not self._incoming.pending:
                self._feed()
            try:
                read: Any = self._tls.read(len(buffer) - count, buffer[count:])
            except ssl.SSLWantReadError:
                continue  # with the rest of the record, if that has come
            except ssl.SSLError as error:
                self._end = error
                break
            if not read:
                self._end = ssl.SSLZeroReturnError()
                break
            count += read
        return count

    def _finish(self, end: ssl.SSLError) -> None:
        """Answer a close_notify; drop a connection whose TLS is broken, and tell the peer by an alert."""
        if isinstance(end, ssl.SSLZeroReturnError):
            self.close()
        else:
            self._flush()
            self._transport.abort()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._transport.is_closing():
            data = self._outgoing.read()
            self._overhead += len(data)
            self._transport.write(data)

    # Calls from the protocol above

    def write(self, data: Any) -> None:
        if self.is_closing():  # a transport would log what is written to it
            return
        if self._unwritten:
            data = self._unwritten + data
            self._unwritten = b""
        view = memoryview(data)
        written: list[bytes] = []
        for at in range(0, len(view), _RECORD):
            try:
                self._tls.write(view[at : at + _RECORD])
            except ssl.SSLWantReadError:
                self._unwritten = bytes(view[at:])
                break
            except ssl.SSLError as error:
                self._end = error
                self._finish(error)
                return
            written.append(self._outgoing.read())
        encrypted = b"".join(written)
        if encrypted:
            self._overhead += len(encrypted) - (len(view) - len(self._unwritten))
            self._transport.write(encrypted)

    def close(self) -> None:
        if not self._transport.is_closing():
            try:
                self._tls.unwrap()
            except ssl.SSLError:  # we wait for no answer to our close_notify
                pass
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        self.handshake.cancel()
        if self._transport is not None:
            self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport is None or bool(self._transport.is_closing())

    def resume_reading(self) -> None:
        self._is_paused = False
        self._put_off()

    def _read_on(self) -> None:
        self._decrypt()  # what had come before the pause
        if not self._is_paused:
            super()._read_on()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As in asyncio, and for "overhead" the bytes that TLS has added to those that were written here."""
        if (fact := _FACTS.get(name)) is not None:
            return fact(self._tls)
        beneath = self._transport.get_extra_info(name, default)
        return self._overhead + (beneath or 0) if name == "overhead" else beneath

    def get_write_buffer_size(self) -> int:
        return len(self._unwritten) + int(self._transport.get_write_buffer_size())

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)
