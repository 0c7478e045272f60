"""The third pass: programs as people and models write them mean the same in the runner's language."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from dicem_codegen.lower import expand, infer
from dicem_codegen.parse import parse

from ..shared.conftest import Desk
from .generator import generate
from .lowering import ROWS, Bench, chance, lowered, rows, runnable, short

PROGRAMS = [(file.stem, name, source) for file in sorted(ROWS.glob("*.txt")) for name, source in rows(file)]
GENERATED = 60


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    desk = Desk()
    yield Bench(desk)
    desk.close()


def in_entry(*lines: str, head: str = "") -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"{head}def execute_command(image):\n    patch = ImagePatch(image)\n{body}"


def body_of(text: str) -> str:
    """The lines of the entry after its first, without their indentation."""
    lines = text.split("def execute_command(image):\n")[1].split("\n")[1:]
    return "\n".join(line.removeprefix("    ") for line in lines)


# Meaning


@pytest.mark.parametrize("source", [s for _, _, s in PROGRAMS], ids=[f"{f}: {n}" for f, n, _ in PROGRAMS])
def test_a_program_means_the_same(bench: Bench, source: str) -> None:
    told = bench.same(source)
    assert told.error is None, "this program is about something, and it ends before that"


@pytest.mark.parametrize("seed", range(0, GENERATED * 10, 10))
def test_a_generated_program_means_the_same(bench: Bench, seed: int) -> None:
    bench.same(generate(seed).source, chance)


@pytest.mark.parametrize("source", [s for _, _, s in PROGRAMS[:40]], ids=[n for _, n, _ in PROGRAMS[:40]])
def test_a_lowered_program_is_as_its_own_lowered_program(source: str) -> None:
    once = short(source)
    assert ast.unparse(ast.parse(once)) == once
    assert short(source) == once  # and nothing depends on chance


# What it reads like


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["cans = patch.find('can')", "return len(cans)"], "cans = await patch.find('can')\nreturn len(cans)"),
        (["return [p.compute_depth() for p in patch.find('can')]"],
         "return [await p.compute_depth() for p in await patch.find('can')]"),
        (["return 'x'.find('y')"], "return 'x'.find('y')"),
        (["return patch.simple_query('a').find('b')"], "return (await patch.simple_query('a')).find('b')"),
        (["return llm_query('a')"], "return await llm_query('a')"),
        (["cans = patch.find('can')", "return min(cans, key=lambda p: p.compute_depth())"],
         "cans = await patch.find('can')\n_keys_1 = iter([await p.compute_depth() for p in cans])\n"
         "return min(cans, key=lambda _: next(_keys_1))"),
        (["if any(p.exists('a') for p in patch.find('b')):", "    return 1"],
         "_any_1 = False\nfor p in await patch.find('b'):\n    if await p.exists('a'):\n        _any_1 = True\n"
         "        break\nif _any_1:\n    return 1"),
        (["return any(p.left > 5 for p in patch.find('b'))"], "return any((p.left > 5 for p in await patch.find('b')))"),  # noqa: E501
        (["return list(map(lambda p: p.simple_query('a'), patch.find('b')))"],
         "return [await p.simple_query('a') for p in await patch.find('b')]"),
        (["for p in filter(lambda q: q.exists('a'), patch.find('b')):", "    print(p)"],
         "for q in await patch.find('b'):\n    if await q.exists('a'):\n        p = q\n        print(p)"),
        (["f = lambda p: p.exists('a')", "return f(patch)"],
         "\nasync def f(p):\n    return await p.exists('a')\nreturn await f(patch)"),
        (["best = None", "for p in patch.find('a'):", "    best = p", "return best.exists('b')"],
         "best = None\nfor p in await patch.find('a'):\n    best = p\n"
         "return await best.exists('b') if isinstance(best, ImagePatch) else best.exists('b')"),
        (["red = filter(lambda q: q.exists('a'), patch.find('b'))", "return [q.left for q in red]"],
         "_red_1 = await patch.find('b')\nreturn [q.left for q in _red_1 if await q.exists('a')]"),
        (["fs = {'a': lambda q: q.exists('a'), 'b': lambda q: q.compute_depth()}",
          "return [f(patch) for f in fs.values()], fs['a'](patch)"],
         "\nasync def _lambda_1(q):\n    return await q.exists('a')\n\nasync def _lambda_2(q):\n"
         "    return await q.compute_depth()\nfs = {'a': _lambda_1, 'b': _lambda_2}\n"
         "return ([await _lambda_1(patch) if f is _lambda_1 else await _lambda_2(patch) for f in fs.values()], "
         "await _lambda_1(patch) if fs['a'] is _lambda_1 else await _lambda_2(patch))"),
        (["def ask(q):", "    return q.exists('a')", "f = ask", "return f(patch)"],
         "\nasync def ask(q):\n    return await q.exists('a')\nf = ask\nreturn await ask(patch)"),
        (["for f in []:", "    pass", "def ask(q):", "    return q.exists('a')", "for q in [1]:", "    f = ask",
          "return f(patch)"],
         "for f in []:\n    pass\n\nasync def ask(q):\n    return await q.exists('a')\nfor q in [1]:\n    f = ask\n"
         "return await f(patch)"),
        (["raise ValueError(3)"], "raise ValueError(str(3))"),
        (["for i, p in enumerate(VideoSegment(image).frame_iterator()):", "    p.exists('a')"],
         "for i, p in enumerate(VideoSegment(image).frame_iterator()):\n    await p.exists('a')"),
        (["x = [1]", "del x[0]", "return x"], "x = [1]\n_delete(x, 0)\nreturn x"),
    ],
)  # fmt: skip
def test_what_a_lowered_program_reads_like(lines: list[str], expected: str) -> None:
    assert body_of(short(in_entry(*lines))).strip("\n") == expected.strip("\n")


def test_what_needs_no_change_is_not_changed() -> None:
    source = in_entry(
        "total = 0", "for i, word in enumerate('a b'.split()):", "    total += i * len(word)",
        "names = {w: sorted(w) for w in ('x', 'y')}", "return (total, names, max([1, 2], key=lambda v: -v), f'{total:.2f}')",  # noqa: E501
    )  # fmt: skip
    assert short(source) == ast.unparse(ast.parse(source))


def test_helpers_become_asynchronous_and_others_do_not() -> None:
    text = short(
        "def ask(p):\n    return p.exists('a')\ndef far(p):\n    return p.left\ndef both(p):\n    return ask(p) and far(p)\n"  # noqa: E501
        "def execute_command(image):\n    return both(ImagePatch(image))\n"
    )
    assert "async def ask" in text and "async def both" in text and "\ndef far" in text  # noqa: PT018
    assert "return await ask(p) and far(p)" in text


# Sites


def test_sites_are_numbered_as_they_stand_in_the_source() -> None:
    source = in_entry(
        "cans = patch.find('can')", "a = [p.exists('x') for p in cans]", "return llm_query(patch.simple_query('y'))"
    )
    sites = lowered(source).sites
    assert sorted((s.number, s.line, s.column, s.form, s.name, s.functions) for s in sites.values()) == [
        (1, 3, 12, "method", "find", ("yolov8", "glip")),
        (2, 4, 10, "method", "exists", ("yolov8", "glip")),
        (3, 5, 12, "function", "llm_query", ("llm",)),
        (4, 5, 22, "method", "simple_query", ("blip2",)),
    ]
    assert all(isinstance(node, ast.Await) for node in sites)
    nodes = [n for n in ast.walk(lowered(source).tree) if isinstance(n, (ast.expr, ast.stmt))]
    assert len(set(map(id, nodes))) == len(nodes), "a node stands in two places"


def test_the_sites_are_nodes_of_the_tree() -> None:
    for _, _, source in PROGRAMS:
        made = lowered(source)
        nodes = set(ast.walk(made.tree))
        assert made.sites.keys() <= nodes
        assert made.started.keys() <= nodes
        numbers = [site.number for site in [*made.sites.values(), *made.started.values()]]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_a_helper_is_pure_if_nothing_in_it_shows() -> None:
    head = (
        "def quiet(p):\n    found = []\n    for q in p.find('x'):\n        found.append(q.left)\n    return found\n"
        "def loud(p):\n    print('x')\n    return p.exists('x')\n"
        "def storing(p, into):\n    into.append(p.exists('x'))\n"
    )
    source = in_entry("into = []", "storing(patch, into)", "return quiet(patch), loud(patch)", head=head)
    found = {s.name: (s.pure, s.functions) for s in lowered(source).sites.values() if s.form == "helper"}
    both = ("glip", "yolov8")
    assert found == {"quiet": (True, both), "loud": (False, both), "storing": (False, both)}


def test_calls_by_name_are_sites_where_they_are_awaited() -> None:
    source = (
        "import hermod\nasync def execute_command(image, name='depth'):\n"
        "    job = hermod.call('depth', image=image)\n    text = await hermod.call('llm', prompt='x')\n"
        "    other = await hermod.call(name, image=image)\n    return await job, text, other\n"
    )
    sites = sorted(lowered(source).sites.values(), key=lambda s: s.number)
    assert [(s.form, s.name) for s in sites] == [("call", "llm"), ("call", "call")]
    assert len(sites[1].functions) == 7


# Writing calls apart


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("patch.find('x')", "patch.find_finish(await patch.find_start('x', site='edge'))"),
        ("patch.crop(1, 2, 3, 4).exists('x')",
         "(_patch_1 := patch.crop(1, 2, 3, 4)).exists_finish(await _patch_1.exists_start('x', site='edge'))"),
        ("patch.best_text_match(['a', 'b'])",
         "patch.best_text_match_finish(await patch.best_text_match_start((_option_list_1 := ['a', 'b']), site='edge'), "
         "_option_list_1)"),
        ("llm_query('x')", "llm_query_finish(await llm_query_start('x', site='edge'))"),
        ("process_guesses('q', guess2='b')",
         "process_guesses_finish(await process_guesses_start('q', guess2='b', site='edge'), guess2='b')"),
        ("best_image_match([patch], 'x')", "await best_image_match_ask([patch], 'x', site='edge')"),
    ],
)  # fmt: skip
def test_a_call_is_written_as_start_and_finish(expression: str, expected: str) -> None:
    made = lowered(in_entry(f"return {expression}"))
    tags = {site.number: {"site": "edge"} for site in made.sites.values()}
    assert body_of(ast.unparse(expand(made, tags))) == f"return {expected}"


def test_no_site_is_left_in_its_short_form() -> None:
    for _, _, source in PROGRAMS:
        tree = ast.parse(runnable(source))
        for node in ast.walk(tree):
            if isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
                name = getattr(node.value.func, "attr", getattr(node.value.func, "id", ""))
                assert name not in ("find", "simple_query", "compute_depth", "llm_query", "process_guesses"), source


# Kinds


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["x = patch.find('a')"], "patches"),
        (["x = patch.find('a')", "x.append(3)"], "list"),
        (["x = patch.find('a')[0]"], "patch"),
        (["x = sorted(patch.find('a'), key=lambda p: p.left)[-1]"], "patch"),
        (["x = min(patch.find('a'), key=lambda p: p.left)"], "patch"),
        (["for i, x in enumerate(patch.find('a')):", "    pass"], "patch"),
        (["(x, y), z = (patch, 1), 2"], "patch"),
        (["d = {'a': patch}", "x = d['a']"], "patch"),
        (["x = None", "if image:", "    x = patch"], "unknown"),
        (["x = patch.simple_query('a')"], "str"),
        (["x = patch.compute_depth() / 2"], "number"),
        (["x = patch.left > 3"], "bool"),
        (["x = (p for p in [1])"], "iterator"),
        (["x = dict(a=1).items()"], "iterator"),
        (["x = getattr(patch, image)"], "unknown"),
        (["x = [p.left for p in patch.find('a')]"], "list"),
        (["def f(a):", "    return a", "x = f(patch)"], "patch"),
        (["setattr(patch, 'left', 'x')", "x = patch.left"], "unknown"),
        (["patch.left = 'x'", "x = patch.left"], "unknown"),
        (["patch.tag = 'x'", "x = patch.tag"], "str"),
    ],
)
def test_kinds(lines: list[str], expected: str) -> None:
    tree = parse(in_entry(*lines), name="p", where="p.py").tree
    kinds = infer(tree, entry="execute_command")
    named = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "x" and isinstance(n.ctx, ast.Store)]
    assert kinds.kind_of(named[-1]) == expected


def chain(count: int) -> list[str]:
    """Functions that each call the next; the last one makes a call."""
    links = [f"def f{i}(p, depth):\n    return f{i + 1}(p, depth + 1)\n" for i in range(count)]
    return [*links, f"def f{count}(p, depth):\n    return p.find('can'), depth\n"]


@pytest.mark.parametrize("backwards", [False, True])
def test_kinds_settle_along_long_chains_of_functions(backwards: bool) -> None:
    head = "".join(reversed(chain(500)) if backwards else chain(500))
    made = lowered(in_entry("return f0(patch, 0)", head=head))
    assert ast.unparse(made.tree).count("async def f") == 501
    assert sum(site.form == "method" for site in made.sites.values()) == 1
    assert {site.functions for site in made.sites.values()} == {("glip", "yolov8"), ("yolov8", "glip")}


@pytest.mark.parametrize("backwards", [False, True])
def test_kinds_settle_along_long_chains_of_variables(backwards: bool) -> None:
    steps = [f"    x{i + 1} = same(x{i})" for i in range(500)]
    lines = ["x0 = patch", "for _ in 'ab':", *(reversed(steps) if backwards else steps), "y = x500"]
    tree = parse(in_entry(*lines, head="def same(p):\n    return p\n"), name="p", where="p.py").tree
    kinds = infer(tree, entry="execute_command")
    (last,) = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "y"]
    assert kinds.kind_of(last) == "patch"


def test_what_is_told_of_iterators_and_of_what_never_changes() -> None:
    tree = parse(in_entry("a, b, c = [1], iter([1]), (1, 'x')", "return a, b, c"), name="p", where="p.py").tree
    kinds = infer(tree, entry="execute_command")
    returned = tree.body[0].body[-1].value.elts  # type: ignore[attr-defined]
    assert [kinds.never_iterator(node) for node in returned] == [True, False, True]
    assert [kinds.is_immutable(node) for node in returned] == [False, False, True]


def test_scripts_are_wrapped() -> None:
    text = short(
        "def execute_command(image):\n    return ImagePatch(image).exists('x')\nprint(execute_command(None))\n"
    )
    assert text == (
        "import asyncio\nimport hermod\n\nasync def execute_command(image):\n"
        "    return await ImagePatch(image).exists('x')\n\nasync def main():\n    print(await execute_command(None))\n"
        "asyncio.run(hermod.run(main()))"
    )
    text = short(
        "import asyncio\nimport hermod\nasync def execute_query(f):\n    return 1\nasyncio.run(execute_query('x'))\n"
    )
    assert text.endswith("asyncio.run(hermod.run(execute_query('x')))")


def test_awaits_inside_a_function_run_beside_others_stay_away() -> None:
    text = short({n: s for _, n, s in PROGRAMS}["concurrent sync calls inside gather"])
    assert "d = p.compute_depth()" in text
