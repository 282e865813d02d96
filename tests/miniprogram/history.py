"""The history of a session of JavaScript through bad links: what each side has sent, the other handles once.

`python -m tests.miniprogram.history --messages 100000` runs the long form in Node and in Chromium.
"""

import argparse
import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.miniprogram.chromium import opened
from tests.miniprogram.led import led
from tests.miniprogram.real_hosts import HOSTS
from tools.es5.bundle import write
from tools.npm import find_node

from websocket_heartbeat.cli.js import Target, library
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Hub, Peer, serve
from websocket_heartbeat.server.sessions import limits
from websocket_heartbeat.testing import FaultProxy

KINDS = ("page", "wx", "chromium")

OPTIONS = {
    "pingTimeout": 500,
    "pongTimeout": 1000,
    "reconnectTimeout": 20,
    "maxReconnectTimeout": 200,
    "openTimeout": 3000,
    "stableAfter": 0,
}


PATIENCE = 3600
"""Seconds that a history may take."""


def made(number: int) -> Message:
    """The message of a number: text, and every seventh bytes; the programs in node/ make the same."""
    text = f"m{number} " + "é" * (number % 50)
    return text if number % 7 else text.encode()


class Ledger:
    """A hub that sends `count` messages to its client, and notes what it has handled."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.handled: list[Message] = []
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.peers = 0
        self.sending: asyncio.Task[None] | None = None
        self.hub = Hub(sessions="memory", on_open=self.opened, on_message=self.took, on_session_end=self.over)

    def opened(self, peer: Peer) -> None:
        self.peers += 1
        self.sending = asyncio.create_task(self.send(peer))

    async def send(self, peer: Peer) -> None:
        for number in range(self.count):
            peer.send(made(number))
            if number % 16 == 0:
                await peer.drain()

    def took(self, peer: Peer, message: Message) -> None:
        self.handled.append(message)

    def over(self, session: str, why: str, unacknowledged: tuple[Message, ...]) -> None:
        self.ended.set_result(len(unacknowledged))


async def spoil(proxy: FaultProxy, chance: random.Random, ledger: Ledger) -> None:
    """Break the links, at any byte and in any way, until cancelled.

    Not before the client has spoken: if its welcome were lost, it would begin another session, rightly.
    """
    while not ledger.handled:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    while True:
        await asyncio.sleep(chance.uniform(0.01, 0.1))
        fault = chance.random()
        if fault < 0.5:
            proxy.cut_after(chance.randint(1, 20_000))
        elif fault < 0.7:
            proxy.disconnect()
        elif fault < 0.9:
            proxy.reset()
        else:
            proxy.freeze(chance.choice(["to_client", "to_server", "both"]))
            await asyncio.sleep(chance.uniform(0.05, 0.3))
            proxy.disconnect()
            proxy.heal()


@contextlib.asynccontextmanager
async def in_node(kind: str, url: str, count: int, directory: Path) -> AsyncIterator["Client"]:
    """Run a page or a mini program in Node."""
    main: Target = "browser" if kind == "page" else "miniprogram"
    about: dict[str, Any] = {"kind": kind, "url": url, "count": count, "options": OPTIONS}
    about["modules"] = str(HOSTS / "node_modules")
    for name, target in (("library", main), ("session", "session")):
        file = directory / f"{kind}-{target}.js"
        file.write_text(library("cjs", target, minify=True))
        about[name] = str(file)
    async with led(find_node(), "history.js", about) as program:

        async def heard() -> list[list[Any]]:
            await program.until("heard", patience=PATIENCE)
            return program.told

        async def close() -> list[list[Any]]:
            program.order()
            await program.ended()
            return program.told

        yield heard, close


@contextlib.asynccontextmanager
async def in_chromium(kind: str, url: str, count: int, directory: Path) -> AsyncIterator["Client"]:
    """Run a page in Chromium."""
    scripts = {
        "library.js": library("iife", "browser", minify=True),
        "session.js": library("iife", "session", minify=True),
        "ledger.js": (Path(__file__).parent / "node" / "ledger.js").read_text(),
    }
    tags = "".join(f"<script src={name}></script>" for name in scripts)
    run = """async ([url, options, count]) => {
        window.told = [];
        options.session = WebsocketHeartbeatSession("require");
        const say = (...words) => told.push(words);
        window.ended = begin("page", WebsocketHeartbeatJs, url, options, count, say);
        told.push(["heard", (await ended).heard]);
        return told;
    }"""
    end = """async () => {
        const { close, isClosed } = await ended;
        close();
        while (!isClosed()) await new Promise((done) => setTimeout(done, 20));
        return told;
    }"""
    files = {**scripts, "index.html": f"<!doctype html><title>history</title>{tags}"}
    async with opened(files, directory / "profile") as (page, errors):
        yield lambda: page.evaluate(run, [url, OPTIONS, count]), lambda: page.evaluate(end)
        assert errors == []


Client = tuple[Callable[[], Awaitable[list[list[Any]]]], Callable[[], Awaitable[list[list[Any]]]]]
"""Return what the client was told: when it has heard all, and when it has closed after that."""


class History:
    """What has happened: how many links there were, what was wrong, and how long it took."""

    def __init__(self, count: int, told: Sequence[Sequence[Any]], ledger: Ledger, links: int) -> None:
        wanted = list(range(count))
        heard = next(list(words[1]) for words in told if words[0] == "heard")
        self.links = links
        self.resumed = sum(words[:2] == ["session", "resumed"] for words in told)
        self.uncertain = sum(words[3] for words in told if words[0] == "session")
        self.uncertain += ledger.ended.result()
        self.resets = [words for words in told if words[:2] == ["session", "reset"]]
        self.to_client = verdict(heard, wanted)
        self.to_server = verdict([_number(message) for message in ledger.handled], wanted)
        self.sessions = ledger.peers

    def __str__(self) -> str:
        return (
            f"{self.links} links, {self.resumed} resumed, {self.sessions} session; "
            f"to the server {self.to_server}, to the client {self.to_client}, {self.uncertain} uncertain"
        )


def _number(message: Message) -> int:
    text = message if isinstance(message, str) else message.decode()
    number = int(text[1:].partition(" ")[0])
    assert message == made(number)
    return number


def verdict(got: Sequence[int], wanted: Sequence[int]) -> str:
    """Say what is wrong with what one side has handled of what the other has sent."""
    if got == wanted:
        return "as sent"
    lost, doubled = len(set(wanted) - set(got)), len(got) - len(set(got))
    disordered = sum(after < before for before, after in pairwise(got))
    return f"{lost} lost, {doubled} doubled, {disordered} out of order"


@contextlib.asynccontextmanager
async def _resumed_at_any_rate() -> AsyncIterator[None]:
    """Let links break more often than a server lets a session resume."""
    with patch.object(limits, "RESUME_EVERY", 0.0):
        yield


async def history(kind: str, count: int, seed: int, directory: Path) -> History:
    """Send so many messages each way while links break, and return what has happened."""
    ledger = Ledger(count)
    client = in_chromium if kind == "chromium" else in_node
    async with (
        asyncio.timeout(PATIENCE),
        _resumed_at_any_rate(),
        serve(hub=ledger.hub) as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        client(kind, proxy.url(), count, directory) as (heard, close),
    ):
        spoiling = asyncio.create_task(spoil(proxy, random.Random(seed), ledger))
        try:
            await heard()
        finally:
            spoiling.cancel()
        # What a client that closes has not told when its last link breaks, nobody hears: so that one is well.
        proxy.heal()
        told = await close()
        await ledger.ended
        return History(count, told, ledger, proxy.connections_accepted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--kind", choices=KINDS, action="append")
    arguments = parser.parse_args()
    write()
    for kind in arguments.kind or KINDS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            seen = asyncio.run(history(kind, arguments.messages, arguments.seed, Path(directory)))
        took = f"seed {arguments.seed}, {time.monotonic() - began:.0f} s"
        print(f"{kind}: {arguments.messages} each way, {took}: {seen}", flush=True)


if __name__ == "__main__":
    main()
