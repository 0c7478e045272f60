"""Where dicem's own files are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicem_shared import resources
from dicem_shared.errors import ConfigError
from dicem_shared.resources import find, need


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with two configs, seen from an empty folder."""
    (tmp_path / "here").mkdir()
    (tmp_path / "home" / "configs").mkdir(parents=True)
    for name in ("edge", "cloud"):
        (tmp_path / "home" / "configs" / f"{name}.yaml").write_text(name)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("DICEM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_name_is_found_in_its_place_with_and_without_suffix(home: Path) -> None:
    for given in ("edge", "edge.yaml", "configs/edge.yaml", str(home / "configs" / "edge.yaml")):
        assert find(given, "configs", suffix=".yaml") == home / "configs" / "edge.yaml"


def test_what_lies_here_goes_first(home: Path) -> None:
    Path("configs").mkdir()
    Path("configs/edge.yaml").write_text("mine")
    found = find("edge", "configs", suffix=".yaml")
    assert found is not None
    assert found.read_text() == "mine"


def test_the_checkout_is_looked_in_last(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DICEM_HOME")
    assert resources.roots()[-1] == Path(resources.__file__).resolve().parents[2]
    assert len(resources.roots()) == 2


@pytest.mark.parametrize("given", ["nothing", "/nothing/at/all", "x" * 300, "a\0b", "configs/edge.yaml/sub"])
def test_what_is_nowhere_is_one_error_that_lists_what_there_is(home: Path, given: str) -> None:
    assert find(given, "configs", suffix=".yaml") is None
    with pytest.raises(ConfigError, match=r"is not there .*cloud, .*edge.*Give a path or one of the names\.") as caught:
        need(given, "config", "configs", suffix=".yaml")
    assert str(caught.value).startswith(f"config {given} is not there")


def test_need_finds_what_find_finds(home: Path) -> None:
    assert need("cloud", "config", "configs", suffix=".yaml").read_text() == "cloud"
