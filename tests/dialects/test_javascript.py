"""The built file for pages, in Node, with the dialects of js/README.md, against our server and a real one."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

from tests.dialects.conftest import StartServer
from tests.watch import until
from tools.es5.bundle import write

from websocket_heartbeat import Dialect, Message
from websocket_heartbeat.cli.js import library
from websocket_heartbeat.server import Peer, serve

README = Path(__file__).parents[2] / "js" / "README.md"

QUICK = "pingTimeout: 200, pongTimeout: 2000, bothDirections: true, "


def examples() -> tuple[str, str]:
    """Return the examples of the section: the one of texts, and that of GraphQL."""
    section = README.read_text(encoding="utf-8").split("### Heartbeats of a protocol\n")[1].split("\n##")[0]
    texts, graphql = re.findall(r"^```js\nimport [^\n]*\n(.*?)^```", section, re.M | re.S)
    return texts, graphql


@contextlib.asynccontextmanager
async def page(
    node: str, directory: Path, example: str, url: str, more: str = ""
) -> AsyncIterator[list[str]]:
    """Run an example with a server of ours; the list has what it prints."""
    write()
    (directory / "library.js").write_text(library("cjs", "browser", minify=True))
    code = re.sub(r"'wss://[^']*'", json.dumps(url), example).replace("pingMsg:", QUICK + "pingMsg:")
    begin = 'const WebsocketHeartbeatJs = require("./library.js");\n'
    (directory / "page.js").write_text(begin + code + more)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(node, str(directory / "page.js"), stdout=pipe, stderr=pipe)
    lines: list[str] = []
    assert process.stdout is not None
    output = process.stdout

    async def read() -> None:
        async for line in output:
            lines.append(line.decode().strip())

    reading = asyncio.create_task(read())
    try:
        yield lines
    finally:
        process.kill()
        await reading
        _, errors = await process.communicate()
    assert errors.decode() == ""


def test_texts_with_our_server_that_speaks_the_same(node: str, tmp_path: Path) -> None:
    seen: list[Message] = []
    opened: list[Peer] = []
    told = "heartbeat.onmessage = ({ data }) => console.log(data);\n"

    async def main() -> None:
        async with (
            serve(
                lambda _, message: seen.append(message),
                on_open=opened.append,
                heartbeat=Dialect("ping", "pong"),
                idle_timeout=1,
            ) as server,
            page(node, tmp_path, examples()[0], server.url(), told) as lines,
        ):
            await until(lambda: opened)
            for _ in range(60):  # a feed, and nothing but heartbeats in the other direction
                opened[0].send("tick")
                await asyncio.sleep(0.05)
            await asyncio.sleep(2)  # and nothing at all
            opened[0].send("the end")
            await until(lambda: "the end" in lines)
            assert set(lines) == {"tick", "the end"}
            assert len(opened) == 1
        assert seen == []

    asyncio.run(main())


def test_texts_with_a_server_that_sends_heartbeats_of_its_own(node: str, tmp_path: Path) -> None:
    pings: list[Message] = []
    pongs: list[Message] = []

    def answer(peer: Peer, message: Message) -> None:
        if message == "ping":
            pings.append(message)
            peer.send("pong")
        else:
            pongs.append(message)

    busy = "heartbeat.onmessage = () => new Promise(() => {});\n"

    async def main() -> None:
        async with (
            serve(answer, heartbeat=None) as server,
            page(node, tmp_path, examples()[0], server.url(), busy),
        ):
            await until(lambda: server.connections)
            (peer,) = server.connections
            for _ in range(5):
                peer.send("work")
                peer.send("ping")
                await until(lambda: pongs)
                assert pongs.pop() == "pong"
            await until(lambda: len(pings) >= 3)
            assert server.connections == (peer,)

    asyncio.run(main())


def test_graphql_transport_ws(node: str, start: StartServer, tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            start("graphql.mjs") as server,
            page(node, tmp_path, examples()[1], server.url) as lines,
        ):
            await until(lambda: sum('"ping"' in line for line in server.told) >= 3)
            sent = [json.loads(line)["type"] for line in server.told]
            assert {json.loads(line)["type"] for line in lines} == {"next"}
        first = sent.index("subscribe")
        assert set(sent[:first]) == {"connection_init", "pong"}
        assert sent.count("connection_init") == 1

    asyncio.run(main())
