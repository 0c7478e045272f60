"""Copies of the calls of a loop's body, with names of their own, for a place where an element is known."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from ..walking import Tree, copied, walk
from .ir import Ask, Bind, Block, Branch, Loop, Node, Pinned
from .names import renamed


class Fusion(Protocol):
    """What is asked of whoever copies."""

    @property
    def temp(self) -> Callable[[], str]:
        """Makes a name that the program has not."""

    @property
    def is_found(self) -> Callable[[ast.Name], bool]:
        """Whether a name holds what calls gave, or what nobody can change."""

    def is_pure(self, expr: ast.expr) -> bool:
        """Whether evaluating it changes nothing."""


class Copy:
    """Copies the calls of a loop's body, with names of their own."""

    def __init__(
        self, fusion: Fusion, unstable: set[str], names: dict[str, str], anchor: ast.stmt, known: Mapping[str, Ask]
    ) -> None:
        """`unstable`: names that are bound on the way, so that they hold something else where the copy stands."""
        self._fusion, self._unstable, self._names, self._anchor = fusion, unstable, names, anchor
        self._known = known
        self._made: set[str] = set()

    def block(self, block: Block, home: Block) -> list[Node]:
        """The copy of a block, as far as it can be computed; names that it cannot are lost from there on."""
        made: list[Node] = []
        for node in block.nodes:
            if self._is_asked_already(node):
                continue
            found = self._node(node, home)
            if found is None:
                for name in {name for inner in nodes_in([node]) for name in names_bound(inner)}:
                    self._names.pop(name, None)
            else:
                made.append(found)
        return made

    def _is_asked_already(self, node: Node) -> bool:
        """Whether it is a call that was made before the element came into the list: its answer is there."""
        if not isinstance(node, Ask) or not self._is_known(node.call):
            return False
        before = self._known.get(ast.dump(renamed_in(node.call, self._names)))
        if before is None:
            return False
        node.twin = before
        self._names[node.target] = before.target
        return True

    def _node(self, node: Node, home: Block) -> Node | None:
        match node:
            case Ask(call=call) if self._is_known(call):
                copy = Ask(
                    self._anchor, home, target=self._fusion.temp(), call=renamed_in(call, self._names), site=node.site,
                    common=True,
                )  # fmt: skip
                node.twin = copy
                self._names[node.target] = copy.target
                return copy
            case Bind(stmt=ast.Assign(targets=[ast.Name(id=name)], value=value)) if self._is_known(value):
                if not self._fusion.is_pure(value):
                    return None
                value = renamed_in(value, self._names)
                if self._names.get(name) not in self._made:  # else a variable of the first loop
                    self._names[name] = self._fusion.temp()
                    self._made.add(self._names[name])
                target = self._names[name]
                stmt = ast.Assign([ast.Name(target, ast.Store())], value)
                return Bind(self._anchor, home, stmt=ast.copy_location(stmt, self._anchor))
            case Branch(test=test) if self._is_known(test):
                return self._branch(node, home)
        return None

    def _branch(self, node: Branch, home: Block) -> Branch | None:
        made = Branch(self._anchor, home, test=renamed_in(node.test, self._names))
        before = dict(self._names)
        made.body = Block(made, None)
        made.orelse = Block(made, None)
        # What one arm binds keeps its name in the other one, and behind both.
        made.body.nodes = self.block(node.body, made.body)
        after = self._names
        self._names = before | {name: new for name, new in after.items() if name not in before}
        made.orelse.nodes = self.block(node.orelse, made.orelse)
        lost = {n for n, new in before.items() if new != after.get(n) or new != self._names.get(n)}
        bound = {name for arm in (node.body, node.orelse) for n in nodes_in(arm.nodes) for name in names_bound(n)}
        kept = {name for name in bound if name in before or _is_bound_in(name, node.body, node.orelse)}
        self._names = {n: new for n, new in self._names.items() if n not in lost and (n not in bound or n in kept)}
        return made

    def _is_known(self, expr: ast.expr) -> bool:
        """Whether all that it looks at is known where the copy stands, and stays as it is on the way."""
        called = {id(node.func) for node in walk(expr) if isinstance(node, ast.Call)}
        own = {
            n.id for node in walk(expr) if isinstance(node, (ast.comprehension, ast.NamedExpr, ast.Lambda))
            for n in walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)
        }  # fmt: skip
        for node in walk(expr):
            if isinstance(node, (ast.Lambda, ast.NamedExpr, ast.Await)) or own:
                return False
            if isinstance(node, ast.Name) and node.id not in self._names:
                if node.id in self._unstable:
                    return False
                if id(node) not in called and not self._fusion.is_found(node):
                    return False
        return True


def nodes_in(nodes: list[Node]) -> Iterator[Node]:
    """These steps and all in them."""
    for node in nodes:
        yield node
        for block in node.blocks:
            yield from nodes_in(block.nodes)


def asks_in(nodes: list[Node]) -> list[Ask]:
    """The calls among these steps and all in them."""
    return [node for node in nodes_in(nodes) if isinstance(node, Ask)]


def names_bound(node: Node) -> set[str]:
    """The names that a step binds; a list that is added to with `+=` counts as bound."""
    match node:
        case Ask(target=target):
            return {target}
        case Bind(stmt=statement):
            return {n.id for n in walk(statement) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        case Loop(target=target):
            return {n.id for n in walk(target) if isinstance(n, ast.Name)}
        case Pinned():
            return {name for kind, name in node.writes if kind == "name"}
    return set()


def names_read(node: Node) -> set[str]:
    """The names that stand in a step, those inside of it aside."""
    trees: list[ast.AST] = []
    match node:
        case Ask(call=call):
            trees = [call]
        case Bind(stmt=statement):
            trees = [statement]
        case Branch(test=test):
            trees = [test]
        case Loop(target=target, iter=walked):
            trees = [target, walked]
        case Pinned(watched=watched, changes=changes):
            trees = [*watched, *changes]
    return {n.id for tree in trees for n in walk(tree) if isinstance(n, ast.Name)}


def _is_bound_in(name: str, *arms: Block) -> bool:
    """Whether each arm binds a name in its own row."""
    return all(any(name in names_bound(node) for node in arm.nodes) for arm in arms)


def renamed_in(expr: Tree, names: dict[str, str]) -> Tree:
    """A copy with other names."""
    return renamed([copied(expr)], names)[0]
