"""What an entry's parameters are given, and files that are written whole."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from dicem_shared.entries import call_arguments, frame_argument
from dicem_shared.errors import ConfigError
from dicem_shared.files import write_whole


def given_to(parameters: str) -> list[str] | None:
    (function,) = ast.parse(f"def f({parameters}): pass").body
    assert isinstance(function, ast.FunctionDef)
    return call_arguments(function.args)


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ("image", ["PILImage(_frame)"]),
        ("img: str", ["PILImage(_frame)"]),
        ("image_patch", ["ImagePatch(_frame)"]),
        ("video_segment", ["_frames"]),
        ("image_filename", ['"frame"']),
        ("image, verbose=False, *rest, limit=5, **more", ["PILImage(_frame)"]),
        ("image='a.jpg'", ["PILImage(_frame)"]),
        ("video, possible_answers, question", ["_frames", "[]", '""']),
        ("image, query, other=1", ["PILImage(_frame)", '""']),
        ("video, question='what?', possible_answers=()", ["_frames"]),
        ("", None),
        ("*images", None),
        ("image, /", None),
        ("image, other", None),
        ("image, question, other", None),
        ("image, *, size", None),
    ],
)
def test_what_an_entry_is_given(parameters: str, arguments: list[str] | None) -> None:
    assert given_to(parameters) == arguments


def test_a_frame_by_its_name() -> None:
    assert frame_argument("path") == '"frame"'


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.py"
    write_whole(path, "é\n")
    write_whole(path, "ü\r\n")
    assert path.read_bytes() == "ü\r\n".encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["no/such/folder.py", ".", "x" * 300, "a\0b"])
def test_a_file_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        write_whole(tmp_path / name, "x")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.py"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, os.strerror(28))))
    with pytest.raises(ConfigError, match=r"cannot be written .got No space left on device"):
        write_whole(path, "new")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])
