"""Builtins and methods of which more is known than that their result comes from all their arguments."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Iterator
from typing import Any, Final

from .trace_calls import Calls, Gathered
from .trace_machine import Scope
from .trace_parts import Stream
from .trace_values import Box, Item, Taint, union

Handler = Callable[[Box, list[Box], dict[str, Box]], "Box | None"]
WITHHELD: Final = frozenset({
    "open", "eval", "exec", "compile", "__import__", "input", "breakpoint", "globals", "locals", "vars", "exit", "quit",
    "help", "super", "memoryview",
})  # fmt: skip
"""Builtins that the trace does not follow."""
VIEWS: Final[tuple[type, ...]] = (type({}.keys()), type({}.values()), type({}.items()))
_SHALLOW: Final = ("isinstance", "issubclass", "type", "callable", "id", "hasattr")
_AWAITED_LATER: Final = (asyncio.create_task, asyncio.ensure_future, asyncio.shield)


class Hermod:
    """What a traced program finds as `hermod`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def call(self, name: Box, /, **params: Box) -> Box:
        """Start a call."""
        return Box(self._machine.start(name, _without_options(params)))

    def call_sync(self, name: Box, /, **params: Box) -> Box:
        """Call and wait."""
        return self._machine.result_of(self._machine.start(name, _without_options(params)), 0)

    def functions(self) -> Box:
        """What may be called."""
        return Box([spec.resource() for spec in self._machine.world.functions])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise self._machine.refuse(f"hermod.{name}, which is no part of a serial program")


def _without_options(params: dict[str, Box]) -> dict[str, Box]:
    return {key: box for key, box in params.items() if key not in {"site", "at", "deadline_s", "priority", "away"}}


