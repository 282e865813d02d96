"""What the traps have shown, as a table to read on the terminal, in Markdown and in JSON."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.node_peers import node_version
from benchmarks.torture.clients import NODE_PEERS, Client
from benchmarks.torture.traps import Trap
from benchmarks.torture.verdict import FAILED, HANDLED, NOT_APPLICABLE, PARTLY, UNPROVOKED, Verdict

_INTRODUCTION = """\
Written by `{command}` on {date} in {seconds} s. Every trap is set over real sockets for
every client, each in a process of its own, configured as its documentation recommends, with 1 s until a ping
and 1 s for the answer, or what comes nearest to that. The peers are the dependency group `torture`; those in
JavaScript come by npm."""

_JUDGEMENTS = """
1. Attempts in the 2 s after the first: at most 5 handled, at most 20 partly.
2. Seconds from the freeze until the user is told or a new link is tried: 2.5 handled, 4.5 partly.
3. The loop blocks right after a ping; the pong arrives meanwhile. Of three links, how many are killed.
4. The user awaits something for 6 s while the server pours: the link must survive and go on.
5. A message every 1.6 s, no answer to pings, for 8 s: the link must survive.
6. As 2, on an idle link. What counts is when the user knows, not when a timer fires.
7. Seconds that close() takes with a close timeout of 1 s: at most 1.5 handled, 5 partly.
8. The server's application hangs, and wakes when the client has a second link: no late event may be told, and
   only one socket may be left.
9. The user's task is cancelled at 20 moments: it must end as cancelled, and leave no task and no socket.
10. The user's message handler raises: it must be told, and the next message must come.
11. Most arrivals in any 0.1 s: at most 35 % handled, 60 % partly.
12. One attempt only at a certificate that does not verify; another after 429.
13. A new link within 8 s of each.
14. The clock goes ahead and back by a day: no healthy link may be lost, a dead one is noticed as usual.
15. Wall and boot clock jump by an hour while the link dies, with an interval of 10 s: noticed within 4.5 s.
    And a process stopped for 5 s keeps its link. The jump is simulated in the process, as a suspend would
    stop the judge too.
16. One byte every 0.2 s, open timeout 2 s: given up within 2.5 s handled, 6 s partly.
17. The user logs in 0.5 s after the link opened: no ping may come before.
18. The first link is reset while it owes a pong: the second, healthy one must live on.
19. Two resets: all opens, losses and messages of three links must be told.
20. Neither Authorization nor Cookie may follow a redirect to another port, nor an X-Api-Key (partly).
21. Of status, header and body of a 403, how much a program can get: all handled, some partly.
22. The user is away while the server pours up to 200 MiB: the process may grow by 32 MiB.
23. A message every 0.1 s, and the server hangs up when it has heard nothing for 2.5 s: 8 s must pass.
24. One message, through a proxy with small buffers: it must arrive, and the link must live.
25. The user, who wants the newest messages, awaits something for 6 s while 2 MB come each second; the server
    pings every second and resets a client whose answer takes 1.5 s: the link must survive.
26. On each link the user sends a login and waits for the answer. After a reset logins are refused for 2 s: at
    most 5 attempts in that time handled, at most 20 partly; then the user must be in again.
