"""A service that Prometheus can scrape, and clients that lose their links: something for the dashboard.

    python service.py          scrape the port that it prints, and import dashboard.json into Grafana

It needs: pip install 'websocket-heartbeat[otel]' opentelemetry-exporter-prometheus
"""

import asyncio
import random
import sys

import prometheus_client
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider

from websocket_heartbeat import Backoff, Fleet, Heartbeat, connect, otel
from websocket_heartbeat.server import Hub, Peer, Refusal, Request, serve


def authenticate(request: Request) -> str | Refusal:
    return "client" if request.query == "token=good" else Refusal(403)


def echo(peer: Peer, message: str | bytes) -> None:
    peer.send(message)


async def main(port: int) -> None:
    otel.instrument(meter_provider=MeterProvider([PrometheusMetricReader()]))
    exporter, _ = prometheus_client.start_http_server(port, "127.0.0.1")
    print(f"http://127.0.0.1:{exporter.server_port}/metrics", flush=True)

    hub = Hub(on_message=echo, authenticate=authenticate, sessions="memory", idle_timeout=2)
    async with serve(hub=hub) as server, Fleet(open_rate=50) as fleet:
        url = server.url("/feed?token=good")
        soon = Backoff(initial=0.2, maximum=2)
        for number in range(8):
            pace = Heartbeat(interval=1, timeout=5) if number else Heartbeat(interval=30)
            name = f"client {number}"
            if number % 2:
                fleet.add(connect(url, name=name, heartbeat=pace, backoff=soon, session="prefer"))
            else:
                fleet.add(connect(url, name=name, heartbeat=pace, backoff=soon))
        fleet.add(connect(server.url("/feed?token=bad"), name="stranger"))  # is refused, for good
        while True:
            await asyncio.sleep(1)
            await random.choice(fleet.connections).send("hello")
            if hub.peers:
                random.choice(hub.peers).abort()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9464))
