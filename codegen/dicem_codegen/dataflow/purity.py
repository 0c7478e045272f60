"""Which calls compute and nothing else: by name, and for the program's own functions by looking inside.

Whatever is not known here has an effect: it stays where it stands.
"""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from hermod import prelude

from ..lower.scopes import parameters
from ..walking import children, walk

Effect = Literal["pure", "mutates", "unknown"]
Function = ast.FunctionDef | ast.AsyncFunctionDef

_COMPUTE = frozenset({
    "abs", "all", "any", "bool", "chr", "dict", "divmod", "enumerate", "float", "format", "frozenset", "int",
    "isinstance", "iter", "len", "list", "max", "min", "ord", "pow", "range", "repr", "reversed", "round", "set",
    "sorted", "str", "sum", "tuple", "type", "zip",
    "Exception", "ValueError", "TypeError", "KeyError", "IndexError", "RuntimeError", "AttributeError", "StopIteration",
})  # fmt: skip
_PRELUDE = frozenset({"ImagePatch", "VideoSegment", "PILImage", "distance", "bool_to_yesno", "coerce_to_numeric"})
_METHODS = frozenset({
    # of a patch, a picture, a video
    "crop", "overlaps_with", "frame_from_index", "trim", "frame_iterator",
    # of text
    "capitalize", "casefold", "center", "count", "encode", "endswith", "expandtabs", "format", "format_map", "index",
    "isalnum", "isalpha", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isspace", "istitle",
    "isupper", "join", "ljust", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind",
    "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase",
    "title", "translate", "upper", "zfill", "find",
    # of lists, dicts and sets
    "copy", "get", "items", "keys", "values", "difference", "intersection", "isdisjoint", "issubset", "issuperset",
    "symmetric_difference", "union",
    # of numbers
    "is_integer", "bit_length",
})  # fmt: skip
_MUTATORS = frozenset({
    "add", "append", "clear", "difference_update", "discard", "extend", "insert", "intersection_update", "pop",
    "popitem", "remove", "reverse", "setdefault", "sort", "symmetric_difference_update", "update", "appendleft",
    "popleft",
})  # fmt: skip
_PURE_MODULES: dict[str, set[str] | None] = {
    "math": None,
    "statistics": None,
    "re": {"match", "search", "fullmatch", "findall", "sub", "split"},
    "PIL.Image": {"open"},
    "json": {"loads", "dumps"},
}
"""None: all that is in it"""
ITERATES = frozenset({
    "all", "any", "dict", "enumerate", "extend", "frozenset", "join", "list", "max", "min", "reversed", "set", "sorted",
    "sum", "tuple", "update", "zip", "map", "filter", "iter", "union", "difference", "intersection", "isdisjoint",
    "issubset", "issuperset", "symmetric_difference", "difference_update", "intersection_update",
    "symmetric_difference_update", "best_text_match", "best_text_match_start", "select_answer", "select_answer_start",
})  # fmt: skip
"""What walks its arguments."""


PATCH_ATTRIBUTES = frozenset({
    "left", "right", "lower", "upper", "width", "height", "horizontal_center", "vertical_center", "image",
    "cropped_image", "handle", "size", "frames", "trimmed_video", "num_frames", "start", "end",
})  # fmt: skip
"""What the methods of patches, pictures and videos look at."""


@dataclass
class ModuleFacts:
    """What the names of a module mean."""

    imports: dict[str, str] = field(default_factory=dict)
    """name -> module, or module.attribute"""
    functions: dict[str, Function] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)
    """names bound once, at the top, and not to a function"""
    variables: set[str] = field(default_factory=set)
    """names that functions bind, or that are bound more than once"""
    methods: set[str] = field(default_factory=set)
    """names of methods and attributes of the program's own classes: of these nothing is known"""
    attributes: set[str] = field(default_factory=set)
    """names of attributes that are set anywhere"""
    has_operators: bool = False
    """a class of its own defines operators: then no operation on an unknown value is known either"""


