"""A session of JavaScript over links that break at any byte: each message is handled once, and in order."""

import asyncio
from pathlib import Path

import pytest
from tests.miniprogram.chromium import executable
from tests.miniprogram.conftest import Npm, installed
from tests.miniprogram.history import KINDS, history, verdict
from tests.miniprogram.real_hosts import HOSTS


@pytest.mark.timeout(200)
@pytest.mark.parametrize("kind", KINDS)
def test_no_message_is_lost_doubled_or_out_of_order(kind: str, npm: Npm, tmp_path: Path) -> None:
    installed(npm, HOSTS)
    if kind == "chromium":
        executable()
    seen = asyncio.run(history(kind, 10_000, 20261128, tmp_path))
    assert (seen.to_server, seen.to_client, seen.uncertain) == ("as sent", "as sent", 0)
    assert seen.resumed >= 2
    assert (seen.sessions, seen.resets) == (1, [])


def test_the_checker_counts_what_is_lost_doubled_and_out_of_order() -> None:
    assert verdict([0, 1, 2], [0, 1, 2]) == "as sent"
    assert verdict([0, 2, 2, 1], [0, 1, 2, 3]) == "1 lost, 1 doubled, 1 out of order"
