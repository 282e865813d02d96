"""Bad input fails where the user wrote it, with the argument and its value, and breaks nothing else."""

import asyncio
import math
import re
import ssl
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.client.conftest import World, provoke_every_hook
from tests.client.servers import well_behaved
from tests.engines.peers import TEXT, Peer, frame, ws_server
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat import (
    Backoff,
    ConnectionFailed,
    Dialect,
    EngineNotInstalled,
    Fleet,
    Heartbeat,
    HookFailed,
    MessageTooBig,
    ProxyFailed,
    connect,
    sync,
)
from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.memory import MemoryEngine
from websocket_heartbeat.server import serve

URL = "ws://example.com/"


async def a_coroutine_function(*_: object) -> Any: ...


def a_generator_function(*_: object) -> Any:
    yield


@pytest.mark.parametrize(
    ("arguments", "error", "names"),
    [
        (
            {"url": "http://u:p@example.com/a?q"},
            ValueError,
            ["url", "ws://", "not 'http://example.com/a?...'; did you mean 'ws://example.com/a?...'?"],
        ),
        ({"url": "https://example.com/"}, ValueError, ["did you mean 'wss://example.com/'?"]),
        ({"url": "example.com/feed"}, ValueError, ["url", "ws://", "did you mean 'ws://example.com'?"]),
        ({"url": "localhost:8765"}, ValueError, ["did you mean 'ws://localhost:8765'?"]),
        ({"url": "localhost"}, ValueError, ["did you mean 'ws://localhost'?"]),
        ({"url": "127.0.0.1:8765/feed?token=1"}, ValueError, ["did you mean 'ws://127.0.0.1:8765'?"]),
        ({"url": "backend:8765/feed"}, ValueError, ["did you mean 'ws://backend:8765'?"]),
        ({"on_open": 5}, TypeError, ["on_open", "callable", "5"]),
        ({"on_message": lambda: None}, TypeError, ["on_message", "1 argument"]),
        ({"on_session": lambda a, b: None}, TypeError, ["on_session", "1 argument"]),
        ({"url": ""}, ValueError, ["url"]),
        ({"url": "ws://"}, ValueError, ["url", "host"]),
        ({"url": "ws:///path"}, ValueError, ["url", "host"]),
        ({"url": "ws://example.com/#part"}, ValueError, ["url", "fragment", "example.com"]),
        ({"url": "ws://example.com:0/"}, ValueError, ["url", "port from 1", "example.com"]),
        (
            {"url": "ws://u:p@example.com:70000/?q"},
            ValueError,
            ["url", "ws://example.com:70000 ", "0 to 65535"],
        ),
        ({"url": "ws://example.com:port/"}, ValueError, ["url"]),
        ({"url": "ws://[::1/"}, ValueError, ["url"]),
        ({"url": "ws://example.com/a b"}, ValueError, ["url", "space", "contains ' '"]),
        ({"url": "ws://example.com/a\nb"}, ValueError, ["url", "control", r"contains '\n'"]),
        ({"url": "ws://example.com/\n"}, ValueError, ["url", r"ends with '\n'"]),
        ({"url": " ws://example.com/"}, ValueError, ["url", "begins with ' '"]),
        ({"url": "ws://a..b/"}, ValueError, ["url", "host", "a..b"]),
        ({"url": f"ws://{'a' * 64}.com/"}, ValueError, ["url", "host"]),
        ({"url": "ws://example.com/\ud800"}, ValueError, ["url"]),
        ({"url": b"ws://example.com/"}, TypeError, ["url", "bytes"]),
        ({"url": None}, TypeError, ["url", "NoneType"]),
        ({"additional_headers": "Cookie: a=b"}, TypeError, ["additional_headers", "str"]),
        ({"additional_headers": 5}, TypeError, ["additional_headers", "int"]),
        ({"additional_headers": {"X": 5}}, TypeError, ["additional_headers['X']", "int"]),
        ({"additional_headers": {"X": None}}, TypeError, ["additional_headers['X']", "NoneType"]),
        ({"additional_headers": {5: "a"}}, TypeError, ["a name in additional_headers", "int"]),
        ({"additional_headers": ["ab"]}, TypeError, ["additional_headers", "tuples", "not str"]),
        ({"additional_headers": {"": "v"}}, ValueError, ["additional_headers"]),
        ({"additional_headers": {"Näme": "v"}}, ValueError, ["additional_headers", "N"]),
        ({"additional_headers": {"Name:": "v"}}, ValueError, ["additional_headers", "Name"]),
        ({"additional_headers": {"Name": "a\r\nEvil: b"}}, ValueError, ["additional_headers", "Name"]),
        ({"additional_headers": {"Sec-WebSocket-Protocol": "x"}}, ValueError, ["subprotocols="]),
        ({"additional_headers": [("connection", "Upgrade")]}, ValueError, ["connection", "leave it out"]),
        ({"additional_headers": {"Name": "ä"}}, ValueError, ["additional_headers", "Name"]),
        ({"subprotocols": "chat"}, TypeError, ["subprotocols", "chat"]),
        ({"subprotocols": None}, TypeError, ["subprotocols", "None"]),
        ({"subprotocols": [5]}, TypeError, ["subprotocols[0]"]),
        ({"subprotocols": ["ok", "a, b"]}, ValueError, ["subprotocols[1]"]),
        ({"subprotocols": ["a\r\nEvil: b"]}, ValueError, ["subprotocols[0]"]),
        ({"heartbeat": 15}, TypeError, ["heartbeat", "not 15; write Heartbeat(interval=15)"]),
        ({"heartbeat": None}, TypeError, ["heartbeat", "None; with Heartbeat(interval=3600)", "an hour"]),
        ({"heartbeat": False}, TypeError, ["heartbeat", "False; with Heartbeat(interval=3600)"]),
        ({"heartbeat": "ping"}, TypeError, ["heartbeat", "Heartbeat(message=...)"]),
        ({"heartbeat": Heartbeat(message="x" * 11), "max_size": 10}, ValueError, ["Heartbeat.message", "11"]),
        ({"heartbeat": Heartbeat(message="\ud800")}, ValueError, ["Heartbeat.message"]),
        ({"backoff": 1.5}, TypeError, ["backoff", "1.5"]),
        ({"open_timeout": 0}, ValueError, ["open_timeout", "0"]),
        ({"open_timeout": -1}, ValueError, ["open_timeout", "-1"]),
        ({"open_timeout": None}, TypeError, ["open_timeout", "None"]),
        ({"open_timeout": "10"}, TypeError, ["open_timeout", "'10'"]),
        ({"open_timeout": math.inf}, ValueError, ["open_timeout", "inf"]),
        ({"open_timeout": 10**400}, ValueError, ["open_timeout"]),
        ({"open_timeout": 1e9}, ValueError, ["open_timeout", "1000000000"]),
        ({"close_timeout": math.nan}, ValueError, ["close_timeout", "nan"]),
        ({"close_timeout": -0.5}, ValueError, ["close_timeout", "-0.5"]),
        ({"close_timeout": True}, TypeError, ["close_timeout", "True"]),
        ({"max_retries": -1}, ValueError, ["max_retries", "-1"]),
        ({"max_retries": 1.5}, TypeError, ["max_retries", "1.5"]),
        ({"send_queue": -1}, ValueError, ["send_queue", "-1"]),
        ({"send_queue": None}, TypeError, ["send_queue", "None"]),
        ({"receive_queue": 0}, ValueError, ["receive_queue", "0"]),
        ({"max_size": 0}, ValueError, ["max_size", "0"]),
        ({"max_size": None}, TypeError, ["max_size", "None"]),
        ({"compression": "deflate"}, TypeError, ["compression", "'deflate'"]),
        ({"compression": True, "engine": "aiohttp"}, ValueError, ["compression", "'aiohttp'"]),
        ({"ssl": True}, TypeError, ["ssl", "True", "wss:// in the URL is what asks for TLS"]),
        (
            {"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)},
            ValueError,
            ["ssl", "context for servers", "ssl.create_default_context()"],
        ),
        ({"proxy": "ftp://proxy/"}, ValueError, ["proxy", "ftp://proxy/"]),
        ({"proxy": "proxy:3128"}, ValueError, ["proxy", "did you mean 'http://proxy:3128'?"]),
        ({"proxy": False}, TypeError, ["proxy", "bool"]),
        ({"user_agent_header": "a\r\nb"}, ValueError, ["user_agent_header"]),
        ({"user_agent_header": "ä"}, ValueError, ["user_agent_header", "ASCII"]),
        ({"user_agent_header": 5}, TypeError, ["user_agent_header", "int"]),
        ({"unix_path": ""}, ValueError, ["unix_path"]),
        ({"unix_path": 5}, TypeError, ["unix_path", "5"]),
        ({"unix_path": b"/run/ws"}, TypeError, ["unix_path", "/run/ws"]),
        ({"unix_path": "/run/ws", "proxy": "http://proxy"}, ValueError, ["unix_path", "proxy", "/run/ws"]),
        ({"unix_path": "/run/ws", "local_addr": ("::1", 0)}, ValueError, ["unix_path", "local_addr"]),
        ({"local_addr": "127.0.0.1"}, TypeError, ["local_addr", "'127.0.0.1'"]),
        ({"local_addr": ("127.0.0.1",)}, TypeError, ["local_addr"]),
        ({"local_addr": ("127.0.0.1", "80")}, TypeError, ["local_addr", "'80'"]),
        ({"local_addr": ("127.0.0.1", 65536)}, ValueError, ["local_addr", "65536"]),
        ({"local_addr": ("localhost", 0)}, ValueError, ["local_addr", "'localhost'"]),
        ({"server_hostname": ""}, ValueError, ["server_hostname", "''"]),
        ({"server_hostname": "a..b"}, ValueError, ["server_hostname", "'a..b'"]),
        ({"server_hostname": "a b"}, ValueError, ["server_hostname", "'a b'"]),
        ({"server_hostname": 5}, TypeError, ["server_hostname", "5"]),
        (
            {"server_hostname": "a.example", "url": "ws://example.com/"},
            ValueError,
            ["server_hostname", "'a.example'", "ws"],
        ),
        ({"shown_path": 4}, TypeError, ["shown_path", "4"]),
        ({"shown_path": a_coroutine_function}, TypeError, ["shown_path", "coroutine"]),
        ({"engine": "nonsense"}, ValueError, ["engine", "'nonsense'", "'websockets'"]),
        ({"engine": None}, ValueError, ["engine", "None"]),
        ({"final_close_codes": 4001}, TypeError, ["final_close_codes", "4001"]),
        ({"final_close_codes": ["4001"]}, TypeError, ["final_close_codes", "4001"]),
        ({"retry_if": True}, TypeError, ["retry_if", "True"]),
        ({"retry_if": a_coroutine_function}, TypeError, ["retry_if", "coroutine"]),
        ({"retry_if": a_generator_function}, TypeError, ["retry_if", "yield"]),
        ({"session": True}, ValueError, ["session", "prefer", "True"]),
        ({"no_such_option": 1}, TypeError, ["no_such_option"]),
    ],
)
def test_connect_refuses(arguments: dict[str, Any], error: type[Exception], names: list[str]) -> None:
    with pytest.raises(error) as caught:
        connect(**{"url": URL, **arguments})
    assert all(name in str(caught.value) for name in names), str(caught.value)


@pytest.mark.parametrize(
    ("make", "error", "names"),
    [
        (lambda: Heartbeat(interval=0), ValueError, ["Heartbeat.interval", "0"]),
        (lambda: Heartbeat(interval=-3), ValueError, ["Heartbeat.interval", "-3"]),
        (lambda: Heartbeat(interval=math.inf), ValueError, ["Heartbeat.interval", "inf"]),
        (lambda: Heartbeat(interval=math.nan), ValueError, ["Heartbeat.interval", "nan"]),
        (lambda: Heartbeat(interval=1e8), ValueError, ["Heartbeat.interval", "100000000"]),
        (lambda: Heartbeat(15000), ValueError, ["Heartbeat.interval", "3600", "15000", "Then write 15"]),
        (lambda: Heartbeat(timeout=10000), ValueError, ["Heartbeat.timeout", "milliseconds", "write 10"]),
        (lambda: connect(URL, open_timeout=10000), ValueError, ["open_timeout", "milliseconds", "write 10"]),
        (lambda: connect(URL, close_timeout=5000), ValueError, ["close_timeout", "milliseconds", "write 5"]),
        (lambda: Heartbeat(timeout="10"), TypeError, ["Heartbeat.timeout", "'10'"]),  # type: ignore[arg-type]
        (lambda: Heartbeat(message=5), TypeError, ["Heartbeat.message", "int"]),  # type: ignore[arg-type]
        (
            lambda: Heartbeat(message=a_coroutine_function),  # type: ignore[arg-type]
            TypeError,
            ["Heartbeat.message", "coroutine"],
        ),
        (lambda: Backoff(initial=0), ValueError, ["Backoff.initial", "0"]),
        (lambda: Backoff(initial=10, maximum=5), ValueError, ["Backoff.maximum", "10", "5"]),
        (lambda: Backoff(stable_after=-1), ValueError, ["Backoff.stable_after", "-1"]),
        (lambda: Backoff(True), TypeError, ["Backoff.initial", "True"]),
    ],
)
def test_settings_refuse(make: Callable[[], object], error: type[Exception], names: list[str]) -> None:
    with pytest.raises(error) as caught:
        make()
    assert all(name in str(caught.value) for name in names), str(caught.value)


def test_what_is_allowed_is_allowed() -> None:
    for options in (
        {"close_timeout": 0, "max_retries": 0, "send_queue": 0, "receive_queue": 1, "max_size": 1},
        {"proxy": None, "ssl": ssl.create_default_context()},
        {"proxy": "socks5://user:password@[::1]:1080"},
        {"additional_headers": [("Cookie", "a=1"), ("Cookie", "b=2")], "subprotocols": ("v1", "v2")},
        {"local_addr": ("192.0.2.1", 65535)},
        {"local_addr": ("fe80::1%eth0", 0), "server_hostname": "::1"},
        {"unix_path": Path("/run/ws"), "server_hostname": "bücher.example"},
        {"unix_path": "\0abstract", "proxy": True},
        {"final_close_codes": range(4000, 4999)},
        {"heartbeat": Heartbeat(message=b"")},
    ):
        connect("wss://user@bücher.example:8443/päth?quéry=ü", engine=MemoryEngine(), **options)
    connect("ws://[::1]:80/", engine=MemoryEngine())
    connect("WS://EXAMPLE.COM./", engine=MemoryEngine())


@pytest.mark.parametrize(
    "url",
    [
        "user:secret@example.com/",
        "us.er:secret@example.com:80/",
        "example.com/secret@example.org",
        "wss:secret.example/",
        "Secret.example/",
        "secret",
        "http:secret.example",
        "ftp://user:secret@example.com/",
    ],
)
def test_a_url_is_not_guessed_where_that_may_show_a_secret(url: str) -> None:
    with pytest.raises(ValueError, match="url must") as caught:
        connect(url)
    assert "did you mean" not in str(caught.value)
    assert "secret" not in str(caught.value).lower()


@pytest.mark.parametrize("name", ["url", "additional_headers", "on_open", "on_message", "retry_if"])
def test_what_calling_a_function_returns_is_told_from_the_function(name: str) -> None:
    arguments: dict[str, Any] = {"url": URL, name: a_coroutine_function()}
    with pytest.raises(TypeError, match=f"{name} must be the function a_coroutine_function itself"):
        connect(**arguments)


def test_where_no_loop_of_asyncio_runs_that_is_said(world: World) -> None:
    start = world.connect().__aenter__()  # as under trio
    with pytest.raises(RuntimeError, match=r"no event loop of asyncio runs here.* trio.*sync"):
        start.send(None)
    with pytest.raises(RuntimeError, match="no event loop of asyncio runs here"):
        Fleet().add(world.connect())


def test_an_engine_that_is_not_installed_is_named_with_its_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "websocket_heartbeat.engines.aiohttp", None)
    with pytest.raises(EngineNotInstalled, match="pip install") as caught:
        connect(URL, engine="aiohttp")
    assert isinstance(caught.value, ImportError)


