"""The rules for statements and functions: what each form of Python becomes in JavaScript."""

import ast
import builtins
from collections.abc import Callable, Iterator, Sequence

from tools.es5.expressions import Expressions, Scope, laid_out
from tools.es5.kinds import CALLABLE, UNKNOWN, UNSET, Js, Kind, kind_of
from tools.es5.names import is_variable
from tools.es5.program import (
    Program,
    Refused,
    require,
    require_member,
    require_type,
    require_variable,
)
from tools.es5.writer import Writer


class Statements:
    """Translates the statements and functions of one module."""

    def __init__(self, program: Program, path: str, scope: Scope, writer: Writer) -> None:
        self.program = program
        self.path = path
        self.scope = scope
        self.writer = writer
        self.expressions = Expressions(program, scope)
        self.returns = UNKNOWN
        """What the function that is translated says that it returns."""

    def each(self, body: Sequence[ast.stmt], translate: Callable[[ast.stmt], None]) -> None:
        """Translate statements, with the comments above them and the strings that explain them."""
        for node, after in zip(body, (*body[1:], None), strict=True):
            self.writer.begin(node)
            match node, after:
                case ast.FunctionDef() | ast.ClassDef(), _:
                    self.writer.explain(ast.get_docstring(node))
                case ast.Assign() | ast.AnnAssign(), ast.Expr(ast.Constant(str(text))):
                    self.writer.explain(text)
            self.guard(translate, node)

    def guard(self, translate: Callable[[ast.stmt], None], node: ast.stmt) -> None:
        """Translate a statement; if it is refused, note why and go on with the next one."""
        depth, functions = self.writer.depth, len(self.scope.functions)
        try:
            translate(node)
        except Refused as refused:
            self.program.problems.append(f"{self.path}:{refused.line}: {refused}")
            self.writer.depth = depth
            del self.scope.functions[functions:]

    def function(self, node: ast.FunctionDef, head: str, end: str = "") -> None:
        """Translate a function, a method or a closure. head: what names it, before the parameters."""
        scope, write = self.scope, self.writer.write
        is_method = scope.owner != "" and scope.functions == []
        for each in node.decorator_list:
            raise Refused(each, "decorators are not portable")
        require(getattr(node, "type_params", []) == [], node, "type parameters are not portable")
        outer_returns, self.returns = self.returns, kind_of(node.returns)
        variables: dict[str, Kind] = {}
        scope.functions.append(variables)
        defaults = self._parameters(node, is_method)
        write(f"{head}({laid_out(list(variables))}) {{")
        self.writer.depth += 1
        if is_method:
            # A closure has a `this` of its own.
            scope.this = "self" if any(_says_self(each) for each in _closures(node)) else "this"
            if scope.this == "self":
                write("var self = this;")
        for name, default in defaults.items():
            write(f"if ({name} === undefined) {{ {name} = {default}; }}")
        # A variable of JavaScript belongs to its function: what a block sets first is declared before it.
        assigned = {name: late for name, late in _assigned(node.body).items() if name not in variables}
        variables |= dict.fromkeys(assigned, UNSET)
        unset = set(assigned)
        if early := [name for name, is_in_block in assigned.items() if is_in_block]:
            write(f"var {', '.join(early)};")
            unset -= set(early)
        self.each(node.body, lambda each: self._statement(each, unset))
        self.writer.depth -= 1
        write(f"}}{end}")
        scope.functions.pop()
        self.returns = outer_returns

    def _parameters(self, node: ast.FunctionDef, is_method: bool) -> dict[str, str]:
        """Declare the parameters; return the defaults that JavaScript does not have by itself."""
        match node.args:
            case ast.arguments([], arguments, None, [], [], None, defaults):
                pass
            case _:
                raise Refused(node, "parameters are positional, without *, ** and /")
        if is_method:
            require([each.arg for each in arguments[:1]] == ["self"], node, "a method begins with self")
        is_inner = len(self.scope.functions) > 1
        # Who calls a closure does not know its signature.
        require(not (is_inner and defaults), node, "a function within a function has no defaults")
        for each in arguments[is_method:]:
            require_variable(each, each.arg)
            require(each.annotation is not None, each, f"the parameter {each.arg} needs an annotation")
            self.scope.functions[-1][each.arg] = kind_of(each.annotation)
        texts: dict[str, str] = {}
        for each, default in zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True):
            require(isinstance(default, ast.Constant), default, "a default is a constant")
            text = self.expressions.translate(default).text
            if text != "null":
                # Given undefined, JavaScript would take the default instead.
                is_sure = not kind_of(each.annotation).may_be_none
                require(is_sure, each, f"{each.arg} may be None, so its default must be None")
                texts[each.arg] = text
        return texts

    def _block(self, body: Sequence[ast.stmt]) -> None:
        self.writer.depth += 1
        self.each(body, lambda node: self._statement(node, None))
        self.writer.depth -= 1

    def _statement(self, node: ast.stmt, unset: set[str] | None) -> None:
        """Translate a statement. unset: the variables that are still to be declared; None within a block."""
        write, translate = self.writer.write, self.expressions.translate
        match node:
            case ast.Expr(ast.Constant(str())) | ast.Pass():
                pass
            case ast.Expr(ast.Call() as call):
                write(f"{translate(call).text};")
            case ast.FunctionDef(name) if unset is not None:
                require_variable(node, name)
                # JavaScript has it from the beginning of the function around it.
                is_new = name not in self.scope.functions[-1]
                require(is_new, node, f"the name {name} is a variable, too, or another function")
                self.scope.functions[-1][name] = CALLABLE
                self.function(node, f"function {name}")
            case ast.Return(None):
                write("return;")
            case ast.Return(ast.expr() as value):
                returned = translate(value)
                require_type(node, self.returns, returned.kind)
                write(f"return {returned.text};")
            case ast.Assign([target], value):
                _require_order(node, target, value)
                self._assign(node, target, translate(value), None, unset)
            case ast.AnnAssign(target, annotation, ast.expr() as value):
                _require_order(node, target, value)
                self._assign(node, target, translate(value), kind_of(annotation), unset)
            case ast.If():
                self._if(node, "if")
            case ast.While(test, body, []):
                write(f"while ({self.expressions.condition(test).text}) {{")
                self._block(body)
                write("}")
            case ast.Try(body, [ast.ExceptHandler() as handler], [], []):
                self._try(body, handler)
            case ast.Raise(ast.Call(ast.Name(name), [message], []), None) if hasattr(builtins, name):
                write(f"throw new Error({self.expressions.error_text(message).text});")
            case _:
                raise Refused(node)

    def _if(self, node: ast.If, head: str) -> None:
        self.writer.write(f"{head} ({self.expressions.condition(node.test).text}) {{")
        self._block(node.body)
        match node.orelse:
            case [ast.If() as other]:
                self._if(other, "} else if")
                return
            case [_, *_]:
                self.writer.write("} else {")
                self._block(node.orelse)
        self.writer.write("}")

    def _try(self, body: Sequence[ast.stmt], handler: ast.ExceptHandler) -> None:
        is_plain = isinstance(handler.type, ast.Name) and handler.type.id == "Exception"
        require(is_plain, handler, "except takes Exception: JavaScript has no classes of errors")
        variables = self.scope.functions[-1]
        name = handler.name
        # Python forgets it behind the handler, where JavaScript has the outer one.
        is_new = name is None or (is_variable(name) and name not in variables)
        require(is_new, handler, f"the name {name} of the error is used already, or has a meaning of its own")
        self.writer.write("try {")
        self._block(body)
        self.writer.write(f"}} catch ({name or 'ignored'}) {{")
        if name is not None:
            variables[name] = UNKNOWN
        self._block(handler.body)
        if name is not None:
            del variables[name]
        self.writer.write("}")

    def _assign(
        self, node: ast.stmt, target: ast.expr, value: Js, annotated: Kind | None, unset: set[str] | None
    ) -> None:
        variables = self.scope.functions[-1]
        kind = annotated or value.kind
        require_type(node, kind, value.kind)
        match target:
            case ast.Name(name) if name in variables:
                require_variable(node, name)
                variables[name] = variables[name].settled(kind)
                self._check(node, variables[name], kind)
                is_first = unset is not None and name in unset
                self.writer.write(f"{'var ' * is_first}{name} = {value.text};")
                if unset is not None:
                    unset.discard(name)
                return
            case ast.Attribute(ast.Name("self"), name) if self.scope.owner:
                require_member(node, name)
                self._settle(node, name, kind)
            case ast.Attribute() | ast.Subscript():
                pass
            case _:
                raise Refused(node, "an assignment has one target")
        goal = self.expressions.translate(target)
        self._check(node, goal.kind, kind)
        self.writer.write(f"{goal.text} = {value.text};")

    def _settle(self, node: ast.stmt, name: str, kind: Kind) -> None:
        """Learn the kind of an attribute: what `__init__` sets it to first, or says that it is."""
        program = self.program
        attributes = program.classes[self.scope.owner].attributes
        if name in attributes:
            attributes[name] = attributes[name].settled(kind)
        is_known = program.attribute(self.scope.owner, name) is not None
        require(is_known, node, f"{name} is not set in __init__")

    def _check(self, node: ast.stmt, known: Kind, value: Kind) -> None:
        is_lost = known.name in ("number", "str", "bool", "list", "dict") and value == UNKNOWN
        require_type(node, known, value)
        require(not is_lost, node, f"this was a {known.name} before: an annotation must say that it still is")