def facts_of(tree: ast.Module) -> ModuleFacts:  # noqa: PLR0912 - one case a kind of statement
    """Read a module."""
    facts = ModuleFacts()
    bound: dict[str, int] = {}
    for statement in tree.body:
        match statement:
            case ast.Import():
                for alias in statement.names:
                    name = alias.asname or alias.name.split(".")[0]
                    facts.imports[name] = alias.name if alias.asname else name
                    bound[name] = bound.get(name, 0) + 1
            case ast.ImportFrom():
                for alias in statement.names:
                    facts.imports[alias.asname or alias.name] = f"{statement.module}.{alias.name}"
                    bound[alias.asname or alias.name] = bound.get(alias.asname or alias.name, 0) + 1
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                facts.functions[statement.name] = statement
                bound[statement.name] = bound.get(statement.name, 0) + 1
            case _:
                for node in walk(statement):
                    if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
                        bound[node.id] = bound.get(node.id, 0) + 1
                    elif isinstance(node, ast.ClassDef):
                        bound[node.name] = bound.get(node.name, 0) + 1
    declared: set[str] = set()
    for node in walk(tree):
        if isinstance(node, ast.Global):
            declared.update(node.names)
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            facts.attributes.add(node.attr)
        elif isinstance(node, ast.ClassDef):
            _note_class(node, facts)
    facts.variables = {name for name, count in bound.items() if count > 1} | declared | _changeable(tree)
    facts.constants = set(bound) - facts.variables
    for name in facts.variables:
        facts.functions.pop(name, None)
        facts.imports.pop(name, None)
    return facts


def _note_class(node: ast.ClassDef, facts: ModuleFacts) -> None:
    for inner in walk(node):
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
            facts.methods.add(inner.name)
            facts.has_operators |= inner.name.startswith("__") and inner.name not in ("__init__", "__repr__")
        elif isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            facts.methods.add(inner.attr)
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            facts.methods.add(inner.id)


def _changeable(tree: ast.Module) -> set[str]:
    """Names of the module's own lists, dicts and sets that some line may change, or give to somebody who does."""
    found = {
        target.id: statement.value for statement in tree.body if isinstance(statement, (ast.Assign, ast.AnnAssign))
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
        if isinstance(target, ast.Name) and not _is_text_or_number(statement.value)
    }  # fmt: skip
    if not found:
        return set()
    nodes = walk(tree)
    kept = {id(n) for node in nodes for n in _only_looked_at(node, found)}
    return {
        n.id for n in nodes
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id in found and id(n) not in kept
    }  # fmt: skip


def _only_looked_at(node: ast.AST, known: dict[str, ast.expr | None]) -> list[ast.expr]:
    """The parts of a node of which it takes what is inside, which nobody can change."""
    looked_at: list[ast.expr] = []
    match node:
        case ast.Subscript(value=value, ctx=ast.Load()) | ast.For(iter=value) | ast.comprehension(iter=value):
            looked_at = [value]
        case ast.Compare(comparators=comparators):
            looked_at = comparators
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in _COMPUTE:
            looked_at = arguments
        case ast.Call(func=ast.Attribute(value=value, attr=name), args=arguments) if name in _METHODS:
            looked_at = [value, *arguments]
        case ast.FormattedValue(value=value):
            looked_at = [value]
    return [n for n in looked_at if isinstance(n, ast.Name) and _is_flat(known.get(n.id))]


def _is_flat(value: ast.expr | None) -> bool:
    match value:
        case ast.List(elts=parts) | ast.Set(elts=parts):
            return all(map(_is_text_or_number, parts))
        case ast.Dict(values=parts):
            return all(map(_is_text_or_number, parts))
    return False


def _is_text_or_number(value: ast.expr | None) -> bool:
    match value:
        case ast.Tuple(elts=parts):
            return all(map(_is_text_or_number, parts))
        case ast.UnaryOp(operand=operand):
            return _is_text_or_number(operand)
    return isinstance(value, (ast.Constant, ast.JoinedStr))


