"""A session while the host may kill the program: its snapshot, and what waits until the program is shown.

docs/session.md, chapter 13. The snapshot and the session must not differ, or the next process would lose or
double messages: so while a snapshot lies there, the session is frozen.
"""

from typing import TYPE_CHECKING, Any

from websocket_heartbeat.core.resume import Resumption
from websocket_heartbeat.core.session import Kept
from websocket_heartbeat.miniprogram.language import elements_of, invoke, is_promise, is_text, read, record
from websocket_heartbeat.miniprogram.session.frames import first_of, place_of, size_of
from websocket_heartbeat.miniprogram.session.inbox import MOST_VOLATILE
from websocket_heartbeat.miniprogram.session.snapshot import Snapshot, decode_snapshot, encode_snapshot

if TYPE_CHECKING:
    from websocket_heartbeat.miniprogram.driver import Driver


class Background:
    """The snapshot of one session.

    place: the user's, with the functions `save` and `load`; None: there are to be no snapshots.
    is_frozen: whether the session does nothing, from a snapshot on. held: the frames that came since then.
    queue: of a process that has begun with a snapshot, what has no number yet: until the server's welcome.
    """

    def __init__(self, owner: "Driver", place: Any) -> None:
        self.owner = owner
        self.place = place
        self.is_frozen: bool = False
        self.held: list[Any] = []
        self.queue: list[Any] = []
        self.loaded: Any = None
        """What `load` has returned."""
        self.is_saved: bool = False
        """Whether the latest `save` has not thrown."""

    def restore(self, resumption: Resumption) -> None:
        """Begin with the snapshot of the process before, if there is one; it is deleted first."""
        if self.place is None:
            return
        self.owner.guarded(lambda: self._load())
        if is_text(self.loaded) and size_of(self.loaded) > 0:
            self._save("")
        snapshot = decode_snapshot(self.loaded)
        self.loaded = None
        if snapshot is not None:
            resumption.go_on(snapshot.key, snapshot.link)
            half = resumption.half
            half.theirs = snapshot.theirs
            acked = snapshot.acked
            done = snapshot.done
            half.go_on(acked, place_of(acked + 1), done, place_of(done + 1))
            while len(snapshot.outbox) > 0:
                data: Any = snapshot.outbox.pop(0)
                half.accept(data, size_of(data))
            self.queue = snapshot.queue

    def freeze(self, resumption: Resumption) -> bool:
        """Write the snapshot of a session that is neither over nor ending; return whether it lies there."""
        is_on: bool = not resumption.is_ending and not resumption.is_finished()
        if self.place is not None and is_on and not self.is_frozen:
            self.is_frozen = self.write(resumption)
        return self.is_frozen

    def write(self, resumption: Resumption) -> bool:
        """Write the snapshot as the session is now; return whether it lies there."""
        half = resumption.half
        if resumption.key == "":
            return False
        snapshot = Snapshot(resumption.key, resumption.link, half.acked, half.done, half.theirs)
        kept: Kept | None = half.after(half.acked)
        while kept is not None:
            snapshot.outbox.append(kept.payload)
            kept = kept.next
        waiting = elements_of(self.owner.outbox.waiting)
        queue = elements_of(self.queue)
        while queue is not None and len(queue) > 0:
            snapshot.queue.append(queue.pop(0))
        while waiting is not None and len(waiting) > 0:
            message: dict[str, Any] = waiting.pop(0)
            snapshot.queue.append(message["data"])
        text = encode_snapshot(snapshot)
        return text != "" and self._save(text)

    def hold(self, event: Any) -> None:
        """Keep a frame until the session goes on. Of volatile messages only so many are kept."""
        if len(self.held) < MOST_VOLATILE or first_of(read(event, "data")) != "~":
            self.held.append(event)

    def delete(self) -> None:
        """Delete the snapshot, if there is one."""
        if self.is_frozen:
            self._save("")

    def thaw(self) -> list[Any]:
        """Delete the snapshot, and go on; return the frames that have come meanwhile."""
        self.delete()
        self.is_frozen = False
        held = self.held
        self.held = []
        return held

    def take_queue(self) -> list[Any]:
        """Return what the process before has sent without a number, as messages, and forget it."""
        messages: list[Any] = []
        while len(self.queue) > 0:
            message = record(None)
            message["data"] = self.queue.pop(0)
            messages.append(message)
        return messages

    def _save(self, text: str) -> bool:
        self.is_saved = False
        self.owner.guarded(lambda: self._invoke_save(text))
        return self.is_saved

    def _invoke_save(self, text: str) -> None:
        if is_promise(invoke(self.place, "save", text)):
            raise ValueError(
                "snapshot.save must have saved the text when it returns: it may return no promise"
            )
        self.is_saved = True

    def _load(self) -> None:
        self.loaded = invoke(self.place, "load", None)
        if is_promise(self.loaded):
            raise ValueError("snapshot.load must return the text, and no promise")
