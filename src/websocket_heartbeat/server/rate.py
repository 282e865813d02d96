"""So many new clients a second: who may come in now, and when those may come back who may not."""

import math
import random

from websocket_heartbeat.checks import check_rate

BURST = 1.0
"""Seconds of which the clients may come in at once. Retry-After has whole seconds (RFC 9110, section 10.2.3),
so of those that keep to it exactly, a second's worth may come at one instant."""

FADING = 15.0
"""Seconds in which two thirds of the moments told, beside those that pass, are taken to be free again."""

LONGEST = 120.0
"""Seconds: nobody is told to stay away for longer. A crowd that needs more is told moments within it, and is
refused more than once."""

_INEXACT = 1e-6
"""Seconds by which the sum of many steps may be wrong."""


class Rate:
    """A schedule of moments, `per_second` of them, one for each client; times are of any steady clock.

    A client comes in if a moment has passed that nobody has used; those of more than BURST ago have lapsed. A
    client that does not is told the first moment that nobody was told of. So those that are refused come back
    at the rate that can be served, in the order in which they came first.

    Nobody is known again, as all clients behind a proxy look alike. So a new client may use the moment that
    another was told of: that one is told a new one, behind all others. And a client that comes before its
    moment, as scripts in browsers do, which are not shown the answer, is told one more, to which nobody will
    come. So moments that were told fade: else the others were told to stay away for many times as long as it
    takes to serve all. The price is that some moments are told twice.
    """

    def __init__(self, per_second: float) -> None:
        self._step = 1 / check_rate("max_new_peers_per_second", per_second)
        self._burst = max(BURST, self._step)
        self._used = -math.inf  # the last moment that was used
        self._ahead = 0.0  # how far ahead the last moment is that somebody was told of
        self._told_at = -math.inf  # when that was

    def take(self, now: float) -> bool:
        """Use a moment for a client that is here; return whether there is one."""
        self._used = max(self._used, now - self._burst)
        if self._used + self._step > now + _INEXACT:
            return False
        self._used += self._step
        return True

    def come_back(self, now: float) -> int:
        """Return the whole seconds, at least 1, after which a client that is refused may come back."""
        passed = now - self._told_at
        self._told_at = now
        self._ahead = max(0.0, self._ahead - passed) * math.exp(-passed / FADING) + self._step
        if self._ahead > LONGEST:
            self._ahead = LONGEST
            return random.randint(1, int(LONGEST))
        return max(1, math.ceil(self._ahead - _INEXACT))
