"""Runs the checks over one server, all against one process of it."""

import asyncio
import traceback
from collections.abc import Collection

from tests.server.conformance.checks import CHECKS, Check, crowd, left_behind, restart, sigterm
from tests.server.conformance.servers import BackEnd, Kind, Tls, running
from tests.watch import PATIENCE

_ALONE = (crowd, left_behind, restart, sigterm)
"""Run at the end, one after the other. All before run side by side, as most of them wait for time-outs."""


def expected(kind: Kind) -> dict[str, str]:
    """Return what the cells of a server must say."""
    assert kind.short.keys() <= CHECKS.keys()
    return {name: kind.short.get(name, check.best) for name, check in CHECKS.items()}


async def judge(kind: Kind, names: Collection[str] = tuple(CHECKS), tls: Tls | None = None) -> dict[str, str]:
    """Run the checks of those names over a server; return what their cells say."""
    checks = [CHECKS[name] for name in names]
    async with running(kind, tls) as server:
        await server.remember()
        together = [check for check in checks if check not in _ALONE]
        found = await asyncio.gather(*(_cell(server, check) for check in together))
        cells = {check.name: cell for check, cell in zip(together, found, strict=True)}
        for check in _ALONE:
            if check in checks:
                cells[check.name] = await _cell(server, check)
    return cells


async def _cell(server: BackEnd, check: Check) -> str:
    """Return what a check has found, or where it has failed."""
    try:
        async with asyncio.timeout(2 * PATIENCE):
            return await check.run(server)
    except Exception as error:
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if "/conformance/" in frame.filename
        ]
        return f"failed: {error!r} at {frames[-1].name}, line {frames[-1].lineno}: {frames[-1].line}"
