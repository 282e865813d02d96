"""Round trips of 32 bytes of text, one in flight, on asyncio and on uvloop, without TLS and with it."""

import asyncio
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from benchmarks import crowd, figures, report
from benchmarks.processes import take_turns
from benchmarks.server import TEXT
from benchmarks.tls import client_context

Answer = dict[str, float]

_WARM = 200


class _Turns:
    """Counts round trips and times those after the first few."""

    def __init__(self, total: int) -> None:
        self.left = total + _WARM
        self.total = total
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wall = self.cpu = 0.0

    def another(self) -> bool:
        """Note one round trip; tell whether there is to be another."""
        self.left -= 1
        if self.left == self.total:
            self.wall, self.cpu = time.perf_counter(), time.process_time()
        elif self.left == 0:
            self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
            self.done.set_result(None)
            return False
        return True

    def answer(self) -> Answer:
        return {"rate": self.total / self.wall, "microseconds": self.cpu / self.total * 1e6}


async def ours_hook(url: str, total: int) -> Answer:
    """Ours: on_message sends the next one."""
    from websocket_heartbeat import Message, connect

    turns = _Turns(total)
    async with connect(f"{url}/echo", proxy=None, ssl=client_context(url)) as connection:

        @connection.on_message
        def again(message: Message) -> None:
            if turns.another():
                connection.send_nowait(message)

        await connection.wait_open()
        connection.send_nowait(TEXT)
        await turns.done
    return turns.answer()


async def ours_iteration(url: str, total: int) -> Answer:
    """Ours: async for and await send."""
    from websocket_heartbeat import connect

    async with connect(f"{url}/echo", proxy=None, ssl=client_context(url)) as connection:
        return await _talk(connection, total)


async def _talk(connection: Any, total: int) -> Answer:
    turns = _Turns(total)
    await connection.send(TEXT)
    async for message in connection:
        if not turns.another():
            break
        await connection.send(message)
    return turns.answer()


async def picows_call(url: str, total: int) -> Answer:
    """The bare callback of picows, which decodes and sends the next one."""
    import picows

    turns = _Turns(total)

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            text = frame.get_payload_as_utf8_text()
            if turns.another():
                transport.send(picows.WSMsgType.TEXT, text)

    transport, _ = await picows.ws_connect(Listener, f"{url}/echo")
    transport.send(picows.WSMsgType.TEXT, TEXT)
    await turns.done
    transport.disconnect(False)
    return turns.answer()


class _Bare(crowd.Bare):
    """Sends the next frame when the one before has come back: short frames come whole."""

    turns: _Turns

    def data_received(self, data: bytes) -> None:
        if not self.is_open.done():
            super().data_received(data)
        elif self.turns.another():
            self.say()

    def say(self) -> None:
        self.transport.write(bytes((0x81, 0x80 | len(TEXT))) + bytes(4) + TEXT.encode())


async def bare(url: str, total: int) -> Answer:
    """What the loop itself costs, and its TLS: a protocol that looks at nothing that it receives."""
    protocol = await crowd.open_bare(f"{url}/echo", _Bare)
    protocol.turns = _Turns(total)
    protocol.say()
    await protocol.turns.done
    protocol.transport.abort()
    return protocol.turns.answer()


async def aiohttp(url: str, total: int) -> Answer:
    """The iterator of aiohttp."""
    from aiohttp import ClientSession

    turns = _Turns(total)
    async with (
        ClientSession() as session,
        session.ws_connect(f"{url}/echo", ssl=client_context(url) or True) as connection,
    ):
        await connection.send_str(TEXT)
        async for message in connection:
            if not turns.another():
                break
            await connection.send_str(message.data)
    return turns.answer()


async def websockets(url: str, total: int) -> Answer:
    """The iterator of websockets."""
    from websockets.asyncio.client import connect

    async with connect(f"{url}/echo", proxy=None, compression=None, ssl=client_context(url)) as connection:
        return await _talk(connection, total)


CONTENDERS: dict[str, Callable[..., Awaitable[Answer]]] = {
    "ours, hook": ours_hook,
    "ours, iteration": ours_iteration,
    "picows": picows_call,
    "bare protocol": bare,
    "aiohttp": aiohttp,
    "websockets": websockets,
}


_WITH_TLS = ("ours, hook", "ours, iteration", "bare protocol", "aiohttp", "websockets")


def run(options: Namespace) -> None:
    """Talk, print, save and draw."""
    rows: list[dict[str, Any]] = []
    for scheme, names in (("ws", tuple(CONTENDERS)), ("wss", _WITH_TLS)):
        answers = take_turns(
            "echo",
            [(name, loop) for loop in ("asyncio", "uvloop") for name in names],
            11 if options.long else 3,
            lambda name: {"total": 4000 if name in ("aiohttp", "websockets") else 8000},
            scheme=scheme,
        )
        rows += [_row(scheme, label, answers) for label in answers]
    report.table(
        "Echo, 32 bytes of text, one in flight (ratios: round trips/s, of the same round, median)",
        ["", "contender", "round trips/s", "best", "CPU us", "least", "x picows, same loop", "x websockets"],
        [
            [
                row["scheme"],
                row["contender"],
                row["rate"]["median"],
                row["rate"]["max"],
                row["microseconds"]["median"],
                row["microseconds"]["min"],
                row.get("to_picows"),
                row.get("to_websockets"),
            ]
            for row in rows
        ],
    )
    report.keep("echo", {"rows": rows})
    chart = {
        row["contender"]: row["to_websockets"]
        for row in rows
        if row["scheme"] == "ws" and "to_websockets" in row
    }
    figures.bars("echo", "Round trips, as a multiple of websockets on asyncio", chart)


def _row(scheme: str, label: str, answers: dict[str, list[Answer]]) -> dict[str, Any]:
    rounds = answers[label]
    bare = "picows / uvloop" if label.endswith("/ uvloop") else "picows"
    return {
        "scheme": scheme,
        "contender": label,
        "rate": report.spread([answer["rate"] for answer in rounds]),
        "microseconds": report.spread([answer["microseconds"] for answer in rounds]),
        **{
            name: median(
                mine["rate"] / theirs["rate"] for mine, theirs in zip(rounds, answers[other], strict=False)
            )
            for name, other in (("to_picows", bare), ("to_websockets", "websockets"))
            if other in answers
        },
    }
