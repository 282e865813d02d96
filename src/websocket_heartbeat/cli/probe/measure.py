"""Measures a server: opens connections to it, one after the other, and writes what happens into a report.

The first is opened by opening.py, the others by the engine, as for the client. None of it prints anything.
"""

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

from websocket_heartbeat.cli.probe.advice import (
    SHORTEST_IDLE_TIMEOUT,
    close_in_words,
    cut_in_words,
    days_in_words,
    end_in_words,
    in_words,
    interval_for,
    known_cut,
    recommend,
    trials_in_words,
)
from websocket_heartbeat.cli.probe.link import ProbedLink
from websocket_heartbeat.cli.probe.opening import PATIENCE_PER_ADDRESS, STAGES, header, open_by_stages, reach
from websocket_heartbeat.cli.probe.report import (
    Address,
    Answer,
    Close,
    Idle,
    Pings,
    Redirect,
    Report,
    Trial,
    Verdict,
)
from websocket_heartbeat.client.attempt import MAX_REDIRECTS, is_redirect, prepare, redirected
from websocket_heartbeat.client.options import Options
from websocket_heartbeat.client.retry import judge, retry_hint
from websocket_heartbeat.engines.base import Closure, OpenRequest
from websocket_heartbeat.errors import (
    HandshakeError,
    HandshakeRejected,
    ProxyFailed,
    RedirectRefused,
    WebSocketHeartbeatError,
)
from websocket_heartbeat.redaction import shown_url

Progress = Callable[[str], None]

_PATIENCE_AT_CLOSE = 2.0
_BETWEEN_PINGS = 0.1
_LOOK_EVERY = 0.25
"""Seconds after which it is looked again whether a server has spoken on a link that idles."""

_LATE = 0.1
"""Seconds by which a pong must be late to be worth telling: less is a busy machine."""

_LEAST_DAYS_LEFT = 14
"""Days that a certificate should still be valid for."""


async def examine(
    options: Options,
    report: Report,
    *,
    pings: int,
    message: str | None,
    idle: float | None,
    progress: Progress,
) -> None:
    """Fill the report.

    options: as for the client; its open_timeout is for each answer. pings: how many. message: the text
    heartbeat. idle: seconds to wait on a silent link. progress: called with what is being done.
    """
    await _Probe(options, report, progress).examine(pings, message, idle)


