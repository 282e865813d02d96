"""Which pages may connect: browsers say in the header Origin whose page has opened a WebSocket (RFC 6454).

They send the user's cookies with it, whichever page that is; only the server can refuse it: RFC 6455,
section 10.2.
"""

import re
from collections.abc import Collection

from websocket_heartbeat.checks import check_collection
from websocket_heartbeat.server.admission import Request

Origin = str | re.Pattern[str] | None
"""What `serve` takes in `origins`."""

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]*\]|[a-z0-9._-]*)(?::([0-9]+))?")
_HOST = re.compile(r"(\[[0-9a-f:.]*\]|[a-z0-9._-]+)(?::[0-9]*)?")
_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


class Origins:
    """Those that are let in."""

    def __init__(self, origins: Collection[Origin] | None) -> None:
        """origins: as `serve` takes them; None: any.

        Raises:
            TypeError, ValueError: one of them can never be that of a client.
        """
        self._any = origins is None
        values = () if origins is None else check_collection("origins", origins)
        if not values and not self._any:
            raise ValueError("origins must not be empty, which would let nobody in; None lets in any")
        self._none = None in values
        self._self = "self" in values
        self._texts: set[str] = set()
        self._patterns: list[re.Pattern[str]] = []
        for index, value in enumerate(values):
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                self._patterns.append(value)
            elif value is not None and value != "self":
                self._texts.add(_checked(f"origins[{index}]", value))

    def allow(self, request: Request) -> bool:
        """Whether the client of the request may come in."""
        if self._any:
            return True
        host = request.header("Host")
        given = [value for name, value in request.headers if name.lower() == "origin"]
        return all(self._allows(origin, host) for origin in given) if given else self._none

    def _allows(self, origin: str, host: str | None) -> bool:
        return (
            _normal(origin) in self._texts
            or (self._self and host is not None and _is_of(origin, host))
            or any(pattern.fullmatch(origin) for pattern in self._patterns)
        )


def _checked(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, a pattern of one or None, not {value!r}")
    if value != "null" and _ORIGIN.fullmatch(value.lower()) is None:
        hint = ": origins=None lets in any" if "*" in value else ""
        raise ValueError(
            f"{name} must be as browsers write an origin, such as 'https://example.com', not {value!r}{hint}"
        )
    return _normal(value)


def _normal(origin: str) -> str:
    """Return an origin as browsers write it: in lower case, without the port that its scheme implies."""
    origin = origin.lower()
    match = _ORIGIN.fullmatch(origin)
    if match is None or match[3] is None or match[3] != _PORTS.get(match[1]):
        return origin
    return f"{match[1]}://{match[2]}"


def _is_of(origin: str, host: str) -> bool:
    """Whether an origin is of the host, whatever the ports.

    Cookies know no ports either (RFC 6265, section 8.5), and proxies leave them out of the Host they pass on.
    """
    of_page = _ORIGIN.fullmatch(origin.lower())
    of_request = _HOST.fullmatch(host.lower())
    return of_page is not None and of_request is not None and of_page[2] == of_request[1]
