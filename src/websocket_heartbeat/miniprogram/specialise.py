"""Makes a flat program small: what is always the same stands where it is used, what is not used is left out.

A target uses the core in one way: nobody pauses reading, no server's hint is known, no loss is final. So some
arguments, variables and, at last, branches are known beforehand; and functions with one caller go into it.
The program is what flatten.py makes: functions, and variables whose names begin in upper case.
"""

import ast
import copy
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeGuard

_FUNCTION: Final = 10
"""About the characters of `function f(a){return }`, weighted for gzip."""


def specialise(program: ast.Module, roots: Sequence[str]) -> ast.Module:
    """Return a smaller program of the same meaning. roots: the functions that others call."""
    program = copy.deepcopy(program)
    before = ""
    while before != (before := ast.unparse(ast.fix_missing_locations(program))):
        _known_variables(program, roots)
        _known_arguments(program, roots)
        program = _Fold(_functions(program)).visit(program)
        _unused(program, roots)
        _inline(program, roots)
        _copies(program, roots)
        _forward(program)
        _literals(program)
    return program


def _is_variable(name: str) -> bool:
    """Whether a name is a constant, or a variable of a closure."""
    return name[0].isupper()


def _functions(program: ast.AST) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.walk(program) if isinstance(node, ast.FunctionDef)}


def _loads(node: ast.AST) -> Counter[str]:
    return Counter(
        each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
    )


def _stores(node: ast.AST) -> Counter[str]:
    return Counter(
        each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    )


def _locals(function: ast.AST) -> set[str]:
    """All names of parameters and local variables of a function, and of those within."""
    named = {each.arg for each in ast.walk(function) if isinstance(each, ast.arg)}
    named |= {each.name for each in ast.walk(function) if isinstance(each, ast.ExceptHandler) and each.name}
    named |= {
        each.name for each in ast.walk(function) if isinstance(each, ast.FunctionDef) and each is not function
    }
    return named | {name for name in _stores(function) if not _is_variable(name)}


