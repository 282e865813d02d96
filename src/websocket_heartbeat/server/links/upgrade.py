"""What a request that asks for a WebSocket comes to: RFC 6455, section 4.2, by the protocol of websockets."""

from collections.abc import Sequence
from dataclasses import dataclass

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidHeader, InvalidUpgrade
from websockets.extensions import Extension
from websockets.http11 import Request as HTTPRequest
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from websocket_heartbeat.controls import SUBPROTOCOL
from websocket_heartbeat.engines.sansio import SERVER_DEFLATE, SILENT
from websocket_heartbeat.server.admission import Refusal
from websocket_heartbeat.server.links.http import Head, offered
from websocket_heartbeat.server.links.terms import Terms


@dataclass(frozen=True, slots=True, repr=False)
class Upgrade:
    """A handshake that is right.

    answer: the 101 as it goes out. subprotocol, extensions: those agreed on. protocol: the application's
    subprotocol, where the one agreed on is that of sessions.
    """

    answer: bytes
    subprotocol: str | None
    extensions: Sequence[Extension]
    protocol: str | None = None


def upgrade(head: Head, terms: Terms, *, has_sessions: bool) -> Upgrade | Refusal:
    """Return how a request becomes a WebSocket, or how it is refused as it is no handshake.

    has_sessions: whether the subprotocol of sessions is agreed on where it is offered.
    """
    ours = [SUBPROTOCOL, *terms.subprotocols] if has_sessions else terms.subprotocols
    protocol = ServerProtocol(
        extensions=SERVER_DEFLATE if terms.compression else None,
        subprotocols=[Subprotocol(name) for name in ours] or None,
        select_subprotocol=_first_of_ours,
        max_size=terms.max_size,
        logger=SILENT,
    )
    response = protocol.accept(HTTPRequest(head.target, Headers(_simplified(head.headers))))
    if head.method != "GET" or head.version != "HTTP/1.1" or response.status_code != 101:
        return _no_handshake(head, protocol.handshake_exc)
    own = None
    if protocol.subprotocol == SUBPROTOCOL:
        theirs = offered(head.headers)
        own = next((name for name in terms.subprotocols if name in theirs), None)
    return Upgrade(response.serialize(), protocol.subprotocol, protocol.extensions, own)


def _simplified(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the fields with nothing but the wanted token in each list that must include it: section 4.2.1.

    The protocol takes some of these lists only.
    """
    for name, wanted in (("connection", "upgrade"), ("upgrade", "websocket")):
        lists = [value for field, value in headers if field.lower() == name]
        if wanted in {token.strip().lower() for value in lists for token in value.split(",")}:
            headers = [field for field in headers if field[0].lower() != name]
            headers.append((name, wanted))
    return headers


def _no_handshake(head: Head, problem: Exception | None) -> Refusal:
    """Return the answer to a request that is no handshake, or one of a version that we do not speak."""
    versions = {value for name, value in head.headers if name.lower() == "sec-websocket-version"}
    # Of another version, the other fields may be what they want.
    if (
        isinstance(problem, InvalidHandshake)
        and not isinstance(problem, InvalidUpgrade)
        and versions - {"13"}
    ):
        return Refusal(426, {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})  # section 4.4
    said = f"no WebSocket handshake: {_what_is_wrong(head, problem)}\n"
    return Refusal(400, {"Upgrade": "websocket", "Content-Type": "text/plain"}, said.encode("ascii"))


def _what_is_wrong(head: Head, problem: Exception | None) -> str:
    """Return it for who set up the proxy that spoilt the request; none of the client's words are in it."""
    if head.version != "HTTP/1.1":
        return "the request came as HTTP/1.0, it needs HTTP/1.1; a proxy in between must be told so"
    if head.method != "GET":
        return "the method is not GET"
    if isinstance(problem, InvalidUpgrade):
        return f"no valid {problem.name} header; a proxy in between must pass on Upgrade and Connection"
    if isinstance(problem, InvalidHeader):
        return f"no valid {problem.name} header"
    return "the header is malformed"


def _first_of_ours(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return next((name for name in protocol.available_subprotocols or () if name in offered), None)
