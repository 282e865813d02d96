"""Whether a connection can be used, and where; every wait for it checks that first and when it is woken."""

import asyncio
from _thread import get_ident

from websocket_heartbeat.core import machine as core
from websocket_heartbeat.errors import ConnectionClosed, ConnectionFailed
from websocket_heartbeat.system.wakeup import Wakeup

ENDED = (core.CLOSED, core.FAILED)


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the loop on which a connection is to live; raise RuntimeError where none of asyncio runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    raise RuntimeError(
        "no event loop of asyncio runs here: start the connection in a coroutine that asyncio.run() runs; "
        "for trio, and for blocking code, there is websocket_heartbeat.sync"
    )


class Lifetime:
    """The life of one connection from its start to its end.

    changed: notified whenever something has happened that a task may wait for, other than a message.
    loop, thread: where alone it can be used; None and 0 before it was started or added to a fleet. A thread
    runs one loop at a time: if it is ours, and our loop runs, it is the one. (asyncio.get_running_loop would
    tell too, but asks the system for the process first, which takes several times as long.)
    """

    __slots__ = ("_failure", "_machine", "changed", "loop", "thread")

    def __init__(self, machine: core.Machine) -> None:
        self._machine = machine
        self._failure: ConnectionFailed | None = None
        self.changed: Wakeup = Wakeup()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: int = 0

    def bind(self) -> None:
        """Let the connection be used on the running loop alone."""
        self.loop = running_loop()
        self.thread = get_ident()

    @property
    def has_ended(self) -> bool:
        """Whether the connection is closed or has failed."""
        return self._machine.state in ENDED

    def fail(self, reason: str, code: int | None, cause: Exception | None) -> None:
        """Keep why the connection has failed for good."""
        self._failure = ConnectionFailed(reason, code)
        self._failure.__cause__ = cause

    def check_alive(self) -> None:
        """Raise ConnectionClosed or ConnectionFailed if there will be no further link."""
        self.check_failure()
        if self._machine.state in (core.CLOSING, core.CLOSED):
            raise ConnectionClosed("the connection is closed")

    def check_failure(self) -> None:
        """Raise ConnectionFailed if the connection has failed: a new one, as each gathers its traceback."""
        if self._failure is not None:
            raise ConnectionFailed(self._failure.reason, self._failure.code) from self._failure.__cause__

    def unbind(self) -> None:
        """Let the connection be used nowhere: in a process that was forked, it is the parent's."""
        self.thread = 0

    def check_place(self) -> None:
        """Raise RuntimeError before the start, and in another loop, thread or process, until the end."""
        loop = self.loop
        if (loop is not None and get_ident() == self.thread and loop.is_running()) or self.has_ended:
            return
        if loop is None:
            raise RuntimeError(
                "the connection is not started: use it within `async with connect(...) as ...:`"
            )
        raise RuntimeError(
            "the connection was started on another event loop, thread or process, where alone it works; "
            "from other threads, have it called there by loop.call_soon_threadsafe(...), or by "
            "asyncio.run_coroutine_threadsafe(...) what is awaited, or use websocket_heartbeat.sync"
        )

    async def change(self) -> None:
        """Wait for the next change.

        Raises:
            RuntimeError: there will be none here; see `check_place`.
        """
        self.check_place()
        await self.changed.wait()
