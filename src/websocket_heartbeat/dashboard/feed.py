"""What viewers are sent: a snapshot, and then what is new, once a second, written once for all of them.

The messages are JSON objects. "snapshot" has `run`, which names this run of the recorder, all `seconds`,
`lines`, `events` and `reasons` that are kept; "second" what is new. docs/how-to/dashboard.md is for people.
"""

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

from websocket_heartbeat.dashboard.lines import Beat, Line
from websocket_heartbeat.dashboard.recorder import Event, Recorder, Second

PERIOD = 1.0
"""Seconds."""

_MOST_EVENTS = 50
"""In one message: more nobody could read in a second."""

_BEHIND = 10
"""Messages that may wait for a viewer; beyond that it gets a snapshot in their place, once it takes one."""

_LATE = 0.5
"""Seconds of delay that are worth telling: the loop was blocked."""


class _Viewer:
    def __init__(self) -> None:
        self.messages: deque[str] = deque()
        self.needs_snapshot = True
        self.has_news = asyncio.Event()


class Feed:
    """Feeds viewers from a recorder, by a timer on one loop."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._run = secrets.token_hex(8)
        self._viewers: set[_Viewer] = set()
        self._shown: list[Line] = []
        self._told: dict[int, tuple[dict[str, Any], int]] = {}  # by number: description, and how many marks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def wake(self) -> None:
        """Take a beat each second from now on, on the running loop; does nothing if that is so already."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._viewers.clear()
            self._due = loop.time()
            self._tick()

    def stop(self) -> None:
        """Take no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop = None

    async def watch(self) -> AsyncGenerator[str, None]:
        """Yield what a viewer is to be sent, without an end."""
        self.wake()
        viewer = _Viewer()
        self._viewers.add(viewer)
        try:
            while True:
                if viewer.needs_snapshot:
                    viewer.needs_snapshot = False
                    viewer.messages.clear()
                    yield self._snapshot()
                elif viewer.messages:
                    yield viewer.messages.popleft()
                else:
                    viewer.has_news.clear()
                    await viewer.has_news.wait()
        finally:
            self._viewers.discard(viewer)

    # The messages

    def _tick(self) -> None:
        loop = self._loop
        assert loop is not None
        now = loop.time()
        late = now - self._due
        self._due = max(now, self._due) + PERIOD
        self._timer = loop.call_at(self._due, self._tick)
        second = self._recorder.second()
        if late > _LATE:
            words = f"was blocked for {late:.1f} s"
            event = Event(time.time(), "blocked", 0, "the event loop", words, None)
            second.events.append(event)
            self._recorder.events.append(event)
        message = self._message(second)
        for viewer in self._viewers:
            if len(viewer.messages) >= _BEHIND:
                viewer.needs_snapshot = True
            if not viewer.needs_snapshot:
                viewer.messages.append(message)
            viewer.has_news.set()

    def _message(self, second: Second) -> str:
        """Write what is new, and note what was told."""
        told: dict[int, tuple[dict[str, Any], int]] = {}
        lines = []
        for line, beat in second.shown:
            description = line.description()
            before = self._told.get(line.number)
            entry: dict[str, Any] = {"id": line.number}
            if before is None:
                entry |= _whole(line)
            else:
                entry["beats"] = [_written(beat)]
                new = line.marked - before[1]
                if new:
                    entry["marks"] = line.marks[-new:]  # at most all that are kept
                if before[0] != description:
                    entry |= description
            told[line.number] = description, line.marked
            lines.append(entry)
        self._told = told
        self._shown = [line for line, _ in second.shown]
        message = {
            "kind": "second",
            "seconds": [second.totals._asdict()],
            "lines": lines,
            "events": second.events[-_MOST_EVENTS:],
            "unshown_events": max(0, len(second.events) - _MOST_EVENTS),
            "reasons": dict(self._recorder.reasons),
        }
        return json.dumps(message, separators=(",", ":"))

    def _snapshot(self) -> str:
        message = {
            "kind": "snapshot",
            "run": self._run,
            "seconds": [totals._asdict() for totals in self._recorder.seconds],
            "lines": [{"id": line.number, **_whole(line)} for line in self._shown],
            "events": list(self._recorder.events),
            "unshown_events": 0,
            "reasons": dict(self._recorder.reasons),
        }
        return json.dumps(message, separators=(",", ":"))


def _whole(line: Line) -> dict[str, Any]:
    return {
        **line.description(),
        "beats": [_written(beat) for beat in line.beats or ()],
        "marks": line.marks,
    }


def _written(beat: Beat) -> list[Any]:
    """Return a beat for the page: times in milliseconds, but for the silence."""
    trip, silent_for = beat.round_trip, beat.silent_for
    return [
        str(beat.state),
        int(beat.heard),
        None if trip is None else round(trip * 1000, 2),
        None if silent_for is None else round(silent_for, 1),
        beat.queue,
    ]