class _Replace(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.values:
            return node
        value = copy.deepcopy(self.values[node.id])
        if isinstance(node.ctx, ast.Store):
            assert isinstance(value, ast.Name)
            value.ctx = ast.Store()
        return value

    def visit_arg(self, node: ast.arg) -> ast.arg:
        value = self.values.get(node.arg)
        return ast.arg(value.id) if isinstance(value, ast.Name) else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        value = self.values.get(node.name)
        node.name = value.id if isinstance(value, ast.Name) else node.name
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.ExceptHandler:
        self.generic_visit(node)
        value = self.values.get(node.name or "")
        node.name = value.id if isinstance(value, ast.Name) else node.name
        return node


class _Remove(ast.NodeTransformer):
    """Removes assignments to some variables, but not calls on their right."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | None:
        match node.targets:
            case [ast.Name(id=name)] if name in self.names:
                calls = any(isinstance(each, ast.Call) for each in ast.walk(node.value))
                return ast.Expr(node.value) if calls and not isinstance(node.value, ast.Lambda) else None
        return node


def _known_variables(program: ast.Module, roots: Sequence[str]) -> None:
    """Put the value of a variable where it is read, if it never has another."""
    steady = _steady(program, roots)
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(program):
        match node:
            case ast.Assign([ast.Name(id=name)], value) if _is_variable(name):
                values.setdefault(name, []).append(value)
            case ast.AugAssign(ast.Name(id=name)):
                values.setdefault(name, []).append(node.value)
    functions = _functions(program)
    loads = _loads(program)
    known: dict[str, ast.expr] = {}
    for name, each in values.items():
        if len({ast.dump(value) for value in each}) > 1:
            continue
        match each[0]:
            case ast.Constant(value=str()) if loads[name] > 2:
                # Once or twice is shorter.
                continue
            case ast.Constant():
                known[name] = each[0]
            case ast.Name(id=other) if other in functions or other.startswith("clock_"):
                known[name] = each[0]
            case ast.Name(id=other) if other in steady and other not in known:
                known[name] = each[0]
    # One value may stand in another's.
    for name in known:
        while (value := known[name]) and isinstance(value, ast.Name) and value.id in known:
            known[name] = known[value.id]
    _Remove(set(known)).visit(program)
    _Replace(known).visit(program)


def _calls(program: ast.AST) -> dict[str, list[ast.Call]]:
    calls: dict[str, list[ast.Call]] = {}
    for node in ast.walk(program):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            calls.setdefault(node.func.id, []).append(node)
    return calls


def _known_arguments(program: ast.Module, roots: Sequence[str]) -> None:
    """Leave out parameters that are not read, or always the same constant."""
    constants = {
        name: value
        for node in program.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for name, value in [(ast.unparse(node.targets[0]), node.value)]
    }
    functions, all_calls, loads = _functions(program), _calls(program), _loads(program)
    for name, function in functions.items():
        calls = all_calls.get(name, [])
        if name in roots or not calls or loads[name] != len(calls) or function.args.defaults:
            continue
        for position in reversed(range(len(function.args.args))):
            parameter = function.args.args[position].arg
            given = [call.args[position] for call in calls if len(call.args) > position]
            if len(given) < len(calls):
                continue
            body = ast.Module(function.body, [])
            same = len({ast.dump(value) for value in given}) == 1
            is_constant = isinstance(given[0], ast.Constant) or ast.unparse(given[0]) in constants
            is_variable = (
                isinstance(given[0], ast.Name)
                and _is_variable(given[0].id)
                and (start := _first_part(body.body[0]))
                and _is_pure(start)
                and _loads(body)[parameter] == _loads(start)[parameter]
            )
            is_function = isinstance(given[0], ast.Name) and (
                given[0].id in functions or given[0].id.startswith("clock_")
            )
            if _stores(body)[parameter]:
                continue
            if same and (is_constant or is_function or is_variable):
                _Replace({parameter: given[0]}).visit(body)
            elif parameter in _loads(body) or not all(map(_is_pure, given)):
                continue
            del function.args.args[position]
            for call in calls:
                del call.args[position]


def _steady(program: ast.Module, roots: Sequence[str]) -> set[str]:
    """The variables that are set once, where their closure begins."""
    stores = _stores(program)
    first = {
        name
        for each in _functions(program).values()
        if each.name == roots[0] or each.name.endswith("_new")
        for node in each.body
        if isinstance(node, ast.Assign)
        for name in _stores(node)
    }
    return {name for name in first if stores[name] == 1 and _is_variable(name)}


def _is_pure(node: ast.AST) -> bool:
    """Whether an expression does nothing but give a value. Telling the time is no deed."""
    return all(
        isinstance(each.func, ast.Name)
        and each.func.id in {"clock_now", "min", "max", "str", "callable", "len", "read", "is_text"}
        for each in ast.walk(node)
        if isinstance(each, ast.Call)
    )


_OPPOSITES: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
"""The opposite of < is not >=: NaN is neither."""


def _has_opposite(node: ast.expr) -> bool:
    match node:
        case ast.Compare(ops=[operator]):
            return type(operator) in _OPPOSITES
        case ast.UnaryOp(op=ast.Not()):
            return True
        case ast.BoolOp(values=values):
            return all(map(_has_opposite, values))
    return False


class _Fold(ast.NodeTransformer):
    """Decides what can be decided now."""

    def __init__(self, functions: Mapping[str, ast.FunctionDef]) -> None:
        self.functions = functions

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        left, right = node.left, node.comparators[0]
        if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
            operators = {
                ast.Gt: "__gt__",
                ast.Lt: "__lt__",
                ast.GtE: "__ge__",
                ast.LtE: "__le__",
                ast.Eq: "__eq__",
                ast.NotEq: "__ne__",
            }
            if type(node.ops[0]) in operators:
                return ast.Constant(bool(getattr(left.value, operators[type(node.ops[0])])(right.value)))
            return ast.Constant((left.value is right.value) == isinstance(node.ops[0], ast.Is))
        match node:
            case ast.Compare(ast.Name(id=one), [ast.Eq() | ast.NotEq() as same], [ast.Name(id=other)]) if (
                one == other
            ):
                return ast.Constant(isinstance(same, ast.Eq))
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.BinOp(
                ast.Constant(value=(int() | float()) as left),
                ast.Mult(),
                ast.Constant(value=(int() | float()) as right),
            ):
                return ast.Constant(left * right)
            case ast.BinOp(
                ast.Constant(value=(int() | float()) as left),
                ast.Div(),
                ast.Constant(value=(int() | float()) as right),
            ):
                return ast.Constant(left / right)
            case ast.BinOp(ast.Constant(value=str(left)), ast.Add(), ast.Constant(value=str(right))):
                return ast.Constant(left + right)
            case ast.BinOp(
                ast.BinOp(first, ast.Add(), ast.Constant(value=str(left))),
                ast.Add(),
                ast.Constant(value=str(right)),
            ):
                return ast.BinOp(first, ast.Add(), ast.Constant(left + right))
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.UnaryOp(ast.Not(), ast.Constant(value=value)):
                return ast.Constant(not value)
            case ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), inner)):
                return inner
            case ast.UnaryOp(ast.Not(), ast.BoolOp(op, values)) if all(map(_has_opposite, values)):
                opposite = ast.And() if isinstance(op, ast.Or) else ast.Or()
                return ast.BoolOp(opposite, [self.visit(ast.UnaryOp(ast.Not(), each)) for each in values])
            case ast.UnaryOp(ast.Not(), ast.Compare(left, [operator], right)) if _has_opposite(node.operand):
                return ast.Compare(left, [_OPPOSITES[type(operator)]()], right)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        decides = isinstance(node.op, ast.Or)
        values: list[ast.expr] = []
        for value in node.values:
            if isinstance(value, ast.Constant) and isinstance(value.value, bool):
                if value.value is decides:
                    values.append(value)
                    break
                continue
            values.append(value)
        if not values:
            return ast.Constant(not decides)
        if (
            isinstance(values[-1], ast.Constant)
            and values[-1].value is decides
            and all(map(_is_pure, values))
        ):
            return values[-1]
        return values[0] if len(values) == 1 else ast.BoolOp(node.op, values)

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        return node

    def visit_If(self, node: ast.If) -> ast.stmt | list[ast.stmt]:
        self.generic_visit(node)
        if isinstance(node.test, ast.Constant):
            return node.body if node.test.value else node.orelse
        if not node.body and not node.orelse:
            return [] if _is_pure(node.test) else ast.Expr(node.test)
        if not node.body:
            return ast.If(self.visit(ast.UnaryOp(ast.Not(), node.test)), node.orelse, [])
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(ast.Name(id="record"), [ast.Constant(value=None)]):
                return ast.Dict([], [])
        return node

    def visit_Pass(self, node: ast.Pass) -> None:
        return None

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        self.generic_visit(node)
        match node.body:
            case ast.Call(ast.Name() as called, arguments):
                given = [ast.unparse(each) for each in arguments]
                taken = [each.arg for each in node.args.args]
                # JavaScript leaves out arguments that nobody takes.
                function = self.functions.get(called.id)
                if function and (given == taken or not function.args.args):
                    return called
                if called.id.startswith("clock_") and given == taken:
                    return called
        return node


class _Keep(ast.NodeTransformer):
    """Removes functions, but not some."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef | None:
        self.generic_visit(node)
        return node if node.name in self.names else None


def _unused(program: ast.Module, roots: Sequence[str]) -> None:
    """Leave out functions that nobody calls, and variables that nobody reads."""
    reached: set[str] = set()
    functions = _functions(program)
    new = {*roots} | {
        name for node in program.body if not isinstance(node, ast.FunctionDef) for name in _loads(node)
    }
    while new:
        reached |= new
        new = {name for each in new & set(functions) for name in _outer_loads(functions[each])} - reached

    _Keep(reached).visit(program)
    read = _loads(program)
    _Remove({name for name in _stores(program) if not read[name]}).visit(program)


def _outer_loads(function: ast.FunctionDef) -> Iterator[str]:
    """The names that a function itself reads, and not only those functions within that it never calls."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        todo += ast.iter_child_nodes(node)


def _without_early_return(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a function that gives nothing, without returns at its top."""
    for position, node in enumerate(body):
        match node:
            case ast.Return(value=None):
                return body[:position]
            case ast.If(test, [*some, ast.Return(value=None)], orelse):
                rest = _without_early_return([*orelse, *body[position + 1 :]])
                if some:
                    return [*body[:position], ast.If(test, some, rest)]
                if not rest:
                    return [*body[:position], ast.Expr(test)]
                return [*body[:position], ast.If(ast.UnaryOp(ast.Not(), test), rest, [])]
    return body


def _inline(program: ast.Module, roots: Sequence[str]) -> None:
    """Put functions where they are called: those called once, and those that are hardly more than a call."""
    functions = _functions(program)
    steady = _steady(program, roots)
    all_calls, loads = _calls(program), _loads(program)
    for name, function in functions.items():
        calls = all_calls.get(name, [])
        if name in roots or not loads[name]:
            continue
        function.body = _without_early_return(function.body)
        match function.body:
            case [ast.Expr(ast.Call(ast.Name(id=called), arguments))] if (
                called in functions
                and [ast.unparse(each) for each in arguments] == [each.arg for each in function.args.args]
                and not _gives(functions[called])
            ):
                # JavaScript's functions are values, and this one is another's double.
                _Keep({*functions} - {name}).visit(program)
                _Replace({name: ast.Name(called, ast.Load())}).visit(program)
                all_calls, loads = _calls(program), _loads(program)
                continue
        if not calls or loads[name] != len(calls) or function.args.defaults:
            continue
        if any(len(call.args) != len(function.args.args) for call in calls):
            continue
        if any(call in [*ast.walk(function)] for call in calls):
            continue
        match function.body:
            case [ast.Return(value=ast.expr() as value)] | [ast.Expr(value)]:
                # What the calls grow by, and what the function takes as long as it is one.
                growth = sum(_size(value) - _size(call) for call in calls)
                if len(calls) == 1 or growth <= _size(value) + _FUNCTION:
                    into = _Into(function, value)
                    into.visit(program)
                    if into.done:
                        all_calls, loads = _calls(program), _loads(program)
                        continue
        if len(calls) == 1 and not _closures(ast.Module(function.body, [])):
            statement = _IntoStatement(function, calls[0], steady)
            statement.visit(program)
            if statement.done:
                all_calls, loads = _calls(program), _loads(program)


def _gives(function: ast.FunctionDef) -> bool:
    """Whether a function returns something."""
    return any(isinstance(node, ast.Return) and node.value for node in ast.walk(function))


def _size(node: ast.AST) -> int:
    """About how many characters an expression takes, minified."""
    text = re.sub(
        r"'[^']*'|(?<!\w)[A-Za-z_]\w*",
        lambda match: match[0] if match[0][0] == "'" else "x",
        ast.unparse(node),
    )
    return len(text.replace(" ", ""))


def _is_simple(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and not _is_variable(node.id))


class _Within(ast.NodeTransformer):
    """Knows which functions a node stands in. around: these, the outermost first."""

    def __init__(self) -> None:
        self.around: list[ast.AST] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.around.append(node)
        self.generic_visit(node)
        self.around.pop()
        return node


class _Into(_Within):
    """Puts an expression in the place of calls."""

    def __init__(self, function: ast.FunctionDef, value: ast.expr) -> None:
        super().__init__()
        self.function, self.value = function, value
        self.is_deed = isinstance(function.body[0], ast.Expr)
        self.parameters = [each.arg for each in function.args.args]
        self.done = False

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        # Nobody wants what it gives, so it may be another thing than nothing.
        self.generic_visit(node)
        if self._is_call(node.value):
            node.value = self._replaced(node.value)
        return node

    def _is_call(self, node: ast.expr) -> TypeGuard[ast.Call]:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == self.function.name
        )

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if self._is_call(node) and not self.is_deed:
            return self._replaced(node)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        self.around.append(node)
        self.generic_visit(node)
        if self._is_call(node.body):
            node.body = self._replaced(node.body)
        self.around.pop()
        return node

    def _replaced(self, node: ast.Call) -> ast.expr:
        uses = _loads(self.value)
        free = set(uses) - set(self.parameters)
        if self.around and free & _locals(self.around[0]) - set(_functions(self.around[0])):
            return node
        if _closures(self.value) and self.parameters:
            return node
        # What is done before an argument is read might change it.
        outer = ast.iter_child_nodes(self.value) if isinstance(self.value, ast.Call) else [self.value]
        is_read_first = all(_is_pure(each) for each in outer)
        for parameter, argument in zip(self.parameters, node.args, strict=True):
            if _is_simple(argument):
                continue
            if uses[parameter] != 1 or not _is_pure(argument) or not is_read_first:
                return node
        self.done = True
        value: ast.expr = _Replace(dict(zip(self.parameters, node.args, strict=True))).visit(
            copy.deepcopy(self.value)
        )
        return value


