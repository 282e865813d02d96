"""Random portable programs mean the same in CPython and, translated, in Node."""

import json
from pathlib import Path
from random import Random
from typing import Any

from tests.es5.random_programs import Author
from tests.node import run_node
from tools.es5 import Module, translate

PROGRAMS = 400

RUN = """
var input = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(input.scripts.map(function (script) {
    var entries = JSON.parse(JSON.stringify(input.entries));
    try {
        return new Function("entries", script + "\\nreturn probe(entries);")(entries);
    } catch (error) {
        return "threw " + error;
    }
})));
"""

ENTRIES: dict[str, Any] = {"a number": 2.5, "text": "given", "truth": True}


class Record(dict[str, Any]):
    """A record as portable code knows it: what is missing reads as None."""

    def __missing__(self, key: str) -> None:
        return None


def in_python(source: str) -> Any:
    names: dict[str, Any] = {}
    exec(compile(source, "program.py", "exec"), names)
    return names["probe"](Record(ENTRIES))


def alike(one: Any, other: Any) -> bool:
    """Equal, and True is not 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def test_random_programs_mean_the_same_in_javascript(tmp_path: Path) -> None:
    sources = [Author(Random(number)).program() for number in range(PROGRAMS)]
    scripts = [str(translate([Module("program", "program.py", source)])) for source in sources]
    results = run_node(RUN, tmp_path, given={"scripts": scripts, "entries": ENTRIES})
    compared = 0
    for source, script, result in zip(sources, scripts, results, strict=True):
        expected = json.loads(json.dumps(in_python(source)))
        assert isinstance(result, list), f"{result}\n{source}\n{script}"
        assert len(result) == len(expected)
        for place, pair in enumerate(zip(expected, result, strict=True)):
            assert alike(*pair), f"value {place}: {pair}\n{source}\n{script}"
        compared += len(result)
    assert compared > 10 * PROGRAMS
