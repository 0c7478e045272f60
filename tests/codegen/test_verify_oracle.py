"""The oracle: programs mean what CPython makes of them, and whatever they do, the oracle answers and goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dicem_codegen.verify import Observed, Oracle, OracleTrouble, Verifier, World, with_effects
from dicem_codegen.verify.desk import load, run
from dicem_codegen.verify.drive import LIMITS, load_twin
from dicem_codegen.verify.drive import run as drive
from dicem_codegen.verify.oracle import Job
from dicem_codegen.verify.stored import in_one_order
from dicem_shared.errors import ConfigError, ProgramSyntaxError
from dicem_shared.functions import ImageParam, Registry, function
from dicem_shared.program import prepare

SHORT = LIMITS.model_copy(update={"cpu_s": 0.3})


def entry(body: str, *, word: str = "def", parameter: str = "image", top: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return f"{top}\n{word} execute_command({parameter}):\n{lines}"


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Oracle(with_effects(), SHORT, patience_s=8) as opened:
        yield opened


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier() as opened:
        yield opened


def seen(oracle: Oracle, source: str, seed: int = 1, **how: Any) -> Observed:
    """What the original does; not failing calls, where the seed is 1."""
    ((_, answer),) = oracle.run([Job(source, **how)], [seed])
    assert not isinstance(answer, OracleTrouble), answer
    return answer.observed[0]


# Every form of program


FORMS = {
    "sync": entry("return llm_query('x')"),
    "async": entry("return (await hermod.call('llm', prompt='x'))['output']", word="async def", top="import hermod"),
    "sync call": entry("return hermod.call_sync('llm', prompt='x')['output']", top="import hermod"),
    "async with a sync method": entry("return llm_query('x')", word="async def"),
    "gather": entry(
        "x, y = hermod.call('llm', prompt='x'), hermod.call('llm', prompt='y')\n"
        "return (await asyncio.gather(x, y))[0]['output']",
        word="async def", top="import asyncio, hermod",
    ),
    "an image patch": entry("image_patch.left\nreturn llm_query('x')", parameter="image_patch"),
    "a video": entry("VideoSegment(video).num_frames\nreturn llm_query('x')", parameter="video"),
    "a file's name": entry("Image.open(image_filename).width\nreturn llm_query('x')", parameter="image_filename",
                           top="from PIL import Image"),
    "PIL, otherwise": entry("PIL.Image.open('x').size\nreturn llm_query('x')", top="import PIL.Image"),
    "PIL, by another name": entry("Pictures.open('x').size\nreturn llm_query('x')", top="import PIL.Image as Pictures"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_programs(oracle: Oracle, name: str) -> None:
    told = seen(oracle, FORMS[name])
    assert (told.error, told.printed) == (None, "")
    assert told.value == World(1).outcome("llm", {"prompt": "x"}).result["output"]
    assert [call.name for call in told.calls] == ["llm", "llm"] if name == "gather" else ["llm"]


def test_modules(oracle: Oracle) -> None:
    body = "async def execute_query(image_filename):\n    print((await hermod.call('llm', prompt='x'))['output'])\n"
    tail = "asyncio.run(execute_query('scene.jpg'))\n"
    said = World(1).outcome("llm", {"prompt": "x"}).result["output"] + "\n"
    assert seen(oracle, f"import asyncio, hermod\n{body}{tail}").printed == said
    assert seen(oracle, f"import hermod\n{body}await execute_query('scene.jpg')\n").printed == said
    sync = seen(oracle, "def execute_command(image):\n    print(llm_query('x'))\nexecute_command('scene.jpg')\n")
    assert (sync.printed, sync.value) == (said, None)


# What the runner would make of it


VALUES = [
    "return None", "return [1, 2.5, True, 'é', None]", "return {'a': (1, [2]), 3: {}}", "return image",
    "p = ImagePatch(image)\nreturn [p, p.crop(1, 2, 30, 20), {'best': p}]", "return {3, 1, 2}", "return [{'x', 'y'}]",
    "return float('nan')", "return 2 ** 63", "return 2 ** 63 - 1", "return {1.5: 2}", "return {1: 2, '1': 3}",
    "return {None: 1}", "return len", "return object", "return [[[[[1]]]]]", "return iter([])", "return {True: 1}",
    "x = []\nx.append(x)\nreturn x", "return {(1, 2)}", "return b'x'", "return ...", "return range(3)",
]  # fmt: skip


@pytest.mark.parametrize("body", VALUES)
def test_values_are_stored_as_the_runner_stores_them(verifier: Verifier, body: str) -> None:
    """The same value or the same refusal; what is only interpreters' own (`TypeError: ... a generator`) aside."""
    source = entry(body, word="async def")
    here = run(load(source), World(1), LIMITS)
    there = drive(load_twin(source, prepare(source)), World(1), verifier.interpreter)
    assert in_one_order(there.value, here.unordered) == here.value
    assert (there.error and there.error.type) == (here.error and here.error.type)
    assert repr(in_one_order(there.value, here.unordered)) == repr(here.value)  # 1, 1.0 and True are three


