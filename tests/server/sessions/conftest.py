"""The servers that keep sessions."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.sessions.postgres import Postgres
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


@pytest.fixture(scope="session")
def _postgres() -> Iterator[Postgres]:
    server = Postgres(
        "-c", "fsync=off"
    )  # no test of it is about the disk, and it counts as another at each start
    server.start()
    yield server
    server.remove()


@pytest.fixture
def postgres(_postgres: Postgres) -> Postgres:
    """Return a server of PostgreSQL that keeps nothing yet."""
    _postgres.execute("drop schema if exists websocket_heartbeat cascade")
    return _postgres


@pytest.fixture(params=["sqlite", "valkey", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a store that processes share, and that keeps nothing yet."""
    if request.param == "valkey":
        valkey: Valkey = request.getfixturevalue("valkey")
        return valkey.url
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        return postgres.url()
    return f"sqlite:///{tmp_path / 's.db'}"
