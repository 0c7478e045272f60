"""Which rows of the compiler's table with a barrier a program contains: there, being as parallel as the data allows is
not promised, only reported.
"""

from __future__ import annotations

import ast

from .trace_names import leaves

LAZY = frozenset({"any", "all", "next", "iter"})


def barriers_in(source: str) -> frozenset[str]:
    """Some of: "while", "try", "with", "lazy" (any, all, next of a generator), "early exit" (return or break in a
    loop), "attributes" (stores to attributes, globals, names of outer functions, deletions), "generator" (yield).
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.While():
                found.add("while")
            case ast.Try():
                found.add("try")
            case ast.With() | ast.AsyncWith():
                found.add("with")
            case ast.Call(func=ast.Name(id=name)) if name in LAZY:
                found.add("lazy")
            case ast.Yield() | ast.YieldFrom():
                found.add("generator")
            case ast.Global() | ast.Nonlocal() | ast.Delete():
                found.add("attributes")
            case ast.Attribute(ctx=ast.Store()):
                found.add("attributes")
        if isinstance(node, (ast.For, ast.While)) and (leaves(node.body) - {"continue"} or _breaks(node.body)):
            found.add("early exit")
    return frozenset(found)


def _breaks(body: list[ast.stmt]) -> bool:
    return "break" in leaves(body)
