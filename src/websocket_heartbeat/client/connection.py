"""What the user holds: `connect`, and the Connection that it returns."""

import asyncio
import os
import ssl as ssl_module
import warnings
from collections.abc import AsyncIterator, Callable, Collection, Generator, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from websocket_heartbeat import engines
from websocket_heartbeat.checks import check_close, check_message, check_seconds
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
from websocket_heartbeat.client.host import Host
from websocket_heartbeat.client.options import USER_AGENT, Options
from websocket_heartbeat.config import (
    FINAL_CLOSE_CODES,
    Backoff,
    Headers,
    Heartbeat,
    Provider,
    Session,
    SessionMode,
    session_of,
)
from websocket_heartbeat.elsewhere import explained
from websocket_heartbeat.engines.base import Engine
from websocket_heartbeat.errors import ConnectionClosed
from websocket_heartbeat.events import Message, State, Stats
from websocket_heartbeat.json_messages import JsonMessages, from_json, to_json
from websocket_heartbeat.renamed import renamed


@renamed(max_attempts="max_retries")
@explained
def connect(
    url: Provider[str],
    *,
    additional_headers: Provider[Headers | None] = None,
    user_agent_header: str | None = USER_AGENT,
    subprotocols: Sequence[str] = (),
    heartbeat: Heartbeat = Heartbeat(),  # noqa: B008  # immutable
    message_timeout: float | None = None,
    backoff: Backoff = Backoff(),  # noqa: B008  # immutable
    open_timeout: float = 10,
    close_timeout: float = 5,
    max_retries: int | None = None,
    send_queue: int = 256,
    send_queue_bytes: int = 2**24,
    receive_queue: int = 256,
    receive_queue_bytes: int = 2**24,
    receive_policy: Literal["pause", "drop_oldest", "latest"] = "pause",
    max_size: int = 2**20,
    compression: bool = False,
    ssl: ssl_module.SSLContext | None = None,
    proxy: str | Literal[True] | None = True,
    unix_path: str | os.PathLike[str] | None = None,
    local_addr: tuple[str, int] | None = None,
    server_hostname: str | None = None,
    engine: str | Engine = "auto",
    shown_path: Callable[[str], str] | None = None,
    final_close_codes: Collection[int | range] = FINAL_CLOSE_CODES,
    dismissal: str | None = None,
    session: SessionMode | Session = "off",
    retry_if: Callable[[Exception], bool | None] | None = None,
    name: str | None = None,
    on_open: OpenHook | None = None,
    on_message: MessageHook | None = None,
    on_close: CloseHook | None = None,
    on_error: ErrorHook | None = None,
    on_reconnect: ReconnectHook | None = None,
    on_state: StateHook | None = None,
    on_session: SessionHook | None = None,
) -> "Connection":
    """Return a connection to a WebSocket server that outlives its sockets.

    Use it as `async with connect(...) as connection:`; entering starts it and waits for nothing, leaving
    closes it. `connection = await connect(...)` starts it too, and leaves `close()` to you.

    url: of scheme ws or wss; or a function or coroutine function, called on every attempt.
    additional_headers: for the handshake: a mapping or pairs; or a callable as above, for fresh tokens.
    user_agent_header: the User-Agent header for servers and proxies, unless additional_headers or a session
        of aiohttp have one. Default websocket-heartbeat and its version; None sends none.
    subprotocols: offered to the server, best first. Default none.
    heartbeat: when a quiet link is pinged and when a silent one is given up. Default after 15 s and 10 s.
    message_timeout: seconds without a message after which an open link is replaced, whatever answers its
        pings: for feeds that are never still. None (default) takes any time.
    backoff: how long to wait before each retry. Default 1 s at first, 60 s at most.
    open_timeout: seconds for one attempt, from name resolution to handshake. Default 10, at most 3600.
    close_timeout: seconds that closing may take, to send what waits included. Default 5, at most 3600.
    max_retries: retries in a row before the connection fails; None (default) goes on for ever.
    send_queue: messages that wait while no link is open. Default 256; with 0 sending raises NotConnected.
    send_queue_bytes: how many bytes these may have together; one message may be larger. Default 16 MiB.
    receive_queue: messages that may wait for a slow reader. Default 256.
    receive_queue_bytes: how many bytes these may have together, unpacked; one message may be larger. Default
        16 MiB.
    receive_policy: what happens when that much waits: "pause" (default) stops reading the socket, so that TCP
        slows the server down, and its pings wait too; "drop_oldest" reads on and drops the oldest messages;
        "latest" keeps none but the newest. `stats.dropped` counts those dropped.
    max_size: the largest message in either direction, in bytes, compressed or not. Default 1 MiB.
    compression: True offers permessage-deflate (RFC 7692), which the server may decline. It makes repetitive
        text small, at the price of time for each message and some 200 KiB for each link. Default False.
    ssl: the TLS context for wss. Default: certificates of the system's authorities.
    proxy: a URL of scheme http, https, socks4 or socks5; True (default) asks the environment; None is none.
    unix_path: the Unix socket of the server; the URL still says which host and path to ask for. Default none.
    local_addr: the IP address and the port to connect from; port 0 is any. Default: the system chooses.
    server_hostname: for wss, the name to ask for in TLS and to find in the certificate, in place of the host
        of the URL, as long as redirects lead to no other host. Default: the host of the URL.
    engine: "auto" (default) and "websockets": the one that is installed with the package; "aiohttp": over
        aiohttp, for its sessions; or an Engine, such as an AiohttpEngine with a session of yours.
    shown_path: called with the path of the URL, and returns what logs and reprs show instead, where paths
        carry keys. If it raises, they show "(hidden)". None (default): the path. The query is never shown.
    final_close_codes: close codes, and ranges of them, after which the server is not to be asked again.
        Default `FINAL_CLOSE_CODES`: those from 3500 to 3999 and from 4500 to 4999.
    dismissal: a text message of the server that means the same, as `Hub(dismissal=...)` sends it. It is not
        delivered, and what comes after it is thrown away; when the server has closed the link, or has not
        within close_timeout, the connection fails. Default none.
    session: "prefer": messages are carried across links by a session, none lost and none doubled, if the
        server has sessions, as `Hub(sessions=...)` does; "require": it must. "off" (default): a link that
        dies takes with it what the server has not received. A `Session` says more.
    retry_if: called with the exception of each failure; True retries, False gives up, None leaves it to the
        table in docs/topics/endings.md. None (default): that table.
    name: of the connection in logs and reprs, such as "prices". None (default): the URL, as far as it is
        shown.
    on_open, on_message, on_close, on_error, on_reconnect, on_state, on_session: the hooks of the connection,
        which `Connection` describes; they may be set later, too. Default none.

    Raises:
        TypeError, ValueError: an argument is wrong; the text names it.
        EngineNotInstalled: the engine's package is missing; the text names the install command.
    """
    connection = Connection(
        Options(
            url,
            additional_headers=additional_headers,
            user_agent_header=user_agent_header,
            subprotocols=subprotocols,
            heartbeat=heartbeat,
            message_timeout=message_timeout,
            backoff=backoff,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            max_retries=max_retries,
            send_queue=send_queue,
            send_queue_bytes=send_queue_bytes,
            receive_queue=receive_queue,
            receive_queue_bytes=receive_queue_bytes,
            receive_policy=receive_policy,
            max_size=max_size,
            compression=compression,
            ssl=ssl,
            proxy=proxy,
            unix_path=unix_path,
            local_addr=local_addr,
            server_hostname=server_hostname,
            engine=engines.load(engine),
            shown_path=shown_path,
            final_close_codes=final_close_codes,
            dismissal=dismissal,
            session=session_of(session),
            retry_if=retry_if,
            name=name,
        )
    )
    connection.on_open = on_open
    connection.on_message = on_message
    connection.on_close = on_close
    connection.on_error = on_error
    connection.on_reconnect = on_reconnect
    connection.on_state = on_state
    connection.on_session = on_session
    return connection


