"""Contexts of TLS: of a server with a certificate of the test's own, and of a client that trusts it."""

import ssl

import trustme


def tls_of_server(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """Return the context of a server of that name, or address."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def tls_of_client(authority: trustme.CA) -> ssl.SSLContext:
    """Return the context of a client that trusts the authority alone: to read the system's takes long."""
    return ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())


def tls_pair(name: str = "127.0.0.1") -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server and of a client, where neither needs more."""
    authority = trustme.CA()
    return tls_of_server(authority, name), tls_of_client(authority)
