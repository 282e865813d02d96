"""Our own listener: accepts connections, and hands over each client whose handshake is complete.

It accepts by itself: the servers of asyncio and uvloop show nobody a connection before its TLS is done, nor
one that was accepted in this very turn of the loop, so either could outlive the server.
"""

import asyncio
import errno
import socket

from websocket_heartbeat.server.gate import Gate
from websocket_heartbeat.server.links.endpoint import Endpoint
from websocket_heartbeat.server.links.handshake import Handshake
from websocket_heartbeat.server.links.terms import Terms
from websocket_heartbeat.server.throttle import Throttle

_AT_ONCE = 100
"""Connections that are accepted before the loop has a turn for others."""

_PAUSE = 1.0
"""Seconds until we try again to accept, where this machine has run out of means for another connection."""

_OUT_OF_MEANS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener:
    """Listens, and hands over each client whose handshake is complete.

    gate: decides about each well-formed HTTP request. terms: what holds for every handshake.
    """

    def __init__(self, gate: Gate, endpoint: Endpoint, terms: Terms, log: Throttle) -> None:
        self.gate = gate
        self.terms = terms
        self._endpoint = endpoint
        self._log = log
        self._handshakes: set[Handshake] = set()  # what was accepted and has become no link yet
        self._sockets: list[socket.socket] = []
        self._full: list[socket.socket] = []  # those that wait until fewer handshakes are unfinished
        self._acceptors: set[asyncio.Task[None]] = set()  # where the loop cannot watch a socket

    async def listen(self) -> None:
        """Listen at the endpoint.

        Raises:
            OSError: it is taken, or cannot be here.
        """
        self._sockets = await self._endpoint.bind()
        for listening in self._sockets:
            self._watch(listening)

    def stop(self) -> None:
        """Accept nobody any more, and let nobody in: whose handshake is under way is refused with 503."""
        for acceptor in self._acceptors:
            acceptor.cancel()
        self._endpoint.release()
        for listening in self._sockets:
            _unwatch(listening)
            listening.close()
        self._sockets.clear()
        self._full.clear()
        for handshake in list(self._handshakes):
            handshake.listener_stopped()

    def abort(self) -> None:
        """Stop, and reset every connection that has become no link yet."""
        self.stop()
        for handshake in list(self._handshakes):
            handshake.abort()

    # Calls from a handshake: Keeper of handshake.py

    def begun(self, handshake: Handshake) -> None:
        """Keep a handshake."""
        self._handshakes.add(handshake)

    def ended(self, handshake: Handshake) -> None:
        """Forget it, if that has not been done."""
        self._handshakes.discard(handshake)
        full, self._full = self._full, []
        for listening in full:
            self._watch(listening)

    @property
    def is_listening(self) -> bool:
        """Whether clients are let in."""
        return bool(self._sockets)

    # Accepting

    def _watch(self, listening: socket.socket) -> None:
        if listening not in self._sockets:  # closed since
            return
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(listening, self._accept_all, listening)
        except NotImplementedError:  # Windows' loop
            acceptor = loop.create_task(self._accept_each(listening))
            self._acceptors.add(acceptor)
            acceptor.add_done_callback(self._acceptors.discard)

    def _accept_all(self, listening: socket.socket) -> None:
        """Accept the connections that wait."""
        if self._is_full(listening):
            _unwatch(listening)
            return
        try:
            for _ in range(min(self._room, _AT_ONCE)):
                Handshake(self, listening.accept()[0])
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            pass
        except OSError as error:
            # It would stay readable, and call us again and again.
            _unwatch(listening)
            asyncio.get_running_loop().call_later(self._pause_after(error), self._watch, listening)

    async def _accept_each(self, listening: socket.socket) -> None:
        """Accept one after the other."""
        loop = asyncio.get_running_loop()
        while not self._is_full(listening):
            try:
                sock, _ = await loop.sock_accept(listening)
            except OSError as error:
                await asyncio.sleep(self._pause_after(error))
            else:
                Handshake(self, sock)

    @property
    def _room(self) -> int:
        return self.terms.max_handshakes - len(self._handshakes)

    def _is_full(self, listening: socket.socket) -> bool:
        """Whether nobody more may be accepted; then we watch the socket again when one is done."""
        if self._room > 0:
            return False
        self._full.append(listening)
        self._log.warning(
            "max_handshakes=%d clients are in the middle of their handshake: others wait until one is done",
            self.terms.max_handshakes,
            extra={"max_handshakes": self.terms.max_handshakes},
        )
        return True

    def _pause_after(self, error: OSError) -> float:
        """Return after how many seconds to go on accepting."""
        if error.errno in _OUT_OF_MEANS:
            words = "no connection can be accepted for %g s: %s"
            self._log.error(words, _PAUSE, error.strerror, extra={"reason": error.strerror})
            return _PAUSE
        return 0


def _unwatch(listening: socket.socket) -> None:
    try:
        asyncio.get_running_loop().remove_reader(listening)
    except NotImplementedError:  # Windows' loop
        pass
