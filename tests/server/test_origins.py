"""A server lets in pages of its own host and what is no page, or whomever it is told, by the field Origin."""

import logging
import re
from collections.abc import Collection

import aiohttp
import pytest
import websockets
from tests.server.raw import client, connect
from tests.watch import Run
from websockets.typing import Origin as OriginText

from websocket_heartbeat.server import Refusal, Request, Server, serve

Origins = Collection[str | re.Pattern[str] | None] | None


async def status_of(server: Server, *origins: str, host: str = "example.com", more: str = "") -> int:
    """Ask the server for a WebSocket with those Origin fields; return the status of its answer."""
    fields = "".join(f"Origin: {origin}\r\n" for origin in origins)
    async with client(server, host=host, headers=fields + more) as raw:
        return raw.status


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://example.com", "example.com"),
        ("http://example.com:3000", "example.com:8765"),  # cookies know no ports: RFC 6265, section 8.5
        ("https://example.com:8443", "example.com"),  # a proxy that leaves out the port
        ("https://example.com", "EXAMPLE.com:443"),
        ("HTTPS://Example.Com", "example.com"),
        ("http://[::1]:3000", "[::1]:8765"),
        ("http://localhost:3000", "localhost:8765"),
        ("http://192.0.2.1", "192.0.2.1:80"),
        ("http://xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_a_page_of_the_same_host_is_let_in(run_asyncio: Run, origin: str, host: str) -> None:
    async def main() -> None:
        async with serve() as server:
            assert await status_of(server, origin, host=host) == 101

    run_asyncio(main())


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://www.example.com",
        "https://com",
        "https://example.com.evil.example",
        "https://example.com@evil.example",
        "https://evil.example/example.com",
        "https://evil.example?://example.com",
        "https://evil.example#example.com",
        "https://example.com,https://evil.example",
        "example.com",
        "https://",
        "null",
        "file://",
        "",
        "\xff",
        "self",
    ],
)
def test_any_other_page_is_refused_before_the_hook_is_asked(run_asyncio: Run, origin: str) -> None:
    asked: list[Request] = []

    async def main() -> None:
        async with serve(on_handshake=asked.append) as server:
            assert await status_of(server, origin) == 403
            assert await status_of(server, origin, more="X-Forwarded-Host: evil.example\r\n") == 403
            assert server.connections == ()

    run_asyncio(main())
    assert asked == []


def test_what_is_no_page_is_let_in(run_asyncio: Run) -> None:
    async def main() -> None:
        async with serve() as server:
            assert await status_of(server) == 101
            async with websockets.connect(server.url()) as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"

    run_asyncio(main())


@pytest.mark.parametrize(
    ("origins", "allowed", "refused"),
    [
        (None, ["https://evil.example", "null", "", "\xff"], []),
        (["https://a.example"], ["https://a.example"], ["http://a.example", "https://a.example:8443"]),
        (["https://A.Example:443"], ["https://a.example"], ["https://a.example:444"]),
        (["http://a.example:80", "ws://b.example:80"], ["http://a.example", "ws://b.example"], []),
        (["http://a.example:3000"], ["http://a.example:3000"], ["http://a.example", "http://example.com"]),
        (["self", "https://a.example"], ["http://example.com", "https://a.example"], ["http://b.example"]),
        (["null"], ["null"], ["file://", "http://example.com"]),
        (["file://", "weapp://wechat-game-runtime"], ["file://", "weapp://wechat-game-runtime"], ["null"]),
        (
            {re.compile(r"https://[a-z]+\.a\.example")},
            ["https://x.a.example"],
            ["https://x.a.example.evil.example", "xhttps://x.a.example", "https://a.example"],
        ),
        ((origin for origin in ["self"]), ["http://example.com"], ["http://b.example"]),
    ],
)
def test_those_named_are_let_in_and_no_others(
    run_asyncio: Run, origins: Origins, allowed: list[str], refused: list[str]
) -> None:
    async def main() -> None:
        async with serve(origins=origins) as server:
            for origin in allowed:
                assert (origin, await status_of(server, origin)) == (origin, 101)
            for origin in refused:
                assert (origin, await status_of(server, origin)) == (origin, 403)

    run_asyncio(main())


def test_without_none_in_the_list_a_program_is_refused(run_asyncio: Run) -> None:
    async def main() -> None:
        async with serve(origins=["https://a.example"]) as server:
            with pytest.raises(websockets.InvalidStatus, match="403"):
                await websockets.connect(server.url())
            async with websockets.connect(server.url(), origin=OriginText("https://a.example")) as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"
            async with aiohttp.ClientSession() as session:
                async with session.ws_connect(server.url(), origin="https://a.example"):
                    pass
                with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                    await session.ws_connect(server.url(), origin="https://b.example")

    run_asyncio(main())


def test_a_check_of_a_load_balancer_has_no_origin_and_reaches_the_hook(run_asyncio: Run) -> None:
    async def main() -> None:
        async with serve(on_handshake=lambda _: Refusal(200)) as server, connect(server) as raw:
            raw.writer.write(b"GET /health HTTP/1.0\r\n\r\n")
            assert (await raw.reader.read()).startswith(b"HTTP/1.1 200 ")

    run_asyncio(main())


def test_the_log_says_what_was_refused_escaped_and_shortened(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serve() as server:
            await status_of(server, "https://evil.example", host="behind.proxy:8000")
            await status_of(server, "https://\x9b31mevil")
            await status_of(server, "x" * 5000)

    run_asyncio(main())
    first, second, third = caplog.records
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert "'https://evil.example' at the Host 'behind.proxy:8000'" in first.getMessage()
    assert "'https://\\x9b31mevil'" in second.getMessage()
    assert len(third.getMessage()) < 300


@pytest.mark.parametrize(
    ("origins", "error", "text"),
    [
        ("https://a.example", TypeError, "origins must be a collection, not 'https://a.example'"),
        ([], ValueError, "origins must not be empty"),
        ([1], TypeError, r"origins\[0\] must be a str, a pattern of one or None, not 1"),
        ([re.compile(b"x")], TypeError, r"origins\[0\] must be a str, a pattern of one or None, not re"),
        (["*"], ValueError, r"origins\[0\] must be as browsers .* not '\*': origins=None lets in any"),
        (["self", "a.example"], ValueError, r"origins\[1\] must be as browsers write an origin"),
        (["https://a.example/"], ValueError, r"not 'https://a.example/'"),
        (["https://a.example/path"], ValueError, r"not 'https://a.example/path'"),
        (["https://*.a.example"], ValueError, "lets in any"),
        (["https://b\xfccher.example"], ValueError, r"origins\[0\] must be as browsers write an origin"),
    ],
)
def test_an_origin_that_no_browser_sends_is_refused_where_it_is_written(
    origins: Origins, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        serve(origins=origins)
