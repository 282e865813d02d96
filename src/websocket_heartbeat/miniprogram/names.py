"""Renames the variables of a minified script, and knows which of them may have the same name."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

_WORD: Final = re.compile(
    "(break|case|catch|continue|default|delete|do|else|export|false|finally|for|function|if|in|instanceof|new"
    "|null|return|switch|this|throw|true|try|typeof|var|void|while)$"
)

_TOKEN: Final = re.compile(r'"[^"]*"|/\*.*?\*/|[A-Za-z_$][\w$]*|[\d.]+(?:e\d+)?|\S', re.S)

_NAME: Final = re.compile(r"[A-Za-z_$]")


@dataclass(eq=False)
class Scope:
    """A function, a catch clause, or the script itself, which has no scope outside."""

    outer: "Scope | None" = None
    variables: "dict[str, Variable]" = field(default_factory=dict)

    def declare(self, name: str) -> "Variable":
        """Make the variable, unless it is there."""
        return self.variables.setdefault(name, Variable(name, self))

    def outwards(self) -> "Iterator[Scope]":
        """This scope and all around it, the innermost first."""
        yield self
        if self.outer:
            yield from self.outer.outwards()


@dataclass(eq=False)
class Variable:
    """scope: whose it is. places: the tokens that name it. within: the scopes through which it is seen."""

    name: str
    scope: Scope
    places: list[int] = field(default_factory=list)
    within: set[Scope] = field(default_factory=set)

    def must_differ(self, other: "Variable") -> bool:
        """Whether, of one name, one of the two would be taken for the other somewhere."""
        return self is not other and (other.scope in self.within or self.scope in other.within)


class Script:
    """A script taken apart.

    text: ES5 as the minifier prints it: without labels, regular expressions and named function expressions.
    variables: all but those of the top level, in the order in which they are first named.
    fixed: the variables of the top level, and what the script does not declare.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        matches = list(_TOKEN.finditer(text))
        self._tokens = [match[0] for match in matches]
        top = Scope()
        scopes = self._scopes(top)
        found: dict[Variable, None] = {}
        for place, token in enumerate(self._tokens):
            if not _NAME.match(token) or _WORD.match(token) or self._is_member(place):
                continue
            around = list(scopes[place].outwards())
            owner = next((scope for scope in around if token in scope.variables), top)
            variable = owner.declare(token)
            variable.places.append(place)
            variable.within.update(around[: around.index(owner) + 1])
            found[variable] = None
        self.fixed = [each for each in found if each.scope is top]
        self.variables = [each for each in found if each.scope is not top]
        numbers = {place: number for number, each in enumerate(self.variables) for place in each.places}
        self._named = [numbers[place] for place in sorted(numbers)]
        ends = [matches[place].end() for place in sorted(numbers)]
        starts = [matches[place].start() for place in sorted(numbers)]
        self._between = [text[end:start] for end, start in zip([0, *ends], [*starts, None], strict=True)]

    def fits(self, names: Sequence[str]) -> bool:
        """Whether the variables can have these names, in the order of `variables`."""
        if len(names) != len(self.variables) or any(map(_WORD.match, names)):
            return False
        named = [*zip(self.variables, names, strict=True), *((each, each.name) for each in self.fixed)]
        by_name: dict[str, list[Variable]] = {}
        for variable, name in named:
            by_name.setdefault(name, []).append(variable)
        return not any(one.must_differ(other) for same in by_name.values() for one in same for other in same)

    def renamed(self, names: Sequence[str]) -> str:
        """The script with these names for its variables."""
        first, *others = self._between
        parts = [first]
        for number, text in zip(self._named, others, strict=True):
            parts += names[number], text
        return "".join(parts)

    def _is_member(self, place: int) -> bool:
        """Whether a word names a property: after a dot, or in front of a value in an object."""
        before = self._tokens[place - 1] if place else ""
        after = self._tokens[place + 1] if place + 1 < len(self._tokens) else ""
        return before == "." or (after == ":" and before in ("{", ","))

    def _scopes(self, top: Scope) -> list[Scope]:
        """The scope that each token stands in; they know what is declared in them."""
        scopes: list[Scope] = []
        bodies = [(-1, top)]
        """Scopes that have not ended, each with the depth of brackets around its body."""
        heading: Scope | None = None
        """The function whose parameters are being declared, before its body."""
        declaring: list[int] = []
        """The depths of `var` statements that have not ended."""
        depth = 0
        before = ""
        for token in self._tokens:
            if token in (")", "]", "}"):
                depth -= 1
                while declaring and depth < declaring[-1]:
                    declaring.pop()
            scope = bodies[-1][1]
            if token in ("function", "catch"):
                heading = Scope(scope)
            elif before == "function" and token != "(":
                scope.declare(token)
            elif heading and token == "{":
                bodies.append((depth, heading))
                heading = None
            elif heading and _NAME.match(token):
                scope = heading
                scope.declare(token)
            elif token == "var":
                declaring.append(depth)
            elif before == "var" or (before == "," and declaring and declaring[-1] == depth):
                scope.declare(token)
            elif token in (";", "in") and declaring and declaring[-1] == depth:
                declaring.pop()
            scopes.append(scope)
            if token == "}" and depth == bodies[-1][0]:
                bodies.pop()
            if token in ("(", "[", "{"):
                depth += 1
            before = token
        return scopes
