"""All clients of a back end: one timer that finds the dead among them, and ways to part from everybody.

Knows links only by engines/base.py, so that any transport can be put beneath it.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Collection, Coroutine, Sequence
from typing import Any

from websocket_heartbeat.engines.base import Closure, Link
from websocket_heartbeat.server.admission import Request
from websocket_heartbeat.server.farewell import check_close, spread, with_hint
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.server.policy import Policy
from websocket_heartbeat.system.callbacks import close_unawaited

_GRACE = 0.1
"""Seconds: a timer this late means that our own loop was blocked, and for so long nobody is judged."""

_POLITE = 0.8
"""The part of `close_timeout` that peers have to answer in `close`; hooks have the rest."""


_AT_ONCE = 100
"""Close frames that are written before the loop has a turn for others."""


class Entrance:
    """Takes the events of one link, and becomes a peer when it opens: LinkEvents of engines/base.py."""

    __slots__ = ("_peer", "_request", "_roster")

    def __init__(self, roster: "Roster", request: Request) -> None:
        self._roster = roster
        self._request = request
        self._peer: Peer | None = None

    def opened(self, link: Link) -> None:
        """Let the client in."""
        self._peer = self._roster.admit(self._request, link)

    def closed(self, closure: Closure) -> None:
        """Let it go."""
        assert self._peer is not None
        self._peer.closed(closure)

    def batch_delivered(self) -> None:
        """Nothing to do: messages are taken one by one."""

    def deliver_returned(self, result: object) -> None:
        """Does not happen: a peer takes messages and returns nothing."""

    def deliver_failed(self, error: BaseException) -> None:
        """Does not happen: a peer catches what hooks raise, so this is a mistake in this package."""
        raise error

    def ponged(self) -> None:
        """Nothing to do: we do not ping, and any byte counts as life."""

    def writable(self) -> None:
        """Nothing to do: what waits is bounded by `write_limit`."""


class Roster:
    """The clients that are here, and those whose hooks still run."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.peers: dict[int, Peer] = {}
        self._leaving: set[Peer] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._admitted = 0
        # When to judge which peer next, earliest first. A peer gets one verdict per idle_timeout at most, and
        # its messages touch nothing here. An entry of a peer that is gone is dropped when its time comes.
        self._due: list[tuple[float, int]] = []
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, request: Request, link: Link) -> Peer:
        """Make a peer of an open link."""
        self._admitted += 1
        peer = Peer(self, self._admitted, request, link)
        self.peers[peer.id] = peer
        peer.open()
        return peer

    def leaving(self, peer: Peer) -> None:
        """Count the peer out; `left` follows when its hooks have been told."""
        del self.peers[peer.id]
        self._leaving.add(peer)

    def left(self, peer: Peer) -> None:
        """Forget the peer."""
        self._leaving.discard(peer)

    def spawn(self, work: Coroutine[Any, Any, None], pending: Awaitable[object]) -> asyncio.Task[None]:
        """Run a coroutine that awaits what a hook has returned, and hold it until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        close_unawaited(task, pending)
        return task

    # Time

    def watch(self, peer: Peer, due: float) -> None:
        """Judge the peer at that time of the loop's clock, or soon after."""
        heapq.heappush(self._due, (due, peer.id))
        if self._timer is None or due < self._timer.when():
            self._arm(due)

    def _arm(self, due: float, after_grace: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._wake, due, after_grace)

    def _wake(self, planned: float, after_grace: bool) -> None:
        now = asyncio.get_running_loop().time()
        self._timer = None
        if now - planned > _GRACE and not after_grace:
            # Read first: where the kernel does not tell, what waits unread looks like silence.
            self._arm(now + _GRACE, after_grace=True)
            return
        while self._due and self._due[0][0] <= now:
            _, number = heapq.heappop(self._due)
            peer = self.peers.get(number)
            due = None if peer is None else peer.judge(now)
            if due is not None:
                heapq.heappush(self._due, (due, number))
        if self._due:
            self._arm(self._due[0][0])

    # Parting

    async def send_away(self, over: float, code: int, reason: str) -> None:
        """Close every peer that is here, each with its own hint when to come back, and wait for their end."""
        check_close(code, reason)
        peers = list(self.peers.values())
        farewells = [with_hint(reason, moment) for moment in spread(len(peers), over)]
        for farewell in farewells:
            check_close(code, farewell)
        await _close(peers, code, farewells)
        await _all(peers)

    async def close(self) -> None:
        """Close every peer with 1001 and wait for their ends and hooks, `close_timeout` seconds at most."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.policy.close_timeout
        peers = list(self.peers.values())
        try:
            await _close(peers, 1001, [""] * len(peers))
            await _all(peers, self.policy.close_timeout * _POLITE)
        finally:
            self.abort()
        await _all(self._leaving, deadline - loop.time())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0, deadline - loop.time()))
        for task in self._tasks:
            task.cancel()
        await asyncio.sleep(0)

    def abort(self) -> None:
        """Drop every peer at once."""
        for peer in list(self.peers.values()):
            peer.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.clear()


async def _close(peers: Sequence[Peer], code: int, reasons: Sequence[str]) -> None:
    for number, (peer, reason) in enumerate(zip(peers, reasons, strict=True), 1):
        peer.close(code, reason)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)


async def _all(peers: Collection[Peer], timeout: float | None = None) -> None:
    if peers:
        await asyncio.wait([peer.gone() for peer in peers], timeout=timeout)
