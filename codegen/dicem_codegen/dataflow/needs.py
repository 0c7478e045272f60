"""What each step of a shadow needs: the steps that bind what it reads, change it, or decide that it happens at all.

A walk over the structured program with, for each location, the steps whose effect can be seen there.  What goes around
the back edge of a loop is marked with the loop.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from .ir import Ask, Bind, Block, Branch, Exit, Loc, Loop, Node, Pinned
from .objects import SHARED, Objects
from .purity import ITERATES, Purity

Seen = frozenset[tuple[Node, "Loop | None"]]
State = dict[Loc, Seen]
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
    _Walk().block(root, {})
    for node in order:
        node.needs = sorted(set(node.needs), key=lambda e: (e[0].index, e[1].index if e[1] else -1))


def _join_objects(node: Node, objects: Objects) -> None:
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
        case Ask(target=target):
            objects.of_name(target)
        case Loop(target=target, iter=walked):
            objects.bind(target, walked, element=True)
        case Pinned(watched=watched):
            for tree in watched:
                for loc in objects.locations(tree):
                    if loc[0] == "object" and node.is_barrier:
                        objects.join(loc[1], SHARED)


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
            node.writes = {("name", n.id) for n in ast.walk(target) if isinstance(n, ast.Name)}
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
    if isinstance(value, ast.Call) and purity.effect(value) == "mutates" and isinstance(value.func, ast.Attribute):
        kind = objects.of(value.func.value)
        if kind is not None:
            node.mutates.add(("object", kind))


def _read(tree: ast.AST, objects: Objects) -> set[Loc]:
    return objects.locations(tree)


class _Walk:
    """The walk.  `state` is changed in place; None is a state that nothing reaches."""

    def __init__(self) -> None:
        self._breaks: dict[Loop, list[State]] = {}
        self._continues: dict[Loop, list[State]] = {}

    def block(self, block: Block, state: State | None) -> State | None:
        for node in block.nodes:
            if state is None:
                state = {}  # never reached; what stands there still gets its needs
            state = self._node(node, state)
        return state

    def _node(self, node: Node, state: State) -> State | None:
        self._use(node, state)
        match node:
            case Branch(body=body, orelse=orelse):
                return _merged([self.block(body, dict(state)), self.block(orelse, dict(state))])
            case Loop():
                return self._loop(node, state)
            case Exit():
                return self._exit(node, state)
            case Pinned():
                inside = [self.block(region, dict(state)) for region in node.regions]
                if node.regions:
                    state = _merged([state, *inside]) or state
                    # Names bound inside are the barrier's own for whoever stands outside.
                self._bind(node, state)
                return state
        self._bind(node, state)
        return state

    def _use(self, node: Node, state: State) -> None:
        for loc in (*node.reads, _RETURN):
            node.needs.extend(state.get(loc, ()))
        block: Block | None = node.block
        parent = node.block.parent
        if parent is not None and not isinstance(parent, Pinned):
            node.needs.append((parent, None))
        while block is not None and block.parent is not None:
            if isinstance(block.parent, Loop):
                node.needs.extend(state.get(("exit", f"loop{block.parent.index}"), ()))
            block = block.parent.block
        if isinstance(node, (Bind, Pinned)):
            # What is changed in place was there before, and is changed in order.
            for loc in node.mutates:
                node.needs.extend(state.get(loc, ()))

    def _bind(self, node: Node, state: State) -> None:
        own: Seen = frozenset({(node, None)})
        for loc in node.writes:
            state[loc] = own
        for loc in node.mutates:
            state[loc] = state.get(loc, frozenset()) | own

    def _exit(self, node: Exit, state: State) -> State | None:
        own: Seen = frozenset({(node, None)})
        loc = _RETURN if node.kind == "return" or node.loop is None else ("exit", f"loop{node.loop.index}")
        state[loc] = state.get(loc, frozenset()) | own
        if node.kind == "break" and node.loop is not None:
            self._breaks.setdefault(node.loop, []).append(state)
        elif node.kind == "continue" and node.loop is not None:
            self._continues.setdefault(node.loop, []).append(state)
        elif node.kind == "return":
            return {loc: state[loc], _DEAD: own}
        return {loc: state[loc], _DEAD: own}

    def _loop(self, node: Loop, state: State) -> State | None:
        entry = state
        after: State | None = None
        exits = f"loop{node.index}"
        for _ in range(2):  # once for the first iteration, once more for what the one before left behind
            inside = dict(entry)
            self._bind(node, inside)
            end = self.block(node.body, inside)
            ends = _merged([end, *self._continues.pop(node, [])])
            breaks = self._breaks.pop(node, [])
            if ends is not None:
                # A `continue` says nothing of the iterations after it.
                went_on = frozenset(e for e in ends.get(("exit", exits), ()) if not _is_continue(e[0]))
                ends = {**ends, ("exit", exits): went_on}
            after = _merged([dict(state), ends, *breaks])
            entry = _merged([dict(state), _carried(ends, node)]) or dict(state)
        result = self.block(node.orelse, after or dict(state)) if node.orelse.nodes else after
        if result is not None:
            result = {k: v for k, v in result.items() if k != ("exit", exits)}
        return result


_DEAD: Loc = ("exit", "dead")


def _is_continue(node: Node) -> bool:
    return isinstance(node, Exit) and node.kind == "continue"


def _merged(states: Iterable[State | None]) -> State | None:
    """What can be seen where several ways meet.  A way that ended in an exit leaves only that exit."""
    there = [s for s in states if s is not None]
    alive = [s for s in there if _DEAD not in s]
    if not there:
        return None
    result: State = {}
    for state in alive or there:
        for loc, seen in state.items():
            if loc in result:
                if result[loc] is not seen:
                    result[loc] |= seen
            else:
                result[loc] = seen
    for state in there:  # the exits of the ways that ended
        for loc, seen in state.items():
            if loc[0] == "exit" and loc != _DEAD:
                result[loc] = result.get(loc, frozenset()) | seen
    return result


def _carried(state: State | None, loop: Loop) -> State | None:
    if state is None:
        return None
    return {
        loc: frozenset((n, loop if loop.index < n.index < loop.end or n is loop else c) for n, c in seen)
        for loc, seen in state.items()
    }


def steps_inside(loop: Loop) -> Iterator[Node]:
    """The steps of the body."""
    yield from loop.body.walk()
