"""A TCP proxy for tests that can do to a connection whatever a network can do to it."""

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self, cast, get_args

from websocket_heartbeat.checks import check_count, check_seconds

Direction = Literal["both", "to_client", "to_server"]
"""Which way bytes go: toward the client, toward the server, or both."""

Step = tuple[float, str, *tuple[float | str | None, ...]]
"""One line of a timetable: seconds after its start, the name of a fault, the arguments of that fault."""

FAULTS: Final = (
    "freeze",
    "thaw",
    "reset",
    "disconnect",
    "refuse",
    "hang",
    "accept",
    "delay",
    "throttle",
    "cut_after",
    "retarget",
    "heal",
)
"""What a timetable may name."""

_SLICE: Final = 0.02
"""Seconds of a throttled stream that are passed on at once."""


class LogEntry(NamedTuple):
    """One thing that happened in a proxy.

    at: when, by time.monotonic(). event: the name of a fault, or "accepted", "connected", "unreachable",
    "closed" for what connections did. detail: the arguments of the fault, or the number of the connection.
    """

    at: float
    event: str
    detail: str


@dataclass(slots=True)
class _Way:
    """What bytes in one direction meet at present, on every connection."""

    frozen: bool = False
    delay: float = 0.0
    rate: int | None = None
    left: int | None = None
    carried: int = 0


