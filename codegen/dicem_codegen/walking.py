"""Walks over trees, faster than those of `ast`: the compiler spends most of its time on its way from node to node."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Final, TypeVar

Tree = TypeVar("Tree", bound=ast.AST)

_LEAVES: Final = frozenset(
    {"ctx", "op", "ops", "id", "attr", "arg", "kind", "type_comment", "name", "asname", "module", "level",
     "conversion", "simple", "is_async", "rest", "kwd_attrs"}
)  # fmt: skip
"""Fields that hold no nodes, or none that anybody asks for: contexts and operators."""
_FIELDS: Final[dict[type[ast.AST], tuple[str, ...]]] = {ast.Constant: ()}
_LAST_FIRST: Final[dict[type[ast.AST], tuple[str, ...]]] = {}


def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    found = _FIELDS.get(kind)
    if found is None:
        keep_all = kind in (ast.Global, ast.Nonlocal)
        found = _FIELDS[kind] = () if keep_all else tuple(name for name in kind._fields if name not in _LEAVES)
    return found


def _last_first(kind: type[ast.AST]) -> tuple[str, ...]:
    found = _LAST_FIRST[kind] = _fields(kind)[::-1]
    return found


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right inside of one, in the order of their fields, without contexts and operators."""
    found: list[ast.AST] = []
    for name in _fields(node.__class__):
        value = getattr(node, name, None)
        if value.__class__ is list:
            found += [part for part in value if part is not None]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def walk(node: ast.AST) -> list[ast.AST]:
    """A node and all nodes in it, outer ones before inner ones, as they stand in the source."""
    found: list[ast.AST] = []
    stack = [node]
    while stack:
        current = stack.pop()
        found.append(current)
        fields = _LAST_FIRST.get(current.__class__)
        if fields is None:
            fields = _last_first(current.__class__)
        for name in fields:
            value = getattr(current, name, None)
            if value.__class__ is list:
                stack += [part for part in reversed(value) if part is not None]
            elif isinstance(value, ast.AST):
                stack.append(value)
    return found


def copied(node: Tree) -> Tree:
    """A copy of a tree, places included; contexts and operators are shared."""
    made = node.__class__()
    held = made.__dict__
    for name, value in node.__dict__.items():
        if value.__class__ is list:
            held[name] = [copied(part) if isinstance(part, ast.AST) else part for part in value]
        elif isinstance(value, ast.AST) and name not in _LEAVES:
            held[name] = copied(value)
        else:
            held[name] = value
    return made


def is_same(one: object, other: object) -> bool:
    """Whether two trees say the same, wherever they stand."""
    if one.__class__ is not other.__class__:
        return False
    if one.__class__ is list:
        assert isinstance(one, list)
        assert isinstance(other, list)
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, ast.AST):
        return all(is_same(getattr(one, name, None), getattr(other, name, None)) for name in one._fields)
    return one == other


def statements(tree: ast.AST) -> list[ast.stmt]:
    """All statements in a tree, outer ones first, and none of their expressions."""
    found: list[ast.stmt] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.stmt):
            found.append(node)
        for block in reversed(inner_blocks(node)):
            stack += reversed(block)
    return found


def inner_blocks(node: ast.AST) -> list[list[ast.stmt]]:
    """The lists of statements right inside of one."""
    if not hasattr(node, "body") or isinstance(node, (ast.Lambda, ast.IfExp)):
        return [case.body for case in node.cases] if isinstance(node, ast.Match) else []
    blocks = [node.body]
    blocks += [handler.body for handler in getattr(node, "handlers", ())]
    blocks += [found for name in ("orelse", "finalbody") if (found := getattr(node, name, None))]
    return blocks


def rewritten(node: ast.AST, kind: type[ast.AST], change: Callable[[Any], ast.AST]) -> ast.AST:
    """The tree, changed in place: each node of a kind has become what `change` makes of it, inner ones first."""
    for name in _fields(node.__class__):
        value = getattr(node, name, None)
        if value.__class__ is list:
            for place, part in enumerate(value):
                if isinstance(part, ast.AST):
                    value[place] = rewritten(part, kind, change)
        elif isinstance(value, ast.AST):
            setattr(node, name, rewritten(value, kind, change))
    return change(node) if node.__class__ is kind else node
