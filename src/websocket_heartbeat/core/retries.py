"""How often a lost link was retried, and when the next retry is due."""

from typing import Callable

from websocket_heartbeat.core.backoff import delay
from websocket_heartbeat.core.settings import Settings


class Retries:
    """The retries since the last stable link.

    attempt: how many there were. spent: how many of them count against max_retries.
    due: when the latest may begin. hinted: whether the server asked for that wait.
    phase, window_factor: this client's place in each window, and what widens the windows: core/backoff.py.
    """

    def __init__(self, settings: Settings, random: Callable[[], float]) -> None:
        self.settings = settings
        self.random = random
        self.attempt: int = 0
        self.spent: int = 0
        self.due: float = 0.0
        self.hinted: bool = False
        self.phase: float = 0.0
        self.window_factor: float = 1.0

    def begin_again(self) -> None:
        """The outage is over."""
        self.attempt = 0
        self.spent = 0

    def are_spent(self) -> bool:
        """Whether max_retries allows no further retry."""
        limit = self.settings.max_retries
        return limit is not None and self.spent >= limit

    def count_one(self, is_seen: bool) -> None:
        """There is one retry more. One that nobody sees, in the background, does not count as spent."""
        self.attempt = self.attempt + 1
        if is_seen:
            self.spent = self.spent + 1
        if self.attempt == 1:
            self.phase = self.random()
            self.window_factor = 1.0

    def wait(self, now: float, hint: float, is_overloaded: bool) -> float:
        """Seconds from now on until the retry that was counted last may begin.

        hint: the least delay that the server asked for, 0 for none. is_overloaded: whether the server did not
        answer the attempt in time, or refused it with a hint.
        """
        if is_overloaded and self.attempt > 1:
            self.phase = self.random()
            self.window_factor = self.window_factor * 1.5
        wait = delay(
            self.settings,
            self.attempt,
            self.phase,
            hint=hint,
            window_factor=self.window_factor,
            is_new_phase=is_overloaded,
        )
        self.hinted = hint > 0
        self.due = now + wait
        return wait

    def may_be_early(self, now: float) -> bool:
        """Whether the retry may begin at once, as the server did not ask to wait, or not for so long."""
        return now >= self.due or not self.hinted
