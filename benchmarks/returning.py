"""Real clients that come back to a hub which lets in so many a second, when it was killed and began again."""

import asyncio
import json
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import pairwise
from typing import Any

from benchmarks.processes import Contender, contender, running

CLIENTS = 2000
PROCESSES = 4
LIMIT = 100
"""New peers a second: so N/C is 20 s."""
AWAY = 3.0
KINDS = {"our listener": "listener", "uvicorn, hub.asgi": "uvicorn"}

_LONGEST = 180.0


# The clients


async def _come_back(url: str, count: int) -> dict[str, Any]:
    """Open so many connections; when all of them are open for the second time, tell how that was."""
    from benchmarks.crowd import ours_hook

    connections = await ours_hook(url, count, 15.0)
    refusals = [0] * count
    delays: list[float] = []
    opened: list[float] = []
    all_back = asyncio.Event()

    def watch(number: int, connection: Any) -> None:
        def retry(event: Any) -> None:
            if "503" in event.reason:
                refusals[number] += 1
                delays.append(event.delay)

        def back(event: Any) -> None:
            opened.append(time.monotonic())
            if len(opened) == count:
                all_back.set()

        connection.on_reconnect(retry)
        connection.on_open(back)

    for number, connection in enumerate(connections):
        watch(number, connection)
    cpu = time.process_time()
    with suppress(TimeoutError):
        await asyncio.wait_for(all_back.wait(), _LONGEST)
    answer = {
        "opened": opened,
        "refusals": refusals,
        "least_delay": min(delays, default=None),
        "cpu": time.process_time() - cpu,
    }
    await asyncio.gather(*(connection.close() for connection in connections))
    return answer


CONTENDERS: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {"ours": _come_back}


# The run


class _Hub:
    """The process of a hub."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self._process = process
        self.port = int(process.stdout.readline())

    def ask(self) -> dict[str, Any]:
        """Return what the hub has done so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def come_back(kind: str) -> dict[str, Any]:
    """Let them lose a hub of that kind and come back to the next; return how that was."""
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        hub = _Hub(first.enter_context(running("benchmarks.hub_server", kind, "0", "0")))
        url = f"ws://127.0.0.1:{hub.port}/"
        herd = [stack.enter_context(contender("returning", "ours")) for _ in range(PROCESSES)]
        pool = stack.enter_context(ThreadPoolExecutor(PROCESSES))
        rounds = [pool.submit(_round, part, url) for part in herd]
        while hub.ask()["peers"] < CLIENTS:
            time.sleep(0.2)
        time.sleep(1)
        first.close()  # kills it
        time.sleep(AWAY)
        arguments = ("benchmarks.hub_server", kind, str(hub.port), str(LIMIT))
        hub = _Hub(stack.enter_context(running(*arguments)))
        up = time.monotonic()
        before = after = hub.ask()
        attempts = [0]
        shares = []
        while after["admitted"] < CLIENTS and time.monotonic() < up + _LONGEST:
            time.sleep(1)
            last, after = after, hub.ask()
            attempts.append(after["admitted"] + after["refused"])
            shares.append(after["cpu"] - last["cpu"])
        answers = [each.result() for each in rounds]
    opened = sorted(at - up for answer in answers for at in answer["opened"])
    refusals = [count for answer in answers for count in answer["refusals"]]
    return {
        "back": len(opened),
        "t50": opened[len(opened) // 2],
        "t99": opened[int(0.99 * len(opened)) - 1],
        "t100": opened[-1],
        "refused": after["refused"],
        "refusals_mean": statistics.mean(refusals),
        "refusals_most": max(refusals),
        "least_delay": min(answer["least_delay"] for answer in answers),
        "most_attempts_per_second": max(later - earlier for earlier, later in pairwise(attempts)),
        "server_cpu": after["cpu"] - before["cpu"],
        "server_cpu_most": max(shares),
        "client_cpu": sum(answer["cpu"] for answer in answers),
    }


def _round(part: Contender, url: str) -> dict[str, Any]:
    answer = part.round(url, count=CLIENTS // PROCESSES)
    assert answer is not None
    return answer
