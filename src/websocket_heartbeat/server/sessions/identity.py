"""Whose a session is, as text: only a client with the same text may resume it."""

import hashlib
from collections.abc import Hashable

from websocket_heartbeat.server.admission import Request


def hash_of(secret: str) -> bytes:
    """Return what the store has of the secret that a client resumes with."""
    return hashlib.sha256(secret.encode()).digest()


def name_of(principal: Hashable | None) -> str | None:
    """Return the text that tells a principal from all others, as its repr does."""
    return None if principal is None else f"{type(principal).__qualname__} {principal!r}"


def owner_of(principal: Hashable | None, request: Request) -> str:
    """Return whose a session is, as text: only a client with the same text may resume it.

    The path is part of it, as each may let in others; it may be a secret. In browsers, so is the Origin of
    the page; a longer one is no browser's.
    """
    path = hashlib.sha256(request.path.encode(errors="replace")).hexdigest()
    origin = request.header("Origin") or ""
    owner = f"{origin[:300]}\n{path[:16]}\n{name_of(principal) or ''}"
    # Headers of some servers, and the repr of a principal, may hold lone surrogates, which stores refuse.
    return owner.encode(errors="backslashreplace").decode()


def principal_in(owner: str | None) -> str | None:
    """Return the principal's text, of what `owner_of` has returned; None: unknown."""
    return "".join((owner or "").split("\n", 2)[2:]) or None
