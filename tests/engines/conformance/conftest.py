"""A certificate authority of the tests' own, and what trusts it."""

import ssl

import pytest
import trustme
from tests.certificates import tls_of_client, tls_of_server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    return tls_of_server(authority)


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    return tls_of_client(authority)
