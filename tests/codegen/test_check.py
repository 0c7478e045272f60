"""The second pass: errors for what is no program, warnings for what will hardly do what was meant, nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dicem_codegen.check import check
from dicem_codegen.check.names import RUNNER_MODULES
from dicem_codegen.check.subject import MAX_OF_A_KIND
from dicem_codegen.parse import parse
from dicem_shared.catalog import catalog, depth, llm
from dicem_shared.functions import Registry
from dicem_shared.program import prepare
from dicem_shared.runner import Context, Finished, Interpreter
from dicem_shared.types import FrameInfo

ROOT = Path(__file__).resolve().parents[2]
FRAME = FrameInfo(camera="bow", sequence=7, t_utc=1_700_000_000.0, blob="ab" * 32, width=120, height=80)
HEAD = "import hermod\nasync def execute_command(image):\n    "
SYNC = "def execute_command(image):\n    image_patch = ImagePatch(image)\n    "


def said(source: str, functions: Registry | None = None) -> list[str]:
    found = check(parse(source, name="p", where="p.py"), functions or catalog())
    assert found == sorted(found)
    return [each.text("p.py").removeprefix("p.py:") for each in found]


def inside(line: str) -> list[str]:
    """What is said of a line in an asynchronous entry, without where."""
    return [each.split(": ", 1)[1] for each in said(HEAD + line + "\n")]


def of_patch(lines: str) -> list[str]:
    """What is said of lines in ViperGPT's manner, without where."""
    return [each.split(": ", 1)[1] for each in said(SYNC + lines.replace("\n", "\n    ") + "\n")]


# Programs there is nothing to say about

FINE = """
== sync
def execute_command(image) -> str:
    return ImagePatch(image).simple_query('what?')
== patch
def execute_command(image_patch):
    return image_patch.find('a')[0].left
== video
def execute_command(video):
    return VideoSegment(video).frame_from_index(0).exists('a')
== defaults
def execute_command(image, possible_answers=None, query='what?'):
    return query
== a module without an entry
import hermod
from PIL import Image
image = Image.open('a.jpg')
cars = await hermod.call('glip', image=image, object_name='car')
print(len(cars))
== a module whose functions make calls
def ask(p):
    return p.simple_query('a')
def more(p):
    return ask(p)
print(more(x := 1))
== asyncio.run
import asyncio, hermod
async def execute_query(image_filename):
    return 1
image_filename = 'a.jpg'
asyncio.run(execute_query(image_filename))
== text has a find too
def execute_command(image):
    return 'abc'.find('b', 1), ImagePatch(image).simple_query().find('a', 0)
== own words
class ImagePatch:
    def find(self): pass
    def simple_query(self): pass
def execute_command(image):
    return ImagePatch().find(), ImagePatch().simple_query()
== own hermod
class Mine:
    def call(self, *a): pass
hermod = Mine()
def execute_command(image):
    return hermod.call(1, 2, 3)
== attributes that are set
def execute_command(image_patch):
    image_patch.name = 'a'
    return image_patch.name
== recursion that ends
def down(n):
    return 0 if n == 0 else down(n - 1)
def execute_command(image):
    if not image:
        return execute_command(image)
    return down(9)
== recursion that is put off
async def f(x):
    return f(x)
async def execute_command(image):
    g = lambda: g()
    return [await f(1) for x in []]
== large, not too large
def execute_command(image):
    return 2 ** 10_000, 'a' * 10**6, [0] * 10**5, -(3 ** 7), 1 << 40, 0 ** 9**9, 2 ** -1, True * 3
== stars
import hermod
async def execute_command(image):
    args, more = ['llm'], {'prompt': 'a'}
    await hermod.call(*args, **more)
    return await hermod.call('llm', **more)
== sets without order
def execute_command(image):
    s = {'a', 'b'}
    return sorted(s), len(s), 'a' in s, [i for i in {1, 2}]
== results
import hermod
async def execute_command(image):
    for car in await hermod.call('glip', image=image, object_name='car'):
        print(car['x'], car.get('width'), car['score'] + 1)
    return (await hermod.call('blip', image=image, question='a'))['answer'].lower()
== sorted patches
def execute_command(image_patch):
    return [p.left for p in sorted(image_patch.find('a'), key=lambda q: q.horizontal_center)][0]
== calls are awaited later
import hermod
async def execute_command(image):
    calls = [hermod.call('depth', image=image) for i in range(3)]
    job = hermod.call('depth', image=image)
    return [(await c)['depth'] for c in calls], (await job)['depth']
== a builtin as a name
def execute_command(image):
    list = [1]
    return [x for x in list]
== names of every kind
import re as r, os.path
from math import *
def execute_command(image):
    try:
        pass
    except ValueError as e:
        print(e)
    match image:
        case [a, *b] | {'k': a, **b}:
            print(a, b)
    return r, os, sqrt
== scopes
class A:
    x = 1
    y = x
    def f(self):
        global z
        z = __name__
def execute_command(image):
    return z, [w for v in [1] for w in [v]]
"""
FINE_ROWS = [row.partition("\n") for row in FINE.strip().removeprefix("== ").split("\n== ")]


