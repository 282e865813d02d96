"""The links of one connection, and where their messages go.

There is the current link, the successor that a renewal opens, and those that were left politely and may still
answer. Messages go to the inbox of the connection; while an on_open hook runs for a link, to its own. After a
renewal what the server had sent on the old link comes first: until that has ended, or LAST_WORDS are over,
the messages of the new link wait in an inbox of its own, too.
"""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Protocol

from websocket_heartbeat.client.dialogue import Dialogue, dialogue_of_task
from websocket_heartbeat.client.hooks import Hooks, OpenHook
from websocket_heartbeat.client.inbox import Inbox
from websocket_heartbeat.client.lifetime import Lifetime
from websocket_heartbeat.client.link import LinkHandler
from websocket_heartbeat.client.options import Options
from websocket_heartbeat.client.outbox import Outbox
from websocket_heartbeat.config import Dialect
from websocket_heartbeat.core import machine as core
from websocket_heartbeat.engines.base import Link
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.events import OpenEvent

LAST_WORDS = 1.0
"""Seconds that a link which was renewed is read on, for a server that does not answer its close frame."""


class Keeper(Protocol):
    """What the links need of the host of the connection."""

    dialect: Dialect | None
    hooks: Hooks
    inbox: Inbox
    outbox: Outbox
    lifetime: Lifetime

    def reading_paused(self, handler: LinkHandler) -> None:
        """The link is not read any more, as its messages are not taken fast enough."""

    def reading_resumed(self, handler: LinkHandler) -> None:
        """The link is read again."""

    def ready(self, handler: LinkHandler) -> None:
        """The link is there for all messages: its on_open hook is done."""

    def rejected(self, handler: LinkHandler, error: Exception) -> None:
        """The program calls the link bad."""


