"""Keeps secrets out of logs, reprs and errors: what of a URL may be shown."""

from urllib.parse import urlsplit


def shown_url(url: str) -> str:
    """Return the URL without user information, query and fragment, which may carry credentials."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        return "(unreadable URL)"
    if not host:
        # What is no URL may be one with its scheme or slashes forgotten: its path may begin with a password.
        return "(a URL without a host)"
    if ":" in host:
        host = f"[{host}]"
    if port is not None:
        host = f"{host}:{port}"
    hidden = "?..." if parts.query else ""
    return f"{parts.scheme}://{host}{parts.path}{hidden}"
