"""The parts of PyTorch and transformers that all networks need, imported when somebody asks for them.

By name, so that the types of the rest can be checked where the two are not installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from dicem_shared.errors import ConfigError, DicemError, MissingExtra, OutOfDeviceMemory

from ..device import Device, NoScratch, Scratch, Weights
from ..functions_config import DeviceConfig

GB = 1_000_000_000
USABLE = 0.92
"""of a GPU's free memory: the rest is the allocator's, which cannot use every gap"""
_loading = Lock()
"""transformers changes PyTorch's defaults while it builds a network: one at a time in a process"""


def torch_and_transformers() -> tuple[Any, Any]:
    """The two modules; transformers is told to keep its progress bars and advice to itself.

    :raises MissingExtra: one of them is not installed
    """
    try:
        torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    except ImportError:
        raise MissingExtra("PyTorch or transformers", "transformers") from None
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return torch, transformers


class CudaScratch(Scratch):
    """What PyTorch's allocator says of one GPU.

    :param torch: the module
    :param device: as PyTorch names it, `cuda:0`
    """

    def __init__(self, torch: Any, device: str) -> None:
        self._torch, self._device = torch, device
        self._before = 0

    def begin(self) -> None:
        """See `Scratch.begin`."""
        self._torch.cuda.reset_peak_memory_stats(self._device)
        self._before = int(self._torch.cuda.memory_allocated(self._device))

    def peak_bytes(self) -> int:
        """See `Scratch.peak_bytes`."""
        return max(0, int(self._torch.cuda.max_memory_allocated(self._device)) - self._before)

    def failure(self, error: BaseException) -> OutOfDeviceMemory | None:
        """See `Scratch.failure`."""
        if not isinstance(error, self._torch.OutOfMemoryError):
            return None
        return OutOfDeviceMemory(
            f"the memory of {self._device} ran out",
            got=" ".join(str(error).split())[:120],
            todo="Lower max_batch, or serve fewer functions on this GPU.",
        )


class TorchWeights(Weights):
    """A network's weights: read when they are first needed, then on the device or in host memory.

    On the CPU host memory *is* the device: weights that leave it are dropped, and read again when they are needed.

    :param load: gives the network, in host memory; called by one thread at a time
    :param device: as PyTorch names it
    :param size_bytes: what the network takes, as far as that is known before it is loaded
    """

    def __init__(self, torch: Any, load: Callable[[], Any], device: str, size_bytes: int) -> None:
        self._torch, self._load, self._device = torch, load, device
        self._size_bytes = size_bytes
        self.network: Any = None
        self._broken: DicemError | None = None

    @property
    def size_bytes(self) -> int:
        """See `Weights.size_bytes`."""
        return self._size_bytes

    def to_device(self) -> None:
        """See `Weights.to_device`.

        :raises ModelError: the checkpoint cannot be loaded; it is not read again to find that out once more
        """
        if self._broken is not None:
            raise copy(self._broken)  # itself would collect a trace at each raise
        if self.network is None:
            self.network = self._loaded()
            self._size_bytes = sum(
                one.numel() * one.element_size() for one in (*self.network.parameters(), *self.network.buffers())
            )
        try:
            self.network.to(self._device)
        except Exception:  # some are there already, and the allocator wants them back
            self.to_host()
            raise

    def to_host(self) -> None:
        """See `Weights.to_host`."""
        if self._device == "cpu":
            self.network = None
            return
        self.network.to("cpu")
        self._torch.cuda.empty_cache()

    def _loaded(self) -> Any:
        with _loading:
            try:
                return self._load()
            except DicemError as error:
                self._broken = error
                raise


@dataclass(frozen=True)
class TorchPlace:
    """Where a network computes, and in which numbers."""

    device: Device
    torch_name: str
    """as PyTorch names the device"""
    dtype: Any


@dataclass
class Devices:
    """The devices of one cloud: each is made when it is first asked for, and shared by all functions on it.

    :param settings: how much of each device may be used, by name
    :param threads: of PyTorch on a CPU, for the whole process
    """

    settings: Mapping[str, DeviceConfig] = field(default_factory=dict)
    threads: int = 1

    def __post_init__(self) -> None:
        self._made: dict[str, Device] = {}

    @property
    def made(self) -> tuple[Device, ...]:
        """Those that somebody uses."""
        return tuple(self._made.values())

    def place(self, wanted: str, dtype: str, *, gpu_dtype: str = "float16") -> TorchPlace:
        """The device and number format for a network.

        `auto` takes the first GPU where there is one, and there `gpu_dtype`; on a CPU float32, for half precision is
        slower there and coarser.

        :raises ConfigError: a GPU is asked for that is not there, or more of its memory than it has
        :raises MissingExtra: PyTorch is not installed
        """
        torch, _ = torch_and_transformers()
        name = _resolve(torch, wanted)
        if name not in self._made:
            self._made[name] = self._make(torch, name)
        numbers = dtype if dtype != "auto" else "float32" if name == "cpu" else gpu_dtype
        return TorchPlace(self._made[name], name, getattr(torch, numbers))

    def _make(self, torch: Any, name: str) -> Device:
        settings = self.settings.get(name) or self.settings.get(name.removesuffix(":0")) or DeviceConfig()
        wanted = settings.memory_gb
        if name == "cpu":
            torch.set_num_threads(self.threads)
            return Device(name, None if wanted == "auto" else int(wanted * GB), NoScratch())
        free, total = torch.cuda.mem_get_info(name)
        if wanted != "auto" and wanted * GB > total:
            raise ConfigError(
                f"devices.{name}.memory_gb is more than there is", expected=f"at most {total / GB:.1f}", got=f"{wanted}"
            )
        capacity = int(free * USABLE) if wanted == "auto" else int(wanted * GB)
        return Device(name, capacity, CudaScratch(torch, name))


def _resolve(torch: Any, wanted: str) -> str:
    """`cpu` or `cuda:N`.

    :raises ConfigError: there is no such GPU
    """
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "cpu" or (wanted == "auto" and not there):
        return "cpu"
    number = int(wanted.partition(":")[2] or 0)
    if number >= there:
        got = f"{there} of them" if there else "none"
        what = f"device: {wanted} is configured, but PyTorch sees no GPU"
        raise ConfigError(what if not there else f"{what} of that number", got=got, todo="Use device: auto or cpu.")
    return f"cuda:{number}"