class _IntoStatement(_Within):
    """Puts the body of a function in the place of the statement that calls it."""

    def __init__(self, function: ast.FunctionDef, call: ast.Call, steady: set[str]) -> None:
        super().__init__()
        self.function, self.call = function, call
        self.steady = steady
        self.done = False

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | list[ast.stmt]:
        if node.value is not self.call or _returns(self.function.body):
            return node
        return self._body(node)

    def visit_Return(self, node: ast.Return) -> ast.stmt | list[ast.stmt]:
        if node.value is not self.call:
            return node
        return self._body(node)

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | list[ast.stmt]:
        *before, last = self.function.body
        if node.value is not self.call or _returns(before) or not isinstance(last, ast.Return):
            return node
        body = self._body(node)
        if isinstance(body, list):
            last = body.pop()
            assert isinstance(last, ast.Return)
            return [*body, ast.Assign(node.targets, last.value or ast.Constant(None))]
        return node

    def _body(self, node: ast.stmt) -> ast.stmt | list[ast.stmt]:
        if not self.around:
            return node
        within = self.around[-1]
        taken = _locals(self.around[0])
        inner = {name for name in _functions(within) if _is_own(name)}
        body = ast.Module(copy.deepcopy(self.function.body), [])
        own = _locals(self.function)
        if (set(_loads(body)) - own) & (taken - inner):
            return node
        names: dict[str, ast.expr] = {}
        first: list[ast.stmt] = []
        for each in sorted(own - {each.arg for each in self.function.args.args}):
            if each in taken and not _is_own(each):
                names[each] = ast.Name(f"{each}_{len(taken)}", ast.Load())
        changed = _stores(body)
        for parameter, argument in zip(
            [each.arg for each in self.function.args.args], self.call.args, strict=True
        ):
            reassigned = isinstance(argument, ast.Name) and _stores(body)[argument.id]
            if not changed[parameter] and (
                (_is_simple(argument) and not reassigned) or self._is_steady(argument, body)
            ):
                names[parameter] = argument
                continue
            name = f"{parameter}_{len(taken)}" if parameter in taken else parameter
            names[parameter] = ast.Name(name, ast.Load())
            first.append(ast.Assign([ast.Name(name, ast.Store())], argument))
        self.done = True
        return [*first, *_Replace(names).visit(body).body]

    def _is_steady(self, argument: ast.expr, body: ast.Module) -> bool:
        """Whether the argument is a variable that does not change while the body runs."""
        match argument:
            case ast.Name(id=name):
                deeds = [each for each in ast.walk(body) if isinstance(each, ast.Call) and not _is_pure(each)]
                return name in self.steady or (not deeds and not _stores(body)[name])
        return False


