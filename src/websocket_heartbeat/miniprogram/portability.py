"""Checks that every line of a portable module means the same in JavaScript once PScript has translated it.

PScript translates what it knows and, without a word, mistranslates much of what it does not. So nothing
reaches it that is not on this list; whatever else a module contains is reported with its file and line.

    module      imports from typing and from portable modules given before, `Final` strings and numbers,
                functions, classes
    class       methods; at most one portable base class; members whose names mean nothing to JavaScript
    function    positional parameters with annotations, defaults that are constants; closures, nonlocal
    statement   assignment to one target, += -= *= /=, if, while, for over a list or dict, break, continue,
                return, del of a key, try with `except Exception` or `except ValueError`, finally, raise of
                a built-in error with one message
    expression  constants, names that are defined, attributes, positional calls, + - * / and comparisons of
                numbers, + of strings, == of strings, numbers or booleans, `is None`, identity of objects,
                and/or/not of booleans, conditional expressions, lists, dicts with literal keys, slices and
                comprehensions of lists, lambdas, the functions of BUILTINS, the methods of METHODS

Where the translation depends on a type (an empty list is true in JavaScript, `==` compares lists by
identity), the type must be known from an annotation: `width: float = options.width` makes it known.

What the check cannot see, a portable module must not rely on: errors that Python raises for a fault of the
program (for a missing key or index JavaScript yields undefined), negative indexes other than a literal, the
order of dict keys that look like numbers, keys that are names of Object.prototype, identity of strings or
numbers of unknown type, and the length of text beyond the Basic Multilingual Plane.
"""

import ast
import builtins
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

BUILTINS: Final = {
    "abs": "number",
    "callable": "bool",
    "float": "float",
    "getattr": "",
    "hasattr": "bool",
    "int": "int",
    "isinstance": "bool",
    "len": "int",
    "max": "number",
    "min": "number",
    "str": "str",
    "super": "",
}
"""The built-in functions that may be called, within limits that the check knows, and what they return."""

METHODS: Final[dict[str, dict[str, tuple[int, ...]]]] = {
    "list": {"append": (1,), "clear": (0,), "extend": (1,), "pop": (0, 1)},
    "dict": {"clear": (0,), "get": (1, 2), "pop": (2,)},
    "str": {"endswith": (1,), "join": (1,), "lower": (0,), "split": (1,), "startswith": (1,)},
}
"""The methods of built-in types that may be called, and with how many arguments."""

NUMBERS: Final = ("int", "float")
PRIMITIVES: Final = ("bool", "float", "int", "str")

_WORDS: Final = """
abstract arguments boolean byte case catch char const debugger default delete do double enum eval export
extends false final function goto implements instanceof int interface let long native new null package private
protected public short static switch synchronized this throw throws transient true typeof var void volatile
undefined NaN Infinity window global globalThis self process module exports require
Array Boolean Date Error Function JSON Math Number Object Promise RegExp String Symbol
"""
_RESERVED: Final = frozenset(_WORDS.split())
"""Variables that JavaScript or PScript reserves, or that the translated code needs for itself."""

_PSCRIPT_NAMES: Final = frozenset({"RawJS", "perf_counter", "res", "this_is_js", "time", "unichr", "xrange"})
_PSCRIPT_PREFIXES: Final = ("_pyfunc_", "_pymeth_", "err_", "flx_", "iter0", "i0", "stub")
"""Names that PScript's output uses, and functions that it replaces."""

_OBJECT_WORDS: Final = """
assign constructor create default hasOwnProperty isPrototypeOf length propertyIsEnumerable prototype
toLocaleString toString valueOf
"""
_OBJECT_NAMES: Final = frozenset(_OBJECT_WORDS.split())
_BUILTIN_METHODS: Final = frozenset(dir(str)) | frozenset(dir(list)) | frozenset(dir(dict))
"""PScript replaces a call of any method with such a name."""


@dataclass(frozen=True)
class Module:
    """One portable module: its dotted name, the path to name in messages, and its text."""

    name: str
    path: str
    source: str


