"""Functions on a real Ray: the same answers as in process, whatever becomes of the replicas."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from dicem_cloud.batcher import Batcher, Done
from dicem_cloud.config import CloudConfig, load_cloud_config
from dicem_cloud.functions import build
from dicem_cloud.ray_backend.backend import RayBackend, configured, serving, wanting
from dicem_cloud.ray_backend.cluster import Cluster
from dicem_cloud.ray_backend.settings import RayConfig, ReplicasConfig
from dicem_cloud.waiting import Bounds, Flow
from dicem_shared import catalog
from dicem_shared.camera import Attitude, Calibration
from dicem_shared.clock import SystemClock
from dicem_shared.errors import CallTimeout, FunctionError, InvalidCall, ModelError, Overloaded, SiteUnavailable
from dicem_shared.functions import Batch
from dicem_shared.ids import blob_id
from dicem_shared.implementations import Implementation, Work, each
from dicem_shared.patches import Patch
from dicem_shared.types import FrameInfo, ModelId, Pose

WIDTH, HEIGHT = 320, 240
CALLS = 40
PATIENCE_S = 60.0


# Real functions


@pytest.fixture(scope="module")
def config() -> CloudConfig:
    return load_cloud_config("cloud-demo")


@pytest.fixture(scope="module")
def here(config: CloudConfig) -> dict[str, Implementation]:
    return build(config)


@pytest.fixture(scope="module")
def there(ray_cluster: Cluster, config: CloudConfig) -> Iterator[RayBackend]:
    wanted = [configured(config, name) for name in config.functions.configured]
    with serving(ray_cluster, wanted, config.ray) as backend:
        yield backend


def works(name: str) -> list[Work]:
    """A batch of real calls on parts of a frame; the last of them is bad where the function can be asked badly."""
    pixels = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    calibration = Calibration(width=WIDTH, height=HEIGHT, fx=300, fy=300, cx=160, cy=120, height_m=1.5)
    frame = FrameInfo(
        camera="bow", sequence=1, t_utc=0.0, blob=blob_id(pixels.tobytes()), width=WIDTH, height=HEIGHT,
        pose=Pose(attitude=None), calibration=calibration,
    )  # fmt: skip
    whole = Patch(pixels, frame.handle.box, frame)
    parts = [
        Patch(pixels[y : y + 90, x : x + 120], (x, y, 120, 90), frame) for x, y in ((0, 0), (100, 120), (200, 150))
    ]
    level = frame.model_copy(update={"pose": Pose(attitude=Attitude(roll_deg=1.0, pitch_deg=-5.0))})
    more: dict[str, list[dict[str, Any]]] = {
        "yolov8": [{"image": whole}, {"image": whole, "classes": ["no such class"]}],
        "blip2": [{"image": part, "query": "What is this made of?"} for part in parts],
        "blip": [{"image": part, "question": "What is this?"} for part in parts],
        "depth": [{"image": part} for part in (*parts, replace(parts[1], frame=level))],
    }
    return [Work(params, lambda: whole) for params in more[name]]


@pytest.mark.parametrize("name", ["yolov8", "blip2", "blip", "depth"])
def test_the_same_answers_by_the_same_models(
    name: str, here: dict[str, Implementation], there: RayBackend
) -> None:  # fmt: skip
    function, batch = there.functions[name], works(name)
    expected = here[name].run(batch)
    assert [str(outcome) for outcome in function.run(batch)] == [str(outcome) for outcome in expected]
    assert any(not isinstance(outcome, Exception) for outcome in expected)
    assert (function.model, function.spec) == (here[name].model, here[name].spec)
    assert [function.model_for(work) for work in batch] == [here[name].model_for(work) for work in batch]


def test_a_bad_item_fails_alone_and_keeps_its_type(there: RayBackend) -> None:
    good, bad = there.functions["yolov8"].run(works("yolov8"))
    assert isinstance(good, dict)
    assert type(bad) is InvalidCall


def test_a_frame_that_cannot_be_read_fails_alone(there: RayBackend) -> None:
    def gone() -> Patch:
        raise InvalidCall("no such frame")

    first, second = works("depth")[:2]
    outcomes = there.functions["depth"].run([first, Work(second.params, gone)])
    assert isinstance(outcomes[0], dict)
    assert str(outcomes[1]) == "no such frame"


def test_a_model_that_is_missing_is_said_as_it_is_in_process(ray_cluster: Cluster, tmp_path: Path) -> None:
    broken = CloudConfig.model_validate({"functions": {"depth": {"model": str(tmp_path / "gone")}}})
    with pytest.raises(ModelError) as in_process:
        build(broken)
    with pytest.raises(ModelError) as raised, serving(ray_cluster, [configured(broken, "depth")], broken.ray):
        pass
    assert str(raised.value) == f"depth: {in_process.value}"


def test_a_cluster_that_is_too_small_says_what_is_missing(ray_cluster: Cluster, config: CloudConfig) -> None:
    greedy = config.model_copy(update={"ray": RayConfig(default=ReplicasConfig(num_gpus=64))})
    with (
        pytest.raises(SiteUnavailable, match="64 GPUs"),
        serving(ray_cluster, [configured(greedy, "depth")], greedy.ray),
    ):
        pass


# Functions that do what no good one does


class Odd(Implementation):
    """Does what its prompt says; `die:FILE` ends the process, unless FILE is there, which it leaves behind."""

    model = ModelId(function="llm", name="odd", sha256="0" * 64)

    spec = replace(catalog.llm, batch=Batch(8, 0.0))

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        if any(work.params["prompt"] == "lose" for work in batch):
            return []
        return each(batch, self._one)

    def _one(self, work: Work) -> Any:
        word, _, rest = str(work.params["prompt"]).partition(":")
        if word == "die" and not Path(rest).exists():
            Path(rest).touch()
            os._exit(1)
        if word == "always die":
            with Path(rest).open("a") as file:
                file.write("x")
            os._exit(1)
        if word == "hold":
            threading.Event().wait(float(rest))
        if word == "busy":
            raise Overloaded("too much", retry_after_s=2.5)
        if word == "crash":
            raise KeyError("secret detail")
        return {"output": threading.Lock()} if word == "odd" else {"output": f"{word} {rest}"}


def odd_functions() -> Mapping[str, Implementation]:
    return {"llm": Odd()}


def odd(
    cluster: Cluster, name: str, *, idempotent: bool = True, retries: int = 3, **replicas: float
) -> AbstractContextManager[RayBackend]:
    """It, served."""
    cluster.ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # replicas cannot import tests
    rule = ReplicasConfig.model_validate(replicas)
    settings = RayConfig(default=rule, retries=retries, answer_s=PATIENCE_S, ready_s=PATIENCE_S)
    specs = {"llm": replace(catalog.llm, idempotent=idempotent)}
    wanted = [wanting("llm", odd_functions, replicas=settings, version=name)]
    return serving(cluster, wanted, settings, specs=specs)


def prompts(*texts: object) -> list[Work]:
    return [Work({"prompt": str(text)}) for text in texts]


@pytest.fixture(scope="module")
def odd_one(ray_cluster: Cluster) -> Iterator[RayBackend]:
    with odd(ray_cluster, "one") as backend:
        yield backend


def test_errors_keep_their_type_and_foreign_ones_their_secrets(
    odd_one: RayBackend, caplog: pytest.LogCaptureFixture
) -> None:
    fine, busy, crash, strange = odd_one.functions["llm"].run(prompts("fine", "busy", "crash", "odd"))
    assert fine == {"output": "fine "}
    assert (type(busy), busy.retry_after_s) == (Overloaded, 2.5)
    assert (type(crash), str(crash)) == (FunctionError, "llm failed (KeyError). The cloud's log says more.")
    assert "secret detail" in caplog.text
    assert type(strange) is FunctionError
    assert "schema does not allow" in str(strange)


def test_a_batch_that_comes_back_short_is_said_so(odd_one: RayBackend) -> None:
    outcomes = odd_one.functions["llm"].run(prompts("lose", "fine"))
    assert [type(outcome) for outcome in outcomes] == [FunctionError, FunctionError]
    assert "lost calls" in str(outcomes[0])


def test_what_is_billed_is_what_the_replica_took(odd_one: RayBackend) -> None:
    clock = SystemClock()
    with Batcher(odd_one.functions["llm"], Bounds(8, 0.0, 64), clock) as batcher:
        began = monotonic()
        done = batcher.call(lambda: prompts("x")[0], Flow("v"), deadline_s=clock.monotonic() + PATIENCE_S)
        assert 0.0 < done.compute_s < monotonic() - began


def test_a_replica_that_dies_under_load(odd_one: RayBackend, tmp_path: Path) -> None:
    """Every call is answered, and with its own answer, though the replica of some of them is gone."""
    function, clock = odd_one.functions["llm"], SystemClock()
    before = function.retries
    with Batcher(function, Bounds(8, 0.0, 2 * CALLS), clock, at_once=lambda: function.at_once) as batcher:

        def ask(work: Work) -> Future[Done]:
            return batcher.submit(lambda: work, Flow("v"), deadline_s=clock.monotonic() + PATIENCE_S)

        texts = [f"die:{tmp_path / 'died'}" if n == CALLS // 2 else str(n) for n in range(CALLS)]
        asked = [ask(work) for work in prompts(*texts)]
        outcomes = [future.result(PATIENCE_S).outcome for future in asked]
    assert (tmp_path / "died").exists()
    del outcomes[CALLS // 2]
    assert outcomes == [{"output": f"{n} "} for n in range(CALLS) if n != CALLS // 2]
    assert function.retries > before


@pytest.mark.usefixtures("odd_one")  # another gateway, which uses the same replicas and leaves them behind
def test_what_kills_every_replica_takes_nobody_with_it(ray_cluster: Cluster, tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    with odd(ray_cluster, "one", retries=0) as backend:
        good, bad = backend.functions["llm"].run(prompts("fine", f"always die:{deaths}"))
    assert good == {"output": "fine "}
    assert type(bad).__mro__[1] is FunctionError
    assert "died" in str(bad)
    assert deaths.read_text() == "xx"


@pytest.mark.usefixtures("odd_one")
def test_what_must_not_run_twice_does_not(ray_cluster: Cluster, tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    with odd(ray_cluster, "one", idempotent=False) as backend, pytest.raises(FunctionError, match="died"):
        backend.functions["llm"].run(prompts("fine", f"always die:{deaths}"))
    assert deaths.read_text() == "x"


@pytest.mark.usefixtures("odd_one")
def test_nobody_waits_longer_than_his_deadline(ray_cluster: Cluster) -> None:
    """Nor does a batch hold its lane when all who are in it have gone."""
    with odd(ray_cluster, "one") as backend, pytest.raises(CallTimeout, match="in time"):
        backend.functions["llm"].run([Work({"prompt": "hold:3"}, deadline_utc=SystemClock().utc() + 0.5)])


def test_to_none_and_back(ray_cluster: Cluster) -> None:
    with odd(ray_cluster, "zero", min_replicas=0, idle_s=0.1) as backend:
        function = backend.functions["llm"]
        until(lambda: function.remote.up == 0)
        assert function.at_once == 1
        assert function.run(prompts("back")) == [{"output": "back "}]
        assert function.retries == 0


def until(condition: Any) -> None:
    """Wait until it holds."""
    ends, tick = monotonic() + PATIENCE_S, threading.Event()
    while not condition():
        assert monotonic() < ends
        tick.wait(0.02)
