"""`peer.transaction`: what a hook does in the database, its answers, and that its message is handled."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocket
from tests.server.frameworks.serving import serving, socket_app
from tests.server.sessions.postgres import Postgres
from tests.server.sessions.test_sessions import running, session, told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Connection, Message
from websocket_heartbeat.server import Hub, NotCommitted, Peer, SessionOver
from websocket_heartbeat.testing import FaultProxy

PLACE = "insert into placed values ($1, $2, $3)"


@pytest.fixture
def shop(postgres: Postgres) -> Postgres:
    """Return a server with a table of a user's; it has what hooks have placed, however often."""
    postgres.execute(
        "drop table if exists placed", "create table placed (session text, number bigint, item text)"
    )
    return postgres


def placed(shop: Postgres) -> list[str]:
    rows = shop.execute("select number, item from placed order by number")
    return [f"{number} {item}" for number, item in rows]


@asynccontextmanager
async def connected(hub: Hub) -> AsyncIterator[Connection]:
    async with running(hub) as server, session(server.url()) as connection:
        await connection.wait_open()
        yield connection


async def received(connection: Connection, count: int) -> list[str | bytes]:
    async with asyncio.timeout(PATIENCE):
        return [await connection.recv() for _ in range(count)]


async def place(peer: Peer, message: Message) -> None:
    async with peer.transaction() as connection:
        await connection.execute(PLACE, peer.session, peer.number, message)
        peer.send(f"placed {message!s}")


def test_effect_and_answer_come_together_once_a_message(run_asyncio: Run, shop: Postgres) -> None:
    async def main() -> None:
        async with connected(Hub(sessions=shop.url(), on_message=place)) as connection:
            for number in range(20):
                await connection.send(str(number))
            assert await received(connection, 20) == [f"placed {number}" for number in range(20)]
            await connection.flush()

    run_asyncio(main())
    assert placed(shop) == [f"{number + 1} {number}" for number in range(20)]


def test_what_is_sent_before_and_after_and_by_others_meanwhile_comes_too_and_in_order(
    run_asyncio: Run, shop: Postgres
) -> None:
    async def main() -> None:
        at_commit = asyncio.Event()

        async def on_message(peer: Peer, message: Message) -> None:
            peer.send("before")
            async with peer.transaction():
                peer.send("within")
                hub.room("all").send("from a room")
                at_commit.set()
            peer.send("after")

        hub = Hub(sessions=shop.url(), on_message=on_message, on_open=lambda peer: peer.join("all"))
        async with connected(hub) as connection:

            async def others() -> None:
                await at_commit.wait()
                (peer,) = hub.peers
                assert peer.session is not None
                for number in range(5):
                    await hub.send(peer.session, f"other {number}")
                    hub.room("all").send(f"room {number}")

            async with asyncio.TaskGroup() as group:
                group.create_task(others())
                await connection.send("x")
            messages = await received(connection, 14)
            own = [message for message in messages if message in ("before", "within", "after")]
            assert own == ["before", "within", "after"]
            assert [m for m in messages if str(m).startswith("other")] == [f"other {n}" for n in range(5)]
            assert [m for m in messages if str(m).startswith("room")] == [f"room {n}" for n in range(5)]
            assert messages.count("from a room") == 1
            assert connection.closed is False

    run_asyncio(main())


def test_a_block_that_raises_leaves_nothing_and_its_hook_may_try_another_one(
    run_asyncio: Run, shop: Postgres
) -> None:
    raised: list[Exception] = []

    async def on_message(peer: Peer, message: Message) -> None:
        peer.state["count"] = peer.state.get("count", 0) + 1
        try:
            async with peer.transaction() as connection:
                await connection.execute(PLACE, peer.session, peer.number, message)
                peer.send("never")
                peer.state["count"] = 1000
                raise KeyError(message)
        except KeyError as error:
            raised.append(error)
        async with peer.transaction() as connection:
            await connection.execute(PLACE, peer.session, peer.number, "refused")
            peer.send(f"refused {message!s}, {peer.state['count']}")

    async def main() -> None:
        async with connected(Hub(sessions=shop.url(), on_message=on_message)) as connection:
            await connection.send("x")
            await connection.send("y")
            assert await received(connection, 2) == ["refused x, 1", "refused y, 2"]

    run_asyncio(main())
    assert len(raised) == 2
    assert placed(shop) == ["1 refused", "2 refused"]


