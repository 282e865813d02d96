"""Sessions in Valkey as it is run: over TLS, by a user of few rights, in a cluster, and away for a while."""

import asyncio
import random
import re
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis.asyncio.client import PubSub
from tests.server.sessions import servers
from tests.server.sessions.cluster import Cluster
from tests.server.sessions.servers import program
from tests.server.sessions.test_sessions import running, session, told
from tests.server.sessions.test_store_contract import HASH, claimed, record
from tests.server.sessions.valkey import Valkey
from tests.watch import PATIENCE, Run, turns, until

from websocket_heartbeat.server import Hub, Peer
from websocket_heartbeat.server.sessions.store import Found
from websocket_heartbeat.server.sessions.valkey import ValkeyStore
from websocket_heartbeat.testing import FaultProxy

TTL = 60.0
PAGE = Path(__file__).parents[3] / "docs" / "cluster.md"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Valkey]:
    """Return a server for one test."""
    server = Valkey(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    yield server
    server.kill()


async def everything(url: str, *, other: str | None = None) -> None:
    """Call all that a store has, of two nodes; other: the URL for the second one."""
    heard: list[bytes] = []
    one, two = ValkeyStore(url, 0.5), ValkeyStore(other or url, 0.5)
    await one.open("a", heard.append, tuple)
    await two.open("b", heard.append, tuple)
    assert await one.put(replace(record(one), deadline=1.0), []) is None
    assert await one.write("s", 1, 0, ["one", "two"], done=1, acked=1, state=b"{}", ending="over") == 2
    assert await one.write("s", 1, 2, acked=2) == 2
    assert isinstance(await two.claim("s", HASH, "ann", 1, "b", force=1), Found)
    assert await two.write("s", 2, 2, ["three"]) == 3
    assert await two.finish("s", 2, "over", "why") is None
    assert await one.put(replace(record(one, "t"), deadline=1.0), []) is None
    assert [found.record.id for found in await two.due(2.0, 10)] == ["t"]
    await two.told(["t"])
    assert await two.due(time.time() + 60, 10) == []  # forgets both
    assert await one.put(record(one, "kept"), []) is None
    await asyncio.sleep(0.6)  # the lease is renewed meanwhile
    assert await one.notify("b", b"x")
    assert await one.notify(None, b"y")
    await until(lambda: heard == [b"x", b"y"])
    more: list[str] = []
    two.follow("room", lambda: more.append("room"))
    await until(lambda: more != [])
    number = await one.publish("room", "a", 1, [b"post"])
    assert (await two.read("room", number - 1, 9)).last == number
    subscription = two._subscription
    two.unfollow("room")
    await until(lambda: not two._changed and two._subscribing is None)
    assert await one.notify("b", b"z")
    await until(lambda: heard[2:] == [b"z"])
    assert two._subscription is subscription  # it was not refused, and begun anew
    assert await one.finish("kept", 1, "over", "why") is None
    await one.close()
    await two.close()


# TLS


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", servers.WITH_TLS)
def test_a_server_is_reached_over_tls_and_who_it_is_is_looked_at(tmp_path: Path, name: str) -> None:
    authority, other = trustme.CA(), trustme.CA()
    paths = {part: str(tmp_path / part) for part in ("ca", "other", "cert", "key", "client", "client_key")}
    authority.cert_pem.write_to_path(paths["ca"])
    other.cert_pem.write_to_path(paths["other"])
    for certificate, key in (("cert", "key"), ("client", "client_key")):
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(paths[certificate])
        issued.private_key_pem.write_to_path(paths[key])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("--tls-port", str(port), "--tls-cert-file", paths["cert"], "--tls-key-file", paths["key"])
    server = Valkey(tmp_path, *options, "--tls-ca-cert-file", paths["ca"], program=program(name))
    server.start()
    client = f"ssl_certfile={paths['client']}&ssl_keyfile={paths['client_key']}"
    try:
        for scheme in ("valkeys", "rediss"):
            url = f"{scheme}://localhost:{port}?{client}&ssl_ca_certs="
            asyncio.run(everything(url + paths["ca"]))
            with pytest.raises(OSError, match="certificate verify failed"):
                asyncio.run(everything(url + paths["other"]))
        with pytest.raises(OSError, match="the store of the sessions"):  # it wants to see a certificate
            asyncio.run(everything(f"valkeys://localhost:{port}?ssl_ca_certs={paths['ca']}"))
    finally:
        server.kill()


# Users


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", servers.NAMES)
def test_a_user_who_may_do_what_the_documentation_lists_can_do_everything(
    server_named: Callable[[str], Valkey], name: str
) -> None:
    (rule,) = re.findall(r"^ *ACL SETUSER sessions (.*)$", PAGE.read_text(), re.MULTILINE)
    server = server_named(name)
    with server.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "sessions", "reset", *rule.replace("PASSWORD", "hush").split()
        )
        client.script_flush()
        asyncio.run(everything(server.url.replace("//", "//sessions:hush@")))
        used = re.findall(r"\+(\S+)", rule)
        stats = client.info("commandstats")
        for command in used:  # and nothing that nobody needs
            assert f"cmdstat_{command}" in stats, command


