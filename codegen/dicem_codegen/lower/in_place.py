"""`x += y` and its like change a list, dict or set in place; in the runner's language they make a new one, or refuse.

There `items += pair` fails, and `seen |= found` leaves whoever else holds the set with the old one.
"""

from __future__ import annotations

import ast

from ..walking import copied
from .build import is_repeatable, located, name_of
from .inference import IN_PLACE
from .scopes import Scope
from .unfold import Place, Replacement, Unfolding
from .values import Box, BoxKind


class InPlace:
    """The planner for augmented assignments to containers."""

    statements: frozenset[type[ast.stmt]] = frozenset({ast.AugAssign})

    def __init__(self, unfolding: Unfolding) -> None:
        self._kinds, self._words = unfolding.kinds, unfolding.words

    def cares(self, kind: type[ast.AST], parent: type[ast.AST]) -> bool:
        """No expressions."""
        return False

    def expression(self, node: ast.expr, place: Place) -> Replacement | None:
        """Nothing to do."""
        return None

    def statement(self, node: ast.stmt, function: Scope) -> list[ast.stmt] | None:
        """The methods that do the same."""
        assert isinstance(node, ast.AugAssign)
        kind = self._kind(node.target)
        if not is_repeatable(node.target):
            return None
        if kind is None:
            return self._if_list(node)
        if not isinstance(node.op, IN_PLACE.get(kind, ())):
            return None
        match kind, node.op:
            case "list", ast.Add() if not (
                self._kind(node.value) == "list" or isinstance(node.value, ast.GeneratorExp)
            ):
                return [self._told(node, "extend", node.value)]
            case "list", ast.Mult():
                whole = ast.Subscript(self._read(node.target), ast.Slice(), ast.Store())
                return [located(ast.Assign([whole], ast.BinOp(self._read(node.target), node.op, node.value)), node)]
            case "dict", ast.BitOr():
                return [self._told(node, "update", node.value)]
            case "set", ast.BitOr() if self._kind(node.value) == "set":
                return [self._told(node, "update", node.value)]
            case "set", _:
                made = self._words.fresh("made")
                value = ast.BinOp(self._read(node.target), node.op, node.value)
                first = located(ast.Assign([ast.Name(made, ast.Store())], value), node)
                return [first, self._told(node, "clear"), self._told(node, "update", name_of(made))]
        return None

    def _if_list(self, node: ast.AugAssign) -> list[ast.stmt] | None:
        """What may be a list, and may be something else, is looked at when the program comes to it."""
        may_be = any(isinstance(value, Box) and value.kind == "list" for value in self._kinds.values_of(node.target))
        if not may_be or not isinstance(node.op, (ast.Add, ast.Mult)) or self._kind(node.value) == "list":
            return None
        helper = name_of(self._words.helper("added" if isinstance(node.op, ast.Add) else "repeated"))
        call = ast.Call(helper, [self._read(node.target), node.value], [])
        return [located(ast.Assign([node.target], call), node)]

    def _kind(self, expr: ast.expr) -> BoxKind | None:
        """The kind of container that it surely is."""
        kinds = {value.kind if isinstance(value, Box) else None for value in self._kinds.values_of(expr)}
        return kinds.pop() if len(kinds) == 1 else None

    def _told(self, node: ast.AugAssign, method: str, *given: ast.expr) -> ast.stmt:
        return located(
            ast.Expr(ast.Call(ast.Attribute(self._read(node.target), method, ast.Load()), [*given], [])), node
        )

    def _read(self, target: ast.expr) -> ast.expr:
        """The target of an assignment, as what it was before."""
        match target:
            case ast.Name(id=name):
                made: ast.expr = ast.Name(name, ast.Load())
            case ast.Attribute(value=holder, attr=name):
                made = ast.Attribute(copied(holder), name, ast.Load())
            case ast.Subscript(value=holder, slice=index):
                made = ast.Subscript(copied(holder), copied(index), ast.Load())
            case _:
                raise AssertionError(ast.dump(target))
        self._kinds.say(made, self._kinds.values_of(target))
        return made
