"""State that changes where one does not look: lists with two names, in other objects, in functions; what an exception
leaves behind; and questions that hang on it.
"""

from __future__ import annotations

from . import asking, values, words
from .asking import inside
from .builder import TRIPS, Builder, Function
from .idioms_more import before
from .statements import ask_statement, body, give, idiom, say, some_subjects, store


def about(b: Builder, text: str) -> None:
    """Ask something that hangs on a text."""
    if b.dialect.methods and b.chance(0.8):
        image = values.subject(b)
        b.spend(1)
        form = b.one((f"{image}.exists({text})", f"len({image}.find({text}))", f"{image}.simple_query({text})"))
        b.line(f"print({form})")
    elif b.can_await:
        b.spend(1)
        b.line(f'print((await hermod.call("llm", prompt={text}))["output"])')
    else:
        b.line(f"print({text})")
    b.reach("effects")


def second_name(b: Builder, name: str, old: str) -> None:
    """Give the list `old` another name, by one of the ways in which that happens."""
    other = f'["{b.one(words.LABELS)}"]'
    holder = b.fresh("holder", "hidden")
    form = b.one(("plain", "ternary", "or", "tuple", "dict", "list", "pair", "loop", "function", "item", "max", "star"))
    match form:
        case "ternary":
            b.line(f"{name} = {old} if {asking.value(b, 'truth', 0.3)} else {other}")
        case "or":
            b.line(f"{name} = {old} or {other}")
        case "tuple":
            b.line(f"{holder} = ({old}, 1)")
            b.line(f"{name} = {holder}[0]")
        case "dict":
            b.line(f'{holder} = {{"kept": {old}}}')
            b.line(f"{name} = {holder}{b.one(('[{!r}]', '.get({!r})', '.setdefault({!r}, [])')).format('kept')}")
        case "list":
            b.line(f"{holder} = [{old}]")
            b.line(f"{name} = {holder}[{b.one((0, -1))}]")
        case "pair":
            b.line(f"{name}, {holder} = {old}, {other}")
        case "loop":
            b.line(f"for {name} in [{other}, {old}]:")
            b.line("    pass")
        case "function":
            b.line(f"{holder} = lambda: {old}")
            b.line(f"{name} = {holder}()")
        case "item":
            b.line(f"{name} = [w for w in [{old}]][0]")
        case "max":
            b.line(f"{name} = max([{old}, []], key=len)")
        case "star":
            b.line(f"*{holder}, {name} = [{other}, {old}]")
            b.reach("star")
        case _:
            b.line(f"{name} = {old}")


@idiom("mutation", lines=6, calls=2, weight=1.2)
def hidden_change(b: Builder) -> None:
    """A list of words changes under another name; then its words are asked about."""
    b.reach("mutation")
    chosen = b.rng.sample(words.OBJECTS, 2)
    old, name = b.fresh("things", "hidden"), b.fresh("again", "hidden")
    b.line(f'{old} = ["{chosen[0]}"]')
    if b.chance(0.5):
        ask_statement(b)
    second_name(b, name, old)
    _change(b, name, chosen[1])
    if b.chance(0.4):
        ask_statement(b)
    about(b, f"{old}[{b.one((0, -1))}]")
    if b.chance(0.4) and b.affords(3):
        b.spend(2)
        word = b.fresh("thing_now", "text")
        with b.looping(f"for {word} in list({old}):", [(word, "text")], "", 2):
            about(b, word)


def _change(b: Builder, name: str, word: str) -> None:
    if b.chance(0.1):
        b.line(f"{name}.reverse()")
        return
    new = asking.value(b, "text", 0.3) if b.chance(0.5) else f'"{word}"'
    change = b.one((
        f"{name}.append({new})", f"{name} += [{new}]", f"{name}[0] = {new}", f"{name}.insert(0, {new})",
        f"{name}[:] = [{new}, {new}]", f"{name}.extend([{new}])", f"put({name}, {new})",
    ))  # fmt: skip
    if change.startswith("put"):
        before(b, "def put(where, what):\n    where.append(what)\n    return what")
        b.names.setdefault("put", (None, "hidden"))
        change = b.one((change, f"print({change})", f"{b.fresh('unused', 'hidden')} = {change}"))
    b.line(change)


