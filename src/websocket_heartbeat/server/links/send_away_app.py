"""An ASGI application of one page, by which the hook of a deployment sends the clients of a hub away.

A caller can disturb every client, so it answers only to one that has its token, or, if it has none, to
programs on this machine: not to a proxy on it, and not to a page in a browser on it. A proxy that tells of
neither itself nor the host that was asked for looks like such a program: behind one, the token is needed.
"""

import hmac
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_address
from typing import Any

_SAYS_WHOM_IT_IS_FOR = frozenset((b"forwarded", b"x-real-ip", b"x-request-id", b"via", b"origin"))
_BEGINS_SO = (b"x-forwarded-", b"x-envoy-", b"cf-", b"sec-fetch-")
"""Headers of proxies and browsers: that such a request comes from this machine says nothing."""


class SendAwayApp:
    """Answers 200 once all clients have gone; `Hub.send_away_app` makes it.

    send_away: sends them away and returns how many they were.
    """

    def __init__(self, send_away: Callable[[], Awaitable[int]], token: str | None) -> None:
        if token is not None:
            if not isinstance(token, str):
                raise TypeError(f"token must be a str or None, not {type(token).__name__}")
            if not (token and token.isascii() and token.isprintable() and " " not in token):
                raise ValueError("token must be one or more printable ASCII characters without spaces")
        self._send_away = send_away
        self._credentials = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            status, headers, text = await self._answer(scope)
            body = text.encode()
            headers += [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Any) -> tuple[int, list[tuple[bytes, bytes]], str]:
        if not self._is_allowed(scope):
            return 403, [], "only for programs on this machine, by its address 127.0.0.1, or with the token\n"
        # Hooks that cannot POST, as those of Kubernetes, have to have the token.
        methods = ["POST"] if self._credentials is None else ["POST", "GET"]
        if scope["method"] not in methods:
            return 405, [(b"allow", ", ".join(methods).encode())], ""
        count = await self._send_away()
        return 200, [], f"{count} {'client was' if count == 1 else 'clients were'} sent away\n"

    def _is_allowed(self, scope: Any) -> bool:
        headers = {name.lower(): value for name, value in scope["headers"]}
        if self._credentials is not None:
            return hmac.compare_digest(headers.get(b"authorization", b""), self._credentials)
        client = scope.get("client")
        return (
            client is not None
            and _is_loopback(client[0])
            and scope.get("http_version", "1.1") != "1.0"  # which nginx spoke to applications for long
            and _is_of_this_machine(headers.get(b"host", b"").decode("latin-1"))
            and not any(name in _SAYS_WHOM_IT_IS_FOR or name.startswith(_BEGINS_SO) for name in headers)
        )


def _is_of_this_machine(host: str) -> bool:
    """Whether the header Host names this machine as no stranger does; most proxies pass it on."""
    name = host.rpartition("]")[0].removeprefix("[") or host.partition(":")[0]
    return name == "localhost" or _is_loopback(name)


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
