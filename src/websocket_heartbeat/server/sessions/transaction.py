"""`Peer.transaction`: a user's statements, the answers, and that the message is handled: all or nothing."""

import asyncio
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

from websocket_heartbeat.errors import NotCommitted, SessionOver
from websocket_heartbeat.events import Message
from websocket_heartbeat.redaction import with_reason
from websocket_heartbeat.server.sessions.store import Transaction
from websocket_heartbeat.system.awaiting import await_shared

if TYPE_CHECKING:
    from websocket_heartbeat.server.sessions.link import SessionLink

_current: ContextVar["PeerTransaction | None"] = ContextVar("websocket_heartbeat_transaction", default=None)
"""The one in whose block the code runs: a peer may be sent to by others meanwhile."""


class PeerTransaction:
    """One block. What is sent in it has no number before it is committed, so that it can be undone.

    answers: what the block has sent. committing: the task that commits, once the block has ended; what others
    send to the peer waits for it. ended: done when all is.
    """

    __slots__ = (
        "_before",
        "_begun",
        "_is_committed",
        "_others",
        "_outer",
        "_session",
        "answers",
        "committing",
        "ended",
    )

    def __init__(self, session: "SessionLink") -> None:
        self._session = session
        self._begun: Transaction
        self._before = b""  # the peer's state
        self._outer: PeerTransaction | None = None
        self._others: list[tuple[Message, tuple[str, int]]] = []
        self.answers: list[Message] = []
        self.committing: asyncio.Task[None] | None = None
        self._is_committed = False
        self.ended: asyncio.Future[None] = session.loop.create_future()

    def takes(self, message: Message) -> bool:
        """Have a message that the user sends wait for the end of the transaction; false if it need not."""
        if self.committing is None and _current.get() is self:
            self.answers.append(message)
            return True
        return self.holds(message)

    def holds(self, message: Message, place: tuple[str, int] = ("", 0)) -> bool:
        """Have a message of others wait while the transaction is committed; false if it is not.

        place: as in SharedMessage.
        """
        if self.committing is not None:
            self._others.append((message, place))
        return self.committing is not None

    @property
    def held(self) -> tuple[tuple[Message, tuple[str, int]], ...]:
        """What others have sent while the transaction is committed, with the place of each."""
        return tuple(self._others)

    async def __aenter__(self) -> Any:
        session = self._session
        session.transaction_begins(self)
        try:
            self._begun = await self._begin()
        except BaseException:
            session.transaction_ended(self)
            raise
        self._before = session.state.encoded()
        self._outer = _current.get()
        _current.set(self)
        return self._begun.connection

    async def _begin(self) -> Transaction:
        keeper = self._session.keeper
        while True:
            try:
                return await keeper.store.begin()
            except OSError as error:
                if not await keeper.may_write_again(error):
                    raise NotCommitted("the hub is closed") from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _current.set(self._outer)
        try:
            if error is not None:
                await self._undo(error)
            else:
                try:
                    self._check()
                    await self._commit()
                except BaseException as failure:
                    await self._undo(failure)
                    raise
        finally:
            self._session.transaction_ended(self)
            self.ended.set_result(None)

    async def _undo(self, failure: BaseException) -> None:
        """Undo the block, if it was not committed; say so where it is to be tried again."""
        if self._is_committed:
            return
        is_of_store = self._begun.is_of_store(failure)
        if self._session.transaction is self:
            self._session.state.restore(self._before)
        await self._begun.rollback()
        if is_of_store:
            raise NotCommitted(f"the store has failed: {type(failure).__name__}") from failure

    def _check(self) -> None:
        session = self._session
        if session.has_ended:
            raise SessionOver(with_reason("the session is over", session.why))
        if session.transaction is not self:
            raise RuntimeError("the block of peer.transaction() has ended after its hook")
        if not self._begun.is_open:
            raise RuntimeError("the block of peer.transaction() has ended the transaction by a statement")

    async def _commit(self) -> None:
        """Commit, also where the hook is cancelled meanwhile: then it is known whether it was."""
        session = self._session
        committing = session.loop.create_task(session.commit(self._begun, self.answers))
        self.committing = committing
        try:
            await await_shared(committing)
        except asyncio.CancelledError:
            await asyncio.wait([committing])
            self._is_committed = committing.exception() is None
            raise
        self._is_committed = True
