"""What the kernel knows of TCP sockets, and for how long the computer was suspended.

Linux has `struct tcp_info` (linux/tcp.h), which only grows at its end. It also counts bytes that the program
has not read yet, so it tells a silent peer from a reader that was blocked or paused.
"""

import socket
import struct
import sys
import time
from dataclasses import dataclass
from typing import Protocol

if sys.platform == "linux":
    import fcntl
    import termios

TELLS = sys.platform == "linux" and hasattr(socket, "TCP_INFO")
"""Whether this system has TCP_INFO."""

_TCP_INFO: int = getattr(socket, "TCP_INFO", 0)

_JIFFY = 0.004
"""Seconds of a jiffy at 250 Hz, the kernel's unit of these times."""

_SIZE = 192
# state, ca_state, retransmits, probes, backoff, options, wscale, flags; then 24 unsigned ints, from rto to
# total_retrans; then pacing_rate, max_pacing_rate, bytes_acked, bytes_received.
_LAYOUT = struct.Struct("=8B24I4Q")
_LAST_DATA_RECV = struct.Struct("=52xI")
_LAST_DATA_SENT = struct.Struct("=44xI")
_RTT = struct.Struct("=68xI")
_BYTES_ACKED = struct.Struct("=120xQ")
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


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """A reading of `struct tcp_info`; durations in seconds.

    retransmits: timeouts in a row of the oldest unacknowledged segment. unacked: segments that the peer's
    kernel has not acknowledged. since_data: since data last arrived. since_ack: since an acknowledgement last
    arrived. rto: the current retransmission timeout.
    """

    retransmits: int
    unacked: int
    since_data: float
    since_ack: float
    rto: float
    bytes_acked: int
    bytes_received: int


def tcp_info(sock: Socket | None) -> TcpInfo | None:
    """Read the socket's `struct tcp_info`; None where there is none."""
    if not TELLS or sock is None:
        return None
    try:
        raw = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _SIZE)
    except (OSError, ValueError):  # not TCP, or closed
        return None
    if len(raw) < _LAYOUT.size:
        return None
    values = _LAYOUT.unpack_from(raw)
    return TcpInfo(
        retransmits=values[2],
        rto=values[8] / 1e6,
        unacked=values[12],
        since_data=values[19] / 1e3,
        since_ack=values[20] / 1e3,
        bytes_acked=values[34],
        bytes_received=values[35],
    )


def since_data(sock: Socket | None) -> float | None:
    """Return the seconds since bytes last arrived on the socket, read or not; None where that is unknown.

    Rounded up by a jiffy, so that the time of arrival does not move forward from one call to the next.
    """
    return _seconds(sock, _LAST_DATA_RECV)


def since_sent(sock: Socket | None) -> float | None:
    """Return the seconds since data last left by the socket; None where that is unknown. Rounded up, too."""
    return _seconds(sock, _LAST_DATA_SENT)


def round_trip(sock: Socket | None) -> float | None:
    """Return the kernel's estimate of a round trip to the peer, in seconds; None where that is unknown."""
    if not TELLS or sock is None:
        return None
    try:
        microseconds: int = _RTT.unpack(sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _RTT.size))[0]
    except (OSError, ValueError, struct.error):  # not TCP, or closed, or an old kernel
        return None
    return microseconds / 1e6


def _seconds(sock: Socket | None, field: struct.Struct) -> float | None:
    if not TELLS or sock is None:
        return None
    try:
        milliseconds: int = field.unpack(sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, field.size))[0]
    except (OSError, ValueError, struct.error):  # not TCP, or closed, or an old kernel
        return None
    return milliseconds / 1e3 + _JIFFY


def delivery(sock: Socket | None) -> tuple[int, int] | None:
    """Return how many bytes the peer's kernel has acknowledged so far, and how many more ours holds for it.

    Their sum is how many were written to the socket, as the first counts from some fixed number. None where
    that is unknown.
    """
    if sys.platform != "linux" or not TELLS or sock is None:
        return None
    try:
        held: int = _INT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))[0]
        raw = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES_ACKED.size)
        acknowledged: int = _BYTES_ACKED.unpack(raw)[0]
    except (OSError, ValueError, struct.error):  # not TCP, or closed, or an old kernel
        return None
    return acknowledged, held


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
