"""Mistakes in what is asked, and when: guards, laziness, effects, exceptions."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable

from .kinds import (
    asks,
    blocks,
    expression,
    functions,
    is_print,
    loads,
    planted,
    questions,
    rewritten,
    stores,
)  # fmt: skip


@planted()
def swapped_and(tree: ast.Module) -> bool:
    """The operands of `and` trade places."""

    def swap(node: ast.AST) -> ast.AST | None:
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And) and asks(node):
            return ast.BoolOp(ast.And(), node.values[::-1])
        return None

    return rewritten(tree, swap)


@planted()
def eager_or(tree: ast.Module) -> bool:
    """Both operands of `or` are asked, whatever the first one says."""

    def ask_both(node: ast.AST) -> ast.AST | None:
        match node:
            case ast.BoolOp(op=ast.Or(), values=[first, second]) if asks(second):
                return ast.Call(expression("lambda a, b: a or b"), [first, second], [])
        return None

    return rewritten(tree, ask_both)


@planted()
def eager_chain(tree: ast.Module) -> bool:
    """A chained comparison asks for its last operand even where the first two decide."""

    def ask_all(node: ast.AST) -> ast.AST | None:
        match node:
            case ast.Compare(ops=[_, _], comparators=[second, third]) if asks(third):
                inner = ast.Compare(ast.Name("a", ast.Load()), node.ops, [ast.Name(n, ast.Load()) for n in "bc"])
                function = expression("lambda a, b, c: 0")
                assert isinstance(function, ast.Lambda)
                function.body = inner
                return ast.Call(function, [node.left, second, third], [])
        return None

    return rewritten(tree, ask_all)


@planted()
def eager_any(tree: ast.Module) -> bool:
    """any and all ask about every element."""

    def list_it(node: ast.AST) -> ast.AST | None:
        match node:
            case ast.Call(func=ast.Name(id="any" | "all"), args=[ast.GeneratorExp() as generator]) if asks(generator):
                return ast.Call(node.func, [ast.ListComp(generator.elt, generator.generators)], [])
        return None

    return rewritten(tree, list_it)


@planted()
def arm_not_taken(tree: ast.Module) -> bool:
    """Both arms of a ternary are asked."""

    def ask_both(node: ast.AST) -> ast.AST | None:
        match node:
            case ast.IfExp() if asks(node.body, node.orelse):
                which = ast.IfExp(node.test, ast.Constant(0), ast.Constant(1))
                return ast.Subscript(ast.Tuple([node.body, node.orelse], ast.Load()), which, ast.Load())
        return None

    return rewritten(tree, ask_both)


@planted()
def hoisted_over_guard(tree: ast.Module) -> bool:
    """What an `if` guards is asked before the `if`."""
    changed = False
    for block in blocks(tree):
        for index in range(len(block) - 1, -1, -1):
            match block[index]:
                case ast.If(body=[ast.Assign(value=value), *_]) if asks(value):
                    block.insert(index, ast.Expr(copy.deepcopy(value)))
                    changed = True
    return changed


@planted()
def zero_trips(tree: ast.Module) -> bool:
    """What a loop asks in each turn alike is asked before the loop, which may make no turn."""
    changed = False
    for block in blocks(tree):
        for index in range(len(block) - 1, -1, -1):
            loop = block[index]
            if isinstance(loop, ast.For):
                alike = [s for s in loop.body if isinstance(s, ast.Assign) and asks(s) and not loads(s) & stores(loop)]
                block[index:index] = [ast.Expr(copy.deepcopy(s.value)) for s in alike]
                changed = changed or bool(alike)
    return changed


@planted()
def hoisted_effect(tree: ast.Module) -> bool:
    """An impure call is made before what stands in front of it."""
    changed = False
    for block in blocks(tree):
        for index in range(1, len(block)):
            before, effect = block[index - 1], block[index]
            if _is_effect(effect) and not _is_effect(before) and not stores(before) & loads(effect):
                block[index - 1], block[index] = effect, before
                changed = True
    return changed


def _is_effect(statement: ast.stmt) -> bool:
    impure = ("log_event", "counter")
    return isinstance(statement, (ast.Expr, ast.Assign)) and any(
        isinstance(n, ast.Constant) and n.value in impure for n in ast.walk(statement)
    )


@planted()
def effect_twice(tree: ast.Module) -> bool:
    """An impure call is made again, as if it were a pure one."""
    changed = False
    for block in blocks(tree):
        for index in range(len(block) - 1, -1, -1):
            if _is_effect(block[index]):
                block.insert(index, copy.deepcopy(block[index]))
                changed = True
    return changed


@planted()
def late_print(tree: ast.Module) -> bool:
    """A print comes after the statement that follows it."""
    return _swap_prints(tree, later=True)


@planted()
def early_print(tree: ast.Module) -> bool:
    """A print comes before the statement that it follows, which may raise."""
    return _swap_prints(tree, later=False)


def _swap_prints(tree: ast.Module, *, later: bool) -> bool:
    changed = False
    for block in blocks(tree):
        index = 0
        while index + 1 < len(block):
            here, there = (block[index], block[index + 1]) if later else (block[index + 1], block[index])
            simple = isinstance(there, (ast.Assign, ast.Expr, ast.For))
            if is_print(here) and simple and asks(there) and not stores(there) & loads(here):
                block[index], block[index + 1] = block[index + 1], block[index]
                changed, index = True, index + 1
            index += 1
    return changed


@planted()
def dropped_call(tree: ast.Module) -> bool:
    """A question whose answer nobody reads is not asked."""
    changed = False
    for function in functions(tree):
        read = loads(function)
        for statement in ast.walk(function):
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if name not in read and questions(value):
                    statement.value = ast.Constant(None)
                    changed = True
    return changed


@planted()
def surplus_call(tree: ast.Module) -> bool:
    """Something is asked that the program does not ask."""
    changed = False
    for block in blocks(tree):
        for index in range(len(block) - 1, -1, -1):
            match block[index]:
                case ast.Assign(value=ast.Call(func=ast.Attribute(attr="exists" | "find")) as call):
                    block.insert(index, ast.Expr(_about_something_else(call)))
                    changed = True
                case ast.Assign(value=ast.Await(value=ast.Call() as call)) if questions(call):
                    block.insert(index, ast.Expr(ast.Await(_about_something_else(call))))
                    changed = True
    return changed


def _about_something_else(call: ast.Call) -> ast.Call:
    call = copy.deepcopy(call)
    for node in ast.walk(call):
        if isinstance(node, ast.keyword) and node.arg in ("object_name", "query", "question", "prompt"):
            node.value = ast.Constant("something else")
    if call.args and isinstance(call.func, ast.Attribute) and call.func.attr != "call":
        call.args[0] = ast.Constant("something else")
    return call


@planted("compiled", near=600)
def first_failure_in_time(tree: ast.Module) -> bool:
    """Two statements' calls are gathered: of two failures the first in time is raised, not the first in the program."""
    changed = False
    for block in blocks(tree):
        index = 0
        while index + 1 < len(block):
            first, second = block[index], block[index + 1]
            pair = _only_await(first), _only_await(second)
            if pair[0] is not None and pair[1] is not None and not stores(first) & loads(second):
                calls = [copy.deepcopy(node.value) for node in pair if node is not None]
                name = f"_gathered_{index}_{first.lineno}"
                gathered = ast.Await(ast.Call(expression("_asyncio.gather"), calls, []))
                for number, (statement, node) in enumerate(zip((first, second), pair, strict=True)):
                    _replace(statement, node, expression(f"{name}[{number}]"))
                block.insert(index, ast.Assign([ast.Name(name, ast.Store())], gathered))
                changed, index = True, index + 2
            index += 1
    if changed:
        tree.body.insert(0, ast.Import([ast.alias("asyncio", "_asyncio")]))
    return changed


