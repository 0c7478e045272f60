"""The other end: one process with one function in it (and its alias), on whatever machine Ray put it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

from dicem_shared.errors import UnknownFunction
from dicem_shared.implementations import Implementation, run_batch

from ..config import CloudConfig
from ..device import held_seconds
from ..functions_config import DeviceConfig
from .crossing import Answers, Described, Item, answers, describe

LANES = 2
"""batches at once where the implementation is reentrant: one is read while another one is computed"""
USABLE = 0.92
"""of a replica's part of a GPU: the rest is the allocator's, which cannot use every gap"""

Source = Callable[[], Mapping[str, Implementation]]
"""Makes what a replica serves, in the replica."""


@dataclass(frozen=True)
class Configured:
    """A function of a config, and its alias where it has one.  `gpus` is what a replica has of a GPU."""

    config: CloudConfig
    name: str
    gpus: float = 0.0

    def __call__(self) -> Mapping[str, Implementation]:
        """Build them.

        :raises DicemError: a model is missing, damaged, or its backend is not installed
        """
        from ..functions import build_one

        return build_one(_within_share(self.config, self.gpus), self.name)


def _within_share(config: CloudConfig, gpus: float) -> CloudConfig:
    """The config with the part of the GPU that is ours: Ray counts parts, and holds nobody to them."""
    if not 0 < gpus < 1 or config.devices:
        return config
    import importlib

    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        return config
    _, total = torch.cuda.mem_get_info()
    return config.model_copy(update={"devices": {"cuda": DeviceConfig(memory_gb=total * gpus * USABLE / 1e9)}})


class Replica:
    """What Ray Serve runs.  It takes in more batches than it computes, so that the next one is there already."""

    def __init__(self, source: Source) -> None:
        self._functions = dict(source())
        reentrant = all(one.reentrant for one in self._functions.values())
        lanes = LANES if reentrant else 1
        self._free = asyncio.Semaphore(lanes)
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="batch")

    def describe(self) -> list[Described]:
        """What is served here."""
        return [describe(one) for one in self._functions.values()]

    def process(self) -> int:
        """The process's number, for those who look for it."""
        return os.getpid()

    async def run(self, name: str, items: Sequence[Item]) -> Answers:
        """One batch of the function of that name."""
        if name not in self._functions:
            raise UnknownFunction(f"this replica serves no {name[:64]}", expected=", ".join(self._functions))
        async with self._free:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, _run, self._functions[name], items)


def _run(implementation: Implementation, items: Sequence[Item]) -> Answers:
    works = [item.work() for item in items]
    began_s, held_s = perf_counter(), held_seconds()
    outcomes = run_batch(implementation, works)
    billed_s = held_seconds() - held_s or perf_counter() - began_s
    return answers(implementation, works, outcomes, billed_s)
