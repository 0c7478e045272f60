"""Which functions of the program have effects: whatever anything but their value and their exceptions can show."""

from __future__ import annotations

import ast
from typing import Final

from dicem_shared.functions import Registry

from .colour import Colours, function_of
from .scopes import own_nodes
from .values import PLAIN, Bound, Box, Class, Func, Value, named
from .words import CLASSES, METHODS
from .words import FUNCTIONS as REMOTE_FUNCTIONS

_PURE_BUILTINS: Final = frozenset(
    {"abs", "all", "any", "bool", "chr", "dict", "divmod", "enumerate", "filter", "float", "format", "frozenset",
     "getattr", "hasattr", "int", "isinstance", "iter", "len", "list", "map", "max", "min", "ord", "range", "repr",
     "reversed", "round", "set", "sorted", "str", "sum", "tuple", "type", "zip"}
)  # fmt: skip
_PURE_MODULES: Final = ("math.", "json.", "re.", "asyncio.gather", "asyncio.run", "hermod.call", "PIL.Image.open")
_READING: Final = frozenset(
    {"copy", "count", "get", "index", "items", "keys", "values", "union", "intersection", "difference", "issubset",
     "issuperset", "isdisjoint", "symmetric_difference"}
)  # fmt: skip


def without_effects(colours: Colours, functions: Registry) -> set[Func]:
    """The functions of which nothing can be seen but what they return or raise, and which functions they call."""
    every = set(colours.kinds.functions.values())
    callers: dict[Func, list[Func]] = {}
    for func in every:
        for node in own_nodes(func.node):
            if isinstance(node, ast.Call):
                for callee in colours.kinds.callees.get(node, ()):
                    called = function_of(callee)
                    if called is not None:
                        callers.setdefault(called, []).append(func)
    seen = {func for func in every if func.called and not func.escaped}
    pure = {func for func in seen if _is_pure(func, every, colours, functions)}
    stack = list(every - pure)
    while stack:
        broken = {caller for caller in callers.get(stack.pop(), ()) if caller in pure}
        pure -= broken
        stack += broken
    return pure


def _is_pure(func: Func, pure: set[Func], colours: Colours, functions: Registry) -> bool:
    nodes = list(own_nodes(func.node))
    mine = set(map(id, nodes))
    for node in nodes:
        match node:
            case ast.Global() | ast.Nonlocal() | ast.Delete() | ast.ClassDef() | ast.Import() | ast.ImportFrom():
                return False
            case ast.Yield() | ast.YieldFrom() | ast.With() | ast.AsyncWith():
                return False
            case ast.Attribute(ctx=ast.Store()):
                return False
            case ast.Subscript(ctx=ast.Store()):
                if not _are_own(node.value, mine, colours):
                    return False
            case ast.AugAssign(target=ast.Name() as target):
                values = colours.kinds.values_of(target)
                if any(isinstance(v, Box) and v.kind != "tuple" and id(v.place) not in mine for v in values):
                    return False
            case ast.Call() if not _is_pure_call(node, mine, pure, colours, functions):
                return False
    return True


def _are_own(receiver: ast.expr, mine: set[int], colours: Colours) -> bool:
    values = colours.kinds.values_of(receiver)
    return bool(values) and all(isinstance(v, Box) and not v.escaped and id(v.place) in mine for v in values)


def _is_pure_call(call: ast.Call, mine: set[int], pure: set[Func], colours: Colours, functions: Registry) -> bool:
    callees = colours.kinds.callees.get(call, set())
    return bool(callees) and all(_is_pure_callee(c, call, mine, pure, colours, functions) for c in callees)


def _is_pure_callee(
    callee: Value, call: ast.Call, mine: set[int], pure: set[Func], colours: Colours, functions: Registry
) -> bool:
    func = function_of(callee)
    if func is not None:
        return func in pure
    if isinstance(callee, Bound):
        if callee.receiver in ("patch", "video"):
            remote = METHODS.get(callee.name)
            return remote is None or all(is_pure(name, functions) for name in remote.functions)
        if isinstance(callee.receiver, Box):
            own = isinstance(call.func, ast.Attribute) and _are_own(call.func.value, mine, colours)
            return callee.name in _READING or own
        return callee.receiver != PLAIN or callee.name in _READING or hasattr(str, callee.name)
    if isinstance(callee, Class) or not isinstance(callee, str):
        return False
    builtin, prelude, module = (named(callee, family) for family in ("builtin", "prelude", "module"))
    if prelude is not None:
        remote = REMOTE_FUNCTIONS.get(prelude)
        return remote is None or all(is_pure(name, functions) for name in remote.functions)
    if module is not None and module.startswith("hermod.call"):
        return all(is_pure(name, functions) for name in called_names(call, functions))
    return (
        builtin in _PURE_BUILTINS
        or (module is not None and module.startswith(_PURE_MODULES))
        or named(callee, "class") in (*CLASSES, "PILImage")
        or (builtin is not None and builtin.endswith(("Error", "Exception")))
    )


def is_pure(name: str, functions: Registry) -> bool:
    """Whether a function of the registry is pure; one that nobody knows is not."""
    return name in functions and functions.get(name).pure


def called_names(call: ast.Call, functions: Registry) -> tuple[str, ...]:
    """Which functions a `hermod.call(...)` may call: all of them if its name is known at run time only."""
    match call.args:
        case [ast.Constant(value=str() as name), *_]:
            return (name,)
    return tuple(spec.name for spec in functions)
