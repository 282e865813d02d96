"""A server listens on a Unix socket; it takes over that of a dead server, never that of a living one."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from tests.certificates import tls_pair
from tests.watch import Run, turns, until

from websocket_heartbeat.server import Peer, Refusal, Server, serve

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")


@pytest.fixture
def path() -> Iterator[str]:
    """Where a socket may be; that of pytest would be too long for one."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"{folder}/socket"


def exists(path: str) -> bool:
    """Whether anything is there."""
    return os.path.lexists(path)


def is_socket(path: str) -> bool:
    """Whether a socket is there."""
    return Path(path).is_socket()


async def says_hello(path: str, tls: ssl.SSLContext | None = None) -> bool:
    """Whether an echo server is reached there."""
    uri = "ws://localhost/" if tls is None else "wss://localhost/"
    async with websockets.unix_connect(path, uri, ssl=tls) as ws:
        await ws.send("hello")
        return await ws.recv() == "hello"


def test_clients_of_other_libraries_are_served(run: Run, path: str) -> None:
    async def main() -> None:
        async with serve(unix_path=path) as server:
            assert await says_hello(path)
            connector = aiohttp.UnixConnector(path)
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.ws_connect(server.url("/feed")) as ws,
            ):
                await ws.send_str("hello")
                assert (await ws.receive()).data == "hello"

    run(main())


def test_tls_is_served_too(run: Run, path: str) -> None:
    serving, trusting = tls_pair("localhost")

    async def main() -> None:
        async with serve(unix_path=path, ssl=serving) as server:
            assert server.url() == "wss://localhost/"
            assert await says_hello(path, trusting)

    run(main())


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_a_check_by_curl_is_answered(run_asyncio: Run, path: str) -> None:
    async def main() -> None:
        async with serve(unix_path=path, on_handshake=lambda _: Refusal(200, body=b"ok")):
            command = ["curl", "--silent", "--fail", "--unix-socket", path, "http://localhost/health"]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
            assert (done.returncode, done.stdout) == (0, b"ok")

    run_asyncio(main())


def test_a_server_says_where_it_listens(path: str) -> None:
    server = serve(unix_path=Path(path))
    assert server.unix_path == path
    assert (server.host, server.port) == ("localhost", 0)
    assert server.url("/a?b") == "ws://localhost/a?b"
    assert repr(server) == f"<Server unix:{path} with 0 connections>"
    assert serve().unix_path is None


def test_silent_clients_are_dropped_there_too(run: Run, path: str) -> None:
    reasons: list[str] = []

    async def main() -> None:
        def gone(peer: Peer, code: int | None, reason: str) -> None:
            reasons.append(reason)

        async with serve(unix_path=path, idle_timeout=0.2, on_close=gone):
            with socket.socket(socket.AF_UNIX) as silent:
                silent.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(silent, path)
                await loop.sock_sendall(
                    silent,
                    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                )
                await until(lambda: reasons)

    run(main())
    assert reasons == ["silent for 0.2 s"]


@pytest.mark.parametrize("end", [Server.close, Server.abort])
def test_the_file_goes_with_the_server(
    run: Run, path: str, end: Callable[[Server], Coroutine[Any, Any, None] | None]
) -> None:
    async def main() -> None:
        async with serve(unix_path=path) as server:
            assert is_socket(path)
            ending = end(server)
            if ending is not None:
                await ending
            assert not exists(path)
        await turns()

    run(main())


def test_a_file_that_somebody_has_removed_hinders_nothing(run: Run, path: str) -> None:
    async def main() -> None:
        async with serve(unix_path=path):
            os.unlink(path)

    run(main())


def test_what_a_dead_server_left_is_taken_over(run: Run, path: str) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
            dead.listen()
        assert is_socket(path)
        async with serve(unix_path=path):
            assert await says_hello(path)

    run(main())


def test_the_socket_of_a_living_server_is_not_taken(run: Run, path: str) -> None:
    async def main() -> None:
        async with serve(unix_path=path):
            with pytest.raises(OSError, match=r"socket.*in use"):
                async with serve(unix_path=path):
                    pass
            assert await says_hello(path)

    run(main())


def test_the_socket_of_a_living_server_that_is_too_busy_to_accept_is_not_taken(run: Run, path: str) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
            busy.bind(path)
            busy.listen(0)
            waiting.connect(path)
            with pytest.raises(OSError, match="in use"):
                async with serve(unix_path=path):
                    pass
            assert is_socket(path)

    run(main())


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_never_removed(run: Run, path: str, kind: str) -> None:
    if kind == "file":
        Path(path).write_text("precious")
    elif kind == "folder":
        Path(path).mkdir()
    else:
        Path(path).symlink_to("nowhere")

    async def main() -> None:
        with pytest.raises(OSError, match="in use"):
            async with serve(unix_path=path):
                pass
        assert exists(path)

    run(main())


def test_the_socket_of_a_successor_is_not_removed(run: Run, path: str) -> None:
    async def main() -> None:
        async with serve(unix_path=path) as first:
            os.unlink(path)
            async with serve(unix_path=path):
                await first.close()
                assert await says_hello(path)

    run(main())


def test_a_place_where_no_socket_can_be_is_named(run: Run, path: str) -> None:
    async def main() -> None:
        for where, text in ((f"{path}/missing/x", "missing/x.*No such file"), (path * 10, "too long")):
            with pytest.raises(OSError, match=text):
                async with serve(unix_path=where):
                    pass

    run(main())


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"unix_path": 5}, TypeError, "unix_path must be a str or a path, not 5"),
        ({"unix_path": b"x"}, TypeError, "unix_path must be a str or a path, not b'x'"),
        ({"unix_path": ""}, ValueError, "unix_path must be the path of a file, not ''"),
        ({"unix_path": "\0x"}, ValueError, r"unix_path must be the path of a file, not '\\x00x'"),
        ({"unix_path": "x", "port": 80}, ValueError, "unix_path and port exclude each other"),
        ({"unix_path": "x", "host": "::"}, ValueError, "unix_path and host exclude each other"),
    ],
)
def test_a_wrong_argument_is_refused_where_it_is_written(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        serve(**arguments)


def test_a_system_without_unix_sockets_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(ValueError, match="unix_path: this system has no Unix sockets"):
        serve(unix_path="x")
