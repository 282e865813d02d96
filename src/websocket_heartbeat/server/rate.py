"""A rate limit for new clients: how many are admitted a second, and when refused ones may come back."""

import math
import random

from websocket_heartbeat.checks import check_rate

BURST = 1.0
"""Seconds whose slots may be used at once. Retry-After has whole seconds (RFC 9110, section 10.2.3), so of
the clients that keep to it exactly, a second's worth may come at one instant."""

FADING = 15.0
"""Seconds in which two thirds of the slots that were given out, beside those that pass, become free again."""

LONGEST = 120.0
"""Seconds: the longest wait that a client is given. In a larger crowd, clients get random slots within it,
and are refused more than once."""

_INEXACT = 1e-6
"""Seconds by which the sum of many steps may be wrong."""


class Rate:
    """A schedule of slots, `per_second` of them, each for one client; times are of any steady clock.

    A client is admitted if a slot has passed that is unused; those of more than BURST ago have lapsed. A
    client that is refused is given the first slot that no other was given. So refused clients come back at
    the rate that can be served, in the order in which they came first.

    A client is not recognised when it comes back, as all clients behind a proxy look alike. So a new client
    may use the slot that another was given: that one is given a new slot, behind all others. And a client
    that comes before its slot, as scripts in browsers do, which cannot read the answer, is given one more,
    which nobody will use. So slots that were given out are forgotten over time (FADING): otherwise the others
    had to wait for many times as long as it takes to serve all. The price: some slots are given out twice.
    """

    def __init__(self, per_second: float) -> None:
        self._step = 1 / check_rate("max_new_peers_per_second", per_second)
        self._burst = max(BURST, self._step)
        self._used = -math.inf  # the last slot that was used
        self._ahead = 0.0  # how far ahead the last slot is that was given out
        self._given_at = -math.inf  # when that was

    def take(self, now: float) -> bool:
        """Use a slot for a client that is here; return whether there is one."""
        self._used = max(self._used, now - self._burst)
        if self._used + self._step > now + _INEXACT:
            return False
        self._used += self._step
        return True

    def come_back(self, now: float) -> int:
        """Return the whole seconds, at least 1, after which a client that is refused may come back."""
        passed = now - self._given_at
        self._given_at = now
        self._ahead = max(0.0, self._ahead - passed) * math.exp(-passed / FADING) + self._step
        if self._ahead > LONGEST:
            self._ahead = LONGEST
            return random.randint(1, int(LONGEST))
        return max(1, math.ceil(self._ahead - _INEXACT))
