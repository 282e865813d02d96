"""How the demo looks: a timeline that scrolls, a status line beneath it, and a table at the end.

Where output is no terminal the same comes as plain lines, without the status line.
"""

import shutil
import textwrap
import time
from itertools import zip_longest
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from websocket_heartbeat.cli.demo.ledger import Account, SessionAccount
from websocket_heartbeat.cli.demo.pace import Pace
from websocket_heartbeat.cli.demo.play import Play
from websocket_heartbeat.cli.demo.report import ActReport, Entry, Outcome, Report

WIDTH = 80

_COLOURS = {
    "connecting": "cyan",
    "open": "green",
    "probing": "yellow",
    "waiting": "magenta",
    "fault": "bold red",
    "healed": "bold green",
    "ok": "green",
    "FAILED": "bold red",
}
# The widths of the columns, with the space after them; together with a round trip they make 80.
_TIME = 8
_STATE = 12
_EVENT = 22
_WHY = 28
_INDENT = _TIME + _STATE + _EVENT


class Screen:
    """Shows a play while it is performed, and its report after it."""

    def __init__(self) -> None:
        width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
        self._console = Console(width=width, highlight=False)
        self._play: Play | None = None
        self._act = 0
        self._scenes = 0
        self._live = Live(
            console=self._console,
            get_renderable=self._status,
            refresh_per_second=10,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def title(self, play: Play, pace: Pace, seed: int) -> None:
        """Print what the demo is about, and the head of the timeline."""
        self._play = play
        self._print(
            f"A real server, a proxy that injects faults, a real client. Heartbeat: a ping\n"
            f"after {pace.interval:.2g} s of silence, {pace.timeout:.2g} s for the answer. "
            f"To repeat this run: --seed {seed}.\n"
        )
        self._print(
            f"{'time':>6}  {'state':<{_STATE}}{'event':<{_EVENT}}{'why':<{_WHY}}{'round trip':>10}", "dim"
        )

    def begin(self, number: int, name: str) -> None:
        """Begin an act."""
        self._act, self._scenes = number, 0
        self._console.print()
        self._console.print(Text(f"Act {number}: {name}", "bold"))

    def announce(self, name: str, story: str) -> None:
        """Begin a scene."""
        self._scenes += 1
        number = f"{self._act}.{self._scenes}"
        self._console.print()
        self._console.print(Text(f"{number}  {name}", "bold") + Text(f": {story}", "not bold"))

    def show(self, entry: Entry) -> None:
        """Print one line of the timeline, more if the event or the reason is long."""
        first = Text()
        first.append(f"{entry.at:6.2f}  ", "dim")
        first.append(f"{entry.state:<{_STATE}}", _COLOURS.get(entry.state, ""))
        if entry.state in ("ok", "FAILED"):
            first.append(entry.event, _COLOURS[entry.state])
            self._console.print(first)
            return
        events = textwrap.wrap(entry.event, _EVENT - 1)
        # Few lines have a round trip, and reasons are long: the others may use its column.
        whys = textwrap.wrap(entry.why, _WHY - 1 if entry.round_trip is not None else WIDTH - _INDENT)
        for row, (event, why) in enumerate(zip_longest(events, whys, fillvalue="")):
            line = first if row == 0 else Text(" " * (_TIME + _STATE))
            line.append(f"{event:<{_EVENT}}")
            line.append(f"{why:<{_WHY}}", "dim")
            if row == 0 and entry.round_trip is not None:
                line.append(f"{entry.round_trip * 1000:7.1f} ms")
            line.rstrip()
            self._console.print(line)

    def conclude(self, report: Report) -> None:
        """Print the tables and what became of the messages."""
        for number, act in enumerate(report.acts, 1):
            self._conclude_act(number, act)
        self._console.print()
        if not report.ok:
            self._print("NOT all is well.", "bold red")
            return
        outcomes = [outcome for act in report.acts for outcome in act.outcomes]
        late = any((outcome.noticed_after or 0) > (outcome.bound or 0) for outcome in outcomes)
        busy = (
            f"\n(Timers are granted {report.settings['tolerance']:.2g} s beyond each bound.)" if late else ""
        )
        self._print(f"All is well: every fault was noticed in time and recovered from.{busy}", "bold green")

    def _conclude_act(self, number: int, act: ActReport) -> None:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
        table.add_column(f"act {number}")
        for title in ("noticed", "bound", "recovered", "tries"):
            table.add_column(title, justify="right")
        table.add_column("verdict")
        for outcome in act.outcomes:
            table.add_row(*_row(outcome))
        self._console.print()
        self._console.print(table)
        self._console.print()
        self._print(
            f"False alarms: {act.false_alarms}. "
            f"Links: {act.links} opened in {act.attempts} attempts. Heartbeats: {act.pings}."
        )
        if isinstance(act.messages, SessionAccount):
            self._conclude_session(act.messages)
        else:
            self._conclude_messages(act.messages)

    def _conclude_messages(self, messages: Account) -> None:
        self._print(
            f"Messages: {messages.sent} sent, {messages.echoed} received back, "
            f"{messages.queued} still queued, {messages.lost} lost silently."
        )
        if messages.uncertain:
            self._print(
                f"Uncertain: {messages.uncertain}, handed to a link that died before the echo. "
                f"{messages.uncertain_arrived} of them had\nreached the server, as only a demo can tell."
            )
        if messages.unexpected:
            self._print(f"Unexpected echoes: {messages.unexpected}.", "red")

    def _conclude_session(self, messages: SessionAccount) -> None:
        self._print(
            f"Messages: {messages.sent} sent, {messages.handled} handled by the server, "
            f"{messages.answered} received back."
        )
        style = "bold green" if messages.is_well else "red"
        counts = f"{messages.lost} lost, {messages.doubled} doubled, {messages.uncertain} uncertain"
        self._console.print(Text(counts, style) + Text(", by the server's ledger.", "not bold"))
        if messages.repeated:
            self._print(
                f"Handled again: {messages.repeated}, as the server was killed while it handled it; "
                "its number in the\nsession tells the server so."
            )
        if messages.unexpected:
            self._print(f"Altered or out of order: {messages.unexpected}.", "red")

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style))

    def _status(self) -> Text:
        """The status line: called ten times a second by rich, on a thread of its own."""
        play = self._play
        act = None if play is None else play.act
        if play is None or act is None:
            return Text()
        line = Text("\n")
        line.append(f"{play.elapsed:6.1f}  ", "dim")
        line.append(f"{act.state:<{_STATE}}", _COLOURS.get(act.state, ""))
        doing = "" if act.link is None else f"link {act.link}"
        if act.state == "waiting":
            doing = f"next retry in {max(0.0, act.retry_at - time.monotonic()):.1f} s"
        line.append(f"{doing:<{_EVENT}}")
        line.append(act.ledger.line, "dim")
        return line


def _row(outcome: Outcome) -> tuple[Text, ...]:
    def seconds(value: float | None) -> Text:
        return Text("-" if value is None else f"{value:.2f} s")

    # Where there was something to notice, the other columns have the figures.
    verdict = "ok" if outcome.passed and outcome.bound is not None else outcome.verdict
    return (
        Text(outcome.scene),
        seconds(outcome.noticed_after),
        seconds(outcome.bound),
        seconds(outcome.recovered_after),
        Text(str(outcome.attempts) if outcome.attempts else "-"),
        Text(verdict, _COLOURS["ok" if outcome.passed else "FAILED"]),
    )
