"""Forms that are rarer, but that programs have: small classes, match, assert, decorators, videos, gather."""

from __future__ import annotations

from . import asking, values, words
from .asking import inside
from .builder import TRIPS, Builder, Function, Helper, Kind
from .statements import ask_statement, body, give, idiom, say, some_subjects, store

ITEM = """class Item:
    def __init__(self, patch, score):
        self.patch = patch
        self.score = score
        self.notes = []

    def add(self, note):
        self.notes.append(note)
        return self"""

COUNTED = """def counted(function):
    def wrapper(*args, **kwargs):
        print("calling", len(args), sorted(kwargs))
        return function(*args, **kwargs)

    return wrapper"""


def before(b: Builder, text: str) -> None:
    """Put a definition before the entry, once."""
    lines = text.split("\n")
    if lines[0] not in b.preamble:
        b.preamble += ["", "", *lines]
        b.size += len(lines)


@idiom("mutation", lines=5, calls=TRIPS, nests=1, weight=0.7)
def items(b: Builder) -> None:
    """Objects that hold what was learned, then ordered by it."""
    before(b, ITEM)
    b.reach("mutation", "fan-in")
    name = b.fresh("kept_items", "hidden")
    b.line(f"{name} = []")
    patches = some_subjects(b)
    p = b.element("subject")
    with b.looping(f"for {p} in {patches}:", [(p, "subject")], patches, TRIPS):
        b.line(f"{name}.append(Item({p}, {asking.direct(b, 'number', p)}))")
    form = b.rng.random()
    if form < 0.5:
        b.line(f"{name}.sort(key=lambda it: {b.one(('it.score', '(it.score, it.patch.width)', '-it.score'))})")
        b.line(f"print([it.score for it in {name}])")
    elif form < 0.8:
        first = b.fresh("first_item", "hidden")
        b.line(f"{first} = min({name}, key=lambda it: it.score, default=None)")
        with b.block(f"if {first} is not None:"):
            b.line(f"{first}.add({asking.value(b, 'text', 0.8)}).add({values.text(b)})")
        b.line(f"print([len(it.notes) for it in {name}])")
    else:
        with b.looping(f"for it in {name}:", [], "", TRIPS):
            b.line(f"it.score += {asking.ask(b, 'number', 'it.patch')}")
        b.line(f"print(sum(it.score for it in {name}))")
    b.reach("effects")


@idiom("mutation", lines=3, weight=0.5)
def two_names_at_once(b: Builder) -> None:
    """`a = b = []`"""
    b.reach("mutation")
    one, two = b.fresh("left_list", "texts"), b.fresh("right_list", "texts")
    b.line(f"{one} = {two} = [{asking.value(b, 'text', 0.5)}]")
    b.declare(one, "texts")
    b.declare(two, "texts").groups = b.find(one).groups  # type: ignore[union-attr]
    b.line(f"{b.one((one, two))}.append({asking.value(b, 'text', 0.6)})")
    b.line(f"print({one}, {two})")
    b.reach("effects")


@idiom("if-result", lines=5, calls=1, nests=2, weight=0.5)
def matched(b: Builder) -> None:
    """match on an answer."""
    b.reach("if-result")
    with b.block(f"match {asking.direct(b, 'text')}:"):
        with b.block(f'case "{b.one(("yes", "red", "2"))}" | "{b.one(("plastic", "no"))}":'):
            body(b, 1)
        if b.chance(0.5):
            name = b.fresh("said", "text")
            with b.block(f"case {name} if {inside(asking.value(b, 'truth', 0.6))}:", [(name, "text")]):
                b.line(f"print({name})")
                b.reach("effects")
        with b.block("case _:"):
            body(b, 1)


