"""What every check looks at: the program, its scopes, and what a name or a dotted name stands for."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from functools import cached_property
from typing import Final

from dicem_shared.functions import Registry

from ..lower.scopes import Scope, parameters, scopes_of
from ..types import Diagnostic, Parsed, Severity
from ..walking import walk

MAX_OF_A_KIND: Final = 50
"""More than so many of one code tell an author nothing."""
Binder = ast.AST
"""What gives a name its value: the `Name` that is stored to, a parameter, an import's alias, a definition..."""


class Subject:
    """A program under examination; `found` collects what there is to say."""

    def __init__(self, parsed: Parsed, functions: Registry) -> None:
        self.parsed, self.functions = parsed, functions
        self.tree = parsed.tree
        self.scopes = scopes_of(parsed.tree)
        self.nodes: tuple[ast.AST, ...] = tuple(walk(parsed.tree))
        self.found: list[Diagnostic] = []
        self._said: Counter[str] = Counter()

    def say(self, node: ast.AST, severity: Severity, code: str, message: str, hint: str = "") -> None:
        """Note a diagnostic about a node."""
        if not self.is_full(code):
            self._said[code] += 1
            self.found.append(self.parsed.say(node, severity, code, message, hint))

    def is_full(self, code: str) -> bool:
        """Whether enough was said of this kind."""
        return self._said[code] >= MAX_OF_A_KIND

    @cached_property
    def bindings(self) -> dict[tuple[Scope, str], list[Binder]]:
        """For each variable, all that binds it."""
        found: dict[tuple[Scope, str], list[Binder]] = defaultdict(list)
        for node in self.nodes:
            match node:
                case ast.Name() if not isinstance(node.ctx, ast.Load):
                    self._bind(found, node, node.id, node)
                case ast.Import() | ast.ImportFrom():
                    for alias in node.names:
                        self._bind(found, node, alias.asname or alias.name.split(".")[0], alias)
                        self._import_of[alias] = node
                case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                    self._bind(found, node, name, node)
                case ast.MatchMapping(rest=str(name)):
                    self._bind(found, node, name, node)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    self._bind(found, node, node.name, node)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                inside = self.scopes.inside[node]
                for argument in parameters(node.args):
                    found[inside, argument.arg].append(argument)
        return dict(found)

    def _bind(self, found: dict[tuple[Scope, str], list[Binder]], place: ast.AST, name: str, binder: Binder) -> None:
        scope = self.scopes.of.get(place)
        holder = None if scope is None else scope.where(name)
        if holder is not None:
            found[holder, name].append(binder)

    @cached_property
    def _import_of(self) -> dict[ast.alias, ast.Import | ast.ImportFrom]:
        return {}

    def binders(self, name: ast.Name) -> list[Binder] | None:
        """All that may have given this name its value; None for a word of the prelude or a builtin."""
        scope = self.scopes.of.get(name)
        holder = None if scope is None else scope.where(name.id)
        return None if holder is None else self.bindings.get((holder, name.id), [])

    def origin(self, node: ast.expr) -> str | None:
        """What an expression names, as a dotted path: `hermod.call`, `PIL.Image.open`, `sorted`; None if unknown."""
        if isinstance(node, ast.Attribute):
            owner = self.origin(node.value)
            return None if owner is None else f"{owner}.{node.attr}"
        if not isinstance(node, ast.Name):
            return None
        binders = self.binders(node)
        if binders is None:
            return node.id
        targets = {self._imported(binder) for binder in binders}
        return targets.pop() if len(targets) == 1 else None

    def _imported(self, binder: Binder) -> str | None:
        if not isinstance(binder, ast.alias):
            return None
        statement = self._import_of[binder]
        if isinstance(statement, ast.ImportFrom):
            return f"{statement.module}.{binder.name}" if statement.level == 0 else None
        return binder.name if binder.asname else binder.name.split(".")[0]
