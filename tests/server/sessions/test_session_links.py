"""Links of a client's session come and go, by its user, by a renewal, by a failure: the session goes on."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.server.raw import TEXT, client
from tests.server.sessions.test_hostile_clients import RESUME
from tests.server.sessions.test_sessions import HELLO, QUICK, running, session, told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Dialect, Heartbeat, connect
from websocket_heartbeat.controls import SUBPROTOCOL
from websocket_heartbeat.errors import Undelivered
from websocket_heartbeat.server import Hub, Peer, serve
from websocket_heartbeat.testing import FaultProxy


@pytest.mark.timeout(60)
def test_what_comes_on_a_link_that_the_user_has_called_bad_comes_again_on_the_next(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory")
        async with (
            running(hub) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            session(f"ws://127.0.0.1:{proxy.port}/") as connection,
        ):
            events = told(connection)
            await until(lambda: len(hub.peers) == len(events) == 1)
            proxy.delay(0.03, "to_client")
            for number in range(5):
                hub.peers[0].send(str(number))
                connection.fail_link("odd")  # the message is on its way
                async with asyncio.timeout(PATIENCE):
                    assert await connection.recv() == str(number)

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_renewal_that_fails_in_its_handshake_does_not_leave_a_link_that_is_nobodys(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", on_message=lambda peer, message: peer.send(message))
        async with (
            running(hub) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            connect(
                f"ws://127.0.0.1:{proxy.port}/", session="require", heartbeat=Heartbeat(30, 30), backoff=QUICK
            ) as connection,
        ):
            events = told(connection)
            await until(lambda: len(events) == 1)
            opened = 0

            async def renew() -> None:
                with suppress(Exception):
                    await connection.renew()

            # The door of the new link hears the resume, and its answer never comes.
            take = hub._book.store.claim  # type: ignore[union-attr]

            async def never(*args: Any, **options: Any) -> Any:
                nonlocal opened
                opened += 1
                raise OSError("the store is away")

            hub._book.store.claim = never  # type: ignore[union-attr, method-assign]
            renewing = asyncio.create_task(renew())
            await until(lambda: opened > 0)
            hub._book.store.claim = take  # type: ignore[union-attr, method-assign]
            await renewing
            await connection.send("x")
            async with asyncio.timeout(PATIENCE):
                assert await connection.recv() == "x"
                await connection.flush()

    run_asyncio(main())


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "message", ["heartbeat", lambda: "heartbeat", Dialect("ping", pong="pong"), Dialect("ping", pong=None)]
)
def test_heartbeats_that_are_messages_are_no_messages_of_a_session(run_asyncio: Run, message: Any) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = Hub(
            sessions="memory", on_message=lambda peer, message: up.append(message), heartbeat="heartbeat"
        )
        async with (
            running(hub) as server,
            connect(
                server.url(), session="require", heartbeat=Heartbeat(0.05, 5, message=message), backoff=QUICK
            ) as connection,
        ):
            events = told(connection)
            await until(lambda: len(hub.peers) == len(events) == 1)
            await until(lambda: connection.stats.pings >= 5 and connection.latency is not None)
            for text in ("pong", "x"):
                hub.peers[0].send(text)
                assert await connection.recv() == text
            await connection.send("heartbeat")
            await connection.flush()
            assert up == ["heartbeat"]
            assert len(events) == 1

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_message_that_the_server_does_not_take_is_reported_and_stops_nothing(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = Hub(sessions="memory", on_message=lambda peer, message: up.append(message))
        async with running(hub, max_size=1000) as server, session(server.url()) as connection:
            events = told(connection)
            errors: list[Exception] = []
            connection.on_error = errors.append
            await until(lambda: len(events) == 1)
            for text in ("a", "é" * 500, "b" * 1001, "é" * 501, b"c" * 1001, "d" * 1000, b"e" * 1000):
                await connection.send(text)
            async with asyncio.timeout(PATIENCE):
                await connection.flush()
            assert up == ["a", "é" * 500, "d" * 1000, b"e" * 1000]
            assert [error.messages for error in errors if isinstance(error, Undelivered)] == [
                ("b" * 1001,),
                ("é" * 501,),
                (b"c" * 1001,),
            ]
            assert len(events) == 1

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_message_that_the_client_does_not_take_ends_the_session_and_is_reported(run_asyncio: Run) -> None:
    async def main() -> None:
        ends: list[Any] = []
        hub = Hub(sessions="memory", on_session_end=lambda *end: ends.append(end[1:]))
        async with running(hub) as server, session(server.url(), max_size=1000) as connection:
            events = told(connection)
            await until(lambda: len(hub.peers) == len(events) == 1)
            hub.peers[0].send("x" * 1000)
            assert await connection.recv() == "x" * 1000
            hub.peers[0].send("x" * 1001)
            await until(lambda: len(events) == 2 and len(hub.peers) == 1)
            assert (events[1].kind, events[1].why) == ("reset", "overflow")
            assert ends[0] == ("overflow", ("x" * 1000, "x" * 1001))
            hub.peers[0].send("y")
            assert await connection.recv() == "y"

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_closing_waits_for_a_link_for_what_was_not_acknowledged(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        ends: list[Any] = []
        hub = Hub(
            sessions="memory",
            on_message=lambda peer, message: up.append(message),
            on_session_end=lambda *end: ends.append(end[1:]),
        )
        async with running(hub) as server, FaultProxy("127.0.0.1", server.port) as proxy:
            async with session(f"ws://127.0.0.1:{proxy.port}/") as connection:
                events = told(connection)
                await until(lambda: len(hub.peers) == len(events) == 1)
                proxy.freeze("to_server")
                await connection.send("x")
                proxy.reset()
                proxy.thaw("to_server")
                await until(lambda: connection.state != "open")
            assert up == ["x"]
            assert ends == [("", ())]

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_cancelled_recv_and_an_iteration_that_breaks_off_lose_nothing(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory")
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            await until(lambda: len(hub.peers) == len(events) == 1)
            got: list[object] = []
            for number in range(60):
                for _ in range(3):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0):
                            got.append(await connection.recv())
                hub.peers[0].send(str(number))
                if number % 7 == 0:
                    connection.reconnect_now()
                if number % 5 == 0:
                    async for message in connection:
                        got.append(message)
                        break
            while len(got) < 60:
                got.append(await connection.recv())
            assert got == [str(number) for number in range(60)]
            half = hub.peers[0]._handler.link.half  # type: ignore[attr-defined]
            assert half.acked < 60  # the last one is still in hand

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_hub_that_closes_while_a_link_says_hello_leaves_nothing_behind(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", close_timeout=1)
        async with serve(hub=hub) as server:
            writers = []
            for _ in range(5):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(
                    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                    b"Sec-WebSocket-Protocol: websocket-heartbeat.v1\r\n\r\n"
                )
                writers.append(writer)
            await asyncio.sleep(0.2)
            await hub.close()
            for writer in writers:
                writer.close()

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_what_waits_for_the_window_goes_on_over_a_renewed_link(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        release = asyncio.Event()

        async def on_message(peer: object, message: object) -> None:
            await release.wait()
            up.append(message)

        hub = Hub(sessions="memory", on_message=on_message)
        async with running(hub) as server, session(server.url()) as connection:
            for number in range(400):
                await connection.send(str(number))
            assert len(connection.queued) > 100
            await connection.renew()
            release.set()
            async with asyncio.timeout(PATIENCE):
                await connection.flush()
            assert up == [str(number) for number in range(400)]

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_clients_with_sessions_that_are_sent_away_are_gone_when_their_links_are(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", on_message=lambda peer, message: peer.send(message))
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            await until(lambda: len(hub.peers) == len(events) == 1)
            async with asyncio.timeout(PATIENCE):
                await hub.send_away(over=0.2)
            await connection.send("x")
            assert await connection.recv() == "x"
            assert [event.kind for event in events] == ["new", "resumed"]

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_server_that_closes_waits_for_what_is_being_handled_and_hands_out_nothing_more(
    run_asyncio: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        place = f"sqlite:///{tmp_path / 's.db'}"
        begun: list[object] = []
        up: list[object] = []

        async def on_message(peer: Peer, message: object) -> None:
            begun.append(message)
            await asyncio.sleep(0.3)
            up.append(message)
            peer.send(f"answer to {message}")

        async with AsyncExitStack() as stack:
            async with running(Hub(sessions=place, on_message=on_message)) as server:
                port = server.port
                connection = await stack.enter_async_context(session(server.url()))
                for number in range(3):
                    await connection.send(str(number))
                await until(lambda: len(begun) == 1)
            assert up == begun == ["0"]
            await stack.enter_async_context(running(Hub(sessions=place, on_message=on_message), port))
            await connection.flush()
            assert up == begun == ["0", "1", "2"]
            assert [await connection.recv() for _ in up] == [f"answer to {number}" for number in range(3)]
            await connection.close()

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_producer_that_drains_may_send_messages_of_any_size(run_asyncio: Run) -> None:
    sizes = [100_000] * 25 + [1_500_000, 1, 900_000, 900_000, 1_500_000, 0, 500_000]

    async def feed(peer: Peer) -> None:
        for size in sizes:
            await peer.drain()
            peer.send(bytes(size))

    async def main() -> None:
        hub = Hub(sessions="memory", on_open=feed)
        async with running(hub) as server, session(server.url(), max_size=2**21) as connection:
            events = told(connection)
            down = [len(await connection.recv()) for _ in sizes]
            assert down == sizes
            assert [event.kind for event in events] == ["new"]

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_a_window_that_is_full_is_full_on_the_next_link_too(run_asyncio: Run) -> None:
    async def main() -> None:
        up: list[object] = []
        release = asyncio.Event()

        async def on_message(peer: object, message: object) -> None:
            await release.wait()
            up.append(message)

        hub = Hub(sessions="memory", on_message=on_message)
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            for number in range(400):
                await connection.send(str(number))
            waiting = connection.queued
            assert len(waiting) == 400 - 256
            for links in range(2, 8):
                connection.reconnect_now()
                await until(lambda links=links: len(events) == links)  # type: ignore[misc]
                assert connection.queued == waiting
            release.set()
            await connection.flush()
            assert up == [str(number) for number in range(400)]

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_each_link_of_a_session_that_falls_silent_is_dropped_not_the_first_alone(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", idle_timeout=0.5)
        async with running(hub) as server, AsyncExitStack() as stack:
            for number in range(3):
                raw = await stack.enter_async_context(
                    client(server, headers=f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n")
                )
                await raw.read()  # the greeting
                if number == 0:
                    raw.frame(TEXT, HELLO.encode())
                    key = json.loads((await raw.read())[1])["key"]
                    raw.frame(TEXT, b"Ba")  # so that the session is no unused one
                else:
                    resume = RESUME % (key, number, 0, 0, 0, 1)
                    raw.frame(TEXT, resume.encode())
                    assert json.loads((await raw.read())[1])["welcome"] == "resumed"
                assert await raw.end() in ("reset", "end of file")
                assert hub.stats.dropped["idle_timeout"] == number + 1

    run_asyncio(main())
