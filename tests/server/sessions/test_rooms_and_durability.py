"""Rooms whose members have sessions of each durability, over each store: moved, closed, killed."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.server.sessions.test_rooms_across_nodes import joins, nodes, received
from tests.server.sessions.test_rooms_and_kills import node
from tests.server.sessions.test_sessions import told
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import connect
from websocket_heartbeat.server import Hub

MESSAGES = 300

PLACES = ["sqlite", "valkey", "postgresql", "cluster"]


async def send_all(*hubs: Hub) -> None:
    """Send numbered messages to the room, of each hub in turn."""
    for number in range(MESSAGES):
        hubs[number % len(hubs)].room("r").send(f"{number % len(hubs)} {number}")
        await asyncio.sleep(0.002)


def in_order(got: list[Any], senders: int) -> list[int]:
    """Return the numbers of what was sent; see that each has come once, and in the order of its sender."""
    numbers = [tuple(map(int, message.split())) for message in got]
    for sender in range(senders):
        ours = [number for each, number in numbers if each == sender]
        assert ours == sorted(set(ours))
    return sorted(number for _, number in numbers)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("durability", ["through", "handover", "memory"])
@pytest.mark.parametrize("shared", PLACES, indirect=True)
def test_members_get_each_message_once_and_in_order_while_one_of_them_moves(
    run_asyncio: Run, shared: str, durability: str
) -> None:
    async def main() -> None:
        async with nodes(shared, 2, on_open=joins("r"), durability=durability) as these:
            moves, stays = await these.client(0), await these.client(1)
            sending = asyncio.create_task(send_all(*these.hubs))
            getting = [asyncio.create_task(received(each, MESSAGES)) for each in (moves, stays)]
            for place in (1, 0):
                await asyncio.sleep(0.2)
                await these.move(moves, place)
            await sending
            got, all_of_it = [await each for each in getting]
            assert got == all_of_it
            assert in_order(got, 2) == list(range(MESSAGES))

    run_asyncio(main())


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("durability", "kind"), [("through", "resumed"), ("handover", "resumed"), ("memory", "reset")]
)
@pytest.mark.parametrize("shared", PLACES, indirect=True)
def test_a_member_whose_node_closes_goes_on_or_joins_anew(
    run_asyncio: Run, shared: str, durability: str, kind: str
) -> None:
    async def main() -> None:
        async with nodes(shared, 2, on_open=joins("r"), durability=durability) as these:
            client = await these.client(0)
            these.hubs[1].room("r").send("1 0")
            assert await received(client, 1) == ["1 0"]
            events = told(client)
            these._at[client][0] = 1
            await these.hubs[0].close()
            these.hubs[1].room("r").send("1 1")
            client.reconnect_now()
            await until(lambda: events)
            assert events[0].kind == kind
            await until(lambda: len(these.hubs[1].room("r")) == 1)
            these.hubs[1].room("r").send("1 2")
            assert await received(client, 2 if kind == "resumed" else 1) == ["1 1", "1 2"][kind == "reset" :]

    run_asyncio(main())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("durability", ["handover", "memory"])
@pytest.mark.parametrize("shared", PLACES, indirect=True)
def test_a_member_whose_node_is_killed_is_told_so_and_gets_nothing_twice_when_it_has_joined_again(
    run_asyncio: Run, shared: str, durability: str
) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            first, second = [await stack.enter_async_context(node(shared, durability)) for _ in range(2)]
            urls = [first.url]
            client = connect(lambda: urls[0], session="require")
            events = told(client)
            await stack.enter_async_context(client)
            sender = await stack.enter_async_context(Hub(sessions=shared, durability=durability))
            got: list[Any] = []

            async def listen() -> None:
                async for message in client:
                    got.append(message)

            listening = asyncio.create_task(listen())
            await client.send("join")
            await until(lambda: got == ["joined 'join'"])
            sending = asyncio.create_task(send_all(sender))
            await until(lambda: len(got) > MESSAGES // 4)
            urls[0] = second.url
            await first.kill()
            await until(lambda: events[-1].kind == "reset")
            assert events[-1].why == "lost"
            await client.send("join")
            await sending
            sender.room("r").send(f"0 {MESSAGES}")
            async with asyncio.timeout(PATIENCE):
                await until(lambda: got[-1] == f"0 {MESSAGES}")
            listening.cancel()
            await asyncio.wait([listening])
            assert got.count("joined 'join'") == 2
            again = got.index("joined 'join'", 1)
            before, after = got[1:again], got[again + 1 :]
            assert in_order(before + after, 1)[-1] == MESSAGES
            last = int(after[-1].split()[1])
            assert [int(each.split()[1]) for each in after] == list(range(last + 1 - len(after), last + 1))

    run_asyncio(main())
