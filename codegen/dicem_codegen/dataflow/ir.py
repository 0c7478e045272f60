"""The shadow of a program: what ahead code is cut from.

Beside the lowered program, which stays as it is, stands a copy in small steps: every call of a model has a step of its
own (`Ask`), conditions inside expressions have become branches, comprehensions loops.  The shadow is never run as a
whole; slices of it become ahead blocks and strands.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ..types import CallSite

Loc = tuple[str, str]
"""What a step reads or writes: ("name", x), ("object", class of objects that may be the same), ("attr", name of an
attribute), ("exit", what an early exit leaves)."""
Edge = tuple["Node", "Loop | None"]
"""A step that another one needs, and the loop around whose back edge that goes, if any."""


STARTED = "awaits what has been started"
"""why an await of the author's own, apart from the call, is pinned"""


@dataclass(eq=False)
class Block:
    """Steps in a row.  `stmts` is the list of statements of the lowered program that it mirrors, if there is one."""

    parent: Node | None
    stmts: list[ast.stmt] | None
    nodes: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """Every step in it, in the order of the program."""
        stack = list(reversed(self.nodes))
        while stack:
            node = stack.pop()
            yield node
            for block in reversed(node.blocks):
                stack.extend(reversed(block.nodes))


@dataclass(eq=False)
class Node:
    """A step."""

    anchor: ast.stmt
    """the statement of the lowered program that it belongs to"""
    block: Block
    reads: set[Loc] = field(default_factory=set)
    writes: set[Loc] = field(default_factory=set)
    """bound anew"""
    mutates: set[Loc] = field(default_factory=set)
    """changed in place, perhaps"""
    index: int = -1
    """place in the order of the program; those of the steps inside follow its own"""
    end: int = -1
    """one past the last index inside it"""
    needs: list[Edge] = field(default_factory=list)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks inside it."""
        return ()


@dataclass(eq=False)
class Bind(Node):
    """A statement that only computes: binds names, or changes an object in place; it may fail."""

    stmt: ast.stmt = field(default_factory=ast.Pass)


@dataclass(eq=False)
class Ask(Node):
    """`target = await call`: a call of pure functions."""

    target: str = ""
    call: ast.Call = field(default_factory=lambda: ast.Call(ast.Name(""), [], []))
    site: CallSite | None = None
    twin: Ask | None = None
    """a copy, for which it can be started sooner"""
    common: bool = False
    """here only so that it can be started: it stands in both arms of the branch that follows, is the variant of a
    helper, or asks something of an element that a later loop comes to"""


@dataclass(eq=False)
class Branch(Node):
    """`if test: body else: orelse`."""

    test: ast.expr = field(default_factory=lambda: ast.Constant(True))
    body: Block = field(default_factory=lambda: Block(None, None))
    orelse: Block = field(default_factory=lambda: Block(None, None))

    @property
    def blocks(self) -> tuple[Block, ...]:
        return (self.body, self.orelse)


@dataclass(eq=False)
class Loop(Node):
    """`for target in iter: body else: orelse`."""

    target: ast.expr = field(default_factory=lambda: ast.Name(""))
    iter: ast.expr = field(default_factory=lambda: ast.Name(""))
    body: Block = field(default_factory=lambda: Block(None, None))
    orelse: Block = field(default_factory=lambda: Block(None, None))

    @property
    def blocks(self) -> tuple[Block, ...]:
        return (self.body, self.orelse)


@dataclass(eq=False)
class Exit(Node):
    """`return`, `raise`, `break` or `continue`."""

    kind: Literal["return", "break", "continue"] = "return"
    loop: Loop | None = None


@dataclass(eq=False)
class Pinned(Node):
    """Something with an effect, or of which nothing is known: only the program itself does it, where it stands."""

    why: str = ""
    is_barrier: bool = False
    """nothing is started before it that stands after it"""
    awaits: bool = False
    call: ast.Call | None = None
    """of an impure function, if it is one"""
    site: CallSite | None = None
    watched: list[ast.AST] = field(default_factory=list)
    """what it looks at"""
    changes: list[ast.expr] = field(default_factory=list)
    """objects that it changes in place"""
    may_keep: bool = False
    """it may keep what it looks at, or give it back; barriers may always"""
    puts: list[tuple[ast.expr, ast.expr]] = field(default_factory=list)
    """targets, and what they are given"""
    regions: list[Block] = field(default_factory=list)
    """what stands inside, where nothing is started from outside"""

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(self.regions)


def bits_of(node: Node) -> int:
    """A step and all in it, as a set: an integer, a bit for each index."""
    return ((1 << (node.end - node.index)) - 1) << node.index


def bits_in(block: Block) -> int:
    """All steps of a block and in them, as a set."""
    if not block.nodes:
        return 0
    first, last = block.nodes[0].index, block.nodes[-1].end
    return ((1 << (last - first)) - 1) << first


def text_of(block: Block, indent: str = "") -> str:
    """The shadow, printed."""
    lines: list[str] = []
    for node in block.nodes:
        needs = ",".join(
            f"{n.index}{'~' if loop is not None else ''}" for n, loop in sorted(node.needs, key=lambda e: e[0].index)
        )
        lines.append(f"{node.index:4} {indent}{_line(node)}" + (f"    <- {needs}" if needs else ""))
        for number, inner in enumerate(node.blocks):
            if inner.nodes:
                if number:
                    lines.append(f"     {indent}else")
                lines.append(text_of(inner, indent + "  "))
    return "\n".join(lines)


def _line(node: Node) -> str:
    match node:
        case Bind():
            return ast.unparse(node.stmt)
        case Ask():
            number = node.site.number if node.site else 0
            return f"{node.target} = ask #{number} {ast.unparse(node.call)}" + (" (common)" if node.common else "")
        case Branch():
            return f"if {ast.unparse(node.test)}"
        case Loop():
            return f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
        case Exit():
            return node.kind
        case Pinned():
            return f"{'barrier' if node.is_barrier else 'pinned'}: {node.why}"
    return type(node).__name__
