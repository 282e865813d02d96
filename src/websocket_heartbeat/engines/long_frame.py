"""A data frame longer than a read, while it arrives: it is read straight into a buffer of its own.

The buffer grows with what has come: a header alone reserves FIRST bytes, and a peer that goes on makes us
hold at most four times what it sends. Behind one longer than FIRST a little room (BEHIND bytes) takes the
header of the next, which is then read along with its payload; of shorter ones the large buffer of the thread
takes several in one read. Long frames in a row use one buffer; after the last of them a thread keeps one of
KEPT bytes at most.
"""

from websocket_heartbeat.engines.masks import apply_mask
from websocket_heartbeat.engines.transport import SCRATCH


class LongFrame:
    """One such frame.

    first: the first byte of the frame. buffer: what it is read into.
    """

    FIRST = 64 * 1024
    BEHIND = 4 * 1024
    KEPT = FIRST + BEHIND

    __slots__ = ("_come", "_mask", "_room", "_size", "buffer", "first")

    def __init__(self, first: int, size: int, mask: bytes, begun: memoryview) -> None:
        """begun: what has come of the payload."""
        self.first: int = first
        self._size = size
        self._room = size + (self.BEHIND if size > self.FIRST else 0)
        self._mask = mask
        self._come = len(begun)  # bytes of the payload, and then of what lies behind it
        spare, SCRATCH.spare = SCRATCH.spare, bytearray()
        if len(spare) < self._come + self.BEHIND:
            spare = bytearray(min(size, max(self.FIRST, 4 * self._come)) + self.BEHIND)
        self.buffer: bytearray = spare
        self.buffer[: self._come] = begun

    def room(self) -> memoryview:
        """Return where to read to."""
        return memoryview(self.buffer)[self._come : self._room]

    def filled(self, nbytes: int) -> bool:
        """Count bytes that were read; return whether the frame is whole."""
        self._come += nbytes
        if self._come >= self._size:
            return True
        if self._come == len(self.buffer):
            grown = bytearray(min(self._size, 4 * self._come) + self.BEHIND)
            grown[: self._come] = self.buffer
            self.buffer = grown
        return False

    def payload(self) -> bytes | memoryview:
        """Return the whole payload, without its mask."""
        data = memoryview(self.buffer)[: self._size]
        return apply_mask(data, self._mask) if self._mask else data

    def behind(self) -> bytes:
        """Return what was read behind the frame."""
        return bytes(memoryview(self.buffer)[self._size : self._come])
