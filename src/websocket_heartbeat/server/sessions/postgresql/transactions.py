"""Transactions of users in PostgreSQL, each on a connection of a pool."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from websocket_heartbeat.events import Message
from websocket_heartbeat.server.sessions.postgresql.calls import WRITE_LAST, changes_of, packed, written
from websocket_heartbeat.server.sessions.postgresql.driver import FAILURES, TIMEOUT, failed, is_conflict
from websocket_heartbeat.server.sessions.store import Refused, Transaction


async def begin(pool: Any, node: str) -> Transaction:
    """Begin one, of a node.

    Raises:
        OSError: the database cannot be reached.
    """
    try:
        connection = await pool.acquire()
    except FAILURES as error:
        raise failed("cannot be reached", error) from None
    transaction = connection.transaction()
    try:
        await transaction.start()
    except FAILURES as error:
        await _release(pool, connection)
        raise failed("has failed", error) from None
    except BaseException:
        await _release(pool, connection)
        raise
    return _Transaction(pool, node, connection, transaction)


class _Transaction(Transaction):
    """It locks the record for `commit` only: another node that claims the session does not wait for users."""

    def __init__(self, pool: Any, node: str, connection: Any, transaction: Any) -> None:
        self._pool = pool
        self._node = node
        self.connection = connection
        self._transaction = transaction
        self._is_released = False

    async def commit(
        self,
        id: str,
        generation: int,
        after: int,
        messages: Sequence[Message],
        *,
        done: int,
        acked: int,
        deadline: float | None,
        state: bytes | None,
        rooms: Mapping[str, int | None],
    ) -> int | Refused:
        """As in Transaction."""
        connection = self.connection
        log = [packed(message) for message in messages]
        changes = changes_of(rooms) if rooms else None
        what = id, generation, after, log, done, acked, deadline, state, None, changes, self._node
        try:
            answer = written(await connection.fetchrow(WRITE_LAST, *what, timeout=TIMEOUT), what)
            if not isinstance(answer, Refused):
                await self._transaction.commit()
        except FAILURES as error:
            if not self.is_of_store(error):
                raise
            raise failed("has failed", error) from None
        if not isinstance(answer, Refused):
            await self._release()
        return answer

    async def rollback(self) -> None:
        """As in Transaction."""
        if not self._is_released:
            with suppress(*FAILURES):
                await self._transaction.rollback()
            await self._release()

    async def _release(self) -> None:
        self._is_released = True
        await _release(self._pool, self.connection)

    @property
    def is_open(self) -> bool:
        """As in Transaction."""
        return not self._is_lost and bool(self.connection.is_in_transaction())

    @property
    def _is_lost(self) -> bool:
        try:
            return bool(self.connection.is_closed())
        except FAILURES:  # the pool has taken it back
            return True

    def is_of_store(self, error: BaseException) -> bool:
        """As in Transaction."""
        return is_conflict(error) or (isinstance(error, Exception) and self._is_lost)


async def _release(pool: Any, connection: Any) -> None:
    with suppress(*FAILURES):
        await pool.release(connection, timeout=TIMEOUT)
