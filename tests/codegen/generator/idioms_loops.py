"""Loops: with and without state, left early, nested, and what is left of them afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from . import asking, values, words
from .asking import ask, inside
from .builder import TRIPS, Builder, Kind
from .statements import ask_statement, body, give, idiom, say, some_subjects, store


@contextlib.contextmanager
def walk(b: Builder, *, plain: bool = False) -> Iterator[str]:
    """A loop over patches; gives the name of the one in hand."""
    form = 0.0 if plain else b.rng.random()
    if form > 0.9 and asking.asks(b, "subjects"):
        over, expression = "", asking.ask(b, "subjects")
    else:
        over = some_subjects(b)
        expression = over
    item = b.element("subject")
    header, bound = f"for {item} in {expression}:", [(item, "subject")]
    assigned = ""
    if 0.5 < form <= 0.62:
        index = b.fresh("i", "number")
        header = f"for {index}, {item} in enumerate({expression}{b.one(('', ', 1'))}):"
        bound.append((index, "number"))
    elif 0.62 < form <= 0.7:
        header = f"for {item} in {expression}[{b.one((':2', '1:', '::-1', ':3'))}]:"
    elif 0.7 < form <= 0.75:
        header = f"for {item} in reversed({expression}):"
    elif 0.75 < form <= 0.8:
        header = f"for {item} in sorted({expression}, key=lambda p: {values.attribute_of(b, 'p')}):"
    elif 0.8 < form <= 0.85:
        index = b.fresh("i", "number")
        assigned = f"{item} = {expression}[{index}]"
        header = f"for {index} in range(len({expression})):"
        bound.append((index, "number"))
    elif 0.85 < form <= 0.9:
        other = b.element("text")
        header = f"for {item}, {other} in zip({expression}, {values.texts(b)}):"
        bound.append((other, "text"))
    if 0.5 < form <= 0.9 and not header.startswith(f"for {item} in sorted"):
        b.reach("walks")
    with b.looping(header, bound, over, TRIPS):  # type: ignore[arg-type]
        if assigned:
            b.line(assigned)
        yield item


def fresh_ask(b: Builder, item: str, kind: Kind | None = None) -> tuple[str, Kind]:
    """Ask about the patch in hand and keep the answer under a new name."""
    chosen: Kind = b.one(("text", "number", "truth")) if kind is None else kind
    expression = asking.direct(b, chosen, item)
    return store(b, chosen, expression, again=0.0), chosen


@idiom("loop", lines=4, calls=TRIPS, nests=1, weight=1.2)
def plain(b: Builder) -> None:
    """Each patch is asked about, whatever the others answered."""
    with walk(b) as item:
        b.reach("loop")
        if b.chance(0.4) and b.affords(2):
            b.reach("independent")
            kinds: list[Kind] = [b.one(("text", "number", "truth")) for _ in range(2)]
            questions = [asking.direct(b, kind, item) for kind in kinds]
            for kind, question in zip(kinds, questions, strict=True):
                store(b, kind, question, again=0.0)
        else:
            fresh_ask(b, item)
        if b.chance(0.6):
            say(b)
        if b.chance(0.4):
            body(b, 1)


@idiom("fan-in", lines=4, calls=TRIPS, nests=1, weight=1.2)
def fan_in(b: Builder) -> None:
    """A list, a sum, a text or a dict is filled."""
    form = b.one(("append", "append", "append", "sum", "text", "tally", "table", "extend", "pair"))
    makers = {"append": "numbers", "sum": "number", "text": "text", "tally": "tally", "table": "table"}
    kind: Kind = makers.get(form, "texts")  # type: ignore[assignment]
    b.reach("fan-in", "mutation")
    if form == "append":
        kind = b.one(("numbers", "texts", "subjects"))
    empty = {"number": "0", "text": '""', "tally": "{}", "table": b.one(("{}", "dict()"))}.get(kind, "[]")
    total = store(b, kind, empty, again=0.1)
    # What is being filled is nobody's to bind again or to walk until the loop ends.
    variable = b.find(total)
    assert variable is not None
    variable.fixed = True
    with walk(b) as item:
        b.frozen.update(variable.groups)
        if b.chance(0.25):
            body(b, 1)
        _fill(b, form, kind, total, item)
        if b.chance(0.2) and not b.ended:
            say(b)
        b.frozen.subtract(variable.groups)
    variable.fixed = False


def _fill(b: Builder, form: str, kind: Kind, total: str, item: str) -> None:
    match form:
        case "append" if kind == "subjects":
            b.reach("if-result")
            with b.block(f"if {asking.direct(b, 'truth', item)}:"):
                b.line(f"{total}.append({item})")
        case "append":
            element: Kind = "number" if kind == "numbers" else "text"
            b.line(f"{total}.append({asking.direct(b, element, item)})")
        case "extend":
            b.line(f"{total} += [{asking.direct(b, 'text', item)}]")
        case "pair":
            b.reach("f-strings")
            answer = store(b, "text", asking.direct(b, "text", item), again=0.0)
            b.line(f'{total}.append(f"{{{answer}}}: {{len({total})}}")')
        case "sum":
            b.line(f"{total} += {asking.direct(b, 'number', item)}")
        case "text":
            b.line(f'{total} += {asking.direct(b, "text", item)} + "; "')
        case "tally":
            key = asking.direct(b, "text", item) if b.chance(0.3) and b.affords(2) else f"{item}.width"
            b.line(f"{total}[str({key})] = {asking.direct(b, 'number', item)}")
        case _:
            answer = store(b, "text", asking.direct(b, "text", item), again=0.0)
            b.line(f'{total}[{answer}] = {total}.get({answer}, "") + "{b.one(words.LABELS)}"')


@idiom("carried", lines=6, calls=TRIPS, nests=2, weight=0.8)
def best_so_far(b: Builder) -> None:
    """The nearest, the farthest; the first or the last of equals."""
    b.reach("carried")
    best = store(b, "maybe", "None", again=0.1)
    variable = b.find(best)
    assert variable is not None
    variable.fixed = True
    sign = b.one(("<", "<=", ">", ">="))
    limit = b.fresh("limit", "hidden")
    b.line(f"{limit} = " + (b.one(('float("inf")', "1000")) if sign[0] == "<" else b.one(("-1", '-float("inf")'))))
    with walk(b) as item:
        d, _ = fresh_ask(b, item, "number")
        test = f"{d} {sign} {limit}"
        if b.chance(0.3) and b.affords(1):
            b.reach("short-circuit")
            test += f" and {inside(asking.direct(b, 'truth', item))}"
        elif b.chance(0.2):
            test = f"{best} is None or {test}"
        with b.block(f"if {test}:"):
            if b.chance(0.5):
                b.line(f"{limit}, {best} = {d}, {item}")
            else:
                b.line(f"{limit} = {d}")
                b.line(f"{best} = {item}")
    variable.fixed = False
    if b.chance(0.6):
        use_of_maybe(b, best)


def use_of_maybe(b: Builder, best: str) -> None:
    """What may be None is asked about, mostly behind a guard."""
    if not asking.asks(b, "text") or b.room < 3:
        return
    if b.chance(0.12):
        store(b, "text", asking.direct(b, "text", best))
    elif b.chance(0.5):
        b.reach("short-circuit")
        store(b, "text", f'{asking.direct(b, "text", best)} if {best} is not None else "{b.one(words.LABELS)}"')
    elif b.chance(0.5):
        with b.block(f"if {best} is None:"):
            b.reach("early-return")
            give(b)
        store(b, "text", asking.direct(b, "text", best))
    else:
        with b.block(f"if {best}:"):
            ask_statement(b, best)
            body(b, 1)


@idiom("carried", lines=5, calls=TRIPS, nests=1, weight=0.8)
def carried_number(b: Builder) -> None:
    """A running value: each answer enters it, in order; now and then it decides what is asked."""
    b.reach("carried")
    total = store(b, "number", b.one(("0", "0.0", "1")), again=0.1)
    variable = b.find(total)
    assert variable is not None
    variable.fixed = True
    with walk(b) as item:
        form = b.rng.random()
        if form < 0.4:
            b.line(f"{total} = {total} * 0.5 + {asking.direct(b, 'number', item)}")
        elif form < 0.7:
            b.reach("if-result")
            with b.block(f"if {total} < {b.one((2, 5, 8))}:"):
                b.line(f"{total} = {total} + {asking.direct(b, 'number', item)}")
        else:
            d, _ = fresh_ask(b, item, "number")
            b.line(f"{total} = max({total}, {d}) - {total} / 3")
        if b.chance(0.3):
            say(b)
    variable.fixed = False


@idiom("exit", lines=5, calls=TRIPS, nests=2, weight=1.2)
def leave(b: Builder) -> None:
    """The first that fits ends the loop, or the function."""
    how = b.one(("return", "break", "break", "continue", "else"))
    found = b.fresh("hit", "maybe") if how in ("break", "else") and b.chance(0.6) else ""
    if found:
        b.line(f"{found} = None")
        b.declare(found, "maybe", fixed=True)
    with walk(b) as item:
        if b.chance(0.3):
            fresh_ask(b, item)
        b.reach("if-result")
        with b.block(f"if {asking.direct(b, 'truth', item) if b.affords(1) else values.truth(b)}:"):
            if b.chance(0.3):
                say(b)
            if how == "continue":
                b.line("continue")
            elif how == "return":
                b.reach("exit")
                give(b)
            else:
                b.reach("exit")
                if found:
                    b.line(f"{found} = {item}")
                b.line("break")
        if b.affords(1) and b.chance(0.7):
            ask_statement(b, item)
        body(b, 1)
        if how == "continue":
            b.reach("exit")
            with b.block(f"if {values.truth(b)}:"):
                b.line("break")
    if how == "else" and b.room > 1:
        with b.block("else:"):
            say(b)
            if asking.asks(b, "text") and b.chance(0.5):
                ask_statement(b)


@idiom("nested-loops", lines=5, calls=2 * TRIPS, nests=2)
def nested(b: Builder) -> None:
    """Each patch with each word, or each with each."""
    with walk(b) as item:
        if b.chance(0.4):
            if b.affords(1):
                ask_statement(b, item)
            body(b, 1)
        if b.chance(0.65):
            word = b.element("text")
            things = [f'"{w}"' for w in b.rng.sample(words.OBJECTS, 2)]
            listed = b.one(("[{}]", "({})")).format(", ".join(things))
            with b.looping(f"for {word} in {listed}:", [(word, "text")], "", 2):
                _pairwise(b, item, word)
        else:
            lists = b.one(b.vars("subjects")).name if b.vars("subjects") else f"[{item}]"
            other = b.fresh("other", "subject")
            with b.looping(f"for {other} in {lists}[:2]:", [(other, "subject")], lists, 2):
                if b.chance(0.5):
                    with b.block(f"if {other} is {item}:"):
                        b.line("continue")
                _pairwise(b, other, "")


def _pairwise(b: Builder, item: str, word: str) -> None:
    if not b.affords(1):
        say(b)
        return
    b.reach("nested-loops")
    if b.chance(0.5):
        b.reach("if-result")
        test = f"{item}.exists({word})" if word and b.dialect.methods else ask(b, "truth", item)
        if word and b.dialect.methods:
            b.spend(1)
        with b.block(f"if {test}:"):
            body(b, 1)
            if b.chance(0.4):
                b.reach("exit")
                b.line("break")
    else:
        fresh_ask(b, item)
        body(b, 1)


@idiom("loop-variable", lines=5, calls=TRIPS + 1, nests=1)
def afterwards(b: Builder) -> None:
    """The loop's variable, and what its last turn bound, once it has ended."""
    patches = some_subjects(b)
    variable = b.find(patches)
    if variable is not None and not variable.sure and b.chance(0.75) and b.function.loops == 0 and b.room > 8:
        guard_empty(b, patches)
    item = b.element("subject")
    with b.looping(f"for {item} in {patches}:", [(item, "subject")], patches, TRIPS):
        last, kind = fresh_ask(b, item)
        if b.chance(0.4):
            with b.block(f"if {values.truth(b)}:"):
                b.line("break")
            b.reach("exit")
    b.reach("loop-variable")
    if b.find(item) is None:
        b.declare(item, "subject")
    if b.find(last) is None:
        b.declare(last, kind)
    if b.chance(0.6) and b.affords(1):
        ask_statement(b, item, kind=b.one(("number", "truth")), again=0.0)
    elif kind == "text" or not b.dialect.methods:
        b.line(f"print({last})")
        b.line(f"print({item}.width)")
    else:
        b.reach("f-strings")
        b.line(f'print(f"{{{last}}} {{{item}}}")')
    if b.chance(0.7) and b.nesting == 0:
        return
    # It may never have been bound: what follows does not build on it.
    for name in (item, last):
        b.scopes[-1][1].pop(name, None)


