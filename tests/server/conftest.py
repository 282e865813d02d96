"""What several tests of the back end need."""

import pytest

from websocket_heartbeat.system import kernel as kernel_module


@pytest.fixture(params=["kernel tells", "kernel does not tell"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test once with the evidence of the kernel and once without, as on systems that have none."""
    if request.param == "kernel does not tell":
        monkeypatch.setattr(kernel_module, "TELLS", False)
