"""The compiled form against the serial one in the interpreter: what is planted is found, what is compiled passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from dicem_codegen import compile_program
from dicem_codegen.generate import same_meaning as module
from dicem_codegen.generate.same_meaning import WORLDS, same_meaning
from dicem_codegen.generate.serial import serial_form
from dicem_codegen.parse import parse
from dicem_codegen.verify.world import World, with_effects
from dicem_shared.runner import Interpreter

from ..generator import generate

FUNCTIONS = with_effects()
HEAD = "import hermod\nhermod.share_calls()\nasync def execute_command(image):\n    p = ImagePatch(image)\n"
ORIGINAL = """import hermod
def execute_command(image):
    p = ImagePatch(image)
    boats = p.find("boat")
    if not boats:
        return "none"
    print(len(boats))
    hermod.call_sync("log_event", text="seen")
    first = boats[0].simple_query("What color?")
    hermod.call_sync("counter")
    boats[0].exists("flag")
    return first, [boat.compute_depth() for boat in boats]
"""
SAME = """    boats = p.find_finish(await p.find_start("boat"))
    if not boats:
        return "none"
    print(len(boats))
    await hermod.call("log_event", text="seen")
    first = boats[0].simple_query_finish(await boats[0].simple_query_start("What color?"))
    await hermod.call("counter")
    await boats[0].exists_start("flag")
    return first, [b.compute_depth_finish(await b.compute_depth_start()) for b in boats]
"""


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter(FUNCTIONS) as made:
        yield made


UNHARMED = [seed for seed in range(20) if not World(seed, FUNCTIONS).traits.failure_rate]


def held(
    interpreter: Interpreter, source: str, compiled: str, *, speculation: bool = False, worlds: Iterable[int] = WORLDS
) -> tuple[str, str]:
    serial = serial_form(parse(source, name="p", where="p.py"), FUNCTIONS)
    problems, said = same_meaning(serial, source, compiled, interpreter, worlds=worlds, speculation=speculation)
    return "".join(each.message for each in problems), said


def test_a_rewrite_by_hand_means_the_same(interpreter: Interpreter) -> None:
    message, said = held(interpreter, ORIGINAL, HEAD + SAME)
    assert message == ""
    assert said.startswith("16 worlds, ")


PLANTED = {
    "value": ('return "none"', 'return "nothing"'),
    "printed": ("    print(len(boats))\n", ""),
    "ending": ("first = boats[0]", "first = boats[len(boats)]"),
    "impure calls": ('text="seen"', 'text="saw"'),
    "missing calls": ('    await boats[0].exists_start("flag")\n', ""),
    "surplus calls": ('    boats = p.find_fin', '    p.simple_query_start("Why?")\n    boats = p.find_fin'),
    "early effect": (
        '    first = boats[0].simple_query_finish(await boats[0].simple_query_start("What color?"))\n'
        '    await hermod.call("counter")\n',
        '    asked = boats[0].simple_query_start("What color?")\n    await hermod.call("counter")\n'
        "    first = boats[0].simple_query_finish(await asked)\n",
    ),
    "refused": ("    print(len(boats))\n", "    print(len(boats))\n    min(boats, key=lambda b: b.compute_depth())\n"),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(PLANTED))
def test_planted_differences_are_found(interpreter: Interpreter, kind: str) -> None:
    before, after = PLANTED[kind]
    assert before in SAME
    message, _ = held(interpreter, ORIGINAL, HEAD + SAME.replace(before, after), worlds=UNHARMED)
    assert f"it does something else ({kind})" in message


def test_another_exception_is_found(interpreter: Interpreter) -> None:
    source = "def execute_command(image):\n    return 1 // len(ImagePatch(image).find('boat'))\n"
    body = "    n = len(p.find_finish(await p.find_start('boat')))\n    return {1: 1}[n] if n == 0 else 1 // n\n"
    assert "(exception)" in held(interpreter, source, HEAD + body)[0]


def test_a_call_behind_an_undecided_guard_is_surplus(interpreter: Interpreter) -> None:
    """Where `find` fails nobody knows whether the guard lets the question pass: what is started is one too many."""
    source = (
        "def execute_command(image):\n    p = ImagePatch(image)\n    if p.exists('boat'):\n"
        "        return p.simple_query('What color?')\n    return 'none'\n"
    )
    early = (
        "    exists = p.exists_start('boat')\n    try:\n        found = p.exists_finish(await exists)\n"
        "    except Exception:\n        p.simple_query_start('What color?')\n        raise\n"
        "    return p.simple_query_finish(await p.simple_query_start('What color?')) if found else 'none'\n"
    )
    assert "(surplus calls)" in held(interpreter, source, HEAD + early, worlds=range(60))[0]


def test_a_call_that_hangs_on_nothing_may_be_started_ahead(interpreter: Interpreter) -> None:
    source = (
        "def execute_command(image):\n    p = ImagePatch(image)\n    a = p.simple_query('What?')\n"
        "    return a, p.compute_depth()\n"
    )
    ahead = (
        "    with hermod.ahead():\n        p.compute_depth_start()\n"
        "    a = p.simple_query_finish(await p.simple_query_start('What?'))\n"
        "    return a, p.compute_depth_finish(await p.compute_depth_start())\n"
    )
    message, said = held(interpreter, source, HEAD + ahead)
    assert message == ""
    assert ", 0 of them" not in said


def test_speculation_pays_for_surplus(interpreter: Interpreter) -> None:
    before, after = PLANTED["surplus calls"]
    assert held(interpreter, ORIGINAL, HEAD + SAME.replace(before, after), speculation=True)[0] == ""


def test_what_is_no_program_is_said(interpreter: Interpreter) -> None:
    assert held(interpreter, ORIGINAL, "def execute_command(image)\n")[0].startswith("the compiled form is no program")


def test_a_serial_form_over_its_limits_has_nothing_to_compare(interpreter: Interpreter) -> None:
    source = "def execute_command(image):\n    return [ImagePatch(image).simple_query(str(i)) for i in range(300)]\n"
    found = held(interpreter, source, "def execute_command(image):\n    return 1\n", worlds=UNHARMED)
    assert found == ("", "0 worlds, 0 of them with an exception")


def test_generated_programs_mean_the_same(interpreter: Interpreter) -> None:
    """Also those that raise, which a dry run would have refused."""
    for seed in range(500, 520):
        source = generate(seed).source
        serial = serial_form(parse(source, name="p", where="p.py"), FUNCTIONS)
        compiled = compile_program(source, FUNCTIONS, name="p").source
        assert same_meaning(serial, source, compiled, interpreter, worlds=range(2, 4))[0] == (), seed


def test_without_patience_the_first_worlds_are_tried_all_the_same(
    interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", -1.0)
    assert held(interpreter, ORIGINAL, HEAD + SAME)[1].startswith("8 worlds")


def test_orders_of_latencies_differ() -> None:
    world = World(3, FUNCTIONS)
    params = {"prompt": "a"}
    for order, expected in ((0, [0, 0]), (1, [1001, 1002]), (-1, [500, 250])):
        timed = module._timed(world, order)
        assert [timed.latency("llm", params) for _ in range(2)] == expected
        assert timed.outcome("llm", params) is world.outcome("llm", params)
