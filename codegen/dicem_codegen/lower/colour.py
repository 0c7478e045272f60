"""Which functions make calls, and so become asynchronous, and what becomes of each call.

A function of the program that makes calls, directly or through others, becomes `async def`, and its calls are awaited.
Some cannot: a special method, which the interpreter calls itself, and what runs beside other code in the program as
written (`asyncio.gather` of the program's own coroutines), where an await more would let the others run.  Those stay
synchronous with all that they call, which is right and only slower.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ..walking import children, walk
from .kinds import Kinds
from .scopes import FUNCTIONS, own_nodes
from .values import UNKNOWN, Bound, Class, Func, Instance, Method, Value, named
from .words import CLASSES, METHODS, Remote
from .words import FUNCTIONS as REMOTE_FUNCTIONS

What = Literal["plain", "method", "maybe", "function", "call_sync", "run", "helper", "settle"]
"""plain: as it is; maybe: a remote method if the receiver turns out to be what has it; settle: awaited if it turns out
to be a coroutine"""


@dataclass
class Colours:
    """What `colour` found."""

    kinds: Kinds
    makes_calls: set[Func] = field(default_factory=set)
    """functions that make calls, however they do it"""
    becomes_async: set[Func] = field(default_factory=set)
    """those that were written as synchronous functions"""
    stays_sync: dict[Func, str] = field(default_factory=dict)
    """those that cannot, and why"""
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)

    def what(self, call: ast.Call) -> tuple[What, Remote | None]:
        """What becomes of a call that stands where calls may be awaited."""
        remote = self._remote(call)
        if remote is not None:
            return remote
        callees = self.kinds.callees.get(call, set())
        if len(callees) == 1:
            match named(next(iter(callees)), "module"):
                case "hermod.call_sync":
                    return "call_sync", None
                case "asyncio.run":
                    return "run", None
        coloured = [value for value in callees if function_of(value) in self.becomes_async]
        if coloured:
            return ("helper" if len(coloured) == len(callees) else "settle"), None
        return "plain", None

    def owner(self, node: ast.AST) -> Func | None:
        """The function in whose body a node runs; None for the module's own."""
        outer = enclosing_function(node, self.parents)
        return self.kinds.functions.get(outer) if outer is not None else None

    def _remote(self, call: ast.Call) -> tuple[What, Remote] | None:
        callees = self.kinds.callees.get(call, set())
        names = {named(value, "prelude") for value in callees}
        name = names.pop() if len(names) == 1 else None
        if name in REMOTE_FUNCTIONS and name is not None and REMOTE_FUNCTIONS[name].accepts(call):
            return "function", REMOTE_FUNCTIONS[name]
        match call.func:
            case ast.Attribute(value=receiver, attr=attr) if attr in METHODS and METHODS[attr].accepts(call):
                remote = METHODS[attr]
                owner = CLASSES[remote.owner]
                values = self.kinds.values_of(receiver) or {UNKNOWN}
                if values == {owner} and callees == {Bound(owner, attr)}:
                    return "method", remote
                if owner in values or UNKNOWN in values:
                    return "maybe", remote
        return None


def function_of(value: Value) -> Func | None:
    """The program's function behind a callee."""
    if isinstance(value, Func):
        return value
    return value.func if isinstance(value, Method) else None


def called_functions(callees: set[Value], kinds: Kinds) -> Iterator[Func]:
    """The program's functions that calling these runs; a class runs its `__init__`, an instance its `__call__`."""
    for value in callees:
        func = function_of(value)
        if func is not None:
            yield func
        elif isinstance(value, (Class, Instance)):
            owner = value if isinstance(value, Class) else value.of
            special = "__init__" if isinstance(value, Class) else "__call__"
            for found in kinds.functions.values():
                node = found.node
                if (
                    owner is not None
                    and not isinstance(node, ast.Lambda)
                    and node.name == special
                    and node in owner.node.body
                ):
                    yield found


