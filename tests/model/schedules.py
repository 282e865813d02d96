"""The worlds through which the real halves walk. `python -m tests.model.schedules [STEPS]` is the long form.

It walks 1,000,000 steps, or so many, in Python, and repeats in Node all that the core was asked.
"""

import logging
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.model.bounds import Bounds
from tests.model.calls import HALF, RESUMPTION, Calls
from tests.model.replay import Walk
from tests.node import run_node
from tools.es5 import translate
from tools.es5.bundle import load

from websocket_heartbeat.testing import SimulatedClock

_MANY = Bounds(down=120, up=120, links=70, sessions=8, nodes=(0,), faults={"sever": 99})


class World(NamedTuple):
    """bounds: what may happen. is_slow: as in Walk."""

    bounds: Bounds
    is_slow: bool = False


WORLDS = {
    "links break": World(_MANY),
    "messages are lost on a link": World(replace(_MANY, faults={"sever": 99, "host": 2})),
    "the server restarts, with its store": World(replace(_MANY, faults={"sever": 99, "node": 12})),
    "the server restarts, without its store": World(
        replace(
            _MANY, faults={"sever": 99, "restart": 4, "expire": 4}, overflows=True, ends=True, dismisses=True
        )
    ),
    "the store is an old copy": World(replace(_MANY, faults={"sever": 99, "node": 4, "revert": 6})),
    "a session ends": World(replace(_MANY, faults={"sever": 99, "node": 4}, ends=True, dismisses=True)),
    "two nodes": World(replace(_MANY, nodes=(0, 1), faults={"sever": 99, "node": 4})),
    "two nodes, one slow": World(
        replace(
            _MANY,
            nodes=(0, 1),
            faults={"sever": 99, "node": 2},
            forced=True,
            ends=True,
            dismisses=True,
            overflows=True,
        )
    ),
    "the store is slow": World(replace(_MANY, faults={"sever": 99, "node": 12}, ends=True), is_slow=True),
    "two nodes, and the store is slow": World(
        replace(_MANY, nodes=(0, 1), faults={"sever": 99, "node": 4}, forced=True), is_slow=True
    ),
}
"""Each over one or two nodes of the server that are real."""

WINDOWS = (1, 2, 4, 20)
LENGTH = 400
"""Steps of a walk, at most."""


class Played(NamedTuple):
    """How many walks and steps there were, how many calls Node has repeated, and which steps."""

    walks: int
    steps: int
    calls: int
    kinds: Counter[str]


def play(seeds: list[int], *, with_node: bool) -> Played:
    """Walk once for each seed, through one world after the other.

    Raises:
        Diverged: in Python.
        AssertionError: in JavaScript something was not as in Python.
    """
    notes, steps, kinds = [], 0, Counter[str]()
    for seed in seeds:
        walk = _walk(seed)
        if with_node:
            with Calls() as calls:
                SimulatedClock().run(walk.run(LENGTH))
            notes.append(calls.noted)
        else:
            SimulatedClock().run(walk.run(LENGTH))
        steps += len(walk.taken)
        kinds.update(step.what for step in walk.taken)
    return Played(len(seeds), steps, _repeat(notes) if with_node else 0, kinds)


def _walk(seed: int) -> Walk:
    worlds = list(WORLDS.values())
    world = worlds[seed % len(worlds)]
    bounds = replace(world.bounds, window=Random(seed).choice(WINDOWS))
    return Walk(bounds, seed, is_slow=world.is_slow)


@cache
def _script() -> str:
    core = translate([load("core.session"), load("core.resume")])
    return f"{core}\n{Path(__file__).with_name('calls.js').read_text(encoding='utf-8')}"


def _repeat(notes: list[list[list[object]]]) -> int:
    """Repeat calls in Node; return how many there were."""
    with tempfile.TemporaryDirectory() as folder:
        given = {"half": HALF, "resumption": RESUMPTION, "walks": notes}
        answer = run_node(_script(), Path(folder), given=given)
    assert answer["different"] == [], answer["different"]
    return int(answer["calls"])


def _play_some(first: int) -> Played:
    logging.disable(logging.CRITICAL)  # processes of the server end in the middle of a write
    return play(list(range(first, first + 16)), with_node=True)


def main(most: int) -> int:
    began = time.time()
    walks, steps, calls, kinds = 0, 0, 0, Counter[str]()
    firsts = count(0, 16)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        while steps < most:
            for played in pool.map(_play_some, islice(firsts, 8)):
                walks, steps, calls = walks + played.walks, steps + played.steps, calls + played.calls
                kinds += played.kinds
            print(f"{steps:,} steps", flush=True)
    for what, times in kinds.most_common():
        print(f"{times:10,} {what}")
    print(
        f"{walks:,} walks, {steps:,} steps as in the model; {calls:,} calls of the core as in JavaScript;"
        f" {time.time() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