@pytest.mark.parametrize("source", [row[2] for row in FINE_ROWS], ids=[row[0] for row in FINE_ROWS])
def test_nothing_is_said_of_programs_that_are_fine(source: str) -> None:
    assert said(source) == []


def test_nothing_is_said_of_the_published_programs() -> None:
    for path in sorted((ROOT / "configs" / "programs").glob("*.py")):
        assert said(path.read_text(encoding="utf-8")) == []


# The entry


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("", "1:1: error: no entry function and no calls in the module: there is no function at all. Name the function "
         "that takes the frame execute_command"),
        ("x = 1\nprint(x)", "1:1: error: no entry function and no calls in the module: there is no function at all"),
        ("\ndef main(image):\n    return image.find('a')", "2:1: error: no entry function and no calls in the module: "
         "there is main"),
        ("\n\ndef execute_comand(image): pass", "3:1: error: no entry function, but one called execute_comand. Did you "
         "mean execute_command?"),
        ("if 1:\n  def execute_query(image): pass", "2:3: error: the entry is no plain function of the module"),
        ("execute_command = lambda image: 1", "1:1: error: the entry is no plain function of the module"),
        ("class A:\n    def execute_command(image): pass", "2:5: error: the entry is no plain function"),
        ("def execute_command(image): pass\ndef execute_query(f): pass", "2:1: error: two entry functions: "
         "execute_query here, execute_command in line 1. Keep one"),
        ("def execute_command(a): pass\nasync def execute_command(a): pass", "2:1: error: two entry functions"),
        ("def execute_command(): pass", "1:1: error: execute_command cannot be called with a frame: it takes none. "
         "Write one parameter: image, image_patch, video or image_filename; give others a default"),
        ("def execute_command(image, other): pass", "1:1: error: execute_command cannot be called with a frame: it "
         "takes image, other"),
        ("def execute_command(*images): pass", "1:1: error: execute_command cannot be called with a frame"),
        ("def execute_command(image, /): pass", "1:1: error: execute_command cannot be called with a frame"),
        ("def execute_command(image, *, size): pass", "1:1: error: execute_command cannot be called with a frame"),
        ("def execute_command(video, possible_answers, question): pass", "1:1: warning: execute_command takes "
         "possible_answers and question, of which a frame knows nothing: possible_answers is [], question is \"\" when "
         "it runs on a vehicle. Give them defaults to say what they are"),
        ("def execute_command(image):\n    yield 1", "1:1: warning: execute_command has a `yield`"),
    ],
)  # fmt: skip
def test_the_entry(source: str, what: str) -> None:
    (only,) = said(source)
    assert only.startswith(what)


def test_a_module_that_calls_its_entry_may_pass_what_it_likes() -> None:
    entry = "def execute_command(image, other): pass\n"
    assert said(entry + "execute_command(1, 2)") == []
    assert said(entry + "def main():\n    execute_command(1, 2)\nmain()") == []


