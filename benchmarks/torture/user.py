"""The user of one client, in a process of its own: does what it is told by JSON lines and tells what happens.

`python -m benchmarks.torture.user ADAPTER OPTIONS`, where an adapter is a module of .adapters with a function
`run(user)`: it connects as the documentation of its library recommends, and calls back here.
"""

import asyncio
import contextlib
import importlib
import inspect
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

_monotonic = time.monotonic
_wall = time.time
_clock = time.clock_gettime
_offset = 0.0


def _shift_clocks() -> None:
    """Let wall clock and boot clock go wrong on demand; libraries must be imported later than this."""
    time.time = lambda: _wall() + _offset
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    shifted = (time.CLOCK_REALTIME, boot)
    time.clock_gettime = lambda clock: _clock(clock) + (_offset if clock in shifted else 0.0)


def tell(event: str, **facts: Any) -> None:
    """Write one line for the judge; threads may do so too."""
    line = json.dumps({"event": event, "at": _monotonic(), **facts}, default=str) + "\n"
    os.write(1, line.encode())


class User:
    """What an adapter calls.

    url, headers, interval, timeout, open_timeout, close_timeout: how to connect.
    send, close: what the library has for it, set by the adapter. closing: whether the user has closed.
    errands: messages that a user who connects, sends and leaves wants to send; none for all other users.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.url: str = options["url"]
        self.headers: dict[str, str] = options.get("headers", {})
        self.interval: float = options["interval"]
        self.timeout: float = options["timeout"]
        self.open_timeout: float = options["open_timeout"]
        self.close_timeout: float = options["close_timeout"]
        self.send: Callable[[str], Any] | None = None
        self.close: Callable[[], Any] | None = None
        self.closing = False
        self.errands = [f"errand {number}" for number in range(options.get("errands", 0))]
        self.received = 0
        self._away_until = 0.0
        self._links = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    # What the adapter tells

    def opened(
        self, send: Callable[[str], Any] | None = None, close: Callable[[], Any] | None = None
    ) -> None:
        self.send = send or self.send
        self.close = close or self.close
        self._links += 1
        tell("open", link=self._links)
        if "login" in self.options:
            self._spawn(self._login())
        if self.errands and self.close is not None:
            self._spawn(self._send_and_leave())

    async def do_errands(self, send: Callable[[str], Any]) -> None:
        """Send what the user has come for; the adapter closes then."""
        for text in self.errands:
            result = send(text)
            if isinstance(result, Awaitable):
                await result

    async def log_in(self, send: Callable[[str], Awaitable[Any]], recv: Callable[[], Awaitable[Any]]) -> None:
        """Hold a dialogue as the first thing on a link, if the user is one that does.

        Raises:
            PermissionError: the server does not want us.
        """
        if "dialogue" in self.options:
            await send("login")
            if await recv() != "welcome":
                raise PermissionError("the server refused the login")

    async def leave(self, close: Callable[[], Awaitable[Any]]) -> bool:
        """Close if the user wants to, in the loop that receives; tell whether."""
        if self.closing:
            self.close = close
            await self._close()
        return self.closing

    async def message(self, text: object) -> None:
        """Take a message as an application does that awaits something for it."""
        if (seconds := self._take(text)) is not None:
            self._away_until = _monotonic() + seconds
        # Each message has to wait, also where each is handled in a task of its own.
        if (left := self._away_until - _monotonic()) > 0:
            await asyncio.sleep(left)

    def message_now(self, text: object) -> None:
        """Take a message in a callback that blocks."""
        if (seconds := self._take(text)) is not None:
            time.sleep(seconds)

    def lost(self, why: object = "") -> None:
        tell("lost", why=_words(why))

    def failed(self, error: object) -> None:
        tell("failed", why=_words(error), facts=_facts(error))

    def _take(self, text: object) -> float | None:
        shown = text.decode() if isinstance(text, bytes) else str(text)
        self.received += 1
        if shown.startswith("stall"):
            tell("stalled")
            return float(shown.split()[1])
        if not shown.startswith("#"):
            tell("message", text=shown[:40])
        if shown == "raise":
            raise LookupError("a mistake of the user")
        return None

    async def _send_and_leave(self) -> None:
        assert self.send is not None
        try:
            await self.do_errands(self.send)
        except Exception as error:
            self.failed(error)
        await self._close()

    async def _login(self) -> None:
        await asyncio.sleep(self.options["login"])
        await self._say("login")

    # What the judge asks for

    def command(self, order: dict[str, Any]) -> None:
        global _offset
        do = order["do"]
        if do == "block":
            tell("blocking")
            time.sleep(order["seconds"])
            tell("blocked")
        elif do == "flood":
            self._spawn(self._flood())
        elif do == "upload":
            self._spawn(self._say("x" * order["size"]))
        elif do == "send":
            self._spawn(self._say(order["text"]))
        elif do == "close":
            self.closing = True
            if self.close is not None:
                self._spawn(self._close())
        elif do == "clock":
            _offset = order["seconds"]
        elif do == "count":
            tell("count", received=self.received, resident=_resident())

    async def _flood(self) -> None:
        block = "x" * 65536
        while True:
            await self._say(block)
            await asyncio.sleep(0)

    async def _say(self, text: str) -> None:
        assert self.send is not None
        with contextlib.suppress(Exception):  # told by other ways, if at all
            result = self.send(text)
            if isinstance(result, Awaitable):
                await result

    async def _close(self) -> None:
        assert self.close is not None
        begun = _monotonic()
        try:
            result = self.close()
            if isinstance(result, Awaitable):
                await result
        finally:
            tell("closed", took=_monotonic() - begun)

    def _spawn(self, coroutine: Any) -> None:
        try:
            task = asyncio.get_running_loop().create_task(coroutine)
        except RuntimeError:  # a library of threads
            threading.Thread(target=asyncio.run, args=(coroutine,), daemon=True).start()
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Log(logging.Handler):
    """Tells what libraries log, as a program with logging set up would show it."""

    def emit(self, record: logging.LogRecord) -> None:
        cause = repr(record.exc_info[1]) if record.exc_info else ""
        tell("log", level=record.levelname, why=f"{record.getMessage()[:300]} {cause}")


def _words(error: object) -> str:
    return f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)


def _facts(error: object, depth: int = 3) -> str:
    """Collect what an error offers to a program that asks it: attributes, and those of its cause."""
    if depth == 0 or error is None or isinstance(error, type):
        return ""
    words = [_words(error)]
    names = (
        "status",
        "status_code",
        "status_message",
        "headers",
        "body",
        "resp_body",
        "resp_headers",
        "message",
    )
    for name in (*names, "raw_header", "raw_body", "response", "history", "error"):
        with contextlib.suppress(Exception):
            value = getattr(error, name, None)
            if value is not None and not callable(value):
                words.append(
                    f"{name}={value!r} {_facts(value, depth - 1) if name in ('response', 'error') else ''}"
                )
                with contextlib.suppress(Exception):
                    words.append(repr(dict(value)))
    if isinstance(error, BaseException):
        words.append(_facts(error.__cause__ or error.__context__, depth - 1))
    if isinstance(error, BaseExceptionGroup):
        words += [_facts(inner, depth - 1) for inner in error.exceptions]
    return " ".join(words)[:3000]


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _orders() -> Any:
    """Read the orders that have come; the judge's end of the pipe ends the process."""
    data = os.read(0, 65536)
    if not data:
        os._exit(0)
    return [json.loads(line) for line in data.splitlines()]


