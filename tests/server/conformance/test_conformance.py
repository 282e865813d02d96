"""What the hub promises holds on every server, but for what is stated; and the docs say so."""

import sys
from pathlib import Path

import pytest
from tests.server.conformance.checks import CHECKS
from tests.server.conformance.servers import SERVERS, Kind, issue_tls
from tests.server.conformance.suite import expected, judge
from tests.server.conformance.table import PAGE, head, row
from tests.watch import Run

HERE = [
    kind
    for kind in SERVERS
    if sys.implementation.name == "cpython"
    or kind.name not in ("uvicorn, websockets-sansio", "daphne", "granian")
]
"""Those that run on this Python: uvloop, and what daphne needs, are for CPython alone, and with granian PyPy
collects sockets and tasks too late."""


def possible(kind: Kind) -> list[str]:
    """Return the names of the checks that can be made.

    hypercorn 0.18 ends only when all its clients have left: it calls `Server.wait_closed`, which from Python
    3.12.1 on waits for them, before its own limit of time begins.
    """
    ends = kind.name != "hypercorn" or sys.version_info < (3, 12, 1)
    return [name for name in CHECKS if ends or name not in ("session restart", "SIGTERM")]


@pytest.mark.timeout(240)  # of 10 s as a rule
@pytest.mark.parametrize("kind", HERE, ids=lambda kind: kind.name)
def test_a_server_keeps_what_the_hub_promises(run_asyncio: Run, kind: Kind) -> None:
    async def main() -> None:
        names = possible(kind)
        assert await judge(kind, names) == {name: expected(kind)[name] for name in names}

    run_asyncio(main())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", [kind for kind in HERE if kind.is_asgi], ids=lambda kind: kind.name)
def test_a_server_keeps_what_depends_on_its_transport_over_tls_too(
    run_asyncio: Run, kind: Kind, tmp_path: Path
) -> None:
    async def main() -> None:
        names = ("silent peer", "healthy peer", "flooding peer", "abort", "close codes", "2 MiB")
        found = await judge(kind, names, issue_tls(tmp_path))
        assert found == {name: expected(kind)[name] for name in names}

    run_asyncio(main())


def test_the_table_in_the_docs_has_a_column_for_each_server_and_a_row_for_each_check() -> None:
    lines = PAGE.read_text().splitlines()
    assert head() in lines
    table = {kind.name: expected(kind) for kind in SERVERS}
    for check in CHECKS.values():
        assert row(check, table) in lines, f"{check.name}: run `make conformance`"
        assert f"- *{check.name}*: {check.meaning}" in lines
