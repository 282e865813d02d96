"""What has arrived, as a table to read on the terminal, in Markdown and in JSON."""

import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.delivery.chaos import DELAY, Count, Line, Result
from benchmarks.delivery.contestants import Contestant
from benchmarks.node_peers import node_version

ROOT = Path(__file__).parents[2]

Table = Mapping[int, Mapping[str, Result]]
"""By how often the server is killed, and by contestant."""

_INTRODUCTION = """\
Written by `make delivery` on {date} in {seconds} s. Each library has a client and a server, in processes of
their own, as its documentation recommends for links that die, and between them a proxy that does the same
to all of them, from the same seed: {faults} in {length:.0f} s, each byte {delay:.0f} ms on its way. Both
ends send {count} numbered messages at {rate:.0f} a second. Where a library has no link, or refuses a
message with an error, the program waits and sends it again: *lost* is what the library took without an
error and the other end never got, *doubled* what came more than once. None came out of order but where the
table says so."""

_NOTES = """\
- A link that is cut takes with it what is on its way, in both directions, and a link that is frozen all
  that is sent until that is noticed. No `send` tells of it. That is the loss of every library without
  acknowledgements.
- Acknowledgements by hand (`call`, `ackTimeout` and `retries`) lose nothing and double what was handled and
  whose acknowledgement was lost. A receiver that knows each message by a key of its own can drop that: it
  is one more program to write. They send one message at a time, so that each costs a round trip.
- socket.io's connection state recovery makes up for what is lost to the client, as long as the server's
  process lives. It does nothing for messages to the server.
- After a recovery, socket.io's client gives messages twice to its user if the link dies again right behind
  them, before the answer that the session goes on: it keeps them, and the next link brings them again.
- SignalR's stateful reconnect resumes a link if the first attempt to reconnect comes through, and begins a
  new one otherwise, without what was on its way; it acknowledges what was received, not what was handled.
- Where the server's process is killed, the message that it has in hand may be handled again, with any
  library; in a session its number tells so ([session.md](session.md#2-what-is-promised)). What the server's
  program was about to send when it was killed is not counted: nobody can say whether it was sent.
- What our session has to give up, after its `session_ttl` or an overflow, it reports (`on_session`,
  `on_session_end`); here that was nothing.
"""

_ABSENT = """\
- SignalR's own server needs ASP.NET Core, which is in no registry that this project builds from; its client
  speaks with aiosignalr's server instead, which is written after it, and only in MessagePack.
- Centrifugo's server is a program in Go that is in none of them either.
- The server of python-socketio has no connection state recovery.
- MQTT over WebSocket promises "exactly once" as QoS 2, by way of a broker. That is another thing than a
  link between a client and its back end, and was not run.
"""


def show(results: Mapping[str, Result], restarts: int) -> None:
    """Print one table."""
    print(f"\n{_title(restarts)}\n")
    print(f"{'':32}{'links':>7}{'up: lost':>12}{'doubled':>9}{'down: lost':>12}{'doubled':>9}{'late':>6}")
    for name, result in results.items():
        up, down = result.up, result.down
        print(
            f"{name:32}{result.links:7}{up.lost:12}{up.doubled:9}{down.lost:12}{down.doubled:9}"
            f"{up.late + down.late:6}  {result.failed}",
            flush=True,
        )


def write(
    table: Table,
    contestants: Sequence[Contestant],
    lines: Sequence[Line],
    count: int,
    seed: int,
    seconds: float,
) -> None:
    """Write the page and the figures."""
    length = lines[-1][0]
    facts: dict[str, object] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "seconds": round(seconds),
        "length": length,
        "faults": _faults(lines),
        "delay": DELAY * 1000,
        "count": count,
        "rate": count / length,
        "seed": seed,
        "python": platform.python_version(),
        "node": node_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    (ROOT / "docs" / "delivery.md").write_text(markdown(table, contestants, facts))
    document = {
        **facts,
        "versions": {each.name: each.versions for each in contestants},
        "results": {
            restarts: {name: asdict(result) for name, result in results.items()}
            for restarts, results in table.items()
        },
    }
    (ROOT / "benchmarks" / "results" / "delivery.json").write_text(json.dumps(document, indent=2) + "\n")


def markdown(table: Table, contestants: Sequence[Contestant], facts: Mapping[str, object]) -> str:
    """Return the page."""
    lines = [
        "# What arrives when links die",
        "",
        _INTRODUCTION.format(**facts),
        "",
        f"{facts['system']}, {facts['cores']} cores, load {facts['load']}, Python {facts['python']}, "
        f"Node {facts['node']}, seed {facts['seed']}. Only zeros mean something: how much is lost is chance.",
    ]
    for restarts, results in table.items():
        lines += [
            "",
            f"## {_title(restarts)}",
            "",
            "| | links | to the server: lost | doubled | to the client: lost | doubled |",
            "|---|---|---|---|---|---|",
        ]
        for name, result in results.items():
            cells = [str(result.links), *_cells(result.up), *_cells(result.down)]
            note = f" ({result.failed})" if result.failed else ""
            lines.append(f"| {name}{note} | {' | '.join(cells)} |")
    lines += ["", "## How each was configured", ""]
    for each in contestants:
        versions = ", ".join(f"{name} {text}" for name, text in (each.versions or {}).items())
        lines.append(f"- **{each.name}** ({versions}): {each.note}.")
    lines += ["", "## What the figures say", "", _NOTES, "## Who is not here", "", _ABSENT.rstrip()]
    return "\n".join(lines) + "\n"


def _title(restarts: int) -> str:
    if restarts == 0:
        return "Links die, both processes live"
    return f"The same, and the server's process is killed {restarts} times"


def _cells(count: Count) -> list[str]:
    lost = f"**{count.lost}**" if count.lost else "0"
    doubled = f"**{count.doubled}**" if count.doubled else "0"
    late = f", {count.late} late" if count.late else ""
    unsent = "" if count.is_whole else f" of {count.sent} sent"
    return [f"{lost}{unsent}", f"{doubled}{late}"]


def _faults(lines: Sequence[Line]) -> str:
    counts = Counter(name for _, name, *_ in lines)
    thaws = counts["thaw"]
    return (
        f"{counts['reset'] - thaws} resets, {counts['disconnect']} ends of the stream, "
        f"{counts['cut_after']} resets after some more bytes, {thaws} links frozen for up to 3 s in one "
        "direction or both and then reset"
    )
