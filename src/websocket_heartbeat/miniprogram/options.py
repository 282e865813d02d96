"""Turns the options of both originals, in milliseconds, into the settings of the core."""

from typing import Any, Final

from websocket_heartbeat.core.settings import LONGEST, Settings
from websocket_heartbeat.miniprogram.language import is_number

HOLD: Final = 5
"""The first six retries have windows of `reconnectTimeout`; later windows grow, or when attempts time out."""

CLOSE_TIMEOUT_SECONDS: Final = 5.0
"""How long `close` waits for the host's word; the host may never give it."""


def settings_of(opts: dict[str, Any]) -> Settings:
    """Write the defaults into `opts`, and return the settings that they stand for.

    Raises:
        ValueError: an option is wrong; the text names it.
    """
    _check(opts, "sendQueue", 256, 0)
    if opts["pingMsg"] is None:
        opts["pingMsg"] = "heartbeat"
    _check(opts, "repeatLimit", None, 0)
    # 0 is at once, as in the originals; the core wants to know in how wide a window.
    initial = max(0.001, _seconds(opts, "reconnectTimeout", 2000, 0))
    return Settings(
        _seconds(opts, "pingTimeout", 15000, 1),
        _seconds(opts, "pongTimeout", 10000, 1),
        initial,
        max(initial, _seconds(opts, "maxReconnectTimeout", 60000, 1)),
        HOLD,
        _seconds(opts, "stableAfter", 30000, 0),
        _seconds(opts, "openTimeout", 10000, 1),
        CLOSE_TIMEOUT_SECONDS,
        opts["repeatLimit"],
    )


def _seconds(opts: dict[str, Any], name: str, default_value: int, least: int) -> float:
    """The option; more than the core's longest time, Infinity for instance, is its longest time."""
    _check(opts, name, default_value, least)
    value: float = opts[name]
    return min(value / 1000, LONGEST)


def _check(opts: dict[str, Any], name: str, default_value: int | None, least: int) -> None:
    if opts[name] is None:
        opts[name] = default_value
        return
    value: float = opts[name]
    if not (is_number(value) and value >= least):
        raise ValueError(name + " must be a number, at least " + str(least))
