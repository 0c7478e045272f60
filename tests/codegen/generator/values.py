"""Expressions that ask nothing, by kind."""

from __future__ import annotations

from . import words
from .builder import Builder, Kind


def subject(b: Builder) -> str:
    """Something that can be asked about; nearly always there."""
    lists = [v for v in b.vars("subjects") if v.sure or b.chance(0.06)]
    if lists and b.chance(0.4):
        return f"{b.one(lists).name}[{b.one(('0', '0', '-1'))}]"
    name = b.recent("subject")
    assert name is not None, "every function is given something that can be asked about"
    if b.chance(0.06):
        return cropped(b, name)
    return name


def cropped(b: Builder, name: str) -> str:
    """A part of a patch or an image."""
    if b.dialect.methods and b.chance(0.2):
        return b.one((
            f"ImagePatch({name}.image, 0, 0, {name}.width, {name}.height // 2 + 1)",
            f"{name}.crop({name}.left, {name}.lower, {name}.right, {name}.upper)",
            f"{name}.crop(*[0, 0, {name}.width, {name}.height])",
            f"ImagePatch({name}.cropped_image)",
        ))  # fmt: skip
    if b.dialect.methods:
        half = b.one((f"0, 0, {name}.width // 2 + 1, {name}.height", f"0, 0, {name}.width, {name}.height // 2 + 1"))
        return f"{name}.crop({half})"
    return f"{name}.crop((0, 0, {name}.width // 2 + 1, {name}.height))"


def boxed(image: str, box: str) -> str:
    """The part of an image in a box of `glip`."""
    return f'{image}.crop(({box}["x"], {box}["y"], {box}["x"] + {box}["width"], {box}["y"] + {box}["height"]))'


def subjects(b: Builder, depth: int = 0) -> str:
    """A list of what can be asked about; it may be empty."""
    name = b.recent("subjects")
    if name is None:
        return f"[{subject(b)}]"
    form = b.rng.random() if depth < 2 else 0.0
    if form < 0.7:
        return name
    if form < 0.8:
        b.reach("walks")
        return f"{name}[{b.one((':2', '1:', ':3', '::-1', '::2'))}]"
    inner = b.inner("subject")
    attribute = attribute_of(b, inner)
    if form < 0.87:
        return f"[{inner} for {inner} in {name} if {attribute} > {b.one((5, 10, 40))}]"
    if form < 0.94:
        return f"sorted({name}, key=lambda {inner}: {attribute})"
    b.reach("walks")
    return f"list(reversed({name}))"


def attribute_of(b: Builder, name: str) -> str:
    """A number that a patch or image carries."""
    return f"{name}.{b.one(words.ATTRIBUTES if b.dialect.methods else ('width', 'height', 'size[0]'))}"


def number(b: Builder, depth: int = 0) -> str:
    """An int or a float."""
    form = b.rng.random()
    known = b.recent("number")
    if known is not None and form < 0.45:
        return known
    if form < 0.55 or depth > 1:
        return b.one(("1", "2", "3", "5", "0.5", "10", "40"))
    if form < 0.68:
        name = b.recent("subject")
        if name is not None:
            return attribute_of(b, name)
    if form < 0.78:
        return length(b)
    if form < 0.88:
        return f"{number(b, depth + 1)} {b.one(('+', '-', '*'))} {number(b, depth + 1)}"
    if form < 0.94:
        return f"{b.one(('max', 'min'))}({number(b, depth + 1)}, {number(b, depth + 1)})"
    patches = b.vars("subject") if b.dialect.methods else []
    if len(patches) > 1:
        return f"distance({b.one(patches).name}, {b.one(patches).name})"
    return f"abs({number(b, depth + 1)})"


def length(b: Builder) -> str:
    """How much there is of something."""
    name = b.recent("subjects", "texts", "numbers", "boxes", "table", "tally")
    return f"len({name})" if name else "1"


def text(b: Builder, depth: int = 0) -> str:
    """A string."""
    form = b.rng.random()
    known = b.recent("text")
    if known is not None and form < 0.4:
        return known
    if form < 0.62:
        return f_string(b)
    if form < 0.8 or depth > 1:
        return f'"{b.one(words.LABELS)}"'
    if form < 0.9:
        return cased(b, text(b, depth + 1))
    tables = b.vars("table")
    if tables:
        return f'{b.one(tables).name}.get("{b.one(words.OBJECTS)}", "{b.one(words.LABELS)}")'
    return f"str({number(b, 1)})"


