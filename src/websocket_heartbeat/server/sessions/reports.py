"""Reports what becomes of sessions: to the log, to observers, and to the user's `on_session_end`."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from websocket_heartbeat import observer
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.events import Message
from websocket_heartbeat.redaction import printable
from websocket_heartbeat.server.sessions.link import FAILED
from websocket_heartbeat.server.sessions.store import EXPIRED, LOST
from websocket_heartbeat.server.throttle import Throttle
from websocket_heartbeat.system.callbacks import call, close_unawaited, log_raised, settle

_logger = logging.getLogger("websocket_heartbeat.server")

_REASONS = ("overflow", "mismatch", FAILED, EXPIRED, LOST)
"""Why sessions are over that nobody has ended; other reasons are words of the program or its clients."""

_BY_CLIENT = "closed by its client"
"""What logs say where the client gave no reason."""

EndHook = Callable[[str, str, tuple[Message, ...]], Any]


class Reports:
    """Those of one hub. on_end: the user's hook; None: there is none."""

    def __init__(self, on_end: EndHook | None) -> None:
        self._on_end = on_end
        self._log = Throttle(_logger)
        self._running: set[asyncio.Task[None]] = set()  # each awaits what a hook has returned

    @property
    def has_hook(self) -> bool:
        """Whether the user is told of ends."""
        return self._on_end is not None

    def changed(self, id: str, event: str, unacknowledged: int = 0) -> None:
        """Tell observers, and the log at DEBUG, what becomes of a session.

        event: how it is welcome, or "moved"; or why it is over: "over", where one side has ended it.
        unacknowledged: messages that its client may not have.
        """
        extra = {"session": id, "event": event, "unacknowledged": unacknowledged}
        _logger.debug("session %s: %s", id, event, extra=extra)
        for each in observer.observers:
            each.session_changed(event, unacknowledged)

    def over(self, id: str, why: str, unacknowledged: tuple[Message, ...]) -> None:
        """Tell the user, too, that a session is over."""
        count = len(unacknowledged)
        self.changed(id, why if why in _REASONS else "over", count)
        extra = {"session": id, "reason": printable(why), "unacknowledged": count}
        if why == "overflow":
            words = (
                "session %s is over: overflow: its client had no room for more, `await peer.drain()` waits "
                "for it; it has not acknowledged %s"
            )
            self._log.warning(words, id, _messages(count), extra=extra)
        elif count and self._on_end is None:
            words = "session %s is over: %s: its client has not acknowledged %s; no on_session_end hook"
            self._log.warning(words, id, printable(why) or _BY_CLIENT, _messages(count), extra=extra)
        else:
            _logger.info("session %s is over: %s", id, printable(why) or _BY_CLIENT, extra=extra)
        if self._on_end is None:
            return
        try:
            result = call("on_session_end", self._on_end, id, why, unacknowledged)
        except HookFailed as failed:
            self._raised(id, failed)
            return
        if isawaitable(result):
            task = asyncio.get_running_loop().create_task(self._settle(id, result))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            close_unawaited(task, result)

    def moved(self, id: str, lost: int) -> None:
        """Tell that another process has a session now: what becomes of it is told there.

        lost: messages that the application has sent here, and nobody has; they may be stored, if the store
        has failed to answer.
        """
        extra = {"session": id, "unacknowledged": lost}
        if lost:
            words = (
                "session %s goes on in another process: %s sent here and not known to be stored; what is not "
                "sent there again may be lost"
            )
            _logger.warning(words, id, _messages(lost), extra=extra)
        else:
            _logger.info("session %s goes on in another process", id, extra=extra)
        self.changed(id, "moved", lost)

    def unwritten(self, id: str, count: int) -> None:
        """Tell that messages were sent here, and are not known to be stored, as the hub is closed."""
        words = (
            "session %s goes on elsewhere, and %s sent here and not known to be stored: the hub is closed; "
            "what is not sent again may be lost"
        )
        self._log.warning(words, id, _messages(count), extra={"session": id, "unacknowledged": count})

    def interrupted(self, id: str, number: int) -> None:
        """Tell that a message may be handled again: it was begun here, and is not known to be recorded."""
        words = (
            "session %s goes on elsewhere, and message %d may be handled again: it was begun here, and "
            "is not known to be recorded"
        )
        self._log.warning(words, id, number, extra={"session": id, "interrupted": number})

    async def _settle(self, id: str, pending: Awaitable[Any]) -> None:
        try:
            await settle("on_session_end", pending)
        except HookFailed as failed:
            self._raised(id, failed)

    def _raised(self, id: str, failed: HookFailed) -> None:
        fields = {"session": id, "hook": "on_session_end"}
        log_raised(self._log.error, f"on_session_end for session {id}", failed.__cause__, fields)

    async def close(self, patience: float) -> None:
        """Wait for the hooks that run, so many seconds at most; then cancel them."""
        if self._running:
            await asyncio.wait(self._running, timeout=patience)
        for task in self._running:
            task.cancel()
        await asyncio.sleep(0)  # they take it in the loop's next turn

    def forget(self) -> None:
        """Belong to another event loop from now on: the one before is closed."""
        self._running.clear()


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
