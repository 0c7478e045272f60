"""Branches: on results, guards before what they guard, what is decided within an expression, regions."""

from __future__ import annotations

from . import asking, values, words
from .asking import ask, inside
from .builder import TRIPS, Builder, Kind
from .statements import ask_statement, base, body, give, idiom, say, some_subjects, store


def condition(b: Builder) -> str:
    """A condition that hangs on a result: asked here, or before."""
    if asking.asks(b, "truth") and b.chance(0.6):
        form = b.rng.random()
        if form < 0.6:
            return asking.ask(b, "truth")
        if form < 0.8:
            return f"{inside(ask(b, 'number'))} {b.one(('<', '>', '<=', '>='))} {values.number(b, 1)}"
        return f'"{b.one("aeiotr")}" in {inside(ask(b, "text"))}'
    return values.truth(b)


@idiom("if-result", lines=4, calls=1, nests=1, weight=1.2)
def branch(b: Builder) -> None:
    """Both arms, with questions of their own or the same one."""
    b.reach("if-result")
    test = asking.direct(b, "truth")
    common = asking.direct(b, "text") if b.chance(0.3) and b.affords(1) else ""
    kind: Kind = b.one(("text", "text", "number", "truth"))
    both = b.fresh(base(b, kind), kind) if b.chance(0.5) else ""
    with b.block(f"if {test}:"):
        _arm(b, kind, both, common)
    if b.chance(0.25) and b.room > 4:
        with b.block(f"elif {condition(b)}:"):
            _arm(b, kind, both, "")
    if both or common or b.chance(0.6):
        with b.block("else:"):
            _arm(b, kind, both, common)
    if both:
        b.declare(both, kind)


def _arm(b: Builder, kind: Kind, both: str, common: str) -> None:
    if common:
        store(b, "text", common)
        b.reach("duplicates")
    if b.chance(0.4):
        body(b, 1)
    if both:
        b.line(f"{both} = {asking.value(b, kind, 0.6)}")
    elif not common:
        body(b, 1)


@idiom("short-circuit", lines=1, calls=2)
def decided_inside(b: Builder) -> None:
    """and, or, a ternary, a chained comparison: what stands later may not be asked."""
    b.reach("short-circuit")
    form = b.one(("and", "or", "and", "ternary", "chain", "text", "three", "walrus"))
    match form:
        case "and" | "or":
            expression = f"{inside(ask(b, 'truth'))} {form} {inside(asking.direct(b, 'truth'))}"
            if b.chance(0.2):
                expression = f"not ({expression})"
            store(b, "truth", expression)
        case "three":
            first, second = b.one((("and", "or"), ("or", "and"), ("and", "and")))
            parts = inside(ask(b, "truth")), inside(asking.direct(b, "truth")), inside(asking.value(b, "truth"))
            store(b, "truth", f"({parts[0]} {first} {parts[1]}) {second} {parts[2]}")
        case "text":
            store(b, "text", f"{ask(b, 'text')} or {asking.direct(b, 'text')}")
        case "ternary":
            kind: Kind = b.one(("text", "number"))
            arms = [asking.direct(b, kind), asking.value(b, kind)]
            b.rng.shuffle(arms)
            test = inside(ask(b, "truth"))
            store(b, kind, f"{arms[0]} if {test} else {arms[1]}")
        case "chain":
            low, high = inside(asking.value(b, "number")), inside(asking.direct(b, "number"))
            middle = inside(ask(b, "number"))
            store(b, "truth", f"{low} {b.one(('<', '<='))} {middle} {b.one(('<', '<=', '>'))} {high}")
        case _:
            name = b.fresh("n", "number")
            expression = f"({name} := {ask(b, 'number')}) > {b.one((0, 2, 4))} and {inside(asking.direct(b, 'truth'))}"
            b.declare(name, "number")
            store(b, "truth", expression)


