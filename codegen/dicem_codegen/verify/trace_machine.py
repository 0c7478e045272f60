"""What a rewritten program runs on: which calls decided that this point is reached, and the names' and loops' part.

`stack` holds a `Scope` for each function, loop, branch and guard that is entered; together they are the control taint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from .trace_values import Box, Item, Shadows, Taint, TraceRefused

MAX_STEPS = 200_000
"""statements and iterations, so that no program holds its trace for ever"""
_TAINT = "_dicem_taint"


class Scope:
    """A stretch of the run, and the calls that decide over it."""

    __slots__ = (
        "_machine", "box", "first", "iteration", "kind", "last", "mask", "number", "shape", "statement", "truth",
    )  # fmt: skip

    def __init__(self, machine: Control, kind: str, mask: Taint = 0, *, truth: bool = False) -> None:
        self._machine, self.kind, self.mask, self.truth = machine, kind, mask, truth
        """`truth`: of a branch which way it went, of a comprehension's `for` whether it is a generator's"""
        self.iteration: Taint = 0
        """of a loop: what decided that this iteration is made, and that it goes on"""
        self.shape: Taint = 0
        """of a loop: what decided how many iterations there are"""
        self.box = Box(None)
        """of a guard: its value"""
        self.first = self.last = machine.made
        """the calls made before it, and before its end"""
        self.number = machine.next_scope()
        self.statement = 0
        """of a function: which statement runs"""

    def __enter__(self) -> Scope:
        self._machine.stack.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.last = self._machine.made
        # A generator that is thrown away closes its scopes when none of them is there any more.
        if any(scope is self for scope in self._machine.stack):
            while self._machine.stack.pop() is not self:
                pass

    @property
    def cause(self) -> Taint:
        """What comes behind it, where that hangs on it."""
        if self.kind == "try":  # that none of its calls failed
            return self.mask | (1 << self.last) - (1 << self.first)
        return self.mask | self.shape


class Control:
    """Branches, loops, early exits, exceptions."""

    name_error, any_exception = NameError, BaseException

    def __init__(self) -> None:
        self.made = 1
        """the number that the next call gets"""
        self._scopes = 0
        self.root = Scope(self, "function")
        self.stack = [self.root]
        self.shadows = Shadows()
        self.finished: Taint = 0
        """what decided the length of the comprehension that has just ended"""
        self.demand: Scope | None = None
        """who asks the generator that runs, where that one may ask for no more"""
        self.steps = 0
        self.refused: TraceRefused | None = None

    def next_scope(self) -> int:
        """A number for a scope."""
        self._scopes += 1
        return self._scopes

    def control(self) -> Taint:
        """The calls that decided that this point is reached."""
        mask = 0
        for scope in self.stack:
            mask |= scope.mask | scope.iteration
        return mask

    def refuse(self, why: str) -> TraceRefused:
        """To be raised; remembered, for a program's bare `except` would catch it."""
        self.refused = TraceRefused(why)
        return self.refused

    def step(self) -> None:
        """:raises TraceRefused: the program runs too long"""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise self.refuse(f"more than {MAX_STEPS} statements and iterations")

    def at(self, line: int) -> None:
        """A statement begins."""
        self.step()
        self._top("function").statement += 1

    def _top(self, kind: str) -> Scope:
        for scope in reversed(self.stack):
            if scope.kind == kind:
                return scope
        return self.root

    # Branches

    def truth(self, box: Box) -> tuple[bool, Taint]:
        """Whether a value counts as true, and what that hangs on."""
        raise NotImplementedError

    def decide(self, box: Box, exits: tuple[str, ...]) -> Scope:
        """An `if` has been decided."""
        truth, mask = self.truth(box)
        self._exit_by(exits, mask)
        return Scope(self, "under", mask, truth=truth)

    def _exit_by(self, exits: tuple[str, ...], mask: Taint) -> None:
        for kind in exits:
            match kind:
                case "return":
                    self._top("function").mask |= mask
                case "break":
                    self._top("loop").mask |= mask
                case "continue":
                    self._top("loop").iteration |= mask
                case "raise":
                    self._top("try").mask |= mask

    def leave(self, cause: Scope, exits: tuple[str, ...]) -> None:
        """A loop or a `try` is over, which might have left for good."""
        self._exit_by(exits, cause.cause)

    def enter(self, box: Box) -> bool:
        """A guard (`and`, `or`, `x if y else z`, a chain of comparisons) is decided; `inside` or `entered` follows."""
        truth, mask = self.truth(box)
        scope = Scope(self, "guard", mask)
        scope.box = box
        self.stack.append(scope)
        return truth

    def inside(self, box: Box) -> Box:
        """The value of what was guarded."""
        guard = self._pop_guard()
        return Box(box.value, box.taint | guard.mask)

    def entered(self) -> Box:
        """The value of the guard itself."""
        return self._pop_guard().box

    def right(self) -> Box:
        """What a chain of comparisons goes on with."""
        return self.stack[-1].box.right

    def _pop_guard(self) -> Scope:
        scope = self.stack.pop()
        if scope.kind != "guard":
            raise self.refuse("the trace has lost its way")
        return scope

    # Names

    def box(self, value: Any) -> Box:
        """A constant."""
        return Box(value)

    def automatic(self, value: Any) -> Box:
        """A Box of what may be one."""
        return value if isinstance(value, Box) else Box(value)

    boxed = automatic

    def raw(self, value: Any) -> Any:
        """Without the Box."""
        return value.value if isinstance(value, Box) else value

    def let(self, box: Box) -> Box:
        """What a name is bound to, or a function returns: that it is so hangs on what led here."""
        return Box(box.value, box.taint | self.control())

    def also(self, box: Any, cause: Scope) -> Any:
        """What a name holds where a branch or a loop might have bound it."""
        mask = cause.cause
        return Box(box.value, box.taint | mask) if mask and isinstance(box, Box) else box

    def also_grown(self, box: Any, cause: Scope) -> Any:
        """As `also`, of a name that is only added to: a list stays the list that it was, and may have grown."""
        if isinstance(box, Box) and isinstance(box.value, list):
            self._touch(box.value, "", cause.cause)
            return box
        return self.also(box, cause)

    def touch(self, reach: Callable[[], Box], attribute: str, cause: Scope) -> None:
        """A branch or a loop might have changed this container, or this attribute."""
        if cause.cause:
            try:
                value = reach().value
            except Exception:
                return  # it is not there: nothing to change
            self._touch(value, attribute, cause.cause)

    def _touch(self, value: Any, attribute: str, mask: Taint) -> None:
        if not mask or isinstance(value, (str, int, float, bool, bytes, type(None))):
            return
        shadow = self.shadows.make(value)
        if attribute:
            shadow.parts[attribute] = shadow.parts.get(attribute, 0) | mask
        else:
            shadow.shape |= mask
            shadow.any_key |= mask

    def touch_item(self, reach: Callable[[], Box], key: Any, cause: Scope) -> None:
        """As `touch`, of the element at this index or key."""
        if cause.cause:
            try:
                value = reach().value
            except Exception:
                return
            if isinstance(value, dict):
                shadow = self.shadows.make(value)
                shadow.shape |= cause.cause
                shadow.parts[key] = shadow.parts.get(key, 0) | cause.cause
                shadow.present[key] = shadow.present.get(key, 0) | cause.cause
            else:
                self._touch(value, "", cause.cause)

    # Loops

    def items(self, box: Box) -> Iterator[Item]:
        """The elements, one after the other."""
        raise NotImplementedError

    def length_of(self, box: Box) -> Taint:
        """What the number of elements hangs on."""
        raise NotImplementedError

    def unpacked(self, box: Box, spec: Any) -> Any:
        """What a target with parts is given."""
        raise NotImplementedError

    def loop(self) -> Scope:
        """A loop begins."""
        return Scope(self, "loop")

    def goes_on(self, loop: Scope, box: Box) -> bool:
        """The condition of a `while`."""
        self.step()
        truth, mask = self.truth(box)
        loop.iteration = 0
        loop.mask |= mask
        return truth

    def each(self, loop: Scope, box: Box, spec: Any) -> Iterator[Any]:
        """What the target of a `for` is bound to, time after time."""
        source = self.items(box)
        while True:
            self.step()
            loop.iteration = 0
            item = next(source, None)
            loop.shape |= self.length_of(box)
            if item is None:
                return
            loop.iteration = item.presence
            yield self.unpacked(item.box, spec)

    def walk(self, box: Box, spec: Any, level: int, lazy: bool) -> Iterator[Any]:
        """As `each`, of a comprehension; `level` counts its `for`s from 0, `lazy` is a generator's."""
        scope = Scope(self, "walk", truth=lazy)
        with scope:
            source = self.items(box)
            while True:
                self.step()
                scope.iteration = 0
                item = next(source, None)
                scope.shape |= self.length_of(box)
                if item is None:
                    break
                scope.iteration = item.presence
                yield self.unpacked(item.box, spec)
        if level:
            self._top("walk").shape |= scope.shape
        else:
            self.finished = scope.shape

    def keep(self, box: Box) -> bool:
        """The filter of a comprehension."""
        truth, mask = self.truth(box)
        scope = self._top("walk")
        scope.iteration |= mask
        scope.shape |= mask
        if self.demand is not None and scope.truth:
            self.demand.mask |= mask  # who wants one element only asks about the next because this one did not pass
        return truth

    def element(self, box: Box) -> Item:
        """An element of a comprehension, or what a generator yields."""
        return Item(box, self.control())

    # Functions and exceptions

    def function(self) -> Scope:
        """A function's body begins."""
        return Scope(self, "function")

    def attempt(self, caught: bool) -> Scope:
        """The body of a `try`; without handlers, what is raised goes on to whoever catches it."""
        return Scope(self, "try" if caught else "block")

    def noted(self, error: BaseException, taint: Taint) -> BaseException:
        """The exception, with what it comes from; what was known first stays."""
        if not hasattr(error, _TAINT):
            setattr(error, _TAINT, taint)
        return error

    def catchable(self, box: Box) -> Any:
        """The classes of an `except`."""
        return box.value

    def handling(self, attempt: Scope, error: BaseException) -> Scope:
        """A handler begins."""
        if isinstance(error, TraceRefused):
            raise error
        return Scope(self, "under", getattr(error, _TAINT, attempt.cause) | attempt.mask)

    def caught(self, error: BaseException) -> Box:
        """What `except ... as name` binds."""
        return Box(error, getattr(error, _TAINT, 0))

    def raised(self, box: Box) -> Any:
        """What `raise` is given."""
        error = box.value
        if isinstance(error, type) and issubclass(error, BaseException):
            error = error()
        if isinstance(error, BaseException):
            self.noted(error, box.taint | self.control())
        return error

    def where(self) -> tuple[tuple[int, int], ...]:
        """The functions under way and the statement that each is at, outermost first."""
        return tuple((scope.number, scope.statement) for scope in self.stack if scope.kind == "function")
