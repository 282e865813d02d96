"""The servers that keep sessions, and what tests of them have in common."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.server.sessions.cluster import Cluster
from tests.server.sessions.postgres import Postgres
from tests.server.sessions.servers import program
from tests.server.sessions.valkey import Valkey


@pytest.fixture(scope="session")
def server_named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Valkey]]:
    """Return what returns a server by its name in servers.py, which keeps nothing yet."""
    started: dict[str, Valkey] = {}

    def find(name: str) -> Valkey:
        if name not in started:
            server = Valkey(tmp_path_factory.mktemp("server"), program=program(name))
            server.start()
            started[name] = server
        with started[name].client() as client:
            client.flushall()
        return started[name]

    yield find
    for server in started.values():
        server.kill()


@pytest.fixture
def valkey(server_named: Callable[[str], Valkey]) -> Valkey:
    """Return a server of Valkey that keeps nothing yet."""
    return server_named("valkey 9.1")


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """Return a server for one test, which forgets all when it is killed."""
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture
def cluster(_cluster: Cluster) -> Cluster:
    """Return a cluster of Valkey that keeps nothing yet."""
    _cluster.flush()
    return _cluster


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


def _url(request: pytest.FixtureRequest) -> str:
    if request.param == "valkey":
        valkey: Valkey = request.getfixturevalue("valkey")
        return valkey.url
    if request.param == "cluster":
        cluster: Cluster = request.getfixturevalue("cluster")
        return cluster.url
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        return postgres.url()
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path') / 's.db'}"
    return "memory"


@pytest.fixture(params=["sqlite", "valkey", "postgresql"])
def shared(request: pytest.FixtureRequest) -> str:
    """Return the URL of a store that processes share, which keeps nothing yet; also "cluster", if asked."""
    return _url(request)


@pytest.fixture(params=["memory", "sqlite", "valkey", "postgresql"])
def place(request: pytest.FixtureRequest) -> str:
    """Return where the sessions of a hub are kept, which are none yet."""
    return _url(request)


@pytest.fixture
def of_this_test_alone() -> None:
    """Keep what tests before have left in this process from gc.get_objects()."""
    if not hasattr(gc, "freeze"):
        pytest.skip("PyPy's collector keeps nothing apart")
    gc.collect()
    gc.freeze()
