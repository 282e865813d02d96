"""One connection through a proxy: the client's socket, the server's, and a pipe in each direction."""

import asyncio
import contextlib
import socket
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from typing import cast

from websocket_heartbeat.system.kernel import end_by_reset
from websocket_heartbeat.testing.fault_proxy.faults import Faults
from websocket_heartbeat.testing.fault_proxy.log import Log
from websocket_heartbeat.testing.fault_proxy.pipe import Pipe


class Connection:
    """A client's socket, the socket to the target, and the two pipes between them.

    cut: resets all connections, when so many bytes have passed. gone: called once both sockets are closed.
    """

    def __init__(
        self,
        number: int,
        accepted: socket.socket,
        faults: Faults,
        log: Log,
        cut: Callable[[], None],
        gone: Callable[["Connection"], None],
    ) -> None:
        self.number = number
        self._loop = asyncio.get_running_loop()
        self._accepted = accepted
        self._faults = faults
        self._log = log
        self._gone = gone
        self._ended = False
        self._client = _Endpoint(self)
        self._server = _Endpoint(self)
        self._to_server = Pipe(faults.to_server, self._client, self._server, cut)
        self._to_client = Pipe(faults.to_client, self._server, self._client, cut)
        self._client.join(self._to_server, self._to_client, self._server)
        self._server.join(self._to_client, self._to_server, self._client)
        self._is_dialling = False
        self._is_reset = False
        self._joining = self._loop.create_task(self._join())
        self._joining.add_done_callback(lambda _: self.end_lost())

    @property
    def is_ended(self) -> bool:
        """Whether it was aborted or disconnected: what its sockets still bring is of no use."""
        return self._ended

    @property
    def is_holding(self) -> bool:
        """Whether anything waits in either pipe."""
        return self._to_server.is_holding or self._to_client.is_holding

    @property
    def sockets(self) -> list[TransportSocket]:
        """The sockets that are open: toward the client, toward the server."""
        transports = [end.transport for end in (self._client, self._server)]
        return [each.get_extra_info("socket") for each in transports if each is not None]

    def pump(self) -> None:
        """Pass on what may pass after a fault has begun or ended."""
        self._to_server.pump()
        self._to_client.pump()

    def close(self) -> None:
        """Close both sockets once they have sent what they have."""
        for end in (self._client, self._server):
            if end.transport is not None:
                end.transport.close()

    def abort(self, reset: bool) -> None:
        """Drop both sockets at once, with RST if asked."""
        self._is_reset = self._is_reset or reset
        self._end()
        if reset and not self._client.was_made:
            end_by_reset(self._accepted)
        self._client.abort(reset)
        self._server.abort(reset)

    def disconnect(self) -> None:
        """End both streams with FIN."""
        if not self._client.was_made and not self._joining.done():
            self._loop.call_soon(self.disconnect)  # it has just arrived: its transport is being made
            return
        self._end()
        for end in (self._client, self._server):
            if end.transport is not None:
                # First, for closing alone would send RST where unread bytes lie in the socket.
                end.tell_end()
        self.close()

    def end_lost(self) -> None:
        """Say so if this was the last of its sockets to close."""
        if self._joining.done() and self._client.transport is None and self._server.transport is None:
            self._gone(self)

    def _end(self) -> None:
        self._ended = True
        # Only here: uvloop drops a transport whose making is cancelled without a word to its protocol.
        if self._is_dialling:
            self._joining.cancel()
        self._to_server.stop()
        self._to_client.stop()

    async def _join(self) -> None:
        await self._loop.connect_accepted_socket(lambda: self._client, self._accepted)
        if not self._handed_over(self._client):
            return
        self._is_dialling = True
        try:
            await self._faults.may_dial.wait()
            dialled = await self._dial(*self._faults.target)
        except (OSError, UnicodeError) as error:
            self._log.note("unreachable", f"connection {self.number}: {error}")
            self._is_dialling = False
            self.abort(reset=True)
            return
        self._is_dialling = False
        await self._loop.create_connection(lambda: self._server, sock=dialled)
        if self._handed_over(self._server):
            self._log.note("connected", f"connection {self.number}")

    def _handed_over(self, end: "_Endpoint") -> bool:
        """Note that a transport has its socket; tell whether the connection goes on."""
        end.was_handed_over = True
        if self._ended:
            end.abort(self._is_reset)
        return not self._ended

    async def _dial(self, host: str, port: int) -> socket.socket:
        """Return a socket that is connected to the target."""
        failure = OSError(f"{host} has no address")
        for family, kind, _, _, address in await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            dialled = socket.socket(family, kind)
            try:
                dialled.setblocking(False)
                await self._loop.sock_connect(dialled, address)
            except OSError as error:
                dialled.close()
                failure = error
            except BaseException:
                if self._is_reset:
                    end_by_reset(dialled)  # the server may have accepted it already
                dialled.close()
                raise
            else:
                return dialled
        raise failure


class _Endpoint(asyncio.Protocol):
    """One of the two sockets of a connection.

    transport: None until the socket is there and after it is gone. was_made: whether it ever was there.
    was_handed_over: whether the transport has the socket to close. uvloop hands it over last: a transport
    that is ended before closes the descriptor alone, and the socket closes it again, when it is another's.
    told_end: whether the end of the stream was passed on to it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.transport: asyncio.Transport | None = None
        self.was_made = False
        self.was_handed_over = False
        self.told_end = False

    def join(self, inward: Pipe, outward: Pipe, other: "_Endpoint") -> None:
        """Learn which pipe takes what arrives here, which one brings what leaves here, and the other end."""
        self._inward = inward
        self._outward = outward
        self._other = other

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.was_made = True
        self.transport = cast(asyncio.Transport, transport)
        if self._connection.is_ended:
            return  # it is aborted when the socket was handed over
        # asyncio does not do it for sockets that were made by hand.
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # What is in the transport's buffer would flow on during a freeze: keep it as small as possible.
        self.transport.set_write_buffer_limits(high=0)
        self._inward.pump()
        self._outward.pump()

    def data_received(self, data: bytes) -> None:
        self._inward.take(data)

    def eof_received(self) -> bool:
        self._inward.take(b"")
        return True

    def pause_writing(self) -> None:
        self._outward.full = True

    def resume_writing(self) -> None:
        self._outward.full = False
        # Later: a transport of asyncio's that is aborted from within this call is closed twice.
        asyncio.get_running_loop().call_soon(self._go_on_writing)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if exc is not None:
            self._inward.take(None)
        self._connection.end_lost()

    def _go_on_writing(self) -> None:
        self._outward.cut_if_due()
        self._outward.pump()

    # What the pipes ask

    def is_open(self) -> bool:
        return self.transport is not None

    def set_room(self, size: int) -> None:
        if self.transport is not None:
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    def set_reading(self, is_wanted: bool) -> None:
        if self.transport is not None:
            if is_wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def write(self, data: bytes) -> None:
        assert self.transport is not None  # the pipe has asked
        self.transport.write(data)

    def finish(self) -> None:
        """Pass on the end of the stream; after both ends the connection is over."""
        self.told_end = True
        self.tell_end()
        if self._other.told_end:
            self._connection.close()

    def tell_end(self) -> None:
        """End the stream with FIN."""
        assert self.transport is not None
        try:
            self.transport.write_eof()
        except OSError:  # this end has been reset meanwhile, and will be told
            pass

    def abort(self, reset: bool) -> None:
        if self.transport is not None:
            if reset:
                end_by_reset(self.transport.get_extra_info("socket"))
            if self.was_handed_over:
                self.transport.abort()
