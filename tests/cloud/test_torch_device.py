"""Networks on a GPU, as far as that can be seen without one: a stand-in for PyTorch that counts bytes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dicem_cloud.functions import torch_device
from dicem_cloud.functions.torch_device import CudaScratch, Devices, TorchWeights
from dicem_cloud.functions_config import DeviceConfig
from dicem_shared.errors import ConfigError, ModelError, OutOfDeviceMemory

GB = 10**9


class OutOfMemoryError(RuntimeError):
    pass


class Cuda:
    """GPUs of 24 GB, of which 20 are free."""

    def __init__(self, count: int) -> None:
        self.count, self.allocated, self.peak, self.emptied = count, 0, 0, 0

    def is_available(self) -> bool:
        return self.count > 0

    def device_count(self) -> int:
        return self.count

    def mem_get_info(self, device: str) -> tuple[int, int]:
        return 20 * GB, 24 * GB

    def memory_allocated(self, device: str) -> int:
        return self.allocated

    def max_memory_allocated(self, device: str) -> int:
        return self.peak

    def reset_peak_memory_stats(self, device: str) -> None:
        self.peak = self.allocated

    def empty_cache(self) -> None:
        self.emptied += 1


class Network:
    """Two tensors of 100 bytes; the second one may not fit."""

    def __init__(self, cuda: Cuda, fits: bool = True) -> None:
        self.cuda, self.fits, self.where = cuda, fits, ["cpu", "cpu"]

    def to(self, device: str) -> None:
        for number in range(2):
            if device != "cpu" and number == 1 and not self.fits:
                raise OutOfMemoryError("CUDA out of memory.\n  Tried to allocate")
            self.where[number] = device

    def parameters(self) -> list[Any]:
        return [SimpleNamespace(numel=lambda: 50, element_size=lambda: 2)] * 2

    def buffers(self) -> list[Any]:
        return []


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = SimpleNamespace(
        cuda=Cuda(2), OutOfMemoryError=OutOfMemoryError, threads=0,
        float16="float16", bfloat16="bfloat16", float32="float32",
    )  # fmt: skip
    made.set_num_threads = lambda count: setattr(made, "threads", count)
    monkeypatch.setattr(torch_device, "torch_and_transformers", lambda: (made, None))
    return made


class TestDevices:
    def test_each_is_made_once_with_what_is_free_of_it(self, torch: Any) -> None:
        devices = Devices()
        first, second = devices.place("auto", "auto"), devices.place("cuda:0", "auto")
        other, cpu = devices.place("cuda:1", "auto"), devices.place("cpu", "auto")
        assert first.device is second.device
        assert [one.name for one in devices.made] == ["cuda:0", "cuda:1", "cpu"]
        assert first.device.capacity_bytes == other.device.capacity_bytes == 18_400_000_000
        assert cpu.device.capacity_bytes is None

    @pytest.mark.parametrize("name", ["cuda", "cuda:0"])
    def test_as_much_as_the_config_says(self, name: str, torch: Any) -> None:
        devices = Devices({name: DeviceConfig(memory_gb=6.5), "cpu": DeviceConfig(memory_gb=2)})
        assert devices.place("cuda", "auto").device.capacity_bytes == 6_500_000_000
        assert devices.place("cpu", "auto").device.capacity_bytes == 2 * GB

    def test_more_than_there_is(self, torch: Any) -> None:
        with pytest.raises(ConfigError, match=r"devices\.cuda:0\.memory_gb is more than there is"):
            Devices({"cuda": DeviceConfig(memory_gb=25)}).place("auto", "auto")

    def test_a_gpu_that_is_not_there(self, torch: Any) -> None:
        with pytest.raises(ConfigError, match="no GPU of that number"):
            Devices().place("cuda:2", "auto")
        torch.cuda.count = 0
        with pytest.raises(ConfigError, match="sees no GPU"):
            Devices().place("cuda", "auto")
        assert Devices(threads=3).place("auto", "auto").torch_name == "cpu"
        assert torch.threads == 3

    def test_the_numbers(self, torch: Any) -> None:
        devices = Devices()
        assert devices.place("cuda", "auto").dtype == "float16"
        assert devices.place("cuda", "auto", gpu_dtype="float32").dtype == "float32"
        assert devices.place("cpu", "auto", gpu_dtype="float16").dtype == "float32"
        assert devices.place("cpu", "bfloat16").dtype == "bfloat16"


class TestScratch:
    def test_it_is_what_came_on_top(self, torch: Any) -> None:
        scratch = CudaScratch(torch, "cuda:0")
        torch.cuda.allocated, torch.cuda.peak = 5, 99
        scratch.begin()
        assert scratch.peak_bytes() == 0
        torch.cuda.peak = 12
        assert scratch.peak_bytes() == 7

    def test_memory_that_ran_out(self, torch: Any) -> None:
        scratch = CudaScratch(torch, "cuda:0")
        ours = scratch.failure(OutOfMemoryError("CUDA out of memory.\n Tried"))
        assert isinstance(ours, OutOfDeviceMemory)
        assert "\n" not in str(ours)
        assert scratch.failure(RuntimeError("CUDA error: an illegal memory access")) is None


class TestWeights:
    def weights(self, torch: Any, device: str, **how: Any) -> tuple[TorchWeights, list[Network]]:
        loaded: list[Network] = []

        def load() -> Network:
            loaded.append(Network(torch.cuda, **how))
            return loaded[-1]

        return TorchWeights(torch, load, device, 150), loaded

    def test_on_a_gpu_they_are_read_once_and_kept_in_host_memory(self, torch: Any) -> None:
        weights, loaded = self.weights(torch, "cuda:0")
        assert weights.size_bytes == 150
        weights.to_device()
        assert (weights.network.where, weights.size_bytes) == (["cuda:0"] * 2, 200)
        weights.to_host()
        assert (weights.network.where, torch.cuda.emptied) == (["cpu"] * 2, 1)
        weights.to_device()
        assert (weights.network.where, len(loaded)) == (["cuda:0"] * 2, 1)

    def test_on_a_cpu_they_are_dropped(self, torch: Any) -> None:
        weights, loaded = self.weights(torch, "cpu")
        weights.to_device()
        weights.to_host()
        assert weights.network is None
        weights.to_device()
        assert len(loaded) == 2

    def test_what_does_not_fit_is_all_back(self, torch: Any) -> None:
        weights, _ = self.weights(torch, "cuda:0", fits=False)
        placed = Devices().place("cuda", "auto").device.place("a", weights)
        with pytest.raises(OutOfDeviceMemory, match="memory of cuda:0 ran out"), placed.held():
            pass
        assert (weights.network.where, torch.cuda.emptied) == (["cpu"] * 2, 1)
        assert (placed.device.resident, placed.users) == ((), 0)
        weights.network.fits = True
        with placed.held():
            assert weights.network.where == ["cuda:0"] * 2

    def test_a_checkpoint_that_cannot_be_loaded_is_not_read_again(self, torch: Any) -> None:
        tries: list[int] = []

        def load() -> Any:
            tries.append(1)
            raise ModelError("damaged", todo="Fetch it again.")

        weights = TorchWeights(torch, load, "cpu", 1)
        for _ in range(3):
            with pytest.raises(ModelError, match=r"damaged\. Fetch it again\."):
                weights.to_device()
        assert len(tries) == 1

    def test_one_that_ran_out_of_memory_is(self, torch: Any) -> None:
        tries: list[int] = []

        def load() -> Any:
            tries.append(1)
            raise MemoryError

        weights = TorchWeights(torch, load, "cpu", 1)
        for _ in range(2):
            with pytest.raises(MemoryError):
                weights.to_device()
        assert len(tries) == 2
