"""The functions that this cloud serves, made from its config."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dicem_shared import catalog
from dicem_shared.errors import ConfigError, ModelError
from dicem_shared.implementations import Implementation
from dicem_shared.implementations.depth import Depth
from dicem_shared.implementations.yolov8 import load_yolov8
from dicem_shared.types import ModelId

from ..config import CloudConfig
from ..functions_config import Blip2Config, DepthConfig, FunctionsConfig, GlipConfig, NetworkConfig, XvlmConfig
from .blip2 import Answers, Blip2
from .glip import Glip
from .hashes import files_hash
from .torch_device import Devices
from .xvlm import Xvlm


def build(config: CloudConfig) -> dict[str, Implementation]:
    """Every configured function by name.

    Networks are looked at now, so that a bad one is refused at once; the weights of those that run through PyTorch are
    read with the first call, or now where the config says `preload`.  What is on one device shares it.

    :raises ModelError: a model is missing, damaged or of the wrong kind
    :raises ConfigError: a setting does not fit its model, or a device is not there
    :raises MissingExtra: a backend is not installed
    """
    devices = _devices(config, config.functions.configured)
    built: dict[str, Implementation] = {}
    for name in config.functions.configured:
        built |= _BUILDERS[name](config.functions, devices)
    return built


def build_one(config: CloudConfig, name: str) -> dict[str, Implementation]:
    """One configured function by its name, and by its alias where it has one; for a process that serves nothing else.

    :raises ConfigError: it is not configured; otherwise as `build`
    """
    name = next((spec.alias_of or spec.name for spec in catalog.SPECS if spec.name == name), name)
    if name not in config.functions.configured:
        raise ConfigError(
            f"the function {name[:64]!r} is not configured", expected=" or ".join(config.functions.configured)
        )
    return _BUILDERS[name](config.functions, _devices(config, (name,)))


def _devices(config: CloudConfig, names: tuple[str, ...]) -> Devices:
    sections = (getattr(config.functions, name) for name in names)
    threads = [section.threads for section in sections if isinstance(section, NetworkConfig)]
    return Devices(config.devices, max(threads, default=1))


def _yolov8(functions: FunctionsConfig, devices: Devices) -> dict[str, Implementation]:
    assert functions.yolov8 is not None
    return {"yolov8": load_yolov8(functions.yolov8)}


def _blip2(functions: FunctionsConfig, devices: Devices) -> dict[str, Implementation]:
    assert functions.blip2 is not None
    config = functions.blip2
    network, model = _answers(config, devices)
    named = {}
    for spec in (catalog.blip2, catalog.blip):
        answering = model.model_copy(update={"function": spec.name})
        reentrant = config.backend == "transformers"
        named[spec.name] = Blip2(network, answering, spec=spec, max_batch=config.max_batch, reentrant=reentrant)
    return dict(named)


def _answers(config: Blip2Config, devices: Devices) -> tuple[Answers, ModelId]:
    if config.backend == "transformers":
        from .transformers_blip2 import TransformersBlip2

        network = TransformersBlip2.configured(config, devices)
        if config.preload:
            network.preload()
        return network, network.model
    folder = _onnx_folder(config.model)
    from .onnx_blip2 import OnnxBlip2

    return OnnxBlip2(folder), _onnx_model("blip2", folder, config.model)


def _depth(functions: FunctionsConfig, devices: Devices) -> dict[str, Implementation]:
    assert functions.depth is not None
    return {"depth": _measuring(functions.depth, devices)}


def _measuring(config: DepthConfig, devices: Devices) -> Depth:
    if config.model is None:
        return Depth()
    if config.backend == "transformers":
        from .transformers_depth import TransformersDepth

        network = TransformersDepth(config.model, settings=config, devices=devices)
        if config.preload:
            network.preload()
        depth = Depth(network, network.model, max_batch=config.max_batch)
        depth.reentrant = True
        return depth
    folder = _onnx_folder(config.model)
    from .onnx_depth import OnnxDepth

    return Depth(OnnxDepth(folder), _onnx_model("depth", folder, config.model))


def _glip(functions: FunctionsConfig, devices: Devices) -> dict[str, Implementation]:
    from .transformers_glip import TransformersGlip

    assert isinstance(functions.glip, GlipConfig)
    network = TransformersGlip(functions.glip, devices)
    if functions.glip.preload:
        network.preload()
    return {"glip": Glip(network, network.model, max_batch=functions.glip.max_batch)}


def _xvlm(functions: FunctionsConfig, devices: Devices) -> dict[str, Implementation]:
    from .transformers_xvlm import TransformersXvlm

    config = functions.xvlm
    assert isinstance(config, XvlmConfig)
    network = TransformersXvlm(config, devices)
    if config.preload:
        network.preload()
    matching = Xvlm(
        network, network.model, threshold=network.threshold, prompt=config.prompt, max_batch=config.max_batch
    )
    return {"xvlm": matching}


def _llm(functions: FunctionsConfig, devices: Devices) -> dict[str, Implementation]:
    from .llm import Llm

    assert functions.llm is not None
    return {"llm": Llm(functions.llm)}


_BUILDERS: dict[str, Callable[[FunctionsConfig, Devices], dict[str, Implementation]]] = {
    "yolov8": _yolov8,
    "blip2": _blip2,
    "depth": _depth,
    "glip": _glip,
    "xvlm": _xvlm,
    "llm": _llm,
}


def _onnx_folder(model: str) -> Path:
    folder = Path(model)
    if not folder.is_dir():
        raise ModelError(f"the model folder {folder} does not exist", todo="Check `model` in the config.")
    if not any(folder.glob("*.onnx")):
        raise ModelError(f"{folder} holds no ONNX file", todo="Check `model` and `backend` in the config.")
    return folder


def _onnx_model(function: str, folder: Path, model: str) -> ModelId:
    from .network import model_name

    return ModelId(function=function, name=model_name(model), sha256=files_hash(folder, "*.onnx"))
