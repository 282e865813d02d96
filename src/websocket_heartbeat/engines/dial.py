"""Name resolution and TCP for the engines: one connected socket, by the happy eyeballs of RFC 8305."""

import asyncio
import socket

import aiohappyeyeballs

_HEAD_START = 0.25
"""Seconds that one address family gets before the other is tried: RFC 8305, section 5."""


async def dial(host: str, port: int) -> socket.socket:
    """Return a non-blocking socket connected to the host; the caller closes it.

    Raises:
        socket.gaierror: the name does not resolve.
        OSError: no address of the host could be reached.
    """
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_HEAD_START)
