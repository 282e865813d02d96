"""Runs a test over each framework whose clients a hub makes peers of."""

import pytest
from tests.server.links.back_ends import BACK_ENDS, BackEnd


@pytest.fixture(params=list(BACK_ENDS))
def back_end(request: pytest.FixtureRequest) -> BackEnd:
    """Serve a hub by a framework."""
    return BACK_ENDS[request.param]
