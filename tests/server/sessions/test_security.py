"""Docs/session.md, 14: the key is told to nobody, opens nothing for others, and is chosen by nobody."""

import asyncio
import gc
import hashlib
import hmac
import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import websockets
from tests.client.test_secrets import told as words_of
from tests.server.sessions.test_hostile_clients import RESUME
from tests.server.sessions.test_limits import ask
from tests.server.sessions.test_sessions import HELLO, running, session, told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.server import Hub


class Relay:
    """Passes bytes on to a server and back, and keeps what it has seen."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.up = b""
        self.down = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, back}
        await asyncio.gather(self._pass(reader, back, "up"), self._pass(there, writer, "down"))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                setattr(self, way, getattr(self, way) + data)
                writer.write(data)
        writer.close()

    def cut(self) -> None:
        """Drop all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


def written(folder: Path) -> bytes:
    """Return all that the files of a folder hold."""
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


def shown() -> list[str]:
    """Return what all our objects, all tasks and all calls that are scheduled show of themselves."""
    loop: Any = asyncio.get_running_loop()
    things = [*asyncio.all_tasks(), *loop._ready, *loop._scheduled]
    for thing in gc.get_objects():
        kind = type(thing)  # not isinstance: what is gone may be behind a weak proxy
        if str(kind.__module__).startswith("websocket_heartbeat.") or issubclass(
            kind, asyncio.Future | asyncio.Handle
        ):
            things.append(thing)
    return [repr(thing) for thing in things]


