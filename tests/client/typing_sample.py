"""How users write against the public API: mypy must accept all of it, and refuse what is marked."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, assert_type

from websocket_heartbeat import (
    FINAL_CLOSE_CODES,
    Backoff,
    CloseEvent,
    Connection,
    ConnectionFailed,
    Dialect,
    Fleet,
    HandshakeRejected,
    Heartbeat,
    HookFailed,
    Message,
    OpenEvent,
    ReconnectEvent,
    Session,
    SessionEvent,
    State,
    Stats,
    Undelivered,
    connect,
    sync,
)


async def uses() -> None:
    connection = connect("wss://example.com/feed")
    assert_type(connection, Connection)
    async with connection as entered:
        assert_type(entered, Connection)
        async for message in entered:
            assert_type(message, str | bytes)
        assert_type(await entered.recv(), str | bytes)
        assert_type(aiter(entered), AsyncIterator[str | bytes])
    assert_type(await connect("ws://example.com/"), Connection)

    await connection.send("text")
    await connection.send(b"binary")
    await connection.send(bytearray(b"binary"))
    connection.send_nowait(memoryview(b"binary"))
    await connection.send("position", volatile=True)
    connection.send_nowait(b"position", volatile=True)
    await connection.send_json({"op": "login"}, ttl=5)
    assert_type(await connection.recv_json(), Any)
    assert_type(connection.json(), AsyncIterator[Any])
    await connection.flush()
    await connection.drain()
    await connection.wait_open()
    await connection.wait_open(timeout=5)
    await connection.wait_closed()
    await connection.close(4000, reason="done")
    connection.reconnect_now()

    assert_type(connection.state, State)
    assert_type(connection.closed, bool)
    assert_type(connection.latency, float | None)
    assert_type(connection.stats, Stats)
    assert_type(connection.stats.reasons, list[str])
    assert_type(connection.stats.not_sent, int)
    assert_type(connection.native, Any)


def options() -> None:
    async def url() -> str:
        return "ws://example.com/"

    async def headers() -> dict[str, str]:
        return {"Authorization": "Bearer token"}

    def pairs() -> list[tuple[str, str]]:
        return [("Cookie", "a=1"), ("Cookie", "b=2")]

    def retry_if(error: Exception) -> bool | None:
        return None if isinstance(error, HandshakeRejected) else False

    connect(url, additional_headers=headers, heartbeat=Heartbeat(message=lambda: "ping"))
    texts = Dialect("ping", "pong", lambda message: "pong" if message == "ping" else None)
    own = Dialect(lambda: b"\x09", pong=lambda message: message == b"\x0a")
    connect(url, heartbeat=Heartbeat(5, 5, message=texts))
    connect(url, heartbeat=Heartbeat(message=own))
    connect(lambda: "ws://example.com/", additional_headers=pairs, backoff=Backoff(0.5, maximum=30))
    connect("ws://example.com/", additional_headers=[("A", "b")], proxy=None, retry_if=retry_if)
    connect("ws://example.com/", final_close_codes={4001}, subprotocols=("v1",), proxy=True, max_retries=3)
    connect("ws://example.com/", session="prefer")
    connect("ws://example.com/", session=Session("require", window=64, window_bytes=2**18))
    connect("ws://example.com/", final_close_codes=(*FINAL_CLOSE_CODES, 1000), dismissal="dismissed")


def hooks_as_arguments() -> None:
    async def opened(event: OpenEvent) -> None: ...
    def anything(argument: object) -> None: ...

    connect(
        "ws://example.com/",
        on_open=opened,
        on_message=anything,
        on_close=anything,
        on_error=None,
        on_reconnect=lambda event: print(event.retry),
        on_state=anything,
        on_session=anything,
    )
    Fleet(on_open=lambda connection, event: print(connection.latency, event.link))
    blocking = sync.connect("ws://example.com/", on_message=anything, max_retries=3)
    assert_type(blocking, sync.Connection)
    assert_type(blocking.recv_json(timeout=5), Any)
    assert_type(blocking.json(), Iterator[Any])
    blocking.send_json([1], timeout=5)


def hooks_by_decorator(connection: Connection) -> None:
    @connection.on_open
    async def opened(event: OpenEvent) -> None:
        assert_type(event.subprotocol, str | None)
        assert_type(event.response_headers, Sequence[tuple[str, str]])
        assert_type(event.session, str | None)

    @connection.on_session
    def told(event: SessionEvent) -> None:
        assert_type(event.uncertain, Sequence[str | bytes])

    @connection.on_message
    def received(message: Message) -> None: ...

    @connection.on_close
    async def closed(event: CloseEvent) -> None:
        assert_type(event.code, int | None)

    @connection.on_error
    def failed(error: Exception) -> None:
        if isinstance(error, HookFailed):
            assert_type(error.name, str)
        elif isinstance(error, Undelivered):
            assert_type(error.messages, tuple[str | bytes, ...])
        elif isinstance(error, ConnectionFailed):
            assert_type(error.code, int | None)

    @connection.on_reconnect
    def again(event: ReconnectEvent) -> None:
        assert_type((event.retry, event.delay, event.reason), tuple[int, float, str])

    @connection.on_state
    async def entered(state: State) -> None: ...

    # A decorated function stays what it was, and may serve twice.
    connection.on_open = opened


def hooks_by_assignment(connection: Connection) -> None:
    async def opened(event: OpenEvent) -> None: ...
    def received(message: Message) -> None: ...
    def anything(argument: object) -> None: ...

    connection.on_open = opened
    connection.on_message = received
    connection.on_close = anything
    connection.on_error = anything
    connection.on_reconnect = lambda event: None
    connection.on_state = anything
    connection.on_open = None


async def wrong_uses(connection: Connection) -> None:
    def of_text_alone(message: str) -> None: ...
    def of_nothing() -> None: ...
    def of_close(event: CloseEvent) -> None: ...

    connection.on_message = of_text_alone  # type: ignore[assignment]
    connection.on_open = of_nothing  # type: ignore[assignment]
    connection.on_open = of_close  # type: ignore[assignment]
    connection.on_state = 5  # type: ignore[assignment]
    connection.on_message(of_text_alone)  # type: ignore[arg-type]
    connection.on_close(of_nothing)  # type: ignore[arg-type]
    connection.on_reconnect(of_close)  # type: ignore[arg-type]

    await connection.send(5)  # type: ignore[arg-type]
    await connection.send(None)  # type: ignore[arg-type]
    await connection.close("1000")  # type: ignore[arg-type]
    await connection.wait_open("5")  # type: ignore[arg-type]
    connection.state = State.OPEN  # type: ignore[misc]
    connection.no_such_hook = of_nothing  # type: ignore[attr-defined]

    connect()  # type: ignore[call-arg]
    connect(b"ws://example.com/")  # type: ignore[arg-type]
    connect("ws://example.com/", 5)  # type: ignore[arg-type, call-arg]
    connect("ws://example.com/", open_timeout="10")  # type: ignore[arg-type]
    connect("ws://example.com/", additional_headers={"X": 5})  # type: ignore[arg-type]
    connect("ws://example.com/", session="yes")  # type: ignore[arg-type]
    connect("ws://example.com/", session=Session("prefer", window="64"))  # type: ignore[arg-type]
    connect("ws://example.com/", heartbeat=15)  # type: ignore[arg-type]
    connect("ws://example.com/", proxy=False)  # type: ignore[arg-type]
    connect("ws://example.com/", pingTimeout=5)  # type: ignore[call-arg]
    connect("ws://example.com/", max_attempts=5)  # type: ignore[call-arg]
    connect("ws://example.com/", on_open=of_nothing)  # type: ignore[arg-type]
    sync.connect("ws://example.com/", on_message=of_close)  # type: ignore[arg-type]
    Fleet(on_message=of_text_alone)  # type: ignore[arg-type]
    Heartbeat(interval="15")  # type: ignore[arg-type]
    Heartbeat(message=5)  # type: ignore[arg-type]
    Backoff(initial=None)  # type: ignore[arg-type]
