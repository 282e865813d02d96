"""The clients of one entrance: keeps them, checks their deadlines with one timer, closes all of them.

Knows links only by engines/base.py, so that any transport can be put beneath it.
"""

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Coroutine, Hashable
from itertools import count
from typing import Any, TypeVar
from weakref import WeakSet

from websocket_heartbeat import observer
from websocket_heartbeat.server.admission import Request
from websocket_heartbeat.server.batch import Batch
from websocket_heartbeat.server.farewell import all_gone, close_all
from websocket_heartbeat.server.handler import PeerHandler
from websocket_heartbeat.server.hooks import Hooks
from websocket_heartbeat.server.loops import HOW, running_loop
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.server.places import Limits, Place, Places
from websocket_heartbeat.server.policy import Policy
from websocket_heartbeat.server.rooms import Member, Rooms
from websocket_heartbeat.server.rounds import Rounds
from websocket_heartbeat.server.sessions.door import Door
from websocket_heartbeat.server.shared_rooms import Missed, SharedRooms, Tell, room_key, user_key
from websocket_heartbeat.server.stats import HubStats, Tally
from websocket_heartbeat.server.streams import Streams
from websocket_heartbeat.server.throttle import Throttle
from websocket_heartbeat.system.callbacks import close_unawaited

_logger = logging.getLogger("websocket_heartbeat.server")

T = TypeVar("T")

_GRACE = 0.1
"""Seconds: a timer this late means that our own loop was blocked, and for so long nobody is dropped."""

_ANSWER_SHARE = 0.8
"""The part of `close_timeout` that peers have to answer in `close`; hooks have the rest."""

_AT_ONCE = 100
"""Peers that are looked at before the loop has a turn for others."""

_SPARE = 1000
"""Stale entries that may wait for their time, beyond as many as there are peers."""


class Commons:
    """What all rosters of a hub share.

    streams: those of the rooms, where the store of the sessions has them; missed: called for members that may
    have missed messages of a room there.

    policy: what holds for all peers. rosters: of each entrance. loop: the event loop to which peers, hooks
    and timers belong, None before the first. numbers: of peers. log: for what strangers may cause. places:
    for those that want to come in. tally: of what becomes of them. rounds: of all rooms.
    """

    def __init__(
        self,
        policy: Policy,
        limits: Limits,
        streams: Streams | None = None,
        missed: Missed | None = None,
        tell: Tell | None = None,
    ) -> None:
        self.policy = policy
        self.rosters: WeakSet[Roster] = WeakSet()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.numbers: count[int] = count(1)
        self.log: Throttle = Throttle(_logger)
        self.tally: Tally = Tally()
        self.places: Places = Places(limits, self.log, self.tally)
        self.rounds: Rounds[Member] = Rounds()
        batch = Batch()
        self.rooms: Rooms = Rooms(self.enter, self.rounds, batch)
        self.users: Rooms = Rooms(self.enter, self.rounds, batch)
        if streams is not None and missed is not None and tell is not None:
            shared = self.enter, self.rounds, batch, streams, policy, self.tally
            self.rooms = SharedRooms(*shared, room_key, missed, tell)
            self.users = SharedRooms(*shared, user_key, missed, tell)
        self._batch = batch
        self._is_observed = True
        observer.hubs.add(self)

    @property
    def observers(self) -> tuple[observer.Observer, ...]:
        """Those that are told of the peers."""
        return observer.observers if self._is_observed else ()

    def hide(self) -> None:
        """Have no observer see the peers: they are viewers of the dashboard."""
        self._is_observed = False
        observer.hubs.remove(self)

    def peers(self) -> list[Peer]:
        """Return the clients that are connected; none are where the event loop is closed."""
        if self.loop is not None and self.loop.is_closed():
            return []
        return [handler.peer for roster in self.rosters for handler in roster.here]

    def stats(self) -> HubStats:
        """Return what the hub has done so far."""
        return self.tally.stats(sum(len(roster.here) for roster in self.rosters))

    def enter(self) -> None:
        """Belong to the running loop from now on: tests of an application have one after the other.

        What one that is closed has left behind is forgotten, as nothing can be done on it any more.

        Raises:
            RuntimeError: there are peers on another one, or they come or go there; or none runs here.
        """
        loop = running_loop()
        if loop is self.loop:
            return
        here = sum(len(roster.here) for roster in self.rosters)
        is_left = self.loop is None or self.loop.is_closed()
        is_busy = self.loop is not None and self.loop.is_running() and any(map(Roster.is_busy, self.rosters))
        if is_busy or (here and not is_left):
            who = f"{here} peers" if here else "peers that come or go"
            raise RuntimeError(f"a hub belongs to one event loop: this one has {who} on another: {HOW}")
        if here:
            words = "%d peers are forgotten: their event loop was closed before they had ended"
            _logger.warning(words, here, extra={"peers": here})
        for roster in self.rosters:
            roster.forget()
        self.rounds.forget()
        self._batch.forget()
        self.places.open()
        self.loop = loop


