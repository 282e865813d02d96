"""What may happen to a machine next, at random: mostly what matters in its state, seldom what does not."""

from random import Random
from typing import Any

from websocket_heartbeat.core.machine import Machine

LIKELY = {
    "idle": ["started"],
    "connecting": ["opened", "opened", "lost", "woke"],
    "open": [
        *("ready", "ready", "renew", "renew", "woke", "woke"),
        *("heard", "sent", "received", "lost", "rejected"),
    ],
    "probing": [
        *("woke", "woke", "heard", "acknowledged", "unacknowledged"),
        *("ready", "renew", "lost", "rejected"),
    ],
    "waiting": ["woke"],
    "closing": ["lost", "woke"],
    "closed": [],
    "failed": [],
}
ON_SUCCESSOR = ["opened", "opened", "ready", "ready", "ready", "lost", "rejected", "dismissed", "woke"]
ALWAYS = [
    *("started", "reconnect_now", "renew", "woke", "went_offline", "came_online", "hidden", "shown", "shown"),
    *("opened", "ready", "heard", "sent", "received", "acknowledged", "unacknowledged", "lost", "rejected"),
    *("reading_paused", "reading_resumed", "dismissed"),
]


def random_step(random: Random, machine: Machine, now: float) -> list[Any]:
    """Return the name and the arguments of an input, at `now` or full eighths of a second before."""
    link = machine.link
    likely = LIKELY[machine.state]
    if machine.successor is not None and random.random() < 0.4:
        link, likely = machine.successor.link, ON_SUCCESSOR
    name = random.choice(likely if likely and random.random() < 0.6 else ALWAYS)
    if random.random() < 0.01:
        name = "stopped"
    if random.random() < 0.07:
        link += random.choice([-2, -1, 1, 2])
    match name:
        case "heard" | "sent" | "received" | "acknowledged":
            return [name, now - random.choice([0, 0, 0.125, 1, 25]), link]
        case "lost":
            hint, is_final = how_it_ended(random)
            code = random.choice([None, None, 1006, 1006, 4001, 4500])
            return [name, now, link, code, hint, is_final or random.choice([None, False])]
        case "rejected":
            return [name, now, link, *how_it_ended(random)]
        case "unacknowledged":
            return [name, now, link, random.choice([0, 1, 3, 3, 4, 9]), random.choice([0.25, 1.5, 60])]
        case "opened" | "ready" | "reading_paused" | "reading_resumed" | "dismissed":
            return [name, now, link]
        case _:
            return [name, now]


def how_it_ended(random: Random) -> list[Any]:
    """Return a hint, mostly none, and whether the end is final, which it seldom is."""
    return [random.choice([0, 0, 0, 5, 9999, -1]), random.random() < 0.02]
