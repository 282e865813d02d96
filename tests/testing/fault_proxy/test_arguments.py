"""A proxy says where it listens, and names what it was wrongly given."""

import asyncio
from typing import Any

import pytest
from tests.testing.fault_proxy.stage import stage

from websocket_heartbeat.testing import FaultProxy


def test_the_url_leads_to_the_proxy() -> None:
    async def main() -> None:
        async with FaultProxy("localhost", 80) as proxy:
            assert proxy.url() == f"ws://127.0.0.1:{proxy.port}/"
            assert proxy.url("/feed?a=b", scheme="wss") == f"wss://127.0.0.1:{proxy.port}/feed?a=b"
            with pytest.raises(ValueError, match="path must begin with '/', not 'feed'"):
                proxy.url("feed")
            with pytest.raises(ValueError, match="scheme must be ws, wss, http or https, not 'ftp'"):
                proxy.url(scheme="ftp")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "port", "error", "message"),
    [
        (b"localhost", 80, TypeError, "target_host must be a str, not b'localhost'"),
        ("", 80, ValueError, "target_host must not be empty"),
        ("localhost", "80", TypeError, "target_port must be a whole number, not '80'"),
        ("localhost", True, TypeError, "target_port must be a whole number, not True"),
        ("localhost", 0, ValueError, "target_port must be from 1 to 65535, not 0"),
        ("localhost", 65536, ValueError, "target_port must be from 1 to 65535, not 65536"),
    ],
)
def test_a_bad_target_is_refused_by_name(host: Any, port: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FaultProxy(host, port)


@pytest.mark.parametrize(
    ("fault", "arguments", "error", "message"),
    [
        ("freeze", ("up",), ValueError, "direction must be both, to_client or to_server, not 'up'"),
        ("thaw", (None,), ValueError, "direction must be both, to_client or to_server, not None"),
        ("delay", (-1,), ValueError, "seconds must be from 0 to .*, not -1"),
        (
            "delay",
            (float("nan"),),
            ValueError,
            "seconds must be from 0 to .*, not nan",
        ),
        ("delay", ("1",), TypeError, "seconds must be a number of seconds, not '1'"),
        ("delay", (1, "up"), ValueError, "direction must be"),
        ("throttle", (0,), ValueError, "bytes_per_second must be at least 1, not 0"),
        ("throttle", (0.5,), TypeError, "bytes_per_second must be a whole number, not 0.5"),
        ("throttle", (1, "up"), ValueError, "direction must be"),
        ("cut_after", (0,), ValueError, "n_bytes must be at least 1, not 0"),
        ("cut_after", (1.5,), TypeError, "n_bytes must be a whole number, not 1.5"),
        ("cut_after", (1, "both"), ValueError, "direction must be to_client or to_server, not 'both'"),
        ("retarget", ("", 80), ValueError, "host must not be empty"),
        ("retarget", ("localhost", -1), ValueError, "port must be from 1 to 65535, not -1"),
    ],
)
def test_a_bad_argument_is_refused_by_name_and_changes_nothing(
    fault: str, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    async def main() -> None:
        async with stage() as on:
            with pytest.raises(error, match=message):
                getattr(on.proxy, fault)(*arguments)
            assert on.proxy.log == []
            await on.pair()

    asyncio.run(main())


def test_a_proxy_that_is_not_running_says_so() -> None:
    async def main() -> None:
        proxy = FaultProxy("127.0.0.1", 80)
        with pytest.raises(RuntimeError, match="the proxy has no port: it is not running"):
            proxy.url()
        with pytest.raises(RuntimeError, match="freeze: the proxy is not running"):
            proxy.freeze()
        async with proxy:
            proxy.freeze()
            with pytest.raises(RuntimeError, match="a FaultProxy can be entered once only"):
                await proxy.__aenter__()
        with pytest.raises(RuntimeError, match="accept: the proxy is not running"):
            proxy.accept()

    asyncio.run(main())
