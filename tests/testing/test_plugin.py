"""The fixtures work in a user's test suite, sync and async, and cost those who do not use them nothing."""

import subprocess
import sys

import pytest

import websocket_heartbeat.testing
from websocket_heartbeat.testing import FaultProxy

pytest_plugins = ["pytester"]


def test_the_fixtures_work_in_the_tests_of_an_application(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio

        def test_with_a_proxy(fault_proxy):
            async def main():
                async with fault_proxy("127.0.0.1", 9) as proxy:
                    proxy.freeze()
                    return proxy.url("/feed")
            assert asyncio.run(main()).endswith("/feed")

        def test_with_a_clock(simulated_clock):
            simulated_clock.run(asyncio.sleep(3600))
            assert simulated_clock.now() == 3600

        def test_with_a_clock_of_its_own(simulated_clock):
            assert simulated_clock.now() == 0
        """
    )
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=3)


def test_the_fixture_is_the_class_itself(fault_proxy: type[FaultProxy]) -> None:
    assert fault_proxy is FaultProxy


def test_pytest_lists_the_fixtures_with_what_they_are_for(pytester: pytest.Pytester) -> None:
    output = pytester.runpytest_subprocess("--fixtures").stdout.str()
    for name in ("fault_proxy", "simulated_clock"):
        assert f"{name} -- " in output


def test_loading_the_plugin_loads_neither_the_proxy_nor_the_clock() -> None:
    script = (
        "import sys, pytest; before = set(sys.modules); import websocket_heartbeat.testing.plugin;"
        "print(*sorted(name for name in set(sys.modules) - before if 'websocket_heartbeat.testing' in name))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == ["websocket_heartbeat.testing", "websocket_heartbeat.testing.plugin"]


@pytest.mark.parametrize("name", websocket_heartbeat.testing.__all__)
def test_every_public_name_is_there_and_is_found_where_it_says(name: str) -> None:
    value = getattr(websocket_heartbeat.testing, name)
    assert value.__name__ == name
    assert value.__module__.startswith("websocket_heartbeat.testing.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'FaultyProxy'"):
        websocket_heartbeat.testing.FaultyProxy  # type: ignore[attr-defined]  # noqa: B018
