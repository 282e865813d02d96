"""CancelledError that comes from a hook, and not from the end of its peer, harms nobody."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest
from tests.server.raw import CLOSE, PING, PONG, TEXT, Closes, client
from tests.watch import Run, until

from websocket_heartbeat.events import Message
from websocket_heartbeat.server import Peer, Request, serve


def _cancelled() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    return future


def raises(*_: object) -> None:
    raise asyncio.CancelledError


def asks_a_cancelled_future(*_: object) -> None:
    _cancelled().result()


def returns_a_cancelled_future(*_: object) -> asyncio.Future[None]:
    return _cancelled()


class Awaitable:
    def __await__(self) -> Generator[Any, None, None]:
        yield
        raise asyncio.CancelledError


def returns_an_awaitable_that_raises(*_: object) -> Awaitable:
    return Awaitable()


async def awaits_a_cancelled_future(*_: object) -> None:
    await asyncio.sleep(0)
    await _cancelled()


async def ends_its_own_task(*_: object) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def takes_no_cancellation_back(*_: object) -> None:
    """As libraries do that are older than Task.uncancel; what is cancelled after that is not the task."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        pass
    await _cancelled()


HOOKS = pytest.mark.parametrize(
    "hook",
    [
        raises,
        asks_a_cancelled_future,
        returns_a_cancelled_future,
        returns_an_awaitable_that_raises,
        awaits_a_cancelled_future,
        ends_its_own_task,
        takes_no_cancellation_back,
    ],
    ids=lambda hook: hook.__name__,
)


@HOOKS
@pytest.mark.parametrize("name", ["on_open", "on_message", "on_close"])
def test_the_peer_stays_its_end_is_told_and_it_is_forgotten(
    run: Run, caplog: pytest.LogCaptureFixture, name: str, hook: Callable[..., Any]
) -> None:
    async def main() -> None:
        closes = Closes()
        hooks: dict[str, Any] = {"on_close": closes, name: hook}
        async with serve(**hooks) as server, client(server) as raw:
            raw.frame(TEXT, b"first")
            raw.frame(PING, b"second")
            while await raw.read() != (PONG, b"second"):
                pass
            assert len(server.connections) == 1
            raw.frame(CLOSE, (1000).to_bytes(2))
            assert await raw.close_code() == 1000
            await until(lambda: not server.connections)
            await until(lambda: closes.seen or name == "on_close")
        assert closes.seen == ([] if name == "on_close" else [(1, 1000, "")])

    run(main())
    # A task of on_close that was cancelled may be one whose time was up.
    is_told = name != "on_close" or hook not in (ends_its_own_task, takes_no_cancellation_back)
    assert caplog.text.count(f"{name} for <Peer 1 '/'> raised CancelledError at") == is_told


@HOOKS
def test_a_client_about_whom_it_was_to_decide_is_refused_and_others_come_in(
    run: Run, caplog: pytest.LogCaptureFixture, hook: Callable[..., Any]
) -> None:
    async def main() -> None:
        def on_handshake(request: Request) -> Any:
            return hook(request) if request.path == "/first" else None

        async with serve(on_handshake=on_handshake) as server:
            async with client(server, "/first") as raw:
                assert raw.status == 500
            async with client(server, "/second") as raw:
                assert raw.status == 101

    run(main())
    assert caplog.text.count("on_handshake ") == 1


@HOOKS
def test_messages_that_wait_for_the_hook_are_taken_in_order(run: Run, hook: Callable[..., Any]) -> None:
    async def main() -> None:
        async def on_message(peer: Peer, message: Message) -> None:
            if message == "0":
                await asyncio.sleep(0.01)  # more messages come than may wait
                result = hook()
                if result is not None:
                    await result
            peer.send(message)

        async with serve(on_message) as server, client(server) as raw:
            count = 200
            for number in range(count):
                raw.frame(TEXT, str(number).encode())
            for number in range(1, count):
                assert await raw.read() == (TEXT, str(number).encode())

    run(main())
