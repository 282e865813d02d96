"""The pytest fixtures; pytest loads this module in every run, so it imports only what every test needs."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from websocket_heartbeat.testing.clock import SimulatedClock
    from websocket_heartbeat.testing.fault_proxy import FaultProxy


@pytest.fixture
def fault_proxy() -> "type[FaultProxy]":
    """FaultProxy, to be entered where the event loop runs: `async with fault_proxy(host, port) as proxy`."""
    from websocket_heartbeat.testing.fault_proxy import FaultProxy

    return FaultProxy


@pytest.fixture
def simulated_clock() -> "SimulatedClock":
    """A SimulatedClock that stands at 0: `simulated_clock.run(coroutine)` takes no real time."""
    from websocket_heartbeat.testing.clock import SimulatedClock

    return SimulatedClock()
