"""Cuts ahead code out of a shadow: the statements that start calls at one place, and the strands that these need.

Calls that wait for the same things share their way: a strand awaits what they have in common, and where their ways part
one strand becomes several.
"""

from __future__ import annotations

import ast
import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ..types import CallSite
from ..walking import copied, inner_blocks, statements, walk
from .ahead import Planner, Start
from .calls import finish_of, start_of
from .helpers import Helper, variant_call
from .ir import Ask, Bind, Block, Branch, Exit, Loop, Node, bits_in, bits_of
from .names import bound_in, early_block, exposed_names, renamed, walked_names
from .purity import Function
from .speculate import Window

Tags = Callable[[CallSite], list[ast.keyword]]
AHEAD = "ahead"


class NotCut(Exception):
    """No ahead code can be cut here; says why."""


class _Conflict(Exception):
    """Ways cannot be gone together: one changes what another one sees."""


@dataclass
class Cut:
    """Ahead code: what stands in line, and the strands that it starts."""

    inline: list[ast.stmt]
    strands: list[ast.AsyncFunctionDef] = field(default_factory=list)


@dataclass(frozen=True)
class _Way:
    """A call on the way to its start: the steps that are still to be taken."""

    ask: Ask
    keep: int
    carried: int


class Cutter:
    """Cuts in one function.

    `local` are its own names; `names` gives new ones; `walks_again` says of a name that
    walking it twice is safe; `helpers` are the functions that have variants.
    """

    def __init__(
        self, planner: Planner, local: frozenset[str], names: Callable[[str], str], tags: Tags,
        walks_again: Callable[[str], bool], helpers: dict[str, Helper],
    ) -> None:  # fmt: skip
        self._helpers = helpers
        self._planner, self._asks = planner, planner.asks
        self._local, self._name, self._tags, self._walks_again = local, names, tags, walks_again
        self._strands: list[ast.AsyncFunctionDef] = []
        self._serial = [0]
        """what the iterations of the loop around wait for, where they wait for each other"""

    def cut(self, starts: Sequence[Start]) -> Cut:
        """The code for all that is started at one place."""
        self._strands = []
        ways = [_Way(s.ask, s.keep, s.carried) for s in starts]
        inline = self._block(starts[0].block, ways)
        bound = bound_in(inline)
        if starts[0].comes_once:
            self._drop_arguments(inline, starts[0].index, bound)
        walked = walked_names(inline) - bound
        guards: list[ast.stmt] = [
            ast.Expr(_hermod("again", ast.Name(name, ast.Load())))
            for name in exposed_names(inline)
            if name in walked and name in self._local and not self._walks_again(name)
        ]
        return Cut([*guards, *self._own_names(_without_blocks(inline))], self._strands)

    def variant(self, function: Function, helper: Helper, starts: Sequence[Start]) -> Cut:
        """The variant of a helper that starts its calls, and the strands that it needs."""
        self._strands = []
        ways = [_Way(s.ask, s.keep, s.carried) for s in starts]
        body = _without_blocks(self._block(starts[0].block, ways)) if starts else []
        arguments = copied(function.args)
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            argument.annotation = None
        for name in helper.free:
            arguments.kwonlyargs.append(ast.arg(name))
            arguments.kw_defaults.append(None)
        made = _function(helper.variant, arguments, [early_block(body)] if body else [ast.Pass()])
        return Cut([], [*self._strands, made])

    def window(self, window: Window) -> tuple[list[ast.stmt], list[ast.stmt]]:
        """What stands before a loop, and at the top of its body, to look a few elements ahead."""
        loop = window.loop
        soon, number = self._name("_soon"), self._name("_n")
        body = _without_blocks(self._lines(loop.body, 0, [_Way(ask, keep, 0) for ask, keep in window.asks.items()]))

        def next_ones(count: int) -> ast.stmt:
            made = ast.For(copied(loop.target), ast.Constant(0), [copied(line) for line in body], [])
            (own,) = self._own_names([made])
            assert isinstance(own, ast.For)
            own.target = ast.Tuple([ast.Name(number, ast.Store()), own.target], ast.Store())
            own.iter = _call("zip", _call("range", ast.Constant(count)), ast.Name(soon, ast.Load()))
            return own

        walked = [ast.Expr(copied(loop.iter))]
        guards: list[ast.stmt] = [
            ast.Expr(_hermod("again", ast.Name(name, ast.Load())))
            for name in exposed_names(walked)
            if name in self._local and not self._walks_again(name)
        ]
        begin = ast.Assign([ast.Name(soon, ast.Store())], _call("iter", copied(loop.iter)))
        return [*guards, begin, next_ones(window.width)], [next_ones(1)]

    def _drop_arguments(self, inline: list[ast.stmt], index: int, bound: set[str]) -> None:
        """Names that nothing has bound yet are the strand's own."""
        made = {strand.name: strand for strand in self._strands}
        for node in [n for line in inline for n in walk(line)]:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in made:
                parameters = made[node.func.id].args
                kept = [
                    i for i, parameter in enumerate(parameters.args)
                    if parameter.arg in bound or not self._planner.binds_later(parameter.arg, index)
                ]  # fmt: skip
                node.args = [node.args[i] for i in kept]
                parameters.args = [parameters.args[i] for i in kept]

    # A block: what can be started there at once, and a strand for each way that must await something first

    def _block(self, block: Block, ways: list[_Way]) -> list[ast.stmt]:
        """All that these ways start from here."""
        at_once, waiting = self._parted(block, ways)
        spawned = [line for first, group in waiting for line in self._spawn(block, first, group)]
        alone = [way for way in at_once if self._planner.is_lent(way.ask, _steps(at_once))]
        for way in alone:
            spawned += self._own_names(_without_continue(self._lines(block, 0, [way])))
        at_once = [way for way in at_once if way not in alone]
        lines = _without_continue(self._lines(block, 0, at_once))  # of a loop of the program, in which this stands
        if _returns(lines):
            lines = [self._spawned_lines(lines)]
        return [*spawned, *lines]

    def _parted(self, block: Block, ways: list[_Way]) -> tuple[list[_Way], list[tuple[Node, list[_Way]]]]:
        """The ways that need no await in this block, and the others by the step that they await first."""
        at_once: list[_Way] = []
        waiting: dict[tuple[int, int], tuple[Node, list[_Way]]] = {}
        for way in ways:
            first = self._first_awaited(block, way)
            if first is None:
                at_once.append(way)
            else:
                enters = first.index <= way.ask.index < first.end
                key = (first.index, -1 if enters else way.keep & bits_of(first))
                waiting.setdefault(key, (first, []))[1].append(way)
        return at_once, list(waiting.values())

    def _first_awaited(self, block: Block, way: _Way) -> Node | None:
        """The first step of the block that this way awaits something in; none inside of what it enters."""
        kept = way.keep & self._asks & bits_in(block)
        if not kept:
            return None
        node = _step(block, (kept & -kept).bit_length() - 1)
        if node.index <= way.ask.index < node.end:
            return node if self._is_serial(node, way) else None
        return node

    def _is_serial(self, node: Node, way: _Way) -> bool:
        """Whether it is a loop whose iterations wait for each other on this way, or whose `else` this enters."""
        if not isinstance(node, Loop):
            return False
        after = bits_in(node.orelse) >> way.ask.index & 1
        return bool((way.keep if after else way.carried) & self._asks & bits_in(node.body))

    # Strands

    def _spawn(self, block: Block, first: Node, ways: list[_Way]) -> list[ast.stmt]:
        """A strand for what follows a step; what only the next iteration of a loop around needs is not for it."""
        ways = [_Way(w.ask, w.keep & ((1 << _limit(block, w.ask)) - 1), w.carried) for w in ways]
        known = len(self._strands)
        self._serial.append(0)
        try:
            return [self._strand(_without_continue(self._strand_body(block, first, ways)))]
        except _Conflict:
            # Who changes objects has them for itself: the others must not see that, nor do it again.
            del self._strands[known:]
            return [line for way in ways for line in self._spawn(block, first, [way])]
        finally:
            self._serial.pop()

    def _strand_body(self, block: Block, first: Node, ways: list[_Way]) -> list[ast.stmt]:
        """Up to what is awaited first and through it; then what can be started, then the next to await."""
        keep = 0
        for way in ways:
            keep |= way.keep
        if first.index <= ways[0].ask.index < first.end:
            return [*self._lines(block, keep & ((1 << first.index) - 1), []), *self._line(first, 0, ways)]
        done = (1 << first.end) - 1
        body = self._lines(block, keep & done, [])
        rest = [_Way(w.ask, w.keep & ~done, w.carried) for w in ways]
        at_once, waiting = self._parted(block, rest)
        if self._planner.conflicts([_steps(at_once), *(_steps(group) for _, group in waiting)]):
            raise _Conflict
        if len(ways) > 1 and any(self._planner.is_lent(way.ask, _steps(ways)) for way in at_once):
            raise _Conflict
        lines = self._lines(block, 0, at_once)
        returns = _returns(lines)
        if lines and returns and waiting:
            lines = [self._spawned_lines(lines)]
        body += [_in_ahead(line) for line in (self._own_names(lines) if waiting else lines)]
        for other_first, group in waiting[1:]:
            body += [_in_ahead(line) for line in self._spawn(block, other_first, group)]
        if waiting:
            body += self._strand_body(block, *waiting[0])
        return body

    def _strand(self, body: list[ast.stmt]) -> ast.stmt:
        taken = [name for name in exposed_names(body) if name in self._local]
        walked = walked_names(body)
        name = self._name(AHEAD)
        parameters = ast.arguments(
            posonlyargs=[], args=[ast.arg(n) for n in taken], kwonlyargs=[], kw_defaults=[], defaults=[]
        )
        self._strands.append(_function(name, parameters, _tidied(body)))
        arguments = [self._passed(n, n in walked) for n in taken]
        return ast.Expr(_hermod("spawn", ast.Call(ast.Name(name, ast.Load()), arguments, [])))

    def _spawned_lines(self, lines: list[ast.stmt]) -> ast.stmt:
        """Lines that may return, in a strand of their own."""
        return self._strand([_in_ahead(line) for line in lines])

    def _passed(self, name: str, is_walked: bool) -> ast.expr:
        """A name for a strand; what it walks must be such that it can be walked again."""
        value = ast.Name(name, ast.Load())
        return value if not is_walked or self._walks_again(name) else _hermod("again", value)

    def _own_names(self, lines: list[ast.stmt]) -> list[ast.stmt]:
        """Lines that bind names of their own only."""
        names = {name: self._name(f"_{name.lstrip('_')}") for name in sorted(bound_in(lines))}
        return renamed(lines, names)

    # Statements

    def _lines(self, block: Block, base: int, ways: list[_Way]) -> list[ast.stmt]:
        """The steps of a block that are in `base` or on one of the ways, and the starts of those that end in it."""
        found: list[ast.stmt] = []
        wanted = base
        for way in ways:
            wanted |= way.keep | 1 << way.ask.index
        wanted &= bits_in(block)
        while wanted:
            node = _step(block, (wanted & -wanted).bit_length() - 1)
            wanted &= ~((1 << node.end) - 1)
            found.extend(self._line(node, base, ways))
        return found

    def _line(self, node: Node, base: int, ways: list[_Way]) -> list[ast.stmt]:
        match node:
            case Bind():
                return [copied(node.stmt)]
            case Ask():
                is_awaited = any(bits >> node.index & 1 for bits in (base, *(way.keep for way in ways)))
                return self._awaited(node) if is_awaited else [_in_ahead(self._started(node))]
            case Exit():
                return [{"return": ast.Return, "break": ast.Break, "continue": ast.Continue}[node.kind]()]
            case Branch():
                body, orelse = (self._arm(inner, base, ways) for inner in (node.body, node.orelse))
                test = copied(node.test)
                if orelse and not body:
                    return [ast.If(ast.UnaryOp(ast.Not(), test), orelse, [])]
                return [ast.If(test, body or [ast.Pass()], orelse)]
            case Loop():
                return [self._loop(node, base, ways)]
        raise NotCut(f"line {node.anchor.lineno}: {type(node).__name__} in ahead code")

    def _arm(self, block: Block, base: int, ways: list[_Way]) -> list[ast.stmt]:
        inside, others = _divided(block, ways)
        carried = self._serial[-1]
        if inside and carried:
            return self._serial_block(block, inside, others, carried)
        at_once, waiting = self._parted(block, inside)
        spawned = [line for first, group in waiting for line in self._spawn(block, first, group)]
        return [*spawned, *self._lines(block, base, [*others, *at_once])]

    def _loop(self, node: Loop, base: int, ways: list[_Way]) -> ast.stmt:
        inside, others = _divided(node.body, ways)
        carried = 0
        for way in inside:
            carried |= way.carried
        serial = any(self._is_serial(node, way) for way in inside)
        self._serial.append(carried if serial else 0)
        if serial:
            body = self._serial_block(node.body, inside, others, carried)
        else:
            body = self._arm(node.body, base | carried, ways)
        self._serial.pop()
        orelse = self._arm(node.orelse, base, ways)
        return ast.For(copied(node.target), copied(node.iter), body or [ast.Pass()], orelse)

    def _serial_block(self, block: Block, ways: list[_Way], others: list[_Way], carried: int) -> list[ast.stmt]:
        """A part of an iteration that the next one waits for: what that needs is awaited here, all else beside it."""
        inside = bits_in(block)
        along = [way for way in ways if not way.keep & self._asks & inside & ~carried]
        at_once, waiting = self._parted(block, [way for way in ways if way not in along])
        spawned = [_in_ahead(line) for first, group in waiting for line in self._spawn(block, first, group)]
        return [*spawned, *self._lines(block, carried, [*others, *along, *at_once])]

    def _started(self, node: Ask) -> ast.stmt:
        assert node.site is not None
        call = copied(node.call)
        helper = self._helpers.get(call.func.id) if isinstance(call.func, ast.Name) else None
        if helper is not None:
            call = variant_call(call, helper)
        return ast.Expr(start_of(call, node.site, self._tags(node.site)))

    def _awaited(self, node: Ask) -> list[ast.stmt]:
        assert node.site is not None
        call, target = copied(node.call), [ast.Name(node.target, ast.Store())]
        if node.site.form == "helper" or node.site.name == "best_image_match":
            if node.site.form == "function":
                call.func = ast.Name("best_image_match_ask", ast.Load())
                call.keywords += self._tags(node.site)
            return [ast.Assign(list(target), ast.Await(call))]
        handle = self._name("_call")
        begun = ast.Assign([ast.Name(handle, ast.Store())], start_of(call, node.site, self._tags(node.site)))
        value = finish_of(copied(node.call), node.site, ast.Name(handle, ast.Load()))
        return [early_block([begun]), ast.Assign(list(target), value)]


