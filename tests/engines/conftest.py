"""The engines under which each conformance test runs."""

import pytest

from websocket_heartbeat import engines
from websocket_heartbeat.engines.base import Engine


@pytest.fixture(params=engines.NAMES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine with its defaults."""
    return engines.load(request.param)
