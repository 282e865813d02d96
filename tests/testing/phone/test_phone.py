"""A phone stops its programs, and its hosts have the limits and shapes of theirs."""

import asyncio
from typing import Any

from tests.testing.phone.scene import URL, play

from websocket_heartbeat.engines.memory import MemoryEngine
from websocket_heartbeat.testing.phone import Phone


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
