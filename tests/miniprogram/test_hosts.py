"""A back-end developer meets every platform without a phone: hosts behave as said, and the task copes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from websocket_heartbeat.engines.memory import MemoryEngine, MemoryPeer
from websocket_heartbeat.miniprogram import MiniProgramTask, WebsocketHeartbeat
from websocket_heartbeat.miniprogram.language import Record
from websocket_heartbeat.server import serve
from websocket_heartbeat.testing import SimulatedClock
from websocket_heartbeat.testing.phone import Phone
from websocket_heartbeat.testing.phone.hosts import Host

NAMES = ("wx", "qq", "ks", "jd", "swan", "tt", "my", "Taro", "TaroH5", "uni")
URL = "ws://example.com/"


class Scene:
    """A phone over the memory engine, with one task on one of its hosts."""

    def __init__(self, name: str) -> None:
        self.refuses = False
        self.engine = MemoryEngine(self._answer)
        self.phone = Phone(self.engine)
        self.host: Host = getattr(self.phone, name)
        self.heard: list[tuple[str, Any]] = []

    async def _answer(self, request: Any) -> None:
        if self.refuses:
            raise OSError("refused")

    async def connect(self, **options: Any) -> MiniProgramTask:
        given = {"url": URL, **options.pop("connectSocketParams", {})}
        task = await WebsocketHeartbeat({"miniprogram": self.host, "connectSocketParams": given}, **options)
        for hook in ("Open", "Message", "Close", "Error", "Reconnect", "GiveUp"):
            setattr(task, f"on{hook}", lambda event, hook=hook: self.heard.append((hook, event)))
        return task

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.heard]

    @property
    def peer(self) -> MemoryPeer:
        return self.engine.peers[-1]

    @property
    def live(self) -> int:
        return len(self.engine.live_peers)


def play(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    SimulatedClock().run(main())


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


def test_timers_stand_still_while_the_program_is_stopped() -> None:
    async def main() -> None:
        phone = Phone(MemoryEngine())
        clock = phone.wx.clock
        fired: list[str] = []
        clock.start_timer(lambda: fired.append("early"), 1000)
        clock.start_timer(lambda: fired.append("late"), 8000)
        stopped = clock.start_timer(lambda: fired.append("stopped"), 8000)
        phone.hide()
        await asyncio.sleep(20)
        assert fired == ["early"]
        clock.stop_timer(stopped)
        phone.show()
        assert fired == ["early", "late"]

    play(main)


def test_a_host_refuses_one_socket_too_many_by_fail_alone() -> None:
    async def main() -> None:
        phone = Phone(MemoryEngine())
        words: list[str] = []
        for _ in range(6):
            task = phone.wx.connectSocket(
                {
                    "url": URL,
                    "fail": lambda result: words.append("fail"),
                    "success": lambda result: words.append("ok"),
                }
            )
            task.onOpen(lambda event: words.append("open"))
            task.onError(lambda event: words.append("error"))
            task.onClose(lambda event: words.append("close"))
        await asyncio.sleep(1)
        assert sorted(words) == ["fail", *["ok"] * 5, *["open"] * 5]
        for socket in phone.sockets:
            socket.end("", 1000, "")

    play(main)


def test_alipay_has_one_socket_or_several_tasks_and_tells_no_code() -> None:
    async def main() -> None:
        phone = Phone(MemoryEngine())
        refused: list[Any] = []
        assert phone.my.connectSocket({"url": URL}) is None
        phone.my.connectSocket({"url": URL, "fail": refused.append})
        assert refused == [{"error": 3, "errorMessage": "the connection already exists"}]
        phone.my.closeSocket()
        await asyncio.sleep(0.1)
        closes: list[Any] = []
        for _ in range(2):
            task = phone.my.connectSocket({"url": URL, "multiple": True})
            task.onClose(closes.append)
            await asyncio.sleep(0.1)
            task.close({})
        await asyncio.sleep(0.1)
        assert [set(event) for event in closes] == [{"data"}, {"data"}]

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


def test_closing_what_is_not_open_calls_fail() -> None:
    async def main() -> None:
        phone = Phone(MemoryEngine())
        task = phone.wx.connectSocket({"url": "https://example.com/"})
        texts: list[str] = []
        task.close({"fail": lambda result: texts.append(result.errMsg)})
        task.send({"data": "x", "fail": lambda result: texts.append(result.errMsg)})
        assert texts == ["closeSocket:fail WebSocket is not connected", "sendSocketMessage:fail"]

    play(main)


def test_uni_gives_no_task_to_those_who_pass_no_callback() -> None:
    async def main() -> None:
        phone = Phone(MemoryEngine())
        assert await phone.uni.connectSocket({"url": URL}) == {"errMsg": "connectSocket:ok"}
        for socket in phone.sockets:
            socket.end("", 1000, "")

    play(main)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "miniprogram"),
        ({"miniprogram": "wx"}, "miniprogram"),
        ({"miniprogram": Record(connectSocket=3)}, "miniprogram"),
        ({"miniprogram": Phone().wx}, "connectSocketParams.url"),
        ({"miniprogram": Phone().wx, "connectSocketParams": {}}, "connectSocketParams.url"),
        ({"miniprogram": Phone().wx, "connectSocketParams": {"url": 3}}, "connectSocketParams.url"),
        *[
            ({"miniprogram": Phone().wx, "connectSocketParams": {"url": URL}, name: value}, name)
            for name in ("pingTimeout", "pongTimeout", "reconnectTimeout", "openTimeout", "repeatLimit")
            for value in ("15000", -1, float("nan"), True, [1])
        ],
    ],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, Any], word: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=word):
            await WebsocketHeartbeat(options)

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
