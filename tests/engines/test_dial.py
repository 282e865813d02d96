"""How a socket is dialled: a name is looked up by the loop's resolver, an address is not."""

import asyncio
import socket
import sys
from typing import Any

import pytest

from websocket_heartbeat.engines.base import OpenRequest
from websocket_heartbeat.engines.dial import dial
from websocket_heartbeat.errors import ProxyNotSupported


def dialled(
    host: str, family: socket.AddressFamily, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, list[str]]:
    """Dial a listener on this machine by `host`; return its address, and the names looked up."""

    async def main() -> tuple[Any, list[str]]:
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo
        names: list[str] = []

        async def getaddrinfo(name: str, port: int, **options: Any) -> Any:
            names.append(name)
            return await real("127.0.0.1", port, **options)

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        with socket.create_server(("", 0), family=family) as listener:
            url = f"ws://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"
            transport = await dial(asyncio.Protocol(), OpenRequest(url, max_size=1))
            peer = transport.get_extra_info("peername")[0]
            transport.abort()
            await asyncio.sleep(0)
        return peer, names

    return asyncio.run(main())


def test_an_address_does_not_wait_for_the_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dialled("127.0.0.1", socket.AF_INET, monkeypatch) == ("127.0.0.1", [])


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_of_ipv6_does_not_either(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dialled("::1", socket.AF_INET6, monkeypatch) == ("::1", [])


def test_a_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dialled("service.invalid", socket.AF_INET, monkeypatch) == ("127.0.0.1", ["service.invalid"])


def test_a_socks_proxy_without_its_package_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    request = OpenRequest("ws://127.0.0.1:1/", max_size=1, proxy="socks5://127.0.0.1:1")
    with pytest.raises(ProxyNotSupported, match=r"socks5 .* pip install 'websocket-heartbeat\[socks\]'"):
        asyncio.run(dial(asyncio.Protocol(), request))
