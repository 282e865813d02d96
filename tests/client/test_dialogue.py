"""A login dialogue in on_open: what it receives and sends comes first, and it decides if the link is good."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.client.conftest import World, receive
from tests.watch import Run, turns, until

from websocket_heartbeat import (
    Backoff,
    CloseEvent,
    ConnectionFailed,
    Heartbeat,
    HookFailed,
    Message,
    OpenEvent,
    SendQueueFull,
)
from websocket_heartbeat.engines.memory import MemoryPeer


@asynccontextmanager
async def answering(world: World) -> AsyncIterator[None]:
    """Let every peer answer "login" with "welcome", and everything else with itself."""

    async def answer(peer: MemoryPeer) -> None:
        seen = 0
        while not peer.link.ended:
            while seen < len(peer.received):
                message = peer.received[seen]
                seen += 1
                peer.send("welcome" if message == "login" else message)
            await asyncio.sleep(0.01)

    tasks: list[asyncio.Task[None]] = []
    world.engine.on_peer = lambda peer: tasks.append(asyncio.ensure_future(answer(peer)))
    try:
        yield
    finally:
        await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    "receiver", ["recv", "wait_for", "iteration", "recv_waiting", "task", "after a while"]
)
@pytest.mark.parametrize("consumer", ["iteration", "hook", "coroutine hook", "nobody"])
def test_on_open_receives_first_on_every_link(receiver: str, consumer: str, world: World, play: Run) -> None:
    logins: list[Message] = []
    received: list[Message] = []

    async def take() -> Message:
        if receiver == "wait_for":
            return await asyncio.wait_for(connection.recv(), 1)
        if receiver == "iteration":
            return await anext(aiter(connection))
        if receiver == "recv_waiting":
            return (await connection.recv_waiting())[0]
        if receiver == "task":
            return await asyncio.create_task(connection.recv())
        if receiver == "after a while":
            await asyncio.sleep(1)
        return await connection.recv()

    async def log_in(event: OpenEvent) -> None:
        await connection.send("login")
        logins.append(await take())

    async def slow(message: Message) -> None:
        received.append(message)

    connection = world.connect(backoff=Backoff(0.1, 1))

    async def main() -> None:
        connection.on_open = log_in
        if consumer == "hook":
            connection.on_message = received.append
        elif consumer == "coroutine hook":
            connection.on_message = slow
        async with answering(world), connection:
            reading = asyncio.create_task(receive(connection, received)) if consumer == "iteration" else None
            await connection.wait_open(5)
            for link in (1, 2, 3):
                await connection.send(f"question {link}")
                if consumer == "nobody":
                    received.append(await connection.recv())
                await until(lambda link=link: len(received) == link)  # type: ignore[misc]
                world.peer.reset()
                await connection.wait_open(5)
        if reading is not None:
            await reading
        assert logins == ["welcome"] * 4
        assert received == ["question 1", "question 2", "question 3"]

    play(main())


def test_what_the_login_does_not_take_is_for_everybody_in_order(world: World, play: Run) -> None:
    received: list[Message] = []

    async def main() -> None:
        async with world.connect() as connection:

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                world.peer.send("hello")
                world.peer.send("tick 1")
                assert await connection.recv() == "hello"
                world.peer.send("tick 2")
                await asyncio.sleep(3)

            reading = asyncio.create_task(receive(connection, received))
            await connection.wait_open(5)
            world.peer.send("tick 3")
            await until(lambda: len(received) == 3)
            assert received == ["tick 1", "tick 2", "tick 3"]
        await reading

    play(main())


def test_requests_that_on_message_answers_work_in_on_open(world: World, play: Run) -> None:
    """on_open does not call recv, but waits for a future that the hook for messages resolves."""

    async def main() -> None:
        async with answering(world), world.connect() as connection:
            answers: list[asyncio.Future[Message]] = []
            connection.on_message = lambda message: answers.pop().set_result(message)
            took: list[float] = []

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                since = asyncio.get_running_loop().time()
                answers.append(asyncio.get_running_loop().create_future())
                answer = answers[0]
                await connection.send("login")
                assert await answer == "welcome"
                took.append(asyncio.get_running_loop().time() - since)

            await connection.wait_open(5)
            world.peer.reset()
            await until(lambda: len(took) == 2)
            assert took[0] < 2.5
            assert took[1] < 0.1, "the second time the connection knows that on_open does not receive"

    play(main())


@pytest.mark.parametrize("kind", ["plain", "coroutine", "cancelled", "await cancelled"])
def test_an_on_open_that_raises_has_called_the_link_bad(kind: str, world: World, play: Run) -> None:
    async def coroutine(event: OpenEvent) -> None:
        await asyncio.sleep(0.1)
        raise PermissionError("the token is wrong")

    def plain(event: OpenEvent) -> None:
        raise PermissionError("the token is wrong")

    def cancelled(event: OpenEvent) -> None:
        raise asyncio.CancelledError

    async def await_cancelled(event: OpenEvent) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    hooks: dict[str, Any] = {
        "plain": plain,
        "coroutine": coroutine,
        "cancelled": cancelled,
        "await cancelled": await_cancelled,
    }

    async def main() -> None:
        async with world.recorded() as connection:
            connection.on_open = hooks[kind]
            await connection.send("for those who are logged in")
            with pytest.raises(TimeoutError, match="on_open"):
                await connection.wait_open(60)
            closes = world.seen(CloseEvent)
            assert 3 <= len(closes) <= 12, "retried with growing delays"
            assert all("on_open raised" in event.reason for event in closes)
            assert all(not peer.received for peer in world.engine.peers), (
                "nothing went to an unauthenticated link"
            )
            assert all(peer.close_code == 1000 for peer in world.engine.peers[:-1]), "closed politely"
            errors = world.seen(HookFailed)
            assert len(errors) >= len(closes)
            assert connection.stats.queued == 1
            connection.on_open = None
            await connection.wait_open(60)
            await until(lambda: world.peer.received == ["for those who are logged in"])

    play(main())


def test_retry_if_is_asked_about_a_failed_login(world: World, play: Run) -> None:
    asked: list[Exception] = []

    def retry_if(error: Exception) -> bool:
        asked.append(error)
        return not isinstance(error, PermissionError)

    async def main() -> None:
        connection = world.connect(retry_if=retry_if)

        @connection.on_open
        async def log_in(event: OpenEvent) -> None:
            raise PermissionError("the token is wrong")

        async with connection:
            with pytest.raises(ConnectionFailed, match="on_open raised PermissionError") as failure:
                await connection.wait_open(5)
            assert [type(error) for error in asked] == [PermissionError]
            assert isinstance(failure.value.__cause__, HookFailed)

    play(main())


@pytest.mark.parametrize("when", ["at once", "before it is asked for", "while the hook thinks", "by EOF"])
@pytest.mark.parametrize("receiver", ["recv", "recv_waiting", "wait_for", "task"])
def test_a_login_reads_the_refusal_of_a_server_that_closes_at_once(
    receiver: str, when: str, world: World, play: Run
) -> None:
    async def main() -> None:
        taken: list[Message] = []
        received: list[Message] = []
        connection = world.connect(
            retry_if=lambda error: False if isinstance(error, PermissionError) else None
        )

        @connection.on_open
        async def log_in(event: OpenEvent) -> None:
            peer = world.peer
            await connection.send("login")
            if when == "before it is asked for":
                await asyncio.sleep(1)
            if receiver == "wait_for":
                answer = await asyncio.wait_for(connection.recv(), 1)
            elif receiver == "task":
                answer = await asyncio.create_task(connection.recv())
            elif receiver == "recv_waiting":
                (answer,) = await connection.recv_waiting()
                await asyncio.sleep(0)
            else:
                answer = await connection.recv()
            if when == "while the hook thinks":
                peer.close(4401, "bad token")
                await asyncio.sleep(1)
            taken.append(answer)
            raise PermissionError("the login was refused")

        async def refuse() -> None:
            await until(lambda: bool(world.engine.peers) and world.peer.received == ["login"])
            world.peer.send("no")
            if when == "by EOF":
                world.peer.reset()
            elif when != "while the hook thinks":
                world.peer.close(4401, "bad token")

        async with connection:
            await connection.send("for those who are logged in")
            reading = asyncio.create_task(receive(connection, received))
            refusing = asyncio.create_task(refuse())
            with pytest.raises(ConnectionFailed, match="on_open raised PermissionError"):
                async with asyncio.timeout(60):
                    await connection.wait_closed()
            await refusing
            with pytest.raises(ConnectionFailed):
                await reading
        assert (taken, received) == (["no"], [])
        assert len(world.engine.peers) == 1
        assert connection.queued == ("for those who are logged in",)

    play(main())


@pytest.mark.parametrize(
    "then", ["returns", "asks for more", "sends", "sends and waits for none", "thinks for long", "closes"]
)
def test_a_link_that_has_ended_is_lost_once_its_login_has_taken_what_it_brought(
    then: str, world: World, play: Run
) -> None:
    async def main() -> None:
        taken: list[Message] = []
        async with world.recorded() as connection:

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                if event.link > 1:
                    return
                world.peer.send("one")
                world.peer.send("two")
                world.peer.close(1012, "restarts")
                taken.append(await connection.recv())
                taken.append(await connection.recv())
                assert connection.stats.links == 1
                if then == "sends":
                    await connection.send("to nobody")
                    raise AssertionError("it was sent")
                if then == "sends and waits for none":
                    with pytest.raises(SendQueueFull):
                        connection.send_nowait("to nobody")
                elif then == "asks for more":
                    taken.append(await connection.recv())
                elif then == "thinks for long":
                    await asyncio.sleep(60)
                elif then == "closes":
                    await connection.close()

            await connection.send("after the login")
            begun = asyncio.get_running_loop().time()
            await until(lambda: bool(world.seen(CloseEvent)))
            took = asyncio.get_running_loop().time() - begun
            assert taken == ["one", "two"]
            assert took < (3 if then == "thinks for long" else 0.1)
            if then != "closes":
                assert world.seen(CloseEvent)[0].code == 1012
                await until(lambda: world.peer.received == ["after the login"])
                assert len(world.engine.peers) == 2

    play(main())


@pytest.mark.parametrize("gives_up", ["by raising", "by fail_link"])
@pytest.mark.parametrize("retry", [None, True])
def test_a_final_close_code_ends_the_connection_whatever_the_login_makes_of_the_answer_before(
    gives_up: str, retry: bool | None, world: World, play: Run
) -> None:
    async def main() -> None:
        connection = world.connect(retry_if=lambda error: retry)

        @connection.on_open
        async def log_in(event: OpenEvent) -> None:
            world.peer.send("no")
            world.peer.close(4500, "blocked")
            await connection.recv()
            if gives_up == "by raising":
                raise PermissionError("the login was refused")
            connection.fail_link("the login was refused")
            await asyncio.sleep(60)

        async with connection:
            if retry is None:
                with pytest.raises(ConnectionFailed) as failure:
                    await connection.wait_open(60)
                assert failure.value.code == 4500
                assert len(world.engine.peers) == 1
            else:
                await until(lambda: len(world.engine.peers) > 3)

    play(main())


def test_a_link_whose_end_waits_for_the_login_is_not_taken_for_silent(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded(heartbeat=Heartbeat(0.1, 0.1)) as connection:

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                if event.link == 1:
                    world.peer.send("welcome")
                    world.peer.close(4000, "restarts")
                    await connection.recv()
                    await asyncio.sleep(60)

            await until(lambda: bool(world.seen(CloseEvent)))
            assert world.seen(CloseEvent)[0].code == 4000

    play(main())


def test_reconnect_now_in_on_open_is_not_a_login_without_end(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:

            @connection.on_open
            async def give_up(event: OpenEvent) -> None:
                connection.reconnect_now()

            await asyncio.sleep(60)
            assert len(world.engine.peers) < 15

    play(main())


@pytest.mark.parametrize("where", ["in on_open", "later"])
def test_fail_link_replaces_a_bad_link_with_growing_delays(where: str, world: World, play: Run) -> None:
    async def main() -> None:
        async with world.recorded() as connection:
            if where == "in on_open":

                @connection.on_open
                async def refuse(event: OpenEvent) -> None:
                    connection.fail_link("no welcome")
                    await asyncio.sleep(60)

                await asyncio.sleep(60)
            else:
                for _ in range(600):
                    await asyncio.sleep(0.1)
                    connection.fail_link("session expired")
            closes = world.seen(CloseEvent)
            assert 3 <= len(closes) <= 15
            words = "no welcome" if where == "in on_open" else "session expired"
            assert closes[0].reason == f"given up by the program: {words}"
            assert world.engine.peers[0].close_code == 1000

    play(main())


def test_a_login_that_does_not_end_is_told_of(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with world.connect(open_timeout=3, close_timeout=0) as connection:

            @connection.on_open
            async def wait_for_ever(event: OpenEvent) -> None:
                await asyncio.sleep(1e6)

            await asyncio.sleep(2.9)
            assert "on_open" not in caplog.text
            await asyncio.sleep(0.2)
            assert "on_open of link 1 has not ended after 3 s" in caplog.text
            with pytest.raises(TimeoutError, match="on_open hook has not ended"):
                await connection.wait_open(1)

    play(main())


def test_a_plain_hook_whose_link_ends_before_it_returns_an_awaitable_is_not_waited_for(
    world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with world.connect(open_timeout=3) as connection:
            begun: list[int] = []

            async def log_in(link: int) -> None:
                begun.append(link)

            @connection.on_open
            def begin(event: OpenEvent) -> Awaitable[None]:
                if event.link == 1:
                    world.engine.peers[-1].reset()
                return log_in(event.link)

            await connection.wait_open(10)
            await asyncio.sleep(5)
            assert begun == [2]
            assert "has not ended" not in caplog.text

    play(main())


def test_a_login_that_is_overtaken_by_the_end_of_its_link_leaves_nothing_behind(
    world: World, play: Run
) -> None:
    async def main() -> None:
        received: list[Message] = []
        async with world.connect() as connection:
            started: list[int] = []

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                started.append(event.link)
                if event.link == 1:
                    await connection.recv()
                    await connection.recv()

            reading = asyncio.create_task(receive(connection, received))
            await until(lambda: started == [1])
            await turns()
            world.peer.send("first")
            await turns()
            world.peer.reset()
            await connection.wait_open(10)
            world.peer.send("second")
            await until(lambda: received == ["second"])
        await reading

    play(main())


def test_a_peer_that_floods_a_login_is_not_read_without_bound(world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect(receive_queue=10) as connection:
            go_on = asyncio.Event()

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                world.peer.send("hello")
                assert await connection.recv() == "hello"
                await go_on.wait()

            await until(lambda: bool(world.engine.peers))
            await turns()
            for number in range(100):
                world.peer.send(str(number))
                await turns()
            assert len(world.peer.unread) > 70, "reading was paused"
            go_on.set()
            received = [await connection.recv() for _ in range(100)]
            assert received == [str(number) for number in range(100)]

    play(main())


def test_messages_wait_for_a_login_from_when_they_come_however_long_it_took_before(
    world: World, play: Run
) -> None:
    async def main() -> None:
        async with answering(world), world.connect() as connection:
            reading = asyncio.create_task(receive(connection, []))

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                await asyncio.sleep(3)  # for a token
                await connection.send("login")
                await asyncio.sleep(1)  # to write it down
                assert await connection.recv() == "welcome"

            await connection.wait_open(10)
        await reading

    play(main())


def test_a_login_that_an_extension_of_python_panics_in_does_not_hold_its_link_for_ever(
    world: World, play: Run
) -> None:
    class Panic(BaseException):
        pass

    async def main() -> None:
        async with world.connect() as connection:

            @connection.on_open
            async def log_in(event: OpenEvent) -> None:
                await asyncio.sleep(0.1)
                if event.link == 1:
                    raise Panic

            await connection.wait_open(60)
            assert connection.stats.links == 2

    play(main())
