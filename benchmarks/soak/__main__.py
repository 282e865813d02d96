"""Hundreds of connections through random faults: `make soak`, or `python -m benchmarks.soak`.

The servers, behind proxies that inject the faults, have a process of their own, which goes on while this one
blocks its event loop on purpose. It reports each fault; a link that is lost without one was healthy. The run
fails, with a status other than 0, if that happens, if a message is lost without a report, delivered twice or
out of order, if memory grows, or if anything is left after the end.
"""

import argparse
import asyncio
import logging
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.soak.faulty_servers import run_faulty_servers
from benchmarks.soak.run import Soak


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Have that many processes loop for nothing meanwhile."""
    # They end by themselves should this one be killed.
    idler = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
    processes = [subprocess.Popen([sys.executable, "-c", idler]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument(
        "--seed", type=int, default=None, help="of all that is random; printed, random by default"
    )
    parser.add_argument(
        "--healthy",
        type=float,
        default=0.4,
        help="share of the servers with mild faults only; 0.4 by default",
    )
    parser.add_argument("--no-blocks", action="store_true", help="do not block our own event loop")
    parser.add_argument("--busy", type=int, default=0, help="processes that loop for nothing meanwhile; 0")
    parser.add_argument("--faulty-servers", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    who = "faulty servers" if options.faulty_servers else "connections"
    logging.basicConfig(format=f"({who}, %(name)s: %(message)s)", level=logging.ERROR)
    if options.faulty_servers:
        asyncio.run(run_faulty_servers(*options.faulty_servers))
        return
    seed = random.randrange(2**31) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    tracemalloc.start()

    async def run() -> bool:
        return await Soak(
            options.minutes, options.connections, seed, options.healthy, not options.no_blocks
        ).run()

    with busy(options.busy):
        is_sound = asyncio.run(run())
    sys.exit(0 if is_sound else 1)


if __name__ == "__main__":
    main()
