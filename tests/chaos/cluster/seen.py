"""What the workers have seen of one client, and why one of its messages may have been handled again."""

from dataclasses import dataclass, field

from tests.chaos import messages
from tests.chaos.backend import AGAIN

from websocket_heartbeat.server.sessions.handover import HANDOFF_TIMEOUT

KILLED = "killed"
"""Why a message is handled again: its worker was killed."""
FORCED = "forced"
"""Its worker did not answer in time, and the session was claimed by force."""
CUT_OFF = "cut off"
"""Its hook ran on for too long while its session was to go on elsewhere, and was cancelled."""


@dataclass
class Seen:
    """What the workers have seen of one client, in the order of time.

    begun: its messages. whys: by places there, why the message before may be handled again.
    answers: those that were to be sent; in_hand: parts of them that were perhaps not stored.
    life: the one that has begun the last message, since when, and its number in the session.
    owner: the life that has the session. stale: lives from which it was taken by force.
    is_cut_off: whether the hook of the last message was cancelled after it had its time.
    """

    client: int
    begun: list[int] = field(default_factory=list)
    whys: dict[int, str] = field(default_factory=dict)
    answers: list[int] = field(default_factory=list)
    in_hand: list[range] = field(default_factory=list)
    life: int = 0
    since: int = 0
    number: int = 0
    owner: int = 0
    stale: set[int] = field(default_factory=set)
    is_cut_off: bool = False

    def opened(self, life: int) -> None:
        self.owner = life
        self.stale.discard(life)

    def forced(self, life: int) -> None:
        if self.owner != life:
            self.stale.add(self.owner)

    def interrupted(self, number: int, life: int, at: int) -> None:
        """Take in that a life is done with a session before it knows that a message is recorded."""
        if (number, life) == (self.number, self.life % AGAIN):
            self.is_cut_off = at - self.since > HANDOFF_TIMEOUT * 0.99e9

    def take(self, content: int, number: int, life: int, at: int, killed: dict[int, int]) -> None:
        """Take in that a life has begun to handle a message; killed: when which life was."""
        if life != self.life:
            self.interrupt(self._why(life % AGAIN, at, killed))
        self.life, self.since, self.number, self.is_cut_off = life, at, number, False
        self.begun.append(content)
        places = range(messages.answers_to(self.client, content))
        self.answers += (messages.answer_number(life, content, place) for place in places)

    def _why(self, life: int, at: int, killed: dict[int, int]) -> str | None:
        """Return why what was begun last may be handled again by another life; None: it must not."""
        before = self.life % AGAIN
        if killed.get(before, at) < at:
            return KILLED
        if before in self.stale or life in self.stale:
            return FORCED
        return CUT_OFF if self.is_cut_off else None

    def interrupt(self, why: str | None) -> None:
        if self.begun and why is not None:
            self.whys[len(self.begun)] = why
            end = len(self.answers)
            self.in_hand.append(range(end - messages.answers_to(self.client, self.begun[-1]), end))

    def again(self) -> list[str]:
        """Return why messages were handled again, for each."""
        begun = self.begun
        return [why for place, why in self.whys.items() if begun[place - 1] in begun[place : place + 1]]
