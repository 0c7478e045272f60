"""Which name means what where: Python's scopes, from the tree alone."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Final

from ..walking import children, walk

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
ScopeNode = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | Comprehension
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(eq=False)
class Scope:
    """One namespace."""

    node: ScopeNode
    parent: Scope | None
    bound: set[str] = field(default_factory=set)
    """names that live here"""
    elsewhere: dict[str, str] = field(default_factory=dict)
    """names declared `global` or `nonlocal` here"""

    @property
    def is_function(self) -> bool:
        """A function, a lambda or a comprehension."""
        return not isinstance(self.node, (ast.Module, ast.ClassDef))

    @property
    def module(self) -> Scope:
        """The outermost scope."""
        return self.parent.module if self.parent else self

    def where(self, name: str) -> Scope | None:
        """The scope whose variable `name` means here; None where only the prelude or the builtins can have it."""
        if self.elsewhere.get(name) == "global":
            module = self.module
            return module if name in module.bound else None
        if name in self.bound:
            return self
        scope = self.parent
        while scope is not None:
            if name in scope.bound and (scope.is_function or scope.parent is None):
                return scope
            if scope.elsewhere.get(name) == "global":
                return scope.where(name)
            scope = scope.parent
        return None


@dataclass
class Scopes:
    """The scopes of a module; `of[node]` is the scope in which the node is evaluated."""

    module: Scope
    inside: dict[ast.AST, Scope]
    """for each node that opens a scope, that scope"""
    of: dict[ast.AST, Scope]
    """for names, definitions and nodes that open scopes: the scope they stand in"""


def scopes_of(tree: ast.Module) -> Scopes:
    """The scopes of a module."""
    module = Scope(tree, None)
    found = Scopes(module, {tree: module}, {})
    for statement in tree.body:
        _visit(statement, module, found)
    return found


_ASIDE: Final = frozenset(
    {ast.NamedExpr, *FUNCTIONS, ast.ClassDef, *COMPREHENSIONS, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal,
     ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping}
)  # fmt: skip
"""Kinds of nodes, beside names, that bind names or open a scope."""


def _visit(node: ast.AST, scope: Scope, found: Scopes) -> None:
    if isinstance(node, ast.Name):
        found.of[node] = scope
        if not isinstance(node.ctx, ast.Load):
            _bind(node.id, scope)
    elif node.__class__ in _ASIDE:
        _visit_aside(node, scope, found)
    else:
        for child in children(node):
            _visit(child, scope, found)


def _visit_aside(node: ast.AST, scope: Scope, found: Scopes) -> None:  # noqa: PLR0912 - one case a kind of node
    match node:
        case ast.NamedExpr(target=ast.Name(id=name)):
            holder = scope
            while isinstance(holder.node, COMPREHENSIONS) and holder.parent is not None:
                holder = holder.parent
            _bind(name, holder)
            found.of[node.target] = holder
            found.of[node] = holder
            _visit(node.value, scope, found)
            return
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            _function(node, scope, found)
            return
        case ast.ClassDef():
            _bind(node.name, scope)
            found.of[node] = scope
            for part in [*node.decorator_list, *node.bases, *node.keywords]:
                _visit(part, scope, found)
            inner = found.inside[node] = Scope(node, scope)
            for part in node.body:
                _visit(part, inner, found)
            return
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            _comprehension(node, scope, found)
            return
        case ast.Import() | ast.ImportFrom():
            found.of[node] = scope
            for alias in node.names:
                _bind(alias.asname or alias.name.split(".")[0], scope)
        case ast.Global():
            scope.elsewhere |= dict.fromkeys(node.names, "global")
            scope.bound -= set(node.names)
            scope.module.bound |= set(node.names)
        case ast.Nonlocal():
            scope.elsewhere |= dict.fromkeys(node.names, "nonlocal")
            scope.bound -= set(node.names)
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            found.of[node] = scope
            _bind(name, scope)
        case ast.MatchMapping(rest=str(name)):
            found.of[node] = scope
            _bind(name, scope)
    for child in children(node):
        _visit(child, scope, found)


def _bind(name: str, scope: Scope) -> None:
    match scope.elsewhere.get(name):
        case None:
            scope.bound.add(name)
        case "global":
            scope.module.bound.add(name)


def _function(node: Function, scope: Scope, found: Scopes) -> None:
    found.of[node] = scope
    inner = found.inside[node] = Scope(node, scope)
    outside: list[ast.AST] = [*node.args.defaults, *[d for d in node.args.kw_defaults if d is not None]]
    if not isinstance(node, ast.Lambda):
        _bind(node.name, scope)
        outside += node.decorator_list
        outside += [a.annotation for a in parameters(node.args) if a.annotation is not None]
        outside += [node.returns] if node.returns is not None else []
    for part in outside:
        _visit(part, scope, found)
    inner.bound |= {argument.arg for argument in parameters(node.args)}
    for part in node.body if isinstance(node.body, list) else [node.body]:
        _visit(part, inner, found)


def _comprehension(node: Comprehension, scope: Scope, found: Scopes) -> None:
    found.of[node] = scope
    inner = found.inside[node] = Scope(node, scope)
    for position, generator in enumerate(node.generators):
        _visit(generator.iter, inner if position else scope, found)
        _visit(generator.target, inner, found)
        for condition in generator.ifs:
            _visit(condition, inner, found)
    for part in [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]:
        _visit(part, inner, found)


def parameters(arguments: ast.arguments) -> list[ast.arg]:
    """All parameters of a function, those with stars too."""
    stars = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *stars]


def own_nodes(node: ast.AST) -> list[ast.AST]:
    """The nodes that run when the body of `node` runs: not those of functions and classes defined in it.

    Comprehensions and generator expressions belong to the body; defaults and decorators of inner functions too.
    """
    body = node.body if isinstance(node, (ast.Module, ast.ClassDef, ast.Expression, *FUNCTIONS)) else [node]
    stack: list[ast.AST] = list(reversed(body)) if isinstance(body, list) else [body]
    found: list[ast.AST] = []
    while stack:
        current = stack.pop()
        found.append(current)
        inner: list[ast.AST]
        if isinstance(current, FUNCTIONS):
            inner = [*current.args.defaults, *[d for d in current.args.kw_defaults if d]]
            if not isinstance(current, ast.Lambda):
                inner = [*current.decorator_list, *inner]
        else:
            inner = children(current)
        inner.reverse()
        stack += inner
    return found


def goes_on(body: list[ast.stmt]) -> bool:
    """Whether what stands after these statements may be reached, except by an exception."""
    match body[-1] if body else None:
        case ast.Return() | ast.Raise() | ast.Continue() | ast.Break():
            return False
        case ast.If(body=then, orelse=other):
            return goes_on(then) or goes_on(other)
        case ast.Try(body=inner, handlers=handlers, orelse=other, finalbody=last):
            if last and not goes_on(last):
                return False
            return goes_on(other or inner) or any(goes_on(handler.body) for handler in handlers)
        case ast.While(test=ast.Constant(value=True), body=inner):
            return any(isinstance(node, ast.Break) for node in own_nodes_of(inner))
    return True


def own_nodes_of(body: list[ast.stmt]) -> list[ast.AST]:
    """The nodes of some statements, without those of functions and classes defined in them."""
    return own_nodes(ast.Module(body, []))


def bound_names(tree: ast.AST) -> set[str]:
    """Every name that stands anywhere in a tree, as a variable, a parameter, an attribute or an import."""
    names: set[str] = set()
    for node in walk(tree):
        kind = node.__class__
        if kind is ast.Name:
            names.add(node.id)  # type: ignore[attr-defined]
        elif kind is ast.Attribute:
            names.add(node.attr)  # type: ignore[attr-defined]
        elif kind is not ast.Constant and kind is not ast.Call:
            for part in ("name", "arg", "asname", "rest"):
                value = getattr(node, part, None)
                if isinstance(value, str):
                    names.add(value)
            if isinstance(node, (ast.Global, ast.Nonlocal)):
                names |= set(node.names)
    return names


class Fresh:
    """Names that nothing in a program has yet: `_name_1`, `_name_2`..."""

    def __init__(self, tree: ast.AST) -> None:
        self._taken = bound_names(tree)

    def __call__(self, stem: str) -> str:
        """`_stem_1`, or with the next number that is free."""
        number = 1
        while f"_{stem}_{number}" in self._taken:
            number += 1
        name = f"_{stem}_{number}"
        self._taken.add(name)
        return name

    def word(self, stem: str, *, plain: bool = False) -> str:
        """`_stem` itself if that is free; `stem` where it need not be marked as ours."""
        name = stem if plain else f"_{stem}"
        if name in self._taken:
            return self(stem)
        self._taken.add(name)
        return name
