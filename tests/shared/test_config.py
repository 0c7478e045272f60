"""Config files: one clear line for each mistake, and never a traceback."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, model_validator

from dicem_shared.camera import Strict
from dicem_shared.config import load_config, parse_config, read_yaml
from dicem_shared.errors import ConfigError, RecordingError


class Function(Strict):
    name: str = "depth"
    threads: Annotated[int, Field(ge=1, le=64)] = 1


class Broker(Strict):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883


class Config(Strict):
    vehicle: str
    broker: Broker = Broker()
    backup: Broker | None = None
    functions: list[Function] = []
    rate_hz: Annotated[float, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _two(self) -> Config:
        if self.backup == self.broker:
            raise ValueError("backup is the broker itself")
        return self


def said(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "edge.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load_config(Config, path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text("vehicle: boat-1\nbroker: {port: 8883}\nfunctions:\n  - name: glip\n    threads: 2\n")
    config = load_config(Config, path)
    assert config == Config(vehicle="boat-1", broker=Broker(port=8883), functions=[Function(name="glip", threads=2)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", " is empty or no mapping (expected `key: value` lines, got NoneType)"),
        ("- a\n", " is empty or no mapping (expected `key: value` lines, got list)"),
        ("just words", " is empty or no mapping (expected `key: value` lines, got str)"),
        ("broker: {}\n", ": vehicle: Field required"),
        ("vehicle: v\nvehicel: w\n", ": unknown key vehicel. Did you mean vehicle?"),
        ("vehicle: v\nbroker: {hots: x}\n", ": unknown key broker.hots. Did you mean host?"),
        ("vehicle: v\nbackup: {prot: 1}\n", ": unknown key backup.prot. Did you mean port?"),
        (
            "vehicle: v\nfunctions: [{name: a}, {thread: 1}]\n",
            ": unknown key functions.1.thread. Did you mean threads?",
        ),
        ("vehicle: v\nzzzz: 1\n", ": unknown key zzzz. Remove it, or see configs/ for what there is."),
        (
            "vehicle: v\nbroker: {port: 99999}\n",
            ": broker.port: Input should be less than or equal to 65535 (got 99999)",
        ),
        ("vehicle: v\nbroker: 3\n", ": broker: Input should be a valid dictionary"),
        ("vehicle: [1]\n", ": vehicle: Input should be a valid string (got [1])"),
        ("vehicle: v\nrate_hz: .nan\n", ": rate_hz: Input should be a finite number (got nan)"),
        ("vehicle: v\nrate_hz: .inf\n", ": rate_hz: Input should be a finite number (got inf)"),
        ("vehicle: v\nbackup: {}\n", ": backup is the broker itself"),
        ("1: 2\nvehicle: v\n", ": 1: Keys should be strings (got 1)"),
    ],
)
def test_mistakes_in_values(tmp_path: Path, text: str, message: str) -> None:
    assert said(tmp_path, text).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vehicle: [1, 2\n", ":2:1: not YAML (got expected ',' or ']', but got '<stream end>')"),
        ("a: b: c\n", ":1:5: not YAML (got mapping values are not allowed here)"),
        ("vehicle: v\nbroker: {host: a, host: b}\n", ":2:19: not YAML (got host stands twice)"),
        ("vehicle: v\nvehicle: w\n", ":2:1: not YAML (got vehicle stands twice)"),
        ("vehicle: !!python/object/apply:os.system [ls]\n", ":1:10: not YAML"),
        ("? [a]\n: b\n", ":1:3: not YAML (got found unhashable key)"),
        ("a: 1\n---\nb: 2\n", ":2:1: not YAML"),
        ("vehicle: \0\n", ": not YAML (got unacceptable character #x0000"),
        ("vehicle: 2026-13-45\n", ": not YAML that can be used (got month must be in 1..12)"),
        ("vehicle: !!int x\n", ": not YAML that can be used"),
        ("vehicle: !!bool x\n", ": not YAML that can be used"),
        ("vehicle: " + "9" * 5000, ": not YAML that can be used (got Exceeds the limit"),
        ("[" * 500, ": not YAML that can be used (got maximum recursion depth exceeded"),
    ],
    ids=range(13),
)
def test_what_is_no_yaml(tmp_path: Path, text: str, message: str) -> None:
    assert said(tmp_path, text).startswith(message)


def test_merge_keys_are_no_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n")
    assert read_yaml(path)["b"] == {"x": 1, "y": 3}


def test_aliases_do_not_unfold_in_a_message(tmp_path: Path) -> None:
    lines = ["l0: &l0 [a, a]"] + [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 12)]
    started = time.monotonic()
    message = said(tmp_path, "\n".join(lines) + "\nvehicle: *l11\n")
    assert time.monotonic() - started < 1
    assert len(message) < 200


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.yaml", "config .* does not exist. Check the path."),
        ("x" * 300, "cannot be read"),
        ("a\0b", "cannot be read"),
    ],
)
def test_files_that_are_not_there(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(Config, tmp_path / name)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read .*Is a directory"):
        load_config(Config, tmp_path)
    (tmp_path / "latin.yaml").write_bytes("vehicle: Zoé".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"cannot be read .*utf-8"):
        load_config(Config, tmp_path / "latin.yaml")


def test_the_kind_of_error_is_the_callers(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"^recording .* does not exist"):
        read_yaml(tmp_path / "recording.yaml", error=RecordingError, what="recording")
    with pytest.raises(RecordingError, match="here: vehicle"):
        parse_config(Config, {}, where="here", error=RecordingError)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_nothing_but_a_config_error_comes_out(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        load_config(Config, path)
