"""A server over a blocking socket: a test can read from it, and reset it, without a turn of the loop."""

import base64
import hashlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tests.watch import PATIENCE

from websocket_heartbeat.system.kernel import bytes_written, tcp_info


class BlockingServer:
    """Accepts one client in a thread of its own, does the handshake, and then what it is told to.

    port: where it listens. client: the socket of the client. is_done: whether it has done what it was told,
    and the client's kernel has all that was sent, as far as this system tells.
    """

    def __init__(self, then: Callable[[socket.socket], object], tls: ssl.SSLContext | None = None) -> None:
        self.client: socket.socket | None = None
        self.is_done = False
        self._then = then
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> "BlockingServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE)
        self._listener.close()
        self.reset()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        client.settimeout(PATIENCE)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            client = self._tls.wrap_socket(client, server_side=True)
        self.client = client
        request = b""
        while b"\r\n\r\n" not in request:
            request += client.recv(65536)
        client.sendall(_answer(request))
        self._then(client)
        end = time.monotonic() + PATIENCE
        written = bytes_written(client)
        while (info := tcp_info(client)) is not None and info.bytes_acked != written:
            if time.monotonic() > end:
                break
            time.sleep(0.001)
        self.is_done = True

    def reset(self) -> None:
        """Break the connection, now."""
        if self.client is not None:
            with suppress(OSError):  # closed already
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.client.close()


def _answer(request: bytes) -> bytes:
    """Accept a handshake, with compression where it is offered."""
    fields = dict(line.split(b": ", 1) for line in request.strip().split(b"\r\n")[1:])
    key = fields[b"Sec-WebSocket-Key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + base64.b64encode(hashlib.sha1(key).digest()),
    ]
    if b"Sec-WebSocket-Extensions" in fields:
        lines.append(b"Sec-WebSocket-Extensions: permessage-deflate")
    return b"\r\n".join([*lines, b"", b""])
