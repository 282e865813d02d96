"""Runs all checks over one server: side by side, as most of them wait for time-outs, and in one process of it."""

import asyncio
import traceback
from collections.abc import Collection

from tests.server.conformance.checks import TOGETHER, Check, crowd, left_behind, sigterm
from tests.server.conformance.servers import BackEnd, Kind, running
from tests.watch import PATIENCE

CHECKS: dict[str, Check] = {
    **TOGETHER,
    "200 at once": crowd,
    "left behind": left_behind,
    "SIGTERM": sigterm,
}
"""All of them, by the name of their column. The last three run alone, one after the other."""


async def judge(kind: Kind, names: Collection[str] = tuple(CHECKS)) -> dict[str, str]:
    """Run the checks of those names over a server; return their cells, or where a check has failed."""
    async with running(kind) as server:
        await server.remember()
        together = [name for name in names if name in TOGETHER]
        found = await asyncio.gather(*(_cell(server, CHECKS[name]) for name in together))
        cells = dict(zip(together, found, strict=True))
        for name in names:
            if name not in cells:
                cells[name] = await _cell(server, CHECKS[name])
        return {name: cells[name] for name in names}


async def _cell(server: BackEnd, check: Check) -> str:
    try:
        async with asyncio.timeout(2 * PATIENCE):
            return await check(server)
    except Exception as error:
        ours = [
            frame for frame in traceback.extract_tb(error.__traceback__) if "/conformance/" in frame.filename
        ]
        return f"failed: {error!r} at {ours[-1].name}, line {ours[-1].lineno}: {ours[-1].line}"