# Recursion and constants


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("def execute_command(image):\n    return execute_command(image)", "2:12: error: recursion without an end: "
         "execute_command calls execute_command, whatever happens. Decide first when to stop"),
        ("def a(x):\n    y = b(x) + 1\n    return y\ndef b(x): return a(x)\ndef execute_command(image):\n    fine(1)\n"
         "    return a(image)\ndef fine(x): return x", "4:18: error: recursion without an end: a calls b calls a"),
        ("async def execute_command(image):\n    print(await execute_command(image))", "2:17: error: recursion"),
        ("def execute_command(image):\n    x = [1, execute_command(image) if image else 2]\n    "
         "return execute_command(image) and 1", "3:12: error: recursion"),
    ],
)  # fmt: skip
def test_recursion_without_an_end(source: str, what: str) -> None:
    (only,) = said(source)
    assert only.startswith(what)


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("9**9**9", "7: error: a constant too large: about 154 MB. A program has 64 MB"),
        ("9**9**9**9", "10: error: a constant too large: about 154 MB"),
        ("2 ** 10**14", "7: error: a constant too large: more than any memory holds"),
        ("-(9**9**9) + 1", "9: error: a constant too large: about 154 MB"),
        ("'a' * 10**10", "7: error: a constant too large: about 10,000 MB"),
        ("10**10 * b'ab'", "7: error: a constant too large: about 20,000 MB"),
        ("len([1, 2] * 10**9)", "11: error: a constant too large: about 16,000 MB"),
        ("(1 << 2**40) | 1", "8: error: a constant too large: about 137,439 MB"),
        ("2 ** 10**9 * 3", "7: error: a constant too large: about 125 MB"),
        ("('a' * 10**7) * 10 + 'b'", "7: error: a constant too large: about 100 MB"),
    ],
)
def test_huge_constants_are_weighed_and_not_computed(expression: str, what: str) -> None:
    (only,) = said(f"def execute_command(image):\n  x = {expression}\n  return x")
    assert only.startswith(f"2:{what}")


# Calls


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("'glp', image=image", "no function is called 'glp'. Did you mean glip"),
        ("'unknown', image=image", "no function is called 'unknown'. There are blip, blip2, depth"),
        ("'', image=image", "no function is called ''. There are"),
        ("'\\x1b[31m'", "no function is called '\\x1b[31m'. There are"),
        ("5", "hermod.call: the first argument is a function's name"),
        ("None, image=image", "hermod.call: the first argument is a function's name"),
        ("['glip'], image=image", "hermod.call: the first argument is a function's name"),
        ("image=image", "hermod.call: no function is named. Write hermod.call(\"...\", ...)"),
        ("name='glip', image=image", 'hermod.call: no function is named. Write hermod.call("glip", ...)'),
        ("'glip', image, 'car'", "hermod.call: parameters are given by name. "
         'Write hermod.call("glip", image=..., object_name=...)'),
        ("x, image", 'hermod.call: parameters are given by name. Write hermod.call(name, image=..., question=...)'),
        ("'blip', image=image, query='a'", "blip has no parameter query. Did you mean question?"),
        ("'glip', image=image, objectname='a'", "glip has no parameter objectname. Did you mean object_name?"),
        ("'glip', image=image, object_name='a', foo=1", "glip has no parameter foo. It takes image, object_name"),
        ("'glip', foo=1, **image", "glip has no parameter foo. It takes image, object_name"),
        ("'glip', image=image", 'glip needs object_name. Write hermod.call("glip", image=..., object_name=...)'),
        ("'glip'", "glip needs image and object_name"),
        ("'llm', prompt=3", "llm: prompt: Input should be a valid string: got 3"),
        ("'llm', prompt=-3", "llm: prompt: Input should be a valid string: got -3"),
        ("'llm', prompt=None", "llm: prompt: Input should be a valid string: got None"),
        ("'llm', prompt=['a']", "llm: prompt: Input should be a valid string: got ['a']"),
        ("'llm', prompt=b'a'", "llm: prompt: bytes cannot be passed to a function"),
        ("'llm', prompt=...", "llm: prompt: ellipsis cannot be passed to a function"),
        ("'llm', prompt='a' if image else 3", None),
        ("'yolov8', image=image, classes='can'", "yolov8: classes: Input should be a valid list: got 'can'"),
        ("'yolov8', image=image, classes=['can', 1]", "yolov8: classes: Input should be a valid string"),
        ("'yolov8', image=image, classes=[]", "yolov8: classes: List should have at least 1 item"),
        ("'yolov8', image=image, classes=('can', x)", None),
        ("'yolov8', image=image, classes=None", None),
        ("'depth', image='a.jpg'", "depth: image: a patch or an image is wanted here"),
        ("'depth', image=f'{x}.jpg'", "depth: image: a patch or an image is wanted here"),
        ("'depth', image=None", "depth: image: a patch or an image is wanted here"),
        ("'depth', image=image, site='moon'", "hermod.call: site: Input should be 'edge' or 'cloud'"),
        ("'depth', image=image, priority=11", "hermod.call: priority: Input should be less than or equal to 9"),
        ("'depth', image=image, deadline_s='5'", "hermod.call: deadline_s: Input should be a valid number"),
        ("'depth', image=image, site='edge', at='3', deadline_s=1.5, priority=5", None),
        ("x, site='moon'", "hermod.call: site: Input should be 'edge' or 'cloud'"),
        ("x, foo=1", None),
        ("f'{x}', foo=1", None),
    ],
)  # fmt: skip
def test_parameters(call: str, what: str | None) -> None:
    found = [each for each in inside(f"hermod.call({call})") if "nothing is called x" not in each]
    assert (found == []) if what is None else (len(found) == 1 and found[0].startswith(f"error: {what}")), found


