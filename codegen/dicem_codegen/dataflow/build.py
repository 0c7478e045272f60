"""From the lowered program to its shadow: expressions are taken apart as far as they make calls or have effects."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable
from typing import Any

from hermod.prelude import ImagePatch

from ..types import CallSite
from ..walking import children, inner_blocks, walk
from .fuse import Fusion
from .helpers import Helper, variant_call
from .ir import STARTED, Ask, Bind, Block, Branch, Exit, Loc, Loop, Node, Pinned
from .objects import PATCH_FIELDS
from .purity import PATCH_ATTRIBUTES, Purity, bound_names

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_PRINTS = frozenset({"print"})
_TAKEN_APART = (ast.Await, ast.NamedExpr, ast.Yield, ast.YieldFrom)


class Builder:
    """Builds the shadow of one function, or of the module's own statements."""

    def __init__(
        self, sites: dict[ast.Await, CallSite], purity: Purity, scope_names: frozenset[str],
        helpers: dict[str, Helper], same: Callable[[ast.AST, ast.AST], None],
        is_found: Callable[[ast.expr], bool],
    ) -> None:  # fmt: skip
        """`same` is told of every copy of an expression: what it stands for, and the copy.  `is_found` says
        whether an expression evaluates to what calls gave, or to what nobody can change.
        """
        self._helpers, self._same, self._is_found = helpers, same, is_found
        self._taken: set[str] = set(purity.local)
        self._sites, self._purity, self._scope_names = dict(sites), purity, scope_names
        self.stands_for: dict[str, ast.expr] = {}
        """what names that were made here stand for"""
        self.made: set[str] = set()
        """names that were made here"""
        self._interesting: dict[ast.AST, bool] = {}
        self._loops: list[Loop | None] = []
        self._count = 0
        self._anchor: ast.stmt = ast.Pass()
        self._block = Block(None, None)

    def build(self, statements: list[ast.stmt]) -> Block:
        """The shadow of a body, its steps numbered."""
        for statement in statements:
            self._mark(statement)
            self._taken.update(n.id for n in walk(statement) if isinstance(n, ast.Name))
        root = self._inside(None, statements)
        Fusion(self._purity, self._is_found_name, self._temp).fuse(root)
        _number(root)
        return root

    # Which parts make calls or have effects

    def _mark(self, tree: ast.AST) -> None:
        """Note for each node whether it must be taken apart; from the leaves up, without recursion."""
        order: list[tuple[ast.AST, ast.AST | None]] = [(tree, None)]
        for node, _ in order:
            order += [(child, node) for child in children(node)]
        marked = self._interesting
        for node, parent in reversed(order):
            own = marked.setdefault(node, False) or isinstance(node, _TAKEN_APART)
            if not own and isinstance(node, ast.Call):
                own = self._purity.effect(node) != "pure"
            if own:
                marked[node] = True
                # The body of a lambda is run elsewhere.
                if parent is not None and not (isinstance(parent, ast.Lambda) and node is parent.body):
                    marked[parent] = True

    def _is_found_name(self, node: ast.Name) -> bool:
        """Whether a name holds what calls gave, or what nobody can change."""
        return self._is_found(self.stands_for.get(node.id, node))

    def _is_plain(self, node: ast.AST) -> bool:
        return not self._interesting.get(node, True)

    # Blocks and steps

    def _inside(self, parent: Node | None, statements: list[ast.stmt] | None) -> Block:
        block = Block(parent, statements)
        if statements:
            before, self._block = self._block, block
            anchor = self._anchor
            for statement in statements:
                self._anchor = statement
                self._statement(statement)
            self._block, self._anchor = before, anchor
        return block

    def _add(self, node: Node) -> None:
        self._block.nodes.append(node)

    def _temp(self, stands_for: ast.expr | None = None) -> str:
        self._count += 1
        while f"_t{self._count}" in self._taken:
            self._count += 1
        name = f"_t{self._count}"
        self.made.add(name)
        if stands_for is not None:
            self.stands_for[name] = stands_for
        return name

    def _bind(self, statement: ast.stmt) -> None:
        self._add(Bind(self._anchor, self._block, stmt=ast.copy_location(statement, self._anchor)))

    def _assign(self, name: str, value: ast.expr) -> None:
        self._bind(ast.Assign([ast.Name(name, ast.Store())], value))

    def _pin(
        self, why: str, *, barrier: bool = False, awaits: bool = False,
        reads: Iterable[ast.AST] = (), binds: Iterable[str] = (),
    ) -> Pinned:  # fmt: skip
        node = Pinned(self._anchor, self._block, why=why, is_barrier=barrier)
        node.writes = {("name", name) for name in binds}
        node.watched = list(reads)
        node.awaits = awaits
        self._add(node)
        return node

    # Statements

    def _statement(self, statement: ast.stmt) -> None:  # noqa: PLR0912 - one case a kind of statement
        match statement:
            case ast.Pass() | ast.Global() | ast.Nonlocal():
                pass
            case ast.Expr(value=value):
                if not self._is_plain(value):
                    self.expr(value)
            case ast.Assign(targets=targets, value=value):
                self._assignment(targets, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assignment([target], value)
            case ast.AnnAssign():
                pass
            case ast.AugAssign():
                self._augmented(statement)
            case ast.If():
                self._branch(statement)
            case ast.For():
                self._loop(statement)
            case ast.Return() | ast.Raise() | ast.Assert() | ast.Break() | ast.Continue():
                self._exit(statement)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._pin(f"defines {statement.name}", binds=[statement.name])
            case ast.Import() | ast.ImportFrom():
                names = [(alias.asname or alias.name).split(".")[0] for alias in statement.names]
                self._pin("import", binds=names)
            case _:
                self._barrier(statement)

    def _assignment(self, targets: list[ast.expr], value: ast.expr) -> None:
        if len(targets) == 1 and isinstance(targets[0], ast.Name) and isinstance(value, ast.Await):
            self._await(value, targets[0].id)
            return
        plain = self.expr(value)
        if any(isinstance(node, ast.Attribute) for t in targets for node in _target_parts(t)):
            attributes = {n.attr for t in targets for n in _target_parts(t) if isinstance(n, ast.Attribute)}
            names = {n.id for t in targets for n in _target_parts(t) if isinstance(n, ast.Name)}
            node = self._pin(f"sets .{', .'.join(sorted(attributes))}", reads=[plain, *targets], binds=sorted(names))
            node.mutates = _attributes(attributes)
            node.changes = [n.value for t in targets for n in _target_parts(t) if isinstance(n, ast.Subscript)]
            node.puts = [(t, plain) for t in targets]
            return
        self._bind(ast.Assign([self._target(t) for t in targets], plain))

    def _target(self, target: ast.expr) -> ast.expr:
        """A target with what it computes taken apart."""
        if self._is_plain(target):
            return target
        made = copy.copy(target)
        match made:
            case ast.Subscript():
                made.value, made.slice = self.expr(made.value), self.expr(made.slice)
            case ast.Tuple() | ast.List():
                made.elts = [self._target(e) for e in made.elts]
            case ast.Starred():
                made.value = self._target(made.value)
        return made

    def _augmented(self, statement: ast.AugAssign) -> None:
        value = self.expr(statement.value)
        match statement.target:
            case ast.Name() | ast.Subscript():
                target = self._target(statement.target)
                assert isinstance(target, (ast.Name, ast.Subscript))
                self._bind(ast.AugAssign(target, statement.op, value))
            case ast.Attribute(attr=name):
                node = self._pin(f"sets .{name}", reads=[value, statement.target])
                node.mutates = _attributes([name])
                node.changes = [statement.target]
                node.puts = [(statement.target, value)]

    def _branch(self, statement: ast.If) -> None:
        node = Branch(self._anchor, self._block, test=self.expr(statement.test))
        self._add(node)
        node.body = self._inside(node, statement.body)
        node.orelse = self._inside(node, statement.orelse)
        self._hoist(node)

    def _hoist(self, node: Branch) -> None:
        """Calls that both arms make, whatever else they do, stand before the branch too, to be started there."""
        if not node.orelse.nodes:
            return
        there = {ast.dump(ask.call): ask for ask in _surely_asked(node.orelse)}
        place = self._block.nodes.index(node)
        for ask in _surely_asked(node.body):
            if there.pop(ast.dump(ask.call), None) is not None:
                hoisted = Ask(self._anchor, self._block, target=self._temp(), call=ask.call, site=ask.site, common=True)
                self._block.nodes.insert(place, hoisted)
                place += 1

    def _loop(self, statement: ast.For) -> None:
        node = Loop(self._anchor, self._block, target=statement.target, iter=self.expr(statement.iter))
        self._add(node)
        if any(not isinstance(n, ast.Name) for n in _target_parts(statement.target)):
            self._barrier(statement, node)
            return
        self._loops.append(node)
        node.body = self._inside(node, statement.body)
        self._loops.pop()
        node.orelse = self._inside(node, statement.orelse)

    def _exit(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Return(value=value):
                if value is not None:
                    self.expr(value)
                self._add(Exit(self._anchor, self._block))
            case ast.Raise():
                for part in (statement.exc, statement.cause):
                    if part is not None:
                        self.expr(part)
                self._add(Exit(self._anchor, self._block))
            case ast.Assert(test=test):
                node = Branch(self._anchor, self._block, test=ast.UnaryOp(ast.Not(), self.expr(test)))
                self._add(node)
                node.body = Block(node, None)
                node.body.nodes.append(Exit(self._anchor, node.body))
            case ast.Break() | ast.Continue():
                loop = self._loops[-1] if self._loops else None
                kind = "break" if isinstance(statement, ast.Break) else "continue"
                self._add(Exit(self._anchor, self._block, kind=kind if loop else "return", loop=loop))  # type: ignore[arg-type]

    def _barrier(self, statement: ast.stmt, replaced: Node | None = None) -> None:
        """A statement that nothing crosses.  What stands inside is a world of its own."""
        if replaced is not None:
            self._block.nodes.pop()
        names = {n.id for n in walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, (ast.Store, ast.Del))}
        names |= {h.name for h in walk(statement) if isinstance(h, ast.ExceptHandler) and h.name}
        what = {"With": "with", "While": "while", "Try": "try", "TryStar": "try", "Match": "match", "For": "for"}
        why = what.get(type(statement).__name__, type(statement).__name__.lower())
        names |= _captured(statement)
        node = self._pin(why, barrier=True, binds=sorted(names))
        self._loops.append(None)
        heads = _heads(statement)
        targets = [part for part in _parts_bound(statement) if not isinstance(part, ast.Name)]
        if targets or not all(map(self._is_plain, heads)):
            node.regions.append(Block(node, None))
            self._arm(node.regions[0], node, lambda: self._head(heads, targets))
        for body in inner_blocks(statement):
            node.regions.append(self._inside(node, body))
        self._loops.pop()

    def _head(self, heads: list[ast.expr], targets: list[ast.expr]) -> None:
        """What a barrier computes and binds itself, as steps."""
        for head in heads:
            self.expr(head)
        if targets:
            self._pin("binds items or attributes", barrier=True, reads=targets)

    # Expressions: what is left of them computes and nothing else

    def expr(self, expr: ast.expr) -> ast.expr:
        """What is left of an expression once its calls and effects have become steps before it."""
        if self._is_plain(expr):
            return expr
        match expr:
            case ast.Await():
                return self._await(expr)
            case ast.BoolOp(op=op, values=values):
                return self._bool(expr, isinstance(op, ast.And), values)
            case ast.IfExp():
                return self._conditional(expr)
            case ast.Compare() if len(expr.ops) > 1 and not all(map(self._is_plain, expr.comparators[1:])):
                return self._chain(expr)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._comprehension(expr)
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                self._assign(name, self.expr(value))
                return ast.Name(name, ast.Load())
            case ast.Call():
                return self._call(expr)
            case ast.Lambda():
                return self._pinned_value("defaults of a lambda", [expr], barrier=True)
            case ast.Yield() | ast.YieldFrom():
                return self._pinned_value("yield", [expr], barrier=True)
        return self._rebuilt(expr)

    def _rebuilt(self, expr: ast.expr) -> ast.expr:
        made = copy.copy(expr)
        self._same(expr, made)
        for name, value in ast.iter_fields(expr):
            if isinstance(value, ast.expr):
                setattr(made, name, self.expr(value))
            elif isinstance(value, list):
                setattr(made, name, [self._part(item) for item in value])
        return made

    def _part(self, item: object) -> object:
        if isinstance(item, ast.expr):
            return self.expr(item)
        if isinstance(item, ast.keyword):
            made = copy.copy(item)
            made.value = self.expr(item.value)
            return made
        return item

    def _pinned_value(self, why: str, reads: list[ast.AST], *, barrier: bool) -> ast.expr:
        name = self._temp()
        self._pin(why, barrier=barrier, reads=reads, binds=[name])
        return ast.Name(name, ast.Load())

    def _await(self, expr: ast.Await, target: str | None = None) -> ast.expr:
        site = self._sites.get(expr)
        name = target or self._temp(expr)
        if site is None or not isinstance(expr.value, ast.Call):
            inner = self._rebuilt(expr.value) if not self._is_plain(expr.value) else expr.value
            self._pin(STARTED, awaits=True, reads=[inner], binds=[name]).may_keep = True
            return ast.Name(name, ast.Load())
        call = self._parts_of_call(expr.value)
        helper = self._helper_of(call) if site.form == "helper" else None
        if helper is not None and not helper.is_pure:
            started = variant_call(call, helper)
            self._add(Ask(self._anchor, self._block, target=self._temp(), call=started, site=site, common=True))
            pinned = self._pin(f"{helper.name} has effects", awaits=True, reads=[call], binds=[name])
            pinned.may_keep, pinned.call, pinned.site = True, call, site
        elif helper is not None or (site.pure and site.form != "helper"):
            self._add(Ask(self._anchor, self._block, target=name, call=call, site=site))
        else:
            why = f"{site.name} has effects" if site.form == "helper" else f"{site.name} is not pure"
            pinned = self._pin(why, barrier=site.form == "helper", awaits=True, reads=[call], binds=[name])
            pinned.call, pinned.site = call, site
        return ast.Name(name, ast.Load())

    def _helper_of(self, call: ast.Call) -> Helper | None:
        return self._helpers.get(call.func.id) if isinstance(call.func, ast.Name) else None

    def _parts_of_call(self, call: ast.Call) -> ast.Call:
        made = copy.copy(call)
        self._same(call, made)
        if isinstance(call.func, ast.Attribute):
            func = copy.copy(call.func)
            func.value = self.expr(call.func.value)
            made.func = func
        made.args = [self.expr(a) for a in call.args]
        made.keywords = [self._part(k) for k in call.keywords]  # type: ignore[misc]
        return made

    def _call(self, expr: ast.Call) -> ast.expr:
        effect = self._purity.effect(expr)
        if effect == "unknown" and not isinstance(expr.func, (ast.Name, ast.Attribute)):
            return self._pinned_value("calls a value", [self._rebuilt(expr)], barrier=True)
        call = self._parts_of_call(expr)
        if effect == "pure":
            return call
        if effect == "mutates":
            name = self._temp(expr)
            self._assign(name, call)
            return ast.Name(name, ast.Load())
        name = expr.func.id if isinstance(expr.func, ast.Name) else expr.func.attr  # type: ignore[attr-defined]
        prints = isinstance(expr.func, ast.Name) and name in _PRINTS and name not in self._purity.local
        return self._pinned_value(name, [call], barrier=not prints)

    def _bool(self, whole: ast.expr, is_and: bool, values: list[ast.expr]) -> ast.expr:
        """`whole` may be any of the values."""
        first = self.expr(values[0])
        rest = values[1:]
        if all(map(self._is_plain, rest)):
            return ast.BoolOp(ast.And() if is_and else ast.Or(), [first, *rest])
        name = self._temp(whole)
        self._assign(name, first)
        test: ast.expr = ast.Name(name, ast.Load())
        with_node = Branch(self._anchor, self._block, test=test if is_and else ast.UnaryOp(ast.Not(), test))
        self._add(with_node)
        self._arm(with_node.body, with_node, lambda: self._assign(name, self._bool(whole, is_and, rest)))
        return ast.Name(name, ast.Load())

    def _arm(self, block: Block, parent: Node, fill: object) -> None:
        """Fill a block that no block of the program mirrors."""
        block.parent = parent
        before, self._block = self._block, block
        fill()  # type: ignore[operator]
        self._block = before

    def _conditional(self, expr: ast.IfExp) -> ast.expr:
        test = self.expr(expr.test)
        if self._is_plain(expr.body) and self._is_plain(expr.orelse):
            return ast.IfExp(test, expr.body, expr.orelse)
        name = self._temp(expr)
        node = Branch(self._anchor, self._block, test=test)
        self._add(node)
        self._arm(node.body, node, lambda: self._assign(name, self.expr(expr.body)))
        orelse = expr.orelse if _is_of_no_patch(expr) else None
        self._arm(node.orelse, node, lambda: self._assign(name, orelse or self.expr(expr.orelse)))
        return ast.Name(name, ast.Load())

    def _chain(self, expr: ast.Compare) -> ast.expr:
        """`a < b < c`, where c is looked at only if a < b."""
        middle, name = self._temp(), self._temp()
        left = self.expr(expr.left)
        self._assign(middle, self.expr(expr.comparators[0]))
        self._assign(name, ast.Compare(left, expr.ops[:1], [ast.Name(middle, ast.Load())]))
        node = Branch(self._anchor, self._block, test=ast.Name(name, ast.Load()))
        self._add(node)
        rest = ast.Compare(ast.Name(middle, ast.Load()), expr.ops[1:], expr.comparators[1:])
        self._mark_again(rest)
        self._arm(node.body, node, lambda: self._assign(name, self.expr(rest)))
        return ast.Name(name, ast.Load())

    def _mark_again(self, node: ast.expr) -> None:
        self._interesting[node] = True
        for child in children(node):
            self._interesting.setdefault(child, False)

    def _comprehension(self, expr: Comprehension) -> ast.expr:
        name = self._temp(expr)
        empty: ast.expr = ast.List([], ast.Load())
        if isinstance(expr, ast.SetComp):
            empty = ast.Call(ast.Name("set", ast.Load()), [], [])
        elif isinstance(expr, ast.DictComp):
            empty = ast.Dict([], [])
        walked = self.expr(expr.generators[0].iter)
        self._assign(name, empty)
        own = {n.id for g in expr.generators for n in _target_parts(g.target) if isinstance(n, ast.Name)}
        clash = own & self._scope_names
        if clash:
            names = {variable: f"{variable}{self._temp()}" for variable in sorted(clash)}
            self.made.update(names.values())
            targets = [n for g in expr.generators for n in _target_parts(g.target) if isinstance(n, ast.Name)]
            self.stands_for.update({names[n.id]: n for n in targets if n.id in names})
            expr = self._renamed(expr, names)
        self._generators(expr, 0, walked, name)
        return ast.Name(name, ast.Load())

    def _renamed(self, expr: Comprehension, names: dict[str, str]) -> Comprehension:
        """A comprehension with variables of its own names: the shadow has one scope only."""
        made: Comprehension = self._copied(expr, names)
        # The first thing that is walked is outside.
        made.generators[0].iter = expr.generators[0].iter
        return made

    def _copied(self, node: Any, names: dict[str, str]) -> Any:
        made = copy.copy(node)
        self._same(node, made)
        self._interesting[made] = self._interesting.get(node, False)
        if isinstance(node, ast.Await) and node in self._sites:
            self._sites[made] = self._sites[node]
        if isinstance(made, ast.Name):
            made.id = names.get(made.id, made.id)
        for name, value in ast.iter_fields(node):
            if isinstance(node, ast.Lambda) and value is node.body:  # its parameters keep their names
                own = bound_names(node)
                setattr(made, name, self._copied(value, {old: new for old, new in names.items() if old not in own}))
            elif isinstance(value, ast.AST):
                setattr(made, name, self._copied(value, names))
            elif isinstance(value, list):
                setattr(made, name, [self._copied(v, names) if isinstance(v, ast.AST) else v for v in value])
        return made

    def _generators(self, expr: Comprehension, level: int, walked: ast.expr, name: str) -> None:
        generator = expr.generators[level]
        node = Loop(self._anchor, self._block, target=generator.target, iter=walked)
        self._add(node)

        def body(conditions: list[ast.expr]) -> None:
            if conditions:
                branch = Branch(self._anchor, self._block, test=self.expr(conditions[0]))
                self._add(branch)
                self._arm(branch.body, branch, lambda: body(conditions[1:]))
            elif level + 1 < len(expr.generators):
                self._generators(expr, level + 1, self.expr(expr.generators[level + 1].iter), name)
            else:
                self._collect(expr, name)

        self._loops.append(None)
        self._arm(node.body, node, lambda: body(generator.ifs))
        self._loops.pop()

    def _collect(self, expr: Comprehension, name: str) -> None:
        made = ast.Name(name, ast.Load())
        if isinstance(expr, ast.DictComp):
            key, value = self.expr(expr.key), self.expr(expr.value)
            self._bind(ast.Assign([ast.Subscript(made, key, ast.Store())], value))
            return
        method = "add" if isinstance(expr, ast.SetComp) else "append"
        call = ast.Call(ast.Attribute(made, method, ast.Load()), [self.expr(expr.elt)], [])
        self._bind(ast.Expr(call))


def _attributes(names: Iterable[str]) -> set[Loc]:
    """What setting attributes changes."""
    found: set[Loc] = {("attr", name) for name in names}
    return found | {PATCH_FIELDS} if any(name in PATCH_ATTRIBUTES for _, name in found) else found


def _surely_asked(arm: Block) -> list[Ask]:
    """The calls that an arm makes in any case, of things that were there before it."""
    found: list[Ask] = []
    bound: set[str] = set()
    for node in arm.nodes:
        match node:
            case Ask(call=call, target=target):
                if not bound & {n.id for n in walk(call) if isinstance(n, ast.Name)}:
                    found.append(node)
                bound.add(target)
            case Bind(stmt=ast.Assign(targets=targets)) if all(
                isinstance(part, ast.Name) for t in targets for part in _target_parts(t)
            ):
                if any(isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) for n in walk(node.stmt)):
                    break  # may change something
                bound |= {n.id for t in targets for n in walk(t) if isinstance(n, ast.Name)}
            case Pinned(is_barrier=False, mutates=mutates, writes=writes) if not mutates:
                bound |= {name for _, name in writes}
            case _:
                break
    return found


