"""What errors and the log tell who makes an ordinary mistake with sessions: what is wrong, and what to do."""

import asyncio
import logging
import re
import time
from pathlib import Path

import pytest
from tests.server.sessions.test_sessions import QUICK, running, session
from tests.server.sessions.valkey import Valkey
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Session, connect, sync
from websocket_heartbeat.errors import Undelivered
from websocket_heartbeat.server import Hub
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.server.sessions.valkey import ValkeyStore


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("sqlite:/x", "'sqlite:/x'"),
        ("sqlite://x.db", "'sqlite://x.db'"),
        ("x.db", "'x.db'"),
        ("mysql://ann:hush@db/shop", "'mysql://...'"),
        ("ann:hush@db", "'...'"),
    ],
)
def test_a_wrong_place_is_shown_with_how_paths_are_written_but_no_password(place: str, shown: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"not {shown}")) as raised:
        Hub(sessions=place)
    assert 'four slashes begin an absolute one, as in "sqlite:////srv/sessions.db"' in str(raised.value)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("none/x.db", "there is no folder"),
        ("", "it is a folder"),
    ],
)
def test_a_file_that_cannot_be_opened_is_named_in_full_and_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_asyncio: Run,
    caplog: pytest.LogCaptureFixture,
    path: str,
    why: str,
) -> None:
    folder = tmp_path / "of"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        hub = Hub(sessions=f"sqlite:///of/{path}")
        async with running(hub) as server, connect(server.url(), session="prefer", backoff=QUICK):
            # The client is told, too, that it is no fault of its own.
            await until(lambda: "1013: sessions are not available now" in caplog.text)

    run_asyncio(main())
    (text,) = {
        line for line in caplog.messages if "a session cannot begin or go on" in line and "(for" not in line
    }
    assert str(folder / path) in text
    assert why in text


def test_a_store_that_stays_away_does_not_fill_the_log(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        hub = Hub(sessions="valkey://127.0.0.1:1")  # where nobody listens
        async with (
            running(hub) as server,
            connect(server.url(), session="require", backoff=QUICK) as connection,
        ):
            await until(lambda: connection.stats.attempts > 14)

    run_asyncio(main())
    lines = [record for record in caplog.records if "a session cannot begin or go on" in record.getMessage()]
    assert len([line for line in lines if line.levelno >= logging.WARNING]) == 10


@pytest.mark.parametrize("is_told", [False, True])
def test_an_overflow_is_a_warning_that_says_how_to_avoid_it(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture, is_told: bool
) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", on_session_end=(lambda *end: None) if is_told else None)
        options = Session("require", window=8)
        async with (
            running(hub) as server,
            connect(server.url(), session=options, backoff=QUICK) as connection,
        ):
            await connection.wait_open()
            (peer,) = hub.peers
            id = peer.session
            for number in range(9):
                peer.send(str(number))
            await until(lambda: "overflow" in caplog.text)
            assert (
                f"session {id} is over: overflow: its client had no room for more, `await peer.drain()` "
                "waits for it; it has not acknowledged 9 messages"
            ) in caplog.messages

    run_asyncio(main())


def test_a_client_that_closes_and_has_not_taken_all_is_told_of(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with running(Hub(sessions="memory")) as server:
            async with session(server.url()) as connection:
                await connection.wait_open()
                server.connections[0].send("x")
            await until(lambda: "is over" in caplog.text)

    run_asyncio(main())
    assert "is over: closed by its client: its client has not acknowledged 1 message" in caplog.text


def test_messages_to_a_client_that_stays_away_are_not_lost_silently(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", session_ttl=0.2, on_message=lambda peer, message: None)
        async with running(hub) as server, session(server.url()) as connection:
            await connection.wait_open()
            (peer,) = hub.peers
            await connection.send("x")
            await connection.flush()
            peer.send_away(after=60)
            peer.send("x")
            await until(lambda: not hub.peers)

    run_asyncio(main())
    assert (
        "is over: expired: its client has not acknowledged 1 message; no on_session_end hook" in caplog.text
    )


def test_what_the_server_may_have_handled_is_not_said_to_be_unsent(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = []

    async def main() -> None:
        release = asyncio.Event()

        async def hold(peer: Peer, message: str | bytes) -> None:
            await release.wait()

        hub = Hub(sessions="memory", on_message=hold)
        async with running(hub) as server:
            async with connect(server.url(), session="require", close_timeout=0.2) as connection:
                connection.on_error = errors.append
                await connection.send("one")
                await connection.send("two")
            release.set()

    run_asyncio(main())
    (error,) = errors
    assert isinstance(error, Undelivered)
    assert (error.messages, error.uncertain, error.expired) == (("one", "two"), True, False)
    text = "the session ended before the server said that it had handled 2 messages"
    assert str(error) == text
    assert text in caplog.text


def test_blocking_code_does_not_wait_for_ever_for_a_server_that_is_away(run_asyncio: Run) -> None:
    def talk(url: str) -> None:
        with sync.connect(url, session="require", close_timeout=0.1) as connection:
            connection.wait_open(timeout=PATIENCE)
            connection.send("x")
            with pytest.raises(TimeoutError, match="the server has not handled all"):
                connection.flush(timeout=0.2)

    async def main() -> None:
        release = asyncio.Event()

        async def hold(peer: Peer, message: str | bytes) -> None:
            await release.wait()

        async with running(Hub(sessions="memory", on_message=hold)) as server:
            await asyncio.to_thread(talk, server.url())
            release.set()

    run_asyncio(main())


def test_a_store_is_told_of_again_when_it_is_away_again(
    own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="websocket_heartbeat.server")

    async def main() -> None:
        store = ValkeyStore(own_valkey.url, 60)
        await store.open("a", lambda data: None, tuple)
        for _ in range(2):
            caplog.clear()
            await asyncio.to_thread(own_valkey.kill)
            await until(lambda: "the store of the sessions is away" in caplog.text)
            await asyncio.to_thread(own_valkey.start)
            await until(lambda: "the store of the sessions is back" in caplog.text)
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(("shift", "way"), [(90.0, "ahead of"), (-90.0, "behind"), (0.0, None)])
@pytest.mark.parametrize("shared", ["valkey", "postgresql"], indirect=True)
def test_a_clock_that_is_not_that_of_the_store_is_said(
    run_asyncio: Run,
    shared: str,
    shift: float,
    way: str | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + shift)

    async def main() -> None:
        async with Hub(sessions=shared):
            pass

    run_asyncio(main())
    monkeypatch.undo()
    lines = [line.getMessage() for line in caplog.records if "the clock of this machine" in line.getMessage()]
    assert len(lines) == (way is not None)
    assert way is None or f" s {way} that of the store" in lines[0]


@pytest.mark.parametrize(
    ("memory", "policy", "is_said"),
    [("100mb", "volatile-lru", 1), ("100mb", "noeviction", 0), ("0", "allkeys-lru", 0)],
)
def test_a_server_that_drops_what_it_keeps_when_its_memory_is_full_is_named(
    run_asyncio: Run,
    own_valkey: Valkey,
    memory: str,
    policy: str,
    is_said: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with own_valkey.client() as client:
        client.config_set("maxmemory", memory)
        client.config_set("maxmemory-policy", policy)

    async def main() -> None:
        async with Hub(sessions=own_valkey.url):
            pass

    run_asyncio(main())
    assert caplog.text.count(f"its maxmemory-policy is {policy}, not noeviction") == is_said
