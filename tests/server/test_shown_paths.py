"""Paths appear in logs; where they carry keys, a function says what is shown instead."""

import asyncio
import re
from typing import Any

import pytest
from tests.server.raw import client
from tests.watch import Run, until

from websocket_heartbeat.server import Peer, Request, serve


def without_key(path: str) -> str:
    return re.sub(r"^/listen/.+", "/listen/...", path)


def broken(path: str) -> str:
    raise ValueError(path)


def not_text(path: str) -> Any:
    return path.encode()


@pytest.mark.parametrize(
    ("shown_path", "shown"),
    [(None, "/listen/SECRET"), (without_key, "/listen/..."), (broken, "(hidden)"), (not_text, "(hidden)")],
)
def test_a_path_is_shown_as_the_function_has_it(
    run_asyncio: Run, caplog: pytest.LogCaptureFixture, shown_path: Any, shown: str
) -> None:
    seen: list[str] = []

    def decide(request: Request) -> None:
        assert request.path == "/listen/SECRET"
        seen.append(repr(request))

    def opened(peer: Peer) -> None:
        assert peer.request.path == "/listen/SECRET"
        seen.append(repr(peer))
        seen.append(repr(peer.request))
        raise ValueError

    async def main() -> None:
        async with serve(
            on_handshake=decide, on_open=opened, shown_path=shown_path, idle_timeout=0.1
        ) as server:
            async with client(server, "/listen/SECRET?x") as raw:
                await raw.end()
            async with client(server, "/listen/SECRET") as raw:
                raw.frame(3)
                await raw.end()
            await until(lambda: not server.connections)

    with caplog.at_level(1, "websocket_heartbeat"):
        run_asyncio(main())
    request = f"Request(path='{shown}')"
    assert seen == [request, f"<Peer 1 '{shown}'>", request, request, f"<Peer 2 '{shown}'>", request]
    assert f"<Peer 1 '{shown}'> was dropped: silent for 0.1 s" in caplog.text
    assert f"on_open for <Peer 2 '{shown}'> raised ValueError" in caplog.text
    assert f"<Peer 2 '{shown}'> broke RFC 6455" in caplog.text
    assert ("SECRET" in caplog.text) == (shown_path is None)
    if shown_path is broken:
        assert "shown_path raised ValueError at" in caplog.text
    if shown_path is not_text:
        assert "shown_path must return a str, not bytes" in caplog.text


@pytest.mark.parametrize(
    ("shown_path", "text"),
    [
        ("/", "shown_path must be callable or None, not '/'"),
        (asyncio.sleep, "shown_path must be a function, not the coroutine function"),
    ],
)
def test_a_wrong_function_is_refused_where_it_is_written(shown_path: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        serve(shown_path=shown_path)
