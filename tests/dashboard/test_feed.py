"""What viewers are told: every connection of the process, why each died, and no more than they can take."""

import asyncio
import logging
import socket
import threading
from unittest.mock import Mock

import pytest
from tests.dashboard.viewer import viewing

from websocket_heartbeat import Backoff, Fleet, Heartbeat, State, connect, observer, sync
from websocket_heartbeat.dashboard.recorder import MOST_SHOWN, Recorder
from websocket_heartbeat.server import Peer, Refusal, serve, serve_dashboard
from websocket_heartbeat.testing import FaultProxy

QUICK = Backoff(initial=0.05, maximum=0.2)


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def test_a_connection_is_shown_with_its_beats_and_why_its_link_died_and_that_it_is_open_again() -> None:
    async def main() -> None:
        async with (
            serve_dashboard() as dashboard,
            viewing(dashboard.url) as viewer,
            serve() as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            connect(proxy.url(), heartbeat=Heartbeat(0.3, 0.5), backoff=QUICK, name="prices"),
        ):
            await viewer.until(
                lambda v: any(sample[2] for sample in v.lines.get("prices", {}).get("samples", ()))
            )
            assert sum(viewer.totals["states"].values()) == 2  # and that of the viewer, in this process too
            assert viewer.totals["peers"] == 1
            proxy.freeze()
            await viewer.until(lambda v: any(mark[1] == "lost" for mark in v.lines["prices"]["marks"]))
            lost = next(mark for mark in viewer.lines["prices"]["marks"] if mark[1] == "lost")
            assert lost[2].startswith("link 1 is gone: heartbeat timeout: nothing heard for ")
            assert lost[3] == "heartbeat_timeout"
            proxy.reset()
            proxy.thaw()
            await viewer.until(lambda v: v.lines["prices"]["marks"][-1][1] == "open")
            assert any(mark[1] == "retry" for mark in viewer.lines["prices"]["marks"])
            assert viewer.message["reasons"]["heartbeat_timeout"] == 1
            assert any(event.startswith("prices link 1 is gone: heartbeat") for event in viewer.events)

    asyncio.run(main())


def test_a_client_of_a_hub_is_shown_and_why_it_was_dropped_and_stays_for_a_while() -> None:
    async def main() -> None:
        peers: list[Peer] = []
        async with (
            serve_dashboard() as dashboard,
            viewing(dashboard.url) as viewer,
            serve(on_open=peers.append, idle_timeout=1) as server,
        ):
            silent = socket.create_connection(("127.0.0.1", server.port))
            silent.sendall(
                b"GET /orders?key=secret HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                b"Authorization: hidden\r\n\r\n"
            )
            await viewer.until(lambda v: "client 1" in v.lines)
            assert viewer.lines["client 1"]["where"] == "/orders from 127.0.0.1"
            await viewer.until(lambda v: any("silent for 1 s" in event for event in v.events))
            await viewer.until(lambda v: v.lines["client 1"]["gone"] is not None)
            assert viewer.lines["client 1"]["marks"][-1][3] == "idle_timeout"
            assert viewer.totals["peers"] == 0
            assert "secret" not in viewer.text
            assert "hidden" not in viewer.text
            silent.close()

    asyncio.run(main())


def test_what_was_there_before_the_dashboard_is_shown_but_not_what_had_ended() -> None:
    async def main() -> None:
        async with (
            serve() as server,
            FaultProxy("127.0.0.1", server.port) as proxy,
            Fleet() as fleet,
            connect(proxy.url(), backoff=QUICK, name="alone") as alone,
        ):
            fleet.add(connect(server.url(), name="of a fleet"))
            ended = connect(server.url(), name="ended")
            async with ended:
                await ended.wait_open()
            with sync.connect(server.url(), name="blocking") as blocking:
                await asyncio.to_thread(blocking.wait_open)
                await alone.wait_open()
                async with serve_dashboard() as dashboard, viewing(dashboard.url) as viewer:
                    await viewer.until(lambda v: v.totals.get("peers") == 3)
                    open_at_last = 4  # with that of the viewer
                    await viewer.until(lambda v: v.totals["states"].get("open") == open_at_last)
                    assert viewer.lines.keys() >= {"alone", "of a fleet", "blocking"}
                    assert "ended" not in viewer.text
                    assert viewer.lines["alone"]["since"] is None
                    clients = [line for name, line in viewer.lines.items() if name.startswith("client ")]
                    assert [line["since"] > 0 for line in clients] == [True] * 3
                    assert not viewer.totals["came"]
                    proxy.reset()
                    await viewer.until(
                        lambda v: [mark[1] for mark in v.lines["alone"]["marks"]] == ["lost", "retry", "open"]
                    )

    asyncio.run(main())


def test_viewers_are_not_among_the_clients_that_are_shown_and_measured() -> None:
    async def main() -> None:
        async with (
            serve_dashboard() as dashboard,
            serve_dashboard() as other,
            viewing(dashboard.url) as before,
            viewing(other.url) as first,
            serve_dashboard() as later,
            viewing(later.url) as second,
        ):
            viewers = [before, first, second]
            for viewer in viewers:
                await viewer.until(lambda v: v.message.get("kind") == "second")
            assert [peer for hub in observer.hubs for peer in hub.peers()] == []
            for viewer in viewers:
                assert viewer.totals["peers"] == 0
                assert not [name for name in viewer.lines if name.startswith("client")]
                assert not [event for event in viewer.events if event.startswith("client")]

    asyncio.run(main())


