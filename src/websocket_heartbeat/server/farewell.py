"""The retry hint in a close reason, and how hints are spread over time.

Our client knows the hint: `retry-after=SECONDS` within the reason of the close frame, the same as the header
Retry-After of a refused handshake. It is a lower bound on the client's delay.
"""

import random


def spread(count: int, over: float) -> list[float]:
    """Return `count` moments, evenly spread over `over` seconds, in random order."""
    # Each in the middle of its slot: a lone client waits for half of the time, neither none nor all of it.
    moments = [(slot + 0.5) * over / count for slot in range(count)]
    random.shuffle(moments)
    return moments


def with_hint(reason: str, seconds: float) -> str:
    """Return the reason with the hint to come back after so many seconds."""
    hint = f"retry-after={seconds:.3f}".rstrip("0").rstrip(".")
    return f"{reason}; {hint}" if reason else hint
