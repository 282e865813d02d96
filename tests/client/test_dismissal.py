"""The server sends the client away for good: by a message that both sides name, or by a close code."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from tests.client.conftest import World
from tests.watch import Run, turns, until

from websocket_heartbeat import (
    FINAL_CLOSE_CODES,
    CloseEvent,
    Connection,
    ConnectionFailed,
    Dialect,
    Heartbeat,
    LinkRejected,
    Message,
    OpenEvent,
    ReconnectEvent,
    connect,
)
from websocket_heartbeat.engines.memory import MemoryPeer

BYE = "dismissed"


async def failure(connection: Connection) -> ConnectionFailed:
    with pytest.raises(ConnectionFailed) as caught:
        await connection.wait_closed()
    return caught.value


# By a message

ENDS: dict[str, tuple[Callable[[MemoryPeer], None], int | None, str]] = {
    "code and reason": (
        lambda peer: peer.close(4500, "banned"),
        4500,
        "dismissed by the server: the server closed the link with 4500: banned",
    ),
    "a code that is not final": (
        lambda peer: peer.close(1000),
        1000,
        "dismissed by the server: the server closed the link with 1000",
    ),
    "no close frame": (
        lambda peer: peer.reset(),
        None,
        "dismissed by the server: connection reset by peer",
    ),
    "nothing": (lambda peer: None, None, "dismissed by the server"),
}


@pytest.mark.parametrize("end", ENDS)
def test_after_a_dismissal_the_end_of_the_link_is_that_of_the_connection(
    end: str, world: World, play: Run
) -> None:
    closes, code, reason = ENDS[end]

    async def main() -> None:
        async with world.recorded(dismissal=BYE, close_timeout=3) as connection:
            peer = await world.opened(connection, 1)
            peer.send("before")
            peer.send(BYE)
            peer.send("after")
            closes(peer)
            failed = await failure(connection)
            assert (failed.reason, failed.code) == (reason, code)
            assert await connection.recv() == "before"
            with pytest.raises(ConnectionFailed, match="dismissed by the server"):
                await connection.recv()
            assert connection.stats.attempts == 1
            assert connection.stats.reasons == [reason]
        assert world.seen(CloseEvent) == [CloseEvent(1, reason, code)]
        assert world.seen(ReconnectEvent) == []
        assert world.events[-2:] == [CloseEvent(1, reason, code), "failed"]

    play(main())


def test_the_error_that_ended_the_link_is_the_cause(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(dismissal=BYE) as connection:
            peer = await world.opened(connection, 1)
            peer.send(BYE)
            peer.close(4500, "banned")
            cause = (await failure(connection)).__cause__
            assert str(cause) == "the server closed the link with 4500: banned"

    play(main())


def test_only_a_text_that_is_equal_dismisses_and_by_default_none_does(world: World, play: Run) -> None:
    async def main() -> None:
        for options in ({"dismissal": BYE}, {}):
            async with world.connect(**options) as connection:
                peer = await world.opened(connection, 1)
                sent: list[Message] = [BYE.encode(), BYE + " ", BYE.upper(), *([] if options else [BYE])]
                for message in sent:
                    peer.send(message)
                assert [await connection.recv() for _ in sent] == sent
                peer.close(1000)
                await world.opened(connection, 2)

    play(main())


HEARTBEATS = {
    "pings": Heartbeat(10, 5),
    "a message": Heartbeat(10, 5, message="heartbeat"),
    "a dialect": Heartbeat(10, 5, message=Dialect("ping", "pong")),
    # Which is not to be asked about a text of another kind.
    "a dialect of functions": Heartbeat(
        10, 5, message=Dialect(lambda: "{}", lambda text: json.loads(text) == {}, lambda text: None)
    ),
}


@pytest.mark.parametrize("how", ["iteration", "hook", "coroutine hook", "dialogue", "watchdog"])
@pytest.mark.parametrize("heartbeat", HEARTBEATS)
def test_whoever_receives_whatever_the_heartbeat_the_dismissal_is_for_nobody(
    how: str, heartbeat: str, world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Message] = []

    async def take(message: Message) -> None:
        got.append(message)

    async def main() -> None:
        options: dict[str, Any] = {"message_timeout": 60} if how == "watchdog" else {}
        async with world.connect(dismissal=BYE, heartbeat=HEARTBEATS[heartbeat], **options) as connection:

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                if how == "dialogue":
                    while True:
                        got.append(await connection.recv())

            if how == "hook":
                connection.on_message = got.append
            elif how == "coroutine hook":
                connection.on_message = take
            peer = await world.opened(connection, 1)
            peer.answers_pings = False
            await until(lambda: connection.state == "probing")
            peer.send(BYE)
            await asyncio.sleep(0.5)
            peer.close(1000)
            failed = await failure(connection)
            assert failed.reason.startswith("dismissed by the server: ")
            assert got == []
            assert connection.stats.attempts == 1
            if how in ("iteration", "watchdog"):
                with pytest.raises(ConnectionFailed):
                    await connection.recv()

    play(main())
    assert "HookFailed" not in caplog.text
    assert [record.message for record in caplog.records if "raised" in record.message] == []


def test_a_message_that_comes_in_the_same_read_is_delivered_to_a_coroutine_hook(
    world: World, play: Run
) -> None:
    got: list[Message] = []

    async def take(message: Message) -> None:
        await asyncio.sleep(0.1)
        got.append(message)

    async def main() -> None:
        async with world.connect(dismissal=BYE) as connection:
            connection.on_message = take
            peer = await world.opened(connection, 1)
            peer.send("one")
            peer.send("two")
            peer.send(BYE)
            peer.close(4500)
            await failure(connection)
            await until(lambda: len(got) == 2)

    play(main())


def test_a_slow_reader_learns_the_server_s_reason_all_the_same(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(dismissal=BYE, receive_queue=3) as connection:
            peer = await world.opened(connection, 1)
            peer.send("one")
            await turns()
            # One read brings all of this, and leaves more than may wait.
            for message in ("two", "three", BYE):
                peer.link.deliver(message)
            peer.send("four")
            peer.send("five")
            assert peer.unread == []
            peer.close(4500, "banned")
            assert (await failure(connection)).code == 4500
            assert [await connection.recv() for _ in range(3)] == ["one", "two", "three"]

    play(main())


@pytest.mark.parametrize("ask", ["reconnect_now", "fail_link", "on_open raises", "silence"])
def test_nothing_opens_another_link_after_a_dismissal(ask: str, world: World, play: Run) -> None:
    release = asyncio.Event()

    async def log_in(event: OpenEvent) -> None:
        await release.wait()
        raise PermissionError

    async def main() -> None:
        async with world.connect(dismissal=BYE, close_timeout=100, retry_if=lambda error: True) as connection:
            if ask == "on_open raises":
                connection.on_open = log_in
            peer = await world.opened(connection, 1)
            peer.send(BYE)
            match ask:
                case "reconnect_now":
                    connection.reconnect_now()
                case "fail_link":
                    connection.fail_link("no use")
                case "silence":
                    peer.frozen = True
                case _:
                    release.set()
            failed = await failure(connection)
            assert failed.reason.startswith("dismissed by the server: ")
            assert isinstance(failed.__cause__, LinkRejected) == (ask == "fail_link")
            assert connection.stats.attempts == 1

    play(main())


def test_retry_if_is_not_asked(world: World, play: Run) -> None:
    asked: list[Exception] = []

    def always(error: Exception) -> bool:
        asked.append(error)
        return True

    async def main() -> None:
        async with world.connect(dismissal=BYE, retry_if=always) as connection:
            peer = await world.opened(connection, 1)
            peer.send(BYE)
            peer.close(4500)
            await failure(connection)
            assert asked == []

    play(main())


def test_the_user_may_close_meanwhile(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(dismissal=BYE) as connection:
            peer = await world.opened(connection, 1)
            peer.send(BYE)
            await connection.close()
            assert connection.state == "closed"

    play(main())


def test_what_waits_to_be_sent_is_told_of(world: World, play: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with world.connect(dismissal=BYE) as connection:
            await world.opened(connection, 1)
            world.peer.stop_reading()
            for _ in range(30):
                connection.send_nowait("x" * 10000)
            world.peer.send(BYE)
            world.peer.close(4500)
            await failure(connection)

    play(main())
    assert "could be sent" in caplog.text


# During a renewal


def test_a_link_that_was_renewed_dismisses_nobody(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(dismissal=BYE) as connection:
            old = await world.opened(connection, 1)
            old.answers_close = False
            await connection.renew()
            old.send("last words")
            old.send(BYE)
            world.peer.send("news")
            assert [await connection.recv(), await connection.recv()] == ["last words", "news"]
            old.close(4500)
            await asyncio.sleep(10)
            assert (connection.state, connection.stats.attempts) == ("open", 2)

    play(main())


def test_a_successor_that_is_dismissed_is_left_and_the_link_before_goes_on(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def log_in(event: OpenEvent) -> None:
        if event.link > 1:
            await asyncio.sleep(100)

    async def main() -> None:
        async with world.recorded(dismissal=BYE) as connection:
            connection.on_open = log_in
            old = await world.opened(connection, 1)
            renewal = asyncio.create_task(connection.renew())
            await until(lambda: len(world.engine.peers) == 2)
            await turns()
            world.peer.send(BYE)
            with pytest.raises(ConnectionAbortedError, match="dismissed by the server"):
                await renewal
            assert world.peer.close_code == 1000
            assert world.seen(CloseEvent) == [CloseEvent(2, "dismissed by the server")]
            old.send("news")
            assert await connection.recv() == "news"
            # That says nothing of the links to come.
            old.close(1012)
            await world.opened(connection, 2)
        assert "the renewal failed: dismissed by the server" in caplog.text

    with caplog.at_level(logging.WARNING):
        play(main())


# By a code


@pytest.mark.parametrize("code", [3500, 3999, 4500, 4999])
def test_codes_of_the_two_ranges_are_final_by_default(code: int, world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            (await world.opened(connection, 1)).close(code, "banned")
            failed = await failure(connection)
            reason = f"the server closed the link with {code}: banned"
            assert (failed.code, failed.reason) == (code, reason)
        assert world.events[-2:] == [CloseEvent(1, reason, code), "failed"]

    play(main())


@pytest.mark.parametrize("code", [None, 1000, 1001, 1008, 1012, 3000, 3499, 4000, 4401, 4499])
def test_after_other_codes_the_client_comes_back(code: int | None, world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            (await world.opened(connection, 1)).close(code)  # type: ignore[arg-type]
            await world.opened(connection, 2)

    play(main())


def test_other_codes_and_ranges_may_be_final_in_their_place(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(final_close_codes=(range(4100, 4200), 4001)) as connection:
            for code in (4500, 4099, 4200):
                (await world.opened(connection, connection.stats.links)).close(code)
                await until(lambda: connection.state == "waiting")
                connection.reconnect_now()
                await until(lambda: connection.state == "open")
            world.peer.close(4199)
            assert (await failure(connection)).code == 4199
        async with world.connect(final_close_codes=(*FINAL_CLOSE_CODES, 4001)) as connection:
            (await world.opened(connection, 1)).close(4001)
            assert (await failure(connection)).code == 4001

    play(main())


def test_with_none_every_code_is_retried(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(final_close_codes=()) as connection:
            (await world.opened(connection, 1)).close(4500)
            await world.opened(connection, 2)

    play(main())


def test_retry_if_may_say_otherwise_of_a_code(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(retry_if=lambda error: True) as connection:
            (await world.opened(connection, 1)).close(4500)
            await world.opened(connection, 2)

    play(main())


# What is wrong with the options


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"dismissal": b"bye"}, TypeError, "dismissal must be a str or None, not bytes"),
        ({"dismissal": "\ud800"}, ValueError, "dismissal must be text that UTF-8 can carry"),
        (
            {"dismissal": "bye" * 10, "max_size": 20},
            ValueError,
            "dismissal is of 30 bytes, above max_size=20",
        ),
        *[
            (
                {"dismissal": "ping", "heartbeat": Heartbeat(message=message)},
                ValueError,
                "must differ from the",
            )
            for message in ("ping", Dialect("ping"), Dialect(lambda: "x", "ping"))
        ],
        ({"final_close_codes": [4500, "4501"]}, TypeError, r"final_close_codes\[1\] must be a whole number"),
        ({"final_close_codes": [range(0)]}, ValueError, r"final_close_codes\[0\] must be a range of close"),
        ({"final_close_codes": [range(1, 9, 2)]}, ValueError, r"final_close_codes\[0\] must be a range of"),
        (
            {"final_close_codes": [range(-1, 9)]},
            ValueError,
            r"final_close_codes\[0\] must be a range of close",
        ),
    ],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        connect("ws://example.com/", **options)
