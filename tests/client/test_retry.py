"""The table of what is final and what is retried, line by line, and how long a server can make us wait."""

import asyncio
import gc
import logging
import math
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from tests.client.conftest import World
from tests.engines.peers import Peer, ws_server
from tests.watch import Run, counts_references, turns, until

from websocket_heartbeat import (
    Backoff,
    ConnectionFailed,
    HandshakeError,
    HandshakeRejected,
    HookFailed,
    MessageTooBig,
    ProtocolViolation,
    ProxyFailed,
    ProxyNotSupported,
    ReconnectEvent,
    RedirectRefused,
    ServerClosed,
    connect,
)
from websocket_heartbeat.client.retry import LATER, judge, retry_hint
from websocket_heartbeat.core.backoff import LONGEST_HINT
from websocket_heartbeat.engines.base import Link, OpenRequest
from websocket_heartbeat.testing import SimulatedClock

NOTHING: list[tuple[str, str]] = []

TABLE: list[tuple[Exception, bool]] = [
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
    (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), False),
    (ConnectionRefusedError("refused"), False),
    (ConnectionResetError("reset"), False),
    (OSError(113, "No route to host"), False),
    (OSError(101, "Network is unreachable"), False),
    (TimeoutError("timed out"), False),
    (ssl.SSLCertVerificationError("certificate has expired"), True),
    (ssl.SSLError("wrong version number"), False),
    (ssl.SSLEOFError("EOF occurred in violation of protocol"), False),
    (ProxyNotSupported("no package"), True),
    (ProxyFailed("it answered CONNECT with HTTP status 407"), False),
    (HookFailed("additional_headers", LookupError()), False),
    (RedirectRefused("from wss to ws"), True),
    (HandshakeError("no valid answer"), False),
    (ProtocolViolation(1002, "reserved bit"), False),
    (MessageTooBig(1000), False),
    *((HandshakeRejected(status, NOTHING), False) for status in (408, 421, 425, 429)),
    *((HandshakeRejected(status, NOTHING), True) for status in (400, 401, 403, 404, 405, 407, 410, 426, 451)),
    *((HandshakeRejected(status, NOTHING), False) for status in (500, 502, 503, 504, 520, 599)),
    *((HandshakeRejected(status, NOTHING), True) for status in (501, 505)),
    *((HandshakeRejected(status, NOTHING), False) for status in (200, 204, 301, 302, 308)),
    *((ServerClosed(code, ""), False) for code in (None, *range(1000, 1016), 3000, 3499, 4000, 4499)),
    *((ServerClosed(code, "gone for good"), True) for code in (3500, 3999, 4500, 4999)),
]


@pytest.mark.parametrize(("error", "final"), TABLE, ids=lambda value: str(value)[:40])
def test_the_table(error: Exception, final: bool, world: World, play: Run) -> None:
    """Asked of the table itself and of a connection, which must do as it says."""

    async def fail_once(request: OpenRequest) -> None:
        if len(world.engine.requests) == 1:
            raise error

    async def main() -> None:
        if not isinstance(error, ServerClosed):
            world.engine.answer = fail_once
        connection = world.connect()
        assert judge(error).final is (None if isinstance(error, ServerClosed) else final)
        async with connection:
            if isinstance(error, ServerClosed):
                peer = await world.opened(connection, 1)
                peer.close(error.code, error.reason)  # type: ignore[arg-type]
            if final:
                with pytest.raises(ConnectionFailed) as caught:
                    await connection.wait_closed()
                assert repr(caught.value.__cause__) == repr(error)
            else:
                await connection.wait_open(100)
                await until(lambda: connection.stats.attempts == 2)

    play(main())


def test_retry_if_overrides_every_line_in_both_directions() -> None:
    for error, final in TABLE:
        for answer in (True, False, None):
            left = None if isinstance(error, ServerClosed) else final
            assert judge(error, retry=answer).final is (left if answer is None else not answer)


def test_retry_if_is_asked_about_attempts_and_about_links(world: World, play: Run) -> None:
    async def reject_once(request: OpenRequest) -> None:
        if len(world.engine.requests) == 1:
            raise HandshakeRejected(403, NOTHING)

    async def main() -> None:
        seen: list[Exception] = []

        def retry_if(error: Exception) -> bool | None:
            seen.append(error)
            return not isinstance(error, ServerClosed)

        world.engine.answer = reject_once
        async with world.connect(retry_if=retry_if) as connection:
            await connection.wait_open()
            world.peer.close(4000, "go")
            with pytest.raises(ConnectionFailed) as caught:
                await connection.wait_closed()
            assert caught.value.code == 4000
        assert [type(error) for error in seen] == [HandshakeRejected, ServerClosed]

    play(main())


