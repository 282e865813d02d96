"""The pytest fixtures; pytest loads this module in every run, so it imports only what every test needs."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from websocket_heartbeat.testing.fault_proxy import FaultProxy


@pytest.fixture
def fault_proxy() -> "type[FaultProxy]":
    """FaultProxy, to be entered where the event loop runs: `async with fault_proxy(host, port) as proxy`."""
    from websocket_heartbeat.testing.fault_proxy import FaultProxy

    return FaultProxy
