"""What a client is told of its session, and what it may ask of it."""

from collections.abc import Callable

import pytest
from tests.server.sessions.test_sessions import QUICK, running, session, told
from tests.watch import Run, until

from websocket_heartbeat import OpenEvent, Session, connect
from websocket_heartbeat.server import Hub, Peer, serve


def test_on_open_says_of_each_link_whether_to_subscribe_again(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory", session_ttl=0.2, authenticate=lambda request: request.query)
        async with running(hub) as server:
            who = "ann"
            connection = session(lambda: server.url(f"/?{who}"))
            opened: list[OpenEvent] = []
            connection.on_open = opened.append
            async with connection:
                await until(lambda: len(opened) == 1)
                connection.reconnect_now()
                await until(lambda: len(opened) == 2)
                who = "bob"  # whose session it is not
                connection.reconnect_now()
                await until(lambda: len(opened) == 3)
            assert [event.session for event in opened] == ["new", "resumed", "reset"]

    run_asyncio(main())


def test_on_open_knows_of_no_session_on_a_plain_link(run_asyncio: Run) -> None:
    async def main() -> None:
        async with serve() as server:
            for mode in ("off", "prefer"):
                connection = session(server.url(), mode)
                opened: list[OpenEvent] = []
                connection.on_open = opened.append
                async with connection:
                    await connection.wait_open()
                assert [event.session for event in opened] == [None]

    run_asyncio(main())


def test_a_window_bounds_what_the_server_may_send_beyond_what_was_handled(run_asyncio: Run) -> None:
    async def main() -> None:
        ends: list[tuple[str, str, tuple[str | bytes, ...]]] = []
        hub = Hub(sessions="memory", on_session_end=lambda *end: ends.append(end))
        async with running(hub) as server:
            for options, messages in (
                (Session("require", window=3), ["1", "2", "3", "4"]),
                (Session("prefer", window_bytes=10), ["x" * 20, "y"]),
                (Session("prefer", window_bytes=10), ["é" * 5, "éé"]),
            ):
                async with connect(server.url(), session=options, backoff=QUICK) as connection:
                    events = told(connection)
                    await until(lambda: len(hub.peers) == len(events) == 1)  # noqa: B023
                    for message in messages[:-1]:
                        hub.peers[0].send(message)
                    assert not ends
                    hub.peers[0].send(messages[-1])
                    assert [end[1:] for end in ends] == [("overflow", tuple(messages))]
                ends.clear()

    run_asyncio(main())


def test_without_a_session_its_options_mean_nothing(run_asyncio: Run) -> None:
    async def main() -> None:
        peers: list[Peer] = []
        hub = Hub(sessions="memory", on_open=peers.append)
        async with running(hub) as server, connect(server.url(), session=Session("off")) as connection:
            await connection.wait_open()
            assert peers[0].session is None

    run_asyncio(main())


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: connect("ws://x", session=Session("yes")), "Session.mode must be"),  # type: ignore[arg-type]
        (lambda: connect("ws://x", session=[]), r"session must be .* not \[\]"),  # type: ignore[arg-type]
        (lambda: Session("prefer", window=0), "Session.window must be from 1"),
        (lambda: Session("prefer", window_bytes=1.5), "Session.window_bytes"),  # type: ignore[arg-type]
        (
            lambda: connect("ws://x", session=Session("require"), receive_policy="latest"),
            "session and receive_policy",
        ),
    ],
)
def test_a_wrong_option_is_named(call: Callable[[], object], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        call()
