"""`probe`: each stage of the opening is measured, and the one that fails is the problem."""

import argparse
import asyncio
import socket
from typing import Any

import pytest
from tests.cli.probe.running import SLOW, only_problem, probed, run, unused_port
from tests.client.servers import well_behaved
from tests.engines.peers import CLOSE, PONG, Peer, frame, hang, raw_server
from tests.watch import until

from websocket_heartbeat.cli import probe
from websocket_heartbeat.cli.probe.report import Report
from websocket_heartbeat.cli.probe.text import render
from websocket_heartbeat.engines.base import LinkEvents, OpenRequest
from websocket_heartbeat.engines.websockets import WebsocketsEngine
from websocket_heartbeat.server import Refusal, serve


def test_a_server_that_is_well_is_measured_stage_by_stage() -> None:
    async def main() -> None:
        async with serve() as server:
            report = await probed(server.url(), "--heartbeat", "heartbeat", "--pings", "7")
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
        (503, {}, False, 0, "overloaded"),
        (400, {}, True, 0, "Does it want TLS on this port (wss://)?"),
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
        assert "(a body of 9 bytes, not shown: connect shows its first line)" in render(report)
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
        (b"SSH-2.0-hush\r\n", "not a valid HTTP/1.1 response"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Hush: hush\r\n" * 2000, "not a valid HTTP/1.1 response"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "wss://"),
        (b"", "ended before the server answered: does the server want TLS"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "Accept"),
    ],
    ids=["no HTTP", "endless", "TLS", "nothing", "no key"],
)
def test_an_answer_that_is_no_websocket_is_the_problem_in_words(answer: bytes, words: str) -> None:
    async def speak(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.write(answer)
        if not answer.startswith(b"SSH"):  # whose server waits for an answer
            peer.writer.close()
        await peer.gone()

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


def test_a_link_that_opens_as_the_probe_is_interrupted_is_not_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = WebsocketsEngine.open

    async def open_and_linger(self: WebsocketsEngine, request: OpenRequest, events: LinkEvents) -> None:
        await original(self, request, events)
        tasks[0].cancel()
        await asyncio.sleep(SLOW)

    async def main() -> None:
        monkeypatch.setattr(WebsocketsEngine, "open", open_and_linger)
        async with serve() as server:
            tasks.append(asyncio.create_task(probe.report_on(parser.parse_args([server.url()]), None)))
            report = await tasks[0]
            assert report.interrupted
            await until(lambda: not server.connections)

    parser = argparse.ArgumentParser()
    probe.add_arguments(parser)
    tasks: list[asyncio.Task[Report]] = []
    run(main())
