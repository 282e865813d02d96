"""An open WebSocket of ASGI: its events, and beneath them what is known of its server."""

import asyncio
from collections.abc import Awaitable, Callable

from websocket_heartbeat.engines.base import Closure
from websocket_heartbeat.events import Message
from websocket_heartbeat.server.links.asgi_servers import (
    Event,
    Send,
    complete,
    ready_of,
    server_of,
    wire_of,
)
from websocket_heartbeat.server.links.pump import Channel
from websocket_heartbeat.server.links.wires import Wire
from websocket_heartbeat.system.kernel import Socket, tcp_info

Receive = Callable[[], Awaitable[Event]]


class AsgiChannel(Channel):
    """disconnect: the event that has ended it, None before. closing: says goodbye in place of a reset."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        http_version: str,
        subprotocol: str | None,
        early: asyncio.Task[Event] | None,
    ) -> None:
        self._receive = receive
        self._send = complete(send)
        self._is_ready = ready_of(send)
        self._early = early
        self._server = server_of(send)
        self._wire: Wire | None = wire_of(send, http_version)
        self._awaits_end = False  # whether the next disconnect is only what the server says of our close
        self.subprotocol = subprotocol
        self.disconnect: Event | None = None
        self.closing: asyncio.Task[None] | None = None
        if self._wire is not None:
            self.socket: Socket | None = self._wire.socket
            # What answers a ping is seen by the kernel alone, and that does not tell of Unix sockets.
            self.can_ping: bool = tcp_info(self.socket) is not None

    async def receive(self) -> Message | Closure | None:
        if self._early is None:
            event = await self._receive()
        else:
            early, self._early = self._early, None
            event = await early
        if event["type"] == "websocket.receive":
            text: str | None = event.get("text")
            data: Message = event["bytes"] if text is None else text
            return data
        if self.disconnect is None:
            self.disconnect = event
        if self._awaits_end:
            self._awaits_end = False
            return None
        code = self.disconnect.get("code")
        has_code = code is not None and code not in (1005, 1006)
        reason = self.disconnect.get("reason") or ""
        return Closure(code if has_code else None, reason, framed=code != 1006)

    def send_at_once(self, message: Message) -> bool:
        if self._is_ready is None or not self._is_ready():
            return False
        sending = self.send(message)  # which ends in its first step, and needs no task
        try:
            sending.send(None)
        except StopIteration:
            return True
        except Exception:  # as `send` will raise again, for who can tell of it
            return False
        sending.close()
        return False

    async def send(self, message: Message) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        await self._send({"type": "websocket.send", kind: message})

    async def close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
        self._awaits_end = self._server.disconnects_twice

    def ping(self) -> None:
        if self._wire is not None:
            self._wire.ping()

    def reset(self) -> None:
        if self._wire is not None:
            self._wire.reset()
        else:
            self.closing = asyncio.get_running_loop().create_task(self._close_quietly())

    def pause_reading(self) -> None:
        if self._wire is not None:
            self._wire.pause_reading()

    def resume_reading(self) -> None:
        if self._wire is not None:
            self._wire.resume_reading()

    async def _close_quietly(self) -> None:
        try:
            await self.close(1001, "")
        except Exception:  # it has ended by itself
            pass

    @property
    def buffered(self) -> int:
        return 0 if self._wire is None else self._wire.buffered