@idiom("region", lines=5, calls=1, nests=2, weight=0.6)
def asserted(b: Builder) -> None:
    """assert, raise and raise from, with somebody to catch them."""
    b.reach("region")
    with b.block("try:"):
        if b.chance(0.5):
            b.line(f'assert {asking.direct(b, "truth")}, "{b.one(words.LABELS)}"')
        else:
            with b.block(f"if {asking.direct(b, 'truth')}:"):
                b.line(f'raise {b.one(("ValueError", "RuntimeError", "KeyError"))}("{b.one(words.LABELS)}")')
            b.reach("if-result")
        body(b, 1)
    caught = b.one(("AssertionError", "ValueError", "(AssertionError, ValueError)", "Exception"))
    with b.block(f"except {caught} as error:"):
        b.line(b.one(("print(type(error).__name__)", "print(str(error))")))
        if b.chance(0.25):
            b.line(f'raise RuntimeError("{b.one(words.LABELS)}") from error')
    if b.chance(0.3):
        with b.block("finally:"):
            say(b)
    b.reach("effects")


@idiom("region", lines=5, calls=TRIPS, nests=2, weight=0.6)
def endless(b: Builder) -> None:
    """`while True`, with a way out."""
    b.reach("region", "exit")
    name = b.fresh("step", "number")
    b.line(f"{name} = 0")
    b.declare(name, "number", fixed=True)
    with b.looping("while True:", [], "", 3):
        b.line(f"{name} += 1")
        with b.block(f"if {name} >= {b.one((2, 3, 4))} or {inside(asking.direct(b, 'truth'))}:"):
            b.line("break")
        b.reach("if-result", "short-circuit")
        if b.chance(0.5) and b.affords(1):
            ask_statement(b)
        body(b, 1)


@idiom("helpers", lines=5, calls=2, methods=True, weight=0.5)
def with_arguments(b: Builder) -> None:
    """Keywords, defaults, *args and **kwargs."""
    name = b.fresh("ask_about", "hidden")
    function = Function(name, False, "text")
    entry_lines, indent, scopes, nesting, functions = b.lines, b.indent, b.scopes, b.nesting, b.functions
    b.lines, b.indent, b.scopes, b.nesting, b.functions = [], 0, b.scopes[:1], 0, []
    header = f"def {name}(subject, *others, question={asking.question(b)}, **more):"
    with b.define(function, [("subject", "subject")], header):
        b.line(f"answer = subject.{b.one(('simple_query', 'llm_query'))}(question)")
        b.spend(1)
        with b.block("for other in others:"):
            b.line("answer += other.simple_query(question)")
        b.spend(1)
        b.line("return answer + str(sorted(more))")
    lines = b.lines
    b.lines, b.indent, b.scopes, b.nesting, b.functions = entry_lines, indent, scopes, nesting, functions
    b.preamble += ["", "", *lines]
    b.scopes[0][1][name] = b.declare(name, "hidden", fixed=True)
    b.reach("helpers", "star", "fan-in")
    about = values.subject(b)
    b.spend(2)
    store(b, "text", b.one((
        f'{name}({about}, question="{b.one(words.QUESTIONS)}")',
        f"{name}({about}, {values.subject(b)}, deep=True)",
        f"{name}(*{some_subjects(b)}[:2], {about})",
    )))  # fmt: skip


@idiom("closures", lines=5, calls=1, methods=True, weight=0.4)
def decorated(b: Builder) -> None:
    """A decorator that prints."""
    before(b, COUNTED)
    name, what = b.fresh("looked_at", "hidden"), b.fresh("what", "subject")
    returns: Kind = b.one(("text", "number", "truth"))
    function = Function(name, False, returns)
    b.line("@counted")
    with b.define(function, [(what, "subject")], f"def {name}({what}):"):
        b.line(f"return {asking.direct(b, returns, what)}")
    b.reach("closures", "effects", "star")
    b.declare(name, "hidden", fixed=True)
    b.helpers.append(Helper(name, ("subject",), returns, False, 1.0))
    store(b, returns, asking.helper_call(b, name))


