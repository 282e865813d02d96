"""A server's link refuses a frame by its head, and buffers nothing of it; conformance has the client's."""

import asyncio

import pytest
from tests.engines.test_fuzz import Events, Outcome, Transport

from websocket_heartbeat.engines.wire_server import ServerLink

HEADS = {
    "reserved bit 1": b"\xc1\xff",
    "reserved bit 2": b"\xa2\xff",
    "reserved bit 3 of a ping": b"\x99\xfd",
    "an unknown data frame": b"\x83\xff",
    "an unknown control frame": b"\x8b\xfd",
    "a fragmented ping": b"\x09\xfd",
    "a ping of 126 bytes": b"\x89\xfe",
    "a close frame of 126 bytes": b"\x88\xfe",
    "a fragmented close frame": b"\x08\xfd",
    "a frame without a mask": b"\x82\x7f",
    "a continuation of nothing": b"\x80\xfd" + bytes(4),
}


@pytest.mark.parametrize("what", HEADS)
def test_a_violation_that_the_head_of_a_frame_shows_does_not_wait_for_its_payload(what: str) -> None:
    async def main() -> None:
        outcome = Outcome()
        transport = Transport()
        link = ServerLink(Events(outcome), 2**20, None)
        link.begin(transport, b"")
        head = HEADS[what]
        link.get_buffer(-1)[: len(head)] = head
        link.buffer_updated(len(head))
        assert outcome.ended == "1002"
        assert transport.written[:1] == b"\x88"
        assert transport.written[2:4] == (1002).to_bytes(2)

    asyncio.run(main())
