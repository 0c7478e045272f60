"""Functions of the program: helpers, closures, and what no analysis sees through."""

from __future__ import annotations

from . import asking, values, words
from .asking import inside
from .builder import TRIPS, Builder, Function, Helper, Kind
from .statements import ask_statement, body, give, idiom, say, some_subjects, store

_HELPER_NAMES: dict[Kind, tuple[str, ...]] = {
    "truth": ("is_wanted", "looks_good", "has_thing"),
    "text": ("describe", "name_of", "tell"),
    "number": ("measure", "how_far", "rate"),
    "subjects": ("select", "keep", "wanted_of"),
    "maybe": ("pick", "nearest", "first_match"),
}


def helper(b: Builder) -> None:
    """A function at module level that asks; some return early, some walk patches."""
    returns: Kind = b.one(("truth", "text", "text", "number", "number", "subjects", "maybe"))
    over_list = returns in ("subjects", "maybe") or b.chance(0.15)
    name = b.fresh(b.one(_HELPER_NAMES[returns]), "hidden")
    is_async = not b.dialect.methods or (b.dialect.is_async and b.chance(0.3))
    parameters: list[tuple[str, Kind]] = [("patches", "subjects")] if over_list else [("subject", "subject")]
    if over_list and not b.dialect.methods:
        parameters.append(("image", "subject"))
    if b.chance(0.3):
        parameters.append(("target", "text"))
    header = f"{'async ' if is_async else ''}def {name}({', '.join(_typed(b, n, k) for n, k in parameters)}):"
    function = Function(name, is_async, returns)
    with b.define(function, parameters, header):
        if over_list:
            _over_patches(b, returns)
        else:
            _about_one(b, returns)
    b.helpers.append(Helper(name, tuple(k for _, k in parameters), returns, is_async, max(function.cost, 1.0)))


def _typed(b: Builder, name: str, kind: Kind) -> str:
    annotations = {"subject": "ImagePatch", "text": "str", "subjects": "list"}
    return f"{name}: {annotations[kind]}" if b.dialect.methods and b.chance(0.1) else name


def _about_one(b: Builder, returns: Kind) -> None:
    if b.chance(0.4):
        ask_statement(b, "subject")
    if b.chance(0.3):
        with b.block(f"if {asking.value(b, 'truth')}:"):
            give(b)
        b.reach("early-return")
    if b.chance(0.25):
        body(b, 1)
    if not b.ended:
        b.line(f"return {asking.direct(b, returns, 'subject')}")


def _over_patches(b: Builder, returns: Kind) -> None:
    p = b.element("subject")
    if returns == "subjects" and b.chance(0.5):
        with b.times(TRIPS), b.scope([(p, "subject")]):
            test = asking.direct(b, "truth", p)
        b.line(f"return [{p} for {p} in patches if {test}]")
        b.reach("comprehension")
        return
    result = b.fresh("result", returns)
    start = {"subjects": "[]", "maybe": "None"}.get(returns) or values.quiet(b, returns)
    b.line(f"{result} = {start}")
    # A number or a text of something else would do, but it is the loop's to fill.
    b.declare(result, "hidden", fixed=True)
    with b.looping(f"for {p} in patches:", [(p, "subject")], "patches", TRIPS):
        if returns == "subjects":
            with b.block(f"if {asking.direct(b, 'truth', p)}:"):
                b.line(f"{result}.append({p})")
            b.reach("fan-in", "if-result")
        elif returns == "maybe":
            with b.block(f"if {asking.direct(b, 'truth', p)}:"):
                b.line(f"return {p}")
            b.reach("exit", "if-result")
        else:
            b.line(f"{result} = {asking.direct(b, returns, p)}")
    b.line(f"return {result}")


