"""Classes of the program: what the runner's interpreter lacks of them, written with what it has, or refused.

    @property        p.area        ->  p.area()
    @staticmethod    Box.twice(2)  ->  Box.twice(None, 2)
    @classmethod     Box.of(image) ->  Box.of(None, image), its `cls` the class

This goes by the name, so nothing else of the program may have an attribute of that name.
"""

from __future__ import annotations

import ast
from typing import Final

from ..walking import walk
from .build import located
from .refused import Refusals
from .scopes import Scope, Scopes, scopes_of
from .words import METHODS, PATCH_NUMBERS

NO_SPECIAL: Final = frozenset(
    {"__len__", "__bool__", "__lt__", "__le__", "__gt__", "__ge__", "__ne__", "__reversed__", "__format__",
     "__getattr__", "__getattribute__", "__setattr__", "__delattr__", "__del__", "__new__", "__init_subclass__",
     "__class_getitem__", "__set_name__", "__get__", "__set__", "__delete__", "__instancecheck__", "__missing__",
     "__post_init__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ifloordiv__", "__imod__", "__ipow__",
     "__iand__", "__ior__", "__ixor__", "__slots__", "__await__", "__aiter__", "__anext__", "__aenter__",
     "__aexit__"}
)  # fmt: skip
"""Special methods that the interpreter does not call, or of which it was not tried."""
_KINDS: Final = ("property", "staticmethod", "classmethod")
_OF_THE_PRELUDE: Final = PATCH_NUMBERS | METHODS.keys() | {"crop", "image", "handle", "overlaps_with", "frames"}


def lower_classes(tree: ast.Module, scopes: Scopes, refuse: Refusals) -> Scopes:
    """Rewrite or refuse the classes of a module; its scopes after that.

    :raises CompileError: one of them cannot be said
    """
    classes = [node for node in scopes.inside if isinstance(node, ast.ClassDef)]
    if not classes:
        return scopes
    special: dict[str, tuple[str, ast.ClassDef]] = {}
    for node in classes:
        _check_bases(node, scopes.of[node], refuse)
        for part in node.body:
            _check_part(part, refuse)
            if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
                kind = _decorated(part, scopes.inside[node], refuse)
                if kind:
                    special[part.name] = (kind, node)
    if special:
        _check_names(tree, special, refuse)
        _rewrite(tree, special, scopes, refuse)
    return scopes_of(tree)


def _check_bases(node: ast.ClassDef, scope: Scope, refuse: Refusals) -> None:
    is_object = [isinstance(b, ast.Name) and b.id == "object" and scope.where("object") is None for b in node.bases]
    if node.keywords or not all(is_object):
        refuse(node, "inheritance", node.name)
    node.bases = []


def _check_part(part: ast.stmt, refuse: Refusals) -> None:
    """What stands in a class body: methods, and simple variables."""
    match part:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            if part.name in NO_SPECIAL:
                refuse(part, "special-method", part.name)
        case ast.Assign(targets=[ast.Name()]) | ast.AnnAssign(target=ast.Name()) | ast.Pass():
            inner = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
            if any(isinstance(n, inner) for n in walk(part)):
                refuse(part, "class-body")
        case ast.Expr(value=ast.Constant()):
            pass
        case _:
            refuse(part, "class-body")


def _decorated(node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope, refuse: Refusals) -> str:
    match node.decorator_list:
        case []:
            return ""
        case [ast.Name(id=name)] if name in _KINDS and scope.where(name) is None:
            return name
    refuse(node.decorator_list[0], "decorator", "of a method")


def _check_names(tree: ast.Module, special: dict[str, tuple[str, ast.ClassDef]], refuse: Refusals) -> None:
    """The names must mean these methods and nothing else."""
    defined: dict[str, int] = {}
    for node in walk(tree):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                name = getattr(part, "name", None)
                targets = [n.id for n in walk(part) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
                for bound in [name] if name else targets:
                    defined[bound] = defined.get(bound, 0) + 1
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) and node.attr in special:
            refuse(node, "decorator", f"{special[node.attr][0]} {node.attr}")
    for name, (kind, owner) in special.items():
        if defined.get(name, 0) > 1 or name in _OF_THE_PRELUDE or any(name in dir(t) for t in (str, list, dict, set)):
            refuse(owner, "decorator", f"{kind} {name}")


def _rewrite(tree: ast.Module, special: dict[str, tuple[str, ast.ClassDef]], scopes: Scopes, refuse: Refusals) -> None:
    for name, (kind, owner) in special.items():
        method = next(part for part in owner.body if getattr(part, "name", None) == name)
        assert isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef))
        method.decorator_list = []
        if kind == "staticmethod":
            method.args.args.insert(0, located(ast.arg("_self"), method))
        if kind == "classmethod":
            _bind_class(method, owner, refuse)
    _Uses(special, {owner.name for _, owner in special.values()}, scopes, refuse).visit(tree)


def _bind_class(method: ast.FunctionDef | ast.AsyncFunctionDef, owner: ast.ClassDef, refuse: Refusals) -> None:
    if not method.args.args:
        refuse(method, "decorator", "classmethod without cls")
    cls = method.args.args[0].arg
    method.args.args[0].arg = "_self"
    for node in walk(method):
        if isinstance(node, ast.Name) and node.id == cls:
            if not isinstance(node.ctx, ast.Load):
                refuse(node, "decorator", "classmethod that assigns cls")
            node.id = owner.name


class _Uses(ast.NodeTransformer):
    """The places where such methods are used."""

    def __init__(
        self, special: dict[str, tuple[str, ast.ClassDef]], classes: set[str], scopes: Scopes, refuse: Refusals
    ) -> None:
        self._special, self._classes, self._scopes, self._refuse = special, classes, scopes, refuse

    def visit_Call(self, node: ast.Call) -> ast.AST:
        match node.func:
            case ast.Attribute(value=receiver, attr=name) if self._kind(name) in ("staticmethod", "classmethod"):
                node.func.value = self.visit(receiver)
                node.args = [self.visit(argument) for argument in node.args]
                node.keywords = [self.visit(keyword) for keyword in node.keywords]
                if isinstance(receiver, ast.Name) and receiver.id in self._classes:
                    node.args.insert(0, located(ast.Constant(None), node))
                return node
        self.generic_visit(node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        kind = self._kind(node.attr)
        if kind == "property":
            is_class = isinstance(node.value, ast.Name) and node.value.id in self._classes
            if is_class:
                self._refuse(node, "decorator", "a property of the class itself")
            return located(ast.Call(node, [], []), node)
        if kind:
            self._refuse(node, "decorator", f"{kind} as a value")
        return node

    def _kind(self, name: str) -> str:
        return self._special[name][0] if name in self._special else ""
