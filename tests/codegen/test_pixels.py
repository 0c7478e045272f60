"""What pixels calls look at, read off the text."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from dicem_codegen.pixels import Pixels

ROOT = Path(__file__).resolve().parents[2]


def looked_at(body: str, *, top: str = "", parameter: str = "image") -> list[tuple[str, str]]:
    """Kind and key of each `look(x)` of the program, in the order of the source."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    tree = ast.parse(f"{top}\nasync def execute_command({parameter}):\n{lines}")
    pixels = Pixels(tree, "execute_command")
    found = []
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "look":
                    found.append((call.lineno, pixels.of(call.args[0], function)))
    return [said for _, said in sorted(found)]


def kinds(body: str, **how: str) -> list[str]:
    return [kind for kind, _ in looked_at(body, **how)]


@pytest.mark.parametrize(
    "body",
    [
        "look(image)",
        "look(ImagePatch(image))",
        "p = ImagePatch(image)\nlook(p)",
        "p = ImagePatch(image)\nlook(p.image)",
        "p = ImagePatch(image)\nq = p\nlook(q.handle)",
        "p, n = ImagePatch(image), 3\nlook(p)",
        "look(image if image else ImagePatch(image))",
        "for p in [ImagePatch(image)]:\n    look(p)",
    ],
)
def test_the_whole_frame(body: str) -> None:
    assert kinds(body) == ["frame"]


@pytest.mark.parametrize(
    "body",
    [
        "look(ImagePatch(image).crop(0, 0, 5, 5))",
        "look(ImagePatch(image, 0, 0, 5, 5))",
        "look((await p.find('x'))[0])",
        "found = p.find_finish(await p.find_start('x'))\nfor q in found:\n    look(q)",
        "found = await p.find('x')\n[look(q) for q in found]",
        "found = await p.find('x')\nfor i, q in enumerate(sorted(found, key=f)[1:]):\n    look(q.image)",
        "found = await p.find('x')\nfor q, n in zip(found, range(9)):\n    look(q)",
        "found = await p.find('x')\nbest = min(found, key=f)\nlook(best)",
        "best = None\nfor q in await p.find('x'):\n    if q.width > 3:\n        best = q\nlook(best)",
        "kept = []\nfor q in await p.find('x'):\n    kept.append(q)\nlook(kept[0])",
        "kept = [q for q in await p.find('x') if q.width]\nlook(kept[-1])",
        "q = (await p.find('x'))[0]\nq = q.crop(0, 0, 1, 1)\nlook(q)",
        "found = (await p.find('x')) or [p.crop(0, 0, 5, 5)]\nlook(found[0])",
    ],
)
def test_a_part_of_it(body: str) -> None:
    assert set(kinds(body)) == {"crop"}


@pytest.mark.parametrize(
    "body",
    [
        "look(other)",
        "p = ImagePatch(image)\nif p.width > 9:\n    p = p.crop(0, 0, 9, 9)\nlook(p)",
        "p = something()\nlook(p)",
        "for p in [ImagePatch(image), ImagePatch(image).crop(0, 0, 5, 5)]:\n    look(p)",
        "try:\n    pass\nexcept E as p:\n    look(p)",
        "look(p[0])",
        "a = b\nb = a\nlook(a)",
        "x = [[1]]\nfor row in x:\n    for p in row:\n        look(p)",
        "(a, *b), c = x\nlook(b)",
        "look(f'{image}')",
    ],
)
def test_what_cannot_be_told(body: str) -> None:
    assert kinds(body) == ["unknown"]


def test_frames_of_a_video_are_not_followed() -> None:
    assert kinds("look(video)", parameter="video") == ["unknown"]
    assert kinds("look(image[0])") == ["unknown"]


def test_helpers_are_followed_both_ways() -> None:
    helper = "async def ask(patch, text):\n    return look(patch.image)\ndef wide(p):\n    return p.crop(0, 0, 9, 9)\n"
    assert kinds("p = ImagePatch(image)\nawait ask(p, 'x')", top=helper) == ["frame"]
    assert kinds("p = ImagePatch(image)\nawait ask(patch=p.crop(0, 0, 1, 1), text='x')", top=helper) == ["crop"]
    both = "p = ImagePatch(image)\nawait ask(p, 'x')\nfor q in await p.find('y'):\n    await ask(q, 'x')"
    assert kinds(both, top=helper) == ["unknown"]
    assert kinds("look(wide(ImagePatch(image)))", top=helper) == ["unknown", "crop"]
    assert kinds("await ask(*given)", top=helper) == ["unknown"]
    again = "def again(p):\n    return again(p) if p.width else p.crop(0, 0, 1, 1)\n"
    assert kinds("look(again(image))", top=again) == ["crop"]


def test_the_same_key_is_the_same_pixels() -> None:
    body = "p = ImagePatch(image)\nq = p.crop(0, 0, 5, 5)\nr = p.crop(0, 0, 5, 5)\nlook(q)\nlook(q.image)\nlook(r)"
    first, second, other = (key for _, key in looked_at(body))
    assert first == second != other
    assert first


def test_a_name_for_several_things_is_no_key() -> None:
    body = "for q in await p.find('x'):\n    look(q)\nfor q in await p.find('y'):\n    look(q)"
    assert looked_at(body) == [("crop", ""), ("crop", "")]
    assert looked_at("look(p.crop(0, 0, 5, 5))") == [("crop", "")]


def test_the_program_that_looks_twice() -> None:
    source = (ROOT / "configs/programs/look_twice.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    function = next(node for node in tree.body if isinstance(node, ast.AsyncFunctionDef))
    calls = [n for n in ast.walk(function) if isinstance(n, ast.keyword) and n.arg == "image"]
    pixels = Pixels(tree, "execute_command")
    assert [pixels.of(call.value, function)[0] for call in sorted(calls, key=lambda c: c.value.lineno)] == [
        "frame", "crop", "crop",
    ]  # fmt: skip


def test_long_and_wide_ways_end() -> None:
    chain = "p0 = image\n" + "".join(f"p{n} = p{n - 1}\n" for n in range(1, 3000)) + "look(p2999)"
    assert kinds(chain) == ["unknown"]
    wide = "p0 = image\n" + "".join(f"p{n} = p{n - 1} or p{n - 1}\n" for n in range(1, 50)) + "look(p49)"
    assert kinds(wide) == ["frame"]
