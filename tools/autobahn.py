"""Runs an engine through all cases of an Autobahn fuzzing server, and says what is not right.

    python tools/autobahn.py ws://127.0.0.1:9001 picows

The server is `wstest -m fuzzingserver` of the package autobahntestsuite, under Python 2.7.
"""

import asyncio
import json
import sys
from collections import Counter

from websocket_heartbeat import Connection, ConnectionFailed, Heartbeat, connect
from websocket_heartbeat.engines.base import Engine
from websocket_heartbeat.engines.websockets import WebsocketsEngine

ENGINES: dict[str, str | Engine] = {
    "picows": "picows",
    "websockets": "websockets",
    "websockets, compression": WebsocketsEngine(compression=True),
    "aiohttp": "aiohttp",
}


def link(url: str, engine: str | Engine = "picows") -> Connection:
    # One link only; the cases have their own time limits, so that no heartbeat is wanted.
    return connect(url, engine=engine, max_attempts=0, heartbeat=Heartbeat(600, 600), max_size=2**26)


async def ask(url: str) -> str:
    """Return the one message that the server has for that address."""
    async with link(url) as connection:
        return str(await connection.recv())


async def echo(url: str, engine: str | Engine) -> None:
    """Be the client of one case: send everything back until the server ends it."""
    async with link(url, engine) as connection:
        try:
            async for message in connection:
                await connection.send(message)
        except ConnectionFailed:
            return


async def main(server: str, name: str) -> None:
    """Run all cases; print the counts, and each case that is neither OK, informational nor unimplemented."""
    behaviors: Counter[str] = Counter()
    agent = f"agent={name.replace(', ', '-')}"
    for number in range(1, int(await ask(f"{server}/getCaseCount")) + 1):
        case = f"case={number}&{agent}"
        await echo(f"{server}/runCase?{case}", ENGINES[name])
        behavior = json.loads(await ask(f"{server}/getCaseStatus?{case}"))["behavior"]
        behaviors[behavior] += 1
        if behavior not in ("OK", "INFORMATIONAL", "UNIMPLEMENTED"):
            info = json.loads(await ask(f"{server}/getCaseInfo?{case}"))
            print(behavior, info["id"], info["description"], flush=True)
    await echo(f"{server}/updateReports?{agent}", "picows")
    print(name, dict(behaviors))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