# A cluster


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Return a cluster for one test."""
    cluster = Cluster(tmp_path)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


def test_sessions_of_a_cluster_go_on_when_the_replica_of_a_node_has_taken_its_place(
    run_asyncio: Run, own_cluster: Cluster
) -> None:
    up: list[str] = []

    def answer(peer: Peer, message: Any) -> None:
        up.append(message)
        peer.send(f"answer {message}")

    async def main() -> None:
        hub = Hub(sessions=own_cluster.url, on_message=answer)
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(running(hub))
            connections = [await stack.enter_async_context(session(server.url())) for _ in range(12)]
            events = [told(connection) for connection in connections]
            for connection in connections:
                await connection.send("before")
            for connection in connections:
                assert await connection.recv() == "answer before"
            own_cluster.nodes[0].kill()
            for connection in connections:
                await connection.send("after")
            await until(lambda: "after" in up)
            await asyncio.to_thread(own_cluster.promote)
            for connection in connections:
                async with asyncio.timeout(PATIENCE):
                    assert await connection.recv() == "answer after"
            assert {event.kind for each in events for event in each} <= {"new", "resumed"}
            assert sorted(up) == ["after"] * 12 + ["before"] * 12

    run_asyncio(main())


# A server that is away for a while


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server count as away soon."""
    monkeypatch.setattr("websocket_heartbeat.server.sessions.valkey._TIMEOUT", 0.5)


async def _outage(own: Valkey, begin: Callable[[], None], end: Callable[[], None]) -> None:
    """Send while the server is away, and see that nothing is handled then, and all of it after."""
    up: list[str] = []

    def answer(peer: Peer, message: Any) -> None:
        up.append(message)
        peer.send(f"answer {message}")

    hub = Hub(sessions=own.url, on_message=answer)
    async with running(hub) as server:
        connection = session(server.url())
        events = told(connection)
        async with connection:
            await connection.send("0")
            assert await connection.recv() == "answer 0"
            await asyncio.to_thread(begin)
            for number in range(1, 50):
                await connection.send(str(number))
            await asyncio.sleep(2)
            assert len(up) <= 2, "one may be handled before the store is asked to record it"
            assert connection.state == "open"
            await asyncio.to_thread(end)
            async with asyncio.timeout(3 * PATIENCE):
                answers = [await connection.recv() for _ in range(1, 50)]
            assert answers == [f"answer {number}" for number in range(1, 50)]
            assert up == [str(number) for number in range(50)]
            assert {event.kind for event in events} == {"new"}


@pytest.mark.usefixtures("impatient")
def test_a_server_that_hangs_stops_the_handling_and_nothing_is_lost(run_asyncio: Run, own: Valkey) -> None:
    run_asyncio(_outage(own, own.freeze, own.thaw))


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_killed_stops_the_handling_and_nothing_is_lost(
    run_asyncio: Run, own: Valkey
) -> None:
    run_asyncio(_outage(own, own.kill, own.start))


@pytest.mark.timeout(150)
@pytest.mark.usefixtures("impatient")
def test_connections_to_the_server_may_be_cut_at_any_byte_and_freeze(run_asyncio: Run, own: Valkey) -> None:
    count = 300
    up: list[str] = []
    chance = random.Random(7)

    async def answer(peer: Peer, message: Any) -> None:
        up.append(message)
        peer.send(f"answer {message}")
        await peer.drain()

    async def trouble(proxy: FaultProxy) -> None:
        while True:
            await asyncio.sleep(chance.uniform(0, 0.3))
            what = chance.choice(("reset", "cut", "cut", "disconnect", "freeze"))
            if what == "cut":
                proxy.cut_after(int(10 ** chance.uniform(0, 4)), chance.choice(("to_client", "to_server")))
            elif what == "freeze":
                proxy.freeze(chance.choice(("to_client", "to_server", "both")))
                await asyncio.sleep(chance.uniform(0, 1.5))
                proxy.thaw()
            else:
                getattr(proxy, what)()

    async def main() -> None:
        async with AsyncExitStack() as stack:
            proxies = [await stack.enter_async_context(FaultProxy("127.0.0.1", own.port)) for _ in range(2)]
            places = [f"valkey://127.0.0.1:{proxy.port}" for proxy in proxies]
            hubs = [
                await stack.enter_async_context(running(Hub(sessions=place, on_message=answer)))
                for place in places
            ]
            urls = [server.url() for server in hubs]
            connection = session(lambda: urls[0])
            events = told(connection)
            await stack.enter_async_context(connection)
            await connection.send("0")
            assert await connection.recv() == "answer 0"
            troubles = [asyncio.create_task(trouble(proxy)) for proxy in proxies]
            for number in range(1, count):
                await connection.send(str(number))
                if number % 30 == 0:
                    connection.reconnect_now()
            answers = [await connection.recv() for _ in range(1, count)]
            for task in troubles:
                task.cancel()
            await asyncio.wait(troubles)
            for proxy in proxies:
                proxy.heal()
            assert answers == [f"answer {number}" for number in range(1, count)]
            assert up == [str(number) for number in range(count)]
            assert {event.kind for event in events} == {"new", "resumed"}

    run_asyncio(main())


