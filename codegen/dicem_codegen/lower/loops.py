"""Comprehensions as loops."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from ..walking import walk
from .build import located
from .scopes import FUNCTIONS, Comprehension, Fresh, Scope, Scopes


def loop(generators: list[ast.comprehension], innermost: list[ast.stmt], like: ast.AST) -> ast.For:
    """The nested `for` and `if` statements of a comprehension, around `innermost`."""
    body = innermost
    for generator in reversed(generators):
        for condition in reversed(generator.ifs):
            body = [located(ast.If(condition, body, []), condition)]
        body = [located(ast.For(generator.target, generator.iter, body, []), like)]
    (only,) = body
    assert isinstance(only, ast.For)
    return only


class Renaming(ast.NodeTransformer):
    """Renames the variables of one scope in a part of the tree, wherever they are meant."""

    def __init__(self, scopes: Scopes, scope: Scope, names: Mapping[str, str]) -> None:
        self._scopes, self._scope, self._names = scopes, scope, names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        here = self._scopes.of.get(node)
        if node.id in self._names and here is not None and here.where(node.id) is self._scope:
            node.id = self._names[node.id]
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        node.names = [self._names.get(name, name) for name in node.names]
        return node


def function_scope(scope: Scope) -> Scope:
    """The function or module around a scope, or the scope itself."""
    while not isinstance(scope.node, (*FUNCTIONS, ast.Module, ast.ClassDef)) or isinstance(scope.node, ast.Lambda):
        assert scope.parent is not None
        scope = scope.parent
    return scope


def inner_scopes(scope: Scope, outer: Scope) -> list[Scope]:
    """The scopes from `scope` out to `outer`, that one left out."""
    found = []
    current: Scope | None = scope
    while current is not None and current is not outer:
        found.append(current)
        current = current.parent
    return found


class Names:
    """Which names a function uses itself, so that loops written into it use others."""

    def __init__(self, scopes: Scopes, fresh: Fresh) -> None:
        self._scopes, self._fresh = scopes, fresh
        self._used: dict[Scope, set[str]] = {}
        for node, scope in scopes.of.items():
            if isinstance(node, ast.Name):
                self._use(node.id, scope)
        for scope in scopes.inside.values():
            self._used.setdefault(scope, set()).update(scope.bound, scope.elsewhere)

    def _use(self, name: str, scope: Scope) -> None:
        """A name that is not a variable of the scope counts for all scopes out to its own."""
        holder = scope.where(name)
        current: Scope | None = scope
        while current is not None:
            self._used.setdefault(current, set()).add(name)
            if current is holder:
                break
            current = current.parent

    def settle(self, comprehension: Comprehension, scope: Scope, into: Scope, *parts: ast.AST) -> None:
        """Make a comprehension's variables ready to be variables of the function `into`.

        :param scope: the comprehension's own scope
        :param parts: what of it is moved
        """
        between = [s for s in inner_scopes(scope, into) if s is not scope]
        taken = self._used.get(into, set()).union(*[s.bound for s in between])
        renamed = {name: self._fresh(name.strip("_") or "x") for name in sorted(scope.bound) if name in taken}
        if renamed:
            for part in parts:
                Renaming(self._scopes, scope, renamed).visit(part)


def moved_names(scope: Scope, outer: Scope) -> set[str]:
    """Names that comprehensions and lambdas around a place bind, within a function."""
    return set().union(*[s.bound for s in inner_scopes(scope, outer)])


def reads(node: ast.AST) -> set[str]:
    """The names that occur in a part of the tree."""
    return {n.id for n in walk(node) if isinstance(n, ast.Name)}
