"""Each framework in turn."""

import pytest
from tests.server.frameworks.applications import FRAMEWORKS


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    """The name of a framework."""
    return str(request.param)
