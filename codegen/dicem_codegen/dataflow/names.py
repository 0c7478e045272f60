"""Which names a piece of code binds, reads and walks; and code with other names."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from ..walking import Tree, children, walk
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
        stack.extend(children(node))
    return found


def walked_names(statements: Iterable[ast.stmt]) -> set[str]:
    """The names whose values are walked, perhaps."""
    nodes = [node for statement in statements for node in walk(statement)]
    lists = {
        t.id for n in nodes if isinstance(n, ast.Assign) and isinstance(n.value, ast.List)
        for t in n.targets if isinstance(t, ast.Name)
    }  # fmt: skip
    return {part.id for node in nodes for part in _walked_parts(node, lists) if isinstance(part, ast.Name)}


def _walked_parts(node: ast.AST, lists: set[str]) -> Sequence[ast.expr]:
    """What a node walks, perhaps.  `lists`: names that a list is bound to somewhere."""
    match node:
        case ast.Name() | ast.Attribute() | ast.Constant():
            return ()
        case ast.For(iter=walked) | ast.comprehension(iter=walked):
            return [walked]
        case ast.Starred(value=value):
            return [value]
        case ast.Compare(comparators=comparators):
            return comparators
        case ast.Assign(targets=targets, value=value) if not all(isinstance(t, ast.Name) for t in targets):
            return [value]
        case ast.AugAssign(op=ast.Add(), target=ast.Name(id=name), value=value) if name in lists:
            return [value]
        case ast.Call(func=func, args=arguments):
            name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
            return arguments if name in ITERATES or not isinstance(func, ast.Attribute) else []
    return ()


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
                for node in walk(target):
                    if isinstance(node, ast.Name) and node.id not in bound:
                        found.setdefault(node.id)
            case _:
                _note(statement, bound, found)


def _note(tree: ast.AST, bound: set[str], found: dict[str, None]) -> None:
    own: set[str] = set()
    read: list[str] = []
    for node in walk(tree):
        kind = node.__class__
        if kind is ast.Name:
            assert isinstance(node, ast.Name)
            if isinstance(node.ctx, ast.Load) and node.id not in bound:
                read.append(node.id)
        elif kind is ast.comprehension:
            assert isinstance(node, ast.comprehension)
            own |= {n.id for n in walk(node.target) if isinstance(n, ast.Name)}
        elif kind is ast.Lambda:
            assert isinstance(node, ast.Lambda)
            own |= {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
    for name in read:
        if name not in own:
            found.setdefault(name)


def renamed(trees: list[Tree], names: dict[str, str]) -> list[Tree]:
    """The trees with other names; changed in place."""
    for tree in trees:
        for node in walk(tree):
            if isinstance(node, ast.Name):
                node.id = names.get(node.id, node.id)
    return trees


def ahead_block(body: list[ast.stmt]) -> ast.With:
    """`with hermod.ahead(): body`, for the program's own lines, which must not see what goes wrong in it."""
    return _with("ahead", body)


def early_block(body: list[ast.stmt]) -> ast.With:
    """`with hermod.early(): body`, for a strand, which goes no further when something goes wrong."""
    return _with("early", body)


def _with(word: str, body: list[ast.stmt]) -> ast.With:
    made = ast.Call(ast.Attribute(ast.Name("hermod", ast.Load()), word, ast.Load()), [], [])
    return ast.With([ast.withitem(made)], body)
