"""The soak can fail: its ledger sees what is wrong, and a short run of it is sound."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.soak.clients import Client, Ledger
from benchmarks.soak.constants import BOUND

from websocket_heartbeat import Undelivered

ROOT = Path(__file__).parents[2]
SHORT = ["--minutes", "0.05", "--connections", "20", "--seed", "1", "--healthy", "1", "--no-blocks"]


def client_of(ledger: Ledger) -> Client:
    return Client("ws://127.0.0.1:9/", 3, 1, ledger, random.Random(1))


def test_a_message_that_vanished_though_its_link_lived_is_a_violation() -> None:
    ledger = Ledger()
    mine = client_of(ledger)
    now = time.monotonic()
    mine.pending = {1: now, 2: now}
    mine.echoed(2)
    assert ledger.violations == ["client 1: 1 was lost without a word"]


def test_a_message_may_vanish_with_the_link_that_took_it_but_not_with_an_earlier_one() -> None:
    ledger = Ledger()
    mine = client_of(ledger)
    now = time.monotonic()
    mine.losses = [now - 5]
    mine.pending = {1: now - 6, 2: now - 4, 3: now}
    mine.echoed(3)
    assert ledger.counts["uncertain at a loss"] == 1
    assert ledger.violations == ["client 1: 2 was lost without a word"]


def test_a_message_that_comes_twice_or_is_undeliverable_after_its_echo_is_a_violation() -> None:
    ledger = Ledger()
    mine = client_of(ledger)
    mine.pending = {1: 0.0}
    mine.echoed(1)
    mine.echoed(1)
    mine.failed(Undelivered(["1 xxx"]))
    assert len(ledger.violations) == 2


def test_a_message_that_still_waited_at_our_close_must_have_been_reported_one_on_its_way_need_not() -> None:
    ledger = Ledger()
    mine = client_of(ledger)
    mine.losses = [5.0]
    mine.pending = {1: 4.0, 2: 6.0}
    mine.account_at_close(had_link=False)
    assert ledger.counts["uncertain at our own close"] == 1
    assert ledger.violations == ["client 1: 2 waited at close and was not reported"]
    mine.account_at_close(had_link=True)
    assert ledger.counts["uncertain at our own close"] == 3


@pytest.mark.parametrize(
    ("site", "since", "until", "is_healthy"),
    [
        (3, -8.0, None, False),
        (3, -8.0, -6.0, False),
        (4, -8.0, None, True),
        (3, -4.0, None, True),
        (3, -40.0, -6.0 - BOUND - 4, True),
    ],
    ids=["under way", "just over", "elsewhere", "later", "long over"],
)
def test_a_loss_without_a_fault_at_that_site_is_the_loss_of_a_healthy_link(
    site: int, since: float, until: float | None, is_healthy: bool
) -> None:
    ledger = Ledger()
    now = time.monotonic()
    ledger.faults[site, now + since] = None if until is None else now + until
    ledger.losses = [(now - 5, 3, "heartbeat timeout")]
    ledger.judge(now)
    assert bool(ledger.violations) is is_healthy


def test_a_soak_with_mild_faults_loses_nothing_and_leaves_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", *SHORT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "violations: none" in done.stdout
