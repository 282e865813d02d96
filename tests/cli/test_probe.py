"""`probe` finds what each kind of server suffers from, says so first, and shows no secret.

What is "hush" in these tests is a secret, wherever it stands.
"""

import argparse
import asyncio
import datetime
import json
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trustme
from tests.cli.program import finish, start
from tests.client.conftest import Watch, until
from tests.client.servers import talk, well_behaved
from tests.engines.peers import (
    CLOSE,
    PING,
    PONG,
    Handler,
    Peer,
    close_frame,
    frame,
    hang,
    http_proxy,
    raw_server,
    ws_server,
)

from websocket_heartbeat.cli import main as command_line
from websocket_heartbeat.cli import probe
from websocket_heartbeat.cli.probe.advice import known_cut, recommend
from websocket_heartbeat.cli.probe.report import Idle, Pings, Recommended, Report, shown_headers
from websocket_heartbeat.cli.probe.text import render
from websocket_heartbeat.server import Refusal, serve
from websocket_heartbeat.testing import FaultProxy

SLOW = 20.0
"""Seconds that suffice for anything on loopback."""


def run(main: Coroutine[Any, Any, None]) -> None:
    Watch().run(main, asyncio.run)


async def probed(url: str, *arguments: str, context: ssl.SSLContext | None = None) -> Report:
    """Probe a server on this loop; check what holds for every report."""
    parser = argparse.ArgumentParser()
    probe.add_arguments(parser)
    report = await probe.report_on(parser.parse_args([url, *arguments]), context)
    text = render(report)
    for shown in (text, json.dumps(report.document())):
        assert "hush" not in shown
    assert max(len(line) for line in text.splitlines() if "connect(" not in line) <= 80
    first = text.splitlines()
    assert first[0].startswith("Fine" if report.ok else "Not well")
    if report.problems:
        assert first[2].startswith(f"  problem: {report.problems[0][:20]}")
    return report


def only_problem(report: Report) -> str:
    """Return the problem, of which there is one; what comes after it was not tried."""
    (problem,) = report.problems
    return problem


def test_a_server_that_is_well_is_measured_stage_by_stage() -> None:
    async def main() -> None:
        async with serve() as server:
            report = await probed(server.url(), "--message", "heartbeat", "--pings", "7")
        assert report.ok
        assert report.notes == []
        assert list(report.opening.seconds) == ["dns", "tcp", "handshake"]
        assert all(0 < seconds < SLOW for seconds in report.opening.seconds.values())
        assert report.opening.connected_to == "127.0.0.1"
        assert report.opening.status == 101
        pings = report.pings
        assert pings is not None
        assert (pings.sent, pings.answered) == (7, 7)
        assert pings.min is not None
        assert pings.median is not None
        assert pings.max is not None
        assert pings.jitter is not None
        assert 0 < pings.min <= pings.median <= pings.max < SLOW
        assert 0 <= pings.jitter <= pings.max - pings.min
        message = report.message
        assert message is not None
        assert (message.answered, message.kind, message.bytes, message.unasked) == (True, "text", 9, 0)
        assert report.close is not None
        assert (report.close.answered, report.close.code) == (True, 1000)
        assert report.compression is False
        assert report.idle is None
        assert report.recommended is not None
        heartbeat = "heartbeat=Heartbeat(interval=15, timeout=5)"
        assert report.recommended.line == f'connect("{server.url()}", {heartbeat})'

    run(main())


def test_the_slower_the_round_trip_the_longer_the_recommended_timeout() -> None:
    async def slowly(peer: Peer) -> None:
        await peer.read_request()
        await asyncio.sleep(0.5)
        peer.write(peer.response())
        while (got := await peer.read_frame()).opcode != CLOSE:
            await asyncio.sleep(0.5)
            peer.write(frame(PONG, got.payload))
        peer.write(frame(CLOSE, got.payload))

    async def main() -> None:
        async with raw_server(slowly) as server:
            report = await probed(server.url(), "--pings", "2")
        assert report.pings is not None
        assert report.pings.min is not None
        assert report.pings.min >= 0.5
        assert report.opening.seconds["handshake"] >= 0.5
        assert report.recommended is not None
        assert 6 <= report.recommended.timeout <= 20  # 5 would be the least

    run(main())


