"""The log of one connection: each line begins with its name, and has what it tells as fields too."""

import logging
from collections.abc import Mapping

logger: logging.Logger = logging.getLogger("websocket_heartbeat")

_NOTHING: Mapping[str, object] = {}


class Log:
    """Writes lines of one connection; docs/monitoring.md names their fields.

    name: of the connection. url: what may be shown of it, None before a callable has told.
    """

    __slots__ = ("name", "url")

    def __init__(self, name: str, url: str | None) -> None:
        self.name: str = name
        self.url: str | None = url

    @property
    def fields(self) -> dict[str, object]:
        """The fields of every line."""
        return {"connection": self.name, "url": self.url}

    def write(
        self, level: int, text: str, *arguments: object, extra: Mapping[str, object] = _NOTHING
    ) -> None:
        """Log at a level. extra: the fields of the line besides those of the connection."""
        self._write(level, text, arguments, extra)

    def debug(self, text: str, *arguments: object, extra: Mapping[str, object] = _NOTHING) -> None:
        """Log at DEBUG."""
        self._write(logging.DEBUG, text, arguments, extra)

    def info(self, text: str, *arguments: object, extra: Mapping[str, object] = _NOTHING) -> None:
        """Log at INFO."""
        self._write(logging.INFO, text, arguments, extra)

    def warning(self, text: str, *arguments: object, extra: Mapping[str, object] = _NOTHING) -> None:
        """Log at WARNING."""
        self._write(logging.WARNING, text, arguments, extra)

    def _write(
        self, level: int, text: str, arguments: tuple[object, ...], extra: Mapping[str, object]
    ) -> None:
        if logger.isEnabledFor(level):
            fields = {**self.fields, **extra}
            logger.log(level, f"%s: {text}", self.name, *arguments, extra=fields, stacklevel=3)
