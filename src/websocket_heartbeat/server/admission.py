"""What a client asks for when it connects, and how it is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from websocket_heartbeat.checks import check_count, check_headers
from websocket_heartbeat.config import Headers


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """The opening handshake of a client. Query and headers may carry credentials: the repr has neither."""

    path: str
    """The path, without the query."""
    query: str = ""
    """What follows the question mark, or ""."""
    headers: Sequence[tuple[str, str]] = ()
    """Pairs of name and value, as received."""
    shown_path: str | None = field(default=None, compare=False)
    """What reprs and logs show instead of the path, by the function `shown_path`; None: the path."""
    remote_address: tuple[str, int] | None = field(default=None, compare=False)
    """Address and port of the client, or of the proxy before us; None where that is unknown, as with a Unix
    socket."""
    certificate: Mapping[str, Any] | None = field(default=None, compare=False)
    """The client's, as `ssl.SSLSocket.getpeercert` returns it; None: none."""

    def __repr__(self) -> str:
        return f"Request(path={self.shown!r})"

    @property
    def shown(self) -> str:
        """The path as logs may show it."""
        return self.path if self.shown_path is None else self.shown_path

    def header(self, name: str) -> str | None:
        """Return the value of the first header called `name`, in any case, or None."""
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None


BODILESS = (204, 304)
"""Statuses of answers that have no body: RFC 9110, section 6.4.1."""

_WRITTEN_HERE = ("connection", "content-length", "transfer-encoding")


class Refusal:
    """An HTTP answer instead of a WebSocket.

    status: from 200 to 599. headers: a mapping or pairs, such as {"Retry-After": "30"}, which our client and
    others honour with a 503 or a 429. body: bytes, sent with a Content-Length. A check of a load balancer may
    be answered with Refusal(200, body=b"ok").

    Raises ValueError or TypeError for any other status, header or body.
    """

    __slots__ = ("body", "headers", "status")

    status: int
    """The HTTP status."""
    headers: list[tuple[str, str]]
    """Pairs of name and value."""
    body: bytes
    """The body, which may be empty."""

    def __init__(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        if not isinstance(body, bytes):
            raise TypeError(f"body must be bytes, not {type(body).__name__}")
        self.status = check_count("status", status, least=200, most=599)
        self.headers = check_headers("headers", headers)
        self.body = body
        for name, _ in self.headers:
            if name.lower() in _WRITTEN_HERE:
                raise ValueError(f"headers[{name!r}] is written by the server: leave it out")
        if body and status in BODILESS:
            raise ValueError(f"an answer of status {status} has no body")

    def __repr__(self) -> str:
        return f"Refusal({self.status})"
