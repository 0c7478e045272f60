"""Which rows a program reaches, read off its text: a second opinion, which knows nothing of how it was written."""

from __future__ import annotations

import ast
import builtins
import itertools
from collections.abc import Callable, Iterator
from functools import cached_property

METHODS = {
    "find", "exists", "verify_property", "best_text_match", "simple_query", "llm_query", "compute_depth",
    "select_answer",
}  # fmt: skip
FUNCTIONS = {"best_image_match", "llm_query", "process_guesses"}
IMPURE = {"log_event", "counter"}
CHANGES = {"append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "update", "setdefault", "add"}
STRINGS = {
    "lower", "upper", "strip", "split", "replace", "title", "capitalize", "startswith", "endswith", "isdigit",
    "isalpha", "splitlines", "join", "format",
}  # fmt: skip
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LOOPS = (ast.For, ast.While)


class Reading:
    """A program, read."""

    def __init__(self, source: str) -> None:
        self.tree = ast.parse(source)
        self.nodes = list(ast.walk(self.tree))
        self.parent = {id(child): node for node in self.nodes for child in ast.iter_child_nodes(node)}

    def rows(self) -> set[str]:
        """The rows that it reaches."""
        return {row for row, reached in _READERS.items() if reached(self)}

    def of(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        """Its nodes of these kinds."""
        return (node for node in self.nodes if isinstance(node, kinds))

    @cached_property
    def askers(self) -> set[str]:
        """The functions of the program that ask, by themselves or through others; lambdas under a name too."""
        named: dict[str, ast.AST] = {n.name: n for n in self.nodes if isinstance(n, _FUNCTIONS)}
        for node in self.of(ast.Assign):
            assert isinstance(node, ast.Assign)
            if isinstance(node.value, ast.Lambda) and isinstance(node.targets[0], ast.Name):
                named[node.targets[0].id] = node.value
        found: set[str] = set()
        while new := {n for n, node in named.items() if n not in found and self._asks_with(node, found)}:
            found |= new
        return found

    def _asks_with(self, node: ast.AST, names: set[str]) -> bool:
        return any(is_question(n) or (isinstance(n, ast.Name) and n.id in names) for n in ast.walk(node))

    def asks(self, *nodes: ast.AST | None) -> bool:
        """Whether something in there asks."""
        return any(node is not None and self._asks_with(node, self.askers) for node in nodes)

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """What the node stands in, from the inside."""
        while id(node) in self.parent:
            node = self.parent[id(node)]
            yield node

    def function_of(self, node: ast.AST) -> ast.AST:
        """The function, or the module, that the node stands in."""
        return next((n for n in self.around(node) if isinstance(n, _FUNCTIONS)), self.tree)

    def blocks(self) -> Iterator[list[ast.stmt]]:
        """Every list of statements."""
        for node in self.nodes:
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                    yield block

    @cached_property
    def loops(self) -> list[ast.For | ast.While]:
        """Loops that ask in their bodies, or for what they walk."""
        return [n for n in self.nodes if isinstance(n, _LOOPS) and self.asks(*n.body, getattr(n, "iter", None))]


def is_question(node: ast.AST) -> bool:
    """Whether it asks a model, or is the method that does."""
    match node:
        case ast.Attribute(value=ast.Name(id="hermod"), attr="call" | "call_sync"):
            return True
        case ast.Attribute(attr=name):
            return name in METHODS
        case ast.Name(id=name):
            return name in FUNCTIONS
    return False


def names(node: ast.AST, *, stored: bool = False) -> set[str]:
    """The names that are read, or bound, in there."""
    wanted = ast.Store if stored else ast.Load
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, wanted)}


def stored_in(block: list[ast.stmt]) -> set[str]:
    """The names that statements bind."""
    return {name for statement in block for name in names(statement, stored=True)}


_READERS: dict[str, Callable[[Reading], bool]] = {}


def _reads(row: str) -> Callable[[Callable[[Reading], bool]], Callable[[Reading], bool]]:
    def register(reader: Callable[[Reading], bool]) -> Callable[[Reading], bool]:
        _READERS[row] = reader
        return reader

    return register


def _called(node: ast.AST, *wanted: str) -> bool:
    """Whether it calls a function or method of one of these names."""
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    return getattr(function, "id", None) in wanted or getattr(function, "attr", None) in wanted


@_reads("independent")
def _independent(r: Reading) -> bool:
    for block in r.blocks():
        asking = [s for s in block if isinstance(s, (ast.Assign, ast.Expr)) and r.asks(s)]
        for one, two in itertools.pairwise(asking):
            targets = one.targets if isinstance(one, ast.Assign) else []  # those of comprehensions are nobody's
            if not {name for target in targets for name in names(target, stored=True)} & names(two):
                return True
    return any(_called(n, "gather") for n in r.nodes)


