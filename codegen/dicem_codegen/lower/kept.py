"""Generators that a variable holds: each use says again what it does, on one iterator over the source.

    names = (p.simple_query("What?") for p in patches)      _names_1 = iter(patches)
    first = next(names)                                     first = next(p.simple_query("What?") for p in _names_1)

A generator with a single loop has no other state than where it is in its source; so this is the same at every use.
"""

from __future__ import annotations

import ast
import copy

from .build import located, name_of
from .lazy import Lazy
from .refused import Refusals
from .scopes import COMPREHENSIONS, Scope, own_nodes
from .unfold import Place, Replacement, Unfolding, replace

_TAKERS = frozenset(
    {"next", "any", "all", "list", "tuple", "sorted", "sum", "min", "max", "set", "frozenset", "dict", "enumerate"}
)


class Kept:
    """The planner for variables that hold generators."""

    def __init__(self, unfolding: Unfolding, refuse: Refusals, lazy: Lazy) -> None:
        self._unfolding, self._refuse, self._lazy = unfolding, refuse, lazy

    def expression(self, node: ast.expr, place: Place) -> Replacement | None:
        """Nothing to do."""
        return None

    def statement(self, node: ast.stmt, function: Scope) -> list[ast.stmt] | None:
        """The assignment of a generator, and with it all of its uses."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                generator = self._lazy.generator(value)
                if generator is None or self._lazy.is_settled(generator):
                    return None
            case _:
                return None
        uses = self._uses(name, function)
        if uses is None or len(generator.generators) > 1:
            if self._lazy.is_plain(generator):
                return None
            self._refuse(node, "kept-generator")
        source = self._unfolding.words.fresh(name.strip("_") or "items")
        begun = ast.Call(self._unfolding.words.name("iter"), [generator.generators[0].iter], [])
        for parent, use in uses:
            again = self._copy(generator)
            again.generators[0].iter = name_of(source, use)
            replace(parent, use, again)
        return [located(ast.Assign([ast.Name(source, ast.Store())], begun), node)]

    def _uses(self, name: str, function: Scope) -> list[tuple[ast.AST, ast.expr]] | None:
        """All places where the variable is read, each with what takes it; None if one of them is something else."""
        scopes, parents = self._unfolding.kinds.scopes, self._unfolding.colours.parents
        found: list[tuple[ast.AST, ast.expr]] = []
        nodes = list(own_nodes(function.node))
        stores = 0
        for node in ast.walk(function.node):
            if not isinstance(node, ast.Name) or node.id != name:
                continue
            scope = scopes.of.get(node)
            if scope is None or scope.where(name) is not function:
                continue
            stores += not isinstance(node.ctx, ast.Load)
            if isinstance(node.ctx, ast.Load):
                parent = parents.get(node)
                if node not in nodes or parent is None or not self._takes(parent, node):
                    return None
                found.append((parent, node))
        caught = any(isinstance(node, ast.Try) for node in nodes)
        several = len(found) > 1 or any(self._is_in_loop(use) for _, use in found)
        return found if stores == 1 and not (caught and several) else None

    def _takes(self, parent: ast.AST, use: ast.Name) -> bool:
        match parent:
            case ast.Call(func=ast.Name(id=name), args=[first, *_]) if first is use:
                return name in _TAKERS
            case ast.Call(func=ast.Attribute(attr="join"), args=[only]):
                return only is use
            case ast.For(iter=source) | ast.comprehension(iter=source) | ast.Starred(value=source):
                return source is use
            case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[source]):
                return source is use
        return False

    def _is_in_loop(self, node: ast.AST) -> bool:
        parents = self._unfolding.colours.parents
        current = parents.get(node)
        while current is not None and not isinstance(current, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
            if isinstance(current, (ast.For, ast.While, ast.AsyncFor, *COMPREHENSIONS)):
                return True
            current = parents.get(current)
        return False

    def _copy(self, node: ast.GeneratorExp) -> ast.GeneratorExp:
        """The same expression, and all that is known of it, in scopes of its own."""
        kinds = self._unfolding.kinds
        made = copy.deepcopy(node)
        twins: dict[Scope, Scope] = {}
        pairs = list(zip(ast.walk(node), ast.walk(made), strict=True))
        for old, new in pairs:
            scope = kinds.scopes.inside.get(old)
            if scope is not None:
                twins[scope] = kinds.scopes.inside[new] = Scope(new, scope.parent, set(scope.bound))  # type: ignore[arg-type]
        for twin in twins.values():
            twin.parent = twins.get(twin.parent, twin.parent) if twin.parent is not None else None
        for old, new in pairs:
            kinds.same(old, new)
            if old in kinds.scopes.of:
                kinds.scopes.of[new] = twins.get(kinds.scopes.of[old], kinds.scopes.of[old])
        return made