def _copies(program: ast.Module, roots: Sequence[str]) -> None:
    """Give one name to a local variable and its copy, where neither changes."""
    steady = _steady(program, roots)
    for function in _functions(program).values():
        stores = _stores(function)
        own = {each.arg for each in ast.walk(function) if isinstance(each, ast.arg)}

        def is_local(name: str) -> bool:
            return not _is_variable(name) and name not in own and stores[name] == 1  # noqa: B023 # used at once

        for node in ast.walk(function):
            match node:
                case ast.Assign([ast.Name(id=target)], ast.Name(id=value)) if target != value:
                    is_never_set_again = not _is_variable(value) and stores[value] + (value in own) == 1
                    if target in steady and is_local(value):
                        name, copied = target, value
                    elif is_local(target) and (value in steady or is_never_set_again):
                        name, copied = value, target
                    else:
                        continue
                    _Replace({copied: ast.Name(name, ast.Load())}).visit(function)
                    _RemoveSelf().visit(function)
                    return


class _RemoveSelf(ast.NodeTransformer):
    def visit_Assign(self, node: ast.Assign) -> ast.stmt | None:
        return None if ast.unparse(node.targets[0]) == ast.unparse(node.value) else node


def _forward(program: ast.Module) -> None:
    """Put what a local variable is set to where it is read, if that is once and soon."""
    for function in _functions(program).values():
        changed = True
        while changed:
            loads, stores = _loads(function), _stores(function)
            changed = any(_forwarded(block, loads, stores) for block in _blocks(function))


