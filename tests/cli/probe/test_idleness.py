"""`probe`: who cuts a silent link, and what is recommended for it."""

import asyncio
from collections.abc import Callable

from tests.cli.probe.running import SLOW, only_problem, probed, run
from tests.client.servers import well_behaved
from tests.engines.peers import CLOSE, PONG, Peer, close_frame, frame, hang, ws_server
from tests.watch import until

from websocket_heartbeat.cli.probe.advice import known_cut, recommend
from websocket_heartbeat.cli.probe.report import Idle, Pings, Recommended, Report
from websocket_heartbeat.server import serve
from websocket_heartbeat.testing import FaultProxy


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
    async def drops_the_silent(peer: Peer) -> None:
        try:
            while (got := await peer.read_frame(patience=1.5)).opcode != CLOSE:
                peer.write(frame(PONG, got.payload))
            peer.write(frame(CLOSE, got.payload))
        except TimeoutError:
            peer.reset()

    async def main() -> None:
        async with ws_server(drops_the_silent) as server:
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
            parting(lambda road, _: road.reset()),
            parting(lambda road, _: road.disconnect()),
            parting(close),
            parting(lambda _, peers: peers[-1].write(frame(CLOSE, b""))),
        )
        found = [report.idle for report in reports if report.idle is not None]
        assert [idle.how for idle in found] == ["reset", "end of file", "close frame", "close frame"]
        assert (found[2].code, found[2].reason) == (1001, "idle for too long")
        assert "by the server, with 1001: idle for too long" in only_problem(reports[2])
        assert "by the server, with no code" in only_problem(reports[3])
        assert "gateway or firewall" in only_problem(reports[0])
        for idle in found:
            assert 0.6 <= idle.silent_for < SLOW

    run(main())


def test_a_link_that_is_forgotten_in_silence_is_found_dead_after_the_wait() -> None:
    peers: list[Peer] = []

    async def forgets_the_idle_one(peer: Peer) -> None:
        peers.append(peer)
        await (hang if len(peers) == 4 else well_behaved)(peer)

    async def main() -> None:
        async with ws_server(forgets_the_idle_one) as server:
            report = await probed(server.url(), "--idle", "1.5", "--timeout", "2")
        assert only_problem(report).startswith("idle: cut in silence within")
        assert report.idle is not None
        assert (report.idle.how, report.idle.checked) == ("silence", True)
        assert report.recommended is not None
        assert 0.37 <= report.recommended.interval <= 0.8  # a quarter
        assert [(trial.heartbeat, trial.cut) for trial in report.trials] == [("ping", False)]

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
