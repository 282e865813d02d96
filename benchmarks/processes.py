"""Server and contenders, each in a process of its own, on different cores, taking turns."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

CLIENT_CORE = 0
SERVER_CORE = 1

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pin(core: int) -> None:
    """Keep this process on that core, where the system can do so and has it."""
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {core})


def loop_factory(name: str) -> LoopFactory | None:
    """Return what makes an event loop of that name; plain asyncio where uvloop is missing."""
    if name == "uvloop":
        try:
            import uvloop
        except ImportError:
            return None
        return uvloop.new_event_loop
    return None


@contextmanager
def serving(scheme: str = "ws") -> Iterator[str]:
    """Run the server; the value is its URL, of scheme ws or wss."""
    with running("benchmarks.server", scheme) as process:
        assert process.stdout is not None
        yield f"{scheme}://127.0.0.1:{int(process.stdout.readline())}"


class Contender:
    """A process that runs one contender of a benchmark, one round whenever it is asked."""

    def __init__(self, benchmark: str, name: str, loop: str, process: "subprocess.Popen[str]") -> None:
        self.benchmark = benchmark
        self.name = name
        self.loop = loop
        self.label = name if loop == "asyncio" else f"{name} / {loop}"
        self._process = process

    def round(self, url: str, **options: Any) -> dict[str, Any] | None:
        """Run one round; None, with a note, where the package is missing."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"url": url, **options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.benchmark}: {self.label} died")
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            print(f"({self.benchmark}: {self.label} left out: {answer['missing']} is not installed)")
            return None
        return answer


@contextmanager
def contender(benchmark: str, name: str, loop: str = "asyncio") -> Iterator[Contender]:
    """Start the process of one contender."""
    with running("benchmarks.processes", benchmark, name, loop) as process:
        yield Contender(benchmark, name, loop, process)


@contextmanager
def running(module: str, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """Run a module in a process of its own, and kill it at the end."""
    # What a contender prints while it is torn down is ignored; why it died is shown.
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield process
        except BaseException:
            errors.seek(0)
            sys.stderr.write(errors.read()[-4000:])
            raise
        finally:
            process.kill()
            process.communicate()


def take_turns(
    benchmark: str,
    names: Sequence[tuple[str, str]],
    rounds: int,
    options: Callable[[str], dict[str, Any]] = lambda name: {},
    *,
    fresh: bool = False,
    scheme: str = "ws",
) -> dict[str, list[dict[str, Any]]]:
    """Let the contenders, pairs of name and loop, run one round after the other; return each one's answers.

    fresh: a new process for every round. scheme: of the server.
    """
    answers: dict[str, list[dict[str, Any]]] = {}
    missing: set[tuple[str, str]] = set()
    with serving(scheme) as url:
        started: dict[tuple[str, str], Any] = {}
        try:
            for _ in range(rounds):
                for pair in names:
                    if pair in missing:
                        continue
                    if fresh or pair not in started:
                        context = contender(benchmark, *pair)
                        started[pair] = context, context.__enter__()
                    context, process = started[pair]
                    answer = process.round(url, **options(pair[0]))
                    if answer is None:
                        missing.add(pair)
                    else:
                        answers.setdefault(process.label, []).append(answer)
                    if fresh:
                        started.pop(pair)[0].__exit__(None, None, None)
        finally:
            for context, _ in started.values():
                context.__exit__(None, None, None)
    return answers


def _work(benchmark: str, name: str, loop: str) -> None:
    """Be a contender: for every line of standard input one round, its answer as a line."""
    from importlib import import_module

    pin(CLIENT_CORE)
    function = import_module(f"benchmarks.{benchmark}").CONTENDERS[name]
    for line in sys.stdin:
        try:
            if loop == "uvloop" and loop_factory(loop) is None:
                raise ModuleNotFoundError(name="uvloop")
            with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
                # Before the loop ends: of some, thousands of tasks have to be cancelled then.
                print(json.dumps(runner.run(function(**json.loads(line)))), flush=True)
        except ModuleNotFoundError as error:
            print(json.dumps({"missing": error.name}), flush=True)


if __name__ == "__main__":
    _work(*sys.argv[1:])