class Connection:
    """One connection over many links; made by `connect`.

    Iterate over it for messages: iteration goes on across reconnects, ends after our own `close()`, and
    raises ConnectionFailed when the connection has failed for good. Hooks tell what happens in between; each
    may be a function or a coroutine function. One that raises is reported to `on_error`, and the connection
    goes on; where that is on_open, over another link.

    It belongs to the event loop on which it was started, and to its thread: sending, receiving and waiting
    raise RuntimeError before the start, and on any other.
    """

    # Slots, here and in its parts: ten thousand idle connections are to fit in one small process.
    __slots__ = ("__weakref__", "_hooks", "_host", "_inbox", "_lifetime", "_max_size", "_outbox")

    on_open: Hook[OpenHook] = Hook()
    """Called with an OpenEvent whenever a link has opened, for a login for instance.

    What it sends goes to the link before all that waits in the queue, which is held until it is done. What
    arrives meanwhile is for its `recv` first; others get it 2 s later, if it does not call that. If it
    raises, the link is closed as bad and the next one opened after a delay. A coroutine function is cancelled
    when its link is lost.
    """
    on_message: Hook[MessageHook] = Hook()
    """Called with each message, in order; iteration then yields nothing.

    A plain function is the fastest way to receive; a coroutine function is awaited before the next message.
    """
    on_close: Hook[CloseHook] = Hook()
    """Called with a CloseEvent whenever an open link is gone."""
    on_error: Hook[ErrorHook] = Hook()
    """Called with an exception: why an attempt failed, which hook raised, which messages were not sent."""
    on_reconnect: Hook[ReconnectHook] = Hook()
    """Called with a ReconnectEvent when a retry is scheduled."""
    on_state: Hook[StateHook] = Hook()
    """Called with each State entered."""
    on_session: Hook[SessionHook] = Hook()
    """Called with a SessionEvent when a session begins, is resumed or reset, stalls, or is over.

    Without it, what is uncertain goes to on_error as Undelivered.
    """

    def __init__(self, options: Options) -> None:
        self._host = host = Host(options)
        self._hooks = host.hooks
        self._inbox = host.inbox
        self._outbox = host.outbox
        self._lifetime = host.lifetime
        self._max_size = options.max_size

    # Life

    async def __aenter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Start the connection on the running loop and wait for nothing; `async with` does this too.

        Raises:
            RuntimeError: it was started already, or no loop is running.
        """
        self._host.start()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        host = getattr(self, "_host", None)  # not there if __init__ has raised
        if host is not None and host.is_unattended:
            warn(f"unclosed connection {self!r}", ResourceWarning, source=self)
            count = len(self.queued)
            if count:  # as Python shows no ResourceWarning by default
                what = "1 message was" if count == 1 else f"{count} messages were"
                host.log.warning("never closed; %s still to be sent", what, extra={"queued": count})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection for good, within `close_timeout`, whatever the server does.

        What waits in the send queue is sent first: while there is any, this waits for a link to open and for
        its on_open hook, and nothing more can be sent but by that hook. What cannot be sent in time is
        reported to `on_error` as Undelivered, and by a warning in the log. What arrives after that is thrown
        away. Hooks under way have the rest of the time, but at least 1 s; they are then cancelled, and have
        1 s more to end. Only such hooks can make this return later than `close_timeout`. A second call waits
        for the same end; one that is cancelled drops the link.

        Within on_open it does not wait for the queue, which that holds back.

        code: 1000 (default) or 3000 to 4999 (RFC 6455, section 7.4.2). reason: at most 123 bytes of UTF-8.
        """
        check_close(code, reason, by_client=True)
        await self._host.close(code, reason)

    async def wait_closed(self) -> None:
        """Wait for the end of the connection.

        Raises:
            ConnectionFailed: it has failed for good.
        """
        while not self._lifetime.has_ended:
            await self._lifetime.change()
        self._lifetime.check_failure()

    async def wait_open(self, timeout: float | None = None) -> None:
        """Wait until a link is open and its on_open hook is done; return at once if so.

        timeout: seconds; None (default) waits for ever.

        Raises:
            TimeoutError: no link was ready in time; the text says why. The connection goes on trying.
            ConnectionClosed, ConnectionFailed: there will be none.
            RuntimeError: it was not started, or on another event loop, thread or process.
        """
        if timeout is not None:
            check_seconds("timeout", timeout, zero=True)
        self._lifetime.check_place()
        try:
            async with asyncio.timeout(timeout):
                while not self._outbox.is_open:
                    self._lifetime.check_alive()
                    await self._lifetime.change()
        except TimeoutError:
            raise TimeoutError(f"no link is ready after {timeout:g} s; {self._host.why_not_open()}") from None

    def reconnect_now(self) -> None:
        """Skip the wait before the next attempt, or replace the open link by a new one at once."""
        self._host.reconnect_now()

    def fail_link(self, reason: str = "") -> None:
        """Give up the open link as bad: close it, and open the next after a delay, as after any loss.

        For what only your program can tell: the server has ended the login, or sends nonsense. An on_open
        hook that raises does the same. Delays grow if that happens again and again; `retry_if` is asked, with
        LinkRejected. Within on_open it means the link that has opened, and a coroutine function is cancelled.
        Does nothing while no link is open.

        reason: for the log and for hooks.
        """
        self._host.fail_link(reason)

    async def renew(self) -> None:
        """Replace the open link by a new one without a gap; return when that is done.

        The new link opens first, and on_open runs on it; meanwhile the old one goes on. Then sending and
        receiving change over, and the old link is closed with 1000; what the server had sent on it still
        comes, before what comes on the new one, which waits up to 1 s for that. For servers that end links
        after a time, or say that they are about to. What a server sends on both links may come twice.
        While no link is ready, this waits for one, as `wait_open`; also if another link comes in between, as
        the old one was lost and the server asks to wait, or after `reconnect_now`. Within on_open it does
        nothing: that link is new.

        Raises:
            Exception: why the new link did not open or was not ready in time; the old one goes on.
            ConnectionClosed, ConnectionFailed: there will be no further link.
        """
        await self._host.renew()
        await self.wait_open()

    def _join_fleet(self, pacer: Callable[[Callable[[], None]], bool]) -> None:
        """Let a fleet start the connection, and ask it before each retry. For Fleet alone; see Host.pacer.

        Raises:
            ValueError: it was added to a fleet already.
        """
        if self._host.pacer is not None:
            raise ValueError(f"connection was added to a fleet already: {self!r}")
        self._host.pacer = pacer
        self._lifetime.bind()

    # Facts

    @property
    def name(self) -> str:
        """What logs call it: the `name` of `connect`, or its URL as far as that is shown."""
        return self._host.name

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return State(self._host.state)

    @property
    def closed(self) -> bool:
        """Whether the connection has ended for good."""
        return self._lifetime.has_ended

    @property
    def latency(self) -> float | None:
        """Seconds from the last answered heartbeat to its answer; None before the first."""
        return self._host.latency

    @property
    def native(self) -> Any:
        """The engine's own object of the current link, or None. What you register on it is lost with it."""
        link = self._host.link
        return link.native if link is not None else None

    @property
    def stats(self) -> Stats:
        """What the connection has done so far: a snapshot."""
        return self._host.stats()

    def __repr__(self) -> str:
        return f"<Connection {self._host!r}>"

    # Hooks

    def _set_hook(self, name: str, hook: Callable[..., Any] | None) -> None:
        if name == "on_message":
            self._inbox.set_hook(hook)
            self._host.links.update_deliver()
        else:
            self._hooks.attach(name, hook)

    # Receiving

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        inbox = self._inbox
        if inbox.batch and inbox.is_direct:
            # Without a session as take() does, without the call: the way of most messages.
            return inbox.batch.pop() if inbox.on_handled is None else inbox.take()
        try:
            # Here, as a coroutine between would weigh on every idle connection.
            while (inbox := self._host.links.inbox_of_task()).must_wait():
                inbox.check_receive()
                await inbox.arrived.wait()
        except ConnectionClosed:
            raise StopAsyncIteration from None
        return inbox.take()

    async def recv(self) -> Message:
        """Return the next message, waiting for it across reconnects.

        Raises:
            ConnectionClosed: our own side closed the connection.
            ConnectionFailed: it has failed for good.
            RuntimeError: on_message waits for it, and so do all further messages; or this is the wrong place,
                as for all calls.
        """
        inbox = self._inbox
        if inbox.batch and inbox.is_direct:
            return inbox.take()
        while (inbox := self._host.links.inbox_of_task()).must_wait():
            inbox.check_receive()
            await inbox.arrived.wait()
        return inbox.take()

    async def recv_waiting(self) -> list[Message]:
        """Return every message that waits, in order, and at least one; otherwise as `recv`."""
        return [await self.recv(), *self._host.links.inbox_of_task().take_all()]

    async def recv_json(self) -> Any:
        """Return what the next message says in JSON; otherwise as `recv`.

        Raises:
            NotJSON: it is none. It was taken, and is in the exception; the next call goes on.
            and as `recv`.
        """
        return from_json(await self.recv())

    def json(self) -> AsyncIterator[Any]:
        """Iterate over what each message says in JSON: `async for value in connection.json()`.

        Goes on and ends as iteration over the connection. A message that is no JSON raises NotJSON; another
        `async for` goes on with the next one.
        """
        return JsonMessages(self)

    # Sending

    async def send(
        self,
        message: Message | bytearray | memoryview,
        *,
        ttl: float | None = None,
        volatile: bool = False,
    ) -> None:
        """Hand a message to the open link, or let it wait in the send queue for the next one.

        A str is sent as text, everything else as binary. Waits only while the queue is full. A message that
        was handed to a link which then dies may or may not have arrived: `CloseEvent.uncertain_bytes` tells
        how much may be missing, and only the server's answer which.

        ttl: seconds that the message may wait; after that it is not sent, but reported to `on_error` as
            Undelivered, or raised here, where this still waits for room. None (default) is for ever.
        volatile: the message is worth nothing later, as a position or a "typing" is. It is sent now or never:
            dropped, and counted by `stats.not_sent`, while no link takes it, while others wait in the queue,
            or 64 KiB in the socket. No session keeps it or sends it again. Default False.

        Raises:
            TypeError, ValueError: not a message, or above `max_size`; or `ttl` and `volatile` together.
            NotConnected: no link is open and `send_queue` is 0.
            Undelivered: `ttl` ran out while the queue was full.
            ConnectionClosed, ConnectionFailed: there will be no further link.
        """
        checked = check_message("message", message, self._max_size)
        if ttl is not None:
            check_seconds("ttl", ttl)
        if volatile:
            self._send_volatile(checked, ttl)
        elif not self._outbox.offer(checked, ttl):
            await self._outbox.put(checked, ttl)

    async def send_json(self, value: Any, *, ttl: float | None = None, volatile: bool = False) -> None:
        """Send a value as a text message of JSON; otherwise as `send`.

        Raises:
            TypeError, ValueError: JSON has no such value.
            and as `send`.
        """
        await self.send(to_json(value), ttl=ttl, volatile=volatile)

    def _send_volatile(self, message: Message, ttl: float | None) -> None:
        if ttl is not None:
            raise ValueError("ttl and volatile exclude each other: a volatile message never waits")
        self._outbox.send_volatile(message)

    def send_nowait(
        self,
        message: Message | bytearray | memoryview,
        *,
        ttl: float | None = None,
        volatile: bool = False,
    ) -> None:
        """Do as `send`, but never wait.

        Raises:
            SendQueueFull: the message would have had to wait; it was not taken.
            and as `send`.
        """
        checked = check_message("message", message, self._max_size)
        if ttl is not None:
            check_seconds("ttl", ttl)
        if volatile:
            self._send_volatile(checked, ttl)
        elif not self._outbox.offer(checked, ttl):
            self._outbox.refuse()

    @property
    def queued(self) -> tuple[Message, ...]:
        """The messages that wait in the send queue, oldest first; after the end, those that were not sent."""
        return tuple(self._outbox.queue)

    def clear_queue(self) -> tuple[Message, ...]:
        """Take all messages out of the send queue and return them, oldest first; they will not be sent."""
        return self._outbox.clear()

    async def flush(self) -> None:
        """Wait until the server has handled all that was sent, and said so; without a session, as `drain`.

        Raises:
            ConnectionClosed, ConnectionFailed: that will not happen.
        """
        await self._outbox.drain()
        await self._host.flush()

    async def drain(self) -> None:
        """Wait until every queued message was handed to a link whose write buffer is not full.

        Raises:
            ConnectionClosed, ConnectionFailed: that will not happen.
        """
        await self._outbox.drain()