class Machine(Calls):
    """What rewritten programs run on."""

    def special(self, value: Any, owner: Any) -> Handler | None:
        if isinstance(owner, Hermod):
            return lambda _function, arguments, keywords: value(*arguments, **keywords)
        if isinstance(value, type) or owner is builtins or owner is None:
            return self._function(value)
        name = getattr(value, "__name__", "")
        for kind in (list, dict, str):
            if isinstance(owner, kind):
                method: Callable[..., Box | None] | None = getattr(self, f"{kind.__name__}_{name}", None)
                if method is not None:
                    return lambda function, arguments, keywords: method(
                        Box(owner, function.taint), *arguments, **keywords
                    )
        return None

    def _function(self, value: Any) -> Handler | None:
        name = getattr(value, "__name__", "")
        if getattr(builtins, name, None) is value:
            if name in WITHHELD:
                raise self.refuse(f"the builtin {name}")
            if name in _SHALLOW:
                return self._shallow
            found: Callable[..., Box | None] | None = getattr(self, f"builtin_{name}", None)
            return None if found is None else lambda _function, arguments, keywords: found(*arguments, **keywords)
        if value is asyncio.gather:
            return self._gather
        if value in _AWAITED_LATER:
            return lambda _function, arguments, keywords: arguments[0]
        if value is asyncio.wait_for:
            return lambda _function, arguments, keywords: arguments[0]
        if name == "sleep":  # of asyncio, or of time
            return lambda _function, arguments, keywords: Box(Gathered([]))
        if value is asyncio.run:
            return lambda _function, arguments, keywords: self.drive(self.awaitable(arguments[0]))
        return None

    def _gather(self, _function: Box, arguments: list[Box], keywords: dict[str, Box]) -> Box:
        if keywords:
            raise self.refuse("keywords of gather")
        return Box(Gathered(arguments), union(box.taint for box in arguments))

    def _shallow(self, function: Box, arguments: list[Box], keywords: dict[str, Box]) -> Box:
        taint = function.taint | union(box.taint for box in arguments)
        return self.plainly(lambda: function.value(*(box.value for box in arguments)), taint=taint)

    # One value

    def builtin_len(self, box: Box) -> Box:
        if isinstance(box.value, (list, tuple, dict, set, frozenset)) or type(box.value) in VIEWS:
            return Box(len(box.value), self.length_of(box))
        return self.plainly(len, box.value, taint=box.taint)

    def builtin_bool(self, *arguments: Box) -> Box | None:
        return Box(*self.truth(arguments[0])) if len(arguments) == 1 else None

    def builtin_getattr(self, box: Box, name: Box, *default: Box) -> Box:
        try:
            return self.attribute(box, name.value)
        except AttributeError:
            if default:
                return Box(default[0].value, default[0].taint | box.taint)
            raise

    def builtin_setattr(self, box: Box, name: Box, value: Box) -> Box:
        self.attribute_set(box, name.value, value)
        return Box(None)

    def builtin_print(self, *arguments: Box, **keywords: Box) -> Box:
        if keywords.keys() - {"sep", "end", "flush"}:
            raise self.refuse("print to a file")
        taint = union(self.deep(box) for box in [*arguments, *keywords.values()])
        texts = [self.plainly(str, box.value, taint=taint).value for box in arguments]
        sep, end = (keywords[name].value if name in keywords else None for name in ("sep", "end"))
        self.print((" " if sep is None else sep).join(texts) + ("\n" if end is None else end), taint)
        return Box(None)

    # Walks that may stop early

    def builtin_any(self, box: Box) -> Box:
        return self._until(box, True)

    def builtin_all(self, box: Box) -> Box:
        return self._until(box, False)

    def _until(self, box: Box, wanted: bool) -> Box:
        with Scope(self, "demand") as scope:
            for item in self.demanded(box, scope):
                self.step()
                truth, mask = self.truth(item.box)
                scope.mask |= mask | item.presence
                if truth is wanted:
                    return Box(wanted, scope.mask)
            return Box(not wanted, scope.mask | self.length_of(box))

    def builtin_next(self, box: Box, *default: Box) -> Box | None:
        if not isinstance(box.value, Stream):
            return None
        with Scope(self, "demand") as scope:
            item = box.value.pull(scope)
            taint = box.taint | scope.mask | box.value.shape
            if item is not None:
                return Box(item.box.value, item.box.taint | item.presence | taint)
            if default:
                return Box(default[0].value, default[0].taint | taint)
            raise self.noted(StopIteration(), taint)

    # Iterators

    def _stream(self, source: Iterator[Item], *shaped: Box) -> Box:
        stream = Stream(self, source)
        stream.shape = union(self.length_of(box) for box in shaped)
        return Box(stream)

    def builtin_iter(self, *arguments: Box) -> Box | None:
        if len(arguments) != 1:
            return None
        box = arguments[0]
        return box if isinstance(box.value, Stream) else self._stream(self.items(box), box)

    def builtin_reversed(self, box: Box) -> Box | None:
        if not isinstance(box.value, (list, tuple)):
            return None
        return self._stream(iter(self.shadows.elements(box.value, box.taint)[::-1]), box)

    def builtin_enumerate(self, box: Box, start: Box | None = None) -> Box:
        first = 0 if start is None else start.value

        def pairs() -> Iterator[Item]:
            for number, item in enumerate(self.items(box), first):
                index = Box(number, self.length_of(box) | (start.taint if start else 0))
                yield Item(self.new_tuple([Item(index), Item(item.box)]), item.presence)

        return self._stream(pairs(), box)

    def builtin_zip(self, *boxes: Box, **keywords: Box) -> Box | None:
        if keywords:
            return None
        sources = [self.items(box) for box in boxes]

        def rows() -> Iterator[Item]:
            while sources:
                row = []
                for source in sources:
                    item = next(source, None)
                    if item is None:
                        return
                    row.append(item)
                yield Item(self.new_tuple([Item(i.box) for i in row]), union(i.presence for i in row))

        return self._stream(rows(), *boxes)

    def builtin_map(self, function: Box, *boxes: Box) -> Box:
        sources = [self.items(box) for box in boxes]

        def results() -> Iterator[Item]:
            while True:
                row = []
                for source in sources:
                    item = next(source, None)
                    if item is None:
                        return
                    row.append(item)
                presence = union(item.presence for item in row)
                yield Item(self._within(presence, function, [item.box for item in row]), presence)

        return self._stream(results(), *boxes)

    def builtin_filter(self, function: Box, box: Box) -> Box:
        stream = Stream(self, iter(()))
        stream.shape = self.length_of(box)

        def kept() -> Iterator[Item]:
            for item in self.items(box):
                told = item.box if function.value is None else self._within(item.presence, function, [item.box])
                truth, mask = self.truth(told)
                stream.shape |= mask
                if self.demand is not None:
                    self.demand.mask |= mask
                if truth:
                    yield Item(item.box, item.presence | mask)

        stream.source = kept()
        return Box(stream)

    def _within(self, presence: Taint, function: Box, arguments: list[Box]) -> Box:
        with Scope(self, "call", presence):
            return self.call(function, arguments, {})

    # Collections

    def builtin_list(self, *arguments: Box) -> Box:
        if not arguments:
            return Box([])
        items = list(self.items(arguments[0]))
        return self.listing(items, self.length_of(arguments[0]))

    def builtin_tuple(self, *arguments: Box) -> Box:
        if not arguments or isinstance(arguments[0].value, tuple):
            return arguments[0] if arguments else Box(())
        items = list(self.items(arguments[0]))
        made = tuple(item.box.value for item in items)
        shape = self.length_of(arguments[0])
        self.shadows.sequence(made, items, shape)
        return Box(made, 0 if made else shape)

    def builtin_set(self, *arguments: Box) -> Box:
        items = list(self.items(arguments[0])) if arguments else []
        return self.new_set(items, self.length_of(arguments[0]) if arguments else 0)

    def builtin_dict(self, *arguments: Box, **keywords: Box) -> Box | None:
        made: dict[Any, Any] = {}
        if arguments and isinstance(arguments[0].value, dict):
            self.update(Box(made), arguments[0])
        elif arguments:
            for item in self.items(arguments[0]):
                key, value = self.unpacked(item.box, (None, 0, 0))
                self._store(made, key, value, item.presence)
            self._say_shape(made, self.length_of(arguments[0]))
        for name, box in keywords.items():
            self._store(made, Box(name), box, 0)
        return Box(made)

    def builtin_sum(self, box: Box, start: Box | None = None) -> Box:
        items = list(self.items(box))
        taint = self.length_of(box) | union(self.deep(item.box) | item.presence for item in items)
        first = start or Box(0)
        return self.plainly(lambda: sum([i.box.value for i in items], first.value), taint=taint | self.deep(first))

    # Order: keys are asked for element by element, then compared

    def _keys(self, items: list[Item], key: Box | None) -> list[Box]:
        if key is None or key.value is None:
            return [Box(item.box.value, self.deep(item.box)) for item in items]
        made = []
        for item in items:
            result = self._within(item.presence, key, [item.box])
            made.append(Box(result.value, self.deep(result)))
        return made

    def builtin_sorted(self, box: Box, key: Box | None = None, reverse: Box | None = None) -> Box:
        items = list(self.items(box))
        return self._ordered(items, self.length_of(box), key, reverse)

    def _ordered(self, items: list[Item], shape: Taint, key: Box | None, reverse: Box | None) -> Box:
        keys = self._keys(items, key)
        taint = shape | union(box.taint for box in keys) | (reverse.taint if reverse else 0)
        backwards = bool(reverse.value) if reverse else False

        def arrange() -> list[int]:
            return sorted(range(len(items)), key=lambda n: keys[n].value, reverse=backwards)

        order = self.plainly(arrange, taint=taint).value
        new = [Item(Box(items[n].box.value, items[n].box.taint | taint), shape | items[n].presence) for n in order]
        return self.listing(new, shape)

    def builtin_min(self, *arguments: Box, **keywords: Box) -> Box:
        return self._extreme(min, list(arguments), keywords)

    def builtin_max(self, *arguments: Box, **keywords: Box) -> Box:
        return self._extreme(max, list(arguments), keywords)

    def _extreme(self, choose: Callable[..., Any], arguments: list[Box], keywords: dict[str, Box]) -> Box:
        if keywords.keys() - {"key", "default"} or not arguments:
            return self.plainly(
                lambda: choose(*(b.value for b in arguments), **{k: b.value for k, b in keywords.items()})
            )
        one = len(arguments) == 1
        items = list(self.items(arguments[0])) if one else [Item(box) for box in arguments]
        shape = self.length_of(arguments[0]) if one else 0
        if not items:
            default = keywords.get("default")
            if default is not None:
                return Box(default.value, default.taint | shape)
            return self.plainly(choose, [], taint=shape)
        keys = self._keys(items, keywords.get("key"))
        taint = shape | union(k.taint | i.box.taint | i.presence for k, i in zip(keys, items, strict=True))
        best = self.plainly(lambda: choose(range(len(items)), key=lambda n: keys[n].value), taint=taint).value
        return Box(items[best].box.value, taint)

    # Methods

    def list_append(self, box: Box, value: Box) -> Box:
        control = self.control()
        taint = value.taint | control
        if taint or self.shadows.find(box.value) is not None:
            shadow = self.shadows.make(box.value)
            shadow.shape |= control
            shadow.data.append(taint)
            shadow.presence.append(control)
        box.value.append(value.value)
        return Box(None)

    def list_extend(self, box: Box, value: Box) -> Box:
        self.extend(box, value)
        return Box(None)

    def list_insert(self, box: Box, index: Box, value: Box) -> Box:
        control = self.control()
        shadow = self.shadows.make(box.value)
        self.plainly(box.value.insert, index.value, value.value, taint=index.taint)
        shadow.data.insert(index.value, value.taint | control)
        shadow.presence.insert(index.value, control)
        shadow.shape |= control | index.taint
        return Box(None)

    def list_pop(self, box: Box, index: Box | None = None) -> Box:
        shadow = self.shadows.make(box.value)
        where = -1 if index is None else index.value
        taint = box.taint | shadow.shape | (index.taint if index else 0)
        got = self.plainly(box.value.pop, where, taint=taint)
        taint |= shadow.data.pop(where)
        shadow.presence.pop(where)
        shadow.shape |= self.control() | (index.taint if index else 0)
        return Box(got.value, taint)

    def list_copy(self, box: Box) -> Box:
        return self.builtin_list(box)

    def list_reverse(self, box: Box) -> Box:
        shadow = self.shadows.make(box.value)
        box.value.reverse()
        shadow.data.reverse()
        shadow.presence.reverse()
        shadow.shape |= self.control()
        return Box(None)

    def list_sort(self, box: Box, key: Box | None = None, reverse: Box | None = None) -> Box:
        items = self.shadows.elements(box.value, box.taint)
        new = self._ordered(items, self.length_of(box), key, reverse)
        shadow = self.shadows.make(box.value)
        sorted_items = self.shadows.elements(new.value)
        box.value[:] = new.value
        shadow.data = [item.box.taint for item in sorted_items]
        shadow.presence = [item.presence for item in sorted_items]
        shadow.shape |= self.control()
        return Box(None)

    def dict_get(self, box: Box, key: Box, default: Box | None = None) -> Box:
        there = self.plainly(lambda: key.value in box.value, taint=key.taint)
        if there.value:
            return self.item(box, key)
        missing = default or Box(None)
        return Box(missing.value, missing.taint | self.presence_of(box, key))

    def dict_setdefault(self, box: Box, key: Box, default: Box | None = None) -> Box:
        there = self.plainly(lambda: key.value in box.value, taint=key.taint)
        if not there.value:
            with Scope(self, "call", self.presence_of(box, key)):
                self.item_set(box, key, default or Box(None))
        return self.item(box, key)

    def dict_pop(self, box: Box, key: Box, *default: Box) -> Box:
        there = self.plainly(lambda: key.value in box.value, taint=key.taint)
        if not there.value and default:
            return Box(default[0].value, default[0].taint | self.presence_of(box, key))
        got = self.item(box, key)
        self.item_delete(box, key)
        return got

    def dict_update(self, box: Box, *others: Box, **keywords: Box) -> Box | None:
        if len(others) != 1 or keywords or not isinstance(others[0].value, dict):
            return None
        self.update(box, others[0])
        return Box(None)

    def dict_copy(self, box: Box) -> Box | None:
        return self.builtin_dict(box)

    def dict_keys(self, box: Box) -> Box:
        return self.view(box, box.value.keys())

    def dict_values(self, box: Box) -> Box:
        return self.view(box, box.value.values())

    def dict_items(self, box: Box) -> Box:
        return self.view(box, box.value.items())

    def str_join(self, box: Box, parts: Box) -> Box:
        items = list(self.items(parts))
        taint = box.taint | self.length_of(parts) | union(item.box.taint | item.presence for item in items)
        return self.plainly(lambda: box.value.join([item.box.value for item in items]), taint=taint)