@pytest.mark.usefixtures("impatient")
def test_a_node_notices_that_it_is_deaf(
    run_asyncio: Run, own: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        heard: list[bytes] = []
        async with FaultProxy("127.0.0.1", own.port) as proxy:
            store = ValkeyStore(f"valkey://127.0.0.1:{proxy.port}", TTL)
            await store.open("a", heard.append, tuple)
            proxy.freeze()
            await until(lambda: "the store of the sessions is away" in caplog.text)
            proxy.thaw()
            other = ValkeyStore(own.url, TTL)
            await other.open("b", lambda data: None, tuple)
            async with asyncio.timeout(PATIENCE):
                while not await other.notify("a", b"x"):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await until(lambda: heard == [b"x"])
            await other.close()
            await store.close()

    run_asyncio(main())


def test_what_listens_ends_whenever_it_is_cancelled(own: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Python 3.12 asyncio.wait_for, which redis-py calls, may swallow that: python/cpython#86296."""

    get_message, ping = PubSub.get_message, PubSub.ping

    async def main(turns_later: int) -> None:
        asked = asyncio.Event()

        async def get_message_soon(subscription: PubSub, **_: object) -> object:
            return await get_message(subscription, timeout=0.01)

        async def ping_and_tell(subscription: PubSub) -> None:
            asked.set()
            await ping(subscription)

        monkeypatch.setattr(PubSub, "get_message", get_message_soon)
        monkeypatch.setattr(PubSub, "ping", ping_and_tell)
        store = ValkeyStore(own.url, TTL)
        await store.open("a", lambda data: None, tuple)
        await asked.wait()
        await turns(turns_later)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:  # as asyncio.run does when a program ends
            task.cancel()
        _, pending = await asyncio.wait(tasks, timeout=PATIENCE)
        for task in pending:
            task.cancel()
        await store.close()
        assert pending == set()

    for turns_later in range(8):
        asyncio.run(main(turns_later))


# Names, and for how long they are kept


def test_applications_with_a_prefix_each_share_a_server_and_nothing_else(own: Valkey) -> None:
    async def main() -> None:
        heard: list[bytes] = []
        stores = [ValkeyStore(f"{own.url}?prefix={prefix}", TTL) for prefix in ("shop:", "chat:")]
        for store in stores:
            await store.open("a", heard.append, tuple)
            assert await store.put(replace(record(store, sent=1), deadline=5.0), ["x"]) is None
        await stores[0].notify(None, b"not heard by itself, nor by the other")
        (expired,) = await stores[0].due(6.0, 10)
        assert isinstance(expired, Found)
        assert (await claimed(stores[1], 1)).log == ("x",)
        assert heard == []
        for store in stores:
            await store.close()

    asyncio.run(main())
    with own.client() as client:
        names = {name.decode().partition(":")[0] for name in client.scan_iter()}
    assert names == {"shop", "chat"}


@pytest.mark.parametrize("prefix", ["", "a{b", "b}"])
def test_a_prefix_that_would_part_the_keys_of_a_session_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        ValkeyStore(f"valkey://127.0.0.1?prefix={prefix}", TTL)


def test_every_key_of_a_session_goes_by_itself_unless_its_node_lives(own: Valkey) -> None:
    async def kept(node: ValkeyStore) -> list[int]:
        with own.client() as client:
            return [client.pttl(name) for name in ("wh:{s}:m", "wh:{s}:o")]

    async def main() -> None:
        store = ValkeyStore(own.url, 0.4)
        await store.open("a", lambda data: None, tuple)
        await store.put(record(store, sent=1), ["x"])
        first = await kept(store)
        assert all(0 < left <= 1600 for left in first)
        await _for_longer_than(first, lambda: kept(store))
        await store.close()

    asyncio.run(main())


async def _for_longer_than(first: list[int], kept: Callable[[], Awaitable[list[int]]]) -> None:
    """See that keys are there when they would have gone, had nobody renewed them."""
    await asyncio.sleep(max(first) / 1000 + 0.2)
    assert all(left > 0 for left in await kept())
