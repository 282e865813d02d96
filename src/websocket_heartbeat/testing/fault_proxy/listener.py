"""The socket on which a proxy listens for clients."""

import asyncio
import socket
from collections.abc import Callable


class Listener:
    """Accepts connections or refuses them, on a port that stays reserved."""

    def __init__(self, host: str, take: Callable[[socket.socket], None]) -> None:
        self._host = host
        self._take = take
        self._socket: socket.socket | None = self._bind(0)
        self._is_listening = False

    @property
    def port(self) -> int:
        """The port, of which the system has chosen one that was free."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    def accept(self) -> None:
        """Accept connections from now on; nothing changes if it does."""
        if not self._is_listening:
            assert self._socket is not None
            self._socket.listen(socket.SOMAXCONN)
            asyncio.get_running_loop().add_reader(self._socket, self.take_all)
            self._is_listening = True

    def refuse(self) -> None:
        """Refuse connections from now on."""
        port = self.port
        self.close()
        # Bound but not listening: connections are refused, and no other program can take the port.
        self._socket = self._bind(port)

    def take_all(self) -> None:
        """Take the connections that the kernel has accepted: for their clients they exist."""
        while self._is_listening:
            assert self._socket is not None
            try:
                accepted, _ = self._socket.accept()
            except BlockingIOError:
                return
            self._take(accepted)

    def close(self) -> None:
        """Give up the port. Harmless if repeated."""
        if self._socket is None:
            return
        if self._is_listening:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._is_listening = False
        self._socket.close()
        self._socket = None

    def _bind(self, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((self._host, port))
        return bound
