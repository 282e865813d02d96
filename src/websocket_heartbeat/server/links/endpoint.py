"""Where a server listens: at a host and a port, or on a Unix socket, whose file comes and goes with it."""

import asyncio
import errno
import os
import socket
import stat
from contextlib import suppress

from websocket_heartbeat.checks import check_count

HOST = "127.0.0.1"
PORT = 0
"""The defaults of `serve`."""

BACKLOG = 1024
"""Connections that the kernel keeps waiting until they are accepted, if it is not told to keep fewer."""

_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Endpoint:
    """The address of a server; `serve` documents its arguments.

    host, port: "localhost" and 0 where it is a Unix socket. The port is known for sure from `bind` on.
    """

    def __init__(self, host: str, port: int, unix_path: str | os.PathLike[str] | None) -> None:
        if not isinstance(host, str):
            raise TypeError(f"host must be a str, not {host!r}")
        self.host: str = host
        self.port: int = check_count("port", port, most=65535)
        self.unix_path: str | None = None if unix_path is None else _checked(unix_path)
        self._file: tuple[int, int] | None = None  # by which the file that we have made is known again
        if unix_path is not None:
            for name, is_given in (("host", host != HOST), ("port", port != PORT)):
                if is_given:
                    raise ValueError(f"unix_path and {name} exclude each other")
            self.host = "localhost"

    def url(self, path: str, *, secure: bool) -> str:
        """Return the URL by which a client on this machine reaches the path."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        if ":" in host:
            host = f"[{host}]"
        authority = host if self.unix_path is not None else f"{host}:{self.port}"
        return f"{'wss' if secure else 'ws'}://{authority}{path}"

    async def bind(self) -> list[socket.socket]:
        """Return listening sockets: one on each address of the host, or the Unix socket.

        Raises:
            OSError: one of them is taken, or cannot be here.
        """
        if self.unix_path is None:
            sockets = await _bind(self.host, self.port)
            self.port = sockets[0].getsockname()[1]
        else:
            sockets = [_bind_unix(self.unix_path)]
            self._file = _identity(self.unix_path)
        for sock in sockets:
            sock.setblocking(False)
        return sockets

    def release(self) -> None:
        """Remove the file of a Unix socket, before that is closed, unless it is another's by now."""
        if self.unix_path is not None and self._file is not None:
            with suppress(OSError):  # as where the folder has become another's
                if _identity(self.unix_path) == self._file:
                    os.unlink(self.unix_path)
            self._file = None


async def _bind(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets on all addresses of the host that this machine has; all share one port."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            port = port or (sockets[0].getsockname()[1] if sockets else 0)
            try:
                sock = socket.create_server((address[0], port, *address[2:]), family=family, backlog=BACKLOG)
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise
                missing = error
            else:
                sockets.append(sock)
        if missing is not None and not sockets:
            raise missing
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


# Unix sockets


def _checked(path: object) -> str:
    if not isinstance(path, str | os.PathLike) or not isinstance(text := os.fspath(path), str):
        raise TypeError(f"unix_path must be a str or a path, not {path!r}")
    if not text or "\0" in text:
        raise ValueError(f"unix_path must be the path of a file, not {text!r}")
    if not hasattr(socket, "AF_UNIX"):
        raise ValueError("unix_path: this system has no Unix sockets")
    return text


def _bind_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_left_behind(path):
                raise
            os.unlink(path)
            sock.bind(path)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        number = error.errno or errno.ENAMETOOLONG  # for which Python has a text alone
        raise OSError(number, f"cannot listen on {path!r}: {error.strerror or error}") from error
    return sock


def _is_left_behind(path: str) -> bool:
    """Whether a path is that of a socket on which nobody listens any more."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # where the other process is too busy to accept
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            pass
    return False


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