@idiom("mutation", lines=5, calls=2, methods=True, weight=0.8)
def label_elsewhere(b: Builder) -> None:
    """A note on a patch is changed through another name of the patch; then it is asked about."""
    b.reach("mutation")
    patches = b.recent("subjects")
    patch = next(v.name for v in b.vars("subject"))
    other = b.fresh("seen_patch", "hidden")
    b.line(f'{patch}.topic = "{b.one(words.OBJECTS)}"')
    form = b.one(("plain", "list", "dict", "loop", "or"))
    match form:
        case "list":
            b.line(f"{other} = [{patch}, {patch}][1]")
        case "dict":
            b.line(f'{other} = {{"p": {patch}}}["p"]')
        case "loop":
            b.line(f"for {other} in [{patch}]:")
            b.line("    pass")
        case "or":
            b.line(f"{other} = {patch} or None")
        case _:
            b.line(f"{other} = {patch}")
    if b.chance(0.5):
        ask_statement(b)
    b.line(f"{other}.topic {b.one(('=', '+='))} {asking.value(b, 'text', 0.4)}")
    about(b, f"{patch}.topic")
    if patches is not None and b.chance(0.5) and b.affords(TRIPS):
        p = b.fresh("marked", "subject")
        b.spend(TRIPS)
        with b.looping(f"for {p} in {patches}:", [(p, "subject")], patches, TRIPS):
            b.line(f"{p}.topic = {asking.value(b, 'text', 0.5)}")
        b.line(f'print([x.exists(getattr(x, "topic", "net")) for x in {patches}])')
        b.reach("effects", "unprovable")


@idiom("closures", lines=6, calls=3, weight=0.9)
def switched(b: Builder) -> None:
    """A function changes what a name stands for; calls of it hide in other expressions."""
    b.reach("closures", "mutation")
    topic, name = b.fresh("topic", "hidden"), b.fresh("switch", "hidden")
    first, second = b.rng.sample(words.OBJECTS, 2)
    is_async = not b.dialect.methods
    b.line(f'{topic} = "{first}"')
    image = next(v.name for v in b.vars("subject"))
    with b.define(Function(name, is_async, "truth"), [], f"{'async ' if is_async else ''}def {name}():"):
        b.line(f"nonlocal {topic}")
        b.declare(image, "subject", fixed=True)
        asked = asking.direct(b, "truth", image)
        with b.block(f"if {asked}:"):
            b.line(f'{topic} = "{second}"')
        b.line(f"return {asked}")
    b.spend(1)
    call = f"{'await ' if is_async else ''}{name}()"
    if b.chance(0.5):
        about(b, topic)
    form = b.one(("plain", "print", "if", "and", "f", "list", "loop"))
    match form:
        case "print":
            b.line(f"print({call}, {values.number(b)})")
        case "if":
            with b.block(f"if {call}:"):
                say(b)
        case "and":
            b.line(f"print({inside(values.truth(b))} and {inside(call)})")
        case "f":
            b.line(f'print(f"changed: {{{call}}}")')
        case "list":
            b.line(f"print([{call} for _ in range(2)])")
        case "loop":
            with b.looping("for _ in range(2):", [], "", 2):
                about(b, topic)
                b.line(call)
        case _:
            b.line(call)
    about(b, topic)