def _is_of_no_patch(expr: ast.IfExp) -> bool:
    """Whether the second arm is a patch's method on what is no patch: it fails, or it is `find` of a text."""
    match expr:
        case ast.IfExp(
            test=ast.Call(func=ast.Name(id="isinstance"), args=[ast.Name(id=name), ast.Name(id="ImagePatch")]),
            orelse=ast.Call(func=ast.Attribute(value=ast.Name(id=same), attr=method)),
        ):
            return name == same and hasattr(ImagePatch, f"{method}_start")
    return False


def _target_parts(target: ast.expr) -> list[ast.expr]:
    """The names, attributes and items that a target binds."""
    match target:
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return [part for element in elements for part in _target_parts(element)]
        case ast.Starred(value=value):
            return _target_parts(value)
    return [target]


def _heads(statement: ast.stmt) -> list[ast.expr]:
    """What a statement with bodies computes itself."""
    match statement:
        case ast.While(test=test):
            return [test]
        case ast.With(items=items):
            return [item.context_expr for item in items]
        case ast.Match(subject=subject, cases=cases):
            return [subject, *(case.guard for case in cases if case.guard is not None)]
        case ast.Try(handlers=handlers):
            return [handler.type for handler in handlers if handler.type is not None]
    return []


def _parts_bound(statement: ast.stmt) -> list[ast.expr]:
    """The names, attributes and items that the head of a statement binds."""
    match statement:
        case ast.For(target=target):
            return _target_parts(target)
        case ast.With(items=items):
            return [part for item in items if item.optional_vars for part in _target_parts(item.optional_vars)]
    return []


def _captured(statement: ast.stmt) -> set[str]:
    """The names that patterns bind."""
    found = {n.name for n in walk(statement) if isinstance(n, (ast.MatchAs, ast.MatchStar))}
    found |= {n.rest for n in walk(statement) if isinstance(n, ast.MatchMapping)}
    return {name for name in found if name is not None}


def _number(root: Block) -> None:
    order = list(root.walk())
    for index, node in enumerate(order):
        node.index = index
    for node in reversed(order):
        node.end = max([node.index + 1, *(inner.end for block in node.blocks for inner in block.nodes[-1:])])
