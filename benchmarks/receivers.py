"""The members of a room in benchmarks/rooms.py: bare sockets that only count bytes, a process of its own.

Arguments: port, target, the number of members, the bytes of all of them together, and a frame that each sends
at first, in hex. Prints "ready" when as many are in, and "done" when the bytes have come. They are read every
20 ms: so reading costs the machine little, and is alike for all.
"""

import base64
import os
import select
import socket
import sys
import time

from benchmarks.processes import CLIENT_CORE, pin

_PAUSE = 0.02
_SETTLED = 0.5
"""Seconds without a byte after which the greetings of a server are over."""


def _connect(port: int, target: str, hello: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        part = sock.recv(4096)
        if not part:
            raise RuntimeError("the server has refused a member")
        head += part
    if hello:
        sock.sendall(hello)
    sock.setblocking(False)
    return sock


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
    members = _Members([_connect(int(port), target, bytes.fromhex(hello)) for _ in range(int(count))])
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
