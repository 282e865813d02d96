"""The core does the same in JavaScript as in Python, at each of many random steps."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.core.random_steps import random_step
from tests.node import run_node
from tools.es5 import translate
from tools.es5.bundle import CORE, load

from websocket_heartbeat.core.close_codes import FinalCodes
from websocket_heartbeat.core.machine import Action, Machine
from websocket_heartbeat.core.settings import Settings

BAD_SETTINGS: list[list[Any]] = [
    [0, 1, False, None, 1, 2, 5, 1, 1, 1, None, []],
    [1, -1, False, None, 1, 2, 5, 1, 1, 1, None, []],
    [1, 1, True, 0, 1, 2, 5, 1, 1, 1, None, []],
    [1, 1, False, None, 31536001, 31536002, 5, 1, 1, 1, None, []],
    [1, 1, False, None, 2, 1, 5, 1, 1, 1, None, []],
    [1, 1, False, None, 1, 2, -1, 1, 1, 1, None, []],
    [1, 1, False, None, 1, 2, 5, -0.5, 1, 1, None, []],
    [1, 1, False, None, 1, 2, 5, 1, 0, 1, None, []],
    [1, 1, False, None, 1, 2, 5, 1, 1, -1, None, []],
    [1, 1, False, None, 1, 2, 5, 1, 1, 1, -1, []],
]

REPLAY = """
var input = JSON.parse(require("fs").readFileSync(0, "utf8"));
function settings(values) {
    var made = Object.create(Settings.prototype);
    var codes = values[values.length - 1].reduce(function (rest, range) {
        return new FinalCodes(range[0], range[1], rest);
    }, null);
    Settings.apply(made, values.slice(0, -1).concat([codes]));
    return made;
}
function run(life) {
    var drawn = 0;
    var machine = new Machine(settings(life.settings), function () {
        drawn += 1;
        return life.randoms[(drawn - 1) % life.randoms.length];
    });
    return life.inputs.map(function (step) {
        machine[step[0]].apply(machine, step.slice(1));
        var actions = machine.take().map(function (a) {
            return [a.kind, a.link, a.state, a.cause, a.code, a.attempt, a.delay, a.out_of_retries];
        });
        return [machine.state, machine.deadline, machine.link, machine.last_link, actions];
    });
}
function refused(numbers) {
    try {
        settings(numbers);
    } catch (error) {
        return error.message;
    }
    return "";
}
console.log(JSON.stringify({lives: input.lives.map(run), refused: input.refused.map(refused)}));
"""


@pytest.fixture(scope="module")
def script() -> str:
    return str(translate([load(name) for name in CORE]))


def random_settings(random: Random) -> list[Any]:
    initial = random.choice([0.001, 0.5, 1, 2, 7.3])
    return [
        random.choice([0.01, 1, 15, 20.5, 60]),
        random.choice([0.004, 0.5, 5, 10, 30.25]),
        random.random() < 0.5,
        random.choice([None, None, 0.3, 20, 70.5]),
        initial,
        initial * random.choice([1, 1.1, 8, 60, 1000]),
        random.choice([0, 1, 3, 5, 12]),
        random.choice([0, 1.5, 30]),
        random.choice([0.02, 3, 10]),
        random.choice([0, 0.5, 5]),
        random.choice([None, None, 0, 1, 6]),
        random.choice([[], [], [[4001, 4001], [4500, 4999]]]),
    ]


def random_life(random: Random, steps: int) -> dict[str, Any]:
    """The inputs of one machine over its life, and what it did at each."""
    settings = random_settings(random)
    randoms = [random.random() for _ in range(7)]
    drawn = iter(randoms * steps)
    machine = Machine(settings_of(settings), lambda: next(drawn))
    now = random.choice([0.0, 1e6 * random.random(), 1.7e9])
    inputs: list[list[Any]] = []
    done: list[list[Any]] = []
    for _ in range(steps):
        moment = random.random()
        if machine.deadline is not None and moment < 0.4:
            now = max(now, machine.deadline)
        elif moment < 0.8:
            now += random.choice([0.0005, 0.01, 1, 5]) * random.random()
        elif moment < 0.83:
            now += 4000 * random.random()
        step = random_step(random, machine, now)
        getattr(machine, step[0])(*step[1:])
        inputs.append(step)
        done.append(
            [
                machine.state,
                machine.deadline,
                machine.link,
                machine.last_link,
                [fields(each) for each in machine.take()],
            ]
        )
    return {"settings": settings, "randoms": randoms, "inputs": inputs, "done": done}


def settings_of(values: list[Any]) -> Settings:
    """Settings of numbers and, last, of ranges of final close codes."""
    numbers, ranges = values[:-1], values[-1]
    codes = None
    for first, last in ranges:
        codes = FinalCodes(first, last, codes)
    return Settings(*[*numbers, codes])


def fields(action: Action) -> list[Any]:
    return list(vars(action).values())


def refusal(numbers: list[Any]) -> str:
    try:
        settings_of(numbers)
    except ValueError as error:
        return str(error)
    return ""


def test_python_and_javascript_agree_on_100000_random_steps(script: str, tmp_path: Path) -> None:
    random = Random(20261121)
    lives = [random_life(random, 100) for _ in range(1000)]
    kinds = {action[0] for life in lives for step in life["done"] for action in step[-1]}
    states = {step[0] for life in lives for step in life["done"]}
    assert (len(kinds), len(states)) == (12, 8), "the lives do not touch everything"
    assert sum(len(life["inputs"]) for life in lives) == 100_000
    inputs = [{key: life[key] for key in ("settings", "randoms", "inputs")} for life in lives]
    answer = run_node(script + REPLAY, tmp_path, given={"lives": inputs, "refused": []})
    for life, replayed in zip(lives, answer["lives"], strict=True):
        for step, expected, actual in zip(life["inputs"], life["done"], replayed, strict=True):
            assert actual == expected, f"after {step} with {life['settings']}"


def test_settings_are_refused_in_javascript_as_in_python(script: str, tmp_path: Path) -> None:
    answer = run_node(script + REPLAY, tmp_path, given={"lives": [], "refused": BAD_SETTINGS})
    said = [refusal(numbers) for numbers in BAD_SETTINGS]
    assert "" not in said
    assert answer["refused"] == said
