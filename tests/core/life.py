"""A machine with the clock of its host, and what it does in words: for tests of one behaviour each."""

from collections.abc import Callable
from typing import Any

from websocket_heartbeat.core.machine import (
    ABANDON_LINK,
    CLOSE_LINK,
    LEAVE_LINK,
    NOTIFY_CLOSED,
    NOTIFY_FAILED,
    NOTIFY_OPENED,
    NOTIFY_RENEWAL_FAILED,
    NOTIFY_RETRY,
    NOTIFY_STATE,
    OPEN_LINK,
    PING_LINK,
    SWITCH_LINK,
    Action,
    Machine,
)
from websocket_heartbeat.core.settings import Settings

DEFAULTS: dict[str, Any] = {
    "interval": 15.0,
    "timeout": 10.0,
    "both_directions": False,
    "message_timeout": None,
    "initial": 1.0,
    "maximum": 60.0,
    "hold": 0,
    "stable_after": 30.0,
    "open_timeout": 8.0,
    "close_timeout": 5.0,
    "max_retries": None,
    "final_codes": None,
}


def settings(**changes: Any) -> Settings:
    return Settings(*(DEFAULTS | changes).values())


def in_words(action: Action) -> str:
    code = "" if action.code is None else f" {action.code}"
    unused = Action(action.kind, action.link)
    if action.kind == NOTIFY_STATE:
        text, unused.state = f"state {action.state}", action.state
    elif action.kind == NOTIFY_RETRY:
        text = f"retry {action.attempt} in {action.delay:g}: {action.cause}"
        unused.attempt, unused.delay, unused.cause = action.attempt, action.delay, action.cause
    elif action.kind == NOTIFY_CLOSED:
        text = f"closed: {action.cause}{code}"
        unused.cause, unused.code = action.cause, action.code
    elif action.kind == NOTIFY_RENEWAL_FAILED:
        text, unused.cause = f"renewal failed: {action.cause}", action.cause
    elif action.kind == LEAVE_LINK:
        text, unused.cause = f"leave: {action.cause}" if action.cause else "leave", action.cause
    elif action.kind == NOTIFY_FAILED:
        text = f"failed{', out of retries' if action.out_of_retries else ''}: {action.cause}{code}"
        unused.cause, unused.code, unused.out_of_retries = action.cause, action.code, action.out_of_retries
    else:
        text = {
            OPEN_LINK: "open",
            PING_LINK: "ping",
            CLOSE_LINK: "close",
            ABANDON_LINK: "abandon",
            SWITCH_LINK: "switch",
            NOTIFY_OPENED: "opened",
        }[action.kind]
    assert vars(action) == vars(unused), "fields that a kind does not use stay empty"
    return f"{action.link} {text}"


class Life:
    """A machine, the clock of its host, and what it did, in words: first the number of the link."""

    def __init__(self, random: Callable[[], float] = lambda: 0.5, **changes: Any) -> None:
        self.machine = Machine(settings(**changes), random)
        self.now = 1000.0

    def did(self) -> list[str]:
        return [in_words(action) for action in self.machine.take()]

    def tell(self, happened: str, *arguments: Any) -> list[str]:
        getattr(self.machine, happened)(self.now, *arguments)
        return self.did()

    def open(self) -> list[str]:
        """Let the current link open and be ready at once, as it is if the user has nothing to do first."""
        did = self.tell("opened", self.machine.link)
        return did + self.tell("ready", self.machine.link)

    def lose(self, code: int | None = None, hint: float = 0.0, final: bool = False) -> list[str]:
        return self.tell("lost", self.machine.link, code, hint, final)

    def wake(self, late: float = 0.0) -> list[str]:
        """Call woke at the deadline, or so much later."""
        assert self.machine.deadline is not None
        self.now = max(self.now, self.machine.deadline + late)
        return self.tell("woke")

    def wait(self) -> list[str]:
        """Call woke at each deadline until that does something: traffic puts off a deadline only then."""
        for _ in range(10):
            if did := self.wake():
                return did
        raise AssertionError("nothing happens")

    def hear(self, ago: float = 0.0) -> list[str]:
        self.machine.heard(self.now - ago, self.machine.link)
        return self.did()

    def receive(self, ago: float = 0.0) -> list[str]:
        """A message came, which is something heard, too."""
        self.machine.received(self.now - ago, self.machine.link)
        return self.hear(ago)

    @property
    def attempt(self) -> int:
        """The retries since the last stable link."""
        return self.machine.retries.attempt

    @property
    def left(self) -> float | None:
        """Seconds until the deadline."""
        return None if self.machine.deadline is None else round(self.machine.deadline - self.now, 6)


def started(**changes: Any) -> Life:
    life = Life(**changes)
    life.tell("started")
    return life


def opened(**changes: Any) -> Life:
    """A life whose first link is open, and ready."""
    life = started(**changes)
    life.open()
    return life


def probing(**changes: Any) -> Life:
    life = opened(**changes)
    life.wake()
    assert life.machine.state == "probing"
    return life


def waiting(**changes: Any) -> Life:
    life = started(**changes)
    life.lose()
    assert life.machine.state == "waiting"
    return life


def closing(**changes: Any) -> Life:
    life = opened(**changes)
    life.tell("stopped")
    return life


def renewing(**changes: Any) -> Life:
    """A life whose first link is open and ready, while a renewal opens the second."""
    life = opened(**changes)
    assert life.tell("renew") == ["2 open"]
    return life


def almost_renewed(**changes: Any) -> Life:
    """The same, once the second link is open and has yet to become ready."""
    life = renewing(**changes)
    assert life.tell("opened", 2) == ["2 opened"]
    return life


def failed() -> Life:
    life = started()
    life.lose(final=True)
    return life


EVERY: dict[str, Callable[[], Life]] = {
    "idle": Life,
    "connecting": started,
    "open": opened,
    "probing": probing,
    "waiting": waiting,
    "closing": closing,
    "failed": failed,
}