@idiom("helpers", lines=1, calls=1, weight=1.5)
def use_helper(b: Builder) -> None:
    """A helper is called, by itself or for each patch."""
    usable = [h for kind in _HELPER_NAMES for h in b.callable_helpers(kind)]
    if not usable:
        ask_statement(b)
        return
    chosen = b.one(usable)
    if chosen.parameters == ("subject",) and b.chance(0.4) and b.affords(chosen.cost * TRIPS):
        patches = some_subjects(b)
        p = b.inner("subject")
        with b.times(TRIPS), b.scope([(p, "subject")]):
            call = asking.helper_call(b, chosen.name, p)
        if chosen.returns == "truth":
            b.reach("comprehension")
            store(b, "subjects", f"[{p} for {p} in {patches} if {call}]")
        else:
            name = b.fresh("results", "hidden")
            b.line(f"{name} = [{call} for {p} in {patches}]")
            b.line(f"print(len({name}))")
            b.reach("effects")
        return
    store(b, chosen.returns, asking.helper_call(b, chosen.name))


@idiom("closures", lines=4, calls=2, weight=1.3)
def closure(b: Builder) -> None:
    """A nested function: what it sees, and when."""
    b.reach("closures")
    form = b.one(("late", "loop", "default", "nonlocal", "lambda", "def"))
    if form in ("late", "lambda") and not b.dialect.methods:
        form = "def"
    match form:
        case "late":
            _late_binding(b)
        case "loop":
            _made_in_a_loop(b)
        case "default":
            _default(b)
        case "nonlocal":
            _counting(b)
        case "lambda":
            _lambda(b)
        case _:
            _nested(b)


def _late_binding(b: Builder) -> None:
    """The lambda sees what the name is bound to when it is called."""
    target, name = b.fresh("target", "text"), b.fresh("check", "hidden")
    image = _fixed_subject(b)
    b.spend(2)
    b.line(f'{target} = "{b.one(words.OBJECTS)}"')
    b.line(f"{name} = lambda: {image}.exists({target})")
    if b.chance(0.5):
        store(b, "truth", f"{name}()", again=0.0)
    b.line(f'{target} = "{b.one(words.OBJECTS)}"')
    b.declare(target, "text")
    store(b, "truth", f"{name}()", again=0.0)


def _made_in_a_loop(b: Builder) -> None:
    """All of them see the loop's last turn, but for those with a default."""
    checks, word = b.fresh("checks", "hidden"), b.fresh("thing", "text")
    image = _fixed_subject(b)
    given = b.one(("", f"{word}={word}"))
    things = ", ".join(f'"{w}"' for w in b.rng.sample(words.OBJECTS, b.one((2, 3))))
    b.line(f"{checks} = []")
    b.spend(3)
    asynchronous = not b.dialect.methods
    with b.looping(f"for {word} in [{things}]:", [], "", 2):
        if asynchronous or b.chance(0.4):
            inner = b.fresh("probe", "hidden")
            function = Function(inner, asynchronous, "truth")
            header = f"{'async ' if asynchronous else ''}def {inner}({given}):"
            with b.define(function, [], header):
                b.line(f"return {_exists(image, word, asynchronous)}")
            b.line(f"{checks}.append({inner})")
        else:
            b.line(f"{checks}.append(lambda{' ' if given else ''}{given}: {_exists(image, word, False)})")
    name = b.fresh("results", "hidden")
    b.line(f"{name} = [{'await ' if asynchronous else ''}check() for check in {checks}]")
    b.line(f"print({name})")
    b.reach("effects", "fan-in")


def _exists(image: str, thing: str, asynchronous: bool) -> str:
    if asynchronous:
        return f'(await hermod.call("xvlm", image={image}, object_name={thing}))["result"]'
    return f"{image}.exists({thing})"


def _default(b: Builder) -> None:
    """A default is computed once, where the function is defined."""
    limit, name = b.fresh("level", "number"), b.fresh("within", "hidden")
    base = asking.direct(b, "number")
    about = _fixed_subject(b)
    is_async = not b.dialect.methods
    function = Function(name, is_async, "truth")
    what = b.fresh("what", "subject")
    header = f"{'async ' if is_async else ''}def {name}({what}, {limit}={base}):"
    with b.define(function, [(what, "subject"), (limit, "number")], header):
        if b.chance(0.3):
            say(b)
        b.line(f"return {inside(asking.direct(b, 'number', what))} {b.one(('<', '<=', '>'))} {limit}")
    b.spend(2)
    for _ in range(2):
        store(b, "truth", f"{'await ' if is_async else ''}{name}({about})", again=0.0)


