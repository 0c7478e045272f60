"""The checkpoints that dicem suggests, with their licences, and what of a list is on this machine."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dicem_shared.errors import MissingExtra, ModelError
from dicem_shared.resources import find

from ..config import CloudConfig
from ..functions import hub
from ..functions.checkpoints import look_at
from ..functions_config import DEFAULT_BLIP2, DEFAULT_DEPTH, DEFAULT_GLIP, DEFAULT_XVLM

ARCHITECTURES = {
    "blip-2": "blip2",
    "depth_anything": "depth",
    "grounding-dino": "glip",
    "owlv2": "glip",
    "blip": "xvlm",
    "siglip": "xvlm",
    "siglip2": "xvlm",
}
"""what config.json calls an architecture -> the function that it is for"""
SUGGESTED: tuple[tuple[str, str, str], ...] = (
    ("blip2", DEFAULT_BLIP2, "MIT"),
    ("blip2", "Salesforce/blip2-flan-t5-xl", "MIT"),
    ("depth", DEFAULT_DEPTH, "Apache-2.0"),
    ("depth", "depth-anything/Depth-Anything-V2-Metric-Outdoor-Base-hf", "CC-BY-NC-4.0"),
    ("depth", "depth-anything/Depth-Anything-V2-Metric-Outdoor-Large-hf", "CC-BY-NC-4.0"),
    ("glip", DEFAULT_GLIP, "Apache-2.0"),
    ("glip", "IDEA-Research/grounding-dino-tiny", "Apache-2.0"),
    ("glip", "google/owlv2-base-patch16-ensemble", "Apache-2.0"),
    ("xvlm", DEFAULT_XVLM, "BSD-3-Clause"),
    ("xvlm", "google/siglip2-base-patch16-224", "Apache-2.0"),
)
"""Function, name on the hub, licence as its card had it; the first of a function is its default."""
BUNDLED = (("yolov8", "models/yolov8/model.onnx"), ("blip2", "models/blip2"), ("depth", "models/depth"))
_LICENCE = re.compile(r"[Ll]icen[cs]e: *([\w.-]*\w)")


@dataclass(frozen=True)
class Known:
    """One model that a function can use."""

    function: str
    backend: str
    """onnx, transformers, or endpoint"""
    model: str
    default: bool = False
    """what its function uses where a config names no other"""
    licence: str | None = None
    folder: str | None = None
    """where it lies on this machine; None: it is not here, or not whole"""
    size_bytes: int | None = None
    """of its weights, where they are here"""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"here": self.folder is not None}


def defaults() -> dict[str, str]:
    """Function -> the checkpoint on the hub that it uses where a config names no other."""
    return {function: name for function, name, _ in reversed(SUGGESTED)}


def suggested() -> list[Known]:
    """What comes with dicem, and what can be fetched."""
    bundled = [_here(function, "onnx", model, find(model)) for function, model in BUNDLED]
    usual = defaults()
    return [*bundled, *(_of_hub(function, name, name == usual[function]) for function, name, _ in SUGGESTED)]


def configured(config: CloudConfig) -> list[Known]:
    """What a config names."""
    listed = []
    for function in config.functions.configured:
        section: Any = getattr(config.functions, function)
        if function == "llm":
            listed.append(Known("llm", "endpoint", f"{section.model} at {section.base_url}"))
            continue
        model, backend = section.model, getattr(section, "backend", "onnx" if function == "yolov8" else "transformers")
        if model is None:
            listed.append(Known(function, "geometry", "the horizon"))
        elif Path(model).is_absolute():
            listed.append(_here(function, backend, model, Path(model)))
        else:
            listed.append(_of_hub(function, model, model == defaults().get(function)))
    return listed


def _of_hub(function: str, name: str, default: bool) -> Known:
    licence = next((licence for _, known, licence in SUGGESTED if known == name), None)
    try:
        folder = hub.cached(name)
        size = None if folder is None else look_at(folder).size_bytes
    except (ModelError, MissingExtra):  # fetched in part, or by nobody here
        folder, size = None, None
    return Known(function, "transformers", name, default, licence, None if folder is None else str(folder), size)


def _here(function: str, backend: str, model: str, path: Path | None) -> Known:
    """A file or a folder, and the licence that the card beside it names."""
    if path is None or not path.exists():
        return Known(function, backend, model)
    folder = path if path.is_dir() else path.parent
    kinds = ("*.onnx",) if backend == "onnx" else ("*.safetensors",)
    files = [path] if path.is_file() else [file for kind in kinds for file in folder.glob(kind)]
    found = [_LICENCE.search(card) for card in _cards(folder)]
    licence = next((one.group(1) for one in found if one), None)
    return Known(
        function, backend, model, licence=licence, folder=str(path), size_bytes=sum(one.stat().st_size for one in files)
    )


def _cards(folder: Path) -> list[str]:
    """What is written about a model."""
    named = (folder / "card.md", folder / "README.md")
    return [card.read_text(encoding="utf-8", errors="replace")[:100_000] for card in named if card.is_file()]
