"""Comprehensions, generators and keys: expressions that loop."""

from __future__ import annotations

from . import asking, values, words
from .asking import ask, inside
from .builder import TRIPS, Builder, Function, Kind
from .idioms_loops import use_of_maybe
from .statements import body, idiom, say, some_subjects, store


@idiom("comprehension", lines=2, calls=TRIPS, weight=1.2)
def comprehension(b: Builder) -> None:
    """A list, set or dict with a filter; filter, element or both ask."""
    b.reach("comprehension")
    patches = some_subjects(b)
    p = b.inner("subject")
    form = b.one(("filter", "filter", "filter", "count", "both", "element", "dict", "set", "two"))
    if form == "two":
        _two_loops(b, patches, p)
        return
    with b.times(TRIPS), b.scope([(p, "subject")]):
        test = _filter(b, p, asks=form != "element")
        kind: Kind = b.one(("text", "number"))
        element = asking.direct(b, kind, p) if form in ("both", "element", "set", "dict") else p
    made = f"{element} for {p} in {patches} if {test}"
    match form:
        case "filter":
            store(b, "subjects", f"[{made}]")
        case "count":
            store(b, "number", f"len([{made}])")
        case "dict":
            name = b.fresh("by_place", "hidden")
            b.line(f"{name} = {{{p}.width: {made}}}")
            b.line(f"print({name})")
            b.reach("effects")
        case "set":
            b.reach("sets")
            store(b, "texts" if kind == "text" else "numbers", f"sorted({{{made}}})")
        case _:
            store(b, "texts" if kind == "text" else "numbers", f"[{made}]")


def _filter(b: Builder, p: str, *, asks: bool) -> str:
    """The filter decides who is asked."""
    size = f"{values.attribute_of(b, p)} > {b.one((5, 20))}"
    if not asks:
        return size
    test = asking.direct(b, "truth", p)
    if b.chance(0.2):
        b.reach("short-circuit")
        return f"{size} {b.one(('and', 'or'))} {inside(test)}"
    return test


def _two_loops(b: Builder, patches: str, p: str) -> None:
    """Each patch with each word."""
    w = b.one(("w", "thing"))
    b.spend(2 * TRIPS)
    asked = f"{p}.exists({w})"
    if not b.dialect.methods:
        asked = f'(await hermod.call("xvlm", image={p}, object_name={w}))["result"]'
    store(b, "texts", f"[{w} for {p} in {patches} for {w} in {values.texts(b)} if {asked}]")


@idiom("lazy", lines=2, calls=TRIPS, methods=True, weight=1.6)
def deciding(b: Builder) -> None:
    """any, all and next ask until one answer decides."""
    b.reach("lazy")
    patches = some_subjects(b)
    p, test = _tested(b)
    form = b.one(("any", "any", "all", "all", "if", "next", "next", "next-raises", "guard"))
    match form:
        case "any" | "all":
            store(b, "truth", f"{form}({test} for {p} in {patches}{b.one(('', '', f' if {p}.width > 8'))})")
        case "if":
            b.reach("if-result")
            with b.block(f"if {b.one(('', 'not '))}{b.one(('any', 'all'))}({test} for {p} in {patches}):"):
                body(b, 1)
        case "next":
            store(b, "maybe", f"next(({p} for {p} in {patches} if {test}), None)")
        case "next-raises":
            b.reach("region")
            name = b.fresh("pick", "maybe")
            with b.block("try:"):
                b.line(f"{name} = next({p} for {p} in {patches} if {test})")
            with b.block("except StopIteration:"):
                b.line(f"{name} = None")
            b.declare(name, "maybe")
        case _:
            b.reach("short-circuit")
            store(b, "truth", f"any({p}.width > {b.one((5, 15, 200))} and {test} for {p} in {patches})")


def _tested(b: Builder) -> tuple[str, str]:
    """The variable of a generator, and a question about it."""
    p = b.inner("subject")
    with b.times(TRIPS), b.scope([(p, "subject")]), b.without_await():
        return p, inside(asking.direct(b, "truth", p))


@idiom("generators", lines=3, calls=TRIPS, methods=True)
def walked_generator(b: Builder) -> None:
    """A generator asks when it is walked, and as far as it is."""
    b.reach("generators")
    patches = some_subjects(b)
    p, test = _tested(b)
    made = f"for {p} in {patches} if {test}"
    form = b.one(("for", "for", "join", "sum", "sorted", "tuple", "dict"))
    match form:
        case "for":
            item = b.element("subject")
            with b.looping(f"for {item} in ({p} {made}):", [(item, "subject")], patches, TRIPS):
                say(b)
                if b.chance(0.5):
                    with b.block(f"if {values.truth(b)}:"):
                        b.line("break")
        case "join":
            store(b, "text", f'", ".join(str({values.attribute_of(b, p)}) {made})')
        case "sum":
            store(b, "number", f"sum({b.one(('1', f'{p}.width'))} {made})")
        case "sorted":
            store(b, "numbers", f"sorted(({values.attribute_of(b, p)} {made}), reverse=True)")
        case "tuple":
            name = b.fresh("chosen", "hidden")
            b.line(f"{name} = {b.one(('tuple', 'list'))}({p} {made})")
            b.line(f"print(len({name}))")
            b.reach("effects")
        case _:
            name = b.fresh("by_width", "hidden")
            b.line(f"{name} = dict(({p}.width, {p}.height) {made})")
            b.line(f"print({name})")
            b.reach("effects")


