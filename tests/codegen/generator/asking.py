"""Expressions that ask a model, by kind; one idiom in each style of programs."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from . import values, words
from .builder import Builder, Kind


def ask(b: Builder, kind: Kind, subject: str | None = None) -> str:
    """An expression of that kind that asks, about `subject` if that is given; a quiet one where none is affordable."""
    if not b.can_ask or not b.affords(1):
        return values.quiet(b, kind)
    helpers = b.callable_helpers(kind)
    if helpers and b.chance(0.4):
        return helper_call(b, b.one(helpers).name, subject)
    return direct(b, kind, subject)


def asks(b: Builder, kind: Kind) -> bool:
    """Whether `ask` would ask."""
    return b.can_ask and b.affords(1) and kind in ("truth", "text", "number", "subjects", "subject", "maybe", "boxes")


def direct(b: Builder, kind: Kind, subject: str | None = None) -> str:
    """A question put to a model, not by way of a helper."""
    b.spend(1)
    about = subject if subject is not None else values.subject(b)
    if b.dialect.methods and not (b.can_await and b.chance(0.2)):
        return by_method(b, kind, about)
    return by_call(b, kind, about)


def helper_call(b: Builder, name: str, subject: str | None = None) -> str:
    """A call of a helper, with arguments of the kinds that it wants."""
    helper = next(h for h in b.helpers if h.name == name)
    b.spend(helper.cost)
    b.reach("helpers")
    arguments = []
    for kind in helper.parameters:
        arguments.append(subject if kind == "subject" and subject is not None else values.quiet(b, kind))
    call = f"{name}({', '.join(arguments)})"
    return f"(await {call})" if helper.is_async else call


def by_method(b: Builder, kind: Kind, about: str) -> str:
    """ViperGPT's way."""
    thing = object_name(b)
    match kind:
        case "truth":
            named = f'object_name={thing}, property="{b.one(words.PROPERTIES)}"'
            return b.one((
                f"{about}.exists({thing})",
                f"{about}.exists({b.one(('', '', 'object_name='))}{thing})",
                f"{about}.verify_property({named})",
                f'{about}.verify_property({thing}, "{b.one(words.PROPERTIES)}")',
                f'{about}.simple_query("{b.one(words.YES_NO)}") == "yes"',
                f"len({about}.find({thing})) > {b.one((0, 1, 2))}",
            ))  # fmt: skip
        case "number":
            return b.one((f"{about}.compute_depth()", f"{about}.compute_depth()", f"len({about}.find({thing}))"))
        case "text":
            return _text_by_method(b, about)
        case "subjects":
            return f"{about}.find({thing})"
        case "maybe":
            name = b.recent("subjects")
            if name is not None and b.affords(2):
                b.spend(2)
                return f'best_image_match({name}, ["{b.one(words.PROPERTIES)} {b.one(words.OBJECTS)}"])'
            inner = b.inner("subject")
            return f"next(({inner} for {inner} in {about}.find({thing}) if {inner}.width > 10), None)"
        case _:
            return f"{about}.find({thing})[0]"


def _text_by_method(b: Builder, about: str) -> str:
    form = b.rng.random()
    if form < 0.55:
        return f"{about}.simple_query({b.one(('', '', '', 'question='))}{question(b)})"
    if form < 0.8:
        tail = b.one(("", "", "", ', prefix="the"'))
        return f"{about}.best_text_match({b.one(('', '', 'option_list='))}[{options(b)}]{tail})"
    if form < 0.9:
        return f"{about}.llm_query({question(b, words.FACTS)})"
    known = b.recent("text")
    if known is not None and b.chance(0.5):
        return f'llm_query("{b.one(words.FACTS)}", {known})'
    return f"llm_query({question(b, words.FACTS)}{b.one(('', ', long_answer=False'))})"


def by_call(b: Builder, kind: Kind, about: str) -> str:
    """DiCE-C's way."""
    thing = object_name(b)
    match kind:
        case "truth":
            about_it = f'object_name={thing}, property="{b.one(words.PROPERTIES)}"'
            call = f'(await hermod.call("xvlm", image={about}, {about_it}))'
            return b.one((f'{call}["result"]', f'{call}["result"]', f'{call}["score"] > 0.5'))
        case "number":
            return f'(await hermod.call("depth", image={about}))["depth"]'
        case "text":
            name = b.one(("blip", "blip2", "llm"))
            if name == "blip":
                return f'(await hermod.call("blip", image={about}, question={question(b)}))["answer"]'
            if name == "blip2":
                return f'(await hermod.call("blip2", image={about}, query={question(b)}))["output"]'
            return f'(await hermod.call("llm", prompt={question(b, words.FACTS)}))["output"]'
        case "boxes":
            return b.one((
                f'await hermod.call("glip", image={about}, object_name={thing})',
                f'(await hermod.call("yolov8", image={about}))["objects"]',
            ))  # fmt: skip
        case "subjects":
            if b.dialect.methods:  # patches are cut out by `find` itself
                return by_method(b, kind, about)
            base = about if about.isidentifier() else b.recent("subject") or about
            found = f'await hermod.call("glip", image={base}, object_name={thing})'
            return f"[{values.boxed(base, 'box')} for box in {found}]"
        case "maybe":
            return f'{about} if (await hermod.call("xvlm", image={about}, object_name={thing}))["result"] else None'
        case _:
            return about


def object_name(b: Builder) -> str:
    """The name of a thing, as an expression."""
    known = [v.name for v in b.vars("text") if v.name in ("name", "word", "label", "target")]
    if known and b.chance(0.5):
        return b.one(known)
    return f'"{b.one(words.OBJECTS)}"'


def question(b: Builder, among: Sequence[str] = words.QUESTIONS) -> str:
    """A question, as an expression; sometimes with what was learned in it."""
    known = b.recent("text")
    if known is not None and b.chance(0.25):
        b.reach("f-strings")
        return f'f"{b.one(among)} {{{known}}}"'
    return f'"{b.one(among)}"'


def options(b: Builder) -> str:
    """Texts to choose from."""
    return ", ".join(f'"{option}"' for option in b.one(words.OPTIONS))


def inside(expression: str) -> str:
    """The expression as it can stand in a larger one."""
    node = ast.parse(expression, mode="eval").body
    enclosed = isinstance(node, ast.Await) and expression.startswith("(")
    return f"({expression})" if isinstance(node, _LOOSE) and not enclosed else expression


_LOOSE = (ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Await, ast.Lambda)


def value(b: Builder, kind: Kind, asking: float = 0.5) -> str:
    """An expression of that kind that asks that often."""
    return ask(b, kind) if asks(b, kind) and b.chance(asking) else values.quiet(b, kind)
