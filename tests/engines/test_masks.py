"""The masks of what a client sends: RFC 6455, section 5.3."""

import os

import pytest

from websocket_heartbeat.engines.masks import new_mask


def test_no_two_masks_are_the_same() -> None:
    masks = [new_mask() for _ in range(5000)]
    assert all(len(mask) == 4 for mask in masks)
    assert len(set(masks)) > 4990  # of 2**32


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_masks_are_not_the_same_in_a_forked_process() -> None:
    new_mask()  # fills the pool
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"".join(new_mask() for _ in range(50)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        theirs = pipe.read()
    os.waitpid(child, 0)
    ours = b"".join(new_mask() for _ in range(50))
    assert len(theirs) == 200
    assert not {theirs[at : at + 4] for at in range(0, 200, 4)} & {
        ours[at : at + 4] for at in range(0, 200, 4)
    }