@idiom("keys", lines=2, calls=TRIPS, methods=True, weight=1.6)
def key(b: Builder) -> None:
    """The nearest, the farthest, in the order of what each answers."""
    b.reach("keys")
    patches = some_subjects(b)
    form = b.one(("min", "max", "min", "max", "sorted", "sorted", "sort", "index", "best"))
    asked = _key(b) if form not in ("index", "best") else ""
    match form:
        case "min" | "max":
            default = b.chance(0.5)
            variable = b.find(patches)
            if not default and variable is not None and not variable.sure and b.chance(0.7):
                b.reach("short-circuit")
                best = store(b, "maybe", f"{form}({patches}, key={asked}) if {patches} else None")
            else:
                best = store(b, "maybe", f"{form}({patches}, key={asked}{', default=None' if default else ''})")
            if b.chance(0.5):
                use_of_maybe(b, best)
            elif b.chance(0.4):
                b.reach("effects")
                b.line(f"print({best})")
        case "sorted":
            tail = b.one(("", "", ", reverse=True"))
            if b.chance(0.3):
                b.reach("walks")
                store(b, "subjects", f"sorted({patches}, key={asked}{tail})[:{b.one((1, 2))}]")
            else:
                store(b, "subjects", f"sorted({patches}, key={asked}{tail})")
        case "sort":
            growable = [v.name for v in b.growable("subjects")]
            target = patches
            if patches not in growable:
                target = store(b, "subjects", f"list({patches})", again=0.0)
            b.reach("mutation")
            b.line(f"{target}.sort(key={asked}{b.one(('', ', reverse=True'))})")
        case "index":
            b.reach("walks")
            name = b.fresh("order", "numbers")
            with b.times(TRIPS), b.without_await():
                b.spend(1)
            b.line(f"{name} = sorted(range(len({patches})), key=lambda i: {patches}[i].{b.one(_METHODS)})")
            b.declare(name, "numbers")
        case _:
            texts = values.texts(b)
            with b.times(2):
                b.spend(1)
            image = values.subject(b)
            store(b, "text", f'max({texts}, key=lambda w: len({image}.find(w)), default="none")')


_METHODS = ("compute_depth()", f'simple_query("{words.QUESTIONS[1]}")', f'exists("{words.OBJECTS[1]}")')


def _key(b: Builder) -> str:
    """A lambda, a helper, a tuple of what two ask, or a function that leaves a trace."""
    if b.chance(0.2) and b.room > 5 and b.affords(TRIPS):
        return _traced_key(b)
    p = b.inner("subject")
    with b.times(TRIPS), b.scope([(p, "subject")]), b.without_await():
        helpers = [h for h in b.callable_helpers("number") + b.callable_helpers("text") if h.parameters == ("subject",)]
        if helpers and b.chance(0.5):
            chosen = b.one(helpers)
            b.spend(chosen.cost)
            b.reach("helpers")
            return chosen.name
        if b.chance(0.2):
            return f"lambda {p}: -{inside(asking.direct(b, 'number', p))}"
        answer = asking.direct(b, b.one(("number", "number", "text", "truth")), p)
        if b.chance(0.2) and b.affords(1):
            answer = f"({answer}, {values.attribute_of(b, p)})"
        return f"lambda {p}: {answer}"


def _traced_key(b: Builder) -> str:
    name, what = b.fresh("rank", "hidden"), b.fresh("what", "subject")
    function = Function(name, False, "number")
    with b.define(function, [(what, "subject")], f"def {name}({what}):"):
        answer = store(b, "number", asking.direct(b, "number", what), again=0.0)
        b.line(f"print({answer})")
        b.line(f"return {answer}")
    b.spend(TRIPS)
    b.reach("closures", "effects")
    return name


@idiom("sets", lines=3, calls=1)
def sets(b: Builder) -> None:
    """Sets of strings: walked in a fixed order, or so that the order does not matter."""
    b.reach("sets")
    texts = b.recent("texts")
    if texts is None:
        made = ", ".join(inside(ask(b, "text")) for _ in range(2))
        texts = store(b, "texts", f"[{made}]", again=0.0)
    name = b.fresh("unique", "hidden")
    b.line(f"{name} = {b.one((f'set({texts})', f'set(w.lower() for w in {texts})', f'{{w for w in {texts}}}'))}")
    form = b.rng.random()
    if form < 0.4:
        word = b.element("text")
        with b.looping(f"for {word} in sorted({name}):", [(word, "text")], "", 2):
            b.line(f"print({word})")
            if b.affords(1):
                b.line(f"print({asking.direct(b, 'truth')})")
            body(b, 1)
        b.reach("effects")
    elif form < 0.6:
        total = store(b, "number", "0", again=0.0)
        b.line(f"for w in {name}:")
        b.line(f"    {total} += len(w)")
    elif form < 0.8:
        store(b, "number", f"sum(len(w) for w in {name})")
    else:
        b.line(f'{name}.add("{b.one(words.LABELS)}")')
        store(b, "texts", f"sorted(w for w in {name} if len(w) > 2)")
