"""Each framework in turn."""

import sys

import pytest
from tests.server.frameworks.applications import FRAMEWORKS


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    """The name of a framework."""
    if request.param == "litestar" and sys.implementation.name != "cpython":
        pytest.skip("litestar needs msgspec, which is for CPython alone")
    return str(request.param)
