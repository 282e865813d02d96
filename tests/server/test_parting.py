"""A back end parts from its peers politely, within bounds, or at once."""

import asyncio
import re
import socket
import time

import pytest
import websockets
from tests.server.raw import CLOSE, PING, TEXT, Closes, client, connect, reluctant
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat.client.retry import retry_hint
from websocket_heartbeat.errors import ServerClosed
from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Peer, Server, serve

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def test_clients_are_sent_away_with_hints_that_spread_them_evenly(run: Run) -> None:
    async def main() -> None:
        async with serve() as server:
            clients = [await websockets.connect(server.url()) for _ in range(20)]
            await server.send_away(over=50)
            assert server.connections == ()
            reasons = []
            for ws in clients:
                await ws.wait_closed()
                assert ws.close_code == 1012
                assert ws.close_reason is not None
                reasons.append(ws.close_reason)
            assert all(re.fullmatch(r"restarting; retry-after=\d+(\.\d+)?", reason) for reason in reasons)
            hints = [retry_hint(ServerClosed(1012, reason)) for reason in reasons]
            assert sorted(hints) == [1.25 + 2.5 * slot for slot in range(20)]
            assert hints != sorted(hints)
            # The server goes on: who comes back is let in.
            async with websockets.connect(server.url()) as ws:
                await ws.send("back")
                assert await ws.recv() == "back"

    run(main())


def test_sending_away_takes_a_code_and_a_reason_of_ones_own(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, websockets.connect(server.url()) as ws:
            await server.send_away(over=0, code=4000, reason="")
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (4000, "retry-after=0")

    run(main())


def test_nobody_is_sent_away_by_a_wrong_call(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server):
            with pytest.raises(ValueError, match=r"over must be from 0 to .* not -1"):
                await server.send_away(-1)
            with pytest.raises(ValueError, match=r"over must be from 0 to .* not nan"):
                await server.send_away(float("nan"))
            with pytest.raises(ValueError, match=r"code must be a close code .* not 1006"):
                await server.send_away(1, code=1006)
            with pytest.raises(TypeError, match="reason must be a str, not NoneType"):
                await server.send_away(1, reason=None)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="reason must be at most 123 bytes of UTF-8, not 1"):
                await server.send_away(1, reason="é" * 60)
            assert len(server.connections) == 1
        async with serve() as server:
            with pytest.raises(ValueError, match="reason must be at most 123 bytes"):
                await server.send_away(1, reason="x" * 124)

    run(main())


