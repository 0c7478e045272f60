"""Trying a model: through the class that serves it, with one picture."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dicem_shared.config import parse_config
from dicem_shared.errors import ConfigError, ModelError
from dicem_shared.images import Pixels
from dicem_shared.implementations import Implementation, Work
from dicem_shared.patches import Patch
from dicem_shared.resources import find
from dicem_shared.types import FrameInfo

from ..config import CloudConfig
from ..functions import build_one
from ..functions.checkpoints import Checkpoint, find_checkpoint
from ..functions.torch_device import Devices, torch_and_transformers
from ..functions.transformers_glip import GPU_DTYPE
from ..functions_config import HUB_NAME
from .known import ARCHITECTURES, defaults

PARAMS: dict[str, dict[str, Any]] = {
    "yolov8": {},
    "blip2": {"query": "What is this?"},
    "depth": {},
    "glip": {"object_name": "boat"},
    "xvlm": {"object_name": "boat", "options": ["red", "blue"]},
}
"""what each function is asked of the picture"""
FRAME = FrameInfo(camera="check", sequence=0, t_utc=0.0, blob="0" * 64, width=640, height=480)


@dataclass(frozen=True)
class Checked:
    """What came of it."""

    function: str
    model: str
    what: str
    """the class that its config names, or the kind of file"""
    sha256: str
    parameters: int | None
    numbers: str
    """which numbers it computes in, and where"""
    load_s: float
    """to look at it and read its weights"""
    answer_s: float
    """for one picture, once it is warm"""
    peak_bytes: int
    """the most that this process took: of the GPU's memory, or of the machine's"""
    answer: Any


def check(target: str, picture: Pixels | None, *, device: str = "auto", dtype: str = "auto") -> Checked:
    """Load a model and ask it about a picture (H, W, 3; uint8 RGB); grey noise where there is none.

    :param target: a folder, an ONNX file, a name on the hub, or a function for its default
    :raises ModelError: it cannot be used, or gives no answer
    :raises ConfigError: no such model or device
    :raises MissingExtra: what it runs on is not installed
    """
    model = _located(defaults().get(target, target))
    if Path(model).suffix == ".onnx":
        return _run("yolov8", {"model": model}, model, "a detector in ONNX", None, "float32 on cpu", picture)
    if Path(model).is_absolute() and not (Path(model) / "config.json").is_file():
        function = "blip2" if (Path(model) / "vision.onnx").is_file() else "depth"
        return _run(
            function, {"model": model, "backend": "onnx"}, model, "parts in ONNX", None, "float32 on cpu", picture
        )
    checkpoint = find_checkpoint(model, ARCHITECTURES)
    function = ARCHITECTURES[checkpoint.architecture]
    settings: dict[str, Any] = {"model": model, "device": device, "dtype": dtype, "preload": True}
    if function in ("blip2", "depth"):
        settings["backend"] = "transformers"
    return _run(function, settings, model, _class_of(checkpoint), checkpoint, "", picture)


def _run(
    function: str, settings: dict[str, Any], model: str, what: str, checkpoint: Checkpoint | None, numbers: str,
    picture: Pixels | None,
) -> Checked:  # fmt: skip
    config = parse_config(CloudConfig, {"functions": {function: settings}}, where="the options")
    began = time.perf_counter()
    implementation = build_one(config, function)[function]
    loaded = time.perf_counter()
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8) if picture is None else picture
    work = _work(function, image)
    _answer(implementation, work)
    warm = time.perf_counter()
    answer = _answer(implementation, work)
    ended = time.perf_counter()
    if checkpoint is not None:
        half = GPU_DTYPE.get(checkpoint.architecture, "float16")
        place = Devices().place(settings["device"], settings["dtype"], gpu_dtype=half)
        numbers = f"{place.dtype} on {place.torch_name}, {', '.join(sorted(checkpoint.dtypes))} on disk"
    answered = implementation.model_for(work)
    return Checked(
        function, answered.name, what, answered.sha256,
        None if checkpoint is None else checkpoint.parameters, numbers.removeprefix("torch."),
        loaded - began, ended - warm, _peak(checkpoint is not None), answer,
    )  # fmt: skip


def _work(function: str, image: Pixels) -> Work:
    height, width = image.shape[:2]
    frame = FRAME.model_copy(update={"width": width, "height": height})
    patch = Patch(image, (0, 0, width, height), frame)
    return Work({"image": patch, **PARAMS[function]}, lambda: patch)


def _answer(implementation: Implementation, work: Work) -> Any:
    (outcome,) = implementation.run([work])
    if isinstance(outcome, Exception):
        raise outcome
    return implementation.spec.check_result(outcome)


def _peak(by_torch: bool) -> int:
    if by_torch:
        torch, _ = torch_and_transformers()
        if torch.cuda.is_available() and (taken := max(_each_gpu(torch, torch.cuda.max_memory_allocated))):
            return taken
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _each_gpu(torch: Any, ask: Callable[[int], int]) -> list[int]:
    return [int(ask(number)) for number in range(torch.cuda.device_count())]


def _class_of(checkpoint: Checkpoint) -> str:
    named = checkpoint.config.get("architectures")
    return str(named[0])[:64] if isinstance(named, list) and named else checkpoint.architecture


def _located(given: str) -> str:
    found = find(given)
    if found is not None:
        if found.is_file() and found.suffix != ".onnx":
            what = "pickled weights are never loaded" if found.suffix in (".pt", ".pth", ".bin") else "no model"
            todo = "`dicem models export` makes ONNX of a detector that you trust." if found.suffix == ".pt" else ""
            raise ModelError(f"{found}: {what}", expected="a folder, or a file in ONNX", todo=todo)
        return str(found.resolve())
    if HUB_NAME.match(given):
        return given
    raise ConfigError(
        f"no model is called {given[:80]!r}",
        expected=f"a folder, an ONNX file, a name on the hub (owner/name), or one of {', '.join(sorted(defaults()))}",
    )
