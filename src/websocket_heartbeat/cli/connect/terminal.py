"""A line that is edited while messages come in above it, by prompt_toolkit, with a history in a file."""

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.bindings.search import accept_search_and_accept_input
from prompt_toolkit.output import ColorDepth, create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from websocket_heartbeat.cli.connect.conversation import Interrupted

_STYLE = Style.from_dict({"open": "ansigreen", "away": "ansiyellow"})


class Terminal:
    """Reads lines from a person.

    state: returns what to show before the prompt, "" while the connection is open.
    words: what the Tab key completes at the beginning of a line. history: the file; None keeps none.
    """

    def __init__(
        self, state: Callable[[], str], words: Sequence[str], *, history: Path | None, has_colour: bool
    ) -> None:
        output = create_output()
        if isinstance(output, Vt100_Output):
            # It would ask for the position of the cursor, and terminals that answer late answer to the shell.
            output.enable_cpr = False
        self._state = state
        self._session: PromptSession[str] = PromptSession(
            self._prompt,
            history=InMemoryHistory() if history is None else _kept(history),
            completer=WordCompleter(list(words), sentence=True),
            complete_while_typing=False,
            key_bindings=_keys(),
            style=_STYLE,
            color_depth=None if has_colour else ColorDepth.MONOCHROME,
            enable_suspend=True,
            interrupt_exception=Interrupted,
            output=output,
        )

    @contextlib.contextmanager
    def printing_above(self) -> Iterator[None]:
        """Let what is printed meanwhile appear above the line that is edited."""
        errors = sys.stderr
        with patch_stdout(raw=True):
            if not errors.isatty():
                sys.stderr = errors
            yield

    async def lines(self) -> AsyncIterator[str]:
        """Yield each line when it is entered, until Ctrl-D.

        Raises:
            Interrupted: Ctrl-C was pressed.
        """
        with contextlib.suppress(EOFError):
            while True:
                yield await self._session.prompt_async(handle_sigint=False)

    def update(self) -> None:
        """Show the state again, as it has changed."""
        self._session.app.invalidate()

    def _prompt(self) -> StyleAndTextTuples:
        state = self._state()
        return [("class:away", f"{state} > ")] if state else [("class:open", "> ")]


def _keys() -> KeyBindings:
    """Have Enter enter what Ctrl-R has found, as in bash; prompt_toolkit goes on editing it."""
    keys = KeyBindings()
    keys.add("enter")(accept_search_and_accept_input)
    return keys


def _kept(path: Path) -> History:
    """Return the history in a file, which nobody else may read; without one where it cannot be written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return _Private(path)


class _Private(FileHistory):
    """Keeps no line that begins with a space, as shells do."""

    def store_string(self, string: str) -> None:
        if not string.startswith(" "):
            super().store_string(string)
