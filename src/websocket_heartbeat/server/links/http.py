"""Requests and answers of HTTP/1.1 (RFC 9112), as handshakes and the checks of load balancers need them."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

from websocket_heartbeat.server.admission import BODILESS, Refusal, Request

_TOKEN = re.compile(rb"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")
_REQUEST_LINE = re.compile(rb"(%b) ([!-~]+) (HTTP/1\.[01])" % _TOKEN.pattern)

_NAMES = {
    name.encode(): name
    for name in (
        "Host",
        "User-Agent",
        "Origin",
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Protocol",
    )
}
"""The names that most requests have: their peers share one copy, which saves half a KiB for each."""

_FIELDS = {
    f"{name}: {value}".encode(): (name, value)
    for name, value in (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
    )
}
"""The lines that most handshakes have: the same, with their values, which saves another third of a KiB."""


@dataclass(frozen=True, slots=True, repr=False)
class Head:
    """The first line and the header fields of a request; the fields in their order, as received."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]

    def request(self, transport: asyncio.BaseTransport) -> Request:
        """Return what is asked for, by whom is at the other end of the transport."""
        path, _, query = self.target.partition("?")
        if not path.startswith("/"):  # the absolute form: RFC 9112, section 3.2.2
            path = "/" + path.partition("://")[2].partition("/")[2]
        return Request(
            path,
            query,
            tuple(self.headers),
            remote_address=_remote_address(transport),
            certificate=transport.get_extra_info("peercert") or None,
        )


def _remote_address(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """Return the address and port of the client, None where that is unknown, as with a Unix socket."""
    name = transport.get_extra_info("peername")
    return (name[0], name[1]) if isinstance(name, tuple) and len(name) >= 2 else None


def read_request(head: bytes) -> Head | None:
    """Return the head of a request, given with the empty line at its end; None if it is malformed.

    That is also one of HTTP/1.1 without a Host, and any with two of them: section 3.2. The parser of
    websockets refuses what can be no handshake, such as the check of a load balancer by HEAD.
    """
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    request_line = _REQUEST_LINE.fullmatch(first)
    if request_line is None:
        return None
    method, target, version = (part.decode("ascii") for part in request_line.groups())
    headers: list[tuple[str, str]] = []
    for line in lines:
        field = _FIELDS.get(line) or _read_field(line)
        if field is None:
            return None
        headers.append(field)
    hosts = sum(name.lower() == "host" for name, _ in headers)
    if hosts > 1 or (hosts == 0 and version == "HTTP/1.1"):
        return None
    return Head(method, target, version, headers)


def _read_field(line: bytes) -> tuple[str, str] | None:
    name, colon, value = line.partition(b":")
    if not (colon and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
        return None
    return _NAMES.get(name) or name.decode("ascii"), value.strip(b" \t").decode("latin-1")


def asks_for_websocket(request: Request) -> bool:
    """Whether a request is meant as a handshake, right or wrong: RFC 6455, section 4.2.1."""
    upgrade = request.header("Upgrade") or ""
    return "websocket" in (token.strip().lower() for token in upgrade.split(","))


def offered(headers: Sequence[tuple[str, str]]) -> list[str]:
    """Return the subprotocols that a client offers, in its order: RFC 6455, section 4.2.1."""
    lists = [value for name, value in headers if name.lower() == "sec-websocket-protocol"]
    return [token.strip() for value in lists for token in value.split(",")]


def answer_fields(refusal: Refusal) -> tuple[str, list[tuple[str, str]]]:
    """Return the reason phrase and the header fields of the answer that refuses a request."""
    try:
        phrase = HTTPStatus(refusal.status).phrase
    except ValueError:
        phrase = "Refused"
    fields = list(refusal.headers)
    names = {name.lower() for name, _ in fields}
    # RFC 9110, sections 6.6.1, 7.8 and 8.6.
    if "date" not in names:
        fields.append(("Date", formatdate(usegmt=True)))
    if refusal.status not in BODILESS:
        fields.append(("Content-Length", str(len(refusal.body))))
    fields.append(("Connection", "close, Upgrade" if "upgrade" in names else "close"))
    return phrase, fields


def write_refusal(refusal: Refusal, *, with_body: bool) -> bytes:
    """Return the answer that refuses a request; without its body, it is the answer to HEAD."""
    phrase, fields = answer_fields(refusal)
    lines = [f"HTTP/1.1 {refusal.status} {phrase}", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("ascii") + (refusal.body if with_body else b"")
