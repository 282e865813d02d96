"""One attempt: the user's URL, headers and proxy become a request, a redirect or fresh token the next."""

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from inspect import isawaitable
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from websocket_heartbeat.checks import check_request_headers, check_url
from websocket_heartbeat.client.options import Options
from websocket_heartbeat.client.proxies import environment_proxy
from websocket_heartbeat.engines.base import Engine, LinkEvents, OpenRequest
from websocket_heartbeat.errors import HandshakeRejected, RedirectRefused
from websocket_heartbeat.redaction import HIDDEN, shown_url
from websocket_heartbeat.system.callbacks import call, check_returned, settle

MAX_REDIRECTS = 5

_REDIRECTS = (301, 302, 303, 307, 308)
_WS_SCHEMES = {"http": "ws", "https": "wss"}


async def open_link(
    options: Options, engine: Engine, events: LinkEvents, on_request: Callable[[OpenRequest], OpenRequest]
) -> None:
    """Open one link, following redirects; a 401 or 403 gets one more try with a fresh URL and headers.

    on_request: called with each request that was made of the user's URL; returns the one to send.

    Raises:
        what `Engine.open`, `prepare` and `redirected` raise.
    """
    request = on_request(await prepare(options))
    may_refresh = callable(options.url) or callable(options.additional_headers)
    redirects = 0
    while redirects <= MAX_REDIRECTS:
        try:
            return await engine.open(request, events)
        except HandshakeRejected as rejected:
            if rejected.status in (401, 403) and may_refresh:
                may_refresh = False
                request = on_request(await prepare(options))
            elif is_redirect(rejected):
                request = redirected(options, request, rejected)
                redirects += 1
            else:
                raise
    raise RedirectRefused(f"more than {MAX_REDIRECTS} redirects")


async def prepare(options: Options) -> OpenRequest:
    """Build the request for one attempt; callables are asked for fresh values.

    Raises:
        HookFailed: a callable raised, or returned what cannot be used.
    """
    url = await _fresh(
        "url", options.url, lambda value: check_url("url", value, ("ws", "wss"), options.shown)
    )
    headers = await _fresh("additional_headers", options.additional_headers, _checked_headers)
    url, credentials = _without_credentials(url)
    if credentials is not None and not any(name.lower() == "authorization" for name, _ in headers):
        headers = [*headers, ("Authorization", credentials)]
    request = OpenRequest(
        url=url,
        max_size=options.max_size,
        headers=headers,
        user_agent=options.user_agent_header,
        subprotocols=options.subprotocols,
        ssl=options.ssl,
        proxy=None if options.proxy is True else options.proxy,
        compression=options.compression,
        unix_path=None if options.unix_path is None else os.fspath(options.unix_path),
        local_addr=options.local_addr,
        server_hostname=options.server_hostname,
    )
    return _with_proxy(options, request)


def is_redirect(rejected: HandshakeRejected) -> bool:
    """Tell whether the rejection names another place to go to."""
    return rejected.status in _REDIRECTS and rejected.header("Location") is not None


def redirected(options: Options, request: OpenRequest, rejected: HandshakeRejected) -> OpenRequest:
    """Return the request that the redirect asks for.

    Another origin gets nothing of the user's that may be secret, as that was meant for the first one: no
    headers, and no subprotocols, which carry tokens where headers cannot be set. A redirect back changes
    nothing: the other origin chose it.

    Raises:
        RedirectRefused: from wss to ws, to what is no WebSocket URL, or to where `unix_path` does not lead.
    """
    location = rejected.header("Location") or ""
    url = ""
    try:
        target = urlsplit(urljoin(request.url, location))
        target = target._replace(scheme=_WS_SCHEMES.get(target.scheme, target.scheme), fragment="")
        url, _ = _without_credentials(check_url("Location", urlunsplit(target), ("ws", "wss")))
    except ValueError:
        pass
    if not url:  # raised out here, it does not carry along an exception that holds the URL
        raise RedirectRefused(f"the server redirects to no WebSocket URL: {shown_url(location, HIDDEN)}")
    if request.url.startswith("wss:") and url.startswith("ws:"):
        raise RedirectRefused("the server redirects from wss to ws, which would give up encryption")
    next_request = _with_proxy(options, replace(request, url=url))
    if (next_request.is_secure, next_request.address) == (request.is_secure, request.address):
        return next_request
    if request.unix_path is not None:
        raise RedirectRefused("the server redirects to another origin, where unix_path does not lead")
    is_same_host = next_request.address[0] == request.address[0]
    return replace(
        next_request,
        headers=(),
        subprotocols=(),
        is_foreign=True,
        server_hostname=request.server_hostname if is_same_host else None,
    )


def _with_proxy(options: Options, request: OpenRequest) -> OpenRequest:
    """Return the request with the proxy of the environment, where that is to be asked."""
    if options.proxy is not True or options.unix_path is not None:
        return request
    return replace(request, proxy=environment_proxy(request))


async def _fresh(name: str, provider: Any, check: Callable[[Any], Any]) -> Any:
    if not callable(provider):
        return check(provider)
    value = call(name, provider)
    if isawaitable(value):
        value = await settle(name, value)
    return check_returned(name, check, value)


def _checked_headers(value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Iterator):  # the code of a generator function runs only now, and may raise anything
        value = call("additional_headers", list, value)
    return check_request_headers("additional_headers", value or ())


def _without_credentials(url: str) -> tuple[str, str | None]:
    """Split user and password from a URL, and make the rest ASCII (RFC 3987)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host if host.isascii() else host.encode("idna").decode()
    netloc = host if parts.port is None else f"{host}:{parts.port}"
    safe = "%/:?#[]@!$&'()*+,;=~"
    bare = urlunsplit((parts.scheme, netloc, quote(parts.path, safe), quote(parts.query, safe), ""))
    if parts.username is None:
        return bare, None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return bare, "Basic " + base64.b64encode(pair.encode()).decode()
