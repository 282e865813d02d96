"""on_open as a dialogue: its link takes what the hook sends first, and what arrives is for its `recv` first.

A link is ready when its on_open hook is done; one that raises has called the link bad.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from inspect import isawaitable
from typing import Protocol

from websocket_heartbeat.client.hooks import Hooks, OpenHook
from websocket_heartbeat.client.inbox import Inbox
from websocket_heartbeat.engines.base import Link
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.events import OpenEvent
from websocket_heartbeat.system.callbacks import call, close_unawaited, settle

PATIENCE = 2.0
"""Seconds that messages wait for a hook which has not called `recv` yet; then they are for everybody.
And that the end of a link waits for a hook that has something of it still to take, or to decide on."""

# Tasks that the hook starts inherit this, and keep it after the hook is done.
_mine: ContextVar["Dialogue | None"] = ContextVar("dialogue", default=None)


def dialogue_of_task() -> "Dialogue | None":
    """Return the dialogue whose hook runs in the current task, or has started it."""
    return _mine.get()


class Keeper(Protocol):
    """What a dialogue needs of the links of its connection."""

    def dialogue_begins(self, dialogue: "Dialogue") -> None:
        """From now on the link takes only what the hook sends."""

    def dialogue_holds(self, dialogue: "Dialogue", holds: bool) -> None:
        """Let the link deliver to the inbox of the dialogue, or to that of the connection again."""

    def dialogue_ended(self, dialogue: "Dialogue", failed: HookFailed | None) -> None:
        """The hook is done, or has raised."""


class Dialogue:
    """One run of an on_open hook, for one link.

    link: the link. inbox: what waits for the hook. receives: whether the hook has called `recv`. task: waits
    for the hook, if it is asynchronous. is_over: whether the hook is done, or the link is lost. is_cut:
    whether the hook has raised what ends the program, and so will never be done.

    A server that refuses a login says so and closes at once. So the end of a link is not told while the hook
    has something of it still to take, or to decide on: until it waits for one message more, sends, or is
    done, PATIENCE at most. Then it is told, and the hook is cancelled if it runs still.
    """

    __slots__ = (
        "_context",
        "_hooks",
        "_keeper",
        "_release_at",
        "_tell_at",
        "_tell_end",
        "_warn_at",
        "inbox",
        "is_cut",
        "is_over",
        "link",
        "receives",
        "task",
    )

    def __init__(self, keeper: Keeper, hooks: Hooks, link: Link, inbox: Inbox) -> None:
        self._keeper = keeper
        self._hooks = hooks
        self.link: Link = link
        self.inbox: Inbox = inbox
        self.receives: bool = False
        self.is_over: bool = False
        self.is_cut: bool = False
        self.task: asyncio.Task[None] | None = None
        self._release_at: asyncio.TimerHandle | None = None
        self._warn_at: asyncio.TimerHandle | None = None
        self._tell_end: Callable[[], None] | None = None  # while the link has ended, and that is not told
        self._tell_at: asyncio.TimerHandle | None = None
        self._context: Context

    def is_mine(self) -> bool:
        """Whether the current task is that of the hook, or was started by it."""
        return _mine.get() is self

    def run(self, hook: OpenHook, event: OpenEvent, holds: bool, warn_after: float) -> None:
        """Call the hook. To be called in a context of its own.

        holds: whether messages wait for the hook from the beginning. warn_after: seconds after which a hook
        that has not ended is told of in the log.
        """
        _mine.set(self)
        self._keeper.dialogue_begins(self)
        try:
            pending = call("on_open", hook, event)
        except HookFailed as failed:
            self._keeper.dialogue_ended(self, failed)
            return
        except BaseException:
            self.is_cut = True
            raise
        if not isawaitable(pending):
            self._keeper.dialogue_ended(self, None)
            return
        is_overtaken = self.is_over
        if not is_overtaken:
            if holds:
                self._keeper.dialogue_holds(self, True)
            loop = asyncio.get_running_loop()
            self._warn_at = loop.call_later(warn_after, self._warn, event.link, warn_after)
        self.task = self._hooks.spawn(self._wait_for(pending))
        close_unawaited(self.task, pending)
        if is_overtaken:
            self._hooks.cancel(self.task)

    async def _wait_for(self, pending: Awaitable[None]) -> None:
        failed = None
        try:
            await settle("on_open", pending)
        except HookFailed as failure:
            failed = failure
        except asyncio.CancelledError as error:
            if not self.is_over:  # cancelled by the user's code: the hook has not done its work
                self._keeper.dialogue_ended(self, HookFailed("on_open", error))
            raise
        except BaseException:
            self.is_cut = True
            raise
        if failed is None and self.is_ending:
            self.tell_end_soon()
        elif not self.is_over:
            self.is_over = True
            self._keeper.dialogue_ended(self, failed)

    @property
    def is_ending(self) -> bool:
        """Whether the link has ended, and that is not told."""
        return self._tell_end is not None

    def link_has_ended(self, tell: Callable[[], None]) -> None:
        """Have `tell` called: now, or when the hook has taken what came before, and has decided."""
        has_taken = self.receives and not self.inbox.arrived.is_awaited  # and may decide on that
        if self.task is None or self.task.done() or not (len(self.inbox) or has_taken):
            tell()
            return
        self._tell_end = tell
        self._context = copy_context()
        self._tell_at = asyncio.get_running_loop().call_later(PATIENCE, self.tell_end)
        self.inbox.on_exhausted = self.tell_end_soon

    def tell_end_soon(self) -> None:
        """Tell in the loop's next turn that the link has ended: not within the hook, nor in its context."""
        asyncio.get_running_loop().call_soon(self.tell_end, context=self._context)

    def tell_end(self) -> None:
        """Tell now that the link has ended, if that is not told."""
        tell, self._tell_end = self._tell_end, None
        if tell is not None:
            tell()

    def use(self) -> None:
        """The hook asks for a message."""
        if not self.receives:
            self.receives = True
            self._stop_timer()
            self._keeper.dialogue_holds(self, True)

    def message_waits(self) -> None:
        """A message has come for the hook, which may never ask for one."""
        if not self.receives and self._release_at is None:
            self._release_at = asyncio.get_running_loop().call_later(PATIENCE, self._release)

    def _release(self) -> None:
        words = "messages have waited %g s for on_open, which does not receive"
        self._hooks.log.info(words, PATIENCE, extra={"hook": "on_open"})
        self._keeper.dialogue_holds(self, False)

    def _warn(self, link: int, seconds: float) -> None:
        words = "on_open of link %d has not ended after %g s; messages to be sent wait for its end"
        self._hooks.log.warning(words, link, seconds, extra={"link": link, "hook": "on_open"})

    def end(self) -> None:
        """The hook is done, or its link is lost: then it is cancelled, unless it closes the connection.

        It may have lost the link itself, by `fail_link`: it must not go on over the next one.
        """
        is_done, self.is_over = self.is_over, True
        self._stop_timer()
        if self._warn_at is not None:
            self._warn_at.cancel()
        if self._tell_at is not None:
            self._tell_at.cancel()
        self._tell_end = self.inbox.on_exhausted = None
        task = self.task
        if task is not None and not is_done:
            is_own = task is asyncio.current_task()
            if is_own:  # it may be about to close the connection
                asyncio.get_running_loop().call_soon(self._hooks.cancel, task)
            else:
                self._hooks.cancel(task)
        self.inbox.arrived.notify()

    def _stop_timer(self) -> None:
        if self._release_at is not None:
            self._release_at.cancel()
