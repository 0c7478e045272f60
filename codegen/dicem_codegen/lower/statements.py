"""Statements that the runner's interpreter lacks, written with those that it has."""

from __future__ import annotations

import ast
import sys

from ..walking import walk
from .build import located, name_of
from .gaps import MODULES, NO_EXCEPTIONS, NOT_IN_MODULES
from .models import is_outside
from .refused import Refusals
from .scopes import COMPREHENSIONS, FUNCTIONS, Scope, parameters
from .unfold import Place, Replacement, Unfolding
from .values import Box
from .words import METHODS

_MAY_WAIT = ("__init__", "__call__", "__enter__", "__exit__")
"""Special methods in which the interpreter can wait for a call."""


def _is_missing_there(module: str) -> bool:
    """Whether CPython has it and the runner has not; what neither has is an ImportError in both."""
    return module not in MODULES and module.partition(".")[0] in sys.stdlib_module_names


class Statements:
    """The planner for statements."""

    statements: frozenset[type[ast.stmt]] = frozenset(
        {
            ast.Delete,
            ast.Try,
            ast.TryStar,
            ast.AsyncFor,
            ast.AsyncWith,
            ast.Expr,
            ast.ClassDef,
            ast.FunctionDef,
            ast.AsyncFunctionDef,
            ast.AnnAssign,
            ast.Import,
            ast.ImportFrom,
        }
    )

    def __init__(self, unfolding: Unfolding, refuse: Refusals) -> None:
        self._unfolding, self._refuse = unfolding, refuse
        self._kinds, self._words = unfolding.kinds, unfolding.words
        self._done: set[ast.AST] = set()
        self._lazy_annotations = any(
            isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in unfolding.tree.body
        )

    def check_prelude(self) -> None:
        """Refuse a program that puts a method of its own into the prelude's classes."""
        theirs = {"patch", "video", "class:ImagePatch", "class:VideoSegment", "unknown"}
        for node in self._unfolding.nodes:
            if node.__class__ is not ast.Attribute and node.__class__ is not ast.Call:
                continue
            match node:
                case ast.Attribute(value=receiver, attr=name, ctx=ast.Store() | ast.Del()):
                    pass
                case ast.Call(func=ast.Name(id="setattr"), args=[receiver, ast.Constant(value=str() as name), *_]):
                    pass
                case _:
                    continue
            if name.rpartition("_")[0] in METHODS or name in METHODS or name == "crop":
                if self._kinds.values_of(receiver) & theirs:
                    self._refuse(node, "patched-prelude", name)

    def cares(self, kind: type[ast.AST], parent: type[ast.AST]) -> bool:
        """Which expressions it looks at."""
        return kind in (ast.Yield, ast.YieldFrom, *COMPREHENSIONS)

    def expression(self, node: ast.expr, place: Place) -> Replacement | None:
        """Nothing to do, but what can stand nowhere."""
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            self._refuse(node, "generator-function")
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            if any(generator.is_async for generator in node.generators):
                self._refuse(node, "async-statement", "async for")
        return None

    def statement(self, node: ast.stmt, function: Scope) -> list[ast.stmt] | None:
        """What to write for a statement; None leaves it.

        :raises CompileError: it cannot be said
        """
        if node in self._done:
            return None
        self._done.add(node)
        match node:
            case ast.Delete():
                return [made for target in node.targets for made in self._delete(target, function)]
            case ast.Try():
                self._handlers(node)
            case ast.TryStar():
                self._refuse(node, "async-statement", "except*")
            case ast.AsyncFor() | ast.AsyncWith():
                self._refuse(node, "async-statement", "async for" if isinstance(node, ast.AsyncFor) else "async with")
            case ast.Expr(value=ast.Call() as call):
                return self._print(node, call)
            case ast.ClassDef():
                self._special_methods(node)
                unknown = [made for part in node.body for made in self._unknown_in(part)]
                return [*unknown[:1], node] if unknown else None
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not isinstance(function.node, ast.ClassDef):
                unknown = self._unknown_in(node)
                return [*unknown, node] if unknown else None
            case ast.AnnAssign() if isinstance(function.node, ast.Module):
                unknown = self._unknown_in(node)
                return [node, *unknown] if unknown else None
            case ast.Import() | ast.ImportFrom():
                return self._import(node)
        return None

    # del

    def _delete(self, target: ast.expr, function: Scope) -> list[ast.stmt]:
        match target:
            case ast.Tuple() | ast.List():
                return [made for part in target.elts for made in self._delete(part, function)]
            case ast.Name():
                return self._unbind(target)
            case ast.Subscript():
                return [self._delete_item(target)]
        self._refuse(target, "missing", "del of an attribute")

    def _unbind(self, target: ast.Name) -> list[ast.stmt]:
        """Reading it first fails where `del` would; an `except ... as` unbinds its name at its end."""
        read = located(ast.Expr(ast.Name(target.id, ast.Load())), target)
        raised = ast.Raise(self._words.name("Exception"), None)
        handler = ast.ExceptHandler(self._words.name("Exception"), target.id, [ast.Pass()])
        unbound = located(ast.Try([raised], [handler], [], []), target)
        self._done.add(unbound)
        return [read, unbound]

    def _delete_item(self, target: ast.Subscript) -> ast.stmt:
        values = self._kinds.values_of(target.value)
        kinds = {value.kind if isinstance(value, Box) else "other" for value in values}
        if isinstance(target.slice, ast.Slice):
            if target.slice.step is not None:
                self._refuse(target, "missing", "del of a slice with a step")
            place = ast.Subscript(target.value, target.slice, ast.Store())
            return located(ast.Assign([place], ast.List([], ast.Load())), target)
        if kinds == {"dict"}:
            call = ast.Call(ast.Attribute(target.value, "pop", ast.Load()), [target.slice], [])
        else:
            call = ast.Call(name_of(self._words.helper("delete")), [target.value, target.slice], [])
        return located(ast.Expr(call), target)

    # Output that nobody reads

    def _print(self, node: ast.Expr, call: ast.Call) -> list[ast.stmt] | None:
        """`print(..., file=sys.stderr)` shows nothing; what it is given is evaluated, and made text, all the same."""
        if self._kinds.callees.get(call, set()) != {"builtin:print"}:
            return None
        file = next((keyword for keyword in call.keywords if keyword.arg == "file"), None)
        if file is None or self._kinds.values_of(file.value) != {"module:sys.stderr"}:
            return None
        call.func = name_of(self._words.helper("unseen"), call.func)
        call.keywords.remove(file)
        return [node]

    # Classes

    def _special_methods(self, node: ast.ClassDef) -> None:
        """The interpreter calls these itself, and cannot wait there for what they ask."""
        for part in node.body:
            func = self._kinds.functions.get(part)
            if func is None or isinstance(func.node, ast.Lambda) or func.node.name in _MAY_WAIT:
                continue
            name = func.node.name
            if name.startswith("__") and name.endswith("__") and func in self._unfolding.colours.makes_calls:
                self._refuse(part, "special-method", name)

    # Annotations

    def _unknown_in(self, node: ast.stmt) -> list[ast.stmt]:
        """The interpreter evaluates no annotations; CPython does, and an unknown name ends the program there."""
        notes: list[ast.expr | None] = []
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            notes = [*[a.annotation for a in parameters(node.args)], node.returns]
        elif isinstance(node, ast.AnnAssign):
            notes = [node.annotation]
        return [made for note in notes if note is not None for made in self._unknown_names(note)]

    def _unknown_names(self, annotation: ast.expr) -> list[ast.stmt]:
        if self._lazy_annotations:
            return []
        scopes = self._kinds.scopes.of
        names = [n for n in walk(annotation) if isinstance(n, ast.Name) and n in scopes]
        unknown = [n for n in names if scopes[n].where(n.id) is None and not is_outside(n.id)]
        return [located(ast.Expr(name_of(n.id)), n) for n in unknown[:1]]

    # Exceptions

    def _handlers(self, node: ast.Try) -> None:
        """Exceptions that the interpreter lacks are raised by nothing there: nobody need catch them."""
        for handler in node.handlers:
            match handler.type:
                case ast.Name() if self._is_missing(handler.type):
                    handler.type = located(ast.Tuple([], ast.Load()), handler.type)
                case ast.Tuple(elts=parts):
                    handler.type.elts = [part for part in parts if not self._is_missing(part)]
                case ast.Attribute(value=ast.Name(id="asyncio"), attr="CancelledError"):
                    handler.type = located(ast.Tuple([], ast.Load()), handler.type)

    def _is_missing(self, node: ast.expr) -> bool:
        if not isinstance(node, ast.Name) or node.id not in NO_EXCEPTIONS:
            return False
        scope = self._kinds.scopes.of.get(node)
        return scope is not None and scope.where(node.id) is None

    # Imports

    def _import(self, node: ast.Import | ast.ImportFrom) -> list[ast.stmt] | None:
        if self._is_tried(node):
            return None
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_missing_there(alias.name):
                    self._refuse(node, "module", alias.name)
            return None
        module = node.module or "."
        if node.level or _is_missing_there(module):
            self._refuse(node, "module", "." * node.level + module)
        if any(alias.name == "*" for alias in node.names):
            self._refuse(node, "star-import")
        missing = NOT_IN_MODULES.get(module, frozenset())
        lost = [alias for alias in node.names if alias.name in missing]
        for alias in lost:
            if module != "typing" or self._is_used(alias.asname or alias.name):
                self._refuse(node, "tasks" if module == "asyncio" else "missing", f"{module}.{alias.name}")
        if not lost:
            return None
        self._as_text({alias.asname or alias.name for alias in lost})
        node.names = [alias for alias in node.names if alias not in lost]
        return [node] if node.names else [located(ast.Pass(), node)]

    def _as_text(self, names: set[str]) -> None:
        """Annotations that name these become texts, which nothing looks up."""
        for node in walk(self._unfolding.tree):
            for part in ("annotation", "returns"):
                note = getattr(node, part, None)
                if isinstance(note, ast.expr) and any(isinstance(n, ast.Name) and n.id in names for n in walk(note)):
                    setattr(node, part, located(ast.Constant(ast.unparse(note)), note))

    def _is_used(self, name: str) -> bool:
        """Whether a name occurs outside of annotations, which nothing evaluates."""
        skipped: set[int] = set()
        for node in walk(self._unfolding.tree):
            notes = [getattr(node, "annotation", None), getattr(node, "returns", None)]
            skipped |= {id(part) for note in notes if isinstance(note, ast.expr) for part in walk(note)}
        return any(
            isinstance(node, ast.Name) and node.id == name and id(node) not in skipped
            for node in walk(self._unfolding.tree)
        )

    def _is_tried(self, node: ast.stmt) -> bool:
        """Whether an import stands in a `try` that catches an ImportError."""
        parents = self._unfolding.colours.parents
        current: ast.AST | None = parents.get(node)
        while current is not None and not isinstance(current, FUNCTIONS):
            if isinstance(current, ast.Try):
                names = {n.id for h in current.handlers if h.type for n in walk(h.type) if isinstance(n, ast.Name)}
                bare = any(handler.type is None for handler in current.handlers)
                if bare or names & {"ImportError", "ModuleNotFoundError", "Exception"}:
                    return True
            current = parents.get(current)
        return False
