"""Effects, changes in place, and the small forms that programs are full of."""

from __future__ import annotations

from . import asking, values, words
from .asking import inside
from .builder import TRIPS, Builder, Kind
from .statements import ask_statement, base, body, idiom, say, shown, some_subjects, store


@idiom("independent", lines=2, calls=2, weight=1.2)
def side_by_side(b: Builder) -> None:
    """Two or three questions, none of which needs another's answer."""
    b.reach("independent")
    kinds = [b.one(("text", "number", "truth", "subjects")) for _ in range(b.one((2, 2, 3)))]
    about = values.subject(b) if b.chance(0.6) else None
    if b.can_await and b.chance(0.15):
        _started_before(b)
        return
    expressions = [asking.direct(b, kind, about) for kind in kinds]  # type: ignore[arg-type]
    for kind, expression in zip(kinds, expressions, strict=True):
        store(b, kind, expression, again=0.0)  # type: ignore[arg-type]


def _started_before(b: Builder) -> None:
    """Calls that the author started himself."""
    names = [b.fresh("job", "hidden") for _ in range(2)]
    about = values.subject(b)
    b.spend(2)
    b.line(f'{names[0]} = hermod.call("depth", image={about})')
    b.line(f'{names[1]} = hermod.call("blip2", image={about}, query="{b.one(words.QUESTIONS)}")')
    if b.chance(0.5):
        say(b)
    store(b, "number", f'(await {names[0]})["depth"]', again=0.0)
    store(b, "text", f'(await {names[1]})["output"]', again=0.0)


@idiom("duplicates", lines=2, calls=2)
def twice(b: Builder) -> None:
    """The same question again, here or in every turn of a loop."""
    kind: Kind = b.one(("text", "number", "truth"))
    expression = asking.direct(b, kind)
    if b.chance(0.5) and b.affords(TRIPS) and b.room > 4 and b.nesting < 3:
        lists = b.recent("subjects")
        item = b.fresh("each", "subject") if lists else "_"
        b.spend(TRIPS - 1)
        with b.looping(f"for {item} in {lists or 'range(2)'}:", [], lists or "", TRIPS):
            name = store(b, kind, expression, again=0.0)
            b.line(f"print({name})")
        b.reach("duplicates", "effects")
        return
    names = set(expression.replace("(", " ").replace(".", " ").replace("[", " ").split())
    first = store(b, kind, expression, again=0.0)
    b.spend(1)
    if b.chance(0.4):
        # What stands between could change what is asked about: the names in it are out of reach.
        kept = [v for v in b.visible().values() if v.name in names and not v.fixed]
        for var in kept:
            var.fixed = True
        body(b, 1)
        for var in kept:
            var.fixed = False
    if b.ended:
        b.line(f"print({first})")
        return
    b.reach("duplicates")
    store(b, kind, expression, again=0.0)


@idiom("duplicates", lines=4, calls=2, weight=0.6)
def found_twice(b: Builder) -> None:
    """The same list is asked for again after the first one was changed: each is a list of its own."""
    b.reach("duplicates", "effects")
    kind: Kind = "subjects" if b.dialect.methods else "boxes"
    expression = asking.direct(b, kind)
    first = store(b, kind, expression, again=0.0)
    how = b.one(("del {0}[:1]", "{0}.clear()", "{0}.reverse()", "{0} += {0}[:1]", "{0}.extend({0}[1:])"))
    b.line(how.format(first))
    if how.startswith("del"):
        b.reach("del")
    else:
        b.reach("mutation")
    b.spend(1)
    second = store(b, kind, expression, again=0.0)
    b.line(f"print(len({first}), len({second}), {first} is {second})")


@idiom("effects", lines=1, weight=0.6)
def prints(b: Builder) -> None:
    """print."""
    say(b)


@idiom("effects", lines=2, calls=1)
def impure(b: Builder) -> None:
    """Functions with an effect: asked in order, and every time."""
    b.reach("effects")
    call = "await hermod.call" if b.can_await else "hermod.call_sync"
    b.spend(1)
    if b.chance(0.5):
        text = values.text(b)
        b.line(f'{call}("log_event", text={text})')
        if b.chance(0.3) and b.affords(1):
            ask_statement(b)
            b.spend(1)
            b.line(f'{call}("log_event", text="{b.one(words.LABELS)}")')
    else:
        name = b.fresh("ticket", "number")
        b.line(f'{name} = ({call}("counter"))["n"]')
        b.declare(name, "number")
        if b.chance(0.3):
            b.reach("if-result")
            with b.block(f"if {name} {b.one(('> 1', '% 2 == 0'))}:"):
                body(b, 1)


