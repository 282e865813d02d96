"""Reads the head of an HTTP message; an answer whatever its status, which the libraries refuse or hide."""

import asyncio
from abc import abstractmethod
from typing import Any

from websocket_heartbeat.engines.transport import SCRATCH

MAX_HEAD = 16 * 1024
"""Bytes of the first line and headers that are read before a message counts as endless."""

BODY_EXCERPT = 1024
"""Bytes of the body of a rejection that are kept."""


def read_head(head: bytes) -> tuple[int, list[tuple[str, str]]] | None:
    """Return status and headers of an answer without its body; None if it is not HTTP/1."""
    lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    status = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (status.isascii() and status.isdecimal()):
        return None
    if len(status) < 3 or rest[3:4] not in ("", " "):
        return None
    pairs = (line.partition(":") for line in lines[1:])
    return int(status), [(name, value.strip()) for name, colon, value in pairs if colon]


def may_be_answer(come: bytes) -> bool:
    """Whether what has come can be the beginning of an answer by HTTP."""
    return come.startswith(b"HTTP/"[: len(come)])


class HeadReader(asyncio.BufferedProtocol):
    """The protocol of a transport until the head of the peer's first HTTP message has come.

    It reads as little at a time as a link does, which has to take apart what comes behind the head.
    transport: None before `connection_made`. link: what has taken over the transport, if anything has; what
    comes here yet is for it. Windows' transports divide a read among several buffers, and all of them go to
    the protocol that the first went to.
    """

    def __init__(self) -> None:
        self.transport: Any = None
        self.link: Any = None  # a BufferedProtocol
        self._scratch = SCRATCH.view
        self._come = b""
        self._is_read = False

    @abstractmethod
    def head_read(self, head: bytes, rest: bytes) -> None:
        """Take the whole head, and what came behind it. Called once, unless one of the next two was."""

    def read_behind(self, data: bytes) -> None:
        """Take what comes after `head_read` while nothing has taken over the transport."""

    @abstractmethod
    def may_be_head(self, come: bytes) -> bool:
        """Whether what has come can be the beginning of a head: what speaks no HTTP may never end one."""

    @abstractmethod
    def not_http(self) -> None:
        """Called when `may_be_head` has said no."""

    @abstractmethod
    def head_too_long(self) -> None:
        """Called when MAX_HEAD bytes were not the whole head."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._scratch if self.link is None else self.link.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_read:
            if self.link is not None:
                self.link.buffer_updated(nbytes)
            else:
                self.read_behind(self._scratch[:nbytes].tobytes())
            return
        self._come += self._scratch[:nbytes]
        end = self._come.find(b"\r\n\r\n") + 4
        if 4 <= end <= MAX_HEAD:
            self._is_read = True
            self.head_read(self._come[:end], self._come[end:])
        elif end >= 4 or len(self._come) > MAX_HEAD:
            self._is_read = True
            self.head_too_long()
        elif not self.may_be_head(self._come):
            self._is_read = True
            self.not_http()
