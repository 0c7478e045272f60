"""Where each call can be started: for every step that asks, what it waits for, and the earliest place to start it.

The program itself awaits its calls in order.  A call that needs exactly what the program has awaited by some place is
started there, in a block of its own lines (`Start.waits` is empty).  One that needs less is started by a strand.
"""

from __future__ import annotations

import ast
import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from .ir import Ask, Bind, Block, Branch, Exit, Loc, Loop, Node, Pinned, bits_in, bits_of


@dataclass(eq=False)
class Start:
    """From where a call can be started.  Sets of steps are integers, a bit for each index."""

    ask: Ask
    block: Block
    """mirrors a list of statements of the program"""
    before: ast.stmt
    """the statement that the ahead block stands in front of"""
    index: int
    """the first step of that statement"""
    keep: int
    """the steps that the call needs, from that place on"""
    waits: int
    """those of them that must be awaited; 0: it can be started in line"""
    carried: int = 0
    """those of them that one iteration leaves to the next"""
    comes_once: bool = False
    """the program comes to that place once: names that only later steps bind are not bound there"""


class Planner:
    """Finds the starts of one function."""

    def __init__(
        self, root: Block, parameters: frozenset[str], locations: Callable[[Loc], set[Loc]],
        changing: frozenset[Loc] | None = None, used_up: frozenset[Loc] = frozenset(),
    ) -> None:  # fmt: skip
        """`changing`: what others may change after an exception that is caught, or None; `used_up`: iterators."""
        self.root, self._locations, self.changing = root, locations, changing
        self.order = list(root.walk())
        self.asks = _bits(n for n in self.order if isinstance(n, Ask))
        self._pinned = _bits(n for n in self.order if isinstance(n, Pinned))
        self._opaque = _bits(n for n in self.order if _is_opaque(n))
        self._fronts: dict[Block, list[tuple[int, ast.stmt]]] = {}
        self._not_taken = 0
        self._used_up = _bits(n for n in self.order if n.reads & used_up)
        self._first_bound: dict[str, int] = dict.fromkeys(parameters, -1)
        for node in self.order:
            for kind, name in node.writes:
                if kind == "name":
                    self._first_bound.setdefault(name, node.index)
        self.mutating = _bits(n for n in self.order if n.mutates)
        self._waiting = _bits(
            n for n in self.order if (isinstance(n, Ask) and not n.common) or (isinstance(n, Pinned) and n.awaits)
        )
        self._regions = _regions(root)
        self._closure = self._closures()

    def starts(self) -> list[Start]:
        """One for each call that can be started before the program comes to it."""
        found: list[Start] = []
        for ask in [n for n in self.order if isinstance(n, Ask)]:
            start = self._start(ask)
            if start is not None:
                found.append(start)
        started = {start.ask for start in found}
        found = [start for start in found if not _is_started_sooner(start.ask, started)]
        return self._needed(found)

    def entry_starts(self) -> list[Start]:
        """The starts of all calls that can be started as soon as the function is called."""
        found = []
        if not self.root.nodes:
            return []
        place = (self.root, self.root.nodes[0].index, self.root.nodes[0].anchor)
        for ask in [n for n in self.order if isinstance(n, Ask)]:
            path = _path(ask)
            loops = [node for _, node in path[:-1] if isinstance(node, Loop)]
            if path[0][0] is not self.root or any(self._carried_of(loop, ask) is None for loop in loops):
                continue
            bits, carried = self._bits_from(path, 0, ask)
            if self._place(path, 0, bits) == place[1]:
                start = self._made(place, bits, carried, ask, place[1])
                if start is not None:
                    found.append(start)
        return self._needed(found)

    def _needed(self, starts: list[Start]) -> list[Start]:
        """Those that no other one makes at the same moment, on its way."""
        by_step: dict[tuple[int, int], list[Start]] = {}
        for start in starts:
            for node in self.nodes(start.keep & self.asks):
                by_step.setdefault((start.index, node.index), []).append(start)
        return [s for s in starts if not self._is_subsumed(s, by_step.get((s.index, s.ask.index), []))]

    def conflicts(self, groups: list[int]) -> bool:
        """Whether sets of steps that run side by side, after a common way, change things that others of them see."""
        for number, steps in enumerate(groups):
            for node in self.nodes(steps & self.mutating):
                for loc in node.mutates:
                    others = self._touching(loc) | self._makers(loc)
                    seen = any(other & others for place, other in enumerate(groups) if place != number)
                    if seen and not self._is_made_in(steps, node, loc):
                        return True
        return False

    def _is_made_in(self, steps: int, node: Node, loc: Loc) -> bool:
        """Whether what a step changes was made by some of these steps, whichever way they came to it."""
        pending, followed = [node], 0
        while pending:
            reader = pending.pop()
            bound: set[Loc] = set()
            for source, _ in reader.needs:
                names = {name for name in source.writes & reader.reads if self._may_be(name, {loc})}
                bound |= names
                if not names or followed >> source.index & 1:
                    continue
                followed |= 1 << source.index
                if not steps >> source.index & 1:
                    return False
                pending.append(source)  # what makes a list may only put the thing into it
            if any(r not in bound and r[0] in ("name", "attr") and self._may_be(r, {loc}) for r in reader.reads):
                return False
        return True

    def is_lent(self, ask: Ask, steps: int) -> bool:
        """Whether a helper, which runs when it comes to that, is given what one of the steps changes meanwhile."""
        if ask.site is None or ask.site.form != "helper":
            return False
        return any(node.mutates & ask.reads for node in self.nodes(steps & self.mutating))

    def _makers(self, loc: Loc) -> int:
        """The steps that make what a location holds."""
        return self._made_by.get(loc, 0)

    @cached_property
    def _made_by(self) -> dict[Loc, int]:
        found: dict[Loc, int] = {}
        for node in self.order:
            if isinstance(node, Bind) and _makes(node):
                for loc in {held for name in node.writes for held in self._locations(name)}:
                    found[loc] = found.get(loc, 0) | 1 << node.index
        return found

    def is_opaque(self, node: Node) -> bool:
        """Whether nothing that stands after a step is started before it."""
        return bool(self._opaque >> node.index & 1)

    def needed_in(self, loop: Loop, ask: Ask) -> int | None:
        """What a call needs within one iteration of a loop; None if something of it is pinned."""
        inside = bits_in(loop.body)
        needed = self._closure[ask.index] & inside
        return None if needed & self._pinned or self._opaque & inside else needed

    def why_serial(self, loop: Loop, ask: Ask) -> Node | None:
        """The step because of which the iterations of a loop wait for each other; None if they do not."""
        carried = self._carried_of(loop, ask)
        inside = bits_in(loop.body)
        if carried is None:
            reasons = self._closure[ask.index] & inside & self._pinned or self._opaque & inside
            if reasons:
                return next(self.nodes(reasons))
            steps = [
                s for n in self.nodes(self._closure[ask.index] & inside) for s, around in n.needs if around is loop
            ]
            return steps[0] if steps else loop
        if not carried & self.asks:
            return None
        steps = [n for n in self.nodes(carried) if isinstance(n, Exit)] or [
            n for n in self.nodes(carried) if not isinstance(n, Ask)
        ]
        return steps[0] if steps else loop

    def waits_of(self, step: Node) -> list[Ask]:
        """The asks whose results it needs directly: no other ask stands between."""
        needed = self.nodes(self._direct[step.index])
        return [n for n in needed if isinstance(n, Ask) and not n.common and n is not step]

    # Sets of steps are integers, a bit for each index.

    def _closures(self) -> list[int]:
        """For each step, all that it needs within one iteration of the loops around it, itself included.

        `_view` has the same as seen from outside of these loops, where what iterations leave to the next counts too.
        """
        closure, view = [0] * len(self.order), [0] * len(self.order)
        self._direct, self._view = [0] * len(self.order), view
        open_loops: list[Loop] = []
        for node in [*self.order, None]:
            while open_loops and (node is None or node.index >= open_loops[-1].end):
                self._close(open_loops.pop(), view)
            if node is None:
                break
            bits, direct = 1 << node.index, 0
            for needed, loop in node.needs:
                if loop is None and needed.index < node.index:
                    bits |= view[needed.index] | self._hidden_bit(needed, node)
                    direct |= 1 << needed.index if isinstance(needed, Ask) else self._direct[needed.index]
            closure[node.index] = view[node.index] = bits
            self._direct[node.index] = direct
            if isinstance(node, Loop):
                open_loops.append(node)
        return closure

    def _close(self, loop: Loop, view: list[int]) -> None:
        """Follow what goes around the back edge of a loop, until nothing is new."""
        edges = [
            (node, needed)
            for node in self.order[loop.index : loop.end]
            for needed, around in node.needs
            if around is loop
        ]
        if not edges:
            return
        changed = True
        while changed:
            changed = False
            for node, needed in edges:
                more = view[needed.index] | self._hidden_bit(needed, node)
                if more & ~view[node.index]:
                    view[node.index] |= more
                    changed = True
            for node in self.order[loop.index : loop.end]:
                bits = view[node.index]
                for needed, around in node.needs:
                    if around is None and needed.index < node.index:
                        bits |= view[needed.index]
                if bits != view[node.index]:
                    view[node.index] = bits
                    changed = True

    def _hidden_bit(self, needed: Node, node: Node) -> int:
        hidden = self._hidden_in(needed, node)
        return 0 if hidden is None else 1 << hidden.index

    def _hidden_in(self, needed: Node, node: Node) -> Pinned | None:
        """The barrier that a step stands in, seen from another one outside of it."""
        around = self._regions[node]
        for region in self._regions[needed]:
            if region not in around:
                assert isinstance(region.parent, Pinned)
                return region.parent
        return None

    def nodes(self, bits: int) -> Iterator[Node]:
        """The steps of a set."""
        while bits:
            low = bits & -bits
            yield self.order[low.bit_length() - 1]
            bits ^= low

    def _start(self, ask: Ask) -> Start | None:
        path = _path(ask)
        first = self._outermost(path, ask)
        for level in range(first):
            start = self._serial_start(path, level, ask)
            if start is not None:
                return start
        for level in range(first, len(path)):
            if path[level][0].stmts is None:
                continue
            bits, carried = self._bits_from(path, level, ask)
            place = self._place(path, level, bits)
            if place is not None:
                return self._settle(path, level, place, bits, carried, ask)
        return None

    def _outermost(self, path: list[tuple[Block, Node]], ask: Ask) -> int:
        """The outermost level from which all of its iterations can be started: behind the last loop that cannot."""
        first = 0
        for level, (_, node) in enumerate(path[:-1]):
            if isinstance(node, Loop):
                carried = self._carried_of(node, ask)
                if carried is None or carried & self.asks:
                    first = level + 1
        return first

    def _serial_start(self, path: list[tuple[Block, Node]], level: int, ask: Ask) -> Start | None:
        """A strand that walks a loop as the program does, one iteration after the other, but comes to it sooner."""
        loops = [node for _, node in path[level:-1] if isinstance(node, Loop)]
        if path[level][0].stmts is None or any(self._carried_of(loop, ask) is None for loop in loops):
            return None
        bits, carried = self._bits_from(path, level, ask)
        place = self._place(path, level, bits)
        begin = None if place is None else self._front(path[level][0], place, path[level][1].index, last=False)
        if begin is None:
            return None
        waits = bits & self.asks & ~((1 << begin[0]) - 1) & ((1 << loops[0].index) - 1)
        self._not_taken = 0
        if waits == self._awaited(begin[0], loops[0].index):
            return None  # the program comes to it as soon as anybody could
        return self._strand_start(path, level, begin, bits, carried, ask)

    def _bits_from(self, path: list[tuple[Block, Node]], level: int, ask: Ask) -> tuple[int, int]:
        """What it needs, and of that what iterations leave to the next, seen from a level."""
        bits, carried = self._closure[ask.index], 0
        for _, node in path[level:-1]:
            if isinstance(node, Loop):
                carried |= self._carried_of(node, ask) or 0
        for node in self.nodes(carried):
            bits |= self._view[node.index]
        return bits, carried

    def _carried_of(self, loop: Loop, ask: Ask) -> int | None:
        """The steps in the loop that earlier iterations hand on to the ask; None if the program alone can take them."""
        inside = bits_in(loop.body)
        if not inside >> ask.index & 1:
            return 0  # in the loop's `else`
        needed = self._closure[ask.index] & inside
        if needed & self._pinned or self._opaque & inside:
            return None
        carried = followed = 0
        pending: list[Node] = [*self.nodes(needed), loop]
        while pending:
            node = pending.pop()
            for source, around in node.needs:
                if around is loop and not (carried | followed) >> source.index & 1:
                    followed |= 1 << source.index
                    own = self._view[source.index] & inside
                    if own & self._pinned or self._hidden_in(source, ask):
                        return None
                    carried |= own
                    pending.extend(self.nodes(own))
        extra = needed & self.asks & ~carried & ~(1 << ask.index)
        if extra and any(step.mutates for step in self.nodes(carried)):
            return None
        return carried

    def _place(self, path: list[tuple[Block, Node]], level: int, bits: int) -> int | None:
        """The first step in the block of that level behind all that is pinned; None: it must be further inside."""
        block, node = path[level]
        for inner_block, inner in path[level + 1 :]:
            if self._opaque & bits_in(inner_block) & ((1 << inner.index) - 1):
                return None
        if bits & self._pinned & bits_of(node):
            return None
        before = bits_in(block) & ((1 << node.index) - 1)
        last = ((bits & self._pinned | self._opaque) & before).bit_length() - 1
        if last < 0:
            return block.nodes[0].index
        return self._step(block, last).end

    def _step(self, block: Block, index: int) -> Node:
        """The step of the block that an index lies in."""
        return block.nodes[bisect.bisect_right(block.nodes, index, key=lambda n: n.index) - 1]

    def _settle(
        self, path: list[tuple[Block, Node]], level: int, first: int, bits: int, carried: int, ask: Ask
    ) -> Start | None:
        """Choose between a block in line and a strand, and the statement to stand in front of."""
        begin = self._front(path[level][0], first, path[level][1].index, last=False)
        if begin is None:
            return None
        outer = next((n for _, n in path[level:-1] if isinstance(n, Loop)), ask)
        self._not_taken = 0  # what stands in the other arms is not awaited on the way to this call
        for (_, branch), (inner, _) in zip(path[level:], path[level + 1 :], strict=False):
            if isinstance(branch, Branch) and inner is branch.orelse:
                self._not_taken |= bits_in(branch.body)
        waits = bits & self.asks & ~((1 << begin[0]) - 1) & ((1 << outer.index) - 1)
        if not ask.common and outer is ask and self._awaited(begin[0], ask.index) == waits:
            return None  # the program comes to it as soon as anybody could
        place = self._inline_place(path, level, begin[0], waits)
        if place is None:
            return self._strand_start(path, level, begin, bits, carried, ask)
        return self._made(place, bits, carried, ask, begin[0])

    def _strand_start(
        self, path: list[tuple[Block, Node]], level: int, begin: tuple[int, ast.stmt], bits: int, carried: int, ask: Ask
    ) -> Start | None:
        """A strand begins where the program awaits something for the first time."""
        block, node = path[level]
        front = self._front(block, begin[0], min(self._next_await(begin[0]), node.index), last=True) or begin
        return self._made((block, *front), bits, carried, ask, begin[0])

    def _made(self, place: tuple[Block, int, ast.stmt], bits: int, carried: int, ask: Ask, floor: int) -> Start | None:
        block, index, before = place
        here = bits & ~((1 << index) - 1)
        own = 1 << ask.index
        if self.is_lent(ask, here) or (here | own) & self._used_up:
            return None
        keep = here if carried & own else here & ~own
        start = Start(ask, block, before, index, keep, here & self.asks & ~own, carried, _comes_once(block))
        return None if self._is_risky(start) else self._with_makers(start, floor)

    def _is_risky(self, start: Start) -> bool:
        """Whether a strand goes on when the program has caught an exception and changes what the strand looks at."""
        is_helper = start.ask.site is not None and start.ask.site.form == "helper"
        if self.changing is None or not (is_helper or start.keep & self.asks):
            return False
        first = start.index if start.comes_once else 0
        for node in [*self.nodes(start.keep), start.ask]:
            if node.reads & self.changing:
                return True
            for loc in node.reads:
                if any(loc in n.mutates for n in self.nodes(self.mutating >> first << first & ~start.keep)):
                    return True
        return False

    def binds_later(self, name: str, index: int) -> bool:
        """Whether no step before that one can have bound a name."""
        return self._first_bound.get(name, -1) >= index

    def _inline_place(
        self, path: list[tuple[Block, Node]], level: int, begin: int, waits: int
    ) -> tuple[Block, int, ast.stmt] | None:
        """The last place by which the program has awaited what the call waits for and nothing else; none may be."""
        after = max(begin, waits.bit_length())
        if self._awaited(begin, after) != waits:
            return None
        until, place = self._next_await(after), None
        for block, node in path[level:]:
            if block.stmts is None:
                break
            front = self._front(block, after, min(until, node.index), last=True)
            if front is not None:
                place = (block, *front)
            if not isinstance(node, Branch):
                break
        return place

    def _next_await(self, begin: int) -> int:
        """The first step from `begin` on that the program awaits."""
        rest = (self._waiting & ~self._not_taken) >> begin
        return begin + (rest & -rest).bit_length() - 1 if rest else len(self.order)

    def _front(self, block: Block, first: int, until: int, *, last: bool) -> tuple[int, ast.stmt] | None:
        """The first or last step between that begins a statement of the program."""
        if block not in self._fronts:
            own = {id(statement) for statement in block.stmts or []}
            before: ast.stmt | None = None
            fronts = self._fronts[block] = []
            for node in block.nodes:
                if node.anchor is not before and id(node.anchor) in own:
                    fronts.append((node.index, node.anchor))
                before = node.anchor
        fronts = self._fronts[block]
        low = bisect.bisect_left(fronts, first, key=lambda f: f[0])
        high = bisect.bisect_right(fronts, until, key=lambda f: f[0])
        if low >= high:
            return None
        return fronts[high - 1 if last else low]

    def _awaited(self, begin: int, end: int) -> int:
        return self._waiting & ~self._not_taken & ((1 << end) - 1) & ~((1 << begin) - 1)

    def _with_makers(self, start: Start, floor: int) -> Start | None:
        """Objects that the slice changes must be made in it: take in where they are made.  None: they are not."""
        changing = start.keep & self.mutating
        if not changing:
            return start
        changed = {loc for node in self.nodes(changing) for loc in node.mutates}
        touching = 0
        for loc in changed:
            touching |= self._touching(loc)
        pending, taken = [*self.nodes(start.keep & touching), start.ask], 0
        while pending:
            node = pending.pop()
            bound = {("name", "")}
            for source, around in node.needs:
                if around is None:
                    bound |= source.writes
                if start.keep >> source.index & 1:
                    continue
                if source.mutates & changed & node.reads:
                    return None  # what is made anew lacks what the program has changed by then
                if not any(self._may_be(loc, changed) for loc in source.writes & node.reads):
                    continue
                if source.index < floor or not (isinstance(source, Bind) and _makes(source)):
                    return None
                if source.block is not start.block:  # the lines that start it would not make it
                    return None
                taken |= 1 << source.index
                start.keep |= 1 << source.index
                pending.append(source)
            # What no step binds comes from outside.
            if any(loc not in bound and self._may_be(loc, changed) for loc in node.reads if loc[0] in ("name", "attr")):
                return None
        # What is made again lacks what has been done to it by then.
        again = {loc for node in self.nodes(taken) for name in node.writes for loc in self._locations(name)}
        before = self.mutating & ((1 << start.index) - 1) & ~start.keep
        return None if any(node.mutates & again for node in self.nodes(before)) else start

    def _touching(self, loc: Loc) -> int:
        """The steps that look at what a location holds, by whatever name."""
        return self._touched.get(loc, 0)

    @cached_property
    def _touched(self) -> dict[Loc, int]:
        found: dict[Loc, int] = {}
        for node in self.order:
            for loc in node.reads | node.mutates:
                found[loc] = found.get(loc, 0) | 1 << node.index
        return found

    def _may_be(self, loc: Loc, changed: set[Loc]) -> bool:
        return bool(self._locations(loc) & changed)

    def _is_subsumed(self, start: Start, others: list[Start]) -> bool:
        """Whether a strand starts the same call at the same moment, on its way to its own."""
        return any(
            other.carried & self.asks == start.carried & self.asks and self._is_on_the_way(start.ask, other)
            for other in others if other is not start
        )  # fmt: skip

    def _is_on_the_way(self, ask: Ask, other: Start) -> bool:
        if not other.keep >> ask.index & 1:
            return False
        here = ~((1 << other.index) - 1)
        needed = self._closure[ask.index] & self.asks & here & ~(1 << ask.index)
        before = other.keep & self.asks & ((1 << ask.index) - 1)
        return before == needed


def _is_started_sooner(ask: Ask, started: set[Ask]) -> bool:
    """Whether a copy of a call is started."""
    twin = ask.twin
    while twin is not None and twin not in started:
        twin = twin.twin
    return twin is not None


def _makes(node: Bind) -> bool:
    """Whether it makes a new, empty or literal, thing."""
    match node.stmt:
        case ast.Assign(value=ast.List() | ast.Dict() | ast.Set() | ast.Constant()):
            return True
        case ast.Assign(value=ast.Call(func=ast.Name(id="set" | "list" | "dict"))):
            return True
    return False


def _comes_once(block: Block) -> bool:
    """Whether the program comes to the lines of a block once at most."""
    around = block.parent
    while around is not None:
        if not isinstance(around, Branch):
            return False
        around = around.block.parent
    return True


def _bits(nodes: Iterator[Node]) -> int:
    bits = 0
    for node in nodes:
        bits |= 1 << node.index
    return bits


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
