"""What is made of a program's source before it runs: never of its meaning."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dicem_shared.errors import ProgramError, ProgramSyntaxError
from dicem_shared.program import MAX_SOURCE_BYTES, MAX_WORDS, load_program, prepare

ENTRY = "def execute_command(image):\n    return 1\n"


# The entry


@pytest.mark.parametrize("name", ["execute_command", "execute_query"])
@pytest.mark.parametrize(("prefix", "awaits"), [("", ""), ("async ", "await ")])
def test_the_entry_is_found_and_called(name: str, prefix: str, awaits: str) -> None:
    program = prepare(f"def helper(): pass\n{prefix}def {name}(image):\n    return 1\n")
    assert (program.entry, program.form) == (name, "function")
    assert program.runnable.splitlines()[-1] == f"_returned({awaits}{name}(PILImage(_frame)))"


@pytest.mark.parametrize(
    ("parameters", "given_"),
    [
        ("image", "PILImage(_frame)"),
        ("img: str", "PILImage(_frame)"),
        ("image_patch", "ImagePatch(_frame)"),
        ("patch", "ImagePatch(_frame)"),
        ("video", "_frames"),
        ("video_segment", "_frames"),
        ("image_filename", '"frame"'),
        ("path", '"frame"'),
        ("image, verbose=False", "PILImage(_frame)"),
        ("image='accident.jpg'", "PILImage(_frame)"),
        ("image, *rest, limit=5, **more", "PILImage(_frame)"),
    ],
)
def test_the_entry_gets_what_its_parameter_asks_for(parameters: str, given_: str) -> None:
    program = prepare(f"def execute_command({parameters}):\n    return 1\n")
    assert program.runnable.splitlines()[-1] == f"_returned(execute_command({given_}))"


@pytest.mark.parametrize(
    "call",
    [
        "execute_command('a.jpg')",
        "import asyncio\nasyncio.run(execute_command('a.jpg'))",
        "answer = execute_command('a.jpg')\nprint(answer)",
        "if __name__ == '__main__':\n    execute_command('a.jpg')",
    ],
)
def test_a_module_that_calls_its_entry_is_left_to_do_so(call: str) -> None:
    program = prepare(ENTRY + call + "\n")
    assert program.form == "module"
    assert program.runnable.rstrip().endswith("None")
    assert "_returned" not in program.runnable


def test_an_entry_that_calls_itself_is_no_module() -> None:
    assert prepare("def execute_command(image):\n    return execute_command(image)\n").form == "function"


# Imports


def resolved(source: str) -> str:
    """The runnable text of a program that begins so, without its entry."""
    text = prepare(source + "\n" + ENTRY).runnable
    return text[: text.index("\n" + ENTRY)]


@pytest.mark.parametrize(
    ("source", "becomes"),
    [
        ("import hermod", "pass"),
        ("import hermod as h", "h = hermod"),
        ("import asyncio", "import asyncio"),
        ("import asyncio, hermod", "import asyncio"),
        ("import hermod, asyncio as a, math", "import asyncio as a; import math"),
        ("import PIL", "pass"),
        ("import PIL.Image", "pass"),
        ("import PIL.Image as I", "I = PIL_Image"),
        ("from PIL import Image", "Image = PIL_Image"),
        ("from PIL import Image as I", "I = PIL_Image"),
        ("from PIL.Image import open as o", "o = PIL_Image.open"),
        ("from hermod import call", "call = hermod.call"),
        ("from hermod import call as c, promise", "c = hermod.call; promise = hermod.promise"),
        ("from hermod import (call,)", "call = hermod.call"),
        ("from math import sqrt", "from math import sqrt"),
        ("from math import *", "from math import *"),
        ("from . import hermod", "from . import hermod"),
        ("from .hermod import call", "from .hermod import call"),
        ("import hermodx", "import hermodx"),
        ("import hermod.deep", "import hermod.deep"),
        ("x = 1; import hermod; y = 2", "x = 1; pass; y = 2"),
        ("import hermod; from PIL import Image", "pass; Image = PIL_Image"),
        ("if True: import hermod", "if True: pass"),
        ("é = 'ü'; import hermod as h # ö", "é = 'ü'; h = hermod # ö"),
        ("try:\n    import hermod\nexcept ImportError:\n    raise", "try:\n    pass\nexcept ImportError:\n    raise"),
        ("s = 'import hermod'", "s = 'import hermod'"),
        ("# import hermod", "# import hermod"),
    ],
)
def test_imports_of_the_prelude_become_its_names(source: str, becomes: str) -> None:
    assert resolved(source) == becomes


@pytest.mark.parametrize(
    "source",
    [
        "from hermod import (\n    call,\n    promise,\n)\nlater()",
        "import asyncio, \\\n    hermod, \\\n    math\nlater()",
        "def f():\n    from PIL import (\n        Image,\n    )\n    return Image\nimport hermod\nlater()",
        "def f():\n  def g():\n    from hermod import (call,\n      promise)\n  import hermod\nimport hermod\nlater()",
        "from PIL import (Image,\n  Image as I); import hermod\nlater()",
        "import hermod\r\nfrom PIL import (\r\n  Image)\r\nlater()",
        "import hermod\rimport PIL\rlater()",
        "x = '\x0c'\x0c\nimport hermod\nlater()",
    ],
)
def test_every_other_line_stays_where_it_is(source: str) -> None:
    text = source + "\n" + ENTRY
    program = prepare(text)
    assert named_lines(ast.parse(program.runnable))["later"] == named_lines(ast.parse(text))["later"]
    assert program.runnable.count("\n") - 2 == text.count("\n")
    assert not [n for n in ast.walk(ast.parse(program.runnable)) if imports_prelude(n)]


def named_lines(tree: ast.Module) -> dict[str, int]:
    return {n.func.id: n.lineno for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}


def imports_prelude(node: ast.AST) -> bool:
    names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    return any(name in ("hermod", "PIL", "PIL.Image") for name in names)


module_names = st.sampled_from(["hermod", "PIL", "PIL.Image", "asyncio", "math"])
import_lines = st.one_of(
    st.builds(lambda ms: "import " + ", ".join(ms), st.lists(module_names, min_size=1, max_size=3)),
    st.builds(lambda m, many: f"from {m} import (\n    a,\n    b as c)" if many else f"from {m} import a",
              module_names, st.booleans()),
)  # fmt: skip


@given(st.lists(st.tuples(import_lines, st.integers(0, 2)), max_size=6))
def test_any_mixture_of_imports_keeps_its_lines(lines: list[tuple[str, int]]) -> None:
    source = ""
    for number, (line, depth) in enumerate(lines):
        opening = "".join(f"{'    ' * k}def f{number}{k}():\n" for k in range(depth))
        inner = "    " * depth + line
        source += f"{opening}{inner}\n{'    ' * depth}mark{number}()\n"
    text = source + ENTRY
    before, after = ast.parse(text), ast.parse(prepare(text).runnable)
    assert {k: v for k, v in named_lines(after).items() if k.startswith("mark")} == named_lines(before)
    assert not [n for n in ast.walk(after) if imports_prelude(n)]


# Directives and id


def test_directives_are_read() -> None:
    program = prepare("# dicem: name=litter\n# dicem: crop-origin=top-left\n" + ENTRY, name="file")
    assert (program.name, program.crop_origin) == ("litter", "top-left")
    plain = prepare(ENTRY, name="file")
    assert (plain.name, plain.crop_origin) == ("file", "bottom-left")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("crop-origin=left-top", "crop-origin (expected bottom-left or top-left, got left-top)"),
        ("crop-orign=top-left", "crop-orign (expected crop-origin or name, got crop-orign)"),
    ],
)
def test_a_directive_that_says_nothing_is_an_error(line: str, said: str) -> None:
    with pytest.raises(ProgramError) as caught:
        prepare(f"\n# dicem: {line}\n{ENTRY}", where="p.py")
    assert str(caught.value) == f"p.py:2:1: # dicem: {said}"


def test_the_id_is_the_source() -> None:
    assert prepare(ENTRY, name="a", where="x").id == prepare(ENTRY, name="b", where="y").id
    assert prepare(ENTRY).id != prepare(ENTRY + "\n").id
    assert prepare(ENTRY).id == "a39dce7e14b656402f151ffce21d1996"


# Errors


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def execute_command(image)\n    return 1\n", "p.py:1:27: expected ':'"),
        ("\n\nx = (1\n", "p.py:3:5: '(' was never closed"),
        ("if True:\nx = 1\n", "p.py:2:1: expected an indented block"),
        ("x = 'a\n", "p.py:1:5: unterminated string literal"),
        ("x = \0", "p.py:1:1: source code string cannot contain null bytes"),
        ("\ud800", "p.py:1:1: not text"),
        ("-" * 100_000 + "1", "p.py:1:1: nested too deeply"),
        ("x = 1" + "+1" * 20_000, "p.py:1:1: nested too deeply"),
        ("x = [" + "1," * MAX_WORDS + "]", "p.py:1:1: too long (expected at most 30000 words, got 60001)"),
        ("x = " + "(" * 300 + ")" * 300, "p.py:1:205: too many nested parentheses"),
        ("x = " + "9" * 5000, "p.py:1:"),
        ("#" * (MAX_SOURCE_BYTES + 1), "p.py:1:1: too long"),
        ("from hermod import *\n" + ENTRY, "p.py:1:1: import *. Name what you need of hermod."),
        ("def f():\n    x = 1; from PIL import *\n" + ENTRY, "p.py:2:12: import *"),
    ],
)
def test_what_does_not_parse(source: str, said: str) -> None:
    with pytest.raises(ProgramSyntaxError) as caught:
        prepare(source, where="p.py")
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "p.py:1:1: no entry function (expected a function execute_command(image), got no function at all). "
             "Name the function that takes the frame execute_command."),
        ("def main(image): pass\ndef other(): pass\n", "p.py:1:1: no entry function (expected a function "
         "execute_command(image), got main, other). Name the function that takes the frame execute_command."),
        ("class A:\n    def execute_command(image): pass\n", "p.py:1:1: no entry function"),
        (ENTRY + "\n" + ENTRY, "p.py:4:1: two entry functions (got execute_command, execute_command)"),
        (ENTRY + "def execute_query(f): pass\n", "p.py:3:1: two entry functions (got execute_command, execute_query)"),
        ("\ndef execute_command(): pass\n", "p.py:2:1: execute_command cannot be called with a frame (expected one "
         "parameter: image, image_patch, video or image_filename, got none)"),
        ("def execute_command(image, other): pass\n", "p.py:1:1: execute_command cannot be called with a frame "
         "(expected one parameter: image, image_patch, video or image_filename, got image, other)"),
        ("def execute_command(image, /): pass\n", "p.py:1:1: execute_command cannot be called with a frame"),
        ("def execute_command(*images): pass\n", "p.py:1:1: execute_command cannot be called with a frame"),
        ("def execute_command(image, *, size): pass\n", "p.py:1:1: execute_command cannot be called with a frame"),
        ("def execute_command(a, b, c=1" + "+1" * 900 + "): pass\n", "p.py:1:1: execute_command cannot be called"),
    ],
)  # fmt: skip
def test_what_is_no_program(source: str, said: str) -> None:
    with pytest.raises(ProgramError) as caught:
        prepare(source, where="p.py")
    assert str(caught.value).startswith(said)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "near-litter.py"
    path.write_bytes(b"\xef\xbb\xbf" + ENTRY.encode())
    assert load_program(path).name == "near-litter"
    assert load_program(path).id == prepare(ENTRY).id  # a byte-order mark is no part of the program
    path.write_bytes(b"x = 1\ny = '\xff'\n")
    with pytest.raises(ProgramSyntaxError, match=rf"^{path}:2:6: not UTF-8 text \(got invalid start byte\)$"):
        load_program(path)
    with pytest.raises(ProgramError, match=r"cannot be read .got No such file or directory"):
        load_program(tmp_path / "none.py")
    with pytest.raises(ProgramError, match=r"cannot be read .got Is a directory"):
        load_program(tmp_path)


def test_odd_escapes_are_not_reported(recwarn: pytest.WarningsRecorder) -> None:
    prepare(ENTRY + "x = '\\d'\n")
    assert not recwarn.list


# Whatever comes, it is a program or one of our errors

words = st.sampled_from(
    ["def", "execute_command", "(", ")", ":", "image", "\n", "    ", "import", "from", "hermod", "PIL", "*", "as", ",",
     "return", "async", "await", "lambda", "=", "'", '"', "# dicem: name=", "\\", ";", "{", "}", "é", "\t", "\r", "\0"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=200), st.lists(words, max_size=40).map(" ".join), st.lists(words).map("".join)))
@example("def execute_command(image): pass\\")
@example("def execute_command(image): pass # \\")
@settings(max_examples=400)
def test_any_source_is_a_program_or_a_program_error(source: str) -> None:
    try:
        program = prepare(source + "\n" + ENTRY if len(source) % 2 else source, where="p.py")
    except ProgramError as error:
        where = str(error)
    else:
        where = "p.py:"
        ast.parse(program.runnable)
    assert where.startswith("p.py:")
