"""Which names a piece of code binds, reads and walks; and code with other names."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from .purity import ITERATES


def bound_in(statements: Iterable[ast.AST]) -> set[str]:
    """The names that statements bind, comprehensions' variables not counted."""
    found: set[str] = set()
    stack: list[ast.AST] = list(statements)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.comprehension):
            stack.extend([node.iter, *node.ifs])
            continue
        stack.extend(ast.iter_child_nodes(node))
    return found


def walked_names(statements: Iterable[ast.stmt]) -> set[str]:
    """The names whose values are walked, perhaps."""
    found: set[str] = set()
    statements = list(statements)
    lists = {
        t.id for s in statements for n in ast.walk(s) if isinstance(n, ast.Assign) and isinstance(n.value, ast.List)
        for t in n.targets if isinstance(t, ast.Name)
    }  # fmt: skip
    for statement in statements:
        for node in ast.walk(statement):
            parts: list[ast.expr] = []
            match node:
                case ast.For(iter=walked) | ast.comprehension(iter=walked):
                    parts = [walked]
                case ast.Starred(value=value):
                    parts = [value]
                case ast.Compare(comparators=comparators):
                    parts = comparators
                case ast.Assign(targets=targets, value=value) if not all(isinstance(t, ast.Name) for t in targets):
                    parts = [value]
                case ast.AugAssign(op=ast.Add(), target=ast.Name(id=name), value=value) if name in lists:
                    parts = [value]
                case ast.Call(func=func, args=arguments):
                    name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
                    parts = arguments if name in ITERATES or not isinstance(func, ast.Attribute) else []
            found |= {part.id for part in parts if isinstance(part, ast.Name)}
    return found


def exposed_names(statements: Iterable[ast.stmt]) -> list[str]:
    """The names that are read before these statements have surely bound them, in order of appearance."""
    found: dict[str, None] = {}
    _exposed(list(statements), set(), found)
    return list(found)


def _exposed(statements: list[ast.stmt], bound: set[str], found: dict[str, None]) -> None:
    for statement in statements:
        match statement:
            case ast.If(test=test, body=body, orelse=orelse):
                _note(test, bound, found)
                one, other = set(bound), set(bound)
                _exposed(body, one, found)
                _exposed(orelse, other, found)
                bound |= one & other
            case ast.For(target=target, iter=walked, body=body, orelse=orelse):
                _note(walked, bound, found)
                _exposed(body, bound | bound_in([target]), found)
                _exposed(orelse, set(bound), found)
            case ast.With(body=body):
                _exposed(body, bound, found)
            case ast.Assign(targets=targets, value=value):
                _note(value, bound, found)
                for target in targets:
                    _note(target, bound, found)
                bound |= bound_in([statement])
            case ast.AugAssign(target=target, value=value):
                _note(value, bound, found)
                for node in ast.walk(target):
                    if isinstance(node, ast.Name) and node.id not in bound:
                        found.setdefault(node.id)
            case _:
                _note(statement, bound, found)


def _note(tree: ast.AST, bound: set[str], found: dict[str, None]) -> None:
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.comprehension):
            own |= {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}
        elif isinstance(node, ast.Lambda):
            own |= {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Name)
            and isinstance(node.ctx, ast.Load)
            and node.id not in bound
            and node.id not in own
        ):
            found.setdefault(node.id)


def renamed(statements: list[ast.stmt], names: dict[str, str]) -> list[ast.stmt]:
    """The statements with other names; changed in place."""
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                node.id = names.get(node.id, node.id)
    return statements


def ahead_block(body: list[ast.stmt]) -> ast.With:
    """`with hermod.ahead(): body`, for the program's own lines, which must not see what goes wrong in it."""
    return _with("ahead", body)


def early_block(body: list[ast.stmt]) -> ast.With:
    """`with hermod.early(): body`, for a strand, which goes no further when something goes wrong."""
    return _with("early", body)


def _with(word: str, body: list[ast.stmt]) -> ast.With:
    made = ast.Call(ast.Attribute(ast.Name("hermod", ast.Load()), word, ast.Load()), [], [])
    return ast.With([ast.withitem(made)], body)