def check(modules: Sequence[Module]) -> list[str]:
    """Return what is not portable, as lines of `file:line: why`. Each module comes after those it imports."""
    program = _Program()
    for module in modules:
        _Check(program, module).run()
    return program.problems


@dataclass
class _Class:
    """What the check knows of a portable class: the types of its attributes, what its methods return."""

    base: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)


class _Program:
    """What the check knows of all modules so far. Types are texts of annotations, "" for an unknown one."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.modules: dict[str, set[str]] = {}
        self.constants: dict[str, str] = {}
        self.functions: dict[str, str] = {}
        self.classes: dict[str, _Class] = {}

    def defines(self, name: str) -> bool:
        return name in self.constants or name in self.functions or name in self.classes

    def lineage(self, name: str) -> Iterator[_Class]:
        while name in self.classes:
            yield self.classes[name]
            name = self.classes[name].base

    def attribute(self, owner: str, name: str) -> str:
        return next((each.attributes[name] for each in self.lineage(owner) if name in each.attributes), "")

    def method(self, owner: str, name: str) -> str | None:
        return next((each.methods[name] for each in self.lineage(owner) if name in each.methods), None)

    def is_method(self, name: str) -> bool:
        return any(name in each.methods for each in self.classes.values())


def _text(annotation: ast.expr | None) -> str:
    """The type that an annotation states, without quotes and without None."""
    if annotation is None:
        return ""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _plain(annotation.value)
    return _plain(ast.unparse(annotation))


def _plain(kind: str) -> str:
    parts = [part for part in kind.split(" | ") if part not in ("None", "Any", "object")]
    return parts[0] if len(parts) == 1 else ""


def _inner(kind: str, position: int) -> str:
    """The type of list elements (position 0), of dict values (1), of the result of a Callable (1)."""
    if "[" not in kind:
        return ""
    node = ast.parse(kind, mode="eval").body
    assert isinstance(node, ast.Subscript)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return _text(parts[position]) if position < len(parts) else ""


def _outer(kind: str) -> str:
    return kind.split("[")[0]


class _Check:
    """Walks one module, adds what it defines to the program, and reports whatever is not on the list."""

    def __init__(self, program: _Program, module: Module) -> None:
        self.program = program
        self.module = module
        self.visible: set[str] = set()
        self.scopes: list[dict[str, str]] = []
        self.owner = ""
        """The class whose method is being walked."""

    def run(self) -> None:
        tree = ast.parse(self.module.source, self.module.path)
        defined: set[str] = set()
        self.program.modules[self.module.name] = defined
        for statement in tree.body:
            self._declare(statement, defined)
        self.visible |= defined
        for statement in tree.body:
            if isinstance(statement, ast.FunctionDef):
                self._function(statement, False)
            elif isinstance(statement, ast.ClassDef):
                self._class(statement)

    def _reject(self, node: ast.AST, why: str) -> None:
        line = getattr(node, "lineno", 0)
        self.program.problems.append(f"{self.module.path}:{line}: {why}")

    # Module level

    def _declare(self, node: ast.stmt, defined: set[str]) -> None:
        match node:
            case ast.Expr(ast.Constant(str())):
                return
            case ast.ImportFrom():
                self._import(node)
                return
            case ast.AnnAssign(ast.Name(name), ast.Name("Final"), ast.expr() as value):
                self.visible |= defined
                self._expression(value)
                kind = self._type(value)
                if kind not in ("int", "float", "str"):
                    self._reject(node, "a module-level constant must be a string or a number")
                self.program.constants[name] = kind
            case ast.FunctionDef(name):
                self.program.functions[name] = _text(node.returns)
                if name[0].isupper():
                    self._reject(
                        node, f"the function {name} would be called with new: begin its name in lower case"
                    )
            case ast.ClassDef(name):
                self.program.classes[name] = self._outline(node)
                if not name[0].isupper():
                    self._reject(
                        node, f"the class {name} would be called without new: begin its name in upper case"
                    )
            case _:
                self._reject(node, f"{type(node).__name__} at module level is not portable")
                return
        self._variable(node, name)
        if any(name in names for names in self.program.modules.values()):
            self._reject(
                node, f"{name} is defined twice in the portable modules, which share one scope in JavaScript"
            )
        defined.add(name)

    def _import(self, node: ast.ImportFrom) -> None:
        if node.module == "typing":
            return
        names = self.program.modules.get(node.module or "")
        if names is None or node.level:
            self._reject(
                node, f"import from {node.module}, which is not a portable module given before this one"
            )
            return
        for alias in node.names:
            if alias.asname is not None:
                self._reject(node, f"import of {alias.name} under another name is not portable")
            elif alias.name not in names:
                self._reject(node, f"{node.module} does not define {alias.name}")
            else:
                self.visible.add(alias.name)

    def _outline(self, node: ast.ClassDef) -> _Class:
        outline = _Class()
        if len(node.bases) == 1 and isinstance(node.bases[0], ast.Name):
            outline.base = node.bases[0].id
        for method in node.body:
            if isinstance(method, ast.FunctionDef):
                outline.methods[method.name] = _text(method.returns)
        return outline

    def _class(self, node: ast.ClassDef) -> None:
        known = self.program.classes[node.name]
        if node.keywords or node.decorator_list or len(node.bases) > 1:
            self._reject(node, "a class has no decorators, no keywords, and one base at most")
        elif node.bases and (known.base not in self.program.classes or known.base not in self.visible):
            self._reject(node, f"the base class {ast.unparse(node.bases[0])} is not a portable class")
        if self.program.method(node.name, "__init__") is None:
            self._reject(node, f"the class {node.name} needs an __init__")
        self.owner = node.name
        for statement in node.body:
            match statement:
                case ast.FunctionDef():
                    self._member(statement, statement.name)
                    self._function(statement, True)
                case ast.Expr(ast.Constant(str())) | ast.Pass():
                    pass
                case _:
                    self._reject(statement, "a class contains methods only: set attributes in __init__")
        self.owner = ""

    # Names

    def _variable(self, node: ast.AST, name: str) -> None:
        if name in _RESERVED or name in _PSCRIPT_NAMES or name.startswith(_PSCRIPT_PREFIXES):
            self._reject(
                node, f"the name {name} has a meaning of its own in JavaScript or in PScript's output"
            )
        elif name in dir(builtins):
            self._reject(node, f"the name {name} hides a built-in, which PScript would still call")
        elif name.startswith("__"):
            self._reject(node, f"the name {name} is mangled")

    def _member(self, node: ast.AST, name: str) -> None:
        if name in _OBJECT_NAMES:
            self._reject(node, f"a member named {name} has a meaning of its own in JavaScript")
        elif name.startswith("__") and name != "__init__":
            self._reject(node, f"the member {name} is special or mangled")
        elif isinstance(node, ast.FunctionDef) and name != "__init__" and name in _BUILTIN_METHODS:
            self._reject(node, f"PScript replaces calls of methods named {name}")

    def _bind(self, node: ast.AST, name: str, kind: str) -> None:
        self._variable(node, name)
        scope = self.scopes[-1]
        if not scope.get(name):
            scope[name] = kind

    # Functions

    def _function(self, node: ast.FunctionDef, is_method: bool) -> None:
        spec = node.args
        if node.decorator_list:
            self._reject(node.decorator_list[0], "decorators and properties are not portable")
        if spec.vararg or spec.kwarg or spec.kwonlyargs or spec.posonlyargs:
            self._reject(node, "parameters are positional or by position, without *, ** and /")
        if getattr(node, "type_params", []):
            self._reject(node, "type parameters are not portable")
        scope: dict[str, str] = {}
        arguments = spec.args
        if is_method:
            if not arguments or arguments[0].arg != "self":
                self._reject(node, "the first parameter of a method is self")
            scope["self"] = self.owner
            arguments = arguments[1:]
        self.scopes.append(scope)
        for default in spec.defaults:
            if not isinstance(default, ast.Constant):
                self._reject(default, "a default must be a constant")
            self._expression(default)
        for argument in arguments:
            if argument.annotation is None:
                self._reject(argument, f"the parameter {argument.arg} needs an annotation")
            self._bind(argument, argument.arg, _text(argument.annotation))
        self._block(node.body)
        self.scopes.pop()

    def _block(self, statements: Sequence[ast.stmt]) -> None:
        # Names first: a closure may use what its function assigns further down.
        for statement in statements:
            self._declare_locals(statement)
        for statement in statements:
            self._statement(statement)

    def _declare_locals(self, node: ast.stmt) -> None:
        match node:
            case ast.FunctionDef(name):
                self._bind(node, name, f"Callable[..., {_text(node.returns) or 'Any'}]")
            case ast.AnnAssign(ast.Name(name)):
                self._bind(node, name, _text(node.annotation))
            case ast.Assign([ast.Name(name)], value):
                self._bind(node, name, self._type(value))
            case ast.For(target=ast.Name(name), iter=iterable):
                self._bind(node, name, self._element(iterable))

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(ast.Constant(str())) | ast.Pass() | ast.Break() | ast.Continue() | ast.Nonlocal():
                pass
            case ast.Expr(ast.Call() as call):
                self._expression(call)
            case ast.FunctionDef():
                self._function(node, False)
            case ast.Return(value):
                if value is not None:
                    self._expression(value)
            case ast.Assign([target], value):
                self._expression(value)
                self._target(target, self._type(value))
            case ast.AnnAssign(target, annotation, value):
                if value is not None:
                    self._expression(value)
                self._target(target, _text(annotation))
            case ast.AugAssign(target, operator, value):
                self._expression(value)
                if isinstance(target, ast.Name):
                    self._name(target)
                else:
                    self._target(target, "")
                self._operation(node, operator, target, value)
            case ast.Delete([ast.Subscript(value, index)]):
                self._expression(value)
                self._expression(index)
                if _outer(self._type(value)) != "dict":
                    self._reject(node, "del leaves a hole in all but a dict; its type must be known")
            case ast.If(test, body, otherwise):
                self._condition(test)
                self._block(body)
                self._block(otherwise)
            case ast.While(test, body, []):
                self._condition(test)
                self._block(body)
            case ast.For(ast.Name(), iterable, body, []):
                self._iterable(iterable)
                self._block(body)
            case ast.Try(body, handlers, [], final):
                self._block(body)
                for handler in handlers:
                    self._handler(handler)
                self._block(final)
            case ast.Raise(ast.Call(ast.Name(name), [message], []), None):
                if name[0].islower() or not hasattr(builtins, name):
                    self._reject(node, f"raise of {name}: only built-in errors are portable")
                self._message(message)
            case _:
                self._reject(node, f"the statement {type(node).__name__} in this form is not portable")

    def _handler(self, node: ast.ExceptHandler) -> None:
        if not (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "ValueError")):
            self._reject(
                node, "except takes Exception or ValueError: JavaScript compares the exact name of the error"
            )
        if node.name is not None:
            self._bind(node, node.name, "")
        self._block(node.body)

    def _message(self, node: ast.expr) -> None:
        """The text of an error is for people: numbers in it may look as JavaScript writes them."""
        match node:
            case ast.BinOp(left, ast.Add(), right):
                self._message(left)
                self._message(right)
            case ast.Call(ast.Name("str"), [value], []):
                self._expression(value)
            case _:
                self._expression(node)
                if self._type(node) != "str":
                    self._reject(node, "the message of an error is a string")

    def _target(self, node: ast.expr, kind: str) -> None:
        match node:
            case ast.Name(name):
                self._bind(node, name, kind)
            case ast.Attribute(value, name):
                self._member(node, name)
                self._expression(value)
                if self.owner and isinstance(value, ast.Name) and value.id == "self":
                    attributes = self.program.classes[self.owner].attributes
                    attributes[name] = attributes.get(name) or kind
            case ast.Subscript(value, index):
                self._expression(value)
                self._index(value, index)
            case _:
                self._reject(node, "assignment to more than one name is not portable")

    # Expressions

    def _condition(self, node: ast.expr) -> None:
        self._expression(node)
        if self._type(node) != "bool":
            self._reject(
                node, f"`{ast.unparse(node)}` is not known to be a boolean; truth differs in JavaScript"
            )

    def _number(self, node: ast.expr) -> None:
        if self._type(node) not in NUMBERS:
            self._reject(node, f"`{ast.unparse(node)}` is not known to be a number")

    def _iterable(self, node: ast.expr) -> None:
        self._expression(node)
        if _outer(self._type(node)) not in ("list", "dict"):
            self._reject(node, f"`{ast.unparse(node)}` is not known to be a list or a dict")

    def _element(self, node: ast.expr) -> str:
        kind = self._type(node)
        return _inner(kind, 0) if _outer(kind) in ("list", "dict") else ""

    def _index(self, value: ast.expr, index: ast.expr) -> None:
        outer = _outer(self._type(value))
        if outer == "dict":
            self._expression(index)
            if self._type(index) != "str":
                self._reject(index, "the keys of a dict are strings")
        elif outer == "list":
            match index:
                case ast.UnaryOp(ast.USub(), ast.Constant(int())) if isinstance(
                    value, ast.Name | ast.Attribute
                ):
                    pass
                case ast.Constant(int()) | ast.Name():
                    self._expression(index)
                    self._number(index)
                case _:
                    self._reject(index, "the index of a list is a name or a literal")
        else:
            self._reject(value, f"`{ast.unparse(value)}` is not known to be a list or a dict")

    def _operation(self, node: ast.AST, operator: ast.operator, left: ast.expr, right: ast.expr) -> None:
        if not isinstance(operator, ast.Add | ast.Sub | ast.Mult | ast.Div):
            self._reject(node, f"the operator {type(operator).__name__} is not portable")
        elif not (isinstance(operator, ast.Add) and self._type(left) == self._type(right) == "str"):
            self._number(left)
            self._number(right)

    def _comparison(self, node: ast.Compare) -> None:
        left, operator, right = node.left, node.ops[0], node.comparators[0]
        for each in (left, right):
            self._expression(each)
        kinds = (self._type(left), self._type(right))
        is_none = isinstance(right, ast.Constant) and right.value is None
        match operator:
            case ast.Is() | ast.IsNot():
                if not is_none and (kinds[0] in PRIMITIVES or kinds[1] in PRIMITIVES):
                    self._reject(node, "identity of strings, numbers and booleans means nothing in Python")
            case ast.Eq() | ast.NotEq():
                if not (kinds[0] in PRIMITIVES or kinds[1] in PRIMITIVES):
                    self._reject(
                        node, "neither side is known to be a string, number or boolean; == compares identity"
                    )
                elif (kinds[0] == "bool") != (kinds[1] == "bool"):
                    self._reject(node, "a boolean equals only a known boolean in JavaScript")
            case ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE():
                self._number(left)
                self._number(right)
            case _:
                if not (
                    _outer(kinds[1]) in ("list", "dict") and kinds[0] == _inner(kinds[1], 0) in PRIMITIVES
                ):
                    self._reject(node, "`in` needs a list or dict known to hold what is looked for")

    def _name(self, node: ast.Name) -> None:
        if any(node.id in scope for scope in self.scopes):
            return
        if not (node.id in self.visible and self.program.defines(node.id)):
            self._reject(node, f"the name {node.id} is not defined in portable code")

    def _expression(self, node: ast.expr) -> None:
        match node:
            case ast.Constant(value):
                self._constant(node, value)
            case ast.Name():
                self._name(node)
            case ast.Attribute(value, name):
                self._expression(value)
                self._member(node, name)
                owner = self._type(value)
                if self.program.is_method(name) and (
                    not owner or self.program.method(owner, name) is not None
                ):
                    self._reject(
                        node, f"the method {name} is not bound to its object in JavaScript: use a lambda"
                    )
            case ast.Subscript(value, ast.Slice(lower, upper, None)):
                self._expression(value)
                if _outer(self._type(value)) != "list":
                    self._reject(node, f"`{ast.unparse(value)}` is not known to be a list")
                for bound in (lower, upper):
                    if bound is not None:
                        self._expression(bound)
                        self._number(bound)
            case ast.Subscript(value, index):
                self._expression(value)
                self._index(value, index)
            case ast.UnaryOp(ast.Not(), operand):
                self._condition(operand)
            case ast.UnaryOp(ast.USub(), operand):
                self._expression(operand)
                self._number(operand)
            case ast.BinOp(left, operator, right):
                self._expression(left)
                self._expression(right)
                self._operation(node, operator, left, right)
            case ast.BoolOp(values=values):
                for value in values:
                    self._condition(value)
            case ast.Compare(ops=[_]):
                self._comparison(node)
            case ast.IfExp(test, body, otherwise):
                self._condition(test)
                self._expression(body)
                self._expression(otherwise)
            case ast.List(elements):
                for element in elements:
                    self._expression(element)
            case ast.Dict(keys, values):
                for key in keys:
                    if not (
                        isinstance(key, ast.Constant)
                        and isinstance(key.value, str)
                        and key.value != "__proto__"
                    ):
                        self._reject(node, "the keys of a dict display are string literals")
                for value in values:
                    self._expression(value)
            case ast.ListComp(element, [ast.comprehension(ast.Name(name), iterable, conditions, 0)]):
                self._iterable(iterable)
                if any(name in scope for scope in self.scopes):
                    self._reject(node, f"the comprehension would overwrite the variable {name}")
                self.scopes.append({name: self._element(iterable)})
                self._variable(node, name)
                for condition in conditions:
                    self._condition(condition)
                self._expression(element)
                self.scopes.pop()
            case ast.Lambda(arguments, body):
                self._lambda(node, arguments, body)
            case ast.Call():
                self._call(node)
            case _:
                self._reject(node, f"the expression {type(node).__name__} in this form is not portable")

    def _constant(self, node: ast.AST, value: object) -> None:
        if isinstance(value, float):
            if not math.isfinite(value):
                self._reject(node, "JavaScript spells infinity differently")
        elif isinstance(value, int):
            if abs(value) > 2**53:
                self._reject(node, "JavaScript has no exact integers above 2**53")
        elif not (value is None or isinstance(value, str)):
            self._reject(node, f"a constant of type {type(value).__name__} is not portable")

    def _lambda(self, node: ast.Lambda, arguments: ast.arguments, body: ast.expr) -> None:
        if (
            arguments.defaults
            or arguments.vararg
            or arguments.kwarg
            or arguments.kwonlyargs
            or arguments.posonlyargs
        ):
            self._reject(node, "a lambda takes plain positional parameters")
        self.scopes.append({})
        for argument in arguments.args:
            self._bind(argument, argument.arg, "")
        self._expression(body)
        self.scopes.pop()

    def _call(self, node: ast.Call) -> None:
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                self._reject(node, "a call takes positional arguments, without *")
                return
        if node.keywords:
            self._reject(node, "keyword calls are not portable")
            return
        match node.func:
            case ast.Name(name) if name in BUILTINS and not any(name in scope for scope in self.scopes):
                self._builtin(node, name)
                return
            case ast.Attribute(ast.Call(ast.Name("super"), [], []), _):
                if not self.owner or len(self.scopes) != 1:
                    self._reject(node, "super() works in a method only")
            case ast.Attribute(value, name):
                self._expression(value)
                self._method(node, self._type(value), name)
            case ast.Name() | ast.Subscript():
                self._expression(node.func)
            case _:
                self._reject(node, "call of the result of an expression is not portable")
        for argument in node.args:
            self._expression(argument)

    def _method(self, node: ast.Call, owner: str, name: str) -> None:
        outer = _outer(owner)
        if outer in METHODS:
            if len(node.args) not in METHODS[outer].get(name, ()):
                self._reject(node, f"{outer}.{name} with {len(node.args)} arguments is not portable")
        elif name in _BUILTIN_METHODS:
            self._reject(node, f"PScript replaces the method {name}, for nothing tells what it is called on")
        elif outer in PRIMITIVES:
            self._reject(node, f"methods of {outer} are not portable")

    def _builtin(self, node: ast.Call, name: str) -> None:
        arguments = node.args
        if name == "isinstance" and len(arguments) == 2:
            self._expression(arguments[0])
            self._isinstance(node, arguments[1])
            return
        for argument in arguments:
            self._expression(argument)
        kinds = [self._type(argument) for argument in arguments]
        if name in ("abs", "float", "int"):
            good = len(kinds) == 1 and kinds[0] in NUMBERS
        elif name in ("max", "min"):
            good = len(kinds) > 1 and all(kind in NUMBERS for kind in kinds)
        elif name == "len":
            good = len(kinds) == 1 and _outer(kinds[0]) == "list"
        elif name == "str":
            good = kinds in (["int"], ["str"])
        elif name == "callable":
            good = len(kinds) == 1
        else:
            good = (
                name in ("getattr", "hasattr")
                and kinds[1:2] == ["str"]
                and len(kinds) == 2 + (name == "getattr")
            )
        if not good:
            self._reject(node, f"{name}({', '.join(kind or 'unknown' for kind in kinds)}) is not portable")

    def _isinstance(self, node: ast.Call, kind: ast.expr) -> None:
        match kind:
            case ast.Name("bool" | "list" | "str"):
                pass
            case ast.Tuple([ast.Name("int"), ast.Name("float")]) if isinstance(
                node.args[0], ast.Name | ast.Attribute
            ):
                pass
            case ast.Name(name) if name in self.visible and name in self.program.classes:
                pass
            case _:
                self._reject(
                    node, f"isinstance with {ast.unparse(kind)} is not portable; (int, float) is, of a name"
                )

    # Types

    def _type(self, node: ast.expr) -> str:
        """What is known of the type of an expression, as the text of an annotation without None."""
        match node:
            case ast.Constant(value):
                return "" if value is None else type(value).__name__
            case ast.Name(name):
                for scope in reversed(self.scopes):
                    if name in scope:
                        return scope[name]
                return self.program.constants.get(name, "")
            case ast.Attribute(value, name):
                return self.program.attribute(self._type(value), name)
            case ast.Subscript(value, ast.Slice()):
                return self._type(value)
            case ast.Subscript(value):
                kind = self._type(value)
                return _inner(kind, 1 if _outer(kind) == "dict" else 0)
            case ast.UnaryOp(ast.Not()) | ast.Compare() | ast.BoolOp():
                return "bool"
            case ast.UnaryOp(operand=operand):
                return self._type(operand)
            case ast.BinOp(left, operator, right):
                kinds = {self._type(left), self._type(right)}
                if kinds <= {"int", "float"}:
                    return "int" if kinds == {"int"} and not isinstance(operator, ast.Div) else "float"
                return "str" if kinds == {"str"} else ""
            case ast.IfExp(_, body, otherwise):
                kind = self._type(body)
                return kind if kind and self._type(otherwise) in (kind, "") else self._type(otherwise)
            case ast.List(elements):
                return f"list[{(elements and self._type(elements[0])) or 'Any'}]"
            case ast.Dict():
                return "dict[str, Any]"
            case ast.ListComp(element, [ast.comprehension(ast.Name(name), iterable)]):
                self.scopes.append({name: self._element(iterable)})
                kind = self._type(element)
                self.scopes.pop()
                return f"list[{kind or 'Any'}]"
            case ast.Call():
                return self._result(node)
            case _:
                return ""

    def _result(self, node: ast.Call) -> str:
        match node.func:
            case ast.Name(name):
                local = next((scope[name] for scope in reversed(self.scopes) if name in scope), "")
                if local:
                    return _inner(local, 1) if _outer(local) == "Callable" else ""
                if name in self.program.classes:
                    return name
                if BUILTINS.get(name) == "number":
                    return "int" if all(self._type(each) == "int" for each in node.args) else "float"
                return BUILTINS.get(name) or self.program.functions.get(name, "")
            case ast.Attribute(ast.Call(ast.Name("super")), name) if self.owner:
                return self.program.method(self.program.classes[self.owner].base, name) or ""
            case ast.Attribute(value, name):
                owner = self._type(value)
                if _outer(owner) == "str":
                    return {"split": "list[str]", "join": "str", "lower": "str"}.get(name, "bool")
                if name in ("get", "pop") and _outer(owner) in ("dict", "list"):
                    return _inner(owner, 1 if _outer(owner) == "dict" else 0)
                returned = self.program.method(owner, name)
                return returned if returned is not None else _inner(self.program.attribute(owner, name), 1)
        return ""