@idiom("strings", lines=1, weight=0.5)
def formatted(b: Builder) -> None:
    """%, format and join."""
    b.reach("strings")
    one = inside(asking.value(b, "text", 0.6))
    if b.chance(0.5):
        store(b, "text", f'"{{}}: {{}}".format({one}, {values.number(b, 1)})')
    else:
        store(b, "text", f'", ".join({values.texts(b)}) + {one}')


@idiom("walks", lines=5, calls=3, nests=2, methods=True, weight=0.9)
def video(b: Builder) -> None:
    """The frames of a video, and a question about what was seen in them; elsewhere, two lists side by side."""
    b.reach("walks")
    if b.dialect.parameter != "video" or b.find("video_segment") is None:
        _paired(b)
        return
    frame, index = b.fresh("frame_now", "subject"), b.fresh("frame_number", "number")
    segment = b.one(("video_segment", "video_segment", "video_segment.trim(0, 2)"))
    info = store(b, "table", "{}", again=0.0)
    kept = b.find(info)
    assert kept is not None
    kept.fixed = True
    header = f"for {index}, {frame} in enumerate({segment}.frame_iterator()):"
    with b.looping(header, [(frame, "subject"), (index, "number")], "", TRIPS):
        b.reach("fan-in", "f-strings", "mutation")
        if b.chance(0.4):
            with b.block(f"if not {inside(asking.direct(b, 'truth', frame))}:"):
                b.line("continue")
            b.reach("if-result")
        b.line(f'{info}[f"frame {{{index}}}"] = {asking.direct(b, "text", frame)}')
        if b.chance(0.3):
            body(b, 1)
    b.spend(1)
    kept.fixed = False
    among = f", [{asking.options(b)}]" if b.chance(0.7) else ""
    store(b, "text", f"video_segment.select_answer({info}, {asking.question(b)}{among})")


def _paired(b: Builder) -> None:
    patches = some_subjects(b)
    p, d = b.element("subject"), b.fresh("d", "number")
    depths = store(b, "numbers", f"[x.compute_depth() for x in {patches}]", again=0.0)
    b.spend(TRIPS)
    pairs = f"sorted(zip({patches}, {depths}), key=lambda pair: pair[1]{b.one(('', ', reverse=True'))})"
    header = f"for {p}, {d} in {pairs}:"
    with b.looping(header, [(p, "subject"), (d, "number")], patches, TRIPS):
        if b.chance(0.5):
            b.reach("f-strings", "effects")
            b.line(f'print(f"{{{d}}} {{{p}}}")')
        if b.affords(1):
            ask_statement(b, p)
        if b.chance(0.3):
            with b.block(f"if {d} > {b.one((2, 5))}:"):
                b.line("break")


@idiom("independent", lines=3, calls=2, weight=0.4)
def gathered(b: Builder) -> None:
    """What authors have put side by side themselves; for others, one question after the other."""
    b.reach("independent")
    if not b.can_await:
        about = values.subject(b)
        kinds: tuple[Kind, ...] = ("text", "number")
        questions = [asking.direct(b, kind, about) for kind in kinds]
        for kind, question in zip(kinds, questions, strict=True):
            store(b, kind, question, again=0.0)
        return
    names = [b.fresh("reply_of_one", "hidden") for _ in range(2)]
    about = values.subject(b)
    b.spend(2)
    calls = f'hermod.call("blip2", image={about}, query={asking.question(b)}), hermod.call("depth", image={about})'
    b.line(f"{names[0]}, {names[1]} = await asyncio.gather({calls})")
    store(b, "text", f'{names[0]}["output"]', again=0.0)
    store(b, "number", f'{names[1]}["depth"]', again=0.0)


@idiom("early-return", lines=4, calls=1, nests=1, weight=0.8)
def answered_early(b: Builder) -> None:
    """An answer that makes all that follows needless."""
    b.reach("early-return", "if-result")
    with b.block(f"if {asking.direct(b, 'truth')}:"):
        if b.chance(0.4) and b.affords(1):
            ask_statement(b)
        give(b)
