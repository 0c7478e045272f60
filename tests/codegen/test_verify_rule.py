"""Every clause of rule 1 can be broken, and is found broken: a program, a rewrite with one mistake, what is found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicem_codegen.verify import Verifier
from dicem_codegen.verify.compare import Kind

SEEDS = range(40)
HEAD = "import asyncio\nimport hermod\n"


def program(body: str, *, shared: bool = False) -> str:
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return f"{HEAD}{'hermod.share_calls()' if shared else ''}\nasync def execute_command(image):\n{lines}"


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as opened:
        yield opened


BASE = """
p = ImagePatch(image)
metres = p.compute_depth_finish(await p.compute_depth_start())
if metres < 5:
    print("near")
    name = p.simple_query_finish(await p.simple_query_start("What is this?"))
    return [name, metres]
found = p.find_finish(await p.find_start("bottle"))
for each in found:
    print(each)
return len(found)
"""
GOOD = {
    "itself": BASE,
    "asked ahead": BASE.replace(
        "metres =", "with hermod.ahead():\n    p.compute_depth_start(site='edge')\nmetres =", 1
    ),
    "the same words otherwise": BASE.replace("len(found)", "sum([1 for _ in found])"),
}
BROKEN: list[tuple[str, str, str, Kind]] = [
    ("another value", "return [name, metres]", "return [metres, name]", "value"),
    ("1 for 1.0", "return [name, metres]", "return [name, int(metres * 4) / 4 if metres != 1.0 else 1]", "value"),
    ("a count that is one off", "return len(found)", "return len(found) + 1", "value"),
    ("something printed too much", 'print("near")', 'print("near", "by")', "printed"),
    ("printed in another order", "for each in found:", "for each in reversed(found):", "printed"),
    ("not printed", "    print(each)", "    pass", "printed"),
    ("a failure becomes an answer", "name = p.simple_query_finish(await p.simple_query_start('What is this?'))",
     "try:\n        name = p.simple_query_finish(await p.simple_query_start('What is this?'))\n"
     "    except Exception as e:\n        name = str(e)", "ending"),
    ("an answer becomes a failure", "return len(found)", "return len(found) // len(found)", "ending"),
    ("the guard moved", "metres < 5", "metres <= 5", "value"),
    ("another call", '"What is this?"', '"What is it?"', "missing calls"),
    ("a call left out", 'found = p.find_finish(await p.find_start("bottle"))',
     'found = p.find_finish(await p.find_start("bottle")) if metres < 20 else []', "missing calls"),
    ("a call too many", "return len(found)", "await p.exists_start('cow')\nreturn len(found)", "surplus calls"),
]  # fmt: skip
"""What of BASE is replaced by what, and what is found first."""


@pytest.mark.parametrize("name", GOOD)
def test_what_means_the_same(verifier: Verifier, name: str) -> None:
    verdict = verifier.check(program(BASE), program(GOOD[name], shared=name == "asked ahead"), SEEDS)
    assert verdict.same, verdict.difference
    assert verdict.totals.seeds == len(SEEDS)
    assert 0 < verdict.totals.raised < len(SEEDS)  # both ways are tried


@pytest.mark.parametrize(("what", "good", "bad", "kind"), BROKEN, ids=[row[0] for row in BROKEN])
def test_what_does_not(verifier: Verifier, what: str, good: str, bad: str, kind: Kind) -> None:
    body = BASE.replace('"What is this?"))', "'What is this?'))") if "What is this?'))" in good else BASE
    assert good in body
    verdict = verifier.check(program(body), program(body.replace(good, bad)), SEEDS, keep_going=True)
    assert verdict.difference is not None
    assert kind in [aspect.kind for aspect in verdict.difference.aspects], verdict.difference


def differs(verifier: Verifier, serial: str, rewrite: str, *, shared: bool = False) -> list[Kind]:
    """What differs at the first seed at which anything does."""
    difference = verifier.check(program(serial), program(rewrite, shared=shared), SEEDS).difference
    return [] if difference is None else [aspect.kind for aspect in difference.aspects]


# Exceptions


def test_another_exception(verifier: Verifier) -> None:
    serial = "found = (await hermod.call('yolov8', image=image))['objects']\nreturn found[0]['x']"
    assert differs(verifier, serial, serial.replace("[0]", "[0 if found else 'first']")) == ["exception"]


def test_other_words_in_a_raise(verifier: Verifier) -> None:
    serial = "if (await hermod.call('depth', image=image))['depth'] < 5:\n    raise ValueError('near')"
    assert differs(verifier, serial, serial.replace("near", "close")) == ["message"]


def test_other_words_of_the_language_itself(verifier: Verifier) -> None:
    assert differs(verifier, "return [][0]", "return ()[0]") == ["message"]
    assert differs(verifier, "return min([])", "return min([])") == []  # which the runner words otherwise


def test_which_call_fails_first_in_time(verifier: Verifier) -> None:
    """`gather` raises the failure that comes first on the clock; the program means the first in its own order."""
    calls = ["hermod.call('llm', prompt='a')", "hermod.call('llm', prompt='b')", "hermod.call('llm', prompt='c')"]
    serial = f"return [await {calls[0]}, await {calls[1]}, await {calls[2]}]"
    rewrite = f"return await asyncio.gather({', '.join(calls)})"
    verdict = verifier.check(program(serial), program(rewrite), range(200), keep_going=True)
    assert verdict.difference is not None
    assert verdict.difference.aspects[0].kind in ("exception", "message")
    ordered = f"jobs = [{', '.join(calls)}]\nreturn [await job for job in jobs]"
    assert verifier.check(program(serial), program(ordered), range(200)).same


def test_a_late_print(verifier: Verifier) -> None:
    serial = "for word in 'abc':\n    print((await hermod.call('llm', prompt=word))['output'])"
    late = (
        "all = [(await hermod.call('llm', prompt=word))['output'] for word in 'abc']\nfor each in all:\n    print(each)"
    )
    assert differs(verifier, serial, late) == ["printed"]


# Effects


EFFECTS = "a = await hermod.call('log_event', text='a')\nb = await hermod.call('log_event', text='b')\nreturn a['ok']"


def test_effects_in_another_order(verifier: Verifier) -> None:
    swapped = EFFECTS.replace("'a'", "'c'", 1).replace("text='b'", "text='a'").replace("'c'", "'b'")
    assert "impure calls" in differs(verifier, EFFECTS, swapped)


def test_an_effect_left_out(verifier: Verifier) -> None:
    serial = "await hermod.call('counter')\nreturn (await hermod.call('counter'))['n']"
    assert "impure calls" in differs(verifier, serial, "return (await hermod.call('counter'))['n'] + 1")


def test_an_effect_too_many(verifier: Verifier) -> None:
    assert differs(verifier, EFFECTS, EFFECTS.replace("return", "await hermod.call('counter')\nreturn")) == [
        "impure calls"
    ]


def test_effects_side_by_side(verifier: Verifier) -> None:
    """Where none fails, nothing shows but the clock: the second starts before the first is done."""
    jobs = EFFECTS.replace("await ", "").replace("return", "a, b = await a, await b\nreturn")
    kinds = {kind for seed in SEEDS for kind in kinds_at(verifier, EFFECTS, jobs, seed)}
    assert kinds == {"early effect", "impure calls"}


def kinds_at(verifier: Verifier, serial: str, rewrite: str, seed: int) -> list[Kind]:
    difference = verifier.check(program(serial), program(rewrite), [seed]).difference
    return [] if difference is None else [aspect.kind for aspect in difference.aspects]


def test_an_effect_before_a_call_that_might_fail(verifier: Verifier) -> None:
    serial = "a = await hermod.call('llm', prompt='x')\nawait hermod.call('log_event', text='done')\nreturn a"
    early = "job = hermod.call('llm', prompt='x')\nawait hermod.call('log_event', text='done')\nreturn await job"
    kinds = {kind for seed in SEEDS for kind in kinds_at(verifier, serial, early, seed)}
    assert "early effect" in kinds  # no failure is needed to see it
    assert "impure calls" in kinds


def test_an_effect_that_the_program_itself_does_not_wait_with(verifier: Verifier) -> None:
    """The original starts the call and takes its result after the effect: so may the rewrite."""
    serial = "job = hermod.call('llm', prompt='x')\nawait hermod.call('log_event', text='done')\nreturn await job"
    assert differs(verifier, serial, serial) == []


# Where it runs


def test_what_the_runner_refuses(verifier: Verifier) -> None:
    assert differs(verifier, "return 1", "x = 1\ndel x\nreturn 1") == ["refused"]


def test_a_limit(verifier: Verifier) -> None:
    assert differs(verifier, "return 1", "while True:\n    print('a' * 1000)")[0] == "limit"


def test_what_only_cpython_shows(verifier: Verifier) -> None:
    """The runner walks a generator where it is written, so a rewrite that keeps it looks right there."""
    lazy = "g = (print(word) for word in 'ab')\nprint('first')\nlist(g)"
    eager = "g = [print(word) for word in 'ab']\nprint('first')"
    in_cpython = verifier.check(program(eager), program(lazy), [0]).difference
    assert in_cpython is not None
    assert (in_cpython.where, in_cpython.aspects[0].kind) == ("cpython", "printed")
    in_runner = verifier.check(program(lazy), program(lazy), [0]).difference
    assert in_runner is not None
    assert (in_runner.where, in_runner.aspects[0].kind) == ("runner", "printed")


# What the language leaves open


def test_the_order_of_a_set_is_nobodys(verifier: Verifier) -> None:
    body = (
        "words = {'b', 'a', 'c', 'd', 'e'}\nfor word in words:\n    print(word)\nreturn [w for w in {9, 1, 5, 30, 11}]"
    )
    verdict = verifier.check(program(body), program(body), range(3))
    assert verdict.same
    assert verdict.totals.unspecified == 3
    wrong = verifier.check(program(body), program(body.replace("'b'", "'x'")), range(3))
    assert not wrong.same  # in CPython, where both walk the set alike


def test_a_set_that_is_sorted_is_no_excuse(verifier: Verifier) -> None:
    body = "print(sorted({'b', 'a', 'c'}))\nreturn {3, 1, 2}"
    assert differs(verifier, body, body) == []
    assert differs(verifier, body, body.replace("'c'", "'z'")) == ["printed"]
    assert differs(verifier, body, body.replace("2}", "4}")) == ["value"]
