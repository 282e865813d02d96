"""`probe` tells a server that demands heartbeats, whatever it sends itself, from one that cuts idle links."""

import asyncio
from collections.abc import Collection

from tests.cli.probe.running import probed, run
from tests.client.servers import alongside, talk
from tests.engines.peers import CLOSE, PING, PONG, TEXT, Handler, Peer, close_frame, frame, ws_server

from websocket_heartbeat.cli.probe.report import Report
from websocket_heartbeat.cli.probe.text import render

PATIENCE = 1.2
"""Seconds of silence that these servers bear."""


def demanding(counted: Collection[int], *, pushes: bool = False) -> Handler:
    """A server that parts with whoever sends none of the counted frames for PATIENCE."""

    async def listen(peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    got = await peer.read_frame()
                if got.opcode in counted:
                    deadline = loop.time() + PATIENCE
                if got.opcode == PING:
                    peer.write(frame(PONG, got.payload))
                elif got.opcode == CLOSE:
                    peer.write(frame(CLOSE, got.payload))
                    return
                elif not pushes:
                    peer.write(frame(TEXT, got.payload))
        except TimeoutError:
            peer.write(close_frame(4000, "no heartbeat"))

    async def handler(peer: Peer) -> None:
        if pushes:
            await alongside(peer, listen, lambda peer: talk(peer, 0.05, b"hush"))
        else:
            await listen(peer)
        await peer.gone()

    return handler


async def found(handler: Handler, *arguments: str) -> Report:
    async with ws_server(handler) as server:
        report = await probed(server.url(), "--idle", "30", "--pings", "1", *arguments)
    assert report.idle is not None
    assert report.idle.cut
    return report


def tried(report: Report) -> list[tuple[str, bool]]:
    """Name the heartbeats that were tried, and whether the link was cut all the same."""
    return [(trial.heartbeat, trial.cut) for trial in report.trials]


def test_what_a_server_demands_is_found_by_trying_it() -> None:
    async def main() -> None:
        say = ("--heartbeat", "hush, ping")
        feed, feed_by_ping, feed_alone, idle, idle_by_message, lifetime = await asyncio.gather(
            found(demanding({TEXT}, pushes=True), *say),
            found(demanding({TEXT, PING}, pushes=True), *say),
            found(demanding({TEXT}, pushes=True)),
            found(demanding({TEXT, PING}), *say),
            found(demanding({TEXT}), *say),
            found(demanding(()), *say),
        )
        for report in (feed, feed_by_ping, feed_alone):
            assert report.idle is not None
            assert report.idle.one_sided
            assert "though the server kept sending: it wants to hear from us" in report.problems[0]
        for report in (idle, idle_by_message, lifetime):
            assert report.idle is not None
            assert not report.idle.one_sided
            assert "kept sending" not in report.problems[0]

        assert tried(feed) == [("ping", True), ("message", False)]
        assert tried(feed_by_ping) == [("ping", False)]
        assert tried(feed_alone) == [("ping", True)]
        assert tried(idle) == [("ping", False)]
        assert tried(idle_by_message) == [("ping", True), ("message", False)]
        assert tried(lifetime) == [("ping", True), ("message", True)]

        for report, by_message in (
            (feed, True),
            (feed_by_ping, False),
            (idle, False),
            (idle_by_message, True),
        ):
            assert report.recommended is not None
            assert report.recommended.message is by_message
            assert ("message=MESSAGE" in report.recommended.line) is by_message
            assert 0.4 <= report.recommended.interval <= PATIENCE / 2 + 0.2
            assert any("was not cut with" in why for why in report.recommended.why)
        assert any("--heartbeat TEXT tries" in problem for problem in feed_alone.problems)
        assert any("no heartbeat that was tried helps" in problem for problem in lifetime.problems)
        for report in (feed_alone, lifetime):
            assert report.recommended is not None
            assert any(
                "which are answered; the link was cut all the same" in w for w in report.recommended.why
            )

        shown = " ".join(render(feed).split())
        assert "by pings one every 0." in shown
        assert "s: cut after 1." in shown
        assert "by messages one every 0." in shown
        assert "s: not cut within 1." in shown

    run(main())


def test_a_server_that_spoke_at_first_and_then_cuts_an_idle_link_demands_nothing() -> None:
    async def greet(peer: Peer) -> None:
        peer.write(frame(TEXT, b"hush"))
        await demanding({TEXT, PING})(peer)

    async def main() -> None:
        report = await found(greet)
        assert report.idle is not None
        assert not report.idle.one_sided
        assert tried(report) == [("ping", False)]

    run(main())
