"""Calls for the elements of a list, beside the line that puts each element into it.

    near = [patch for patch in found if patch.compute_depth() < 5]
    names = [patch.simple_query("What is this?") for patch in near]

The second loop waits for all of the first one, though what it asks of an element hangs on that element alone.  So its
calls stand a second time in the shadow, in the first loop behind `append`, to be started there (`Ask.common`); that is
loop fusion, of the calls only.  Where the second loop walks a list in another order, as `sorted` gives it, they stand
in a loop over the list as it was.  The program itself stays as it is: its calls meet those that have been started.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..walking import copied, walk
from .copies import Copy, asks_in, names_bound, names_read, nodes_in, renamed_in
from .ir import Ask, Bind, Block, Branch, Exit, Loop, Node, Pinned
from .purity import Purity

_ORDERS = frozenset({"sorted", "list", "tuple", "reversed", "enumerate"})
"""Functions that give the elements of a list again, in some order."""
_FILLED: dict[tuple[type[ast.cmpop], int], bool] = {
    (ast.Gt, 0): True, (ast.GtE, 1): True, (ast.NotEq, 0): True,
    (ast.Eq, 0): False, (ast.Lt, 1): False, (ast.LtE, 0): False,
}  # fmt: skip
"""What comparing a length says: that there is something, or nothing."""
_BUILTINS = _ORDERS | {"zip", "len", "iter", "set", "dict"}
"""What this takes to mean what Python means by it."""
_FAR = 8
"""names that are followed one to the next"""


@dataclass
class Fusion:
    """Puts the calls of loops into the loops before them, in one function."""

    purity: Purity
    is_found: Callable[[ast.Name], bool]
    """whether a name holds what calls gave, or what nobody can change: no list of the program's own"""
    temp: Callable[[], str]
    """makes a name that the program has not"""
    _bound: dict[str, list[Node]] = field(default_factory=dict)
    _ours: set[str] = field(default_factory=set)
    """names of elements that were made here: they hold what was found"""
    _inserted: set[Loop] = field(default_factory=set)
    _followed: set[str] = field(default_factory=set)
    """the names of the list that is followed"""

    def fuse(self, root: Block) -> None:
        """Change a shadow that has not been numbered yet."""
        if any(self.purity.is_own(name) for name in _BUILTINS):
            return
        for node in root.walk():
            for name in names_bound(node):
                self._bound.setdefault(name, []).append(node)
        self._block(root)

    def _block(self, block: Block) -> None:
        for node in list(block.nodes):
            for inner in node.blocks:
                self._block(inner)
        for node in reversed(list(block.nodes)):
            if isinstance(node, Loop):
                self._loop(block, node)

    def _loop(self, block: Block, loop: Loop) -> None:
        """Find where the elements of what a loop walks come from, and put its calls there."""
        if loop.orelse.nodes or not asks_in([loop]):
            return
        way = _Way(loop, block, block.nodes.index(loop))
        self._followed = set()
        match loop.iter, loop.target:
            case ast.Call(func=ast.Name(id="zip"), args=lists, keywords=[]), ast.Tuple(elts=parts):
                if lists and len(lists) == len(parts) and not any(isinstance(p, ast.Starred) for p in [*parts, *lists]):
                    self._zipped(way, parts, lists)
            case _:
                self._follow(way, *_element(loop.target, loop.iter))

    def _follow(self, way: _Way, target: ast.expr | None, source: ast.expr) -> None:
        """From a list to what it was made of."""
        for _ in range(_FAR):
            if target is None or not isinstance(source, ast.Name):
                return
            self._followed.add(source.id)
            maker = self._only_binding(source.id, way)
            while maker is None and way.leave(self._followed):
                maker = self._only_binding(source.id, way)
            if maker is None:
                return
            at = way.block.nodes.index(maker)
            if isinstance(maker, Ask):
                if self._is_sorted_in(way.since(at)):
                    self._over(way, target, source, at + 1)
                return
            made = maker.stmt.value  # type: ignore[attr-defined]
            if isinstance(made, ast.List) and not made.elts:
                self._into_maker(way, target, source.id, at)
                return
            given = _in_some_order(made)
            if given is not None and asks_in(way.block.nodes[: way.place]):
                # What gives the elements of another list: these are known before, and so are its calls.
                fused = self._over(way, target, given, at)
                if fused is None:
                    return
                target, way, source = fused.target, _Way(fused, way.block, at), given
            elif isinstance(made, ast.Name):
                source = made
            else:
                return

    def _only_binding(self, name: str, way: _Way) -> Bind | Ask | None:
        """The one step that binds a name, if that stands in this block and before that place."""
        bindings = self._bound.get(name, [])
        if len(bindings) != 1 or bindings[0] not in way.block.nodes[: way.place]:
            return None
        match bindings[0]:
            case Bind(stmt=ast.Assign(targets=[ast.Name()])) | Ask():
                return bindings[0]
        return None

    def _is_sorted_in(self, nodes: list[Node]) -> bool:
        """Whether the list that is followed is put in order in place."""
        return any(
            isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "sort"
            and isinstance(call.func.value, ast.Name) and call.func.value.id in self._followed
            for node in nodes_in(nodes) if isinstance(node, Bind) for call in walk(node.stmt)
        )  # fmt: skip

    # A list that another loop fills

    def _into_maker(self, way: _Way, target: ast.expr, name: str, made_at: int) -> None:
        """Put the calls behind the one `append` that fills the list."""
        append = self._only_append(name, way.block.nodes[made_at : way.place])
        if append is not None:
            filling = self._filling(append, way)
            if filling is not None:
                self._graft(way, filling, [append], [(target, _appended(append, name))])

    def _zipped(self, way: _Way, targets: list[ast.expr], lists: list[ast.expr]) -> None:
        """Of lists that are filled in step: each iteration of one loop puts one element into each, or walks it."""
        names = [self._origin(each, way) for each in lists]
        appends = [self._only_append(name, way.block.nodes[: way.place]) for name in names]
        filled = [append for append in appends if append is not None]
        filling = self._filling(filled[0], way) if filled else None
        if filling is None or any(isinstance(node, Exit) for node in nodes_in([filling])):
            return
        if any(append.block is not filled[0].block for append in filled) or not all(
            self._is_empty_at(name, filling, way) for name, append in zip(names, appends, strict=True) if append
        ):
            return
        walked = self._origin(filling.iter, way) if self._is_list(filling.iter, way) else ""
        elements: list[tuple[ast.expr, ast.expr | None]] = []
        for target, name, append in zip(targets, names, appends, strict=True):
            if append is not None:
                elements.append((target, _appended(append, name)))
            elif name == walked != "" and filled[0].block is filling.body:
                elements.append((target, filling.target))
            else:
                return
            if not self._is_kept(elements[-1][1], append, filled, filling):
                return
        self._graft(way, filling, filled, elements)

    def _is_kept(self, element: ast.expr | None, append: Bind | None, filled: list[Bind], filling: Loop) -> bool:
        """Whether what is put into a list still means the same at the last `append`."""
        if append is None:
            on_the_way = filling.body.nodes
        else:
            nodes = append.block.nodes
            on_the_way = nodes[nodes.index(append) : max(map(nodes.index, filled))]
        bound = {name for node in nodes_in(on_the_way) for name in names_bound(node)}
        return element is not None and not any(isinstance(n, ast.Name) and n.id in bound for n in walk(element))

    def _origin(self, each: ast.expr, way: _Way) -> str:
        """The first name of a list, which others mean too; empty if that cannot be told."""
        for _ in range(_FAR):
            if not isinstance(each, ast.Name):
                return ""
            self._followed.add(each.id)
            maker = self._only_binding(each.id, way)
            if not (isinstance(maker, Bind) and isinstance(maker.stmt, ast.Assign)):
                return each.id if maker is not None else ""
            if not isinstance(maker.stmt.value, ast.Name):
                return each.id
            each = maker.stmt.value
        return ""

    def _is_empty_at(self, name: str, filling: Loop, way: _Way) -> bool:
        """Whether nothing comes near a list from where it is made empty until it is filled."""
        nodes = way.block.nodes
        made_at = nodes.index(self._bound[name][0])
        return not any(
            (isinstance(node, Pinned) and node.is_barrier) or name in names_read(node)
            for node in nodes_in(nodes[made_at + 1 : nodes.index(filling)])
        )

    def _is_list(self, walked: ast.expr, way: _Way) -> bool:
        """Whether it can be walked twice: a model gave it, or it was made as a list."""
        match self._only_binding(self._origin(walked, way), way):
            case Ask(site=site):
                return site is not None and site.form != "helper"
            case Bind(
                stmt=ast.Assign(value=ast.List() | ast.ListComp() | ast.Call(func=ast.Name(id="list" | "sorted")))
            ):
                return True
        return False

    def _only_append(self, name: str, nodes: list[Node]) -> Bind | None:
        """The one step that puts something into a list that is made empty."""
        makers = self._bound.get(name, [])
        match makers:
            case [Bind(stmt=ast.Assign(value=ast.List(elts=[])))] if makers[0] in nodes:
                found = [node for node in nodes_in(nodes) if _appended(node, name) is not None]
                return found[0] if len(found) == 1 and isinstance(found[0], Bind) else None
        return None

    def _filling(self, append: Node, way: _Way) -> Loop | None:
        """The loop of the block in which a list is filled."""
        step = append
        while step.block is not way.block:
            assert step.block.parent is not None
            step = step.block.parent
        return step if isinstance(step, Loop) and asks_in([step]) else None

    def _graft(
        self, way: _Way, filling: Loop, appends: list[Bind], elements: list[tuple[ast.expr, ast.expr | None]]
    ) -> None:
        """Put the calls behind the last of these steps, where the elements are known."""
        between = way.since(way.block.nodes.index(filling))
        if not self._goes_through(between, filling, appends):
            return
        append = max(appends, key=appends[0].block.nodes.index)
        home, names, binds = append.block, dict[str, str](), list[Node]()
        for target, element in elements:
            if element is None or not self.is_pure(element) or not self._looks_at_found(element):
                return
            if isinstance(target, ast.Name) and isinstance(element, ast.Name):
                names[target.id] = element.id
                continue
            names |= self._new_names(target)
            stmt = ast.Assign([renamed_in(target, names)], _as_read(element))
            binds.append(Bind(append.anchor, home, stmt=ast.copy_location(stmt, append.anchor)))
        grafted = self._calls_of(way.loop, between, names, append.anchor, home, self._known_before(append, filling))
        if grafted:
            at = home.nodes.index(append) + 1
            home.nodes[at:at] = [*binds, *grafted]
        self._drop(way.loop)

    def _looks_at_found(self, element: ast.expr) -> bool:
        """Whether an element is made of nothing but what calls gave: the list itself has grown by now."""
        called = {id(node.func) for node in walk(element) if isinstance(node, ast.Call)}
        names = [node for node in walk(element) if isinstance(node, ast.Name) and id(node) not in called]
        return all(node.id in self._ours or self.is_found(node) for node in names)

    def _known_before(self, append: Node, filling: Loop) -> dict[str, Ask]:
        """What has been asked of an element by the time that it is put into the list."""
        found: dict[str, Ask] = {}
        step: Node = append
        while step is not filling:
            block = step.block
            for node in block.nodes[: block.nodes.index(step)]:
                if isinstance(node, Ask) and not node.common:
                    names = {node.target, *(n.id for n in walk(node.call) if isinstance(n, ast.Name))}
                    if all(len(self._bound.get(name, ())) <= 1 for name in names):
                        found[ast.dump(node.call)] = node
            assert block.parent is not None
            step = block.parent
        return found

    # A list in another order

    def _over(self, way: _Way, target: ast.expr, given: ast.Name, at: int) -> Loop | None:
        """A loop over the list as it was, which stands before it is put in order."""
        between, block = way.since(at), way.block
        if not self._goes_through(between, None, []):
            return None
        names = self._new_names(target)
        made = Loop(block.nodes[at].anchor, block, target=renamed_in(target, names), iter=copied(given))
        made.body = Block(made, None)
        made.body.nodes = self._calls_of(way.loop, between, names, made.anchor, made.body, {})
        if not made.body.nodes:
            return None
        block.nodes.insert(at, made)
        self._inserted.add(made)
        self._drop(way.loop)
        return made

    def _drop(self, loop: Loop) -> None:
        """A loop that was put there to be started goes when all of it has moved on."""
        if loop in self._inserted and all(ask.twin is not None for ask in asks_in([loop])):
            loop.block.nodes.remove(loop)

    # What may stand between

    def _goes_through(self, nodes: list[Node], filling: Loop | None, appends: Sequence[Node]) -> bool:
        """Whether nothing on the way from the first loop to the second one leaves, or changes what lists hold."""
        inside = set(nodes_in([filling])) if filling is not None else set()
        for node in [*inside, *self._passed([node for node in nodes if node is not filling])]:
            match node:
                case Exit(loop=around):
                    if around is None or around not in inside:
                        return False
                case Pinned() if node.is_barrier or node.mutates or node.changes or node.regions:
                    return False
                case Bind() if node not in appends and not self._leaves_lists(node):
                    return False
        return True

    def _passed(self, nodes: list[Node]) -> Iterator[Node]:
        """These steps and all in them that an element sees: what is done for an empty list, none does."""
        for node in nodes:
            yield node
            for block in node.blocks:
                if not (isinstance(node, Branch) and _is_for_none(node, block, self._followed)):
                    yield from self._passed(block.nodes)

    def _leaves_lists(self, node: Bind) -> bool:
        """Whether it changes nothing but lists, dicts and sets that were made for that, under one name."""
        match node.stmt:
            case ast.Assign(targets=targets):
                stored = [n for t in targets for n in walk(t) if isinstance(n, (ast.Subscript, ast.Attribute))]
                if not all(isinstance(n.ctx, ast.Load) or self._is_collected(n) for n in stored):
                    return False
            case ast.AugAssign(target=target):
                if not (isinstance(target, ast.Name) and all(map(_counts, self._bound[target.id]))):
                    return False
            case ast.Expr():
                pass
            case _:
                return False
        later = {id(n) for f in walk(node.stmt) if isinstance(f, ast.Lambda) for n in walk(f.body)}
        return all(
            self._keeps_elements(call) for call in walk(node.stmt)
            if isinstance(call, ast.Call) and id(call) not in later and self.purity.effect(call) != "pure"
        )  # fmt: skip

    def _keeps_elements(self, call: ast.Call) -> bool:
        """Whether a call that changes something leaves the list that is followed the elements that it has."""
        changed = self.purity.changed_by(call)
        receiver = call.func.value if isinstance(call.func, ast.Attribute) else None
        if self.purity.effect(call) != "mutates" or not changed:
            return False
        for each in changed:
            if each is receiver:
                in_place = call.func.attr in ("sort", "reverse")  # type: ignore[attr-defined]
                # Of a list that a model gave, questions may look at the order.
                is_own = isinstance(each, ast.Name) and not self.is_found(each)
                if not (in_place and is_own) and not self._is_collected(call.func):
                    return False
            elif not isinstance(each, ast.Name) or not all(map(_makes_iterator, self._bound.get(each.id, [None]))):
                return False
        return True

    def is_pure(self, expr: ast.expr) -> bool:
        """Whether evaluating it changes nothing."""
        return all(self.purity.effect(call) == "pure" for call in walk(expr) if isinstance(call, ast.Call))

    def _is_collected(self, expr: ast.expr) -> bool:
        """Whether it is a part of a name that is bound once, to something new, and that no loop walks."""
        if not isinstance(expr, (ast.Attribute, ast.Subscript)) or not isinstance(expr.value, ast.Name):
            return False
        if expr.value.id in self._followed:
            return False
        bindings = self._bound.get(expr.value.id, [])
        if len(bindings) != 1 or not isinstance(bindings[0], Bind):
            return False
        match getattr(bindings[0].stmt, "value", None):
            case ast.List() | ast.Dict() | ast.Set():
                return True
            case ast.Call(func=ast.Name(id="set" | "dict" | "list"), args=[]):
                return True
        return False

    # The calls themselves

    def _calls_of(
        self, loop: Loop, between: list[Node], names: dict[str, str], anchor: ast.stmt, home: Block,
        known: Mapping[str, Ask],
    ) -> list[Node]:  # fmt: skip
        """The calls of a loop's body, and what they need of it, for a place where an element is known.

        `known`: calls that have been made there, by their dump.
        """
        held = [n for n in walk(loop.target) if isinstance(n, ast.Name) and n.id in names]
        if not all(n.id in self._ours or self.is_found(n) for n in held):
            return []
        self._ours.update(name for name in names.values() if name not in self._bound)
        bound = {name for node in nodes_in(between) for name in names_bound(node)}
        copy = Copy(self, bound, dict(names), anchor, known)
        made = copy.block(loop.body, home)
        while made and not asks_in([made[-1]]):
            made.pop()
        return made

    def _new_names(self, target: ast.expr) -> dict[str, str]:
        return {node.id: self.temp() for node in walk(target) if isinstance(node, ast.Name)}