@pytest.mark.timeout(120)  # asyncio's debug mode logs every callback
@pytest.mark.usefixtures("of_this_test_alone")
@pytest.mark.parametrize("is_file", [False, True])
def test_the_key_is_in_frames_alone(
    run_asyncio: Run, is_file: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "websocket_heartbeat.tracebacks")
    words: list[str] = []
    place = f"sqlite:///{tmp_path / 's.db'}" if is_file else "memory"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 0  # every callback is logged, with its arguments

        def end(*arguments: object) -> None:
            words.extend(map(repr, arguments))
            raise ValueError("a hook that raises")

        async def answer(peer: Any, message: object) -> None:
            words.extend(shown())
            peer.send(message)
            raise ValueError("a hook that raises")

        hub = Hub(sessions=place, on_message=answer, on_session_end=end, authenticate=lambda request: "ann")
        async with running(hub) as server, asyncio.timeout(5 * PATIENCE):
            relay = Relay(server.port)
            async with await asyncio.start_server(relay, "127.0.0.1", 0) as listening:
                connection = session(f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/?query")
                events = told(connection)
                connection.on_error = lambda error: words.extend(words_of(error))
                connection.on_close = lambda event: words.append(repr(event))
                connection.on_open = lambda event: words.append(repr(event))
                connection.on_reconnect = lambda event: words.append(repr(event))
                async with connection:
                    for number in range(2):
                        await connection.send(str(number))
                        assert await connection.recv() == str(number)
                        relay.cut()
                        await until(lambda number=number: len(events) == number + 2)  # type: ignore[misc]
                    (key,) = set(re.findall(rb'"welcome":"new","key":"([^"]+)"', relay.down))
                    id, secret = key.decode().split(".")
                    # A reset: somebody else has the key, and ends the session.
                    other, said = await ask(server, RESUME % (key.decode(), 1000, 2, 2, 0, 2))
                    assert said["welcome"] in ("resumed", "reset")
                    await until(lambda: [event.kind for event in events[3:]] == ["reset", "new"])
                    await other.close()
                    words.extend([repr(connection), repr(connection.stats), repr(hub), repr(hub.stats)])
                    words.extend(map(repr, events))
                    words.extend(map(repr, hub.peers))
                    words.extend(shown())
            relay.cut()
            kept = written(tmp_path)
            assert secret.encode() not in kept
            if is_file:
                assert hashlib.sha256(secret.encode()).digest() in kept
                assert id.encode() in kept
        heads = b"".join(re.findall(rb"GET .*?\r\n\r\n", relay.up, re.DOTALL))
        assert b"websocket-heartbeat.v1" in heads
        assert secret.encode() not in heads
        answers = b"".join(re.findall(rb"HTTP/1.1 101.*?\r\n\r\n", relay.down, re.DOTALL))
        assert b"websocket-heartbeat.v1" in answers
        assert secret.encode() not in answers
        keys = set(re.findall(rb'"key":"[^".]+\.([^"]+)"', relay.down))
        assert len(keys) == 2
        text = "\n".join([*words, *(record.getMessage() for record in caplog.records), caplog.text])
        assert "slow" in text or "took" in text  # the debug mode of asyncio has said its part
        assert id in text  # what is public may be told
        for one in keys:
            assert one.decode() not in text

    run_asyncio(main())


@pytest.mark.parametrize(
    ("query", "origin", "key"),
    [
        ("ann", "https://a.example", "{id}.{wrong}"),
        ("ann", "https://a.example", "{id}."),
        ("ann", "https://a.example", "{id}"),
        ("ann", "https://a.example", "unknown.{secret}"),
        ("ann", "https://a.example", ".{secret}"),
        ("ann", "https://a.example", "{secret}.{id}"),
        ("ann", "https://a.example", "{id}\\u0000.{secret}"),
        ("ann", "https://a.example", "}}{{{id}.{secret}"),
        ("bob", "https://a.example", "{id}.{secret}"),
        ("", "https://a.example", "{id}.{secret}"),
        ("ann", "https://b.example", "{id}.{secret}"),
        ("ann", None, "{id}.{secret}"),
    ],
)
@pytest.mark.parametrize("is_over", [False, True])
def test_who_has_not_all_that_a_session_is_bound_to_learns_nothing_of_it_and_takes_nothing(
    run_asyncio: Run,
    place: str,
    query: str,
    origin: str | None,
    key: str,
    is_over: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[object] = []

    def compare(one: Any, other: Any) -> bool:
        compared.append(len(one))
        return real(one, other)

    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)

    async def main() -> None:
        hub = Hub(sessions=place, authenticate=lambda request: request.query or None)
        async with running(hub, origins=None) as server:
            ws, said = await ask(server, HELLO, "ann", origin="https://a.example")
            id, secret = said["key"].split(".")
            if is_over:
                await ws.send('{"end":"over"}')
                await until(lambda: not hub.peers)
            compared.clear()
            tried = key.format(id=id, secret=secret, wrong="x" * len(secret))
            _, answer = await ask(server, RESUME % (tried, 1, 0, 0, 0, 0), query, origin=origin)
            assert set(answer) == {"welcome", "key", "why"}  # as for what was never given out
            assert (answer["welcome"], answer["why"]) == ("reset", "unknown")
            assert not {id, secret} & set(answer["key"].split("."))
            if not place.startswith(("valkey", "postgresql")):  # there hashes are compared, in the server
                assert compared == ([32] if tried.partition(".")[0] == id else [])
            if not is_over:
                await ws.send("?0")  # the session has its link
                assert await ws.recv() == "=0?"
            _, own = await ask(
                server, RESUME % (f"{id}.{secret}", 1, 0, 0, 0, 0), "ann", origin="https://a.example"
            )
            assert own["welcome"] == ("over" if is_over else "resumed")

    run_asyncio(main())


def test_a_resume_that_is_replayed_or_comes_late_takes_nothing_from_the_link_that_there_is(
    run_asyncio: Run, place: str
) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = Hub(sessions=place, on_message=lambda peer, message: up.append(message))
        async with running(hub) as server:
            _, said = await ask(server, HELLO)
            resumes = [RESUME % (said["key"], link, 0, 0, 0, 0) for link in (1, 2, 3)]
            live, answer = await ask(server, resumes[2])
            assert answer["welcome"] == "resumed"
            for resume in resumes * 2:
                _, refused = await ask(server, resume)
                assert refused["code"] == 4491
            await live.send("Bhere")
            await live.send("?1")
            async with asyncio.timeout(PATIENCE):
                while not str(await live.recv()).startswith("=1"):
                    pass
            assert up == ["here"]

    run_asyncio(main())


def test_who_loses_a_session_to_another_reports_it_once_begins_a_new_one_and_does_not_fight(
    run_asyncio: Run, place: str
) -> None:
    async def main() -> None:
        up: list[tuple[object, object]] = []
        hub = Hub(sessions=place, on_message=lambda peer, message: up.append((peer.session, message)))
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            await until(lambda: events != [])
            stolen = hub.peers[0].session
            key = key_of(connection)
            thief, said = await ask(server, RESUME % (key, 2**52, 0, 0, 0, 0))
            assert said["welcome"] == "resumed"
            await until(lambda: len(events) == 3)
            assert [(event.kind, event.why) for event in events] == [
                ("new", ""),
                ("reset", "replaced"),
                ("new", ""),
            ]
            assert key_of(connection) != key
            await connection.send("mine")
            await connection.flush()
            await thief.send("Btheirs")
            await thief.send("?1")
            async with asyncio.timeout(PATIENCE):  # nobody has taken it back
                while not str(await thief.recv()).startswith("=1"):
                    pass
            assert [message for id, message in up if id == stolen] == ["theirs"]
            assert [message for id, message in up if id != stolen] == ["mine"]
            assert len(events) == 3

    run_asyncio(main())


def key_of(connection: Any) -> str:
    """Return the key, which nothing public tells."""
    key: str = connection._host._session._resumption.key
    return key


def test_a_client_chooses_neither_id_nor_key_also_not_by_a_reset(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        chosen = "CHOSEN.CHOSEN"
        async with running(Hub(sessions=place)) as server:
            for text in (
                HELLO[:-1] + f',"key":"{chosen}","id":"CHOSEN","welcome2":"new"}}',
                RESUME % (chosen, 1, 0, 0, 0, 0),
                (RESUME % (chosen, 1, 0, 0, 0, 0))[:-1] + f',"key":"{chosen}","done":7}}',
            ):
                _, said = await ask(server, text)
                id, secret = said["key"].split(".")
                assert "CHOSEN" not in said["key"]
                assert (len(id), len(secret)) == (12, 43)  # 72 and 256 bits
                _, said = await ask(server, RESUME % (chosen, 2, 0, 0, 0, 0))
                assert said["why"] == "unknown"

    run_asyncio(main())


NUMBER = '{"hello":1,"window":[%s,1],"max":1}'


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (HELLO.encode(), 4490),
        (b"", 4490),
        (b"\xff" * 4096, 4490),
        ('{"hello":1,"window":[1,1],"max":1,"welcome":"new"}', 4490),
        (NUMBER % "9007199254740992", 4490),
        (NUMBER % ("9" * 4000), 4490),
        (NUMBER % "-1", 4490),
        (NUMBER % "1e3", 4490),
        (NUMBER % "1e999", 4490),
        (NUMBER % "NaN", 4490),
        (NUMBER % "true", 4490),
        (NUMBER % '"1"', 4490),
        (NUMBER % "[[[]]]", 4490),
        (NUMBER % ("[" * 2000 + "]" * 2000), 4490),
        ('{"a":' * 600 + "1" + "}" * 600, 4490),
        (HELLO + "\0", 4490),
        (HELLO + HELLO, 4490),
        ("\ufeff" + HELLO, 4490),
        (" " + HELLO, 4490),
        (RESUME.replace("%s", "\\ud800.\\udfff") % (1, 0, 0, 0, 0), 4490),
        (RESUME % ("a.b", 2**53, 0, 0, 0, 0), 4490),
        (RESUME % ("a.b", 1, -1, 0, 0, 0), 4490),
        ('{"hello":1,"hello":1,"window":[1,1],"max":0,"max":1}', "new"),
        (HELLO[:-1] + ',"\\u0000":{"\\ud800":[null]}}', "new"),
        (RESUME % ("\\u0000.\\u0000", 1, 0, 0, 0, 0), "reset"),
        (RESUME % ("a.b", 2**53 - 1, 2**53 - 1, 2**53 - 1, 2**53 - 1, 2**53 - 1), "reset"),
    ],
)
def test_a_handshake_that_is_odd_ends_its_link_alone_and_logs_no_error(
    run_asyncio: Run, place: str, frame: str | bytes, code: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with running(Hub(sessions=place)) as server:
            other, _ = await ask(server, HELLO)
            _, said = await ask(server, frame)  # type: ignore[arg-type]
            assert said.get("code", said.get("welcome")) == code
            await other.send("?0")
            assert await other.recv() == "=0?"
            _, said = await ask(server, HELLO)
            assert said["welcome"] == "new"

    run_asyncio(main())
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_numbers_at_the_edge_of_what_a_resume_may_say_lead_to_a_reset_alone(
    run_asyncio: Run, place: str
) -> None:
    async def main() -> None:
        most = 2**53 - 1
        async with running(Hub(sessions=place)) as server:
            for numbers in (
                (most, most, 0, 0),
                (0, most, 0, 0),
                (0, 0, most, most),
                (1, 0, 0, 0),
                (0, 0, 1, 0),
            ):
                _, said = await ask(server, HELLO)
                _, said = await ask(server, RESUME % (said["key"], most, *numbers))
                assert (said["welcome"], said["why"]) == ("reset", "mismatch")

    run_asyncio(main())


def test_a_link_of_a_session_measures_messages_when_they_are_decompressed(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = Hub(sessions="memory", on_message=lambda peer, message: up.append(message))
        async with running(hub, max_size=100_000, compression=True) as server:
            ws, said = await ask(server, HELLO, compression="deflate")
            with suppress(websockets.ConnectionClosed):
                await ws.send("B" + "x" * 50_000_000)  # 50 KB on the wire
            async with asyncio.timeout(PATIENCE):
                await ws.wait_closed()
            assert ws.close_code == 1009
            _, said = await ask(server, RESUME % (said["key"], 1, 0, 0, 0, 0))
            assert (said["welcome"], up) == ("resumed", [])

    run_asyncio(main())


def test_the_reason_of_a_client_reaches_the_log_escaped(
    run_asyncio: Run, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "websocket_heartbeat")

    async def main() -> None:
        ends: list[str] = []
        hub = Hub(sessions=place, on_session_end=lambda session, why, unacknowledged: ends.append(why))
        async with running(hub) as server:
            ws, _ = await ask(server, HELLO)
            await ws.send('{"end":"\\u001b[31mred\\r\\n\\u0000\\u202e\\u0085"}')
            await until(lambda: ends != [])
            assert ends == ["\x1b[31mred\r\n\0\u202e\x85"]

    run_asyncio(main())
    assert any("red" in record.getMessage() for record in caplog.records)
    assert not any(set(record.getMessage()) & set("\x1b\r\n\0\u202e\x85") for record in caplog.records)
