"""The lowered serial form of a program: what the author wrote, in the runner's language, calls one after the other.

It is what a model-written program is tried and verified as, because the interpreter can run it and CPython must not.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from dicem_shared.functions import Registry
from dicem_shared.program import Program, prepare

from ..lower import expand, lower
from ..types import Parsed
from ..walking import walk


@dataclass(frozen=True)
class Serial:
    """A program's lowered serial form, ready to run."""

    program: Program
    lines: tuple[int, ...]
    """of the author's source, by line of the serial form from 1; 0 where there is none"""
    tree: ast.Module

    def line(self, number: int | None) -> int:
        """The author's line of a line of the serial form; 1 if that is not known."""
        while number is not None and 0 < number < len(self.lines):
            if self.lines[number]:
                return self.lines[number]
            number -= 1
        return 1

    def loop(self) -> int:
        """The author's line of the loop that is the likeliest to go on for ever; 1 if there is none."""
        for kind in (ast.While, ast.For):
            lines = [self.line(node.lineno) for node in walk(self.tree) if isinstance(node, kind)]
            if lines:
                return min(lines)
        return 1


def serial_form(parsed: Parsed, functions: Registry) -> Serial:
    """Lower a program and make it ready.

    :raises CompileError: it uses what cannot be said in the runner's language
    :raises ProgramError: it is no program
    """
    tree = expand(lower(parsed, functions), {})
    directives = "".join(f"# dicem: {key}={value}\n" for key, value in parsed.directives.items())
    source = f"{directives}{ast.unparse(tree)}\n"
    program = prepare(source, name=parsed.name, where=parsed.where)
    read = ast.parse(source)
    return Serial(program, _lines(tree, read, source.count("\n") + 1), read)


def _lines(made: ast.Module, read: ast.Module, count: int) -> tuple[int, ...]:
    """The author's line for each line of the text, statement by statement; the tree that was written has both."""
    lines = [0] * (count + 1)
    pairs = list(zip(_statements(made), _statements(read), strict=False))
    if len(_statements(made)) != len(_statements(read)):
        return tuple(lines)
    for original, written in pairs:
        lines[written.lineno] = getattr(original, "lineno", 0) or 0
    return tuple(lines)


def _statements(tree: ast.Module) -> list[ast.stmt]:
    return [node for node in walk(tree) if isinstance(node, ast.stmt)]
