"""Effects of `peer.transaction` happen once, whatever is killed: the node in the middle, or the server."""

import asyncio
import os
from contextlib import AsyncExitStack, suppress

import pytest
from tests.server.sessions.postgres import Postgres
from tests.server.sessions.processes import Node
from tests.server.sessions.test_sessions import session, told
from tests.watch import PATIENCE, Run, until

KILLS = int(os.environ.get("KILLS", "5"))
"""`make kills` has 40."""

NODE = """
import asyncio, sys
from websocket_heartbeat.server import Hub, serve

async def place(peer, message):
    async with peer.transaction() as connection:
        sql = "insert into placed values ($1, $2, $3)"
        await connection.execute(sql, peer.session, peer.number, message)
        peer.send(f"placed {message}")
        peer.state["count"] = peer.state.get("count", 0) + 1

async def main():
    hub = Hub(sessions=sys.argv[1], on_message=place)
    async with serve(hub=hub, port=0) as server:
        print(server.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def start(url: str) -> Node:
    return Node("-c", NODE, url)


@pytest.mark.timeout(60 * KILLS)
@pytest.mark.parametrize("victim", ["node", "database"])
def test_every_effect_and_every_answer_is_there_once(
    run_asyncio: Run, postgres: Postgres, victim: str
) -> None:
    """Clients send without end, while what serves them is killed again and again, and replaced."""
    clients, kills = 4, KILLS if victim == "node" else max(1, KILLS // 2)
    postgres.execute(
        "drop table if exists placed",
        "create table placed (session text, number bigint, item text)",
    )
    answers: list[list[str | bytes]] = [[] for _ in range(clients)]
    sent = [0] * clients

    async def main() -> None:
        nodes = [await asyncio.to_thread(start, postgres.url())]
        urls = [nodes[0].url()]
        tasks: list[asyncio.Task[None]] = []
        try:
            async with AsyncExitStack() as stack:
                connections = [session(lambda: urls[-1]) for _ in range(clients)]
                events = [told(connection) for connection in connections]

                async def send(place: int) -> None:
                    while True:
                        await connections[place].send(str(sent[place] + 1))
                        sent[place] += 1

                async def take(place: int) -> None:
                    async for message in connections[place]:
                        answers[place].append(message)

                for place, connection in enumerate(connections):
                    await stack.enter_async_context(connection)
                    tasks += [asyncio.create_task(send(place)), asyncio.create_task(take(place))]
                for _ in range(kills):
                    wanted = [len(each) + 10 for each in answers]
                    await until(lambda: all(len(a) >= w for a, w in zip(answers, wanted, strict=True)))  # noqa: B023
                    if victim == "database":
                        await asyncio.to_thread(postgres.restart)
                        continue
                    nodes.append(await asyncio.to_thread(start, postgres.url()))
                    await asyncio.to_thread(nodes[-2].kill)
                    urls.append(nodes[-1].url())
                for task in tasks[::2]:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                for place, connection in enumerate(connections):
                    async with asyncio.timeout(3 * PATIENCE):
                        await connection.flush()
                    sent[place] = connection._host._session.half.sent  # type: ignore[union-attr]
                    await until(lambda place=place: len(answers[place]) >= sent[place])  # type: ignore[misc]
                for each in events:
                    assert {event.kind for event in each} <= {"new", "resumed"}
                for task in tasks[1::2]:
                    task.cancel()
        finally:
            await asyncio.to_thread(nodes[-1].kill)

    run_asyncio(main())
    for place in range(clients):
        assert answers[place] == [f"placed {number}" for number in range(1, sent[place] + 1)]
    rows = postgres.execute(
        "select session, array_agg(number order by number) as n from placed group by session"
    )
    assert sorted(len(row["n"]) for row in rows) == sorted(sent)
    for row in rows:
        assert row["n"] == list(range(1, len(row["n"]) + 1))
