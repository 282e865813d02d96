"""`Peer.state`: JSON that outlives links and processes, and is written with the message that changed it."""

import asyncio
import copy
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.server.sessions.test_handover import two
from tests.server.sessions.test_sessions import running, session, told
from tests.watch import Run, until

from websocket_heartbeat import connect
from websocket_heartbeat.server import Hub, Peer, serve
from websocket_heartbeat.server.sessions import state as state_module


def add(peer: Peer, message: str | bytes) -> None:
    peer.state["cart"] = [*peer.state.get("cart", []), message]
    peer.state["count"] = peer.state.get("count", 0) + 1


def test_it_outlives_links(run_asyncio: Run, place: str) -> None:
    async def main() -> None:
        hub = Hub(sessions=place, on_message=add)
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            for number in range(3):
                await connection.send(f"m{number}")
                await connection.flush()
                connection.reconnect_now()
                await until(lambda number=number: len(events) == number + 2)  # type: ignore[misc]
            (peer,) = hub.peers
            assert dict(peer.state) == {"cart": ["m0", "m1", "m2"], "count": 3}
            assert "m0" not in repr(peer.state)

    run_asyncio(main())


def test_it_is_found_again_when_the_process_has_restarted(run_asyncio: Run, tmp_path: Path) -> None:
    async def main() -> None:
        place = f"sqlite:///{tmp_path / 's.db'}"
        found: list[dict[str, Any]] = []

        def on_open(peer: Peer) -> None:
            found.append(dict(peer.state))
            peer.state[f"process {len(found)}"] = {"nested": [1, 2.5, None, True, "é"]}
            del peer.state[next(iter(peer.state))]

        port = 0
        connection = session(lambda: f"ws://127.0.0.1:{port}/")
        for life in range(3):
            hub = Hub(sessions=place, on_open=on_open, on_message=add)
            async with serve(hub=hub, port=port) as server:
                port = server.port
                if life == 0:
                    connection.start()
                await connection.send(f"m{life}")
                await connection.flush()
            await hub.close()
        nested = {"nested": [1, 2.5, None, True, "é"]}
        assert found == [
            {},
            {"cart": ["m0"], "count": 1},
            {"count": 2, "process 2": nested, "cart": ["m1"]},
        ]
        await connection.close()

    run_asyncio(main())


