"""Whether what a program does hangs on the order in which its sets are walked, which the language leaves open.

The program is run with sets that remember an order of ours, once this way round and once the other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any, Final

from dicem_shared.errors import ProgramError
from dicem_shared.runner import RunLimits

from .desk import load, run
from .observed import Observed
from .quiet import parsed
from .world import World


def has_sets(source: str) -> bool:
    """Whether there may be a set in the program at all."""
    return any(
        isinstance(node, (ast.Set, ast.SetComp)) or (isinstance(node, ast.Name) and node.id in ("set", "frozenset"))
        for node in ast.walk(parsed(source))
    )


def hangs_on_order(source: str, world: World, limits: RunLimits) -> bool:
    """Whether two orders of its sets give two runs that can be told apart."""
    if not has_sets(source):
        return False
    try:
        loaded = load(source, rewrite=_with_our_sets)
    except ProgramError:
        return False
    one, other = (run(loaded, world, limits, names=_names(backwards)) for backwards in (False, True))
    return bool(_told(one) != _told(other))


def _told(seen: Observed) -> Any:
    calls = [call.key for call in seen.calls if not call.pure]
    return seen.value, seen.printed, seen.error, calls, seen.pure_keys


def _with_our_sets(tree: ast.Module) -> ast.Module:
    class Sets(ast.NodeTransformer):
        def visit_Set(self, node: ast.Set) -> ast.AST:
            self.generic_visit(node)
            return ast.copy_location(_made(ast.List(node.elts, ast.Load())), node)

        def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
            self.generic_visit(node)
            return ast.copy_location(_made(ast.ListComp(node.elt, node.generators)), node)

    Sets().visit(tree)
    return ast.fix_missing_locations(tree)


def _made(items: ast.expr) -> ast.expr:
    return ast.Call(ast.Name("set", ast.Load()), [items], [])


def _names(backwards: bool) -> dict[str, Any]:
    """The builtins `set` and `frozenset`, walked in the order of what their elements look like, or against it."""

    def walked(items: Iterable[Any]) -> list[Any]:
        return sorted(items, key=lambda item: (type(item).__name__, repr(item)), reverse=backwards)

    def ours(base: Any) -> Any:
        def again(name: str) -> Any:
            def method(self: Any, *others: Any) -> Any:
                made = getattr(base, name)(self, *others)
                return made if made is NotImplemented else kind(made)

            return method

        def walk(self: Any) -> Iterator[Any]:
            return iter(walked(base.__iter__(self)))

        def show(self: Any) -> str:
            inside = ", ".join(map(repr, walk(self)))
            text = f"{{{inside}}}" if len(self) else "set()"
            return text if base is set else f"frozenset({text if len(self) else ''})"

        def pop(self: Any) -> Any:
            for item in walk(self):
                base.remove(self, item)
                return item
            raise KeyError("pop from an empty set")

        names: dict[str, Any] = {name: again(name) for name in _MAKING}
        names |= {"__iter__": walk, "__repr__": show, "__slots__": ()} | ({"pop": pop} if base is set else {})
        kind = type(base.__name__, (base,), names)
        return kind

    return {"set": ours(set), "frozenset": ours(frozenset)}


_MAKING: Final = (
    "__and__", "__or__", "__sub__", "__xor__", "__rand__", "__ror__", "__rsub__", "__rxor__", "copy", "difference",
    "intersection", "symmetric_difference", "union",
)  # fmt: skip
