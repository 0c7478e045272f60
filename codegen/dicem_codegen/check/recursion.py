"""Recursion that cannot end: a function that, once called, calls itself whatever happens.

Other recursion is a program like any other.  Only calls that are certain count: in statements that no `if`, loop, `try`
or `return` can keep from being reached, and there in no part that might be left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dicem_shared.program import ENTRIES

from ..walking import children
from .entry import Function, is_generator
from .subject import Subject


def check_recursion(subject: Subject) -> None:
    """An entry that calls itself, or falls into functions that call each other, whatever happens."""
    functions = {
        node.name: node for node in subject.tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    for entry in ENTRIES:
        if entry in functions:
            _follow(subject, entry, functions)
            return


def _follow(subject: Subject, entry: str, functions: dict[str, Function]) -> None:
    """Look for a way from the entry over certain calls that comes back to itself."""
    path, seen = [entry], {entry}
    open_calls = [_certain_calls(subject, functions[entry], functions)]
    while open_calls:
        name, call = next(open_calls[-1], ("", None))
        if call is None:
            open_calls.pop()
            path.pop()
        elif name in path:
            around = " calls ".join([*path[path.index(name) :], name])
            message = f"recursion without an end: {around}, whatever happens"
            subject.say(call, "error", "endless-recursion", message, "Decide first when to stop")
            return
        elif name not in seen:
            seen.add(name)
            path.append(name)
            open_calls.append(_certain_calls(subject, functions[name], functions))


def _certain_calls(
    subject: Subject, function: Function, functions: dict[str, Function]
) -> Iterator[tuple[str, ast.Call]]:
    """The functions of the module that are called whenever `function` runs, with the calls."""
    if is_generator(function) or function.decorator_list:
        return
    for statement in function.body:
        if not isinstance(statement, (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)):
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Import, ast.ImportFrom, ast.Pass)):
                continue
            return
        for call, awaited in _evaluated(statement):
            target = _target(subject, call, functions)
            if target is not None and isinstance(target, ast.AsyncFunctionDef) == awaited:
                yield target.name, call
        if isinstance(statement, ast.Return):
            return


def _evaluated(statement: ast.stmt) -> Iterator[tuple[ast.Call, bool]]:
    """The calls that are made whenever a statement runs to its end, and whether each is awaited at once."""
    stack: list[tuple[ast.AST, bool]] = [(statement, False)]
    while stack:
        node, awaited = stack.pop()
        match node:
            case ast.Call():
                yield node, awaited
            case ast.BoolOp():
                stack.append((node.values[0], False))
                continue
            case ast.IfExp():
                stack.append((node.test, False))
                continue
            case ast.Compare():
                stack += [(node.left, False), (node.comparators[0], False)]
                continue
            case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                continue
        stack += [(child, isinstance(node, ast.Await)) for child in children(node)]


def _target(subject: Subject, call: ast.Call, functions: dict[str, Function]) -> Function | None:
    """The function of the module that is called, if that is certain."""
    if not isinstance(call.func, ast.Name) or call.func.id not in functions:
        return None
    binders = subject.binders(call.func)
    return functions[call.func.id] if binders == [functions[call.func.id]] else None
