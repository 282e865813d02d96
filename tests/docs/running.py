"""Runs the code of a page from top to bottom, as a reader would, and sees that it prints what the page says.

- Python without a title is run here: a program, or a fragment of one, which may await, and for which there is
  a `connection` that is open.
- A block with a title is a file. Commands (`sh`) run such files, in a directory of the page's own; what they
  start goes on until the page ends.
- JavaScript is run by Node, as a module beside the package, with `wx` and `WebSocket`.
- A `text` block behind any of these is what it prints: these lines, in this order; "..." stands for anything.
  Code goes on until they have come. Without one it has to end.

wss://example.com is a server of ours, and each port that a page names is a free one.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import json
import logging
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from tests.docs.pages import ROOT, Block, blocks
from tools.npm import find_node

from websocket_heartbeat import connect
from websocket_heartbeat.cli.js import Format, Target, library
from websocket_heartbeat.testing import FaultProxy, SimulatedClock

PATIENCE = 25.0
"""Seconds that a block may take."""

_SHOWN_ONLY = {"text", "console", "html", "diff", "yaml", "nginx", "ini", "toml", "json", "wxml", "xml", ""}
_PORT = re.compile(r"\b(?:8[07]\d\d)\b")
_INSTALLING = ("pip ", "npm ", "python -m venv", "source ", "cd ", "docker ", "make ")


class Output(io.StringIO):
    """What a block prints, until that is all that its page says."""

    def __init__(self, expected: str | None) -> None:
        super().__init__()
        self._expected = [] if expected is None else expected.splitlines()
        self.is_awaited = expected is not None

    @property
    def is_complete(self) -> bool:
        """Whether all lines that are expected have come, in their order."""
        return self.is_awaited and not self.missing

    @property
    def missing(self) -> list[str]:
        """The lines that are expected and have not come."""
        left = list(self._expected)
        for line in self.getvalue().splitlines():
            if left and re.fullmatch(re.escape(left[0].strip()).replace(r"\.\.\.", ".*"), line.strip()):
                del left[0]
        return left

    def check(self) -> None:
        """Say what has not come."""
        assert not self.missing, f"not printed: {self.missing}\nprinted:\n{self.getvalue()}"


class _Seen(BaseException):
    """Ends a program that blocks when it has printed what is expected."""


class _Printed(Output):
    """What a program prints that blocks its thread."""

    def write(self, text: str) -> int:
        written = super().write(text)
        if text.endswith("\n") and self.is_complete and _is_main_thread():
            raise _Seen
        return written


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def run_page(page: Path, directory: Path, port: int) -> None:
    """Run all blocks of a page; `port` is that of the server that stands for example.com."""
    every = list(blocks(page))
    ports = _Ports()
    names: dict[str, Any] = {"asyncio": asyncio, "json": json, "token": "secret"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(_logging_as_it_was())
        # One loop for all fragments, as in a notebook.
        loop = stack.enter_context(asyncio.Runner())
        for block, following in zip(every, [*every, None][1:], strict=True):
            behind = following.text if following and following.language == "text" else None
            expected = None if behind is None else ports.replaced(behind)
            block = block._replace(text=ports.replaced(_at(port, block.text)))
            try:
                _run_block(block, expected, directory, names, stack, loop, port)
            except Exception as error:
                error.add_note(f"{page.relative_to(ROOT)}:{block.line}")
                raise


@contextlib.contextmanager
def _logging_as_it_was() -> Iterator[None]:
    """Undo what a page shows of setting up the log."""
    names = ("websocket_heartbeat", "websocket_heartbeat.tracebacks")
    loggers = [logging.root, *map(logging.getLogger, names)]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def _at(port: int, text: str) -> str:
    return text.replace("wss://example.com", f"ws://127.0.0.1:{port}")


def _run_block(
    block: Block,
    expected: str | None,
    directory: Path,
    names: dict[str, Any],
    stack: contextlib.ExitStack,
    loop: asyncio.Runner,
    port: int,
) -> None:
    if block.language in _SHOWN_ONLY:
        return
    if block.title:
        file = directory / block.title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, encoding="utf-8")
    elif block.language == "python" and "def test_" in block.text:
        _tests(block)
    elif block.language == "python":
        _python(block, expected, names, loop, port)
    elif block.language == "js":
        _javascript(block, expected, directory, stack)
    elif block.language == "sh":
        lines = [line.partition("  #")[0].strip() for line in block.text.splitlines()]
        for line in lines:
            if line and not line.startswith((*_INSTALLING, "#")):
                _command(line, expected, directory, stack)
    else:
        raise AssertionError(f"nothing is known of how to run {block.language!r}")


def _python(
    block: Block, expected: str | None, names: dict[str, Any], loop: asyncio.Runner, port: int
) -> None:
    code = compile(
        block.text, f"line {block.line}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    if code.co_flags & inspect.CO_COROUTINE or (
        "connection" in code.co_names and "connect" not in code.co_names
    ):
        output = Output(expected)
        with contextlib.redirect_stdout(output):
            loop.run(_bounded(_fragment(code, names, port), output))
    elif "asyncio" in code.co_names and ".run(" in block.text:
        output = Output(expected)
        ran = asyncio.run
        with (
            contextlib.redirect_stdout(output),
            mock.patch("asyncio.run", lambda main: ran(_bounded(main, output))),
        ):
            exec(code, {"__name__": "__main__"})
    else:
        output = _Printed(expected)
        with contextlib.redirect_stdout(output), contextlib.suppress(_Seen):
            exec(code, names)
    output.check()


def _tests(block: Block) -> None:
    """Call the tests that a block defines, with the fixtures of our plugin."""
    names: dict[str, Any] = {}
    exec(block.text, names)
    fixtures = {"fault_proxy": FaultProxy, "simulated_clock": SimulatedClock()}
    for name, test in names.items():
        if name.startswith("test_"):
            test(**{wanted: fixtures[wanted] for wanted in inspect.signature(test).parameters})


async def _fragment(code: Any, names: dict[str, Any], port: int) -> None:
    async with connect(f"ws://127.0.0.1:{port}/echo") as connection:
        await connection.wait_open(PATIENCE)
        names["connection"] = connection
        result = eval(code, names)
        if inspect.isawaitable(result):
            await result


async def _bounded(main: Any, output: Output) -> None:
    """Run a coroutine until it ends, or has printed what is expected."""
    task = asyncio.ensure_future(main)
    deadline = time.monotonic() + PATIENCE
    while not task.done() and not output.is_complete and time.monotonic() < deadline:
        await asyncio.wait([task], timeout=0.02)
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
        if not output.is_complete:
            output.check()
            raise AssertionError("it does not end, and no output is said to be seen")
    elif not task.cancelled():
        task.result()


def _javascript(block: Block, expected: str | None, directory: Path, stack: contextlib.ExitStack) -> None:
    _package(directory / "node_modules" / "websocket-heartbeat")
    file = directory / f"line{block.line}.mjs"
    wx = ROOT / "tests" / "miniprogram" / "node" / "wx.js"
    beginning = (
        "import { createRequire } from 'node:module';\n"
        f"const wx = createRequire(import.meta.url)({json.dumps(str(wx))})"
        "(class extends WebSocket { on() {} });\n"
    )
    file.write_text(beginning + block.text, encoding="utf-8")
    _started([find_node(), str(file)], expected, directory, stack)


def _package(directory: Path) -> None:
    if directory.exists():
        return
    directory.mkdir(parents=True)
    entries: list[tuple[str, Target]] = [
        (".", "miniprogram"),
        ("./browser", "browser"),
        ("./session", "session"),
    ]
    form: Format = "esm"
    for _, target in entries:
        (directory / f"{target}.mjs").write_text(library(form, target), encoding="utf-8")
    exports = {entry: f"./{target}.mjs" for entry, target in entries}
    (directory / "package.json").write_text(json.dumps({"name": "websocket-heartbeat", "exports": exports}))


def _command(line: str, expected: str | None, directory: Path, stack: contextlib.ExitStack) -> None:
    words = shlex.split(line)
    beside = Path(sys.executable).with_name(words[0])
    program = sys.executable if words[0] == "python" else str(beside) if beside.exists() else words[0]
    _started([program, *words[1:]], expected, directory, stack)


def _started(command: list[str], expected: str | None, directory: Path, stack: contextlib.ExitStack) -> None:
    """Start a program, which goes on until the page ends, and wait until it has printed what is expected."""
    # Into a file, so that one that goes on printing never waits for us.
    place = directory / f"output{len(list(directory.iterdir()))}"
    log = stack.enter_context(place.open("w", encoding="utf-8"))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )

    def end() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    stack.callback(end)
    deadline = time.monotonic() + PATIENCE
    while True:
        has_ended = process.poll() is not None
        output = Output(expected)
        output.write(place.read_text(encoding="utf-8"))
        if output.is_complete and (expected or has_ended):
            return
        if has_ended or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    output.check()
    assert process.returncode == 0, f"{command} ended with {process.returncode}:\n{output.getvalue()}"


class _Ports:
    """A free port for each that a page names."""

    def __init__(self) -> None:
        self._free: dict[str, str] = {}

    def replaced(self, text: str) -> str:
        return _PORT.sub(lambda port: self._of(port[0]), text)

    def _of(self, port: str) -> str:
        while port not in self._free:
            # Below those that the system gives to connections, of which there are many meanwhile.
            chosen = random.randrange(20000, 32000)
            with contextlib.suppress(OSError), socket.create_server(("", chosen)):
                self._free[port] = str(chosen)
        return self._free[port]
