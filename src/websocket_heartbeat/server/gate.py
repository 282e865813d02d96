"""Decides whether a client may connect, and as whom: by its Origin, the free places, and the user's hook."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from inspect import isawaitable
from typing import Any

from websocket_heartbeat.checks import check_function, check_hook, is_hashable
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.server.admission import Refusal, Request
from websocket_heartbeat.server.handler import PeerHandler
from websocket_heartbeat.server.hooks import Hooks
from websocket_heartbeat.server.origins import Origins
from websocket_heartbeat.server.places import Place
from websocket_heartbeat.server.roster import Roster
from websocket_heartbeat.server.sessions.book import Book
from websocket_heartbeat.server.sessions.door import Door
from websocket_heartbeat.system.callbacks import call, log_raised, path_to_show, settle

Decision = PeerHandler | Refusal
"""What is decided about a request: the inside of a peer, to take the events of its link; or a refusal."""


class Gate:
    """Admits clients to a roster, or refuses them.

    roster: of those that came in here. hooks: those of these peers. hook_name: that of the user's hook,
    `on_handshake` or `authenticate`; the second may name a principal.
    book: of the hub's sessions, None if it has none.
    """

    def __init__(
        self,
        roster: Roster,
        hooks: Hooks,
        origins: Origins,
        hook_name: str,
        hook: Callable[..., Any] | None,
        shown_path: Callable[[str], str] | None,
        book: Book | None = None,
    ) -> None:
        if hook is not None:
            check_hook(hook_name, hook, 1)
        if shown_path is not None:
            check_function("shown_path", shown_path, 1)
        self.roster = roster
        self._hooks = hooks
        self._origins = origins
        self._hook_name = hook_name
        self._hook = hook
        self._shown_path = shown_path
        self._log = roster.log
        self._book = book

    @property
    def has_sessions(self) -> bool:
        """Whether clients that want one get a session."""
        return self._book is not None

    def door(self, handler: PeerHandler, protocol: str | None, max_size: int) -> Door:
        """Return what takes the events of a link that has selected the subprotocol of sessions.

        handler: what `admit` has returned. protocol: the application's subprotocol.
        """
        assert self._book is not None
        return Door(self._book, self.roster.doors, handler, protocol or "", max_size)

    def enter(self) -> None:
        """Belong to the running loop; sessions of a process before may be due to end on it.

        Raises:
            RuntimeError: the hub has peers on another event loop.
        """
        self.roster.enter()
        if self._book is not None:
            self._book.open_soon()

    def admit(self, request: Request, *, takes_place: bool = True) -> Decision | asyncio.Task[Decision]:
        """Decide about a request, at once or, if the hook is asynchronous, by a task.

        takes_place: whether it takes one of the places of the hub, as what asks for a WebSocket does. It is
        the peer's from then on; where nobody is let in, or no peer comes of it, it is free again by itself.

        Raises:
            RuntimeError: the hub has peers on another event loop.
        """
        self.enter()
        if not self._origins.allow(request):
            self._log.warning(
                "a client was refused with 403: origins= does not allow the Origin %.120r at the Host %.120r",
                request.header("Origin"),
                request.header("Host"),
                extra={"refused_by": "origins", "status": 403},
            )
            if takes_place:
                self.roster.tally.refused["origins"] += 1
            return Refusal(403)
        place = None
        if takes_place:
            address = request.remote_address
            taken = self.roster.places.take(None if address is None else address[0])
            if isinstance(taken, Refusal):
                return taken
            place = taken
        if self._shown_path is not None:
            request = replace(
                request, shown_path=path_to_show(self._log.error, self._shown_path, request.path)
            )
        if self._hook is None:
            return self._answered(request, None, place)
        try:
            answer: object = call(self._hook_name, self._hook, request)
        except HookFailed as failed:
            return self._failed(failed, place)
        if isawaitable(answer):
            return self.roster.spawn(self._admit_later(request, answer, place), answer)
        return self._answered(request, answer, place)

    async def decide(self, request: Request, *, takes_place: bool = True) -> Decision:
        """Decide about a request, as `admit`, within open_timeout."""
        decision = self.admit(request, takes_place=takes_place)
        if not isinstance(decision, asyncio.Task):
            return decision
        timeout = self.roster.policy.open_timeout
        try:
            # Not `await decision`: a hook that is cancelled may go on, or may have cancelled itself.
            await asyncio.wait((decision,), timeout=timeout)
        finally:
            decision.cancel()
        if decision.cancelled():
            return self.cancelled()
        return decision.result() if decision.done() else self.too_late(timeout)

    def too_late(self, timeout: float) -> Refusal:
        """Return the answer to a client about whom the hook has not decided for so many seconds."""
        self._log.warning(
            "%s took longer than open_timeout=%g s: its client was refused",
            self._hook_name,
            timeout,
            extra={"refused_by": self._hook_name, "status": 503},
        )
        self.roster.tally.refused[self._hook_name] += 1
        return Refusal(503)

    def cancelled(self) -> Refusal:
        """Return the answer to a client about whom nothing is decided, as that was cancelled."""
        extra = {"refused_by": self._hook_name, "status": 500}
        self._log.error("%s was cancelled: its client was refused", self._hook_name, extra=extra)
        self.roster.tally.refused[self._hook_name] += 1
        return Refusal(500)

    async def _admit_later(
        self, request: Request, pending: Awaitable[object], place: Place | None
    ) -> Decision:
        try:
            answer = await settle(self._hook_name, pending)
        except HookFailed as failed:
            return self._failed(failed, place)
        except asyncio.CancelledError:  # whose traceback would hold the place
            if place is not None:
                place.give_back()
            raise
        return self._answered(request, answer, place)

    def _answered(self, request: Request, answer: object, place: Place | None) -> Decision:
        if isinstance(answer, Refusal):
            return self._refused(answer, place)
        names = self._hook_name == "authenticate"
        # A hook that returns True means "yes", but would name a principal.
        if answer is None or (names and not isinstance(answer, bool) and is_hashable(answer)):
            return self.roster.admit(request, self._hooks, answer, place)
        self._log.error(
            "%s must return None%s or a Refusal, not %s",
            self._hook_name,
            ", a hashable principal" if names else "",
            type(answer).__name__,
            extra={"refused_by": self._hook_name, "status": 500},
        )
        return self._refused(Refusal(500), place)

    def _failed(self, failed: HookFailed, place: Place | None) -> Refusal:
        fields = {"hook": failed.name, "refused_by": self._hook_name, "status": 500}
        log_raised(self._log.error, failed.name, failed.__cause__, fields)
        return self._refused(Refusal(500), place)

    def _refused(self, refusal: Refusal, place: Place | None) -> Refusal:
        if place is not None:
            place.give_back()
            self.roster.tally.refused[self._hook_name] += 1
        return refusal
