"""The lines of standard input, where nobody edits them: pipes, files and plain terminals."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator


async def lines() -> AsyncIterator[bytes]:
    """Yield the lines, which a thread reads.

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
