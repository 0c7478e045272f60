"""Which calls a compiled program may have made too many, where the original raises.

Each row: a serial body, and a question.  The rewrite asks the question ahead, `S`, which the serial lines make last or
never; the rule says whether that is allowed in a world where the marked call or operation fails.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicem_codegen.verify import Verifier, World
from dicem_codegen.verify.chance import hints_of
from dicem_codegen.verify.drive import LIMITS
from dicem_codegen.verify.explain import made_later
from dicem_codegen.verify.observed import MadeCall
from dicem_codegen.verify.world import call_key, with_effects
from dicem_shared.functions import Registry
from dicem_shared.runner import Outcome
from dicem_shared.types import Failure

SURPLUS = call_key("llm", {"prompt": "S"})


class Told(World):
    """A world in which a call fails if, and only if, its text begins with `fail`."""

    def outcome(self, name: str, params: dict[str, object], occurrence: int = 0) -> Outcome:
        text = str(params.get("prompt", params.get("text", params.get("query", ""))))
        if text.startswith("fail"):
            return Outcome(failure=Failure(kind="RuntimeError", message=f"{name}: {text}"))
        return self.instead(name, params, occurrence)


@pytest.fixture(scope="module")
def functions() -> Registry:
    return with_effects()


def later(functions: Registry, body: str, *, top: str = "", word: str = "async def") -> bool:
    """Whether the call S may be surplus, in all of several worlds or in none of them."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    source = (
        f"import hermod\n{top}\n"
        "async def ask(text):\n    return (await hermod.call('llm', prompt=text))['output']\n"
        f"{word} execute_command(image):\n    p = ImagePatch(image)\n{lines}"
    )
    said = {
        SURPLUS in made_later(source, Told(seed, functions, hints_of(source)), LIMITS, [SURPLUS]) for seed in range(6)
    }
    assert len(said) == 1, "it hangs on the world"
    return said.pop()


ALLOWED = [
    ("the next line", "await ask('fail')\nawait ask('S')"),
    ("the result is not needed for it", "a = await ask('fail')\nb = a + 'x'\nawait ask('S')"),
    ("behind a guard that is decided", "await ask('fail')\nif p.width > 0:\n    await ask('S')"),
    ("behind a guard on another result", "if len(await ask('x')) >= 0:\n    await ask('fail')\n    await ask('S')"),
    ("in a loop over what is known", "for word in ['fail', 'x', 'S']:\n    await ask(word)"),
    ("behind several failures", "await ask('fail 1')\nawait ask('fail 2')\nawait ask('S')"),
    ("an operation of the language fails", "x = [][0]\nawait ask('S')"),
    ("its operand does", "x = int('x') + 1\ny = x * 2\nawait ask('S')"),
    ("a name is missing", "print(nowhere)\nawait ask('S')"),
    ("a name has no value yet", "if p.width < 0:\n    x = 1\nprint(x)\nawait ask('S')"),
    ("a key is missing", "d = {}\nprint(f\"{d['k']:>3}\")\nawait ask('S')"),
    ("an attribute of nothing", "best = None\nx = best.left\nawait ask('S')"),
    ("min of nothing", "x = min([])\nawait ask('S')"),
    ("too few values to unpack", "a, b = [1]\nawait ask('S')"),
    ("adding up", "n = 0\nn += None\nawait ask('S')"),
    ("walking what cannot be walked", "for x in 5:\n    pass\nawait ask('S')"),
    ("in a helper", "return helper(await ask('fail')) + await ask('S')"),
    ("a patch without area", "p.crop(0, 0, 0, 0)\nawait ask('S')"),
    ("another crop of it", "q = p.crop(0, 0, 0, 0)\nq.left\nawait ask('S')"),
    ("wrong parameters", "await hermod.call('llm', nothing=1)\nawait ask('S')"),
    ("caught, in the same block", "try:\n    await ask('fail')\n    await ask('S')\nexcept Exception:\n    return 1"),
    ("caught, an operation", "try:\n    x = {}['k']\n    await ask('S')\nexcept KeyError:\n    return 1"),
    ("through finally", "try:\n    await ask('fail')\nfinally:\n    print('end')\nawait ask('S')"),
    ("after an effect that fails", "await hermod.call('log_event', text='fail')\nawait ask('S')"),
    ("in the handler of a failure that stays",
     "await ask('fail')\ntry:\n    await ask('fail 2')\nexcept RuntimeError:\n    await ask('S')"),
    ("the loop goes on", "for n in range(3):\n    if n == 2:\n        await ask('S')\n    await ask(f'fail {n}')"),
    ("a comprehension", "x = [await ask(word) for word in ['fail', 'S']]"),
    ("inside an f-string", "x = f\"{await ask('fail')} {await ask('S')}\""),
    ("an argument after it", "print(await ask('fail'), await ask('S'))"),
]  # fmt: skip
NOT_ALLOWED = [
    ("nothing fails", "await ask('x')\nreturn 1\nawait ask('S')"),
    ("it returns before", "await ask('fail')\nreturn 1\nawait ask('S')"),
    ("behind a guard on the failed result", "if await ask('fail'):\n    await ask('S')"),
    ("behind its other side", "if await ask('fail'):\n    pass\nelse:\n    await ask('S')"),
    ("behind a guard on what comes from it", "x = (await ask('fail')) + '!'\nif 'e' in x:\n    await ask('S')"),
    ("behind `and`", "x = await ask('fail') and await ask('S')"),
    ("behind `or`", "x = (await ask('fail')) == 'yes' or await ask('S')"),
    ("a conditional expression", "x = await ask('S') if await ask('fail') else 1"),
    ("in a loop over what comes from it",
     "job = hermod.call('glip', image=p, object_name=await ask('fail'))\n"
     "for x in p.find_finish(await job):\n    await ask('S')"),
    ("in a loop that it ends", "while not await ask('fail'):\n    await ask('S')"),
    ("a return behind it", "if (await ask('fail')) == 'yes':\n    return 1\nawait ask('S')"),
    ("a break", "for n in range(2):\n    if 'e' in await ask('fail'):\n        break\n    await ask('S')"),
    ("the arm not taken", "if p.width > 0:\n    await ask('fail')\nelse:\n    await ask('S')"),
    ("a raise", "raise ValueError('x')\nawait ask('S')"),
    ("a raise behind a failure", "await ask('fail')\nraise ValueError('x')\nawait ask('S')"),
    ("a raise in a helper", "refuse()\nawait ask('S')"),
    ("an assert", "assert p.width < 0\nawait ask('S')"),
    ("a guard on a failed operation", "if {}['k']:\n    await ask('S')"),
    ("a comparison of one", "x = [][0]\nif x < 3:\n    await ask('S')"),
    ("the handler", "try:\n    await ask('x')\nexcept RuntimeError:\n    await ask('S')"),
    ("its argument comes from the failure", "await ask('S' if 'e' in await ask('fail') else 'T')"),
    ("a filter", "x = [await ask('S') for n in [1] if await ask('fail')]"),
    ("any stops", "x = any([(await ask('fail')) == 'a']) or await ask('S')"),
]  # fmt: skip
TOP = """
def helper(x):
    return x.upper()
def refuse():
    raise ValueError('no')
"""


