"""What the log tells of a connection: lines for people, and their fields for loggers that write JSON."""

import asyncio
import json
import logging
from typing import Any

import pytest
from tests.client.conftest import World
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, Connection, Heartbeat, connect
from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.server import Refusal, serve
from websocket_heartbeat.sync import connect as connect_blocking

LOGGER = "websocket_heartbeat"
SECRET = "s3cr3t"
_PLAIN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """Writes what loggers of JSON write: the line, and whatever was given by `extra=`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in _PLAIN}
        return json.dumps({"level": record.levelname, "message": record.getMessage(), **fields})


def as_json(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return what a logger of JSON would have written so far, without what DEBUG has of asyncio."""
    formatter = JsonFormatter()
    return [json.loads(formatter.format(each)) for each in caplog.records if each.name == LOGGER]


def fields_of(lines: list[dict[str, Any]], words: str) -> dict[str, Any]:
    """Return the fields of the first line with these words."""
    line = next(line for line in lines if words in line["message"])
    return {name: value for name, value in line.items() if name != "message"}


def test_a_loss_and_its_end_have_their_numbers_as_fields(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=LOGGER)

    async def main() -> None:
        async with world.connect(name="prices") as connection:
            peer = await world.opened(connection, 1)
            peer.close(1011, "out of disk")
            await until(lambda: connection.state == "waiting")
            await connection.send("late")
            await world.opened(connection, 2)

    play(main())
    opened, lost, back = as_json(caplog)
    known = {"connection": "prices", "url": "ws://example.com/feed"}
    assert opened["message"] == "prices: link 1 is open"
    assert lost == {
        **known,
        "level": "WARNING",
        "message": "prices: link 1 is gone: the server closed the link with 1011: out of disk",
        "link": 1,
        "reason": "the server closed the link with 1011: out of disk",
        "error_type": "server_closed",
        "code": 1011,
        "uncertain_bytes": 0,
    }
    assert back.pop("down_for") > 0
    assert back.pop("message").startswith("prices: link 2 is open, after ")
    assert back == {**known, "level": "INFO", "link": 2, "retries": 1, "queued": 1}


def test_each_line_names_its_connection_by_the_url_unless_it_has_a_name(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger=LOGGER)

    async def main() -> None:
        async with world.connect() as unnamed, world.connect(name="orders") as named:
            await world.opened(unnamed, 1)
            await world.opened(named, 1)
            assert (unnamed.name, named.name) == ("ws://example.com/feed", "orders")
            assert repr(named) == "<Connection orders open link=1>"

    play(main())
    lines = as_json(caplog)
    assert {line["connection"] for line in lines} == {"ws://example.com/feed", "orders"}
    assert all(line["message"].startswith(line["connection"] + ": ") for line in lines)
    assert {line["url"] for line in lines} == {"ws://example.com/feed"}


@pytest.mark.parametrize("name", ["", "two\nlines", 7])
def test_a_name_must_fit_into_a_line(name: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="name must be"):
        connect("ws://example.com/", name=name)


def test_debug_shows_handshakes_frames_heartbeats_and_round_trips_and_no_payload(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger=LOGGER)

    async def main() -> None:
        async with serve() as server:
            url = f"{server.url('/feed')}?token={SECRET}"
            heartbeat = Heartbeat(interval=0.05, timeout=5)
            async with connect(url, name="feed", heartbeat=heartbeat) as connection:
                await connection.send(SECRET)
                assert await connection.recv() == SECRET
                await connection.send(SECRET.encode() * 2)
                assert await connection.recv() == SECRET.encode() * 2
                await until(lambda: "a round trip of" in caplog.text)

    run(main())
    lines = [line for line in as_json(caplog) if line["level"] == "DEBUG"]
    frames = {(line["direction"], line["frame"], line["size"]) for line in lines if "frame" in line}
    assert frames >= {
        ("sent", "text", len(SECRET)),
        ("received", "text", len(SECRET)),
        ("sent", "binary", 2 * len(SECRET)),
        ("received", "binary", 2 * len(SECRET)),
        ("sent", "ping", 0),
        ("received", "pong", 0),
        ("sent", "close", 2),
        ("received", "close", 2),
    }
    assert all(line["link"] == 1 for line in lines if "frame" in line)
    assert fields_of(lines, "handshake with 127.0.0.1:")["link"] == 1
    assert fields_of(lines, "the handshake is complete")["link"] == 1
    assert fields_of(lines, "a round trip of")["round_trip"] >= 0
    assert SECRET not in caplog.text
    assert SECRET not in json.dumps(lines)