def _only_await(statement: ast.stmt) -> ast.Await | None:
    """The await of `x = p.m_finish(await p.m_start(...))`, and of nothing more."""
    awaits = [n for n in ast.walk(statement) if isinstance(n, ast.Await)]
    loose = (
        ast.IfExp,
        ast.BoolOp,
        ast.ListComp,
        ast.DictComp,
        ast.SetComp,
        ast.GeneratorExp,
        ast.NamedExpr,
        ast.Lambda,
    )
    if (
        not isinstance(statement, ast.Assign)
        or len(awaits) != 1
        or any(isinstance(n, loose) for n in ast.walk(statement))
    ):
        return None
    match awaits[0].value:
        case ast.Call(func=ast.Attribute(attr=name)) if name.endswith("_start") or name == "call":
            return awaits[0]
    return None


def _replace(statement: ast.stmt, old: ast.AST | None, new: ast.expr) -> None:
    for node in ast.walk(statement):
        for name, value in ast.iter_fields(node):
            if value is old:
                setattr(node, name, new)
            elif isinstance(value, list) and any(each is old for each in value):
                setattr(node, name, [new if each is old else each for each in value])


@planted()
def wrong_tie(tree: ast.Module) -> bool:
    """Of equals, min and max give the last."""

    def last(name: str, values: str, keys: ast.expr, call: ast.Call) -> ast.expr:
        made = _applied(f"lambda vs, ks: [v for v, k in zip(vs, ks) if k == {name}(ks)][-1]", values, keys)
        default = [keyword.value for keyword in call.keywords if keyword.arg == "default"]
        empty = default[0] if default else ast.Call(call.func, [ast.List([], ast.Load())], [])
        return ast.IfExp(ast.Name(values, ast.Load()), made, empty)

    return _keyed(tree, ("min", "max"), last)


