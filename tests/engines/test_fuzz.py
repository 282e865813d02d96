"""Random frames, cut at random, mean to our links what they mean to the protocol of websockets alone."""

import asyncio
import os
import random
import struct
import zlib
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.client_proto import ResponseHandler
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from websocket_heartbeat.checks import is_close_code
from websocket_heartbeat.engines.aiohttp import AiohttpLink
from websocket_heartbeat.engines.base import Closure
from websocket_heartbeat.engines.long_frame import LongFrame
from websocket_heartbeat.engines.masks import apply_mask
from websocket_heartbeat.engines.sansio import SILENT
from websocket_heartbeat.engines.transport import READ
from websocket_heartbeat.engines.wire import WireLink
from websocket_heartbeat.engines.wire_client import ClientLink
from websocket_heartbeat.engines.wire_server import ServerLink
from websocket_heartbeat.errors import ProtocolViolation
from websocket_heartbeat.events import Message

SEQUENCES = int(os.environ.get("FUZZ", "2000"))
"""Sequences of frames in each of the tests: more of them find what is rarer."""


@dataclass(frozen=True)
class Scale:
    """How large frames are that are made, at most and as a rule, and the chunks that they come in."""

    max_size: int
    sizes: tuple[int, ...]
    chunks: tuple[int, ...]


SMALL = Scale(300, (0, 1, 2, 5, 124, 125, 126, 127, 200, 299, 300, 301), (1, 2, 3, 7, 50, 400, 5000))
LARGE = Scale(
    200_000,
    (0, 5, 130, READ - 1, READ, READ + 1, 65535, 65536, LongFrame.FIRST + LongFrame.BEHIND, 200_000, 200_001),
    (100, 1000, READ, 10**6),
)
OPCODES = (1, 1, 1, 1, 1, 2, 2, 2, 0, 0, 8, 9, 9, 9, 10, 3, 11)
CODES = (1000, 1001, 1005, 3000, 999)


@dataclass
class Outcome:
    """What a stream came to: messages, pings that were answered, pongs, the end.

    ended: "open", "closed CODE" by a close frame, or the code of a violation.
    """

    messages: list[Message] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)
    pongs: int = 0
    ended: str = "open"