def _in_threads(user: User, run: Callable[[User], None]) -> None:
    """Run a library that blocks: orders come in another thread, a signal blocks the one of the library."""

    def listen() -> None:
        while True:
            for order in _orders():
                if order["do"] == "block":
                    pending.append(order)
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
                else:
                    user.command(order)

    pending: list[dict[str, Any]] = []
    signal.signal(signal.SIGUSR1, lambda *_: user.command(pending.pop()))
    threading.Thread(target=listen, daemon=True).start()
    for _ in range(1, user.options.get("count", 1)):
        threading.Thread(target=run, args=(User(user.options),), daemon=True).start()
    run(user)


async def _in_a_loop(user: User, run: Callable[[User], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()

    def listen() -> None:
        for order in _orders():
            user.command(order)

    loop.add_reader(0, listen)
    if "cancel" in user.options:
        await _cancel(user, run)
        return
    count = user.options.get("count", 1)
    users = [user, *(User(user.options) for _ in range(count - 1))]
    try:
        await asyncio.gather(*(run(each) for each in users))
        tell("ended")
    except Exception as error:
        user.failed(error)
        tell("ended", why=_words(error))
    await asyncio.Event().wait()  # the end of a client is not that of the program


async def _cancel(user: User, run: Callable[[User], Awaitable[None]]) -> None:
    """Cancel the user's task at one moment after the other; tell how often it went on, and for how long."""
    ignored, slowest = 0, 0.0
    for step in range(user.options["cancel"]):
        task = asyncio.ensure_future(run(User(user.options)))
        await asyncio.sleep(0.015 * step)
        was_done = task.done()
        begun = _monotonic()
        task.cancel()
        await asyncio.wait([task], timeout=3)
        took = _monotonic() - begun
        if not was_done:
            slowest = max(slowest, took)
            ignored += not task.done() or not task.cancelled()
        if not task.done():
            task.cancel()
    await asyncio.sleep(0.3)
    left = [repr(task)[:200] for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    tell("cancelled", ignored=ignored, slowest=slowest, left=left)
    await asyncio.sleep(60)


def main() -> None:
    """Be the user of one library."""
    name, options = sys.argv[1], json.loads(sys.argv[2])
    _shift_clocks()
    logging.basicConfig(level=logging.WARNING, handlers=[Log()])
    try:
        adapter = importlib.import_module(f"benchmarks.torture.adapters.{name}")
    except ModuleNotFoundError as missing:
        tell("missing", why=str(missing))
        return
    tell("ready")
    user = User(options)
    if inspect.iscoroutinefunction(adapter.run):
        asyncio.run(_in_a_loop(user, adapter.run))
    else:
        _in_threads(user, adapter.run)
        tell("ended")
        time.sleep(60)


if __name__ == "__main__":
    main()