# Opening


def test_a_name_that_does_not_exist_is_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    async def main() -> None:
        report = await probed("ws://nowhere.invalid/?hush")
        assert only_problem(report) == "DNS: the name does not resolve: name or service not known"
        assert report.verdict is not None
        assert not report.verdict.final
        assert report.opening.seconds == {}
        assert report.recommended is None

    run(main())


def test_an_address_that_fails_is_noted_though_another_one_works(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serve() as server:
            good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))
            bad = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", unused_port()))
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [bad, good])
            report = await probed(f"ws://two.invalid:{server.port}/")
        assert report.ok
        assert [entry.error is None for entry in report.opening.addresses] == [False, True]
        assert "127.0.0.1: refused" in report.notes[0]

    run(main())


def test_a_port_on_which_nobody_listens_is_the_problem() -> None:
    async def main() -> None:
        report = await probed(f"ws://user:hush@127.0.0.1:{unused_port()}/")
        assert only_problem(report).startswith("TCP: refused")
        assert list(report.opening.seconds) == ["dns"]

    run(main())


@pytest.mark.parametrize(("scheme", "stage"), [("ws", "handshake"), ("wss", "TLS")])
def test_a_black_hole_is_left_at_the_timeout_and_its_stage_named(scheme: str, stage: str) -> None:
    async def main() -> None:
        async with raw_server(hang) as server:
            report = await probed(server.url(scheme=scheme), "--timeout", "1")
        assert only_problem(report).startswith(f"{stage}: no answer within 1 s")
        assert report.verdict is not None
        assert not report.verdict.final

    run(main())


def test_headers_and_the_query_reach_the_server_but_not_the_report() -> None:
    seen: list[tuple[str, str | None, str | None]] = []

    def note(request: Any) -> None:
        seen.append((request.query, request.header("X-Token"), request.header("Authorization")))

    async def main() -> None:
        async with serve(on_handshake=note) as server:
            url = server.url("/feed?key=hush").replace("ws://", "ws://user:hush@")
            report = await probed(url, "--header", "X-Token: hush")
        assert report.ok
        assert report.recommended is not None
        assert report.recommended.line.startswith("connect(URL, ")
        assert "URL: as you gave it" in render(report)
        assert report.url == server.url("/feed?...")
        assert set(seen) == {("key=hush", "hush", "Basic dXNlcjpodXNo")}
        assert len(seen) == 3  # by stages, by the engine, with compression offered

    run(main())


def test_a_header_of_the_users_takes_the_place_of_ours() -> None:
    seen: list[list[str]] = []

    def note(request: Any) -> None:
        seen.append([value for name, value in request.headers if name.lower() == "host"])

    async def main() -> None:
        async with serve(on_handshake=note) as server:
            await probed(server.url(), "--header", "Host: example.com")
        assert seen[0] == ["example.com"]

    run(main())


@pytest.mark.parametrize(
    ("status", "headers", "final", "after", "hint"),
    [
        (503, {"Retry-After": "30"}, False, 30, "overloaded"),
        (401, {"WWW-Authenticate": 'Bearer realm="hush"'}, True, 0, "credentials"),
        (404, {}, True, 0, "nothing at this path"),
        (599, {}, False, 0, "refused with 599"),
    ],
)
def test_a_refusal_is_shown_with_its_status_its_headers_and_what_the_client_makes_of_it(
    status: int, headers: dict[str, str], final: bool, after: float, hint: str
) -> None:
    async def main() -> None:
        secrets = {"Set-Cookie": "sid=hush", "X-Anything": "hush", "Server": "nginx"}
        refusal = Refusal(status, {**headers, **secrets}, b"hush hush")
        async with serve(on_handshake=lambda _: refusal) as server:
            report = await probed(server.url())
        problem = only_problem(report)
        assert problem.startswith(f"handshake: refused with {status}")
        assert hint in problem
        assert report.verdict is not None
        assert (report.verdict.final, report.verdict.retry_after) == (final, after)
        assert report.opening.body_bytes == 9
        shown = dict(report.opening.headers)
        assert shown["Server"] == "nginx"
        assert shown["Set-Cookie"] == "(8 characters, not shown)"
        assert set(headers) <= set(shown)
        assert "Server: nginx" in render(report)
        assert report.pings is None

    run(main())


