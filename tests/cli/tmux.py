"""A terminal that a test types into and looks at: tmux, with the command line in it as people have it."""

import asyncio
import itertools
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.cli.program import ENVIRONMENT, MAIN, PATIENCE
from tests.debian import program


class Screen:
    """What is on the terminal, and the keyboard."""

    def __init__(self, tmux: list[str]) -> None:
        self._tmux = tmux

    async def text(self, *, escapes: bool = False) -> str:
        """Return what the terminal has shown, with the colours where `escapes`, wrapped as it looks."""
        return await self._run("capture-pane", "-p", "-S", "-1000", *(["-e"] if escapes else []))

    async def type(self, text: str) -> None:
        """Type a text."""
        await self._run("send-keys", "-l", "--", text)

    async def press(self, *keys: str) -> None:
        """Press keys, by tmux's names: Enter, Up, Tab, C-c."""
        await self._run("send-keys", *keys)

    async def enter(self, line: str) -> None:
        """Type a line and press Enter."""
        await self.type(line)
        await self.press("Enter")

    async def resize(self, width: int, height: int) -> None:
        """Give the terminal another size."""
        await self._run("resize-window", "-x", str(width), "-y", str(height))

    async def seen(self, wanted: str | Callable[[str], bool]) -> str:
        """Wait until something is on the screen; return all that is."""
        shown = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    shown = await self.text()
                    if wanted in shown if isinstance(wanted, str) else wanted(shown):
                        return shown
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{wanted!r} was never seen:\n{shown}") from None

    async def _run(self, *command: str) -> str:
        process = await asyncio.create_subprocess_exec(*self._tmux, *command, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
        assert process.returncode == 0, command
        return out.decode()


_count = itertools.count()


@asynccontextmanager
async def screen(
    folder: Path, *arguments: str, width: int = 80, before: str = "", **environment: str
) -> AsyncIterator[Screen]:
    """Run the command line in a terminal; behind its end stands "status" and its exit status.

    folder: for the socket of tmux, and all that the program keeps. before: Python that runs first.
    """
    command = shlex.join([sys.executable, "-c", f"{before}\n{MAIN}", *arguments])
    async with running(folder, command, width, environment) as shown:
        yield shown


@asynccontextmanager
async def running(
    folder: Path, command: str, width: int = 80, environment: dict[str, str] | None = None
) -> AsyncIterator[Screen]:
    """Run any command of the shell in a terminal."""
    # A server of its own: the one before may be about to end.
    tmux = [program("tmux"), "-S", str(folder / f"tmux{next(_count)}"), "-f", os.devnull]
    variables = {"XDG_STATE_HOME": str(folder / "state"), "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    process = await asyncio.create_subprocess_exec(
        *tmux,
        *["new-session", "-d", "-x", str(width), "-y", "24", f"{command}; echo status $?; exec sleep 1000"],
        env=ENVIRONMENT | variables | (environment or {}),
    )
    assert await process.wait() == 0
    try:
        yield Screen(tmux)
    finally:
        killing = await asyncio.create_subprocess_exec(*tmux, "kill-server")
        await killing.wait()