@idiom("nested-guards", lines=2, calls=3, nests=1)
def guarded(b: Builder) -> None:
    """`p and p[0].find(...)`, as a condition or as a value."""
    b.reach("nested-guards", "short-circuit")
    found = some_subjects(b)
    if not b.dialect.methods:
        guard, rest = b.one((found, f"len({found}) > 0")), inside(asking.by_call(b, "truth", f"{found}[0]"))
    elif b.chance(0.4):
        thing = asking.object_name(b)
        about = values.subject(b)
        b.spend(1)
        guard = f"{about}.find({thing})"
        if b.chance(0.5):
            b.spend(1)
            b.reach("duplicates")
            rest = f"{guard}[0].{_tail(b)}"
        else:
            found = b.fresh("hits", "subjects")
            b.declare(found, "subjects")
            guard, rest = f"({found} := {guard})", f"{found}[0].{_tail(b)}"
    else:
        guard, rest = b.one((found, f"len({found}) > 0")), f"{found}[0].{_tail(b)}"
    b.spend(1)
    if b.chance(0.3) and b.affords(1):
        rest += f" and {inside(asking.direct(b, 'truth', f'{found}[-1]'))}" if found in guard else ""
    if b.chance(0.5):
        b.reach("if-result")
        with b.block(f"if {guard} and {rest}:"):
            body(b, 1)
            if not b.ended and b.chance(0.3):
                give(b)
                b.reach("early-return")
    else:
        name = b.fresh(base(b, "truth"), "hidden")
        b.line(f"{name} = {guard} and {rest}")
        store(b, "truth", f"bool({name})")


def _tail(b: Builder) -> str:
    thing = asking.object_name(b)
    return b.one((
        f"exists({thing})",
        f"find({thing})",
        f'verify_property({thing}, "{b.one(words.PROPERTIES)}")',
    ))  # fmt: skip


@idiom("region", lines=5, calls=1, nests=1)
def attempt(b: Builder) -> None:  # noqa: PLR0912 - one form after the other
    """try, with the handlers that people write, and what comes after."""
    b.reach("region")
    kind: Kind = b.one(("text", "number", "truth"))
    both = b.fresh(base(b, kind), kind) if b.chance(0.5) else ""
    if both and b.chance(0.5):
        b.line(f"{both} = {values.quiet(b, kind)}")
    caught = b.one((
        "Exception", "Exception as e", "Exception as e", "(RuntimeError, TimeoutError)", "RuntimeError", "ValueError",
        "IndexError",
    ))  # fmt: skip
    wide = caught.startswith("Exception")
    with b.block("try:"):
        if b.chance(0.3):
            say(b)
        if both:
            b.line(f"{both} = {asking.direct(b, kind)}")
        else:
            store(b, kind, asking.direct(b, kind))
        if b.chance(0.3):
            b.line(f'raise ValueError("{b.one(words.LABELS)}")' if b.chance(0.4) else _breaks(b))
            b.ended = False
        elif b.room > 5:
            body(b, 1)
    if not b.chance(0.1) or not both:
        with b.block(f"except {caught}:"):
            if " as e" in caught:
                b.reach("f-strings")
                b.line('print(f"failed: {type(e).__name__}")' if b.chance(0.6) else 'print(f"failed: {e}")')
                b.reach("effects")
            _handle(b, kind, both)
        if not wide and b.chance(0.5):
            with b.block("except Exception:"):
                _handle(b, kind, both)
        if b.chance(0.25) and b.room > 3:
            with b.block("else:"):
                body(b, 1)
        if b.chance(0.3) and b.room > 3:
            _finally(b)
    else:
        _finally(b)
    if both and (wide or b.chance(0.7)):
        b.declare(both, kind)


def _breaks(b: Builder) -> str:
    """A statement that raises on some path."""
    name = b.recent("subjects", "texts", "numbers")
    if name is not None:
        return f"print({name}[{b.one((0, 1, 3))}] is None)"
    return f"print(int({values.text(b)}))"


def _handle(b: Builder, kind: Kind, both: str) -> None:
    form = b.rng.random()
    if both:
        b.line(f"{both} = {asking.value(b, kind, 0.3)}")
    elif b.function.loops and form < 0.3:
        b.line(b.one(("continue", "break")))
    elif form < 0.4 and b.nesting == 1:
        give(b)
    elif form < 0.45:
        b.line("raise")
    elif form < 0.55:
        b.line(f'raise RuntimeError("{b.one(words.LABELS)}")')
    else:
        say(b)


def _finally(b: Builder) -> None:
    with b.block("finally:"):
        say(b)
        if b.chance(0.2) and asking.asks(b, "truth"):
            ask_statement(b)


@idiom("region", lines=4, calls=TRIPS, nests=1, weight=0.6)
def while_loop(b: Builder) -> None:
    """A while with a counter, which goes up first so that nothing can skip it."""
    b.reach("region")
    name = b.fresh("tries", "number")
    b.line(f"{name} = 0")
    b.declare(name, "number", fixed=True)
    limit = b.one((2, 3))
    patches = b.recent("subjects")
    test = f"{name} < {limit}"
    with b.times(3):
        if patches is not None and b.chance(0.4):
            asked = inside(asking.direct(b, "truth", f"{patches}[{name}]"))
            test = f"{name} < len({patches}[:4]) and not {asked}"
            b.reach("short-circuit")
        elif b.chance(0.5):
            test += f" and {inside(ask(b, 'truth'))}"
            b.reach("short-circuit")
    with b.looping(f"while {test}:", [], patches or "", 3):
        b.line(f"{name} += 1")
        if b.affords(1):
            b.line(f"print({asking.direct(b, b.one(('text', 'number')))})")
            b.reach("effects")
        body(b, 2)
    if b.chance(0.3) and b.room > 2:
        with b.block("else:"):
            say(b)