def test_a_hook_that_raises_has_handled_its_message(run_asyncio: Run, shop: Postgres) -> None:
    async def on_message(peer: Peer, message: Message) -> None:
        async with peer.transaction() as connection:
            peer.send("never")
            if message == "bad":
                await connection.execute("select 1 / 0")
            await connection.execute(PLACE, peer.session, peer.number, message)

    async def main() -> None:
        async with connected(Hub(sessions=shop.url(), on_message=on_message)) as connection:
            await connection.send("bad")
            await connection.send("good")
            async with asyncio.timeout(PATIENCE):
                await connection.flush()

    run_asyncio(main())
    assert placed(shop) == ["2 good"]


def test_state_is_committed_with_the_block(run_asyncio: Run, shop: Postgres) -> None:
    async def on_message(peer: Peer, message: Message) -> None:
        async with peer.transaction():
            peer.state["items"] = [*peer.state.get("items", []), message]
            peer.send(str(len(peer.state["items"])))

    async def main() -> None:
        port = 0
        connection = session(lambda: f"ws://127.0.0.1:{port}/")
        async with AsyncExitStack() as stack:
            for life in range(3):
                async with running(Hub(sessions=shop.url(), on_message=on_message), port) as server:
                    port = server.port
                    if life == 0:
                        await stack.enter_async_context(connection)
                    await connection.send("x")
                    assert await received(connection, 1) == [str(life + 1)]

    run_asyncio(main())


def test_a_block_has_a_message_in_hand_and_commits_it_once(run_asyncio: Run, shop: Postgres) -> None:
    raised: list[str] = []

    async def attempt(peer: Peer, statement: str = "select 1") -> None:
        try:
            async with peer.transaction() as connection:
                await connection.execute(statement)
        except RuntimeError as error:
            raised.append(str(error))

    async def on_open(peer: Peer) -> None:
        await attempt(peer)

    async def on_message(peer: Peer, message: Message) -> None:
        if message == "volatile":
            await attempt(peer)
        elif message == "ends":
            await attempt(peer, "rollback")
        else:
            async with peer.transaction():
                await attempt(peer)
            await attempt(peer)
            peer.send(f"number {peer.number}")

    async def main() -> None:
        hub = Hub(sessions=shop.url(), on_open=on_open, on_message=on_message)
        async with connected(hub) as connection:
            await connection.send("volatile", volatile=True)
            await connection.send("ends")
            await connection.send("x")
            assert await received(connection, 1) == ["number 2"]

    run_asyncio(main())
    assert ["in hand" in raised[0], "in hand" in raised[1]] == [True, True]
    assert "by a statement" in raised[2]
    assert "open already" in raised[3]
    assert "committed before" in raised[4]


@pytest.mark.parametrize("sessions", ["memory", "sqlite", None])
def test_elsewhere_it_says_where_it_is_to_be_had(
    run_asyncio: Run, tmp_path: Any, sessions: str | None
) -> None:
    raised: list[BaseException] = []

    async def on_message(peer: Peer, message: Message) -> None:
        try:
            async with peer.transaction():
                raise AssertionError
        except RuntimeError as error:
            raised.append(error)
        peer.send("done")

    async def main() -> None:
        where = f"sqlite:///{tmp_path / 's.db'}" if sessions == "sqlite" else sessions
        async with running(Hub(sessions=where, on_message=on_message)) as server:
            mode = "off" if sessions is None else "require"
            async with session(server.url(), mode) as connection:
                await connection.send("x")
                assert await received(connection, 1) == ["done"]

    run_asyncio(main())
    assert "PostgreSQL" in str(raised[0])


def test_in_a_block_there_is_no_next_message(run_asyncio: Run, shop: Postgres) -> None:
    raised: list[BaseException] = []

    async def on_message(peer: Peer, message: Message) -> None:
        async with peer.transaction() as connection:
            await connection.execute(PLACE, peer.session, peer.number, message)
            try:
                await peer.recv()
            except RuntimeError as error:
                raised.append(error)
        peer.send(f"{message!r}, {await peer.recv()!r}")

    async def main() -> None:
        async with connected(Hub(sessions=shop.url(), on_message=on_message)) as connection:
            await connection.send("one")
            await connection.send("two")
            assert await received(connection, 1) == ["'one', 'two'"]

    run_asyncio(main())
    assert "after the block" in str(raised[0])
    assert placed(shop) == ["1 one"]


