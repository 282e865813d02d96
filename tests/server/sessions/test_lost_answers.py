"""The store has done what it was asked, and its answer is lost on the way: sessions go on all the same."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.server.sessions.postgres import Postgres
from tests.server.sessions.test_sessions import running, session, told
from tests.server.sessions.test_store_contract import HASH, opened, record
from tests.server.sessions.valkey import Valkey
from tests.watch import PATIENCE, Run

from websocket_heartbeat.server import Hub, Peer
from websocket_heartbeat.server.sessions.store import Found, Refused, Store
from websocket_heartbeat.server.sessions.valkey import ValkeyStore
from websocket_heartbeat.testing import FaultProxy

if sys.implementation.name == "cpython":  # as asyncpg is for it alone
    from websocket_heartbeat.server.sessions.postgresql import calls

TTL = 60.0


class Place:
    """A server that keeps sessions. generations: returns how often each of them was claimed."""

    def __init__(self, url: str, port: int, generations: Callable[[], list[int]]) -> None:
        self._url = url
        self._port = port
        self.generations = generations

    def proxy(self) -> FaultProxy:
        return FaultProxy("127.0.0.1", self._port)

    def url(self, proxy: FaultProxy) -> str:
        return self._url.replace(f":{self._port}", f":{proxy.port}")


@pytest.fixture(params=["valkey", "postgresql"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "valkey":
        valkey: Valkey = request.getfixturevalue("valkey")

        def generations() -> list[int]:
            with valkey.client() as client:
                return [int(client.hget(key, "generation") or 0) for key in client.keys("wh:{*}:m")]

        return Place(valkey.url, valkey.port, generations)
    postgres: Postgres = request.getfixturevalue("postgres")
    select = "select generation from websocket_heartbeat.session"
    return Place(postgres.url(), postgres.port, lambda: [row[0] for row in postgres.execute(select)])


def freeze_at_claim(store: Store, proxy: FaultProxy, patches: pytest.MonkeyPatch) -> None:
    """Have no answer come from when the next claim is under way, which the server still gets all of."""
    in_postgres = not isinstance(store, ValkeyStore)
    claim: Callable[..., Awaitable[Any]] = calls.claim if in_postgres else store.claim

    async def lost(*arguments: Any, **options: Any) -> Any:
        patches.undo()
        if in_postgres:  # what follows is the commit
            answer = await claim(*arguments, **options)
            proxy.freeze("to_client")
            return answer
        await store.due(0.0, 1)  # answered, as all that was asked before
        proxy.freeze("to_client")
        return await claim(*arguments, **options)

    owner: Any = calls if in_postgres else store
    patches.setattr(owner, "claim", lost)


async def lose_the_answer(proxy: FaultProxy, is_done: Callable[[], bool]) -> None:
    """Have no answer come, until the server has done something; then break all connections."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(is_done):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    proxy.disconnect()
    proxy.thaw()


def test_a_client_comes_back_though_the_answer_to_the_claim_of_its_session_is_lost(
    run_asyncio: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(peer: Peer, message: Any) -> None:
        peer.send(f"answer {message}")

    async def main() -> None:
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(place.proxy())
            hub = Hub(sessions=place.url(proxy), on_message=answer)
            server = await stack.enter_async_context(running(hub))
            connection = session(server.url())
            events = told(connection)
            async with connection:
                await connection.send("one")
                assert await connection.recv() == "answer one"
                store = hub._book.store  # type: ignore[union-attr]
                before = await asyncio.to_thread(place.generations)
                freeze_at_claim(store, proxy, monkeypatch)
                connection.reconnect_now()
                await lose_the_answer(proxy, lambda: place.generations() > before)
                await connection.send("two")
                async with asyncio.timeout(PATIENCE):
                    assert await connection.recv() == "answer two"
            assert {event.kind for event in events} == {"new", "resumed"}

    run_asyncio(main())


def test_the_end_of_a_session_is_told_though_the_answer_is_lost_that_had_it(valkey: Valkey) -> None:
    async def main() -> None:
        async with FaultProxy("127.0.0.1", valkey.port) as proxy:
            store = ValkeyStore(f"valkey://127.0.0.1:{proxy.port}", TTL)
            async with opened(store):
                await store.put(replace(record(store, sent=1), deadline=5.0), ["one"])
                with valkey.client() as client:
                    proxy.freeze("to_client")
                    asked = asyncio.ensure_future(
                        store._submit("expire", store._keys("s"), 6.0, 60_000, 36.0)
                    )
                    await lose_the_answer(proxy, lambda: client.hexists("wh:{s}:m", "end_kind"))
                assert (await asked)[0] == b"later"  # to the call that redis-py has repeated
                assert await store.due(35.0, 10) == []
                (found,) = await store.due(37.0, 10)
                assert found.log == ("one",)

    asyncio.run(main())


async def _claimed(valkey: Valkey, claim: Callable[[ValkeyStore], Awaitable[Any]]) -> Any:
    """Return the answer to a claim that redis-py repeats, as the first answer is lost."""
    async with FaultProxy("127.0.0.1", valkey.port) as proxy:
        store = ValkeyStore(f"valkey://127.0.0.1:{proxy.port}", TTL)
        await store.open("a", lambda data: None, tuple)
        try:
            await store.put(record(store, sent=1), ["one"])
            with valkey.client() as client:
                client.hset("wh:{s}:m", "node", "b")
                proxy.freeze("to_client")
                claiming = asyncio.ensure_future(claim(store))
                await lose_the_answer(proxy, lambda: client.hget("wh:{s}:m", "generation") != b"1")
                return await claiming
        finally:
            await store.close()


@pytest.mark.parametrize("hash", [HASH, None], ids=["for a link", "for the application"])
def test_a_claim_that_is_repeated_is_answered_as_it_was(valkey: Valkey, hash: bytes | None) -> None:
    found = asyncio.run(_claimed(valkey, lambda store: store.claim("s", hash, "ann", 1, "a", force=1)))
    assert isinstance(found, Found)
    assert (found.record.generation, found.record.node, found.previous, found.log) == (2, "a", "b", ("one",))


@pytest.mark.parametrize("is_first", [True, False])
def test_a_claim_that_is_repeated_beside_another_one_of_its_process_is_not_stale(
    valkey: Valkey, is_first: bool
) -> None:
    async def both(store: ValkeyStore) -> Any:
        link = partial(store.claim, "s", HASH, "ann", 1, "a", force=1)
        application = partial(store.claim, "s", None, None, 0, "a", force=1)
        claims = (link, application) if is_first else (application, link)
        return await asyncio.gather(*(claim() for claim in claims))

    for found in asyncio.run(_claimed(valkey, both)):
        assert isinstance(found, Found)
        assert (found.record.node, found.record.link, found.log) == ("a", 1, ("one",))
    with valkey.client() as client:
        assert client.hget("wh:{s}:m", "generation") == b"3"


def test_another_claim_for_the_same_link_is_stale_all_the_same(valkey: Valkey) -> None:
    async def twice(store: ValkeyStore) -> Any:
        first = await store.claim("s", HASH, "ann", 1, "a", force=1)
        return first, await store.claim("s", HASH, "ann", 1, "a", force=1)

    first, second = asyncio.run(_claimed(valkey, twice))
    assert isinstance(first, Found)
    assert second is Refused.STALE
