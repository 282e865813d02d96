"""FaultProxy, whose methods begin and end faults."""

import asyncio
import socket
from asyncio.trsock import TransportSocket
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

from websocket_heartbeat.checks import check_count, check_seconds
from websocket_heartbeat.testing.fault_proxy.connection import Connection
from websocket_heartbeat.testing.fault_proxy.faults import Direction, Faults, Step, check_timetable
from websocket_heartbeat.testing.fault_proxy.listener import Listener
from websocket_heartbeat.testing.fault_proxy.log import Log, LogEntry


class FaultProxy:
    """A TCP proxy on loopback between a client and a server, with faults that are switched while it runs.

        async with FaultProxy("127.0.0.1", server_port) as proxy:
            client = await connect(proxy.url("/feed"))
            proxy.freeze()          # both sockets stay open, nothing passes any more

    Every fault holds for the connections that exist and for those to come, until `heal` or its own opposite.
    Bytes that the proxy has passed on to the kernel may still arrive after a fault begins. Faults are called
    on the thread of the event loop; none of them waits.

    target_host, target_port: the server. While it cannot be reached, clients are reset.

    Bad arguments raise ValueError or TypeError; a fault raises RuntimeError before entry and after `aclose`.
    """

    host: str
    """Where clients connect to."""
    connections_accepted: int
    """How many clients there were, those that hang included."""
    log: list[LogEntry]
    """What happened and when, oldest first."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self._faults = Faults(_address("target_host", target_host, "target_port", target_port))
        self._connections: set[Connection] = set()
        self._none_left = asyncio.Event()
        self._none_left.set()
        self._listener: Listener | None = None  # while the proxy runs
        self._was_entered = False
        self.host = "127.0.0.1"
        self.connections_accepted = 0
        self._log = Log()
        self.log = self._log

    async def __aenter__(self) -> Self:
        if self._was_entered:
            raise RuntimeError("a FaultProxy can be entered once only")
        self._was_entered = True
        self._listener = Listener(self.host, self._take)
        self._listener.accept()
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
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.abort(reset=False)
        await self._none_left.wait()

    # What can be seen

    @property
    def port(self) -> int:
        """The port that clients connect to; it stays the same through `refuse` and `accept`."""
        if self._listener is None:
            raise RuntimeError("the proxy has no port: it is not running")
        return self._listener.port

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
        return self._faults.to_client.carried

    @property
    def bytes_to_server(self) -> int:
        """Bytes passed on toward the server so far."""
        return self._faults.to_server.carried

    @property
    def is_holding(self) -> bool:
        """Whether something waits in the proxy: bytes, an end or a reset that it has read but not passed on.

        So it does for the time of a delay or behind a throttle. During a freeze the proxy stops reading: what
        comes later waits in the kernel.
        """
        return any(connection.is_holding for connection in self._connections)

    @property
    def sockets(self) -> list[TransportSocket]:
        """The open sockets of all connections, to set options of the system such as a small send buffer."""
        return [sock for connection in self._connections for sock in connection.sockets]

    # Faults

    def freeze(self, direction: Direction = "both") -> None:
        """Hold every byte, and every end of a stream, on sockets that stay open: a half-open link.

        The proxy stops reading, so that the sender feels backpressure once the kernel's buffers are full.
        With the way to the server frozen, new clients are accepted but the server does not see them.
        """
        chosen = self._faults.conditions(direction)
        self._begin("freeze", direction)
        for conditions in chosen:
            conditions.frozen = True
        self._apply()

    def thaw(self, direction: Direction = "both") -> None:
        """Undo `freeze`: what was held flows on, nothing is lost."""
        chosen = self._faults.conditions(direction)
        self._begin("thaw", direction)
        for conditions in chosen:
            conditions.frozen = False
        self._apply()

    def reset(self) -> None:
        """Break every live connection with RST to both sides; what is held is lost."""
        self._begin("reset").take_all()
        for connection in list(self._connections):
            connection.abort(reset=True)

    def disconnect(self) -> None:
        """End every live connection with FIN to both sides, as when a process exits; what is held is lost."""
        self._begin("disconnect").take_all()
        for connection in list(self._connections):
            connection.disconnect()

    def refuse(self) -> None:
        """Refuse new connections, as a machine does on which nothing listens. Those that exist stay open."""
        listener = self._begin("refuse")
        listener.take_all()
        listener.refuse()

    def hang(self) -> None:
        """Accept new connections and do nothing with them: no answer, no connection to the server."""
        listener = self._begin("hang")
        self._faults.hangs = True
        listener.accept()
        self._apply()

    def accept(self) -> None:
        """Undo `refuse` and `hang`; connections that hang go on to the server."""
        listener = self._begin("accept")
        self._faults.hangs = False
        listener.accept()
        self._apply()

    def delay(self, seconds: float, direction: Direction = "both") -> None:
        """Give each byte that arrives from now on a latency in seconds; 0 for none."""
        chosen = self._faults.conditions(direction)
        check_seconds("seconds", seconds, zero=True)
        self._begin("delay", f"{seconds} s {direction}")
        for conditions in chosen:
            conditions.delay = seconds

    def throttle(self, bytes_per_second: int | None, direction: Direction = "both") -> None:
        """Limit each connection in each direction: bytes_per_second is at least 1, None for no limit."""
        chosen = self._faults.conditions(direction)
        if bytes_per_second is not None:
            check_count("bytes_per_second", bytes_per_second, least=1)
        self._begin("throttle", f"{bytes_per_second} bytes/s {direction}")
        for conditions in chosen:
            conditions.rate = bytes_per_second

    def cut_after(self, n_bytes: int, direction: Literal["to_client", "to_server"] = "to_client") -> None:
        """Reset every live connection as soon as n_bytes more have gone one way, in all; once only."""
        check_count("n_bytes", n_bytes, least=1)
        if direction not in ("to_client", "to_server"):
            raise ValueError(f"direction must be to_client or to_server, not {direction!r}")
        (conditions,) = self._faults.conditions(direction)
        self._begin("cut_after", f"{n_bytes} bytes {direction}")
        conditions.left = n_bytes

    def retarget(self, host: str, port: int) -> None:
        """Connect new clients, and those that hang, to another server. The others stay where they are."""
        target = _address("host", host, "port", port)
        self._begin("retarget", f"{host}:{port}")
        self._faults.target = target

    def heal(self) -> None:
        """End every fault: thaw, accept, no delay, no throttle, no cut. The target stays."""
        listener = self._begin("heal")
        self._faults.heal()
        listener.accept()
        self._apply()

    async def play(self, timetable: Sequence[Step]) -> None:
        """Run faults by a timetable, and return after its last line.

            await proxy.play([(0.5, "freeze"), (2.5, "thaw"), (3, "delay", 0.2, "to_client"), (9, "heal")])

        timetable: (seconds after the start of play, name of a fault, arguments of that fault ...), in the
        order of time. A cancelled play leaves the faults as they are.
        """
        check_timetable(timetable)
        loop = asyncio.get_running_loop()
        start = loop.time()
        for at, name, *arguments in timetable:
            await asyncio.sleep(start + at - loop.time())
            getattr(self, name)(*arguments)

    # How it works

    def _begin(self, fault: str, detail: str = "") -> Listener:
        """Write down that a fault begins, and return the listener: only a proxy that runs has faults."""
        if self._listener is None:
            raise RuntimeError(f"{fault}: the proxy is not running")
        self._log.note(fault, detail)
        return self._listener

    def _apply(self) -> None:
        """Apply the present faults to every connection."""
        self._faults.update_may_dial()
        for connection in list(self._connections):
            connection.pump()

    def _take(self, accepted: socket.socket) -> None:
        self.connections_accepted += 1
        number = self.connections_accepted
        self._log.note("accepted", f"connection {number}")
        self._none_left.clear()
        self._connections.add(Connection(number, accepted, self._faults, self._log, self._cut, self._gone))

    def _cut(self) -> None:
        """Carry out what `cut_after` asked for."""
        self._log.note("cut")
        for conditions in self._faults.conditions("both"):
            if conditions.left == 0:
                conditions.left = None
        for connection in list(self._connections):
            connection.abort(reset=True)

    def _gone(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._log.note("closed", f"connection {connection.number}")
            if not self._connections:
                self._none_left.set()


def _address(host_name: str, host: str, port_name: str, port: int) -> tuple[str, int]:
    if not isinstance(host, str):
        raise TypeError(f"{host_name} must be a str, not {host!r}")
    if not host:
        raise ValueError(f"{host_name} must not be empty")
    return host, check_count(port_name, port, least=1, most=65535)