def cased(b: Builder, expression: str) -> str:
    """A string made of a string."""
    b.reach("strings")
    if not expression.isidentifier():
        expression = f"({expression})" if " " in expression or expression[0] == "f" else expression
    return expression + b.one((".lower()", ".strip()", ".upper()", ".replace(' ', '-')", ".title()"))


def f_string(b: Builder) -> str:
    """A string with one value or two in it."""
    parts = [part for part in (_shown(b) for _ in range(b.one((1, 2, 2, 3)))) if part]
    if not parts:
        return f'"{b.one(words.LABELS)}"'
    b.reach("f-strings")
    return 'f"' + b.one((" ", ", ", " - ")).join(parts) + '"'


def _shown(b: Builder) -> str:
    """What stands for a value in an f-string; never an object whose text would be an address."""
    kinds: list[Kind] = ["text", "number", "number", "truth", "texts", "numbers", "table", "tally"]
    if b.dialect.methods:
        kinds += ["subject", "subjects", "maybe"]
    name = b.recent(b.one(kinds))
    if name is None:
        name = b.recent("text", "number", "truth")
    if name is None:
        return ""
    var = b.find(name)
    label = f"{name}: " if b.chance(0.3) else ""
    if var is not None and var.kind == "number" and b.chance(0.3):
        return f"{label}{{{name}:.1f}}"
    if var is not None and var.kind in ("subjects", "texts", "numbers") and b.chance(0.5):
        return f"{label}{{len({name})}}"
    return f"{label}{{{name}{b.one(('', '', '!r'))}}}"


def texts(b: Builder) -> str:
    """A list of strings."""
    name = b.recent("texts")
    form = b.rng.random()
    if name is not None and form < 0.5:
        return name if form < 0.4 else f"[w.lower() for w in {name}]"
    if form < 0.6 and (known := b.recent("text")) is not None:
        b.reach("strings")
        return f"{known}.split()"
    return "[" + ", ".join(f'"{w}"' for w in b.rng.sample(words.OBJECTS, b.one((2, 2, 3)))) + "]"


def numbers(b: Builder) -> str:
    """A list of numbers."""
    name = b.recent("numbers")
    if name is not None and b.chance(0.6):
        return name
    patches = b.recent("subjects")
    if patches is not None and b.chance(0.6):
        inner = b.inner("subject")
        return f"[{attribute_of(b, inner)} for {inner} in {patches}]"
    return f"[{number(b, 1)}, {number(b, 1)}]"


def truth(b: Builder, depth: int = 0) -> str:
    """A condition."""
    form = b.rng.random()
    known = b.recent("truth")
    if known is not None and form < 0.3:
        return known if b.chance(0.7) else f"not {known}"
    if form < 0.6 or depth > 1:
        return f"{number(b, 1)} {b.one(('<', '>', '<=', '>=', '!='))} {number(b, 1)}"
    if form < 0.75 and (name := b.recent("text")) is not None:
        b.reach("strings")
        return b.one((f'{name} == "{b.one(words.LABELS)}"', f'"{b.one("aeis")}" in {name}', f"{name}.isdigit()"))
    if form < 0.87 and (name := b.recent("subjects", "texts", "numbers")) is not None:
        return b.one((f"len({name}) > {b.one((0, 1, 2))}", f"bool({name})", f"not {name}"))
    if form < 0.93 and b.dialect.methods and len(b.vars("subject")) > 1:
        p, q = b.one(b.vars("subject")).name, b.one(b.vars("subject")).name
        return f"{p}.overlaps_with({q}.left, {q}.lower, {q}.right, {q}.upper)"
    return f"{truth(b, depth + 1)} {b.one(('and', 'or'))} {truth(b, depth + 1)}"


def quiet(b: Builder, kind: Kind) -> str:
    """An expression of that kind that asks nothing."""
    match kind:
        case "subject":
            return subject(b)
        case "subjects":
            return subjects(b)
        case "number":
            return number(b)
        case "text":
            return text(b)
        case "truth":
            return truth(b)
        case "texts":
            return texts(b)
        case "numbers":
            return numbers(b)
        case "maybe":
            return b.recent("maybe") or "None"
        case _:
            return b.recent(kind) or ("[]" if kind == "boxes" else "{}")
