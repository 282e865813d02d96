"""How many messages a second each library hands to its user: text of 32 bytes to 64 KiB, on one core."""

import asyncio
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from benchmarks import figures, report
from benchmarks.processes import take_turns

Answer = dict[str, float]


class _Count:
    """Takes messages, and the time from the first to the last."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.seen = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wall = self.cpu = 0.0

    def take(self, message: object) -> None:
        self.seen += 1
        if self.seen == 1:
            self.wall, self.cpu = time.perf_counter(), time.process_time()
        elif self.seen == self.total:
            self.stop()

    def stop(self) -> None:
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        self.done.set_result(None)

    def answer(self) -> Answer:
        return {"rate": self.total / self.wall, "microseconds": self.cpu / self.total * 1e6}


async def ours_hook(url: str, size: int, total: int) -> Answer:
    """Ours: a plain function as on_message."""
    from websocket_heartbeat import connect

    count = _Count(total)
    connection = connect(f"{url}/flood/{size}/{total}", proxy=None)
    connection.on_message = count.take
    async with connection:
        await count.done
    return count.answer()


async def ours_iteration(url: str, size: int, total: int) -> Answer:
    """Ours: async for."""
    from websocket_heartbeat import connect

    async with connect(f"{url}/flood/{size}/{total}", proxy=None) as connection:
        return await _iterate(connection, total)


async def _iterate(messages: Any, total: int) -> Answer:
    seen = 0
    wall = cpu = 0.0
    async for _ in messages:
        seen += 1
        if seen == 1:
            wall, cpu = time.perf_counter(), time.process_time()
        elif seen == total:
            break
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"rate": total / wall, "microseconds": cpu / total * 1e6}


async def picows_callback(url: str, size: int, total: int) -> Answer:
    """The bare callback of picows, which decodes and counts: one Python call per message, not two."""
    import picows

    count = _Count(total)

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            frame.get_payload_as_utf8_text()
            # As in _Count.take. On the listener itself it would be slower: its base is no Python class.
            count.seen += 1
            if count.seen == 1:
                count.wall, count.cpu = time.perf_counter(), time.process_time()
            elif count.seen == count.total:
                count.stop()

    transport, _ = await picows.ws_connect(Listener, f"{url}/flood/{size}/{total}")
    await count.done
    transport.disconnect(False)
    return count.answer()


async def picows_call(url: str, size: int, total: int) -> Answer:
    """The callback of picows that decodes and calls a function with the message, which counts."""
    import picows

    class Listener(picows.WSListener):
        def __init__(self) -> None:
            self.deliver = count.take

        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            self.deliver(frame.get_payload_as_utf8_text())

    count = _Count(total)
    transport, _ = await picows.ws_connect(Listener, f"{url}/flood/{size}/{total}")
    await count.done
    transport.disconnect(False)
    return count.answer()


async def picows_iteration(url: str, size: int, total: int) -> Answer:
    """The iterator of picows, which resembles that of websockets."""
    from picows.websockets import connect

    async with connect(f"{url}/flood/{size}/{total}", proxy=None, compression=None) as connection:
        return await _iterate(connection, total)


async def aiohttp(url: str, size: int, total: int) -> Answer:
    """The iterator of aiohttp."""
    from aiohttp import ClientSession

    async with ClientSession() as session, session.ws_connect(f"{url}/flood/{size}/{total}") as connection:
        return await _iterate(connection, total)


async def websockets(url: str, size: int, total: int) -> Answer:
    """The iterator of websockets."""
    from websockets.asyncio.client import connect

    async with connect(f"{url}/flood/{size}/{total}", proxy=None, compression=None) as connection:
        return await _iterate(connection, total)


CONTENDERS: dict[str, Callable[..., Awaitable[Answer]]] = {
    "ours, hook": ours_hook,
    "ours, iteration": ours_iteration,
    "picows, callback": picows_callback,
    "picows, call": picows_call,
    "picows, iteration": picows_iteration,
    "aiohttp": aiohttp,
    "websockets": websockets,
}

_MESSAGES = {32: 600_000, 1024: 120_000, 65536: 8_000}
"""About half a second of the fastest; the others get fewer."""
_FEWER = {"aiohttp": 3, "websockets": 12}
_WITH_LONG = ("ours, hook", "ours, iteration", "aiohttp", "websockets")


def run(options: Namespace) -> None:
    """Receive, print, save and draw."""
    loops = ("asyncio", "uvloop") if options.long else ("asyncio",)
    rows: list[dict[str, Any]] = []
    for size, total in _MESSAGES.items():
        answers = take_turns(
            "throughput",
            [(name, loop) for loop in loops for name in (CONTENDERS if size == 32 else _WITH_LONG)],
            11 if options.long else 5,
            lambda name, size=size, total=total: {  # type: ignore[misc]
                "size": size,
                "total": total // (_FEWER.get(name, 1) if size < 65536 else 1),
            },
        )
        rows += [
            {
                "size": size,
                "contender": label,
                "rate": report.spread([answer["rate"] for answer in rounds]),
                "microseconds": report.spread([answer["microseconds"] for answer in rounds]),
                "to_websockets": _ratio(answers, label, "websockets"),
                "to_aiohttp": _ratio(answers, label, "aiohttp"),
                "to_picows_callback": _ratio(answers, label, "picows, callback"),
            }
            for label, rounds in answers.items()
        ]
    report.table(
        "Receiving text (last columns: as a multiple of, by CPU time of the same round, median)",
        [
            "bytes",
            "contender",
            "messages/s",
            "best",
            "CPU us",
            "least",
            "websockets",
            "aiohttp",
            "picows callback",
        ],
        [
            [
                row["size"],
                row["contender"],
                row["rate"]["median"],
                row["rate"]["max"],
                row["microseconds"]["median"],
                row["microseconds"]["min"],
                row["to_websockets"],
                row["to_aiohttp"],
                row["to_picows_callback"],
            ]
            for row in rows
        ],
    )
    report.keep("throughput", {"rows": rows})
    short = [row for row in rows if row["size"] == 32]
    chart = {row["contender"]: row["to_websockets"] for row in short if row["to_websockets"]}
    figures.bars("throughput", "Messages of 32 bytes received, as a multiple of websockets", chart)


def _ratio(answers: dict[str, list[Answer]], label: str, other: str) -> float | None:
    """How many times as fast as the other: by CPU time, which other load on the machine disturbs least."""
    if other not in answers:
        return None
    pairs = zip(answers[label], answers[other], strict=True)
    return median(theirs["microseconds"] / mine["microseconds"] for mine, theirs in pairs)