def test_a_block_that_ends_after_its_hook_is_undone(run_asyncio: Run, shop: Postgres) -> None:
    raised: list[BaseException] = []
    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        async def later(peer: Peer, begun: asyncio.Event, ended: asyncio.Event) -> None:
            try:
                async with peer.transaction() as connection:
                    begun.set()
                    await ended.wait()
                    await connection.execute(PLACE, peer.session, peer.number, "late")
            except RuntimeError as error:
                raised.append(error)

        ended = asyncio.Event()

        async def on_message(peer: Peer, message: Message) -> None:
            if message == "one":
                begun = asyncio.Event()
                tasks.append(asyncio.create_task(later(peer, begun, ended)))
                await begun.wait()
            peer.send(message)

        async with connected(Hub(sessions=shop.url(), on_message=on_message)) as connection:
            await connection.send("one")
            await connection.send("two")
            assert await received(connection, 2) == ["one", "two"]
            ended.set()
            await tasks[0]

    run_asyncio(main())
    assert "after its hook" in str(raised[0])
    assert placed(shop) == []


def test_the_example_of_the_docs_works(run_asyncio: Run, shop: Postgres) -> None:
    page = (Path(__file__).parents[3] / "docs" / "server" / "effects.md").read_text(encoding="utf-8")
    found = re.search(r"^## Transactions\n.*?^```python\n(.*?)^```", page, re.M | re.S)
    assert found is not None
    shop.execute("drop table if exists orders", "create table orders (item text)")
    names: dict[str, Any] = {"Hub": lambda **options: Hub(**{**options, "sessions": shop.url()})}
    exec(found[1], names)

    async def main() -> None:
        async with connected(names["hub"]) as connection:
            for item in ("book", "pen"):
                await connection.send(item)
            assert await received(connection, 2) == ["order 1: book", "order 2: pen"]

    run_asyncio(main())


# The database, and others


@pytest.mark.timeout(90)
def test_a_hook_whose_database_was_lost_in_the_block_is_called_again(
    run_asyncio: Run, shop: Postgres
) -> None:
    tries: list[Message] = []
    raised: list[BaseException] = []

    async def on_message(peer: Peer, message: Message) -> None:
        tries.append(message)
        try:
            async with peer.transaction() as connection:
                await connection.execute(PLACE, peer.session, peer.number, message)
                peer.send(f"placed {message!s}")
                if len(tries) < 3:
                    await connection.execute("select pg_terminate_backend(pg_backend_pid())")
        except NotCommitted as error:
            raised.append(error)
            raise

    async def main() -> None:
        async with connected(Hub(sessions=shop.url(), on_message=on_message)) as connection:
            await connection.send("x")
            await connection.send("y")
            assert await received(connection, 2) == ["placed x", "placed y"]

    run_asyncio(main())
    assert tries == ["x", "x", "x", "y"]
    assert len(raised) == 2
    assert placed(shop) == ["1 x", "2 y"]


@pytest.mark.timeout(90)
def test_an_endpoint_whose_database_was_lost_has_its_message_again_in_the_next_one(
    run_asyncio: Run, shop: Postgres
) -> None:
    begun: list[str | None] = []

    async def main() -> None:
        hub = Hub(sessions=shop.url())

        async def endpoint(socket: WebSocket) -> None:
            async with hub.accept(socket) as peer:
                begun.append(peer.session)
                async for message in peer:
                    async with peer.transaction() as connection:
                        await connection.execute(PLACE, peer.session, peer.number, message)
                        peer.send(f"placed {message!s}")
                        if message == "x" and len(begun) == 1:
                            await connection.execute("select pg_terminate_backend(pg_backend_pid())")

        async with serving(hub.asgi(socket_app(endpoint))) as place:
            async with session(f"ws://127.0.0.1:{place.port}/") as connection:
                events = told(connection)
                await connection.send("w")
                await connection.send("x")
                await connection.send("y")
                assert await received(connection, 3) == ["placed w", "placed x", "placed y"]
            assert [event.kind for event in events] == ["new", "resumed"]
        await hub.close()

    run_asyncio(main())
    assert len(begun) == 2
    assert placed(shop) == ["1 w", "2 x", "3 y"]


LINGER = """
create or replace function linger() returns trigger language plpgsql
as $$ begin perform pg_sleep(1.5); return null; end $$
"""
SLOW = """
create constraint trigger slow after insert on placed deferrable initially deferred
for each row when (new.item = 'slow') execute function linger()
"""


