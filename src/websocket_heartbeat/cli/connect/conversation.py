"""One run of connect: lines go out, messages come in, and how it ends is the exit status."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from websocket_heartbeat.cli.arguments import WrongArgument
from websocket_heartbeat.cli.connect.hearing import HearingEngine
from websocket_heartbeat.cli.connect.options import make_connection
from websocket_heartbeat.cli.connect.slash import Slash, unhex
from websocket_heartbeat.cli.connect.told import Teller
from websocket_heartbeat.cli.ending import signalled
from websocket_heartbeat.cli.output import CannotPrint, tell
from websocket_heartbeat.errors import ConnectionClosed, ConnectionFailed, HandshakeRejected, Undelivered
from websocket_heartbeat.events import Message, OpenEvent, State

INCOMPLETE = FAILED = 1
REFUSED = 3
INTERRUPTED = 130

_NORMAL = 1000
"""The close code of a server that has nothing more to say."""


class Interrupted(Exception):
    """Ctrl-C was pressed where that is no signal."""


class Conversation:
    """Talks with one server.

    arguments: those of the command. teller: is told what happens. has_slash: whether lines that begin with a
    slash are commands, as where a person types. on_state: called when `state` has changed.

    Raises:
        WrongArgument: the arguments do not fit together.
    """

    def __init__(
        self, arguments: argparse.Namespace, teller: Teller, *, has_slash: bool, on_state: Callable[[], None]
    ) -> None:
        self._is_binary: bool = arguments.binary
        self._wait: float | None = arguments.wait
        self._teller = teller
        self._engine = HearingEngine(lambda took: self._say(f"pong after {took * 1000:.1f} ms"))
        self._connection = connection = make_connection(arguments, self._engine)
        self._slash = Slash(connection, self._engine, self._say) if has_slash else None
        try:
            self._first = [self._message(text) for text in arguments.execute]
        except ValueError as error:
            raise WrongArgument(f"--execute with --binary: {error}") from None
        self._status = 0
        self._reason = "closed"
        self._is_incomplete = False
        self._is_unread = asyncio.Event()
        connection.on_message = lambda message: self._tell(teller.message, message)
        connection.on_open = self._opened_and_send if self._first else self._opened
        connection.on_close = lambda event: self._tell(teller.gone, event)
        connection.on_reconnect = lambda event: self._tell(teller.retries, event)
        connection.on_session = lambda event: self._tell(teller.session, event)
        connection.on_error = self._went_wrong
        connection.on_state = lambda state: on_state()

    @property
    def state(self) -> str:
        """Where the connection stands, "" while it is open."""
        state = self._connection.state
        return "" if state in (State.OPEN, State.PROBING) else str(state)

    async def run(self, lines: AsyncIterator[bytes | str]) -> int:
        """Talk until input ends, the connection does, or a signal comes; return the exit status.

        lines: the input. Of a person, it may raise Interrupted.
        """
        connection = self._connection
        try:
            async with connection:
                with signalled() as ended:
                    ends = [
                        asyncio.ensure_future(end)
                        for end in (
                            self._send(lines),
                            connection.wait_closed(),
                            ended.wait(),
                            self._is_unread.wait(),
                        )
                    ]
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                    for end in ends:
                        end.cancel()
                    outcomes = await asyncio.gather(*ends, return_exceptions=True)
                # From here on a signal ends it at once.
                if ended.is_set():
                    self._end(ended.status, "interrupted")
                for outcome in outcomes:
                    if isinstance(outcome, Exception):
                        raise outcome
            await connection.wait_closed()
        except Interrupted:
            self._end(INTERRUPTED, "interrupted")
        except ConnectionClosed:  # while something was sent: it is told how it ended
            pass
        except ConnectionFailed as failure:
            if failure.code == _NORMAL:
                self._end(self._status, f"the server has closed the connection with {_NORMAL}")
            else:
                is_refusal = isinstance(failure.__cause__, HandshakeRejected)
                self._end(REFUSED if is_refusal else FAILED, f"failed for good: {failure}")
        if self._is_incomplete and self._status == 0:
            self._end(INCOMPLETE, f"{self._reason}; not all was sent")
        self._tell(self._teller.end, self._status, self._reason)
        return self._status

    def _end(self, status: int, reason: str) -> None:
        self._status = status
        self._reason = reason

    # Out

    async def _send(self, lines: AsyncIterator[bytes | str]) -> None:
        async for line in lines:
            try:
                text = line if isinstance(line, str) else line.decode()
                if self._slash is None or text[:1] != "/":
                    await self._connection.send(self._message(text))
                elif text[:2] == "//":
                    await self._connection.send(self._message(text[1:]))
                else:
                    await self._slash.run(text)
                    if self._connection.closed:  # by /close: no further line is wanted
                        return
            except ValueError as error:  # no text, no hexadecimal digits, or too long
                self._say(f"not sent: {error}")
                if self._slash is None:  # else the person has read it
                    self._is_incomplete = True
        self._reason = "end of input"
        if self._slash is not None:
            await self._send_the_rest()
            return
        # Without a line too: that the end comes with status 0 shall mean that the server was reached.
        await self._connection.wait_open()
        await self._connection.flush()
        # What comes during the closing handshake is thrown away, so answers need some time before it.
        if self._wait is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(self._wait)

    async def _send_the_rest(self) -> None:
        """End soon, as a person waits, but not before all is sent."""
        count = len(self._connection.queued)
        if count:
            self._say(f"{count} still to be sent; Ctrl-C gives up")
            await self._connection.flush()

    def _message(self, text: str) -> Message:
        return unhex(text) if self._is_binary else text

    # In

    def _opened(self, event: OpenEvent) -> None:
        self._tell(self._teller.opened, event)

    async def _opened_and_send(self, event: OpenEvent) -> None:
        self._opened(event)
        if event.session != "resumed":
            for message in self._first:
                await self._connection.send(message)

    def _went_wrong(self, error: Exception) -> None:
        if isinstance(error, Undelivered):
            self._is_incomplete = True
        self._tell(self._teller.error, error)

    def _say(self, text: str) -> None:
        self._tell(self._teller.note, text)

    def _tell(self, how: Callable[..., None], *what: Any) -> None:
        """Print something; a reader that has left, or a full disk, ends the run."""
        if self._is_unread.is_set():
            return
        try:
            how(*what)
        except BrokenPipeError:
            self._is_unread.set()
            self._end(INCOMPLETE, "the reader has left")
        except CannotPrint as error:
            self._is_unread.set()
            self._end(INCOMPLETE, str(error))
            tell(f"-- {error}")
