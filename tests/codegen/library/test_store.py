"""Stored programs: the same inputs, the same id; nothing is lost, and what was changed by hand shows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dicem_codegen import compile_program
from dicem_codegen.generate.types import Attempt, Check, Checked, Generated, Usage
from dicem_codegen.library.commands import describe, list_
from dicem_codegen.library.resolve import Setting, name_of_wanted, record
from dicem_codegen.library.store import ProgramStore, default_folder
from dicem_codegen.library.stored import StoredProgram, stale, stored_program
from dicem_shared.catalog import catalog
from dicem_shared.errors import ConfigError, ProgramError
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
    assert json.loads(path.read_text()) == one.model_dump(mode="json")


def moved(store: ProgramStore, name: str) -> None:
    store.save(stored())
    store.save(stored(name=name))
    (path,) = (store.folder / name).iterdir()
    path.write_bytes(next((store.folder / "colours").iterdir()).read_bytes())


def emptied_id(store: ProgramStore, name: str) -> None:
    path = store.save(stored(name=name))
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"id": "", "serial": "import os"}))


def huge(store: ProgramStore, name: str) -> None:
    store.save(stored(name=name)).write_text(" " * 2_000_001)


def nested(store: ProgramStore, name: str) -> None:
    store.save(stored(name=name)).write_text("[" * 100_000)


def folder(store: ProgramStore, name: str) -> None:
    path = store.save(stored(name=name))
    path.unlink()
    path.mkdir()


def endless(store: ProgramStore, name: str) -> None:
    path = store.save(stored(name=name))
    path.unlink()
    os.mkfifo(path)


def nowhere(store: ProgramStore, name: str) -> None:
    path = store.save(stored(name=name))
    path.unlink()
    path.symlink_to(store.folder / "nothing")


@pytest.mark.parametrize("damage", [moved, emptied_id, huge, nested, folder, endless, nowhere])
def test_one_bad_file_is_said_so_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    damage: Callable[[ProgramStore, str], None],
) -> None:  # fmt: skip
    monkeypatch.setenv("DICEM_PROGRAMS", str(tmp_path))
    store = ProgramStore()
    damage(store, "bad")
    store.save(stored(name="good"))
    with pytest.raises(ConfigError, match="cannot be used"):
        store.find("bad")
    assert store.find("good") is not None
    list_(as_json=True)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["bad"]["origin"] == "damaged"
    assert rows["good"]["origin"] == "written"
    list_()
    assert "damaged" in capsys.readouterr().out


def test_a_folder_that_is_closed_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ProgramStore(tmp_path)
    store.save(stored())

    def closed(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", closed)
    for ask in (store.names, lambda: store.find("colours"), lambda: store.save(stored()), lambda: store.remove("a")):
        with pytest.raises(ConfigError, match="Permission denied"):
            ask()


def test_a_full_disk_is_said_so_and_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ProgramStore(tmp_path)
    store.save(first := stored())

    def full(self: Path, *_: object, **__: object) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigError, match="No space left"):
        store.save(stored(SOURCE.replace("colour", "size")))
    monkeypatch.undo()
    assert store.revisions("colours") == [first]
    assert len(list((tmp_path / "colours").iterdir())) == 1


def test_who_keeps_at_the_same_time_loses_nothing(tmp_path: Path) -> None:
    programs = [stored(SOURCE.replace("colour", word)) for word in ("size", "name", "age", "use")]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: ProgramStore(tmp_path).save(each), programs))
    assert {each.id for each in ProgramStore(tmp_path).revisions("colours")} == {each.id for each in programs}


def test_revisions_do_not_run_out(tmp_path: Path) -> None:
    store = ProgramStore(tmp_path)
    path = store.save(stored())
    path.rename(path.with_name(path.name.replace("0001", "999999999")))
    second = stored(SOURCE.replace("colour", "size"))
    store.save(second)
    assert store.latest("colours") == second


def test_what_is_too_long_is_no_traceback() -> None:
    long = f'def execute_command(image):\n    x = "{"y" * 199_900}"\n    return ImagePatch(image).exists("boat")\n'
    with pytest.raises(ProgramError, match="cannot be kept: distributed"):
        stored(long)


def test_the_name_of_a_program_is_known_without_checking_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ProgramStore(tmp_path / "programs")
    store.save(kept := stored())
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for wanted, name in (
        ("colours", "colours"), (kept.id[:8], "colours"), ("litter_serial", "litter-serial"), ("nothing", "nothing"),
        ("folder", "folder"),
    ):  # fmt: skip
        assert name_of_wanted(wanted, store) == name


def test_a_name_is_looked_at_before_anything_is_checked() -> None:
    with pytest.raises(ConfigError, match="cannot stand in a topic"):
        record("no program at all (", "a/b", catalog(), Setting())


def test_what_is_shown_commands_no_terminal() -> None:
    source = SOURCE.replace('"What', '"\x1b[2J\u202eWhat')
    shown = stored(source).model_copy(update={"functions_from": "\x1b]0;x\x07", "model": "\x1b[1m"})
    assert all(line.isprintable() for line in describe(shown, ["\x1b[31m"]).split("\n"))


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
