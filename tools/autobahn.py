"""Runs our client and our server through all cases of Autobahn, and says what is not right.

    python tools/autobahn.py WSTEST [client | aiohttp | server] ...

WSTEST is the command of the package autobahntestsuite, which needs Python 2.7. It takes half an hour.
"""

import asyncio
import json
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websocket_heartbeat import Connection, Heartbeat, connect
from websocket_heartbeat.server import serve

MAX_SIZE = 2**26
GOOD = ("OK", "INFORMATIONAL", "UNIMPLEMENTED")
ENGINES: dict[str, dict[str, Any]] = {"client": {"compression": True}, "aiohttp": {"engine": "aiohttp"}}


@asynccontextmanager
async def running(wstest: str, mode: str, spec: dict[str, Any]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run wstest with all cases; end it if it has not ended by itself."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"cases": ["*"], "exclude-cases": [], "exclude-agent-cases": {}, **spec}, file)
        file.flush()
        silent = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            wstest, "-m", mode, "-s", file.name, stdout=silent, stderr=silent
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def link(url: str, **options: Any) -> Connection:
    # One link only; the cases have their own time limits, so that no heartbeat is wanted.
    return connect(
        url, proxy=None, max_retries=0, heartbeat=Heartbeat(600, 600), max_size=MAX_SIZE, **options
    )


async def ask(url: str) -> Any:
    """Return what the server has at that address: one message of JSON."""
    async with link(url) as connection:
        return json.loads(await connection.recv())


async def echo(url: str, **options: Any) -> None:
    """Be the client of one case: send everything back until the server ends it."""
    connection = link(url, **options)
    connection.on_message = connection.send_nowait
    async with connection:
        try:
            await connection.wait_closed()
        except Exception:
            return


async def as_client(wstest: str, name: str) -> dict[str, str]:
    """Let our client meet Autobahn's server; return how each case went."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = f"ws://127.0.0.1:{free.getsockname()[1]}"
    results: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as reports:
        async with running(wstest, "fuzzingserver", {"url": server, "webport": 0, "outdir": reports}):
            while True:
                try:
                    count = await ask(f"{server}/getCaseCount")
                    break
                except Exception:
                    await asyncio.sleep(0.2)
            for number in range(1, count + 1):
                case = f"case={number}&agent={name}"
                await echo(f"{server}/runCase?{case}", **ENGINES[name])
                info = await ask(f"{server}/getCaseInfo?{case}")
                results[info["id"]] = (await ask(f"{server}/getCaseStatus?{case}"))["behavior"]
    return results


async def as_server(wstest: str, name: str) -> dict[str, str]:
    """Let our server meet Autobahn's client; return how each case went."""
    with tempfile.TemporaryDirectory() as reports:
        async with serve(compression=True, max_size=MAX_SIZE, write_limit=2 * MAX_SIZE) as server:
            spec = {"servers": [{"agent": name, "url": server.url()}], "outdir": reports}
            async with running(wstest, "fuzzingclient", spec) as process:
                await process.wait()
        report = json.loads((Path(reports) / "index.json").read_text())[name]
    return {case: result["behavior"] for case, result in report.items()}


async def main(wstest: str, *names: str) -> None:
    """Run all cases; print the counts, and each case that did not go well."""
    for name in names or ("client", "aiohttp", "server"):
        results = await (as_server if name == "server" else as_client)(wstest, name)
        for case, behavior in results.items():
            if behavior not in GOOD:
                print(f"{name}: {behavior} {case}", flush=True)
        print(name, len(results), dict(Counter(results.values())), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
