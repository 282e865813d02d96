"""The back end that each server of the suite runs: one hub, endpoints by path, and a path for questions.

The ASGI servers run `app`. The others are run by `python -m tests.server.conformance.app NAME PORT`.
"""

import asyncio
import json
import os
import resource
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import websockets
from aiohttp import web
from tests.watch import sockets

from websocket_heartbeat.errors import PeerGone
from websocket_heartbeat.server import Hub, Peer, Refusal, Request, serve

IDLE_TIMEOUT = 2.0
LARGEST = 4 * 2**20
"""The largest message that a server which can be told so accepts."""

FLOOD = bytes(2**20)
"""What /flood sends again and again."""

_tasks: dict[str, asyncio.Task[Any]] = {}  # of the endpoints that are running, by the name of their client
_ends: dict[str, list[Any]] = {}  # how clients have ended, by name: code, reason
_beginnings: Counter[str] = Counter()  # how often endpoints have begun, by the name of their client
_endings: dict[str, str] = {}  # how endpoints have ended, by the name of their client
_releases: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)  # end the work of /busy, by name


def _authenticate(request: Request) -> Refusal | None:
    if request.path == "/refused":
        return Refusal(503, {"Retry-After": "7"}, b"full")
    return None


def _on_close(peer: Peer, code: int | None, reason: str) -> None:
    _ends[peer.request.query] = [code, reason]


hub = Hub(
    on_close=_on_close,
    authenticate=_authenticate,
    idle_timeout=IDLE_TIMEOUT,
    close_timeout=1,
    write_limit=8 * 1024,  # so that who takes nothing of a FLOOD is dropped after 1 s
    dismissal="dismissed",
    sessions=os.environ.get("SESSIONS", "memory"),
)


# Endpoints that know the hub


async def endpoint(peer: Peer) -> None:
    """Serve a client as its path asks; the query is its name."""
    name = peer.request.query
    _beginnings[name] += 1
    peer.join(name)
    task = _tasks[name] = asyncio.current_task()  # type: ignore[assignment]
    try:
        await ENDPOINTS[peer.request.path](peer)
        _endings[name] = "returned"
    except BaseException as error:
        _endings[name] = type(error).__name__
        raise
    finally:
        if _tasks.get(name) is task:
            del _tasks[name]


async def _echo(peer: Peer) -> None:
    async for message in peer:
        peer.send(message)
        await peer.drain()


async def _busy(peer: Peer) -> None:
    await _releases[peer.request.query].wait()
    await _echo(peer)


async def _flood(peer: Peer) -> None:
    while True:
        peer.send(FLOOD)
        await peer.drain()


async def _returns(peer: Peer) -> None:
    await peer.recv()


async def _raises(peer: Peer) -> None:
    await peer.recv()
    raise ZeroDivisionError


async def _ask(peer: Peer) -> None:
    async for message in peer:
        assert isinstance(message, str)
        command, *arguments = json.loads(message)
        try:
            answer = COMMANDS[command](*arguments)
            answer = await answer if asyncio.iscoroutine(answer) else answer
        except ValueError as error:
            answer = f"ValueError: {error}"
        peer.send(json.dumps(answer))


ENDPOINTS: dict[str, Callable[[Peer], Awaitable[None]]] = {
    "/echo": _echo,
    "/busy": _busy,
    "/flood": _flood,
    "/returns": _returns,
    "/raises": _raises,
    "/ask": _ask,
}


# What may be asked


def _facts() -> dict[str, Any]:
    """Tell what is here: clients but for those that ask, tasks, sockets, and the most memory there was."""
    return {
        "peers": sum(peer.request.path != "/ask" for peer in hub.peers),
        "tasks": len(asyncio.all_tasks()),
        "sockets": len(sockets()),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _close(name: str, code: int, reason: str) -> None:
    for peer in hub.room(name):
        peer.close(code, reason)


def _abort(name: str) -> None:
    for peer in hub.room(name):
        peer.abort()


def _asked(name: str) -> list[Any] | None:
    """Tell what is known of a client: where it comes from, its path and query, and one of its headers."""
    for peer in hub.room(name):
        request = peer.request
        return [peer.remote_address, request.path, request.query, request.header("X-Token")]
    return None


async def _send_away(name: str, over: float) -> None:
    await hub.room(name).send_away(over)


COMMANDS: dict[str, Callable[..., Any]] = {
    "facts": _facts,
    "asked": _asked,
    "here": lambda name: len(hub.room(name)),
    "paused": lambda name: any(peer.paused for peer in hub.room(name)),
    "end": _ends.get,
    "begun": lambda name: _beginnings[name],
    "ending": _endings.get,
    "release": lambda name: _releases[name].set(),
    "close": _close,
    "abort": _abort,
    "cancel": lambda name: _tasks[name].cancel(),
    "dismiss": lambda name, reason: hub.room(name).dismiss(reason),
    "send away": _send_away,
}


# ASGI


async def _plain(scope: Any, receive: Any, send: Any) -> None:
    """Be an endpoint that knows nothing of the hub."""
    kind, name = scope["path"].rpartition("/")[2], scope["query_string"].decode()
    await receive()
    await send({"type": "websocket.accept"})
    _beginnings[name] += 1
    if kind == "feed":  # which never receives
        try:
            while True:
                await send({"type": "websocket.send", "text": "tick"})
                await asyncio.sleep(0.05)
        except OSError:
            _endings[name] = "told"
        return
    if kind == "talkative":
        await send({"type": "websocket.close", "code": 4400, "reason": "ü" * 100})
        return
    if kind in ("returns", "raises"):
        await receive()
        if kind == "raises":
            raise ZeroDivisionError
        return
    if kind == "busy":
        await _releases[name].wait()
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


async def _endpoints(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        with hub.send_away_on_sigterm(over=1):
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await hub.close()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        if scope["path"].startswith("/plain/"):
            await _plain(scope, receive, send)
            return
        async with hub.accept(scope) as peer:
            await endpoint(peer)


app = hub.asgi(_endpoints)


# The others


def _ours(port: int) -> None:
    async def on_open(peer: Peer) -> None:
        with suppress(PeerGone):
            await endpoint(peer)

    async def main() -> None:
        async with serve(hub=hub, port=port, on_open=on_open, on_close=_on_close, max_size=LARGEST):
            await _sigterm()
        await hub.close()

    asyncio.run(main())


def _aiohttp(port: int) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        async with hub.aiohttp(request, max_msg_size=LARGEST, compress=False) as peer:
            await endpoint(peer)
        return peer.response

    application = web.Application()
    application.router.add_get("/{path:.*}", handler)
    application.on_shutdown.append(partial(hub.on_shutdown, over=1))
    web.run_app(application, host="127.0.0.1", port=port, print=None)


def _websockets(port: int) -> None:
    async def main() -> None:
        async with websockets.serve(
            hub.websockets(endpoint),
            "127.0.0.1",
            port,
            process_request=hub.refuse,
            ping_interval=None,
            max_size=LARGEST,
        ):
            await _sigterm()
        await hub.close()

    asyncio.run(main())


async def _sigterm() -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()


RUNNERS: dict[str, Callable[[int], None]] = {"ours": _ours, "aiohttp": _aiohttp, "websockets": _websockets}


if __name__ == "__main__":
    RUNNERS[sys.argv[1]](int(sys.argv[2]))
