"""A hub ends clients for good: our Python client, and our JavaScript in Node; others it harms by nothing."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from tests.server.frameworks.serving import serving
from tests.watch import PATIENCE, Run, turns, until
from tools.npm import find_node

from websocket_heartbeat import (
    Backoff,
    Connection,
    ConnectionFailed,
    Dialect,
    Fleet,
    Heartbeat,
    Message,
    connect,
    sync,
)
from websocket_heartbeat.cli.js import library
from websocket_heartbeat.server import Hub, Peer, Request, serve

BYE = "dismissed"

HOW: dict[str, tuple[bool, int]] = {"message": (True, 4000), "code": (False, 4500), "both": (True, 4500)}
"""How a client is told: whether by the message, and by which code."""

PROGRAM = """
const WebsocketHeartbeatJs = require("./library.js");
const heartbeat = new WebsocketHeartbeatJs(JSON.parse(process.argv[2]));
for (const name of ["open", "message", "close", "reconnect", "giveup"]) {
    heartbeat["on" + name] = (event) => {
        const about = name === "message" ? event.data : event.reason || "";
        console.log(JSON.stringify([name, heartbeat.state, event.code || null, about]));
    };
}
"""


def who(request: Request) -> str:
    return request.query


def client(url: str, user: str, **options: Any) -> Connection:
    return connect(f"{url}?{user}", backoff=Backoff(0.01, 0.05), **options)


async def failure(connection: Connection) -> ConnectionFailed:
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ConnectionFailed) as caught:
            await connection.wait_closed()
    return caught.value


class Node:
    """A program in Node that uses the built file for pages."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self) -> tuple[str, str, int | None, str]:
        """Return what it is told next: the hook, the state then, a code, a reason or a message."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            name, state, code, about = json.loads(await self._process.stdout.readline())
        return name, state, code, about

    async def ended(self) -> str:
        """Wait until it ends by itself, as no timer and no socket is left; return what else it printed."""
        async with asyncio.timeout(PATIENCE):
            out, errors = await self._process.communicate()
        assert self._process.returncode == 0
        return out.decode() + errors.decode()


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "library.js").write_text(library("cjs", "browser"))
    (tmp_path / "program.js").write_text(PROGRAM)
    return tmp_path


@contextlib.asynccontextmanager
async def node(directory: Path, url: str, **options: Any) -> AsyncIterator[Node]:
    about = json.dumps({"url": url, "reconnectTimeout": 50, **options})
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        find_node(), str(directory / "program.js"), about, stdout=pipe, stderr=pipe
    )
    try:
        yield Node(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


# A user, a room, one peer


@pytest.mark.parametrize("how", HOW)
def test_all_connections_of_a_user_end_and_those_of_others_go_on(how: str, run: Run) -> None:
    has_message, code = HOW[how]

    async def main() -> None:
        hub = Hub(authenticate=who, dismissal=BYE if has_message else None)
        options = {"dismissal": BYE if has_message else None}
        async with (
            serve(hub=hub) as server,
            client(server.url(), "ann", **options) as phone,
            client(server.url(), "ann", **options, heartbeat=Heartbeat(message="heartbeat")) as laptop,
            client(server.url(), "bob", **options) as bob,
        ):
            for each in (phone, laptop, bob):
                await each.wait_open(PATIENCE)
            hub.user("ann").dismiss("banned", code)
            for each in (phone, laptop):
                failed = await failure(each)
                assert (failed.code, each.stats.attempts) == (code, 1)
                words = f"the server closed the link with {code}: banned"
                assert failed.reason == (f"dismissed by the server: {words}" if has_message else words)
            await until(lambda: len(hub.peers) == 1)
            hub.user("bob").send("hello")
            assert await bob.recv() == "hello"
            assert (len(hub.user("ann")), bob.stats.links) == (0, 1)

    run(main())


def test_a_room_is_dismissed_and_who_is_not_in_it_stays(run: Run) -> None:
    async def main() -> None:
        hub = Hub(authenticate=who, dismissal=BYE)
        async with serve(hub=hub) as server:
            fleet = [client(server.url(), str(number), dismissal=BYE) for number in range(6)]
            async with Fleet() as members:
                for each in fleet:
                    members.add(each)
                await until(lambda: len(hub.peers) == 6)
                for peer in hub.peers:
                    if peer.principal in ("0", "2", "4"):
                        peer.join("beta")
                hub.room("beta").dismiss("over")
                for each in fleet[::2]:
                    assert (await failure(each)).code == 4500
                await until(lambda: len(hub.peers) == 3)
                assert [each.stats.links for each in fleet] == [1] * 6
                assert [str(each.state) for each in fleet[1::2]] == ["open"] * 3

    run(main())


def test_one_peer_is_dismissed_also_in_the_login_of_its_client(run: Run) -> None:
    async def refuse(peer: Peer) -> None:
        if await peer.recv() == "wrong password":
            peer.dismiss("go and get another")

    async def main() -> None:
        hub = Hub(on_open=refuse, dismissal=BYE, heartbeat=Dialect("ping", "pong"))
        got: list[Message] = []
        heartbeat = Heartbeat(message=Dialect("ping", "pong"))
        async with (
            serve(hub=hub) as server,
            client(server.url(), "ann", dismissal=BYE, heartbeat=heartbeat) as connection,
        ):

            @connection.on_open
            async def log_in(event: object) -> None:
                await connection.send("wrong password")
                got.append(await connection.recv())

            failed = await failure(connection)
            assert failed.code == 4500
            assert got == []

    run(main())


def test_the_blocking_client_is_ended_too(run_asyncio: Run) -> None:
    def talk(url: str) -> ConnectionFailed:
        with sync.connect(url, dismissal=BYE) as connection:
            assert connection.recv(PATIENCE) == "welcome"
            with pytest.raises(ConnectionFailed) as caught:
                connection.recv(PATIENCE)
            return caught.value

    def welcome(peer: Peer) -> None:
        peer.send("welcome")
        peer.dismiss("banned", 4000)

    async def main() -> None:
        async with serve(hub=Hub(on_open=welcome, dismissal=BYE)) as server:
            failed = await asyncio.to_thread(talk, server.url())
            assert (failed.code, failed.reason.split(":")[0]) == (4000, "dismissed by the server")

    run_asyncio(main())


# JavaScript


@pytest.mark.parametrize("how", HOW)
def test_javascript_ends_and_leaves_nothing(how: str, built: Path, run_asyncio: Run) -> None:
    has_message, code = HOW[how]

    async def main() -> None:
        hub = Hub(authenticate=who, dismissal=BYE if has_message else None)
        options: dict[str, Any] = {"dismissal": BYE} if has_message else {}
        if code == 4500:
            options["finalCloseCodes"] = [[3500, 3999], [4500, 4999]]
        async with serve(hub=hub) as server, node(built, f"{server.url()}?ann", **options) as program:
            assert (await program.told())[0] == "open"
            hub.user("ann").send("hello")
            assert await program.told() == ("message", "open", None, "hello")
            hub.user("ann").dismiss("banned", code)
            assert await program.told() == ("close", "failed", code, "banned")
            assert await program.told() == ("giveup", "failed", code, "banned")
            assert await program.ended() == ""
            assert hub.peers == ()

    run_asyncio(main())


def test_javascript_that_is_sent_away_waits_for_its_hint(built: Path, run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(dismissal=BYE)
        loop = asyncio.get_running_loop()
        options = {"dismissal": BYE, "finalCloseCodes": [[4500, 4999]]}
        async with serve(hub=hub) as server, node(built, server.url(), **options) as program:
            assert (await program.told())[0] == "open"
            # Its moment is in the middle of that time.
            parting = asyncio.create_task(hub.send_away(over=3))
            name, state, code, reason = await program.told()
            begun = loop.time()
            assert (name, state, code, reason) == ("close", "waiting", 1012, "restarting; retry-after=1.5")
            await parting
            assert (await program.told())[0] == "reconnect"
            assert (await program.told())[0] == "open"
            assert loop.time() - begun > 1.4

    run_asyncio(main())


# Who knows nothing of it


@pytest.mark.parametrize("kind", ["python", "javascript"])
def test_a_client_with_neither_option_comes_back_and_is_not_harmed(
    kind: str, built: Path, run_asyncio: Run
) -> None:
    async def python(url: str, hub: Hub) -> None:
        async with client(url, "ann", final_close_codes=()) as connection:
            await connection.wait_open(PATIENCE)
            hub.user("ann").dismiss("banned")
            assert await connection.recv() == BYE
            await until(lambda: connection.stats.links == 2)
            hub.user("ann").send("hello")
            assert await connection.recv() == "hello"

    async def javascript(url: str, hub: Hub) -> None:
        async with node(built, f"{url}?ann") as program:
            assert (await program.told())[0] == "open"
            hub.user("ann").dismiss("banned")
            assert await program.told() == ("message", "open", None, BYE)
            assert await program.told() == ("close", "waiting", 4500, "banned")
            assert (await program.told())[0] == "reconnect"
            assert (await program.told())[0] == "open"
            hub.user("ann").send("hello")
            assert await program.told() == ("message", "open", None, "hello")

    async def main() -> None:
        hub = Hub(authenticate=who, dismissal=BYE)
        async with serve(hub=hub) as server:
            await (python if kind == "python" else javascript)(server.url(), hub)

    run_asyncio(main())


# Attackers


def test_the_text_from_a_client_is_a_message_and_cannot_be_passed_on_to_others(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Message] = []

    async def main() -> None:
        hub = Hub(authenticate=who, dismissal=BYE)

        def relay(peer: Peer, message: Message) -> None:
            seen.append(message)
            if message == "to ann":
                for each in hub.user("ann"):
                    each.send(BYE)
            hub.room("chat").send(message)

        async with (
            serve(relay, on_open=lambda peer: peer.join("chat"), hub=hub) as server,
            client(server.url(), "ann", dismissal=BYE) as ann,
            websockets.connect(f"{server.url()}?mallory") as mallory,
        ):
            await until(lambda: len(hub.room("chat")) == 2)
            for message in (BYE, "to ann", "hello"):
                await mallory.send(message)
            assert await ann.recv() == "hello"
            await turns()
            assert (ann.state, ann.stats.links, len(hub.peers)) == ("open", 1, 2)

    run(main())
    assert seen == [BYE, "to ann", "hello"]
    assert caplog.text.count("raised ValueError") == 2


def test_nor_can_an_endpoint_that_knows_nothing_of_the_hub_pass_it_on(run_asyncio: Run) -> None:
    refused: list[str] = []
    everybody: list[Any] = []

    async def chat(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        everybody.append(send)
        while (event := await receive())["type"] == "websocket.receive":
            for each in everybody:
                try:
                    await each({"type": "websocket.send", "text": event["text"]})
                except ValueError as error:
                    refused.append(str(error))

    async def main() -> None:
        hub = Hub(dismissal=BYE)
        async with (
            serving(hub.asgi(chat), lifespan="off") as place,
            client(place.url("/"), "ann", dismissal=BYE) as ann,
            websockets.connect(place.url("/")) as mallory,
        ):
            await until(lambda: len(everybody) == 2)
            await mallory.send(BYE)
            await mallory.send("hello")
            assert await ann.recv() == "hello"
            assert len(refused) == 2
            assert "dismissal" in refused[0]
            # What the hub itself says arrives.
            for peer in hub.peers:
                peer.dismiss("over")
            assert (await failure(ann)).code == 4500
        await hub.close()

    run_asyncio(main())


@pytest.mark.parametrize("dismissal", [BYE, None])
def test_bytes_and_other_texts_are_passed_on(dismissal: str | None, run: Run) -> None:
    messages: list[Message] = [BYE.encode(), BYE.upper(), *([] if dismissal else [BYE])]

    async def main() -> None:
        hub = Hub(dismissal=dismissal)
        async with serve(hub=hub) as server, websockets.connect(server.url()) as ws:
            await until(lambda: hub.peers)
            for message in messages:
                hub.peers[0].send(message)
            assert [await ws.recv() for _ in messages] == messages

    run(main())


def test_a_hub_does_not_take_its_heartbeat_for_a_dismissal() -> None:
    with pytest.raises(ValueError, match="dismissal must differ from heartbeat"):
        Hub(dismissal="heartbeat")
