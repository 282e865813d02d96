"""Which proxy the environment or the system names for a URL; NO_PROXY is read as curl reads it."""

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from websocket_heartbeat.checks import check_url
from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.errors import ProxyFailed

_ENTRY = re.compile(r"\[(?P<address>[^]]+)](?::(?P<its_port>\d+))?|(?P<name>[^:]+)(?::(?P<port>\d+))?")
"""Of NO_PROXY: anything else is an address of IPv6 without brackets, or nothing."""


def environment_proxy(request: OpenRequest) -> str | None:
    """Return the proxy that HTTPS_PROXY, ALL_PROXY and the like name for the request's URL.

    Raises:
        ProxyFailed: what they name is no proxy.
    """
    # Brings http.client and email along, a quarter of the time that importing this package took.
    import urllib.request

    proxies = urllib.request.getproxies()
    if not proxies:  # as almost everywhere, and asking about exceptions takes as long again
        return None
    host, port = request.address
    environment = urllib.request.getproxies_environment()
    if environment:
        if _is_excepted(environment.get("no", ""), host, port):
            return None
    elif urllib.request.proxy_bypass(f"{host}:{port}"):  # by the settings of the system
        return None
    return _chosen(proxies, is_secure=request.is_secure)


def _chosen(proxies: Mapping[str, str], *, is_secure: bool) -> str | None:
    # A plain HTTP proxy is no good for ws unless it lets us CONNECT, so the one for https is preferred.
    for scheme in ("wss", "https", "all") if is_secure else ("ws", "https", "http", "all"):
        if proxies.get(scheme):
            proxy = proxies[scheme].replace("socks5h://", "socks5://", 1).replace("socks://", "socks5://", 1)
            if "://" not in proxy:  # as curl has it
                proxy = f"http://{proxy}"
            try:
                return check_url("it", proxy, ("http", "https", "socks4", "socks5"))
            except ValueError as error:
                raise ProxyFailed(f"the environment's {scheme} proxy cannot be used: {error}") from None
    return None


def _is_excepted(no_proxy: str, host: str, port: int) -> bool:
    """Whether NO_PROXY lists the host: its domain, its address or network, or everything.

    Unlike curl, an entry may have a port, which must then be the one asked for.
    """
    if no_proxy.strip() == "*":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    for entry in re.split(r"[\s,]+", no_proxy.lower()):
        parts = _ENTRY.fullmatch(entry)
        name = (parts["address"] or parts["name"]) if parts is not None else entry
        wanted = (parts["its_port"] or parts["port"]) if parts is not None else None
        if wanted is not None and int(wanted) != port:
            continue
        if _is_in_network(address, name) if address is not None else _is_in_domain(host, name):
            return True
    return False


def _is_in_domain(host: str, domain: str) -> bool:
    domain = domain.strip(".")
    return domain != "" and f".{host.rstrip('.')}".endswith(f".{domain}")


def _is_in_network(address: IPv4Address | IPv6Address, network: str) -> bool:
    try:
        return address in ip_network(network, strict=False)
    except ValueError:
        return False
