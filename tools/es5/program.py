"""What the translator knows of a program: its modules, and what each of their names stands for."""

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tools.es5.kinds import UNKNOWN, UNSET, Kind
from tools.es5.names import is_member, is_variable


@dataclass(frozen=True)
class Module:
    """One module: its dotted name, the path to name in messages, and its text.

    is_declared: the script has it by hand in JavaScript; only its signatures count.
    """

    name: str
    path: str
    source: str
    is_declared: bool = False


class NotPortable(Exception):
    """Some lines have no translation. `problems` names each: file:line: why."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("not portable to JavaScript:\n" + "\n".join(problems))
        self.problems = list(problems)


class Refused(Exception):
    """There is no rule for a node. Caught at the statement around it, so that one run names all problems."""

    def __init__(self, node: ast.AST, why: str = "") -> None:
        super().__init__(why or f"there is no rule for `{ast.unparse(node).splitlines()[0]}`")
        self.line: int = getattr(node, "lineno", 0)


def require(holds: bool, node: ast.AST, why: str) -> None:
    """Refuse a node unless a rule for it holds."""
    if not holds:
        raise Refused(node, why)


def require_variable(node: ast.AST, name: str) -> None:
    """Refuse a name that a variable, a function or a class cannot have."""
    why = f"the name {name} has a meaning of its own in JavaScript or in the script"
    require(is_variable(name), node, why)


def require_member(node: ast.AST, name: str) -> None:
    """Refuse a name that an attribute, a method or an entry of a dict cannot have."""
    why = f"a member named {name} has a meaning of its own in JavaScript"
    require(is_member(name), node, why)


def require_type(node: ast.AST, annotated: Kind, value: Kind) -> None:
    """Refuse a bool where a number is annotated, which mypy does not: in JavaScript `true === 1` is false."""
    require((annotated.name, value.name) != ("number", "bool"), node, "a bool is no number in JavaScript")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a function. has_value: its default is a constant other than None."""

    name: str
    kind: Kind
    has_default: bool = False
    has_value: bool = False


@dataclass(frozen=True)
class Signature:
    """How a function or a method is called, without `self`, and what it returns."""

    parameters: tuple[Parameter, ...]
    returns: Kind


@dataclass
class Class:
    """A class. base: the name of its base class, or nothing. is_declared: the script has it by hand."""

    name: str
    base: str
    is_declared: bool
    methods: dict[str, Signature] = field(default_factory=dict)
    attributes: dict[str, Kind] = field(default_factory=dict)


@dataclass
class Program:
    """What has been learned of the modules and translated so far.

    short: other names for members of portable classes, for a minified script.
    """

    short: Mapping[str, str]
    modules: dict[str, set[str]] = field(default_factory=dict)
    """Every module and the names that it defines."""
    constants: dict[str, Kind] = field(default_factory=dict)
    functions: dict[str, Signature] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    """What declared modules define."""
    needed: set[str] = field(default_factory=set)
    """What portable modules import of it: the script must have it by hand."""
    members: Counter[str] = field(default_factory=Counter)
    """How often the script names each member of a portable class."""
    outside: set[str] = field(default_factory=set)
    """Classes of another script, whose objects are foreign here: only type checkers see them."""
    foreign: set[str] = field(default_factory=set)
    """Names of members of objects that are not known to be of a portable class: they cannot be changed."""
    problems: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)

    def defines(self, name: str) -> bool:
        """Whether some module defines this name."""
        return any(name in names for names in self.modules.values())

    def attribute(self, owner: str, name: str) -> Kind | None:
        """The kind of a class's attribute, which may be inherited; None if it has none of this name."""
        while (owned := self.classes.get(owner)) is not None:
            if name in owned.attributes:
                kind = owned.attributes[name]
                return UNKNOWN if kind == UNSET else kind
            owner = owned.base
        return None

    def method(self, owner: str, name: str) -> Signature | None:
        """A class's method, which may be inherited; None if it has none of this name."""
        while (owned := self.classes.get(owner)) is not None:
            if name in owned.methods:
                return owned.methods[name]
            owner = owned.base
        return None

    def owner(self, kind: Kind) -> str:
        """The class of what is known to be of one here; for all else as Kind.name."""
        return "" if kind.name in self.outside else kind.name

    def is_any_method(self, name: str) -> bool:
        """Whether some class has a method of this name."""
        return any(name in each.methods for each in self.classes.values())

    def member(self, owner: str, name: str) -> str:
        """The name that the script gives to a member. owner: the kind of its object, a class or not."""
        owned = self.classes.get(owner)
        if owned is None or owned.is_declared:
            self.foreign.add(name)
            return name
        self.members[name] += 1
        return self.short.get(name, name)

    def callee(self, name: str) -> tuple[Signature | None, Kind]:
        """How a function or a class of some module is called, and what that gives."""
        if name in self.classes:
            return self.method(name, "__init__"), Kind(name)
        signature = self.functions.get(name)
        return signature, UNKNOWN if signature is None else signature.returns