def frame(choose: random.Random, side: Side, scale: Scale, compressor: Any) -> bytes:
    """Make a frame that is mostly a good one; it is for that side."""
    opcode = choose.choice(OPCODES)
    fin = choose.random() < 0.75
    rsv = choose.choice([0] * 30 + [4, 2, 1])
    size = choose.choice(scale.sizes) if choose.random() < 0.8 else choose.randrange(scale.max_size + 20)
    payload = bytes(choose.choice(b"abc") for _ in range(min(size, 400))).ljust(size, b"d")
    is_text = choose.random() < 0.95
    if not is_text:
        payload = choose.randbytes(size)
    if rsv or opcode not in (1, 2):
        payload = payload[: scale.max_size]  # one mistake is enough
    if rsv == 4 and compressor is not None:
        payload = payload[:2000]  # of longer ones websockets may mistake the last byte for one too many
    if opcode == 8:
        payload = choose.choice([b"", struct.pack("!H", choose.choice(CODES)) + payload[:3]])
    elif opcode > 8:
        payload = payload[:125]
    if opcode >= 8:
        fin = fin or choose.random() < 0.9
    elif compressor is not None and opcode in (1, 2) and fin and is_text and choose.random() < 0.7:
        payload = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        payload = payload.removesuffix(b"\x00\x00\xff\xff")
        rsv = 4
    masked = (side is Side.SERVER) is not (choose.random() < 0.01)
    head = bytes([fin << 7 | rsv << 4 | opcode])
    mark = masked << 7
    is_longer_than_it_need_be = choose.random() < 0.05
    if len(payload) < 126 and not (is_longer_than_it_need_be and opcode < 8):
        head += bytes([mark | len(payload)])
    elif len(payload) < 65536 and not is_longer_than_it_need_be:
        head += bytes([mark | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([mark | 127]) + struct.pack("!Q", len(payload))
    if masked:
        mask = choose.randbytes(4)
        head += mask
        payload = apply_mask(payload, mask)
    return head + payload


def flood(choose: random.Random, side: Side) -> bytes:
    """Make many tiny messages, pings and pongs."""
    mark = bytes([128]) + bytes(4) if side is Side.SERVER else bytes(1)
    return b"".join(bytes([choose.choice((0x81, 0x82, 0x89, 0x8A))]) + mark for _ in range(20_000))


def extension() -> PerMessageDeflate:
    return PerMessageDeflate(False, False, 15, 15)


class RenewedDeflate(PerMessageDeflate):
    """What websockets makes of a message that ends with a last block, and then goes on behind it.

    By itself it reads nothing but empty messages from then on, where RFC 7692, section 7.2.3.4, allows more.
    """

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        frame = super().decode(frame, max_size=max_size)
        if self.decoder.eof:
            self.decoder = zlib.decompressobj(wbits=-15)
        return frame


def by_websockets(stream: bytes, side: Side, scale: Scale, compressed: bool) -> Outcome:
    """Read the whole stream with the protocol of websockets, and assemble and measure its messages.

    It would count a control frame within fragments as a part of the message, so its limit is far above. And
    it wants no close frame there, which RFC 6455, section 5.4, allows: we take it.
    """
    protocol = Protocol(side, state=State.OPEN, max_size=2**30, logger=SILENT)
    protocol.extensions = [RenewedDeflate(False, False, 15, 15)] if compressed else []
    protocol.receive_data(stream)
    outcome = Outcome()
    parts = b""
    is_text = False
    for event in protocol.events_received():
        read: Any = event
        if read.opcode is Opcode.PING:
            outcome.pings.append(bytes(read.data))
        elif read.opcode is Opcode.PONG:
            outcome.pongs += 1
        elif read.opcode is not Opcode.CLOSE:
            if read.opcode is not Opcode.CONT:
                parts = b""
                is_text = read.opcode is Opcode.TEXT
            parts += read.data
            if len(parts) > scale.max_size:
                outcome.ended = "1009"
                return outcome
            if read.fin:
                try:
                    outcome.messages.append(parts.decode() if is_text else parts)
                except UnicodeDecodeError:
                    outcome.ended = "1007"
                    return outcome
    if protocol.close_rcvd is not None:
        outcome.ended = f"closed {int(protocol.close_rcvd.code)}"
    elif protocol.parser_exc is not None:
        assert protocol.close_sent is not None
        outcome.ended = str(int(protocol.close_sent.code))
    return outcome


class Events:
    """LinkEvents that keep what an Outcome needs."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def opened(self, link: Any) -> None:
        link.deliver = self.outcome.messages.append

    def ponged(self) -> None:
        self.outcome.pongs += 1

    def closed(self, closure: Closure) -> None:
        if closure.framed:
            self.outcome.ended = f"closed {closure.code or 1005}"
        else:
            assert isinstance(closure.error, ProtocolViolation)
            self.outcome.ended = str(closure.error.code)

    def ignore(self, *_: object) -> None:
        """Take what no Outcome has."""

    batch_delivered = deliver_returned = deliver_failed = writable = ignore


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> None:
        """Know nothing."""

    def is_closing(self) -> bool:
        return False

    def ignore(self, *_: object, **__: object) -> None:
        """Do nothing."""

    set_write_buffer_limits = set_protocol = pause_reading = resume_reading = close = abort = ignore


async def by_our_link(
    stream: bytes, side: Side, scale: Scale, compressed: bool, choose: random.Random
) -> Outcome:
    """Read the stream with a link of our wire, in chunks, as a transport would hand them to it."""
    outcome = Outcome()
    transport = Transport()
    make: type[WireLink] = ClientLink if side is Side.CLIENT else ServerLink
    link = make(Events(outcome), scale.max_size, None, [extension()] if compressed else [])
    link.begin(transport, b"")
    while stream:
        buffer = link.get_buffer(-1)
        count = min(len(stream), len(buffer), choose.choice(scale.chunks))
        buffer[:count] = stream[:count]
        link.buffer_updated(count)
        stream = stream[count:]
        if scale is LARGE and choose.random() < 0.5:
            await asyncio.sleep(0)
    if scale is LARGE:
        for _ in range(50):  # a link leaves some of what it has read to the next turns of the loop
            await asyncio.sleep(0)
    outcome.pings = pongs_in(transport.written, Side.SERVER if side is Side.CLIENT else Side.CLIENT)
    return outcome


def pongs_in(written: bytes, side: Side) -> list[bytes]:
    """Return the payloads of the pongs among frames that were written for that side."""
    other = Protocol(side, state=State.OPEN, max_size=None, logger=SILENT)
    other.receive_data(written)
    assert other.parser_exc is None, "we wrote what is no frame"
    events: list[Any] = list(other.events_received())
    return [bytes(event.data) for event in events if getattr(event, "opcode", None) is Opcode.PONG]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "deflate"])
@pytest.mark.parametrize("side", [Side.CLIENT, Side.SERVER], ids=["client", "server"])
@pytest.mark.parametrize("scale", [SMALL, LARGE], ids=["small", "large"])
def test_our_links_read_what_the_protocol_of_websockets_reads(
    scale: Scale, side: Side, compressed: bool
) -> None:
    async def main() -> None:
        seen: set[str] = set()
        for seed in range(SEQUENCES if scale is SMALL else SEQUENCES // 5):
            choose = random.Random(seed)
            compressor = zlib.compressobj(wbits=-15) if compressed else None
            frames = [frame(choose, side, scale, compressor) for _ in range(choose.randrange(1, 9))]
            if scale is LARGE and choose.random() < 0.03:
                frames.insert(choose.randrange(len(frames)), flood(choose, side))
            stream = b"".join(frames)
            is_cut = choose.random() < 0.2
            if is_cut:
                stream = stream[: choose.randrange(len(stream) + 1)]
            theirs = by_websockets(stream, side, scale, compressed)
            ours = await by_our_link(stream, side, scale, compressed, choose)
            if is_cut and ours.ended in ("1002", "1009") and theirs.ended == "open":
                theirs.ended = ours.ended  # we refuse by its header what websockets waits for
            assert ours == theirs, f"seed {seed}"
            seen.add(ours.ended)
        assert seen >= {"open", "closed 1000", "closed 1005", "1002", "1007", "1009"}

    asyncio.run(main())


# The engine over aiohttp


def as_aiohttp_takes_them(frames: list[bytes], max_size: int) -> list[bytes]:
    """Return frames that are right where these are wrong and aiohttp's reader lets it pass.

    - A server may not mask (RFC 6455, section 5.1): it takes off the mask.
    - Within the fragments of a message no other may come (section 5.4): it only looks whether it has gathered
      anything. While all fragments so far are empty, it takes the other message, and then goes on with them.

    Of two mistakes it may tell the other one: the size of a frame that is out of place and too large, the
    code of a close frame whose code and reason are both wrong.
    """
    taken: list[bytes] = []
    parts: list[bytes] = []  # the fragments of the message under way
    for one in map(unmasked, frames):
        opcode, is_last, gathered = one[0] & 15, one[0] & 128, b"".join(map(payload_of, parts))
        if one[0] in (0x89, 0x8A):
            taken.append(one)
        elif opcode > 2 or one[0] & 0x70:
            if one[0] == 0x88 and not is_close_code(int.from_bytes(payload_of(one)[:2])):
                one = bytes([0x88, min(2, one[1])]) + payload_of(one)[:2]
            return [*taken, one]
        elif len(gathered) + len(payload_of(one)) > max_size:
            return [*taken, bytes([128 | (0 if parts else 2)]) + one[1:]]
        elif opcode and is_last and parts and not gathered:
            taken = [*(other for other in taken if all(other is not part for part in parts)), one, *parts]
        elif bool(opcode) is bool(parts):
            return [*taken, one]
        else:
            taken.append(one)
            parts = [] if is_last else [*parts, one]
    return taken


def payload_of(frame: bytes) -> bytes:
    """Return the payload of a frame without a mask."""
    return frame[head_size(frame) :]


def head_size(frame: bytes) -> int:
    """Return how many bytes of a frame come before its payload."""
    return {126: 4, 127: 10}.get(frame[1] & 127, 2) + (4 if frame[1] & 128 else 0)


def unmasked(frame: bytes) -> bytes:
    if not frame[1] & 128:
        return frame
    start = head_size(frame)
    head = bytes([frame[0], frame[1] & 127]) + frame[2 : start - 4]
    return head + apply_mask(frame[start:], frame[start - 4 : start])


def aiohttp_link(events: Any, transport: Transport, max_size: int) -> AiohttpLink:
    """Return a link that aiohttp's reader and writer believe to be over a connection of its own."""
    connection = SimpleNamespace(transport=transport, protocol=ResponseHandler(asyncio.get_running_loop()))
    response: Any = SimpleNamespace(connection=connection, raw_headers=(), close=lambda: None)
    return AiohttpLink(events, max_size, response, None)


async def by_aiohttp(stream: bytes, scale: Scale, choose: random.Random) -> Outcome:
    """Read the stream with a link of the engine over aiohttp."""
    outcome = Outcome()
    transport = Transport()
    link = aiohttp_link(Events(outcome), transport, scale.max_size)
    link.begin()
    while stream:
        count = choose.choice(scale.chunks)
        link.data_received(stream[:count])
        stream = stream[count:]
    outcome.pings = pongs_in(transport.written, Side.SERVER)
    await asyncio.sleep(0)
    return outcome


@pytest.mark.parametrize("scale", [SMALL, LARGE], ids=["small", "large"])
def test_the_engine_over_aiohttp_reads_the_same_but_for_what_its_reader_lets_pass(scale: Scale) -> None:
    async def main() -> None:
        seen: set[str] = set()
        differing = 0
        for seed in range(SEQUENCES if scale is SMALL else SEQUENCES // 5):
            choose = random.Random(seed)
            frames = [frame(choose, Side.CLIENT, scale, None) for _ in range(choose.randrange(1, 9))]
            if scale is LARGE and choose.random() < 0.03:
                frames.insert(choose.randrange(len(frames)), flood(choose, Side.CLIENT))
            is_cut = choose.random() < 0.2
            last = frames.pop() if is_cut else b""
            taken = as_aiohttp_takes_them(frames, scale.max_size)
            differing += taken != frames
            theirs = by_websockets(b"".join(taken), Side.CLIENT, scale, False)
            stream = b"".join(frames) + last[: choose.randrange(max(1, len(last)))]
            ours = await by_aiohttp(stream, scale, choose)
            if is_cut and ours.ended in ("1002", "1009") and theirs.ended == "open":
                theirs.ended = ours.ended  # it refuses some by their header
            assert ours == theirs, f"seed {seed}"
            seen.add(ours.ended)
        assert seen >= {"open", "closed 1000", "closed 1005", "1002", "1007", "1009"}
        assert differing

    asyncio.run(main())
