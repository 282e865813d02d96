"""The messages to viewers: a snapshot first, then what is new, once a second, the same for all viewers.

The messages are JSON objects. "snapshot" has `run`, an ID of this run of the recorder, and all `seconds`,
`lines`, `events` and `reasons` that are kept; "second" has what is new.
"""

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

from websocket_heartbeat.dashboard.lines import Line, Sample
from websocket_heartbeat.dashboard.recorder import Event, Recorder, Second

PERIOD = 1.0
"""Seconds."""

_MOST_EVENTS = 50
"""In one message: nobody can read more in a second."""

_BEHIND = 10
"""Messages that may be queued for a viewer. A slower one gets a new snapshot in their place."""

_LATE = 0.5
"""Seconds of delay of the timer from which on an event says that the event loop was blocked."""


class _Viewer:
    def __init__(self) -> None:
        self.messages: deque[str] = deque()
        self.needs_snapshot = True
        self.has_messages = asyncio.Event()


class Feed:
    """Sends the recorder's data to viewers, by a timer on one event loop."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._run = secrets.token_hex(8)
        self._viewers: set[_Viewer] = set()
        self._shown: list[Line] = []
        self._sent: dict[int, tuple[dict[str, Any], int]] = {}  # by number: description, and how many marks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def wake(self) -> None:
        """Start the timer on the running loop, unless it runs there already."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._viewers.clear()
            self._due = loop.time()
            self._tick()

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop = None

    async def watch(self) -> AsyncGenerator[str, None]:
        """Yield the messages for one viewer, without an end."""
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
                    viewer.has_messages.clear()
                    await viewer.has_messages.wait()
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
            viewer.has_messages.set()

    def _message(self, second: Second) -> str:
        """Return the message of a second, and remember what was sent."""
        sent: dict[int, tuple[dict[str, Any], int]] = {}
        lines = []
        for line, sample in second.shown:
            description = line.description()
            before = self._sent.get(line.number)
            entry: dict[str, Any] = {"id": line.number}
            if before is None:
                entry |= _whole(line)
            else:
                entry["samples"] = [_written(sample)]
                new = line.marked - before[1]
                if new:
                    entry["marks"] = line.marks[-new:]  # at most all that are kept
                if before[0] != description:
                    entry |= description
            sent[line.number] = description, line.marked
            lines.append(entry)
        self._sent = sent
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
        "samples": [_written(sample) for sample in line.samples or ()],
        "marks": line.marks,
    }


def _written(sample: Sample) -> list[Any]:
    """Return a sample for the page: times in milliseconds, but for the silence."""
    trip, silent_for = sample.round_trip, sample.silent_for
    return [
        str(sample.state),
        int(sample.heard),
        None if trip is None else round(trip * 1000, 2),
        None if silent_for is None else round(silent_for, 1),
        sample.queue,
    ]
