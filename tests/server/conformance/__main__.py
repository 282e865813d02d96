"""Writes the table of docs/server/conformance.md: `python -m tests.server.conformance` tries every server."""

import argparse
import asyncio

from tests.server.conformance.checks import CHECKS
from tests.server.conformance.servers import SERVERS
from tests.server.conformance.suite import judge
from tests.server.conformance.table import write


def main() -> None:
    """Run what the command line asks for; only a run of everything is kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.server.conformance", description=__doc__)
    parser.add_argument("--servers", nargs="*", default=[], help="names; all by default")
    parser.add_argument("--checks", nargs="*", default=[], help="names; all by default")
    options = parser.parse_args()
    table: dict[str, dict[str, str]] = {}
    for kind in SERVERS:
        if options.servers and kind.name not in options.servers:
            continue
        print(f"{kind.name} ({kind.package} {kind.version})", flush=True)
        table[kind.name] = asyncio.run(judge(kind, options.checks or tuple(CHECKS)))
        for name, cell in table[kind.name].items():
            print(f"  {name:26} {cell}", flush=True)
    if not options.servers and not options.checks:
        write(table)


if __name__ == "__main__":
    main()