CLOCKS = """
import datetime, random, time
async def execute_command(image):
    cards = list(range(9))
    random.shuffle(cards)
    drawn = [random.random(), random.randint(1, 99), random.choice("abc"), random.uniform(1, 2)]
    drawn += random.sample(cards, 3)
    time.sleep(5)
    await asyncio.sleep(7)
    again = random.Random(3).random()
    random.seed(4)
    stamps = [time.time(), time.monotonic(), time.perf_counter(), time.time_ns(), str(datetime.datetime.now())]
    dates = [str(datetime.date.today()), datetime.datetime.now(datetime.timezone.utc).hour, time.strftime("%Y")]
    return [cards, drawn, again, random.random(), stamps, dates]
import asyncio
"""


@pytest.mark.parametrize("seed", range(3))
def test_clock_and_chance_are_the_runners(verifier: Verifier, seed: int) -> None:
    verdict = verifier.check(CLOCKS, CLOCKS + "\n# compiled, so that its own id is another\n", [seed])
    assert verdict.same, verdict.difference
    assert verdict.totals.compiled_s == 0  # nobody slept


def test_where_exceptions_come_from(oracle: Oracle) -> None:
    broken = next(s for s in range(100) if World(s).outcome("llm", {"prompt": "x"}).failure)
    rows = {
        "return llm_query('x')": "call",
        "try:\n    llm_query('x')\nexcept Exception as e:\n    raise ValueError(str(e) + '!')": "raise",
        "try:\n    llm_query('x')\nexcept Exception:\n    raise": "call",
        "assert image is None": "raise",
        "raise KeyError": "raise",
        "return ImagePatch(image).crop(0, 0, 0, 0)": "raise",  # the prelude's
        "return {}['k']": "interpreter",
        "return int('x')": "interpreter",
        "return nowhere": "interpreter",
        "import json\nreturn json.loads('{')": "interpreter",
        "return hermod.call('nothing')": "raise",
    }
    for body, origin in rows.items():
        error = seen(oracle, entry(body, top="import hermod"), broken).error
        assert error is not None, body
        assert error.origin == origin, body


def test_what_an_effect_waits_for(oracle: Oracle) -> None:
    body = """
a = hermod.call("llm", prompt="a")
b = hermod.call("llm", prompt="b")
await b
await hermod.call("counter")
await a
hermod.call("counter")
"""
    calls = seen(oracle, entry(body, word="async def", top="import hermod")).calls
    assert [(call.name, call.after) for call in calls if not call.pure] == [("counter", (2,)), ("counter", (2, 3, 1))]


