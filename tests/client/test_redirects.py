"""Nothing of the user's crosses a redirect to another origin, on any engine, whatever it is sent in."""

import asyncio
import base64
import warnings
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from tests.certificates import tls_pair
from tests.client.servers import well_behaved
from tests.engines.peers import Peer, raw_server
from tests.watch import PATIENCE, Run

from websocket_heartbeat import ConnectionFailed, RedirectRefused, connect, engines
from websocket_heartbeat.engines.aiohttp import AiohttpEngine
from websocket_heartbeat.engines.base import Engine

SECRET = "hunter2"
BASIC = base64.b64encode(f"user:{SECRET}".encode()).decode()


async def session_engine(stack: AsyncExitStack, **options: Any) -> Engine:
    return AiohttpEngine(await stack.enter_async_context(aiohttp.ClientSession(**options)))


class Servers:
    """Two origins: the first redirects to the second, which notes what it is sent."""

    def __init__(self) -> None:
        self.seen: list[Peer] = []
        self.first: list[Peer] = []
        self.location = ""

    async def redirect(self, peer: Peer) -> None:
        await peer.read_request()
        self.first.append(peer)
        cookie = f"Set-Cookie: session={SECRET}; Path=/"
        lines = ["HTTP/1.1 302 Found", f"Location: {self.location}", cookie, "Content-Length: 0"]
        lines += ["Connection: close", "", ""]  # else the session would ask the next time over the same one
        peer.write("\r\n".join(lines).encode())
        await peer.gone()

    async def note(self, peer: Peer) -> None:
        await peer.read_request()
        self.seen.append(peer)
        peer.write(peer.response())
        await well_behaved(peer)

    def text(self) -> str:
        """All that the second server was sent."""
        assert self.seen
        return "\n".join([peer.request + repr(peer.headers) for peer in self.seen])


async def follow(servers: Servers, engine: Engine, **options: Any) -> None:
    async with raw_server(servers.redirect) as first, raw_server(servers.note) as second:
        # Another port is another origin, and another host is none that cookies belong to.
        servers.location = f"ws://localhost:{second.port}/there"
        connection = connect(
            f"ws://user:{SECRET}@127.0.0.1:{first.port}/?token={SECRET}", engine=engine, proxy=None, **options
        )
        async with connection:
            await connection.wait_open(PATIENCE)


EVERYTHING: dict[str, Any] = {
    "additional_headers": [
        ("Authorization", f"Bearer {SECRET}"),
        ("Cookie", f"session={SECRET}"),
        ("Proxy-Authorization", f"Basic {SECRET}"),
        ("X-Api-Key", SECRET),
        ("X-Anything", SECRET),
        ("Origin", f"https://{SECRET}.example"),
        ("User-Agent", f"app ({SECRET})"),
        ("Referer", f"https://example.com/?token={SECRET}"),
    ],
    "subprotocols": ["v1.example", f"bearer.{SECRET}"],
}


@pytest.mark.parametrize("name", engines.NAMES)
def test_another_origin_gets_no_header_and_no_subprotocol(name: str, run_asyncio: Run) -> None:
    async def main() -> None:
        servers = Servers()
        await follow(servers, engines.load(name), **EVERYTHING)
        assert SECRET in repr(servers.first[0].headers)
        assert SECRET not in servers.text()
        assert BASIC not in servers.text()
        assert "v1.example" not in servers.text()
        assert servers.seen[0].header("user-agent").startswith("websocket-heartbeat/")

    run_asyncio(main())


@pytest.mark.parametrize("name", engines.NAMES)
def test_credentials_of_the_url_do_not_follow_either(name: str, run_asyncio: Run) -> None:
    async def main() -> None:
        servers = Servers()
        await follow(servers, engines.load(name))
        assert BASIC in servers.first[0].header("authorization")
        assert BASIC not in servers.text()
        assert servers.seen[0].header("authorization") == ""

    run_asyncio(main())


async def add_token(request: aiohttp.ClientRequest, handler: Any) -> aiohttp.ClientResponse:
    request.headers["X-Token"] = SECRET
    answer: aiohttp.ClientResponse = await handler(request)
    return answer


SESSIONS: dict[str, dict[str, Any]] = {
    "default headers": {
        "headers": {"Authorization": f"Bearer {SECRET}", "X-Key": SECRET, "Cookie": f"a={SECRET}"}
    },
    "middlewares": {"middlewares": (add_token,)},
    "cookies": {"cookies": {"own": "kept-at-home"}},
}


