"""Has messages that follow one another quickly written together: a system call is most of what one costs.

What is sent to rooms waits in the links of the members, in order with all else that they send, until the end
of the loop's turn; where all was written a moment ago, for as long as that took, or TURN if that is less.
"""

import asyncio
import time
from collections import deque

from websocket_heartbeat.engines.base import Link

TURN = 0.01
"""Seconds: after so much writing others have a turn."""


class Batch:
    """The links that have something to write."""

    def __init__(self) -> None:
        self._links: deque[Link] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None  # that of the links
        self._taken = 0.0  # seconds, by the writing that is under way
        self._not_before = 0.0

    def hold(self, link: Link) -> None:
        """See to it that the link is flushed."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a hub outlives those of tests: roster.py
            self._loop = loop
            self._links.clear()
        if not self._links:
            wait = self._not_before - time.monotonic()
            if wait > 0:
                loop.call_later(wait, self._flush)
            else:
                loop.call_soon(self._flush)
        self._links.append(link)

    def forget(self) -> None:
        """Forget all, as the loop that would write them is closed."""
        self._links.clear()

    def _flush(self) -> None:
        """Write for a while, and the rest in the loop's next turn."""
        begun = now = time.monotonic()
        try:
            while self._links:
                self._links.popleft().flush()
                now = time.monotonic()
                if now - begun >= TURN:
                    break
        finally:  # also where something was raised: the others must not wait for ever
            self._taken += now - begun
            if self._links:
                asyncio.get_running_loop().call_soon(self._flush)
            else:
                self._not_before = now + min(self._taken, TURN)
                self._taken = 0.0
