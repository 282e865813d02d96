"""What each call of the store does in PostgreSQL: statements/*.sql, and records as rows of its tables.

A function does all calls of its kind that have come together. It gets their arguments, and the connection.
"""

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any
from urllib.parse import quote, unquote

from websocket_heartbeat.events import Message
from websocket_heartbeat.server.sessions.postgresql.driver import is_forbidden
from websocket_heartbeat.server.sessions.store import HISTORY, Ended, Found, Held, Posts, Record, Refused

_FOLDER = files(__package__).joinpath("statements")


def _text(name: str) -> str:
    return _FOLDER.joinpath(f"{name}.sql").read_text(encoding="utf-8")


_SCHEMAS = (_text("schema_1"),)
"""What makes each version of the tables of the one before."""
_PUT, _WRITE, _FINISH, _CLAIM, _LOG = map(_text, ("put", "write", "finish", "claim", "log"))
_LIVE, _LEAVE, _BURY_DEAD, _DUE = map(_text, ("live", "leave", "bury_dead", "due"))
_LOGS, _TOLD = map(_text, ("logs", "told"))
_PUBLISH, _READ, _KEEP_ROOMS = map(_text, ("publish", "read", "keep_rooms"))
_LINEAGE = _text("lineage")
WRITE_LAST = _WRITE.replace(
    "known.sent\n", "known.sent, set_config('idle_in_transaction_session_timeout', '10s', true)\n"
)
"""A write in a user's transaction: its lock ends also where no commit comes, as the process is frozen."""
_FORGET = "delete from websocket_heartbeat.session where forget_at <= $1::double precision"
_ACTIVE_ROOMS = """
select coalesce(array_agg(name), '{}') from websocket_heartbeat.room
where name = any($1::bytea[]) and used > extract(epoch from clock_timestamp()) - $2::double precision
"""
_OUTCOME = """
select done, sent, generation, node, end_kind from websocket_heartbeat.session
where id = $1::text for update nowait
"""

_HAS_TABLES = """
select exists (
    select from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = 'websocket_heartbeat' and relname = 'version'
)
"""

_MAKING = 0x7765_6873_6573_7300
"""The key of the lock under which the tables are made."""

_TEXT, _BINARY = b"t", b"b"
"""The first octet of a message in the log."""

Arguments = tuple[Any, ...]
Work = Callable[[Any, list[Arguments]], Awaitable[Sequence[Any]]]
"""Does calls of one kind, and returns their answers."""


async def put(connection: Any, calls: list[Arguments]) -> list[Refused | None]:
    """As `Store.put`, with rows of `row_of`."""
    rows = await connection.fetchmany(_PUT, calls)
    return [None if is_put else Refused.GONE if is_over else Refused.FENCED for is_put, is_over in rows]


async def write(connection: Any, calls: list[Arguments]) -> list[int | Refused]:
    """As `Store.write`; and the node that writes."""
    rows = await connection.fetchmany(_WRITE, calls)
    return [written(row, call) for row, call in zip(rows, calls, strict=True)]


def written(row: Sequence[Any], call: Arguments) -> int | Refused:
    """Return the answer to a write, or why it was refused: as far as is known, if another one came before."""
    sent, known, is_over, node, was_sent = row[:5]
    generation, after, messages = call[1:4]
    if sent is not None:
        return int(sent)
    if known is None or is_over:
        return Refused.GONE
    if (known, node) != (generation, call[-1]):
        return Refused.FENCED
    return Refused.FULL if after <= was_sent < after + len(messages) else Refused.GAP


async def finish(connection: Any, calls: list[Arguments]) -> list[Refused | None]:
    """As `Store.finish`; until when to remember it, and the node that writes."""
    rows = await connection.fetchmany(_FINISH, calls)
    return [None if is_done else Refused.GONE if is_over else Refused.FENCED for is_done, is_over in rows]


async def claim(connection: Any, calls: list[Arguments]) -> list[Found | Refused | Held | Ended]:
    """As `Store.claim`; and the lineage."""
    return [await _claim_one(connection, call) for call in calls]