STAGE = """class Stage:
    def __init__(self, name, forgives):
        self.name = name
        self.forgives = forgives

    def __enter__(self):
        print("begin", self.name)
        return self

    def __exit__(self, kind, error, trace):
        print("end", self.name, kind is None)
        return self.forgives"""


@idiom("region", lines=4, calls=1, nests=1, weight=0.4)
def with_stage(b: Builder) -> None:
    """A context manager, which prints, and may swallow what is raised inside."""
    b.reach("region", "effects")
    if "class Stage:" not in b.preamble:
        b.preamble += ["", "", *STAGE.split("\n")]
        b.size += 12
    forgives = b.chance(0.4)
    name = b.fresh("stage", "hidden")
    with b.block(f'with Stage("{b.one(words.LABELS)}", {forgives}) as {name}:'):
        kind: Kind = b.one(("text", "number"))
        stored = store(b, kind, asking.direct(b, kind), again=0.0)
        body(b, 1)
    if b.find(stored) is None and b.chance(0.5) and not forgives:
        b.declare(stored, kind)
    if b.chance(0.3):
        b.line(f"print({name}.name)")


@idiom("parsing", lines=4, nests=1)
def parse(b: Builder) -> None:
    """`int(answer)`, and what if it is no number."""
    b.reach("parsing", "region")
    text = inside(asking.value(b, "text", 0.7))
    name = b.fresh(b.one(("count", "number", "amount")), "number")
    with b.block("try:"):
        b.line(f"{name} = {b.one(('int', 'int', 'float'))}({text})")
    with b.block(f"except {b.one(('ValueError', 'ValueError', '(ValueError, TypeError)', 'Exception'))}:"):
        b.line(f"{name} = {b.one(('0', '1', '-1', f'len({text})'))}")
    b.declare(name, "number")


@idiom("coerce", lines=1, nests=1)
def coerce(b: Builder) -> None:
    """A number out of an answer; where there is none the text stays, as ViperGPT's own helper does it."""
    b.reach("coerce")
    text = asking.value(b, "text", 0.7)
    if b.chance(0.3) and b.room > 4:
        name = b.fresh("amount", "number")
        with b.block("try:"):
            b.line(f"{name} = coerce_to_numeric({text}, no_string=True)")
        with b.block("except ValueError:"):
            b.line(f"{name} = {b.one((0, 1))}")
        b.reach("parsing")
        b.declare(name, "number")
    elif b.chance(0.6):
        loose = b.fresh("raw", "hidden")
        b.line(f"{loose} = coerce_to_numeric({text})")
        store(b, "number", f"{loose} if isinstance({loose}, (int, float)) else {b.one((0, 1, -1))}")
    elif '"' in text or "'" in text:
        store(b, "text", f"str(coerce_to_numeric({text}))")
    else:
        b.reach("f-strings")
        store(b, "text", f'f"{{coerce_to_numeric({text})}}"')


@idiom("name-errors", lines=3, nests=1)
def missing(b: Builder) -> None:
    """A name that only one path binds, or none."""
    b.reach("name-errors")
    if b.chance(0.25):
        with b.block(f"if {values.truth(b)} and {inside(condition(b))}:"):
            b.line(b.one(("print(undefined_name)", "result_of_nothing += 1", "verify(image)", "print(math_pi)")))
        return
    kind: Kind = b.one(("text", "number", "truth"))
    name = b.fresh(base(b, kind), kind)
    test = condition(b)
    if b.chance(0.7):
        test = f"{number_of(b)} or {inside(test)}"
    with b.block(f"if {test}:"):
        b.line(f"{name} = {asking.value(b, kind, 0.5)}")
    if b.chance(0.4):
        body(b, 1)
    if not b.ended:
        b.line(f"print({name})")
        b.reach("effects")
        b.declare(name, kind)


def number_of(b: Builder) -> str:
    """A condition that holds more often than not."""
    return b.one((f"{values.length(b)} < 6", f"{values.length(b)} >= 0", f"{values.number(b)} < 100"))
