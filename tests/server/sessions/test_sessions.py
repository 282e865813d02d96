"""Sessions, both halves together: what is sent is handled once and in order, whatever links go through."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import websockets
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Backoff, Connection, ConnectionFailed, Heartbeat, Session, connect
from websocket_heartbeat.controls import SUBPROTOCOL
from websocket_heartbeat.errors import PeerGone, SessionNotOffered, Undelivered
from websocket_heartbeat.events import SessionEvent
from websocket_heartbeat.server import Hub, Peer, Server, serve
from websocket_heartbeat.testing import FaultProxy

QUICK = Backoff(initial=0.02, maximum=0.05, stable_after=0)


@asynccontextmanager
async def running(hub: Hub, port: int = 0, **options: Any) -> AsyncIterator[Server]:
    """Run a server of the hub, and close both."""
    async with serve(hub=hub, port=port, **options) as server:
        try:
            yield server
        finally:
            await hub.close()


def session(url: Any, mode: Any = "require", **options: Any) -> Connection:
    return connect(url, session=mode, heartbeat=Heartbeat(2, 2), backoff=QUICK, **options)


def told(connection: Connection) -> list[SessionEvent]:
    """Return what on_session is told."""
    events: list[SessionEvent] = []
    connection.on_session = events.append
    return events


@pytest.mark.timeout(150)
def test_every_message_is_handled_once_and_in_order_though_links_are_cut_at_any_byte(
    run_asyncio: Run, place: str
) -> None:
    count = 1500
    up: list[str] = []

    async def feed(peer: Peer) -> None:
        with suppress(PeerGone):  # of a session whose welcome was lost
            for number in range(count):
                peer.send(str(number))
                await peer.drain()

    async def main() -> None:
        feeders: list[asyncio.Task[None]] = []
        hub = Hub(
            sessions=place,
            on_message=lambda peer, message: up.append(message),  # type: ignore[arg-type]
            on_open=lambda peer: feeders.append(asyncio.create_task(feed(peer))),
        )
        async with running(hub) as server, FaultProxy("127.0.0.1", server.port) as proxy:
            connection = session(f"ws://127.0.0.1:{proxy.port}/")
            events = told(connection)

            async def cut() -> None:
                while True:
                    await asyncio.sleep(random.uniform(0.01, 0.15))
                    proxy.reset()

            async with connection:
                cutting = asyncio.create_task(cut())
                down: list[str | bytes] = []

                async def send() -> None:
                    for number in range(count):
                        if number == count // 2:  # a machine may be through before the first cut
                            await until(lambda: len(events) > 1)
                        await connection.send(str(number))

                sending = asyncio.create_task(send())
                async for message in connection:
                    down.append(message)
                    if len(down) == count:
                        break
                await sending
                await until(lambda: len(up) == count and len(events) > 3)
                cutting.cancel()
                await connection.flush()
            assert up == down == [str(number) for number in range(count)]
            assert {event.kind for event in events} <= {"new", "resumed"}
            await asyncio.gather(*feeders)

    run_asyncio(main())


def test_a_session_goes_on_when_the_server_has_restarted(run_asyncio: Run, tmp_path: Path) -> None:
    place = f"sqlite:///{tmp_path / 's.db'}"

    async def main() -> None:
        up: list[object] = []
        down: list[str] = []
        port = 0
        async with AsyncExitStack() as stack:
            for life in range(4):
                hub = Hub(sessions=place, on_message=lambda peer, message: up.append(message))
                async with serve(hub=hub, port=port) as server:
                    if life == 0:
                        port = server.port
                        connection = await stack.enter_async_context(session(server.url()))
                        events = told(connection)
                    await until(lambda life=life: len(hub.peers) == 1 and len(events) == life + 1)  # type: ignore[misc]  # noqa: B023
                    hub.peers[0].send(f"down {life}")
                    down.append(f"down {life}")
                    await connection.send(f"up {life}")
                    await connection.flush()
                await hub.close()
                await connection.send(f"while {life} is away")
            hub = Hub(sessions=place, on_message=lambda peer, message: up.append(message))
            async with running(hub, port):
                await connection.flush()
                assert [await connection.recv() for _ in down] == down
                assert [event.kind for event in events] == ["new", *["resumed"] * 4]
                await connection.close()
        assert up == [text for life in range(4) for text in (f"up {life}", f"while {life} is away")]

    run_asyncio(main())


def test_a_server_without_sessions_is_spoken_to_as_ever_where_a_session_is_only_preferred(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        async with serve() as server, session(server.url(), "prefer", subprotocols=["chat"]) as connection:
            events = told(connection)
            await connection.send("x")
            assert await connection.recv() == "x"
            assert events == []

    run_asyncio(main())


def test_a_server_that_selects_blindly_what_is_offered_first_is_spoken_to_as_ever(run_asyncio: Run) -> None:
    async def echo(ws: websockets.ServerConnection) -> None:
        await ws.send("welcome")
        async for message in ws:
            await ws.send(message)

    async def main() -> None:
        async with websockets.serve(
            echo, "127.0.0.1", 0, select_subprotocol=lambda connection, offered: offered[0]
        ) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with session(f"ws://127.0.0.1:{port}/", "prefer") as connection:
                assert await connection.recv() == "welcome"
                await connection.send("Bx")
                assert await connection.recv() == "Bx"

    run_asyncio(main())


def test_a_server_that_selects_blindly_and_says_nothing_is_spoken_to_after_a_while(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("websocket_heartbeat.client.greeter.GREETED_WITHIN", 0.1)

    async def echo(ws: websockets.ServerConnection) -> None:
        async for message in ws:
            await ws.send(message)

    async def main() -> None:
        async with websockets.serve(
            echo, "127.0.0.1", 0, select_subprotocol=lambda connection, offered: offered[0]
        ) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with session(f"ws://127.0.0.1:{port}/", "prefer") as connection:
                await connection.send("x")
                assert await connection.recv() == "x"

    run_asyncio(main())


def test_a_server_without_sessions_is_refused_where_one_is_required(run_asyncio: Run) -> None:
    async def main() -> None:
        async with serve() as server, session(server.url()) as connection:
            with pytest.raises(ConnectionFailed) as failed:
                await connection.recv()
            assert isinstance(failed.value.__cause__, SessionNotOffered)

    run_asyncio(main())


def test_clients_without_sessions_are_served_as_ever(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        hub = Hub(sessions=place, on_message=lambda peer, message: peer.send(f"{peer.session} {message!r}"))
        chat = websockets.Subprotocol("chat")
        async with (
            running(hub, subprotocols=["chat"]) as server,
            websockets.connect(server.url(), subprotocols=[chat]) as ws,
        ):
            assert ws.subprotocol == "chat"
            await ws.send("heartbeat")
            assert await ws.recv() == "heartbeat"
            await ws.send("x")
            assert await ws.recv() == "None 'x'"

    run_asyncio(main())


def test_the_application_keeps_its_own_subprotocol(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", on_message=lambda peer, message: peer.send(str(peer.subprotocol)))
        async with running(hub, subprotocols=["a", "chat"]) as server:
            connection = session(server.url(), subprotocols=["chat", "b"])
            opened: list[str | None] = []
            connection.on_open = lambda event: opened.append(event.subprotocol)
            async with connection:
                await connection.send("x")
                assert await connection.recv() == "chat"
                assert opened == ["chat"]

    run_asyncio(main())


def test_each_message_has_a_number_that_names_it_for_good(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        seen: list[tuple[str | None, int, object]] = []

        async def on_message(peer: Peer, message: object) -> None:
            seen.append((peer.session, peer.number, message))
            await asyncio.sleep(0)

        hub = Hub(sessions=place, on_message=on_message)
        async with running(hub) as server, session(server.url()) as connection:
            for number in range(3):
                await connection.send(f"m{number}")
                connection.reconnect_now()
            await connection.flush()
            (peer,) = hub.peers
            assert seen == [(peer.session, number + 1, f"m{number}") for number in range(3)]

    run_asyncio(main())


def test_messages_for_a_client_that_is_away_wait_for_it(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        hub = Hub(sessions=place)
        async with (
            running(hub) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            session(f"ws://127.0.0.1:{proxy.port}/") as connection,
        ):
            events = told(connection)
            await until(lambda: len(hub.peers) == len(events) == 1)
            proxy.freeze()
            hub.peers[0].abort()
            hub.peers[0].send("one")
            hub.peers[0].send(b"two")
            assert not hub.peers[0].closed
            proxy.reset()
            proxy.thaw()
            assert await connection.recv() == "one"
            assert await connection.recv() == b"two"
            assert events[-1].kind == "resumed"

    run_asyncio(main())


def test_a_session_that_has_expired_tells_both_sides_what_is_uncertain(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        ends: list[tuple[str, str, tuple[str | bytes, ...]]] = []
        never = asyncio.Event()

        async def on_message(peer: Peer, message: str | bytes) -> None:
            await never.wait()

        hub = Hub(
            sessions=place,
            session_ttl=0.4,
            on_message=on_message,
            on_session_end=lambda *end: ends.append(end),
        )
        async with (
            running(hub) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            session(f"ws://127.0.0.1:{proxy.port}/") as connection,
        ):
            events = told(connection)
            await until(lambda: len(hub.peers) == len(events) == 1)
            id = hub.peers[0].session
            await connection.send("from the client")
            await until(lambda: hub.peers[0].number == 1)
            proxy.freeze()
            hub.peers[0].send("from the server")
            hub.peers[0].abort()
            await until(lambda: bool(ends))
            assert ends == [(id, "expired", ("from the server",))]
            proxy.reset()
            proxy.thaw()
            await until(lambda: bool(events) and events[-1].kind == "reset")
            assert (events[-1].why, events[-1].uncertain) == ("expired", ("from the client",))
            never.set()

    run_asyncio(main())


def test_what_is_uncertain_is_reported_where_nobody_listens_for_sessions(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", session_ttl=0.3)
        async with (
            running(hub) as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            session(f"ws://127.0.0.1:{proxy.port}/") as connection,
        ):
            errors: list[Exception] = []
            connection.on_error = errors.append
            await connection.send("x")
            await until(lambda: bool(hub.peers) and hub.peers[0].waiting == 1)
            proxy.freeze()
            hub.peers[0].abort()
            await until(lambda: not hub.peers)
            proxy.reset()
            proxy.thaw()
            await until(lambda: any(isinstance(error, Undelivered) for error in errors))
            (lost,) = [error for error in errors if isinstance(error, Undelivered)]
            assert lost.messages == ("x",)

    run_asyncio(main())


def test_a_dismissed_client_handles_what_came_before_and_does_not_come_back(
    run_asyncio: Run, place: str
) -> None:
    async def main() -> None:
        ends: list[tuple[str, str, tuple[str | bytes, ...]]] = []
        hub = Hub(sessions=place, on_session_end=lambda *end: ends.append(end))
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            await until(lambda: len(hub.peers) == len(events) == 1)
            hub.peers[0].send("last words")
            hub.peers[0].dismiss("account closed")
            hub.peers[0].send("too late")
            assert await connection.recv() == "last words"
            with pytest.raises(ConnectionFailed):
                await connection.recv()
            assert (events[-1].kind, events[-1].why) == ("over", "account closed")
            await until(lambda: bool(ends))
            assert [end[1:] for end in ends] == [("account closed", ())]
            assert hub.peers == ()

    run_asyncio(main())


def test_a_client_that_closes_ends_its_session_when_all_is_handled(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        up: list[object] = []
        ends: list[tuple[str, str, tuple[str | bytes, ...]]] = []

        async def on_message(peer: Peer, message: object) -> None:
            await asyncio.sleep(0.02)
            up.append(message)

        hub = Hub(sessions=place, on_message=on_message, on_session_end=lambda *end: ends.append(end))
        async with running(hub) as server:
            async with session(server.url()) as connection:
                for number in range(5):
                    await connection.send(str(number))
            assert up == list("01234")
            assert [end[1:] for end in ends] == [("", ())]

    run_asyncio(main())


def test_a_session_is_its_principals_alone(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        hub = Hub(sessions=place, authenticate=lambda request: request.query)
        async with running(hub) as server:
            who = "ann"
            connection = session(lambda: server.url(f"/?{who}"))
            events = told(connection)
            async with connection:
                await until(lambda: len(events) == 1)
                who = "mallory"
                connection.reconnect_now()
                await until(lambda: len(events) == 2)
                assert (events[1].kind, events[1].why) == ("reset", "unknown")

    run_asyncio(main())


async def handshake(server: Server, text: str) -> tuple[Any, str | bytes]:
    """Open a link, say something after the greeting, and return the answer."""
    ws = await websockets.connect(server.url(), subprotocols=[websockets.Subprotocol(SUBPROTOCOL)])
    await ws.recv()
    await ws.send(text)
    try:
        return ws, await ws.recv()
    except websockets.ConnectionClosed:
        return ws, str(ws.close_code)


HELLO = '{"hello":1,"window":[256,1048576],"max":1048576,"binary":true}'


def test_a_resume_that_was_held_back_does_not_take_the_session_from_a_newer_link(
    run_asyncio: Run, place: str
) -> None:
    async def main() -> None:
        async with running(Hub(sessions=place)) as server:
            ws, welcome = await handshake(server, HELLO)
            key = str(welcome).split('"')[7]
            for link, answer in ((5, '{"welcome":"resumed"'), (5, "4491"), (4, "4491"), (6, '{"welcome":')):
                _, said = await handshake(
                    server, f'{{"resume":"{key}","link":{link},"in":[0,0],"out":[0,0]}}'
                )
                assert str(said).startswith(answer)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4491

    run_asyncio(main())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Bhello", "4490"),
        ("{", "4490"),
        ('{"welcome":"new","key":"x"}', "4490"),
        ('{"end":""}', "4490"),
        ("{" + " " * 5000 + "}", "1009"),
        ("", "4490"),
    ],
)
def test_a_client_that_breaks_the_handshake_is_closed(run_asyncio: Run, text: str, code: str) -> None:
    async def main() -> None:
        async with running(Hub(sessions="memory")) as server:
            _, said = await handshake(server, text)
            assert said == code

    run_asyncio(main())


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (["Cx"], 4492),
        (["Bx", "Bx"], 4492),
        (["=1"], 4490),
        (["=x"], 4490),
        (["?1"], 4492),
        (["!"], 4490),
        ([""], 4490),
        ([b"=1"], 4490),
    ],
)
def test_a_client_that_breaks_the_protocol_is_closed_and_may_resume(
    run_asyncio: Run, frames: list[str | bytes], code: int
) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory")
        async with running(hub) as server:
            ws, _ = await handshake(server, HELLO)
            for frame in frames:
                await ws.send(frame)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == code
            assert len(hub.peers) == 1

    run_asyncio(main())


def test_a_client_that_takes_nothing_overflows_and_both_sides_are_told(run_asyncio: Run) -> None:
    async def main() -> None:
        ends: list[tuple[str, str, tuple[str | bytes, ...]]] = []
        hub = Hub(sessions="memory", on_session_end=lambda *end: ends.append(end))
        async with (
            running(hub) as server,
            session(server.url(), Session("require", window=256)) as connection,
        ):
            events = told(connection)
            await until(lambda: len(hub.peers) == len(events) == 1)
            for number in range(300):
                hub.peers[0].send(str(number)) if hub.peers else None
            (end,) = ends
            assert end[1] == "overflow"
            assert end[2] == tuple(str(number) for number in range(257))
            await until(lambda: bool(events) and events[-1].kind == "reset")
            assert events[-1].why == "overflow"

    run_asyncio(main())


def test_an_on_open_hook_talks_on_each_link_of_a_session(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        hub = Hub(sessions=place, on_message=lambda peer, message: peer.send(f"welcome {message!r}"))
        async with running(hub) as server:
            connection = session(server.url())
            answers: list[str | bytes] = []

            @connection.on_open
            async def log_in(event: object) -> None:
                await connection.send("me")
                answers.append(await connection.recv())

            async with connection:
                for links in (1, 2, 3):
                    await until(lambda links=links: len(answers) == links)  # type: ignore[misc]
                    await connection.wait_open(PATIENCE)
                    connection.reconnect_now()
                await connection.flush()
                assert answers[:3] == ["welcome 'me'"] * 3

    run_asyncio(main())


def test_a_renewed_link_takes_the_session_along(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        up: list[object] = []
        hub = Hub(sessions=place, on_message=lambda peer, message: up.append(message))
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            sent = []
            for number in range(60):
                await connection.send(str(number))
                sent.append(str(number))
                if number % 20 == 10:
                    await connection.renew()
            await connection.flush()
            assert up == sent
            assert {event.kind for event in events} <= {"new", "resumed"}

    run_asyncio(main())


def test_the_key_of_a_session_is_shown_nowhere(
    run_asyncio: Run, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    async def main() -> None:
        hub = Hub(sessions=place)
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            await until(lambda: len(hub.peers) == len(events) == 1)
            connection.reconnect_now()
            await until(lambda: bool(events) and events[-1].kind == "resumed")
            session_ = connection._host._session
            assert session_ is not None
            key = session_._resumption.key
            shown.append(key.partition(".")[2])
            shown.append(
                f"{connection!r} {connection.stats!r} {hub!r} {hub.peers!r} {events!r} {vars(hub)!r}"
            )

    run_asyncio(main())
    secret, text = shown
    assert len(secret) > 40
    assert secret not in text
    assert secret not in caplog.text


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: connect("ws://x", session="yes"), "session must be"),  # type: ignore[arg-type]
        (lambda: connect("ws://x", session="prefer", receive_policy="latest"), "session and receive_policy"),
        (lambda: Hub(sessions="redis"), "sessions must be"),
        (lambda: Hub(sessions="sqlite:///"), "sessions must be"),
        (lambda: Hub(sessions=5), "sessions must be a str"),  # type: ignore[arg-type]
        (lambda: Hub(sessions="sqlite:///:memory:"), "sessions must be"),
        (lambda: Hub(sessions="memory", session_ttl=0), "session_ttl"),
        (lambda: Hub(session_ttl=-1), "session_ttl"),
        (lambda: Hub(on_session_end=lambda *end: None), "on_session_end is for the end of sessions"),
    ],
)
def test_a_wrong_option_is_named(call: Callable[[], object], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        call()


def test_a_session_that_goes_on_takes_no_second_place_of_a_hub(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", max_peers=2)
        async with running(hub) as server, FaultProxy("127.0.0.1", server.port) as proxy:
            connection = session(f"ws://127.0.0.1:{proxy.port}/")
            events = told(connection)
            async with connection:
                await until(lambda: len(events) == 1)
                proxy.reset()
                await until(lambda: len(events) == 2)
                assert events[-1].kind == "resumed"
                async with websockets.connect(server.url()):
                    await until(lambda: len(hub.peers) == 2)

    run_asyncio(main())


@pytest.mark.timeout(60)
def test_sessions_expire_though_a_look_for_them_has_failed_by_a_mistake(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        ends: list[object] = []
        hub = Hub(sessions="memory", session_ttl=0.2, on_session_end=lambda *end: ends.append(end[1]))
        async with running(hub) as server:
            store = hub._book.store  # type: ignore[union-attr]
            due = store.due

            async def fails_once(now: float, limit: int) -> Any:
                store.due = due  # type: ignore[method-assign]
                raise ValueError("a record that was written by somebody else")

            store.due = fails_once  # type: ignore[method-assign]
            ws, _ = await handshake(server, HELLO)
            await ws.close()
            await until(lambda: ends == ["expired"])

    run_asyncio(main())
    assert "raised ValueError" in caplog.text
    assert "somebody else" not in caplog.text
