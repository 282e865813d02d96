"""Searches every world of the model and prints a table: `python -m tests.model`, or `make model`.

    python -m tests.model NAME      one of them: a scenario, or rules without which to search, with its trace

Exit status 1 if something does not hold in a scenario, if nothing breaks without a rule, or if a world has
another number of states than scenarios.py says: one that shrinks unnoticed proves less.
"""

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from tests.model.bounds import Bounds
from tests.model.rules import INVARIANTS
from tests.model.scenarios import MUTATIONS, SCENARIOS
from tests.model.search import Found, search


class World(NamedTuple):
    name: str
    bounds: Bounds
    states: int
    progress: bool
    holds: bool


def worlds() -> Iterator[World]:
    for name, scenario in SCENARIOS.items():
        yield World(name, scenario.bounds, scenario.states, scenario.progress, holds=True)
    for bounds, states in MUTATIONS:
        yield World(f"without: {bounds.broken}", bounds, states, progress=False, holds=False)


def searched(world: World) -> tuple[Found, float]:
    began = time.process_time()
    found = search(world.bounds, progress=world.progress)
    return found, time.process_time() - began


def main(arguments: list[str]) -> int:
    name = " ".join(arguments)
    chosen = [world for world in worlds() if name in ("", world.name.removeprefix("without: "))]
    if not chosen:
        print(f"there is no world {name!r}", file=sys.stderr)
        return 2
    states, seconds, wrong = 0, 0.0, []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for world, (found, took) in zip(chosen, pool.map(searched, chosen), strict=True):
            print(
                f"{world.name:34} {found.states:9,} states {took:7.1f} s  {found.violation or 'holds'}",
                flush=True,
            )
            if name or (found.violation and world.holds):
                if found.violation:
                    print(f"    does not hold: {INVARIANTS[found.violation.invariant]}")
                print(*(f"      {step}" for step in found.trace), sep="\n")
            states += found.states
            seconds += took
            if world.holds != (found.violation is None) or found.states != world.states:
                wrong.append(world.name)
    print(
        f"{states:,} states in {seconds:.0f} s of CPU; {len(wrong)} of {len(chosen)} not as they should be",
        *wrong,
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
