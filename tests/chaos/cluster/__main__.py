"""`make cluster-chaos`: each row of rows.py, and the table of docs/cluster.md; 1 if anything is wrong."""

import argparse
import asyncio
import logging
import secrets
import sys
from pathlib import Path

from tests.chaos.cluster.rows import ROWS
from tests.chaos.cluster.run import RowOutcome, RowPlan, run
from tests.chaos.cluster.stage import may_part

PAGE = Path(__file__).parents[3] / "docs" / "cluster.md"
BEGIN, END = "<!-- make cluster-chaos: begin -->\n", "<!-- make cluster-chaos: end -->\n"


def table(outcomes: list[RowOutcome]) -> str:
    """Return the outcomes as a table of Markdown."""
    titles = ["what happens", "promised: up; down", "times", "messages up, down", "lost", "doubled"]
    titles += ["out of order", "unexplained", "handled again", "reset"]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for outcome in outcomes:
        row, verdict = outcome.row, outcome.verdict
        times = "; ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in outcome.done.items())
        faults = (verdict.lost, verdict.doubled, verdict.out_of_order, verdict.unexplained)
        cells = [
            row.what,
            f"{row.up}; {row.down}",
            times or f"{outcome.resumed:,} resumed",
            f"{outcome.up:,}, {outcome.down:,}",
            *(f"{len(each):,}" for each in faults),
            "; ".join(f"{count} {why}" for why, count in sorted(outcome.again.items())) or "0",
            str(outcome.resets),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.cluster", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument(
        "--messages", type=int, default=1_000_000, help="of each row, from all clients together"
    )
    parser.add_argument("--seconds", type=float, default=60, help="of each row, for which they send at most")
    parser.add_argument("--rows", nargs="*", choices=[row.name for row in ROWS], help="default: all of them")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    outcomes = []
    for row in ROWS:
        if arguments.rows and row.name not in arguments.rows:
            continue
        if "part" in row.faults and not may_part():
            print(f"{row.name}: left out, as network namespaces need Linux and root", flush=True)
            continue
        outcomes.append(asyncio.run(run(row, RowPlan(arguments.seed, arguments.messages, arguments.seconds))))
        print(outcomes[-1].text(), flush=True)
    if len(outcomes) == len(ROWS):
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + table(outcomes) + END + rest.partition(END)[2])
    return 0 if all(outcome.is_clean for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
