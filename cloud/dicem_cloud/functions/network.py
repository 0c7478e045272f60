"""A network of transformers: its checkpoint is looked at now, its weights are read when they are first needed, and its
device is held only while it computes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from dicem_shared.errors import DicemError, ImageError, ModelError
from dicem_shared.images import Pixels
from dicem_shared.types import ModelId

from ..functions_config import NetworkConfig
from .checkpoints import find_checkpoint
from .torch_device import Devices, TorchWeights, torch_and_transformers

log = logging.getLogger(__name__)

P = TypeVar("P")
R = TypeVar("R")


class Network:
    """What the networks of all functions share.  Safe to be used by several threads at once.

    :param function: which function it is for
    :param model: a folder, or a name on the hub
    :param classes: what config.json may call the architecture -> the class of transformers that loads it
    :param devices: shared by all networks of one cloud
    :param gpu_dtype: what `dtype: auto` means on a GPU, by architecture where that is not float16
    :raises ModelError: no such checkpoint, or it is damaged, pickled or of another architecture
    :raises ConfigError: the device is not there
    :raises MissingExtra: PyTorch or transformers is not installed
    """

    def __init__(
        self,
        function: str,
        model: str,
        classes: Mapping[str, str],
        settings: NetworkConfig | None = None,
        devices: Devices | None = None,
        *,
        gpu_dtype: Mapping[str, str] | None = None,
    ) -> None:
        settings = settings or NetworkConfig()
        self.torch, self.transformers = torch_and_transformers()
        self.checkpoint = find_checkpoint(model, classes)
        self.folder, self.architecture = self.checkpoint.folder, self.checkpoint.architecture
        half = (gpu_dtype or {}).get(self.architecture, "float16")
        self.place = (devices or Devices()).place(settings.device, settings.dtype, gpu_dtype=half)
        with loading(self.folder):
            here = {"local_files_only": True, "trust_remote_code": False}
            self.config = self.transformers.AutoConfig.from_pretrained(self.folder, **here)
            self.processor = self.transformers.AutoProcessor.from_pretrained(self.folder, **here)
            self._sees = getattr(self.processor, "image_processor", self.processor)
            self.pixels(np.zeros((64, 64, 3), dtype=np.uint8))  # what its processor lacks is found now
        self._class = classes[self.architecture]
        size = self.checkpoint.parameters * self.place.dtype.itemsize
        self._weights = TorchWeights(self.torch, self._load, self.place.torch_name, size)
        self.placed = self.place.device.place(function, self._weights)
        self._words = Lock()
        """a tokenizer is one object in Rust, which two threads must not set up at once"""
        self.model = ModelId(function=function, name=model_name(model), sha256=self.checkpoint.sha256)

    def _load(self) -> Any:
        with loading(self.folder):
            kind = getattr(self.transformers, self._class)
            return load_weights(kind.from_pretrained, self.folder, self.place.dtype)

    @contextmanager
    def held(self, items: int) -> Iterator[Any]:
        """The network on its device, with room for `items` at once; nobody can train it here.

        :raises OutOfDeviceMemory: the device is too small for that
        :raises ModelError: the weights cannot be loaded
        """
        with self.placed.held(items), self.torch.inference_mode():
            yield self._weights.network

    def preload(self) -> None:
        """Read the weights and bring them to the device now.

        :raises OutOfDeviceMemory: the device is too small for them
        :raises ModelError: they cannot be loaded
        """
        with self.held(0):
            pass

    def pixels(self, image: Pixels) -> dict[str, Any]:
        """What the network's processor makes of one image (H, W, 3; uint8 RGB), on the CPU: a row of each tensor."""
        made = self._sees(images=[np.ascontiguousarray(image)], input_data_format="channels_last", return_tensors="pt")
        return {name: made[name][0] for name in self._sees.model_input_names if name in made}

    def tokens(self, texts: Sequence[str], **how: Any) -> dict[str, Any]:
        """The tokenizer's lists for some texts."""
        with self._words:
            return dict(self.processor.tokenizer(list(texts), **how))

    def moved(self, value: Any) -> Any:
        """A tensor on the device; numbers that are no counts in the network's own format."""
        if value.is_floating_point():
            return value.to(self.place.torch_name, self.place.dtype)
        return value.to(self.place.torch_name)


def model_name(model: str) -> str:
    """A folder's own name, or the whole name on a hub: never a path, for it goes out with every reply."""
    return Path(model).name if Path(model).is_absolute() else model


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Turn whatever transformers raises on a damaged checkpoint into one clear error."""
    try:
        yield
    except (DicemError, MemoryError):
        raise
    except ImportError as error:
        got = " ".join(str(error).split())[:160]
        raise ModelError(f"the checkpoint {folder} needs a library that is not here", got=got) from error
    except Exception as error:
        raise ModelError(
            f"the checkpoint {folder} cannot be loaded",
            got=f"{type(error).__name__}: {' '.join(str(error).split())[:160]}",
            todo="It must hold config.json, the processor's files and *.safetensors of one architecture.",
        ) from error


def load_weights(from_pretrained: Callable[..., Any], folder: Path, dtype: Any) -> Any:
    """The network in host memory.  Weights that are missing would be random: that is an error here, not a warning.

    :raises ModelError: the checkpoint lacks weights
    """
    network, report = from_pretrained(
        folder, dtype=dtype, use_safetensors=True, local_files_only=True, trust_remote_code=False,
        output_loading_info=True,
    )  # fmt: skip
    if missing := sorted(report["missing_keys"]) + sorted(str(one) for one in report["mismatched_keys"]):
        raise ModelError(
            f"the checkpoint {folder} lacks weights of {type(network).__name__}",
            got=f"{len(missing)} missing, {missing[0]} among them",
            todo="Use a checkpoint of this very architecture.",
        )
    return network.eval()


def attempts(prepare: Callable[..., P], *columns: Sequence[Any]) -> list[P | DicemError]:
    """What `prepare` makes of each row, or why it cannot: a bad item is out before the others are computed."""
    outcomes: list[P | DicemError] = []
    for row in zip(*columns, strict=True):
        try:
            outcomes.append(prepare(*row))
        except DicemError as error:
            outcomes.append(error)
        except Exception as error:  # a stranger's pixels went through a library
            got = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            outcomes.append(ImageError("the network's processor cannot take this image", got=got))
    return outcomes


def in_passes(
    prepared: Sequence[P | DicemError], alike: Callable[[P], Hashable], compute: Callable[[list[P]], Sequence[R]]
) -> list[R | DicemError]:
    """One outcome an item, in order.  What is `alike` shares a pass, so that nothing is padded for another's sake."""
    outcomes: list[Any] = list(prepared)
    passes: dict[Hashable, list[int]] = {}
    for index, one in enumerate(prepared):
        if not isinstance(one, DicemError):
            passes.setdefault(alike(one), []).append(index)
    for indices in passes.values():
        try:
            results: Sequence[Any] = compute([outcomes[index] for index in indices])
        except DicemError:
            raise
        except Exception as error:
            if len(indices) > 1:
                raise
            results = [_failed(error)]
        for index, result in zip(indices, results, strict=True):
            outcomes[index] = result
    return outcomes


def _failed(error: Exception) -> ModelError:
    """A network that fails on one image, say of a single pixel: why is in the log."""
    log.warning("a network failed on an image", exc_info=error)
    got = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    return ModelError("the network fails on this image", got=got)
