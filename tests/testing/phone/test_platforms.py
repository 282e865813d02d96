"""A back-end developer meets every platform without a phone: its task copes with each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.testing.phone.scene import NAMES, URL, Scene, play

from websocket_heartbeat.engines.memory import MemoryEngine, MemoryPeer
from websocket_heartbeat.miniprogram import WebsocketHeartbeat
from websocket_heartbeat.server import serve
from websocket_heartbeat.testing.phone import Phone


@pytest.mark.parametrize("name", NAMES)
def test_the_task_opens_talks_loses_and_finds_its_link_on_every_platform(name: str) -> None:
    async def main() -> None:
        scene = Scene(name)
        task = await scene.connect()
        await asyncio.sleep(0.1)
        assert scene.names == ["Open"]
        assert task.send({"data": "hello"})
        assert scene.peer.received == ["hello"]
        scene.peer.send("text")
        scene.peer.send(b"\x00\xff")
        await asyncio.sleep(0.1)
        assert [event.data for word, event in scene.heard if word == "Message"] == ["text", b"\x00\xff"]
        await asyncio.sleep(15)
        assert scene.peer.received == ["hello", "heartbeat"]
        scene.peer.send("heartbeat")
        scene.peer.close(1001, "restart")
        await asyncio.sleep(2.1)
        assert scene.live == 1
        assert len(scene.engine.peers) == 2
        assert scene.names[-3:] == ["Close", "Reconnect", "Open"]
        task.close()
        await asyncio.sleep(0.1)
        assert task.state == "closed"
        assert scene.live == 0
        assert scene.phone.sockets == []

    play(main)


@pytest.mark.parametrize("name", NAMES)
def test_a_half_open_link_is_replaced_on_every_platform(name: str) -> None:
    async def main() -> None:
        scene = Scene(name)
        await scene.connect()
        await asyncio.sleep(0.1)
        scene.peer.frozen = True
        await asyncio.sleep(27.2)
        assert [event.reason for word, event in scene.heard if word == "Close"] == ["heartbeat timeout"]
        assert [socket.state for socket in scene.phone.sockets].count(1) == 1
        await asyncio.sleep(61)
        assert 2 not in [socket.state for socket in scene.phone.sockets]

    play(main)


@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_refuses_is_tried_again_on_every_platform(name: str) -> None:
    async def main() -> None:
        scene = Scene(name)
        scene.refuses = True
        await scene.connect(repeatLimit=3)
        await asyncio.sleep(10)
        assert scene.names.count("Error") == 4
        assert scene.names.count("Reconnect") == 3
        assert scene.names[-1] == "GiveUp"
        assert scene.phone.sockets == []

    play(main)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seconds", [1, 4, 6, 600])
def test_the_task_has_one_open_link_after_any_time_in_the_background(name: str, seconds: float) -> None:
    async def main() -> None:
        scene = Scene(name)
        task = await scene.connect(pingTimeout=900, pongTimeout=500)
        await asyncio.sleep(0.1)
        answering = asyncio.ensure_future(answer(scene.engine))
        scene.phone.hide()
        await asyncio.sleep(seconds)
        assert scene.live == (1 if seconds < 5 else 0)
        scene.phone.show()
        await asyncio.sleep(3)
        assert task.state in ("open", "probing")
        assert scene.live == 1
        if seconds < 5:
            assert scene.names == ["Open", *["Message"] * (len(scene.names) - 1)]
        answering.cancel()

    async def answer(engine: MemoryEngine) -> None:
        seen: dict[MemoryPeer, int] = {}
        while True:
            await asyncio.sleep(0.01)
            for peer in engine.live_peers:
                if len(peer.received) > seen.get(peer, 0):
                    seen[peer] = len(peer.received)
                    peer.send("heartbeat")

    play(main)


@pytest.mark.parametrize("name", NAMES)
def test_a_noticed_loss_of_the_network_pauses_retries_until_it_is_back(name: str) -> None:
    async def main() -> None:
        scene = Scene(name)
        await scene.connect()
        await asyncio.sleep(0.1)
        scene.phone.go_offline()
        await asyncio.sleep(300)
        retries = scene.names.count("Reconnect")
        assert retries <= 2
        scene.phone.go_online("5g")
        await asyncio.sleep(0.1)
        assert scene.live == 1
        assert scene.names[-1] == "Open"

    play(main)


@pytest.mark.parametrize("name", ["wx", "my", "Taro", "uni"])
def test_bytes_reach_the_server_as_bytes(name: str) -> None:
    async def main() -> None:
        scene = Scene(name)
        task = await scene.connect()
        task.send({"data": b"\x00\x01\xff"})
        await asyncio.sleep(0.1)
        assert scene.peer.received == [b"\x00\x01\xff"]
        task.destroy()

    play(main)


def test_bytes_reach_the_server_over_one_of_several_alipay_sockets() -> None:
    async def main() -> None:
        scene = Scene("my")
        task = await scene.connect(connectSocketParams={"multiple": True})
        await asyncio.sleep(0.1)
        task.send({"data": b"\x00\x01\xff"})
        assert scene.peer.received == [b"\x00\x01\xff"]
        task.destroy()
        await asyncio.sleep(0.1)
        assert scene.live == 0

    play(main)


@asynccontextmanager
async def server() -> AsyncIterator[Any]:
    async with serve() as running:
        yield running


@pytest.mark.parametrize("name", NAMES)
def test_a_real_server_is_met_over_a_real_engine(name: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), server() as running:
            phone = Phone()
            opened: asyncio.Queue[Any] = asyncio.Queue()
            messages: asyncio.Queue[Any] = asyncio.Queue()
            task = await WebsocketHeartbeat(
                {
                    "miniprogram": getattr(phone, name),
                    "connectSocketParams": {"url": f"ws://127.0.0.1:{running.port}/"},
                    "pingTimeout": 200,
                    "pongTimeout": 2000,
                }
            )
            task.onOpen = opened.put_nowait
            task.onMessage = messages.put_nowait
            await opened.get()
            task.send({"data": "hello"})
            assert (await messages.get()).data == "hello"
            assert (await messages.get()).data == "heartbeat"
            task.destroy()
            await asyncio.sleep(0)

    asyncio.run(main())


@pytest.mark.parametrize("name", NAMES)
def test_a_coroutine_gives_the_url_and_another_logs_in_before_what_waits(name: str) -> None:
    async def main() -> None:
        scene = Scene(name)
        welcome = asyncio.Event()

        async def url() -> str:
            await asyncio.sleep(1)
            return URL

        async def log_in(event: Any) -> None:
            await asyncio.sleep(1)
            task.send({"data": "login"})
            await welcome.wait()

        task = await scene.connect(connectSocketParams={"url": url})
        task.onOpen = log_in
        task.onMessage = lambda event: welcome.set()
        task.send({"data": "waits"})
        await asyncio.sleep(3)
        assert scene.peer.received == ["login"]
        scene.peer.send("welcome")
        await asyncio.sleep(0.1)
        assert scene.peer.received == ["login", "waits"]
        task.destroy()

    play(main)


@pytest.mark.parametrize("seconds", [3, 8])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_sent_in_the_background_arrives_once_and_no_success_is_claimed_before(
    name: str, seconds: float
) -> None:
    async def main() -> None:
        scene = Scene(name)
        told: list[str] = []
        task = await scene.connect()
        await asyncio.sleep(0.1)
        scene.phone.hide()
        kept = {"success": lambda result: told.append("success"), "fail": lambda result: told.append("fail")}
        assert task.send({"data": "position", **kept})
        await asyncio.sleep(seconds)
        assert told == []
        scene.phone.show()
        await asyncio.sleep(0.1)
        scene.peer.send("answer")
        await asyncio.sleep(3)
        received = [message for peer in scene.engine.peers for message in peer.received]
        assert [message for message in received if message != "heartbeat"] == ["position"]
        assert "fail" not in told
        task.destroy()

    play(main)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_sent_without_a_network_arrives_when_there_is_one_again(name: str) -> None:
    async def main() -> None:
        scene = Scene(name)
        task = await scene.connect()
        await asyncio.sleep(0.1)
        scene.phone.go_offline()
        task.send({"data": "position"})
        await asyncio.sleep(60)
        scene.phone.go_online()
        await asyncio.sleep(3)
        received = [message for peer in scene.engine.peers for message in peer.received]
        assert received == ["position"]
        task.destroy()

    play(main)


@pytest.mark.parametrize("name", NAMES)
def test_a_renewal_has_no_gap_on_every_platform_with_room_for_a_second_socket(name: str) -> None:
    async def main() -> None:
        scene = Scene(name)
        task = await scene.connect()
        await asyncio.sleep(0.1)
        old = scene.peer
        task.renew()
        await asyncio.sleep(0.1)
        assert scene.live == 1
        assert len(scene.engine.peers) == 2
        scene.peer.send("news")
        task.send({"data": "hello"})
        await asyncio.sleep(0.1)
        assert scene.peer.received == ["hello"]
        # Alipay has one socket for all, unless told otherwise.
        gap = ["Close", "Reconnect", "Open"] if name == "my" else ["Open", "Close"]
        assert scene.names == ["Open", *gap, "Message"]
        assert old.close_code == 1000
        assert len(scene.phone.sockets) == 1

    play(main)


def test_a_renewal_on_alipay_with_several_sockets_has_no_gap() -> None:
    async def main() -> None:
        scene = Scene("my")
        task = await scene.connect(connectSocketParams={"multiple": True})
        await asyncio.sleep(0.1)
        task.renew()
        await asyncio.sleep(0.1)
        assert scene.names == ["Open", "Open", "Close"]
        assert scene.live == 1

    play(main)


def test_a_renewal_for_which_there_is_no_socket_left_fails_and_the_link_goes_on() -> None:
    async def main() -> None:
        scene = Scene("wx")
        tasks = [await scene.connect() for _ in range(scene.host.max_sockets)]
        await asyncio.sleep(0.1)
        scene.heard.clear()
        tasks[0].renew()
        await asyncio.sleep(0.1)
        assert [word for word, _ in scene.heard] == ["Error"]
        assert scene.heard[0][1].errMsg == "renewal failed: " + scene.host.limit_text()
        assert scene.live == scene.host.max_sockets
        assert tasks[0].state == "open"

    play(main)
