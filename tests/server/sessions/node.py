"""A process that serves sessions, for tests of several: `python -m ...sessions.node PLACE DURABILITY`.

It tells its port, and then what happens, each as a line of JSON. It closes when its standard input ends.
"""

import asyncio
import json
import sys
from typing import Any

from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer, Request, serve


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def on_open(peer: Peer) -> None:
    peer.join("lobby")
    say(**({"plain": True} if peer.session is None else {"open": peer.session}))


def on_message(peer: Peer, message: Message) -> None:
    """Count the messages of the session in its state, and send the count back with each."""
    peer.state["count"] = peer.state.get("count", 0) + 1
    peer.send(f"{peer.state['count']} {message!s}")


def authenticate(request: Request) -> str | None:
    return request.query.removeprefix("user=") or None


async def main(place: str, durability: str) -> None:
    hub = Hub(
        sessions=place,
        durability=durability,
        authenticate=authenticate,
        on_open=on_open,
        on_message=on_message,
        on_session_end=lambda session, why, unacknowledged: say(end=[session, why, list(unacknowledged)]),
    )
    async with hub, serve(hub=hub) as server:
        print(server.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