class _Probe:
    def __init__(self, options: Options, report: Report, progress: Progress) -> None:
        self._options = options
        self._report = report
        self._progress = progress
        self._timeout = options.open_timeout
        self._loop = asyncio.get_running_loop()

    async def examine(self, pings: int, message: str | None, idle: float | None) -> None:
        report = self._report
        is_first = True
        try:
            request = await self._open()
            is_first = False
            await self._talk(request, pings, message)
            await self._offer_compression(request)
            if idle is not None:
                await self._wait_idle(request, idle, message)
        except (OSError, WebSocketHeartbeatError) as error:
            # A wrong answer to the handshake is noticed by the engine, which has the second connection.
            is_answer = isinstance(error, HandshakeError) and not isinstance(error, HandshakeRejected)
            stage = report.opening.stage if is_first or is_answer else ""
            where = STAGES.get(stage, "the next connection")
            in_plain = stage == "handshake" and "tls" not in report.opening.seconds
            words = in_words(error, self._timeout, stage, in_plain=in_plain)
            report.problems.append(f"{where}: {words}")
            verdict = judge(error)
            report.verdict = Verdict(verdict.final is True, retry_hint(error))
        finally:
            if report.pings is not None:
                report.recommended = recommend(report)

    # Opening, stage by stage

    async def _open(self) -> OpenRequest:
        """Open a connection as the client would, redirects included; return the request that led to it."""
        self._progress("opening")
        opening = self._report.opening
        opening.stage = "proxy"
        request = await prepare(self._options)
        addresses: list[Any] = []
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    opening.proxy = None if request.proxy is None else shown_url(request.proxy)
                    try:
                        headers = await open_by_stages(request, opening, addresses)
                        break
                    except HandshakeRejected as rejected:
                        if not is_redirect(rejected):
                            raise
                        if len(opening.redirects) == MAX_REDIRECTS:
                            raise RedirectRefused(f"more than {MAX_REDIRECTS} redirects") from None
                        request = redirected(self._options, request, rejected)
                        opening.redirects.append(Redirect(rejected.status, shown_url(request.url)))
        finally:
            opening.addresses = await self._tried(addresses)
        opening.subprotocol = header(headers, "Sec-WebSocket-Protocol") or None
        if request.subprotocols and opening.subprotocol is None:
            self._report.problems.append("subprotocol: the server speaks none of those that were offered")
        days_left = None if opening.tls is None else opening.tls.days_left
        if days_left is not None and days_left < _LEAST_DAYS_LEFT:
            self._report.notes.append(f"the certificate expires in {days_in_words(days_left)}")
        return request

    async def _tried(self, addresses: Sequence[Any]) -> list[Address]:
        """Try each of several addresses by itself, as one that fails is hidden by another that does not."""
        tried = [Address(info[4][0]) for info in addresses]
        if len(tried) > 1:
            self._progress("trying each address")
            errors = await asyncio.gather(*(reach(info) for info in addresses))
            for entry, error in zip(tried, errors, strict=True):
                entry.error = None if error is None else in_words(error, PATIENCE_PER_ADDRESS)
                if entry.error is not None:
                    self._report.notes.append(f"the address {entry.address}: {entry.error}")
        return tried

    async def _offer_compression(self, request: OpenRequest) -> None:
        self._progress("compression")
        try:
            async with self._link(replace(request, compression=True)) as probed:
                accepted = header(probed.response_headers, "Sec-WebSocket-Extensions")
        except (OSError, HandshakeError, ProxyFailed) as error:
            self._report.notes.append(f"with compression offered: {in_words(error, self._timeout)}")
            return
        self._report.compression = "permessage-deflate" in accepted.lower()

    # Talking, over the engine

    @asynccontextmanager
    async def _link(self, request: OpenRequest) -> AsyncIterator[ProbedLink]:
        probed = ProbedLink()
        try:
            async with asyncio.timeout(self._timeout):
                await self._options.engine.open(request, probed)
            yield probed
            if probed.closure is None:
                probed.link.close(1000, "")
                await probed.ended(_PATIENCE_AT_CLOSE)
        finally:
            # An attempt that is interrupted as it ends has opened its link all the same.
            if probed.has_opened and probed.closure is None:
                probed.link.abort()

    async def _talk(self, request: OpenRequest, pings: int, message: str | None) -> None:
        report = self._report
        async with self._link(request) as probed:
            self._progress("pings")
            report.pings = await self._ping(probed, pings)
            if message is not None and probed.closure is None:
                self._progress("the text heartbeat")
                report.message = await self._say(probed, message, report.pings)
            if probed.closure is not None:
                how, code, reason = _how(probed.closure, self._timeout)
                report.problems.append(f"the link was lost while in use: {end_in_words(how, code, reason)}")
                return
            self._progress("closing")
            report.close = await self._close(probed)
        says = report.message
        if report.pings.answered < report.pings.sent:
            if says is not None and says.answered:
                report.notes.append("pings of the protocol are not answered")
            else:
                hint = " (does it answer a text? --heartbeat TEXT tries)" if says is None else ""
                report.problems.append(f"pings: no pong within {self._timeout:g} s{hint}")
        if says is not None and not says.answered:
            report.problems.append(f"message: nothing came back within {self._timeout:g} s")

    async def _ping(self, probed: ProbedLink, count: int) -> Pings:
        trips: list[float] = []
        sent = 0
        while sent < count:
            sent += 1
            trip = await probed.ping(self._timeout)
            if trip is None:  # the others would time out as well
                break
            trips.append(trip)
            if sent < count and await probed.ended(_BETWEEN_PINGS):
                break
        if not trips:
            return Pings(sent, 0)
        steps = [abs(b - a) for a, b in pairwise(trips)]
        return Pings(
            sent,
            len(trips),
            min(trips),
            statistics.median(trips),
            max(trips),
            statistics.fmean(steps) if steps else 0.0,
        )

    async def _say(self, probed: ProbedLink, text: str, pings: Pings) -> Answer:
        unasked = probed.messages
        saying = probed.say(text, self._timeout)
        pong = None
        if pings.max is None:
            trip = await saying
        else:
            trip, pong = await asyncio.gather(saying, probed.ping(self._timeout))
            late = f"only after {pong:.1f} s" if pong is not None else f"not within {self._timeout:g} s"
            if probed.closure is None and (pong is None or pong > 2 * pings.max + _LATE):
                self._report.notes.append(
                    f"a ping right behind the message was answered {late}: this server answers none while it "
                    "works on a message, so the timeout must be longer than its longest work"
                )
        if trip is None or probed.last is None:
            return Answer(False, unasked, pong)
        return Answer(True, unasked, pong, trip, *probed.last)

    async def _close(self, probed: ProbedLink) -> Close:
        began = self._loop.time()
        probed.link.close(1000, "")
        if not await probed.ended(self._timeout) or probed.closure is None:
            self._report.notes.append(f"our close frame was not answered within {self._timeout:g} s")
            probed.drop()
            return Close(False)
        closure = probed.closure
        if closure.code != 1000:
            answer = close_in_words(closure.code) if closure.framed else "no close frame"
            self._report.notes.append(f"our close frame with 1000 was answered with {answer}")
        return Close(True, closure.framed, closure.code, probed.ended_at - began)

    # Waiting

    async def _wait_idle(self, request: OpenRequest, seconds: float, message: str | None) -> None:
        async with self._link(request) as probed:
            opened_at = last = self._loop.time()
            heard: list[float] = []
            try:
                while probed.closure is None:
                    left = opened_at + seconds - self._loop.time()
                    if left <= 0:
                        break
                    self._progress(f"idle: {left:.0f} s left")
                    if await probed.ended(min(left, _LOOK_EVERY)):
                        break
                    heard_at = probed.link.evidence().heard_at
                    if heard_at > last + 0.05:  # the kernel tells it to a few milliseconds
                        last = heard_at
                        heard.append(last)
            finally:  # when interrupted, too
                ended_at = probed.ended_at if probed.closure is not None else self._loop.time()
                # Bytes that came together with the end were the end itself.
                heard = [at for at in heard if at < ended_at - 0.2]
                silent_for = ended_at - max(opened_at, probed.heard_at, *heard)
                # What cuts idle links would have cut this one in the longest silence that it has survived.
                lull = max((after - before for before, after in pairwise([opened_at, *heard])), default=0.0)
                idle = Idle(
                    seconds=ended_at - opened_at,
                    cut=probed.closure is not None,
                    silent_for=silent_for,
                    spoke=len(heard),
                    one_sided=silent_for < min(lull + 2 * _LOOK_EVERY, (ended_at - opened_at) / 2),
                )
                self._report.idle = idle
            if probed.closure is None:
                idle.checked, idle.cut = await self._is_cut_in_silence(probed, message)
                if idle.cut:
                    idle.how = "silence"
                    probed.drop()
            else:
                idle.how, idle.code, idle.reason = _how(probed.closure, self._timeout)
        if not idle.cut:
            return
        self._report.problems.append(f"idle: {cut_in_words(idle)}")
        known = None if idle.one_sided else known_cut(idle)
        if known is not None:
            self._report.notes.append(known)
        if idle.borne >= SHORTEST_IDLE_TIMEOUT:
            await self._try_heartbeats(request, idle, message)

    async def _try_heartbeats(self, request: OpenRequest, idle: Idle, message: str | None) -> None:
        """Look for a heartbeat that keeps the link for longer than it lasted without."""
        report = self._report
        interval, _ = interval_for(idle)
        for text in (None,) if message is None else (None, message):
            trial = await self._try(request, interval, 1.5 * idle.seconds, text)
            report.trials.append(trial)
            if not trial.cut:
                return
        problem = trials_in_words(report)
        if problem is not None:
            report.problems.append(f"heartbeats: {problem}")

    async def _try(self, request: OpenRequest, interval: float, seconds: float, text: str | None) -> Trial:
        """Heartbeat by pings, or by the text; see whether the link is there at the end."""
        heartbeat = "ping" if text is None else "message"
        async with self._link(request) as probed:
            opened_at = self._loop.time()
            while (left := opened_at + seconds - self._loop.time()) > 0:
                self._progress(f"heartbeats by {heartbeat}s: {left:.0f} s left")
                if await probed.ended(min(left, interval)):
                    break
                if text is None:
                    probed.link.ping()
                else:
                    probed.link.send(text)
            lasted = self._loop.time() - opened_at
            if probed.closure is None:
                _, is_cut = await self._is_cut_in_silence(probed, text)
                if is_cut:
                    probed.drop()
                return Trial(heartbeat, interval, lasted, is_cut, "silence" if is_cut else None)
            return Trial(heartbeat, interval, lasted, True, *_how(probed.closure, self._timeout))

    async def _is_cut_in_silence(self, probed: ProbedLink, message: str | None) -> tuple[bool, bool]:
        """Use a link that looks open, by what was answered before.

        Return whether that can tell, and whether the link is cut.
        """
        self._progress("is the idle link still alive?")
        pings, says = self._report.pings, self._report.message
        if pings is not None and pings.answered:
            return True, await probed.ping(self._timeout) is None
        if says is not None and says.answered and message is not None:
            return True, await probed.say(message, self._timeout) is None
        return False, False


def _how(closure: Closure, timeout: float) -> tuple[str, int | None, str]:
    """Say how a link ended: in words, and with code and reason of the server's close frame."""
    if closure.framed:
        return "close frame", closure.code, closure.reason
    if isinstance(closure.error, ConnectionResetError):
        return "reset", None, ""
    if closure.error is None:
        return "end of file", None, ""
    return in_words(closure.error, timeout), None, ""
