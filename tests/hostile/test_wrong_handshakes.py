"""Answers to the handshake that break RFC 6455: the connection says what is wrong, and tries again."""

import asyncio

import pytest
from tests.engines.peers import TEXT, Handler, Peer, frame
from tests.hostile.servers import (
    ENGINES,
    OPEN_TIMEOUT,
    SWITCHING,
    forever,
    recover,
)
from tests.watch import Run

from websocket_heartbeat import (
    HandshakeError,
    HandshakeRejected,
)


async def bad_accept_key(peer: Peer) -> None:
    peer.write(peer.response().replace(b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: A"))
    await peer.gone()


async def endless_headers(peer: Peer) -> None:
    peer.write(SWITCHING)
    await forever(peer, b"X-More: " + b"x" * 4000 + b"\r\n")


async def one_endless_line(peer: Peer) -> None:
    await forever(peer, b"x" * 4000)


async def unasked_compression(peer: Peer) -> None:
    peer.write(peer.response("Sec-WebSocket-Extensions: permessage-deflate"))
    await forever(peer, frame(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=4))


async def unasked_subprotocol(peer: Peer) -> None:
    peer.write(peer.response("Sec-WebSocket-Protocol: mine"))
    await peer.gone()


async def endless_body(peer: Peer) -> None:
    peer.write(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n")
    await forever(peer, b"1000\r\n" + b"x" * 4096 + b"\r\n")


async def another_protocol(peer: Peer) -> None:
    peer.write(b"220 mail.example.com ESMTP\r\n")
    await peer.gone()


HANDSHAKES: dict[str, tuple[Handler, type[Exception], str]] = {
    "bad accept key": (bad_accept_key, HandshakeError, "accept"),
    "endless headers": (endless_headers, HandshakeError, "not a valid"),
    "one endless line": (one_endless_line, HandshakeError, "not a valid"),
    "unasked compression": (unasked_compression, HandshakeError, "extension"),
    "unasked subprotocol": (unasked_subprotocol, HandshakeError, "subprotocol"),
    "a rejection without end": (endless_body, HandshakeRejected, "503"),
    "another protocol": (another_protocol, HandshakeError, "not a valid"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", HANDSHAKES)
def test_a_wrong_handshake_is_told_as_such_and_tried_again(what: str, engine: str, run_asyncio: Run) -> None:
    async def main() -> None:
        faulty, kind, words = HANDSHAKES[what]
        report = await recover(faulty, OPEN_TIMEOUT, engine=engine)
        assert type(report.errors[0]) is kind
        assert words in str(report.errors[0]).lower()
        assert len(report.errors) == 1
        assert (report.opens, len(report.reasons)) == (1, 1)

    run_asyncio(main())


@pytest.mark.parametrize("engine", ENGINES)
def test_headers_of_one_byte_a_second_are_given_up_after_the_open_timeout(
    engine: str, run_asyncio: Run
) -> None:
    async def one_byte_a_second(peer: Peer) -> None:
        for byte in peer.response():
            peer.write(bytes([byte]))
            await asyncio.sleep(1)

    async def main() -> None:
        report = await recover(one_byte_a_second, OPEN_TIMEOUT, engine=engine)
        assert isinstance(report.errors[0], TimeoutError)
        assert report.reasons[0] == "open timeout"

    run_asyncio(main())
