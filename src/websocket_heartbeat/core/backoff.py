"""The wait before attempt n: a pure function of the settings, n, one random number and the server's load.

Time since the loss of a link is cut into windows, one for each attempt. A client draws its place in the
window once per outage, `phase` from 0 to 1, and keeps it:

    attempt n happens at   width(1) + ... + width(n - 1)  +  phase * width(n)

So clients that lost their server at one instant are spread evenly over the first window and over every later
one; fresh jitter on each attempt would bunch them and leave a tail. Once the server is back, every client is
back within one window.

    width(n) = initial                            for the first hold + 1 attempts,
               then 1.5 times the one before      up to 8 * initial,
               then 1.005 times the one before    up to maximum

The fast growth spares a server that is down; the slow growth keeps the window, and with it the time until the
last client is back, near a thirtieth of the outage. With initial=1 and maximum=60 a window is 8 s after 21 s,
9.4 s after 5 minutes, 60 s after 3 hours.

A server that is up and overloaded needs more: each attempt that it refuses, or lets time out, costs it work
and brings no client back. So each such failure multiplies all further windows by 1.5, up to maximum, until
the server can serve the attempts that remain. The client also draws a new place, as its old one was crowded.
"""

from typing import Final

from websocket_heartbeat.core.settings import Settings

LONGEST_HINT: Final = 3600.0
"""A server's retry hint above one hour is taken as one hour: it is more likely wrong than meant."""


def delay(
    settings: Settings, attempt: int, phase: float, hint: float, window_factor: float, is_new_phase: bool
) -> float:
    """Seconds to wait before retry `attempt` (1, 2, 3, ...).

    phase: this client's place in each window, 0 <= phase < 1.
    hint: the least delay that the server asked for, in seconds; 0 for none. The client's place in the window
    is added to it: a server may give all clients the same hint.
    window_factor: by which all windows are multiplied, 1 unless the server is overloaded.
    is_new_phase: the phase was drawn just now, for a window that begins now; otherwise it is kept.
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
    before = min(before * window_factor, settings.maximum)
    width = min(width * window_factor, settings.maximum)
    if hint > 0:
        return min(hint, LONGEST_HINT) + phase * width
    if is_new_phase:
        before = 0.0
    # From our place in the previous window to our place in this one.
    return (1 - phase) * before + phase * width
