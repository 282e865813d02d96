"""Writes random programs in portable Python: every form, in combinations that a person would not think of.

A program defines `probe(entries)`, which returns a list of numbers, texts, booleans and None. Numbers are
floats that stay small, loops end, and what is raised is caught, so that nothing but the meaning of a form can
make Python and JavaScript differ.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

NUMBER, TEXT, TRUTH, MAYBE = "float", "str", "bool", "float | None"
KINDS = (NUMBER, TEXT, TRUTH, MAYBE)

Variables = dict[str, str]
"""What an expression may name, and the kind of each."""


class Author:
    """Writes one program."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.lines: list[str] = []
        self.indent = 0
        self.names = 0
        self.functions: dict[str, tuple[list[tuple[str, str, bool]], str]] = {}
        """What is defined: of each parameter its name, its kind, whether it has a default; and the result."""

    def program(self) -> str:
        self.say("from typing import Any, Callable, Final")
        self.say("LIMIT: Final = 2.5")
        self.say("WORD: Final = 'w\\u00e9\"'")
        for _ in range(3):
            self.function(self.name("work"), {})
        self.classes()
        with self.block("def probe(entries: dict[str, Any]) -> list[Any]:"):
            self.say("out: list[Any] = []")
            variables: Variables = {}
            self.statements(variables)
            self.entries(variables)
            self.objects(variables)
            self.statements(variables)
            for kind in (*KINDS, *KINDS):
                self.say(f"out.append({self.expression(kind, variables, 3)})")
            for name in variables:
                self.say(f"out.append({name})")
            self.say("return out")
        return "\n".join(self.lines) + "\n"

    # Layout

    def say(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.say(head)
        self.indent += 1
        yield
        self.indent -= 1

    def name(self, word: str) -> str:
        self.names += 1
        return f"{word}_{self.names}"

    def chance(self, part: float) -> bool:
        return self.random.random() < part

    # Definitions

    def function(self, name: str, outer: Variables, owner: str = "") -> None:
        """Write a function, a closure over `outer`, or a method."""
        kinds = [self.random.choice(KINDS) for _ in range(self.random.randint(0, 3))]
        first_default = len(kinds) if outer and not owner else self.random.randint(0, len(kinds))
        parameters = [(self.name("given"), kind, n >= first_default) for n, kind in enumerate(kinds)]
        result = self.random.choice(KINDS)
        heads = [
            f"{parameter}: {kind}{f' = {self.constant(kind)}' if has_default else ''}"
            for parameter, kind, has_default in parameters
        ]
        head = ", ".join(["self", *heads] if owner else heads)
        with self.block(f"def {name}({head}) -> {result}:"):
            variables = outer | {parameter: kind for parameter, kind, _ in parameters}
            if outer and not owner:
                # A closure sets none of the outer variables.
                self.say(f"return {self.expression(result, variables, 3)}")
            else:
                self.statements(variables)
                self.say(f"return {self.expression(result, variables, 3)}")
        if not (outer and not owner):
            self.functions[f"self.{name}" if owner else name] = (parameters, result)

    def classes(self) -> None:
        with self.block("class Base:"):
            with self.block("def __init__(self, first: float, word: str = 'w') -> None:"):
                self.say("self.first = first")
                self.say("self.word = word")
                self.say("self.seen: list[Any] = []")
                self.say("self.later: Callable[[float], float] | None = None")
            with self.block("def value(self) -> float:"):
                self.say("return self.first")
            with self.block("def grow(self, by: float, again: bool = False) -> float:"):
                self.say(f"self.seen.append({self.random.choice(['by', 'self.word', 'again'])})")
                self.say("self.first = min(self.first + by, 50.0)")
                self.say(
                    f"self.later = lambda more: {self.random.choice(['self.first + by', 'more', 'by * 2'])}"
                )
                self.say("return self.grow(by) if again else self.value()")
            mine = {"self.first": NUMBER, "self.word": TEXT}
            for _ in range(2):
                self.function(self.name("act"), mine, owner="Base")
        own = {name: self.functions.pop(name) for name in list(self.functions) if name.startswith("self.")}
        with self.block("class Derived(Base):"):
            with self.block("def __init__(self, first: float) -> None:"):
                self.say(f"super().__init__(first * 2, {self.random.choice(['word=WORD', 'WORD'])})")
                self.say("self.extra = first")
            if self.chance(0.7):
                with self.block("def value(self) -> float:"):
                    self.say("return self.first + self.extra")
        self.functions |= {name.replace("self.", "thing."): how for name, how in own.items()}

    # Statements

    def statements(self, variables: Variables, depth: int = 2) -> None:
        for _ in range(self.random.randint(1, 3)):
            self.statement(variables, depth)

    def statement(self, variables: Variables, depth: int) -> None:
        """Write a statement that leaves each of the variables set."""
        kind = self.random.choice(KINDS)
        settable = [name for name in variables if "." not in name and variables[name] == kind]
        match self.random.randint(0, 6 if depth else 1):
            case 0 | 1:
                if settable and self.chance(0.5):
                    self.say(f"{self.random.choice(settable)} = {self.expression(kind, variables, 2)}")
                else:
                    self.declare(kind, variables)
            case 2:
                name = self.declare(kind, variables)
                with self.block(f"if {self.expression(TRUTH, variables, 2)}:"):
                    self.statement(dict(variables), depth - 1)
                    self.say(f"{name} = {self.expression(kind, variables, 2)}")
                if self.chance(0.5):
                    with self.block(f"elif {self.expression(TRUTH, variables, 2)}:"):
                        self.say(f"{name} = {self.expression(kind, variables, 2)}")
                if self.chance(0.5):
                    with self.block("else:"):
                        self.statement(dict(variables), depth - 1)
            case 3:
                count = self.name("count")
                self.say(f"{count} = 0.0")
                name = self.declare(kind, variables)
                with self.block(f"while {count} < 3 and {self.expression(TRUTH, variables, 1)}:"):
                    self.say(f"{count} = {count} + 1")
                    self.say(f"{name} = {self.expression(kind, {**variables, count: NUMBER}, 2)}")
            case 4:
                name, error = self.declare(kind, variables), self.name("error")
                with self.block("try:"):
                    with self.block(f"if {self.expression(TRUTH, variables, 2)}:"):
                        self.say(f"raise ValueError('no ' + str({self.constant(NUMBER)}))")
                    self.say(f"{name} = {self.expression(kind, variables, 2)}")
                with self.block(f"except Exception{self.random.choice(['', f' as {error}'])}:"):
                    self.say(f"{name} = {self.expression(kind, variables, 2)}")
            case 5:
                values, name = self.name("values"), self.name("left")
                self.say(f"{values}: list[Any] = []")
                for _ in range(self.random.randint(1, 3)):
                    self.say(f"{values}.append({self.expression(NUMBER, variables, 1)})")
                self.say(f"{name}: float = {values}.pop(0)")
                size = self.name("size")
                self.say(f"{size} = {name} + len({values})")
                variables |= {name: NUMBER, size: NUMBER}
            case 6:
                # It sees what the variables are when it is called.
                closure, name = self.name("inner"), self.name("found")
                plain = {name: kind for name, kind in variables.items() if "." not in name}
                # A block holds no functions.
                if depth < 2 or self.chance(0.5):
                    self.say(f"{closure}: Callable[[float], float] = lambda more: {self.short(plain)} * 2")
                else:
                    with self.block(f"def {closure}(more: float) -> float:"):
                        self.say(f"return {self.short(plain)} - more")
                if plain:
                    changed = self.random.choice(list(plain))
                    self.say(f"{changed} = {self.expression(plain[changed], variables, 1)}")
                self.say(f"{name}: float = {closure}({self.constant(NUMBER)})")
                variables[name] = NUMBER

    def declare(self, kind: str, variables: Variables) -> str:
        """Write a new variable with its first value."""
        name = self.name("v")
        annotation = f": {kind}" if kind == MAYBE or self.chance(0.2) else ""
        self.say(f"{name}{annotation} = {self.expression(kind, variables, 2)}")
        variables[name] = kind
        return name

    def entries(self, variables: Variables) -> None:
        """Read and write entries of a record, of which some are missing."""
        for key, kind in (("a number", NUMBER), ("text", TEXT), ("truth", TRUTH), ("missing", MAYBE)):
            name = self.name("entry")
            self.say(f"{name}: {kind} = entries[{key!r}]")
            variables[name] = kind
        self.say(f"entries['text' + 'x'] = {self.expression(TEXT, variables, 2)}")
        self.say("entries['textx'] = entries['textx'] if callable(entries['text']) else entries['text']")
        self.say("out.append(entries['textx'])")
        self.say("out.append(entries['nothing'] is None)")

    def objects(self, variables: Variables) -> None:
        """Make objects, call their methods, and keep what they become."""
        for made in ("Base(1.5)", "Base(first=2.0, word='x')", "Derived(3.0)"):
            name = self.name("thing")
            self.say(f"{name} = {made}")
            for _ in range(2):
                by = self.expression(NUMBER, variables, 1)
                self.say(f"out.append({name}.grow({by}, again={self.expression(TRUTH, variables, 1)}))")
            for method in [each for each in self.functions if each.startswith("thing.")]:
                called = self.call(method, variables, 1).replace("thing.", f"{name}.", 1)
                self.say(f"out.append({called})")
            self.say(f"out.append(len({name}.seen))")
            self.say(f"out.append({name}.seen.pop(0))")
            self.say(f"out.append({name}.later is None)")
            self.say(f"out.append({name}.later(1.0))")
            self.say(f"{name}.word = {self.expression(TEXT, variables, 2)}")
            variables |= {f"{name}.word": TEXT, f"{name}.first": NUMBER}

    # Expressions

    def expression(self, kind: str, variables: Variables, depth: int) -> str:
        named = [name for name, known in variables.items() if known == kind]
        if depth == 0 or self.chance(0.25):
            return self.random.choice(named) if named and self.chance(0.8) else self.constant(kind)
        if self.chance(0.15):
            callable_ = [
                name for name, (_, result) in self.functions.items() if result == kind and "." not in name
            ]
            if callable_:
                return self.call(self.random.choice(callable_), variables, depth - 1)
        if self.chance(0.15):
            test, one, other = (self.expression(each, variables, depth - 1) for each in (TRUTH, kind, kind))
            return f"({one} if {test} else {other})"
        return {NUMBER: self.number, TEXT: self.text, TRUTH: self.truth, MAYBE: self.maybe}[kind](
            variables, depth - 1
        )

    def number(self, variables: Variables, depth: int) -> str:
        one, other = self.expression(NUMBER, variables, depth), self.expression(NUMBER, variables, depth)
        return self.random.choice(
            [
                f"({one} + {other})",
                f"({one} - {other})",
                f"({one} - ({other} - {self.constant(NUMBER)}))",
                f"{one} / 4",
                f"min({one} * {other}, 1000.0)",
                f"max({one}, {other}, LIMIT)",
                f"max(min({one} * LIMIT, 1000), 0 - 1000.0)",
                f"(0.0 + len({self.expression(TEXT, variables, depth)}))",
                f"(0.0 + {self.expression(TEXT, variables, depth)}.find({self.constant(TEXT)}))",
            ]
        )

    def text(self, variables: Variables, depth: int) -> str:
        one = self.expression(TEXT, variables, depth)
        return self.random.choice(
            [
                f"({one} + WORD)",
                f"('A' + {self.constant(TEXT)})",
                "'ÄB'.lower()",
                f"{one}[{self.random.choice(['', '0', '1', '0 - 2'])}:{self.random.choice(['', '1', '3'])}]",
            ]
        )

    def truth(self, variables: Variables, depth: int) -> str:
        one, other = self.expression(NUMBER, variables, depth), self.expression(NUMBER, variables, depth)
        yes, no = self.expression(TRUTH, variables, depth), self.expression(TRUTH, variables, depth)
        text = self.expression(TEXT, variables, depth)
        return self.random.choice(
            [
                f"({one} {self.random.choice(['<', '<=', '>', '>=', '==', '!='])} {other})",
                f"({yes} and {no})",
                f"({yes} or {no})",
                f"(not {yes})",
                f"({text} {self.random.choice(['==', '!='])} {self.constant(TEXT)})",
                f"({self.optional(variables)} {self.random.choice(['is', 'is not'])} None)",
                f"({self.optional(variables)} {self.random.choice(['==', '!='])} {one})",
                f"({yes} == {no})",
            ]
        )

    def maybe(self, variables: Variables, depth: int) -> str:
        return self.random.choice(["None", self.expression(NUMBER, variables, depth)])

    def optional(self, variables: Variables) -> str:
        """What may be None, but is not written as None."""
        return self.random.choice([name for name, kind in variables.items() if kind == MAYBE] or ["LIMIT"])

    def call(self, name: str, variables: Variables, depth: int) -> str:
        """A call by position and keyword, without some of what has a default."""
        given = []
        is_by_keyword = False
        for parameter, kind, has_default in self.functions[name][0]:
            if has_default and self.chance(0.4):
                is_by_keyword = True
                continue
            # What has a default takes only what is surely not None.
            value = self.expression(kind, variables, depth)
            is_by_keyword = is_by_keyword or self.chance(0.3)
            given.append(f"{parameter}={value}" if is_by_keyword else value)
        return f"{name}({', '.join(given)})"

    def short(self, variables: Variables) -> str:
        numbers = [name for name, kind in variables.items() if kind == NUMBER]
        return self.random.choice(numbers) if numbers else self.constant(NUMBER)

    def constant(self, kind: str) -> str:
        return {
            NUMBER: self.random.choice(["0.0", "1.0", "2.5", "0.001", "7.0"]),
            TEXT: self.random.choice(["''", "'a'", "'\\u00e9'", "'b c'"]),
            TRUTH: self.random.choice(["True", "False"]),
            MAYBE: "None",
        }[kind]