class _Lane:
    """One direction of one connection: takes from a source what a sink is to get, and when."""

    def __init__(self, connection: "_Connection", way: _Way) -> None:
        self.connection = connection
        self.way = way
        # b"" stands for the end of the stream, None for a reset: they queue behind the bytes before them.
        self.held: deque[tuple[float, bytes | None]] = deque()
        self.free_at = 0.0
        self.full = False
        self.timer: asyncio.TimerHandle | None = None

    def join(self, source: "_Side", sink: "_Side") -> None:
        self.source = source
        self.sink = sink

    def take(self, data: bytes | None) -> None:
        self.held.append((self.connection.loop.time() + self.way.delay, data))
        self.pump()

    def pump(self) -> None:
        """Pass on what may pass now, come back for the rest, and read more only if nothing is in its way."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.connection.ended:
            self.held.clear()
            return
        while self.held and self.is_passable():
            due, data = self.held[0]
            ready = max(due, self.free_at)
            now = self.connection.loop.time()
            if ready > now:
                self.timer = self.connection.loop.call_later(ready - now, self.pump)
                break
            self.held.popleft()
            self.pass_on(due, data)
        # Bytes that only wait for their delay must not keep later ones out; bytes that are late must, so that
        # the sender feels it.
        late = bool(self.held) and self.held[0][0] <= self.connection.loop.time()
        self.source.read(self.is_passable() and not late)

    def is_passable(self) -> bool:
        is_open = self.sink.transport is not None and not self.full
        return is_open and not self.way.frozen and self.way.left != 0

    def pass_on(self, due: float, data: bytes | None) -> None:
        if data is None:
            self.sink.abort(reset=True)
        elif not data:
            self.sink.finish()
        else:
            size = len(data)
            if self.way.rate is not None:
                size = min(size, max(1, int(self.way.rate * _SLICE)))
                self.free_at = max(self.free_at, self.connection.loop.time()) + size / self.way.rate
            if self.way.left is not None:
                size = min(size, self.way.left)
                self.way.left -= size
            if size < len(data):
                self.held.appendleft((due, data[size:]))
            self.way.carried += size
            assert self.sink.transport is not None  # is_passable has seen it
            self.sink.transport.write(data[:size])
            self.cut_if_due()

    def cut_if_due(self) -> None:
        # Not while bytes wait in the transport: the reset would overtake them.
        if self.way.left == 0 and not self.full:
            self.connection.proxy._cut()


class _Side(asyncio.Protocol):
    """One of the two sockets of a connection."""

    def __init__(self, connection: "_Connection", inward: _Lane, outward: _Lane) -> None:
        self.connection = connection
        self.inward = inward
        self.outward = outward
        self.transport: asyncio.Transport | None = None
        self.was_made = False
        self.told_end = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.was_made = True
        self.transport = cast(asyncio.Transport, transport)
        if self.connection.ended:
            self.transport.abort()
            return
        # asyncio does not do it for sockets that were made by hand.
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # What lies in the transport would flow on during a freeze: let as little as possible lie there.
        self.transport.set_write_buffer_limits(high=0)
        self.inward.pump()
        self.outward.pump()

    def data_received(self, data: bytes) -> None:
        self.inward.take(data)

    def eof_received(self) -> bool:
        self.inward.take(b"")
        return True

    def pause_writing(self) -> None:
        self.outward.full = True

    def resume_writing(self) -> None:
        self.outward.full = False
        self.outward.cut_if_due()
        self.outward.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if exc is not None:
            self.inward.take(None)
        self.connection.side_gone()

    def read(self, wanted: bool) -> None:
        """Read from this socket, or let its peer feel that nobody does."""
        if self.transport is not None:
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def finish(self) -> None:
        """Pass on the end of the stream; after both ends the connection is over."""
        self.told_end = True
        self.tell_end()
        if self.connection.other(self).told_end:
            self.connection.close()

    def tell_end(self) -> None:
        """End the stream with FIN."""
        assert self.transport is not None
        try:
            self.transport.write_eof()
        except OSError:  # this side has been reset meanwhile, and will hear of it
            pass

    def abort(self, reset: bool) -> None:
        if self.transport is not None:
            if reset:
                _reset_on_close(self.transport.get_extra_info("socket"))
            self.transport.abort()


def _reset_on_close(sock: socket.socket) -> None:
    # Some systems refuse options on a socket whose peer is gone already.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Connection:
    """A client's socket, the socket to the target, and the two lanes between them."""

    def __init__(self, proxy: "FaultProxy", number: int, accepted: socket.socket) -> None:
        self.proxy = proxy
        self.loop = asyncio.get_running_loop()
        self.number = number
        self.accepted = accepted
        self.ended = False
        self.to_server = _Lane(self, proxy._ways["to_server"])
        self.to_client = _Lane(self, proxy._ways["to_client"])
        self.client = _Side(self, self.to_server, self.to_client)
        self.server = _Side(self, self.to_client, self.to_server)
        self.to_server.join(self.client, self.server)
        self.to_client.join(self.server, self.client)
        self.dials = False
        self.joining = self.loop.create_task(self.join())
        self.joining.add_done_callback(lambda _: self.side_gone())

    async def join(self) -> None:
        await self.loop.connect_accepted_socket(lambda: self.client, self.accepted)
        if self.ended:
            return
        self.dials = True
        try:
            await self.proxy._open_road.wait()
            dialled = await self.dial(*self.proxy._target)
        except (OSError, UnicodeError) as error:
            self.proxy._note("unreachable", f"connection {self.number}: {error}")
            self.dials = False
            self.abort(reset=True)
            return
        self.dials = False
        await self.loop.create_connection(lambda: self.server, sock=dialled)
        self.proxy._note("connected", f"connection {self.number}")

    async def dial(self, host: str, port: int) -> socket.socket:
        """Return a socket that is connected to the target."""
        failure = OSError(f"{host} has no address")
        for family, kind, _, _, address in await self.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            dialled = socket.socket(family, kind)
            try:
                dialled.setblocking(False)
                await self.loop.sock_connect(dialled, address)
            except OSError as error:
                dialled.close()
                failure = error
            except BaseException:
                dialled.close()
                raise
            else:
                return dialled
        raise failure

    def other(self, side: _Side) -> _Side:
        return self.client if side is self.server else self.server

    def side_gone(self) -> None:
        if self.joining.done() and self.client.transport is None and self.server.transport is None:
            self.proxy._forget(self)

    def close(self) -> None:
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.close()

    def abort(self, reset: bool) -> None:
        """Drop both sockets at once, with RST if asked."""
        self.end()
        if reset and not self.client.was_made:
            _reset_on_close(self.accepted)
        self.client.abort(reset)
        self.server.abort(reset)

    def disconnect(self) -> None:
        """End both streams with FIN."""
        if not self.client.was_made and not self.joining.done():
            self.loop.call_soon(self.disconnect)  # it arrived a moment ago: its transport is being made
            return
        self.end()
        for side in (self.client, self.server):
            if side.transport is not None:
                # First, for closing alone would send RST where unread bytes lie in the socket.
                side.tell_end()
        self.close()

    def end(self) -> None:
        self.ended = True
        # Only here: uvloop drops a transport whose making is cancelled without a word to its protocol.
        if self.dials:
            self.joining.cancel()
        self.to_server.pump()
        self.to_client.pump()