async def _claim_one(connection: Any, call: Arguments) -> Found | Refused | Held | Ended:
    hash, _, link, node, _, lineage = call[1:]
    row = await connection.fetchrow(_CLAIM, *call)
    if row is None or not row["is_theirs"]:
        return Refused.UNKNOWN
    if row["is_claimed"]:
        record = _record(row)
        record.node, record.generation = node, row["new_generation"]
        record.link, record.deadline = row["new_link"], row["new_deadline"]
        rows = await connection.fetch(_LOG, record.id, record.acked, record.sent)
        return Found(record, tuple(_unpacked(data) for (data,) in rows), row["node"])
    if row["lineage"] != lineage:
        return Refused.FORGOTTEN
    if row["end_kind"] is not None:
        return Ended(row["end_kind"], _text_of(row["end_why"]) or "", row["done"])
    if hash is not None and link <= row["link"]:
        return Refused.STALE
    return Held(row["node"], row["generation"])


async def outcome(connection: Any, calls: list[Arguments]) -> list[tuple[int, int] | Refused]:
    """As `Store.outcome`; and the node that asks."""
    return [await _outcome_one(connection, *call) for call in calls]


async def _outcome_one(connection: Any, id: str, generation: int, node: str) -> tuple[int, int] | Refused:
    row = await connection.fetchrow(_OUTCOME, id)
    if row is None or row["end_kind"] is not None:
        return Refused.GONE
    is_ours = (row["generation"], row["node"]) == (generation, node)
    return (row["done"], row["sent"]) if is_ours else Refused.FENCED


async def due(connection: Any, calls: list[Arguments]) -> list[list[Found]]:
    """As `Store.due`, by a node.

    Also: after how many seconds of silence another one is dead, None: nobody is; and when to tell again.
    """
    return [await _due_one(connection, *call) for call in calls]


async def _due_one(
    connection: Any, node: str, patience: float | None, now: float, limit: int, tell_at: float
) -> list[Found]:
    await connection.execute(_LIVE, node)
    if patience is not None:
        await connection.execute(_BURY_DEAD, patience, now)
    await connection.execute(_FORGET, now)
    rows = await connection.fetch(_DUE, now, limit, tell_at)
    records = [replace(_record(row), deadline=row["was_due"]) for row in rows]
    logs: defaultdict[str, list[tuple[int, Message]]] = defaultdict(list)
    for id, number, data in await connection.fetch(_LOGS, [record.id for record in records]):
        logs[id].append((number, _unpacked(data)))
    found = []
    for record in sorted(records, key=lambda record: record.deadline or 0.0):
        log = sorted(logs[record.id], key=lambda entry: entry[0])
        known = [message for number, message in log if record.acked < number <= record.sent]
        found.append(Found(record, tuple(known)))
    return found


async def told(connection: Any, calls: list[Arguments]) -> list[None]:
    """As `Store.told`; and until when to remember them."""
    await connection.executemany(_TOLD, calls)
    return [None] * len(calls)


async def live(connection: Any, calls: list[Arguments]) -> list[None]:
    """Note that nodes live."""
    await connection.executemany(_LIVE, calls)
    return [None] * len(calls)


async def leave(connection: Any, calls: list[Arguments]) -> list[None]:
    """Let the sessions of nodes that leave expire at a deadline."""
    await connection.executemany(_LEAVE, calls)
    return [None] * len(calls)


async def publish(connection: Any, calls: list[Arguments]) -> list[int]:
    """As `SharedStore.publish`; and the lineage."""
    # Rooms in one order, as other nodes lock them too.
    order = sorted(range(len(calls)), key=lambda place: calls[place][0])
    rows = await connection.fetchmany(_PUBLISH, [(*calls[place], HISTORY) for place in order])
    answers = dict(zip(order, rows, strict=True))
    return [int(answers[place]["last"]) for place in range(len(calls))]


