"""Notes what the hosts ask of core/session.py and core/resume.py, and the answers; calls.js repeats it.

A call is noted where it comes from outside; what the two call of one another happens again by itself.
"""

from contextlib import ExitStack
from types import FunctionType
from typing import Any
from unittest.mock import patch

from websocket_heartbeat.core.resume import Control, Resumption, Step
from websocket_heartbeat.core.session import Half, Kept, Window

HALF = [name for name in vars(Half(Window(0, 0))) if name not in ("ours", "theirs", "_oldest", "_newest")]
RESUMPTION = [
    name for name in vars(Resumption(True, Window(0, 0))) if name not in ("half", "_window", "_steps")
]
"""The names of what is compared after each call: plain values."""


class Calls:
    """A context within which calls are noted.

    noted: of what is made, "half" or "resumption" and of what; of a call, "call", the number of the object,
    the method, its arguments, the window of the peer before, the answer, and the state after.
    """

    def __init__(self) -> None:
        self.noted: list[list[Any]] = []
        self._objects: list[Half | Resumption] = []  # by number
        self._numbers: dict[int, int] = {}
        self._depth = 0
        self._patches = ExitStack()

    def __enter__(self) -> "Calls":
        for kind in (Half, Resumption):
            for name, function in vars(kind).items():
                if isinstance(function, FunctionType) and (name == "__init__" or name[0] != "_"):
                    self._patches.enter_context(patch.object(kind, name, self._noting(name, function)))
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()

    def _noting(self, name: str, function: FunctionType) -> Any:
        def noting(called: Any, *arguments: Any) -> Any:
            if self._depth:
                return function(called, *arguments)
            peer = None if name == "__init__" else plain(half_of(called).theirs)
            self._depth += 1
            try:
                answer = function(called, *arguments)
            finally:
                self._depth -= 1
            if name == "__init__":
                self._made(called, arguments)
            else:
                number = self._numbers[id(called)]
                self._adopt(called)
                after = state_of(called)
                said = [plain(argument) for argument in arguments]
                self.noted.append(["call", number, name, said, peer, self._answer(answer), after])
            return answer

        return noting

    def _made(self, made: Half | Resumption, arguments: tuple[Any, ...]) -> None:
        self._number(made)
        kind = "half" if isinstance(made, Half) else "resumption"
        self.noted.append([kind, [plain(argument) for argument in arguments]])
        self._adopt(made)

    def _adopt(self, called: Half | Resumption) -> None:
        """Give the half of a resumption a number too, if it is new."""
        if isinstance(called, Resumption) and id(called.half) not in self._numbers:
            self._number(called.half)

    def _number(self, made: Half | Resumption) -> None:
        self._numbers[id(made)] = len(self._objects)
        self._objects.append(made)

    def _answer(self, answer: Any) -> Any:
        if isinstance(answer, Kept):
            return chain(answer)
        if isinstance(answer, list):
            return [self._step(step) for step in answer]
        return answer

    def _step(self, step: Step) -> list[Any]:
        before = None if step.before is None else self._numbers[id(step.before)]
        control = None if step.control is None else plain(step.control)
        return [step.kind, control, step.number, step.code, step.answer, step.why, before]


def half_of(called: Half | Resumption) -> Half:
    return called.half if isinstance(called, Resumption) else called


def state_of(called: Half | Resumption) -> list[Any]:
    """Return all that an object knows, its half included."""
    own = [getattr(called, name) for name in RESUMPTION] if isinstance(called, Resumption) else []
    half = half_of(called)
    return [*own, plain(half.theirs), *(plain(getattr(half, name)) for name in HALF)]


def chain(kept: Kept | None) -> list[list[Any]]:
    """Return a message of an outbox and those after it."""
    found = []
    while kept is not None:
        found.append([kept.number, kept.character, kept.size])
        kept = kept.next
    return found


def plain(value: Any) -> Any:
    """Return a value as JSON has it: of an object its members, of a payload its beginning."""
    if isinstance(value, Window | Control):
        return {name: plain(member) for name, member in vars(value).items()}
    if isinstance(value, str):
        return value[:200]
    return list(value) if isinstance(value, list) else value
