"""The wait before attempt n: a pure function of the settings, n, one random number and the server's distress.

Time since the loss of a link is cut into windows, one for each attempt. A client draws its place in the
window once per outage, `phase` from 0 to 1, and keeps it:

    attempt n happens at   width(1) + ... + width(n - 1)  +  phase * width(n)

So a herd that lost its server at one instant is spread evenly over the first window and stays evenly spread
in every later one, where fresh jitter on each attempt would bunch it and leave a tail. Once the server is
back, every client is back within one window.

    width(n) = initial                            for the first hold + 1 attempts,
               then half as much again each time  up to 8 * initial,
               then half a per cent more          up to maximum

The fast growth spares a server that is down; the slow growth keeps the window, and with it the time until the
last client is back, near a thirtieth of the outage. With initial=1 and maximum=60 a window is 8 s after 21 s,
9.4 s after 5 minutes, 60 s after 3 hours.

A server that is down is served well by this, one that is up and drowning is not: each attempt that it turns
away, or lets time out, costs it work that brings nobody back. So each such failure makes all further windows
half as wide again, up to maximum, until the attempts that remain are fewer than the server can bear; and the
client draws its place anew, for where it was there was a crowd.
"""

from typing import Final

from websocket_heartbeat.core.settings import Settings

LONGEST_HINT: Final = 3600.0
"""A server's retry hint above one hour is taken as one hour: it is more likely wrong than meant."""


def delay(settings: Settings, attempt: int, phase: float, hint: float, strain: float, anew: bool) -> float:
    """Seconds to wait before retry `attempt` (1, 2, 3, ...).

    phase: this client's place in each window, 0 <= phase < 1.
    hint: the least delay that the server asked for, in seconds; 0 for none. The client's place in the window
    is added to it, for a server that tells everybody the same second would call its own herd.
    strain: how many times as wide all windows are, for the sake of a server that is up and drowning.
    anew: the place is a new one, in a window that begins now; otherwise it is kept.
    """
    knee = 8 * settings.initial
    before = 0.0
    width = settings.initial
    count = 1
    # A loop, not a power: the same bits in every language.
    while count < attempt and before < settings.maximum:
        before = width
        if count > settings.hold:
            if width < knee:
                width = min(width * 1.5, knee)
            else:
                width = width * 1.005
        count = count + 1
    before = min(before * strain, settings.maximum)
    width = min(width * strain, settings.maximum)
    if hint > 0:
        return min(hint, LONGEST_HINT) + phase * width
    if anew:
        before = 0.0
    # From our place in the window before to our place in this one.
    return (1 - phase) * before + phase * width
