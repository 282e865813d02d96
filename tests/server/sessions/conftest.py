"""The servers that keep sessions."""

from collections.abc import Iterator

import pytest
from tests.server.sessions.valkey import Valkey


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def valkey(_valkey: Valkey) -> Valkey:
    """Return a server of Valkey that keeps nothing yet."""
    with _valkey.client() as client:
        client.flushall()
    return _valkey
