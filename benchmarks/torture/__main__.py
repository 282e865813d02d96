"""Sets every trap for every client and writes the table: `python -m benchmarks.torture`."""

import argparse
import asyncio
import logging
import time

from benchmarks.torture.clients import CLIENTS, NODE_PEERS, Client
from benchmarks.torture.report import Table, show, write
from benchmarks.torture.traps import TRAPS, Trap, judge


async def run(clients: list[Client], traps: list[Trap], jobs: int) -> Table:
    """Set the traps, some side by side, those that need much of the machine one after the other."""
    table: Table = {}
    places = asyncio.Semaphore(jobs)
    heavy = asyncio.Lock()

    async def cell(trap: Trap, client: Client) -> None:
        if trap.heavy:
            async with heavy, places:
                verdict = await judge(trap, client)
        else:
            async with places:
                verdict = await judge(trap, client)
        table[trap.number, client.name] = verdict
        note = f" ({verdict.note})" if verdict.note else ""
        print(f"{trap.number:2}  {client.name:24} {verdict.word:12} {verdict.figure}{note}", flush=True)

    await asyncio.gather(*(cell(trap, client) for trap in traps for client in clients))
    return table


def main() -> None:
    """Run what the command line asks for; only a run of everything is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture", description=__doc__)
    parser.add_argument("--clients", nargs="*", default=[], help="names; all by default")
    parser.add_argument("--traps", nargs="*", default=[], type=int, help="numbers; all by default")
    parser.add_argument("--jobs", type=int, default=6, help="how many side by side; 6 by default")
    options = parser.parse_args()

    trouble = NODE_PEERS.install()
    if trouble:
        print(f"(peers in JavaScript left out: {trouble})")
    wanted = [client for client in CLIENTS if not options.clients or client.name in options.clients]
    clients = [client for client in wanted if client.version is not None]
    for client in wanted:
        if client.version is None:
            print(f"({client.name} left out: {client.package} is not installed; the group torture has it)")
    traps = [trap for trap in TRAPS if not options.traps or trap.number in options.traps]
    # Clients that leave while a server talks are what these servers are for.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    begun = time.monotonic()
    table = asyncio.run(run(clients, traps, options.jobs))
    seconds = time.monotonic() - begun
    show(table, clients, traps)
    print(f"({seconds:.0f} s)")
    if not options.clients and not options.traps:
        write(table, clients, traps, seconds)


if __name__ == "__main__":
    main()
