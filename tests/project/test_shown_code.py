"""What pages show of a login, of late messages and of the server works as it stands, over real sockets."""

import ast
import asyncio
import inspect
import itertools
import json
import re
import sqlite3
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
import websockets
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, Connection, connect
from websocket_heartbeat.server import Hub, Peer, serve

DOCS = Path(__file__).parents[2] / "docs"
SOON = Backoff(initial=0.05, maximum=0.1)


def section(page: str, title: str) -> str:
    """Return the text of a section."""
    found = re.search(rf"^## {title}\n(.*?)(^## |\Z)", (DOCS / page).read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    return found[1]


async def example(page: str, title: str, names: dict[str, Any]) -> None:
    """Run the first Python code of a section in these names, to which it adds its own."""
    found = re.search(r"^```python\n(.*?)^```", section(page, title), re.M | re.S)
    assert found is not None
    code: CodeType = compile(found[1], title, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result


def test_logging_in(run_asyncio: Run) -> None:
    tokens = itertools.chain(["wrong"], itertools.repeat("right"))
    heard: list[dict[str, Any]] = []

    def exchange(peer: Peer, message: Any) -> None:
        heard.append(json.loads(message))
        if heard[-1]["op"] == "login":
            peer.send('{"op": "announcement"}')
            peer.send(json.dumps({"op": "login", "ok": heard[-1]["token"] == "right"}))

    async def main() -> None:
        async with serve(exchange) as server, connect(server.url(), backoff=SOON) as connection:
            names = {
                "asyncio": asyncio,
                "connection": connection,
                "token": lambda: next(tokens),
            }
            await example("how-to/login.md", "Where the server talks before it answers", names)
            await connection.send('{"op": "order"}')
            await connection.wait_open(PATIENCE)
            await until(lambda: len(heard) == 4)

    run_asyncio(main())
    assert [(each["op"], each.get("token")) for each in heard] == [
        ("login", "wrong"),
        ("login", "right"),
        ("subscribe", None),
        ("order", None),
    ]


def test_messages_that_are_not_to_be_sent_late(run_asyncio: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with serve() as server:
            connection: Connection = connect(server.url(), backoff=Backoff(initial=60))
            async with connection:
                await connection.wait_open(PATIENCE)
                await example("topics/messages.md", "What must not be sent late", {"connection": connection})
                assert await connection.recv() == "an order that is stale in five seconds"
                server.connections[0].abort()
                await until(lambda: connection.state == "waiting")
                await connection.send("late", ttl=0.01)
                await until(lambda: "not sent" in capsys.readouterr().out)
                assert connection.queued == ()

    run_asyncio(main())


def test_effects_that_happen_once(run_asyncio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        names: dict[str, Any] = {"sqlite3": sqlite3}
        await example("server/effects.md", "With a database of your own", names)
        database = names["database"]
        hub = Hub(sessions="sqlite:///sessions.db", on_message=names["on_message"])
        async with serve(hub=hub) as server:
            async with connect(server.url(), session="require", backoff=SOON) as connection:
                for item in ("book", "pen"):
                    await connection.send(item)
                assert [await connection.recv() for _ in range(2)] == ["placed: book", "placed: pen"]
            await hub.close()
        (row,) = database.execute("select distinct session from placed").fetchall()
        assert database.execute("select number, item from placed").fetchall() == [(1, "book"), (2, "pen")]
        peer = Handled(row[0], 2)
        names["on_message"](peer, "pen")  # as the next process does, if this one dies before the record
        assert peer.sent == ["was placed: pen"]
        database.close()

    run_asyncio(main())


class Handled:
    """A peer whose message comes a second time."""

    def __init__(self, session: str, number: int) -> None:
        self.session = session
        self.number = number
        self.sent: list[object] = []
        self.send = self.sent.append


def test_pushing(run: Run) -> None:
    async def main() -> None:
        ticks: asyncio.Queue[str] = asyncio.Queue()
        names: dict[str, Any] = {"asyncio": asyncio, "next_tick": ticks.get}
        await example("server/index.md", "Pushing", names)
        async with serve(on_open=names["on_open"], on_close=names["on_close"]) as server:
            async with websockets.connect(server.url()) as ws:
                for tick in "abc":
                    ticks.put_nowait(tick)
                    assert await ws.recv() == tick
                await ws.send("echo")  # messages are taken meanwhile
                assert await ws.recv() == "echo"
                (task,) = names["tasks"].values()
            await until(lambda: not names["tasks"])
            await until(task.done)
            assert task.cancelled()

    run(main())
