"""Which names a piece of code binds, reads and walks; and code with other names."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

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
    for name in _free_names(tree, frozenset(bound)):
        if isinstance(name.ctx, ast.Load):
            found.setdefault(name.id)


def renamed(trees: list[Tree], names: dict[str, str]) -> list[Tree]:
    """The trees with other names; changed in place.  What lambdas and comprehensions have for themselves stays."""
    for tree in trees:
        for name in list(_free_names(tree, frozenset())):
            name.id = names.get(name.id, name.id)
    return trees


def _free_names(node: ast.AST, own: frozenset[str]) -> Iterator[ast.Name]:
    """The names in a tree as they stand in the source; without those in `own`, and those that inner scopes bind."""
    match node:
        case ast.Name(id=name):
            if name not in own:
                yield node
        case ast.Lambda(args=arguments, body=body):
            yield from _free_names(arguments, own)  # the defaults
            yield from _free_names(body, own | {part.arg for part in walk(arguments) if isinstance(part, ast.arg)})
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            inner = own | {n.id for each in node.generators for n in walk(each.target) if isinstance(n, ast.Name)}
            for part in children(node):
                if part is node.generators[0]:  # what it walks is evaluated outside
                    yield from _free_names(node.generators[0].iter, own)
                    for condition in node.generators[0].ifs:
                        yield from _free_names(condition, inner)
                else:
                    yield from _free_names(part, inner)
        case _:
            for part in children(node):
                yield from _free_names(part, own)


def ahead_block(body: list[ast.stmt]) -> ast.With:
    """`with hermod.ahead(): body`, for the program's own lines, which must not see what goes wrong in it."""
    return _with("ahead", body)


def early_block(body: list[ast.stmt]) -> ast.With:
    """`with hermod.early(): body`, for a strand, which goes no further when something goes wrong."""
    return _with("early", body)


def _with(word: str, body: list[ast.stmt]) -> ast.With:
    made = ast.Call(ast.Attribute(ast.Name("hermod", ast.Load()), word, ast.Load()), [], [])
    return ast.With([ast.withitem(made)], body)
