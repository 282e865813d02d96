"""Whatever a server says that has sessions, or seems to: the client hangs nowhere, and says how it ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import websockets
from tests.engines.peers import TEXT, Peer, frame, raw_server
from tests.server.sessions.test_sessions import running, session, told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Connection, ConnectionFailed, Session, State
from websocket_heartbeat.client import greeter
from websocket_heartbeat.controls import SUBPROTOCOL
from websocket_heartbeat.core.session import CHARACTERS
from websocket_heartbeat.errors import HandshakeError, SessionNotOffered, SessionOver, Undelivered
from websocket_heartbeat.server import Hub
from websocket_heartbeat.testing import FaultProxy

GREETING = '{"session":1,"window":[256,262144],"max":1048576,"ttl":120,"protocol":""}'
WELCOME = '{"welcome":"new","key":"ID.SECRET"}'
SAID = "what the client says"


@asynccontextmanager
async def server_that(handle: Callable[[Any], Awaitable[object]]) -> AsyncIterator[str]:
    """Run a server that selects the subprotocol, whose links are handled so; yield its URL."""

    async def handler(ws: Any) -> None:
        with suppress(websockets.ConnectionClosed):
            await handle(ws)

    protocols = [websockets.Subprotocol(SUBPROTOCOL)]
    async with websockets.serve(
        handler, "127.0.0.1", 0, subprotocols=protocols, max_size=None, logger=logging.getLogger("hostile")
    ) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def saying(*frames: str | bytes) -> Callable[[Any], Awaitable[None]]:
    """Return a handler that says this, and then listens."""

    async def handle(ws: Any) -> None:
        for text in frames:
            await (ws.recv() if text == SAID else ws.send(text))
        async for _ in ws:
            pass

    return handle


def errors_of(connection: Connection) -> list[Exception]:
    errors: list[Exception] = []
    connection.on_error = errors.append
    return errors


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([GREETING, GREETING], id="greets twice"),
        pytest.param([GREETING, WELCOME, WELCOME], id="welcomes twice"),
        pytest.param([GREETING, "Bx"], id="sends a message before the welcome"),
        pytest.param([GREETING, SAID, '{"welcome":"new"}'], id="welcomes without a key"),
        pytest.param([GREETING, SAID, '{"welcome":"new","key":""}'], id="welcomes with an empty key"),
        pytest.param([GREETING, SAID, '{"welcome":"resumed","in":[5,6]}'], id="resumes what there is not"),
        pytest.param([GREETING, SAID, '{"welcome":"reset","key":"a.b","why":"x"}'], id="resets nothing"),
        pytest.param([GREETING, SAID, '{"welcome":"come in"}'], id="welcomes otherwise"),
        pytest.param([GREETING, SAID, WELCOME, "=99"], id="acknowledges the future"),
        pytest.param([GREETING, SAID, WELCOME, "=" + "9" * 4000], id="acknowledges too many digits"),
        pytest.param([GREETING, SAID, WELCOME, "=-1"], id="acknowledges less than nothing"),
        pytest.param([GREETING, SAID, WELCOME, "=\u0661"], id="acknowledges in other digits"),
        pytest.param([GREETING, SAID, WELCOME, "?5"], id="counts what it has not sent"),
        pytest.param([GREETING, SAID, WELCOME, "Zx"], id="sends what comes later"),
        pytest.param([GREETING, SAID, WELCOME, ""], id="sends an empty frame"),
        pytest.param([GREETING, SAID, WELCOME, b""], id="sends an empty binary frame"),
        pytest.param([GREETING, SAID, WELCOME, b"=1"], id="acknowledges in binary"),
        pytest.param([GREETING, SAID, WELCOME, b"\xff\xff"], id="sends binary nonsense"),
        pytest.param(
            [GREETING, SAID, WELCOME, '{"end":"' + "x" * 5000 + '"}'], id="sends too long a control"
        ),
        pytest.param([GREETING, SAID, WELCOME, '{"a":' * 600 + "1" + "}" * 600], id="nests a control deeply"),
        pytest.param(
            [GREETING, SAID, WELCOME, '{"x":"' + "y" * 10_000_000 + '"}'], id="sends 10 MB of control"
        ),
        pytest.param([GREETING, SAID, WELCOME, '{"end":"\\ud800"}'], id="ends with what is no text"),
        pytest.param([GREETING, SAID, WELCOME, '{"end":1}'], id="ends with a number"),
        pytest.param([GREETING, SAID, WELCOME, '{"hello":1,"window":[1,1],"max":1}'], id="says hello itself"),
    ],
)
def test_a_server_that_breaks_the_protocol_is_left_and_tried_again_and_what_was_sent_is_told(
    run_asyncio: Run, frames: list[str | bytes], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        links = 0

        async def handle(ws: Any) -> None:
            nonlocal links
            links += 1
            await saying(*frames)(ws)

        async with server_that(handle) as url:
            connection = session(url, close_timeout=0.5)
            events, errors = told(connection), errors_of(connection)
            async with connection:
                await connection.send("kept")
                await until(lambda: links > 4)
            uncertain = [message for event in events for message in event.uncertain]
            for error in errors:
                if isinstance(error, Undelivered):
                    uncertain += error.messages
            assert uncertain == ["kept"]
            assert {event.kind for event in events} <= {"new", "reset"}
            assert {event.why for event in events} <= {"", "broken"}
            assert any(isinstance(error, HandshakeError) for error in errors)

    run_asyncio(main())
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "first", ['{"end":"of the world"}', WELCOME, "hello", b"\x00", "", '{"a":1}', GREETING[:-1]]
)
def test_what_a_server_says_first_that_knows_no_sessions_is_a_message(
    run_asyncio: Run, first: str | bytes
) -> None:
    async def main() -> None:
        async with server_that(saying(first, "second")) as url:
            async with session(url, "prefer") as connection, asyncio.timeout(PATIENCE):
                assert [await connection.recv(), await connection.recv()] == [first, "second"]
            with pytest.raises(ConnectionFailed) as failed:
                async with session(url, "require") as connection, asyncio.timeout(PATIENCE):
                    await connection.recv()
            assert isinstance(failed.value.__cause__, SessionNotOffered)

    run_asyncio(main())


def test_a_server_that_closes_its_links_for_breaking_the_protocol_gives_the_session_up_after_three(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        resumes = 0

        async def handle(ws: Any) -> None:
            nonlocal resumes
            await ws.send(GREETING)
            if "resume" in await ws.recv():
                resumes += 1
                await ws.close(4490 if resumes % 2 else 4492)
            else:
                await ws.send(WELCOME)
                if not resumes:
                    await ws.recv()
                    await ws.close(1001)
                await ws.wait_closed()

        async with server_that(handle) as url, session(url, close_timeout=0.5) as connection:
            events = told(connection)
            await connection.send("kept")
            await until(lambda: len(events) == 3)
            assert resumes == 3
            assert [(event.kind, event.why) for event in events] == [
                ("new", ""),
                ("reset", "broken"),
                ("new", ""),
            ]
            assert events[1].uncertain == ("kept",)

    run_asyncio(main())


@pytest.mark.parametrize("before", [[GREETING], [GREETING, SAID], [GREETING, SAID, WELCOME]])
def test_a_final_close_code_ends_the_connection_at_each_step_of_the_handshake(
    run_asyncio: Run, before: list[str]
) -> None:
    async def main() -> None:
        links = 0

        async def handle(ws: Any) -> None:
            nonlocal links
            links += 1
            for text in before:
                await (ws.recv() if text == SAID else ws.send(text))
            await ws.close(4500, "gone")

        async with server_that(handle) as url:
            with pytest.raises(ConnectionFailed):
                async with session(url) as connection, asyncio.timeout(PATIENCE):
                    await connection.wait_closed()
            assert (connection.state, links) == (State.FAILED, 1)

    run_asyncio(main())


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_client_that_was_dismissed_does_not_come_back_though_its_link_is_lost_before_it_has_handled_all(
    run_asyncio: Run, is_cut: bool
) -> None:
    async def main() -> None:
        links = 0

        async def handle(ws: Any) -> None:
            nonlocal links
            links += 1
            for text in (GREETING, SAID, WELCOME, "Bone", "Ctwo", '{"end":"away"}'):
                await (ws.recv() if text == SAID else ws.send(text))
            await ws.recv()
            if is_cut:
                ws.transport.abort()
            else:
                await ws.close(1001)

        async with server_that(handle) as url:
            messages: list[object] = []
            connection = session(url)
            events = told(connection)

            async def use() -> None:
                async with connection, asyncio.timeout(PATIENCE):
                    await connection.send("unheard")
                    messages.append(await connection.recv())
                    await until(lambda: connection.state is State.FAILED)
                    async for message in connection:
                        messages.append(message)

            with pytest.raises(ConnectionFailed, match="away"):
                await use()
            assert (messages, links) == (["one", "two"], 1)
            assert [event.kind for event in events] == ["new", "over"]
            assert events[1].uncertain == ("unheard",)

    run_asyncio(main())


def test_an_end_that_is_said_twice_is_one(run_asyncio: Run) -> None:
    async def main() -> None:
        links = 0

        async def handle(ws: Any) -> None:
            nonlocal links
            links += 1
            await saying(GREETING, SAID, WELCOME, "Bone", '{"end":"away"}', '{"end":"again"}')(ws)

        async with server_that(handle) as url:
            connection = session(url)
            events = told(connection)

            async def use() -> None:
                async with connection, asyncio.timeout(PATIENCE):
                    await until(lambda: connection.state is State.FAILED)
                    assert await connection.recv() == "one"
                    await connection.recv()

            with pytest.raises(ConnectionFailed, match="away"):
                await use()
            assert ([event.kind for event in events], links) == (["new", "over"], 1)

    run_asyncio(main())


@pytest.mark.parametrize("last", ["=99", '{"end":"away"}'])
def test_a_link_that_is_of_no_use_is_dropped_though_its_server_does_not_close_it(
    run_asyncio: Run, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(greeter, "CLOSED_WITHIN", 0.2)

    async def main() -> None:
        ended = 0
        opened = asyncio.Event()

        async def handle(peer: Peer) -> None:
            nonlocal ended
            await peer.read_request()
            peer.writer.write(peer.response(f"Sec-WebSocket-Protocol: {SUBPROTOCOL}"))
            peer.writer.write(frame(TEXT, GREETING.encode()))
            with suppress(ConnectionError):
                await peer.reader.read(65536)
                peer.writer.write(frame(TEXT, WELCOME.encode()))
                await opened.wait()
                peer.writer.write(frame(TEXT, last.encode()))
                while await peer.reader.read(65536):
                    pass
            ended += 1

        async with raw_server(handle) as server:
            connection = session(f"ws://127.0.0.1:{server.port}/")
            connection.on_error = lambda error: None
            connection.on_open = lambda event: opened.set()
            connection.start()
            await until(lambda: ended > 0)
            await connection.close()

    run_asyncio(main())


def test_the_words_of_a_server_reach_no_log_raw(run_asyncio: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    words = "\\u001b[31mred\\n\\u0000\\u202e"

    async def main() -> None:
        for last in (f'{{"welcome":"over","why":"{words}"}}', WELCOME):
            frames = [GREETING, SAID, last]
            if last == WELCOME:
                frames.append(f'{{"end":"{words}"}}')
            async with server_that(saying(*frames)) as url:
                connection = session(url)
                events = told(connection)
                with pytest.raises(ConnectionFailed) as failed:
                    async with connection, asyncio.timeout(PATIENCE):
                        await connection.wait_closed()
                assert events[-1].why == "\x1b[31mred\n\0\u202e"  # what the user gets is what was said
                for error in (failed.value, failed.value.__cause__):
                    assert "red" in str(error)
                    assert not set(str(error)) & set("\x1b\n\0\u202e")

    run_asyncio(main())
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("websocket_heartbeat")]
    assert any("red" in line for line in ours)
    assert not any(set(line) & set("\x1b\n\0\u202e") for line in ours)


def test_a_server_that_never_acknowledges_holds_no_more_than_its_window_and_the_close_ends(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        for window in ("[0,0]", "[3,100000]", "[100000,10]"):
            greeting = GREETING.replace("[256,262144]", window)
            async with server_that(saying(greeting, SAID, WELCOME)) as url:
                connection = session(url, close_timeout=0.3)
                errors, events = errors_of(connection), told(connection)
                async with connection:
                    await until(lambda: events != [])  # noqa: B023
                    accepted = 0

                    async def send() -> None:
                        nonlocal accepted
                        while True:
                            await connection.send("x" * 6)  # noqa: B023
                            accepted += 1

                    sending = asyncio.create_task(send())
                    await asyncio.sleep(0.2)
                    sending.cancel()
                    bound = accepted
                assert bound < 300  # as many wait at most to be sent
                undelivered = sum(len(error.messages) for error in errors if isinstance(error, Undelivered))
                assert undelivered == bound

    run_asyncio(main())


def test_a_server_that_takes_no_message_is_told_of_and_nothing_stands_still(run_asyncio: Run) -> None:
    async def main() -> None:
        async with server_that(saying(GREETING.replace("1048576", "0"), SAID, WELCOME)) as url:
            connection = session(url, close_timeout=0.5)
            errors, events = errors_of(connection), told(connection)
            async with connection:
                await until(lambda: events != [])
                for _ in range(1000):
                    await connection.send("x")
                await connection.flush()
            assert [error.messages for error in errors if isinstance(error, Undelivered)] == [("x",)] * 1000

    run_asyncio(main())


def test_messages_beyond_twice_the_window_end_the_link_of_a_client_that_does_not_take_them(
    run_asyncio: Run,
) -> None:
    async def main() -> None:
        flood = [CHARACTERS[(number + 1) % 64] + "m" for number in range(1000)]
        codes: list[int] = []

        async def handle(ws: Any) -> None:
            for text in (GREETING, SAID, WELCOME):
                await (ws.recv() if text == SAID else ws.send(text))
            with suppress(websockets.ConnectionClosed):
                for text in flood:
                    await ws.send(text)
            await ws.wait_closed()
            codes.append(ws.close_code)

        async with server_that(handle) as url:
            connection = session(url, Session("require", window=256), close_timeout=0.5)
            events = told(connection)
            async with connection:
                await until(lambda: any(event.why == "broken" for event in events))
            await until(lambda: codes != [])
            assert codes[0] == 4490

    run_asyncio(main())


def test_a_message_that_no_link_takes_any_more_is_uncertain_and_not_sent_for_ever(run_asyncio: Run) -> None:
    """A server may be restarted with a smaller max_size, while a larger message waits for it."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            hub = Hub(sessions="memory", on_message=lambda *_: None)
            large = await stack.enter_async_context(running(hub))
            small = await stack.enter_async_context(running(hub, max_size=1000))
            proxy = await stack.enter_async_context(FaultProxy("127.0.0.1", large.port))
            url = f"ws://127.0.0.1:{proxy.port}/"
            connection = session(lambda: url)
            events = told(connection)
            await stack.enter_async_context(connection)
            await connection.send("x")
            await connection.flush()
            proxy.freeze()
            await connection.send("x" * 5000)
            url = small.url()
            connection.reconnect_now()
            await until(lambda: events[-1].kind == "new" and len(events) > 1)
            (told_of,) = [event for event in events if event.kind == "reset"]
            assert (told_of.why, told_of.uncertain) == ("broken", ("x" * 5000,))

    run_asyncio(main())


def test_over_after_a_hello_fails_the_connection(run_asyncio: Run) -> None:
    async def main() -> None:
        async with server_that(saying(GREETING, SAID, '{"welcome":"over","why":"banned"}')) as url:
            with pytest.raises(ConnectionFailed, match="banned") as failed:
                async with session(url) as connection, asyncio.timeout(PATIENCE):
                    await connection.wait_closed()
            assert isinstance(failed.value.__cause__, SessionOver)

    run_asyncio(main())
