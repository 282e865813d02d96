"""`Hub`: the policy, the peers and the rooms of a back end, over whatever transports its clients come by."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Hashable
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakSet

from websocket_heartbeat.checks import check_headers
from websocket_heartbeat.config import Dialect, Headers
from websocket_heartbeat.server.admission import Request
from websocket_heartbeat.server.farewell import send_away
from websocket_heartbeat.server.gate import Gate
from websocket_heartbeat.server.handler import PeerHandler
from websocket_heartbeat.server.hooks import CloseHook, Hooks, MessageHook, OpenHook
from websocket_heartbeat.server.links.asgi import App, AsgiMiddleware, HasScope, Scope, connection_of
from websocket_heartbeat.server.origins import Origin, Origins
from websocket_heartbeat.server.peer import Peer
from websocket_heartbeat.server.policy import Policy
from websocket_heartbeat.server.rooms import Room
from websocket_heartbeat.server.roster import Commons, Roster


class Hub:
    """A back end: as a rule one for a process. Its peers come by `serve(hub=...)` and by frameworks.

    It belongs to the event loop of its peers, and is not for several threads. Hooks are as `serve` has them.

    on_message: called with (peer, message). None (default): messages wait for `Peer.recv`, as endpoints call
        it.
    on_open, on_close: called with (peer), and with (peer, code, reason).
    authenticate: called with (request) for each client that wants to come in. Returns who it is, its
        `principal`: any hashable value, such as a str, but not a bool; None, if that is not known or does not
        matter; or a Refusal. May be a coroutine function. If it raises, the client gets a 500 with no body.
    origins: the pages that may connect, as with `serve`. None (default): any, as what stands before the
        endpoints of a framework decides about that, and the Host may be that of a proxy.
    heartbeat, idle_timeout, open_timeout, close_timeout, write_limit, shown_path: as with `serve`.
    dismissal: a text message that tells clients not to come back, sent by `Peer.dismiss` before its close
        frame: not every platform of clients learns close codes. As in `connect`. None (default): none.

    Raises:
        TypeError, ValueError: an argument is wrong; the text names it.
    """

    def __init__(
        self,
        *,
        on_message: MessageHook | None = None,
        on_open: OpenHook | None = None,
        on_close: CloseHook | None = None,
        authenticate: Callable[[Request], Any] | None = None,
        origins: Collection[Origin] | None = None,
        heartbeat: str | Dialect | None = "heartbeat",
        idle_timeout: float | None = 60,
        open_timeout: float = 10,
        close_timeout: float = 5,
        write_limit: int = 4 * 2**20,
        dismissal: str | None = None,
        shown_path: Callable[[str], str] | None = None,
    ) -> None:
        self._commons = Commons(
            Policy(heartbeat, idle_timeout, open_timeout, close_timeout, write_limit, dismissal)
        )
        self._rosters: WeakSet[Roster] = WeakSet()  # of each entrance
        self._hooks = Hooks(on_message, on_open, on_close)
        self._shown_path = shown_path
        self._authenticate = authenticate
        self._origins = Origins(origins)
        self.entrance()  # checks its arguments

    def __repr__(self) -> str:
        return f"<Hub with {len(self._here)} peers>"

    def entrance(self, hooks: Hooks | None = None, origins: Origins | None = None) -> Gate:
        """Return an entrance for the clients of one transport; what it has none of is the hub's."""
        roster = Roster(self._commons)
        self._rosters.add(roster)
        return Gate(
            roster,
            self._hooks if hooks is None else hooks.or_those_of(self._hooks),
            self._origins if origins is None else origins,
            "authenticate",
            self._authenticate,
            self._shown_path,
        )

    @property
    def _here(self) -> list[PeerHandler]:
        return [handler for roster in self._rosters for handler in roster.here]

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The peers that are connected now."""
        return tuple(handler.peer for handler in self._here)

    @property
    def rooms(self) -> dict[Hashable, int]:
        """How many peers are in each room that has some, by its name."""
        return self._commons.rooms.sizes()

    @property
    def dropped(self) -> int:
        """Messages of rooms that members did not get, as they read too slowly: `Room.send(keep=...)`."""
        return self._commons.dropped

    def room(self, name: Hashable) -> Room:
        """Return the room of that name: the peers that have joined it."""
        return Room(self._commons.rooms, name)

    def user(self, principal: Hashable) -> Room:
        """Return the peers of one principal, as a room."""
        return Room(self._commons.users, principal)

    # ASGI

    def asgi(self, app: App) -> AsgiMiddleware:
        """Return the ASGI application with this hub before it: `app.add_middleware(hub.asgi)`.

        That alone makes a peer of each WebSocket that an endpoint accepts: its heartbeats are answered,
        whatever the endpoint is doing, it is pinged and dropped when it is silent, and can be sent away.
        The endpoint need not know of it: it gets its messages, without heartbeats, as before.
        """
        return AsgiMiddleware(app, self.entrance())

    @asynccontextmanager
    async def accept(
        self,
        websocket: HasScope | Scope,
        *,
        subprotocol: str | None = None,
        headers: Headers = (),
        principal: Hashable | None = None,
    ) -> AsyncIterator[Peer]:
        """Accept the WebSocket of an endpoint, unless that is done, and yield its peer.

        At the end of the block the peer is closed: with 1000, or with 1011 where it raises; returns when it
        is gone. The block is not cancelled when the peer goes: iteration ends, `recv` and `drain` raise.

        websocket: what the framework gives to the endpoint, or the scope of ASGI. subprotocol, headers: of
        the answer. principal: who this is, in place of what `authenticate` has said.

        Raises:
            RuntimeError: the middleware is missing.
            TypeError, ValueError: an argument is wrong; the text names it.
        """
        connection = connection_of(websocket)
        peer = await connection.accept(subprotocol, check_headers("headers", headers), principal)
        try:
            yield peer
        except asyncio.CancelledError:
            peer.close(1001)
            raise
        except BaseException:
            peer.close(1011)
            raise
        else:
            peer.close()
        finally:
            await peer.wait_closed()

    # Parting

    async def send_away(self, over: float, code: int = 1012, reason: str = "restarting") -> None:
        """Ask every client that is connected to go and to come back spread evenly over so many seconds.

        Each gets the close code and, after the reason, a moment of its own: `retry-after=SECONDS`. Our client
        does not return before it, and other clients may read it. Returns when all of them are gone, those
        that do not answer after `close_timeout`. New clients are let in meanwhile.

        Raises:
            ValueError: `over` is negative or not finite, the code may not be sent, or the reason is longer
                than 123 bytes of UTF-8 with its hint; then nobody was sent away.
        """
        await self._commons.rounds.done()
        await send_away(self._here, over, code, reason)

    async def close(self) -> None:
        """Close every peer with 1001 and wait until all are gone, `close_timeout` seconds at most."""
        await self._commons.rounds.done()
        await asyncio.gather(*(roster.close() for roster in self._rosters))