27. The handshake takes 0.3 s. All messages must arrive (handled), or the user be told (partly).
28. A reset after 0.5 s, then 403 for 1.5 s: the client must come back.
29. RFC 6455, section 4.1, asks for a token in a list: the link must open.
"""

_BY_CHANCE = (2, 6)
"""Rows whose seconds depend on when the last ping was, below the bound."""

Table = dict[tuple[int, str], Verdict]
"""By the number of the trap and the name of the client."""

ROOT = Path(__file__).parents[2]
COMMAND = "python -m benchmarks.torture"
MARKS = {HANDLED: "✅", PARTLY: "🟡", FAILED: "❌", NOT_APPLICABLE: "n/a", UNPROVOKED: "?"}


def score(table: Table, client: Client, traps: Sequence[Trap]) -> str:
    """Count the traps handled, of those that mean something for the client and could be set."""
    words = [table[trap.number, client.name].word for trap in traps]
    judged = [word for word in words if word not in (NOT_APPLICABLE, UNPROVOKED)]
    return f"{judged.count(HANDLED)} of {len(judged)}"


def show(table: Table, clients: Sequence[Client], traps: Sequence[Trap]) -> None:
    """Print one line for each client."""
    print()
    for client in clients:
        counts = [
            f"{number} {word}"
            for word in MARKS
            if (number := sum(table[trap.number, client.name].word == word for trap in traps))
        ]
        print(f"{client.name:24} {score(table, client, traps):>9} handled   ({', '.join(counts)})")


def write(table: Table, clients: Sequence[Client], traps: Sequence[Trap], seconds: float) -> None:
    """Keep the results of a whole run."""
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    versions = {client.name: client.version for client in clients}
    facts = {
        "command": COMMAND,
        "date": date,
        "seconds": round(seconds),
        "python": platform.python_version(),
        "node": node_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "versions": versions | {"ws": NODE_PEERS.packages["ws"]},
    }
    cells = {
        str(trap.number): {
            "trap": trap.title,
            "clients": {
                client.name: {
                    key: value for key, value in vars(table[trap.number, client.name]).items() if value
                }
                for client in clients
            },
        }
        for trap in traps
    }
    results = ROOT / "benchmarks" / "results"
    results.mkdir(exist_ok=True)
    text = json.dumps({"machine": facts, "traps": cells}, indent=1, ensure_ascii=False)
    (results / "torture.json").write_text(text + "\n")
    (ROOT / "docs" / "torture.md").write_text(markdown(table, clients, traps, facts))


def markdown(table: Table, clients: Sequence[Client], traps: Sequence[Trap], facts: dict[str, object]) -> str:
    """Return the page."""
    versions = ", ".join(f"{client.name} {client.version}" for client in clients)
    lines = [
        "# The traps, side by side",
        "",
        _INTRODUCTION.format(**facts),
        "",
        f"{versions}; {facts['system']}, {facts['cores']} cores, Python {facts['python']}, "
        f"Node {facts['node']} with ws {NODE_PEERS.packages['ws']}. Load of the machine: {facts['load']}.",
        "",
        "✅ handled, 🟡 partly, ❌ failed, n/a does not apply to this client, ? could not be provoked.",
        "",
        "| # | trap | " + " | ".join(client.name for client in clients) + " |",
        "|---|---|" + "---|" * len(clients),
    ]
    for trap in traps:
        row = [str(trap.number), trap.title]
        for client in clients:
            verdict = table[trap.number, client.name]
            row.append(f"{MARKS[verdict.word]} {verdict.figure}".strip())
        lines.append("| " + " | ".join(row) + " |")
    lines.append(
        "| | **handled, of those that apply** | "
        + " | ".join(score(table, client, traps) for client in clients)
        + " |"
    )
    lines += ["", "## Where a peer does better", "", *_better(table, clients, traps)]
    lines += ["", "## Notes", ""]
    for trap in traps:
        notes = [
            f"{client.name}: {table[trap.number, client.name].note}"
            for client in clients
            if table[trap.number, client.name].note
            and table[trap.number, client.name].word not in (NOT_APPLICABLE, UNPROVOKED)
        ]
        if notes:
            lines.append(f"- {trap.number}, {trap.title}: {'; '.join(notes)}.")
    lines += ["", "What does not apply, or could not be provoked:", ""]
    for client in clients:
        reasons: dict[str, list[str]] = {}
        for trap in traps:
            verdict = table[trap.number, client.name]
            if verdict.word in (NOT_APPLICABLE, UNPROVOKED):
                reasons.setdefault(verdict.note, []).append(str(trap.number))
        if reasons:
            words = "; ".join(f"{note} ({', '.join(numbers)})" for note, numbers in reasons.items())
            lines.append(f"- {client.name}: {words}.")
    lines += ["", "## How each trap is judged", "", _JUDGEMENTS.strip()]
    return "\n".join(lines) + "\n"


def _better(table: Table, clients: Sequence[Client], traps: Sequence[Trap]) -> list[str]:
    """Name the peers with a better verdict, or with the same one and a clearly better figure."""
    rank = {HANDLED: 2, PARTLY: 1, FAILED: 0}
    ours = clients[0].name
    lines = []
    for trap in traps:
        mine = table[trap.number, ours]
        better = []
        for client in clients[1:]:
            theirs = table[trap.number, client.name]
            above = rank.get(theirs.word, -1) - rank.get(mine.word, -1)
            figures = theirs.number is not None and mine.number is not None and trap.number not in _BY_CHANCE
            ahead = figures and (theirs.number or 0) < 0.8 * (mine.number or 0) - 0.1
            if above > 0 or (above == 0 and ahead):
                better.append(f"{client.name} ({theirs.figure})")
        if better:
            lines.append(f"- {trap.number}, {trap.title} (ours: {mine.figure}): {', '.join(better)}.")
    return lines or ["In no row of this run."]
