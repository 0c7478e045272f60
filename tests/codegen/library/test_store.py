"""Stored programs: the same inputs, the same id; nothing is lost, and what was changed by hand shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicem_codegen import compile_program
from dicem_codegen.generate.types import Attempt, Check, Checked, Generated, Usage
from dicem_codegen.library import ProgramStore, StoredProgram, default_folder, stale, stored_program
from dicem_codegen.library.commands import describe
from dicem_codegen.library.stored import document
from dicem_shared.catalog import catalog
from dicem_shared.errors import ConfigError
from dicem_shared.functions import Registry, function

SOURCE = """def execute_command(image):
    boats = ImagePatch(image).find("boat")
    return [boat.simple_query("What colour is it?") for boat in boats]
"""


def checked(source: str = SOURCE, link: str = "coastal-lte") -> Checked:
    return Checked(
        source, (Check("parse"), Check("same-meaning", detail="40 worlds")), compile_program(source, link=link)
    )


def stored(source: str = SOURCE, name: str = "colours", **more: object) -> StoredProgram:
    return stored_program(name, checked(source), catalog(), question="Which colours?", **more)  # type: ignore[arg-type]


def generated(**more: object) -> Generated:
    found = checked()
    attempts = (Attempt(1, "...", SOURCE, found, usage=Usage(9, 9)),)
    given = {
        "question": "Which colours?", "checked": found, "attempts": attempts, "model": "m-1", "prompt_version": "p1",
        "functions": catalog(), "functions_from": "local",
    }  # fmt: skip
    return Generated(**(given | more))  # type: ignore[arg-type]


def test_the_same_inputs_give_the_same_id() -> None:
    one, other = stored(created_utc=1.0), stored(created_utc=2.0, name="other")
    assert one.id == other.id
    assert len(one.id) == 32
    assert [f.name for f in one.functions] == ["blip2", "glip", "yolov8"]


@pytest.mark.parametrize(
    "more", [{"question": "What?"}, {"model": "m-2"}, {"prompt_version": "p2"}, {"functions_from": "http://there"}]
)
def test_another_input_gives_another_id(more: dict[str, str]) -> None:
    one, other = (stored_program("n", g.checked, catalog(), generated=g) for g in (generated(), generated(**more)))
    assert one.id != other.id
    assert one.origin == "generated"
    assert stored_program("n", checked(link="satellite"), catalog(), generated=generated()).id != one.id
    assert stored_program("n", checked(SOURCE + "\n\n"), catalog(), generated=generated()).id != one.id


def test_what_has_not_passed_is_not_stored() -> None:
    with pytest.raises(ValueError, match="passed"):
        stored_program("n", Checked(SOURCE, (Check("parse"),)), catalog())


def test_revisions_are_kept_and_the_same_is_kept_once(tmp_path: Path) -> None:
    store = ProgramStore(tmp_path / "programs")
    assert store.names() == []
    first, second = stored(), stored(SOURCE.replace("colour", "size"))
    path = store.save(first)
    assert store.save(first.model_copy(update={"created_utc": 9.0})) == path
    store.save(second)
    store.save(first)
    assert [each.id for each in store.revisions("colours")] == [first.id, second.id, first.id]
    assert store.latest("colours") == first
    assert store.names() == ["colours"]
    assert store.find("colours") == first
    assert store.find(second.id[:8]) == second
    assert store.find(second.id) == second
    assert store.find("nothing") is None
    assert store.remove("colours") == 3
    assert store.names() == []
    assert store.remove("colours") == 0


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    store = ProgramStore(tmp_path)
    for name in ("..", "a/b", "", "x" * 40, "a\0b"):
        assert store.find(name) is None
        with pytest.raises(ConfigError):
            store.save(stored().model_copy(update={"name": name}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("What colour", "What size"), "changed after it was stored"),
        (lambda text: text[:-20], "Invalid JSON"),
        (lambda _: "", "Invalid JSON"),
        (lambda text: text.replace('"origin": "written"', '"origin": "stolen"'), "origin|Input"),
    ],
)
def test_a_damaged_record_is_said_so(tmp_path: Path, change: object, said: str) -> None:
    store = ProgramStore(tmp_path)
    path = store.save(stored())
    path.write_text(change(path.read_text()))  # type: ignore[operator]
    with pytest.raises(ConfigError, match=said):
        store.latest("colours")


def test_a_record_is_read_back_as_it_was(tmp_path: Path) -> None:
    store = ProgramStore(tmp_path)
    path = store.save(one := stored())
    assert StoredProgram.model_validate_json(path.read_bytes()) == one
    assert json.loads(path.read_text()) == document(one)


def test_a_full_folder_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "colours").write_text("a file in the way")
    with pytest.raises(ConfigError):
        ProgramStore(tmp_path).save(stored())


@function(sites=("cloud",))
def glip(image: str, thing: str) -> list[str]:
    """Another glip."""
    raise NotImplementedError


def test_a_changed_or_missing_function_makes_it_stale() -> None:
    one = stored()
    assert stale(one, catalog()) == []
    rest = [spec for spec in catalog() if spec.name not in ("glip", "blip2")]
    assert stale(one, Registry([glip, *rest])) == [
        "the function blip2 is not there any more",
        "the function glip has changed since the program was checked",
    ]


def test_other_words_do_not_make_a_function_another() -> None:
    spec = catalog().get("glip")
    worded = {**spec.parameters_schema, "title": "Other", "description": "Other words"}
    from dataclasses import replace

    assert replace(spec, documentation="Other words.", parameters_schema=worded).version == spec.version
    assert replace(spec, pure=False).version != spec.version


def test_what_is_shown_says_all(tmp_path: Path) -> None:
    text = describe(stored_program("n", checked(), catalog(), generated=generated()), ["the function x has changed"])
    for piece in (
        "Which colours?",
        "m-1 in 1 attempts, prompt p1",
        "same-meaning (40 worlds)",
        "STALE",
        "line 2:",
        SOURCE.strip(),
    ):
        assert piece in text


def test_where_the_library_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DICEM_PROGRAMS", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("DICEM_PROGRAMS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "dicem" / "programs"
