"""The short form of `make chaos`: all arrives once and in order, whatever links and the back end do."""

import asyncio
import secrets

import pytest
from tests.chaos.load import Plan
from tests.chaos.run import run


@pytest.mark.timeout(170)
def test_nothing_is_lost_doubled_or_out_of_order_while_links_and_the_back_end_go_down() -> None:
    seed = secrets.randbelow(2**31)
    plan = Plan(seed, messages=15_000, seconds=14, calm=1.5, clients=14, patience=60)
    outcome = asyncio.run(run(plan))
    table = outcome.table()
    print(table)
    assert outcome.is_clean, table
    assert outcome.up > 1000, table
    assert outcome.down > 1000, table
    assert outcome.cuts > 50, table
    assert outcome.done.total() > 0, table
