"""What statements would do, whether they run or not: names they bind, containers they change, how they leave."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

MUTATORS = frozenset({
    "add", "append", "clear", "difference_update", "discard", "extend", "insert", "intersection_update", "pop",
    "popitem", "remove", "reverse", "setdefault", "sort", "symmetric_difference_update", "update",
})  # fmt: skip
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)


def _within(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes and what is in them, without the bodies of functions and classes."""
    for node in nodes:
        yield node
        if not isinstance(node, _SCOPES):
            yield from _within(ast.iter_child_nodes(node))


def _in_comprehension(nodes: Iterable[ast.AST]) -> set[ast.AST]:
    """The targets of comprehensions, which are names of their own."""
    inner: set[ast.AST] = set()
    for node in _within(nodes):
        if isinstance(node, ast.comprehension):
            inner.update(ast.walk(node.target))
    return inner


def bindings(statements: Sequence[ast.stmt]) -> set[str]:
    """The names that the statements may bind in their own scope."""
    own = _in_comprehension(statements)
    names: set[str] = set()
    for node in _within(statements):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in own:
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.MatchAs)):
            names.update([node.name] if node.name else [])
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
    return names


def grown(statements: Sequence[ast.stmt]) -> set[str]:
    """Of these, the names that are bound by `name += ...` alone: a list stays the same list."""
    plain: set[str] = set()
    augmented: set[str] = set()
    targets = {node.target for node in _within(statements) if isinstance(node, ast.AugAssign)}
    own = _in_comprehension(statements)
    for node in _within(statements):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in own:
            (augmented if node in targets else plain).add(node.id)
    return augmented - plain


def mutated(statements: Sequence[ast.stmt]) -> list[tuple[ast.expr, str, ast.Constant | None]]:
    """The places, names and attributes of names, that the statements may change: containers, an attribute there, or the
    element at a constant index or key.
    """
    own = {node.id for node in _in_comprehension(statements) if isinstance(node, ast.Name)}
    places: dict[tuple[str, str, str], tuple[ast.expr, str, ast.Constant | None]] = {}
    for node in _within(statements):
        attribute = ""
        key: ast.Constant | None = None
        match node:
            case ast.Call(func=ast.Attribute(value=place, attr=method)) if method in MUTATORS:
                pass
            case ast.Subscript(value=place, slice=index, ctx=ast.Store() | ast.Del()):
                key = index if isinstance(index, ast.Constant) and isinstance(node.ctx, ast.Store) else None
            case ast.Attribute(value=place, attr=attribute, ctx=ast.Store() | ast.Del()):
                pass
            case _:
                continue
        if _is_path(place) and not own & {n.id for n in ast.walk(place) if isinstance(n, ast.Name)}:
            shown = ast.dump(key) if key else ""
            places.setdefault((ast.dump(place), attribute, shown), (place, attribute, key))
    return list(places.values())


def _is_path(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def leaves(statements: Sequence[ast.stmt]) -> set[str]:
    """How the statements may leave the suite: some of "return", "break", "continue", "raise"."""
    kinds: set[str] = set()
    for statement in statements:
        match statement:
            case ast.Return():
                kinds.add("return")
            case ast.Break():
                kinds.add("break")
            case ast.Continue():
                kinds.add("continue")
            case ast.Raise() | ast.Assert():
                kinds.add("raise")
            case ast.For() | ast.While():
                kinds |= leaves(statement.body) - {"break", "continue"} | leaves(statement.orelse)
            case ast.Try():
                caught = {"raise"} if statement.handlers else set()
                kinds |= leaves(statement.body) - caught | leaves(statement.finalbody)
                kinds |= leaves([s for handler in statement.handlers for s in handler.body]) | leaves(statement.orelse)
            case ast.If():
                kinds |= leaves(statement.body) | leaves(statement.orelse)
            case ast.With():
                kinds |= leaves(statement.body)
            case ast.Match():
                kinds |= leaves([s for case in statement.cases for s in case.body])
    return kinds
