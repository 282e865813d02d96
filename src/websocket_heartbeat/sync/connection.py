"""What the user of blocking code holds: `connect`, and the Connection that it returns."""

import asyncio
import inspect
import time
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial, update_wrapper
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar
from weakref import WeakMethod, ref

from websocket_heartbeat import client
from websocket_heartbeat.checks import check_close, check_seconds
from websocket_heartbeat.client.dialogue import Dialogue, dialogue_of_task
from websocket_heartbeat.client.hooks import (
    CloseHook,
    ErrorHook,
    Hook,
    MessageHook,
    OpenHook,
    ReconnectHook,
    SessionHook,
    StateHook,
)
from websocket_heartbeat.elsewhere import explained
from websocket_heartbeat.errors import ConnectionClosed, ConnectionFailed, NotConnected
from websocket_heartbeat.events import Message, State, Stats
from websocket_heartbeat.json_messages import from_json, to_json
from websocket_heartbeat.renamed import renamed
from websocket_heartbeat.sync.background import (
    AFTER_CLOSE_TIMEOUT,
    BLOCKED,
    MADE_BEFORE_A_FORK,
    Background,
    Owner,
    is_background_thread,
    shared,
)
from websocket_heartbeat.sync.call import Refused
from websocket_heartbeat.sync.exits import guarded, guarded_options, in_words, last_words, tell

P = ParamSpec("P")
R = TypeVar("R")

_IN_A_HOOK = "a hook cannot {}, as it runs on the background thread that it would wait for: {}"

_NO_MESSAGE = "no message came in time"

_NOTICED_WITHIN = 0.2
"""Seconds in which a loop that no hook blocks tells that a timeout has run out."""


