"""Where a server listens: its address, and the listening sockets on it."""

import asyncio
import errno
import socket

BACKLOG = 100
"""Connections that the kernel keeps waiting until they are accepted."""

_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


async def bind(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets on all addresses of the host that this machine has; all share one port.

    host: "" for all of this machine.

    Raises:
        OSError: one of them is taken, or this machine has none of them.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            port = port or (sockets[0].getsockname()[1] if sockets else 0)
            try:
                sock = socket.create_server((address[0], port, *address[2:]), family=family, backlog=BACKLOG)
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise
                missing = error
            else:
                sock.setblocking(False)
                sockets.append(sock)
        if missing is not None and not sockets:
            raise missing
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets
