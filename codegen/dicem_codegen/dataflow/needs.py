"""What each step of a shadow needs: the steps that bind what it reads, change it, or decide that it happens at all.

A walk over the structured program with, for each location, the steps whose effect can be seen there.  What goes around
the back edge of a loop is marked with the loop.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from ..walking import walk
from .ir import Ask, Bind, Block, Branch, Exit, Loc, Loop, Node, Pinned
from .objects import SHARED, Objects
from .purity import ITERATES, Purity

Seen = frozenset[tuple[Node, "Loop | None"]]
_RETURN: Loc = ("exit", "return")


def find_needs(root: Block, objects: Objects, purity: Purity, parameters: Iterable[str]) -> None:
    """Fill in `reads`, `writes`, `mutates` and `needs` of every step."""
    order = list(root.walk())
    for node in order:  # all that may mean the same object must be known before anything is said of it
        _join_objects(node, objects)
    for name in parameters:
        objects.join(objects.of_name(name), SHARED)
    for node in order:
        _note_locations(node, objects, purity)
    _Walk().block(root, _State())
    for node in order:
        node.needs = sorted(set(node.needs), key=lambda e: (e[0].index, e[1].index if e[1] else -1))


def _join_objects(node: Node, objects: Objects) -> None:  # noqa: PLR0912 - one case a kind of step
    match node:
        case Bind(stmt=ast.Assign(targets=targets, value=value)):
            for target in targets:
                objects.bind(target, value)
            _note_put(value, objects)
        case Bind(stmt=ast.AugAssign(target=target, value=value)):
            holder = objects.of(target)
            inner = objects.of(value)
            if holder is not None and inner is not None:
                objects.join(objects.content(holder), objects.content(inner))
        case Bind(stmt=ast.Expr(value=value)):
            _note_put(value, objects)
        case Ask(target=target, site=site, call=call) if site is not None and site.form == "helper":
            made = objects.of_name(target)  # it may give back what it was given
            for value in (*call.args, *(k.value for k in call.keywords)):
                kind = objects.of(value)
                if kind is not None:
                    objects.join(made, kind)
                    objects.join(made, objects.content(kind))
        case Loop(target=target, iter=walked):
            objects.bind(target, walked, element=True)
        case Pinned(watched=watched, puts=puts):
            for target, value in puts:
                objects.bind(target, value)
            if node.is_barrier or node.may_keep:
                for kind, name in [loc for tree in watched for loc in objects.locations(tree)]:
                    if kind == "object":
                        objects.join(name, SHARED)
                for _, name in node.writes:
                    objects.join(objects.of_name(name), SHARED)


def _note_put(value: ast.expr, objects: Objects) -> None:
    """`a.append(b)`: what b means is inside of what a means."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        holder = objects.of(value.func.value)
        for argument in (*value.args, *(k.value for k in value.keywords)):
            kind = objects.of(argument)
            if holder is not None and kind is not None:
                objects.join(objects.content(holder), kind)
                if value.func.attr in ITERATES:
                    objects.join(objects.content(holder), objects.content(kind))


def _note_locations(node: Node, objects: Objects, purity: Purity) -> None:
    match node:
        case Bind(stmt=statement):
            _note_statement(node, statement, objects, purity)
        case Ask(call=call, target=target):
            node.reads = _read(call, objects)
            node.writes = {("name", target)}
        case Branch(test=test):
            node.reads = _read(test, objects)
        case Loop(target=target, iter=walked):
            node.reads = _read(walked, objects)
            node.writes = {("name", n.id) for n in walk(target) if isinstance(n, ast.Name)}
        case Pinned():
            for tree in node.watched:
                node.reads |= objects.locations(tree)
            for holder in node.changes:
                kind = objects.of(holder)
                if kind is not None:
                    node.mutates.add(("object", kind))
            if node.is_barrier:
                node.mutates |= {loc for loc in node.reads if loc[0] in ("object", "attr")}
                node.mutates.add(("object", SHARED))


def _note_statement(node: Bind, statement: ast.stmt, objects: Objects, purity: Purity) -> None:
    match statement:
        case ast.Assign(targets=targets, value=value):
            node.reads = _read(value, objects)
            _note_mutation(node, value, objects, purity)
            for target in targets:
                _note_target(node, target, objects)
        case ast.AugAssign(target=target, value=value):
            node.reads = _read(value, objects) | _read(target, objects)
            _note_target(node, target, objects)
            kind = objects.of(target)
            if kind is not None:
                node.mutates.add(("object", kind))
        case ast.Expr(value=value):
            node.reads = _read(value, objects)
            _note_mutation(node, value, objects, purity)


def _note_target(node: Bind, target: ast.expr, objects: Objects) -> None:
    match target:
        case ast.Name(id=name):
            node.writes.add(("name", name))
        case ast.Subscript(value=holder):
            node.reads |= _read(target, objects)
            kind = objects.of(holder)
            if kind is not None:
                node.mutates.add(("object", kind))
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            for element in elements:
                _note_target(node, element, objects)
        case ast.Starred(value=value):
            _note_target(node, value, objects)


def _note_mutation(node: Bind, value: ast.expr, objects: Objects, purity: Purity) -> None:
    if isinstance(value, ast.Call) and purity.effect(value) == "mutates":
        for changed in purity.changed_by(value):
            kind = objects.of(changed)
            if kind is not None:
                node.mutates.add(("object", kind))


def _read(tree: ast.AST, objects: Objects) -> set[Loc]:
    return objects.locations(tree)


class _State:
    """What can be seen at one point: changes on top of another state, which stays as it is."""

    def __init__(self, under: _State | None = None) -> None:
        self.under = under
        self.own: dict[Loc, Seen] = {}
        self.is_dead = False
        """nothing comes by here: an exit stands before"""

    def get(self, loc: Loc) -> Seen:
        state: _State | None = self
        while state is not None:
            found = state.own.get(loc)
            if found is not None:
                return found
            state = state.under
        return _NOTHING

    def since(self, base: _State) -> dict[Loc, Seen]:
        """All changes on top of `base`."""
        layers = []
        state: _State = self
        while state is not base:
            layers.append(state.own)
            assert state.under is not None
            state = state.under
        changes: dict[Loc, Seen] = {}
        for layer in reversed(layers):
            changes.update(layer)
        return changes


_NOTHING: Seen = frozenset()
_Ways = Sequence["dict[Loc, Seen]"]


class _Walk:
    """The walk.  States are changed in place."""

    def __init__(self) -> None:
        self._bases: dict[Loop, _State] = {}
        self._breaks: dict[Loop, list[dict[Loc, Seen]]] = {}
        self._continues: dict[Loop, list[dict[Loc, Seen]]] = {}

    def block(self, block: Block, state: _State) -> None:
        for node in block.nodes:
            self._node(node, state)

    def _node(self, node: Node, state: _State) -> None:
        self._use(node, state)
        match node:
            case Branch(body=body, orelse=orelse):
                arms = [_State(state), _State(state)]
                self.block(body, arms[0])
                self.block(orelse, arms[1])
                _merge(state, arms)
            case Loop():
                self._loop(node, state)
            case Exit():
                self._exit(node, state)
            case Pinned():
                inside = [_State(state) for _ in node.regions]
                for region, inner in zip(node.regions, inside, strict=True):
                    self.block(region, inner)
                    inner.is_dead = False  # whoever catches what is raised sees what was done before
                if inside:
                    _merge(state, [_State(state), *inside])
                self._bind(node, state)
            case _:
                self._bind(node, state)

    def _use(self, node: Node, state: _State) -> None:
        for loc in (*node.reads, _RETURN):
            node.needs.extend(state.get(loc))
        parent = node.block.parent
        if parent is not None and not isinstance(parent, Pinned):
            node.needs.append((parent, None))
        block: Block | None = node.block
        while block is not None and block.parent is not None:
            if isinstance(block.parent, Loop):
                node.needs.extend(state.get(_exit_of(block.parent)))
            block = block.parent.block
        for loc in node.mutates:  # what is changed in place was there before, and is changed in order
            node.needs.extend(state.get(loc))

    def _bind(self, node: Node, state: _State) -> None:
        own: Seen = frozenset({(node, None)})
        for loc in node.writes:
            state.own[loc] = own
        for loc in node.mutates:
            state.own[loc] = state.get(loc) | own

    def _exit(self, node: Exit, state: _State) -> None:
        loc = _RETURN if node.kind == "return" or node.loop is None else _exit_of(node.loop)
        state.own[loc] = state.get(loc) | {(node, None)}
        if node.loop is not None and node.kind != "return":
            kept = self._breaks if node.kind == "break" else self._continues
            kept.setdefault(node.loop, []).append(state.since(self._bases[node.loop]))
        state.is_dead = True

    def _loop(self, node: Loop, state: _State) -> None:
        exits = _exit_of(node)
        carried: dict[Loc, Seen] = {}
        for _ in range(2):  # once for the first iteration, once more for what the one before left behind
            inside = self._bases[node] = _State(state)
            for loc, seen in carried.items():
                inside.own[loc] = seen | state.get(loc)
            # What is walked may be changed on the way.
            node.needs.extend(e for loc in node.reads if loc[0] == "object" for e in inside.get(loc) if e[1] is node)
            self._bind(node, inside)
            body = _State(inside)
            self.block(node.body, body)
            continues, breaks = self._continues.pop(node, []), self._breaks.pop(node, [])
            ends: list[dict[Loc, Seen]] = [] if body.is_dead else [body.since(inside)]
            exits_only = [{k: v for k, v in body.since(inside).items() if k[0] == "exit"}] if body.is_dead else []
            around = _State(inside)
            _merge_changes(around, [*ends, *continues] or [{}])
            _add(around, exits_only)
            # A `continue` says nothing of the iterations after it.
            around.own[exits] = frozenset(e for e in around.get(exits) if not _is_continue(e[0]))
            carried = {loc: _around(seen, node) for loc, seen in around.since(state).items()}
        after = _State(state)
        ended = {loc: _left(around.get(loc), node) for loc in around.since(state)}
        with_base = [{loc: _left(seen, node) for loc, seen in {**inside.own, **b}.items()} for b in breaks]
        _merge_changes(after, [{}, ended])
        self.block(node.orelse, after)
        ways = [after, *(_State(state) for _ in with_base)]
        for way, changes in zip(ways[1:], with_base, strict=True):
            way.own.update(changes)
        _merge(state, ways)
        # Which element was the last one hangs on what broke the loop.
        broken = frozenset((n, None) for b in breaks for n, _ in b.get(exits, _NOTHING) if not _is_continue(n))
        for loc in node.writes:
            state.own[loc] = state.get(loc) | broken
        state.own.pop(exits, None)


def _exit_of(loop: Loop) -> Loc:
    return ("exit", f"loop{loop.index}")


def _is_continue(node: Node) -> bool:
    return isinstance(node, Exit) and node.kind == "continue"


def _around(seen: Seen, loop: Loop) -> Seen:
    """Marked as having come around the loop, where it was done inside."""
    return frozenset((n, loop if loop.index <= n.index < loop.end else c) for n, c in seen)


def _left(seen: Seen, loop: Loop) -> Seen:
    """As seen from behind the loop: what an earlier iteration did is done."""
    return frozenset((n, None if c is loop else c) for n, c in seen)


def _merge(base: _State, ways: Sequence[_State]) -> None:
    """Let `base` see what can be seen where ways from it meet.  A way that is dead leaves only its exits."""
    alive = [way.since(base) for way in ways if not way.is_dead]
    dead = [{k: v for k, v in way.since(base).items() if k[0] == "exit"} for way in ways if way.is_dead]
    if alive:
        _merge_changes(base, alive)
    else:
        base.is_dead = True
    _add(base, dead)


def _merge_changes(base: _State, ways: _Ways) -> None:
    changed = {loc for way in ways for loc in way}
    merged = {}
    for loc in changed:
        seen: Seen = _NOTHING
        for way in ways:
            seen |= way[loc] if loc in way else base.get(loc)
        merged[loc] = seen
    base.own.update(merged)


def _add(base: _State, ways: _Ways) -> None:
    for way in ways:
        for loc, seen in way.items():
            base.own[loc] = base.get(loc) | seen