@pytest.mark.parametrize("body", [row[1] for row in ALLOWED], ids=[row[0] for row in ALLOWED])
def test_what_may_be_surplus(functions: Registry, body: str) -> None:
    assert later(functions, body, top=TOP)


@pytest.mark.parametrize("body", [row[1] for row in NOT_ALLOWED], ids=[row[0] for row in NOT_ALLOWED])
def test_what_may_not(functions: Registry, body: str) -> None:
    assert not later(functions, body, top=TOP)


def test_synchronous_programs(functions: Registry) -> None:
    ask = "q = p.simple_query('fail')\n"
    assert later(functions, f"{ask}return llm_query('S')", word="def")
    assert later(functions, "x = p.left / 0\nreturn llm_query('S')", word="def")
    assert not later(functions, f"{ask}if q == 'yes':\n    return llm_query('S')", word="def")
    assert not later(functions, f"{ask}return any(llm_query(t) == 'x' for t in ([q] if q else []) + ['S'])", word="def")


def test_calls_inside_one_function_of_the_prelude(functions: Registry) -> None:
    """`best_image_match` asks one patch after the other; the first failure hides the rest of its own calls."""
    body = "best_image_match([p, p.crop(0, 0, 5, 5)], 'fail' if p.width < 0 else 'car')\nreturn 1"
    source = f"def execute_command(image):\n    p = ImagePatch(image)\n    {body.replace(chr(10), chr(10) + '    ')}\n"

    class FirstFails(World):
        def outcome(self, name: str, params: dict[str, object], occurrence: int = 0) -> Outcome:
            if params["image"] == self.context.frame.handle.model_dump(mode="json"):
                return Outcome(failure=Failure(kind="TimeoutError", message="late"))
            return self.instead(name, params, occurrence)

    world = FirstFails(3, functions)
    _, height = world.traits.frame_size
    crop = {"blob": world.context.frame.blob, "box": [0, height - 5, 5, 5]}
    second = call_key("xvlm", {"image": crop, "object_name": "", "options": ["car"]})
    assert made_later(source, world, LIMITS, [second]) == {second}


