"""What the hub promises holds on every server, but for what is stated; and the docs say so."""

import pytest
from tests.server.conformance.checks import CHECKS
from tests.server.conformance.servers import SERVERS, Kind
from tests.server.conformance.suite import expected, judge
from tests.server.conformance.table import PAGE, head, row
from tests.watch import Run


@pytest.mark.timeout(240)  # of 10 s as a rule
@pytest.mark.parametrize("kind", SERVERS, ids=lambda kind: kind.name)
def test_a_server_keeps_what_the_hub_promises(run_asyncio: Run, kind: Kind) -> None:
    async def main() -> None:
        assert await judge(kind) == expected(kind)

    run_asyncio(main())


def test_the_table_in_the_docs_has_a_row_for_each_server_and_a_column_for_each_check() -> None:
    lines = PAGE.read_text().splitlines()
    assert head() in lines
    for kind in SERVERS:
        assert row(kind, expected(kind)) in lines, f"{kind.name}: run `make conformance`"
    for check in CHECKS.values():
        assert f"- *{check.name}*: {check.meaning}" in lines
