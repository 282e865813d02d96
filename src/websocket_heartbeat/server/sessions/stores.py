"""Which store a URL names."""

from websocket_heartbeat.server.sessions.memory import MemoryStore
from websocket_heartbeat.server.sessions.owner_memory import OwnerMemory
from websocket_heartbeat.server.sessions.sqlite import SqliteStore
from websocket_heartbeat.server.sessions.store import Store

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")
_VALKEY = ("valkey://", "valkeys://", "redis://", "rediss://", "unix://")


THROUGH, HANDOVER, MEMORY = "through", "handover", "memory"
"""How durable sessions may be: `Hub(durability=...)`."""


def check_durability(durability: str, sessions: str | None) -> None:
    """Raise TypeError or ValueError if sessions that are kept there cannot be so durable."""
    if not isinstance(durability, str):
        raise TypeError(f"durability must be a str, not {type(durability).__name__}")
    if durability not in (THROUGH, HANDOVER, MEMORY):
        raise ValueError(f'durability must be "through", "handover" or "memory", not {durability!r}')
    if sessions is None and durability != THROUGH:
        raise ValueError("durability is that of sessions: give sessions= too")
    if sessions == "memory" and durability == HANDOVER:
        raise ValueError(
            'durability="handover" needs a store that outlives the process: sessions="memory" does not'
        )


def store_of(place: str, ttl: float, durability: str) -> Store:
    """Return the store of `Hub(sessions=..., durability=...)`, which were checked together.

    Raises:
        TypeError, ValueError: there is no such store; the text names the argument.
    """
    store = _store_at(place, ttl)
    return store if store.is_immediate or durability == THROUGH else OwnerMemory(store)


def _store_at(place: str, ttl: float) -> Store:
    if not isinstance(place, str):
        raise TypeError(f"sessions must be a str or None, not {type(place).__name__}")
    if place == "memory":
        return MemoryStore(ttl)
    if place == _SQLITE + ":memory:":
        raise ValueError('sessions must be "memory" for sessions that are kept in no file')
    if place.startswith(_SQLITE) and len(place) > len(_SQLITE):
        if "\0" in place:
            raise ValueError(f"sessions: a path cannot have a NUL in it: {place!r}")
        return SqliteStore(place.removeprefix(_SQLITE), ttl)
    if place.startswith(_VALKEY):
        from websocket_heartbeat.server.sessions.valkey import ValkeyStore  # an extra

        return ValkeyStore(place, ttl)
    if place.startswith(_POSTGRES):
        from websocket_heartbeat.server.sessions.postgresql.store import PostgresStore  # an extra

        return PostgresStore(place, ttl)
    raise ValueError(
        'sessions must be "memory", "sqlite:///" and a path (four slashes begin an absolute one, as in '
        '"sqlite:////srv/sessions.db"), "valkey://" or "postgresql://" and a host, not '
        f"{_shown(place)!r}"
    )


def _shown(place: str) -> str:
    """Return what of a wrong place to show: a URL may hold a password."""
    if "@" not in place:
        return place
    scheme, separator, _ = place.rpartition("@")[0].partition("://")
    return f"{scheme}://..." if separator else "..."
