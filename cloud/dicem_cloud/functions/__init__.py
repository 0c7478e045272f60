"""The functions that this cloud serves, made from its config."""

from __future__ import annotations

from pathlib import Path

from dicem_shared import catalog
from dicem_shared.errors import ModelError
from dicem_shared.implementations import Implementation
from dicem_shared.implementations.depth import Depth, MeasuresDepth
from dicem_shared.implementations.yolov8 import load_yolov8
from dicem_shared.types import ModelId

from ..config import Blip2Config, CloudConfig, DepthConfig
from .blip2 import Answers, Blip2
from .checkpoints import files_hash


def build(config: CloudConfig) -> dict[str, Implementation]:
    """Every configured function by name, its model loaded.

    :raises ModelError: a model is missing, damaged or of the wrong kind
    :raises ConfigError: a setting does not fit its model
    :raises MissingExtra: a backend is not installed
    """
    functions = config.functions
    built: dict[str, Implementation] = {}
    if functions.yolov8 is not None:
        built["yolov8"] = load_yolov8(functions.yolov8)
    if functions.blip2 is not None:
        network, model = _blip2(functions.blip2)
        for spec in (catalog.blip2, catalog.blip):
            named = model.model_copy(update={"function": spec.name})
            built[spec.name] = Blip2(network, named, spec=spec, max_batch=functions.blip2.max_batch)
    if functions.depth is not None:
        built["depth"] = _depth(functions.depth)
    return built


def _blip2(config: Blip2Config) -> tuple[Answers, ModelId]:
    network: Answers
    if config.backend == "transformers":
        from .transformers_blip2 import TransformersBlip2

        loaded = TransformersBlip2(
            config.model,
            device=config.device,
            threads=config.threads,
            prompt=config.prompt,
            max_new_tokens=config.max_new_tokens,
        )
        network, digest = loaded, files_hash(loaded.folder, "*.safetensors")
    else:
        folder = _onnx_folder(config.model)
        from .onnx_blip2 import OnnxBlip2

        network, digest = OnnxBlip2(folder), files_hash(folder, "*.onnx")
    return network, ModelId(function="blip2", name=_model_name(config.model), sha256=digest)


def _depth(config: DepthConfig) -> Depth:
    if config.model is None:
        return Depth()
    network: MeasuresDepth
    if config.backend == "transformers":
        from .transformers_depth import TransformersDepth

        loaded = TransformersDepth(config.model, device=config.device, threads=config.threads)
        network, digest = loaded, files_hash(loaded.folder, "*.safetensors")
    else:
        folder = _onnx_folder(config.model)
        from .onnx_depth import OnnxDepth

        network, digest = OnnxDepth(folder), files_hash(folder, "*.onnx")
    return Depth(network, ModelId(function="depth", name=_model_name(config.model), sha256=digest))


def _onnx_folder(model: str) -> Path:
    folder = Path(model)
    if not folder.is_dir():
        raise ModelError(f"the model folder {folder} does not exist", todo="Check `model` in the config.")
    if not any(folder.glob("*.onnx")):
        raise ModelError(f"{folder} holds no ONNX file", todo="Check `model` and `backend` in the config.")
    return folder


def _model_name(model: str) -> str:
    """A folder's own name, or the whole name on a hub: never a path, for it goes out with every reply."""
    return Path(model).name if Path(model).is_absolute() else model