@pytest.mark.parametrize("kind", SESSIONS)
def test_what_a_session_adds_by_itself_stays_behind(kind: str, run_asyncio: Run) -> None:
    async def main() -> None:
        servers = Servers()
        async with AsyncExitStack() as stack:
            jar = aiohttp.CookieJar(unsafe=True)
            engine = await session_engine(stack, cookie_jar=jar, **SESSIONS[kind])
            # The URL's own credentials would go before those of the session.
            async with raw_server(servers.redirect) as first, raw_server(servers.note) as second:
                servers.location = f"ws://localhost:{second.port}/there"
                connection = connect(f"ws://127.0.0.1:{first.port}/", engine=engine, proxy=None)
                async with connection:
                    await connection.wait_open(PATIENCE)
        assert SECRET not in servers.text()
        if kind != "cookies":
            assert SECRET in repr(servers.first[0].headers)

    run_asyncio(main())


def test_a_session_s_default_auth_stays_behind(run_asyncio: Run) -> None:
    async def main() -> None:
        servers = Servers()
        async with AsyncExitStack() as stack:
            with warnings.catch_warnings():  # which aiohttp has for whoever still uses it
                warnings.simplefilter("ignore", DeprecationWarning)
                engine = await session_engine(stack, auth=aiohttp.BasicAuth("user", SECRET))
            async with raw_server(servers.redirect) as first, raw_server(servers.note) as second:
                servers.location = f"ws://localhost:{second.port}/there"
                connection = connect(f"ws://127.0.0.1:{first.port}/", engine=engine, proxy=None)
                async with connection:
                    await connection.wait_open(PATIENCE)
        assert BASIC in repr(servers.first[0].headers)
        assert BASIC not in servers.text()

    run_asyncio(main())


def test_cookies_of_a_session_go_where_its_jar_sends_them(run_asyncio: Run) -> None:
    async def main() -> None:
        servers = Servers()
        jar = aiohttp.CookieJar(unsafe=True)
        async with AsyncExitStack() as stack:
            engine = await session_engine(stack, cookie_jar=jar)
            async with raw_server(servers.redirect) as first, raw_server(servers.note) as second:
                for host in ("localhost", "127.0.0.1"):
                    servers.location = f"ws://{host}:{second.port}/there"
                    connection = connect(f"ws://127.0.0.1:{first.port}/", engine=engine, proxy=None)
                    async with connection:
                        await connection.wait_open(PATIENCE)
        # A cookie belongs to a host, whatever its port (RFC 6265, section 8.5).
        assert [peer.header("cookie") for peer in servers.seen] == ["", f"session={SECRET}"]

    run_asyncio(main())


@pytest.mark.parametrize("name", engines.NAMES)
def test_what_went_to_another_origin_comes_back_without_it_too(name: str, run_asyncio: Run) -> None:
    """A redirect back proves nothing: the other origin chose the path."""

    async def main() -> None:
        seen: list[Peer] = []
        places: list[str] = []

        async def first(peer: Peer) -> None:
            await peer.read_request()
            seen.append(peer)
            if peer.request.split()[1] == "/back":
                peer.write(peer.response())
                await well_behaved(peer)
                return
            peer.write(f"HTTP/1.1 302 Found\r\nLocation: {places[1]}\r\nContent-Length: 0\r\n\r\n".encode())
            await peer.gone()

        async def second(peer: Peer) -> None:
            await peer.read_request()
            peer.write(f"HTTP/1.1 302 Found\r\nLocation: {places[0]}\r\nContent-Length: 0\r\n\r\n".encode())
            await peer.gone()

        async with raw_server(first) as a, raw_server(second) as b:
            places += [f"ws://127.0.0.1:{a.port}/back", f"ws://127.0.0.1:{b.port}/"]
            async with connect(a.url(), engine=name, proxy=None, **EVERYTHING) as connection:
                await connection.wait_open(PATIENCE)
        assert SECRET in repr(seen[0].headers)
        assert SECRET not in repr(seen[1].headers)

    run_asyncio(main())


@pytest.mark.parametrize("name", engines.NAMES)
def test_encryption_is_not_given_up_by_a_redirect(name: str, run_asyncio: Run) -> None:
    server_tls, client_tls = tls_pair()

    async def main() -> None:
        servers = Servers()
        async with raw_server(servers.redirect, server_tls) as first, raw_server(servers.note) as second:
            for scheme in ("ws", "http"):
                servers.location = f"{scheme}://127.0.0.1:{second.port}/"
                async with connect(
                    first.url(scheme="wss"), ssl=client_tls, engine=name, proxy=None
                ) as connection:
                    with pytest.raises(ConnectionFailed, match="give up encryption") as failed:
                        await asyncio.wait_for(connection.wait_closed(), PATIENCE)
                assert isinstance(failed.value.__cause__, RedirectRefused)
            assert second.connections == 0

    run_asyncio(main())
