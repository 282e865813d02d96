"""What the kernel knows of TCP sockets, and for how long the computer was suspended.

Linux has `struct tcp_info` (linux/tcp.h), which only grows at its end. It also counts bytes that the program
has not read yet, so it tells a silent peer from a reader that was blocked or paused.
"""

import socket
import struct
import sys
import time
from typing import NamedTuple, Protocol

if sys.platform == "linux":
    import fcntl
    import termios

TELLS = sys.platform == "linux" and hasattr(socket, "TCP_INFO")
"""Whether this system has TCP_INFO."""

_TCP_INFO: int = getattr(socket, "TCP_INFO", 0)

_JIFFY = 0.004
"""Seconds of a jiffy at 250 Hz, the kernel's unit of these times."""

# retransmits, probes, rto, unacked, last_data_sent, last_data_recv, last_ack_recv, rtt, bytes_acked,
# bytes_received: all are there since Linux 4.1.
_LAYOUT = struct.Struct("=2xBB4xI12xI16xI4xII8xI48xQQ")
_INT = struct.Struct("=i")

_NO_LINGER = struct.pack("ii", 1, 0)
"""On, for 0 seconds: socket(7)."""


class Socket(Protocol):
    """The methods that are needed of a socket, as asyncio and uvloop return a wrapper."""

    def fileno(self) -> int:
        """As in the socket module."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """As in the socket module."""

    def setsockopt(self, level: int, option: int, value: bytes, /) -> None:
        """As in the socket module."""


class TcpInfo(NamedTuple):
    """A reading of `struct tcp_info`; durations in seconds.

    retransmits: timeouts in a row of the oldest unacknowledged segment. probes: those sent in a row, and not
    answered, while nothing is unacknowledged and data wait: a peer that does not read answers them. rto: the
    current retransmission timeout. unacked: segments that the peer's kernel has not acknowledged.
    since_sent, since_data, since_ack: since data last left, data last arrived, read or not, and an
    acknowledgement last arrived. The first two are rounded up by a jiffy, so that the time of arrival does
    not move forward from one reading to the next.
    round_trip: the estimate of a round trip.
    bytes_acked: of those written to the socket, counted from some fixed number, how many the peer's kernel
    has acknowledged. bytes_received: read or not.
    """

    retransmits: int
    probes: int
    rto: float
    unacked: int
    since_sent: float
    since_data: float
    since_ack: float
    round_trip: float
    bytes_acked: int
    bytes_received: int


def tcp_info(sock: Socket | None) -> TcpInfo | None:
    """Read the socket's `struct tcp_info`; None where there is none."""
    if not TELLS or sock is None:
        return None
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _LAYOUT.size)
    except (OSError, ValueError):  # not TCP, or closed
        return None
    if len(raw) < _LAYOUT.size:
        return None
    retransmits, probes, rto, unacked, sent, data, ack, round_trip, acked, received = _LAYOUT.unpack(raw)
    return TcpInfo(
        retransmits,
        probes,
        rto / 1e6,
        unacked,
        sent / 1e3 + _JIFFY,
        data / 1e3 + _JIFFY,
        ack / 1e3,
        round_trip / 1e6,
        acked,
        received,
    )


def bytes_written(sock: Socket | None) -> int | None:
    """Return how many bytes were written to the socket, counted as `TcpInfo.bytes_acked`; None as there."""
    info = tcp_info(sock)
    while info is not None and sock is not None and sys.platform == "linux":
        try:
            held: int = _INT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))[0]
        except (OSError, ValueError):  # closed
            return None
        acked, info = info.bytes_acked, tcp_info(sock)
        if info is not None and info.bytes_acked == acked:  # else some were acknowledged in between
            return acked + held
    return None


def end_by_reset(sock: Socket | None) -> None:
    """Have the coming close of a TCP socket reset the connection.

    The kernel then drops what the peer may never read, and the peer is told of the end at once.
    """
    if sock is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        except (OSError, ValueError):  # closed already
            pass


def suspended_for() -> float:
    """Return the seconds that the computer has been suspended since some fixed time, as far as is known.

    asyncio's clock stops in suspend on Linux and macOS. Only differences between two calls have a meaning.
    On other systems the wall clock is used, which can be set.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC) - time.monotonic()
    return time.time() - time.monotonic()