def test_nothing_of_a_program_is_left_for_the_next(oracle: Oracle) -> None:
    spoilt = """
ImagePatch.find = lambda self, name: 1 / 0
hermod.call = None
asyncio.gather = None
random.random = lambda: 5
json.loads = None
global left_behind
left_behind = 1
"""
    assert seen(oracle, entry(spoilt, top="import asyncio, hermod, random")).error is not None  # json was not imported
    fine = "ImagePatch(image).find('car')\nrandom.random() < 1 or [][0]\nreturn str(asyncio.gather)[:5]"
    told = seen(oracle, entry(fine, top="import asyncio, hermod, random"))
    assert (told.error, told.value) == (None, "<func")
    assert seen(oracle, entry("return left_behind")).error.type == "NameError"  # type: ignore[union-attr]


# Confinement


@pytest.mark.parametrize(
    "body",
    ["open('x', 'w')", "eval('1')", "exec('1')", "compile('1', 'x', 'eval')", "__import__('os')", "input()", "exit()"],
)
def test_what_a_program_has_not(oracle: Oracle, body: str) -> None:
    error = seen(oracle, entry(body)).error
    assert error is not None
    assert error.type in ("NameError", "module")


@pytest.mark.parametrize("name", ["os", "sys", "subprocess", "socket", "ctypes", "importlib", "builtins", "threading"])
def test_what_cannot_be_imported(oracle: Oracle, name: str) -> None:
    error = seen(oracle, entry(f"import {name}")).error
    assert error is not None
    assert (error.origin, error.message) == (
        "limit", f"the module {name} cannot be used in a program that is verified",
    )  # fmt: skip


def test_a_module_that_there_is_not(oracle: Oracle) -> None:
    error = seen(oracle, entry("import torchvision")).error
    assert error is not None
    assert (error.type, error.message) == ("ModuleNotFoundError", "No module named 'torchvision'")


def test_modules_that_programs_may_have(oracle: Oracle) -> None:
    names = ["math", "re", "json", "random", "time", "datetime", "collections", "itertools", "functools", "typing"]
    names += ["statistics", "string"]
    told = seen(oracle, "".join(f"import {name}\n" for name in names) + entry(f"return len([{', '.join(names)}])"))
    assert (told.error, told.value) == (None, len(names))
    top = "from __future__ import annotations\nfrom collections.abc import Callable"
    assert seen(oracle, entry("return str(Callable)", top=top)).value == "<class 'collections.abc.Callable'>"


ESCAPE = "re.enum.sys.modules['os']"
"""What the confinement of names does not hold; the process must."""


