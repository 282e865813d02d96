"""The rules for expressions: what each form of Python becomes in JavaScript."""

import ast
import json
import math
from dataclasses import dataclass, field
from typing import Final

from tools.es5.kinds import (
    BOOL,
    CALLABLE,
    LIST,
    NONE,
    NUMBER,
    STR,
    UNKNOWN,
    UNSET,
    Js,
    Kind,
    kind_of_constant,
)
from tools.es5.names import OF_PYTHON
from tools.es5.program import (
    Parameter,
    Program,
    Refused,
    Signature,
    require,
    require_member,
    require_type,
    require_variable,
)

_ARITHMETIC: Final[dict[type[ast.operator], str]] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_ORDERS: Final[dict[type[ast.cmpop], str]] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_VALUES: Final = frozenset({"number", "str", "bool"})
"""The kinds of what is compared by value."""


@dataclass
class Scope:
    """What an expression may name.

    visible: what its module defines and imports. owner: the class that it is in, or nothing.
    this: what `self` is called in the method itself; in its closures it is `self`.
    """

    visible: set[str] = field(default_factory=set)
    owner: str = ""
    this: str = "this"
    functions: list[dict[str, Kind]] = field(default_factory=list)
    """The variables of each function around it, the innermost last."""

    def variable(self, name: str) -> Kind | None:
        """The kind of a variable, or None if no function around has it."""
        for variables in reversed(self.functions):
            if name in variables:
                return UNKNOWN if variables[name] == UNSET else variables[name]
        return None