def _counting(b: Builder) -> None:
    """nonlocal: the order of the calls is seen."""
    total, name = b.fresh("seen_so_far", "number"), b.fresh("note", "hidden")
    is_async = not b.dialect.methods
    b.line(f"{total} = 0")
    b.declare(total, "number", fixed=True)
    what = b.fresh("what", "subject")
    function = Function(name, is_async, "number")
    with b.define(function, [(what, "subject")], f"{'async ' if is_async else ''}def {name}({what}):"):
        b.line(f"nonlocal {total}")
        if b.chance(0.5):
            with b.block(f"if {asking.direct(b, 'truth', what)}:"):
                b.line(f"{total} += 1")
            b.reach("if-result")
        else:
            b.line(f"{total} += {asking.direct(b, 'number', what)}")
        b.line(f"return {total}")
    b.reach("mutation")
    b.spend(2)
    wait = "await " if is_async else ""
    if b.chance(0.5) and b.affords(TRIPS):
        patches = some_subjects(b)
        b.spend(TRIPS)
        store(b, "numbers", f"[{wait}{name}(p) for p in {patches}]", again=0.0)
    else:
        about = _fixed_subject(b)
        for _ in range(2):
            store(b, "number", f"{wait}{name}({about})", again=0.0)
    b.line(f"print({total})")
    b.reach("effects")


def _lambda(b: Builder) -> None:
    """A lambda under a name, called here and there."""
    name, p = b.fresh("score_of", "hidden"), b.inner("subject")
    with b.scope([(p, "subject")]), b.without_await():
        answer = asking.direct(b, b.one(("number", "number", "text")), p)
    b.line(f"{name} = lambda {p}: {answer}")
    patches = some_subjects(b)
    b.spend(TRIPS)
    form = b.rng.random()
    if form < 0.35:
        b.reach("keys")
        store(b, "subjects", f"sorted({patches}, key={name})")
    elif form < 0.7:
        b.line(f"print([{name}(x) for x in {patches}])")
        b.reach("effects")
    else:
        b.reach("unprovable")
        b.line(f"print(list(map({name}, {patches})))")
        b.reach("effects")


def _nested(b: Builder) -> None:
    """A function in the function, with statements of its own."""
    name, what = b.fresh("inspect", "hidden"), b.fresh("what", "subject")
    is_async = not b.dialect.methods or (b.can_await and b.chance(0.3))
    returns: Kind = b.one(("text", "number", "truth"))
    function = Function(name, is_async, returns)
    with b.define(function, [(what, "subject")], f"{'async ' if is_async else ''}def {name}({what}):"):
        if b.chance(0.5):
            body(b, 1)
        if not b.ended:
            b.line(f"return {asking.direct(b, returns, what)}")
    b.declare(name, "hidden", fixed=True)
    b.helpers.append(Helper(name, ("subject",), returns, is_async, max(function.cost, 1.0)))
    store(b, returns, asking.helper_call(b, name))


def _fixed_subject(b: Builder) -> str:
    """The frame, or whatever the function was given first."""
    return next(v.name for v in b.vars("subject"))