def colour(tree: ast.Module, kinds: Kinds) -> Colours:
    """Decide for every function and every call of a module."""
    found = Colours(kinds)
    nodes = [tree, *_with_parents(tree, found.parents)]
    calls: dict[Func, list[ast.Call]] = {func: [] for func in kinds.functions.values()}
    for node in nodes:
        if node.__class__ is ast.Call:
            runner = kinds.functions.get(_running(node, found.parents))
            if runner is not None:
                calls[runner].append(node)
    runs = {
        func: {g for c in own for g in called_functions(kinds.callees.get(c, set()), kinds)}
        for func, own in calls.items()
    }
    _find_those_that_call(found, calls, runs)
    _find_those_that_stay(found, nodes, runs)
    found.becomes_async = {func for func in found.makes_calls if func not in found.stays_sync and not func.is_async}
    return found


def _with_parents(tree: ast.AST, parents: dict[ast.AST, ast.AST]) -> list[ast.AST]:
    """All nodes in a tree but itself; `parents` is told in which each stands."""
    found: list[ast.AST] = []
    stack = [tree]
    while stack:
        node = stack.pop()
        inner = children(node)
        for child in inner:
            parents[child] = node
        found += inner
        stack += inner
    return found


def _running(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> ast.AST:
    """The function, or the module, whose body evaluates a node: defaults and decorators belong to the one outside."""
    inner, outer = node, parents[node]
    while not isinstance(outer, ast.Module):
        if isinstance(outer, FUNCTIONS) and not isinstance(inner, ast.arguments):
            if isinstance(outer, ast.Lambda) or inner not in outer.decorator_list:
                return outer
        inner, outer = outer, parents[outer]
    return outer


def _find_those_that_call(found: Colours, calls: dict[Func, list[ast.Call]], runs: dict[Func, set[Func]]) -> None:
    direct = {f for f, own in calls.items() if any(found.what(c)[0] != "plain" for c in own)}
    callers: dict[Func, set[Func]] = {}
    for func, inner in runs.items():
        for called in inner:
            callers.setdefault(called, set()).add(func)
    stack = list(direct)
    while stack:
        func = stack.pop()
        if func not in found.makes_calls:
            found.makes_calls.add(func)
            stack.extend(callers.get(func, ()))


def _find_those_that_stay(found: Colours, nodes: list[ast.AST], runs: dict[Func, set[Func]]) -> None:
    stack: list[tuple[Func, str]] = []
    beside = _running_beside(found)
    for func in found.kinds.functions.values():
        defined = func.node
        if isinstance(defined, ast.Lambda):
            stack.append((func, "a lambda stays what it is"))
        elif isinstance(found.parents.get(defined), ast.ClassDef) and defined.name.startswith("__"):
            stack.append((func, f"the special method {defined.name}"))
        elif func.escaped:
            stack.append((func, "it is called from where this compiler does not see"))
        elif func in beside:
            stack.append((func, "it runs beside other code of the program"))
    for node in nodes:
        if isinstance(node, ast.GeneratorExp):
            first = set(map(id, walk(node.generators[0].iter)))  # evaluated where it stands
            inside = [n for n in own_nodes(node) if isinstance(n, ast.Call) and id(n) not in first]
            for call in inside:
                stack += [
                    (f, "a generator runs it")
                    for f in called_functions(found.kinds.callees.get(call, set()), found.kinds)
                ]
    while stack:
        func, why = stack.pop()
        if func not in found.stays_sync:
            found.stays_sync[func] = why
            stack.extend((called, why) for called in runs.get(func, ()))


def _running_beside(found: Colours) -> set[Func]:
    """The functions of which some call is not awaited where it stands."""
    return {
        func
        for call, callees in found.kinds.callees.items()
        for value in callees
        if (func := function_of(value)) is not None and func.is_async and not _is_awaited(call, found)
    }


def _is_awaited(call: ast.Call, found: Colours) -> bool:
    match found.parents.get(call):
        case ast.Await():
            return True
        case ast.Call() as outer:
            names = {named(value, "module") for value in found.kinds.callees.get(outer, set())}
            return bool(names) and names <= {"asyncio.run", "hermod.run"}
    return False


def enclosing_function(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> ast.AST | None:
    """The function, lambda or module in whose body a node runs."""
    current = parents.get(node)
    while current is not None and not isinstance(current, (*FUNCTIONS, ast.Module, ast.ClassDef)):
        current = parents.get(current)
    return current
