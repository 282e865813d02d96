"""One attempt: the user's URL, headers and proxy become a request, a redirect or fresh token the next."""

import base64
from collections.abc import Callable
from dataclasses import replace
from inspect import isawaitable
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from websocket_heartbeat.checks import check_request_headers, check_url
from websocket_heartbeat.client.options import Options
from websocket_heartbeat.engines.base import LinkEvents, OpenRequest
from websocket_heartbeat.errors import HandshakeRejected, ProxyFailed, RedirectRefused
from websocket_heartbeat.system.callbacks import call, settle

MAX_REDIRECTS = 5

_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"ws": 80, "wss": 443}
_WS_SCHEMES = {"http": "ws", "https": "wss"}


async def open_link(options: Options, events: LinkEvents, on_request: Callable[[OpenRequest], None]) -> None:
    """Open one link, following redirects; a 401 or 403 gets one more try with a fresh URL and headers.

    on_request: called with each request that was made of the user's URL.

    Raises:
        what `Engine.open`, `prepare` and `redirected` raise.
    """
    request = await prepare(options)
    on_request(request)
    may_refresh = callable(options.url) or callable(options.additional_headers)
    redirects = 0
    while redirects <= MAX_REDIRECTS:
        try:
            return await options.engine.open(request, events)
        except HandshakeRejected as rejected:
            if rejected.status in (401, 403) and may_refresh:
                may_refresh = False
                request = await prepare(options)
                on_request(request)
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
    url = await _fresh("url", options.url, lambda value: check_url("url", value, ("ws", "wss")))
    headers = await _fresh(
        "additional_headers",
        options.additional_headers,
        lambda value: check_request_headers("additional_headers", value or ()),
    )
    url, credentials = _without_credentials(url)
    if credentials is not None and not any(name.lower() == "authorization" for name, _ in headers):
        headers = [*headers, ("Authorization", credentials)]
    return OpenRequest(
        url=url,
        max_size=options.max_size,
        headers=headers,
        subprotocols=options.subprotocols,
        ssl=options.ssl,
        proxy=_proxy(options, url),
        compression=options.compression,
    )


def is_redirect(rejected: HandshakeRejected) -> bool:
    """Tell whether the rejection names another place to go to."""
    return rejected.status in _REDIRECTS and rejected.header("Location") is not None


def redirected(options: Options, request: OpenRequest, rejected: HandshakeRejected) -> OpenRequest:
    """Return the request that the redirect asks for.

    Another origin gets none of the user's headers, which were meant for the first one.

    Raises:
        RedirectRefused: from wss to ws, or to what is no WebSocket URL.
    """
    problem = ""
    url = request.url
    try:
        target = urlsplit(urljoin(request.url, rejected.header("Location")))
        target = target._replace(scheme=_WS_SCHEMES.get(target.scheme, target.scheme), fragment="")
        url = check_url("Location", urlunsplit(target), ("ws", "wss"))
        url, _ = _without_credentials(url)
    except ValueError as error:
        # Python's own texts quote the part that they dislike, which may be a password.
        problem = str(error) if str(error).startswith("Location") else "its Location is not a URL"
    if problem:  # raised out here, it does not carry along an exception that holds the URL
        raise RedirectRefused(f"the server redirects to an unusable place: {problem}")
    if request.url.startswith("wss:") and url.startswith("ws:"):
        raise RedirectRefused("the server redirects from wss to ws, which would give up encryption")
    same_origin = _origin(url) == _origin(request.url)
    return replace(
        request, url=url, headers=request.headers if same_origin else (), proxy=_proxy(options, url)
    )


async def _fresh(name: str, provider: Any, check: Callable[[Any], Any]) -> Any:
    if not callable(provider):
        return check(provider)
    value = call(name, provider)
    if isawaitable(value):
        value = await settle(name, value)
    return call(name, check, value)


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


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]


def _proxy(options: Options, url: str) -> str | None:
    return _environment_proxy(url) if options.proxy is True else options.proxy


def _environment_proxy(url: str) -> str | None:
    """Find the proxy that HTTPS_PROXY, ALL_PROXY, NO_PROXY and the like, or the system's settings, name.

    Raises:
        ProxyFailed: what they name is no proxy.
    """
    # Brings http.client and email along, a quarter of the time that importing this package took.
    import urllib.request

    proxies = urllib.request.getproxies()
    if not proxies:  # as almost everywhere, and asking about exceptions takes as long again
        return None
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(f"{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"):
        return None
    # A plain HTTP proxy is no good for ws unless it lets us CONNECT, so the one for https is preferred.
    for scheme in ("wss", "https", "all") if parts.scheme == "wss" else ("ws", "https", "http", "all"):
        if proxies.get(scheme):
            proxy = proxies[scheme].replace("socks5h://", "socks5://", 1).replace("socks://", "socks5://", 1)
            if "://" not in proxy:  # as curl has it
                proxy = f"http://{proxy}"
            try:
                return check_url("it", proxy, ("http", "https", "socks4", "socks5"))
            except ValueError as error:
                raise ProxyFailed(f"the environment's {scheme} proxy cannot be used: {error}") from None
    return None