def test_redirects_are_followed_and_shown_without_their_query() -> None:
    def move(request: Any) -> Refusal | None:
        return Refusal(301, {"Location": "/new?token=hush"}) if request.path == "/" else None

    async def main() -> None:
        async with serve(on_handshake=move) as server:
            report = await probed(server.url())
        assert report.ok
        (redirect,) = report.opening.redirects
        assert (redirect.status, redirect.to) == (301, server.url("/new?..."))
        assert report.opening.status == 101

    run(main())


def test_redirects_in_a_circle_are_a_final_problem() -> None:
    async def main() -> None:
        refusal = Refusal(302, {"Location": "/?hush"})
        async with serve(on_handshake=lambda _: refusal) as server:
            report = await probed(server.url())
        assert "more than 5 redirects" in only_problem(report)
        assert report.verdict is not None
        assert report.verdict.final
        assert len(report.opening.redirects) == 5

    run(main())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-hush\r\n\r\n", "not a valid HTTP/1.1 response"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Hush: hush\r\n" * 2000, "not a valid HTTP/1.1 response"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "wss://"),
        (b"", "ended before the server answered"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "Accept"),
    ],
    ids=["no HTTP", "endless", "TLS", "nothing", "no key"],
)
def test_an_answer_that_is_no_websocket_is_the_problem_in_words(answer: bytes, words: str) -> None:
    async def speak(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.write(answer)
        peer.writer.close()

    async def main() -> None:
        async with raw_server(speak) as server:
            report = await probed(server.url())
        assert only_problem(report).startswith("handshake: ")
        assert words in only_problem(report)

    run(main())


def test_a_subprotocol_that_is_declined_is_a_problem_and_one_that_is_chosen_is_recommended() -> None:
    async def main() -> None:
        async with serve(subprotocols=["chat"]) as server:
            chosen = await probed(server.url(), "--subprotocol", "better", "--subprotocol", "chat")
            declined = await probed(server.url(), "--subprotocol", "other")
        assert chosen.ok
        assert chosen.opening.subprotocol == "chat"
        assert chosen.recommended is not None
        assert 'subprotocols=["chat"]' in chosen.recommended.line
        assert only_problem(declined).startswith("subprotocol: ")

    run(main())


def test_compression_is_found_by_offering_it_on_a_connection_of_its_own() -> None:
    offers: list[str] = []

    async def answer(peer: Peer) -> None:
        await peer.read_request()
        offers.append(peer.header("sec-websocket-extensions"))
        accepted = ["Sec-WebSocket-Extensions: permessage-deflate"] if offers[-1] else []
        peer.write(peer.response(*accepted))
        await well_behaved(peer)

    async def main() -> None:
        async with raw_server(answer) as server:
            report = await probed(server.url())
        assert report.ok
        assert report.compression is True
        assert offers == ["", "", "permessage-deflate; client_max_window_bits"]
        assert "compression=True" in render(report)

    run(main())


# TLS


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
        assert tls.expires[:10] in render(report)
        assert report.idle is not None
        assert (report.idle.cut, report.idle.spoke) == (False, 0)  # tickets of TLS are no words

    run(main())


def test_a_certificate_that_expires_soon_is_noted(authority: Authority) -> None:
    async def main() -> None:
        async with serve(ssl=certified(authority, days=3.5)) as server:
            report = await probed(server.url(), context=authority[1])
        assert report.ok
        assert report.notes == ["the certificate expires in 3 days"]

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


# Proxies


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


# Heartbeats


def answering(pings: bool, text: bytes | None) -> Handler:
    """A server that answers pings or not, and each text message with that, or not."""

    async def handler(peer: Peer) -> None:
        while True:
            got = await peer.read_frame()
            if got.opcode == CLOSE:
                peer.write(frame(CLOSE, got.payload))
                return
            if got.opcode == PING:
                if pings:
                    peer.write(frame(PONG, got.payload))
            elif text is not None:
                peer.write(frame(2, text))

    return handler


def test_a_server_without_pongs_is_a_problem_unless_it_answers_the_message() -> None:
    async def main() -> None:
        async with ws_server(answering(False, b"hush!!!")) as server:
            alone, helped = await asyncio.gather(
                probed(server.url(), "--timeout", "2"),
                probed(server.url(), "--timeout", "2", "--message", "hush?", "--idle", "0.3"),
            )
        assert "--message TEXT tries" in only_problem(alone)
        assert alone.recommended is None
        assert alone.pings is not None
        assert (alone.pings.sent, alone.pings.answered) == (1, 0)
        assert helped.ok
        assert helped.notes == ["pings of the protocol are not answered"]
        assert helped.message is not None
        assert (helped.message.kind, helped.message.bytes) == ("binary", 7)
        assert helped.recommended is not None
        assert helped.recommended.message
        assert "message=MESSAGE" in helped.recommended.line
        assert helped.idle is not None
        assert helped.idle.checked  # by the message

    run(main())


def test_a_message_that_is_not_answered_is_a_problem() -> None:
    async def main() -> None:
        async with ws_server(answering(True, None)) as server:
            report = await probed(server.url(), "--timeout", "2", "--message", "hush")
        assert only_problem(report) == "message: nothing came back within 2 s"
        assert report.recommended is not None
        assert not report.recommended.message

    run(main())


def test_an_answer_among_messages_that_come_anyway_is_told_as_doubtful() -> None:
    async def chatter(peer: Peer) -> None:
        feed = asyncio.create_task(talk(peer, 0.02, b"hush"))
        try:
            await answering(True, None)(peer)
        finally:
            feed.cancel()

    async def main() -> None:
        async with ws_server(chatter) as server:
            report = await probed(server.url(), "--message", "anybody?", "--idle", "1")
        assert report.message is not None
        assert report.message.answered
        assert report.message.unasked > 0
        assert "came unasked before" in render(report)
        assert report.idle is not None
        assert report.idle.spoke > 0  # so this was no silence

    run(main())


def test_a_server_that_closes_at_once_is_a_problem_with_its_code_and_words() -> None:
    async def dismiss(peer: Peer) -> None:
        peer.write(close_frame(4401, "log in \x1b[2Jfirst"))
        await peer.gone()

    async def main() -> None:
        async with ws_server(dismiss) as server:
            report = await probed(server.url())
        assert only_problem(report).startswith("the link was lost while in use: by the server, with 4401")
        assert "\x1b" not in render(report)
        assert "log in" in render(report)

    run(main())


def test_how_the_server_takes_a_close_frame_is_noted_if_it_is_not_with_1000() -> None:
    async def parted(at_close: Callable[[Peer], object]) -> Report:
        async def handler(peer: Peer) -> None:
            while (got := await peer.read_frame()).opcode != CLOSE:
                peer.write(frame(PONG, got.payload))
            at_close(peer)
            await peer.gone()

        async with ws_server(handler) as server:
            return await probed(server.url(), "--timeout", "2")

    async def main() -> None:
        reports = await asyncio.gather(
            parted(lambda peer: peer.write(close_frame(1001))),
            parted(lambda peer: peer.writer.close()),
            parted(lambda peer: None),
        )
        assert all(report.ok for report in reports)
        assert "answered with 1001" in reports[0].notes[0]
        assert "answered with no close frame" in reports[1].notes[0]
        assert "not answered within 2 s" in reports[2].notes[0]

    run(main())


# Idleness


def test_a_link_that_nobody_cuts_is_proved_alive_after_the_wait() -> None:
    async def main() -> None:
        async with serve() as server:
            report = await probed(server.url(), "--idle", "1")
        assert report.ok
        assert report.idle is not None
        assert 1 <= report.idle.seconds < SLOW
        assert (report.idle.cut, report.idle.checked, report.idle.spoke) == (False, True, 0)
        assert report.recommended is not None
        assert "no cut was seen within" in report.recommended.why[0]

    run(main())


def test_a_server_that_drops_silent_clients_is_timed_and_the_interval_kept_below() -> None:
    async def main() -> None:
        async with serve(idle_timeout=1.5) as server:
            report = await probed(server.url(), "--idle", "30")
        assert only_problem(report).startswith("idle: cut after ")
        assert report.idle is not None
        assert report.idle.how == "reset"
        assert 1.4 <= report.idle.silent_for < SLOW
        assert report.recommended is not None
        assert 0.7 <= report.recommended.interval <= report.idle.silent_for / 2 + 0.1

    run(main())


def test_who_cut_a_link_is_told_by_how_it_ended() -> None:
    """By how the peer or the road parts with the third connection, the one that idles."""

    async def parting(part: Callable[[FaultProxy, list[Peer]], None]) -> Report:
        peers: list[Peer] = []

        async def handler(peer: Peer) -> None:
            peers.append(peer)
            await well_behaved(peer)

        async with ws_server(handler) as server, FaultProxy("127.0.0.1", server.port) as road:
            probing = asyncio.create_task(probed(road.url(), "--idle", "30", "--timeout", "10"))
            await until(lambda: len(peers) == 4)
            await asyncio.sleep(0.7)
            part(road, peers)
            return await probing

    async def main() -> None:
        def close(road: FaultProxy, peers: list[Peer]) -> None:
            peers[-1].write(close_frame(1001, "idle for too long"))

        reports = await asyncio.gather(
            parting(lambda road, _: road.reset()), parting(lambda road, _: road.disconnect()), parting(close)
        )
        found = [report.idle for report in reports if report.idle is not None]
        assert [idle.how for idle in found] == ["reset", "end of file", "close frame"]
        assert (found[2].code, found[2].reason) == (1001, "idle for too long")
        assert "by the server, with 1001: idle for too long" in only_problem(reports[2])
        assert "gateway or firewall" in only_problem(reports[0])
        for idle in found:
            assert 0.6 <= idle.silent_for < SLOW

    run(main())


def test_a_link_that_is_forgotten_in_silence_is_found_dead_after_the_wait() -> None:
    async def main() -> None:
        opened: list[object] = []
        async with (
            serve(on_open=opened.append) as server,
            FaultProxy("127.0.0.1", server.port) as road,
        ):
            probing = asyncio.create_task(probed(road.url(), "--idle", "1.5", "--timeout", "2"))
            await until(lambda: len(opened) == 4)
            await asyncio.sleep(0.5)
            road.freeze()
            report = await probing
        assert only_problem(report).startswith("idle: cut in silence within")
        assert report.idle is not None
        assert (report.idle.how, report.idle.checked) == ("silence", True)
        assert report.recommended is not None
        assert 0.37 <= report.recommended.interval <= 0.8  # a quarter

    run(main())


def test_a_silence_that_a_known_gateway_ends_is_recognized() -> None:
    def after(seconds: float) -> str:
        return known_cut(Idle(seconds, True, silent_for=seconds, spoke=0)) or ""

    assert "nginx" in after(60.2)
    assert "Cloudflare" in after(100.1)
    assert after(59.9) == ""
    assert after(75) == ""


def test_what_is_recommended_follows_from_what_was_found() -> None:
    def found(idle: Idle | None = None, opening: float = 0.1) -> Recommended:
        report = Report("wss://example.com/\u4e2d", url_is_cut=False)
        report.opening.seconds = {"dns": opening / 2, "tcp": opening / 2}
        report.pings = Pings(1, 1, 0.8, 0.8, 0.8, 0)
        report.idle = idle
        made = recommend(report)
        assert made is not None
        return made

    def cut(after: float) -> Idle:
        return Idle(after, True, silent_for=after, spoke=0, how="reset")

    usual = found()
    assert (usual.interval, usual.timeout, usual.open_timeout) == (15, 8, None)
    assert usual.line.startswith('connect("wss://example.com/\u4e2d", ')
    assert found(cut(60)).interval == 15
    assert found(cut(10.3)).interval == 5.2
    assert found(cut(0.1)).interval == 15  # nobody could ping so often
    assert "no heartbeat helps" in found(cut(0.1)).why[0]
    assert found(opening=3).open_timeout == 12
    assert found(opening=3).line.endswith("open_timeout=12)")


# The program


def test_the_program_prints_one_json_object_or_text_and_tells_by_its_status() -> None:
    async def main() -> None:
        async with serve() as server:
            url = server.url("/?key=hush")
            fine, text = await asyncio.gather(
                asyncio.to_thread(finish, start("probe", url, "--json")),
                asyncio.to_thread(finish, start("probe", url)),
            )
        gone = await asyncio.to_thread(finish, start("probe", url, "--json"))
        assert (fine.status, fine.err) == (0, "")
        document = json.loads(fine.out)
        assert document["ok"] is True
        assert document["pings"]["answered"] == 5
        assert (text.status, text.err) == (0, "")
        assert text.out.startswith("Fine: ws://127.0.0.1:")
        assert (gone.status, gone.err) == (1, "")
        assert json.loads(gone.out)["problems"][0].startswith("TCP: refused")
        assert "hush" not in fine.out + text.out + gone.out

    run(main())


def test_neither_form_needs_rich_nor_other_engines() -> None:
    async def main() -> None:
        missing = (
            "import sys; sys.modules['rich'] = sys.modules['websockets'] = sys.modules['aiohttp'] = None"
        )
        async with serve() as server:
            programs = [start("probe", server.url(), *form, before=missing) for form in (["--json"], [])]
            for done in await asyncio.gather(*(asyncio.to_thread(finish, program) for program in programs)):
                assert (done.status, done.err) == (0, "")

    run(main())


def test_the_schema_in_the_help_names_every_key_of_the_document() -> None:
    help_text = probe.__doc__ or ""
    words = set(help_text.replace(",", " ").replace("(", " ").replace(")", " ").replace(";", " ").split())
    words = {word.rstrip(":") for word in words}
    assert set(Report("", False).document()) <= words


def test_ctrl_c_while_it_waits_shows_what_was_found_so_far() -> None:
    opened = asyncio.Event()
    count = 0

    def note(_: Any) -> None:
        nonlocal count
        count += 1
        if count == 4:
            opened.set()

    async def main() -> None:
        async with serve(on_open=note) as server:
            program = start("probe", server.url(), "--idle", "60")
            async with asyncio.timeout(30):
                await opened.wait()
            await asyncio.sleep(1)
            program.send_signal(signal.SIGINT)
            done = await asyncio.to_thread(finish, program)
        assert (done.status, done.err) == (130, "")
        assert done.out.startswith("Interrupted")
        assert "5 of 5 answered" in done.out
        assert "not cut within" in done.out

    run(main())


def test_on_a_terminal_what_is_done_is_told_in_one_line_and_nowhere_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with serve() as server:
            await probed(server.url(), "--idle", "0.5")
            assert capsys.readouterr().err == ""
            monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
            await probed(server.url(), "--idle", "1.4")
        told = capsys.readouterr().err.split("\r\x1b[K")
        assert "idle: 1 s left" in told
        assert "pings" in told
        assert max(map(len, told)) < 80

    run(main())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["http://user:hush@localhost/?hush"], ["URL", "ws://"]),
        (["ws://localhost", "--pings", "0"], ["--pings", "at least 1"]),
        (["ws://localhost", "--idle", "-1"], ["--idle", "'-1'"]),
        (["ws://localhost", "--timeout", "0"], ["--timeout", "'0'"]),
        (["ws://localhost", "--header", "hush"], ["--header", "NAME:VALUE"]),
        (["ws://localhost", "--subprotocol", "a b"], ["--subprotocol", "token"]),
        (["ws://localhost", "--proxy", "ftp://u:hush@h/"], ["--proxy", "http://"]),
        (["ws://localhost", "--message", "\udcff"], ["--message", "surrogates"]),
    ],
)
def test_a_wrong_argument_ends_it_with_status_2_and_shows_no_secret(
    arguments: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        command_line(["probe", *arguments])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert "hush" not in told
    for part in named:
        assert part in told


def test_of_headers_only_values_that_are_known_to_be_harmless_are_shown() -> None:
    given = [
        ("RETRY-AFTER", "3"),
        ("X-Auth", "hush"),
        ("Location", "https://user:hush@example.com/login?hush#hush"),
        ("Location", "http://[hush"),
        ("Proxy-Authenticate", "Basic hush"),
        ("WWW-Authenticate", "Negotiate"),
    ]
    assert shown_headers(given, "ws://example.com/") == [
        ("RETRY-AFTER", "3"),
        ("X-Auth", "(4 characters, not shown)"),
        ("Location", "https://example.com/login?..."),
        ("Location", "(unreadable URL)"),
        ("Proxy-Authenticate", "Basic ..."),
        ("WWW-Authenticate", "Negotiate"),
    ]


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
