"""`probe`: how a server answers pings, messages and close frames."""

import asyncio
from collections.abc import Callable

from tests.cli.probe.running import only_problem, probed, run
from tests.client.servers import talk
from tests.engines.peers import CLOSE, PING, PONG, Handler, Peer, close_frame, frame, ws_server

from websocket_heartbeat.cli.probe.report import Report
from websocket_heartbeat.cli.probe.text import render


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
                probed(server.url(), "--timeout", "2", "--heartbeat", "hush?", "--idle", "0.3"),
            )
        assert "--heartbeat TEXT tries" in only_problem(alone)
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
            report = await probed(server.url(), "--timeout", "2", "--heartbeat", "hush")
        assert only_problem(report) == "message: nothing came back within 2 s"
        assert report.recommended is not None
        assert not report.recommended.message

    run(main())


def test_a_server_that_answers_no_ping_while_it_works_is_noted_and_gets_a_longer_timeout() -> None:
    async def main() -> None:
        async def busy(peer: Peer) -> None:
            while (got := await peer.read_frame()).opcode != CLOSE:
                if got.opcode == PING:
                    peer.write(frame(PONG, got.payload))
                else:
                    await asyncio.sleep(0.7)  # and reads nothing meanwhile
                    peer.write(frame(1, b"done"))
            peer.write(close_frame(1000))

        async with ws_server(busy) as server:
            report = await probed(server.url(), "--heartbeat", "work")
        assert report.ok
        (note,) = report.notes
        assert "answers none while it works" in note
        assert report.message is not None
        assert report.message.pong is not None
        assert report.message.pong >= 0.7
        assert report.recommended is not None
        assert "timeout=5" not in report.recommended.line

    run(main())


def test_a_server_that_answers_pings_while_it_works_is_not_noted() -> None:
    async def main() -> None:
        async def work(peer: Peer) -> None:
            await asyncio.sleep(0.7)
            peer.write(frame(1, b"done"))

        async def busy(peer: Peer) -> None:
            async with asyncio.TaskGroup() as group:
                while (got := await peer.read_frame()).opcode != CLOSE:
                    if got.opcode == PING:
                        peer.write(frame(PONG, got.payload))
                    else:
                        group.create_task(work(peer))
                peer.write(close_frame(1000))

        async with ws_server(busy) as server:
            report = await probed(server.url(), "--heartbeat", "work")
        assert report.ok
        assert report.notes == []
        assert report.message is not None
        assert report.message.answered

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
            report = await probed(server.url(), "--heartbeat", "anybody?", "--idle", "1")
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


def test_a_close_frame_without_a_code_is_told_as_one() -> None:
    async def dismiss(peer: Peer) -> None:
        peer.write(frame(CLOSE, b""))
        await peer.gone()

    async def main() -> None:
        async with ws_server(dismiss) as server:
            report = await probed(server.url())
        assert only_problem(report) == "the link was lost while in use: by the server, with no code"

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
            parted(lambda peer: peer.write(frame(CLOSE, b""))),
        )
        assert all(report.ok for report in reports)
        assert "answered with 1001" in reports[0].notes[0]
        assert "answered with no close frame" in reports[1].notes[0]
        assert "not answered within 2 s" in reports[2].notes[0]
        assert "answered with a close frame without a code" in reports[3].notes[0]
        rendered = " ".join(render(reports[3]).split())
        assert "1000 was answered with a close frame without a code after" in rendered
        assert "1000 was answered with the end of the stream after" in " ".join(render(reports[1]).split())

    run(main())