def keeps_iterators(tree: ast.Module) -> ast.expr | None:
    """Where an iterator is put away, as into a list: who walks it later cannot be seen.  None: nowhere."""
    nodes = walk(tree)
    named = {
        t.id for n in nodes if isinstance(n, ast.Assign) and _gives_iterator(n.value, frozenset())
        for t in n.targets if isinstance(t, ast.Name)
    }  # fmt: skip
    names = frozenset(named)
    shared = {name for n in nodes if isinstance(n, ast.Global) for name in n.names}
    shared |= {n.id for s in tree.body if isinstance(s, ast.Assign) for n in walk(s) if isinstance(n, ast.Name)}
    if names & shared:
        return ast.Name(min(names & shared), ast.Load())
    for node in nodes:
        parts: list[ast.expr | None] = []
        match node:
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                parts = [*elements]
            case ast.Dict(values=values):
                parts = [*values]
            case ast.ListComp(elt=element) | ast.SetComp(elt=element) | ast.GeneratorExp(elt=element):
                parts = [element]
            case ast.DictComp(value=value) | ast.Return(value=value):
                parts = [value]
            case ast.Assign(targets=targets, value=value) if any(not isinstance(t, ast.Name) for t in targets):
                parts = [value] if not any(isinstance(t, (ast.Tuple, ast.List)) for t in targets) else []
            case ast.Call(func=ast.Attribute(attr=name), args=arguments) if name in _MUTATORS - ITERATES:
                parts = [*arguments]
        for part in parts:
            if part is not None and _gives_iterator(part, names):
                return part
    return None


def _gives_iterator(value: ast.expr, names: frozenset[str]) -> bool:
    match value:
        case ast.Call(func=ast.Name(id="iter" | "zip" | "map" | "filter" | "enumerate" | "reversed")):
            return True
        case ast.Call(func=ast.Attribute(attr="frame_iterator")):
            return True
        case ast.Name(id=name):
            return name in names
        case ast.IfExp(body=body, orelse=orelse):
            return _gives_iterator(body, names) or _gives_iterator(orelse, names)
        case ast.BoolOp(values=values):
            return any(_gives_iterator(v, names) for v in values)
    return isinstance(value, ast.GeneratorExp)


