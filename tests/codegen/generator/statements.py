"""Statements: which idioms there are, and which comes next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import asking, values, words
from .builder import Builder, Kind

MAX_NESTING = 4


@dataclass(frozen=True)
class Idiom:
    """A way to write one statement or a few."""

    row: str
    write: Callable[[Builder], None]
    lines: int
    """about how many it writes"""
    calls: float
    """how many calls it must be able to afford"""
    nests: int
    """blocks in blocks that it opens"""
    methods: bool
    """needs the methods of ImagePatch"""
    weight: float


IDIOMS: list[Idiom] = []


def idiom(
    row: str, *, lines: int = 2, calls: float = 0, nests: int = 0, methods: bool = False, weight: float = 1.0
) -> Callable[[Callable[[Builder], None]], Callable[[Builder], None]]:
    """Register a function that writes statements of a row."""

    def register(write: Callable[[Builder], None]) -> Callable[[Builder], None]:
        IDIOMS.append(Idiom(row, write, lines, calls, nests, methods, weight))
        return write

    return register


def fits(b: Builder, option: Idiom) -> bool:
    """Whether an idiom may stand on the next line."""
    return (
        option.lines <= b.room
        and b.nesting + option.nests <= MAX_NESTING
        and (not option.methods or b.dialect.methods)
        and (option.calls == 0 or (b.can_ask and b.affords(option.calls)))
    )


def body(b: Builder, count: int) -> None:
    """So many statements, fewer where there is no room or the block has ended."""
    for _ in range(count):
        if b.ended or b.room < 2:
            return
        statement(b)


def statement(b: Builder) -> None:
    """One more statement: of a row that is wanted, or of any."""
    options = [option for option in IDIOMS if fits(b, option)]
    possible = {option.row for option in options}
    next_rows = [row for row in b.wanted if row in possible][:2]
    wanted = [option for option in options if option.row in next_rows]
    if wanted and b.chance(0.94):
        options = wanted
    if not options:
        say(b)
        return
    chosen = b.rng.choices(options, [option.weight for option in options])[0]
    chosen.write(b)
    b.wanted = [row for row in b.wanted if not b.rows[row]]


BASES: dict[Kind, tuple[str, ...]] = {
    "text": ("answer", "color", "material", "kind", "reply"),
    "number": ("depth", "distance_m", "count", "score", "size"),
    "truth": ("found", "is_open", "has_it", "ok"),
    "subject": ("target_patch", "first", "other"),
    "maybe": ("best", "match", "closest"),
    "subjects": tuple(f"{name}s" for name in words.OBJECTS if name != "person"),
    "boxes": ("boxes", "objects", "detections"),
    "texts": ("names", "words", "labels"),
    "numbers": ("depths", "scores", "sizes"),
    "table": ("info", "facts"),
    "tally": ("counts", "totals"),
}


def base(b: Builder, kind: Kind) -> str:
    """A name such as people give to values of a kind."""
    return b.one(BASES[kind])


def store(b: Builder, kind: Kind, expression: str, *, again: float = 0.2, sure: bool = False) -> str:
    """Assign; gives the name."""
    aliased = b.find(expression)
    name = b.bind(base(b, kind), kind, again=again, sure=sure)
    b.line(f"{name} = {expression}")
    variable = b.find(name)
    assert variable is not None
    if aliased is not None:
        variable.groups |= aliased.groups
        variable.wild |= aliased.wild
    elif any(expression.removeprefix("(await ").startswith(f"{h.name}(") for h in b.helpers):
        variable.wild = True
    return name


def boxes_as_subjects(b: Builder, boxes: str) -> str:
    """Cut out what `glip` found."""
    image = next(v.name for v in b.vars("subject"))
    return store(b, "subjects", f"[{values.boxed(image, 'box')} for box in {boxes}]", again=0.0)


def some_subjects(b: Builder) -> str:
    """The name of a list of patches, found just now if there is none yet."""
    known = [v.name for v in b.vars("subjects")]
    if known and b.chance(0.85):
        return b.one(known)
    if not b.dialect.methods and asking.asks(b, "boxes") and b.chance(0.5):
        return boxes_as_subjects(b, store(b, "boxes", asking.direct(b, "boxes"), again=0.0))
    return store(b, "subjects", asking.ask(b, "subjects"), again=0.0)


ASKED: tuple[Kind, ...] = ("truth", "text", "text", "number", "number", "subjects", "maybe")


def ask_statement(b: Builder, subject: str | None = None, *, kind: Kind | None = None, again: float = 0.2) -> str:
    """Ask, and keep the answer."""
    chosen = b.one(ASKED if subject is None else ASKED[:5]) if kind is None else kind
    return store(b, chosen, asking.ask(b, chosen, subject), again=again)


def shown(b: Builder) -> str:
    """Something that can be printed."""
    name = b.recent("text", "number", "truth", "texts", "numbers", "table", "tally")
    return name if name is not None and b.chance(0.6) else values.text(b)


def say(b: Builder) -> None:
    """Print something."""
    b.reach("effects")
    form = b.rng.random()
    if form < 0.6:
        b.line(f"print({shown(b)})")
    elif form < 0.8:
        b.line(f'print("{b.one(words.LABELS)}:", {shown(b)})')
    elif form < 0.9 and (names := b.recent("texts", "numbers")) is not None:
        b.reach("star")
        b.line(f"print(*{names}, sep={b.one((repr(', '), repr('/')))})")
    else:
        b.line(f"print({shown(b)}, {shown(b)})")


def give(b: Builder, kind: Kind | None = None) -> None:
    """Return something of the kind that the function returns."""
    wanted = kind or b.function.returns
    if wanted is not None:
        b.line(f"return {asking.value(b, wanted, 0.15)}")
        return
    form = b.rng.random()
    names = [v.name for v in b.vars("text", "number", "truth", "texts", "numbers", "table", "tally")]
    if form < 0.15 or not names:
        b.line(f"return {values.text(b)}")
    elif form < 0.4:
        b.line(f"return {values.f_string(b)}")
    elif form < 0.55:
        b.line("return [" + ", ".join(b.rng.sample(names, min(len(names), 3))) + "]")
    elif form < 0.7:
        b.line("return {" + ", ".join(f'"{n}": {n}' for n in b.rng.sample(names, min(len(names), 3))) + "}")
    elif form < 0.8 and (name := b.recent("truth")) is not None and b.dialect.methods:
        b.line(f"return bool_to_yesno({name})")
    else:
        b.line(f"return {b.one(names)}")
