"""The Ray backend without a Ray: what crosses, what the config may say, and what is said when Ray is away."""

from __future__ import annotations

import importlib.util
import pickle
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dicem_cloud.backend import backend
from dicem_cloud.config import CloudConfig
from dicem_cloud.ray_backend import cluster as cluster_module
from dicem_cloud.ray_backend.cluster import connected
from dicem_cloud.ray_backend.crossing import Packer
from dicem_cloud.ray_backend.deploying import failure
from dicem_cloud.ray_backend.replica import Configured
from dicem_shared.camera import Attitude, Calibration
from dicem_shared.errors import ConfigError, DicemError, MissingExtra, ModelError, SiteUnavailable
from dicem_shared.implementations import Implementation, Work
from dicem_shared.implementations.depth import Depth
from dicem_shared.patches import Patch
from dicem_shared.types import FrameInfo, ModelId, Pose

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra [cluster]")


def whole_patch(*, level: bool = False) -> Patch:
    calibration = Calibration(width=64, height=48, fx=60, fy=60, cx=32, cy=24, height_m=1.5)
    pose = Pose(attitude=Attitude() if level else None)
    frame = FrameInfo(
        camera="bow", sequence=1, t_utc=0.0, blob="a" * 64, width=64, height=48, pose=pose, calibration=calibration
    )
    return Patch(np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3), frame.handle.box, frame)


def cut(whole: Patch) -> Patch:
    return Patch(whole.pixels[10:20, 10:30], (10, 10, 20, 10), whole.frame)


# What crosses


def test_a_call_crosses_whole() -> None:
    whole = whole_patch()
    item = pickle.loads(pickle.dumps(Packer(Depth.wants_frame).pack(Work({"image": cut(whole)}, lambda: whole))))
    work = item.work()
    assert np.array_equal(work.params["image"].pixels, cut(whole).pixels)
    assert work.params["image"].box == (10, 10, 20, 10)
    frame = work.whole_frame()
    assert frame is not None
    assert np.array_equal(frame.pixels, whole.pixels)
    assert frame.frame == whole.frame


def test_a_crop_takes_no_more_room_than_its_pixels() -> None:
    item = Packer(Implementation.wants_frame).pack(Work({"image": cut(whole_patch())}))
    pixels = item.params["image"].pixels
    assert pixels.base is None
    assert pixels.flags["C_CONTIGUOUS"]
    assert pixels.nbytes == 600


def test_a_frame_is_read_only_where_it_is_looked_at() -> None:
    def read() -> Patch:
        raise AssertionError("nobody wants it")

    assert Packer(Implementation.wants_frame).pack(Work({"image": whole_patch()}, read)).whole is None
    assert Packer(Depth.wants_frame).pack(Work({"image": whole_patch(level=True)}, read)).whole is None
    assert Packer(Depth.wants_frame).pack(Work({"image": whole_patch()})).whole is None


def test_a_frame_that_several_calls_need_crosses_once() -> None:
    packer, whole = Packer(Depth.wants_frame), whole_patch()
    works = [Work({"image": cut(whole)}, lambda: Patch(whole.pixels.copy(), whole.box, whole.frame)) for _ in range(3)]
    frames = [packer.pack(work).whole for work in works]
    assert len({id(frame.pixels) for frame in frames if frame is not None}) == 1


def test_a_function_crosses_without_what_is_not_its_business() -> None:
    config = CloudConfig.model_validate(
        {"functions": {"depth": {}, "llm": {"base_url": "http://localhost/v1", "model": "m"}}, "backend": "ray"}
    )
    from dicem_cloud.ray_backend.backend import configured

    source = configured(config, "depth").source
    assert isinstance(source, Configured)
    assert source.config.functions.configured == ("depth",)
    functions = pickle.loads(pickle.dumps(source))()
    assert list(functions) == ["depth"]


def test_another_model_is_another_application() -> None:
    from dicem_cloud.ray_backend.backend import configured

    def name(**changes: object) -> str:
        config = CloudConfig.model_validate({"functions": {"depth": {"threads": 1}}} | changes)
        return configured(config, "depth").application

    assert name() == name(http={"port": 9999}, ray={"default": {"max_replicas": 5}})
    assert len({name(), name(functions={"depth": {"threads": 2}}), name(ray={"default": {"num_cpus": 1}})}) == 3


# What the config may say