class Purity:
    """What calls do, in one function of a module; `local` are the names that the function binds, `nested` those of them
    that are functions of its own which only compute.
    """

    def __init__(
        self, facts: ModuleFacts, local: frozenset[str], pure_functions: frozenset[str],
        nested: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self.facts, self.local, self.pure_functions, self.nested = facts, local, pure_functions, nested

    def effect(self, call: ast.Call) -> Effect:
        """What the call itself does, its arguments aside."""
        if _keys_taken(call) is not None:
            return "mutates"
        if any(k.arg in ("key", "default_factory") and not self._is_pure_value(k.value) for k in call.keywords):
            return "unknown"
        match call.func:
            case ast.Name(id=name):
                return self._effect_of_name(name, call)
            case ast.Attribute():
                return self._effect_of_method(call.func, call)
        return "unknown"

    def is_own(self, name: str) -> bool:
        """Whether the program itself gives a name its meaning, somewhere that this function sees."""
        facts = self.facts
        return name in self.local or any(
            name in own for own in (facts.functions, facts.imports, facts.variables, facts.constants)
        )

    def changed_by(self, call: ast.Call) -> list[ast.expr]:
        """What a call that "mutates" changes in place."""
        keys = _keys_taken(call)
        changed: list[ast.expr] = [] if keys is None else [keys]
        if isinstance(call.func, ast.Attribute) and call.func.attr in _MUTATORS:
            changed.append(call.func.value)
        return changed

    def _effect_of_name(self, name: str, call: ast.Call) -> Effect:
        if name in self.local:
            return "pure" if name in self.nested else "unknown"
        if name in self.facts.functions:
            return "pure" if name in self.pure_functions else "unknown"
        if name in self.facts.imports or name in self.facts.variables or name in self.facts.constants:
            return "pure" if self._is_pure_import(self.facts.imports.get(name, "")) else "unknown"
        if name in ("map", "filter"):
            return "pure" if call.args and self._is_pure_value(call.args[0]) else "unknown"
        if name in _COMPUTE and hasattr(builtins, name):
            return "unknown" if name == "type" and len(call.args) != 1 else "pure"
        if name in _PRELUDE or (name.endswith("_finish") and hasattr(prelude, name)):
            return "pure"
        return "unknown"

    def _effect_of_method(self, func: ast.Attribute, call: ast.Call) -> Effect:
        name = func.attr
        if isinstance(func.value, ast.Name) and func.value.id not in self.local:
            module = self.facts.imports.get(func.value.id)
            if module is not None:
                return "pure" if self._is_pure_import(f"{module}.{name}") else "unknown"
        if name in self.facts.methods:
            return "unknown"
        if name in _METHODS or (name.endswith("_finish") and hasattr(prelude.ImagePatch, name)):
            return "pure"
        if name in _MUTATORS:
            return "mutates"
        return "unknown"

    def _is_pure_import(self, full: str) -> bool:
        module, _, name = full.rpartition(".")
        if module not in _PURE_MODULES:
            return False
        allowed = _PURE_MODULES[module]
        return allowed is None or name in allowed

    def _is_pure_value(self, value: ast.expr) -> bool:
        """Whether calling `value` computes and nothing else."""
        match value:
            case ast.Constant(value=None):
                return True
            case ast.Name(id=name):
                if name in self.local:
                    return name in self.nested
                known = name in self.facts.constants or name in self.facts.variables
                return name in self.pure_functions or (not known and name in _COMPUTE)
            case ast.Lambda(args=arguments, body=body) if not (arguments.defaults or any(arguments.kw_defaults)):
                inner = frozenset(a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))
                return Purity(self.facts, self.local | inner, self.pure_functions, self.nested - inner).is_pure(body)
            case ast.Attribute(value=ast.Name(id="str"), attr=name):
                return name in _METHODS
        return False

    def is_pure(self, expr: ast.AST) -> bool:
        """Whether evaluating `expr` computes and nothing else."""
        for node in walk(expr):
            if isinstance(node, ast.Call) and self.effect(node) != "pure":
                return False
            if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)):
                return False
            if self.facts.has_operators and isinstance(node, (ast.BinOp, ast.Compare, ast.Subscript, ast.UnaryOp)):
                return False
        return True


def _keys_taken(call: ast.Call) -> ast.Name | None:
    """The iterator that `key=lambda _: next(keys)` uses up, as lowering writes keys that were computed before."""
    func = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    for keyword in call.keywords:
        match keyword:
            case ast.keyword(
                arg="key",
                value=ast.Lambda(body=ast.Call(func=ast.Name(id="next"), args=[ast.Name(id=name) as keys])),
            ) if name.startswith("_keys") and func in ("min", "max", "sorted", "sort"):
                return keys
    return None


def bound_names(function: Function | ast.Lambda) -> frozenset[str]:
    """The names that a function binds: parameters, assignments, loops, nested definitions."""
    names = {a.arg for a in parameters(function.args)}
    if isinstance(function, ast.Lambda):
        return frozenset(names)
    stack: list[ast.AST] = list(function.body)
    outer: set[str] = set()
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            names.add(node.id)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            outer.update(node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        stack.extend(children(node))
    return frozenset(names - outer)


def pure_functions(facts: ModuleFacts) -> frozenset[str]:
    """The program's own plain functions that compute and nothing else, found by starting from none."""
    known: frozenset[str] = frozenset()
    while True:
        more = {n for n, f in facts.functions.items() if n not in known and _is_pure_function(f, facts, known)}
        if not more:
            return known
        known |= more


def settled_functions(
    function: Function, around: frozenset[str], is_plain: Callable[[ast.expr], bool]
) -> dict[str, Function]:  # fmt: skip
    """The functions that a function defines for itself and whose surroundings are the same whenever they are called:
    what they see of them was bound once, before, to something that nobody can change.  One that asks is among them only
    where it is defined before the function itself has asked: later on, a variant at the module's top starts earlier.

    :param around: the names of the functions around it
    """
    if not any(isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) for statement in function.body):
        return {}
    counts = Counter(_bindings(function))
    changeable = {n.id for n in walk(function) if isinstance(n, ast.Name) and not is_plain(n)}
    fixed = {a.arg for a in parameters(function.args) if counts[a.arg] == 1} - changeable
    found: dict[str, Function] = {}
    local = bound_names(function) | around
    has_asked = False
    for statement in function.body:
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            has_asked = has_asked or any(isinstance(node, ast.Await) for node in walk(statement))
        match statement:
            case ast.AsyncFunctionDef() if has_asked:
                pass
            case ast.Assign(targets=[ast.Name(id=name)]) if counts[name] == 1 and name not in changeable:
                fixed.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if counts[name] == 1:
                seen = {n.id for n in walk(statement) if isinstance(n, ast.Name)} - bound_names(statement)
                defaults = [*statement.args.defaults, *statement.args.kw_defaults]
                plain = all(isinstance(default, ast.Constant) for default in defaults if default is not None)
                if plain and not seen & local - fixed:
                    found[name] = statement
    return found