class Links:
    """The links of one connection.

    current: the one that the connection has, from its attempt to its end. successor: the one that is to
    replace it.
    """

    __slots__ = (
        "_hook_receives",
        "_keeper",
        "_leaving",
        "_machine",
        "_options",
        "_renewed",
        "current",
        "successor",
    )

    def __init__(self, keeper: Keeper, options: Options, machine: core.Machine) -> None:
        self._keeper = keeper
        self._machine = machine
        self._options = options
        self.current: LinkHandler | None = None
        self.successor: LinkHandler | None = None
        # Those that were left, each with what drops it if its peer does not answer.
        self._leaving: tuple[tuple[LinkHandler, Link, asyncio.TimerHandle], ...] = ()
        # The link before the current one, while what comes on it goes first, and what ends that.
        self._renewed: tuple[LinkHandler, Link, asyncio.TimerHandle] | None = None
        self._hook_receives: bool | None = None  # whether the latest on_open hook has called `recv`

    def get(self, number: int) -> LinkHandler | None:
        """Return what handles the link of that number, unless it is gone."""
        return self._find(lambda handler: handler.number == number)

    def _find(self, condition: Callable[[LinkHandler], bool]) -> LinkHandler | None:
        for handler in (self.current, self.successor):
            if handler is not None and condition(handler):
                return handler
        return None

    def has_open(self, but: int) -> bool:
        """Whether another link is open than the one of that number."""
        return self._find(lambda handler: handler.link is not None and handler.number != but) is not None

    def of_task(self) -> LinkHandler | None:
        """Return what handles the link for which the current task's on_open hook runs, or the current one."""
        dialogue = dialogue_of_task()
        handler = self._with(dialogue) if dialogue is not None else None
        return self.current if handler is None else handler

    def add(self, handler: LinkHandler) -> None:
        """Keep a link that is about to open: beside a current one it is the successor."""
        if self.current is None:
            self.current = handler
        else:
            self.successor = handler

    def drop(self, handler: LinkHandler) -> None:
        """Forget a link that is gone."""
        is_current = handler is self.current
        if is_current:
            self._end_renewed()
            self.current = None
        elif handler is self.successor:
            self.successor = None
        if handler.link is not None:
            handler.link = None
            if is_current:
                self._keeper.outbox.link_lost()
        if handler.dialogue is not None:
            self._end_dialogue(handler, is_current)

    def leave(self, handler: LinkHandler, within: float, is_read_on: bool) -> None:
        """Close a link politely and forget it; after so many seconds it is dropped.

        is_read_on: whether it still delivers what the server has sent.
        """
        link = handler.link
        if link is not None:
            self.drop(handler)
            loop = asyncio.get_running_loop()
            link.deliver = handler.discard
            if is_read_on:
                handler.deliver_to(link, handler.deliver_late)
                if handler.paused:
                    link.resume_reading()
                last_words = loop.call_later(min(within, LAST_WORDS), self._end_renewed)
                self._renewed = handler, link, last_words
            link.close(1000, "")
            self._leaving += ((handler, link, loop.call_later(within, self.left, handler)),)

    def left(self, handler: LinkHandler) -> None:
        """Be done with a link that was left."""
        if self._renewed is not None and self._renewed[0] is handler:
            self._end_renewed()
        for entry in self._leaving:
            if entry[0] is handler:
                entry[1].abort()
                entry[2].cancel()
        self._leaving = tuple(entry for entry in self._leaving if entry[0] is not handler)

    def end(self) -> None:
        """Drop the links that were left: the connection has ended."""
        for handler, _, _ in self._leaving:
            self.left(handler)

    def switch(self) -> None:
        """Let the successor be the current link."""
        self.current, self.successor = self.successor, None
        if self.current is not None and self.current.link is not None:
            if self._renewed is not None and self.current.dialogue is None:
                self.current.inbox = self._inbox_of(self.current)
            self.opened(self.current)

    def _end_renewed(self) -> None:
        """Let the current link deliver, now that the one before it has brought its last message."""
        renewed, self._renewed = self._renewed, None
        if renewed is None:
            return
        handler, link, timer = renewed
        timer.cancel()
        link.deliver = handler.discard
        current = self.current
        if current is not None and current.dialogue is None:
            self._deliver_to_all(current)

    def _inbox_of(self, handler: LinkHandler) -> Inbox:
        """Return an inbox for what one link brings."""
        bounds = self._options.receive_queue, self._options.receive_queue_bytes
        made_room = partial(self.resume_reading, handler)
        inbox = Inbox(*bounds, self._keeper.lifetime, self._keeper.hooks, made_room)
        inbox.on_handled = self._keeper.inbox.on_handled
        return inbox

    def _deliver_to_all(self, handler: LinkHandler) -> None:
        """Let a link deliver to the inbox of the connection, and move what waits in its own there."""
        inbox, handler.inbox = handler.inbox, self._keeper.inbox
        self.update_deliver()
        if inbox is handler.inbox:
            return
        if handler.link is None and len(inbox) and not handler.inbox.has_room():
            # Each of many links in a row that are lost in their on_open could leave as much again.
            self._keeper.hooks.log.warning(
                "%d messages of link %d, which was lost before it was ready, were thrown away: "
                "as many wait already as may",
                len(inbox),
                handler.number,
                extra={"link": handler.number, "dropped": len(inbox)},
            )
            return
        self._take_over(handler, inbox)

    # Messages

    def opened(self, handler: LinkHandler) -> None:
        """The link is open; if it is the current one, messages go over it from now on."""
        if handler is self.current and handler.link is not None:
            self._keeper.inbox.paused = handler.paused
            self._keeper.outbox.link_opened(handler.link)
        self.update_deliver()

    def update_deliver(self) -> None:
        """Let the links deliver to where messages go now; while a ping is unanswered, by way of the core."""
        current = self.current
        if self._machine.state == core.CLOSING:
            self._end_renewed()
        if current is not None and current.link is not None:
            if self._machine.state == core.CLOSING:
                current.link.deliver = current.discard
            elif self._keeper.dialect is not None and not current.link.is_session:
                current.deliver_to(current.link, current.deliver_in_dialect)
            elif self._options.message_timeout is not None:
                current.deliver_to(current.link, current.deliver_watched)
            elif current.awaits_proof:
                current.deliver_to(current.link, current.deliver_proof)
            else:
                current.deliver_to(current.link, current.inbox.deliver)
        successor = self.successor
        if successor is not None and successor.link is not None:
            has_dialect = self._keeper.dialect is not None and not successor.link.is_session
            deliver = successor.deliver_in_dialect if has_dialect else successor.inbox.deliver
            successor.deliver_to(successor.link, deliver)

    def batch_delivered(self, handler: LinkHandler) -> None:
        """A read has brought its last message: pause reading where too many wait."""
        if self._machine.state == core.CLOSING:
            return
        if handler.dialogue is not None and handler.inbox is handler.dialogue.inbox and len(handler.inbox):
            handler.dialogue.message_waits()
        # The close frame that follows a dismissal comes behind messages that wait: it must be read.
        is_full = handler.inbox.batch_delivered() and not handler.is_dismissed
        if is_full and handler.link is not None and not handler.paused:
            handler.paused = handler.inbox.paused = True
            handler.link.pause_reading()
            self._keeper.reading_paused(handler)

    def made_room(self) -> None:
        """There is room in the inbox of the connection again."""
        self._keeper.inbox.paused = False
        for handler in (self.current, self.successor):
            if handler is not None and handler.inbox is self._keeper.inbox:
                self.resume_reading(handler)

    def resume_reading(self, handler: LinkHandler) -> None:
        """Read the link again, if it is not read."""
        if handler.paused and handler.link is not None:
            handler.paused = handler.inbox.paused = False
            handler.link.resume_reading()
            self._keeper.reading_resumed(handler)

    def inbox_of_task(self) -> Inbox:
        """Return where the current task finds its messages: an on_open hook and its tasks have their own."""
        dialogue = dialogue_of_task()
        if dialogue is None or self._with(dialogue) is None:
            return self._keeper.inbox
        dialogue.use()
        return dialogue.inbox

    # on_open

    def begin(self, handler: LinkHandler, hook: OpenHook | None, event: OpenEvent) -> None:
        """Call on_open for a link that has opened; it is ready when the hook is done."""
        if handler.link is None:
            return
        if hook is None:
            self._keeper.ready(handler)
            self._keeper.outbox.flush()
            return
        handler.dialogue = Dialogue(self, self._keeper.hooks, handler.link, self._inbox_of(handler))
        holds = self._hook_receives is not False
        copy_context().run(handler.dialogue.run, hook, event, holds, self._options.open_timeout)

    def _with(self, dialogue: Dialogue) -> LinkHandler | None:
        """Return what handles the link of a dialogue, unless the hook is done."""
        return self._find(lambda handler: handler.dialogue is dialogue)

    def dialogue_begins(self, dialogue: Dialogue) -> None:
        """From now on the link takes only what the hook sends."""
        self._keeper.outbox.dialogue_begins(dialogue)
        self._keeper.inbox.set_dialogue(True)

    def dialogue_holds(self, dialogue: Dialogue, holds: bool) -> None:
        """Let the link deliver to the inbox of the dialogue, or to that of the connection again."""
        handler = self._with(dialogue)
        if handler is not None:
            handler.inbox = dialogue.inbox if holds else self._keeper.inbox
            self.update_deliver()
            if holds:
                self.resume_reading(handler)
            else:
                self._take_over(handler, dialogue.inbox)

    def dialogue_ended(self, dialogue: Dialogue, failed: HookFailed | None) -> None:
        """The hook is done, or has raised."""
        handler = self._with(dialogue)
        if handler is None:
            return
        if dialogue.task is not None:
            self._hook_receives = dialogue.receives
        if failed is not None:
            self._keeper.rejected(handler, failed)  # which ends the dialogue, as the link is dropped
            return
        self._keeper.ready(handler)
        if handler.dialogue is not None:  # else the link was lost by this
            self._end_dialogue(handler, handler is self.current)

    def _end_dialogue(self, handler: LinkHandler, is_current: bool) -> None:
        dialogue, handler.dialogue = handler.dialogue, None
        assert dialogue is not None
        handler.inbox = dialogue.inbox if is_current else self._keeper.inbox
        dialogue.end()
        dialogue.inbox.done_with_last()
        self._keeper.inbox.set_dialogue(False)
        self._keeper.outbox.dialogue_ended(dialogue)
        if is_current and self._renewed is None:
            self._deliver_to_all(handler)
        else:
            self.update_deliver()
            self.resume_reading(handler)

    def _take_over(self, handler: LinkHandler, inbox: Inbox) -> None:
        """Give everybody what the hook did not take."""
        inbox.paused = False
        self._keeper.inbox.take_over(inbox)
        self.resume_reading(handler)
