"""NO_PROXY excepts hosts from the proxy of the environment, read as curl reads it."""

import pytest
from tests.client.conftest import World
from tests.watch import Run

from websocket_heartbeat import connect

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_excepted"),
    [
        # Domains, and all below them, with a leading dot or without.
        ("example.com", "wss://example.com/", True),
        ("example.com", "wss://www.example.com/", True),
        ("example.com", "wss://a.b.example.com/", True),
        ("example.com", "wss://nonexample.com/", False),
        ("example.com", "wss://example.com.evil.example/", False),
        ("example.com", "wss://com/", False),
        ("www.example.com", "wss://example.com/", False),
        (".example.com", "wss://example.com/", True),
        (".example.com", "wss://www.example.com/", True),
        (".example.com", "wss://nonexample.com/", False),
        ("example.com.", "wss://example.com/", True),
        ("example.com", "wss://example.com./", True),
        ("com", "wss://example.com/", True),
        ("localhost", "ws://localhost:8080/", True),
        # Whatever the case.
        ("EXAMPLE.com", "wss://example.COM/", True),
        # No patterns but the one for everything.
        ("*", "wss://example.com/", True),
        (" * ", "wss://[::1]/", True),
        ("*.example.com", "wss://www.example.com/", False),
        ("exam*", "wss://example.com/", False),
        # Lists, by commas and spaces.
        ("a.example,example.com", "wss://example.com/", True),
        ("a.example , example.com", "wss://example.com/", True),
        ("a.example example.com", "wss://example.com/", True),
        (",,a.example,,example.com,,", "wss://example.com/", True),
        ("a.example,b.example", "wss://example.com/", False),
        ("", "wss://example.com/", False),
        (",", "wss://example.com/", False),
        (".", "wss://example.com/", False),
        # Ports, where an entry has one.
        ("example.com:443", "wss://example.com/", True),
        ("example.com:443", "wss://www.example.com/", True),
        ("example.com:443", "wss://example.com:8443/", False),
        ("example.com:80", "ws://example.com/", True),
        ("example.com:8443", "wss://example.com:8443/", True),
        ("example.com:port", "wss://example.com/", False),
        ("example.com", "wss://example.com:8443/", True),
        # Addresses, and networks of them; names are not looked up for this.
        ("192.0.2.1", "wss://192.0.2.1/", True),
        ("192.0.2.1", "wss://192.0.2.10/", False),
        ("2.1", "wss://192.0.2.1/", False),
        (".2.1", "wss://192.0.2.1/", False),
        ("192.0.2.1:444", "wss://192.0.2.1/", False),
        ("192.0.2.1:444", "wss://192.0.2.1:444/", True),
        ("192.0.2.0/24", "wss://192.0.2.77/", True),
        ("192.0.2.9/24", "wss://192.0.2.77/", True),
        ("192.0.2.0/24", "wss://192.0.3.77/", False),
        ("192.0.2.0/25", "wss://192.0.2.128/", False),
        ("10.0.0.0/8,172.16.0.0/12", "wss://172.31.255.255/", True),
        ("10.0.0.0/8", "wss://ten.example.com/", False),
        ("192.0.2.0/33", "wss://192.0.2.1/", False),
        ("192.0.2.0/x", "wss://192.0.2.1/", False),
        ("0.0.0.0/0", "wss://192.0.2.1/", True),
        # IPv6, with brackets or without.
        ("::1", "ws://[::1]/", True),
        ("[::1]", "ws://[::1]/", True),
        ("[::1]:81", "ws://[::1]:81/", True),
        ("[::1]:81", "ws://[::1]/", False),
        ("0:0:0:0:0:0:0:1", "ws://[::1]/", True),
        ("2001:DB8::/32", "ws://[2001:db8:1::7]/", True),
        ("[2001:db8::/32]", "ws://[2001:db8:1::7]/", True),
        ("2001:db8::/32", "ws://[2001:db9::7]/", False),
        ("::1", "ws://127.0.0.1/", False),
        ("127.0.0.0/8", "ws://[::1]/", False),
    ],
)
@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_hosts_are_excepted(
    variable: str,
    no_proxy: str,
    url: str,
    is_excepted: bool,
    world: World,
    play: Run,
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("all_proxy", PROXY)
    environment.setenv(variable, no_proxy)

    async def main() -> None:
        async with connect(url, engine=world.engine) as connection:
            await connection.wait_open()
        assert world.engine.requests[0].proxy == (None if is_excepted else PROXY)

    play(main())


def test_the_variable_in_lower_case_counts(world: World, play: Run, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("all_proxy", PROXY)
    environment.setenv("NO_PROXY", "example.com")
    environment.setenv("no_proxy", "other.example")

    async def main() -> None:
        async with connect("wss://example.com/", engine=world.engine) as connection:
            await connection.wait_open()
        assert world.engine.requests[0].proxy == PROXY

    play(main())