@idiom("unprovable", lines=3, calls=TRIPS, methods=True)
def opaque(b: Builder) -> None:
    """Methods by name, in lists and dicts; iterators by hand; lists that change while they are walked."""
    b.reach("unprovable")
    form = b.one(("getattr", "list", "dict", "iterator", "shrinking", "map", "recursion"))
    image = _fixed_subject(b)
    thing = b.one(words.OBJECTS)
    b.spend(2)
    match form:
        case "getattr":
            method = b.fresh("method", "hidden")
            b.line(f'{method} = "{b.one(("exists", "simple_query", "llm_query"))}"')
            b.line(f'print(getattr({image}, {method})("{thing}"))')
        case "list":
            name = b.fresh("methods", "hidden")
            b.line(f"{name} = [{image}.exists, {image}.simple_query]")
            b.line(f'print([ask("{thing}") for ask in {name}])')
        case "dict":
            name = b.fresh("actions", "hidden")
            b.line(f'{name} = {{"far": {image}.compute_depth, "what": lambda: {image}.simple_query()}}')
            b.line(f'print({name}["{b.one(("far", "what"))}"]())')
        case "iterator":
            name = b.fresh("walker", "hidden")
            b.line(f"{name} = iter({some_subjects(b)})")
            first = b.fresh("leader", "maybe")
            b.line(f"{first} = next({name}, None)")
            b.declare(first, "maybe")
            item = b.element("subject")
            with b.looping(f"for {item} in {name}:", [(item, "subject")], "", TRIPS):
                b.line(f"print({asking.direct(b, 'truth', item)})")
                if b.chance(0.3):
                    b.line(f"print(next({name}, None) is None)")
        case "shrinking":
            name = store(b, "subjects", f"list({some_subjects(b)})", again=0.0)
            item = b.element("subject")
            with b.looping(f"for {item} in {name}:", [(item, "subject")], name, TRIPS):
                asked = asking.direct(b, "truth", item)
                with b.block(f"if {asked}:"):
                    b.line(f"{name}.remove({item})")
            b.line(f"print(len({name}))")
        case "map":
            p = b.inner("subject")
            with b.times(TRIPS), b.scope([(p, "subject")]), b.without_await():
                test = asking.direct(b, "truth", p)
            store(b, "subjects", f"list(filter(lambda {p}: {test}, {some_subjects(b)}))")
        case _:
            _recursion(b, image)
    b.reach("effects")
    b.line(f"print({values.length(b)})")


def _recursion(b: Builder, image: str) -> None:
    name = b.fresh("zoom", "hidden")
    is_async = b.can_await and b.chance(0.3)
    function = Function(name, is_async, "number")
    header = f"{'async ' if is_async else ''}def {name}(part, deep):"
    with b.define(function, [("part", "subject"), ("deep", "number")], header):
        with b.block("if deep == 0:"):
            b.line(f"return {asking.direct(b, 'number', 'part')}")
        with b.block(f"if {asking.direct(b, 'truth', 'part')}:"):
            b.line("return deep")
        b.line(f"return {'await ' if is_async else ''}{name}({values.cropped(b, 'part')}, deep - 1)")
    b.spend(4)
    store(b, "number", f"{'await ' if is_async else ''}{name}({image}, {b.one((1, 2))})")


@idiom("mutation", lines=3, calls=1, weight=0.7)
def shared_list(b: Builder) -> None:
    """A function changes a list, a global or a default that outlives it."""
    b.reach("mutation")
    form = b.one(("argument", "argument", "global", "default"))
    if form == "global":
        _global(b)
        return
    name = f"note_{'it' if form == 'default' else 'in'}"
    log = f"def {name}(entry, log=[]):" if form == "default" else f"def {name}(log, entry):"
    if log not in b.preamble:
        b.preamble += ["", "", log, "    log.append(entry)", "    return len(log)"]
        b.size += 3
        b.names[name] = (None, "hidden")
    if form == "default":
        b.line(f"print({name}({asking.value(b, 'text', 0.7)}))")
        b.line(f"print({name}({asking.value(b, 'text', 0.5)}))")
        b.reach("effects")
        return
    lists = [v for v in b.growable("texts") if v.name.isidentifier()]
    target = b.one(lists).name if lists else store(b, "texts", "[]", again=0.0)
    store(b, "number", f"{name}({target}, {asking.value(b, 'text', 0.7)})", again=0.0)


def _global(b: Builder) -> None:
    if "total_asked = 0" not in b.preamble:
        b.preamble += ["", "", "total_asked = 0", "", "", "def count_up(by):", "    global total_asked",
                       "    total_asked += by", "    return total_asked"]  # fmt: skip
        b.size += 6
        b.names["total_asked"] = b.names["count_up"] = (None, "hidden")
    store(b, "number", f"count_up({asking.value(b, 'number', 0.6)})")
    if b.chance(0.5):
        b.line("print(total_asked)")
        b.reach("effects")
