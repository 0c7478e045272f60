"""The published insurance program says the same wherever its functions run: in this process, and on Ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dicem_cloud.config import CloudConfig
from dicem_cloud.functions import build
from dicem_cloud.gateway import Gateway
from dicem_cloud.ray_backend.backend import serving, wanting
from dicem_cloud.ray_backend.cluster import Cluster
from dicem_cloud.service import Service
from dicem_shared import images
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.catalog import catalog
from dicem_shared.clock import SystemClock
from dicem_shared.ids import blob_id
from dicem_shared.program import prepare
from dicem_shared.runner import Context, Finished, Interpreter, Outcome, ProgramCall, RunLimits, Waiting
from dicem_shared.types import FrameInfo, Reply, Request, ShippedBlob

pytest.importorskip("torch", reason="needs the extra [transformers]")
pytest.importorskip("transformers", reason="needs the extra [transformers]")

from .checkpoints import build_accident_checkpoints, noise

SOURCE = (Path(__file__).resolve().parents[2] / "configs" / "programs" / "accident.py").read_text(encoding="utf-8")
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def services(ray_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    """In process, and on Ray."""
    functions = build_accident_checkpoints(tmp_path_factory.mktemp("checkpoints"))
    config = CloudConfig.model_validate({"functions": functions})
    with ExitStack() as stack:
        # All of them in one replica: PyTorch takes its time to start.
        wanted = wanting("accident", partial(build, config), replicas=config.ray, version="test")
        remote = stack.enter_context(serving(ray_cluster, [wanted], config.ray))
        here, there = (
            stack.enter_context(Service(Gateway(served, MemoryBlobStore(CLOCK), CLOCK)))
            for served in (build(config), remote.functions)
        )
        remote.watch(there.loads)
        yield here, there


def answered(service: Service, call: ProgramCall, frame: FrameInfo, data: bytes) -> Reply:
    request = Request(
        call_id=call.id, vehicle="boat", program="accident", frame=frame, function=call.function, params=call.params,
        blobs=(ShippedBlob(blob=frame.blob, source=frame.handle, data=data),), deadline_utc=CLOCK.utc() + 120,
        reply_topic="",
    )  # fmt: skip
    return service.submit(request, vehicle="boat").result(120)


def run(service: Service, seed: int) -> tuple[str, dict[str, Any]]:
    """What the program printed, and each call's result and model."""
    data = images.encode(noise(120, 160, seed), format="png")
    frame = FrameInfo(camera="bow", sequence=seed, t_utc=0.0, blob=blob_id(data), width=160, height=120)
    replies: dict[str, Any] = {}
    with Interpreter(catalog(), RunLimits(cpu_s=20, calls=200), max_runs=1) as interpreter:
        going = interpreter.start(prepare(SOURCE, name="accident"), Context("boat", frame))
        while isinstance(going.step, Waiting):
            outcomes = []
            for call in going.step.calls:
                reply = answered(service, call, frame, data)
                replies[call.id] = (call.function, reply.result, reply.model)
                outcomes.append((call.number, Outcome(result=reply.result, model=reply.model, site="cloud")))
            going.resume(outcomes)
        assert isinstance(going.step, Finished), going.step
        return going.step.printed, replies


@pytest.mark.parametrize("seed", range(2))
def test_the_same_on_both_backends(seed: int, services: tuple[Service, Service]) -> None:
    here, there = (run(service, seed) for service in services)
    assert there == here
    assert {function for function, _, _ in there[1].values()} == {"glip", "blip", "xvlm"}
