"""A dialect: which messages are heartbeats; they are sent and answered for the user, who never sees one."""

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.client.conftest import World
from tests.watch import Run, turns, until

from websocket_heartbeat import Dialect, Heartbeat, HookFailed, Message, OpenEvent
from websocket_heartbeat.engines.base import WRITE_LIMIT

TEXTS = Dialect("ping", "pong")


def spoken(dialect: Dialect) -> Heartbeat:
    return Heartbeat(10, 5, message=dialect)


def test_an_answer_is_proof_of_life_and_kept_from_the_user(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(heartbeat=spoken(TEXTS)) as connection:
            peer = await world.opened(connection, 1)
            await until(lambda: connection.state == "probing")
            peer.send("pong")
            assert connection.state == "open"
            peer.send("news")
            await until(lambda: len(peer.received) == 2)
            peer.send("pong")
            await until(lambda: len(peer.received) == 3)
            peer.send("pong")
            assert await connection.recv() == "news"
            assert peer.received == ["ping"] * 3
            assert (peer.pings, connection.stats.pings, connection.stats.links) == (0, 3, 1)
            # What is no answer at all: the link is given up.
            await world.opened(connection, 2)

    play(main())


def test_latency_is_the_time_to_the_answer_on_an_idle_link_and_on_a_busy_one(world: World, play: Run) -> None:
    async def main() -> None:
        for is_busy in (False, True):
            async with world.connect(heartbeat=spoken(TEXTS)) as connection:
                peer = await world.opened(connection, 1)
                while "ping" not in peer.received:
                    await asyncio.sleep(0.1)
                    if is_busy:
                        peer.send("news")
                await asyncio.sleep(0.5)
                peer.send("more news")
                assert connection.latency is None
                await asyncio.sleep(0.5)
                peer.send("pong")
                assert connection.latency == pytest.approx(1, abs=0.15)
                await asyncio.sleep(0.5)
                peer.send("pong")
                assert connection.latency == pytest.approx(1, abs=0.15)

    play(main())


def test_the_peer_s_heartbeats_are_answered_at_once_whatever_the_user_s_code_does(
    world: World, play: Run
) -> None:
    got: list[Message] = []
    release = asyncio.Event()

    async def slow(message: Message) -> None:
        await release.wait()
        got.append(message)

    async def main() -> None:
        for how in ("nobody reads", "hook", "coroutine hook"):
            async with world.connect(heartbeat=spoken(TEXTS)) as connection:
                got.clear()
                if how != "nobody reads":
                    connection.on_message = got.append if how == "hook" else slow
                peer = await world.opened(connection, 1)
                for number in range(5):
                    peer.send(f"news {number}")
                    peer.send("ping")
                    assert peer.received == ["pong"] * (number + 1), how
                    await turns()
                release.set()
                if how == "nobody reads":
                    got.extend([await connection.recv() for _ in range(5)])
                await until(lambda: len(got) == 5)
                assert got == [f"news {number}" for number in range(5)]

    play(main())


def test_during_on_open_the_peer_is_answered_and_no_heartbeat_comes_before_what_it_wants_first(
    world: World, play: Run
) -> None:
    received: list[Message] = []

    async def log_in(event: OpenEvent) -> None:
        await connection.send("login")
        received.append(await connection.recv())

    connection = world.connect(heartbeat=spoken(TEXTS))
    connection.on_open = log_in

    async def main() -> None:
        async with connection:
            await until(lambda: connection.stats.links == 1)
            peer = world.peer
            peer.send("ping")
            await asyncio.sleep(25)
            # A dead link would be noticed meanwhile: by pings of the protocol.
            assert peer.pings == 2
            peer.send("pong")
            assert peer.received == ["login", "pong"]
            peer.send("welcome")
            await connection.wait_open(1)
            await until(lambda: len(peer.received) == 3)
            assert peer.received[2] == "ping"
            assert received == ["welcome"]
            assert connection.stats.links == 1

    play(main())


def test_a_plain_message_is_sent_during_on_open_too(world: World, play: Run) -> None:
    async def never_done(event: OpenEvent) -> None:
        await asyncio.sleep(100)

    connection = world.connect(heartbeat=Heartbeat(10, 5, message="ping"))
    connection.on_open = never_done

    async def main() -> None:
        async with connection:
            await until(lambda: connection.stats.links == 1)
            await until(lambda: world.peer.received)
            assert world.peer.received == ["ping"]
            connection.on_open = None

    play(main())


def test_a_link_that_dies_during_on_open_is_noticed(world: World, play: Run) -> None:
    async def log_in(event: OpenEvent) -> None:
        await connection.recv()

    connection = world.connect(heartbeat=spoken(TEXTS))
    connection.on_open = log_in

    async def main() -> None:
        async with connection:
            await until(lambda: connection.stats.links == 1)
            world.peer.frozen = True
            await until(lambda: connection.stats.links == 2)

    play(main())


def test_heartbeats_with_numbers_are_made_recognised_and_answered_by_functions(
    world: World, play: Run
) -> None:
    numbers = itertools.count(1)
    dialect = Dialect(
        lambda: f"ping {next(numbers)}",
        lambda message: isinstance(message, str) and message.startswith("pong "),
        lambda message: str(message).replace("ping", "pong") if "ping" in str(message) else None,
    )

    async def main() -> None:
        async with world.connect(heartbeat=spoken(dialect)) as connection:
            peer = await world.opened(connection, 1)
            await until(lambda: peer.received)
            peer.send("pong 1")
            peer.send("ping 77")
            await until(lambda: len(peer.received) == 3)
            assert peer.received == ["ping 1", "pong 77", "ping 2"]
            assert connection.latency is not None
            peer.send(b"pong 2")
            assert await connection.recv() == b"pong 2"

    play(main())


def test_what_is_answered_by_itself_is_an_answer_for_a_client(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(heartbeat=spoken(Dialect("\n", "\n"))) as connection:
            peer = await world.opened(connection, 1)
            peer.send("\n")
            await until(lambda: peer.received)
            peer.send("\n")
            assert connection.state == "open"
            peer.send("news")
            assert await connection.recv() == "news"
            assert peer.received == ["\n"]

    play(main())


def test_heartbeats_that_nobody_answers_go_with_a_ping_and_are_kept_when_they_come(
    world: World, play: Run
) -> None:
    async def main() -> None:
        async with world.connect(heartbeat=spoken(Dialect("\n"))) as connection:
            peer = await world.opened(connection, 1)
            await asyncio.sleep(35)
            assert (peer.received, peer.pings, connection.stats.links) == (["\n"] * 3, 3, 1)
            assert connection.latency is not None
            peer.send("\n")
            peer.send("news")
            assert await connection.recv() == "news"
            peer.frozen = True
            await world.opened(connection, 2)

    play(main())


def test_without_a_pong_a_reply_answers_what_is_like_our_own_heartbeat(world: World, play: Run) -> None:
    dialect = Dialect("ping", reply=lambda message: "pong" if message == "ping" else None)

    async def main() -> None:
        async with world.connect(heartbeat=spoken(dialect)) as connection:
            peer = await world.opened(connection, 1)
            peer.send("ping")
            assert peer.received == ["pong"]

    play(main())


def test_neither_answers_to_the_peer_nor_pongs_of_the_protocol_count_as_sent(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(heartbeat=spoken(TEXTS)) as connection:
            peer = await world.opened(connection, 1)
            for _ in range(50):
                await asyncio.sleep(1)
                peer.send("ping")
            assert peer.received.count("pong") == 50
            assert peer.received.count("ping") >= 4
            peer.received.clear()
            for _ in range(50):
                await asyncio.sleep(1)
                peer.send("news")
                peer.link.ping()
            assert peer.received.count("ping") >= 4

    play(main())


def test_binary_and_text_are_not_the_same(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(heartbeat=spoken(Dialect(b"ping", b"pong"))) as connection:
            peer = await world.opened(connection, 1)
            for message in ("ping", "pong"):
                peer.send(message)
                assert await connection.recv() == message
            peer.send(b"ping")
            peer.send(b"pong")
            await until(lambda: len(peer.received) == 2)
            assert peer.received == [b"pong", b"ping"]

    play(main())


def _fail(message: Message) -> Any:
    raise LookupError(f"cannot read {message!r}")


@pytest.mark.parametrize("part", ["pong", "reply"])
@pytest.mark.parametrize(
    "function",
    [_fail, lambda message: 5, lambda message: [message], lambda message: "\ud800"],
    ids=["raises", "number", "list", "surrogate"],
)
def test_a_function_that_fails_is_reported_once_and_the_message_delivered(
    part: str, function: Callable[[Message], Any], world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    parts: dict[str, Any] = {part: function}

    async def main() -> None:
        async with world.recorded(heartbeat=spoken(Dialect("ping", **parts))) as connection:
            peer = await world.opened(connection, 1)
            for number in range(1, 3):
                peer.send(f"secret {number}")
                assert await connection.recv() == f"secret {number}"
                assert [error.name for error in world.seen(HookFailed)] == [f"Dialect.{part}"] * number
            assert peer.received == []
            # It is proof of life all the same.
            peer.answers_pings = False
            await until(lambda: connection.state == "probing")
            peer.send("secret 3")
            assert connection.state == "open"
        assert "secret" not in caplog.text

    play(main())


def test_a_function_that_makes_heartbeats_and_fails_is_reported_and_replaced_by_a_ping(
    world: World, play: Run
) -> None:
    async def main() -> None:
        dialect = Dialect(lambda: json.loads("?"), "pong")
        async with world.recorded(heartbeat=spoken(dialect)) as connection:
            peer = await world.opened(connection, 1)
            await asyncio.sleep(25)
            assert (peer.pings, peer.received, connection.stats.links) == (2, [], 1)
            assert connection.latency is not None
            assert [error.name for error in world.seen(HookFailed)] == ["Dialect.ping"] * 2

    play(main())


def test_answers_are_no_messages_for_the_watchdog_and_those_of_the_user_are(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(heartbeat=spoken(TEXTS), message_timeout=60) as connection:
            peer = await world.opened(connection, 1)
            connection.on_message = lambda message: None
            for second in range(100):
                await asyncio.sleep(1)
                peer.send("pong")
                peer.send("ping")
                if second < 50:
                    peer.send("news")
            assert connection.stats.links == 1
            for _ in range(20):
                await asyncio.sleep(1)
                peer.send("pong")
            await until(lambda: connection.stats.links == 2)
            assert "no message" in connection.stats.reasons[-1]

    play(main())


def test_a_peer_that_does_not_read_is_answered_once_it_does(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(heartbeat=spoken(TEXTS)) as connection:
            peer = await world.opened(connection, 1)
            peer.stop_reading()
            for _ in range(3):
                await connection.send("x" * WRITE_LIMIT)
            buffered = peer.link.buffered
            for _ in range(1000):
                peer.send("ping")
            assert peer.link.buffered == buffered
            peer.start_reading()
            await turns()
            assert [message for message in peer.received if len(message) < 9] == ["pong"]

    play(main())


def test_after_a_renewal_and_a_loss_the_dialect_is_still_spoken(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(heartbeat=spoken(TEXTS)) as connection:
            await world.opened(connection, 1)
            await connection.renew()
            peer = world.peer
            peer.send("ping")
            peer.send("pong")
            peer.reset()
            other = await world.opened(connection, 3)
            other.send("ping")
            other.send("news")
            assert await connection.recv() == "news"
            assert (peer.received, other.received) == (["pong"], ["pong"])

    play(main())


@pytest.mark.parametrize(
    ("parts", "error", "text"),
    [
        ((None,), TypeError, "Dialect.ping must be str or bytes-like, not NoneType"),
        (("\ud800",), ValueError, "Dialect.ping must be text that UTF-8 can carry"),
        (("ping", 5), TypeError, "Dialect.pong must be str or bytes-like, not int"),
        (("ping", "pong", "pong"), TypeError, "Dialect.reply must be a function or None, not str"),
        (("ping", "pong", asyncio.sleep), TypeError, "Dialect.reply must be a function, not the coroutine"),
        (("ping", asyncio.sleep), TypeError, "Dialect.pong must be a function, not the coroutine"),
    ],
)
def test_a_part_that_cannot_be_used_is_named(parts: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Dialect(*parts)


def test_a_heartbeat_larger_than_messages_may_be_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match=r"Dialect\.ping is of 11 bytes, above max_size=10"):
        world.connect(heartbeat=spoken(Dialect("x" * 11)), max_size=10)


def test_what_a_dialect_says_is_not_shown() -> None:
    assert "secret" not in repr(Heartbeat(message=Dialect("secret", "secret too")))
