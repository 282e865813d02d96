"""Where a connection leads to and comes from: Unix sockets, names for TLS, local addresses."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.certificates import tls_pair
from tests.client.servers import well_behaved
from tests.engines.peers import Peer, ws_server
from tests.watch import PATIENCE, Run

from websocket_heartbeat import (
    ConnectionFailed,
    HandshakeRejected,
    Heartbeat,
    RedirectRefused,
    connect,
    engines,
)
from websocket_heartbeat.engines.aiohttp import AiohttpEngine
from websocket_heartbeat.engines.base import Engine, LinkEvents, OpenRequest
from websocket_heartbeat.engines.memory import MemoryEngine
from websocket_heartbeat.server import serve


@pytest.mark.parametrize("engine", engines.NAMES)
def test_a_connection_lives_on_a_unix_socket_across_links_whatever_proxies_there_are(
    engine: str, run_asyncio: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")

    async def main() -> None:
        path = tmp_path / "ws"
        async with (
            ws_server(well_behaved, unix_path=str(path)),
            connect("ws://localhost/", unix_path=path, engine=engine) as connection,
        ):
            for link in (1, 2):
                await connection.send("over")
                assert await asyncio.wait_for(connection.recv(), PATIENCE) == "over"
                assert connection.stats.links == link
                assert connection.stats.bytes_received == 0  # this kernel counts TCP only
                connection.reconnect_now()

    run_asyncio(main())


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_our_client_and_our_server_meet_on_a_unix_socket(scheme: str, run: Run, tmp_path: Path) -> None:
    server_tls, client_tls = tls_pair("localhost")
    path = tmp_path / "ws"

    async def main() -> None:
        async with (
            serve(unix_path=path, ssl=server_tls if scheme == "wss" else None) as server,
            connect(server.url("/feed"), unix_path=path, ssl=client_tls, compression=True) as connection,
        ):
            await connection.send("there and back" * 1000)
            assert await asyncio.wait_for(connection.recv(), PATIENCE) == "there and back" * 1000
            assert server.connections[0].request.path == "/feed"

    run(main())


@pytest.mark.parametrize("engine", engines.NAMES)
def test_a_connection_comes_from_its_local_address_to_a_server_of_another_name(
    engine: str, run_asyncio: Run
) -> None:
    server_tls, client_tls = tls_pair("service.example")
    came_from: list[str] = []

    async def note(peer: Peer) -> None:
        came_from.append(peer.writer.get_extra_info("peername")[0])
        await well_behaved(peer)

    async def main() -> None:
        async with (
            ws_server(note, tls=server_tls) as server,
            connect(
                server.url(scheme="wss"),
                ssl=client_tls,
                server_hostname="service.example",
                local_addr=("127.0.0.2", 0),
                engine=engine,
            ) as connection,
        ):
            await connection.wait_open(PATIENCE)
        assert came_from == ["127.0.0.2"]

    run_asyncio(main())


class Ours(Engine):
    """A user's own engine, of before these options."""

    name = "ours"

    async def open(self, request: OpenRequest, events: LinkEvents) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    "option", [{"unix_path": "/run/ws"}, {"local_addr": ("127.0.0.1", 0)}, {"server_hostname": "a.example"}]
)
def test_an_engine_that_cannot_do_it_is_named(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(option))} cannot be used with engine 'ours'"):
        connect("wss://example.com/", engine=Ours(), **option)


def test_a_session_has_a_connector_for_that(run_asyncio: Run) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            engine = AiohttpEngine(session)
            for option in ({"unix_path": "/run/ws"}, {"local_addr": ("127.0.0.1", 0)}):
                with pytest.raises(ValueError, match=f"{next(iter(option))} .* engine 'aiohttp'"):
                    connect("wss://example.com/", engine=engine, **option)
            connect("wss://example.com/", engine=engine, server_hostname="a.example")

    run_asyncio(main())


def test_tls_over_a_unix_socket_is_refused_where_the_engine_would_do_without(
    run_asyncio: Run, tmp_path: Path
) -> None:
    errors: list[Exception] = []

    async def main() -> None:
        connection = connect(
            lambda: "wss://localhost/", unix_path=tmp_path / "ws", engine="aiohttp", max_retries=0
        )
        connection.on_error = errors.append
        async with connection:
            with pytest.raises(ConnectionFailed, match="unix_path cannot be used for wss"):
                await connection.wait_closed()

    run_asyncio(main())
    assert isinstance(errors[0], ValueError)


def redirecting(engine: MemoryEngine, places: dict[str, str]) -> None:
    """Have addresses redirect to others."""

    async def answer(request: OpenRequest) -> None:
        if request.url in places:
            raise HandshakeRejected(302, [("Location", places[request.url])])

    engine.answer = answer


@pytest.mark.parametrize("location", ["ws://other.example/", "ws://example.com:81/", "wss://example.com/"])
def test_a_unix_socket_leads_to_no_other_origin(location: str, play: Run) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        redirecting(engine, {"ws://example.com/": "/there", "ws://example.com/there": location})
        async with connect("ws://example.com/", unix_path="/run/ws", engine=engine) as connection:
            with pytest.raises(ConnectionFailed, match=r"another origin.*unix_path") as failed:
                await connection.wait_closed()
        assert isinstance(failed.value.__cause__, RedirectRefused)
        assert [request.unix_path for request in engine.requests] == ["/run/ws"] * 2

    play(main())


@pytest.mark.parametrize(
    ("location", "name"),
    [("/there", "a.example"), ("wss://10.0.0.1:444/", "a.example"), ("wss://10.0.0.2/", None)],
)
def test_a_name_for_tls_holds_for_the_host_that_it_was_given_for(
    location: str, name: str | None, play: Run
) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        redirecting(engine, {"wss://10.0.0.1/": location})
        async with connect(
            "wss://10.0.0.1/", server_hostname="a.example", local_addr=("10.0.0.9", 0), engine=engine
        ) as connection:
            await connection.wait_open()
        assert [request.server_hostname for request in engine.requests] == ["a.example", name]
        assert engine.requests[1].local_addr == ("10.0.0.9", 0)

    play(main())


def test_links_over_unix_sockets_are_judged_as_others(run_asyncio: Run, tmp_path: Path) -> None:
    """A server that falls silent is noticed without what the kernel knows of TCP."""
    reasons: list[str] = []

    async def silent(peer: Peer) -> None:
        await peer.gone()

    async def main() -> None:
        path = tmp_path / "ws"
        async with ws_server(silent, unix_path=str(path)):
            connection = connect("ws://localhost/", unix_path=path, heartbeat=Heartbeat(0.1, 0.1))
            gone = asyncio.Event()

            @connection.on_close
            def closed(event: Any) -> None:
                reasons.append(event.reason)
                gone.set()

            async with connection, asyncio.timeout(PATIENCE):
                await gone.wait()

    run_asyncio(main())
    assert "heartbeat timeout: nothing heard for" in reasons[0]
