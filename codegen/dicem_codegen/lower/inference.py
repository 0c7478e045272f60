"""The work of `kinds`: evaluates each statement of a program until nothing is new."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..walking import children, walk
from . import models
from .modules import awaited
from .scopes import Comprehension, Function, Scope, goes_on, parameters
from .values import (
    NUMBERS,
    PLAIN,
    UNKNOWN,
    Bound,
    Box,
    BoxKind,
    Class,
    Func,
    Instance,
    Method,
    Value,
    Values,
)
from .worklist import Worklist

if TYPE_CHECKING:
    from .kinds import Kinds


IN_PLACE: Final[dict[BoxKind, tuple[type[ast.operator], ...]]] = {
    "list": (ast.Add, ast.Mult), "set": (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor), "dict": (ast.BitOr,)
}  # fmt: skip
"""Operators whose `x op= y` changes x itself."""


class Inference(Worklist):
    """Evaluates all that can run until nothing is new."""

    def __init__(self, tree: ast.Module, entry: str, form: str, kinds: Kinds) -> None:
        self.tree, self.entry, self.form = tree, entry, form
        super().__init__(kinds.scopes)
        self.kinds = kinds
        self.variables: dict[tuple[Scope, str], Values] = {}
        self.boxes: dict[tuple[object, str], Box] = {}
        self.patch_attributes: dict[str, Values] = {}
        self._in_plain: Values = {PLAIN}

    def run(self) -> Kinds:
        """Evaluate the module and every function that can run."""
        self.add([self.tree] if self.form == "function" else [], self.scopes.module)
        self.add(self.tree.body, self.scopes.module)
        self.settle()
        while self._call_the_uncalled():
            self.settle()
        for box in self.boxes.values():
            box.see = None
        return self.kinds

    def evaluate(self, node: ast.AST, scope: Scope) -> None:
        """Evaluate a statement, the value of a lambda, or the call of the entry."""
        if isinstance(node, ast.stmt):
            self._statement(node, scope)
        elif isinstance(node, ast.expr):
            self._give_back(self.eval(node, scope), scope)
        else:
            self._call_entry()

    # State that only grows

    @property
    def in_plain(self) -> Values:
        """What plain values can hold, once the program has put more into them."""
        return self.see(self._in_plain)

    def put_into_plain(self, values: Iterable[Value]) -> None:
        """The program puts these into plain values."""
        self.put(self._in_plain, values)

    def variable(self, scope: Scope, name: str) -> Values:
        """What a variable can hold, to put more into it."""
        key = (scope, name)
        found = self.variables.get(key)
        if found is None:
            found = self.variables[key] = set()
        return found

    def read(self, scope: Scope, name: str) -> Values:
        """What a variable can hold."""
        return self.see(self.variable(scope, name))

    def attribute(self, of: dict[str, Values], name: str) -> Values:
        """What an attribute can hold."""
        return self.see(of.setdefault(name, set()))

    def box(self, place: object, kind: BoxKind, items: Iterable[Value] = (), note: str = "") -> Box:
        """The containers made at a place, with `items` in them too."""
        key = (place, kind + note)
        found = self.boxes.get(key)
        if found is None:
            found = self.boxes[key] = Box(kind, place, self.see)
        self.fill(found, items)
        return found

    def fill(self, box: Box, items: Iterable[Value]) -> None:
        """Put these into a container."""
        self.put(box.item_cell, items)
        if box.escaped:
            self.escape(items)

    def escape(self, values: Iterable[Value]) -> None:
        """These values go where this pass does not look: all may be called, changed and filled with anything."""
        for value in list(values):
            if isinstance(value, str):
                continue
            if isinstance(value, Box):
                self._escape_box(value)
            elif isinstance(value, Func):
                self.open(value)
            elif isinstance(value, Method):
                self.open(value.func)
                self.escape([value.receiver])
            elif isinstance(value, Instance) and not value.escaped:
                value.escaped = True
                self.put(value.lost, {UNKNOWN})
                for held in value.attributes.values():
                    self.escape(held)
                    self.put(held, {UNKNOWN})
            elif isinstance(value, Bound):
                self.escape([value.receiver])

    def _escape_box(self, box: Box) -> None:
        if box.escaped:
            return
        box.escaped = True
        inner = [*box.item_cell, *box.key_cell]
        for cell in (box.item_cell, box.key_cell, *(box.field_cells or ())):
            self.put(cell, {UNKNOWN})
        self.escape(inner)

    def open(self, func: Func) -> None:
        """Anybody may call this function with anything."""
        if not func.escaped:
            func.escaped = True
            self._call_with_anything(func)
            self.escape(func.returns)

    def start(self, func: Func) -> None:
        """Something calls this function."""
        if func.called:
            return
        func.called = True
        body = func.node.body
        self.add_body(body if isinstance(body, list) else [body], func.inside)
        if isinstance(body, list) and goes_on(body):
            self.put(func.returns, {"none"})

    def _call_with_anything(self, func: Func) -> None:
        for parameter in parameters(func.node.args):
            self.put(self.variable(func.inside, parameter.arg), {UNKNOWN})
        self.start(func)

    def _call_the_uncalled(self) -> bool:
        """Functions that nothing runs have kinds too: of whatever they are given.  Whether there was one."""
        uncalled = [func for func in self.kinds.functions.values() if not func.called]
        for func in uncalled:
            self._call_with_anything(func)
        return bool(uncalled)

    def _call_entry(self) -> None:
        for value in list(self.read(self.scopes.module, self.entry)):
            if isinstance(value, Func):
                self.start(value)
                if value.node.args.args:
                    first = value.node.args.args[0].arg
                    self.put(self.variable(value.inside, first), models.entry_argument(self, first))

    # Statements

    def _statement(self, node: ast.stmt, scope: Scope) -> None:  # noqa: PLR0912 - one case a kind of node
        """Evaluate one, without the statements in it."""
        match node:
            case ast.Expr():
                self.eval(node.value, scope)
            case ast.Assign():
                values = self.eval(node.value, scope)
                for target in node.targets:
                    self.assign(target, values, scope)
            case ast.AnnAssign():
                if node.value is not None:
                    self.assign(node.target, self.eval(node.value, scope), scope)
            case ast.AugAssign():
                self._augmented(node, scope)
            case ast.Return():
                self._give_back(self.eval(node.value, scope) if node.value is not None else {"none"}, scope)
            case ast.If() | ast.While():
                self.eval(node.test, scope)
            case ast.For() | ast.AsyncFor():
                self.assign(node.target, self.iterate(self.eval(node.iter, scope)), scope)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self.escape(self.eval(item.context_expr, scope))
                    if item.optional_vars is not None:
                        self.assign(item.optional_vars, {UNKNOWN}, scope)
            case ast.Try() | ast.TryStar():
                for handler in node.handlers:
                    if handler.type is not None:
                        self.eval(handler.type, scope)
                    if handler.name is not None:
                        self.store(handler.name, {"exception"}, scope)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.store(node.name, self._defined(node, scope), scope)
            case ast.ClassDef():
                self.store(node.name, {self._class(node, scope)}, scope)
            case ast.Import() | ast.ImportFrom():
                for name, value in models.imported(node):
                    self.store(name, {value}, scope)
            case ast.Match():
                self._match(node, scope)
            case _:
                for child in children(node):
                    if isinstance(child, ast.expr):
                        self.eval(child, scope)

    def _give_back(self, values: Values, scope: Scope) -> None:
        """What the function of this scope returns."""
        func = self.kinds.functions.get(scope.node)
        if func is not None:
            self.put(func.returns, values)
            if func.escaped:
                self.escape(values)

    def _augmented(self, node: ast.AugAssign, scope: Scope) -> None:
        operand = self.eval(node.value, scope)
        before = self.eval(node.target, scope)
        after: Values = set()
        for value in before:
            if isinstance(value, Box) and isinstance(node.op, IN_PLACE.get(value.kind, ())):
                self.fill(value, self.iterate(operand))
                if value.kind == "dict":
                    models.update_dict(self, value, operand)
                after.add(value)
        rest = before - after
        if rest:
            as_read = ast.BinOp(node.target, node.op, node.value)
            after |= models.operate(self, as_read, rest, operand, place=node)
        self.assign(node.target, after, scope)

    def _match(self, node: ast.Match, scope: Scope) -> None:
        subject = self.eval(node.subject, scope)
        self.escape(subject)
        for case in node.cases:
            for pattern in walk(case.pattern):
                for name in (getattr(pattern, "name", None), getattr(pattern, "rest", None)):
                    if isinstance(name, str):
                        self.store(name, {UNKNOWN} | subject, scope)
                if isinstance(pattern, ast.expr):
                    self.eval(pattern, scope)
            if case.guard is not None:
                self.eval(case.guard, scope)

    # Definitions

    def _defined(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> Values:
        made: Values = {self.func(node, scope)}
        for decorator in reversed(node.decorator_list):
            given = models.Arguments([made])
            made = set().union(*[self.call(callee, given) for callee in self.eval(decorator, scope)])
        return made

    def func(self, node: Function, scope: Scope) -> Func:
        """The function of a node; its defaults are evaluated where it is defined."""
        if node not in self.kinds.functions:
            self.kinds.functions[node] = Func(node, self.scopes.inside[node])
        func = self.kinds.functions[node]
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        for argument, default in zip(reversed(positional), reversed(arguments.defaults), strict=False):
            self.put(self.variable(func.inside, argument.arg), self.eval(default, scope))
        for argument, given in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if given is not None:
                self.put(self.variable(func.inside, argument.arg), self.eval(given, scope))
        return func

    def _class(self, node: ast.ClassDef, scope: Scope) -> Value:
        inside = self.scopes.inside[node]
        if node not in self.kinds.classes:
            made = Class(node, inside, Instance())
            made.instance.of = made
            made.is_plain = not (node.bases or node.keywords or node.decorator_list)
            self.kinds.classes[node] = made
        known = self.kinds.classes[node]
        if not known.is_plain:
            for name in inside.bound:
                self.escape(self.read(inside, name))
            return UNKNOWN
        return known

    # Storing

    def store(self, name: str, values: Iterable[Value], scope: Scope) -> None:
        """Assign to a name."""
        self.put(self.variable(scope.where(name) or scope, name), values)

    def assign(self, target: ast.expr, values: Values, scope: Scope) -> None:
        """Assign to anything."""
        match target:
            case ast.Name():
                self.store(target.id, values, scope)
                self.kinds.track(target, self.variable(scope.where(target.id) or scope, target.id))
            case ast.Starred():
                self.assign(target.value, {self.box(target, "list", self.iterate(values))}, scope)
            case ast.Tuple() | ast.List():
                self._unpack(target.elts, values, scope)
            case ast.Attribute():
                self.set_attribute(self.eval(target.value, scope), target.attr, values)
            case ast.Subscript():
                self._set_item(target, values, scope)

    def _unpack(self, targets: list[ast.expr], values: Values, scope: Scope) -> None:
        starred = any(isinstance(part, ast.Starred) for part in targets)
        known = [v for v in values if isinstance(v, Box) and v.fields is not None and len(v.fields) == len(targets)]
        rest = self.iterate({value for value in values if starred or value not in known})
        for position, part in enumerate(targets):
            if isinstance(part, ast.Starred):
                self.assign(part.value, {self.box(part, "list", rest)}, scope)
            else:
                fields = [value.fields[position] for value in known if value.fields] if not starred else []
                self.assign(part, rest.union(*fields), scope)

    def set_attribute(self, receivers: Values, name: str, values: Values) -> None:
        """`receiver.name = value`."""
        for receiver in receivers:
            if receiver == "patch":
                self.put(self.patch_attributes.setdefault(name, set()), values)
            elif isinstance(receiver, Instance):
                self.put(receiver.attributes.setdefault(name, set()), values)
                if receiver.escaped:
                    self.escape(values)
            elif isinstance(receiver, Class):
                self.put(self.variable(receiver.inside, name), values)
            else:
                self.escape(values)
                if receiver == UNKNOWN:  # it may be a patch
                    self.put(self.patch_attributes.setdefault(name, set()), {UNKNOWN})

    def _set_item(self, target: ast.Subscript, values: Values, scope: Scope) -> None:
        keys = self.eval(target.slice, scope)
        for receiver in self.eval(target.value, scope):
            if isinstance(receiver, Box):
                added = self.iterate(values) if isinstance(target.slice, ast.Slice) else values
                self.fill(receiver, added)
                if receiver.kind == "dict":
                    self.put(receiver.key_cell, keys)
            elif receiver == PLAIN:
                self.put_into_plain(values)
            elif receiver == UNKNOWN or isinstance(receiver, Instance):
                self.escape(values | keys)
                self.put_into_plain({UNKNOWN} if receiver == UNKNOWN else ())

    # Reading

    def iterate(self, values: Iterable[Value]) -> Values:
        """What walking over these gives."""
        found: Values = set()
        for value in values:
            if isinstance(value, Box):
                found |= value.keys if value.kind == "dict" else value.items
            elif value in ("str", "bytes", "range"):
                found.add("str" if value == "str" else "int")
            elif value == PLAIN:
                found |= self.in_plain
            elif isinstance(value, Instance) and not self.see(value.lost):
                found |= self._walk_instance(value)
            elif value == UNKNOWN or isinstance(value, (Instance, Class)) or value == "exception":
                found.add(UNKNOWN)
                self.escape([value])
        return found

    def _walk_instance(self, value: Instance) -> Values:
        """What walking over an object of the program gives."""
        nothing = models.Arguments()
        iterators = self._call_special(value, "__iter__", nothing)
        if value in iterators:
            return self._call_special(value, "__next__", nothing)
        return self.iterate(iterators)

    def eval(self, node: ast.expr, scope: Scope) -> Values:
        """What an expression can evaluate to."""
        found = self._eval(node, scope)
        self.kinds.track(node, found)
        return found

    def _eval(self, node: ast.expr, scope: Scope) -> Values:  # noqa: PLR0912 - one case a kind of node
        match node:
            case ast.Constant():
                return {"none" if node.value is None else type(node.value).__name__}
            case ast.Name():
                return self._name(node.id, scope)
            case ast.Attribute():
                return models.attribute(self, self.eval(node.value, scope), node.attr)
            case ast.Call():
                return self._call(node, scope)
            case ast.Await():
                return awaited(self, self.eval(node.value, scope))
            case ast.List() | ast.Set():
                kind: BoxKind = "list" if isinstance(node, ast.List) else "set"
                return {self.box(node, kind, self._elements(node.elts, scope))}
            case ast.Tuple():
                return {self._tuple(node, scope)}
            case ast.Dict():
                return {self._dict(node, scope)}
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return {self._comprehension(node, scope)}
            case ast.Lambda():
                return {self.func(node, scope)}
            case ast.BoolOp():
                return set().union(*[self.eval(part, scope) for part in node.values])
            case ast.IfExp():
                self.eval(node.test, scope)
                return self.eval(node.body, scope) | self.eval(node.orelse, scope)
            case ast.NamedExpr():
                values = self.eval(node.value, scope)
                self.assign(node.target, values, self.scopes.of[node])
                return set(values)
            case ast.BinOp():
                left, right = self.eval(node.left, scope), self.eval(node.right, scope)
                return models.operate(self, node, left, right, place=node)
            case ast.UnaryOp():
                inner = self.eval(node.operand, scope)
                if isinstance(node.op, ast.Not):
                    return {"bool"}
                found: Values = {"int" if value == "bool" else value for value in inner & NUMBERS}
                return found if inner <= NUMBERS else found | {UNKNOWN}
            case ast.Compare():
                parts = [self.eval(part, scope) for part in [node.left, *node.comparators]]
                if any(isinstance(value, Instance) for part in parts for value in part):
                    self.escape(set().union(*parts))
                    return {UNKNOWN}
                return {"bool"}
            case ast.Subscript():
                return models.item(self, node, self.eval(node.value, scope), self.eval(node.slice, scope))
            case ast.Starred():
                return self.eval(node.value, scope)
            case ast.JoinedStr() | ast.FormattedValue():
                for child in children(node):
                    if isinstance(child, ast.expr):
                        self.eval(child, scope)
                return {"str"}
            case ast.Slice():
                for part in (node.lower, node.upper, node.step):
                    if part is not None:
                        self.eval(part, scope)
                return {"slice"}
        self.escape(set().union(*[self.eval(c, scope) for c in children(node) if isinstance(c, ast.expr)]))
        return {UNKNOWN}

    def _name(self, name: str, scope: Scope) -> Values:
        holder = scope.where(name)
        if holder is None:
            return {models.outside(name)}
        found = set(self.read(holder, name))
        # A global that is not bound yet is a word of the prelude or a builtin still.
        if holder.parent is None and not self.tree_defines(name):
            found.add(models.outside(name))
        return found

    def tree_defines(self, name: str) -> bool:
        """Whether nothing but the program can be what a global name means: no word of the prelude, no builtin."""
        return not models.is_outside(name)

    def _elements(self, parts: list[ast.expr], scope: Scope) -> Values:
        found: Values = set()
        for part in parts:
            values = self.eval(part, scope)
            found |= self.iterate(values) if isinstance(part, ast.Starred) else values
        return found

    def _tuple(self, node: ast.Tuple, scope: Scope) -> Box:
        box = self.box(node, "tuple", self._elements(node.elts, scope))
        if not any(isinstance(part, ast.Starred) for part in node.elts):
            if box.field_cells is None:
                box.field_cells = [set() for _ in node.elts]
            for cell, part in zip(box.field_cells, node.elts, strict=True):
                self.put(cell, self.kinds.values_of(part))
        return box

    def _dict(self, node: ast.Dict, scope: Scope) -> Box:
        box = self.box(node, "dict")
        for key, value in zip(node.keys, node.values, strict=True):
            values = self.eval(value, scope)
            if key is None:
                models.update_dict(self, box, values)
            else:
                self.put(box.key_cell, self.eval(key, scope))
                self.put(box.item_cell, values)
        return box

    def _comprehension(self, node: Comprehension, scope: Scope) -> Box:
        inner = self.scopes.inside[node]
        for position, generator in enumerate(node.generators):
            source = self.eval(generator.iter, inner if position else scope)
            self.assign(generator.target, self.iterate(source), inner)
            for condition in generator.ifs:
                self.eval(condition, inner)
        if isinstance(node, ast.DictComp):
            box = self.box(node, "dict", self.eval(node.value, inner))
            self.put(box.key_cell, self.eval(node.key, inner))
            return box
        kind: BoxKind = (
            "list" if isinstance(node, ast.ListComp) else "set" if isinstance(node, ast.SetComp) else "iterator"
        )
        return self.box(node, kind, self.eval(node.elt, inner))

    # Calls

    def _call(self, node: ast.Call, scope: Scope) -> Values:
        callees = self.eval(node.func, scope)
        self.kinds.callees[node] = callees
        arguments = models.Arguments.read(self, node, scope)
        found: Values = set()
        for callee in list(callees):
            found |= self.call(callee, arguments)
        return found

    def call(self, callee: Value, arguments: models.Arguments) -> Values:
        """What calling a value gives."""
        if isinstance(callee, Func):
            return self.call_function(callee, arguments)
        if isinstance(callee, Method):
            return self.call_function(callee.func, arguments.after({callee.receiver}))
        if isinstance(callee, Class):
            return self._instantiate(callee, arguments)
        if isinstance(callee, Instance):
            return self._call_special(callee, "__call__", arguments)
        if isinstance(callee, Bound):
            return models.method(self, callee, arguments)
        return models.function(self, callee, arguments)

    def call_function(self, func: Func, arguments: models.Arguments) -> Values:  # noqa: PLR0912 - one case a kind of node
        """Bind the arguments; what comes back."""
        self.start(func)
        spec = func.node.args
        positional = [*spec.posonlyargs, *spec.args]
        for position, values in enumerate(arguments.positional):
            if position < len(positional):
                self.put(self.variable(func.inside, positional[position].arg), values)
            elif spec.vararg is not None:
                self.put(self.variable(func.inside, spec.vararg.arg), {self.box(spec.vararg, "tuple", values)})
        named = {argument.arg: argument for argument in [*spec.args, *spec.kwonlyargs]}
        for name, values in arguments.named.items():
            if name in named:
                self.put(self.variable(func.inside, name), values)
            elif spec.kwarg is not None:
                box = self.box(spec.kwarg, "dict", values)
                self.put(box.key_cell, {"str"})
        if arguments.rest:
            for argument in [*positional, *spec.kwonlyargs]:
                self.put(self.variable(func.inside, argument.arg), arguments.rest)
            if spec.vararg is not None:
                self.box(spec.vararg, "tuple", arguments.rest)
            if spec.kwarg is not None:
                self.box(spec.kwarg, "dict", arguments.rest)
        if spec.vararg is not None:
            self.put(self.variable(func.inside, spec.vararg.arg), {self.box(spec.vararg, "tuple")})
        if spec.kwarg is not None:
            box = self.box(spec.kwarg, "dict")
            self.put(box.key_cell, {"str"})
            self.put(self.variable(func.inside, spec.kwarg.arg), {box})
        if func.is_async:
            return {self.box(func.node, "coroutine", self.see(func.returns))}
        return set(self.see(func.returns))

    def _instantiate(self, made: Class, arguments: models.Arguments) -> Values:
        for name in made.inside.bound:
            for value in list(self.read(made.inside, name)):
                if isinstance(value, Func) and name.startswith("__") and name not in ("__init__", "__call__"):
                    self.start(value)
                    for position, parameter in enumerate(parameters(value.node.args)):
                        given: Values = {UNKNOWN} if position else {made.instance}
                        self.put(self.variable(value.inside, parameter.arg), given)
        self._call_special(made.instance, "__init__", arguments)
        return {made.instance}

    def _call_special(self, instance: Instance, name: str, arguments: models.Arguments) -> Values:
        found: Values = set()
        assert instance.of is not None
        for value in list(self.read(instance.of.inside, name)):
            if isinstance(value, Func):
                found |= self.call_function(value, arguments.after({instance}))
            else:
                arguments.escape(self)
                found.add(UNKNOWN)
        return found
