"""Turns the options of both originals, in milliseconds, into the settings of the core."""

from typing import Any, Final

from websocket_heartbeat.core.close_codes import FinalCodes
from websocket_heartbeat.core.settings import LONGEST, Settings
from websocket_heartbeat.miniprogram.language import (
    elements_of,
    has_entries_of,
    is_number,
    is_same,
    is_text,
    log,
    record,
)

HOLD: Final = 5
"""So the first six retries have windows of `reconnectTimeout`, and later windows grow."""

CLOSE_TIMEOUT_SECONDS: Final = 5.0
"""How long `close` waits for the host to report that it has closed, which it may never do."""


class CurrentOptions:
    """The options, which the user may change at any time, and the settings that they stand for.

    opts: the options, defaults included. settings: what they stood for when they were last looked at.
    seen: what they were then. valid: what they were when nothing was wrong with them.
    had_heartbeats: what `have_changed` was told.
    """

    def __init__(self, opts: dict[str, Any]) -> None:
        self.opts = opts
        self.settings: Settings = settings_of(opts)
        self.seen: dict[str, Any] = record(opts)
        self.valid: dict[str, Any] = record(opts)
        self.had_heartbeats: bool = True

    def have_changed(self, has_heartbeats: bool) -> bool:
        """Return whether the settings are others than the last time; what is wrong is reported and ignored.

        has_heartbeats: whether there are to be heartbeats now.
        """
        if has_heartbeats == self.had_heartbeats and has_entries_of(self.opts, self.seen):
            return False
        self.had_heartbeats = has_heartbeats
        try:
            self.settings = settings_of(self.opts)
            self.valid = record(self.opts)
        except Exception as error:
            log(error)
            self.settings = settings_of(self.valid)
        self.seen = record(self.opts)
        self.settings.interval = self.settings.interval if has_heartbeats else LONGEST
        return True


def settings_of(opts: dict[str, Any]) -> Settings:
    """Write the defaults into `opts`, and return the settings that they stand for.

    Raises:
        ValueError: an option is wrong; the text names it.
    """
    _check(opts, "sendQueue", 256, least=0)
    if opts["pingMsg"] is None:
        opts["pingMsg"] = "heartbeat"
    if opts["bothDirections"] is None:
        opts["bothDirections"] = False
    both_directions: bool = opts["bothDirections"]
    if not (opts["pong"] is None or is_text(opts["pong"]) or callable(opts["pong"])):
        raise ValueError("pong must be a string or a function")
    if not (opts["reply"] is None or callable(opts["reply"])):
        raise ValueError("reply must be a function")
    if opts["dismissal"] is not None and not is_text(opts["dismissal"]):
        raise ValueError("dismissal must be a string")
    if is_text(opts["dismissal"]) and is_same(opts["dismissal"], opts["pingMsg"]):
        raise ValueError("dismissal must differ from pingMsg, which servers send back")
    _check(opts, "repeatLimit", None, least=0)
    # 0 means at once, as in the originals; the core needs a window above 0.
    initial = max(0.001, _seconds(opts, "reconnectTimeout", 2000, least=0))
    return Settings(
        interval=_seconds(opts, "pingTimeout", 15000, least=1),
        timeout=_seconds(opts, "pongTimeout", 10000, least=1),
        both_directions=both_directions,
        message_timeout=None,
        initial=initial,
        maximum=max(initial, _seconds(opts, "maxReconnectTimeout", 60000, least=1)),
        hold=HOLD,
        stable_after=_seconds(opts, "stableAfter", 30000, least=0),
        open_timeout=_seconds(opts, "openTimeout", 10000, least=1),
        close_timeout=CLOSE_TIMEOUT_SECONDS,
        max_retries=opts["repeatLimit"],
        final_codes=_final_codes(opts),
    )


def _seconds(opts: dict[str, Any], name: str, default_value: int, least: int) -> float:
    """The option; more than the core's longest time, Infinity for instance, is its longest time."""
    _check(opts, name, default_value, least)
    value: float = opts[name]
    return min(value / 1000, LONGEST)


def _final_codes(opts: dict[str, Any]) -> FinalCodes | None:
    """The close codes, and pairs of the first and the last of several, that the user has listed."""
    if opts["finalCloseCodes"] is None:
        # Written down, so that a change of it is seen.
        opts["finalCloseCodes"] = None
        return None
    wrong = "finalCloseCodes must be an array of close codes and of pairs, such as [4001, [4500, 4999]]"
    listed = elements_of(opts["finalCloseCodes"])
    codes: FinalCodes | None = None
    if listed is None:
        raise ValueError(wrong)
    while len(listed) > 0:
        each: Any = listed.pop(0)
        pair = elements_of(each)
        first: Any = each
        last: Any = each
        if pair is not None and len(pair) == 2:
            first = pair.pop(0)
            last = pair.pop(0)
        if not (is_number(first) and is_number(last)):
            raise ValueError(wrong)
        codes = FinalCodes(first, last, codes)
    return codes


def _check(opts: dict[str, Any], name: str, default_value: int | None, least: int) -> None:
    if opts[name] is None:
        opts[name] = default_value
        return
    value: float = opts[name]
    if not (is_number(value) and value >= least):
        raise ValueError(name + " must be a number, at least " + str(least))
