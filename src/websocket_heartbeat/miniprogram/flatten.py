"""Spells the classes of portable modules as variables and functions of one closure, which minify better.

A connection has one machine, one set of settings, one clock: their attributes become variables of the closure
that is the connection, and their methods its functions. Every link becomes a closure within. Only what users,
or other closures, name stays a property of an object. So `self.machine.state` is one letter in the end.
"""

import ast
import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from websocket_heartbeat.miniprogram.portability import Module

RECORDS: Final = frozenset({"Action"})
"""Classes that only carry values: there are many objects of each."""

KINDS: Final = r"NOTIFY_|\w+_LINK$"
"""Constants that stand for kinds of actions: nobody sees them, so they may be numbers."""

TASK: Final = "this_task"
LINK: Final = "this_link"
"""The objects that others hold, within the closures."""

_API: Final = frozenset(
    "socketTask ws opts repeat forbidReconnect state send close reconnect destroy".split()  # noqa: SIM905 # as a text it is read at a glance
)
"""What a task shows to its user; and its hooks."""


@dataclass
class _Class:
    """A class with what it inherits: its methods, and the classes that its attributes hold."""

    name: str
    methods: dict[str, ast.FunctionDef] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)


def flatten(modules: Sequence[Module], declared: Sequence[str], task: str, link: str) -> ast.Module:
    """Return the program of `modules` as functions and variables; `task` and `link` name the two closures."""
    return _Program(modules, declared, task, link).flat()


class _Program:
    def __init__(self, modules: Sequence[Module], declared: Sequence[str], task: str, link: str) -> None:
        self.task, self.link = task, link
        self.classes: dict[str, _Class] = {}
        self.alias: dict[str, str] = {}
        """Of a class that is only a base, the class that it is a base of."""
        self.functions: dict[str, ast.FunctionDef] = {}
        self.constants: list[ast.Assign] = []
        self.numbered = 0
        self.declared: set[str] = set()
        for module in modules:
            for node in ast.parse(module.source, module.path).body:
                self._collect(node)
                if isinstance(node, ast.FunctionDef) and module.name in declared:
                    self.declared.add(node.name)
        made = self.classes["Settings"].methods["__init__"]
        self.classes["Settings"].methods["__init__"] = _Trust().visit(made)
        for each in self.classes.values():
            each.attributes = dict(self._attributes(each))
        self.classes[task].attributes["link"] = link
        self.classes[link].attributes["owner"] = task
        self.shown = {
            node.attr
            for method in self.classes[task].methods.values()
            for node in ast.walk(method)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self.link"
        }
        """What a task names of its link."""

    def _collect(self, node: ast.stmt) -> None:
        match node:
            case ast.ClassDef():
                own = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}
                inherited: dict[str, ast.FunctionDef] = {}
                for base in node.bases:
                    inherited = dict(self.classes.pop(ast.unparse(base)).methods)
                    self.alias[ast.unparse(base)] = node.name
                    inherited["__base__"] = inherited.pop("__init__")
                self.classes[node.name] = _Class(node.name, {**inherited, **own})
            case ast.FunctionDef():
                self.functions[node.name] = node
            case ast.AnnAssign(target=ast.Name() as name, value=ast.expr() as value):
                if re.match(KINDS, name.id):
                    value = ast.Constant(self.numbered)
                    self.numbered += 1
                self.constants.append(ast.Assign([name], value))

    def kind(self, annotation: ast.expr | None) -> str:
        """The class that an annotation names, or nothing."""
        name = ast.unparse(annotation).strip("'\"") if annotation else ""
        name = self.alias.get(name, name)
        return name if name in self.classes else ""

    def parameters(self, function: ast.FunctionDef, is_method: bool) -> Iterator[tuple[str, str]]:
        """Names and classes of parameters, without self."""
        for each in function.args.args[is_method:]:
            yield each.arg, self.task if each.arg == "owner" else self.kind(each.annotation)

    def is_single(self, name: str) -> bool:
        """Whether there is one object of the class in a connection, or in the closure of a link."""
        return bool(name) and name not in RECORDS and name != self.link

    def _attributes(self, of: _Class) -> Iterator[tuple[str, str]]:
        for name in ("__base__", "__init__"):
            made = of.methods.get(name)
            if made is None:
                continue
            known = dict(self.parameters(made, True))
            for node in ast.walk(made):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
                    match node.value:
                        case ast.Name(id=parameter):
                            yield node.targets[0].attr, known.get(parameter, "")
                        case ast.Call(func=ast.Name(id=called)) if called in self.functions:
                            yield node.targets[0].attr, self.kind(self.functions[called].returns)
                        case ast.Call(func=ast.Name(id=called)) if called in self.classes:
                            yield node.targets[0].attr, called

    def flat(self) -> ast.Module:
        body: list[ast.stmt] = [*self.constants]
        for name, function in self.functions.items():
            if name in self.declared:
                continue
            body.append(_Flat(self, "", {}).function(function, name, False))
        for of in self.classes.values():
            if of.name == "Clock":
                continue
            if of.name in RECORDS:
                body.append(self._record(of))
                continue
            methods = [
                _Flat(self, of.name, {}).function(method, function_name(of.name, name), True)
                for name, method in of.methods.items()
            ]
            if of.name == self.link:
                body.append(self._closure(of, methods))
            else:
                body += methods
        for name in self.classes[self.task].methods:
            if name in _API:
                body += ast.parse(f"{TASK}.{name} = {function_name(self.task, name)}").body
        return ast.Module(body, [])

    def _record(self, of: _Class) -> ast.stmt:
        """What makes a record, as a function: its constructor sets attributes and does nothing else."""
        made = of.methods["__init__"]
        parameters = [name for name, _ in self.parameters(made, True)]
        entries = []
        for node in ast.walk(made):
            match node:
                case ast.Assign([ast.Attribute(attr=name)], value) | ast.AnnAssign(
                    ast.Attribute(attr=name), value=ast.expr() as value
                ):
                    # What is read of it has been set before; but a code, and undefined is as good as None.
                    if isinstance(value, ast.Constant):
                        continue
                    entries.append(f"{member_name(of.name, name)!r}: {ast.unparse(value)}")
        return ast.parse(
            f"def {function_name(of.name, '')}({', '.join(parameters)}):\n return {{{', '.join(entries)}}}"
        ).body[0]

    def _closure(self, of: _Class, methods: list[ast.FunctionDef]) -> ast.stmt:
        """A link: its constructor, with the methods within, and an object of what its task may call."""
        made = next(each for each in methods if each.name == function_name(of.name, "__init__"))
        shown = [
            f"{LINK}.{member_name(of.name, name)} = {function_name(of.name, name)}"
            for name in of.methods
            if name in self.shown
        ]
        return ast.FunctionDef(
            function_name(of.name, ""),
            made.args,
            [
                *ast.parse(f"{LINK} = {{}}").body,
                *made.body,
                *(each for each in methods if each is not made),
                *ast.parse("\n".join(shown)).body,
                ast.Return(ast.Name(LINK, ast.Load())),
            ],
            [],
        )