def guard_empty(b: Builder, patches: str) -> None:
    """Nothing found: that is the answer."""
    b.reach("early-return")
    with b.block(f"if {b.one(('not {}', 'len({}) == 0')).format(patches)}:"):
        if b.chance(0.3):
            say(b)
        give(b)
    variable = b.find(patches)
    if variable is not None and b.nesting == 1:
        variable.sure = True


@idiom("early-return", lines=4, nests=1, weight=1.5)
def nothing_found(b: Builder) -> None:
    """`if not cars: return ...`"""
    if b.function.loops == 0 and (b.vars("subjects") or asking.asks(b, "subjects")):
        guard_empty(b, some_subjects(b))
        return
    b.reach("early-return")
    with b.block(f"if {asking.value(b, 'truth')}:"):
        give(b)


@idiom("walks", lines=3, nests=1, weight=0.8)
def other_walks(b: Builder) -> None:
    """Dicts, numbers and words are walked too."""
    form = b.rng.random()
    if form < 0.4:
        made = ", ".join(f'"{w}": {asking.value(b, "text", 0.6)}' for w in b.rng.sample(words.OBJECTS, 2))
        tables = b.growable("table", "tally")
        chosen = b.one(tables) if tables and b.chance(0.4) else b.find(store(b, "table", f"{{{made}}}", again=0.0))
        assert chosen is not None
        key, item = b.fresh("key", "text"), b.fresh("entry", "hidden")
        header = f"for {key}, {item} in {chosen.name}.items():"
        with b.looping(header, [(key, "text"), (item, "hidden")], chosen.name, 2):
            b.line(f"print({key}, {item})")
            body(b, 1)
        b.reach("walks", "effects")
    elif form < 0.7:
        index = b.fresh("k", "number")
        header = f"for {index} in range({b.one(('2', '3', '1, 4', '3, 0, -1', '0, 4, 2'))}):"
        with b.looping(header, [(index, "number")], "", 3):
            body(b, 2)
        b.reach("walks")
    else:
        first, second = b.fresh("a", "text"), b.fresh("c", "number")
        items = values.texts(b), values.numbers(b)
        header = f"for {first}, {second} in zip({items[0]}, {items[1]}):"
        with b.looping(header, [(first, "text"), (second, "number")], items[1], 2):
            b.frozen.update(g for v in b.vars("texts", "numbers") for g in v.groups)
            body(b, 2)
            b.frozen.subtract(g for v in b.vars("texts", "numbers") for g in v.groups)
        b.reach("walks")
