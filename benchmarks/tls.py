"""TLS of the benchmarks: the server has a certificate of its own, which no client checks."""

import ssl


def server_context() -> ssl.SSLContext:
    """Return a context with a new certificate."""
    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


def client_context(url: str) -> ssl.SSLContext | None:
    """Return a context for a URL of scheme wss, None for ws."""
    if not url.startswith("wss:"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