def _function(name: str, arguments: ast.arguments, body: list[ast.stmt]) -> ast.AsyncFunctionDef:
    made = ast.AsyncFunctionDef(name=name, args=arguments, body=body, decorator_list=[])
    vars(made)["type_params"] = []  # which Python 3.12 and later want
    return made


def _step(block: Block, index: int) -> Node:
    """The step of the block that an index lies in."""
    return block.nodes[bisect.bisect_right(block.nodes, index, key=lambda n: n.index) - 1]


def _steps(ways: list[_Way]) -> int:
    steps = 0
    for way in ways:
        steps |= way.keep | 1 << way.ask.index
    return steps


def _divided(block: Block, ways: list[_Way]) -> tuple[list[_Way], list[_Way]]:
    """The ways that end in a block, and the others."""
    inside = [way for way in ways if bits_in(block) >> way.ask.index & 1]
    return inside, [way for way in ways if way not in inside]


def _limit(block: Block, ask: Ask) -> int:
    """One past the last step of the block that matters to the ask: that of the outermost loop around it, or its own."""
    limit, inner = ask.index, ask.block
    while inner is not block and inner.parent is not None:
        if isinstance(inner.parent, Loop):
            limit = inner.parent.end
        inner = inner.parent.block
    return limit


def _hermod(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(ast.Name("hermod", ast.Load()), name, ast.Load()), list(arguments), [])


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _returns(lines: list[ast.stmt]) -> bool:
    return any(isinstance(inner, ast.Return) for line in lines for inner in statements(line))


