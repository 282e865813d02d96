"""How a client of an ASGI server is refused: by an HTTP answer, or by what comes closest to it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from websocket_heartbeat.engines.base import Closure
from websocket_heartbeat.server.admission import BODILESS, Refusal
from websocket_heartbeat.server.farewell import put_off
from websocket_heartbeat.server.links.asgi_channel import AsgiChannel, Receive
from websocket_heartbeat.server.links.asgi_servers import Send, server_of


async def refuse(
    refusal: Refusal, scope: Mapping[str, Any], receive: Receive, send: Send, timeout: float
) -> None:
    """Answer a handshake. timeout: seconds to wait for the client to go."""
    await receive()
    if "websocket.http.response" in (scope.get("extensions") or {}):
        headers = to_bytes(refusal.headers)
        if refusal.status not in BODILESS:
            headers.append((b"content-length", str(len(refusal.body)).encode()))
        await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": refusal.body})
        await _wait_for_end(receive, send, timeout)
    elif (later := put_off(refusal)) is not None:
        channel = AsgiChannel(receive, send, scope.get("http_version", "1.1"), None, None)
        await send({"type": "websocket.accept"})
        await _put_off(channel, *later, timeout)
    else:
        await send({"type": "websocket.close", "code": 1000})


async def _wait_for_end(receive: Receive, send: Send, timeout: float) -> None:
    """Wait for the end of a connection that was refused, where the server logs an error otherwise.

    uvicorn takes an application that returns before for broken.
    """
    if server_of(send).disconnects_twice:
        try:
            async with asyncio.timeout(timeout):
                for _ in range(2):
                    await receive()
        except TimeoutError:
            pass


async def _put_off(channel: AsgiChannel, code: int, reason: str, timeout: float) -> None:
    """Tell a client, which was accepted for that, by a close frame to come later."""
    try:
        async with asyncio.timeout(timeout):
            await channel.close(code, reason)
            while not isinstance(await channel.receive(), Closure):
                pass
    except TimeoutError:
        channel.reset()
    except OSError:  # it has left
        pass


def to_bytes(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI has them."""
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