def test_the_synchronous_call_is_checked_too() -> None:
    assert inside("hermod.call_sync('glp')")[0].startswith("error: no function is called 'glp'. Did you mean glip")
    assert inside("hermod.call_sync(image=image)") == [
        'error: hermod.call_sync: no function is named. Write hermod.call_sync("...", ...)'
    ]


def test_an_unknown_function_is_an_error_wherever_it_stands() -> None:
    never = "import hermod\ndef never():\n    if False:\n        hermod.call('nothing')\n"
    assert said(never + "def execute_command(i): pass") == [
        "4:21: error: no function is called 'nothing'. There are blip, blip2, depth, glip, llm, xvlm, yolov8"
    ]  # fmt: skip


def test_a_site_that_does_not_serve_it_is_a_warning() -> None:
    assert inside("hermod.call('glip', image=image, object_name='a', site='edge')") == [
        "warning: glip does not run on the edge: the site is left open. It runs on the cloud"
    ]


@pytest.mark.parametrize(
    "imports", ["from hermod import call as c", "import hermod as h; c = 1\nfrom hermod import call as d"]
)
def test_calls_by_other_names(imports: str) -> None:
    word = "c" if imports.startswith("from") else "h.call"
    found = said(f"{imports}\nasync def execute_command(image):\n    return await {word}('glpi')")
    assert [each.split(": ", 2)[2] for each in found] == [
        "no function is called 'glpi'. Did you mean glip or blip or blip2?"
    ]


def test_words_that_hermod_has_not() -> None:
    assert inside("hermod.glip(image=image)") == ['error: hermod has no glip. Write hermod.call("glip", ...)']
    assert inside("hermod.cal('glip')") == ["error: hermod has no cal. Did you mean call?"]
    assert inside("hermod.functions()") == []


