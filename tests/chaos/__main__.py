"""`make chaos`: the load of run.py in its long form; exit code 1 if anything is wrong."""

import argparse
import asyncio
import logging
import secrets
import sys

from tests.chaos.load import Plan
from tests.chaos.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--messages", type=int, default=1_000_000, help="from all clients together")
    parser.add_argument("--seconds", type=float, default=840, help="for which they send at most")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    logging.getLogger("tests.chaos").setLevel(logging.INFO)
    print(f"seed {arguments.seed}", flush=True)
    outcome = asyncio.run(run(Plan(arguments.seed, arguments.messages, arguments.seconds)))
    print(outcome.table())
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
