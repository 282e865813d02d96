"""The rules for modules and classes, and the translation of a whole program."""

import ast
from collections.abc import Mapping, Sequence
from typing import Final

from tools.es5.expressions import Scope
from tools.es5.kinds import Kind, kind_of, kind_of_constant, kind_of_value
from tools.es5.names import OF_PYTHON
from tools.es5.program import (
    Class,
    Module,
    NotPortable,
    Parameter,
    Program,
    Refused,
    Signature,
    require,
    require_member,
    require_variable,
)
from tools.es5.statements import Statements
from tools.es5.writer import Writer


def translate(modules: Sequence[Module], short: Mapping[str, str] | None = None) -> Program:
    """Translate modules; str() of the result is the script. The same modules give the same text.

    modules: base classes before the classes that inherit from them.
    short: other names for members of portable classes, for a minified script.

    Raises:
        NotPortable: with every line that has no translation.
    """
    program = Program(short or {})
    translations = [_Translation(program, module) for module in modules]
    for translation in translations:
        translation.declare()
    for translation in translations:
        translation.write()
    if program.problems:
        raise NotPortable(program.problems)
    return program


_OF_TYPING: Final = frozenset({"Any", "Callable", "Final", "TYPE_CHECKING"})
"""What annotations may need. Of others, Optional say, kinds.py knows nothing."""


