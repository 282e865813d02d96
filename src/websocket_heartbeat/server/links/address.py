"""Who is at the other end of a transport."""

import asyncio
from collections.abc import Mapping
from typing import Any


def remote_address(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """Return the address and port of the client, None where that is unknown, as with a Unix socket."""
    name = transport.get_extra_info("peername")
    return (name[0], name[1]) if isinstance(name, tuple) and len(name) >= 2 else None


def certificate(transport: asyncio.BaseTransport) -> Mapping[str, Any] | None:
    """Return the client's TLS certificate, None if it has shown none."""
    return transport.get_extra_info("peercert") or None