@dataclass
class _Way:
    """The way back from a loop to where its elements come from."""

    loop: Loop
    block: Block
    place: int
    """before this step of the block we are"""
    inner: list[Node] = field(default_factory=list)
    """the steps between, of the blocks that we have left"""

    def leave(self, followed: set[str]) -> bool:
        """Go out of an arm that is there for lists with something in them; whether it is one."""
        branch = self.block.parent
        if not isinstance(branch, Branch) or branch not in branch.block.nodes:
            return False
        other = branch.orelse if self.block is branch.body else branch.body
        if not _is_for_none(branch, other, followed):
            return False
        self.inner = [*self.block.nodes[: self.place], *(self.inner or [self.loop])]
        self.block, self.place = branch.block, branch.block.nodes.index(branch)
        return True

    def since(self, at: int) -> list[Node]:
        """The steps from one of this block to the loop, which is the last."""
        return [*self.block.nodes[at : self.place], *(self.inner or [self.loop])]


def _counts(node: Node) -> bool:
    """Whether a name that is bound like that holds no object that anybody else has too."""
    match node:
        case Bind(stmt=ast.AugAssign() | ast.Assign(targets=[ast.Name()], value=ast.Constant())):
            return True
    return False


def _makes_iterator(node: Node | None) -> bool:
    match node:
        case Bind(stmt=ast.Assign(value=ast.Call(func=ast.Name(id="iter")))):
            return True
    return False