class Connection:
    """One connection over many links, for blocking code; made by `connect`.

    Safe to use from several threads and from signal handlers. Everything means what it means in
    `websocket_heartbeat.Connection`. Hooks are called on the background thread, which all connections share,
    so they must not block; what waits raises RuntimeError there, but `send` and `close` do not wait. A hook
    that raises what ends a program, as sys.exit() does, ends this connection.
    """

    on_open: Hook[OpenHook] = Hook()
    """Called with an OpenEvent whenever a link has opened; its sends go first."""
    on_message: Hook[MessageHook] = Hook()
    """Called with each message, in order; iteration then yields nothing."""
    on_close: Hook[CloseHook] = Hook()
    """Called with a CloseEvent whenever an open link is gone."""
    on_error: Hook[ErrorHook] = Hook()
    """Called with an exception: why an attempt failed, which hook raised, which messages were not sent."""
    on_reconnect: Hook[ReconnectHook] = Hook()
    """Called with a ReconnectEvent when a retry is scheduled."""
    on_state: Hook[StateHook] = Hook()
    """Called with each State entered."""
    on_session: Hook[SessionHook] = Hook()
    """Called with a SessionEvent when a session begins, is resumed or reset, stalls, or is over."""

    def __init__(self, connection: client.Connection, close_timeout: float) -> None:
        """close_timeout: as the connection was given it."""
        self._connection = connection
        self._close_timeout = close_timeout
        self._background: Background | None = None  # none before the start
        self._received: deque[Message] = deque()  # taken from the connection, all that wait in one call
        self._turn = asyncio.Lock()  # of the calls that take messages from it
        self._failure: ConnectionFailed | None = None  # a hook has ended it
        self._owner: Owner = WeakMethod(self._loop_stopped)

    # Life

    def __enter__(self) -> Self:
        if is_background_thread():
            raise RuntimeError(_IN_A_HOOK.format("start a connection", "start it in a thread of your own"))
        if self._background is not None:
            raise RuntimeError("a connection can be started only once; call connect() again for another one")
        while True:
            background = self._background = shared()
            try:
                background.run(partial(background.start, self._connection, self._close_timeout), self._owner)
            except Refused:
                continue
            except RuntimeError:
                background.wait_for_end()
                raise
            except BaseException:  # a signal handler has raised, and nobody will close it
                background.submit(partial(background.close, self._connection))
                raise
            return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        background = self._background
        if background is None or background.is_of_parent or self._connection not in background.users:
            return
        was_closed, told = self.closed, f"closed, as nobody had closed it: {self!r}"
        background.submit(partial(background.close, self._connection))  # it may be closed when this returns
        if not was_closed:
            warnings.warn(told, ResourceWarning, stacklevel=2, source=self)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection for good; return within `close_timeout`. Does nothing the second time.

        Within a hook it does not wait for the end. Arguments are those of
        `websocket_heartbeat.Connection.close`.

        Raises:
            TimeoutError: a hook blocks the background thread. The connection is closed when it returns.
        """
        check_close(code, reason, by_client=True)
        background = self._background or shared()
        if background.is_of_parent:
            return
        while not self._close_on(background, code, reason):
            background = shared()  # that one has ended before this connection was started there

    def _close_on(self, background: Background, code: int, reason: str) -> bool:
        call = background.submit(partial(background.close, self._connection, code, reason), self._owner)
        if is_background_thread():
            return True
        try:
            has_ended = call.wait(self._close_timeout + AFTER_CLOSE_TIMEOUT)
        except BaseException:  # a signal handler has raised
            background.cancel(call)
            raise
        if not has_ended:
            raise TimeoutError(f"the connection is not closed yet: {BLOCKED}")
        with suppress(Refused):
            call.result()
        background.wait_for_end()
        return self.closed

    def wait_closed(self) -> None:
        """Wait for the end of the connection; raise ConnectionFailed if it has failed for good."""
        try:
            background = self._usable("wait for the end", "set on_state")
            background.run(self._connection.wait_closed, self._owner)
        except (Refused, ConnectionClosed):
            # It has ended, so wait_closed returns without a loop.
            with suppress(StopIteration):
                self._connection.wait_closed().send(None)
        if self._failure is not None:
            raise self._ended()

    def wait_open(self, timeout: float | None = None) -> None:
        """Wait until a link is open; raise TimeoutError after `timeout` seconds, None (default) for never."""
        background = self._usable("wait for a link", "set on_open")
        self._run(background, self._connection.wait_open, timeout, timeout=timeout)

    def reconnect_now(self) -> None:
        """Skip the wait before the next attempt, or replace the open link by a new one at once."""
        with suppress(ConnectionClosed, ConnectionFailed):
            background = self._usable()
            if background.is_current:
                self._connection.reconnect_now()
            else:
                self._run(background, self._on_the_loop, self._connection.reconnect_now)

    # Facts

    @property
    def name(self) -> str:
        """What logs call it: the `name` of `connect`, or its URL as far as that is shown."""
        return self._connection.name

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._connection.state

    @property
    def closed(self) -> bool:
        """Whether the connection has ended for good."""
        return self._connection.closed

    @property
    def latency(self) -> float | None:
        """Seconds from the last answered heartbeat to its answer; None before the first."""
        return self._connection.latency

    @property
    def stats(self) -> Stats:
        """What the connection has done so far: a snapshot."""
        return self._connection.stats

    def __repr__(self) -> str:
        return repr(self._connection)

    # Messages

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        try:
            return self.recv()
        except ConnectionClosed:
            raise StopIteration from None

    def recv(self, timeout: float | None = None) -> Message:
        """Return the next message, waiting for it across reconnects.

        timeout: seconds; None (default) waits for ever.

        Raises:
            TimeoutError: none came in time; none is lost.
            ConnectionClosed: our own side closed the connection.
            ConnectionFailed: it has failed for good, or one of its hooks has ended it.
        """
        background = self._usable(
            "wait for a message", "set on_message, or receive in a thread, as by asyncio.to_thread"
        )
        deadline = None
        if timeout is not None:
            deadline = time.monotonic() + check_seconds("timeout", timeout, zero=True)
        dialogue = dialogue_of_task()
        if dialogue is not None:
            return self._run(background, self._receive_in_on_open, dialogue, timeout, timeout=timeout)
        while True:
            if self._received:
                try:
                    return self._received.popleft()
                except IndexError:  # another thread was faster
                    pass
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._run(background, self._receive, left, timeout=left)

    def recv_json(self, timeout: float | None = None) -> Any:
        """Return what the next message says in JSON; otherwise as `recv`.

        Raises:
            NotJSON: it is none. It was taken, and is in the exception; the next call goes on.
            and as `recv`.
        """
        return from_json(self.recv(timeout))

    def json(self) -> Iterator[Any]:
        """Iterate over what each message says in JSON: `for value in connection.json()`.

        Goes on and ends as iteration over the connection. A message that is no JSON raises NotJSON; another
        `for` goes on with the next one.
        """
        return map(from_json, self)

    async def _receive(self, timeout: float | None) -> None:
        try:
            async with asyncio.timeout(timeout), self._turn:
                if not self._received:
                    self._received.extend(await self._connection.recv_waiting())
        except TimeoutError:
            raise TimeoutError(_NO_MESSAGE) from None

    async def _receive_in_on_open(self, dialogue: Dialogue, timeout: float | None) -> Message:
        """Receive for a thread that an on_open hook has started: what arrives is for it first."""
        dialogue.use()
        try:
            async with asyncio.timeout(timeout):
                while dialogue.is_over or dialogue.inbox.must_wait():
                    if dialogue.is_over:
                        raise NotConnected(
                            "on_open has ended, or its link is lost, and with it what it started"
                        )
                    await dialogue.inbox.arrived.wait()
        except TimeoutError:
            raise TimeoutError(_NO_MESSAGE) from None
        return dialogue.inbox.take()

    def send(
        self,
        message: Message | bytearray | memoryview,
        timeout: float | None = None,
        *,
        ttl: float | None = None,
        volatile: bool = False,
    ) -> None:
        """Hand a message to the open link, or let it wait in the send queue; block only while that is full.

        Within a hook it does not wait and raises SendQueueFull where it would have to.

        timeout: seconds that this may block; None (default) waits for ever. ttl: seconds that the message may
        wait, and volatile: it never does, as in `websocket_heartbeat.Connection.send`.

        Raises:
            TimeoutError: the queue was full for so long, and the message was not taken.
            and as `websocket_heartbeat.Connection.send`.
        """
        if timeout is not None:
            check_seconds("timeout", timeout, zero=True)
        background = self._usable()
        if background.is_current:
            self._connection.send_nowait(message, ttl=ttl, volatile=volatile)
        elif volatile:
            self._run(background, self._send_volatile, message, ttl, timeout=timeout)
        elif timeout is None and ttl is None:
            self._run(background, self._connection.send, message)
        else:
            self._run(background, self._send, message, timeout, ttl, timeout=timeout)

    def send_json(
        self,
        value: Any,
        timeout: float | None = None,
        *,
        ttl: float | None = None,
        volatile: bool = False,
    ) -> None:
        """Send a value as a text message of JSON; otherwise as `send`.

        Raises:
            TypeError, ValueError: JSON has no such value.
            and as `send`.
        """
        self.send(to_json(value), timeout, ttl=ttl, volatile=volatile)

    async def _send_volatile(self, message: Message | bytearray | memoryview, ttl: float | None) -> None:
        await self._connection.send(message, ttl=ttl, volatile=True)

    async def _send(
        self, message: Message | bytearray | memoryview, timeout: float | None, ttl: float | None
    ) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._connection.send(message, ttl=ttl)
        except TimeoutError:
            raise TimeoutError("the send queue was full for all the time") from None

    @property
    def queued(self) -> tuple[Message, ...]:
        """The messages that wait in the send queue, oldest first; after the end, those that were not sent."""
        return self._connection.queued

    def clear_queue(self) -> tuple[Message, ...]:
        """Take all messages out of the send queue and return them, oldest first; they will not be sent."""
        with suppress(ConnectionClosed, ConnectionFailed):
            background = self._usable()
            if not background.is_current:
                return self._run(background, self._clear_queue)
        return self._connection.clear_queue()

    async def _clear_queue(self) -> tuple[Message, ...]:
        return self._connection.clear_queue()

    def drain(self) -> None:
        """Wait until every queued message was handed to a link whose write buffer is not full.

        Raises:
            ConnectionClosed, ConnectionFailed: the connection has ended.
        """
        background = self._usable("wait for the queue", "drain it in a thread of your own")
        self._check_alive()
        self._run(background, self._connection.drain)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until the server has handled all that was sent, and said so; without a session, as `drain`.

        timeout: seconds that this may block; None (default) waits for ever.

        Raises:
            TimeoutError: the server has not handled all in that time; it is kept, and sent, as before.
            and as `websocket_heartbeat.Connection.flush`.
        """
        if timeout is not None:
            check_seconds("timeout", timeout, zero=True)
        background = self._usable("wait for the server", "flush in a thread of your own")
        self._check_alive()
        self._run(background, self._flush, timeout, timeout=timeout)

    async def _flush(self, timeout: float | None) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._connection.flush()
        except TimeoutError:
            raise TimeoutError("the server has not handled all that was sent, and may yet do so") from None

    # Hooks

    def _set_hook(self, name: str, hook: Callable[..., Any] | None) -> None:
        if hook is not None:
            hook = guarded(name, hook, self._exited)
        if self._background is None or self._usable().is_current:
            setattr(self._connection, name, hook)
        else:
            with suppress(ConnectionClosed, ConnectionFailed):  # no hook is called any more
                self._run(self._background, self._on_the_loop, setattr, self._connection, name, hook)

    def _exited(self, name: str, error: BaseException) -> None:
        """End the connection: a function of its user's raised what ends a program."""
        self._end_for(in_words(name, error), last_words(error), error)

    def _loop_stopped(self, place: str) -> None:
        self._end_for(f"a hook called loop.stop() at {place}")

    def _end_for(self, what: str, text: str = "", cause: BaseException | None = None) -> None:
        if self._failure is None and self._background is not None:
            self._failure = ConnectionFailed(f"{what}, so the connection was closed")
            self._failure.__cause__ = cause
            tell(f"{self!r}: {what}{text}: this connection is closed, others go on")
            self.close()

    # The background thread

    def _usable(self, what: str = "", instead: str = "") -> Background:
        """Return the background thread to call; to wait for it would be a deadlock in a hook, which it runs.

        what: would be waited for. instead: what a hook is to do.
        """
        background = self._background
        if background is None:
            if self.closed:
                raise self._ended()
            raise RuntimeError("the connection is not started: use it within `with connect(...) as ...:`")
        if background.is_of_parent:
            raise RuntimeError(MADE_BEFORE_A_FORK)
        if what and background.is_current:
            raise RuntimeError(_IN_A_HOOK.format(what, instead))
        return background

    def _check_alive(self) -> None:
        """Raise ConnectionClosed or ConnectionFailed after the end."""
        if self.closed:
            raise self._ended()

    def _run(
        self,
        background: Background,
        function: Callable[..., Coroutine[Any, Any, R]],
        *args: Any,
        timeout: float | None = None,
    ) -> R:
        """Call a coroutine function on the loop and wait for it; a timeout is its own to keep, as a rule."""
        if self._failure is not None:  # though closing may take its time
            raise self._ended()
        limit = None if timeout is None else timeout + _NOTICED_WITHIN
        try:
            return background.run(partial(function, *args), self._owner, limit)
        except (Refused, ConnectionClosed):
            error = self._ended()
        raise error

    @staticmethod
    async def _on_the_loop(function: Callable[..., object], *args: Any) -> None:
        function(*args)

    def _ended(self) -> ConnectionClosed | ConnectionFailed:
        """Return the error that says how the connection has ended."""
        if self._failure is None:
            if self.closed:
                try:
                    with suppress(StopIteration):  # as in wait_closed
                        self._connection.wait_closed().send(None)
                except ConnectionFailed as error:
                    return error
            return ConnectionClosed("the connection is closed")
        failure = ConnectionFailed(self._failure.reason)  # a new one, as each gathers its traceback
        failure.__cause__ = self._failure.__cause__
        return failure