def _require_order(node: ast.stmt, target: ast.expr, value: ast.expr) -> None:
    """Refuse an assignment whose meaning depends on what is evaluated first: in Python it is the value."""
    parts = [each for child in ast.iter_child_nodes(target) for each in ast.walk(child)]
    reads_members = any(isinstance(each, ast.Attribute | ast.Subscript | ast.Call) for each in parts)
    calls = any(isinstance(each, ast.Call) for each in (*parts, *ast.walk(value)))
    is_free = not (reads_members and calls) or isinstance(value, ast.Constant | ast.Name | ast.Lambda)
    require(is_free, node, "JavaScript evaluates the target first: name the value, or the object, before")


def _assigned(body: Sequence[ast.stmt], is_in_block: bool = False) -> dict[str, bool]:
    """The variables that statements set, and of each whether a block sets it first."""
    names: dict[str, bool] = {}
    for node in body:
        match node:
            case ast.Assign([ast.Name(name)]) | ast.AnnAssign(ast.Name(name)):
                names.setdefault(name, is_in_block)
            case ast.If() | ast.While() | ast.Try():
                handlers = node.handlers if isinstance(node, ast.Try) else []
                for block in (node.body, node.orelse, *(each.body for each in handlers)):
                    names = {**_assigned(block, True), **names}
    return names


def _closures(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The functions within a function."""
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef | ast.Lambda) and node is not function:
            yield node


def _says_self(closure: ast.AST) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "self" for node in ast.walk(closure))