def pure_among(settled: dict[str, Function], facts: ModuleFacts, known: frozenset[str]) -> frozenset[str]:
    """Those of them that compute and nothing else."""
    return frozenset(name for name, each in settled.items() if _is_pure_function(each, facts, known))


def _bindings(function: Function) -> Iterator[str]:
    """A name for each place in a function that binds it, inner functions' own places too; parameters once more."""
    for node in walk(function):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=asname):
                yield asname or name.split(".")[0]
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                yield name


def _is_pure_function(function: Function, facts: ModuleFacts, known: frozenset[str]) -> bool:  # noqa: PLR0912 - one case a kind of node
    if isinstance(function, ast.AsyncFunctionDef) or function.decorator_list:
        return False
    local = bound_names(function)
    purity = Purity(facts, local, known)
    nodes = walk(function)
    fresh = _fresh_names(function, nodes)
    for node in nodes:
        match node:
            case (
                ast.Global() | ast.Nonlocal() | ast.Yield() | ast.YieldFrom() | ast.Await() | ast.With() | ast.Delete()
            ):
                return False
            case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef() if node is not function:
                return False
            case ast.Name(id=name, ctx=ast.Load()) if name in facts.variables and name not in local:
                return False
            case ast.Attribute(ctx=ast.Store()) | ast.Attribute(ctx=ast.Del()) | ast.Raise() | ast.Assert():
                return False  # who decides to fail is a guard of what follows
            case ast.Attribute(attr=name) if name in facts.attributes:
                return False
            case ast.Call() if facts.attributes & PATCH_ATTRIBUTES:
                return False
            case ast.Subscript(ctx=ast.Store() | ast.Del(), value=value) if not _is_name_in(value, fresh):
                return False
            case ast.AugAssign(target=ast.Name(id=name)) if name not in fresh:
                return False
            case ast.Call():
                effect = purity.effect(node)
                if effect == "mutates" and isinstance(node.func, ast.Attribute):
                    effect = "pure" if _is_name_in(node.func.value, fresh) else "unknown"
                if effect != "pure":
                    return False
    return True


def _is_name_in(expr: ast.expr, names: frozenset[str]) -> bool:
    return isinstance(expr, ast.Name) and expr.id in names


def _fresh_names(function: Function, nodes: list[ast.AST]) -> frozenset[str]:
    """Names that are only ever bound to something made on the spot."""
    fresh: set[str] = set()
    other: set[str] = {a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                made = isinstance(value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.Constant,
                                          ast.JoinedStr, ast.Compare))  # fmt: skip
                (fresh if made else other).add(name)
            case ast.AugAssign():
                pass
            case ast.Name(id=name, ctx=ast.Store()):
                pass
    stores: dict[str, int] = {}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            stores[node.id] = stores.get(node.id, 0) + 1
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            stores[node.targets[0].id] = stores.get(node.targets[0].id, 0) - 1
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            stores[node.target.id] = stores.get(node.target.id, 0) - 1
    return frozenset(name for name in fresh - other if stores.get(name, 0) == 0)
