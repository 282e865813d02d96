"""The masks of what a client sends: RFC 6455, section 5.3."""

import asyncio
import os
from collections.abc import Callable

import pytest
from tests.engines.test_fuzz import Events, Outcome, Transport, aiohttp_link

from websocket_heartbeat.engines.masks import new_mask


def test_no_two_masks_are_the_same() -> None:
    masks = [new_mask() for _ in range(5000)]
    assert all(len(mask) == 4 for mask in masks)
    assert len(set(masks)) > 4990  # of 2**32


def by_the_wire() -> list[bytes]:
    return [new_mask() for _ in range(50)]


def by_aiohttp() -> list[bytes]:
    """Return the masks of 50 empty messages, each of which is a head of two bytes and its mask."""

    async def main() -> bytes:
        transport = Transport()
        link = aiohttp_link(Events(Outcome()), transport, 1000)
        for _ in range(50):
            link.send("")
        return transport.written

    written = asyncio.run(main())
    return [written[at + 2 : at + 6] for at in range(0, len(written), 6)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("masks", [by_the_wire, by_aiohttp])
def test_masks_are_not_the_same_in_a_forked_process(masks: Callable[[], list[bytes]]) -> None:
    masks()  # fills what is kept of random numbers
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"".join(masks()))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        theirs = pipe.read()
    os.waitpid(child, 0)
    assert len(theirs) == 200
    assert not {theirs[at : at + 4] for at in range(0, 200, 4)} & set(masks())
