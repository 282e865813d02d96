"""`probe`: what TLS, certificates and proxies make of the opening."""

import datetime
import ssl

import pytest
import trustme
from tests.cli.probe.running import only_problem, probed, run
from tests.engines.peers import Peer, http_proxy, raw_server

from websocket_heartbeat.cli.probe.text import render
from websocket_heartbeat.server import serve

Authority = tuple[trustme.CA, ssl.SSLContext]


@pytest.fixture(scope="module")
def authority() -> Authority:
    made = trustme.CA()
    trusting = ssl.create_default_context()
    made.configure_trust(trusting)
    return made, trusting


def certified(authority: Authority, name: str = "127.0.0.1", days: float = 100) -> ssl.SSLContext:
    """Return a server's context whose certificate expires in so many days."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    authority[0].issue_cert(name, not_after=expires).configure_cert(context)
    return context


def test_of_tls_the_version_the_time_and_the_expiry_are_told(authority: Authority) -> None:
    async def main() -> None:
        async with serve(ssl=certified(authority)) as server:
            report = await probed(server.url(), "--idle", "0.5", context=authority[1])
        assert report.ok
        assert list(report.opening.seconds) == ["dns", "tcp", "tls", "handshake"]
        tls = report.opening.tls
        assert tls is not None
        assert tls.version.startswith("TLSv1.")
        assert tls.days_left in (99, 100)
        assert "trustme" in tls.issuer
        assert tls.expires is not None
        assert tls.expires[:10] in render(report)
        assert report.idle is not None
        assert (report.idle.cut, report.idle.spoke) == (False, 0)  # tickets of TLS are no words

    run(main())


@pytest.mark.parametrize(("days", "words"), [(3.5, "3 days"), (1.5, "1 day")])
def test_a_certificate_that_expires_soon_is_noted(authority: Authority, days: float, words: str) -> None:
    async def main() -> None:
        async with serve(ssl=certified(authority, days=days)) as server:
            report = await probed(server.url(), context=authority[1])
        assert report.ok
        assert report.notes == [f"the certificate expires in {words}"]

    run(main())


@pytest.mark.parametrize(
    ("name", "days", "trusted", "words"),
    [
        ("127.0.0.1", 100.0, False, "does not know its authority"),
        ("127.0.0.1", -1.0, True, "must be renewed"),
        ("example.com", 100.0, True, "no certificate for this address"),
    ],
    ids=["untrusted", "expired", "another name"],
)
def test_a_certificate_that_does_not_verify_is_a_final_problem_in_words(
    authority: Authority, name: str, days: float, trusted: bool, words: str
) -> None:
    async def main() -> None:
        context = authority[1] if trusted else None
        async with serve(ssl=certified(authority, name, days)) as server:
            report = await probed(server.url(), context=context)
        assert only_problem(report).startswith("TLS: the certificate does not verify")
        assert words in only_problem(report)
        assert ".:" not in only_problem(report)
        assert report.verdict is not None
        assert report.verdict.final
        assert list(report.opening.seconds) == ["dns", "tcp"]

    run(main())


def test_a_plain_server_under_wss_is_told_from_a_bad_certificate() -> None:
    async def speak_plainly(peer: Peer) -> None:
        await peer.reader.read(5)
        peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    async def main() -> None:
        async with raw_server(speak_plainly) as server:
            report = await probed(server.url(scheme="wss"))
        assert "does not speak TLS on this port" in only_problem(report)
        assert report.verdict is not None
        assert not report.verdict.final

    run(main())


def test_through_a_proxy_its_time_stands_for_dns_and_tcp() -> None:
    async def main() -> None:
        async with serve() as server, raw_server(http_proxy("user:hush")) as proxy:
            report = await probed(server.url(), "--proxy", f"http://user:hush@127.0.0.1:{proxy.port}")
        assert report.ok
        assert list(report.opening.seconds) == ["proxy", "handshake"]
        assert report.opening.proxy == f"http://127.0.0.1:{proxy.port}"
        assert proxy.connections == 3

    run(main())


def test_a_proxy_that_refuses_is_the_problem() -> None:
    async def main() -> None:
        async with raw_server(http_proxy("user:hush")) as proxy:
            report = await probed("ws://127.0.0.1:1/", "--proxy", f"http://127.0.0.1:{proxy.port}")
        assert only_problem(report).startswith("proxy: ")
        assert "407" in only_problem(report)

    run(main())
