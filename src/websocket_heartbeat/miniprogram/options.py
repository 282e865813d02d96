"""Turns the options of both originals, in milliseconds, into the settings of the core."""

from typing import Any, Final

from websocket_heartbeat.core.settings import LONGEST, Settings
from websocket_heartbeat.miniprogram.language import is_number

HOLD: Final = 5
"""The first six retries are spread over windows of `reconnectTimeout`; only after them windows grow."""

CLOSE_TIMEOUT_SECONDS: Final = 5.0
"""How long `close` waits for the host's word; the host may never give it."""


def settings_of(opts: dict[str, Any]) -> Settings:
    """Write the defaults into `opts`, and return the settings that they stand for.

    Raises:
        ValueError: an option is wrong; the text names it.
    """
    _number(opts, "sendQueue", 256, 0)
    if opts["pingMsg"] is None:
        opts["pingMsg"] = "heartbeat"
    if opts["repeatLimit"] is None:
        opts["repeatLimit"] = None
    else:
        _number(opts, "repeatLimit", 0, 0)
    initial = _seconds(opts, "reconnectTimeout", 2000, 1)
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
    return _number(opts, name, default_value, least) / 1000


def _number(opts: dict[str, Any], name: str, default_value: int, least: int) -> float:
    """The option; more than the core's longest time, Infinity for instance, is its longest time."""
    if opts[name] is None:
        opts[name] = default_value
    value: float = opts[name]
    if not (is_number(value) and value >= least):
        raise ValueError(name + " must be a number, at least " + str(least))
    return min(value, LONGEST * 1000)
