"""Talks to a WebSocket server: sends each line of standard input, prints each
message.

The connection outlives its links: what happens to them is told on standard
error, and what is typed meanwhile is sent to the next one. Ends at the end of
input (Ctrl-D), once a link was open, all was sent and the answers have had some
time to come; and on Ctrl-C. The exit status is 0, or 1 if the connection failed
for good, lines could not be sent or messages could not be printed.
"""

import argparse
import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator

from websocket_heartbeat.cli.arguments import header, message, seconds, url
from websocket_heartbeat.cli.ending import signalled
from websocket_heartbeat.cli.output import CannotPrint, show, tell
from websocket_heartbeat.client import connect
from websocket_heartbeat.config import Heartbeat
from websocket_heartbeat.errors import ConnectionFailed, HookFailed, Undelivered
from websocket_heartbeat.events import CloseEvent, Message, OpenEvent, ReconnectEvent
from websocket_heartbeat.redaction import printable

HELP = "talk to a WebSocket server, line by line"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    defaults = Heartbeat()
    parser.add_argument("url", type=url, metavar="URL", help="ws://... or wss://...")
    parser.add_argument(
        "--message",
        type=message,
        metavar="TEXT",
        help="heartbeat by this text message (default: by a ping of the protocol)",
    )
    parser.add_argument(
        "--interval",
        type=seconds(),
        default=defaults.interval,
        metavar="SECONDS",
        help=f"of silence until a heartbeat (default: {defaults.interval:g})",
    )
    parser.add_argument(
        "--timeout",
        type=seconds(),
        default=defaults.timeout,
        metavar="SECONDS",
        help=f"in which it must be answered (default: {defaults.timeout:g})",
    )
    parser.add_argument(
        "--header",
        type=header,
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="a header field for the handshake; may be repeated",
    )
    parser.add_argument(
        "--linger",
        type=seconds(zero=True),
        default=1.0,
        metavar="SECONDS",
        help="that answers have to come after the end of input (default: 1)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Talk until input ends or Ctrl-C; return 0, or 1 if the connection failed for good."""
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    with signalled() as done:
        return await _talk(arguments, done)


async def _talk(arguments: argparse.Namespace, done: asyncio.Event) -> int:
    connection = connect(
        arguments.url,
        additional_headers=arguments.header,
        heartbeat=Heartbeat(arguments.interval, arguments.timeout, arguments.message),
    )
    incomplete = False

    def received(message: Message) -> None:
        nonlocal incomplete
        try:
            show(_shown(message) if sys.stdout.isatty() else message)
        except BrokenPipeError:
            done.set()
        except CannotPrint as error:
            incomplete = True
            _tell(str(error))
            done.set()

    def went_wrong(error: Exception) -> None:
        nonlocal incomplete
        incomplete = incomplete or isinstance(error, Undelivered)
        # Why an attempt failed is told with the retry.
        if isinstance(error, Undelivered | HookFailed):
            _tell(str(error))

    async def send_input() -> None:
        nonlocal incomplete
        async for line in _lines():
            try:
                await connection.send(line.decode())
            except ValueError as error:  # no text, or too long
                incomplete = True
                _tell(f"not sent: {error}")
        # Without a line too: that the end comes with status 0 shall mean that the server was reached.
        await connection.wait_open()
        await connection.drain()
        # What comes during the closing handshake is thrown away, so answers need some time before it.
        await asyncio.sleep(arguments.linger)

    connection.on_message = received
    connection.on_open = _opened
    connection.on_close = _gone
    connection.on_reconnect = _retries
    connection.on_error = went_wrong
    try:
        async with connection:
            ends = [asyncio.create_task(end) for end in (send_input(), connection.wait_closed(), done.wait())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        await connection.wait_closed()
    except ConnectionFailed as failure:
        _tell(f"failed for good: {failure}")
        return 1
    return 1 if incomplete else 0


async def _lines() -> AsyncIterator[bytes]:
    """Yield the lines of standard input, which a thread reads: terminals, pipes and files alike.

    The thread is a daemon, as nothing can wake it; it reads below sys.stdin, whose lock it would keep.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    room = threading.Semaphore(1000)

    def put(line: bytes | None) -> None:
        room.acquire()
        loop.call_soon_threadsafe(lines.put_nowait, line)

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            if sys.stdin is not None:  # else its number belongs to something else by now
                with contextlib.suppress(OSError):  # the terminal is gone
                    read_lines()
            put(None)

    def read_lines() -> None:
        with open(0, "rb", buffering=0, closefd=False) as source:
            rest = bytearray()
            while data := source.read(65536):
                rest += data
                if b"\n" in data:
                    *whole, rest = rest.split(b"\n")
                    for line in whole:
                        put(bytes(line.removesuffix(b"\r")))
            if rest:
                put(bytes(rest))

    threading.Thread(target=read, name="input", daemon=True).start()
    while (line := await lines.get()) is not None:
        room.release()
        yield line


# What is told on standard error


def _opened(event: OpenEvent) -> None:
    _tell(f"link {event.link} is open")


def _gone(event: CloseEvent) -> None:
    _tell(f"link {event.link} is gone: {event.reason}")


def _retries(event: ReconnectEvent) -> None:
    _tell(f"retry {event.retry} in {event.delay:.1f} s: {event.reason}")


def _tell(text: str) -> None:
    tell(f"-- {printable(text)}")


def _shown(message: Message) -> str:
    """Return what a terminal is shown of a message."""
    return repr(message) if isinstance(message, bytes) else printable(message, keep="\t\n")