@_reads("loop")
def _loop(r: Reading) -> bool:
    """A question in the loop reads nothing that the loop binds but its variable, or what a turn itself has bound."""
    for loop in r.loops:
        if isinstance(loop, ast.For):
            bound: set[str] = set()
            for statement in loop.body:
                later = stored_in(loop.body) - bound - names(loop.target, stored=True)
                if r.asks(statement) and not names(statement) & later:
                    return True
                bound |= names(statement, stored=True)
    return False


@_reads("fan-in")
def _fan_in(r: Reading) -> bool:
    for loop in r.loops:
        for node in ast.walk(loop):
            if isinstance(node, ast.AugAssign) or _called(node, "append", "extend"):
                return True
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
                return True
    return False


@_reads("carried")
def _carried(r: Reading) -> bool:
    for loop in r.loops:
        targets = names(loop.target, stored=True) if isinstance(loop, ast.For) else set()
        inside = stored_in(loop.body) - targets
        function = r.function_of(loop)
        before = {
            n.id for n in ast.walk(function)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.lineno < loop.lineno
        }  # fmt: skip
        if inside & before & {n for s in loop.body for n in names(s)}:
            return True
    return False


@_reads("comprehension")
def _comprehension(r: Reading) -> bool:
    return any(
        isinstance(n, _COMPREHENSIONS) and any(g.ifs for g in n.generators) and r.asks(n) for n in r.nodes
    )  # fmt: skip


def _asking_generators(r: Reading) -> list[ast.GeneratorExp]:
    return [n for n in r.nodes if isinstance(n, ast.GeneratorExp) and r.asks(n)]


def _consumer(r: Reading, node: ast.AST) -> ast.AST:
    return r.parent[id(node)]


@_reads("lazy")
def _lazy(r: Reading) -> bool:
    return any(_called(_consumer(r, g), "any", "all", "next") for g in _asking_generators(r))


@_reads("generators")
def _generators(r: Reading) -> bool:
    return any(not _called(_consumer(r, g), "any", "all", "next") for g in _asking_generators(r))


@_reads("keys")
def _keys(r: Reading) -> bool:
    return any(isinstance(n, ast.keyword) and n.arg == "key" and r.asks(n.value) for n in r.nodes)


@_reads("exit")
def _exit(r: Reading) -> bool:
    for node in r.of(ast.Return, ast.Break):
        for around in r.around(node):
            if isinstance(around, _FUNCTIONS):
                break
            if around in r.loops:
                return True
    return False


@_reads("if-result")
def _if_result(r: Reading) -> bool:
    results = {n for s in r.of(ast.Assign) if r.asks(s) for n in names(s, stored=True)}
    for node in r.of(ast.If, ast.Match):
        test = node.test if isinstance(node, ast.If) else node.subject  # type: ignore[attr-defined]
        if r.asks(test) or names(test) & results or isinstance(node, ast.Match):
            return True
    # What a loop found hangs on results as well.
    return any(isinstance(n, ast.If) and isinstance(r.parent[id(n)], _LOOPS) for n in r.nodes)


@_reads("short-circuit")
def _short_circuit(r: Reading) -> bool:
    for node in r.nodes:
        match node:
            case ast.BoolOp(values=[_, *rest]) if r.asks(*rest):
                return True
            case ast.IfExp() if r.asks(node.body, node.orelse):
                return True
            case ast.Compare(comparators=[_, *rest]) if r.asks(*rest):
                return True
            case ast.BoolOp() | ast.IfExp() | ast.Compare(ops=[_, _, *_]) if r.asks(node):
                return True
    return False


@_reads("region")
def _region(r: Reading) -> bool:
    return any(True for _ in r.of(ast.While, ast.Try, ast.With))


@_reads("effects")
def _effects(r: Reading) -> bool:
    return any(_called(n, "print") or (isinstance(n, ast.Constant) and n.value in IMPURE) for n in r.nodes)


@_reads("mutation")
def _mutation(r: Reading) -> bool:
    for node in r.nodes:
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            return True
        if isinstance(node, (ast.AugAssign, ast.Global, ast.Nonlocal)) or _called(node, *CHANGES):
            return True
    return False


@_reads("closures")
def _closures(r: Reading) -> bool:
    for node in r.of(*_FUNCTIONS, ast.Lambda):
        if any(isinstance(n, _FUNCTIONS) for n in r.around(node)) and r.asks(node):
            return True
    return False


@_reads("duplicates")
def _duplicates(r: Reading) -> bool:
    seen: set[tuple[int, str]] = set()
    for node in r.of(ast.Call):
        if not r.asks(node.func):  # type: ignore[attr-defined]
            continue
        question = id(r.function_of(node)), ast.dump(node)
        if question in seen or _invariant(r, node):
            return True
        seen.add(question)
    return False


def _invariant(r: Reading, node: ast.AST) -> bool:
    for around in r.around(node):
        if isinstance(around, _FUNCTIONS):
            return False
        if isinstance(around, _LOOPS) and not names(node) & names(around, stored=True):
            return True
    return False


@_reads("sets")
def _sets(r: Reading) -> bool:
    return any(isinstance(n, (ast.Set, ast.SetComp)) or _called(n, "set") for n in r.nodes)