@idiom("mutation", lines=3)
def alias(b: Builder) -> None:
    """Two names for one list, which then changes."""
    lists = b.growable("texts", "numbers", "subjects")
    if not lists:
        kind: Kind = b.one(("texts", "numbers"))
        store(b, kind, f"[{asking.value(b, 'text' if kind == 'texts' else 'number', 0.4)}]", again=0.0)
        lists = b.growable(kind)
    if not lists:
        say(b)
        return
    b.reach("mutation")
    old = b.one(lists)
    name = b.fresh(b.one(("same", "alias", "rest")), old.kind)
    b.line(f"{name} = {old.name}")
    b.declare(name, old.kind).groups = old.groups
    _change(b, name, old.kind)
    if b.chance(0.5):
        b.line(f"print(len({old.name}), {name} is {old.name})")
        b.reach("effects")
    old.sure = False


def _change(b: Builder, name: str, kind: Kind) -> None:
    element: Kind = {"texts": "text", "numbers": "number"}.get(kind, "subject")  # type: ignore[assignment]
    if b.chance(0.25):
        b.line(f"{name}.{b.one(('sort()', 'reverse()', 'clear()') if kind == 'numbers' else ('reverse()', 'clear()'))}")
        return
    new = asking.value(b, element, 0.5)
    b.line(b.one((
        f"{name}.append({new})", f"{name}.insert(0, {new})", f"{name} += [{new}]", f"{name}.extend([{new}])",
        f"{name}[:1] = [{new}]", f"{name}[len({name}):] = [{new}]",
    )))  # fmt: skip


@idiom("mutation", lines=3, calls=1, weight=0.8)
def attribute(b: Builder) -> None:
    """A note on a patch, as DiCE-M's program makes them; or on what a call gave."""
    b.reach("mutation")
    if not b.dialect.methods:
        boxes = store(b, "boxes", asking.direct(b, "boxes"), again=0.0)
        form = b.rng.random()
        if form < 0.4:
            b.line(f'{boxes}.append({{"x": 0, "y": 0, "width": {b.one((3, 4))}, "height": 5, "score": 0.5}})')
        elif form < 0.7:
            with b.block(f"for box in {boxes}:"):
                b.line(f'box["width"] = {b.one((7, 8))}')
        else:
            b.line(f"{boxes}[1:] = []")
        again = b.lines[-2 if form < 0.4 or form >= 0.7 else -3].split(" = ", 1)[1]
        if b.chance(0.6):
            b.spend(1)
            b.reach("duplicates")
            other = store(b, "boxes", again, again=0.0)
            b.line(f"print(len({boxes}), len({other}))")
            b.reach("effects")
        return
    patch = b.recent("subject")
    assert patch is not None
    b.line(f"{patch}.label = {asking.value(b, 'text', 0.7)}")
    if b.chance(0.5):
        other = b.fresh("shown", "subject")
        b.line(f"{other} = {patch}")
        b.declare(other, "subject")
        b.line(f'{other}.label += "{b.one(("!", "?", " (seen)"))}"')
    if b.chance(0.3):
        body(b, 1)
    if not b.ended:
        store(b, "text", f"{patch}.label" if b.chance(0.7) else f'getattr({patch}, "label", "none")')


@idiom("mutation", lines=2, weight=0.5)
def in_place(b: Builder) -> None:
    """Items of dicts and lists, swapped names, augmented assignment."""
    b.reach("mutation")
    tables = b.growable("table", "tally")
    form = b.rng.random()
    if form < 0.5 or not tables:
        name = b.recent("table") if form < 0.25 else None
        if name is None or b.find(name) not in tables:
            name = store(b, "table", f'{{"{b.one(words.OBJECTS)}": {asking.value(b, "text", 0.6)}}}', again=0.0)
        b.line(f'{name}["{b.one(words.OBJECTS)}"] = {asking.value(b, "text", 0.5)}')
        if b.chance(0.3):
            b.line(f'{name}.update({{"{b.one(words.LABELS)}": {values.text(b)}}})')
    else:
        chosen = b.one(tables)
        new = asking.value(b, "number" if chosen.kind == "tally" else "text", 0.5)
        b.line(f'{chosen.name}.setdefault("{b.one(words.LABELS)}", {new})')
        b.line(f'print({chosen.name}.pop("{b.one(words.LABELS)}", "none"))')
        b.reach("effects")
    numbers = [v.name for v in b.own("number")]
    if len(numbers) > 1 and b.chance(0.4):
        one, two = b.rng.sample(numbers, 2)
        b.line(f"{one}, {two} = {two}, {one}")
    if numbers and b.chance(0.3):
        b.line(f"{b.one(numbers)} {b.one(('+=', '-=', '*='))} {inside(asking.value(b, 'number', 0.4))}")


