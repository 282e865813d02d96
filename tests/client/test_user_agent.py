"""Each handshake says by whom it is made, in the words of the user or in ours, or says nothing."""

import re
import tomllib
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.client.servers import well_behaved
from tests.engines.peers import Peer, http_proxy, port_of, raw_server, serve_echo
from tests.watch import PATIENCE, Run

import websocket_heartbeat
from websocket_heartbeat import connect, engines
from websocket_heartbeat.engines.aiohttp import AiohttpEngine

OURS = f"websocket-heartbeat/{websocket_heartbeat.__version__}"


async def seen(**options: Any) -> list[str]:
    """Return the values of the User-Agent headers that a server is sent."""
    values: list[str] = []

    async def note(peer: Peer) -> None:
        await peer.read_request()
        values.extend(value for name, value in peer.headers if name == "user-agent")
        peer.write(peer.response())
        await well_behaved(peer)

    async with raw_server(note) as server, connect(server.url(), proxy=None, **options) as connection:
        await connection.wait_open(PATIENCE)
    return values


@pytest.mark.parametrize("engine", engines.NAMES)
@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, [OURS]),
        ({"user_agent_header": "market-maker/7 (ops@example.com)"}, ["market-maker/7 (ops@example.com)"]),
        ({"user_agent_header": None}, []),
        ({"additional_headers": {"user-agent": "theirs"}}, ["theirs"]),
        ({"additional_headers": lambda: [("USER-AGENT", "theirs")]}, ["theirs"]),
        ({"additional_headers": {"User-Agent": "theirs"}, "user_agent_header": "other"}, ["theirs"]),
        ({"additional_headers": {"User-Agent": "theirs"}, "user_agent_header": None}, ["theirs"]),
    ],
)
def test_the_server_is_told_who_calls(
    engine: str, options: dict[str, Any], sent: list[str], run_asyncio: Run
) -> None:
    async def main() -> None:
        assert await seen(engine=engine, **options) == sent

    run_asyncio(main())


def test_a_session_s_own_name_goes_before_ours(run_asyncio: Run) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession(headers={"User-Agent": "app/1"}) as session:
            for own in ("ours/1", None):
                assert await seen(engine=AiohttpEngine(session), user_agent_header=own) == ["app/1"]

    run_asyncio(main())


def test_a_proxy_is_told_too(run_asyncio: Run) -> None:
    values: list[str] = []

    async def noting(peer: Peer) -> None:
        read = peer.read_request

        async def read_request() -> None:
            await read()
            values.extend(value for name, value in peer.headers if name == "user-agent")

        peer.read_request = read_request  # type: ignore[method-assign]
        await http_proxy()(peer)

    async def main() -> None:
        async with serve_echo() as server, raw_server(noting) as proxy:
            url = f"ws://127.0.0.1:{port_of(server)}/"
            for own in ("ours/1", None):
                through = connect(url, proxy=f"http://127.0.0.1:{proxy.port}", user_agent_header=own)
                async with through as connection:
                    await connection.wait_open(PATIENCE)
        assert values == ["ours/1"]

    run_asyncio(main())


def test_the_version_is_the_same_everywhere() -> None:
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["version"] == websocket_heartbeat.__version__
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+\S*", websocket_heartbeat.__version__)
