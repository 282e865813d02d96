"""Each dialect of the page on them, by the lines that stand there, against a server of that protocol."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import websockets
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from ocpp.v16.enums import Action, RegistrationStatus
from tests.dialects.conftest import HEARTBEAT, StartServer, dialect_of_section, examples
from tests.watch import Run, until
from websockets.asyncio.server import ServerConnection, serve

from websocket_heartbeat import Connection, Dialect, Heartbeat, Message, connect

Example = Callable[..., Connection]

DEMANDED = 1.5
"""Seconds without a heartbeat of the client after which a demanding server hangs up."""

ENOUGH = 12
"""Heartbeats, one each 0.2 s or later: in that time a client without them would be parted from."""


@asynccontextmanager
async def serving(
    handler: Callable[[ServerConnection], Awaitable[None]], **options: Any
) -> AsyncIterator[str]:
    """Serve with `websockets`, whose own pings are off."""
    async with serve(handler, "127.0.0.1", 0, ping_interval=None, **options) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def listen(connection: Connection, is_enough: Callable[[], object]) -> list[Message]:
    """Return what the user gets until then."""
    got: list[Message] = []

    async def read() -> None:
        async for message in connection:
            got.append(message)

    reading = asyncio.create_task(read())
    try:
        await until(is_enough)
    finally:
        reading.cancel()
        await asyncio.wait([reading])
    return got


class Demanding:
    """A server that pushes all the time, hangs up on who sends no `ping` in time, and sends pings of its own.

    pings, pongs: how many came. faults: what was wrong with the client.
    """

    def __init__(self, ping: str, pong: str, news: str) -> None:
        self.ping = ping
        self.pong = pong
        self.news = news
        self.pings = self.pongs = 0
        self.faults: list[str] = []

    async def __call__(self, socket: ServerConnection) -> None:
        pushing = asyncio.create_task(self._push(socket))
        try:
            while True:
                async with asyncio.timeout(DEMANDED):
                    message = await self._read(socket)
                self.pings += 1
                assert message == self.ping
                await socket.send(self.pong)
        except TimeoutError:
            self.faults.append("no heartbeat in time")
            await socket.close(4000)
        except websockets.ConnectionClosed:
            pass
        finally:
            pushing.cancel()

    async def _read(self, socket: ServerConnection) -> Message:
        while (message := await socket.recv()) == self.pong:
            self.pongs += 1
        return message

    async def _push(self, socket: ServerConnection) -> None:
        count = 0
        while True:
            await socket.send(self.news)
            await asyncio.sleep(0.05)
            count += 1
            if count % 5 == 0:  # each of them is to be answered before the next
                before = self.pongs
                await socket.send(self.ping)
                await asyncio.sleep(1)
                if self.pongs == before:
                    self.faults.append("no answer in time")


DEMANDING = {
    "texts": (Dialect("ping", "pong"), "ping", "pong", "news"),
    "JSON": (
        dialect_of_section("JSON with an `op`"),
        '{"op":"ping"}',
        '{"op":"pong"}',
        '{"op":"tick","price":"ping"}',
    ),
}


@pytest.mark.parametrize("name", DEMANDING)
@pytest.mark.parametrize("user", ["reads", "is busy"])
def test_heartbeats_of_one_message(name: str, user: str, run_asyncio: Run) -> None:
    dialect, *texts = DEMANDING[name]
    server = Demanding(*texts)
    got: list[Message] = []
    forever = asyncio.Event()

    async def busy(message: Message) -> None:
        got.append(message)
        await forever.wait()

    def is_enough() -> bool:
        return server.pings >= ENOUGH and server.pongs >= 2

    async def main() -> None:
        heartbeat = Heartbeat(*HEARTBEAT, message=dialect)
        async with serving(server) as url, connect(url, heartbeat=heartbeat) as connection:
            if user == "is busy":
                connection.on_message = busy
                await until(is_enough)
                forever.set()
            else:
                got.extend(await listen(connection, is_enough))
            assert server.faults == []
            assert connection.stats.links == 1
            assert connection.latency is not None
        assert set(got) == {server.news}

    run_asyncio(main())


def test_graphql_transport_ws(example: Example, start: StartServer, run_asyncio: Run) -> None:
    async def main() -> None:
        async with start("graphql.mjs") as server, example("GraphQL", server.url) as connection:
            messages = await listen(connection, lambda: sum('"ping"' in line for line in server.told) >= 3)
            got = [json.loads(message) for message in messages]
            assert connection.stats.links == 1
            assert connection.latency is not None
            assert {message["type"] for message in got} == {"next"}
            sent = [json.loads(line) for line in server.told]
        kinds = [message["type"] for message in sent]
        # What the server sends before it lets us in is answered, but nothing is asked.
        first = kinds.index("subscribe")
        assert set(kinds[:first]) == {"connection_init", "pong"}
        assert "closed" not in kinds

    run_asyncio(main())


class Phoenix:
    """The channels of Phoenix with the serializer of version 2: [join_ref, ref, topic, event, payload].

    Hangs up on a client that says nothing for DEMANDED seconds, as Phoenix does after 60. beats: the refs of
    heartbeats.
    """

    def __init__(self) -> None:
        self.beats: list[str] = []
        self.refs: list[str] = []

    async def __call__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        assert "vsn=2.0.0" in socket.request.path
        pushing: asyncio.Task[None] | None = None
        try:
            while True:
                async with asyncio.timeout(DEMANDED):
                    join_ref, ref, topic, event, _ = json.loads(await socket.recv())
                self.refs.append(ref)
                if (topic, event) == ("phoenix", "heartbeat"):
                    self.beats.append(ref)
                else:
                    assert (topic, event, join_ref) == ("room:lobby", "phx_join", "1")
                    pushing = asyncio.create_task(self._push(socket))
                reply = {"status": "ok", "response": {}}
                await socket.send(
                    json.dumps([join_ref, ref, topic, "phx_reply", reply], separators=(",", ":"))
                )
        except TimeoutError:
            await socket.close(1000)
        except websockets.ConnectionClosed:
            pass
        finally:
            if pushing is not None:
                pushing.cancel()

    async def _push(self, socket: ServerConnection) -> None:
        while True:
            await socket.send('["1",null,"room:lobby","new_msg",{"body":"phoenix phx_reply"}]')
            await socket.send(b"\x02\x00\x0a\x07room:lobbynew_msgdata")
            await asyncio.sleep(0.05)


def test_phoenix(example: Example, run_asyncio: Run) -> None:
    server = Phoenix()

    async def main() -> None:
        async with (
            serving(server) as url,
            example("Phoenix", url + "socket/websocket?vsn=2.0.0") as connection,
        ):
            got = await listen(connection, lambda: len(server.beats) >= ENOUGH)
            assert connection.stats.links == 1
            assert connection.latency is not None
        assert len(set(server.refs)) == len(server.refs)
        texts = [json.loads(message) for message in got if isinstance(message, str)]
        assert {(topic, event) for _, _, topic, event, _ in texts} == {
            ("room:lobby", "phx_reply"),
            ("room:lobby", "new_msg"),
        }
        assert len(texts) < len(got)

    run_asyncio(main())


@pytest.mark.parametrize("broker", ["demands", "sends"])
def test_stomp(broker: str, example: Example, start: StartServer, run_asyncio: Run) -> None:
    async def main() -> None:
        async with start("stomp.js", broker) as server:
            # Of the broker's two directions this one has one at a time, and prefers that from the client.
            beats = {"demands": "250,0", "sends": "0,250"}[broker]
            async with example("STOMP", server.url + "stomp", **{"10000,10000": beats}) as connection:
                await connection.wait_open(20)
                beat = json.dumps(["message", "\n"], separators=(",", ":"))
                frames = await listen(connection, lambda: server.told.count(beat) >= ENOUGH)
                assert connection.stats.links == 1
                assert connection.latency is not None
                told = [json.loads(line) for line in server.told]
                assert ["closed"] not in told
            sent = [event[1].partition("\n")[0] for event in told]
            assert sent[:2] == ["CONNECT", "SUBSCRIBE"]
            assert {frame[:8] for frame in frames} <= {"MESSAGE\n", b"MESSAGE\n"}
            assert len(frames) > 10

    run_asyncio(main())


def test_ocpp(example: Example, run_asyncio: Run) -> None:
    beats: list[float] = []
    ids: list[str] = []
    booted: list[str] = []

    class Station(ChargePoint):  # type: ignore[misc]
        @on(Action.boot_notification)  # type: ignore[untyped-decorator]
        async def boot(self, charge_point_vendor: str, **_: Any) -> Any:
            await asyncio.sleep(0.7)  # in which the charge point must say nothing
            assert beats == []
            booted.append(charge_point_vendor)
            now = datetime.now(UTC).isoformat()
            return call_result.BootNotification(now, interval=1, status=RegistrationStatus.accepted)

        @on(Action.heartbeat)  # type: ignore[untyped-decorator]
        def beat(self) -> Any:
            beats.append(asyncio.get_running_loop().time())
            return call_result.Heartbeat(datetime.now(UTC).isoformat())

        async def route_message(self, raw_message: str) -> None:
            ids.append(json.loads(raw_message)[1])
            await super().route_message(raw_message)

    async def handler(socket: ServerConnection) -> None:
        assert socket.subprotocol == "ocpp1.6"
        try:
            await Station("CP001", socket).start()
        except websockets.ConnectionClosed:
            pass

    async def main() -> None:
        async with (
            serving(handler, subprotocols=["ocpp1.6"]) as url,
            example("OCPP", url + "ocpp/CP001") as connection,
        ):
            await connection.wait_open(10)
            assert await listen(connection, lambda: len(beats) >= 4) == []
            assert connection.stats.links == 1
            assert connection.latency is not None
        assert booted == ["Example"]
        assert len(set(ids)) == len(ids)

    run_asyncio(main())


def test_every_protocol_that_is_written_out_is_run() -> None:
    words = ["GraphQL", "Phoenix", "STOMP", "OCPP"]
    _, all_examples = examples()
    assert len(all_examples) == len(words)
    assert all(word in words_before for word, words_before in zip(words, all_examples, strict=True))