@planted()
def unstable_sort(tree: ast.Module) -> bool:
    """Equals change their order."""

    def unstable(name: str, values: str, keys: ast.expr, call: ast.Call) -> ast.expr:
        backwards = any(keyword.arg == "reverse" for keyword in call.keywords)
        sign, tail = ("", ", reverse=True") if backwards else ("-", "")
        order = f"sorted(range(len(vs)), key=lambda i: (ks[i], {sign}i){tail})"
        return _applied(f"lambda vs, ks: [vs[i] for i in {order}]", values, keys)

    return _keyed(tree, ("sorted",), unstable)


@planted()
def key_called_twice(tree: ast.Module) -> bool:
    """The key is computed twice for each element."""

    def twice(name: str, values: str, keys: ast.expr, call: ast.Call) -> ast.expr:
        return ast.Subscript(ast.Tuple([keys, call], ast.Load()), ast.Constant(1), ast.Load())

    return _keyed(tree, ("min", "max", "sorted"), twice)


def _applied(function: str, values: str, keys: ast.expr) -> ast.expr:
    return ast.Call(expression(function), [ast.Name(values, ast.Load()), keys], [])


def _keyed(
    tree: ast.Module, names: tuple[str, ...], instead: Callable[[str, str, ast.expr, ast.Call], ast.expr]
) -> bool:
    """Replace calls of these with a key over a list under a name; `instead` gets both names and the list of keys."""

    def rewrite(node: ast.AST) -> ast.AST | None:
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.Name(id=values)], keywords=[*keywords]) if name in names:
                keys = [_computed(keyword.value, values) for keyword in keywords if keyword.arg == "key"]
                return instead(name, values, keys[0], node) if keys else None
        return None

    return rewritten(tree, rewrite)


def _computed(key: ast.expr, values: str) -> ast.expr:
    """All keys, in order."""
    element = ast.Call(copy.deepcopy(key), [ast.Name("_each", ast.Load())], [])
    made: ast.expr = element
    target = "_each"
    if isinstance(key, ast.Lambda):
        made, target = copy.deepcopy(key.body), key.args.args[0].arg
    over = ast.comprehension(ast.Name(target, ast.Store()), ast.Name(values, ast.Load()), [], 0)
    return ast.ListComp(made, [over])