class Roster:
    """The clients that came in by one entrance and are here, and those whose hooks still run."""

    def __init__(self, commons: Commons) -> None:
        self._commons = commons
        self.policy: Policy = commons.policy
        self.log: Throttle = commons.log
        self.places: Places = commons.places
        self.tally: Tally = commons.tally
        self.rooms: Rooms = commons.rooms
        self.users: Rooms = commons.users
        # Of links of sessions, which may be no peer's yet, or not any more.
        self.doors: set[Door] = set()
        # By number: those whose link is open, and those whose link has ended and who have still to be told.
        self._here: dict[int, PeerHandler] = {}
        self._leaving: dict[int, PeerHandler] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        # When to check which peer next, earliest first. A peer is checked twice in each idle_timeout, more
        # often while much waits for it, and its messages touch nothing here. An entry is stale if its peer is
        # gone or is due at another time: it is dropped when its time comes, or when most are.
        self._due: list[tuple[float, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = 0.0  # kept here, as the timers of uvloop round it
        commons.rosters.add(self)

    @property
    def here(self) -> tuple[PeerHandler, ...]:
        """Those whose link is open."""
        return tuple(self._here.values())

    def enter(self) -> None:
        """Do as `Commons.enter`."""
        self._commons.enter()

    def is_busy(self) -> bool:
        """Whether hooks run, or links of sessions are open, also where no peer is here."""
        return bool(self._leaving or self._tasks or self.doors)

    def forget(self) -> None:
        """Forget all peers: their loop is closed, or there are none."""
        for handler in self.here:
            handler.forget()
        self._here.clear()
        if self._commons.loop is not None and self._commons.loop.is_closed():
            self._leaving.clear()
            self._tasks.clear()
            self.doors.clear()
        self._stop_timer()

    def admit(
        self, request: Request, hooks: Hooks, principal: Hashable | None, place: Place | None
    ) -> PeerHandler:
        """Return what takes the events of a link that is about to open: a peer once it has opened."""
        return PeerHandler(self, request, hooks, principal, place)

    def hide(self) -> None:
        """Do as `Commons.hide`."""
        self._commons.hide()

    # What a peer needs: Keeper of handler.py

    @property
    def observers(self) -> tuple[observer.Observer, ...]:
        """Those that are told of the peers."""
        return self._commons.observers

    def number(self) -> int:
        """Return the number of the next client, of all entrances."""
        return next(self._commons.numbers)

    def add(self, handler: PeerHandler) -> None:
        """Keep a client whose link has opened, with its peer: other threads ask for that."""
        self.enter()  # another loop may have called the hub since it was let in, as nobody was here
        self._here[handler.peer.id] = handler
        self.tally.admitted += 1

    def link_ended(self, number: int) -> None:
        """Count a client as connected no more; `remove` follows when on_close was called."""
        self._leaving[number] = self._here.pop(number)
        self._forget_stale()

    def remove(self, number: int) -> None:
        """Forget the client."""
        del self._leaving[number]

    def spawn(self, work: Coroutine[Any, Any, T], pending: Awaitable[object] | None) -> asyncio.Task[T]:
        """Run a coroutine that awaits what a hook has returned, and hold it until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        close_unawaited(task, pending)
        return task

    def check_loop(self) -> None:
        """See that this is called on the loop of the peers.

        Raises:
            RuntimeError: it is another one, or none runs in this thread.
        """
        if asyncio._get_running_loop() is not self._commons.loop:  # at each message, so by one call
            running_loop()
            raise RuntimeError(f"a peer belongs to the event loop of its hub, and this is another one: {HOW}")

    def future(self) -> "asyncio.Future[None]":
        """Return a future for who waits for something of a peer. Raises as `check_loop`."""
        self.check_loop()
        return asyncio.get_running_loop().create_future()

    def watch(self, handler: PeerHandler, due: float) -> None:
        """Call its `check_deadlines` by that time of the loop's clock, or soon after."""
        if handler.due is None or due < handler.due:
            self._put(handler, due)
            if self._timer is None or due < self._wakes_at:
                self._arm(due)

    # Time

    def _arm(self, due: float, after_grace: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = due
        self._timer = asyncio.get_running_loop().call_at(due, self._wake, after_grace)

    def _wake(self, after_grace: bool) -> None:
        now = asyncio.get_running_loop().time()
        self._timer = None
        if now - self._wakes_at > _GRACE and not after_grace:
            # Read first: where the kernel does not tell, what waits unread looks like silence.
            self._arm(now + _GRACE, after_grace=True)
            return
        try:
            for _ in range(_AT_ONCE):
                if not self._due or self._due[0][0] > now:
                    break
                due, number = heapq.heappop(self._due)
                handler = self._expected(due, number)
                if handler is not None:
                    handler.due = None
                    next_due = handler.check_deadlines(now)
                    if next_due is not None:
                        self._put(handler, next_due)
        finally:  # also where something was raised, as by a filter of the log: the others must be judged
            if self._due:
                self._arm(max(now, self._due[0][0]))

    def _put(self, handler: PeerHandler, due: float) -> None:
        handler.due = due
        heapq.heappush(self._due, (due, handler.peer.id))
        self._forget_stale()

    def _forget_stale(self) -> None:
        if len(self._due) > 2 * len(self._here) + _SPARE:
            self._due = [(due, number) for due, number in self._due if self._expected(due, number)]
            heapq.heapify(self._due)

    def _expected(self, due: float, number: int) -> PeerHandler | None:
        """Return the peer of an entry, None if the entry is stale."""
        handler = self._here.get(number)
        return handler if handler is not None and handler.due == due else None

    # Parting

    async def close(self) -> None:
        """Close every peer with 1001 and wait for their ends and hooks, `close_timeout` seconds at most."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.policy.close_timeout
        handlers = [handler for handler in self._here.values() if not handler.link.is_session]
        letting_go = loop.create_task(self.let_sessions_go())
        try:
            await close_all(handlers, 1001, [""] * len(handlers))
            for door in list(self.doors):
                door.leave()
            await all_gone(handlers, self.policy.close_timeout * _ANSWER_SHARE)
            await asyncio.wait([letting_go])
            await all_gone(list(self.doors), deadline - loop.time())
        finally:
            letting_go.cancel()
            self.abort()
        await all_gone(self._leaving.values(), deadline - loop.time())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0, deadline - loop.time()))
        for task in self._tasks:
            task.cancel()
        await asyncio.sleep(0)  # they take it in the loop's next turn

    async def let_sessions_go(self) -> None:
        """Be done with the sessions when what is being handled is recorded: else it is handled again."""
        sessions = [handler for handler in self._here.values() if handler.link.is_session]
        patience = self.policy.close_timeout * _ANSWER_SHARE
        await asyncio.gather(*(handler.settle(patience) for handler in sessions))
        for handler in sessions:
            handler.let_go()

    def abort(self) -> None:
        """Drop every peer at once."""
        for door in list(self.doors):
            door.abort()
        for handler in list(self._here.values()):
            if handler.link.is_session:
                handler.let_go()
            else:
                handler.drop("abort", "aborted")
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.clear()
