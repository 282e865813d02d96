"""What lines that begin with a slash do, where a person types them."""

from collections.abc import Awaitable, Callable

from websocket_heartbeat.cli.connect.hearing import HearingEngine
from websocket_heartbeat.cli.meant import did_you_mean
from websocket_heartbeat.client import Connection

HELP = {
    "ping": "/ping [TEXT]           send a ping, and say how long the answer takes",
    "pong": "/pong [TEXT]           send a pong",
    "hex": "/hex DIGITS            send a binary message",
    "reconnect": "/reconnect             open another link now",
    "stats": "/stats                 what the connection has done so far",
    "close": "/close [CODE [REASON]] close, and end",
    "help": "/help                  these lines; // sends a line that begins with a slash",
}
"""The commands, with what /help says of each."""

_LONGEST_PAYLOAD = 125
"""Bytes: RFC 6455, section 5.5."""


class Slash:
    """The commands of one connection. say: prints a line for the person."""

    def __init__(self, connection: Connection, engine: HearingEngine, say: Callable[[str], None]) -> None:
        self._connection = connection
        self._engine = engine
        self._say = say

    async def run(self, line: str) -> None:
        """Do what the line asks for; what is wrong with it is said.

        Raises:
            ConnectionClosed, ConnectionFailed: there is nothing to do it with.
        """
        name, _, rest = line[1:].partition(" ")
        does: dict[str, Callable[[str], Awaitable[None]]] = {
            "ping": self._ping,
            "pong": self._pong,
            "hex": self._hex,
            "reconnect": self._reconnect,
            "stats": self._stats,
            "close": self._close,
            "help": self._help,
        }
        if name not in does:
            known = [f"/{known}" for known in HELP]
            self._say(
                f"there is no command /{name}{did_you_mean(f'/{name}', known)} (/help; // sends a slash)"
            )
            return
        try:
            await does[name](rest)
        except ValueError as error:
            self._say(str(error))

    async def _ping(self, text: str) -> None:
        self._need(self._engine.ping(_payload(text)))

    async def _pong(self, text: str) -> None:
        self._need(self._engine.pong(_payload(text)))

    def _need(self, is_open: bool) -> None:
        if not is_open:
            self._say(f"no link is open: {self._connection.state}")

    async def _hex(self, digits: str) -> None:
        await self._connection.send(unhex(digits))

    async def _reconnect(self, _: str) -> None:
        self._connection.reconnect_now()

    async def _stats(self, _: str) -> None:
        stats = self._connection.stats
        latency = self._connection.latency
        self._say(f"{self._connection.state}; links: {stats.links}, attempts: {stats.attempts}")
        self._say(
            f"heartbeats: {stats.pings}"
            + ("" if latency is None else f", round trip {latency * 1000:.1f} ms")
        )
        self._say(f"bytes received: {stats.bytes_received}, sent: {stats.bytes_sent}; queued: {stats.queued}")
        if stats.reasons:
            self._say(f"the last link or attempt ended: {stats.reasons[-1]}")

    async def _close(self, text: str) -> None:
        code, _, reason = text.strip().partition(" ")
        if code and not code.isdecimal():
            raise ValueError(f"/close takes a code first, such as 1000, not {code!r}")
        await self._connection.close(int(code or 1000), reason)

    async def _help(self, _: str) -> None:
        for line in HELP.values():
            self._say(line)


def unhex(digits: str) -> bytes:
    """Return the bytes that hexadecimal digits stand for; spaces between bytes are allowed.

    Raises:
        ValueError: they are none.
    """
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise ValueError("these are not hexadecimal digits, two for each byte") from None


def _payload(text: str) -> bytes:
    payload = text.encode()
    if len(payload) > _LONGEST_PAYLOAD:
        raise ValueError(f"pings and pongs carry at most {_LONGEST_PAYLOAD} bytes, not {len(payload)}")
    return payload