def _element(target: ast.expr, walked: ast.expr) -> tuple[ast.expr | None, ast.expr]:
    """The part of a loop's target that is an element of a list, and the list."""
    match walked, target:
        case ast.Name(), _:
            return target, walked
        case ast.Call(func=ast.Name(id="enumerate"), args=[inner], keywords=[]), ast.Tuple(elts=[_, element]):
            return (None if isinstance(element, ast.Starred) else element), inner
        case ast.Call(func=ast.Name(id=name), args=[inner]), _ if name in _ORDERS - {"enumerate"}:
            return target, inner
    return None, walked


def _in_some_order(made: ast.expr) -> ast.Name | None:
    """The list whose elements this gives again."""
    match made:
        case ast.Call(func=ast.Name(id=name), args=[ast.Name() as given]) if name in _ORDERS - {"enumerate"}:
            return given
    return None


def _is_for_none(branch: Branch, block: Block, lists: set[str]) -> bool:
    """Whether an arm is entered only when a list is empty."""
    return _says(branch.test, lists, empty=block is branch.body)


def _says(test: ast.expr, lists: set[str], *, empty: bool) -> bool:
    """Whether a test says that one of the lists is empty, or that it is not."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return _says(inner, lists, empty=not empty)
        case ast.Name(id=name) | ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)]):
            return name in lists and not empty
        case ast.Compare(
            left=ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)]),
            ops=[op],
            comparators=[ast.Constant(value=bound)],
        ):
            said = _FILLED.get((type(op), bound if type(bound) is int else -1))
            return name in lists and said is not None and said is not empty
    return False


def _appended(node: Node, name: str) -> ast.expr | None:
    """What a step appends to the list of that name."""
    match node:
        case Bind(stmt=ast.Expr(value=call) | ast.Assign(value=call)) if isinstance(call, ast.Call):
            match call:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=holder), attr="append"), args=[value], keywords=[]):
                    return value if holder == name and not isinstance(value, ast.Starred) else None
    return None


def _as_read(expr: ast.expr) -> ast.expr:
    """A copy that is read, of what may be a loop's target."""
    made = copied(expr)
    for node in walk(made):
        if isinstance(node, (ast.Name, ast.Tuple, ast.List)):
            node.ctx = ast.Load()
    return made
