"""A hub belongs to one event loop at a time; when that has ended, it serves on the next one."""

import asyncio
import gc
import sys
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import websockets
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.websockets import WebSocket
from tests.server.frameworks.serving import serving, socket_app
from tests.server.links.back_ends import aiohttp_web
from tests.server.raw import client
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import connect
from websocket_heartbeat.server import Hub, Peer, serve
from websocket_heartbeat.server.sessions.stores import THROUGH, store_of


def test_what_a_closed_loop_has_left_is_forgotten_on_the_next_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = Hub(on_open=lambda peer: peer.join("all"), authenticate=lambda request: "ann", max_peers=3)
    left: list[Peer] = []
    rest: list[Any] = []  # what is collected would complain

    async def leave_all_behind() -> None:
        server = serve(hub=hub)
        await server.__aenter__()
        rest.extend([server, *[await asyncio.open_connection(server.host, server.port) for _ in range(2)]])
        for _, writer in rest[1:]:
            writer.write(
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
        await until(lambda: len(hub.peers) == 2)
        left.extend(hub.peers)
        hub.room("all").send("written at once")
        hub.room("all").send("waits for its turn")

    async def go_on() -> None:
        async with serve(hub=hub) as server:
            assert (hub.peers, hub.rooms, len(hub.user("ann"))) == ((), {}, 0)
            assert all(peer.closed and not peer.rooms for peer in left)
            async with asyncio.timeout(PATIENCE), client(server) as raw:
                await until(lambda: hub.rooms == {"all": 1})
                hub.room("all").send("hello")
                assert (await raw.read())[1] == b"hello"
                assert hub.stats.peers == 1
                raw.leave()
                await hub.send_away(0)
                await hub.close()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the sockets that are left
        asyncio.run(leave_all_behind())
        asyncio.run(go_on())
        left.clear()
        rest.clear()
        gc.collect()
    assert "2 peers are forgotten" in caplog.text


def _in_a_thread(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine on a loop of its own, in another thread."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work()).result(PATIENCE)


def test_two_loops_at_once_are_refused_by_an_error_that_says_so(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub(on_open=lambda peer: peer.join("all"))

        async def elsewhere() -> None:
            (peer,) = hub.peers
            call: Callable[[], Coroutine[Any, Any, Any]]
            to_room = hub.room("all").send_away
            for call in (serve(hub=hub).__aenter__, lambda: hub.send_away(0), hub.close, lambda: to_room(0)):
                with pytest.raises(RuntimeError, match="one event loop: this one has 1 peers on another"):
                    await call()
            for call in (peer.recv, peer.wait_closed, peer.end):
                with pytest.raises(RuntimeError, match="belongs to the event loop of its hub"):
                    await call()
            with pytest.raises(
                RuntimeError, match="one event loop: this one has 1 peers on another: from ano"
            ):
                hub.room("all").send("from elsewhere")
            with pytest.raises(RuntimeError, match="and this is another one: from another thread, have it"):
                peer.send("from elsewhere")

        async with serve(hub=hub) as server:
            async with client(server):
                await until(lambda: hub.rooms)
                await asyncio.to_thread(_in_a_thread, elsewhere)
                assert len(hub.peers) == 1
            await until(lambda: not hub.peers)

    run_asyncio(main())


def test_a_client_that_comes_in_while_another_loop_calls_the_hub_is_on_the_loop_of_its_server(
    run_asyncio: Run,
) -> None:
    """There is no peer yet that the other loop could harm, so its call is no error."""

    is_called, may_accept = asyncio.Event(), asyncio.Event()

    async def endpoint(websocket: WebSocket) -> None:
        is_called.set()
        await may_accept.wait()
        async with hub.accept(websocket) as peer:
            peer.send("hello")
            await peer.wait_closed()

    async def elsewhere() -> None:
        hub.room("all").send("to nobody")

    async def main() -> None:
        app = hub.asgi(socket_app(endpoint))
        async with hub, serving(app) as place, connect(place.url("/")) as connection:
            await is_called.wait()
            await asyncio.to_thread(_in_a_thread, elsewhere)
            may_accept.set()
            async with asyncio.timeout(PATIENCE):
                assert await connection.recv() == "hello"

    hub = Hub()
    run_asyncio(main())


def test_a_hub_whose_last_peer_is_leaving_stays_on_its_loop(run_asyncio: Run) -> None:
    async def main() -> None:
        leaving, may_go, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def on_close(peer: Peer, code: int | None, reason: str) -> None:
            leaving.set()
            await may_go.wait()
            left.set()

        async def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="this one has peers that come or go on another: "):
                hub.room("all").send("to nobody")

        hub = Hub(on_close=on_close)
        async with serve(hub=hub) as server:
            async with connect(server.url()) as connection:
                await connection.wait_open()
                await until(lambda: hub.peers)
                (peer,) = hub.peers
            await leaving.wait()
            await asyncio.to_thread(_in_a_thread, elsewhere)
            may_go.set()
            async with asyncio.timeout(PATIENCE):
                await peer.wait_closed()
            assert left.is_set()

    run_asyncio(main())


CALLS_OF_A_THREAD: list[Callable[[Hub, Peer], object]] = [
    lambda hub, peer: hub.room("all").send("lost"),
    lambda hub, peer: hub.room("all").send_json("lost", volatile=True),
    lambda hub, peer: hub.user("ann").send("lost"),
    lambda hub, peer: hub.room("all").dismiss(),
    lambda hub, peer: peer.send("lost"),
    lambda hub, peer: peer.send("lost", volatile=True),
    lambda hub, peer: peer.join("other"),
    lambda hub, peer: peer.leave("all"),
    lambda hub, peer: peer.state.update(a=1),
    lambda hub, peer: peer.transaction(),
    lambda hub, peer: setattr(peer, "principal", "bob"),
    lambda hub, peer: peer.close(),
    lambda hub, peer: peer.send_away(0),
    lambda hub, peer: peer.dismiss(),
    lambda hub, peer: peer.abort(),
]


@pytest.mark.parametrize("mode", ["off", "require"])
def test_a_thread_that_calls_a_hub_is_told_how_to_and_has_harmed_nothing(run_asyncio: Run, mode: Any) -> None:
    def call_all(hub: Hub, peer: Peer) -> None:
        for call in CALLS_OF_A_THREAD:
            with pytest.raises(RuntimeError, match=r"belong to an event loop.*loop\.call_soon_threadsafe"):
                call(hub, peer)

    async def main() -> None:
        hub = Hub(on_open=lambda peer: peer.join("all"), authenticate=lambda _: "ann", sessions="memory")
        async with hub, serve(hub=hub) as server, connect(server.url(), session=mode) as connection:
            await connection.wait_open()
            (peer,) = hub.peers
            await asyncio.to_thread(call_all, hub, peer)
            hub.room("all").send("to the room")
            hub.user("ann").send("to the user")
            async with asyncio.timeout(PATIENCE):
                assert [await connection.recv() for _ in range(2)] == ["to the room", "to the user"]
            assert peer.rooms == ("all",)
            loop = asyncio.get_running_loop()
            await asyncio.to_thread(lambda: loop.call_soon_threadsafe(hub.room("all").send, "from a thread"))
            async with asyncio.timeout(PATIENCE):
                assert await connection.recv() == "from a thread"

    run_asyncio(main())


@pytest.mark.parametrize(
    ("url", "works"),
    [
        ("valkey://store", {"_flushing": "_flush_soon", "_subscribing": "_subscribe"}),
        pytest.param(
            "postgresql://store/db",
            {"_flushing": "_flush_soon", "_telling": "_tell"},
            marks=pytest.mark.skipif(
                sys.implementation.name != "cpython", reason="asyncpg is for CPython alone"
            ),
        ),
    ],
)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_tasks_of_a_store_on_a_loop_that_was_closed_end_none_of_the_next_one(
    url: str, works: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = store_of(url, 60, THROUGH)

    async def hangs(*_: object) -> None:
        await asyncio.Event().wait()

    connection = SimpleNamespace(is_connected=True)
    subscription = SimpleNamespace(connection=connection, subscribe=hangs, unsubscribe=hangs)
    monkeypatch.setattr(store, "_subscription", subscription, raising=False)
    monkeypatch.setattr(store, "notify", hangs)
    monkeypatch.setattr(store, "_answer", hangs)

    async def begin() -> None:
        store._calls.append(SimpleNamespace(work=None))
        store._changed, store._told = {"r"}, {"r"}
        store._flushing = None
        for name, work in works.items():
            begun = getattr(store, work)()
            if begun is not None:
                setattr(store, name, asyncio.create_task(begun))
        await asyncio.sleep(0)

    async def go_on() -> None:
        await begin()
        gc.collect()  # the tasks of the loop before with it
        assert all(getattr(store, name) is not None for name in works)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    asyncio.run(go_on())


def _chat(hub: Hub) -> Starlette:
    async def endpoint(websocket: WebSocket) -> None:
        async with hub.accept(websocket) as peer:
            peer.join("chat")
            async for message in peer:
                hub.room("chat").send(message)

    app = socket_app(endpoint)
    app.add_middleware(hub.asgi)
    return app


def test_test_clients_that_have_a_loop_each_are_told_that_they_cannot_share_a_hub() -> None:
    chat = TestClient(_chat(Hub()))
    for _ in range(2):  # one after the other they can
        with chat.websocket_connect("/") as first:
            first.send_text("hello")
            assert first.receive_text() == "hello"
            with pytest.raises(RuntimeError, match="one event loop"), chat.websocket_connect("/"):
                pass
    with (
        TestClient(_chat(Hub())) as chat,
        chat.websocket_connect("/") as first,
        chat.websocket_connect("/") as second,
    ):
        second.send_text("hello")
        assert (first.receive_text(), second.receive_text()) == ("hello", "hello")


def test_who_was_refused_while_all_were_sent_away_is_let_in_on_the_next_loop() -> None:
    hub = Hub()

    async def one_test_of_an_application() -> None:
        # Its on_shutdown sends all away at the end.
        async with aiohttp_web(hub) as place, websockets.connect(place.url()) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"

    for _ in range(2):
        asyncio.run(one_test_of_an_application())
