"""Query strings, passwords, header values and messages never reach logs, reprs or the texts of errors."""

import asyncio
import base64
import gc
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from tests.client.servers import well_behaved
from tests.engines.peers import TEXT, Peer, close_frame, frame, raw_server, refusing_socks5_proxy
from tests.watch import IS_CPYTHON, PATIENCE, Run, until

from websocket_heartbeat import (
    Backoff,
    Connection,
    ConnectionFailed,
    HandshakeError,
    Heartbeat,
    ServerClosed,
    Session,
    connect,
)
from websocket_heartbeat.client.options import Options
from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.memory import MemoryEngine

SECRET = "hunter2"
"""Part of everything that is secret here."""

ENCODED = base64.b64encode(f"user:{SECRET}".encode()).decode()


def told(error: BaseException | None, seen: set[int] | None = None) -> Iterator[str]:
    """Yield everything that a log of this error and of what led to it would show."""
    seen = set() if seen is None else seen
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield str(error)
    yield repr(error)
    yield from told(error.__cause__, seen)
    if IS_CPYTHON or not error.__suppress_context__:  # PyPy keeps some that CPython has let go
        yield from told(error.__context__, seen)


class Ears:
    """All that a connection says in public."""

    def __init__(self, connection: Connection) -> None:
        self.heard: list[str] = []
        self.connection = connection
        connection.on_error = lambda error: self.heard.extend(told(error))
        connection.on_close = lambda event: self.heard.append(repr(event))
        connection.on_open = lambda event: self.heard.append(repr(event))
        connection.on_reconnect = lambda event: self.heard.append(repr(event))
        connection.on_state = lambda state: self.heard.append(f"{connection!r} {connection.stats!r}")

    async def to_the_end(self) -> None:
        try:
            await asyncio.wait_for(self.connection.wait_closed(), PATIENCE)
        except Exception as error:
            self.heard.extend(told(error))


async def accepts(peer: Peer) -> None:
    await peer.read_request()
    peer.write(peer.response() + frame(TEXT, f"message {SECRET}".encode()))
    await well_behaved(peer)


async def closes(peer: Peer) -> None:
    await peer.read_request()
    peer.write(peer.response() + frame(TEXT, f"message {SECRET}".encode()) + close_frame(4000, "go"))
    await peer.gone()


def rejects(*lines: str) -> Any:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        body = f"body {SECRET}".encode()
        head = [*lines, f"Content-Length: {len(body)}", f"Set-Cookie: session={SECRET}", "", ""]
        peer.write("\r\n".join(head).encode() + body)
        await peer.gone()

    return handler


async def breaks_the_protocol(peer: Peer) -> None:
    await peer.read_request()
    peer.write(peer.response() + frame(TEXT, f"bad {SECRET}".encode(), rsv=4))
    await peer.gone()


async def hangs_up(peer: Peer) -> None:
    await peer.read_request()
    peer.reset()


SCENES: dict[str, Any] = {
    "success": accepts,
    "closed": closes,
    "rejected": rejects("HTTP/1.1 403 Forbidden"),
    "rejected for now": rejects("HTTP/1.1 503 Unavailable"),
    "asked for credentials": rejects(
        "HTTP/1.1 401 Unauthorized", f'WWW-Authenticate: Basic realm="{SECRET}"'
    ),
    "garbage": rejects(f"NOTHTTP {SECRET}"),
    "no upgrade": rejects("HTTP/1.1 200 OK", f"X-Other: {SECRET}"),
    "redirect to itself": rejects("HTTP/1.1 302 Found", f"Location: /?token={SECRET}"),
    "redirect to nowhere": rejects("HTTP/1.1 302 Found", f"Location: ftp://user:{SECRET}@host/?t={SECRET}"),
    "redirect to a place with a key": rejects("HTTP/1.1 302 Found", f"Location: ftp://host/{SECRET}/"),
    "redirect to a broken URL": rejects("HTTP/1.1 302 Found", f"Location: ws://user:{SECRET}"),
    "redirect without a host": rejects("HTTP/1.1 302 Found", f"Location: ws:user:{SECRET}@host"),
    "wrong accept": rejects("HTTP/1.1 101 Switching Protocols", f"Sec-WebSocket-Accept: {SECRET}"),
    "protocol violation": breaks_the_protocol,
    "reset": hangs_up,
}


