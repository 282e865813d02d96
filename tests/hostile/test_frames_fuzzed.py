"""Any bytes instead of frames: what precedes the first mistake is delivered, and the end is a clean one."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engines.peers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Peer,
    close_frame,
    frame,
    ws_server,
)
from tests.watch import PATIENCE, Watch

from websocket_heartbeat import (
    Backoff,
    ConnectionFailed,
    Heartbeat,
    Message,
    ProtocolViolation,
    ServerClosed,
    connect,
)
from websocket_heartbeat.checks import is_close_code

MAX_SIZE = 400
BOUND = 0.06
SLACK = 6.0
"""Seconds that a loaded machine may add to what the heartbeat allows."""


@dataclass
class Expected:
    """What a client must make of a stream of bytes, by RFC 6455: `ending` is wrong, closed, unfinished
    or, where engines may differ, unclear.
    """

    messages: list[Message] = field(default_factory=list)
    ending: str = "unfinished"


def read(data: bytes) -> Expected:
    """Read frames as the RFC says, slowly and plainly."""
    expected = Expected()
    parts: bytes | None = None
    is_text = False
    at = 0
    while at + 2 <= len(data):
        first, second = data[at], data[at + 1]
        opcode, fin, size = first & 15, bool(first & 128), second & 127
        control = opcode >= 8
        wrong = first & 0x70 or second & 128 or opcode not in (0, 1, 2, 8, 9, 10)
        wrong = wrong or (control and (not fin or size > 125))
        wrong = wrong or (not control and (opcode == CONTINUATION) == (parts is None))
        at += 2
        is_shortest = True
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[at : at + width])
            is_shortest = 2**63 > size >= (126 if width == 2 else 65536)
            at += width
        wrong = wrong or (not control and len(parts or b"") + size > MAX_SIZE)
        payload = data[at : at + size]
        if len(payload) < size or at > len(data):
            # What is wrong with it may be told by its head, or only when it is complete, which it never is.
            return ended(expected, "unclear" if wrong or not is_shortest else "unfinished")
        if wrong:
            return ended(expected, "wrong")
        if not is_shortest:  # an engine may or may not insist on it
            return ended(expected, "unclear")
        at += size
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2])
            right = not payload or (len(payload) >= 2 and is_close_code(code) and is_utf8(payload[2:]))
            return ended(expected, "closed" if right else "wrong")
        if control:
            continue
        if opcode != CONTINUATION:
            is_text = opcode == TEXT
        parts = (parts or b"") + payload
        if fin:
            if is_text and not is_utf8(parts):
                return ended(expected, "wrong")
            expected.messages.append(parts.decode() if is_text else parts)
            parts = None
        elif is_text and not is_utf8(parts):
            # Wrong already, or cut within a character: an engine may say so now or at the end.
            return ended(expected, "unclear")
    return expected


def ended(expected: Expected, ending: str) -> Expected:
    expected.ending = ending
    return expected


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


PAYLOADS = st.one_of(st.binary(max_size=300), st.text(max_size=50).map(str.encode), st.just(bytes(250)))
FRAMES = st.one_of(
    st.builds(frame, st.sampled_from([TEXT, BINARY]), PAYLOADS),
    st.builds(lambda text: frame(TEXT, text.encode()), st.text(max_size=200)),
    st.builds(lambda data: frame(BINARY, data[:9], fin=False) + frame(0, data[9:]), PAYLOADS),
    st.builds(
        lambda data, ping: frame(BINARY, data, fin=False) + frame(PING, ping) + frame(0), PAYLOADS, PAYLOADS
    ),
    st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=125)),
)
ODD = st.one_of(
    st.builds(
        frame, st.integers(0, 15), PAYLOADS, fin=st.booleans(), rsv=st.integers(0, 7), masked=st.booleans()
    ),
    st.builds(close_frame, st.integers(0, 5000), st.text(max_size=20)),
    st.builds(close_frame, st.sampled_from([None, 1000, 1001, 1011, 3000, 4999])),
    st.binary(max_size=40),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw valid frames, and do to their bytes what a bad memory or a bad programmer does."""
    data = bytearray(b"".join(draw(st.lists(FRAMES, min_size=1, max_size=4))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "insert", "repeat"]))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 4))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=4))
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 200))]
    return bytes(data)


