"""What one heartbeat costs the client: ping, answer and timers, in CPU time, over many idle connections."""

import asyncio
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from benchmarks import crowd, figures, report
from benchmarks.processes import take_turns

Answer = dict[str, float]

_INTERVAL = 1.0


async def _pings(url: str) -> int:
    """Ask the server how many pings it has had so far."""
    import picows

    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            if not answer.done():
                answer.set_result(int(frame.get_payload_as_ascii_text()))

    transport, _ = await picows.ws_connect(Listener, f"{url}/pings")
    count = await answer
    transport.disconnect(False)
    return count


async def _measure(opener: crowd.Opener, url: str, count: int, seconds: float) -> Answer:
    kept = await opener(f"{url}/idle", count, _INTERVAL)
    await asyncio.sleep(1.5 * _INTERVAL)
    before = await _pings(url)
    cpu = time.process_time()
    await asyncio.sleep(seconds)
    cpu = time.process_time() - cpu
    pings = await _pings(url) - before
    # Whatever was kept ends with the loop; the server sees a reset.
    del kept
    return {"microseconds": cpu / max(1, pings) * 1e6, "per_connection": pings / count}


_OPENERS: dict[str, crowd.Opener] = {**crowd.OPENERS, "bare, steps of 5 %": partial(crowd.bare, steps=20)}

CONTENDERS: dict[str, Callable[..., Awaitable[Answer]]] = {
    name: partial(_measure, opener) for name, opener in _OPENERS.items()
}


def run(options: Namespace) -> None:
    """Count, print, save and draw."""
    answers = take_turns(
        "heartbeat",
        [
            (name, loop)
            for loop in (("asyncio", "uvloop") if options.long else ("asyncio",))
            for name in CONTENDERS
        ],
        5 if options.long else 2,
        # At fewer each beat wakes the loop alone, and that is all that is measured.
        lambda name: {"count": 2000, "seconds": 4.0 if options.long else 3.0},
        fresh=True,
    )
    rows: list[dict[str, Any]] = [
        {
            "contender": label,
            "microseconds": report.spread([answer["microseconds"] for answer in rounds]),
            "heartbeats_per_connection": rounds[0]["per_connection"],
        }
        for label, rounds in answers.items()
    ]
    report.table(
        f"Heartbeat every {_INTERVAL:g} s: client CPU for each",
        ["contender", "CPU us", "least", "most", "heartbeats/connection"],
        [
            [
                row["contender"],
                row["microseconds"]["median"],
                row["microseconds"]["min"],
                row["microseconds"]["max"],
                row["heartbeats_per_connection"],
            ]
            for row in rows
        ],
    )
    report.keep("heartbeat", {"rows": rows})
    figures.bars(
        "heartbeat",
        "CPU time of one heartbeat, microseconds",
        {row["contender"]: row["microseconds"]["median"] for row in rows},
    )