def test_no_files_no_processes(oracle: Oracle, tmp_path: Any) -> None:
    target = tmp_path / "made"
    write = f"os = {ESCAPE}\nfd = os.open({str(target)!r}, os.O_CREAT | os.O_WRONLY)\nos.write(fd, b'x')"
    error = seen(oracle, entry(write, top="import re")).error
    assert error is not None
    assert error.type == "OSError"  # file too large: not one byte
    assert not target.exists() or target.stat().st_size == 0
    variables = seen(oracle, entry(f"return sorted({ESCAPE}.environ)", top="import re")).value
    assert set(variables) <= {"PYTHONPATH", "PYTHONHASHSEED", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH"}


def test_its_streams_are_its_own(oracle: Oracle) -> None:
    """What it writes past `print` goes nowhere, least of all among the replies."""
    body = f"""
re.enum.sys.__stdout__.write('{{}}\\n' * 9)
re.enum.sys.stdout.flush()
{ESCAPE}.write(1, b'{{}}\\n')
return 5
"""
    assert seen(oracle, entry(body, top="import re")).value == 5


LIMITED = {
    "while True:\n    pass": "cpu_s",
    "while True:\n    try:\n        pass\n    except Exception:\n        pass": "cpu_s",
    "while True:\n    print('words, words')": "output_kb",
    "while True:\n    llm_query('x')": "calls",
    "while True:\n    try:\n        llm_query('x')\n    except:\n        break": "calls",
    "return [0] * 10 ** 10": "memory_mb",
    "return 'x' * 2_000_000": "output_kb",
}


@pytest.mark.parametrize("body", LIMITED)
def test_limits(verifier: Verifier, oracle: Oracle, body: str) -> None:
    trouble = seen(oracle, entry(body)).error
    assert trouble is not None
    if "'x' * 2" in body:
        assert trouble.type == "not stored"
        return
    assert (trouble.type, trouble.origin) == (LIMITED[body], "limit")


def test_what_never_comes(oracle: Oracle) -> None:
    error = seen(oracle, entry("await asyncio.Future()", word="async def", top="import asyncio")).error
    assert error is not None
    assert (error.type, error.origin) == ("stuck", "limit")
    promise = entry("await hermod.promise()[1]", word="async def", top="import hermod")
    assert seen(oracle, promise).error.message == "deadlock: only promises are pending"  # type: ignore[union-attr]


def test_a_program_that_catches_everything_is_ended() -> None:
    deaf = "while True:\n    try:\n        while True:\n            pass\n    except:\n        pass"
    with Oracle(with_effects(), SHORT, patience_s=2) as oracle:
        began = time.monotonic()
        answers = list(oracle.run([Job(entry(deaf))], [1]))
        assert isinstance(answers[0][1], OracleTrouble)
        assert str(answers[0][1]).startswith("oracle: the p")  # it does not end, or the system ended it
        assert time.monotonic() - began < 20
        assert seen(oracle, entry("return 1")).value == 1


def test_a_process_that_dies_is_replaced_and_the_other_worlds_are_still_answered(oracle: Oracle) -> None:
    source = entry(f"if image.width % 2:\n    {ESCAPE}._exit(7)\nreturn 1", top="import re")
    seeds = range(8)
    odd = {seed for seed in seeds if World(seed).traits.frame_size[0] % 2}
    assert 0 < len(odd) < len(seeds)
    answers = dict(oracle.run([Job(source)], seeds))
    assert list(answers) == list(seeds)
    assert {seed for seed, answer in answers.items() if isinstance(answer, OracleTrouble)} == odd
    told = next(str(answers[seed]) for seed in odd)
    assert told == "oracle: the process that ran the program ended (exit code 7)"


def test_whoever_stops_asking_hears_nothing_of_it_later(oracle: Oracle) -> None:
    for seed, _ in oracle.run([Job(entry("return 'old'"))], range(100)):
        if seed == 1:
            break
    assert seen(oracle, entry("return 'new'")).value == "new"


def test_the_verdict_says_that_the_oracle_is_in_trouble(verifier: Verifier) -> None:
    verdict = verifier.check(
        entry("import os\nreturn 1", word="async def"), entry("return 1", word="async def"), range(9)
    )
    assert not verdict.same
    assert verdict.difference is None
    assert str(verdict.trouble).startswith("oracle: the module os cannot be used")


def test_what_cpython_does_not_compile(verifier: Verifier) -> None:
    good, bad = entry("return 1"), entry("x = 1\nglobal x")
    with pytest.raises(ProgramSyntaxError, match=r"^here.py:4:1: name 'x' is assigned to before global declaration"):
        verifier.check(bad, good, [1], where=("here.py", "there.py"))
    with pytest.raises(ProgramSyntaxError, match=r"^there.py:4:1: "):
        verifier.check(good, bad, [1], where=("here.py", "there.py"))
    assert verifier.check(good, good, [1]).same


def test_functions_that_no_process_can_be_told_of() -> None:
    class Tree(dict[str, Any]):
        pass

    @function()
    def odd(image: ImageParam) -> dict[str, int]:
        """Fine, but for its schema."""
        raise NotImplementedError

    odd.result_schema["type"] = {"nonsense": 1}
    with pytest.raises(ConfigError, match="cannot be verified with"), Oracle(Registry([odd])):
        pass


def test_it_ends_with_its_block() -> None:
    with Oracle(with_effects()) as oracle:
        process = oracle._process
        assert process is not None
        os.kill(process.pid, 0)
    assert process.returncode is not None
