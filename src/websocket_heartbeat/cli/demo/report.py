"""The result of the demo as data: the timeline, the outcome of each scene, and whether all is well."""

from dataclasses import asdict, dataclass
from typing import Any

from websocket_heartbeat.cli.demo.ledger import Account, SessionAccount


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline.

    at: seconds since the start. state: of the connection after it; or "fault" or "healed" for what was done
    to the network or the server; or "ok" or "FAILED" for the outcome of a scene. event, why: for a person.
    round_trip: seconds from a heartbeat to its answer.
    """

    at: float
    state: str
    event: str
    why: str = ""
    round_trip: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened in one scene.

    bound: the seconds in which its fault has to be noticed; None where there is nothing to notice.
    noticed_after: seconds from the fault to the notice. recovered_after: seconds from the moment at which
    recovery was possible again to an open link that answers. attempts: links tried in the scene.
    """

    scene: str
    passed: bool
    verdict: str
    bound: float | None = None
    noticed_after: float | None = None
    recovered_after: float | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class ActReport:
    """One act: its scenes, its links, and what became of its messages."""

    outcomes: list[Outcome]
    false_alarms: int
    links: int
    attempts: int
    pings: int
    messages: Account | SessionAccount

    @property
    def ok(self) -> bool:
        """Whether every fault was noticed in time and recovered from, with no false alarm and no loss."""
        return (
            all(outcome.passed for outcome in self.outcomes)
            and self.false_alarms == 0
            and self.messages.is_well
        )


@dataclass(frozen=True, slots=True)
class Report:
    """All of it; `document` is what `--json` prints."""

    seed: int
    seconds: float
    duration: float
    settings: dict[str, float]
    acts: tuple[ActReport, ActReport]
    timeline: list[Entry]

    @property
    def ok(self) -> bool:
        """Whether that holds for both acts."""
        return all(act.ok for act in self.acts)

    def document(self) -> dict[str, Any]:
        """Return it in the form that `websocket-heartbeat demo --help` describes."""
        return {"ok": self.ok, **asdict(self)}
