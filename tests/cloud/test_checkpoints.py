"""Checkpoints of strangers: files that have no end, and numbers that take for ever."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dicem_cloud.functions import checkpoints
from dicem_cloud.functions.checkpoints import look_at
from dicem_shared.errors import ModelError


def weights(folder: Path, shape: Any) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"1234")


def test_one_that_is_whole(tmp_path: Path) -> None:
    weights(tmp_path, [1])
    (tmp_path / "config.json").write_text('{"model_type": "blip-2"}')
    assert look_at(tmp_path).parameters == 1


@pytest.mark.parametrize("shape", [[2**62] * 100_000, [-1], [1.5], ["1"], [True], 1, None])
def test_a_shape_that_is_none(shape: Any, tmp_path: Path) -> None:
    weights(tmp_path, shape)
    (tmp_path / "config.json").write_text('{"model_type": "blip-2"}')
    with pytest.raises(ModelError, match="is no safetensors file"):
        look_at(tmp_path)


def test_a_config_that_has_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights(tmp_path, [1])
    config = tmp_path / "config.json"
    os.mkfifo(config)
    with pytest.raises(ModelError, match="no JSON object"):
        look_at(tmp_path)
    config.unlink()
    config.write_text('{"model_type": "blip-2"}')
    monkeypatch.setattr(checkpoints, "MAX_JSON_BYTES", 10)
    with pytest.raises(ModelError, match="no JSON object"):
        look_at(tmp_path)


@pytest.mark.parametrize("name", ["../a.safetensors", "x" * 5000 + ".safetensors", "a\0.safetensors", ".safetensors"])
def test_an_index_that_names_no_file_beside_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ModelError, match="names no files beside it"):
        look_at(tmp_path)
