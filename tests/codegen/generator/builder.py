"""A program while it grows: its lines, the names that are bound where the next line stands, and what it may still cost.

Everything that could make a program run for long is bounded here: every loop multiplies the price of what it asks, and
no list grows while something walks it.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

Kind = Literal[
    "subject", "subjects", "maybe", "boxes", "box", "text", "texts", "number", "numbers", "truth", "table", "tally",
    "hidden",
]  # fmt: skip
"""What a name stands for.  A "subject" is what can be asked about (an ImagePatch, or a PIL image), "maybe" one or None,
"boxes" the plain result of `glip` with a "box" each, "table" a dict of texts to texts, "tally" one of texts to numbers;
"hidden" is known to the idiom alone that made it."""

T = TypeVar("T")
TRIPS = 4
"""How often a loop over patches is taken to run; the world finds a few at most."""
HELPER_COST = 8.0
"""Calls in one call of a helper, as bounded."""

_ELEMENTS: dict[Kind, tuple[str, ...]] = {
    "subject": ("patch", "p", "item", "candidate"),
    "text": ("name", "word", "label"),
    "number": ("value", "n", "d"),
    "box": ("box", "b", "obj"),
}


@dataclass(frozen=True)
class Dialect:
    """Who writes such programs, and what they may use."""

    name: str
    is_async: bool
    methods: bool
    """`ImagePatch` with its synchronous methods; without, only `await hermod.call(...)`"""
    entry: str
    parameter: str
    is_module: bool = False
    """calls its own entry"""


@dataclass
class Var:
    """A name that is bound."""

    name: str
    kind: Kind
    groups: set[int]
    """lists that share a number may be one list"""
    sure: bool = False
    """a list that has elements"""
    fixed: bool = False
    """never bound again"""
    wild: bool = False
    """a list that came from another function, and may have another name there"""


@dataclass
class Function:
    """A function whose body is being written."""

    name: str
    awaits: bool
    returns: Kind | None
    """None: the entry, which returns anything"""
    cost: float = 0.0
    loops: int = 0
    retired: list[Var] = field(default_factory=list)
    """names of blocks that have ended; some are bound again"""


@dataclass
class Helper:
    """A function of the program that asks, ready to be called."""

    name: str
    parameters: tuple[Kind, ...]
    returns: Kind
    is_async: bool
    cost: float


class Builder:
    """Writes one program."""

    def __init__(self, rng: random.Random, dialect: Dialect, *, size: int, budget: float) -> None:
        self.rng, self.dialect = rng, dialect
        self.size, self.budget = size, budget
        self.rows: Counter[str] = Counter()
        self.wanted: list[str] = []
        self.lines: list[str] = []
        self.preamble: list[str] = []
        """what stands before the entry: constants, classes, helpers"""
        self.helpers: list[Helper] = []
        self.functions: list[Function] = []
        self.scopes: list[tuple[Function | None, dict[str, Var]]] = [(None, {})]
        """innermost last; with None: the module's"""
        self.names: dict[str, tuple[Function | None, Kind]] = {}
        self.indent = 0
        self.weight = 1
        self.nesting = 0
        """loops and branches around the next line"""
        self.ended = False
        """the block has returned, or left its loop: nothing may follow"""
        self.frozen: Counter[int] = Counter()
        self._groups = itertools.count()
        self._quiet = 0

    # chance

    def chance(self, probability: float) -> bool:
        """True that often."""
        return self.rng.random() < probability

    def one(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[self.rng.randrange(len(options))]

    # lines

    @property
    def room(self) -> int:
        """Lines left."""
        return self.size - len(self.lines) - len(self.preamble)

    @property
    def function(self) -> Function:
        """The one whose body is being written."""
        return self.functions[-1]

    @property
    def can_await(self) -> bool:
        """Whether `await` may stand in the next expression."""
        return self.function.awaits and not self._quiet

    @property
    def can_ask(self) -> bool:
        """Whether the next expression may ask at all: inside a lambda or a generator only synchronous methods do."""
        return self.dialect.methods or self.can_await

    @contextlib.contextmanager
    def without_await(self) -> Iterator[None]:
        """For lambdas and generators, in which an `await` would mean something else."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    def line(self, text: str) -> None:
        """Add a line."""
        self.lines.append("    " * self.indent + text)
        if text.split(" ", maxsplit=1)[0] in ("return", "break", "continue", "raise"):
            self.ended = True

    @contextlib.contextmanager
    def block(self, header: str, bound: Sequence[tuple[str, Kind]] = ()) -> Iterator[None]:
        """An indented block with names of its own; they are out of sight after it."""
        self.line(header)
        before, count = self.ended, len(self.lines)
        self.ended = False
        self.indent += 1
        self.nesting += 1
        with self.scope(bound):
            yield
        if len(self.lines) == count:
            self.line("pass")
        self.nesting -= 1
        self.indent -= 1
        self.ended = before

    @contextlib.contextmanager
    def scope(self, bound: Sequence[tuple[str, Kind]] = ()) -> Iterator[None]:
        """Names that are in sight only inside, as those of a comprehension."""
        function = self.functions[-1] if self.functions else None
        self.scopes.append((function, {}))
        for name, kind in bound:
            self.declare(name, kind)
        try:
            yield
        finally:
            owner, gone = self.scopes.pop()
            if owner is not None:
                owner.retired += gone.values()

    @contextlib.contextmanager
    def looping(self, header: str, bound: Sequence[tuple[str, Kind]], over: str, trips: int) -> Iterator[None]:
        """A loop's block.  What `over` names is not changed inside."""
        walked = self.find(over)
        groups = set(walked.groups) if walked else set()
        if walked and walked.wild:  # it may be any list there is
            groups = {group for var in self.visible().values() for group in var.groups}
        self.frozen.update(groups)
        self.function.loops += 1
        self.weight *= trips
        with self.block(header, bound):
            yield
        self.weight //= trips
        self.function.loops -= 1
        self.frozen.subtract(groups)

    @contextlib.contextmanager
    def times(self, trips: int) -> Iterator[None]:
        """For the inside of a comprehension."""
        self.weight *= trips
        try:
            yield
        finally:
            self.weight //= trips

    @contextlib.contextmanager
    def define(self, function: Function, parameters: Sequence[tuple[str, Kind]], header: str) -> Iterator[None]:
        """The body of a function; the price of what it asks is paid by its calls."""
        outer_weight, outer_frozen, outer_quiet = self.weight, self.frozen, self._quiet
        self.weight, self.frozen, self._quiet = 1, Counter(), 0
        self.functions.append(function)
        with self.block(header, parameters):
            for name, _ in parameters:
                self.scopes[-1][1][name].wild = True
            yield
        self.functions.pop()
        self.weight, self.frozen, self._quiet = outer_weight, outer_frozen, outer_quiet

    # cost

    def affords(self, calls: float) -> bool:
        """Whether so many calls here are within bounds."""
        spent = self.function.cost if self.function.name != self.dialect.entry else 0.0
        limit = HELPER_COST if self.function.name != self.dialect.entry else self.budget
        return spent + calls * self.weight <= limit

    def spend(self, calls: float) -> None:
        """Count calls that the next line makes."""
        if self.function.name == self.dialect.entry:
            self.budget -= calls * self.weight
        self.function.cost += calls * self.weight

    def reach(self, *rows: str) -> None:
        """Say that the program has these rows."""
        self.rows.update(rows)

    # names

    def group(self) -> int:
        """A number for a list that is like no other."""
        return next(self._groups)

    def fresh(self, base: str, kind: Kind) -> str:
        """A name that nothing in the program bears yet."""
        name = base
        if self.chance(0.02):  # names that a compiler might take for its own, and builtins that nobody here needs
            name = self.one(
                ("_call", "_p", "_t1", "_items_1", "_keys_1", "ahead", "main", "object", "id", "input", "job")
            )
        for number in itertools.count(2):
            if name not in self.names:
                break
            name = f"{base}_{number}"
        self.names[name] = (self.functions[-1] if self.functions else None, kind)
        return name

    def declare(self, name: str, kind: Kind, *, sure: bool = False, fixed: bool = False, wild: bool = False) -> Var:
        """Bind `name` in the innermost block."""
        var = Var(name, kind, {self.group()}, sure, fixed, wild)
        self.scopes[-1][1][name] = var
        return var

    def bind(self, base: str, kind: Kind, *, sure: bool = False, again: float = 0.2) -> str:
        """A name for a value of this kind that the next statement stores: new, or one that is bound already."""
        if self.chance(again):
            retired = [v.name for v in self.function.retired if v.kind == kind and not self.find(v.name)]
            names = [v.name for v in self.own(kind)] + [name for name in retired if self._is_ours(name, kind)]
            if names:
                return self.assign(self.one(names), kind, sure=sure)
        name = self.fresh(base, kind)
        self.declare(name, kind, sure=sure)
        return name

    def assign(self, name: str, kind: Kind, *, sure: bool = False) -> str:
        """Note that `name` is bound anew."""
        var = self.find(name)
        if var is None:
            self.declare(name, kind, sure=sure)
        else:
            # In a block the old list may still be the one that is meant after it.
            inner = self.scopes[-1][1].get(name) is None
            var.groups = (var.groups if inner else set()) | {self.group()}
            var.sure = sure and not inner
        return name

    def _is_ours(self, name: str, kind: Kind) -> bool:
        return self.names.get(name) == (self.function, kind)

    def element(self, kind: Kind) -> str:
        """A name for the variable of a loop; the usual ones come back, as they do in programs of people."""
        for name in _ELEMENTS.get(kind, ("it",)):
            taken = self.find(name)
            if taken is not None and (taken.fixed or not self.chance(0.15)):
                continue
            if name not in self.names:
                self.names[name] = (self.function, kind)
                return name
            if self._is_ours(name, kind):
                return name
        return self.fresh(_ELEMENTS.get(kind, ("it",))[0], kind)

    def inner(self, kind: Kind) -> str:
        """A name for the variable of a comprehension or lambda, which hides whatever bears it outside."""
        names = {"subject": ("p", "patch", "x"), "text": ("w", "name", "x"), "box": ("b", "box")}
        return self.one(names.get(kind, ("x", "v")))

    def visible(self) -> dict[str, Var]:
        """Every name that is bound here."""
        return {name: var for _, scope in self.scopes for name, var in scope.items()}

    def find(self, name: str) -> Var | None:
        """What `name` stands for here."""
        for _, scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return None

    def vars(self, *kinds: Kind) -> list[Var]:
        """What is bound here and is of one of these kinds."""
        return [var for var in self.visible().values() if var.kind in kinds]

    def own(self, kind: Kind) -> list[Var]:
        """What may be bound again here: names of this function, and nothing that is being walked."""
        mine = [var for function, scope in self.scopes if function is self.function for var in scope.values()]
        return [v for v in mine if v.kind == kind and not v.fixed and self._is_ours(v.name, kind)]

    def growable(self, *kinds: Kind) -> list[Var]:
        """Lists that may be changed in place here: made in this function, and walked by nobody."""
        mine = {id(var) for function, scope in self.scopes if function is self.function for var in scope.values()}
        free = [v for v in self.vars(*kinds) if id(v) in mine and not v.wild]
        return [v for v in free if not any(self.frozen[group] > 0 for group in v.groups)]

    def recent(self, *kinds: Kind) -> str | None:
        """A name of one of these kinds, rather a new one; None if there is none."""
        found = self.vars(*kinds)
        if not found:
            return None
        return found[-1 - min(int(self.rng.expovariate(0.7)), len(found) - 1)].name

    # functions

    def callable_helpers(self, returns: Kind) -> list[Helper]:
        """Helpers that can be called in the next expression."""
        return [
            h for h in self.helpers
            if h.returns == returns and self.affords(h.cost) and (self.can_await or not h.is_async)
            and self.find(h.name) is not None and all(h.name != f.name for f in self.functions)
        ]  # fmt: skip