@idiom("region", lines=8, calls=3, nests=1, weight=0.9)
def how_far_it_came(b: Builder) -> None:
    """What an exception leaves behind is asked about."""
    b.reach("region")
    stage = b.fresh("stage_now", "text")
    labels = b.rng.sample(words.LABELS, 3)
    b.line(f'{stage} = "{labels[0]}"')
    with b.block("try:"):
        if b.chance(0.5):
            b.line(f'{stage} = "{labels[1]}"')
        ask_statement(b)
        later = f'"{labels[2]}"' if b.chance(0.7) else asking.ask(b, "text")
        b.line(f"{stage} {b.one(('=', '+='))} {later}")
        _may_raise(b, labels[1])
        b.line(f'{stage} += "!"')
    with b.block(f"except {b.one(('Exception', '(ValueError, IndexError)', 'RuntimeError', 'AssertionError'))}:"):
        b.line(b.one((f'{stage} += "?"', "pass", f"print({stage})")))
    if b.chance(0.3):
        with b.block("finally:"):
            b.line(f'{stage} = {stage} + "."')
    b.declare(stage, "text")
    about(b, stage)


def _may_raise(b: Builder, label: str) -> None:
    match b.one(("int", "index", "assert", "nothing")):
        case "int":
            b.line(f"print(int({inside(asking.value(b, 'text', 0.6))}))")
        case "index":
            b.line("print([][0])")
        case "assert":
            b.line(f'assert {asking.value(b, "truth", 0.6)}, "{label}"')
        case _:
            b.line(f"print({values.number(b)})")


@idiom("carried", lines=5, calls=TRIPS, nests=1, weight=0.6)
def each_after_the_other(b: Builder) -> None:
    """The next question hangs on the answer before, or on a list that grows."""
    patches = some_subjects(b)
    memory = b.fresh("memory", "hidden")
    grows = b.chance(0.4)
    b.line(f"{memory} = {b.one(('[]', '[' + repr('car') + ']')) if grows else repr('nothing')}")
    p = b.element("subject")
    with b.looping(f"for {p} in {patches}:", [(p, "subject")], patches, TRIPS):
        b.reach("f-strings")
        b.spend(1)
        known = f"{{len({memory})}}" if grows else f"{{{memory}}}"
        question = f'f"Is it like {known}?"'
        asked = f"{p}.simple_query({question})"
        if not b.dialect.methods:
            asked = f'(await hermod.call("blip2", image={p}, query={question}))["output"]'
        if grows:
            b.reach("fan-in", "mutation")
            b.line(f"{memory}.append({asked})")
        else:
            b.reach("carried")
            b.line(f"{memory} = {asked}")
        if b.chance(0.3):
            with b.block(f"if {b.one((f'len({memory}) > 3', f'{memory} in ({chr(34)}yes{chr(34)}, [])'))}:"):
                b.line("break")
            b.reach("exit")
    b.line(f"print({memory})")
    b.reach("effects")


@idiom("early-return", lines=4, calls=2, nests=1, weight=0.7)
def named_in_the_test(b: Builder) -> None:
    """`if not (cars := image.find("car")): return ...`"""
    if not b.dialect.methods or b.function.loops:
        say(b)
        return
    b.reach("early-return", "if-result")
    name = b.fresh("found_now", "subjects")
    asked = asking.by_method(b, "subjects", values.subject(b))
    b.spend(1)
    with b.block("if " + b.one((f"not ({name} := {asked})", f"len({name} := {asked}) < 1")) + ":"):
        give(b)
    b.declare(name, "subjects", sure=b.nesting == 0)
    ask_statement(b, f"{name}[0]")


@idiom("region", lines=5, calls=3, nests=1, methods=True, weight=0.6)
def asked_until(b: Builder) -> None:
    """`while (answer := ...) != "yes" and tries < 3`"""
    b.reach("region", "short-circuit")
    name, count = b.fresh("said_so", "text"), b.fresh("times_asked", "number")
    b.line(f"{count} = 0")
    b.declare(count, "number", fixed=True)
    image = next(v.name for v in b.vars("subject"))
    with b.times(3):
        b.spend(1)
    question = f'f"Is it {{{count}}}?"'
    with b.looping(
        f'while {count} < {b.one((2, 3))} and ({name} := {image}.simple_query({question})) != "yes":', [], "", 3
    ):
        b.line(f"{count} += 1")
        body(b, 1)
    b.line(f"print({name}, {count})")
    b.declare(name, "text")
    b.reach("effects", "f-strings")


