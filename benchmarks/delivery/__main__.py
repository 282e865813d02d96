"""Compares what arrives: `python -m benchmarks.delivery`."""

import argparse
import asyncio
import time

from benchmarks.delivery.chaos import Result, Trial, timetable
from benchmarks.delivery.contestants import CONTESTANTS, NODE_PEERS, Contestant
from benchmarks.delivery.report import show, write

SEED = 12
SECONDS = 40.0
COUNT = 4000
RESTARTS = 2


async def run(
    contestants: list[Contestant], count: int, seconds: float, seed: int, restarts: int
) -> list[Result]:
    """Run all pairs side by side, each with a proxy of its own and the same timetable."""
    lines = timetable(seed, seconds, restarts)
    trials = [Trial(contestant, count, seconds / count, lines) for contestant in contestants]
    return await asyncio.gather(*(trial.run() for trial in trials))


def main() -> None:
    """Run what the command line asks for; only a run of everything is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delivery", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="names; all by default")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of faults")
    parser.add_argument("--count", type=int, default=COUNT, help="messages in each direction")
    options = parser.parse_args()

    trouble = NODE_PEERS.install()
    if trouble:
        print(f"(peers in JavaScript left out: {trouble})")
    wanted = [each for each in CONTESTANTS if not options.only or each.name in options.only]
    contestants = [each for each in wanted if each.versions is not None]
    for each in wanted:
        if each.versions is None:
            print(f"({each.name} left out: not all of {', '.join(each.packages)} is installed)")
    begun = time.monotonic()
    table: dict[int, dict[str, Result]] = {}
    for restarts in (0, RESTARTS):
        results = asyncio.run(run(contestants, options.count, options.seconds, options.seed, restarts))
        table[restarts] = dict(zip([each.name for each in contestants], results, strict=True))
        show(table[restarts], restarts)
    seconds = time.monotonic() - begun
    print(f"({seconds:.0f} s)")
    if contestants == list(CONTESTANTS):
        lines = timetable(options.seed, options.seconds, 0)
        write(table, contestants, lines, options.count, options.seed, seconds)


if __name__ == "__main__":
    main()
