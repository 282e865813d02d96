"""Runs the benchmarks: `python -m benchmarks [name ...] [--long]`; all of them, in short form, by default."""

import argparse
import time
from importlib import import_module

NAMES = (
    "storm",
    "admission",
    "throughput",
    "echo",
    "heartbeat",
    "memory",
    "rooms",
    "flood",
    "detection",
    "reconnect",
    "imports",
    "agreement",
    "agreement_js",
    "middleware",
    "sessions",
    "nodes",
    "shared_rooms",
    "cluster",
    "dashboard",
)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--long", action="store_true", help="more rounds, larger herds")
    modules = {name: import_module(f"benchmarks.{name}") for name in NAMES}
    modules["storm"].add_arguments(parser)
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for name in options.names or NAMES:
        begun = time.monotonic()
        modules[name].run(options)
        print(f"({name}: {time.monotonic() - begun:.0f} s)")


if __name__ == "__main__":
    main()