def _forwarded(block: list[ast.stmt], loads: Counter[str], stores: Counter[str]) -> bool:
    for position, node in enumerate(block):
        match node:
            case ast.Assign([ast.Name(id=name)], value) if (
                not _is_variable(name) and loads[name] == 1 and stores[name] == 1 and not _closures(value)
            ):
                for after in block[position + 1 :]:
                    part = _first_part(after)
                    if part is not None and _loads(part)[name] == 1 and not _closures(part):
                        is_first = after is block[position + 1] and next(_evaluated(part)) == name
                        if is_first or (_is_pure(part) and _is_pure(value)):
                            _Replace({name: value}).visit(after)
                            del block[position]
                            return True
                    # Beyond a statement that may change what the value is made of it is another value.
                    steady = (
                        isinstance(after, ast.Assign)
                        and all(isinstance(each, ast.Name) for each in after.targets)
                        and _is_pure(after.value)
                        and _is_pure(value)
                    )
                    if not steady or set(_stores(after)) & set(_loads(value)):
                        break
    return False


def _first_part(node: ast.stmt) -> ast.expr | None:
    """The expression that a statement evaluates once, before it does anything."""
    match node:
        case (
            ast.If(test=part)
            | ast.Return(value=ast.expr() as part)
            | ast.Assign(value=part)
            | ast.Expr(value=part)
        ):
            return part
    return None


