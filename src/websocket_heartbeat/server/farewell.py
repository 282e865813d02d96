"""How many peers are asked to go: each with a hint of its own when to come back, and with turns for others.

Our client knows the hint: `retry-after=SECONDS` within the reason of the close frame, the same as the header
Retry-After of a refused handshake. It is a lower bound on the client's delay.
"""

import asyncio
import random
from collections.abc import Collection, Sequence
from typing import Protocol

from websocket_heartbeat.checks import check_close, check_seconds
from websocket_heartbeat.server.admission import Refusal

_AT_ONCE = 100
"""Peers that are sent a close frame before the loop has a turn for others."""


class HasEnd(Protocol):
    """What goes at some time."""

    def gone(self) -> asyncio.Future[None]:
        """Return a future that is done when it has gone."""


class Leaver(HasEnd, Protocol):
    """The inside of a peer, as far as it is needed here: handler.py."""

    def leaving(self) -> asyncio.Future[None]:
        """Return a future that is done when the link is gone that it has now; a session goes on without."""

    def close(self, code: int, reason: str) -> None:
        """Ask it to go, with a code and a reason that were checked."""


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


def check_farewell(over: float, code: int, reason: str) -> None:
    """Raise ValueError if `over`, the code or the reason is wrong, the latter with its longest hint."""
    check_seconds("over", over, zero=True)
    check_close(code, reason)
    check_close(code, with_hint(reason, max(0.0, over - 0.001)))


def put_off(refusal: Refusal) -> tuple[int, str] | None:
    """Return the close code and the reason that say what a refusal by 429 or 503 does; None for any other.

    For where no status can be sent, or it is too late for one. RFC 6455, section 7.4.2, has 1013.
    """
    if refusal.status not in (429, 503):
        return None
    seconds = next((value for name, value in refusal.headers if name.lower() == "retry-after"), "")
    return 1013, with_hint("", float(seconds)) if seconds.isdecimal() else ""


async def send_away(leavers: Sequence[Leaver], over: float, code: int, reason: str) -> None:
    """Close every one, each with its own hint when to come back, and wait until their links are gone.

    Raises:
        ValueError: `over`, the code or a reason with its hint is wrong; then nobody was sent away.
    """
    check_farewell(over, code, reason)
    farewells = [with_hint(reason, moment) for moment in spread(len(leavers), over)]
    leaving = [leaver.leaving() for leaver in leavers]  # those that come back at once have another link
    await close_all(leavers, code, farewells)
    if leaving:
        await asyncio.wait(leaving)


async def close_all(leavers: Sequence[Leaver], code: int, reasons: Sequence[str]) -> None:
    """Close every one, each with its own reason."""
    for number, (leaver, reason) in enumerate(zip(leavers, reasons, strict=True), 1):
        leaver.close(code, reason)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)


async def all_gone(leavers: Collection[HasEnd], timeout: float | None = None) -> None:
    """Wait until they are gone, or until so many seconds have passed."""
    if leavers:
        await asyncio.wait([leaver.gone() for leaver in leavers], timeout=timeout)