@idiom("effects", lines=3, calls=2, weight=0.8)
def effects_inside(b: Builder) -> None:
    """Impure functions within larger expressions, in loops and behind guards."""
    b.reach("effects")
    b.spend(2)
    if b.can_await:
        count, log = '(await hermod.call("counter"))["n"]', 'await hermod.call("log_event", text={})'
    else:
        count, log = 'hermod.call_sync("counter")["n"]', 'hermod.call_sync("log_event", text={})'
    form = b.one(("sum", "if", "loop", "and", "list", "asked", "order"))
    match form:
        case "sum":
            b.line(f"print({inside(asking.value(b, 'number', 0.7))} + {count})")
        case "if":
            with b.block(f"if {count} % 2 == 1 and {inside(asking.value(b, 'truth', 0.7))}:"):
                b.line(log.format(values.text(b)))
            b.reach("if-result")
        case "loop":
            patches = some_subjects(b)
            p = b.element("subject")
            with b.looping(f"for {p} in {patches}:", [(p, "subject")], patches, TRIPS):
                b.line(log.format(asking.value(b, "text", 0.6)))
                if b.affords(1):
                    b.line(f"print({asking.direct(b, 'number', p)})")
        case "and":
            b.line(f"print({inside(asking.value(b, 'truth', 0.7))} {b.one(('and', 'or'))} {count} > 1)")
        case "list":
            b.line(f"print([{count} for _ in range(2)], {asking.value(b, 'text', 0.6)})")
        case "asked":
            b.reach("f-strings")
            number = store(b, "number", count, again=0.0)
            store(b, "text", f'f"no {{{number}}}"', again=0.0)
            about(b, f'f"number {{{number}}}"')
        case _:
            b.line(f"print({asking.value(b, 'text', 0.7)}, {count}, {asking.value(b, 'truth', 0.7)}, {count})")


@idiom("walks", lines=4, calls=TRIPS, nests=1, weight=0.7)
def joined_walks(b: Builder) -> None:
    """Two lists walked as one, the first that is not empty, or lists of lists."""
    b.reach("walks")
    one, two = values.subjects(b), values.subjects(b)
    p = b.fresh("any_patch", "subject")
    form = b.one(("{} + {}", "{} or {}", "[*{}, *{}]", "({} if {} else {})[:3]"))
    if "if" in form:
        form = form.format(one, values.truth(b), two)
    else:
        form = form.format(one, two)
        if form.startswith("[*"):
            b.reach("star")
    names = [v.name for v in b.vars("subjects")]
    b.frozen.update(g for n in names for g in b.find(n).groups)  # type: ignore[union-attr]
    with b.looping(f"for {p} in {form}:", [(p, "subject")], "", TRIPS):
        ask_statement(b, p, again=0.1)
        say(b)
        body(b, 1)
    b.frozen.subtract(g for n in names for g in b.find(n).groups)  # type: ignore[union-attr]
    b.line(f"print(len(list(enumerate({one}))))")
    b.reach("effects")


@idiom("short-circuit", lines=2, calls=3, methods=True, weight=0.6)
def question_about_an_answer(b: Builder) -> None:
    """Questions within questions."""
    b.reach("short-circuit")
    image, other = values.subject(b), values.subject(b)
    b.spend(2)
    inner = f'{other}.best_text_match(["{b.one(words.OBJECTS)}", "{b.one(words.OBJECTS)}"])'
    outer = b.one(("exists({})", "verify_property({}, 'red')", "simple_query({}) == 'yes'")).format(inner)
    store(b, "truth", f"{image}.{outer} {b.one(('and', 'or'))} {inside(asking.direct(b, 'truth'))}")
