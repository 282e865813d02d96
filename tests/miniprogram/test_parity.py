"""The adapters do the same in CPython as the built JavaScript in Node: the same calls, the same words."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.miniprogram.scripted import play

SCENARIOS = Path(__file__).parent / "scenarios"

RANDOM_SCENARIOS = 400

ANSWERS = ["task", "task", "promise", "nothing", "error", "throw", "fail", "ready", "dead", "late"]
EVENTS: dict[str, list[Any]] = {
    "Open": [None, {"header": {"a": "b"}}, {"data": {"socketTaskID": 3}}],
    "Message": [
        {"data": "text"},
        {"data": {"base64": "AAEC/w=="}},
        {"data": "AAEC/w==", "isBuffer": True},
        {"data": "plain", "isBuffer": False},
        {"data": {"data": "AP8=", "isBuffer": True, "socketTaskID": 3}},
        {"data": {"data": "nested", "isBuffer": False, "socketTaskID": 3}},
    ],
    "Close": [
        {"code": 1006, "reason": ""},
        {"code": "4401", "reason": "token", "errMsg": "onClose:ok"},
        {"reason": "gone"},
        {"data": {"socketTaskID": 3}},
        {},
    ],
    "Error": [{"errMsg": "refused"}, {"error": 5, "errorMessage": "no network"}, {}, "text"],
    "fail": [{"errMsg": "connectSocket:fail interrupted"}, {"errorMessage": "no"}],
    "resolve": [None],
    "reject": [{"errMsg": "rejected"}, "rejected"],
}
PAGE_EVENTS: dict[str, list[Any]] = {
    "Open": [{"type": "open"}],
    "Message": [{"type": "message", "data": "text"}],
    "Close": [
        {"type": "close", "code": 1006, "reason": ""},
        {"type": "close", "code": 4401, "reason": "token"},
    ],
    "Error": [{"type": "error"}],
}
ACTS = [
    "close",
    "reconnect",
    "destroy",
    "send",
    "forbid",
    "createWebSocket",
    "heartReset",
    "heartCheck",
    "option",
    "renew",
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {},
    {"repeatLimit": 0},
    {"repeatLimit": 2, "stableAfter": 0},
    {"pingTimeout": 3000, "pongTimeout": 1000, "pingMsg": "ping"},
    {"reconnectTimeout": 100, "maxReconnectTimeout": 400, "openTimeout": 1500, "sendQueue": 1},
    {"pingTimeout": 3000000000},
    {"finalCloseCodes": [[4400, 4500]]},
    {"dismissal": "text", "finalCloseCodes": [4401]},
]


CHARACTERS = "BCDEFGHIJK"
"""Of the first messages of a session."""

SERVER_SAYS = [
    '{"session":1,"window":[3,40],"max":100,"ttl":120,"protocol":"chat"}',
    '{"welcome":"new","key":"id.secret"}',
    '{"welcome":"resumed","in":[0,0]}',
    '{"welcome":"resumed","in":[1,1]}',
    '{"welcome":"reset","key":"other.secret","why":"expired","done":1}',
    '{"welcome":"over","why":"closed"}',
    '{"end":"enough"}',
    '{"unknown":1}',
    '{"session":',
    *("=0", "=1", "=2?", "=99", "?0", "?1", "?", "~volatile", "%B/w==", "%", "", "Cout of step"),
]


def session_frames(random: Random) -> list[list[Any]]:
    """What a server says that has sessions, mostly in the order in which it may."""
    opening = [["host", "Open", 0, EVENTS["Open"][0]]]
    frames = [SERVER_SAYS[0], random.choice(SERVER_SAYS[1:6])]
    frames += CHARACTERS[: random.randrange(4)]
    if random.random() < 0.5:
        frames = frames[: random.randrange(len(frames) + 1)] + random.choices(SERVER_SAYS, k=2)
    return opening + [["host", "Message", 0, {"type": "message", "data": frame}] for frame in frames]


def random_scenario(random: Random) -> dict[str, Any]:
    """Anything that a host and a user may do, in any order; mostly about the latest links."""
    is_page = random.random() < 0.25
    events = PAGE_EVENTS if is_page else EVENTS
    is_asking, is_opening, is_renewing = [random.random() < 0.3 for _ in range(3)]
    is_session = random.random() < 0.3
    steps: list[list[Any]] = []
    for _ in range(random.randint(5, 40)):
        choice = random.random()
        if is_session and random.random() < 0.15:
            steps += session_frames(random)
        elif is_renewing and random.random() < 0.2:
            steps += [["host", "Open", 0, events["Open"][0]], ["user", "renew"]]
        elif is_asking and random.random() < 0.3:
            steps.append(["user", "url", random.random() < 0.8])
        elif is_opening and random.random() < 0.2:
            steps.append(["user", "opened", random.random() < 0.7])
        elif choice < 0.35:
            waits = [0, 1, 10, 999.5, 1000, 2000, 2500, 10001, 15000, 25002, 60000]
            steps.append(["advance", random.choice(waits)])
        elif choice < 0.75:
            name = random.choice([*events, "Open", "Open", "Message"])
            link = random.choice([0, 0, 0, 0, random.randint(1, 4)])
            steps.append(["host", name, link, random.choice(events[name])])
        elif choice < 0.85:
            if is_page:
                steps.append(["host", random.choice(["online", "offline", "show", "hide"])])
            else:
                network: list[Any] = ["NetworkStatusChange", {"isConnected": random.random() < 0.5}]
                signals: list[list[Any]] = [["AppShow"], ["AppHide"], network]
                steps.append(["host", *random.choice(signals)])
        else:
            actions = [["send", "data"]] * 4 + [[act] for act in [*ACTS, "reconnect"] if act != "send"]
            steps.append(["user", *random.choice(actions)])
    hooks = ["Open", "Message", "Close", "Error", "Reconnect", "State", "GiveUp", "Session"]
    return {
        "target": "browser" if is_page else "miniprogram",
        "options": random.choice(OPTIONS),
        **({"session": random.choice(["prefer", "prefer", "require"])} if is_session else {}),
        "host": {
            "single": not is_page and random.random() < 0.25,
            "off": random.random() < 0.5,
            "answers": [random.choice(ANSWERS) for _ in range(random.randint(0, 3))],
        },
        "asking": is_asking,
        "opening": is_opening,
        "throwing": random.sample(hooks, 2) if random.random() < 0.3 else [],
        "acting": {random.choice(hooks): random.choice(ACTS)} if random.random() < 0.3 else {},
        "steps": steps,
    }


def plain(log: Any) -> Any:
    return json.loads(json.dumps(log))


def test_the_scenarios_go_the_same_way_in_python_and_in_javascript(
    run: Callable[..., Any], built: Path, tmp_path: Path
) -> None:
    names, scenarios = [], []
    for path in sorted(SCENARIOS.glob("*.json")):
        for scenario in json.loads(path.read_text()):
            names.append(f"{path.stem}: {scenario['title']}")
            scenarios.append(scenario)
    assert len(names) > 30
    for name, scenario in zip(names, scenarios, strict=True):
        log = play(scenario)
        told = [line[2] for line in log if line[1] == "hook" and line[2] != "State"]
        assert told == scenario["hooks"], name
        is_faulty = "throwing" in scenario or ["user", "opened", False] in scenario["steps"]
        assert is_faulty or "reported" not in [line[1] for line in log], name
    compare(run, built, tmp_path, scenarios, names)


def test_random_scenarios_go_the_same_way_in_python_and_in_javascript(
    run: Callable[..., Any], built: Path, tmp_path: Path
) -> None:
    random = Random(20261121)
    scenarios = [random_scenario(random) for _ in range(RANDOM_SCENARIOS)]
    compare(run, built, tmp_path, scenarios, [str(number) for number in range(RANDOM_SCENARIOS)])


def compare(
    run: Callable[..., Any], built: Path, tmp_path: Path, scenarios: list[dict[str, Any]], names: list[str]
) -> None:
    file = tmp_path / "scenarios.json"
    file.write_text(json.dumps(scenarios))
    paths = {name: str(built / f"{name}.js") for name in ("miniprogram", "browser", "session")}
    logs = run("scenarios.js", {**paths, "scenarios": str(file)})
    for name, scenario, log in zip(names, scenarios, logs, strict=True):
        assert plain(play(scenario)) == log, (name, json.dumps(scenario))
