"""Operations on values: what they give, and where that comes from, element by element for lists, tuples and dicts."""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Final

from .trace_machine import Control, Scope
from .trace_values import Box, Item, Shadow, Taint, union

BINARY: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Div": operator.truediv, "Mod": operator.mod,
    "FloorDiv": operator.floordiv, "Pow": operator.pow, "LShift": operator.lshift, "RShift": operator.rshift,
    "BitOr": operator.or_, "BitAnd": operator.and_, "BitXor": operator.xor, "MatMult": operator.matmul,
    "Eq": operator.eq, "NotEq": operator.ne, "Lt": operator.lt, "LtE": operator.le, "Gt": operator.gt,
    "GtE": operator.ge, "Is": operator.is_, "IsNot": operator.is_not,
    "In": lambda a, b: a in b, "NotIn": lambda a, b: a not in b,
}  # fmt: skip
UNARY: Final[dict[str, Callable[[Any], Any]]] = {
    "Not": operator.not_, "USub": operator.neg, "UAdd": operator.pos, "Invert": operator.invert,
}  # fmt: skip
IN_PLACE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "Add": operator.iadd, "Sub": operator.isub, "Mult": operator.imul, "Div": operator.itruediv, "Mod": operator.imod,
    "FloorDiv": operator.ifloordiv, "Pow": operator.ipow, "LShift": operator.ilshift, "RShift": operator.irshift,
    "BitOr": operator.ior, "BitAnd": operator.iand, "BitXor": operator.ixor, "MatMult": operator.imatmul,
}  # fmt: skip
HIDDEN: Final = frozenset({
    "__class__", "__globals__", "__code__", "__closure__", "__builtins__", "__subclasses__", "__bases__", "__base__",
    "__mro__", "__dict__", "__self__", "__func__", "__wrapped__", "__reduce__", "__reduce_ex__", "__getattribute__",
    "gi_frame", "cr_frame", "f_globals", "tb_frame", "__traceback__",
})  # fmt: skip
"""Attributes that lead out of the program."""
_CONTAINERS = (list, tuple, dict, set, frozenset)


class Stream:
    """An iterator that a program holds: elements come when they are asked for, each with its taint."""

    def __init__(
        self, machine: Parts, source: Generator[Item, Any, Any] | Iterator[Item], *, walks: bool = False
    ) -> None:
        self._machine, self.source, self._walks = machine, source, walks
        self._scopes: list[Scope] = []
        """those that are open inside it while nobody asks"""
        self.shape: Taint = 0

    def pull(self, demand: Scope | None = None) -> Item | None:
        """The next element; None at the end.  `demand`: who may ask for no more, once there is one."""
        machine = self._machine
        base = len(machine.stack)
        machine.stack.extend(self._scopes)
        before, machine.demand = machine.demand, demand
        try:
            item = next(self.source)
        except StopIteration:
            if self._walks:
                self.shape |= machine.finished
            return None
        finally:
            machine.demand = before
            self._scopes = machine.stack[base:]
            del machine.stack[base:]
        if not self._walks:
            self.shape |= item.presence
        return item

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        """For plain Python: the value; where it comes from is noted."""
        item = self.pull()
        if item is None:
            self._machine.leaked |= self.shape
            raise StopIteration
        self._machine.leaked |= item.box.taint | item.presence
        return item.box.value

    def send(self, value: Any) -> Any:
        """Generators that are sent values are not followed."""
        raise self._machine.refuse("a generator that is sent values")