def test_of_more_connections_than_lines_those_with_trouble_come_first_and_all_are_counted() -> None:
    crowd = MOST_SHOWN + 50

    async def main() -> None:
        peers: list[Peer] = []
        async with (
            serve_dashboard() as dashboard,
            viewing(dashboard.url) as viewer,
            serve(on_open=peers.append) as server,
        ):
            links = [connect(server.url(), heartbeat=Heartbeat(30), backoff=QUICK) for _ in range(crowd)]
            for link in links:
                link.start()
            await viewer.until(lambda v: v.totals.get("peers") == crowd)
            assert len(viewer.message["lines"]) == MOST_SHOWN
            victim = peers[-1]
            victim.abort()
            await viewer.until(lambda v: f"client {victim.id}" in v.lines)
            await viewer.until(
                lambda v: v.totals["states"].get("open") == crowd + 1
            )  # it is back; and the viewer
            assert len(viewer.message["lines"]) == MOST_SHOWN
            assert f"client {victim.id}" in list(viewer.lines)[:3]
            await asyncio.gather(*(link.close() for link in links))

    asyncio.run(main())


def test_blocking_connections_and_their_threads_are_shown_too() -> None:
    async def main() -> None:
        async with serve_dashboard() as dashboard, viewing(dashboard.url) as viewer, serve() as server:
            has_seen = threading.Event()

            def work() -> None:
                with sync.connect(server.url(), name="worker") as connection:
                    connection.wait_open()
                    has_seen.wait(30)

            working = asyncio.create_task(asyncio.to_thread(work))
            await viewer.until(
                lambda v: "worker" in v.lines and v.lines["worker"]["samples"][-1][0] == "open"
            )
            has_seen.set()
            await working
            await viewer.until(lambda v: "worker" in v.lines and v.lines["worker"]["gone"] is not None)

    asyncio.run(main())


def test_a_connection_that_nobody_holds_is_not_kept_and_what_has_ended_leaves_no_trace() -> None:
    async def main() -> None:
        async with serve_dashboard() as dashboard, viewing(dashboard.url) as viewer, serve() as server:
            async with connect(server.url(), name="short") as connection:
                await connection.wait_open()
                await viewer.until(lambda v: "short" in v.lines)
            await viewer.until(lambda v: v.lines["short"]["gone"] is not None)
            await viewer.until(lambda v: "short" not in v.lines)  # some seconds later

    asyncio.run(main())


def test_it_is_said_why_a_connection_has_failed_for_good() -> None:
    async def main() -> None:
        async with (
            serve_dashboard() as dashboard,
            viewing(dashboard.url) as viewer,
            serve(on_handshake=lambda request: Refusal(401)) as server,
        ):
            connection = connect(server.url(), name="refused")
            connection.start()
            await viewer.until(lambda v: v.lines.get("refused", {}).get("gone") is not None)
            mark = viewer.lines["refused"]["marks"][-1]
            assert mark[2] == "failed for good: the server rejected the handshake with HTTP status 401"
            assert mark[3] == "401"
            assert connection.state is State.FAILED

    asyncio.run(main())


def test_what_has_ended_keeps_its_name_and_its_url() -> None:
    async def main() -> None:
        async with serve_dashboard() as dashboard, viewing(dashboard.url) as viewer, serve() as server:
            url = server.url("/short")
            async with connect(url) as connection:
                await connection.wait_open()
                await viewer.until(lambda v: any(line["where"] == url for line in v.lines.values()))
                name = next(line["name"] for line in viewer.lines.values() if line["where"] == url)
            del connection
            await viewer.until(lambda v: v.lines[name]["gone"] is not None)
            assert name.startswith("connection ")
            assert viewer.lines[name]["where"] == url
            assert f"{name} link 1 is open" in viewer.events

    asyncio.run(main())


def test_of_a_line_that_is_shown_no_more_nothing_of_its_past_is_kept_or_drawn_later() -> None:
    recorder = Recorder()
    peers = [
        Mock(id=n, since=0.0, closed=False, silent_for=0.0, latency=None, buffered=0)
        for n in range(MOST_SHOWN + 1)
    ]
    for peer in peers:
        peer.request = Mock(shown="/", remote_address=None)
    for peer in peers[:MOST_SHOWN]:
        recorder.peer_came(peer)
    first = recorder.second().shown[0][0]
    assert first.samples
    recorder.peer_came(peers[-1])
    for peer in peers[1:]:
        peer.close_reason = ""
        recorder.peer_gone(peer, None, "connection_lost")
        recorder.peer_came(peer)
    assert first not in [line for line, _ in recorder.second().shown]
    assert first.samples is None


def test_nothing_is_recorded_where_there_is_no_dashboard() -> None:
    async def main() -> None:
        counts = [len(observer.observers)]
        async with serve_dashboard():
            counts.append(len(observer.observers))
        assert [*counts, len(observer.observers)] == [0, 1, 0]

    asyncio.run(main())
