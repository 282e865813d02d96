"""The short form of `make cluster-chaos`: three workers share a store, and what is promised of them holds."""

import asyncio
import secrets

import pytest
from tests.chaos.cluster.rows import ROWS
from tests.chaos.cluster.run import RowPlan, run
from tests.chaos.cluster.stage import may_part


@pytest.mark.timeout(170)
@pytest.mark.parametrize("name", ["kills", "partitions"])
def test_nothing_is_lost_doubled_or_out_of_order_among_three_workers(name: str) -> None:
    if name == "partitions" and not may_part():
        pytest.skip("network namespaces need Linux and root")
    (row,) = [row for row in ROWS if row.name == name]
    plan = RowPlan(secrets.randbelow(2**31), messages=6_000, seconds=8, clients=7)
    outcome = asyncio.run(run(row, plan))
    assert outcome.is_clean, outcome.text()
    assert outcome.up > 300, outcome.text()
    assert outcome.done.total() > 0, outcome.text()
