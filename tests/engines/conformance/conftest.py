"""A certificate authority of the tests' own and what trusts it; TLS with and without aiofastnet."""

import ssl

import pytest
import trustme

from websocket_heartbeat.engines import dial


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(params=["aiofastnet", "asyncio"])
def _tls_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with aiofastnet, and as if it were not installed."""
    if request.param == "asyncio":
        monkeypatch.setattr(dial, "fast_tls", lambda: None)
    else:
        assert dial.fast_tls() is not None
