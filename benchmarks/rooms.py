"""What a message to a room costs: deliveries for each second of the server's CPU time, 200 and 1,000 members.

The members are bare sockets in another process (receivers.py). A message is sent in each turn of the loop, as
fast as it goes, or every 20 ms, when nothing can be written together with anything else. Time is counted
until the last member has the last one.
"""

import asyncio
import socket
import sys
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

from benchmarks import figures, report
from benchmarks.processes import SERVER_CORE, pin, take_turns

Answer = dict[str, float]
Send = Callable[[str], Awaitable[None] | None]

_PACE = 0.02


async def _measure(
    port: int,
    send: Send,
    options: dict[str, int],
    *,
    target: str = "/",
    extra: int = 0,
    hello: bytes = b"",
    count: Callable[[], int],
) -> Answer:
    """Have a room of members at that port, and send to it.

    extra: bytes that the protocol adds to each message. hello: what each member sends at first.
    count: returns how many are in the room.
    """
    members, size, messages, is_paced = (options[key] for key in ("members", "size", "messages", "is_paced"))
    payload = size + extra
    total = members * messages * (payload + (2 if payload < 126 else 4))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.receivers",
        *(str(port), target, str(members), str(total), hello.hex()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        await _line(process.stdout, b"ready")
        assert count() == members, f"{count()} of {members} members are here"
        text = "x" * size
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(messages):
            pending = send(text)
            if pending is not None:
                await pending
            await asyncio.sleep(_PACE if is_paced else 0)
        await _line(process.stdout, b"done")
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    finally:
        process.kill()
        await process.wait()
    deliveries = members * messages
    return {"rate": deliveries / wall, "microseconds": cpu / deliveries * 1e6}


async def _line(stream: asyncio.StreamReader, expected: bytes) -> None:
    line = await stream.readline()
    if line.strip() != expected:
        raise RuntimeError(f"the members said {line!r} instead of {expected!r}")


async def ours(url: str, **options: int) -> Answer:
    """Ours: a room of our own listener."""
    from websocket_heartbeat.server import Hub, Peer, serve

    def on_open(peer: Peer) -> None:
        peer.join("room")

    hub = Hub(on_open=on_open)
    async with serve(hub=hub) as server:
        room = hub.room("room")
        return await _measure(server.port, room.send, options, count=lambda: len(room))


async def ours_each(url: str, **options: int) -> Answer:
    """Ours: a loop over the peers."""
    from websocket_heartbeat.server import serve

    async with serve() as server:

        def send(text: str) -> None:
            for peer in server.connections:
                peer.send(text)

        return await _measure(server.port, send, options, count=lambda: len(server.connections))


async def ours_uvicorn(url: str, **options: int) -> Answer:
    """Ours: a room over uvicorn."""
    from websocket_heartbeat.server import Hub

    hub = Hub()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with hub.accept(scope) as peer:
            peer.join("room")
            async for _ in peer:
                pass

    async with _uvicorn(hub.asgi(app)) as port:
        room = hub.room("room")
        return await _measure(port, room.send, options, count=lambda: len(room))


async def websockets(url: str, **options: int) -> Answer:
    """The broadcast of websockets."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    async def stay(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(stay, "127.0.0.1", 0, compression=None, close_timeout=0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        return await _measure(
            port,
            lambda text: broadcast(server.connections, text),
            options,
            count=lambda: len(server.connections),
        )


async def picows(url: str, **options: int) -> Answer:
    """A loop over the transports of picows, which is written in C."""
    import picows

    transports: list[picows.WSTransport] = []

    class Listener(picows.WSListener):
        def on_ws_connected(self, transport: picows.WSTransport) -> None:
            transports.append(transport)

    def send(text: str) -> None:
        payload = text.encode()
        for transport in transports:
            transport.send(picows.WSMsgType.TEXT, payload)

    server = await picows.ws_create_server(lambda request: Listener(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await _measure(port, send, options, count=lambda: len(transports))


async def socketio(url: str, **options: int) -> Answer:
    """A room of python-socketio, on uvicorn."""
    import socketio

    sio = socketio.AsyncServer(async_mode="asgi", ping_interval=120)
    members: list[str] = []

    @sio.event
    async def connect(sid: str, environ: Any) -> None:
        await sio.enter_room(sid, "room")
        members.append(sid)

    async with _uvicorn(socketio.ASGIApp(sio)) as port:
        return await _measure(
            port,
            lambda text: sio.emit("m", text, room="room"),
            options,
            target="/socket.io/?EIO=4&transport=websocket",
            extra=len('42["m",""]'),
            hello=b"\x81\x82\0\0\0\x0040",  # connects, in a frame whose mask is zero
            count=lambda: len(members),
        )


async def channels(url: str, **options: int) -> Answer:
    """A group of Channels' layer in memory, on uvicorn."""
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.layers import InMemoryChannelLayer
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    # What a channel has no room for is dropped: 100 messages by default.
    layer = InMemoryChannelLayer(capacity=100_000)
    members: list[object] = []

    class Consumer(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await layer.group_add("room", self.channel_name)
            members.append(self)

        async def tell(self, event: dict[str, Any]) -> None:
            await self.send(text_data=event["text"])

    # As Channels finds its default layer in the settings of Django.
    from channels import layers

    layers.channel_layers.set("default", layer)
    async with _uvicorn(Consumer.as_asgi()) as port:
        return await _measure(
            port,
            lambda text: layer.group_send("room", {"type": "tell", "text": text}),
            options,
            count=lambda: len(members),
        )


@asynccontextmanager
async def _uvicorn(app: Any) -> AsyncIterator[int]:
    import uvicorn

    sock = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", lifespan="off", ws_ping_interval=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[sock])
    try:
        yield sock.getsockname()[1]
    finally:
        server.force_exit = True
        await server.shutdown(sockets=[sock])


def _contender(function: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
    async def run(**options: Any) -> Answer:
        pin(SERVER_CORE)
        return await function(**options)

    return run


CONTENDERS = {
    name: _contender(function)
    for name, function in {
        "ours, room": ours,
        "ours, each peer": ours_each,
        "ours on uvicorn, room": ours_uvicorn,
        "picows, each": picows,
        "websockets, broadcast": websockets,
        "socketio, room": socketio,
        "channels, group": channels,
    }.items()
}

_CASES = ((1000, 32, False), (200, 32, False), (200, 1024, False), (200, 32, True))
"""Members, bytes of a message, whether it is sent every 20 ms only."""
_DELIVERIES = 60_000
_PACED_MESSAGES = 40
_FEWER = {"ours on uvicorn, room": 3, "socketio, room": 6, "channels, group": 12}


def run(options: Namespace) -> None:
    """Send, print, save and draw."""
    rows: list[dict[str, Any]] = []
    for members, size, is_paced in _CASES:
        answers = take_turns(
            "rooms",
            [(name, "asyncio") for name in CONTENDERS],
            7 if options.long else 3,
            lambda name, members=members, size=size, is_paced=is_paced: {  # type: ignore[misc]
                "members": members,
                "size": size,
                "is_paced": is_paced,
                "messages": _PACED_MESSAGES if is_paced else _DELIVERIES // members // _FEWER.get(name, 1),
            },
        )
        rows += [
            {
                "members": members,
                "size": size,
                "pace": "every 20 ms" if is_paced else "fast",
                "contender": label,
                "rate": report.spread([1e6 / answer["microseconds"] for answer in rounds]),
                "microseconds": report.spread([answer["microseconds"] for answer in rounds]),
                "ours_to_it": _ratio(answers, label),
            }
            for label, rounds in answers.items()
        ]
    report.table(
        "Messages to a room (last column: ours as a multiple of it, by CPU time of the same round, median)",
        ["members", "bytes", "sent", "contender", "deliveries/s", "CPU us", "least", "ours to it"],
        [
            [
                row["members"],
                row["size"],
                row["pace"],
                row["contender"],
                row["rate"]["median"],
                row["microseconds"]["median"],
                row["microseconds"]["min"],
                row["ours_to_it"],
            ]
            for row in rows
        ],
    )
    report.keep("rooms", {"rows": rows})
    chart = {
        row["contender"]: row["rate"]["median"]
        for row in rows
        if (row["members"], row["size"], row["pace"]) == (1000, 32, "fast")
    }
    figures.bars("rooms", "Deliveries of 32 bytes to a room of 1,000, for each second of a core", chart)


def _ratio(answers: dict[str, list[Answer]], label: str) -> float:
    """How many times as many deliveries ours makes with the same CPU time."""
    pairs = zip(answers[label], answers["ours, room"], strict=True)
    return median(theirs["microseconds"] / mine["microseconds"] for theirs, mine in pairs)