def test_final_close_codes_end_the_connection_and_only_they(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(final_close_codes={4001, 1008}) as connection:
            (await world.opened(connection, 1)).close(4002)
            (await world.opened(connection, 2)).close(1000)
            (await world.opened(connection, 3)).close(1008, "policy")
            with pytest.raises(ConnectionFailed, match="1008: policy") as caught:
                await connection.recv()
            assert caught.value.code == 1008

    play(main())


def rejected(*headers: tuple[str, str], status: int = 503) -> HandshakeRejected:
    return HandshakeRejected(status, headers)


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DATE = ("Date", format_datetime(NOW, usegmt=True))


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (rejected(("Retry-After", "120")), 120),
        (rejected(("retry-after", " 7 ")), 7),
        (rejected(("Retry-After", "0")), 0),
        (rejected(("Retry-After", "-5")), 0),
        (rejected(("Retry-After", "1.5")), 0),
        (rejected(("Retry-After", "soon")), 0),
        (rejected(("Retry-After", "")), 0),
        (rejected(("Retry-After", "٣")), 0),
        (rejected(("Retry-After", "9" * 400)), math.inf),
        (rejected(("Retry-After", format_datetime(NOW + timedelta(seconds=90), usegmt=True)), DATE), 90),
        (rejected(("Retry-After", "Sunday, 01-Mar-26 12:00:30 GMT"), DATE), 30),
        (rejected(("Retry-After", "Sun Mar  1 12:00:40 2026"), DATE), 40),
        (rejected(("Retry-After", format_datetime(NOW - timedelta(seconds=90), usegmt=True)), DATE), 0),
        (rejected(("Retry-After", "Mon, 99 Foo 2026 12:00:00 GMT"), DATE), 0),
        (rejected(("Retry-After", "30"), status=429), 30),
        (rejected(), 0),
        (ServerClosed(1013, "retry-after=30"), 30),
        (ServerClosed(1012, "restarting, Retry-After: 2.5"), 2.5),
        (ServerClosed(1012, "retry-after 9"), 9),
        (ServerClosed(1012, "retry-after=soon"), 0),
        (ServerClosed(1012, "retry-after=-5"), 0),
        (ServerClosed(1012, ""), 0),
        (OSError("retry-after=30"), 0),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_hint_is_read_in_every_form(error: Exception, seconds: float) -> None:
    assert retry_hint(error) == seconds


def test_a_date_is_measured_by_our_own_clock_if_the_server_names_none() -> None:
    then = datetime.now(UTC) + timedelta(seconds=100)
    assert 90 < retry_hint(rejected(("Retry-After", format_datetime(then, usegmt=True)))) <= 100


def test_a_herd_retries_as_spread_as_the_core_has_spread_it(
    world: World, play: Run, simulated_clock: SimulatedClock
) -> None:
    tried: list[float] = []
    due: list[float] = []

    async def refuse(request: OpenRequest) -> None:
        tried.append(simulated_clock.now())
        raise ConnectionRefusedError("refused")

    async def main() -> None:
        world.engine.answer = refuse
        connections = [world.connect() for _ in range(50)]
        for connection in connections:
            connection.on_reconnect = lambda event: due.append(simulated_clock.now() + event.delay)
            connection.start()
        await asyncio.sleep(1.5)
        first = due[: len(connections)]
        assert tried[len(connections) : 2 * len(connections)] == pytest.approx(sorted(first), abs=1e-6)
        for connection in connections:
            await connection.close()

    play(main())


@counts_references
def test_a_refused_attempt_leaves_nothing_for_the_garbage_collector(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="websocket_heartbeat")  # a record would keep the error alive

    async def main() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            connection = connect(f"ws://127.0.0.1:{unused.getsockname()[1]}/", backoff=Backoff(0.01, 0.01))
            async with connection:
                await until(lambda: connection.stats.attempts > 2)
                gc.collect()
                gc.disable()
                try:
                    before = connection.stats.attempts
                    await until(lambda: connection.stats.attempts >= before + 10)
                    assert gc.collect() < 10
                finally:
                    gc.enable()

    run(main())


def links() -> int:
    return sum(isinstance(thing, Link) for thing in gc.get_objects())


@counts_references
def test_a_lost_link_leaves_nothing_for_the_garbage_collector(run: Run) -> None:
    async def leave(peer: Peer) -> None:
        await peer.read_frame()
        peer.reset()

    async def main() -> None:
        gc.collect()
        others = links()
        async with (
            ws_server(leave) as server,
            connect(server.url(), backoff=Backoff(0.01, 0.01)) as connection,
        ):
            connection.on_open = lambda event: connection.send_nowait("leave")
            gc.disable()
            try:
                await until(lambda: connection.stats.links >= 10)
                # Now and then the last one is not quite gone when the next one is there.
                await until(lambda: links() - others <= 1)
            finally:
                gc.enable()

    run(main())


@pytest.mark.parametrize(("seconds", "least"), [("50", 50), ("9" * 400, LONGEST_HINT)])
def test_no_retry_comes_before_the_server_allows_it(
    seconds: str, least: float, world: World, play: Run
) -> None:
    async def busy_once(request: OpenRequest) -> None:
        if len(world.engine.requests) == 1:
            raise rejected(("Retry-After", seconds))

    async def main() -> None:
        world.engine.answer = busy_once
        async with world.recorded(backoff=Backoff(1, 60, 30)) as connection:
            await turns()
            delay = world.seen(ReconnectEvent)[0].delay
            assert least <= delay <= least + 1
            await asyncio.sleep(least - 1)
            assert len(world.engine.requests) == 1
            await connection.wait_open(10)

    play(main())


@pytest.mark.parametrize(
    ("status", "hint"), [(429, LATER), (503, LATER), (500, 0), (502, 0), (504, 0), (401, 0)]
)
def test_a_busy_server_asks_to_wait_though_it_does_not_say_how_long(status: int, hint: float) -> None:
    assert judge(rejected(status=status)).hint == hint
    assert judge(rejected(("Retry-After", "7"), status=status)).hint == 7


def test_a_hint_in_a_close_reason_delays_the_reconnect(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            (await world.opened(connection, 1)).close(1012, "restarting retry-after=20")
            assert 20 <= world.seen(ReconnectEvent)[0].delay <= 21
            await connection.wait_open(30)

    play(main())


@pytest.mark.parametrize(
    ("headers", "tries"), [(lambda: {"Authorization": "t"}, 2), ({"Authorization": "t"}, 1), (None, 1)]
)
def test_a_401_gets_one_more_try_with_fresh_headers_if_there_are_any(
    headers: Any, tries: int, world: World, play: Run
) -> None:
    async def unauthorized(request: OpenRequest) -> None:
        raise HandshakeRejected(401, NOTHING)

    async def main() -> None:
        world.engine.answer = unauthorized
        async with world.connect(additional_headers=headers) as connection:
            with pytest.raises(ConnectionFailed, match="401"):
                await connection.wait_closed()
            assert connection.stats.attempts == 1
        assert len(world.engine.requests) == tries

    play(main())


def test_a_fresh_token_in_the_url_gets_in_at_once_after_a_401(world: World, play: Run) -> None:
    async def main() -> None:
        tokens = iter(["stale", "fresh"])

        async def check(request: OpenRequest) -> None:
            if not request.url.endswith("fresh"):
                raise HandshakeRejected(401, NOTHING)

        world.engine.answer = check
        async with connect(lambda: f"ws://test/?{next(tokens)}", engine=world.engine) as connection:
            await connection.wait_open(0.5)

    play(main())


def test_a_fresh_token_gets_in_at_once_after_a_401(world: World, play: Run) -> None:
    async def main() -> None:
        tokens = iter(["stale", "fresh"])

        async def headers() -> dict[str, str]:
            return {"Authorization": next(tokens)}

        async def check(request: OpenRequest) -> None:
            if dict(request.headers)["Authorization"] != "fresh":
                raise HandshakeRejected(401, NOTHING)

        world.engine.answer = check
        connection = world.connect(additional_headers=headers)
        connection.on_error = world.events.append
        async with connection:
            await connection.wait_open(0.5)
        assert world.events == []

    play(main())
