"""asyncpg, what it raises, and what of that is told.

It is the driver as it sends the many calls of a turn of the loop in one round trip and returns their answers,
hears notifications on a connection that is in use, and has the pool that transactions of users need.
"""

from contextlib import suppress
from typing import Any

try:
    import asyncpg
except ImportError as _missing:
    raise ImportError(
        "sessions in PostgreSQL need asyncpg: pip install 'websocket-heartbeat[postgresql]'"
    ) from _missing

CONNECT_TIMEOUT = 5.0
TIMEOUT = 10.0
"""Seconds for a connection, and for the answer to a call; then it counts as lost."""

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a call of it may raise."""

_CONFLICT = "40"
"""The class of errors after which a transaction is to be repeated."""


async def connect(url: str, settings: dict[str, str]) -> Any:
    """Return a connection.

    Raises:
        OSError: it cannot be made.
    """
    connection = None
    try:
        with suppress(ValueError):  # which may quote the URL
            connection = await asyncpg.connect(
                url, timeout=CONNECT_TIMEOUT, command_timeout=TIMEOUT, server_settings=settings
            )
    except FAILURES as error:
        raise failed("cannot be reached", error) from None
    if connection is None:
        raise OSError("the store of the sessions cannot be reached: its URL has what asyncpg does not take")
    return connection


def pool(url: str, most: int, settings: dict[str, str], init: Any) -> Any:
    """Return a pool of at most so many connections, none of them open yet. init: looks at each new one."""
    return asyncpg.create_pool(
        url, min_size=0, max_size=most, timeout=CONNECT_TIMEOUT, server_settings=settings, init=init
    )


def failed(what: str, error: BaseException) -> OSError:
    """Return the error for others, of which the details are left out that may quote what is stored."""
    why = str(error)
    if isinstance(error, asyncpg.PostgresError):
        why = error.message or ""
    elif isinstance(error, ValueError):
        why = ""
    return OSError(f"the store of the sessions {what}: {why or type(error).__name__}")


def is_conflict(error: BaseException) -> bool:
    """Whether others were in the way of a transaction, which is to be tried again."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith(_CONFLICT)


def is_stuck(error: BaseException) -> bool:
    """Whether a connection may still be at a call that has failed, so that no other can follow."""
    return isinstance(error, asyncpg.InternalClientError | OSError)


def is_forbidden(error: BaseException) -> bool:
    """Whether the user has no right to do that."""
    return isinstance(error, asyncpg.InsufficientPrivilegeError)
