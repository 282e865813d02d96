"""Our JavaScript and a browser's bare socket never part from our server, whoever of them talks."""

import asyncio

import pytest
from benchmarks.agreement import IDLE_TIMEOUT, TRAFFIC
from benchmarks.agreement_js import agree_with_javascript
from tests.miniprogram.chromium import executable

pytestmark = pytest.mark.timeout(300)


def test_no_healthy_client_in_javascript_loses_its_link_in_any_traffic() -> None:
    executable()
    pairs = asyncio.run(agree_with_javascript(2.5 * IDLE_TIMEOUT))
    assert len({pair.client for pair in pairs}) == 3
    assert len(pairs) == 3 * len(TRAFFIC)
    for pair in pairs:
        assert (pair.lost, pair.opened, pair.reasons) == (0, 1, ()), pair
        assert (pair.heard > 0) == TRAFFIC[pair.traffic][1], pair
