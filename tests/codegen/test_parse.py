"""The first pass: a tree within bounds, or one line that says where the text is none."""

from __future__ import annotations

import ast
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicem_codegen import parse as bounds
from dicem_codegen.parse import (
    MAX_BRACES,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_KEYWORDS,
    MAX_LINES,
    MAX_LOOPS,
    MAX_NODES,
    depth_of,
    parse,
    read_program,
    read_text,
    room_to_recurse,
)
from dicem_codegen.types import Diagnostic, Parsed, printable
from dicem_shared.errors import CompileError, ProgramError

SAME = settings(derandomize=True, deadline=None, database=None, max_examples=150)
ENTRY = "def execute_command(image):\n    return 1\n"


def parsed(source: str) -> Parsed:
    return parse(source, name="p", where="p.py")


def refused(source: str) -> str:
    with pytest.raises(CompileError) as caught:
        parsed(source)
    (only,) = caught.value.diagnostics
    assert only.severity == "error"
    assert str(caught.value) == only.text("p.py")
    assert str(caught.value).isprintable()
    return str(caught.value)


# What it gives


def test_the_tree_is_pythons() -> None:
    found = parsed(ENTRY)
    assert ast.dump(found.tree, include_attributes=True) == ast.dump(ast.parse(ENTRY), include_attributes=True)
    assert (found.source, found.name, found.where, found.directives) == (ENTRY, "p", "p.py", {})


def test_directives_are_kept_and_one_is_the_name() -> None:
    found = parsed(f"# dicem: name=litter\n# dicem: crop-origin=top-left\n{ENTRY}")
    assert found.directives == {"name": "litter", "crop-origin": "top-left"}
    assert found.name == "litter"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_end_as_they_like(newline: str) -> None:
    found = parsed("\ufeffx = '''a\nb'''\ny = 2\n".replace("\n", newline))
    assert found.source == "x = '''a\nb'''\ny = 2\n"
    assert found.tree.body[1].lineno == 3


def test_a_form_feed_is_no_line() -> None:
    found = parsed("x = 1\n\x0cy = '\x0c\u2028'\nz = 3\n")
    assert [statement.lineno for statement in found.tree.body] == [1, 2, 3]
    assert refused("\x0cx = 1\n\x0cy = )") == "p.py:2:6: error: unmatched ')'"


def test_top_level_await_is_a_program() -> None:
    assert len(parsed("x = await f()\nasync for y in x: print(y)\n").tree.body) == 2


@pytest.mark.parametrize(
    ("source", "name", "place"),
    [
        ("é = 'ü' + x", "x", (1, 11)),
        ("s = '🚤🚤'; t = x", "x", (1, 15)),
        ("if 1:\n\tüber = x", "x", (2, 9)),
        ('s = f"é{x.find(1)}"', "x", (1, 9)),
        ('s = (f"a"\n     f"é {x}")', "x", (2, 11)),
    ],
)
def test_columns_count_characters(source: str, name: str, place: tuple[int, int]) -> None:
    found = parsed(source)
    (node,) = [n for n in ast.walk(found.tree) if isinstance(n, ast.Name) and n.id == name]
    assert found.place(node) == place
    line, column = place
    assert found.lines[line - 1][column - 1 :].startswith(name)


