"""What a comprehension walks over must hold no `:=`; so what needs one there is computed before."""

from __future__ import annotations

import ast

from .build import is_repeatable
from .scopes import COMPREHENSIONS, Scope, own_nodes
from .unfold import Place, Plan, Replacement, Unfolding


class Receivers:
    """The planner for what comprehensions walk over."""

    statements: frozenset[type[ast.stmt]] = frozenset()

    def __init__(self, unfolding: Unfolding) -> None:
        self._unfolding = unfolding

    def cares(self, kind: type[ast.AST], parent: type[ast.AST]) -> bool:
        """Which expressions it looks at."""
        return parent in COMPREHENSIONS

    def expression(self, node: ast.expr, place: Place) -> Replacement | None:
        """A call whose receiver or options must be bound to a name moves out of the comprehension's source."""
        if not isinstance(place.parent, COMPREHENSIONS) or not self._is_source(node, place.parent):
            return None
        calls = [call for call in own_nodes(ast.Expression(node)) if isinstance(call, ast.Call)]
        if not any(self._binds(call) for call in calls):
            return None
        return Plan("items", lambda name: [ast.Assign([ast.Name(name, ast.Store())], node)], lambda: [ast.Return(node)])

    def statement(self, node: ast.stmt, function: Scope) -> list[ast.stmt] | None:
        """Nothing to do."""
        return None

    def _is_source(self, node: ast.expr, comprehension: ast.AST) -> bool:
        assert isinstance(comprehension, COMPREHENSIONS)
        return any(generator.iter is node for generator in comprehension.generators)

    def _binds(self, call: ast.Call) -> bool:
        """Whether writing the call apart takes a name for its receiver, or for an argument that is needed again."""
        what, remote = self._unfolding.colours.what(call)
        if remote is None or what not in ("method", "maybe", "function"):
            return False
        if isinstance(call.func, ast.Attribute) and not is_repeatable(call.func.value):
            return True
        given = dict(zip(remote.parameters, call.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
        return any(not isinstance(given.get(name), (ast.Name, ast.Constant, type(None))) for name in remote.again)
