"""Programs in Node that use the library, and are led by lines of JSON on their standard input."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

PATIENCE = 30
"""Seconds that anything may take."""


class Program:
    """A program in Node that uses the library; `told` is what it was told so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.told: list[list[Any]] = []

    async def until(self, *wanted: Any, patience: float = PATIENCE) -> list[Any]:
        """Wait until the program is told something that begins so; return it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(patience):
            while line := await self.process.stdout.readline():
                event = json.loads(line)
                self.told.append(event)
                if event[: len(wanted)] == list(wanted):
                    return list(event)
        raise AssertionError(f"{wanted} was never told: {self.told}")

    def order(self, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")

    async def ended(self) -> str:
        """Wait until the program ends by itself, as it does when no timer and no socket is left."""
        async with asyncio.timeout(PATIENCE):
            out, err = await self.process.communicate()
        self.told += [json.loads(line) for line in out.decode().splitlines()]
        assert self.process.returncode == 0
        return err.decode()


@contextlib.asynccontextmanager
async def led(node: str, script: str, about: dict[str, Any]) -> AsyncIterator[Program]:
    """Run a script of node/ with one argument; it is killed if it has not ended by itself."""
    pipe = asyncio.subprocess.PIPE
    path = Path(__file__).parent / "node" / script
    process = await asyncio.create_subprocess_exec(
        node, str(path), json.dumps(about), stdin=pipe, stdout=pipe, stderr=pipe, limit=2**24
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
