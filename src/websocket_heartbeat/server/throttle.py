"""Log lines that a stranger can cause: so many of a kind in a minute, and the rest for debugging only."""

import asyncio
import logging
from collections.abc import Mapping

LINES = 10
PERIOD = 60.0
"""How many lines of a kind are written in how many seconds."""


class Throttle:
    """Writes to a log, of which a flood must not fill what people read.

    The kind of a line is its text before the arguments are filled in. What is beyond LINES is written at
    DEBUG, and the next line that is written again says how many there were.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._kinds: dict[str, tuple[float, int]] = {}  # since when how many

    def warning(self, text: str, *arguments: object, extra: Mapping[str, object] | None = None) -> None:
        """Log at WARNING. extra: the fields of the line, as of Logger.warning."""
        self._log(logging.WARNING, text, arguments, extra)

    def error(self, text: str, *arguments: object, extra: Mapping[str, object] | None = None) -> None:
        """Log at ERROR."""
        self._log(logging.ERROR, text, arguments, extra)

    def _log(
        self, level: int, text: str, arguments: tuple[object, ...], extra: Mapping[str, object] | None
    ) -> None:
        now = asyncio.get_running_loop().time()
        since, count = self._kinds.get(text, (now, 0))
        left_out = 0
        if now - since >= PERIOD:
            left_out = max(0, count - LINES)
            since, count = now, 0
        count += 1
        self._kinds[text] = since, count
        if count > LINES:
            level = logging.DEBUG
        elif count == LINES:
            text += " (for some time more of these are logged at DEBUG)"
        elif left_out:
            text += f" ({left_out} more before it)"
        self._logger.log(level, text, *arguments, extra=extra, stacklevel=3)