def test_a_rewritten_program_does_what_it_did(functions: Registry) -> None:
    """Softening nothing changes nothing: classes, closures, generators, handlers, everything."""
    from dicem_codegen.verify.desk import load, run
    from dicem_codegen.verify.soften import Failures, Soft, softened

    source = '''
import hermod
from collections import defaultdict
class Counted:
    """Words."""
    kind = "a" + "b"
    def __init__(self, n=1 + 1):
        self.n = n
        super().__init__()
    def __eq__(self, other):
        return self.n == other.n
async def execute_command(image):
    seen, (first, *rest) = defaultdict(list), [1, 2, 3]
    for i, (a, b) in enumerate([(1, 2), (3, 4)]):
        seen[a].append(b)
        seen[a] += [i]
    total: int = 0
    total -= -first
    x = [1, 2, 3][::2][1:] + rest[0:1]
    def lazily():
        yield from (y * 2 for y in x if y > 0)
    def outer():
        nonlocal total
        total += 1
        return lambda n, m=total: (n, m, total)
    match rest:
        case [2, n] if n > 2:
            print(f"{n!r:>4}|{'x':^5}|{n=}")
    try:
        assert first < 0, "small"
    except AssertionError as error:
        print(error, Counted() == Counted(2), Counted(3) != Counted())
    try:
        {}["k"]
    except KeyError as error:
        print(repr(error))
    while (total := total + 1) < 9:
        if total % 2: continue
    else:
        print("over", total)
    print(-total, not total, ~total, 1 < total < 100, total if total else 0, outer()(5), list(lazily()))
    print({k: v for k, v in sorted(seen.items())}, {*rest}, [*rest, *x], dict(**{"a": 1}))
    print((lambda *a, **k: (a, k))(1, b=2))
    del seen[1]
    return [len(seen), Counted.kind, (await hermod.call("llm", prompt="x")) == {}]
'''
    for seed in range(20):
        world = World(seed, functions)
        plain = run(load(source), world, LIMITS)
        soft = run(load(source, rewrite=softened), world, LIMITS, soft=Soft(Failures()))
        assert (soft.value, soft.printed, soft.error) == (plain.value, plain.printed, plain.error)
        assert [call.key for call in soft.calls] == [call.key for call in plain.calls]


# The same through the verifier, with programs that ask ahead


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as opened:
        yield opened


SERIAL = """import hermod
async def execute_command(image):
    p = ImagePatch(image)
    a = (await hermod.call("llm", prompt="is it?"))["output"]
    {between}
    b = (await hermod.call("llm", prompt="S"))["output"]
    return [a, b]
"""
AHEAD = "    with hermod.ahead():\n        hermod.call('llm', prompt='S')\n    a ="


@pytest.mark.parametrize(
    ("between", "allowed"), [("pass", True), ("if a == 'no': return a", False), ("if p.width > 0: pass", True)]
)
def test_asked_ahead(verifier: Verifier, between: str, allowed: bool) -> None:
    serial = SERIAL.format(between=between)
    compiled = "import hermod\nhermod.share_calls()\n" + serial.replace("    a =", AHEAD)
    verdict = verifier.check(serial, compiled, range(60))
    assert verdict.same == allowed, verdict.difference
    assert verdict.totals.surplus > 0
    if not allowed:
        assert [aspect.kind for aspect in verdict.difference.aspects] == ["surplus calls"]  # type: ignore[union-attr]
        paid = verifier.check(serial, compiled, range(60), speculation=True)
        assert paid.same
        assert paid.totals.surplus > verdict.totals.surplus


def test_an_impure_call_is_never_surplus(verifier: Verifier) -> None:
    serial = (
        "import hermod\nasync def execute_command(image):\n    a = await hermod.call('llm', prompt='x')\n    return a\n"
    )
    eager = serial.replace("    a =", "    hermod.call('counter')\n    a =")
    verdict = verifier.check(serial, eager, range(3), speculation=True)
    assert verdict.difference is not None
    assert verdict.difference.aspects[0].kind == "impure calls"


def test_the_surplus_call_is_marked(verifier: Verifier) -> None:
    serial = SERIAL.format(between="if a == 'no': return a")
    compiled = "import hermod\nhermod.share_calls()\n" + serial.replace("    a =", AHEAD)
    difference = verifier.check(serial, compiled, range(60)).difference
    assert difference is not None
    marked: list[MadeCall] = [call for call in difference.got.calls if not call.taken]
    assert [call.key for call in marked] == [SURPLUS]