def test_the_config_chooses() -> None:
    config = CloudConfig.model_validate(
        {
            "functions": {"depth": {}, "yolov8": {"model": "m.onnx"}},
            "backend": "ray",
            "ray": {"address": "head:6379", "default": {"max_replicas": 2}, "functions": {"depth": {"num_gpus": 0.5}}},
        }
    )
    assert config.ray.replicas("yolov8").max_replicas == 2
    assert (config.ray.replicas("depth").max_replicas, config.ray.replicas("depth").num_gpus) == (1, 0.5)
    assert config.run_by("inprocess", None).backend == "inprocess"
    assert config.run_by(None, "auto").ray.address == "auto"
    assert config.run_by("ray", None) == config


@pytest.mark.parametrize("address", ["", "head", "head:", "head:0", "head:99999", "ray://head:10001", ":6379", "a b:1"])
def test_no_address(address: str) -> None:
    config = CloudConfig.model_validate({"functions": {"depth": {}}})
    with pytest.raises(ConfigError, match="HOST:PORT"):
        config.run_by("ray", address)


def test_an_address_without_ray() -> None:
    with pytest.raises(ConfigError, match="--backend ray"):
        CloudConfig.model_validate({"functions": {"depth": {}}}).run_by(None, "auto")


@pytest.mark.parametrize("section", [{"functions": {"dept": {}}}, {"inprocess": ["blip"]}])
def test_a_function_that_is_none(section: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no function with a section"):
        CloudConfig.model_validate({"functions": {"depth": {}}, "ray": section})


def test_nothing_is_left_for_ray() -> None:
    config = CloudConfig.model_validate({"functions": {"depth": {}}, "backend": "ray", "ray": {"inprocess": ["depth"]}})
    with pytest.raises(ConfigError, match="every function"), backend(config):
        pass


def test_in_process_as_ever() -> None:
    with backend(CloudConfig.model_validate({"functions": {"depth": {}}})) as served:
        assert list(served.functions) == ["depth"]
        served.watch(dict)


# When Ray is away


def test_ray_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"dicem\[cluster\]"), connected(None):
        pass


@pytest.fixture
def deaf() -> Iterator[socket.socket]:
    """A port where somebody listens who is no Ray."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@needs_ray
def test_nobody_listens(deaf: socket.socket) -> None:
    port = deaf.getsockname()[1]
    deaf.close()
    with pytest.raises(SiteUnavailable, match=f"no Ray cluster at 127.0.0.1:{port}"), connected(f"127.0.0.1:{port}"):
        pass


@needs_ray
def test_somebody_else_listens(deaf: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "REACH_S", 0.2)
    port = deaf.getsockname()[1]
    with pytest.raises(SiteUnavailable, match=f"no Ray cluster at 127.0.0.1:{port}"), connected(f"127.0.0.1:{port}"):
        pass


@pytest.mark.parametrize(
    ("message", "kind", "said"),
    [
        (
            "failed 3 times. Error:\nTraceback\ndicem_shared.errors.ModelError: no folder x. Check it.\n",
            ModelError,
            "no folder x. Check it.",
        ),
        ("dicem_shared.errors.ConfigError: device: cuda", ConfigError, "device: cuda"),
        ("dicem_shared.errors.MissingExtra: PyTorch is not installed", ModelError, "PyTorch is not installed"),
        ("dicem_shared.errors.annotations: x", ModelError, "x"),
        (
            "Traceback\n  File\nModuleNotFoundError: No module named 'dicem_cloud'",
            ModelError,
            "No module named 'dicem_cloud'",
        ),
        ("node went\naway", ModelError, "node went away"),
        ("", ModelError, "does not start on Ray"),
    ],
)
def test_what_kept_a_function_from_starting(message: str, kind: type[DicemError], said: str) -> None:
    error = failure("depth", message)
    assert type(error) is kind
    assert said in str(error)
    assert "depth" in str(error)


def test_a_model_id_that_others_give(tmp_path: Path) -> None:
    """It is kept for as long as the call is, and no longer."""
    from dicem_cloud.ray_backend.crossing import Answers, describe
    from dicem_cloud.ray_backend.function import RayFunction

    other = ModelId(function="depth", name="other", sha256="1" * 64)

    class Remote:
        def ask(self, name: str, items: list[object], *, again: bool, within_s: float) -> Answers:
            return Answers([{"depth": 1.0}] * len(items), [None, other][: len(items)], 0.0, [])

    depth = Depth()
    function = RayFunction(depth.spec, describe(depth), Remote())  # type: ignore[arg-type]
    works = [Work({"image": whole_patch()}) for _ in range(2)]
    function.run(works)
    assert [function.model_for(work) for work in works] == [depth.model, other]
    assert len(function._others) == 1
    works.clear()
    assert not function._others