def function_name(of: str, method: str) -> str:
    """The name of the function that a method becomes; in lower case, or PScript would call it with new."""
    return f"{of[0].lower()}{of[1:]}_{method.strip('_') if method.endswith('_') else method or 'new'}"


def member_name(of: str, attribute: str) -> str:
    """The name of a property that several closures name, or several objects have."""
    return function_name(of, "")[: -len("new")] + attribute


class _Trust(ast.NodeTransformer):
    """Leaves out what Settings checks: options.py, which alone makes them here, has checked the same."""

    def visit_If(self, node: ast.If) -> None:
        assert isinstance(node.body[0], ast.Raise)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        assert ast.unparse(node.func) in {"positive", "at_least_zero"}
        return node.args[1]


class _Flat(ast.NodeTransformer):
    """Rewrites one function. known: the classes of its variables."""

    def __init__(self, program: _Program, of: str, known: dict[str, str]) -> None:
        self.program, self.of, self.known = program, of, known

    def function(self, source: ast.FunctionDef, name: str, is_method: bool) -> ast.FunctionDef:
        node = copy.deepcopy(source)
        self.known |= dict(self.program.parameters(node, is_method))
        keep = [
            each
            for each, (_, kind) in zip(
                node.args.args[is_method:], self.program.parameters(node, is_method), strict=True
            )
            if not self.program.is_single(kind)
        ]
        keep = [ast.arg(each.arg) for each in keep]
        node.returns = None
        # A default of None: what a caller leaves out is undefined, and as good.
        defaults = [each for each in node.args.defaults if ast.unparse(each) != "None"]
        node.args = ast.arguments([], keep, None, [], [], None, defaults)
        node.name = name
        node.body = [each for each in map(self.visit, node.body) if each is not None] or [ast.Pass()]
        return node

    def kind(self, node: ast.expr) -> str:
        """The class of what an expression gives, or nothing."""
        match node:
            case ast.Name(id="self"):
                return self.of
            case ast.Name(id=name):
                return self.known.get(name, "")
            case ast.Attribute(value=value, attr=attr):
                of = self.kind(value)
                return self.program.classes[of].attributes.get(attr, "") if of else ""
            case ast.Call(func=ast.Name(id=name)):
                if name in self.program.functions:
                    return self.program.kind(self.program.functions[name].returns)
                return name if name in self.program.classes else ""
            case ast.Call(func=ast.Attribute(value=value, attr=attr)):
                of = self.kind(value)
                method = self.program.classes[of].methods.get(attr) if of else None
                return self.program.kind(method.returns) if method else ""
        return ""

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | None:
        self.generic_visit(node)
        return None if isinstance(node.value, ast.Constant) else node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | None:
        if node.value is None:
            return None
        statement = self.visit_Assign(ast.Assign([node.target], node.value))
        if isinstance(node.target, ast.Name):
            # What it is taken from may not tell: a list knows nothing of its elements.
            self.known[node.target.id] = self.program.kind(node.annotation) or self.known[node.target.id]
        return statement

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | None:
        kind = self.kind(node.value)
        if isinstance(node.targets[0], ast.Name):
            self.known[node.targets[0].id] = kind
            if self.program.is_single(kind) and not isinstance(node.value, ast.Call):
                return None
        if isinstance(node.targets[0], ast.Attribute) and self.program.is_single(kind):
            return ast.Expr(self.visit(node.value)) if isinstance(node.value, ast.Call) else None
        self.generic_visit(node)
        return node

    def visit_Return(self, node: ast.Return) -> ast.stmt:
        is_single = node.value is not None and self.program.is_single(self.kind(node.value))
        self.generic_visit(node)
        return ast.Expr(node.value) if is_single and node.value else node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        kind = self.kind(node)
        if kind == self.program.task:
            return ast.Name(TASK, ast.Load())
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        of = self.kind(node.value)
        program = self.program
        if of == program.task:
            if node.attr in _API or re.match("on[A-Za-z]", node.attr):
                return ast.Attribute(ast.Name(TASK, ast.Load()), node.attr, node.ctx)
            return ast.Name(f"{of}_{node.attr}", node.ctx)
        if of == program.link:
            if node.attr in program.shown:
                holder = ast.Name(LINK, ast.Load()) if self.of == program.link else self.visit(node.value)
                return ast.Attribute(holder, member_name(of, node.attr), node.ctx)
            return ast.Name(f"{of}_{node.attr}", node.ctx)
        if program.is_single(of):
            return ast.Name(f"{of}_{node.attr}", node.ctx)
        if of in RECORDS:
            return ast.Attribute(self.visit(node.value), member_name(of, node.attr), node.ctx)
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        program = self.program
        match node.func:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super"))):
                return self._call(node, self.of, "__base__")
            case ast.Attribute(value=value, attr=attr):
                of = self.kind(value)
                inside = program.is_single(of) or (of == program.link and of == self.of)
                if inside and attr in program.classes[of].methods:
                    return self._call(node, of, attr)
                if of == program.link and attr in program.shown:
                    callee = program.classes[of].methods[attr]
                    called = ast.Attribute(self.visit(value), member_name(of, attr), ast.Load())
                    return ast.Call(called, self._arguments(node, callee, True), [])
            case ast.Name(id=name) if name in program.classes:
                return self._call(node, name, "__init__" if program.is_single(name) else "")
            case ast.Name(id=name) if name in program.functions:
                return ast.Call(node.func, self._arguments(node, program.functions[name], False), [])
        self.generic_visit(node)
        return node

    def _call(self, node: ast.Call, of: str, method: str) -> ast.Call:
        callee = self.program.classes[of].methods[method or "__init__"]
        name = function_name(of, method)
        return ast.Call(ast.Name(name, ast.Load()), self._arguments(node, callee, True), [])

    def _arguments(self, node: ast.Call, callee: ast.FunctionDef, is_method: bool) -> list[ast.expr]:
        return [
            self.visit(argument)
            for argument, (_, kind) in zip(
                node.args, self.program.parameters(callee, is_method), strict=False
            )
            if not self.program.is_single(kind)
        ]


