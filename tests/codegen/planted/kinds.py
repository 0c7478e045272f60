"""What a planted miscompilation is, and how one is written."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..generator.reached import is_question

Stage = Literal["source", "compiled"]
Change = Callable[[ast.Module], bool]


@dataclass(frozen=True)
class Planted:
    """A mistake that a compiler might make, everywhere in a program where it can be made."""

    name: str
    change: Change
    """changes a tree in place, and says whether it did"""
    stage: Stage
    """whether it is made in the program that the compiler is given, or in what it gives back.  What it gives back is
    that program with some calls started ahead, so the first comes to the same, and is easier to write."""
    near: int = 0
    """a seed at or behind which it was caught before, where that is far from the first: all are tried, from there on"""

    @property
    def what(self) -> str:
        """In words."""
        return (self.change.__doc__ or "").strip()

    def mutate(self, source: str) -> str | None:
        """The program with the mistake in it; None where it has no place for it."""
        tree = ast.parse(source)
        if not self.change(tree):
            return None
        return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


PLANTED: list[Planted] = []


def planted(stage: Stage = "source", near: int = 0) -> Callable[[Change], Change]:
    """Register a mistake under its function's name."""

    def register(change: Change) -> Change:
        PLANTED.append(Planted(change.__name__.replace("_", "-"), change, stage, near))
        return change

    return register


class Rewriter(ast.NodeTransformer):
    """Replaces the nodes of one kind for which `rewrite` gives another one."""

    def __init__(self, rewrite: Callable[[ast.AST], ast.AST | None]) -> None:
        self.rewrite, self.changed = rewrite, False

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Children first, then the node itself."""
        super().generic_visit(node)
        instead = self.rewrite(node)
        if instead is None:
            return node
        self.changed = True
        return instead


def rewritten(tree: ast.Module, rewrite: Callable[[ast.AST], ast.AST | None]) -> bool:
    """Replace every node for which `rewrite` gives another; whether there was one."""
    rewriter = Rewriter(rewrite)
    rewriter.visit(tree)
    return rewriter.changed


def blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every list of statements, that of handlers too."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                yield block


def questions(node: ast.AST) -> list[ast.expr]:
    """The calls of models in there, whole; not those inside of a function or lambda, which are asked elsewhere."""
    return [
        n for n in ast.walk(node)
        if (isinstance(n, ast.Call) and is_question(n.func)) and not _deferred(node, n)
    ]  # fmt: skip


def _deferred(root: ast.AST, node: ast.AST) -> bool:
    inner = (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef)
    return any(isinstance(n, inner) and n is not root and any(m is node for m in ast.walk(n)) for n in ast.walk(root))


def asks(*nodes: ast.AST) -> bool:
    """Whether any of them asks a model."""
    return any(is_question(n) for node in nodes for n in ast.walk(node))


def loads(node: ast.AST) -> set[str]:
    """The names that are read in there."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def stores(node: ast.AST) -> set[str]:
    """The names that are bound in there."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def expression(text: str) -> ast.expr:
    """An expression from its text."""
    return ast.parse(text, mode="eval").body


def reversed_list(node: ast.expr) -> ast.expr:
    """`list(node)[::-1]`"""
    listed = ast.Call(ast.Name("list", ast.Load()), [node], [])
    return ast.Subscript(listed, ast.Slice(step=ast.UnaryOp(ast.USub(), ast.Constant(1))), ast.Load())


def is_print(statement: ast.stmt) -> bool:
    """Whether a statement prints and does nothing else."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"))):
            return not asks(statement)
    return False


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions in there."""
    return (n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))