def check(heard: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert heard
    for text in [*heard, caplog.text, *(repr(record.__dict__) for record in caplog.records)]:
        assert SECRET not in text, text
        assert ENCODED not in text, text


@pytest.mark.parametrize("scene", SCENES)
def test_nothing_secret_is_told_when_a_link_meets(
    scene: str, run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    heard: list[str] = []

    async def main() -> None:
        async with raw_server(SCENES[scene]) as server:
            url = f"ws://user:{SECRET}@127.0.0.1:{server.port}/feed?token={SECRET}"

            async def headers() -> dict[str, str]:
                return {"X-Token": SECRET, "Cookie": f"session={SECRET}"}

            connection = connect(
                url,
                additional_headers=headers,
                heartbeat=Heartbeat(0.1, 5, message=f"heartbeat {SECRET}"),
                backoff=Backoff(0.05),
                max_retries=2,
            )
            ears = Ears(connection)
            async with connection:
                if scene == "success":
                    await connection.send(f"sent {SECRET}")
                    assert SECRET in str(await asyncio.wait_for(connection.recv(), PATIENCE))
                    await until(lambda: connection.stats.pings > 1)
                else:
                    await ears.to_the_end()
            heard.extend(ears.heard)

    caplog.set_level(logging.DEBUG, logger="asyncio")
    run_asyncio(main())
    gc.collect()
    check(heard, caplog)


@pytest.mark.parametrize("scene", SCENES)
def test_a_key_in_the_path_is_told_no_further_than_the_user_allows(
    scene: str, run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    heard: list[str] = []

    async def main() -> None:
        async with raw_server(SCENES[scene]) as server:
            connection = connect(
                f"ws://127.0.0.1:{server.port}/ws/{SECRET}/feed?token={SECRET}",
                shown_path=lambda path: path[:4] + "...",
                backoff=Backoff(0.05),
                max_retries=1,
            )
            ears = Ears(connection)
            async with connection:
                if scene == "success":
                    await until(lambda: connection.stats.links)
                else:
                    await ears.to_the_end()
            heard.extend(ears.heard)
        assert f"ws://127.0.0.1:{server.port}/ws/...?..." in repr(connection)

    run_asyncio(main())
    check(heard, caplog)


@pytest.mark.parametrize("shown", [lambda path: 1 / 0, lambda path: None, lambda path: 5])
def test_a_path_of_which_is_not_known_what_may_be_shown_is_hidden(
    shown: Any, run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        engine = MemoryEngine()
        url = f"ws://example.com/ws/{SECRET}"
        async with connect(lambda: url, shown_path=shown, engine=engine) as connection:
            await connection.wait_open()
            assert repr(connection).startswith("<Connection ws://example.com/(hidden) open")
        assert repr(engine.requests[0]) == "OpenRequest(ws://example.com/(hidden))"

    caplog.set_level(logging.DEBUG)
    run_asyncio(main())
    check([caplog.text], caplog)
    assert "shown_path" in caplog.text


@pytest.mark.parametrize("kind", ["header value", "header name", "swapped", "url", "url without a host"])
def test_nothing_secret_is_told_when_a_callable_returns_rubbish(
    kind: str, run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    heard: list[str] = []
    headers: dict[str, Any] = {
        "header value": {"Authorization": f"Bearer {SECRET}\n"},
        "header name": {f"Authorization: Bearer {SECRET}": ""},
        "swapped": [(f"Bearer {SECRET}", "Authorization")],
    }
    urls = {
        "url": f"http://user:{SECRET}@example.com/?token={SECRET}",
        "url without a host": f"user:{SECRET}@example.com/?token={SECRET}",
    }

    async def main() -> None:
        connection = connect(
            (lambda: urls[kind]) if kind in urls else f"ws://127.0.0.1:9/?token={SECRET}",
            additional_headers=lambda: headers.get(kind),
            max_retries=0,
        )
        ears = Ears(connection)
        async with connection:
            await ears.to_the_end()
        heard.extend(ears.heard)

    run_asyncio(main())
    check(heard, caplog)


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": f"http://user:{SECRET}@example.com/?token={SECRET}"},
        {"url": f"user:{SECRET}@example.com/"},
        {"url": f"wss:/user:{SECRET}@example.com/"},
        {"url": f"//user:{SECRET}@/"},
        {"url": f"ws://user:{SECRET}@example.com:port/?token={SECRET}"},
        {"url": f"ws://user:{SECRET}@example.com/#{SECRET}"},
        {"url": f"ws://user:{SECRET}@example.com:99999/?token={SECRET}"},
        {"url": f"ws://user:{SECRET}@a..b/?token={SECRET}\ud800"},
        {"url": f"ws://user:{SECRET}@example.com/?token={SECRET} "},
        {"additional_headers": {f"Authorization: Bearer {SECRET}": ""}},
        {"additional_headers": {"Authorization": f"Bearer {SECRET}\r\n"}},
        {"additional_headers": [f"Authorization: {SECRET}"]},
        {"additional_headers": f"Authorization: {SECRET}"},
        {"subprotocols": [f"bearer.{SECRET}="]},
        {"subprotocols": [f"{SECRET} {SECRET}"]},
        {"user_agent_header": f"{SECRET}\n"},
        {"proxy": f"ftp://user:{SECRET}@proxy/"},
        {"proxy": f"user:{SECRET}@proxy:3128"},
        {"heartbeat": Heartbeat(message=f"{SECRET}\ud800")},
        {"heartbeat": Heartbeat(message=SECRET * 10), "max_size": 10},
    ],
)
def test_nothing_secret_is_told_when_an_argument_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        connect(**{"url": "ws://example.com/", **arguments})
    assert all(SECRET not in text for text in told(caught.value)), list(told(caught.value))


def test_a_password_that_looks_like_a_port_is_not_told() -> None:
    with pytest.raises(ValueError, match="url cannot be read") as caught:
        connect("ws://user:987654/321@example.com/")
    assert all("987654" not in text for text in told(caught.value)), list(told(caught.value))


def test_nothing_secret_is_told_when_a_message_is_refused(run_asyncio: Run) -> None:
    async def main() -> None:
        connection = connect("ws://127.0.0.1:9/", max_size=10)
        for message in (SECRET * 10, f"{SECRET}\ud800", SECRET.encode() * 10, [SECRET]):
            with pytest.raises((TypeError, ValueError)) as caught:
                connection.send_nowait(message)  # type: ignore[arg-type]
            assert all(SECRET not in text for text in told(caught.value))

    run_asyncio(main())


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_the_password_of_a_proxy_is_told_to_the_proxy_alone(
    scheme: str, run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    heard: list[str] = []
    handler = refusing_socks5_proxy if scheme == "socks5" else rejects(f"HTTP/1.1 407 {SECRET}")

    async def main() -> None:
        async with raw_server(handler) as server:
            for port in (server.port, 9):
                connection = connect(
                    f"ws://example.com/?token={SECRET}",
                    proxy=f"{scheme}://user:{SECRET}@127.0.0.1:{port}",
                    max_retries=0,
                    open_timeout=5,
                )
                ears = Ears(connection)
                async with connection:
                    await ears.to_the_end()
                heard.extend(ears.heard)

    run_asyncio(main())
    check(heard, caplog)


@pytest.mark.parametrize("ends_by", ["close frame", "error of the attempt"])
def test_what_a_server_says_forges_no_line_of_a_log(
    ends_by: str, run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = "bye\nERROR forged\x1b[2J\r\x9b"
    shown = r"bye\nERROR forged\x1b[2J\r\x9b"
    raised: list[Exception] = []

    async def main() -> None:
        engine = MemoryEngine()

        async def refuse(request: OpenRequest) -> None:
            if ends_by == "error of the attempt":
                raise HandshakeError(said)

        engine.answer = refuse
        connection = connect("ws://example.com/", engine=engine, max_retries=0, retry_if=raised.append)
        async with connection:
            if ends_by == "close frame":
                await connection.wait_open()
                engine.peers[0].close(4000, said)
            await until(lambda: connection.closed)
            with pytest.raises(ConnectionFailed) as failed:
                await connection.wait_closed()
        assert shown in str(failed.value)
        assert shown in connection.stats.reasons[0]
        if isinstance(raised[0], ServerClosed):
            assert raised[0].reason == said
            assert shown in str(raised[0])

    run_asyncio(main())
    assert shown in caplog.text
    assert not any(c in record.getMessage() for record in caplog.records for c in "\n\x1b\r\x9b")


def test_reprs_tell_nothing_secret(run_asyncio: Run) -> None:
    async def main() -> None:
        heartbeat = Heartbeat(message=SECRET)
        engine = MemoryEngine()
        options = Options(
            f"ws://user:{SECRET}@example.com/feed?token={SECRET}",
            additional_headers={"Cookie": SECRET},
            user_agent_header=None,
            subprotocols=(),
            heartbeat=heartbeat,
            message_timeout=None,
            backoff=Backoff(),
            open_timeout=10,
            close_timeout=5,
            max_retries=None,
            send_queue=256,
            send_queue_bytes=2**24,
            receive_queue=256,
            receive_queue_bytes=2**24,
            receive_policy="pause",
            max_size=2**20,
            compression=False,
            ssl=None,
            proxy=f"http://user:{SECRET}@proxy:1",
            unix_path=None,
            local_addr=None,
            server_hostname=None,
            engine=engine,
            shown_path=None,
            final_close_codes=(),
            dismissal=f"{SECRET} bye",
            session=Session("off"),
            retry_if=None,
            name=None,
        )
        async with Connection(options) as connection:
            await connection.wait_open()
            stats = connection.stats
        assert SECRET in str(engine.requests[0].headers)
        for thing in (connection, heartbeat, options, engine.requests[0], stats):
            assert SECRET not in repr(thing)
            assert SECRET not in str(thing)

    run_asyncio(main())


def test_what_a_hook_raises_is_told_to_the_user_and_only_its_place_to_the_log(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[Exception] = []
    heard: list[str] = []

    def careless(message: object) -> None:
        raise ValueError(f"cannot read {message!r}")

    async def careless_later(message: object) -> None:
        careless(message)

    async def main() -> None:
        for hook in (careless, careless_later):
            engine = MemoryEngine()
            connection = connect("ws://example.com/", engine=engine)
            connection.on_message = hook
            connection.on_error = errors.append
            async with connection:
                await connection.wait_open()
                engine.peers[0].send(SECRET)
                await until(lambda: errors)
            assert SECRET in str(errors[-1].__cause__)
            heard.append(repr(errors.pop()))

    run_asyncio(main())
    check(heard, caplog)
    assert caplog.text.count(f"on_message raised ValueError at {__file__}:") == 2


@pytest.mark.parametrize("is_chosen", [False, True])
def test_the_text_of_what_a_hook_raises_is_logged_by_choice_alone_and_escaped(
    is_chosen: bool, run_asyncio: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="websocket_heartbeat")
    if is_chosen:
        caplog.set_level(logging.DEBUG, logger="websocket_heartbeat.tracebacks")

    def careless(message: object) -> None:
        raise ValueError(f"cannot read {message}")

    async def main() -> None:
        engine = MemoryEngine()
        connection = connect("ws://example.com/", engine=engine)
        connection.on_message = careless
        async with connection:
            await connection.wait_open()
            engine.peers[0].send(f"{SECRET}\nERROR forged\x1b[2J")
            await until(lambda: "on_message" in caplog.text)

    run_asyncio(main())
    told = [record for record in caplog.records if SECRET in record.getMessage()]
    if not is_chosen:
        assert told == []
        return
    assert [(record.name, record.levelname) for record in told] == [
        ("websocket_heartbeat.tracebacks", "DEBUG")
    ]
    first, *rest = told[0].getMessage().split("\n")
    assert first == (
        rf"ws://example.com/: on_message raised ValueError: cannot read {SECRET}\nERROR forged\x1b[2J"
    )
    assert "in careless" in rest[-2]
