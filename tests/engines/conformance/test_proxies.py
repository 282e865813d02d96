"""Links go through HTTP, HTTPS and SOCKS proxies, and what these refuse is a ProxyFailed."""

import ssl
from typing import Any

import pytest
from tests.engines import peers
from tests.engines.peers import Peer, port_of, quiet, raw_server, serve_echo, ws_server
from tests.engines.recorder import failure, opened, texts
from tests.watch import Run

from websocket_heartbeat.engines.base import Engine
from websocket_heartbeat.errors import ProxyFailed, ProxyNotSupported

PROXIES = {
    "http": peers.http_proxy,
    "https": peers.http_proxy,
    "socks4": peers.socks4_proxy,
    "socks5": peers.socks5_proxy,
}
CANNOT = {
    ("aiohttp", "ws", "http"),
    ("aiohttp", "ws", "https"),
    ("aiohttp", "ws", "socks4"),
    ("aiohttp", "wss", "socks4"),
    ("aiohttp", "ws", "socks5"),
    ("aiohttp", "wss", "socks5"),
}
"""Which engine cannot reach what through which proxy, as docs/engines.md says."""


@pytest.mark.parametrize("kind", PROXIES)
@pytest.mark.parametrize("credentials", [None, "user:pass word"], ids=["open", "with password"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_links_go_through_proxies(
    engine: Engine,
    run: Run,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    kind: str,
    credentials: str | None,
    scheme: str,
) -> None:
    async def main() -> None:
        async with (
            serve_echo(ssl=server_tls if scheme == "wss" else None) as server,
            raw_server(PROXIES[kind](credentials), server_tls if kind == "https" else None) as proxy,
        ):
            prefix = credentials.replace(" ", "%20") + "@" if credentials else ""
            url = f"{scheme}://127.0.0.1:{port_of(server)}/"
            through: dict[str, Any] = {"proxy": f"{kind}://{prefix}127.0.0.1:{proxy.port}", "ssl": client_tls}
            if (engine.name, scheme, kind) in CANNOT:
                error = await failure(engine, url, **through)
                assert isinstance(error, ProxyNotSupported)
                assert "cannot use a proxy" in str(error) or "can use a proxy for" in str(error)
                assert proxy.connections == 0
                return
            link, recorder = await opened(engine, url, **through)
            link.send("through")
            await recorder.until(lambda: recorder.messages)
            assert recorder.messages == ["through"]
            assert proxy.connections == 1
            link.close(1000, "")
            await recorder.closure()

    run(main())


def test_a_socks5_proxy_resolves_the_name(engine: Engine, run: Run) -> None:
    if (engine.name, "ws", "socks5") in CANNOT:
        pytest.skip("this engine cannot use such a proxy")

    async def main() -> None:
        async with ws_server(quiet) as server, raw_server(peers.socks5_proxy()) as proxy:
            url = f"ws://known-to-the-proxy.invalid:{server.port}/"
            link, _ = await opened(engine, url, proxy=f"socks5://127.0.0.1:{proxy.port}")
            link.abort()

    run(main())


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_proxy_that_wants_another_password_is_a_proxy_failure(engine: Engine, run: Run, kind: str) -> None:
    async def main() -> None:
        async with raw_server(PROXIES[kind]("user:right")) as proxy:
            for credentials in ("", "user:hush-hush@"):
                url = f"{kind}://{credentials}127.0.0.1:{proxy.port}"
                error = await failure(engine, "wss://127.0.0.1:9/", proxy=url)
                assert isinstance(error, ProxyFailed)
                assert "hush-hush" not in texts(error)

    run(main())


async def leave(peer: Peer) -> None:
    """Take the request and close."""
    await peer.reader.read(1)


async def babble(peer: Peer) -> None:
    """Answer what is not the protocol of any proxy."""
    peer.write(b"what do you want?\r\n\r\n")
    await peer.gone()


PROXY_FAILURES: dict[str, tuple[str, peers.Handler | None]] = {
    "http, down": ("http", None),
    "http, closes": ("http", leave),
    "http, babbles": ("http", babble),
    "socks5, down": ("socks5", None),
    "socks5, closes": ("socks5", leave),
    "socks5, babbles": ("socks5", babble),
    "socks5, refuses": ("socks5", peers.refusing_socks5_proxy),
}


@pytest.mark.parametrize(("kind", "handler"), PROXY_FAILURES.values(), ids=PROXY_FAILURES.keys())
def test_a_proxy_that_fails_is_a_proxy_failure(
    engine: Engine, run: Run, kind: str, handler: peers.Handler | None
) -> None:
    async def main() -> None:
        async with raw_server(handler or leave) as proxy:
            url = f"{kind}://127.0.0.1:{proxy.port}"
            if handler is not None:
                assert isinstance(await failure(engine, "wss://127.0.0.1:9/", proxy=url), ProxyFailed)
        if handler is None:
            assert isinstance(await failure(engine, "wss://127.0.0.1:9/", proxy=url), ProxyFailed)

    run(main())
