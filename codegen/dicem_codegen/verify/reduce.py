"""Makes a program that shows a difference smaller, statement by statement, as long as it still does."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Final

from .quiet import parsed

MAX_ATTEMPTS: Final = 300
_DIRECTIVE: Final = re.compile(r"^# dicem: .*$", re.MULTILINE)
Block = list[ast.stmt]


def smaller(source: str, still: Callable[[str], bool], *, attempts: int = MAX_ATTEMPTS) -> str:
    """A shorter program for which `still` holds; `source` itself where none is found within so many `attempts`.

    `still` is asked about programs that parse, and must not raise.
    """
    head = "".join(f"{line}\n" for line in _DIRECTIVE.findall(source))
    best = source
    left = attempts

    def holds(candidate: str) -> bool:
        nonlocal left
        left -= 1
        return still(candidate)

    shrunk = True
    while shrunk and left > 0:
        shrunk = False
        position = 0
        while left > 0:
            candidate = _change(best, position)
            if candidate is None:
                break
            text = head + candidate + "\n"
            if len(text) < len(best) and holds(text):
                best, shrunk = text, True  # what now stands at this position is tried next
            else:
                position += 1
    return best


def _change(source: str, position: int) -> str | None:
    """The program with change number `position` made; None if there are not so many."""
    tree = parsed(source)
    for number, change in enumerate(_changes(tree)):
        if number == position:
            change()
            return ast.unparse(ast.fix_missing_locations(tree))
    return None


def _changes(tree: ast.Module) -> Iterator[Callable[[], None]]:
    """Everything that can be left out, large parts first: half a block, a statement, what is around a block."""
    blocks = list(_blocks(tree))
    for size in (8, 4, 2, 1):
        for owner, block in blocks:
            for start in range(len(block) - size, -1, -size):
                yield lambda o=owner, b=block, s=start, n=size: _put(o, b, s, n, [])  # type: ignore[misc]
    for owner, block in blocks:
        for start, statement in enumerate(block):
            if isinstance(statement, (ast.If, ast.For, ast.While, ast.Try, ast.With)):
                yield lambda o=owner, b=block, s=start, i=statement.body: _put(o, b, s, 1, i)  # type: ignore[misc]


def _put(owner: ast.AST, block: Block, start: int, count: int, instead: Block) -> None:
    block[start : start + count] = instead
    if not block and not isinstance(owner, ast.Module):
        block.append(ast.Pass())


def _blocks(tree: ast.AST) -> Iterator[tuple[ast.AST, Block]]:
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                yield node, block
