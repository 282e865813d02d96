"""Idle clients for benchmarks/sessions.py: `python -m benchmarks.session_clients URL COUNT SESSION`.

Each sends a message and gets it back. Then this prints "ready"; their sessions stay when it is killed.
"""

import asyncio
import sys

from benchmarks.crowd import AT_ONCE
from benchmarks.processes import CLIENT_CORE, pin
from websocket_heartbeat import Connection, connect


async def _open(url: str, session: str) -> Connection:
    connection = connect(url, proxy=None, session=session)  # type: ignore[arg-type]
    await connection
    await connection.send("x")
    await connection.recv()
    connection.on_message = lambda message: None  # so that the one received counts as handled
    return connection


async def main(url: str, count: int, session: str) -> None:
    """Stay until killed."""
    kept: list[Connection] = []
    for begin in range(0, count, AT_ONCE):
        few = range(min(AT_ONCE, count - begin))
        kept += await asyncio.gather(*(_open(url, session) for _ in few))
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    pin(CLIENT_CORE)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
