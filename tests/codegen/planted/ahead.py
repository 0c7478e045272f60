"""Mistakes in what is asked ahead: made in the compiled program, in the blocks that the compiler adds to it."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from .kinds import blocks, functions, loads, planted, stores


def _is_ahead(statement: ast.AST) -> bool:
    """`with hermod.ahead():`"""
    match statement:
        case ast.With(items=[ast.withitem(context_expr=ast.Call(func=ast.Attribute(attr="ahead")))]):
            return True
    return False


def _ahead_blocks(tree: ast.AST) -> Iterator[ast.With]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.With) and _is_ahead(node))


@planted("compiled")
def unguarded_ahead(tree: ast.Module) -> bool:
    """What is asked ahead is asked whatever its guard says."""
    changed = False
    for block in _ahead_blocks(tree):
        for node in ast.walk(block):
            if isinstance(node, ast.If) and not any(isinstance(n, ast.Return) for n in ast.walk(node)):
                node.test = ast.Constant(True)
                changed = True
    return changed


@planted("compiled")
def raising_ahead(tree: ast.Module) -> bool:
    """What fails while something is asked ahead ends the program."""
    changed = False
    for block in blocks(tree):
        for index in range(len(block) - 1, -1, -1):
            statement = block[index]
            if isinstance(statement, ast.With) and _is_ahead(statement) and not _returns(statement):
                block[index : index + 1] = statement.body
                changed = True
    return changed


def _returns(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Return) for n in ast.walk(node))


@planted("compiled", near=150)
def clobbering_ahead(tree: ast.Module) -> bool:
    """What is asked ahead binds the program's own names."""
    changed = False
    for function in functions(tree):
        ahead = [block for block in _ahead_blocks(function) if not _returns(block)]
        serial = loads(function)
        for block in ahead:
            for name in sorted(stores(block)):
                own = name.lstrip("_").rstrip("0123456789_")
                if name.startswith("_") and own in serial:
                    _rename(block, name, own)
                    changed = True
    return changed


def _rename(block: ast.AST, old: str, new: str) -> None:
    for node in ast.walk(block):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = new


@planted("compiled")
def effect_ahead(tree: ast.Module) -> bool:
    """What is asked ahead leaves a trace: it prints."""
    changed = False
    for block in _ahead_blocks(tree):
        block.body.append(ast.parse("print()").body[0])
        changed = True
    return changed


@planted("compiled")
def forgotten_pair(tree: ast.Module) -> bool:
    """The result of the call before is taken for that of the next one."""
    changed = False
    for block in blocks(tree):
        for first, second in itertools.pairwise(block):
            pair = [_finished(statement) for statement in (first, second)]
            if pair[0] is not None and pair[1] is not None and ast.dump(pair[0].func) == ast.dump(pair[1].func):
                pair[0].args[0], pair[1].args[0] = pair[1].args[0], pair[0].args[0]
                changed = True
    return changed


def _finished(statement: ast.stmt) -> ast.Call | None:
    """The call of `x = p.m_finish(await ...)`."""
    match statement:
        case ast.Assign(value=ast.Call(func=ast.Attribute(attr=name), args=[ast.Await(), *_]) as call):
            return call if name.endswith("_finish") else None
    return None
