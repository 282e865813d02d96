"""aiosignalr: SignalR's protocol for Python, with stateful reconnect on both sides."""

import asyncio
import sys
from typing import Any

from aiosignalr.client.hub_connection import HubConnection, HubConnectionOptions
from aiosignalr.client.retry import RetryContext, RetryPolicy
from aiosignalr.server import Hub, ServerOptions, SignalRServer

from benchmarks.delivery.job import Job, ready

OPTIONS = HubConnectionOptions(server_timeout=4, keep_alive_interval=1)


class Often(RetryPolicy):
    def next_retry_delay(self, context: RetryContext) -> float | None:
        return float(min(1.0, 0.1 * 2**context.previous_retry_count))


async def client(job: Job) -> None:
    connection = HubConnection(options=OPTIONS).with_stateful_reconnect().with_retry_policy(Often())

    async def send(text: str) -> None:
        await connection.send("m", text)

    connection.on("m", job.received)
    while True:
        try:
            await connection.start(f"{job.http_url}hub", transports={"WebSockets"})
            break
        except Exception:
            await asyncio.sleep(0.2)
    job.attach(send)
    await job.run()
    await connection.stop()


async def server(job: Job) -> None:
    class Messages(Hub):
        async def on_connected(self) -> None:
            caller = self.clients.caller

            async def send(text: str) -> None:
                await caller.send("m", text)

            self.context.state["send"] = send
            job.attach(send)

        async def on_disconnected(self, *error: Any) -> None:
            job.detach(self.context.state.get("send"))

        async def m(self, text: str) -> None:
            job.received(text)

    options = ServerOptions(allow_stateful_reconnects=True, keep_alive_interval=1, client_timeout_interval=4)
    running = SignalRServer(Messages, options=options)
    _, port = await running.serve("127.0.0.1", 0, path="/hub")
    ready(port)
    await job.run()
    await running.close()


if __name__ == "__main__":
    asyncio.run((client if sys.argv[2] == "client" else server)(Job()))
