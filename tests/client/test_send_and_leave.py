"""Who sends and leaves loses nothing without a word: close() waits for a link while messages wait for one."""

import asyncio
import subprocess
import sys

import pytest
from tests.client.conftest import World
from tests.client.servers import free_port
from tests.watch import PATIENCE, Run, counts_references, turns, until

from websocket_heartbeat import (
    Backoff,
    CloseEvent,
    ConnectionClosed,
    Fleet,
    HandshakeRejected,
    Message,
    OpenEvent,
    Undelivered,
    connect,
)
from websocket_heartbeat.engines.base import WRITE_LIMIT, OpenRequest
from websocket_heartbeat.server import Peer, serve
from websocket_heartbeat.sync import connect as blocking_connect


def test_what_is_sent_while_the_first_link_opens_arrives_before_the_end(world: World, play: Run) -> None:
    async def main() -> None:
        world.engine.answer = lambda request: asyncio.sleep(3)
        async with world.recorded() as connection:
            await connection.send("one")
            await connection.send(b"two")
        assert world.peer.received == ["one", b"two"]
        assert world.peer.close_code == 1000
        assert world.seen(Exception) == []

    play(main())


def test_close_waits_for_the_retry_and_for_the_one_after_it(world: World, play: Run) -> None:
    async def refuse_twice(request: OpenRequest) -> None:
        if len(world.engine.requests) in (2, 3):
            raise OSError("refused")

    async def main() -> None:
        world.engine.answer = refuse_twice
        async with world.recorded(backoff=Backoff(0.5, 1), close_timeout=5) as connection:
            (await world.opened(connection, 1)).reset()
            await connection.send("late")
            assert connection.state == "waiting"
            await connection.close(4000)
        assert world.peer.received == ["late"]
        assert world.peer.close_code == 4000
        assert len(world.engine.requests) == 4
        assert world.seen(Undelivered) == []

    play(main())


def test_after_close_timeout_what_waits_is_reported(world: World, play: Run) -> None:
    async def main() -> None:
        world.engine.answer = lambda request: asyncio.Event().wait()
        async with world.recorded(close_timeout=2) as connection:
            await connection.send("lost")
            since = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - since == pytest.approx(2)
        assert world.seen(Undelivered)[0].messages == ("lost",)

    play(main())


def test_a_retry_that_would_come_too_late_is_not_waited_for(world: World, play: Run) -> None:
    async def refuse(request: OpenRequest) -> None:
        raise HandshakeRejected(503, [("Retry-After", "60")])

    async def main() -> None:
        world.engine.answer = refuse
        async with world.recorded(close_timeout=5) as connection:
            await connection.send("lost")
            await until(lambda: connection.state == "waiting")
            since = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() == since
        assert world.seen(Undelivered)[0].messages == ("lost",)

    play(main())


def test_a_connection_that_fails_meanwhile_ends_the_wait(world: World, play: Run) -> None:
    async def reject(request: OpenRequest) -> None:
        await asyncio.sleep(1)
        raise HandshakeRejected(404, [])

    async def main() -> None:
        world.engine.answer = reject
        async with world.recorded(close_timeout=50) as connection:
            await connection.send("lost")
            since = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - since == pytest.approx(1)
        assert connection.state == "failed"
        assert world.seen(Undelivered)[0].messages == ("lost",)

    play(main())


