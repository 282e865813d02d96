"""The URL of a store is refused where it is wrong, and nothing of it is shown, as it has a password."""

import asyncio
import logging
import socket
from contextlib import suppress

import pytest
from tests.client.test_secrets import told as words_of
from tests.watch import PATIENCE, Run

from websocket_heartbeat.server import Hub


def _needs_its_driver(url: str) -> None:
    if url.startswith("postgresql"):
        pytest.importorskip("asyncpg")


@pytest.mark.parametrize(
    "url",
    [
        "valkey://user:hush/hush@host/0",
        "valkey://user:hush#hush@host/0",
        "valkey://user:hush@host:hush/0",
        "valkey://user:hush@[::1/0",
        "valkey://user:hush@host/0?db=hush",
        "valkey://user:hush@host/0?socket_timeout=hush",
        "valkey://user:hush@host/0?hush=hush",
        "valkeys://user:hush@host/0?ssl_cert_reqs=hush",
        "valkey://user:hush@host?cluster=yes&hush=hush",
        "unix:///socket?password=hush&db=hush",
        "postgresql://user:hush/hush@host/database",
        "postgresql://user:hush@host:hush/database",
        "postgresql://user:hush@[::1/database",
        "mysql://user:hush@host/database",
    ],
)
def test_one_that_is_wrong_is_refused_when_the_hub_is_made_and_not_shown(url: str) -> None:
    _needs_its_driver(url)
    with pytest.raises(ValueError, match="sessions must be") as raised:
        Hub(sessions=url)
    assert not [word for word in words_of(raised.value) if "hush" in word]


@pytest.mark.parametrize(
    "url",
    [
        "valkey://user:hush@127.0.0.1:{}/0",
        "valkey://user:hush@127.0.0.1:{}?cluster=yes",
        "postgresql://user:hush@127.0.0.1:{}/database",
        "postgresql://user:hush@127.0.0.1:{}/database?sslmode=hush",
    ],
)
def test_one_where_no_server_is_leads_to_an_error_and_not_to_a_wait_without_end(
    run_asyncio: Run, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    _needs_its_driver(url)
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            hub = Hub(sessions=url.format(unused.getsockname()[1]))
            async with asyncio.timeout(PATIENCE):
                for _ in range(2):
                    with pytest.raises(OSError, match="store of the sessions") as raised:
                        await hub.send("a" * 12, "message")
                    assert not [word for word in words_of(raised.value) if "hush" in word]
                with suppress(OSError):
                    await hub.close()

    run_asyncio(main())
    assert "hush" not in caplog.text
