"""Global names of the program that the prelude needs itself: in the sandbox both share one module.

In CPython the prelude is a module of its own, and a program that says `max = 3` or defines its own `distance` changes
nothing for `ImagePatch`.  So such names get others here.
"""

from __future__ import annotations

import ast

from ..walking import walk
from .build import located, name_of
from .models import is_outside
from .scopes import DEFINITIONS, Fresh, Scope, Scopes, own_nodes_of, scopes_of
from .words import prelude_globals, prelude_reads

_SAME = ("hermod", "PIL", "asyncio")


def rename_clashes(tree: ast.Module) -> Scopes:
    """Give the program's globals other names where the prelude, or the runner, uses theirs; its scopes after that."""
    scopes = scopes_of(tree)
    clashing = {name for name in scopes.module.bound if name in prelude_globals() or name in prelude_reads()}
    if not clashing:
        return scopes
    clashing -= _imported_as_they_are(tree, clashing)
    fresh = Fresh(tree)
    names = {name: fresh.word(f"own_{name.strip('_')}", plain=True) for name in sorted(clashing)}
    before = [name for name in names if _is_read_before(name, tree, scopes)]
    _Renaming(scopes, names).visit(tree)
    _rename_others(scopes, names)
    position = 1 if ast.get_docstring(tree) is not None else 0
    while position < len(tree.body) and isinstance(tree.body[position], ast.ImportFrom):
        position += 1
    for name in before:
        first = ast.Assign([ast.Name(names[name], ast.Store())], name_of(name))
        tree.body.insert(position, located(first, tree.body[position]))
    return scopes_of(tree)


def _imported_as_they_are(tree: ast.Module, names: set[str]) -> set[str]:
    """Names that nothing but `import` of that very module binds."""
    plain = {name for name in names if name in _SAME}
    for node in walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                plain.discard(name)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                plain.discard(node.name)
            case ast.Import():
                plain -= {alias.asname for alias in node.names if alias.asname and alias.asname != alias.name}
            case ast.ImportFrom():
                plain -= {alias.asname or alias.name for alias in node.names}
    return plain


def _is_read_before(name: str, tree: ast.Module, scopes: Scopes) -> bool:
    """Whether the prelude's or the builtin thing of that name may be meant before the program binds it."""
    if not is_outside(name):
        return False
    for statement in tree.body:
        if isinstance(statement, DEFINITIONS) and statement.name == name:
            return False
        nodes = list(own_nodes_of([statement])) if not isinstance(statement, DEFINITIONS) else []
        names = [node for node in nodes if isinstance(node, ast.Name) and node.id == name]
        if any(isinstance(node.ctx, ast.Load) for node in names):
            return True
        if any(isinstance(node, ast.Call) for node in nodes) and not _binds_at_once(statement, name):
            return True
        if _binds_at_once(statement, name):
            return False
    return True


def _binds_at_once(statement: ast.stmt, name: str) -> bool:
    match statement:
        case ast.Assign(targets=targets):
            return any(isinstance(target, ast.Name) and target.id == name for target in targets)
        case ast.Import() | ast.ImportFrom():
            return any((alias.asname or alias.name) == name for alias in statement.names)
    return False


class _Renaming(ast.NodeTransformer):
    """Renames names that mean the module's variables."""

    def __init__(self, scopes: Scopes, names: dict[str, str]) -> None:
        self._scopes, self._names = scopes, names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        scope = self._scopes.of.get(node)
        if node.id in self._names and scope is not None and self._is_global(node.id, scope):
            node.id = self._names[node.id]
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self._names.get(name, name) for name in node.names]
        return node

    def _is_global(self, name: str, scope: Scope) -> bool:
        return scope.where(name) is self._scopes.module


def _rename_others(scopes: Scopes, names: dict[str, str]) -> None:
    """Definitions, imports, and what else binds without a `Name`, where the module's variable is meant."""
    for node, scope in scopes.of.items():

        def renamed(name: str, here: Scope = scope) -> str:
            return names[name] if name in names and here.where(name) is scopes.module else name

        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                node.name = renamed(node.name)
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    bound = alias.asname or alias.name
                    alias.asname = renamed(bound) if renamed(bound) != bound else alias.asname
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                node.name = renamed(name)
            case ast.MatchMapping(rest=str(rest)):
                node.rest = renamed(rest)
