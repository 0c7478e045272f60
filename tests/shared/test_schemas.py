"""The published schemas: current, valid, and true of what dicem reads and writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from dicem_shared import schemas

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("answer-1.json", "recording-1.json")


@pytest.mark.parametrize("name", NAMES)
def test_published_schemas_are_current(name: str) -> None:
    published = (ROOT / "docs" / "schema" / name).read_text(encoding="utf-8")
    assert published == schemas.files()[name], "run: python -m dicem_shared.schemas"


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_schemas_and_name_themselves(name: str) -> None:
    schema = json.loads(schemas.files()[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"https://dicem.io/{name}"
    assert schema["properties"]["schema_version"]["const"] == 1
    assert schema["additionalProperties"] is False


def test_nothing_else_is_published() -> None:
    assert sorted(path.name for path in (ROOT / "docs" / "schema").iterdir()) == sorted(NAMES)


def test_they_say_units() -> None:
    recording = json.loads(schemas.files()["recording-1.json"])
    height = recording["$defs"]["Calibration"]["properties"]["height_m"]
    assert height["description"] == "metres of the lens above the waterline at rest"
    answer = json.loads(schemas.files()["answer-1.json"])
    assert answer["$defs"]["Observation"]["properties"]["pos_unc_m"]["description"] == "95 % radius"


def test_the_shipped_recording_fits() -> None:
    schema = json.loads(schemas.files()["recording-1.json"])
    manifest = yaml.safe_load((ROOT / "recordings" / "litter-mission" / "recording.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(manifest, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest | {"rate": 1}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({key: value for key, value in manifest.items() if key != "name"}, schema)


def test_the_command_writes_them(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "schema"
    done = subprocess.run(
        [sys.executable, "-m", "dicem_shared.schemas", str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(folder / name) for name in NAMES]
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == schemas.files()


def test_write_says_what_it_wrote(tmp_path: Path) -> None:
    assert schemas.write(tmp_path) == [tmp_path / name for name in NAMES]
    assert json.loads((tmp_path / NAMES[0]).read_text(encoding="utf-8"))["title"] == "Answer"