class Expressions:
    """Translates the expressions of one module."""

    def __init__(self, program: Program, scope: Scope) -> None:
        self.program = program
        self.scope = scope

    def translate(self, node: ast.expr) -> Js:
        """Return the JavaScript of an expression."""
        match node:
            case ast.Constant(value):
                return _constant(node, value)
            case ast.Name("self") if self.scope.owner:
                # Of a method's own scope there is one; what lies within it is closures.
                is_method = len(self.scope.functions) == 1
                return Js(self.scope.this if is_method else "self", Kind(self.scope.owner))
            case ast.Name(name):
                return Js(name, self._known(node, name))
            case ast.Attribute(value, name):
                return self._attribute(node, self.translate(value), name)
            case ast.Subscript(value, ast.Slice(lower, upper, None)):
                return self._slice(node, self.translate(value), lower, upper)
            case ast.Subscript(value, key):
                return self._entry(node, self.translate(value), self.translate(key))
            case ast.Call():
                return self._call(node)
            case ast.BinOp(left, operator, right):
                return self._arithmetic(node, self.translate(left), operator, self.translate(right))
            case ast.Compare(left, [operator], [right]):
                return self._comparison(node, self.translate(left), operator, self.translate(right))
            case ast.BoolOp(operator, values):
                word = "&&" if isinstance(operator, ast.And) else "||"
                # Parentheses that only people need: `a || (b && c)`.
                parts = [self.condition(each) for each in values]
                texts = [each.within("==" if word == "||" else word) for each in parts]
                kind = Kind("bool", any(each.kind.may_be_none for each in parts))
                return Js(f" {word} ".join(texts), kind, word)
            case ast.UnaryOp(ast.Not(), operand):
                return Js(f"!{self.condition(operand).within('!')}", BOOL, "!")
            case ast.IfExp(test, body, otherwise):
                yes, no = self.translate(body), self.translate(otherwise)
                require_type(node, yes.kind, no.kind)
                require_type(node, no.kind, yes.kind)
                text = f"{self.condition(test).within('||')} ? {yes.text} : {no.text}"
                return Js(text, _either(yes.kind, no.kind), "?")
            case ast.List([]):
                return Js("[]", LIST)
            case ast.Lambda(ast.arguments([], parameters, None, [], [], None, []), body):
                for each in parameters:
                    require_variable(each, each.arg)
                self.scope.functions.append({each.arg: UNKNOWN for each in parameters})
                head = f"function ({', '.join(each.arg for each in parameters)})"
                text = f"{head} {{ return {self.translate(body).text}; }}"
                self.scope.functions.pop()
                return Js(text, CALLABLE, "?")
        raise Refused(node)

    def condition(self, node: ast.expr) -> Js:
        """Translate what is asked for its truth: a boolean. An empty list, say, is true in JavaScript."""
        value = self.translate(node)
        why = f"`{ast.unparse(node)}` is not known to be a boolean; truth differs in JavaScript"
        require(value.kind.name == "bool", node, why)
        return value

    def error_text(self, node: ast.expr) -> Js:
        """Translate the text of an error: it is for people, so numbers may look as JavaScript writes them."""
        match node:
            case ast.BinOp(left, ast.Add(), right):
                text = f"{self.error_text(left).text} + {self.error_text(right).within('+', is_right=True)}"
                return Js(text, STR, "+")
            case ast.Call(ast.Name("str"), [number], []):
                return Js(f"String({self.translate(number).text})", STR)
        value = self.translate(node)
        require(value.kind == STR, node, "the message of an error is a string")
        return value

    # Names and members

    def _known(self, node: ast.AST, name: str) -> Kind:
        """The kind of a variable or a constant; it must be defined."""
        kind = self.scope.variable(name)
        if kind is not None:
            return kind
        is_visible = name in self.scope.visible
        if is_visible and name in self.program.functions:
            return CALLABLE
        is_constant = is_visible and name in self.program.constants
        require(is_constant, node, f"the name {name} is not defined in portable code")
        return self.program.constants[name]

    def _attribute(self, node: ast.AST, owner: Js, name: str) -> Js:
        program, of = self.program, self.program.owner(owner.kind)
        require_member(node, name)
        kind = program.attribute(of, name)
        if of in program.classes:
            is_method = program.method(of, name) is not None
            require(is_method or kind is not None, node, f"{of} has no attribute {name}")
        else:
            require(of == "", node, f"a {of} has no attributes")
            is_method = program.is_any_method(name)
        require(not is_method, node, f"the method {name} would lose its object: use a lambda")
        return Js(f"{owner.within('()')}.{program.member(of, name)}", kind or UNKNOWN)

    def _entry(self, node: ast.Subscript, owner: Js, key: Js) -> Js:
        is_entry = owner.kind.name == "dict" and key.kind == STR
        require(is_entry, node, "only entries of dicts, by strings, are portable")
        match node.slice:
            case ast.Constant(str(name)) if name.isidentifier() and name.isascii():
                require_member(node, name)
                return Js(f"{owner.within('()')}.{name}")
        return Js(f"{owner.within('()')}[{key.text}]")

    def _slice(self, node: ast.Subscript, text: Js, lower: ast.expr | None, upper: ast.expr | None) -> Js:
        bounds = [self.translate(each) for each in (lower or ast.Constant(0), upper) if each is not None]
        is_text = text.kind == STR and all(each.kind == NUMBER for each in bounds)
        require(is_text, node, "only slices of strings, by numbers, are portable")
        return Js(f"{text.within('()')}.slice({', '.join(each.text for each in bounds)})", STR)

    # Operators

    def _arithmetic(self, node: ast.BinOp, left: Js, operator: ast.operator, right: Js) -> Js:
        word = _ARITHMETIC.get(type(operator), "")
        kinds = {left.kind.name, right.kind.name}
        fits = word != "" and (kinds == {"number"} or (word == "+" and kinds == {"str"}))
        require(fits, node, f"`{ast.unparse(node)}` is not known to be of numbers, or a sum of strings")
        # Division by 0 is an error in Python only.
        is_safe = word != "/" or (isinstance(node.right, ast.Constant) and node.right.value != 0)
        require(is_safe, node, "the divisor must be a number other than 0, written there")
        text = f"{left.within(word)} {word} {right.within(word, is_right=True)}"
        return Js(text, Kind(left.kind.name), word)

    def _comparison(self, node: ast.Compare, left: Js, operator: ast.cmpop, right: Js) -> Js:
        kinds = {left.kind.name, right.kind.name}
        # Of two that may be None, one might be null and the other undefined.
        is_sure = not (left.kind.may_be_none and right.kind.may_be_none)
        word = "!==" if isinstance(operator, ast.IsNot | ast.NotEq) else "==="
        match operator:
            case ast.Is() | ast.IsNot() if right.text == "null":
                # What is undefined is None, too.
                word, fits = word[:2], True
            case ast.Is() | ast.IsNot():
                fits = is_sure and not kinds & _VALUES
            case ast.Eq() | ast.NotEq():
                # What is not known might be True, which equals 1 in Python only.
                fits = is_sure and (kinds in ({"bool"}, {"number"}) or kinds - {""} == {"str"})
            case _:
                word = _ORDERS.get(type(operator), word)
                fits = type(operator) in _ORDERS and kinds == {"number"}
        require(fits, node, f"`{ast.unparse(node)}` might mean something else in JavaScript")
        text = f"{left.within(word, is_right=True)} {word} {right.within(word, is_right=True)}"
        return Js(text, BOOL, word)

    # Calls

    def _call(self, node: ast.Call) -> Js:
        scope, program = self.scope, self.program
        match node.func:
            case ast.Attribute(ast.Call(ast.Name("super"), [], []), "__init__"):
                return self._super(node)
            case ast.Attribute(value, name):
                return self._method_call(node, self.translate(value), name)
            case ast.Name(name) if (kind := scope.variable(name)) is not None:
                return Js(f"{name}({self._arguments(node, None)})", kind.result or UNKNOWN)
            case ast.Name(name) if name in scope.visible and name not in program.constants:
                signature, kind = program.callee(name)
                text = f"{'new ' * (name in program.classes)}{name}({self._arguments(node, signature)})"
                return Js(text, kind)
            case ast.Name(name):
                return self._builtin(node, name)
        raise Refused(node)

    def _super(self, node: ast.Call) -> Js:
        scope = self.scope
        base = self.program.classes[scope.owner].base if scope.owner else ""
        is_in_method = base != "" and len(scope.functions) == 1 and scope.variable(base) is None
        require(is_in_method, node, "super().__init__ is for the methods of a class that has a base class")
        given = self._arguments(node, self.program.method(base, "__init__"))
        return Js(f"{base}.call({', '.join(filter(None, [scope.this, given]))})")

    def _method_call(self, node: ast.Call, owner: Js, name: str) -> Js:
        program, of = self.program, self.program.owner(owner.kind)
        match of, name, node.args, node.keywords:
            case "list", "append", [value], []:
                return Js(f"{owner.within('()')}.push({self.translate(value).text})")
            case "list", "pop", [ast.Constant(0)], []:
                return Js(f"{owner.within('()')}.shift()")
            case "str", "lower", [], []:
                return Js(f"{owner.within('()')}.toLowerCase()", STR)
            case "str", "find", [part], [] if (sought := self.translate(part)).kind == STR:
                return Js(f"{owner.within('()')}.indexOf({sought.text})", NUMBER)
        is_foreign = of == "" and name not in OF_PYTHON
        why = f"`{ast.unparse(node)}` is not known to mean the same in JavaScript"
        require(is_foreign or of in program.classes, node, why)
        require_member(node, name)
        signature, attribute = program.method(of, name), program.attribute(of, name)
        is_there = is_foreign or signature is not None or attribute is not None
        require(is_there, node, f"{of} has no method {name}")
        text = f"{owner.within('()')}.{program.member(of, name)}({self._arguments(node, signature)})"
        returns = signature.returns if signature is not None else attribute.result if attribute else None
        return Js(text, returns or UNKNOWN)

    def _arguments(self, node: ast.Call, signature: Signature | None) -> str:
        """The arguments by position; those left out before a keyword are undefined, as at the end."""
        values = [self.translate(each) for each in node.args]
        if signature is None:
            require(node.keywords == [], node, "keywords need a function whose parameters are known")
            return laid_out([value.text for value in values], is_long=node.lineno != node.end_lineno)
        parameters = signature.parameters
        require(len(values) <= len(parameters), node, "there are more arguments than parameters")
        texts = [self._argument(node, *pair) for pair in zip(parameters, values, strict=False)]
        names = [parameter.name for parameter in parameters]
        for keyword in node.keywords:
            rest = names[len(texts) :]
            # In another order the values would be computed in another order, too.
            why = f"the keyword {keyword.arg} is not a parameter, or not in the order of the parameters"
            require(keyword.arg in rest, node, why)
            skipped = rest.index(str(keyword.arg))
            texts += ["undefined"] * skipped
            value = self._argument(node, parameters[len(texts)], self.translate(keyword.value))
            texts.append(value if value == keyword.arg else f"/* {keyword.arg}: */ {value}")
        given = {name for name, text in zip(names, texts, strict=False) if text != "undefined"}
        missing = [each.name for each in parameters if not each.has_default and each.name not in given]
        require(missing == [], node, f"the call gives no {', '.join(missing)}")
        return laid_out(texts, is_long=node.lineno != node.end_lineno)

    def _argument(self, node: ast.AST, parameter: Parameter, value: Js) -> str:
        # A missing entry of a record is undefined in JavaScript, and would be replaced by the default.
        is_sure = not (parameter.has_value and value.kind.may_be_none)
        require(is_sure, node, f"{parameter.name} has a default, so what it is given must not be None")
        require_type(node, parameter.kind, value.kind)
        return value.text

    def _builtin(self, node: ast.Call, name: str) -> Js:
        values = [self.translate(each) for each in node.args]
        kinds = [each.kind.name for each in values]
        given = ", ".join(each.text for each in values)
        match name, kinds, node.keywords:
            case "callable", [_], []:
                return Js(f'typeof {values[0].within("!")} === "function"', BOOL, "===")
            case "len", ["list" | "str"], []:
                return Js(f"{values[0].within('()')}.length", NUMBER)
            case (("min" | "max"), ["number", "number", *more], []) if {*more} <= {"number"}:
                return Js(f"Math.{name}({given})", NUMBER)
        raise Refused(node)


def laid_out(texts: list[str], is_long: bool = False) -> str:
    """Arguments or parameters in one line; or each in its own, where that is wanted or the line too long."""
    line = ", ".join(texts)
    if len(line) <= 80 and not is_long:
        return line
    indented = [text.replace("\n", "\n    ") for text in texts]
    return "\n    " + ",\n    ".join(indented) + "\n"


def _either(one: Kind, other: Kind) -> Kind:
    """The kind of what is one or the other."""
    if NONE in (one, other):
        return Kind(other.name if one == NONE else one.name, may_be_none=True)
    is_same = one.name == other.name
    return Kind(one.name, one.may_be_none or other.may_be_none) if is_same else UNKNOWN


def _constant(node: ast.AST, value: object) -> Js:
    match value:
        case None:
            return Js("null", NONE)
        case bool() | str():
            return Js(json.dumps(value), kind_of_constant(value))
        case int() | float() if math.isfinite(value) and abs(value) <= 2**53:
            return Js(repr(value).removesuffix(".0"), NUMBER)
    raise Refused(node)