def _in_ahead(line: ast.stmt) -> ast.stmt:
    """Mark a line for an ahead block; `_tidied` writes the blocks."""
    return line if isinstance(line, ast.With) else early_block([line])


def _without_blocks(lines: Iterable[ast.stmt]) -> list[ast.stmt]:
    """Lines that stand in an ahead block as a whole."""
    found: list[ast.stmt] = []
    for line in lines:
        if isinstance(line, ast.With):
            found.extend(_without_blocks(line.body))
            continue
        if isinstance(line, (ast.If, ast.For)):
            line.body, line.orelse = _without_blocks(line.body), _without_blocks(line.orelse)
        found.append(line)
    return found


def _tidied(lines: Iterable[ast.stmt]) -> list[ast.stmt]:
    """The lines of a strand: what starts calls in ahead blocks, as few as can be."""
    found: list[ast.stmt] = []
    for line in lines:
        if not any(isinstance(inner, ast.With) for inner in statements(line)):
            found.append(line)
        elif any(isinstance(node, (ast.Await, ast.Return)) for node in walk(line)):
            if isinstance(line, (ast.If, ast.For)):
                line.body, line.orelse = _tidied(line.body), _tidied(line.orelse)
            found.append(line)
        elif found and isinstance(found[-1], ast.With):
            found[-1].body.extend(_without_blocks([line]))
        else:
            found.append(early_block(_without_blocks([line])))
    return found


def _without_continue(lines: list[ast.stmt]) -> list[ast.stmt]:
    """`continue` and `break` of the loop around end the strand of one iteration."""
    for place, line in enumerate(lines):
        if isinstance(line, (ast.Continue, ast.Break)):
            lines[place] = ast.Return()
        for block in [line.orelse] if isinstance(line, ast.For) else inner_blocks(line):  # its body has its own
            _without_continue(block)
    return lines