STREAMS = st.one_of(
    st.lists(st.one_of(FRAMES, FRAMES, FRAMES, ODD), max_size=12).map(b"".join),
    mutated(),
    st.binary(max_size=200),
)


@st.composite
def chunked(draw: st.DrawFn) -> list[bytes]:
    """Draw a stream, cut at random places into what is written at a time."""
    data = draw(STREAMS)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


async def meet(chunks: list[bytes], then: str) -> tuple[list[Message], Exception | None, float]:
    """Let a connection meet a server that writes the chunks; return messages, the error, and the seconds."""

    async def handler(peer: Peer) -> None:
        try:
            await write(peer)
        finally:
            # Seen by us, its error is not logged when the stream is collected.
            peer.writer.transport.abort()
            with suppress(OSError):
                await peer.writer.wait_closed()

    async def write(peer: Peer) -> None:
        for number, chunk in enumerate(chunks):
            peer.write(chunk)
            # Some turns of the loop, so that chunks arrive apart.
            for _ in range(number % 3):
                await asyncio.sleep(0)
        if then == "end":
            # One direction only: our answers must not meet a reset that destroys what was not read yet.
            with suppress(OSError):  # it has left already
                peer.writer.write_eof()
        if then != "reset":
            await peer.gone()
        else:
            await peer.writer.drain()
            await asyncio.sleep(0.002)
            if not peer.writer.is_closing():
                peer.reset()

    messages: list[Message] = []
    loop = asyncio.get_running_loop()
    async with ws_server(handler) as server:
        connection = connect(
            server.url(),
            max_size=MAX_SIZE,
            max_retries=0,
            heartbeat=Heartbeat(BOUND / 2, BOUND / 2),
            backoff=Backoff(0.01, 1, 30),
            close_timeout=1,
        )
        begun = loop.time()
        async with connection:
            try:
                async with asyncio.timeout(PATIENCE):
                    async for message in connection:
                        messages.append(message)
            except ConnectionFailed as failed:
                cause: Any = failed.__cause__
        took = loop.time() - begun
        assert connection.state == "failed"
    return messages, cause, took


def check(chunks: list[bytes], then: str) -> None:
    expected = read(b"".join(chunks))
    results: list[tuple[list[Message], Exception | None, float]] = []

    async def main() -> None:
        results.append(await meet(chunks, then))

    Watch().run(main(), asyncio.run)
    messages, cause, took = results[0]
    assert took <= BOUND + SLACK
    assert cause is not None
    if then == "reset" and isinstance(cause, OSError):
        # A reset destroys what has not been read yet.
        assert messages == expected.messages[: len(messages)]
        return
    if expected.ending == "unclear":
        assert messages[: len(expected.messages)] == expected.messages
        return
    assert messages == expected.messages
    if expected.ending == "closed":
        assert isinstance(cause, ServerClosed)
    elif expected.ending == "wrong":
        assert isinstance(cause, ProtocolViolation)
    else:
        assert type(cause) is (TimeoutError if then == "silence" else ConnectionResetError)


def fuzz(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Spare the report of a failure the log of each example."""
    caplog.set_level(logging.CRITICAL, logger="websocket_heartbeat")


ENDINGS = st.sampled_from(["end", "end", "end", "reset", "reset", "silence"])


@fuzz(150)
@given(chunks=chunked(), then=ENDINGS)
def test_whatever_bytes_come_the_connection_delivers_what_was_right_and_ends_in_time(
    chunks: list[bytes], then: str
) -> None:
    check(chunks, then)


def test_a_valid_stream_is_delivered_whole_byte_by_byte() -> None:
    data = frame(TEXT, "ä".encode()) + frame(BINARY, b"ab", fin=False) + frame(PING, b"!") + frame(0, b"c")
    data += frame(TEXT, b"x" * 200) + close_frame(1001, "bye")
    expected = read(data)
    assert expected.messages == ["ä", b"abc", "x" * 200]
    assert expected.ending == "closed"
    check([data[at : at + 1] for at in range(len(data))], "end")
