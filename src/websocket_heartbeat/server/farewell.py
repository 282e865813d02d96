"""Says goodbye so that clients come back spread over time: close codes, reasons and the hint when to retry.

The hint is the agreement with our client: `retry-after=SECONDS` within the reason of the close frame, the
same as the header Retry-After of a refused handshake. It is a lower bound on the client's delay.
"""

import random

from websocket_heartbeat.engines.base import is_close_code

_LONGEST_REASON = 123


def check_close(code: int, reason: str) -> None:
    """Raise unless a server may send the code and reason in a close frame: RFC 6455, sections 5.5 and 7.4."""
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"code must be a whole number, not {code!r}")
    if not is_close_code(code):
        raise ValueError(f"code must be a close code that may be sent (RFC 6455, section 7.4), not {code!r}")
    if not isinstance(reason, str):
        raise TypeError(f"reason must be a str, not {type(reason).__name__}")
    if len(reason.encode()) > _LONGEST_REASON:
        raise ValueError(
            f"reason must be at most {_LONGEST_REASON} bytes of UTF-8, not {len(reason.encode())}: {reason!r}"
        )


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