class FaultProxy:
    """A TCP proxy on loopback between a client and a server, with faults that are switched while it runs.

        async with FaultProxy("127.0.0.1", server_port) as proxy:
            client = await connect(proxy.url("/feed"))
            proxy.freeze()          # both sockets stay open, nothing passes any more

    Every fault holds for the connections that exist and for those to come, until `heal` or its own opposite.
    Bytes that the proxy has passed on to the kernel may still arrive after a fault begins. Faults are called
    on the thread of the event loop; none of them waits.

    target_host, target_port: the server. While it cannot be reached, clients are reset.

    host, port: where clients connect to, known after entry. connections_accepted, connections_open: how many
    there were and are, those that hang included. bytes_to_client, bytes_to_server: passed on so far.
    log: what happened and when, as LogEntry tuples, oldest first.

    Bad arguments raise ValueError or TypeError; a fault raises RuntimeError before entry and after `aclose`.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = _address("target_host", target_host, "target_port", target_port)
        self._ways = {"to_client": _Way(), "to_server": _Way()}
        self._connections: set[_Connection] = set()
        self._none_left = asyncio.Event()
        self._none_left.set()
        self._open_road = asyncio.Event()
        self._open_road.set()
        self._hangs = False
        self._listener: socket.socket | None = None
        self._listens = False
        self._was_entered = False
        self.host = "127.0.0.1"
        self.connections_accepted = 0
        self.log: list[LogEntry] = []

    async def __aenter__(self) -> Self:
        if self._was_entered:
            raise RuntimeError("a FaultProxy can be entered once only")
        self._was_entered = True
        self._listener = self._bind(0)
        self._listen()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Drop every connection, stop listening, wait until all sockets are closed. Harmless if repeated."""
        if self._listener is not None:
            self._stop_listening()
        for connection in list(self._connections):
            connection.abort(reset=False)
        await self._none_left.wait()

    # What a test may ask

    @property
    def port(self) -> int:
        """The port that clients connect to; it stays the same through `refuse` and `accept`."""
        if self._listener is None:
            raise RuntimeError("the proxy has no port: it is not running")
        return int(self._listener.getsockname()[1])

    def url(self, path: str = "/", scheme: str = "ws") -> str:
        """Return the address for a client: path begins with "/", scheme is ws, wss, http or https."""
        if not path.startswith("/"):
            raise ValueError(f"path must begin with '/', not {path!r}")
        if scheme not in ("ws", "wss", "http", "https"):
            raise ValueError(f"scheme must be ws, wss, http or https, not {scheme!r}")
        return f"{scheme}://{self.host}:{self.port}{path}"

    @property
    def connections_open(self) -> int:
        """How many clients are connected at present, those that hang included."""
        return len(self._connections)

    @property
    def bytes_to_client(self) -> int:
        """Bytes passed on toward clients so far."""
        return self._ways["to_client"].carried

    @property
    def bytes_to_server(self) -> int:
        """Bytes passed on toward the server so far."""
        return self._ways["to_server"].carried

    # Faults

    def freeze(self, direction: Direction = "both") -> None:
        """Hold every byte, and every end of a stream, on sockets that stay open: a half-open link.

        The proxy stops reading, so that the sender feels backpressure once the kernel's buffers are full.
        With the way to the server frozen, new clients are accepted but the server does not see them.
        """
        ways = self._chosen(direction)
        self._fault("freeze", direction)
        for way in ways:
            way.frozen = True
        self._apply()

    def thaw(self, direction: Direction = "both") -> None:
        """Undo `freeze`: what was held flows on, nothing is lost."""
        ways = self._chosen(direction)
        self._fault("thaw", direction)
        for way in ways:
            way.frozen = False
        self._apply()

    def reset(self) -> None:
        """Break every live connection with RST to both sides; what is held is lost."""
        self._fault("reset", "")
        self._take_all()
        for connection in list(self._connections):
            connection.abort(reset=True)

    def disconnect(self) -> None:
        """End every live connection with FIN to both sides, as when a process exits; what is held is lost."""
        self._fault("disconnect", "")
        self._take_all()
        for connection in list(self._connections):
            connection.disconnect()

    def refuse(self) -> None:
        """Refuse new connections, as a machine does on which nothing listens. Those that exist live on."""
        self._fault("refuse", "")
        self._take_all()
        port = self.port
        self._stop_listening()
        # Bound but not listening: connections are refused, and nobody else can take the port.
        self._listener = self._bind(port)

    def hang(self) -> None:
        """Accept new connections and do nothing with them: no answer, no connection to the server."""
        self._fault("hang", "")
        self._hangs = True
        self._listen()
        self._apply()

    def accept(self) -> None:
        """Undo `refuse` and `hang`; connections that hang go on to the server."""
        self._fault("accept", "")
        self._hangs = False
        self._listen()
        self._apply()

    def delay(self, seconds: float, direction: Direction = "both") -> None:
        """Give each byte that arrives from now on a latency in seconds; 0 for none."""
        ways = self._chosen(direction)
        check_seconds("seconds", seconds, zero=True)
        self._fault("delay", f"{seconds} s {direction}")
        for way in ways:
            way.delay = seconds

    def throttle(self, bytes_per_second: int | None, direction: Direction = "both") -> None:
        """Limit each connection in each direction: bytes_per_second is at least 1, None for no limit."""
        ways = self._chosen(direction)
        if bytes_per_second is not None:
            check_count("bytes_per_second", bytes_per_second, least=1)
        self._fault("throttle", f"{bytes_per_second} bytes/s {direction}")
        for way in ways:
            way.rate = bytes_per_second

    def cut_after(self, n_bytes: int) -> None:
        """Reset every live connection as soon as n_bytes more have gone to clients, in all; once only."""
        check_count("n_bytes", n_bytes, least=1)
        self._fault("cut_after", f"{n_bytes} bytes")
        self._ways["to_client"].left = n_bytes

    def retarget(self, host: str, port: int) -> None:
        """Lead new connections, and those that hang, to another server. The others stay where they are."""
        target = _address("host", host, "port", port)
        self._fault("retarget", f"{host}:{port}")
        self._target = target

    def heal(self) -> None:
        """End every fault: thaw, accept, no delay, no throttle, no cut. The target stays."""
        self._fault("heal", "")
        for way in self._ways.values():
            way.frozen = False
            way.delay = 0.0
            way.rate = None
            way.left = None
        self._hangs = False
        self._listen()
        self._apply()

    async def play(self, timetable: Sequence[Step]) -> None:
        """Run faults by a timetable, and return after its last line.

            await proxy.play([(0.5, "freeze"), (2.5, "thaw"), (3, "delay", 0.2, "to_client"), (9, "heal")])

        timetable: (seconds after the start of play, name of a fault, arguments of that fault ...), in the
        order of time. A cancelled play leaves the faults as they are.
        """
        last = 0.0
        for at, name, *_ in timetable:
            if check_seconds("timetable", at, zero=True) < last:
                raise ValueError(f"timetable must be in the order of time, not {at!r} s after {last!r} s")
            last = at
            if name not in FAULTS:
                raise ValueError(f"timetable must name one of {', '.join(FAULTS)}, not {name!r}")
        loop = asyncio.get_running_loop()
        start = loop.time()
        for at, name, *arguments in timetable:
            await asyncio.sleep(start + at - loop.time())
            getattr(self, name)(*arguments)

    # How it works

    def _chosen(self, direction: Direction) -> list[_Way]:
        if direction not in get_args(Direction):
            raise ValueError(f"direction must be both, to_client or to_server, not {direction!r}")
        return [way for name, way in self._ways.items() if direction in ("both", name)]

    def _fault(self, name: str, detail: str) -> None:
        if self._listener is None:
            raise RuntimeError(f"{name}: the proxy is not running")
        self._note(name, detail)

    def _note(self, event: str, detail: str) -> None:
        self.log.append(LogEntry(time.monotonic(), event, detail))

    def _apply(self) -> None:
        if self._hangs or self._ways["to_server"].frozen:
            self._open_road.clear()
        else:
            self._open_road.set()
        for connection in list(self._connections):
            connection.to_server.pump()
            connection.to_client.pump()

    def _cut(self) -> None:
        self._note("cut", "")
        self._ways["to_client"].left = None
        for connection in list(self._connections):
            connection.abort(reset=True)

    def _bind(self, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, port))
        return listener

    def _listen(self) -> None:
        if not self._listens:
            assert self._listener is not None
            self._listener.listen(socket.SOMAXCONN)
            asyncio.get_running_loop().add_reader(self._listener, self._take_all)
            self._listens = True

    def _stop_listening(self) -> None:
        assert self._listener is not None
        if self._listens:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listens = False
        self._listener.close()
        self._listener = None

    def _take_all(self) -> None:
        """Take the connections that the kernel has accepted: for their clients they exist."""
        while self._listens:
            assert self._listener is not None
            try:
                accepted, _ = self._listener.accept()
            except BlockingIOError:
                return
            self._take(accepted)

    def _take(self, accepted: socket.socket) -> None:
        self.connections_accepted += 1
        self._note("accepted", f"connection {self.connections_accepted}")
        self._none_left.clear()
        self._connections.add(_Connection(self, self.connections_accepted, accepted))

    def _forget(self, connection: _Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._note("closed", f"connection {connection.number}")
            if not self._connections:
                self._none_left.set()


def _address(host_name: str, host: str, port_name: str, port: int) -> tuple[str, int]:
    if not isinstance(host, str):
        raise TypeError(f"{host_name} must be a str, not {host!r}")
    if not host:
        raise ValueError(f"{host_name} must not be empty")
    check_count(port_name, port, least=1)
    if port > 65535:
        raise ValueError(f"{port_name} must be at most 65535, not {port!r}")
    return host, port