class Parts(Control):
    """Operators, attributes, elements, displays."""

    def __init__(self) -> None:
        super().__init__()
        self.leaked: Taint = 0
        """what values come from that plain Python has been given"""
        self._views: dict[int, tuple[Any, Box]] = {}

    def plainly(self, action: Callable[..., Any], *values: Any, taint: Taint = 0) -> Box:
        """Let plain Python do it; the result comes from `taint` and from all that it was given on the way."""
        before, self.leaked = self.leaked, 0
        try:
            result = action(*values)
        except Exception as error:
            self.noted(error, taint | self.leaked | self.control())
            raise
        finally:
            taint |= self.leaked
            self.leaked = before
        return result if isinstance(result, Box) else Box(result, taint)

    def deep(self, box: Box) -> Taint:
        """Everything that the value and all that is in it come from."""
        value = self._views[id(box.value)][1].value if id(box.value) in self._views else box.value
        return box.taint | self.shadows.deep(value)

    def truth(self, box: Box) -> tuple[bool, Taint]:
        value = box.value
        if isinstance(value, _CONTAINERS):
            return bool(value), box.taint | self.shadows.shape(value)
        told = self.plainly(bool, value, taint=box.taint)
        return told.value, told.taint

    # Operators

    def unary(self, name: str, box: Box) -> Box:
        """`not x`, `-x`..."""
        if name == "Not":
            truth, mask = self.truth(box)
            return Box(not truth, mask)
        return self.plainly(UNARY[name], box.value, taint=self.deep(box))

    def binary(self, name: str, left: Box, right: Box) -> Box:
        """`x + y`..."""
        a, b = left.value, right.value
        taint = left.taint | right.taint
        if name == "Add" and isinstance(a, (list, tuple)) and type(a) is type(b):
            joined: Any = operator.add(a, b)
            shape = self.shadows.shape(a) | self.shadows.shape(b)
            self.shadows.sequence(joined, [*self.shadows.elements(a), *self.shadows.elements(b)], shape)
            return Box(joined, taint)
        return self.plainly(BINARY[name], a, b, taint=taint | self.shadows.deep(a) | self.shadows.deep(b))

    def compared(self, name: str, left: Box, right: Box) -> Box:
        """`x < y`, `x in y`, `x is y`..."""
        if name in {"Is", "IsNot"}:
            result = Box(BINARY[name](left.value, right.value), left.taint | right.taint)
        elif name in {"In", "NotIn"} and isinstance(right.value, dict):
            result = self._among_keys(name, left, right)
        elif name in {"In", "NotIn"} and isinstance(right.value, Stream):
            result = self._among(name, left, right)
        else:
            result = self.plainly(BINARY[name], left.value, right.value, taint=self.deep(left) | self.deep(right))
        result.right = right
        return result

    def _among_keys(self, name: str, left: Box, right: Box) -> Box:
        """`x in d`."""
        told = self.plainly(BINARY[name], left.value, right.value, taint=left.taint | right.taint)
        return Box(told.value, told.taint | self.presence_of(right, left))

    def presence_of(self, box: Box, key: Box) -> Taint:
        """What decided whether a key is in a dict."""
        shadow = self.shadows.find(box.value)
        known = 0 if shadow is None else shadow.any_key | shadow.present.get(key.value, shadow.shape)
        return box.taint | key.taint | known

    def _among(self, name: str, left: Box, right: Box) -> Box:
        """`x in generator`, which stops at the first that is equal."""
        with Scope(self, "demand") as scope:
            for item in self.demanded(right, scope):
                same = self.plainly(
                    operator.eq, item.box.value, left.value, taint=self.deep(item.box) | self.deep(left)
                )
                scope.mask |= same.taint | item.presence
                if same.value:
                    return Box(name == "In", scope.mask)
            return Box(name == "NotIn", scope.mask | self.length_of(right))

    def augmented(self, old: Box, name: str, value: Box) -> Box:
        """`x += y`..."""
        if isinstance(old.value, list) and name == "Add":
            self.extend(old, value)
            return old
        if isinstance(old.value, (set, dict, list)):
            made = self.plainly(IN_PLACE[name], old.value, value.value, taint=old.taint)
            self.shadows.make(made.value).shape |= self.deep(value) | self.control()
            return made if made.value is not old.value else old
        if isinstance(old.value, (tuple, str, int, float, bool)):
            return self.let(self.binary(name, old, value))
        taint = self.deep(old) | self.deep(value)
        return self.let(self.plainly(IN_PLACE[name], old.value, value.value, taint=taint))

    def extend(self, box: Box, value: Box) -> None:
        """Add elements to a list, one after the other."""
        taken: list[Any] = []
        try:
            items = list(self.items(value))
        except TypeError:
            taken += value.value  # says why not, as CPython does
            raise
        shadow = self.shadows.make(box.value)
        control = self.control()
        box.value.extend(item.box.value for item in items)
        shadow.data += [item.box.taint | control for item in items]
        shadow.presence += [item.presence | control for item in items]
        shadow.shape |= self.length_of(value) | control

    # Elements

    def demanded(self, box: Box, demand: Scope) -> Iterator[Item]:
        """As `items`, for who may stop at any of them."""
        value = box.value
        return iter(lambda: value.pull(demand), None) if isinstance(value, Stream) else self.items(box)

    def view(self, of: Box, view: Any) -> Box:
        """The keys, values or items of a dict, as a view of it."""
        self._views[id(view)] = (view, of)
        return Box(view, of.taint)

    def items(self, box: Box) -> Iterator[Item]:
        value = box.value
        if id(value) in self._views:
            return self._view_items(*self._views[id(value)])
        if isinstance(value, (list, tuple)):
            return self._sequence_items(box)
        if isinstance(value, Stream):
            return iter(value.pull, None)
        if isinstance(value, dict):
            return self._dict_items(box)
        if isinstance(value, (set, frozenset)):
            taint = box.taint | self.shadows.shape(value)
            return (Item(Box(element, taint), taint) for element in value)
        return self._plain_items(box, iter(value))

    def _sequence_items(self, box: Box) -> Iterator[Item]:
        """As CPython walks a list: one that changes on the way is walked as it changes."""
        index = 0
        while index < len(box.value):
            shadow = self.shadows.find(box.value)
            data, presence = (shadow.data[index], shadow.presence[index]) if shadow else (0, 0)
            yield Item(Box(box.value[index], data | box.taint), presence | box.taint)
            index += 1

    def _dict_items(self, box: Box) -> Iterator[Item]:
        for key in box.value:
            shadow = self.shadows.find(box.value)
            taint = box.taint | (shadow.present.get(key, 0) | shadow.any_key if shadow else 0)
            yield Item(Box(key, taint), taint)

    def _view_items(self, view: Any, of: Box) -> Iterator[Item]:
        for item in self._dict_items(of):
            value = self.item(of, item.box)
            pair = self.new_tuple([Item(item.box), Item(value)])
            kinds: dict[type, Box] = {type({}.values()): value, type({}.items()): pair}
            yield Item(kinds.get(type(view), item.box), item.presence)

    def _plain_items(self, box: Box, source: Iterator[Any]) -> Iterator[Item]:
        while True:
            before, self.leaked = self.leaked, 0
            try:
                element = next(source)
            except StopIteration:
                return
            finally:
                taint = box.taint | self.leaked
                self.leaked = before
            yield Item(Box(element, taint), taint)

    def length_of(self, box: Box) -> Taint:
        value = box.value
        if id(value) in self._views:
            return self.length_of(self._views[id(value)][1])
        return box.taint | (value.shape if isinstance(value, Stream) else self.shadows.shape(value))

    def unpacked(self, box: Box, spec: Any) -> Any:
        if spec == 0:
            return box
        star, *specs = spec
        if isinstance(box.value, Stream):
            items = list(self.items(box))
        else:
            plain = self.plainly(_unpackable, box.value, taint=box.taint)
            items = list(self.items(box if plain.value is box.value else plain))
        order = self.length_of(box)
        parts: list[Any] = [Box(item.box.value, item.box.taint | order) for item in items]
        if star is not None:
            behind = len(specs) - star - 1
            if len(parts) < len(specs) - 1:
                raise ValueError(f"not enough values to unpack (expected at least {len(specs) - 1}, got {len(parts)})")
            middle = self.listing(items[star : len(items) - behind], order)
            parts = [*parts[:star], middle, *parts[len(items) - behind :]]
        if len(parts) != len(specs):
            return parts  # Python says what is wrong
        return [self.unpacked(part, each) for part, each in zip(parts, specs, strict=True)]

    def item(self, box: Box, index: Box) -> Box:
        """`x[y]`."""
        value, taint = box.value, box.taint | index.taint
        if isinstance(value, (list, tuple)) and isinstance(index.value, (int, slice)):
            shadow = self.shadows.find(value)
            order = taint | (shadow.shape if shadow else 0)
            got = self.plainly(operator.getitem, value, index.value, taint=order)
            if shadow is None:
                return got
            if isinstance(index.value, int):
                return Box(got.value, order | shadow.data[index.value])
            self.shadows.sequence(got.value, self.shadows.elements(value)[index.value], shadow.shape | index.taint)
            return Box(got.value, taint)
        if isinstance(value, dict):
            shadow = self.shadows.find(value)
            missing = taint | (shadow.shape if shadow else 0)
            got = self.plainly(operator.getitem, value, index.value, taint=missing)
            return Box(got.value, taint | (shadow.any_key | shadow.parts.get(index.value, 0) if shadow else 0))
        return self.plainly(operator.getitem, value, index.value, taint=taint | self.shadows.deep(value))

    def slice(self, lower: Box, upper: Box, step: Box) -> Box:
        """`a:b:c`."""
        return Box(slice(lower.value, upper.value, step.value), lower.taint | upper.taint | step.taint)

    def item_set(self, box: Box, index: Box, new: Box) -> None:
        """`x[y] = z`."""
        value, control = box.value, self.control()
        shadow = self.shadows.make(value) if isinstance(value, (list, dict)) else None
        self.plainly(operator.setitem, value, index.value, new.value, taint=box.taint | index.taint)
        taint = new.taint | index.taint | control
        if isinstance(value, dict) and shadow is not None:
            self._note_key(shadow, index, taint, control)
        elif isinstance(value, list) and shadow is not None and isinstance(index.value, int):
            shadow.data[index.value] = taint
            shadow.shape |= index.taint
        elif shadow is not None:
            shadow.shape |= self.deep(new) | taint

    def item_delete(self, box: Box, index: Box) -> None:
        """`del x[y]`."""
        value = box.value
        shadow = self.shadows.make(value) if isinstance(value, (list, dict)) else None
        self.plainly(operator.delitem, value, index.value, taint=box.taint | index.taint)
        if shadow is not None:
            shadow.shape |= index.taint | self.control()
            if isinstance(value, list):
                del shadow.data[index.value], shadow.presence[index.value]
            else:
                shadow.any_key |= index.taint
                shadow.parts.pop(index.value, None)
                shadow.present.pop(index.value, None)

    # Attributes

    def attribute(self, box: Box, name: str) -> Box:
        """`x.name`."""
        if name in HIDDEN:
            raise self.refuse(f"the attribute {name}")
        taint = box.taint
        shadow = self.shadows.find(box.value)
        if shadow is not None and not isinstance(box.value, _CONTAINERS):
            taint |= shadow.parts.get(name, 0)
        return self.plainly(getattr, box.value, name, taint=taint)

    def attribute_set(self, box: Box, name: str, new: Box) -> None:
        """`x.name = y`."""
        self.plainly(setattr, box.value, name, new.value, taint=box.taint)
        taint = new.taint | self.control()
        if taint or self.shadows.find(box.value) is not None:
            self.shadows.make(box.value).parts[name] = taint

    def attribute_delete(self, box: Box, name: str) -> None:
        """`del x.name`."""
        self.plainly(delattr, box.value, name, taint=box.taint)
        self.shadows.make(box.value).parts[name] = self.control()

    # Displays

    def part(self, box: Box) -> Item:
        """An element of a display: it is there because the display is."""
        return Item(box)

    def parts(self, box: Box) -> list[Item]:
        """`*x` in a display."""
        order = self.length_of(box)
        return [Item(item.box, item.presence | order) for item in self.items(box)]

    def listing(self, items: list[Item], shape: Taint = 0) -> Box:
        """A new list."""
        made = [item.box.value for item in items]
        self.shadows.sequence(made, items, shape)
        return Box(made)

    def new_list(self, items: list[Item]) -> Box:
        """`[a, b]`."""
        return self.listing(items)

    def new_tuple(self, items: list[Item]) -> Box:
        """`(a, b)`."""
        made = tuple(item.box.value for item in items)
        self.shadows.sequence(made, items)
        return Box(made)

    def new_set(self, items: list[Item], shape: Taint = 0) -> Box:
        """`{a, b}`."""
        made = self.plainly(set, [item.box.value for item in items])
        self._say_shape(made.value, shape | union(self.deep(item.box) | item.presence for item in items))
        return made

    def _say_shape(self, value: Any, taint: Taint) -> None:
        if taint:
            self.shadows.make(value).shape |= taint

    def new_dict(self, pairs: list[tuple[Box | None, Box]]) -> Box:
        """`{a: b, **c}`."""
        made: dict[Any, Any] = {}
        for key, value in pairs:
            if key is None:
                self.update(Box(made), value)
            else:
                self._store(made, key, value, 0)
        return Box(made)

    def _store(self, made: dict[Any, Any], key: Box, value: Box, presence: Taint) -> None:
        self.plainly(operator.setitem, made, key.value, value.value, taint=key.taint)
        if key.taint | value.taint | presence:
            self._note_key(self.shadows.make(made), key, value.taint | key.taint | presence, presence)

    @staticmethod
    def _note_key(shadow: Shadow, key: Box, taint: Taint, presence: Taint) -> None:
        shadow.parts[key.value] = taint
        shadow.present.setdefault(key.value, key.taint | presence)
        shadow.shape |= key.taint | presence
        shadow.any_key |= key.taint

    def update(self, box: Box, other: Box) -> None:
        """`x.update(y)` of a dict with a dict."""
        self.plainly(dict.update, box.value, other.value, taint=box.taint | other.taint)
        there, source = self.shadows.make(box.value), self.shadows.find(other.value)
        control = self.control() | other.taint
        there.shape |= control | (source.shape if source else 0)
        there.any_key |= source.any_key if source else 0
        for key in other.value if isinstance(other.value, dict) else ():
            there.parts[key] = control | (source.parts.get(key, 0) if source else 0)
            there.present.setdefault(key, control | (source.present.get(key, 0) if source else 0))

    def listed(self, items: list[Item]) -> Box:
        """A list comprehension has ended."""
        return self.listing(items, self.finished)

    def set_listed(self, items: list[Item]) -> Box:
        """A set comprehension has ended."""
        return self.new_set(items, self.finished)

    def pair(self, key: Box, value: Box) -> tuple[Box, Box, Taint]:
        """An element of a dict comprehension."""
        return key, value, self.control()

    def dict_listed(self, triples: Iterable[tuple[Box, Box, Taint]]) -> Box:
        """A dict comprehension has ended."""
        made: dict[Any, Any] = {}
        shape = self.finished
        for key, value, presence in triples:
            self._store(made, key, value, presence)
        self._say_shape(made, shape)
        return Box(made)

    def stream(self, source: Generator[Item, Any, Any]) -> Box:
        """A generator expression."""
        return Box(Stream(self, source, walks=True))

    def text(self, parts: list[Box]) -> Box:
        """An f-string."""
        return Box("".join(part.value for part in parts), union(part.taint for part in parts))

    def formatted(self, box: Box, conversion: int, spec: Box) -> Box:
        """A field of an f-string."""
        converters: dict[int, Callable[[Any], Any]] = {115: str, 114: repr, 97: ascii}
        convert = converters.get(conversion, lambda value: value)
        taint = self.deep(box) | spec.taint
        return self.plainly(lambda value: format(convert(value), spec.value), box.value, taint=taint)


def _unpackable(value: Any) -> Any:
    """The value itself, or what CPython says where it cannot be unpacked."""
    if not hasattr(type(value), "__iter__") and not hasattr(type(value), "__getitem__"):
        raise TypeError(f"cannot unpack non-iterable {type(value).__name__} object")
    return value