@pytest.mark.timeout(90)
@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "not committed"])
def test_a_commit_that_was_not_answered_is_found_out(
    run_asyncio: Run, shop: Postgres, is_committed: bool
) -> None:
    """The link to the database is cut while it commits; and there its server ends the commit, or is ended."""
    shop.execute(LINGER, SLOW)
    tries: list[Message] = []

    async def on_message(peer: Peer, message: Message) -> None:
        tries.append(message)
        async with peer.transaction() as connection:
            await connection.execute(
                PLACE, peer.session, peer.number, message if len(tries) == 1 else "again"
            )
            peer.send(f"placed {message!s}")

    async def main() -> None:
        async with FaultProxy("127.0.0.1", shop.port) as proxy:
            url = shop.url().replace(f":{shop.port}/", f":{proxy.port}/")
            async with connected(Hub(sessions=url, on_message=on_message)) as connection:
                await connection.send("slow")
                working = "select pid from pg_stat_activity where query ilike 'commit%' and state = 'active'"
                rows: list[Any] = []
                while not rows:
                    rows = await asyncio.to_thread(shop.execute, working)
                if not is_committed:
                    await asyncio.to_thread(shop.execute, f"select pg_terminate_backend({rows[0][0]})")
                proxy.reset()
                assert await received(connection, 1) == ["placed slow"]
                await connection.send("y")
                assert await received(connection, 1) == ["placed y"]

    run_asyncio(main())
    assert tries == (["slow", "y"] if is_committed else ["slow", "slow", "y"])
    assert placed(shop) == ["1 slow" if is_committed else "1 again", "2 again"]


@pytest.mark.timeout(90)
def test_a_block_whose_session_another_node_has_claimed_is_undone(run_asyncio: Run, shop: Postgres) -> None:
    """The hook outlasts the patience of a move, and does not even end when it is cancelled."""
    raised: list[BaseException] = []
    has_begun, is_claimed = asyncio.Event(), asyncio.Event()

    async def stubborn(peer: Peer, message: Message) -> None:
        try:
            async with peer.transaction() as connection:
                await connection.execute(PLACE, peer.session, peer.number, message)
                peer.send("never")
                has_begun.set()
                while not is_claimed.is_set():
                    try:
                        await asyncio.sleep(0.05)
                    except asyncio.CancelledError:
                        asyncio.current_task().uncancel()  # type: ignore[union-attr]
        except SessionOver as error:
            raised.append(error)
            raise

    async def main() -> None:
        hubs = [Hub(sessions=shop.url(), on_message=hook) for hook in (stubborn, place)]
        async with AsyncExitStack() as stack:
            urls = [(await stack.enter_async_context(running(hub))).url() for hub in hubs]
            connection = await stack.enter_async_context(session(lambda: urls[0]))
            events = told(connection)
            await connection.send("x")
            await until(has_begun.is_set)
            urls.reverse()
            connection.reconnect_now()
            assert await received(connection, 1) == ["placed x"]
            is_claimed.set()
            await until(lambda: len(raised) == 1)
            assert {event.kind for event in events} <= {"new", "resumed"}

    run_asyncio(main())
    assert placed(shop) == ["1 x"]


def test_a_link_that_resumes_the_session_does_not_undo_the_block(run_asyncio: Run, shop: Postgres) -> None:
    async def main() -> None:
        resumed = asyncio.Event()

        async def on_message(peer: Peer, message: Message) -> None:
            async with peer.transaction() as connection:
                await connection.execute(PLACE, peer.session, peer.number, message)
                peer.send(f"placed {message!s}")
                await resumed.wait()

        async with connected(Hub(sessions=shop.url(), on_message=on_message)) as connection:
            events = told(connection)
            await connection.send("x")
            connection.reconnect_now()
            await until(lambda: len(events) > 0 and events[-1].kind == "resumed")
            resumed.set()
            assert await received(connection, 1) == ["placed x"]

    run_asyncio(main())
    assert placed(shop) == ["1 x"]


@pytest.mark.timeout(90)
def test_transactions_that_are_in_each_others_way_come_again_until_all_are_done(
    run_asyncio: Run, shop: Postgres
) -> None:
    shop.execute(
        "drop table if exists account",
        "create table account (name text primary key, amount bigint)",
        "insert into account values ('a', 0), ('b', 0)",
    )

    async def on_message(peer: Peer, message: Message) -> None:
        async with peer.transaction() as connection:
            for name in str(message):
                await connection.execute("update account set amount = amount + 1 where name = $1", name)
                await asyncio.sleep(0.01)
            peer.send("done")

    async def main() -> None:
        hub = Hub(sessions=shop.url(), on_message=on_message)
        async with running(hub) as server, AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(session(server.url())) for _ in range(2)]
            for client, order in zip(clients, ("ab", "ba"), strict=True):
                for _ in range(5):
                    await client.send(order)
            for client in clients:
                assert await received(client, 5) == ["done"] * 5

    run_asyncio(main())
    assert [tuple(row) for row in shop.execute("select * from account order by name")] == [
        ("a", 10),
        ("b", 10),
    ]