async def read(connection: Any, calls: list[Arguments]) -> list[Posts]:
    """As `SharedStore.read`."""
    rows = await connection.fetchmany(_READ, calls)
    return [
        Posts(call[1] if last is None else last, list(zip(numbers, posts, strict=True)))
        for (last, numbers, posts), call in zip(rows, calls, strict=True)
    ]


async def keep_rooms(connection: Any, calls: list[Arguments]) -> list[None]:
    """Keep rooms, and forget others that were not used for so many seconds."""
    await connection.executemany(_KEEP_ROOMS, calls)
    return [None] * len(calls)


async def active_rooms(connection: Any, calls: list[Arguments]) -> list[list[bytes]]:
    """Return which of some rooms were used within so many seconds."""
    rows = await connection.fetchmany(_ACTIVE_ROOMS, calls)
    return [list(names) for (names,) in rows]


SINGLE = (put, write, finish, told, live, leave, publish, read, keep_rooms, active_rooms)
"""Those that are a transaction by themselves."""


# The database


async def make_tables(connection: Any) -> None:
    """Bring the tables to our version, once of all nodes that begin.

    Raises:
        OSError: they are those of a newer version of this package.
    """
    if await _version_of(connection) == len(_SCHEMAS):
        return
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _MAKING)
        version = await _version_of(connection)
        if version > len(_SCHEMAS):
            raise OSError(f"its tables are of version {version}, and this process knows {len(_SCHEMAS)}")
        for schema in _SCHEMAS[version:]:
            await connection.execute(schema)


async def _version_of(connection: Any) -> int:
    # Of the tables of the catalog, as what a connection remembers of names may be from before the lock.
    if not await connection.fetchval(_HAS_TABLES):
        return 0
    return int(await connection.fetchval("select version from websocket_heartbeat.version"))


async def lineage_of(connection: Any) -> str:
    """Return the lineage of a server.

    Raises:
        OSError: the user may not know.
    """
    try:
        return str(await connection.fetchval(_LINEAGE))
    except Exception as error:
        if not is_forbidden(error):
            raise
        raise OSError(
            "the user may not call pg_control_system() and pg_walfile_name(), and nothing else tells whether "
            "writes were forgotten: `grant execute on function` both to that user"
        ) from None


# Rows


def stored_text(text: str | None) -> bytes | None:
    """Return a text of strangers as it is stored."""
    return None if text is None else text.encode(errors="surrogatepass")


def _text_of(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="surrogatepass")


def changes_of(rooms: Mapping[str, int | None]) -> str:
    """Return the rooms of a session as they are stored; None: it has left."""
    return json.dumps(
        {quote(room, safe="", errors="surrogatepass"): number for room, number in rooms.items()}
    )


def packed(message: Message) -> bytes:
    """Return a message as it is stored."""
    return _TEXT + message.encode() if isinstance(message, str) else _BINARY + message


def _unpacked(data: bytes) -> Message:
    return data[1:].decode() if data[:1] == _TEXT else data[1:]


def row_of(found: Found, lineage: str, node: str) -> Arguments:
    """Return the arguments of `put`. node: that writes it."""
    record = found.record
    return (
        *(record.id, record.hash, stored_text(record.principal), record.generation, record.link, record.node),
        *(lineage, *record.window, record.max, record.done, record.sent, record.acked, record.state),
        *(stored_text(record.ending), record.deadline, changes_of(record.rooms)),
        [packed(message) for message in found.log],
        record.node or node,
    )


def _record(row: Any) -> Record:
    return Record(
        id=row["id"],
        hash=row["hash"],
        principal=_text_of(row["principal"]),
        generation=row["generation"],
        link=row["link"],
        node=row["node"],
        lineage=row["lineage"],
        window=(row["window_messages"], row["window_size"]),
        max=row["max"],
        done=row["done"],
        sent=row["sent"],
        acked=row["acked"],
        state=row["state"],
        ending=_text_of(row["ending"]),
        deadline=row["deadline"],
        rooms={
            unquote(room, errors="surrogatepass"): number for room, number in json.loads(row["rooms"]).items()
        },
    )