def test_debug_shows_the_frames_beneath_a_session(run_asyncio: Run, caplog: pytest.LogCaptureFixture) -> None:
    from websocket_heartbeat.server import Hub

    caplog.set_level(logging.DEBUG, logger=LOGGER)

    async def main() -> None:
        hub = Hub(sessions="memory", on_message=lambda peer, message: peer.send(message))
        async with serve(hub=hub) as server, connect(server.url(), session="require") as connection:
            await connection.send("hello")
            assert await connection.recv() == "hello"
        await hub.close()

    run_asyncio(main())
    lines = as_json(caplog)
    texts = [line["size"] for line in lines if line.get("frame") == "text" and line["direction"] == "sent"]
    assert 1 + len("hello") in texts, "with the character that numbers it"
    assert fields_of(lines, "session: new")["event"] == "new"


def test_an_attempt_that_fails_and_its_retry_are_told_with_fields(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger=LOGGER)

    async def main() -> None:
        async with (
            serve(on_handshake=lambda request: Refusal(503)) as server,
            connect(server.url(), backoff=Backoff(initial=0.01)) as connection,
        ):
            await until(lambda: connection.stats.attempts > 2)

    run_asyncio(main())
    lines = as_json(caplog)
    failed = fields_of(lines, "cannot connect: the server rejected the handshake with HTTP status 503")
    assert (failed["level"], failed["error_type"]) == ("WARNING", "503")
    retry = fields_of(lines, "retry 1 in ")
    assert (retry["level"], retry["retry"], retry["error_type"]) == ("DEBUG", 1, "503")
    assert retry["delay"] > 0


def test_a_hook_that_raises_is_told_by_its_name_its_error_and_its_place(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with world.connect(name="feed") as connection:

            @connection.on_message
            def take(message: object) -> None:
                raise KeyError(SECRET)

            peer = await world.opened(connection, 1)
            peer.send("hello")
            await until(lambda: caplog.records)

    play(main())
    (line,) = as_json(caplog)
    assert line["message"].startswith("feed: on_message raised KeyError at ")
    assert (line["hook"], line["error"]) == ("on_message", "KeyError")
    assert __file__ in line["place"]
    assert SECRET not in json.dumps(line)


def test_a_link_that_opens_while_debug_is_off_goes_past_the_log(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            peer = await world.opened(connection, 1)
            assert link_of(connection) is peer.link, "there is nothing between"
            logging.getLogger(LOGGER).setLevel(logging.DEBUG)
            try:
                peer.reset()
                peer = await world.opened(connection, 2)
                assert link_of(connection) is not peer.link
            finally:
                logging.getLogger(LOGGER).setLevel(logging.NOTSET)

    play(main())


def link_of(connection: Connection) -> object:
    return connection._host.link


def test_a_connection_of_blocking_code_has_its_name_too(caplog: pytest.LogCaptureFixture) -> None:
    with connect_blocking("ws://127.0.0.1:1/", name="ticker", backoff=Backoff(initial=60)) as connection:
        assert connection.name == "ticker"
        with pytest.raises(TimeoutError):
            connection.wait_open(0.5)
    assert as_json(caplog)[0]["connection"] == "ticker"


def test_an_attempt_that_runs_out_of_time_is_a_class_of_its_own(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def stall(request: OpenRequest) -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        world.engine.answer = stall
        async with world.connect(open_timeout=PATIENCE) as connection:
            await until(lambda: connection.state == "waiting")

    play(main())
    assert fields_of(as_json(caplog), "no link opened within")["error_type"] == "open_timeout"