def test_iterators_are_read_once_and_kept(world: World, play: Run) -> None:
    async def main() -> None:
        pairs = (pair for pair in [("X-Key", "1"), ("X-Key", "2")])
        names = (name for name in ["v1", "v2"])
        codes = (code for code in [4000])
        async with world.connect(
            additional_headers=pairs, subprotocols=names, final_close_codes=codes
        ) as connection:
            for link in (1, 2):
                (await world.opened(connection, link)).close(4001)
            (await world.opened(connection, 3)).close(4000)
            with pytest.raises(ConnectionFailed):
                await connection.wait_closed()
        for request in world.engine.requests:
            assert list(request.headers) == [("X-Key", "1"), ("X-Key", "2")]
            assert list(request.subprotocols) == ["v1", "v2"]

    play(main())


def raises() -> Any:
    raise LookupError("no token today")


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("url", raises),
        ("url", lambda: "http://example.com"),
        ("url", lambda: None),
        ("url", lambda: "ws://a..b/"),
        ("additional_headers", raises),
        ("additional_headers", lambda: {"X": 5}),
        ("additional_headers", lambda: {"X": "a\nb"}),
        ("additional_headers", lambda: a_coroutine_function),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_callable_that_fails_is_reported_by_name_and_asked_again(
    name: str, provider: Callable[[], Any], asynchronous: bool, world: World, play: Run
) -> None:
    calls: list[int] = []

    def value() -> Any:
        calls.append(1)
        if len(calls) > 2:
            return URL if name == "url" else {"X": "y"}
        return provider()

    async def awaited() -> Any:
        await asyncio.sleep(0.01)
        return value()

    async def main() -> None:
        options: dict[str, Any] = {name: awaited if asynchronous else value}
        connection = connect(**{"url": URL, "engine": world.engine, **options})
        connection.on_error = world.events.append
        async with connection:
            await connection.wait_open(PATIENCE * 10)
            assert connection.stats.links == 1
        failures = world.seen(HookFailed)
        assert [failure.name for failure in failures] == [name, name]
        assert all(failure.__cause__ is not None for failure in failures)

    play(main())


