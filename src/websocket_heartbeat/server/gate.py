"""Decides who comes in: looks at the Origin of a request, and asks the user's hook."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from inspect import isawaitable
from typing import Any

from websocket_heartbeat.checks import check_function, check_hook
from websocket_heartbeat.errors import HookFailed
from websocket_heartbeat.server.admission import Admitted, Refusal, Request
from websocket_heartbeat.server.origins import Origins
from websocket_heartbeat.server.roster import Roster
from websocket_heartbeat.system.callbacks import call, log_raised, path_to_show, settle


class Gate:
    """Stands before a roster."""

    def __init__(
        self,
        roster: Roster,
        origins: Origins,
        on_handshake: Callable[..., Any] | None,
        shown_path: Callable[[str], str] | None,
    ) -> None:
        if on_handshake is not None:
            check_hook("on_handshake", on_handshake, 1)
        if shown_path is not None:
            check_function("shown_path", shown_path, 1)
        self._roster = roster
        self._origins = origins
        self._on_handshake = on_handshake
        self._shown_path = shown_path
        self._log = roster.log

    def admit(self, request: Request) -> Admitted | asyncio.Task[Admitted]:
        """Decide about a request, at once or, if the hook is asynchronous, by a task."""
        if not self._origins.allow(request):
            self._log.warning(
                "a client was refused with 403: origins= does not allow the Origin %.120r at the Host %.120r",
                request.header("Origin"),
                request.header("Host"),
            )
            return Refusal(403)
        if self._shown_path is not None:
            request = replace(
                request, shown_path=path_to_show(self._log.error, self._shown_path, request.path)
            )
        if self._on_handshake is None:
            return self._roster.admit(request)
        try:
            answer: object = call("on_handshake", self._on_handshake, request)
        except HookFailed as failed:
            return self._failed(failed)
        if isawaitable(answer):
            return self._roster.spawn(self._admit_later(request, answer), answer)
        return self._answered(request, answer)

    async def _admit_later(self, request: Request, pending: Awaitable[object]) -> Admitted:
        try:
            answer = await settle("on_handshake", pending)
        except HookFailed as failed:
            return self._failed(failed)
        return self._answered(request, answer)

    def _answered(self, request: Request, answer: object) -> Admitted:
        if answer is None:
            return self._roster.admit(request)
        if isinstance(answer, Refusal):
            return answer
        self._log.error("on_handshake must return None or a Refusal, not %s", type(answer).__name__)
        return Refusal(500)

    def _failed(self, failed: HookFailed) -> Refusal:
        log_raised(self._log.error, failed.name, failed.__cause__)
        return Refusal(500)
