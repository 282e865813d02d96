"""Finds short names for the variables of the built JavaScript that zip well: python tools/names.py [seconds]

What a name costs in a zipped file depends on what stands around it in all other places, so no rule finds the
best ones. This tries changes at random, keeps those that help, and now and then one that does not, ever more
seldom. The names go to javascript/names.json; a build that they do not fit any more is correct, but larger.
"""

import json
import math
import sys
import time
import zlib
from pathlib import Path
from random import Random
from typing import Final

from websocket_heartbeat.miniprogram import bundle
from websocket_heartbeat.miniprogram.names import Script

LETTERS: Final = "etnsroiaclduhmpfgvbyxwkqjzETNSROIACLDUHMPFGVBYXWKQJZ$_"
WARMTH: Final = 1.2
"""Bytes: a change for the worse by so many is kept about every third time, at first."""


def search(script: Script, names: list[str], seconds: float, random: Random) -> list[str]:
    """Return the best names found, beginning with `names`."""
    count = len(script.variables)
    differ = [
        [other for other in range(count) if script.variables[one].must_differ(script.variables[other])]
        for one in range(count)
    ]
    taken = [
        {each.name for each in script.fixed if each.must_differ(variable)} for variable in script.variables
    ]
    size = best_size = zipped(script.renamed(names))
    best = names.copy()
    begin = time.monotonic()
    while (spent := (time.monotonic() - begin) / seconds) < 1:
        changed = change(names, differ, taken, random)
        if changed is None:
            continue
        now = zipped(script.renamed(changed))
        if now <= size or random.random() < math.exp((size - now) / (WARMTH * (1 - spent))):
            names, size = changed, now
            if size < best_size:
                best, best_size = names.copy(), size
    return best


def change(
    names: list[str], differ: list[list[int]], taken: list[set[str]], random: Random
) -> list[str] | None:
    """Give one variable another name; whatever has that name and must not, gets the old one, and so on."""
    first = random.randrange(len(names))
    old = names[first]
    new = random.choice(LETTERS) if random.random() < 0.8 else random.choice(names)
    if new == old:
        return None
    changed = names.copy()
    changed[first] = new
    todo = [first]
    while todo:
        one = todo.pop()
        if changed[one] in taken[one]:
            return None
        for other in differ[one]:
            if changed[other] == changed[one]:
                if changed[other] != names[other]:
                    return None
                changed[other] = old if changed[one] == new else new
                todo.append(other)
    return changed


def zipped(text: str) -> int:
    """The bytes of a text, zipped."""
    return len(zlib.compress(text.encode(), 9))


def main() -> None:
    """Write names for both targets."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0
    found = {}
    for target in bundle.EXPORTS:
        script = Script(bundle.unnamed(target))
        begin = bundle.chosen_names(target)
        if not script.fits(begin):
            begin = [each.name for each in script.variables]
        names = search(script, begin, seconds, Random(1))
        assert script.fits(names)
        print(
            f"{target}: {zipped(script.text)} bytes zipped, {zipped(script.renamed(names))} with these names"
        )
        found[target] = " ".join(names)
    path = Path(bundle.__file__).parent / "javascript" / "names.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
