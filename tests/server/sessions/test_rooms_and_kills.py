"""Processes that are killed while rooms are busy: each member gets each message once, all in one order."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from tests.server.sessions.processes import node
from tests.watch import Run, until

from websocket_heartbeat import Connection, Session, connect
from websocket_heartbeat.server import Hub

MEMBERS = 9
MESSAGES = 1200


@pytest.mark.timeout(120)
def test_members_of_nodes_that_are_killed_get_each_message_once_and_in_the_same_order(
    run_asyncio: Run, shared: str
) -> None:
    got: dict[Connection, list[str]] = {}

    async def listens(connection: Connection) -> None:
        async for message in connection:
            assert isinstance(message, str)
            got[connection].append(message)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            nodes = [
                await stack.enter_async_context(node("-m", "tests.server.sessions.room_node", shared))
                for _ in range(3)
            ]
            urls = [each.url() for each in nodes]

            async def member(number: int) -> None:
                connection = connect(lambda: urls[number % 3], session=Session("require", window=4096))
                got[connection] = []
                await stack.enter_async_context(connection)
                await connection.send("join")
                assert await connection.recv() == "joined 'join'"

            await asyncio.gather(*map(member, range(MEMBERS)))
            senders = [Hub(sessions=shared) for _ in range(2)]
            senders[0].room("r").send("first")
            listening = [asyncio.create_task(listens(connection)) for connection in got]
            await until(lambda: all(each == ["first"] for each in got.values()))
            for number in range(MESSAGES):
                senders[number % 2].room("r").send(f"{number % 2} {number}")
                if number in (MESSAGES // 4, MESSAGES // 2):
                    dead = nodes.pop(0)  # its clients come to the others, where nobody knows of them
                    place = urls.index(dead.url())
                    urls[place] = nodes[-1].url()
                    await asyncio.to_thread(dead.kill)
                await asyncio.sleep(0.002)
            for sender in senders:
                await sender.close()
            await until(lambda: all(len(each) > MESSAGES for each in got.values()))
            for task in listening:
                task.cancel()
            await asyncio.wait(listening)
        (first, *others) = got.values()
        assert all(each == first for each in others)
        assert len(set(first)) == len(first) == MESSAGES + 1
        for place in range(2):
            ours = [int(each.split()[1]) for each in first if each.startswith(f"{place} ")]
            assert ours == list(range(place, MESSAGES, 2))

    run_asyncio(main())
