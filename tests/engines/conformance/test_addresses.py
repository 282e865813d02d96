"""Where a connection leads to and comes from: Unix sockets, the name that TLS checks, the local address."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.engines import peers
from tests.engines.peers import Peer, frame, http_proxy, raw_server, ws_server
from tests.engines.recorder import MAX_SIZE, Recorder, failure, opened
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import engines
from websocket_heartbeat.engines.base import Engine, OpenRequest

needs_unix_sockets = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has none")


async def echo(peer: Peer) -> None:
    while True:
        got = await peer.read_frame()
        peer.write(frame(got.opcode, got.payload))


@needs_unix_sockets
def test_a_unix_socket_carries_a_link_and_the_url_gives_host_and_path(
    engine: Engine, run: Run, tmp_path: Path
) -> None:
    seen: list[Peer] = []

    async def handler(peer: Peer) -> None:
        seen.append(peer)
        await echo(peer)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with ws_server(handler, unix_path=str(tmp_path / "ws")) as server:
            since = loop.time()
            link, recorder = await opened(
                engine, "ws://inside.example/a/b?c=d", unix_path=str(tmp_path / "ws")
            )
            assert seen[0].request == "GET /a/b?c=d HTTP/1.1"
            assert seen[0].header("host") == "inside.example"
            link.send("text")
            link.send(b"x" * 100_000)
            await recorder.until(lambda: len(recorder.messages) == 2)
            assert recorder.messages == ["text", b"x" * 100_000]
            assert since <= link.evidence().heard_at <= loop.time()
            assert server.connections == 1
            link.close(1000, "done")
            closure = await recorder.closure()
            assert (closure.code, closure.reason) == (1000, "done")
            assert closure.uncertain_bytes is None  # which only TCP tells

    run(main())


@needs_unix_sockets
def test_a_unix_socket_that_is_not_there_is_an_os_error(engine: Engine, run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        error = await failure(engine, "ws://inside.example/", unix_path=str(tmp_path / "missing"))
        assert isinstance(error, FileNotFoundError)

    run(main())


@needs_unix_sockets
def test_cancelling_the_opening_over_a_unix_socket_leaves_nothing(
    engine: Engine, run: Run, tmp_path: Path
) -> None:
    path = str(tmp_path / "ws")

    async def main() -> None:
        async with raw_server(peers.hang, unix_path=path):
            for turns in range(20):
                request = OpenRequest("ws://inside.example/", max_size=MAX_SIZE, unix_path=path)
                task = asyncio.create_task(engine.open(request, Recorder()))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    run(main())


@needs_unix_sockets
def test_tls_goes_over_a_unix_socket_where_the_engine_can(
    engine: Engine, run: Run, tmp_path: Path, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    path = str(tmp_path / "ws")

    async def main() -> None:
        async with ws_server(echo, tls=server_tls, unix_path=path) as server:
            options: dict[str, Any] = {"unix_path": path, "ssl": client_tls}
            if engine.name == "aiohttp":  # whose connector would speak without TLS
                error = await failure(engine, "wss://127.0.0.1/", **options)
                assert isinstance(error, ValueError)
                assert "unix_path" in str(error)
                assert server.connections == 0
                return
            link, recorder = await opened(engine, "wss://127.0.0.1/", **options)
            link.send("text")
            await recorder.until(lambda: recorder.messages)
            link.abort()
            error = await failure(engine, "wss://other.example/", **options)
            assert isinstance(error, ssl.SSLCertVerificationError)

    run(main())


def names_of(context: ssl.SSLContext) -> list[str | None]:
    """Have a server's context keep the names that clients send in TLS."""
    names: list[str | None] = []
    context.set_servername_callback(lambda sock, name, context: names.append(name))
    return names


@pytest.mark.parametrize("through", ["direct", "proxy"])
def test_tls_sends_and_checks_the_server_hostname_in_place_of_the_host(
    engine: Engine, run: Run, through: str, authority: trustme.CA, client_tls: ssl.SSLContext
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("service.example").configure_cert(context)
    names = names_of(context)

    async def main() -> None:
        async with ws_server(echo, tls=context) as server, raw_server(http_proxy()) as proxy:
            options: dict[str, Any] = {"ssl": client_tls}
            if through == "proxy":
                options["proxy"] = f"http://127.0.0.1:{proxy.port}"
            url = server.url(scheme="wss")
            link, _ = await opened(engine, url, server_hostname="service.example", **options)
            link.abort()
            assert names == ["service.example"]
            for wrong in ("other.example", None):
                error = await failure(engine, url, server_hostname=wrong, **options)
                assert isinstance(error, ssl.SSLCertVerificationError)

    run(main())


@pytest.mark.parametrize("through", ["direct", "proxy"])
def test_a_connection_comes_from_the_local_address(engine: Engine, run: Run, through: str) -> None:
    came_from: list[tuple[str, int]] = []

    async def note(peer: Peer) -> None:
        came_from.append(peer.writer.get_extra_info("peername"))
        await peer.gone()

    async def main() -> None:
        with socket.create_server(("127.0.0.2", 0)) as reserved:
            port = reserved.getsockname()[1]
        options: dict[str, Any] = {"local_addr": ("127.0.0.2", port)}
        async with raw_server(note) as server:
            url = server.url()
            if through == "proxy":
                url, options["proxy"] = "wss://127.0.0.1:9/", f"http://127.0.0.1:{server.port}"
            task = asyncio.create_task(failure(engine, url, **options))
            await until(lambda: came_from)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert came_from == [("127.0.0.2", port)]

    run(main())


def test_a_local_address_of_no_interface_is_an_os_error(engine: Engine, run: Run) -> None:
    async def main() -> None:
        async with raw_server(peers.quiet) as server:
            error = await failure(engine, server.url(), local_addr=("192.0.2.1", 0))
            assert isinstance(error, OSError)
            assert server.connections == 0

    run(main())


def test_a_socks_proxy_is_reached_from_the_local_address(run: Run) -> None:
    came_from: list[str] = []

    async def note(peer: Peer) -> None:
        came_from.append(peer.writer.get_extra_info("peername")[0])
        await peers.socks5_proxy()(peer)

    async def main() -> None:
        async with ws_server(peers.quiet) as server, raw_server(note) as proxy:
            link, _ = await opened(
                engines.load("websockets"),
                server.url(),
                proxy=f"socks5://127.0.0.1:{proxy.port}",
                local_addr=("127.0.0.2", 0),
            )
            link.abort()
            assert came_from == ["127.0.0.2"]

    run(main())


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_happy_eyeballs_pass_over_addresses_that_the_local_address_does_not_fit(
    run_asyncio: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo

        async def getaddrinfo(name: str, port: int, **options: Any) -> Any:
            return [
                found
                for address in ("::1", "127.0.0.1")
                for found in await real(address, port, type=socket.SOCK_STREAM)
            ]

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        async with ws_server(peers.quiet) as server, asyncio.timeout(PATIENCE):
            link, _ = await opened(
                engines.load("websockets"),
                f"ws://service.invalid:{server.port}/",
                local_addr=("127.0.0.2", 0),
            )
            link.abort()

    run_asyncio(main())