def test_the_queue_is_sent_behind_what_on_open_has_to_say(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect()

        @connection.on_open
        async def log_in(event: OpenEvent) -> None:
            await connection.send("hello")
            await asyncio.sleep(1)
            connection.send_nowait("who I am")

        async with connection:
            await connection.send("queued")
        assert world.peer.received == ["hello", "who I am", "queued"]
        assert world.peer.close_code == 1000

    play(main())


def test_an_on_open_that_does_not_end_in_time_keeps_the_queue_from_the_link(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.recorded(close_timeout=3)
        connection.on_open = lambda event: asyncio.sleep(100)
        async with connection:
            await connection.send("not for a stranger")
            await world.opened(connection, 1)
            since = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - since <= 3.1
        assert world.peer.received == []
        assert world.seen(Undelivered)[0].messages == ("not for a stranger",)

    play(main())


def test_a_peer_that_reads_slowly_has_until_close_timeout_to_take_the_queue(world: World, play: Run) -> None:
    async def main() -> None:
        for reads_after in (3, 30):
            world.events.clear()
            async with world.recorded(close_timeout=5) as connection:
                peer = await world.opened(connection, 1)
                peer.stop_reading()
                await connection.send("x" * (WRITE_LIMIT + 1))
                await connection.send("queued")
                asyncio.get_running_loop().call_later(reads_after, peer.start_reading)
                since = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - since <= 5.1
            told = [error.messages for error in world.seen(Undelivered)]
            assert told == ([] if reads_after == 3 else [("queued",)])
            assert peer.received[1:] == (["queued"] if reads_after == 3 else [])
            await asyncio.sleep(30)

    play(main())


def test_while_close_waits_nothing_more_is_taken_and_messages_still_arrive(world: World, play: Run) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        world.engine.answer = lambda request: gate.wait()
        got: list[Message] = []
        connection = await world.connect(send_queue=1)
        connection.on_message = got.append
        await connection.send("queued")
        blocked = asyncio.create_task(connection.send("waits for room"))
        await turns()
        closing = asyncio.create_task(connection.close())
        await turns()
        with pytest.raises(ConnectionClosed):
            await blocked
        with pytest.raises(ConnectionClosed):
            connection.send_nowait("late")
        with pytest.raises(ConnectionClosed):
            await connection.send("late")
        world.engine.on_peer = lambda peer: peer.send("answer")
        gate.set()
        await closing
        assert world.peer.received == ["queued"]
        assert got == ["answer"]

    play(main())


def test_close_with_nothing_to_send_waits_for_nothing(world: World, play: Run) -> None:
    async def main() -> None:
        world.engine.answer = lambda request: asyncio.Event().wait()
        since = asyncio.get_running_loop().time()
        async with world.recorded():
            await turns()
        assert asyncio.get_running_loop().time() == since

    play(main())


def test_two_that_close_wait_together_and_the_first_one_s_code_is_sent(world: World, play: Run) -> None:
    async def main() -> None:
        world.engine.answer = lambda request: asyncio.sleep(1)
        connection = await world.connect()
        await connection.send("queued")
        await asyncio.gather(connection.close(4001), connection.close(4002))
        assert world.peer.received == ["queued"]
        assert world.peer.close_code == 4001

    play(main())


@pytest.mark.parametrize("state", ["connecting", "waiting", "open"])
def test_cancelled_while_it_waits_close_ends_at_once_and_reports_the_queue(
    state: str, world: World, play: Run
) -> None:
    async def refuse(request: OpenRequest) -> None:
        raise OSError("refused")

    async def main() -> None:
        if state != "open":
            world.engine.answer = refuse if state == "waiting" else lambda request: asyncio.Event().wait()
        connection = world.recorded(backoff=Backoff(3, 3), close_timeout=50)
        connection.on_open = lambda event: asyncio.sleep(100)
        async with connection:
            await connection.send("lost")
            await until(lambda: connection.state == state)
            closing = asyncio.create_task(connection.close())
            another = asyncio.create_task(connection.close())
            await turns()
            assert connection.state == state
            closing.cancel()
            since = asyncio.get_running_loop().time()
            with pytest.raises(asyncio.CancelledError):
                await closing
            await another
            assert asyncio.get_running_loop().time() == since
            assert connection.state == "closed"
        assert world.seen(Undelivered)[0].messages == ("lost",)
        assert world.engine.live_peers == []
        if state == "open":
            assert world.seen(CloseEvent) == [CloseEvent(1, "close was cancelled")]

    play(main())


def test_on_open_that_closes_does_not_wait_for_itself(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.recorded(close_timeout=50)

        @connection.on_open
        async def give_up(event: OpenEvent) -> None:
            await connection.send("farewell")
            await connection.close(4000)

        async with connection:
            await connection.send("queued")
            since = asyncio.get_running_loop().time()
            await connection.wait_closed()
            assert asyncio.get_running_loop().time() == since
        assert world.peer.received == ["farewell"]
        assert world.peer.close_code == 4000
        assert world.seen(Undelivered)[0].messages == ("queued",)

    play(main())


def test_on_open_that_closes_ends_the_wait_of_others(world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.recorded(close_timeout=50)

        @connection.on_open
        async def give_up(event: OpenEvent) -> None:
            await asyncio.sleep(1)
            await connection.close(4000)

        async with connection:
            await connection.send("queued")
            since = asyncio.get_running_loop().time()
            await connection.close()
            assert asyncio.get_running_loop().time() - since == pytest.approx(1)
        assert world.peer.close_code == 4000

    play(main())


@pytest.mark.parametrize("name", ["on_message", "on_close", "on_error", "on_reconnect", "on_state"])
def test_any_other_hook_that_closes_waits_for_the_next_link(name: str, world: World, play: Run) -> None:
    async def main() -> None:
        connection = world.connect(backoff=Backoff(0.5, 0.5))
        closed = asyncio.Event()

        async def leave(event: object) -> None:
            if event in ("open", "connecting") or closed.is_set():
                return
            closed.set()
            connection.send_nowait("queued")
            await connection.close()

        setattr(connection, name, leave)
        async with connection:
            peer = await world.opened(connection, 1)

            async def refuse_once(request: OpenRequest) -> None:
                if len(world.engine.requests) == 2:
                    raise OSError("refused")

            world.engine.answer = refuse_once
            if name == "on_message":
                peer.send("message")
            peer.reset()
            await connection.wait_closed()
        assert world.peer.received == ["queued"]
        assert world.peer is not peer or name == "on_message"

    play(main())


def test_a_member_of_a_fleet_whose_turn_has_not_come_is_waited_for(world: World, play: Run) -> None:
    async def main() -> None:
        async with Fleet(open_rate=1) as fleet:
            fleet.add(world.connect())
            second = fleet.add(world.connect())
            second.send_nowait("queued")
            assert second.state == "idle"
        assert world.peer.received == ["queued"]

    play(main())


def test_over_a_real_socket_what_is_sent_before_the_server_listens_arrives(run: Run) -> None:
    async def main() -> None:
        got: list[Message] = []

        def keep(peer: Peer, message: Message) -> None:
            got.append(message)

        port = free_port()
        connection = connect(f"ws://127.0.0.1:{port}/", backoff=Backoff(0.05, 0.1), close_timeout=PATIENCE)

        async def send_and_leave() -> None:
            async with connection:
                for number in range(100):
                    await connection.send(f"{number}")

        leaving = asyncio.create_task(send_and_leave())
        await until(lambda: connection.stats.attempts >= 2)
        async with serve(keep, port=port):
            await leaving
            await until(lambda: len(got) == 100)
        assert got == [f"{number}" for number in range(100)]

    run(main())


def test_blocking_code_that_sends_and_leaves_is_waited_for(run_asyncio: Run) -> None:
    async def main() -> None:
        got: list[Message] = []

        def keep(peer: Peer, message: Message) -> None:
            got.append(message)

        port = free_port()

        def send_and_leave() -> None:
            url = f"ws://127.0.0.1:{port}/"
            with blocking_connect(url, backoff=Backoff(0.05, 0.1), close_timeout=PATIENCE) as connection:
                for number in range(100):
                    connection.send(f"{number}")

        leaving = asyncio.create_task(asyncio.to_thread(send_and_leave))
        await asyncio.sleep(0.3)
        async with serve(keep, port=port):
            await leaving
            await until(lambda: len(got) == 100)
        await asyncio.get_running_loop().shutdown_default_executor()

    run_asyncio(main())


@pytest.mark.parametrize("blocking", [False, True])
def test_a_program_without_logging_shows_on_standard_error_what_was_not_sent(blocking: bool) -> None:
    begin = "import asyncio, websocket_heartbeat.sync as sync, websocket_heartbeat as asynchronous\n"
    url = f"ws://127.0.0.1:{free_port()}/?token=secret"
    if blocking:
        code = f"""
with sync.connect({url!r}, close_timeout=0.3) as connection:
    connection.send("password")
    connection.send("password")
"""
    else:
        code = f"""
async def main():
    async with asynchronous.connect({url!r}, close_timeout=0.3) as connection:
        await connection.send("password")
        await connection.send("password")
asyncio.run(main())
"""
    result = subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True, timeout=50)
    assert result.returncode == 0
    assert "the connection ended before 2 messages could be sent" in result.stderr
    assert "password" not in result.stderr
    assert "secret" not in result.stderr


@counts_references
def test_a_program_that_sends_and_never_closes_is_told_on_standard_error() -> None:
    code = f"""
import asyncio, websocket_heartbeat
async def main():
    connection = await websocket_heartbeat.connect("ws://127.0.0.1:{free_port()}/?token=secret")
    await connection.send("password")
asyncio.run(main())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert result.returncode == 0
    assert result.stderr.rstrip().endswith("/?...: never closed; 1 message was still to be sent")