def test_other_functions_than_the_catalogs() -> None:
    few = Registry([depth, llm])
    assert said(HEAD + "hermod.call('glip', image=image)", few) == [
        "3:17: error: no function is called 'glip'. There are depth, llm"
    ]
    assert said(HEAD + "hermod.call('llm', prompt='a')", few) == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("image_patch.verify_property('a')", "verify_property: missing a required argument: 'property': a TypeError in "
         "this line. It is verify_property(object_name, property)"),
        ("x = image_patch.simple_query('a', 'b')", "simple_query: too many positional arguments"),
        ("image_patch.simple_query(query='a')", "simple_query: got an unexpected keyword argument 'query'"),
        ("image_patch.find()", "find: missing a required argument: 'object_name'"),
        ("image_patch.find('a', 'b')", "find: too many positional arguments"),
        ("[p.crop((1, 2, 3, 4)) for p in image_patch.find('a')]", "crop: missing a required argument: 'lower'"),
        ("ImagePatch()", "ImagePatch: missing a required argument: 'image'"),
        ("llm_query()", "llm_query: missing a required argument: 'query'"),
        ("best_image_match([])", "best_image_match: missing a required argument: 'content'"),
        ("image_patch.simple_query(*image)", None),
        ("image_patch.simple_query(**image)", None),
        ("image_patch.simple_qery('a')", "ImagePatch has no simple_qery: an AttributeError in this line. Did you mean "
         "simple_query?"),
        ("for i, p in enumerate(image_patch.find('a')):\n    p.lft", "ImagePatch has no lft: an AttributeError in this "
         "line. Did you mean left?"),
        ("min(image_patch.find('a'), key=len).wdth", "ImagePatch has no wdth"),
        ("image_patch.find('a')[0].wdth", "ImagePatch has no wdth"),
        ("image_patch.find('a')[1:].wdth", "find gives a list of patches here, which has no wdth"),
        ("setattr(image_patch, 'wdth', 1)\nimage_patch.wdth", None),
        ("image_patch = image\nimage_patch.wdth", None),
        ("VideoSegment(image).trim(1).wdth", "VideoSegment has no wdth"),
    ],
)  # fmt: skip
def test_words_of_the_prelude(line: str, what: str | None) -> None:
    found = of_patch(line)
    assert (found == []) if what is None else (len(found) == 1 and found[0].startswith(f"warning: {what}")), found


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("image_patch.compute_depth().lower()", "compute_depth gives a number here, which has no lower"),
        ("image_patch.find('a').left", "find gives a list of patches here, which has no left. Walk over them, or "
         "take one: patches[0].left"),
        ("image_patch.find('a')['depth']", "find gives a list of patches here: ['depth'] is a TypeError"),
        ("image_patch.compute_depth()['depth']", "compute_depth gives a number here, which has no items"),
        ("image_patch['a']", "this is an ImagePatch, which has no items"),
        ("for x in image_patch.compute_depth(): pass", "compute_depth gives a number here, which cannot be walked"),
        ("for x in image_patch: pass", "this is an ImagePatch, which cannot be walked over"),
        ("image_patch.find('a') > 0", "find gives a list of patches here: a list > a number is a TypeError. Write"),
        ("image_patch.simple_query() == 3", "simple_query gives text here: text == a number is always False. coerce_"),
        ("image_patch.simple_query() != 3", "simple_query gives text here: text != a number is always True"),
        ("'a' + image_patch.compute_depth()", "compute_depth gives a number here: text + a number is a TypeError"),
        ("image_patch.left - 'a'", "a patch's left is a number: a number - text is a TypeError"),
        ("0 < image_patch.left < image_patch.simple_query()", "a patch's left is a number: a number < text is a Type"),
        ("hermod.call_sync('depth', image=image_patch.find('a'))", "depth: image: a patch or an image is wanted here, "
         "and find gives a list of patches here. Call it for each of them, or for one: patches[0]"),
        ("hermod.call_sync('depth', image=image) < 5", "depth gives a dict here: a dict < a number is a TypeError. "
         'Write ["depth"]'),
        ("image_patch.left = 'a'\nimage_patch.left + 'b'", None),
        ("image_patch.find('a') + [1]", None),
        ("image_patch.find('a') * 2", None),
        ("image_patch.simple_query() * 2 + 'a'", None),
        ("image_patch.exists('a') + 1", None),
        ("image_patch.exists('a') == 1", None),
        ("image_patch.compute_depth() < 5", None),
        ("image_patch.simple_query() < 'b'", None),
        ("image_patch.find('a') == None", None),
        ("f = hermod.call_sync('glip', image=image, object_name='a')\nf[0]['metres'] = 1\nf[0]['metres']", None),
        ("f = hermod.call_sync('depth', image=image)\nf.update({'a': 1})\nf['a']", None),
        ("f = hermod.call_sync('depth', image=image)\nf.update(a=1)\nf.get('a')", None),
        ("f = hermod.call_sync('depth', image=image)\nf.setdefault('a', 1)\nf['a']", None),
        ("f = hermod.call_sync('depth', image=image)\nf[f'{image}'] = 1\nf['a']", None),
    ],
)  # fmt: skip
def test_uses_that_the_kind_of_a_value_forbids(line: str, what: str | None) -> None:
    found = of_patch(f"import hermod\n{line}")
    assert (found == []) if what is None else (len(found) == 1 and found[0].startswith(f"warning: {what}")), found


# Names and modules


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("return possible_answers", "nothing is called possible_answers: a NameError"),
        ("return lenn(image)", "nothing is called lenn: a NameError in this line. Did you mean len?"),
        ("return _frame", "nothing is called _frame: a NameError"),
        ("import numpy as np", "the runner has no module numpy: an ImportError"),
        ("import os.path, maths", "the runner has no module maths: an ImportError in this line. Did you mean math?"),
        ("from vipergpt.api import ImagePatch", "the runner has no module vipergpt.api: an ImportError"),
        ("from PIL import ImageDraw", "PIL has no ImageDraw: an ImportError in this line. Did you mean Image?"),
        ("from hermod import cal", "hermod has no cal: an ImportError in this line. Did you mean call?"),
        ("from . import x", "a relative import: a program stands alone"),
    ],
)
def test_names(line: str, what: str) -> None:
    (only,) = inside(line)
    assert only.removesuffix(" in this line") == f"warning: {what}"


def test_a_star_import_of_the_prelude() -> None:
    assert said("from hermod import *\ndef execute_command(image): pass") == [
        "1:1: error: import *: it does not say which names it binds. Name what you need of hermod"
    ]


@pytest.mark.parametrize("line", ["exec('y = 1')\n    print(y)", "globals()['y'] = 1\n    print(y)"])
def test_names_that_come_at_run_time(line: str) -> None:
    assert inside(line) == []


