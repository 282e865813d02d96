"""A program of another language that the tests start: it takes orders and tells events by lines of words."""

import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

PROGRAMS = Path(__file__).parent / "programs"
ROOT = Path(__file__).parents[2]


class Program:
    """A program that runs until the end of `with`.

    events: what it has told so far, each a list of words.
    """

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str], errors: Path) -> None:
        self.events: list[list[str]] = []
        self._errors = errors
        with errors.open("wb") as stream:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                encoding="utf-8",
            )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reading.join()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.events.append(line.rstrip("\n").split("\t"))

    def order(self, *words: object) -> None:
        """Tell the program to do something."""
        assert self._process.stdin is not None
        self._process.stdin.write("\t".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def told(self, name: str) -> list[list[str]]:
        """Return the rest of the words of each event of that name."""
        return [words for first, *words in self.events if first == name]

    @property
    def errors(self) -> str:
        """What it has written to its standard error."""
        return self._errors.read_text(encoding="utf-8", errors="replace")