@_reads("unprovable")
def _unprovable(r: Reading) -> bool:
    for node in r.nodes:
        if _called(node, "getattr", "iter", "map", "filter", "remove"):
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript):
            return True
        if isinstance(node, _FUNCTIONS) and any(_called(n, node.name) for n in ast.walk(node)):
            return True
        if isinstance(node, ast.List) and any(isinstance(e, ast.Attribute) and e.attr in METHODS for e in node.elts):
            return True
    return False


@_reads("helpers")
def _helpers(r: Reading) -> bool:
    return any(isinstance(n, ast.Name) and n.id in r.askers and not isinstance(n.ctx, ast.Store) for n in r.nodes)


@_reads("nested-loops")
def _nested_loops(r: Reading) -> bool:
    return any(isinstance(a, _LOOPS) for loop in r.loops for a in r.around(loop))


@_reads("nested-guards")
def _nested_guards(r: Reading) -> bool:
    for node in r.of(ast.BoolOp):
        assert isinstance(node, ast.BoolOp)
        guarded = [value for value in node.values[1:] if isinstance(node.op, ast.And) and r.asks(value)]
        if any(_is_first(n) for value in guarded for n in ast.walk(value)):
            return True
    return False


def _is_first(node: ast.AST) -> bool:
    match node:
        case ast.Subscript(slice=ast.Constant(value=0)):
            return True
    return False


@_reads("loop-variable")
def _loop_variable(r: Reading) -> bool:
    for loop in r.loops:
        if isinstance(loop, ast.For):
            bound = names(loop.target, stored=True)
            function, end = r.function_of(loop), loop.end_lineno or 0
            for node in ast.walk(function):
                if isinstance(node, ast.Name) and node.id in bound and node.lineno > end:
                    return True
    return False


@_reads("early-return")
def _early_return(r: Reading) -> bool:
    return any(not isinstance(r.parent[id(n)], _FUNCTIONS) for n in r.of(ast.Return))


@_reads("name-errors")
def _name_errors(r: Reading) -> bool:
    """A name that nothing binds, or that only a branch binds or deletes, and that is read outside of it."""
    everywhere = {n for node in r.nodes for n in _bound(node)} | set(dir(builtins)) | set(FUNCTIONS)
    known = {"ImagePatch", "VideoSegment", "distance", "bool_to_yesno", "coerce_to_numeric", "hermod"} | everywhere
    if any(isinstance(n, ast.Name) and n.id not in known for n in r.nodes):
        return True
    for node in r.of(ast.If):
        assert isinstance(node, ast.If)
        only = stored_in(node.body) - stored_in(node.orelse)
        gone = {t.id for s in node.body if isinstance(s, ast.Delete) for t in s.targets if isinstance(t, ast.Name)}
        function = r.function_of(node)
        inside = {id(n) for n in ast.walk(node)}
        for name in only | gone:
            uses = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name and id(n) not in inside]
            first_stored = min((n.lineno for n in uses if isinstance(n.ctx, ast.Store)), default=1 << 30)
            if any(isinstance(n.ctx, ast.Load) and n.lineno > node.lineno for n in uses) and (
                name in gone or first_stored > node.lineno
            ):
                return True
    changed = [n.target.id for n in r.nodes if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)]
    return any(sum(isinstance(n, ast.Name) and n.id == name for n in r.nodes) == 1 for name in changed)


def _bound(node: ast.AST) -> set[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            return {name}
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.arg(arg=name) | ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            return {name}
        case ast.alias():
            return {node.asname or node.name}
    return set()


@_reads("del")
def _del(r: Reading) -> bool:
    return any(True for _ in r.of(ast.Delete))


@_reads("star")
def _star(r: Reading) -> bool:
    return any(isinstance(n, ast.Starred) or (isinstance(n, ast.arguments) and n.vararg is not None) for n in r.nodes)


@_reads("f-strings")
def _f_strings(r: Reading) -> bool:
    return any(True for _ in r.of(ast.FormattedValue))


@_reads("coerce")
def _coerce(r: Reading) -> bool:
    return any(_called(n, "coerce_to_numeric") for n in r.nodes)


@_reads("walks")
def _walks(r: Reading) -> bool:
    return any(
        _called(n, "enumerate", "zip", "range", "reversed", "items", "frame_iterator") or isinstance(n, ast.Slice)
        for n in r.nodes
    )


@_reads("strings")
def _strings(r: Reading) -> bool:
    return any(_called(n, *STRINGS) for n in r.nodes) or any(
        isinstance(n, ast.Compare) and isinstance(n.ops[0], (ast.In, ast.Eq)) for n in r.nodes
    )


@_reads("parsing")
def _parsing(r: Reading) -> bool:
    tried = [statement for node in r.of(ast.Try) for statement in node.body]  # type: ignore[attr-defined]
    return any(_called(n, "int", "float", "coerce_to_numeric") for statement in tried for n in ast.walk(statement))
