"""Clients are sent away before a server beneath a framework stops: by SIGTERM, and by a request."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from tests.cli.program import Result, finish, start
from tests.server.frameworks.serving import Place, serving
from tests.server.raw import CLOSE, Raw, client
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.server import Hub

TOKEN = "t" * 20

PROGRAM = """
import sys
from contextlib import asynccontextmanager
import uvicorn
from fastapi import FastAPI, WebSocket
from websocket_heartbeat.server import Hub

hub = Hub(close_timeout=float(sys.argv[2]))

@asynccontextmanager
async def lifespan(app):
    with hub.send_away_on_sigterm(over=40):
        yield
    print("lifespan ended with", len(hub.peers), "peers", flush=True)

app = FastAPI(lifespan=lifespan)
app.add_middleware(hub.asgi)

@app.websocket("/")
async def echo(websocket: WebSocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)

uvicorn.run(app, fd=int(sys.argv[1]), log_level="warning", loop=sys.argv[3])
"""


@contextmanager
def _running(close_timeout: float, loop: str) -> Iterator[tuple[Place, "subprocess.Popen[str]"]]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(sock.fileno()), str(close_timeout), loop],
            pass_fds=[sock.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        port = sock.getsockname()[1]
    try:
        yield Place(port), process
    finally:
        process.kill()
        process.communicate()


@asynccontextmanager
async def _all(place: Place, count: int) -> AsyncIterator[list[Raw]]:
    contexts = [client(place, "/") for _ in range(count)]
    raws = [await context.__aenter__() for context in contexts]
    try:
        yield raws
    finally:
        for context in contexts:
            await context.__aexit__(None, None, None)


async def _hint(raw: Raw) -> float:
    """Read the close frame and return its hint; the answer is left to the test."""
    opcode, payload = await raw.read()
    assert opcode == CLOSE
    assert payload[:2] == (1012).to_bytes(2)
    match = re.fullmatch(r"restarting; retry-after=([0-9.]+)", payload[2:].decode())
    assert match is not None
    return float(match[1])


@pytest.mark.parametrize("loop", ["asyncio", *(["uvloop"] if find_spec("uvloop") else [])])
def test_at_sigterm_each_client_gets_its_hint_before_uvicorn_shuts_down(loop: str) -> None:
    async def main() -> None:
        with _running(30, loop) as (place, process):
            async with _all(place, 8) as raws:
                process.send_signal(signal.SIGTERM)
                hints = [await _hint(raw) for raw in raws]
                assert len(set(hints)) == 8
                assert max(hints) - min(hints) > 20
                # As none has answered, the hub still waits, and new ones are put off.
                async with client(place, "/") as late:
                    assert late.status == 503
                    match = re.search(rb"retry-after: (\d+)", late.head.lower())
                    assert match is not None
                    assert 1 <= int(match[1]) <= 40
                for raw in raws:
                    raw.frame(CLOSE, (1012).to_bytes(2))
                    assert await raw.end() == "end of file"
            output, _ = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
            assert output == "lifespan ended with 0 peers\n"
            assert process.returncode == -signal.SIGTERM  # as without the hub

    asyncio.run(main())


def test_a_second_sigterm_does_not_wait_for_clients() -> None:
    async def main() -> None:
        with _running(3600, "asyncio") as (place, process):
            async with client(place, "/") as raw:
                process.send_signal(signal.SIGTERM)
                await _hint(raw)
                process.send_signal(signal.SIGTERM)
                output, _ = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
            assert output == "lifespan ended with 0 peers\n"

    asyncio.run(main())


def test_a_signal_handler_is_put_back_at_the_end_of_the_lifespan() -> None:
    async def main() -> None:
        hub = Hub()
        before = signal.getsignal(signal.SIGTERM)
        with hub.send_away_on_sigterm(over=1):
            assert signal.getsignal(signal.SIGTERM) is not before
        assert signal.getsignal(signal.SIGTERM) is before
        # And a thread that is not the main one has no signals.
        await asyncio.to_thread(lambda: asyncio.run(_nothing(hub)))

    async def _nothing(hub: Hub) -> None:
        with hub.send_away_on_sigterm(over=1):
            assert signal.getsignal(signal.SIGTERM) is before

    before = signal.getsignal(signal.SIGTERM)
    asyncio.run(main())


def test_what_was_to_happen_at_sigterm_happens_where_nobody_is_here() -> None:
    async def main() -> None:
        told: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
        try:
            with Hub().send_away_on_sigterm(over=1):
                os.kill(os.getpid(), signal.SIGTERM)
                await until(lambda: told)
        finally:
            signal.signal(signal.SIGTERM, before)
        assert told == [signal.SIGTERM]

    asyncio.run(main())


# By a request


async def _echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


def _application(hub: Hub, token: str | None = None) -> Starlette:
    app = Starlette(
        routes=[
            WebSocketRoute("/", _echo),
            Route("/send-away", hub.send_away_app(over=20, token=token)),
        ]
    )
    app.add_middleware(hub.asgi)
    return app


async def _ask(place: Place, method: str = "POST", headers: str = "") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(place.host, place.port)
    writer.write(
        f"{method} /send-away HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n".encode()
    )
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return int(answer.split(" ", 2)[1]), answer.partition("\r\n\r\n")[2]


def test_a_program_on_this_machine_has_all_clients_sent_away(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with serving(_application(hub)) as place, _all(place, 2) as raws:
            await until(lambda: len(hub.peers) == 2)
            asking = asyncio.create_task(_ask(place))
            for raw in raws:
                assert await _hint(raw) < 20
                assert not asking.done()
                raw.frame(CLOSE, (1012).to_bytes(2))
            assert await asking == (200, "2 clients were sent away\n")
            async with client(place, "/") as late:
                assert late.status == 503
            assert hub.stats.refused["send_away"] == 1
        await hub.close()

    run_asyncio(main())


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", "X-Forwarded-For: 127.0.0.1\r\n", 403),
        ("POST", "Forwarded: for=127.0.0.1\r\n", 403),
        ("POST", "Origin: http://localhost:8000\r\n", 403),
        ("GET", "", 405),
    ],
)
def test_without_a_token_neither_proxies_nor_pages_may(
    run_asyncio: Run, method: str, headers: str, status: int
) -> None:
    async def main() -> None:
        hub = Hub()
        # uvicorn itself believes a proxy on this machine; the application must not depend on that.
        async with serving(_application(hub), proxy_headers=False) as place, client(place, "/"):
            assert (await _ask(place, method, headers))[0] == status
            assert hub.peers
        await hub.close()

    run_asyncio(main())


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "::1.2.3.4", "example.com", None, "127.0.0.1", "::ffff:127.0.0.1"]
)
def test_without_a_token_only_this_machine_may(host: str | None) -> None:
    async def main() -> None:
        sent: list[Any] = []

        async def send(event: Any) -> None:
            sent.append(event)

        client = None if host is None else (host, 1)
        headers = [(b"host", b"127.0.0.1:8000")]
        scope: dict[str, Any] = {"type": "http", "method": "POST", "headers": headers, "client": client}
        await Hub().send_away_app(over=1)(scope, None, send)
        assert sent[0]["status"] == (200 if host and host.endswith("127.0.0.1") else 403)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "version", "status"),
    [
        ({"host": "127.0.0.1:8000"}, "1.1", 200),
        ({"host": "localhost"}, "1.1", 200),
        ({"host": "[::1]:8000"}, "1.1", 200),
        ({"host": "example.com"}, "1.1", 403),  # as most proxies pass it on
        ({"host": "127.0.0.1.example.com"}, "1.1", 403),
        ({}, "1.1", 403),
        ({"host": "127.0.0.1:8000"}, "1.0", 403),  # as nginx does by default
        ({"host": "127.0.0.1:8000", "x-forwarded-proto": "https"}, "1.1", 403),
        ({"host": "127.0.0.1:8000", "sec-fetch-site": "cross-site"}, "1.1", 403),
    ],
)
def test_what_looks_like_a_proxy_or_a_page_may_not(
    headers: dict[str, str], version: str, status: int
) -> None:
    async def main() -> None:
        sent: list[Any] = []

        async def send(event: Any) -> None:
            sent.append(event)

        scope: dict[str, Any] = {
            "type": "http",
            "http_version": version,
            "method": "POST",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
        }
        await Hub().send_away_app(over=1)(scope, None, send)
        assert sent[0]["status"] == status

    asyncio.run(main())


def test_with_a_token_only_who_has_it_may(run_asyncio: Run) -> None:
    async def main() -> None:
        hub = Hub()
        async with serving(_application(hub, TOKEN)) as place:
            for headers, status in (
                ("", 403),
                ("Authorization: Bearer other\r\n", 403),
                (f"Authorization: Bearer {TOKEN}\r\n", 200),
                (f"Authorization: Bearer {TOKEN}\r\nX-Forwarded-For: 10.1.2.3\r\n", 200),
            ):
                assert (await _ask(place, "GET", headers))[0] == status
        await hub.close()

    run_asyncio(main())


@pytest.mark.parametrize(
    ("token", "error"), [("", ValueError), ("a b", ValueError), ("ü", ValueError), (1, TypeError)]
)
def test_a_wrong_token_is_an_error_where_it_is_given(token: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="token"):
        Hub().send_away_app(over=1, token=token)
    with pytest.raises(ValueError, match="over"):
        Hub().send_away_app(over=-1)
    with pytest.raises(ValueError, match="over"):
        Hub().send_away_on_sigterm(over=-1)


# By the command


async def _command(*arguments: str) -> Result:
    return await asyncio.to_thread(lambda: finish(start("send-away", *arguments)))


def test_the_command_has_all_clients_sent_away(run_asyncio: Run, tmp_path: Path) -> None:
    async def main() -> None:
        hub = Hub()
        secret = tmp_path / "token"
        secret.write_text(f"{TOKEN}\n")
        for token, arguments in ((None, []), (TOKEN, ["--token-file", str(secret)])):
            async with serving(_application(hub, token)) as place, client(place, "/") as raw:
                url = f"http://127.0.0.1:{place.port}/send-away"
                command = asyncio.create_task(_command(url, *arguments))
                assert await _hint(raw) < 20
                raw.frame(CLOSE, (1012).to_bytes(2))
                assert await command == Result(0, "1 client was sent away\n", "")
            await hub.close()
            hub = Hub()

    run_asyncio(main())


def test_the_command_says_what_is_wrong(run_asyncio: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(_application(Hub(), TOKEN)) as place:
            url = f"http://127.0.0.1:{place.port}/send-away"
            for arguments, said in (
                ([url], "answered 403 Forbidden"),
                ([f"{url}-not"], "answered 404 Not Found"),
                ([url, "--token-file", str(tmp_path / "none")], "cannot read the token"),
            ):
                result = await _command(*arguments)
                assert (result.status, result.out) == (1, "")
                assert said in result.err
        result = await _command(url)
        assert (result.status, result.out) == (1, "")
        assert "cannot be called" in result.err
        result = await _command("http://user:secret@127.0.0.1:1/x")
        assert result.status == 1
        assert "secret" not in json.dumps(result.err)

    run_asyncio(main())