# What it refuses


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def execute_command(image)\n    return 1\n", "1:27: error: expected ':'"),
        ("x = 1\ny = 'ü' + )", "2:11: error: unmatched ')'"),
        ("x = 'ü'; return 3", "1:10: error: 'return' outside function"),
        ("def f():\n    é = 'ü'; await g()", "2:14: error: 'await' outside async function"),
        ("while 1:\n    pass\nelse:\n    continue", "4:5: error: 'continue' not properly in loop"),
        ("def f():\n    break", "2:5: error: 'break' outside loop"),
        ("def f(a, a): pass", "1:10: error: duplicate argument 'a' in function definition"),
        ("def f():\n    x = 1\n    global x", "3:5: error: name 'x' is assigned to before global declaration"),
        ("f(a=1, a=2)", "1:8: error: keyword argument repeated: a"),
        ("if 1:\n\tx = 1\n        y = 2", "3:"),
        ("if 1:\nx = 1", "2:1: error: expected an indented block"),
        ("x = '''a\n\n", "1:5: error: unterminated triple-quoted string literal"),
        ("x = (1,\n\n\n", "1:5: error: '(' was never closed"),
        ("x = 1\\", "1:7: error: unexpected EOF while parsing"),
        ("x = 1\n\n@f\n", "3:"),
        ("x = \x1b[31m1", "1:5: error: invalid non-printable character U+001B"),
        ("x = “a”", "1:5: error: invalid character '“' (U+201C)"),
        ("a = 1\nbé = '\0'", "2:7: error: a null byte: this is no text"),
        ("a = 1\n\ud800", "2:1: error: half a character: this is no text"),
        ("x = 0777", "1:"),
        ("type X = int", "1:"),
        ("print 'a'", "1:1: error: Missing parentheses in call to 'print'. Did you mean print(...)?"),
        ("# dicem: crop-origin=up", "1:1: error: # dicem: crop-origin: expected bottom-left or top-left, got up"),
        ("\n# dicem: nmae=a", "2:1: error: # dicem: nmae: expected crop-origin or name, got nmae"),
    ],
)
def test_what_does_not_parse(source: str, said: str) -> None:
    assert refused(source).startswith(f"p.py:{said}")


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="fields of f-strings have their own columns before 3.12 only")
def test_columns_in_fields() -> None:
    assert refused("x = f'é {a b}'") == "p.py:1:10: error: f-string: invalid syntax. Perhaps you forgot a comma?"


DEEP = {
    "a sum of 5,000 terms": "x = 1" + " + 1" * 5000,
    "a sum just over the bound": "x = 1" + " + 1" * MAX_DEPTH,
    "minus": "x = " + "-" * 100_000 + "1",
    "lambdas": "x = " + "lambda: " * 4000 + "1",
    "lists": "x = " + "[" * 150 + "]" * 150,
    "attributes": "x = a" + ".b" * 1000,
    "elif": "if a:\n    pass\n" + "elif a:\n    pass\n" * 1000,
    "ternaries": "x = " + "1 if a else " * 2000 + "2",
    "functions": "".join(" " * i + "def f():\n" for i in range(99))
    + " " * 99
    + "[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]",
}


@pytest.mark.parametrize("source", DEEP.values(), ids=DEEP.keys())
def test_what_is_too_deep(source: str) -> None:
    said = refused("y = 1\n\n" + source)
    assert ": error: nested more than 120 deep. Give parts" in said
    assert said.startswith("p.py:3:1:") == ("\n" not in source)


def test_too_deep_says_the_line() -> None:
    long = "x = 1\n" * 800
    assert refused(long + "if 1:\n    y = " + "-" * 50_000 + "1\n" + long).startswith("p.py:802:1: error: nested more")
    assert refused(long + "if 1:\n    y = 1" + "+1" * 200 + "\n" + long).startswith("p.py:802:5: error: nested more")


