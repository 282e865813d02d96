"""The channel layer: groups of Django Channels over processes, over links that are cut, and over kills."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import msgpack
import pytest
from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull
from tests.server.sessions.processes import Node, node
from tests.server.sessions.test_sessions import session, told
from tests.server.sessions.valkey import Valkey
from tests.watch import PATIENCE, Run, until

from websocket_heartbeat import Connection
from websocket_heartbeat.channels import ChannelLayer
from websocket_heartbeat.server import Hub
from websocket_heartbeat.testing import FaultProxy

MESSAGES = 600


def worker(store: str, layer: str = "ours") -> AbstractAsyncContextManager[Node]:
    return node("-m", "tests.server.sessions.channels_node", store, layer)


def news(text: object) -> dict[str, Any]:
    return {"type": "news", "text": str(text)}


async def next_of(layer: ChannelLayer, channel: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        return await layer.receive(channel)


@asynccontextmanager
async def layers(store: str, count: int, **options: Any) -> AsyncIterator[list[ChannelLayer]]:
    """Yield channel layers, each as another process has it."""
    async with AsyncExitStack() as stack:
        hubs = [await stack.enter_async_context(Hub(sessions=store)) for _ in range(count)]
        yield [ChannelLayer(hub, **options) for hub in hubs]


async def told_by(connection: Connection, count: int) -> list[str]:
    got: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while len(got) < count:
            message = await connection.recv()
            assert isinstance(message, str)
            got.append(message)
    return got


def test_what_is_sent_to_a_group_reaches_its_channels_in_all_processes_in_one_order(
    run_asyncio: Run, shared: str
) -> None:
    async def main() -> None:
        async with layers(shared, 2) as (one, two):
            channels = [(one, await one.new_channel()), (one, await one.new_channel())]
            channels.append((two, await two.new_channel("socket")))
            for layer, channel in channels:
                await layer.group_add("g", channel)
            message = {"type": "x", "blob": b"\0\xff", "list": [1, 2.5, None, {"a": True}], "text": "\u4f60"}
            await one.group_send("g", message)
            for layer, channel in channels:
                assert await next_of(layer, channel) == message
            for number in range(100):
                await (one, two)[number % 2].group_send("g", news(number))
            got = []
            for layer, channel in channels:
                got.append([(await next_of(layer, channel))["text"] for _ in range(100)])
            assert got[0] == got[1] == got[2]
            for begin in range(2):
                ours = [int(text) for text in got[0] if int(text) % 2 == begin]
                assert ours == list(range(begin, 100, 2))

    run_asyncio(main())


def test_a_channel_that_has_left_a_group_gets_no_more_of_it(run_asyncio: Run, shared: str) -> None:
    async def main() -> None:
        async with layers(shared, 1) as (layer,):
            channel = await layer.new_channel()
            await layer.group_add("a", channel)
            await layer.group_add("b", channel)
            await layer.group_discard("a", channel)
            await layer.group_send("a", news("lost"))
            await layer.group_send("b", news("got"))
            assert (await next_of(layer, channel))["text"] == "got"
            await layer.flush()
            await layer.group_send("b", news("lost"))
            await layer.send(channel, news("direct"))
            assert (await next_of(layer, channel))["text"] == "direct"

    run_asyncio(main())


def test_a_message_to_a_channel_reaches_it_in_whatever_process_it_is(run_asyncio: Run, shared: str) -> None:
    async def main() -> None:
        async with layers(shared, 2, capacity=3) as (one, two):
            channel = await one.new_channel()
            await two.send(channel, news("from another process"))
            assert (await next_of(one, channel))["text"] == "from another process"
            for number in range(3):
                await one.send(channel, news(number))
            with pytest.raises(ChannelFull, match="has 3 messages"):
                await one.send(channel, news(3))
            assert [(await next_of(one, channel))["text"] for _ in range(3)] == ["0", "1", "2"]

    run_asyncio(main())


def test_a_group_loses_nothing_of_what_a_channel_has_no_room_for(run_asyncio: Run, shared: str) -> None:
    async def main() -> None:
        async with layers(shared, 2, capacity=5) as (one, two):
            channel = await one.new_channel()
            await one.group_add("a", channel)
            await one.group_add("b", channel)
            for number in range(3000):
                await two.group_send("ab"[number % 2], news(number))
            await until(lambda: one._channels[channel].is_full)
            got = [int((await next_of(one, channel))["text"]) for _ in range(3000)]
            assert [number for number in got if number % 2 == 0] == list(range(0, 3000, 2))
            assert [number for number in got if number % 2 == 1] == list(range(1, 3000, 2))
            assert len(one._channels[channel].waiting) == 0

    run_asyncio(main())


def test_synchronous_code_sends_to_groups_from_any_thread(run_asyncio: Run, shared: str) -> None:
    def view(layer: ChannelLayer) -> None:
        async_to_sync(layer.group_send)("g", news("from a view"))

    def task(layer: ChannelLayer) -> None:
        asyncio.run(layer.group_send("g", news("from a task")))

    async def main() -> None:
        async with layers(shared, 1) as (layer,):
            channel = await layer.new_channel()
            await layer.group_add("g", channel)
            for work in (view, task):
                await asyncio.to_thread(work, layer)
            got = [(await next_of(layer, channel))["text"] for _ in range(2)]
            assert got == ["from a view", "from a task"]

    run_asyncio(main())
    async_to_sync(ChannelLayer(Hub(sessions=shared)).group_send)("g", news("without a loop"))


def test_a_channel_ends_with_the_task_that_has_made_it(run_asyncio: Run, shared: str) -> None:
    async def main() -> None:
        async with layers(shared, 1) as (layer,):

            async def consumer() -> str:
                channel = await layer.new_channel()
                await layer.group_add("g", channel)
                return channel

            channel = await asyncio.create_task(consumer())
            await until(lambda: not layer._groups)
            with pytest.raises(ValueError, match="not ended"):
                await layer.receive(channel)
            await layer.group_discard("g", channel)

    run_asyncio(main())


def test_what_cannot_be_is_refused_with_the_name_of_the_argument(run_asyncio: Run, shared: str) -> None:
    async def main() -> None:
        async with layers(shared, 1) as (layer,):
            channel = await layer.new_channel()
            with pytest.raises(ValueError, match="channel must be one that new_channel has returned"):
                await layer.send("thumbnails", news(1))
            with pytest.raises(ValueError, match="for channels that workers share"):
                layer.receive("thumbnails")
            with pytest.raises(TypeError, match="message must be a dict, not str"):
                await layer.group_send("g", "text")  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"serialize.*(set|\{1\})"):
                await layer.group_send("g", {"type": "x", "set": {1}})
            with pytest.raises(TypeError, match="Group name"):
                await layer.group_add("no group!", channel)

    run_asyncio(main())
    with pytest.raises(ValueError, match="hub must keep its sessions where processes share them"):
        asyncio.run(ChannelLayer(Hub(sessions="memory")).new_channel())
    with pytest.raises(TypeError, match=r"hub must name a Hub: 'sys\.path' is list"):
        asyncio.run(ChannelLayer("sys.path").new_channel())
    with pytest.raises(TypeError, match="hub must be a Hub, or a str such as"):
        ChannelLayer(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="capacity must be at least 1, not 0"):
        ChannelLayer("a.hub", capacity=0)


def test_what_is_sent_while_the_store_is_away_comes_in_order_when_it_is_back(
    run_asyncio: Run, valkey: Valkey
) -> None:
    async def main() -> None:
        async with layers(valkey.url, 1) as (layer,):
            channel = await layer.new_channel()
            await layer.group_add("g", channel)
            valkey.freeze()
            for number in range(50):
                await layer.group_send("g", news(number))
            valkey.thaw()
            assert [(await next_of(layer, channel))["text"] for _ in range(50)] == list(map(str, range(50)))

    run_asyncio(main())


def test_a_group_gets_what_a_process_has_sent_that_died_before_it_told_others(
    run_asyncio: Run, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tells_nobody(*_: object) -> bool:
        return True

    async def main() -> None:
        async with layers(shared, 1) as (layer,), Hub(sessions=shared) as other:
            channel = await layer.new_channel()
            await layer.group_add("g", channel)
            assert other._book is not None
            monkeypatch.setattr(other._book.store, "notify", tells_nobody)
            await ChannelLayer(other).group_send("g", news("untold"))
            assert (await next_of(layer, channel))["text"] == "untold"

    run_asyncio(main())


def test_what_a_stranger_sends_to_a_channel_is_not_received(
    run_asyncio: Run, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with layers(valkey.url, 2) as (ours, other):
            channel = await ours.new_channel()
            for garbage in (b"", b"\xc1", msgpack.packb([]), 5, "text", None):
                other._streams.publish(f"c{ours._process}", msgpack.packb([channel, garbage]))
            await other.send(channel, news("ours"))
            assert await next_of(ours, channel) == news("ours")

    run_asyncio(main())
    assert caplog.text.count("who else writes to it") == 6


@pytest.mark.parametrize("path", ["", "blocking"])
def test_what_is_sent_to_a_group_while_a_client_is_away_waits_for_it(
    run_asyncio: Run, valkey: Valkey, path: str
) -> None:
    async def main() -> None:
        async with (
            worker(valkey.url) as place,
            FaultProxy("127.0.0.1", place.port) as proxy,
            layers(valkey.url, 1) as (layer,),
            session(f"ws://127.0.0.1:{proxy.port}/{path}") as connection,
        ):
            events = told(connection)
            await until(lambda: events)
            if not path:
                assert await connection.recv() == "connected"
            await until_in_group(layer, connection)
            proxy.refuse()
            proxy.reset()
            for number in range(MESSAGES):  # more than the window of the client, too
                await layer.group_send("all", news(number))
            await asyncio.sleep(0.1)
            proxy.accept()
            assert await told_by(connection, MESSAGES) == list(map(str, range(MESSAGES)))
            assert [event.kind for event in events] == ["new", "resumed"]

    run_asyncio(main())


async def until_in_group(layer: ChannelLayer, connection: Connection) -> None:
    """Wait until what is sent to the group arrives: a client is told of its session before it is a member."""
    async with asyncio.timeout(PATIENCE):
        while True:
            await layer.group_send("all", news("?"))
            try:
                async with asyncio.timeout(0.5):
                    assert await connection.recv() == "?"
                    break
            except TimeoutError:
                continue
        await layer.group_send("all", news("!"))
        while await connection.recv() != "!":
            pass


def test_a_session_is_in_its_groups_at_the_worker_that_it_is_handed_over_to(
    run_asyncio: Run, shared: str
) -> None:
    async def main() -> None:
        async with (
            worker(shared) as one,
            worker(shared) as two,
            FaultProxy("127.0.0.1", one.port) as proxy,
            layers(shared, 1) as (layer,),
            session(f"ws://127.0.0.1:{proxy.port}/") as connection,
        ):
            events = told(connection)
            assert await connection.recv() == "connected"
            await connection.send("mine")
            assert await connection.recv() == "done mine"
            sent = []
            for number in range(MESSAGES):
                sent.append(f"{number}")
                await layer.group_send("all" if number % 2 else "mine", news(number))
                if number in (100, 300):
                    moves = number // 200
                    await until(lambda moves=moves: len(events) > moves)  # type: ignore[misc]  # it has come
                    place = two if number == 100 else one
                    proxy.retarget("127.0.0.1", place.port)
                    proxy.reset()
                await asyncio.sleep(0.001)
            got = await told_by(connection, MESSAGES + 2)
            # Each consumer begins anew, and says so.
            assert [text for text in got if text == "connected"] == ["connected"] * 2
            got = [text for text in got if text != "connected"]
            assert sorted(got, key=int) == sent
            for begin in range(2):
                assert [text for text in got if int(text) % 2 == begin] == sent[begin::2]
            assert [event.kind for event in events] == ["new", "resumed", "resumed"]

    run_asyncio(main())


@pytest.mark.timeout(120)
def test_workers_are_killed_and_each_client_gets_each_message_of_its_groups_once_and_in_order(
    run_asyncio: Run, shared: str
) -> None:
    got: dict[Connection, list[str]] = {}

    async def listens(connection: Connection) -> None:
        async for message in connection:
            assert isinstance(message, str)
            got[connection].append(message)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(worker(shared)) for _ in range(3)]
            urls = [each.url() for each in nodes]
            (layer,) = await stack.enter_async_context(layers(shared, 1))

            async def member(number: int) -> None:
                connection = session(lambda: urls[number % 3])
                await stack.enter_async_context(connection)
                assert await connection.recv() == "connected"
                await connection.send("mine")
                assert await connection.recv() == "done mine"
                got[connection] = []

            await asyncio.gather(*map(member, range(6)))
            listening = [asyncio.create_task(listens(connection)) for connection in got]
            for number in range(MESSAGES):
                await layer.group_send("all" if number % 2 else "mine", news(number))
                if number in (MESSAGES // 4, MESSAGES // 2):
                    dead = nodes.pop(0)
                    urls[urls.index(dead.url())] = nodes[-1].url()
                    await asyncio.to_thread(dead.kill)
                await asyncio.sleep(0.002)

            def ledger() -> dict[Connection, list[str]]:
                return {each: [text for text in texts if text != "connected"] for each, texts in got.items()}

            await until(lambda: all(len(each) >= MESSAGES for each in ledger().values()))
            for task in listening:
                task.cancel()
            await asyncio.wait(listening)
            news_of = ledger()
        for texts in news_of.values():
            assert len(texts) == len(set(texts)) == MESSAGES
            for begin in range(2):
                ours = [int(text) for text in texts if int(text) % 2 == begin]
                assert ours == list(range(begin, MESSAGES, 2))

    run_asyncio(main())


def test_what_waits_for_a_consumer_before_its_session_is_known_is_not_lost_with_its_worker(
    run_asyncio: Run, shared: str
) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            dies = await stack.enter_async_context(worker(shared))
            lives = await stack.enter_async_context(worker(shared))
            (layer,) = await stack.enter_async_context(layers(shared, 1))
            other = session(dies.url())  # so that the worker reads the group
            await stack.enter_async_context(other)
            assert await other.recv() == "connected"
            urls = [dies.url("?slow")]
            connection = session(lambda: urls[0])
            opening = asyncio.create_task(stack.enter_async_context(connection))
            await asyncio.to_thread(dies.said, "joined")
            for number in range(20):
                await layer.group_send("all", news(number))
            assert await told_by(other, 20) == [str(number) for number in range(20)]
            await opening
            await asyncio.to_thread(dies.said, "first")
            urls[0] = lives.url()
            await asyncio.to_thread(dies.kill)
            assert [text for text in await told_by(connection, 22) if text != "connected"] == [
                str(number) for number in range(20)
            ]

    run_asyncio(main())


@pytest.mark.parametrize(("layer", "lost"), [("ours", False), ("redis", True)])
def test_channels_redis_loses_what_a_consumer_that_is_busy_has_no_room_for_and_we_do_not(
    run_asyncio: Run, valkey: Valkey, layer: str, lost: bool
) -> None:
    from channels_redis.core import RedisChannelLayer

    async def main() -> None:
        async with AsyncExitStack() as stack:
            place = await stack.enter_async_context(worker(valkey.url, layer))
            connection = await stack.enter_async_context(session(place.url()))
            assert await connection.recv() == "connected"
            if layer == "redis":
                sender: Any = RedisChannelLayer([valkey.url.replace("valkey", "redis")])
                stack.push_async_callback(sender.close_pools)
            else:
                (sender,) = await stack.enter_async_context(layers(valkey.url, 1))
            await connection.send("sleep")
            for number in range(300):
                await sender.group_send("all", news(number))
            assert await connection.recv() == "done sleep"
            await asyncio.sleep(0.3)
            await sender.group_send("all", news("last"))
            got: list[object] = []
            async with asyncio.timeout(PATIENCE):
                while "last" not in got:
                    got.append(await connection.recv())
            assert (len(got) < 301) == lost

    run_asyncio(main())