def test_it_goes_along_to_another_process(run_asyncio: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with two(f"sqlite:///{tmp_path / 's.db'}", on_message=add) as both:
            for number in range(6):
                await both.connection.send(f"m{number}")
                if number % 2:
                    await both.connection.flush()
                await both.move()
            await both.connection.flush()
            peers = [peer for hub in both.hubs for peer in hub.peers]
            assert [dict(peer.state) for peer in peers] == [
                {"cart": [f"m{number}" for number in range(6)], "count": 6}
            ]

    run_asyncio(main())


def test_it_is_written_with_the_message_that_changed_it_and_not_before(
    run_asyncio: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        path = tmp_path / "s.db"
        go_on = asyncio.Event()

        async def on_message(peer: Peer, message: object) -> None:
            peer.state["handled"] = message
            await go_on.wait()
            peer.state["more"] = message

        def written() -> Any:
            with closing(sqlite3.connect(path)) as database:
                return database.execute("select done, state from session").fetchone()

        hub = Hub(sessions=f"sqlite:///{path}", on_message=on_message)
        async with running(hub) as server, session(server.url()) as connection:
            events = told(connection)
            await connection.send("m")
            await until(lambda: bool(hub.peers) and "handled" in hub.peers[0].state)
            connection.reconnect_now()  # which writes that the session has a link, or has none
            await until(lambda: len(events) == 2)
            hub.peers[0].send("x")
            assert await connection.recv() == "x"
            assert written() == (0, b"")
            go_on.set()
            await connection.flush()
            assert written() == (1, b'{"handled":"m","more":"m"}')
            hub.peers[0].state["outside"] = 1
            await until(lambda: written() == (1, b'{"handled":"m","more":"m","outside":1}'))

    run_asyncio(main())


@pytest.mark.parametrize("mode", ["off", "require"])
def test_it_is_a_mapping_of_json_with_and_without_a_session(run_asyncio: Run, mode: Any) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory")
        async with running(hub) as server, connect(server.url(), session=mode) as connection:
            await connection.wait_open()
            (peer,) = hub.peers
            state = peer.state
            assert (len(state), list(state), state.get("x")) == (0, [], None)
            state["cart"] = ({"a": [1]}, "é")
            assert state["cart"] == [{"a": [1]}, "é"]  # what JSON makes of it, at once
            state.update(one=1, two=2)
            assert state.setdefault("one", 5) == 1
            assert state.setdefault("list", [1]) == [1]
            assert (state.pop("two"), "two" in state) == (2, False)
            cart = copy.deepcopy(state["cart"])
            cart[0]["a"].append(2)
            state["cart"] = cart
            cart[0]["a"].append("not kept")
            assert peer.state == {"cart": [{"a": [1, 2]}, "é"], "one": 1, "list": [1]}
            assert type(copy.copy(state["list"])) is list
            state.clear()
            assert peer.state == {}

    run_asyncio(main())


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["list"].append(1),
        lambda state: state["list"].__setitem__(0, 1),
        lambda state: state["dict"].update(x=1),
        lambda state: state["dict"].__setitem__("x", 1),
        lambda state: state["dict"]["list"].sort(),
        lambda state: state.setdefault("list", []).append(1),
        lambda state: state.setdefault("new", []).append(1),
    ],
)
def test_a_change_that_nobody_would_notice_is_an_error_at_once(
    run_asyncio: Run, change: Callable[[Any], None]
) -> None:
    async def main() -> None:
        async with serve() as server, connect(server.url()) as connection:
            await connection.wait_open()
            state = server.connections[0].state
            state["list"] = [0]
            state["dict"] = {"list": [2, 1]}
            with pytest.raises(TypeError, match="changed in place"):
                change(state)
            assert (state["list"], state["dict"]) == ([0], {"list": [2, 1]})

    run_asyncio(main())


def nested() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("key", "value", "error", "text"),
    [
        (5, 1, TypeError, "a key of peer.state must be a str, not int"),
        ("set", {1, 2}, TypeError, r"peer.state\['set'\] must be JSON: .*set"),
        ("bytes", b"x", TypeError, r"peer.state\['bytes'\] must be JSON"),
        ("nan", math.nan, ValueError, r"peer.state\['nan'\] must be JSON"),
        ("deep", nested(), ValueError, r"peer.state\['deep'\] must be JSON: it is nested too deeply"),
        ("large", "x" * 2**16, ValueError, r"peer.state\['large'\] would make the state \d+ bytes"),
        ("k" * 2**16, 1, ValueError, "would make the state"),
        ("kept", "x" * 2**16, ValueError, r"peer.state\['kept'\]"),
    ],
)
def test_what_cannot_be_kept_is_an_error_where_it_was_written(
    run_asyncio: Run, key: Any, value: Any, error: type[Exception], text: str
) -> None:
    async def main() -> None:
        hub = Hub(sessions="memory")
        async with running(hub) as server, session(server.url()) as connection:
            await connection.wait_open()
            (peer,) = hub.peers
            peer.state["kept"] = "before"
            with pytest.raises(error, match=text) as raised:
                peer.state[key] = value
            assert "xxx" not in str(raised.value)
            assert len(str(raised.value)) < 200
            assert peer.state == {"kept": "before"}

    run_asyncio(main())


def test_as_much_as_may_be_kept_is_kept(run_asyncio: Run, tmp_path: Path) -> None:
    async def main() -> None:
        hub = Hub(sessions=f"sqlite:///{tmp_path / 's.db'}")
        async with running(hub) as server, session(server.url()) as connection:
            await connection.wait_open()
            (peer,) = hub.peers
            peer.state["x"] = "y" * (state_module.MOST - len('"x":""'))
            with pytest.raises(ValueError, match="above 65536"):
                peer.state["z"] = 1
            peer.state["x"] = "small"
            peer.state["z"] = 1

    run_asyncio(main())
