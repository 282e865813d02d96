"""What the log tells of the clients of a hub, as fields for loggers that write JSON, and at DEBUG."""

import json
import logging
from typing import Any

import pytest
import websockets
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import connect
from websocket_heartbeat.server import Hub, Peer, Refusal, serve

LOGGER = "websocket_heartbeat.server"
SECRET = "s3cr3t"
_PLAIN = {*vars(logging.makeLogRecord({})), "message"}


def told(caplog: pytest.LogCaptureFixture, words: str) -> dict[str, Any]:
    """Return the fields of the first line with these words, which must be JSON."""
    record = next(each for each in caplog.records if each.name == LOGGER and words in each.getMessage())
    fields = {name: value for name, value in vars(record).items() if name not in _PLAIN}
    loaded: dict[str, Any] = json.loads(json.dumps({"level": record.levelname, **fields}))
    return loaded


def test_a_peer_that_is_dropped_is_named(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=LOGGER)

    async def main() -> None:
        async with serve() as server, connect(server.url("/feed")) as client:
            await client.wait_open(PATIENCE)
            server.connections[0].abort()
            await until(lambda: client.stats.links == 2)

    run(main())
    assert told(caplog, "was dropped: aborted") == {
        "level": "INFO",
        "peer": 1,
        "path": "/feed",
        "session": None,
        "reason": "aborted",
        "error_type": "abort",
    }


def test_a_hook_that_raises_is_named_with_its_peer(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def careless(peer: Peer, message: object) -> None:
        raise LookupError(SECRET)

    async def main() -> None:
        async with serve(careless) as server, connect(server.url()) as client:
            await client.send("hello")
            await until(lambda: caplog.records)

    run_asyncio(main())
    fields = told(caplog, "on_message for <Peer 1 '/'> raised LookupError at ")
    assert (fields["hook"], fields["error"], fields["peer"]) == ("on_message", "LookupError", 1)
    assert SECRET not in json.dumps(fields)


def test_who_is_refused_is_told_by_the_option_and_the_status(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serve(max_peers=1) as server, connect(server.url()) as client:
            await client.wait_open(PATIENCE)
            with pytest.raises(websockets.InvalidStatus):
                await websockets.connect(server.url())
            with pytest.raises(websockets.InvalidStatus):
                await websockets.connect(server.url(), origin=websockets.Origin("https://elsewhere.example"))

    run_asyncio(main())
    fields = told(caplog, "max_peers=1 are here")
    assert (fields["refused_by"], fields["status"]) == ("max_peers", 503)
    fields = told(caplog, "origins= does not allow")
    assert (fields["refused_by"], fields["status"]) == ("origins", 403)


@pytest.mark.parametrize("sessions", [None, "memory"])
def test_debug_shows_who_comes_and_goes_and_the_frames_between(
    run: Run, caplog: pytest.LogCaptureFixture, sessions: str | None
) -> None:
    caplog.set_level(logging.DEBUG, logger=LOGGER)

    async def main() -> None:
        hub = Hub(
            on_message=lambda peer, message: peer.send(message),
            sessions=sessions,
            idle_timeout=0.1,
            authenticate=lambda request: None if request.query else Refusal(403),
        )
        async with serve(hub=hub) as server:
            url = server.url("/feed") + f"?{SECRET}"
            async with connect(url, session="off" if sessions is None else "require") as client:
                await client.send(SECRET)
                assert await client.recv() == SECRET
                hub.room("all").send(SECRET)
                await until(lambda: "received pong" in caplog.text)
            await until(lambda: not hub.peers)
        await hub.close()

    run(main())
    extra = 0 if sessions is None else 1  # the character before each message of a session
    for frame in ("received text", "sent text"):
        size = len(SECRET) + extra
        assert any(f"{frame}, {size} bytes" in record.getMessage() for record in caplog.records), frame
    assert told(caplog, "<Peer 1 '/feed'> has come")["path"] == "/feed"
    assert told(caplog, "<Peer 1 '/feed'>: sent ping, 0 bytes")["direction"] == "sent"
    gone = told(caplog, "<Peer 1 '/feed'> is gone: ")
    assert (gone["code"], gone["error_type"]) == (1000, None)
    if sessions is not None:
        assert told(caplog, ": new")["session"] == gone["session"] is not None
    assert SECRET not in caplog.text
    assert all(SECRET not in str(value) for record in caplog.records for value in vars(record).values())


def test_a_session_that_is_over_is_told_with_what_its_client_has_not_acknowledged(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=LOGGER)

    async def main() -> None:
        hub = Hub(sessions="memory", on_message=lambda peer, message: peer.send(message))
        async with serve(hub=hub) as server:
            async with connect(server.url(), session="require") as client:
                await client.send("hello")
                await client.recv()
            await until(lambda: "is over" in caplog.text)
        await hub.close()

    run_asyncio(main())
    fields = told(caplog, "is over")
    assert fields["unacknowledged"] == 0
    assert fields["session"]
