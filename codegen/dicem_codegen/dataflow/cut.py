"""Cuts ahead code out of a shadow: the statements that start the calls of one `Start`, and the strands they need."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..types import CallSite
from .ahead import Start
from .calls import finish_of, start_of
from .ir import Ask, Bind, Block, Branch, Exit, Loop, Node
from .objects import Objects
from .purity import ITERATES

Tags = Callable[[CallSite], list[ast.keyword]]
AHEAD = "ahead"


class NotCut(Exception):
    """No ahead code can be cut here; says why."""


@dataclass
class Cut:
    """Ahead code: what stands in line, and the strands that it starts."""

    inline: list[ast.stmt]
    strands: list[ast.AsyncFunctionDef] = field(default_factory=list)


@dataclass(eq=False)
class _Line:
    """A statement that was cut, and what is known of it."""

    stmt: ast.stmt
    waits: bool = False
    is_carried: bool = False


class Cutter:
    """Cuts in one function.

    `local` are the function's own names; `names` gives new ones; `is_list` says of a name that walking it twice is safe.
    """

    def __init__(
        self, local: frozenset[str], objects: Objects, names: Callable[[str], str], tags: Tags,
        walks_again: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self._local, self._objects, self._name, self._tags = local, objects, names, tags
        self._walks_again = walks_again
        self._strands: list[ast.AsyncFunctionDef] = []
        self._start = Start(Block(None, None), ast.Pass(), 0, [], set(), 0)
        self._targets: set[Node] = set()

    def cut(self, start: Start) -> Cut:
        """The code for one start.

        :raises NotCut: it would change or use up what the program has
        """
        self._start, self._targets, self._strands = start, set(start.targets), []
        lines = self._lines(start.block)
        inline = self._split(lines, in_loop=False)
        self._check_captured(inline)
        return Cut(self._finished(inline), self._strands)

    # Statements, from the shadow's steps

    def _lines(self, block: Block) -> list[_Line]:
        found: list[_Line] = []
        for node in block.nodes:
            if node.end <= self._start.index:
                if node not in self._start.keep:
                    continue
            if self._is_wanted(node):
                found.extend(self._line(node))
        return found

    def _is_wanted(self, node: Node) -> bool:
        if node in self._start.keep or node in self._targets:
            return True
        return False

    def _line(self, node: Node) -> list[_Line]:
        carried = node in self._start.carried
        match node:
            case Bind():
                return [_Line(copy.deepcopy(node.stmt), is_carried=carried)]
            case Ask():
                return self._ask(node)
            case Exit():
                made = {"return": ast.Return, "break": ast.Break, "continue": ast.Continue}[node.kind]()
                return [_Line(made, is_carried=carried)]
            case Branch():
                return [self._branch(node, carried)]
            case Loop():
                return self._loop(node, carried)
        raise NotCut(f"line {node.anchor.lineno}: {type(node).__name__} in ahead code")

    def _ask(self, node: Ask) -> list[_Line]:
        assert node.site is not None
        call = copy.deepcopy(node.call)
        if node not in self._start.keep:
            return [_Line(ast.Expr(start_of(call, node.site, self._tags(node.site))))]
        if node.site.form == "helper" or node.site.name == "best_image_match":
            if node.site.form == "function":
                call.func = ast.Name("best_image_match_ask", ast.Load())
                call.keywords += self._tags(node.site)
            value: ast.expr = ast.Await(call)
            return [_Line(ast.Assign([ast.Name(node.target, ast.Store())], value), waits=True)]
        handle = self._name("_call")
        begun = ast.Assign([ast.Name(handle, ast.Store())], start_of(call, node.site, self._tags(node.site)))
        value = finish_of(copy.deepcopy(node.call), node.site, ast.Name(handle, ast.Load()))
        return [_Line(begun), _Line(ast.Assign([ast.Name(node.target, ast.Store())], value), waits=True)]

    def _branch(self, node: Branch, carried: bool) -> _Line:
        body, orelse = self._lines(node.body), self._lines(node.orelse)
        made = ast.If(
            copy.deepcopy(node.test), [line.stmt for line in body] or [ast.Pass()], [line.stmt for line in orelse]
        )
        return _Line(made, waits=any(line.waits for line in (*body, *orelse)), is_carried=carried)

    def _loop(self, node: Loop, carried: bool) -> list[_Line]:
        body = self._lines(node.body)
        if self._is_serial(node):
            statements, waits = [line.stmt for line in body], any(line.waits for line in body)
        else:
            statements, waits = self._split(body, in_loop=True), False
        orelse = self._lines(node.orelse)
        waits |= any(line.waits for line in orelse)
        made = ast.For(
            copy.deepcopy(node.target), copy.deepcopy(node.iter), statements or [ast.Pass()],
            [line.stmt for line in orelse],
        )  # fmt: skip
        return [_Line(made, waits=waits, is_carried=carried)]

    def _is_serial(self, node: Loop) -> bool:
        """Whether what stands after it needs what its iterations found: then the slice walks through it, awaiting."""
        inside = {n for n in node.body.walk()}
        return not any(target in inside for target in self._targets)

    # Strands

    def _split(self, lines: list[_Line], *, in_loop: bool) -> list[ast.stmt]:
        """What comes before the first await stays in line; what is left goes into a strand."""
        first = next((i for i, line in enumerate(lines) if line.waits), None)
        if first is None and not (not in_loop and _returns(lines)):
            return [line.stmt for line in lines]
        if first is None:
            first = 0
        while first > 0 and _is_handle(lines[first - 1].stmt) and lines[first].waits:
            first -= 1
        before, rest = lines[:first], lines[first:]
        spawned = self._spawn([line.stmt for line in rest], in_loop=in_loop)
        again = [copy.deepcopy(line.stmt) for line in rest if line.is_carried]
        return [*(line.stmt for line in before), spawned, *again]

    def _spawn(self, statements: list[ast.stmt], *, in_loop: bool) -> ast.stmt:
        body = [_without_continue(s) for s in statements] if in_loop else statements
        taken = [name for name in exposed_names(body) if name in self._local or name.startswith("_t")]
        walked = walked_names(body)
        name = self._name(AHEAD)
        strand = ast.AsyncFunctionDef(
            name=name,
            args=ast.arguments(posonlyargs=[], args=[ast.arg(n) for n in taken], kwonlyargs=[], kw_defaults=[],
                               defaults=[]),
            body=in_ahead_blocks(body),
            decorator_list=[],
            type_params=[],
        )  # fmt: skip
        self._strands.append(strand)
        call = ast.Call(ast.Name(name, ast.Load()), [self._passed(n, n in walked) for n in taken], [])
        return ast.Expr(ast.Call(ast.Attribute(ast.Name("hermod", ast.Load()), "spawn", ast.Load()), [call], []))

    def _check_captured(self, inline: list[ast.stmt]) -> None:
        """The slice may change only what it has made.

        :raises NotCut: it would change something of the program's
        """
        changed = {loc for n in self._start.keep for loc in n.mutates}
        if not changed:
            return
        taken = [name for name in exposed_names(inline) if name in self._local or name.startswith("_t")]
        for name in taken:
            if self._objects.locations(ast.Name(name, ast.Load())) & changed:
                raise NotCut(f"{name} is changed on the way")

    def _passed(self, name: str, is_walked: bool) -> ast.expr:
        """A name for a strand; what it walks must be such that it can be walked again."""
        value = ast.Name(name, ast.Load())
        if not is_walked or self._walks_again(name):
            return value
        return ast.Call(ast.Attribute(ast.Name("hermod", ast.Load()), "again", ast.Load()), [value], [])

    def _finished(self, inline: list[ast.stmt]) -> list[ast.stmt]:
        """The code in line, with names of its own, and safe against iterators."""
        bound = bound_in(inline)
        walked = walked_names(inline) - bound
        taken = [n for n in exposed_names(inline) if n in self._local and n in walked and not self._walks_again(n)]
        names = {name: self._name(f"_{name.lstrip('_')}") for name in sorted(bound)}
        guards: list[ast.stmt] = [
            ast.Expr(ast.Call(ast.Attribute(ast.Name("hermod", ast.Load()), "again", ast.Load()),
                              [ast.Name(name, ast.Load())], []))
            for name in taken
        ]  # fmt: skip
        return [*guards, *(_Renamed(names).visit(statement) for statement in inline)]


class _Renamed(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:  # noqa: N802
        node.id = self._names.get(node.id, node.id)
        return node


class _ContinueAsReturn(ast.NodeTransformer):
    def visit_Continue(self, node: ast.Continue) -> ast.stmt:  # noqa: N802
        return ast.Return()

    def visit_For(self, node: ast.For) -> ast.For:  # noqa: N802
        return node  # its own


def _without_continue(statement: ast.stmt) -> ast.stmt:
    made: ast.stmt = _ContinueAsReturn().visit(statement)
    return made


def _is_handle(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        and statement.targets[0].id.startswith("_call")
    )  # fmt: skip


def _returns(lines: list[_Line]) -> bool:
    return any(isinstance(node, ast.Return) for line in lines for node in ast.walk(line.stmt))


def bound_in(statements: Iterable[ast.stmt]) -> set[str]:
    """The names that statements bind."""
    return {n.id for s in statements for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def walked_names(statements: Iterable[ast.stmt]) -> set[str]:
    """The names whose values are walked, perhaps."""
    found: set[str] = set()
    for statement in statements:
        for node in ast.walk(statement):
            parts: list[ast.expr] = []
            match node:
                case ast.For(iter=walked) | ast.comprehension(iter=walked):
                    parts = [walked]
                case ast.Starred(value=value):
                    parts = [value]
                case ast.Compare(comparators=comparators):
                    parts = comparators
                case ast.Assign(targets=[ast.Tuple() | ast.List()], value=value):
                    parts = [value]
                case ast.Call(func=func, args=arguments):
                    name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
                    parts = arguments if name in ITERATES or not isinstance(func, ast.Attribute) else []
            found |= {part.id for part in parts if isinstance(part, ast.Name)}
    return found


def exposed_names(statements: Iterable[ast.stmt]) -> list[str]:
    """The names that are read before these statements have surely bound them, in order of appearance."""
    found: dict[str, None] = {}
    _exposed(list(statements), set(), found)
    return list(found)


def _exposed(statements: list[ast.stmt], bound: set[str], found: dict[str, None]) -> None:
    for statement in statements:
        match statement:
            case ast.If(test=test, body=body, orelse=orelse):
                _note(test, bound, found)
                one, other = set(bound), set(bound)
                _exposed(body, one, found)
                _exposed(orelse, other, found)
                bound |= one & other
            case ast.For(target=target, iter=walked, body=body, orelse=orelse):
                _note(walked, bound, found)
                _exposed(body, bound | bound_in([ast.Expr(target)]), found)
                _exposed(orelse, set(bound), found)
            case ast.Assign(targets=targets, value=value):
                _note(value, bound, found)
                for target in targets:
                    _note(target, bound, found)
                bound |= bound_in([statement])
            case ast.AugAssign(target=target, value=value):
                _note(value, bound, found)
                for node in ast.walk(target):
                    if isinstance(node, ast.Name) and node.id not in bound:
                        found.setdefault(node.id)
            case _:
                _note(statement, bound, found)


def _note(tree: ast.AST, bound: set[str], found: dict[str, None]) -> None:
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.comprehension):
            own |= {n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)}
        elif isinstance(node, ast.Lambda):
            own |= {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in bound | own:
            found.setdefault(node.id)


def in_ahead_blocks(statements: list[ast.stmt]) -> list[ast.stmt]:
    """The body of a strand, with what starts calls inside `with hermod.ahead():`."""
    made: list[ast.stmt] = []
    run: list[ast.stmt] = []

    def flush() -> None:
        if run:
            made.append(ahead_block(list(run)) if any(map(_starts, run)) else run[0])
            if not any(map(_starts, run)):
                made.extend(run[1:])
            run.clear()

    for statement in statements:
        if any(isinstance(node, (ast.Await, ast.Return)) for node in ast.walk(statement)):
            flush()
            made.append(_inner_blocks(statement))
        elif _starts(statement):
            run.append(statement)
        else:
            flush()
            made.append(statement)
    flush()
    return made


def _inner_blocks(statement: ast.stmt) -> ast.stmt:
    if isinstance(statement, (ast.If, ast.For)):
        statement.body = in_ahead_blocks(statement.body)
        statement.orelse = in_ahead_blocks(statement.orelse)
    return statement


def _starts(statement: ast.stmt) -> bool:
    for node in ast.walk(statement):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("call", "spawn") or name.endswith("_start"):
                return True
    return False


def ahead_block(body: list[ast.stmt]) -> ast.With:
    """`with hermod.ahead(): body`."""
    made = ast.Call(ast.Attribute(ast.Name("hermod", ast.Load()), "ahead", ast.Load()), [], [])
    return ast.With([ast.withitem(made)], body)