def _literals(program: ast.Module) -> None:
    """Spell a new record with its entries as JavaScript does."""
    for block in _blocks(program):
        position = 0
        while position + 1 < len(block):
            match block[position], block[position + 1]:
                case (
                    ast.Assign([ast.Name(id=name)], ast.Dict() as entries),
                    ast.Assign([ast.Subscript(ast.Name(id=same), ast.Constant() as key)], value),
                ) if (
                    name == same
                    and not _loads(value)[name]
                    and ast.dump(key) not in map(_dumped, entries.keys)
                ):
                    entries.keys.append(key)
                    entries.values.append(value)
                    del block[position + 1]
                case _:
                    position += 1


def _dumped(node: ast.AST | None) -> str:
    return ast.dump(node) if node else ""


def _evaluated(node: ast.expr) -> Iterator[str]:
    """What is evaluated first: the leftmost name, as long as nothing but operators is around it."""
    match node:
        case ast.Name(id=name):
            yield name
        case (
            ast.UnaryOp(operand=inner)
            | ast.BoolOp(values=[inner, *_])
            | ast.Compare(left=inner)
            | ast.BinOp(left=inner)
        ):
            yield from _evaluated(inner)
        case ast.IfExp(test=inner):
            yield from _evaluated(inner)
        case _:
            yield ""


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for each in ast.walk(node):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(each, name, None)
            if isinstance(block, list):
                yield block


def _closures(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Lambda | ast.FunctionDef) for each in ast.walk(node))


def _is_own(name: str) -> bool:
    """Whether a function was a method, so that its name is unique."""
    return re.match(r"[a-z][A-Za-z]*_", name) is not None


def _returns(body: Sequence[ast.stmt]) -> bool:
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Return):
            return True
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return False