@idiom("del", lines=2)
def delete(b: Builder) -> None:
    """del of a name, an item, a slice."""
    form = b.rng.random()
    lists = b.growable("texts", "numbers", "subjects")
    tables = b.growable("table", "tally")
    if form < 0.35 and lists:
        chosen = b.one(lists)
        chosen.sure = False
        b.line(f"del {chosen.name}[{b.one(('1:', ':1', '2:'))}]")
    elif form < 0.55 and tables:
        chosen = b.one(tables)
        key = b.one(words.OBJECTS)
        b.line(f'{chosen.name}["{key}"] = {asking.value(b, "number" if chosen.kind == "tally" else "text", 0.5)}')
        b.line(f'del {chosen.name}["{key}"]')
        b.reach("mutation")
    else:
        kind: Kind = b.one(("text", "number"))
        name = b.fresh(base(b, kind), kind)
        b.line(f"{name} = {asking.value(b, kind, 0.6)}")
        if b.chance(0.5):
            b.line(f"print({name})")
            b.reach("effects")
        if b.chance(0.12) and b.room > 3 and b.nesting < 3:
            b.reach("name-errors")
            with b.block(f"if {values.truth(b)}:"):
                b.line(f"del {name}")
            b.line(f"print({name})")
        else:
            b.line(f"del {name}")
    b.reach("del")


@idiom("star", lines=2)
def star(b: Builder) -> None:
    """Star-unpacking, on both sides."""
    b.reach("star")
    lists = [v for v in b.vars("subjects", "texts", "numbers") if v.sure or b.chance(0.15)]
    form = b.rng.random()
    if form < 0.5 and lists:
        chosen = b.one(lists)
        element: Kind = {"texts": "text", "numbers": "number"}.get(chosen.kind, "subject")  # type: ignore[assignment]
        first, rest = b.fresh("head", element), b.fresh("tail", chosen.kind)
        b.line(b.one((f"{first}, *{rest} = {chosen.name}", f"*{rest}, {first} = {chosen.name}")))
        b.declare(first, element)
        b.declare(rest, chosen.kind)
    elif form < 0.8:
        kind: Kind = b.one(("texts", "numbers"))
        element = "text" if kind == "texts" else "number"
        one, two = values.quiet(b, kind), values.quiet(b, kind)
        store(b, kind, f"[*{one}, {asking.value(b, element, 0.5)}, *{two}]")
    else:
        first, middle, last = b.fresh("one", "text"), b.fresh("more", "texts"), b.fresh("last", "text")
        items = ", ".join(asking.value(b, "text", 0.6) for _ in range(3))
        b.line(f"{first}, *{middle}, {last} = {items}")
        for name, kind in ((first, "text"), (middle, "texts"), (last, "text")):
            b.declare(name, kind)


@idiom("strings", lines=2)
def strings(b: Builder) -> None:
    """What people do with answers."""
    b.reach("strings")
    text = inside(asking.value(b, "text", 0.6))
    form = b.rng.random()
    if form < 0.3:
        store(b, "texts", text + b.one((".split()", ".lower().split()", '.split(",")', ".splitlines()")))
    elif form < 0.5:
        store(b, "truth", text + b.one(('.lower() == "yes"', '.startswith("a")', '.endswith("e")', ".isalpha()")))
    else:
        store(b, "text", f"{text}{b.one(('.lower()', '.strip()', '.capitalize()', '.title()'))}")


@idiom("f-strings", lines=1, weight=0.7)
def f_string(b: Builder) -> None:
    """A sentence with an answer in it."""
    b.reach("f-strings")
    asked = asking.value(b, b.one(("text", "number", "truth")), 0.6)
    if '"' in asked or "'" in asked:
        name = store(b, "text", f"str({asked})", again=0.0)
        store(b, "text", f'f"{b.one(words.LABELS)}: {{{name}}}"')
    else:
        store(b, "text", f'f"{b.one(words.LABELS)}: {{{asked}}}"')
    if b.chance(0.5):
        b.line(f"print({shown(b)})")
        b.reach("effects")


@idiom("independent", lines=1, calls=1, weight=1.0)
def one_question(b: Builder) -> None:
    """A question, and its answer kept."""
    ask_statement(b)


@idiom("independent", lines=1, calls=1, weight=0.7)
def find(b: Builder) -> None:
    """Patches to go on with."""
    some = some_subjects(b)
    if b.chance(0.5) and asking.asks(b, "text") and (variable := b.find(some)) is not None and variable.sure:
        ask_statement(b, f"{some}[0]")