def test_the_deepest_is_safe_for_every_walk() -> None:
    fits = parsed("x = 1" + " + 1" * (MAX_DEPTH - 3))
    assert depth_of(fits.tree) == MAX_DEPTH
    assert ast.unparse(fits.tree) == fits.source
    with room_to_recurse():
        assert sys.getrecursionlimit() >= bounds.RECURSION
    assert sys.getrecursionlimit() < bounds.RECURSION or sys.gettrace()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\n" * 20_000, f"{MAX_LINES + 1}:1: error: too long: 20,000 lines, at most 3,000 are taken"),
        ("\n" * MAX_LINES + "x", f"{MAX_LINES + 1}:1: error: too long: 3,001 lines"),
        ("x = '\n" + "é" * MAX_CHARACTERS, "2:199995: error: too long: 200,006 characters"),
        ("x = 1;" * (MAX_NODES // 3 + 9), "1:"),
        ("x = [" + "1, " * MAX_NODES + "]", "1:1: error: too long: 80,001 names, numbers, commas and line ends"),
        ("x = [" + "-----1," * (MAX_NODES // 4) + "]", "1:1: error: too long: more than 40,000 names"),
        ("x = f'" + "{a}" * (MAX_BRACES + 1) + "'", "1:30007: error: too many braces"),
        ("\n\nx = 0x" + "f" * MAX_DIGITS, "3:5: error: a whole number of more than 4,300 digits"),
        ("\n\nx = 1" + "0" * MAX_DIGITS, "3:1: error: a whole number of more than 4,300 digits"),
        ("f(" + ", ".join(f"a{i}=1" for i in range(MAX_KEYWORDS + 1)) + ")", "1:7893: error: more than 1000 keywords"),
    ],
)  # fmt: skip
def test_what_is_too_long(source: str, said: str) -> None:
    assert refused(source).startswith(f"p.py:{said}")


def test_what_just_fits() -> None:
    assert len(parsed("x = 1\n" * MAX_LINES).tree.body) == MAX_LINES
    assert parsed("x = " + "9" * MAX_DIGITS)
    assert parsed("x = '" + "a" * (MAX_CHARACTERS - 6) + "'")


@pytest.mark.parametrize(
    "nest",
    [
        lambda n: "".join(" " * i + "for x in y:\n" for i in range(n)) + " " * n + "pass\n",
        lambda n: "".join(" " * i + "while x:\n" for i in range(n)) + " " * n + "pass\n",
        lambda n: "x = " + "[" * n + "1" + " for i in j]" * n + "\n",
        lambda n: "x = [1" + "".join(f" for a{i} in b" for i in range(n)) + "]\n",
    ],
)
def test_loops_in_loops(nest: object) -> None:
    assert callable(nest)
    assert parsed(nest(MAX_LOOPS))
    assert "error: more than 10 loops inside each other" in refused(nest(MAX_LOOPS + 1))


# Files


def text_of(data: bytes) -> str:
    return read_text(io.BytesIO(data), where="p.py")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),
        ("# -*- coding: utf-8 -*-\nx = 'ü'".encode(), "# -*- coding: utf-8 -*-\nx = 'ü'"),
        ("# coding: latin-1\nx = 'ü'".encode("latin-1"), "# coding: latin-1\nx = 'ü'"),
        ("#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\nx = '€'".encode("cp1252"),
         "#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\nx = '€'"),
        (b"x = 1\n# coding: rot13\n", "x = 1\n# coding: rot13\n"),  # not in the first lines: a comment
        (b"# coding: ascii\nx = 1", "# coding: ascii\nx = 1"),
        (b"", ""),
    ],
)  # fmt: skip
def test_encodings(data: bytes, text: str) -> None:
    assert text_of(data) == text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"x = 1\ny = '\xff'\n", "p.py:2:6: error: not UTF-8 text: invalid start byte. Save it as UTF-8"),
        ("y = 'üü".encode() + b"\xff'", "p.py:1:8: error: not UTF-8 text: invalid start byte. Save it as UTF-8"),
        ("x = 1".encode("utf-16"), "p.py:1:1: error: not UTF-8 text: invalid start byte. Save it as UTF-8, not UTF-16"),
        (b"\n# coding: rot13\n", "p.py:2:1: error: encoding rot13 is not read. Save it as UTF-8"),
        (b"# coding: punycode\n", "p.py:1:1: error: encoding punycode is not read. Save it as UTF-8"),
        (b"# coding: " + b"x" * 200, f"p.py:1:1: error: encoding {'x' * 40} is not read. Save it as UTF-8"),
        (b"x" * (4 * MAX_CHARACTERS + 1), "p.py:1:1: error: too long: more than 200,000 characters"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, said: str) -> None:
    with pytest.raises(CompileError) as caught:
        text_of(data)
    assert str(caught.value).startswith(said)


def test_no_more_is_read_than_needed() -> None:
    with pytest.raises(CompileError, match=r"/dev/zero:1:1: error: too long"):
        read_program(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["nothing.py", ".", "a\0b", "x" * 5000])
def test_files_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProgramError, match="cannot be read"):
        read_program(tmp_path / name)


# Messages


def test_a_message_is_one_line_without_orders_to_the_terminal() -> None:
    said = Diagnostic(1, 2, "note", "x", "a\x1b[31m\nb\u202e\ud800é", "c\x07").text("p\r.py")
    assert said == "p\\r.py:1:2: note: a\\x1b[31m\\nb\\u202e\\ud800é. c\\x07"
    assert printable("plain é") == "plain é"


@SAME
@given(st.one_of(st.text(max_size=80), st.binary(max_size=80)))
def test_anything_ends_as_a_tree_or_one_line(source: str | bytes) -> None:
    try:
        text = text_of(source) if isinstance(source, bytes) else source
        tree = parsed(text).tree
    except CompileError as error:
        cause = error
    else:
        assert depth_of(tree) <= MAX_DEPTH
        return
    (only,) = cause.diagnostics
    assert str(cause).startswith(f"p.py:{only.line}:{only.column}: error: ")
    assert min(only.line, only.column) >= 1
    assert str(cause).isprintable()