class _Translation:
    """The translation of one module."""

    def __init__(self, program: Program, module: Module) -> None:
        self.program = program
        self.module = module
        self.body = ast.parse(module.source, module.path).body
        self.scope = Scope()
        self.writer = Writer(program.lines, module.source)
        self.statements = Statements(program, module.path, self.scope, self.writer)

    # What a module defines is learned before any module is translated: functions call what stands below.

    def declare(self) -> None:
        self.program.modules[self.module.name] = set()
        for node in self.body:
            if not (self.module.is_declared and getattr(node, "name", "").startswith("_")):
                self.statements.guard(self._declare, node)

    def _declare(self, node: ast.stmt) -> None:
        program = self.program
        match node:
            case ast.FunctionDef(name):
                require(not name[0].isupper(), node, f"the function {name} looks like a class")
                program.functions[name] = _signature(node)
            case ast.ClassDef(name):
                require(name[0].isupper(), node, f"the class {name} looks like a function")
                program.classes[name] = _class(node, self.module.is_declared)
            case ast.AnnAssign(ast.Name(name), ast.Name("Final"), ast.Constant(value)):
                program.constants[name] = kind_of_constant(value)
            case _:
                return
        require_variable(node, name)
        is_new = not program.defines(name)
        require(is_new, node, f"{name} is defined twice in portable modules, which share one scope")
        program.modules[self.module.name].add(name)
        if self.module.is_declared:
            program.declared.add(name)

    # What a module becomes

    def write(self) -> None:
        if self.module.is_declared:
            return
        self.scope.visible |= self.program.modules[self.module.name]
        self.writer.write("")
        self.writer.write(f"// {self.module.path}")
        self.statements.each(self.body, self._top)

    def _top(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(ast.Constant(str(text))):
                # A string below a constant is written with it.
                if node is self.body[0]:
                    self.writer.explain(text)
                    self.writer.write("")
            case ast.ImportFrom("typing", names, level=0):
                for alias in names:
                    is_known = alias.name in _OF_TYPING and not alias.asname
                    require(is_known, node, f"{alias.name} of typing has no meaning here")
            case ast.ImportFrom(str(name), level=0) if name in self.program.modules:
                self._import(node, name)
            case ast.If(ast.Name("TYPE_CHECKING"), body, []):
                for each in body:
                    require(
                        isinstance(each, ast.ImportFrom), each, "only imports are for type checkers alone"
                    )
                    self._import_of_types(each)
            case ast.AnnAssign(
                ast.Name(name), ast.Name("Final"), ast.Constant(str() | int() | float()) as value
            ):
                self.writer.write(f"var {name} = {self.statements.expressions.translate(value).text};")
            case ast.FunctionDef(name):
                self.statements.function(node, f"function {name}")
            case ast.ClassDef(bases=[] | [ast.Name()], keywords=[], decorator_list=[]):
                self._class(node)
            case _:
                raise Refused(node)

    def _import_of_types(self, node: ast.stmt) -> None:
        match node:
            case ast.ImportFrom(str(name), names) if name not in self.program.modules:
                self.program.outside |= {alias.name for alias in names}
            case _:
                self._top(node)

    def _import(self, node: ast.ImportFrom, module: str) -> None:
        program = self.program
        for alias in node.names:
            is_there = alias.name in program.modules[module] and not alias.asname
            require(is_there, node, f"{module} has no {alias.name} to import")
            self.scope.visible.add(alias.name)
            program.needed |= {alias.name} & program.declared

    def _class(self, node: ast.ClassDef) -> None:
        program = self.program
        if node.name not in program.classes:
            return  # refused already
        base = program.classes[node.name].base
        is_portable = base in self.scope.visible and base in program.classes
        require(not base or is_portable, node, f"the base class {base} is not portable")
        body = node.body[1:] if ast.get_docstring(node) else node.body
        for each in body:
            require(isinstance(each, ast.FunctionDef), each, "a class holds methods only")
        is_made = body != [] and getattr(body[0], "name", "") == "__init__"
        require(is_made, node, "a class begins with its __init__")
        self.scope.owner = node.name
        self.statements.each(body, self._method)
        self.scope.owner = ""

    def _method(self, node: ast.stmt) -> None:
        assert isinstance(node, ast.FunctionDef)  # _class has seen to it
        owner, function = self.scope.owner, self.statements.function
        if node.name == "__init__":
            function(node, f"function {owner}")
            if base := self.program.classes[owner].base:
                self.writer.write(f"{owner}.prototype = Object.create({base}.prototype);")
                self.writer.write(f"{owner}.prototype.constructor = {owner};")
            return
        require(node.name not in OF_PYTHON, node, f"{node.name} is a method of Python's types, too")
        require_member(node, node.name)
        name = self.program.member(owner, node.name)
        function(node, f"{owner}.prototype.{name} = function ", ";")


def _class(node: ast.ClassDef, is_declared: bool) -> Class:
    """What the translator must know of a class before it is translated."""
    made = Class(node.name, ast.unparse(node.bases[0]) if node.bases else "", is_declared)
    for method in node.body:
        if isinstance(method, ast.FunctionDef):
            made.methods[method.name] = _signature(method, is_method=True)
            if method.name == "__init__" and not is_declared:
                made.attributes = _attributes(method)
    return made


def _attributes(made: ast.FunctionDef) -> dict[str, Kind]:
    """The attributes that `__init__` sets, and what can be told of their kinds."""
    parameters = {each.arg: kind_of(each.annotation) for each in made.args.args}
    found: dict[str, Kind] = {}
    for node in ast.walk(made):
        match node:
            case ast.AnnAssign(ast.Attribute(ast.Name("self"), name), annotation):
                found[name] = kind_of(annotation)
            case ast.Assign([ast.Attribute(ast.Name("self"), name)], value):
                found.setdefault(name, kind_of_value(value, parameters))
    return found


def _signature(node: ast.FunctionDef, is_method: bool = False) -> Signature:
    """How a function is called. Whether its parameters are portable is seen when it is translated."""
    arguments = node.args.args
    defaults = [None] * (len(arguments) - len(node.args.defaults)) + list(node.args.defaults)
    parameters = [
        Parameter(
            each.arg,
            kind_of(each.annotation),
            has_default=default is not None,
            has_value=default is not None and getattr(default, "value", None) is not None,
        )
        for each, default in zip(arguments, defaults, strict=True)
    ]
    return Signature(tuple(parameters[is_method:]), kind_of(node.returns))
