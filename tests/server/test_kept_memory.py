"""What the server keeps of a peer that has sent a large message once."""

import asyncio
import ctypes
import gc
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.certificates import tls_of_server
from tests.watch import Run, until

from websocket_heartbeat import Message
from websocket_heartbeat.server import Peer, serve

pytestmark = pytest.mark.skipif(sys.implementation.name != "cpython", reason="PyPy gives memory back later")

MIB = 2**20
PEERS = 20
LIMIT = 16 * 1024

CLIENTS = f"""
import socket, ssl, struct, sys
from contextlib import suppress

port, authority = int(sys.argv[1]), sys.argv[2]
peers = []
for _ in range({PEERS}):
    peer = socket.create_connection(("127.0.0.1", port))
    if authority:
        peer = ssl.create_default_context(cafile=authority).wrap_socket(peer, server_hostname="127.0.0.1")
    peer.sendall(
        b"GET / HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
        b"Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n"
    )
    answer = b""
    while b"\\r\\n\\r\\n" not in answer:
        answer += peer.recv(1000)
    peers.append(peer)
for size in (1, {MIB}):
    for peer in peers:
        peer.sendall(struct.pack("!BBQ", 0x82, 0xFF, size) + bytes(4) + bytes(size))
    sys.stdin.readline()
"""


def in_use() -> int | None:
    """Return the bytes that C libraries have of malloc, Python's large objects among them."""

    class Mallinfo2(ctypes.Structure):
        _fields_ = [(f"field{number}", ctypes.c_size_t) for number in range(10)]

    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):  # not glibc, or an old one
        return None
    mallinfo2.restype = Mallinfo2
    info = mallinfo2()
    return int(info.field7 + info.field4)  # uordblks, hblkhd


@pytest.mark.skipif(in_use() is None, reason="malloc does not tell what is in use")
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_peer_that_once_sent_a_mebibyte_costs_what_it_cost_before(
    scheme: str, run: Run, tmp_path: Path
) -> None:
    pem = tmp_path / "authority.pem"
    options: dict[str, Any] = {"idle_timeout": None}
    if scheme == "wss":
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(pem))
        options["ssl"] = tls_of_server(authority)
    sizes: list[int] = []

    def note(peer: Peer, message: Message) -> None:
        sizes.append(len(message))

    async def all_have_sent(size: int) -> int:
        await until(lambda: sizes.count(size) == PEERS)
        gc.collect()
        return in_use() or 0

    async def main() -> None:
        async with serve(note, **options) as server:
            clients = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                CLIENTS,
                str(server.port),
                str(pem) if scheme == "wss" else "",
                stdin=asyncio.subprocess.PIPE,
            )
            assert clients.stdin is not None
            try:
                before = await all_have_sent(1)
                clients.stdin.write(b"\n")
                after = await all_have_sent(MIB)
                assert (after - before) / PEERS < LIMIT
            finally:
                clients.stdin.close()
                await clients.wait()

    run(main())
