"""Prints what happens to a connection: for a person, for a pipe, or as JSON, one event per line."""

import json
import re
from datetime import UTC, datetime
from typing import Any, Protocol

from websocket_heartbeat.cli.output import show, tell
from websocket_heartbeat.errors import HandshakeRejected, HookFailed, Undelivered
from websocket_heartbeat.events import CloseEvent, Message, OpenEvent, ReconnectEvent, SessionEvent
from websocket_heartbeat.redaction import printable

_LONGEST_EXCERPT = 200
"""Characters."""


class Teller(Protocol):
    """Prints what happens. `message` raises what `show` raises; the others ignore that nobody reads."""

    def message(self, message: Message) -> None:
        """A message has come."""

    def opened(self, event: OpenEvent) -> None:
        """A link is open."""

    def gone(self, event: CloseEvent) -> None:
        """A link is gone."""

    def retries(self, event: ReconnectEvent) -> None:
        """A retry is scheduled."""

    def session(self, event: SessionEvent) -> None:
        """Something has happened to the session."""

    def error(self, error: Exception) -> None:
        """An attempt has failed, or something could not be sent."""

    def note(self, text: str) -> None:
        """Something else is worth knowing."""

    def end(self, status: int, reason: str) -> None:
        """The command ends."""


class Text:
    """Prints for a person or a pipe: messages on standard output, the rest on standard error.

    is_terminal: whether messages are for a person. is_talk: whether they stand between lines that are typed;
    they are then marked. has_colour: whether to use colours.
    """

    def __init__(self, *, is_terminal: bool, is_talk: bool, has_colour: bool) -> None:
        self._is_terminal = is_terminal
        self._mark = ("\x1b[36m<\x1b[0m " if has_colour else "< ") if is_talk else ""
        self._has_colour = has_colour

    def message(self, message: Message) -> None:
        """Print it."""
        if isinstance(message, bytes):
            kind = f"(binary, {len(message)} bytes) " if self._mark else ""
            show(f"{self._mark}{kind}{message.hex()}")
        elif self._is_terminal:
            shown = printable(message, keep="\t\n")
            # Indented, as no message may look like two.
            show(self._mark + (shown.replace("\n", "\n  ") if self._mark else shown))
        else:
            show(message)

    def opened(self, event: OpenEvent) -> None:
        """Tell of the link, and of what was agreed on."""
        more = f", subprotocol {event.subprotocol}" if event.subprotocol else ""
        more += f", session {event.session}" if event.session else ""
        self.note(f"link {event.link} is open{more}")

    def gone(self, event: CloseEvent) -> None:
        """Tell why."""
        self.note(f"link {event.link} is gone: {event.reason}")

    def retries(self, event: ReconnectEvent) -> None:
        """Tell when."""
        self.note(f"retry {event.retry} in {event.delay:.1f} s: {event.reason}")

    def session(self, event: SessionEvent) -> None:
        """Tell what the user would otherwise not know."""
        if event.kind in ("reset", "over", "stalled"):
            why = f": {event.why}" if event.why else ""
            lost = f"; {len(event.uncertain)} messages are uncertain" if event.uncertain else ""
            self.note(f"the session is {event.kind}{why}{lost}")

    def error(self, error: Exception) -> None:
        """Tell what the retry does not tell."""
        if isinstance(error, HandshakeRejected):
            words = first_words(error)
            if words:
                self.note(f"the server says: {words}")
        elif isinstance(error, Undelivered | HookFailed):
            self.note(str(error))

    def note(self, text: str) -> None:
        """Print it on standard error."""
        line = f"-- {printable(text)}"
        tell(f"\x1b[2m{line}\x1b[0m" if self._has_colour else line)

    def end(self, status: int, reason: str) -> None:
        """Tell why, if something was wrong."""
        if status in (1, 3):
            self.note(reason)


class JsonLines:
    """Tells a program: an object a line on standard output, with `event`, `time`, and what is documented."""

    def message(self, message: Message) -> None:
        """Print it; binary as hexadecimal digits."""
        if isinstance(message, bytes):
            self._tell("message", binary=message.hex())
        else:
            self._tell("message", text=message)

    def opened(self, event: OpenEvent) -> None:
        """Print the link."""
        self._tell("open", link=event.link, subprotocol=event.subprotocol, session=event.session)

    def gone(self, event: CloseEvent) -> None:
        """Print the link and its end."""
        self._tell(
            "close",
            link=event.link,
            code=event.code,
            reason=event.reason,
            uncertain_bytes=event.uncertain_bytes,
        )

    def retries(self, event: ReconnectEvent) -> None:
        """Print the retry."""
        self._tell("reconnect", retry=event.retry, delay=event.delay, reason=event.reason)

    def session(self, event: SessionEvent) -> None:
        """Print what has happened to it."""
        self._tell("session", kind=event.kind, why=event.why, uncertain=len(event.uncertain))

    def error(self, error: Exception) -> None:
        """Print the error."""
        more: dict[str, Any] = {}
        if isinstance(error, HandshakeRejected):
            more = {"status": error.status, "says": first_words(error)}
        elif isinstance(error, Undelivered):
            more = {"messages": len(error.messages)}
        self._tell("error", kind=type(error).__name__, reason=str(error), **more)

    def note(self, text: str) -> None:
        """Print it."""
        self._tell("note", text=text)

    def end(self, status: int, reason: str) -> None:
        """Print it."""
        self._tell("end", status=status, reason=reason)

    def _tell(self, event: str, **fields: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        # json escapes every control character but this one.
        show(json.dumps({"event": event, "time": now, **fields}).replace("\x7f", r"\u007f"))


def first_words(rejected: HandshakeRejected) -> str:
    """Return the first line of what a server has said with its refusal, of a page its title."""
    text = rejected.body.decode(errors="replace")
    title = re.search(r"<title[^>]*>(.*?)</title", text, re.IGNORECASE | re.DOTALL)
    lines = text.split("\n") if title is None else [" ".join(title[1].split())]
    line = next(filter(None, (line.strip() for line in lines)), "")
    return printable(line[:_LONGEST_EXCERPT])
