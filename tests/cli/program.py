"""Runs the command line in a process of its own, as people do, with warnings as errors."""

import os
import subprocess
import sys
from dataclasses import dataclass

PATIENCE = 50.0
"""Seconds that anything may take before a test gives up waiting for it."""

# Who runs the tests in the background may ignore Ctrl-C, and that is inherited; a person's shell does not.
MAIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from websocket_heartbeat.cli import main
sys.exit(main())
"""

ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "NO_COLOR", "COLUMNS")
} | {"PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1"}

Program = subprocess.Popen[str]


@dataclass(frozen=True)
class Result:
    """What a program has printed, and its exit status."""

    status: int
    out: str
    err: str


def start(*arguments: str, before: str = "", stdin: int = subprocess.DEVNULL) -> Program:
    """Start the program. `before` is Python that runs first, for what is to be broken."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{before}\n{MAIN}", *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def finish(program: Program, stdin: str | None = None, patience: float = PATIENCE) -> Result:
    """Wait for the end of the program."""
    try:
        out, err = program.communicate(stdin, timeout=patience)
    finally:
        discard(program)
    return Result(program.returncode, out, err)


def discard(program: Program) -> None:
    """End the program, whatever it does, and leave nothing of it."""
    program.kill()
    program.wait()
    for pipe in (program.stdin, program.stdout, program.stderr):
        if pipe is not None:
            pipe.close()
