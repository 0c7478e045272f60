"""Where each call can be started: for every step that asks, what it waits for, and the earliest place to start it.

The program itself awaits its calls in order.  A call that needs exactly what the program has awaited by some place is
started there, in a block of its own lines (`Start.waits` is empty).  One that needs less is started by a strand.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from .ir import Ask, Bind, Block, Branch, Loop, Node, Pinned
from .needs import steps_inside


@dataclass(eq=False)
class Start:
    """What is started at one place."""

    block: Block
    """mirrors a list of statements of the program"""
    before: ast.stmt
    """the statement that it stands in front of"""
    index: int
    """the first step of that statement"""
    targets: list[Ask]
    keep: set[Node]
    """the steps that the targets need, from that place on"""
    waits: int
    """the steps that must have been awaited, as a set of bits"""
    carried: set[Node] = field(default_factory=set)
    """steps that one iteration leaves to the next"""


@dataclass(frozen=True)
class Left:
    """A call that is started where it stands, and why."""

    ask: Ask
    why: str
    line: int


class Planner:
    """Finds the starts of one function."""

    def __init__(self, root: Block) -> None:
        self.root = root
        self.order = list(root.walk())
        self._asks = _bits(n for n in self.order if isinstance(n, Ask))
        self._pinned = _bits(n for n in self.order if isinstance(n, Pinned))
        self._waiting = self._asks | _bits(n for n in self.order if isinstance(n, Pinned) and n.awaits)
        self._regions = _regions(root)
        self._closure = self._closures()
        self.left: list[Left] = []

    def starts(self) -> list[Start]:
        """All of them, one for each place and set of awaited steps."""
        found: dict[tuple[int, int, tuple[int, ...]], Start] = {}
        for ask in [n for n in self.order if isinstance(n, Ask)]:
            start = self._start(ask)
            if start is None:
                continue
            loops = tuple(n.index for _, n in _path(ask)[:-1] if isinstance(n, Loop) and n.index >= start.index)
            key = (start.index, start.waits, loops)
            known = found.get(key)
            if known is None:
                found[key] = start
            else:
                known.targets.append(ask)
                known.keep |= start.keep
                known.carried |= start.carried
        return [start for start in found.values() if not self._is_subsumed(start, list(found.values()))]

    def waits_of(self, ask: Ask) -> list[Ask]:
        """The asks whose results it needs directly: no other ask stands between."""
        found: set[Ask] = set()
        stack, seen = [n for n, _ in ask.needs], set[Node]()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if isinstance(node, Ask):
                if not node.common:
                    found.add(node)
            else:
                stack.extend(n for n, _ in node.needs)
        found.discard(ask)
        return sorted(found, key=lambda n: n.index)

    # Sets of steps are integers, a bit for each index.

    def _closures(self) -> list[int]:
        """For each step, all that it needs within one iteration, itself included."""
        closure = [0] * len(self.order)
        for node in self.order:
            bits = 1 << node.index
            for needed, loop in node.needs:
                if loop is None and needed.index < node.index:
                    bits |= closure[needed.index]
                    hidden = self._hidden_in(needed, node)
                    if hidden is not None:
                        bits |= 1 << hidden.index
            closure[node.index] = bits
        return closure

    def _hidden_in(self, needed: Node, node: Node) -> Pinned | None:
        """The barrier that a step stands in, seen from another one outside of it."""
        around = self._regions[node]
        for region in self._regions[needed]:
            if region not in around:
                assert isinstance(region.parent, Pinned)
                return region.parent
        return None

    def _nodes(self, bits: int) -> Iterator[Node]:
        while bits:
            low = bits & -bits
            yield self.order[low.bit_length() - 1]
            bits ^= low

    def _start(self, ask: Ask) -> Start | None:
        path = _path(ask)
        first, bits, carried = self._outermost(path, ask)
        for level in range(first, len(path)):
            block, node = path[level]
            if block.stmts is None:
                continue
            wanted = bits if level == first else self._bits_from(path, level, ask)[0]
            place = self._place(path, level, wanted)
            if place is not None:
                keep_carried = carried if level == first else self._bits_from(path, level, ask)[1]
                return self._settle(path, level, place, wanted, keep_carried, ask)
        return None

    def _outermost(self, path: list[tuple[Block, Node]], ask: Ask) -> tuple[int, int, int]:
        """The outermost level from which all of its iterations can be started: behind the last loop that cannot."""
        first = 0
        for level, (_, node) in enumerate(path[:-1]):
            if isinstance(node, Loop) and self._carried_of(node, ask) is None:
                first = level + 1
        bits, carried = self._bits_from(path, first, ask)
        return first, bits, carried

    def _bits_from(self, path: list[tuple[Block, Node]], level: int, ask: Ask) -> tuple[int, int]:
        """What it needs, and of that what iterations leave to the next, seen from a level."""
        bits, carried = self._closure[ask.index], 0
        for _, node in path[level:-1]:
            if isinstance(node, Loop):
                more = self._carried_of(node, ask) or 0
                carried |= more
        for node in self._nodes(carried):
            bits |= self._closure[node.index]
        return bits, carried

    def _carried_of(self, loop: Loop, ask: Ask) -> int | None:
        """The steps in the loop that earlier iterations hand on to the ask; None if one of them waits or is pinned."""
        inside = _range(loop.body)
        if not inside >> ask.index & 1:
            return 0  # in the loop's `else`
        needed = self._closure[ask.index] & inside
        if needed & self._pinned:
            return None
        carried = 0
        pending = list(self._nodes(needed))
        while pending:
            node = pending.pop()
            for source, around in node.needs:
                if around is loop and not carried >> source.index & 1:
                    own = self._closure[source.index] & inside
                    if own & (self._asks | self._pinned) or self._hidden_in(source, ask):
                        return None
                    carried |= own
                    pending.extend(self._nodes(own))
        if any(step.mutates for step in self._nodes(carried)) and needed & self._asks & ~(1 << ask.index):
            return None
        if any(isinstance(n, Pinned) and _is_opaque(n) for n in steps_inside(loop)):
            return None
        return carried

    def _place(self, path: list[tuple[Block, Node]], level: int, bits: int) -> int | None:
        """The position in the block of that level behind all that is pinned; None: it must be further inside."""
        block, node = path[level]
        for inner_block, inner in path[level + 1 :]:
            if any(_is_opaque(n) for n in inner_block.nodes[: inner_block.nodes.index(inner)]):
                return None
        at = block.nodes.index(node)
        first = 0
        for place in range(at - 1, -1, -1):
            other = block.nodes[place]
            if _is_opaque(other) or self._span(other) & bits & self._pinned:
                first = place + 1
                break
        inner_pinned = bits & self._pinned & self._span(node)
        if inner_pinned:
            return None
        return first

    def _span(self, node: Node) -> int:
        return ((1 << (node.end - node.index)) - 1) << node.index

    def _settle(
        self, path: list[tuple[Block, Node]], level: int, first: int, bits: int, carried: int, ask: Ask
    ) -> Start | None:
        """Choose between a block in line and a strand, and the statement to stand in front of."""
        places = list(_places(path, level, first))
        if not places:
            return None
        begin = places[0][2]
        outer = next((n for _, n in path[level:-1] if isinstance(n, Loop)), ask)
        waits = bits & self._asks & ~((1 << begin) - 1) & ((1 << outer.index) - 1)
        inline = None
        for place in places:
            awaited = self._awaited(begin, place[2])
            if waits & ~awaited == 0:
                if awaited & ~waits == 0:
                    inline = place
                else:
                    break
        chosen = inline or self._sunk(places, begin)
        waits_here = bits & self._asks & ~((1 << chosen[2]) - 1) & ~(1 << ask.index)
        if inline is not None and self._comes_at_once(chosen[2], ask, path, level):
            return None
        keep = set(self._nodes(bits & ~((1 << chosen[2]) - 1))) - {ask}
        start = Start(chosen[0], chosen[1], chosen[2], [ask], keep, waits_here, set(self._nodes(carried)))
        return self._with_makers(start, places)

    def _awaited(self, begin: int, end: int) -> int:
        return self._waiting & ((1 << end) - 1) & ~((1 << begin) - 1)

    def _sunk(self, places: list[tuple[Block, ast.stmt, int]], begin: int) -> tuple[Block, ast.stmt, int]:
        """The last place before the program awaits anything."""
        last = places[0]
        for place in places:
            if self._awaited(begin, place[2]) == 0 and place[0] is places[0][0]:
                last = place
        return last

    def _comes_at_once(self, index: int, ask: Ask, path: list[tuple[Block, Node]], level: int) -> bool:
        """Whether the program itself starts it before it awaits anything else."""
        if any(isinstance(n, Loop) for b, n in path[level:-1] if n.index >= index):
            return False
        return not ask.common and self._awaited(index, ask.index) == 0

    def _with_makers(self, start: Start, places: list[tuple[Block, ast.stmt, int]]) -> Start | None:
        """Objects that the slice changes must be made in it: begin where they are made."""
        changed = {loc for n in start.keep for loc in n.mutates}
        if not changed:
            return start
        floor = places[0][2]
        wanted = start.index
        for node in list(start.keep):
            for needed, _ in node.needs:
                if needed.index < start.index and isinstance(needed, Bind) and needed.index >= floor and _makes(needed):
                    wanted = min(wanted, needed.index)
        start.keep |= {
            n for node in list(start.keep) for n in self._nodes(self._closure[node.index])
            if wanted <= n.index < start.index and isinstance(n, Bind) and _makes(n)
        }  # fmt: skip
        return start

    def _is_subsumed(self, start: Start, others: list[Start]) -> bool:
        """Whether another strand starts the same calls at the same moment, on its way to its own."""
        for other in others:
            if other is start or other.block is not start.block or other.index != start.index:
                continue
            if all(self._is_on_the_way(ask, other) for ask in start.targets):
                return True
        return False

    def _is_on_the_way(self, ask: Ask, other: Start) -> bool:
        if ask not in other.keep:
            return False
        here = ~((1 << other.index) - 1)
        needed = self._closure[ask.index] & self._asks & here & ~(1 << ask.index)
        before = _bits(n for n in other.keep if isinstance(n, Ask) and n.index < ask.index)
        return before & ~needed == 0 and (needed & ~before) == 0


def _makes(node: Bind) -> bool:
    """Whether it makes a new, empty or literal, thing."""
    statement = node.stmt
    return isinstance(statement, ast.Assign) and isinstance(
        statement.value, (ast.List, ast.Dict, ast.Set, ast.Constant)
    ) or (isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)
          and isinstance(statement.value.func, ast.Name) and statement.value.func.id in ("set", "list", "dict"))  # fmt: skip


def _bits(nodes: Iterator[Node]) -> int:
    bits = 0
    for node in nodes:
        bits |= 1 << node.index
    return bits


def _range(block: Block) -> int:
    if not block.nodes:
        return 0
    first, last = block.nodes[0].index, block.nodes[-1].end
    return ((1 << (last - first)) - 1) << first


def _regions(root: Block) -> dict[Node, tuple[Block, ...]]:
    """For each step the regions of barriers that it stands in, outermost first."""
    found: dict[Node, tuple[Block, ...]] = {}
    stack: list[tuple[Block, tuple[Block, ...]]] = [(root, ())]
    while stack:
        block, around = stack.pop()
        for node in block.nodes:
            found[node] = around
            stack.extend((b, (*around, b) if isinstance(node, Pinned) else around) for b in node.blocks)
    return found


def _is_opaque(node: Node) -> bool:
    """Whether nothing may be started before it that stands after it."""
    if not isinstance(node, Pinned) or not node.is_barrier:
        return False
    if not node.regions:
        return True
    return any(_is_opaque(inner) for region in node.regions for inner in region.walk())


def _path(ask: Ask) -> list[tuple[Block, Node]]:
    """From the outermost block that ahead code for it may stand in, to its own: each with the step on the way."""
    path: list[tuple[Block, Node]] = []
    node: Node = ask
    while True:
        path.append((node.block, node))
        parent = node.block.parent
        if parent is None or isinstance(parent, Pinned):
            return path[::-1]
        node = parent


def _places(path: list[tuple[Block, Node]], level: int, first: int) -> Iterator[tuple[Block, ast.stmt, int]]:
    """The places before the ask where a block may stand: in front of statements, into arms of `if` but not into loops."""
    start = first
    while level < len(path):
        block, node = path[level]
        if block.stmts is None:
            return
        last: ast.stmt | None = block.nodes[start - 1].anchor if start else None
        for step in block.nodes[start : block.nodes.index(node) + 1]:
            if step.anchor is not last:
                last = step.anchor
                if any(last is statement for statement in block.stmts):
                    yield block, last, step.index
        if not isinstance(node, Branch):
            return
        level, start = level + 1, 0
