"""The members of a room in benchmarks/rooms.py: bare sockets that only count bytes, a process of its own.

Arguments: port, target, the number of members, the bytes of all of them together, and a frame that each sends
at first, in hex. Prints "ready" when as many are in, and "done" when the bytes have come. They are read every
20 ms: so reading costs the machine little, and is alike for all.
"""

import select
import socket
import sys
import time

from benchmarks.processes import CLIENT_CORE, pin

_TOGETHER = 50
"""Members that do their handshake at the same time."""
_PAUSE = 0.02
_SETTLED = 0.5
"""Seconds without a byte after which the greetings of a server are over."""


def _connect(count: int, port: int, target: str, hello: bytes) -> list[socket.socket]:
    request = (
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n"
    ).encode()
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for sock in sockets:
        sock.sendall(request)
    for sock in sockets:
        head = b""
        while b"\r\n\r\n" not in head:
            part = sock.recv(4096)
            if not part:
                raise RuntimeError("the server has refused a member")
            head += part
        if hello:
            sock.sendall(hello)
        sock.setblocking(False)
    return sockets


class _Members:
    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = {sock.fileno(): sock for sock in sockets}
        self._poll = select.epoll()
        for number in self._sockets:
            self._poll.register(number, select.EPOLLIN)
        self._buffer = bytearray(2**18)

    def read(self, timeout: float) -> int:
        """Return how many bytes have come, waiting for so long for the first."""
        count = 0
        for number, _ in self._poll.poll(timeout):
            read = self._sockets[number].recv_into(self._buffer)
            if not read:
                raise RuntimeError("the server has closed a member")
            count += read
        return count


def main(port: str, target: str, count: str, total: str, hello: str) -> None:
    pin(CLIENT_CORE)
    sockets: list[socket.socket] = []
    for at in range(0, int(count), _TOGETHER):
        few = min(_TOGETHER, int(count) - at)
        sockets += _connect(few, int(port), target, bytes.fromhex(hello))
    members = _Members(sockets)
    while members.read(_SETTLED):
        pass
    print("ready", flush=True)
    left = int(total)
    while left > 0:
        left -= members.read(60)
        time.sleep(_PAUSE)
    print("done", flush=True)
    sys.stdin.read()  # they stay until the server needs them no more


if __name__ == "__main__":
    main(*sys.argv[1:])