@pytest.mark.parametrize("error", [LookupError, ValueError])
def test_a_generator_of_headers_that_raises_is_told_of_as_a_function_that_does(
    error: type[Exception], world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def headers() -> Iterator[tuple[str, str]]:
        yield "X", "y"
        raise error("SECRET")

    async def main() -> None:
        async with connect(
            URL, engine=world.engine, additional_headers=headers, on_error=world.events.append
        ):
            await asyncio.sleep(20)
            failed = world.seen(HookFailed)[0]
            assert str(failed) == f"additional_headers raised {error.__name__}"

    play(main())
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"url": lambda: None}, "url returned what cannot be used: url must be a str, not NoneType"),
        (
            {"url": lambda: "http://u:SECRET@h/SECRET?SECRET", "shown_path": lambda path: "/..."},
            "url returned what cannot be used: url must begin with ws:// or wss://, "
            "not 'http://h/...?...'; did you mean 'ws://h/...?...'?",
        ),
        (
            {"additional_headers": lambda: {"X": b"SECRET"}},
            "additional_headers returned what cannot be used: "
            "additional_headers['X'] must be a str, not bytes",
        ),
        (
            {"heartbeat": Heartbeat(message=lambda: {"SECRET": 1})},  # type: ignore[arg-type, return-value]
            "Heartbeat.message returned what cannot be used: "
            "Heartbeat.message must be str or bytes-like, not dict",
        ),
    ],
)
def test_what_a_callable_must_not_return_is_told(
    options: dict[str, Any], text: str, world: World, play: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        everything = {"url": URL, "engine": world.engine, "on_error": world.events.append, **options}
        async with connect(**everything):
            await asyncio.sleep(20)
            assert str(world.seen(HookFailed)[0]) == text

    play(main())
    assert f": {text}\n" in caplog.text
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize(
    ("message", "error", "names"),
    [
        (5, TypeError, ["message", "int"]),
        (None, TypeError, ["message", "NoneType"]),
        (["a"], TypeError, ["message", "list"]),
        ("x" * 101, ValueError, ["message", "101", "max_size=100"]),
        ("ä" * 51, ValueError, ["message", "102", "max_size=100"]),
        (b"x" * 101, ValueError, ["message", "101"]),
        (bytearray(101), ValueError, ["message", "101"]),
        (memoryview(bytes(101)), ValueError, ["message", "101"]),
        ("\udc80", ValueError, ["message", "UTF-8"]),
    ],
)
def test_a_message_that_cannot_be_sent_is_refused_in_every_state(
    message: Any, error: type[Exception], names: list[str], world: World, play: Run
) -> None:
    async def main() -> None:
        connection = world.connect(max_size=100)
        for state in ("idle", "connecting", "open"):
            if state == "connecting":
                await connection
            elif state == "open":
                await connection.wait_open()
            assert connection.state == state
            with pytest.raises(error) as caught:
                await connection.send(message)
            assert all(name in str(caught.value) for name in names), str(caught.value)
            with pytest.raises(error):
                connection.send_nowait(message)
        await connection.send("ä" * 50)
        assert world.peer.received == ["ä" * 50]
        await connection.close()

    play(main())


def test_a_message_above_max_size_from_the_server_costs_one_link(run_asyncio: Run) -> None:
    sizes = [1001, 1000]

    async def send_one(peer: Peer) -> None:
        peer.write(frame(TEXT, b"x" * sizes.pop(0)))
        await well_behaved(peer)

    async def main() -> None:
        async with ws_server(send_one) as server:
            connection = connect(server.url(), max_size=1000, backoff=Backoff(0.05))
            reasons: list[str] = []
            connection.on_close = lambda event: reasons.append(event.reason)
            async with connection:
                assert await asyncio.wait_for(connection.recv(), PATIENCE) == "x" * 1000
                assert "max_size=1000" in reasons[0]
                assert str(MessageTooBig(1000)) == reasons[0]

    run_asyncio(main())


@pytest.mark.parametrize(
    "name", ["on_open", "on_message", "on_close", "on_error", "on_reconnect", "on_state"]
)
def test_a_hook_that_is_not_callable_is_refused_and_the_old_one_stays(
    name: str, world: World, play: Run
) -> None:
    async def main() -> None:
        connection = world.connect()
        calls: list[Any] = []
        setattr(connection, name, calls.append)
        with pytest.raises(TypeError, match=f"{name} must be callable or None, not 5"):
            setattr(connection, name, 5)
        with pytest.raises(TypeError, match=name):
            getattr(connection, name)("text")
        with pytest.raises(AttributeError):
            connection.on_opne = calls.append  # type: ignore[attr-defined]
        await provoke_every_hook(world, connection, times=1)
        assert calls

    play(main())


async def asynchronous_generator(argument: object) -> AsyncIterator[object]:
    yield argument


def generator(argument: object) -> Iterator[object]:
    yield argument


class CallableGenerator:
    async def __call__(self, argument: object) -> AsyncIterator[object]:
        yield argument


@pytest.mark.parametrize(
    "hook", [asynchronous_generator, partial(asynchronous_generator), generator, CallableGenerator()]
)
def test_a_generator_as_hook_is_refused_as_nothing_of_it_would_run(
    hook: Any, world: World, play: Run
) -> None:
    async def main() -> None:
        connection = world.connect()
        with pytest.raises(TypeError, match="on_open must be a function or coroutine function without yield"):
            connection.on_open = hook
        with pytest.raises(TypeError, match=r"on_message must be a function .* without yield"):
            Fleet().on_message = hook
        with pytest.raises(TypeError, match=r"on_message must be a function .* without yield"):
            serve(on_message=hook)

    play(main())


@pytest.mark.parametrize("timeout", [-1, math.nan, "1", True])
def test_wait_open_refuses_a_timeout_that_is_none(timeout: Any, world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            with pytest.raises((TypeError, ValueError), match="timeout"):
                await connection.wait_open(timeout)

    play(main())


@pytest.mark.parametrize("mistake", [LookupError, asyncio.CancelledError])
def test_retry_if_that_raises_leaves_the_decision_to_the_table(
    mistake: type[BaseException], world: World, play: Run
) -> None:
    async def refuse_once(request: OpenRequest) -> None:
        if len(world.engine.requests) == 1:
            raise OSError("refused")

    def retry_if(error: Exception) -> bool:
        raise mistake

    async def main() -> None:
        world.engine.answer = refuse_once
        connection = world.connect(retry_if=retry_if)
        connection.on_error = world.events.append
        async with connection:
            await connection.wait_open()
            world.peer.reset()
            await world.opened(connection, 2)
        assert [failure.name for failure in world.seen(HookFailed)][:2] == ["retry_if", "retry_if"]

    play(main())


@pytest.mark.parametrize("value", ["ftp://proxy:1", "http://", "http://proxy:port"])
def test_an_unusable_proxy_of_the_environment_is_reported_and_retried(
    value: str, world: World, play: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", value)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    async def main() -> None:
        async with world.recorded() as connection:
            await until(lambda: world.seen(ProxyFailed))
            assert "https" in str(world.seen(ProxyFailed)[0])
            monkeypatch.delenv("https_proxy")
            await connection.wait_open(100)
            await turns()

    play(main())


def of_nothing() -> None: ...


def of_two(first: object, second: object) -> None: ...


nothing: Any = of_nothing
two: Any = of_two


@pytest.mark.parametrize(
    ("attach", "text"),
    [
        (
            lambda: setattr(connect(URL), "on_open", nothing),
            "on_open is called with 1 argument, which <function",
        ),
        (lambda: setattr(connect(URL), "on_message", two), "missing a required argument: 'second'"),
        (lambda: setattr(sync.connect(URL), "on_close", nothing), "on_close is called with 1 argument"),
        (lambda: setattr(Fleet(), "on_message", nothing), "on_message is called with 2 arguments"),
        (lambda: connect(URL, retry_if=nothing), "retry_if is called with 1 argument"),
        (lambda: connect(URL, shown_path=two), "shown_path is called with 1 argument"),
        (lambda: Heartbeat(message=two), "Heartbeat.message is called with 0 arguments"),
        (lambda: Dialect("ping", pong=nothing), "Dialect.pong is called with 1 argument"),
        (lambda: serve(nothing), "on_message is called with 2 arguments"),
        (lambda: serve(on_open=two), "on_open is called with 1 argument"),
        (lambda: serve(on_close=two), "on_close is called with 3 arguments"),
        (lambda: serve(on_handshake=nothing), "on_handshake is called with 1 argument"),
    ],
)
def test_a_hook_that_does_not_take_what_it_is_called_with_is_refused_where_it_is_set(
    attach: Callable[[], object], text: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(text)):
        attach()


def test_hooks_that_take_more_than_they_get_by_default_or_do_not_tell_are_taken() -> None:
    connection = connect(URL)
    hooks: list[Any] = [two_or_one, partial(two, 1), [].append, print, deque[object]().append, dict]
    for hook in hooks:
        connection.on_message = hook


def two_or_one(first: object, second: object = None) -> None: ...


@pytest.mark.parametrize("message", [{"token": "secret"}, ["secret"]])
def test_who_sends_what_json_has_is_told_of_send_json(message: Any, world: World, play: Run) -> None:
    async def main() -> None:
        async with world.connect() as connection:
            words = (
                r"^message must be str .*, not (dict|list): json.dumps makes JSON of it, as send_json does$"
            )
            with pytest.raises(TypeError, match=words):
                await connection.send(message)

    play(main())
