"""The short form of slow.py: behind a slow consumer the sender waits, and no memory grows."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.chaos import slow

COUNT = 20_000
"""Of 1000 characters each: 20 MB, if they were kept."""


@pytest.mark.timeout(170)
@pytest.mark.parametrize(("direction", "most"), [(slow.to_server, 256 + 256), (slow.to_client, 1049)])
def test_a_slow_consumer_slows_its_sender_and_fills_no_memory(
    direction: Callable[[int], Coroutine[Any, Any, slow.Measured]], most: int
) -> None:
    measured = asyncio.run(direction(COUNT))
    assert measured.count == COUNT
    # The window of the server in messages, and the client's queue before it; or that of the client in size.
    assert measured.ahead <= most + 1
    assert measured.grown < 5_000_000