def test_a_name_is_said_once_where_it_first_stands() -> None:
    assert said("def execute_command(image):\n    return a, b\nasync def f():\n    return a") == [
        "2:12: warning: nothing is called a: a NameError in this line",
        "2:15: warning: nothing is called b: a NameError in this line",
    ]


def test_enough_is_enough() -> None:
    assert len(said(SYNC + "".join(f"print(nothing{i})\n    " for i in range(MAX_OF_A_KIND * 3)))) == MAX_OF_A_KIND


def test_the_list_of_modules_is_the_interpreters() -> None:
    every = sorted(name for name in {*sys.stdlib_module_names, *RUNNER_MODULES} if not name.startswith("_"))
    one = "    try:\n        import {0}\n        found.append('{0}')\n    except ImportError:\n        pass\n"
    lines = "".join(one.format(name)
                    for name in every)  # fmt: skip
    with Interpreter(catalog()) as interpreter:
        program = prepare(f"def execute_command(image):\n    found = []\n{lines}    return found\n")
        step = interpreter.start(program, Context("boat", FRAME)).step
    assert isinstance(step, Finished), step
    assert set(step.value) == RUNNER_MODULES


# Results

GLIP = "boxes = await hermod.call('glip', image=image, object_name='a')\n    "
YOLO = "found = await hermod.call('yolov8', image=image)\n    "
JOB = "job = hermod.call('depth', image=image)\n    "


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (GLIP + "boxes.get('answer')", "glip gives a list here, which has no get"),
        (GLIP + "boxes['objects']", "glip gives a list here: ['objects'] is a TypeError"),
        (GLIP + "for box in boxes:\n        box['wdth']", "what glip gives has no 'wdth': a KeyError in this line. "
         "Did you mean width?"),
        (GLIP + "[b.width for b in boxes]", 'glip gives a dict here, which has no width. Write ["width"]'),
        (GLIP + "boxes[0].get('label', 1)", "what glip gives has no 'label': there is never any such key. It has "
         "height, score, width, x, y"),
        (GLIP + "boxes[0][1]", "glip gives a dict here: [1] is a KeyError. It has height, score, width, x, y"),
        (YOLO + "found['object']", "what yolov8 gives has no 'object': a KeyError in this line. Did you mean objects?"),
        (YOLO + "found['objects'][0]['class'].label", "yolov8 gives text here, which has no label"),
        (YOLO + "found['objects'][0]['class']['name']", "yolov8 gives text here: ['name'] is a TypeError"),
        ("(await hermod.call('blip', image=image, question='a'))['output']", "what blip gives has no 'output'"),
        ("hermod.call_sync('depth', image=image)['metres']", "what depth gives has no 'metres'"),
        (JOB + "return job['depth']", "the call of depth is used before it is awaited. Write "
         "`await` before hermod.call"),
        (JOB + "return job.get('depth')", "the call of depth is used before it is awaited"),
        ("for box in hermod.call('glip', image=image, object_name='a'):\n        pass", "the call of glip is"),
        (JOB + "return job.result['depth'], (await job)['depth']", None),
        (GLIP + "boxes = {}\n    boxes['any']", None),
        (GLIP + "boxes[image]['x'], boxes[-1]['x'], boxes.sort(), boxes[:2]", None),
        ("x = await hermod.call(image)\n    x['any'].any", None),
        ("x = await hermod.call('llm', prompt='a')\n    x = x['output']\n    x['any']", None),
    ],
)  # fmt: skip
def test_results(lines: str, what: str | None) -> None:
    found = inside(lines)
    assert (found == []) if what is None else (len(found) == 1 and found[0].startswith(f"warning: {what}")), found


@pytest.mark.parametrize(
    "line",
    [
        "for x in {'a', 'b'}: pass",
        "[x for x in set(image)]",
        "s = {y for y in image}\n    list(s)",
        "', '.join({'a'})",
        "enumerate(frozenset(image))",
    ],
)
def test_sets_are_walked_in_any_order(line: str) -> None:
    assert inside(line) == [
        "note: the order in which a set is walked is not specified. Use sorted(...) or dict.fromkeys(...) for an order "
        "that stays"
    ]


def test_long_chains_end() -> None:
    chain = "x0 = image_patch\n" + "".join(f"x{i + 1} = x{i}\n" for i in range(2000)) + "x2000.wdth\nx30.wdth"
    assert of_patch(chain) == ["warning: ImagePatch has no wdth: an AttributeError in this line. Did you mean width?"]
