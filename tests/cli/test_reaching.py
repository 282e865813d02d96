"""`connect` and `probe` reach servers behind credentials, certificates, proxies and Unix sockets."""

import asyncio
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.cli.program import Result, finish, start
from tests.cli.tmux import screen
from tests.engines.peers import http_proxy, raw_server
from tests.watch import Watch

from websocket_heartbeat.server import Refusal, Request, serve


def run(main: Coroutine[Any, Any, None]) -> None:
    Watch().run(main, asyncio.run)


async def ended(*arguments: str) -> Result:
    """Run a command to its end; what is "hush" in these tests is a secret, which it must not show."""
    done = await asyncio.to_thread(finish, start(*arguments))
    assert "hush" not in done.out + done.err
    assert "Traceback" not in done.err
    return done


async def connected(url: str, *arguments: str) -> Result:
    """Send a message and print what comes."""
    return await ended("connect", url, "-x", "hello", "--wait", "0.5", *arguments)


class Pki:
    """An authority, the certificate of a server of it, and that of a client, as files."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self._authority.cert_pem.write_to_path(self.ca)
        ours = self._authority.issue_cert("client")
        self.both = str(folder / "both.pem")
        ours.private_key_and_cert_chain_pem.write_to_path(self.both)
        self.key = str(folder / "key.pem")
        ours.private_key_pem.write_to_path(self.key)
        self.cert = str(folder / "cert.pem")
        ours.cert_chain_pems[0].write_to_path(self.cert)

    def server(self, *, wants_certificate: bool = False) -> ssl.SSLContext:
        """Return the context of a server at 127.0.0.1."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        if wants_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            self._authority.configure_trust(context)
        return context


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def test_header_fields_origin_credentials_and_subprotocols_reach_the_server() -> None:
    seen: list[list[str | None]] = []
    names = ("X-Token", "Host", "Origin", "Authorization", "Sec-WebSocket-Protocol")

    def note(request: Request) -> None:
        seen.append([request.header(name) for name in names])

    options = ["-H", "X-Token: hush", "--header", "Host: example.com", "-s", "a", "-s", "b"]
    options += ["--origin", "https://page.example", "--auth", "me:hush"]

    async def main() -> None:
        async with serve(on_handshake=note, origins=None, subprotocols=["b"]) as server:
            done = await connected(server.url("/?hush"), *options)
            probed = await ended("probe", server.url("/?hush"), *options)
        assert (done.status, done.out) == (0, "hello\n")
        assert "subprotocol b" in done.err
        assert probed.status == 0
        wanted = ["hush", "example.com", "https://page.example", "Basic bWU6aHVzaA==", "a, b"]
        assert all(fields == wanted for fields in seen)

    run(main())


@pytest.mark.timeout(300)
def test_a_password_that_is_left_out_is_asked_for(tmp_path: Path) -> None:
    seen: list[str | None] = []

    async def main() -> None:
        async with (
            serve(on_handshake=lambda request: seen.append(request.header("Authorization"))) as server,
            screen(tmp_path, "connect", server.url(), "--auth", "me") as shown,
        ):
            await shown.seen("Password:")
            await shown.enter("hush")
            await shown.seen("link 1 is open")
            assert "hush" not in await shown.text()
        assert seen == ["Basic bWU6aHVzaA=="]

    run(main())


def test_an_authority_of_ones_own_is_trusted_and_whatever_there_is_only_when_asked_for(pki: Pki) -> None:
    async def main() -> None:
        async with serve(ssl=pki.server()) as server:
            distrusting = await connected(server.url(), "--retries", "0")
            trusting = await connected(server.url(), "--ca", pki.ca)
            careless = await connected(server.url(), "-k")
            probed = [await ended("probe", server.url(), *how) for how in (("--ca", pki.ca), ("-k",))]
        assert distrusting.status == 1
        assert "certificate" in distrusting.err
        assert (trusting.status, trusting.out) == (0, "hello\n")
        assert (careless.status, careless.out) == (0, "hello\n")
        assert [done.status for done in probed] == [0, 0]
        assert "not verified" in probed[1].out
        assert "expires" not in probed[1].out

    run(main())


def test_a_certificate_of_ours_is_shown_to_the_server(pki: Pki) -> None:
    async def main() -> None:
        async with serve(ssl=pki.server(wants_certificate=True)) as server:
            both = await connected(server.url(), "--ca", pki.ca, "--cert", pki.both)
            apart = await connected(server.url(), "--ca", pki.ca, "--cert", pki.cert, "--key", pki.key)
            none = await connected(server.url(), "--ca", pki.ca, "--retries", "0")
        assert (both.status, both.out) == (apart.status, apart.out) == (0, "hello\n")
        assert none.status == 1

    run(main())


def test_a_proxy_is_gone_through() -> None:
    async def main() -> None:
        async with serve() as server, raw_server(http_proxy("user:hush")) as proxy:
            done = await connected(server.url(), "--proxy", f"http://user:hush@127.0.0.1:{proxy.port}")
        assert (done.status, done.out) == (0, "hello\n")
        assert proxy.connections == 1

    run(main())


def test_a_unix_socket_is_connected_to(tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def main() -> None:
        async with serve(unix_path=path):
            done = await connected("localhost", "--unix", str(path))
        assert (done.status, done.out) == (0, "hello\n")

    run(main())


def test_compression_is_offered_where_it_is_asked_for() -> None:
    offers: list[str | None] = []

    def refuse(request: Request) -> Refusal:
        offers.append(request.header("Sec-WebSocket-Extensions"))
        return Refusal(403)

    async def main() -> None:
        async with serve(on_handshake=refuse, compression=True) as server:
            await connected(server.url())
            await connected(server.url(), "--compression")
        assert offers[0] is None
        assert (offers[1] or "").startswith("permessage-deflate")

    run(main())