def test_a_peer_that_does_not_answer_a_close_is_dropped_in_time(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(on_close=closes, close_timeout=0.3) as server, client(server) as raw:
            begun = time.monotonic()
            parting = asyncio.create_task(server.send_away(over=1))
            assert await raw.close_code() == 1012
            await parting
            assert 0.25 < time.monotonic() - begun < 5
            assert await raw.end() == "reset"
        assert closes.seen == [(1, None, "did not answer the close frame in time")]

    run(main())


def test_a_peer_that_was_asked_to_go_has_its_time_to_answer_though_it_was_silent(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with (
            serve(on_close=closes, idle_timeout=0.2, close_timeout=20) as server,
            client(server) as raw,
        ):
            server.connections[0].close(1001)
            assert await raw.close_code() == 1001
            await asyncio.sleep(0.5)
            assert closes.seen == []
            raw.frame(CLOSE, (1001).to_bytes(2))
            await until(lambda: closes.seen)
        assert closes.seen == [(1, 1001, "")]

    run(main())


def test_more_clients_than_are_told_in_one_turn_are_all_sent_away(run: Run) -> None:
    async def main() -> None:
        async with serve() as server:
            clients = [await websockets.connect(server.url()) for _ in range(205)]
            await server.send_away(over=1)
            assert server.connections == ()
            for ws in clients:
                await ws.wait_closed()
                assert ws.close_code == 1012

    run(main())


def test_a_client_that_leaves_while_many_are_sent_away_is_not_waited_for(run: Run) -> None:
    async def main() -> None:
        async with serve() as server:
            clients = [await websockets.connect(server.url()) for _ in range(305)]
            for peer in server.connections[:10]:
                asyncio.get_running_loop().call_soon(peer.abort)
            async with asyncio.timeout(PATIENCE):
                await server.send_away(over=1)
            for ws in clients:
                await ws.wait_closed()

    run(main())


def test_a_peer_that_talks_on_instead_of_answering_a_close_is_dropped_in_time(run: Run) -> None:
    async def main() -> None:
        async def slow(peer: Peer, message: Message) -> None:
            await asyncio.Event().wait()

        async with serve(slow, close_timeout=0.5) as server, client(server) as raw:
            (peer,) = server.connections

            async def talk() -> None:
                while True:
                    raw.frame(TEXT, bytes(60_000).replace(b"\0", b"."))
                    await raw.writer.drain()

            talking = asyncio.create_task(talk())
            await until(lambda: peer.paused)
            begun = time.monotonic()
            peer.close(1001)
            peer.close(4000)  # the second time changes nothing
            most = 0
            while server.connections:
                most = max(most, peer.waiting * 60_000)
                await asyncio.sleep(0.01)
            assert 0.4 < time.monotonic() - begun < 5
            assert most < 3_000_000
            talking.cancel()
            with pytest.raises((asyncio.CancelledError, OSError)):
                await talking

    run(main())


def test_messages_that_were_under_way_when_we_closed_are_still_taken(run: Run) -> None:
    async def main() -> None:
        seen: list[Message] = []
        async with serve(lambda _, message: seen.append(message)) as server, client(server) as raw:
            server.connections[0].close(1001)
            raw.frame(TEXT, b"under way")
            assert await raw.close_code() == 1001
            raw.frame(CLOSE, (1001).to_bytes(2))
            assert await raw.end() == "end of file"
        assert seen == ["under way"]

    run(main())


def test_closing_says_1001_to_everybody_and_listens_no_more(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(on_close=closes) as server:
            clients = [await websockets.connect(server.url()) for _ in range(3)]
            begun = time.monotonic()
            await server.close()
            assert time.monotonic() - begun < 3
            for ws in clients:
                await ws.wait_closed()
                assert (ws.close_code, ws.close_reason) == (1001, "")
            assert sorted(closes.seen) == [(1, 1001, ""), (2, 1001, ""), (3, 1001, "")]
            with pytest.raises(OSError, match=r"refused|Connect call failed"):
                await websockets.connect(server.url())
            await server.close()  # the second time there is nothing to do

    run(main())


def test_closing_is_bounded_whatever_peers_and_hooks_do(run: Run) -> None:
    async def main() -> None:
        release = asyncio.Event()
        stubborn: list[asyncio.Task[object]] = []

        async def deaf(peer: Peer, message: Message) -> None:
            task = asyncio.current_task()
            assert task is not None
            stubborn.append(task)
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    pass

        async def endless(peer: Peer, code: int | None, reason: str) -> None:
            if not release.is_set():
                await asyncio.Event().wait()

        try:
            async with (
                serve(deaf, on_close=endless, close_timeout=0.3) as server,
                connect(server) as hanging,  # before the others, so it was accepted when they are served
                client(server) as deaf_client,
                client(server) as silent,
            ):
                hanging.writer.write(b"GET / HTTP/1.1\r\n")
                deaf_client.frame(TEXT, b"x")
                await until(lambda: stubborn)
                begun = time.monotonic()
                await server.close()
                assert 0.2 < time.monotonic() - begun < 5
                for raw in (deaf_client, silent, hanging):
                    assert await raw.end() == "reset"
        finally:
            release.set()  # a test that fails must end, too
        await asyncio.wait(stubborn)

    run(main())


def test_who_does_not_answer_when_the_server_closes_is_told_of_before_it_returns(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        # So long that a busy machine does not miss the moment between this and the peer's own timeout.
        async with serve(on_close=closes, close_timeout=1) as server, client(server):
            await server.close()
            assert closes.seen == [(1, None, "aborted")]

    run(main())


def test_the_answer_to_a_close_is_found_behind_more_messages_than_may_wait(run: Run) -> None:
    async def main() -> None:
        closes = Closes()

        async def slow(peer: Peer, message: Message) -> None:
            await asyncio.Event().wait()

        async with serve(slow, on_close=closes, close_timeout=10) as server, client(server) as raw:
            (peer,) = server.connections
            for _ in range(150):
                raw.frame(TEXT, b"." * 30_000)
            await until(lambda: peer.paused)
            peer.close(4002)
            raw.frame(CLOSE, (4002).to_bytes(2))
            await until(lambda: closes.seen)
        assert closes.seen == [(1, 4002, "")]

    run(main())


def test_hooks_of_the_end_have_time_to_finish(run: Run) -> None:
    async def main() -> None:
        done: list[int] = []

        async def farewell(peer: Peer, code: int | None, reason: str) -> None:
            await asyncio.sleep(0.1)
            done.append(peer.id)

        async with serve(on_close=farewell) as server, client(server), client(server):
            for peer in server.connections:
                peer.abort()
        assert sorted(done) == [1, 2]

    run(main())


def test_a_close_that_is_cancelled_leaves_nothing(run: Run) -> None:
    async def main() -> None:
        async with serve() as server, client(server) as raw:
            closing = asyncio.create_task(server.close())
            assert await raw.close_code() == 1001
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert server.connections == ()
            assert await raw.end() == "reset"

    run(main())


def test_an_abort_resets_every_connection_like_a_killed_process(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(on_close=closes) as server, connect(server) as hanging, client(server) as raw:
            hanging.writer.write(b"GET / HTTP/1.1\r\n")
            server.abort()
            assert server.connections == ()
            assert await raw.end() == "reset"
            assert await hanging.end() == "reset"
            await _refused(server)
        assert closes.seen == [(1, None, "aborted")]

    run(main())


async def _refused(server: Server) -> None:
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection(server.host, server.port)


def test_a_killed_server_can_be_started_again_on_its_port(run: Run) -> None:
    async def main() -> None:
        async with serve() as first, client(first) as raw:
            first.abort()
            assert await raw.end() == "reset"
            async with serve(port=first.port) as second, client(second) as again:
                again.frame(PING)
                assert await again.read() == (10, b"")
        async with serve(port=first.port) as third:
            assert third.port == first.port

    run(main())


def test_one_server_object_can_serve_twice(run: Run) -> None:
    async def main() -> None:
        server = serve()
        for _ in range(2):
            async with server, client(server) as raw:
                raw.frame(TEXT, b"x")
                assert await raw.read() == (TEXT, b"x")

    run(main())


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_client_that_is_accepted_while_the_server_ends_is_not_served(
    run: Run, how: str, turns: int
) -> None:
    came: list[Peer] = []

    async def main() -> None:
        async with serve(on_open=came.append, close_timeout=0) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                sock.sendall(UPGRADE)
                for _ in range(turns):
                    await asyncio.sleep(0)
                before = len(came)
                if how == "close":
                    await server.close()
                else:
                    server.abort()
                for _ in range(20):
                    await asyncio.sleep(0.001)
                assert server.connections == ()
                assert len(came) == before

    run(main())


@pytest.mark.usefixtures("kernel")
def test_who_shuts_its_side_of_the_connection_is_gone_though_it_reads_nothing_either(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(on_close=closes, idle_timeout=None) as server, reluctant(server) as sock:
            (peer,) = server.connections
            while not peer.buffered:
                peer.send(bytes(100_000))
            sock.shutdown(socket.SHUT_WR)
            await until(lambda: closes.seen)
            assert server.connections == ()
        assert closes.seen == [(1, None, "ended without a close code")]

    run(main())


def test_who_shuts_its_side_of_the_connection_can_read_what_was_sent_before(run: Run) -> None:
    async def main() -> None:
        closes = Closes()
        async with serve(on_close=closes) as server, client(server) as raw:
            raw.frame(TEXT, b"question")
            raw.writer.write_eof()
            assert await raw.read() == (TEXT, b"question")
            assert await raw.end() == "end of file"
            await until(lambda: closes.seen)

    run(main())
