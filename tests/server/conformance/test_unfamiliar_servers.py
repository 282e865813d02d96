"""Where the insides of a server are unknown, or have moved, there is no transport for us; nothing raises."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from tests.watch import Run, until

from websocket_heartbeat.server import Hub

CLOSE_LATER = 1013


class _Elsewhere:
    """What a server sends by, in a version that keeps its transport elsewhere."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def send(self, event: dict[str, Any]) -> None:
        self.sent.append(event)


class _Transport:
    """One of daphne's that has a socket and none of the rest."""

    def getHandle(self) -> None:  # noqa: N802  # Twisted's name
        return None


def _sender(package: str) -> tuple[_Elsewhere, Callable[[dict[str, Any]], Awaitable[None]]]:
    kind = type("Elsewhere", (_Elsewhere,), {"__module__": f"{package}.protocols"})
    server = kind()
    if package == "daphne":
        server.transport = _Transport()

        async def reply(protocol: _Elsewhere, event: dict[str, Any]) -> None:
            await protocol.send(event)

        return server, partial(reply, server)
    return server, server.send


@pytest.mark.parametrize("package", ["uvicorn", "hypercorn", "daphne", "unheard_of"])
def test_a_client_of_an_unfamiliar_server_is_served_and_closed(run_asyncio: Run, package: str) -> None:
    async def main() -> None:
        hub = Hub(close_timeout=0.1)
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        server, send = _sender(package)

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            async with hub.accept(scope) as peer:
                peer.send(await peer.recv())
                peer.close(CLOSE_LATER, "later")
                await peer.wait_closed()

        scope = {"type": "websocket", "path": "/", "headers": []}
        running = asyncio.create_task(hub.asgi(endpoint)(scope, events.get, send))
        events.put_nowait({"type": "websocket.connect"})
        events.put_nowait({"type": "websocket.receive", "text": "hello"})
        await until(lambda: len(server.sent) >= 3)
        assert [event["type"] for event in server.sent] == [
            "websocket.accept",
            "websocket.send",
            "websocket.close",
        ]
        assert server.sent[2]["code"] == CLOSE_LATER
        events.put_nowait({"type": "websocket.disconnect", "code": CLOSE_LATER})
        events.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await running
        assert hub.peers == ()
        await hub.close()

    run_asyncio(main())
