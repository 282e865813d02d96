"""Turns the options of both originals, in milliseconds, into the settings of the core."""

from typing import Any, Final

from websocket_heartbeat.core.settings import LONGEST, Settings
from websocket_heartbeat.miniprogram.language import is_number

HOLD: Final = 5
"""The first six retries are spread over windows of `reconnectTimeout`; only after them windows grow."""

CLOSE_TIMEOUT_SECONDS: Final = 5.0
"""How long `close` waits for the host's word; the host may never give it."""


def fill(opts: dict[str, Any]) -> None:
    """Write the defaults into `opts`; raise ValueError that names the option that is wrong."""
    _number(opts, "pingTimeout", 15000, 1)
    _number(opts, "pongTimeout", 10000, 1)
    _number(opts, "reconnectTimeout", 2000, 1)
    _number(opts, "maxReconnectTimeout", 60000, 1)
    _number(opts, "openTimeout", 10000, 1)
    _number(opts, "stableAfter", 30000, 0)
    _number(opts, "sendQueue", 256, 0)
    if opts["repeatLimit"] is None:
        opts["repeatLimit"] = None
    else:
        _number(opts, "repeatLimit", 0, 0)
    if opts["pingMsg"] is None:
        opts["pingMsg"] = "heartbeat"


def _number(opts: dict[str, Any], name: str, default_value: int, least: int) -> None:
    if opts[name] is None:
        opts[name] = default_value
    value: float = opts[name]
    if not (is_number(value) and value >= least and value <= LONGEST * 1000):
        raise ValueError(name + " must be a number, at least " + str(least))


def settings_of(opts: dict[str, Any]) -> Settings:
    """The settings that filled options stand for."""
    ping: float = opts["pingTimeout"]
    pong: float = opts["pongTimeout"]
    initial: float = opts["reconnectTimeout"]
    maximum: float = opts["maxReconnectTimeout"]
    stable: float = opts["stableAfter"]
    opening: float = opts["openTimeout"]
    return Settings(
        ping / 1000,
        pong / 1000,
        initial / 1000,
        max(initial, maximum) / 1000,
        HOLD,
        stable / 1000,
        opening / 1000,
        CLOSE_TIMEOUT_SECONDS,
        opts["repeatLimit"],
    )