def declare(program: ast.Module, link: str) -> ast.Module:
    """Say for every variable of a closure whose it is; group assignments of one value."""
    for node in ast.walk(program):
        if isinstance(node, ast.FunctionDef):
            node.body = _grouped(node.body)
    variables = {name for name in _stored(program) if name[0].isupper()}
    within = {name for name in variables if name.startswith(f"{link}_")}
    for node in ast.walk(program):
        if isinstance(node, ast.FunctionDef):
            stored = sorted(_stored(node) & variables)
            if node.name == function_name(link, ""):
                node.body = [*_raw("var", within), *node.body]
            if stored:
                node.body = [ast.Global(stored), *node.body]
    program.body = [*_raw("var", variables - within), *program.body]
    return program


def _raw(word: str, names: set[str]) -> list[ast.stmt]:
    return ast.parse(f"RawJS('{word} {', '.join(sorted(names))}')").body if names else []


def _stored(node: ast.AST) -> set[str]:
    return {
        each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }


def _grouped(body: list[ast.stmt]) -> list[ast.stmt]:
    """Assignments in a row of one value, as one."""
    grouped: list[ast.stmt] = []
    row: dict[str, ast.Assign] = {}
    for node in body:
        match node:
            case ast.Assign([target], ast.Constant() | ast.Name(id="Object") as value):
                key = ast.dump(value)
                if key in row:
                    row[key].targets.append(target)
                else:
                    row[key] = node
                    grouped.append(node)
            case _:
                row = {}
                grouped.append(node)
    return grouped
