"""What a program would have done had an operation not failed: it goes on with something unknown.

`softened` rewrites a program so that each operation that may fail asks a `Soft` object first.  With nothing to soften,
the rewritten program does what the original does.  Told to soften the third failure, it raises the first two as ever,
and at the third it goes on with an `Unknown`, which answers each question about itself by chance, another in each
variant.  What the program then does in all variants alike hangs on no guard that the failure left undecided.

A `raise` or an `assert` is no failure of this kind: it is what the program decided.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import operator
import random
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, Final

SOFT_NAME: Final = "_dicem_soft"
_ASK_THEIR_CALLER: Final = frozenset({"super", "locals", "globals", "vars", "dir"})
"""Builtins that look at who calls them: left as they are."""


class Failures:
    """Counts the failures of a run, and says which of them are softened: number `first`, from 0, and with `all_later`
    those after it too; None of them where `first` is None.
    """

    def __init__(self, first: int | None = None, *, all_later: bool = True) -> None:
        self.count = 0
        self._first, self._all_later = first, all_later

    def softened(self) -> bool:
        """Count one."""
        number = self.count
        self.count += 1
        return self._first is not None and (number == self._first or (self._all_later and number > self._first))


class Unknown:
    """Stands for what a failed operation would have given."""

    _dice: random.Random
    _name: str

    def __init__(self, dice: random.Random, name: str) -> None:
        object.__setattr__(self, "_dice", dice)
        object.__setattr__(self, "_name", name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "handle":
            raise AttributeError(name)
        return self

    def _same(self, *_: Any, **__: Any) -> Any:
        return self

    def _maybe(self, *_: Any) -> bool:
        return self._dice.random() < 0.5

    def _nothing(self, *_: Any) -> None:
        pass

    def __len__(self) -> int:
        return self._dice.randrange(3)

    def __int__(self) -> int:
        return self._dice.randrange(-3, 50)

    def __float__(self) -> float:
        return self._dice.uniform(-3, 50)

    def __iter__(self) -> Iterator[Any]:
        return iter([self] * len(self))

    def __str__(self) -> str:
        return self._name

    def __format__(self, _: str) -> str:
        return self._name

    def __await__(self) -> Generator[None, None, Any]:
        yield from ()
        return self

    def __hash__(self) -> int:
        return id(self)

    __call__ = __getitem__ = __enter__ = _same
    __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = __and__ = __or__ = __xor__ = _same
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = _same
    __rand__ = __ror__ = __rxor__ = __neg__ = __pos__ = __abs__ = __invert__ = _same
    __bool__ = __contains__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _maybe
    __setattr__ = __setitem__ = __delitem__ = __delattr__ = __exit__ = _nothing
    __index__, __repr__ = __int__, __str__


class Soft:
    """What the operations of a softened program ask.  `variant` decides what the unknown is."""

    in_place: Final = {  # by the operator's name in the language's grammar
        "Add": operator.iadd, "Sub": operator.isub, "Mult": operator.imul, "Div": operator.itruediv,
        "FloorDiv": operator.ifloordiv, "Mod": operator.imod, "Pow": operator.ipow, "BitAnd": operator.iand,
        "BitOr": operator.ior, "BitXor": operator.ixor, "LShift": operator.ilshift, "RShift": operator.irshift,
        "MatMult": operator.imatmul,
    }  # fmt: skip

    def __init__(self, failures: Failures, variant: int = 0, known: frozenset[str] | None = None) -> None:
        """`known`: the calls whose results are what they are; those of others are unknown.  None: of all."""
        self.failures, self.variant, self.known = failures, variant, known
        self._dice = random.Random(f"unknown {variant}")
        self._met: list[BaseException] = []
        """exceptions that are on their way already, or that a `raise` made: no failures of the next operation"""
        self.of_a_call: Callable[[BaseException], bool] = lambda _: False
        """whether it says that a call failed, which is counted where the call is made"""

    def unknown(self) -> Any:
        """Something that nobody knows."""
        return Unknown(self._dice, f"unknown {self.variant}-{self._dice.randrange(1000)}")

    def failed(self, error: Exception) -> Any:
        """An operation raised: something unknown instead, or the same error on."""
        if any(error is each for each in self._met) or self.of_a_call(error):
            raise error
        if not self.failures.softened():
            self._met.append(error)
            raise error
        return self.unknown()

    def decided(self, error: Any) -> Any:
        """What a `raise` raises."""
        made = error() if isinstance(error, type) and issubclass(error, BaseException) else error
        if isinstance(made, BaseException):
            self._met.append(made)
        return made

    def do(self, operation: Callable[..., Any], /, *args: Any, **named: Any) -> Any:
        """An operation on operands that are there already."""
        try:
            return operation(*args, **named)
        except Exception as error:
            return self.failed(error)

    async def wait(self, value: Awaitable[Any]) -> Any:
        """An `await`."""
        try:
            return await value
        except Exception as error:
            return self.failed(error)

    def each(self, values: Any, *shape: int) -> Iterator[Any]:
        """What a loop walks; its elements are unpacked where a `shape` is given, see `unpack`."""
        try:
            iterator = iter(values)
        except Exception as error:
            iterator = iter(self.failed(error))
        while True:
            try:
                value = next(iterator)
            except StopIteration:
                return
            except Exception as error:
                self.failed(error)
                return
            yield self.unpack(value, *shape) if shape else value

    def unpack(self, values: Any, names: int, starred: int) -> Any:
        """What `names` targets, and one with a star where `starred`, are given."""
        if isinstance(values, Unknown):
            return [self.unknown() for _ in range(names + starred)]
        try:
            items = list(values) if starred else list(itertools.islice(values, names + 1))
            if len(items) < names or (len(items) > names and not starred):
                raise ValueError("too few or too many values to unpack")
        except Exception as error:
            self.failed(error)
            return [self.unknown() for _ in range(names + starred)]
        return items


def softened(tree: ast.Module) -> ast.Module:
    """The program with its operations handed to `SOFT_NAME`, a `Soft` object; `tree` itself is used up."""
    own = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    _Softener(frozenset(dir(builtins)) - own).visit(tree)
    return ast.fix_missing_locations(tree)


class _Softener(ast.NodeTransformer):
    """Operands are evaluated where they stand, so that `await` and the order stay as they are; the operation itself
    goes into a lambda, `a + b` becoming `soft.do(lambda a, b: a + b, a, b)`.
    """

    def __init__(self, always_there: frozenset[str]) -> None:
        """`always_there`: names that cannot fail to mean something."""
        self._always_there = always_there
        self._in_class = False

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        return self._over(node, node.left, node.right, build=lambda a, b: ast.BinOp(a, node.op, b))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        return self._over(node, node.operand, build=lambda a: ast.UnaryOp(node.op, a))

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if len(node.ops) > 1:  # a chain stops at the first that does not hold
            return self.generic_visit(node)
        return self._over(node, node.left, node.comparators[0], build=lambda a, b: ast.Compare(a, node.ops, [b]))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if not isinstance(node.ctx, ast.Load):
            return self.generic_visit(node)
        return self._over(node, node.value, build=lambda a: ast.Attribute(a, node.attr, ast.Load()))

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        where = node.slice
        if not isinstance(node.ctx, ast.Load) or (isinstance(where, ast.Tuple) and _has_slice(where)):
            return self.generic_visit(node)
        if not isinstance(where, ast.Slice):
            return self._over(node, node.value, where, build=lambda a, b: ast.Subscript(a, b, ast.Load()))
        parts = [part or ast.Constant(None) for part in (where.lower, where.upper, where.step)]
        return self._over(
            node, node.value, *parts, build=lambda a, b, c, d: ast.Subscript(a, ast.Slice(b, c, d), ast.Load())
        )

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        parts = [self.visit(part) for part in node.values]
        joined = ast.Call(ast.Attribute(ast.Constant(""), "join", ast.Load()), [ast.List(parts, ast.Load())], [])
        return ast.copy_location(joined, node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        spec = node.format_spec or ast.Constant("")

        def build(value: ast.expr, how: ast.expr) -> ast.expr:
            inner = ast.JoinedStr([ast.FormattedValue(how, -1, None)])
            return ast.JoinedStr([ast.FormattedValue(value, node.conversion, inner)])

        return self._over(node, node.value, spec, build=build)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if self._in_class or not isinstance(node.ctx, ast.Load) or node.id in self._always_there:
            return node
        return self._over(node, build=lambda: node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id in _ASK_THEIR_CALLER:
            return node
        self.generic_visit(node)
        return ast.copy_location(ast.Call(_soft("do"), [node.func, *node.args], node.keywords), node)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        return ast.copy_location(ast.Await(ast.Call(_soft("wait"), [self.visit(node.value)], [])), node)

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.iter = ast.Call(_soft("each"), [node.iter, *_shape(node.target)], [])
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        if not node.is_async:
            node.iter = ast.Call(_soft("each"), [node.iter, *_shape(node.target)], [])
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        shapes = [shape for target in node.targets if (shape := _shape(target))]
        if len(node.targets) == len(shapes) == 1:
            node.value = ast.Call(_soft("unpack"), [node.value, *shapes[0]], [])
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        node.value = self.visit(node.value)
        if not isinstance(node.target, ast.Name):
            node.target = self.visit(node.target)
            return node
        in_place = ast.Subscript(_soft("in_place"), ast.Constant(type(node.op).__name__), ast.Load())
        before = self.visit(ast.copy_location(ast.Name(node.target.id, ast.Load()), node))
        value = ast.Call(_soft("do"), [in_place, before, node.value], [])
        return ast.copy_location(ast.Assign([node.target], value), node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        self.generic_visit(node)
        if node.exc is not None:
            node.exc = ast.Call(_soft("decided"), [node.exc], [])
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        self.generic_visit(node)
        error = ast.Call(ast.Name("AssertionError", ast.Load()), [node.msg] if node.msg else [], [])
        raised = ast.Raise(ast.Call(_soft("decided"), [error], []))
        return ast.copy_location(ast.If(ast.UnaryOp(ast.Not(), node.test), [raised], []), node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._within(node, in_class=True)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.body = [self.visit(line) for line in node.body]
        return node

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        node.guard = self.visit(node.guard) if node.guard else None
        node.body = [self.visit(line) for line in node.body]
        return node

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        """Its body; decorators, defaults and annotations stay as they are."""
        before, self._in_class = self._in_class, False
        node.body = [self.visit(line) for line in node.body]
        self._in_class = before
        return node

    def _within(self, node: ast.AST, *, in_class: bool) -> ast.AST:
        before, self._in_class = self._in_class, in_class
        self.generic_visit(node)
        self._in_class = before
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.value = self.visit(node.value) if node.value else None
        return node

    def _over(self, node: ast.expr, *operands: ast.expr, build: Callable[..., ast.expr]) -> ast.AST:
        names = [f"_{number}" for number in range(len(operands))]
        parameters = ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])
        operation = ast.Lambda(parameters, build(*[ast.Name(name, ast.Load()) for name in names]))
        return ast.copy_location(
            ast.Call(_soft("do"), [operation, *[self.visit(operand) for operand in operands]], []), node
        )


def _soft(method: str) -> ast.expr:
    return ast.Attribute(ast.Name(SOFT_NAME, ast.Load()), method, ast.Load())


def _shape(target: ast.expr) -> list[ast.expr]:
    """The last arguments of `Soft.unpack` for a target that unpacks; nothing for any other."""
    if not isinstance(target, (ast.Tuple, ast.List)):
        return []
    starred = sum(isinstance(each, ast.Starred) for each in target.elts)
    return [ast.Constant(len(target.elts) - starred), ast.Constant(starred)]


def _has_slice(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Slice) for part in ast.walk(node))
