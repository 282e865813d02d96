"""Behind a Unix socket, where the kernel does not tell of bytes and so not of the answers to pings."""

import asyncio
from pathlib import Path

from starlette.websockets import WebSocket
from tests.server.frameworks.serving import serving, socket_app
from tests.server.raw import Closes
from tests.watch import Run, until

from websocket_heartbeat import Heartbeat, connect
from websocket_heartbeat.server import Hub

IDLE_TIMEOUT = 0.4


def test_a_healthy_client_is_kept_and_one_that_has_stopped_its_heartbeats_is_dropped(
    run: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        closes = Closes()
        hub = Hub(idle_timeout=IDLE_TIMEOUT, on_close=closes)

        async def endpoint(websocket: WebSocket) -> None:
            async with hub.accept(websocket) as peer:
                async for message in peer:
                    peer.send(message)

        path = str(tmp_path / "socket")
        quiet = Heartbeat(interval=60)
        async with (
            serving(hub.asgi(socket_app(endpoint)), path),
            connect("ws://localhost/", unix_path=path, heartbeat=quiet) as healthy,
        ):
            await healthy.send("hello")
            assert await healthy.recv() == "hello"
            await asyncio.sleep(4 * IDLE_TIMEOUT)
            assert closes.seen == []
            async with connect("ws://localhost/", unix_path=path, heartbeat=quiet) as stopped:
                await stopped.send("heartbeat")
                await until(lambda: closes.seen)
                assert closes.seen == [(2, None, f"silent for {IDLE_TIMEOUT:g} s")]
                await healthy.send("still here")
                assert await healthy.recv() == "still here"

    run(main())