_HOOKS = [name for name, attribute in vars(Connection).items() if isinstance(attribute, Hook)]


_SIGNATURE = inspect.signature(client.connect)


def _called_as(
    connect: Callable[P, client.Connection],
) -> Callable[[Callable[..., Connection]], Callable[P, Connection]]:
    """Give a function the signature of `connect`, which is written once."""
    return lambda function: update_wrapper(function, connect, assigned=("__annotations__",))


@renamed(max_attempts="max_retries")
@explained
@_called_as(client.connect)
def connect(*args: Any, **kwargs: Any) -> Connection:
    """Return a connection for blocking code that outlives its sockets.

    Use it as `with connect(...) as connection:`; entering starts it and waits for nothing, leaving closes it.
    Arguments, defaults and errors are those of `websocket_heartbeat.connect`. What is callable among the
    arguments is called on the background thread and must not block.
    """
    bound = _SIGNATURE.bind(*args, **kwargs)
    bound.apply_defaults()
    made: list[ref[Connection]] = []

    def exited(name: str, error: BaseException) -> None:
        connection = made[0]()
        if connection is not None:  # else it is being closed
            connection._exited(name, error)
        raise ConnectionFailed(in_words(name, error)) from error  # there is nothing to return

    hooks = {name: bound.arguments.pop(name) for name in _HOOKS}  # the connection guards these itself
    bound.arguments.update(guarded_options(bound.arguments, exited))
    close_timeout = bound.arguments["close_timeout"]
    connection = Connection(client.connect(*bound.args, **bound.kwargs), close_timeout)
    made.append(ref(connection))
    for name, hook in hooks.items():
        setattr(connection, name, hook)
    return connection
