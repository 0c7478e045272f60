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
_NAMES_ONLY: Final = (ast.Global, ast.Nonlocal)
_WITH_GAPS: Final = frozenset({"kw_defaults", "keys"})
"""Lists in which None may stand."""
_FIELDS: Final[dict[type[ast.AST], tuple[str, ...]]] = {ast.Constant: (), ast.MatchSingleton: ()}
_BACKWARDS: Final[dict[type[ast.AST], tuple[str, ...]]] = {}


def fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """The fields of a kind of node that may hold nodes."""
    found = _FIELDS.get(kind)
    if found is None:
        found = tuple(name for name in kind._fields if name not in _LEAVES) if kind not in _NAMES_ONLY else ()
        _FIELDS[kind] = found
    return found


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right inside of one, in the order of their fields, without contexts and operators."""
    names = _FIELDS.get(node.__class__)
    if names is None:
        names = fields(node.__class__)
    found: list[ast.AST] = []
    for name in names:
        value = getattr(node, name, None)
        if value.__class__ is list:
            found += [part for part in value if part is not None] if name in _WITH_GAPS else value
        elif value is not None:
            found.append(value)
    return found


def walk(node: ast.AST) -> list[ast.AST]:
    """A node and all nodes in it, outer ones before inner ones, as they stand in the source."""
    found: list[ast.AST] = []
    stack = [node]
    while stack:
        current = stack.pop()
        found.append(current)
        names = _BACKWARDS.get(current.__class__)
        if names is None:
            names = _BACKWARDS[current.__class__] = fields(current.__class__)[::-1]
        for name in names:
            value = getattr(current, name, None)
            if value.__class__ is list:
                stack += [part for part in reversed(value) if part is not None] if name in _WITH_GAPS else value[::-1]
            elif value is not None:
                stack.append(value)
    return found


def copied(node: Tree) -> Tree:
    """A copy of a node and of all in it, in the same places; contexts and operators are shared."""
    made = node.__class__()
    own = made.__dict__
    for name, value in node.__dict__.items():
        if value.__class__ is list:
            own[name] = [copied(part) if isinstance(part, ast.AST) else part for part in value]
        elif isinstance(value, ast.AST) and name not in _LEAVES:
            own[name] = copied(value)
        else:
            own[name] = value
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
    for name in fields(node.__class__):
        value = getattr(node, name, None)
        if value.__class__ is list:
            for place, part in enumerate(value):
                if isinstance(part, ast.AST):
                    value[place] = rewritten(part, kind, change)
        elif isinstance(value, ast.AST):
            setattr(node, name, rewritten(value, kind, change))
    return change(node) if node.__class__ is kind else node
