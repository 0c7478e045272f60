"""The compiler's figures against the simulator: the plan's sites are the fastest ones, and take what was foretold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product
from statistics import mean
from typing import Any

import pytest

from dicem_cloud.config import load_cloud_config
from dicem_cloud.functions import build
from dicem_cloud.gateway import Gateway
from dicem_codegen.place import place
from dicem_codegen.types import CallNode, CallSite, Plan
from dicem_edge.config import load_edge_config
from dicem_edge.functions import build_edge
from dicem_edge.shipping import LoadedFrame
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.catalog import catalog
from dicem_shared.links import load_link
from dicem_shared.profiles import Workload, load_profile
from dicem_shared.program import prepare
from dicem_shared.recording import open_recording
from dicem_shared.resources import need
from dicem_shared.runner import Interpreter
from dicem_simulators.modes import Mission, World

LOOK_TWICE = """
import hermod

async def execute_command(image):
    image_patch = ImagePatch(image)
    seen = await hermod.call("yolov8", image=image_patch.image, classes=["litter"], site="{frame}")
    again = []
    for found in seen["objects"]:
        x, y, width, height = found["x"], found["y"], found["width"], found["height"]
        left, right = max(x - width, 0), min(x + 2 * width, image_patch.width)
        upper, lower = max(y - height, 0), min(y + 2 * height, image_patch.height)
        closer = image_patch.crop(left, image_patch.height - lower, right, image_patch.height - upper)
        again.append(hermod.call("yolov8", image=closer.image, classes=["litter"], site="{crops}"))
    return len([call for call in again if (await call)["objects"]])
"""
"""What the compiler makes of the calls of configs/programs/look_twice.py, with tags"""
FRAMES = 16
"""that show something"""


def node(number: int, after: tuple[int, ...], **more: Any) -> CallNode:
    return CallNode(CallSite(number, number, 1, "call", "yolov8", ("yolov8",), True, ""), after, **more)


NODES = (node(1, (), image="frame"), node(2, (1,), image="crop", loops=("found",)))


class Simulated:
    """The mission of the shipped recording, with a Jetson Nano on board."""

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._edge, self._cloud = build_edge(load_edge_config("edge-demo")), build(load_cloud_config("cloud-demo"))
        recording = open_recording(need("litter-mission", "recording", "recordings"))
        self._frames = list(islice((frame for frame in recording.frames() if frame.truth), FRAMES))

    def latency_s(self, link: str, frame: str, crops: str) -> tuple[float, float]:
        """Mean seconds of the frames with a second look, and how many looks those had."""
        world = World(
            edge=self._edge.functions,
            cloud=self._cloud,
            edge_profile=load_profile("jetson-nano"),
            cloud_profile=load_profile("cloud-a100"),
            link=load_link(link),
            seed=0,
            vehicle="boat",
            vocabulary=self._edge.vocabulary,
        )
        limits = load_cloud_config("cloud-demo").limits
        mission = Mission(
            "split", world, self._interpreter,
            lambda clock: Gateway(self._cloud, MemoryBlobStore(clock), clock, limits=limits),
            self._frames[0].info.t_utc,
        )  # fmt: skip
        program = prepare(LOOK_TWICE.format(frame=frame, crops=crops))
        for taken in self._frames:
            mission.offer(program, LoadedFrame(taken.info, taken.data))
        mission.clock.run()
        answers = list(mission.answers.values())
        assert {answer.status for answer in answers} == {"final"}
        looked = [answer for answer in answers if answer.cost.calls["yolov8"] > 1]
        assert len(looked) > 5
        return mean(a.latency_s for a in looked), mean(a.cost.calls["yolov8"] - 1 for a in looked)


@pytest.fixture(scope="module")
def simulated() -> Iterator[Simulated]:
    with Interpreter(catalog()) as interpreter:
        yield Simulated(interpreter)


def plan_for(link: str, trips: float) -> Plan:
    return place(
        NODES, catalog(), link=load_link(link), edge=load_profile("jetson-nano"), cloud=load_profile("cloud-a100"),
        workload=Workload(trips=trips),
    )  # fmt: skip


@pytest.mark.parametrize("link", ["harbour-wifi", "coastal-lte", "satellite"])
def test_the_plans_sites_are_the_fastest(simulated: Simulated, link: str) -> None:
    measured = {sites: simulated.latency_s(link, *sites) for sites in product(("edge", "cloud"), repeat=2)}
    fastest = min(measured, key=lambda sites: measured[sites])
    took, trips = measured[fastest]
    plan = plan_for(link, trips)
    assert tuple(plan.placements[number].site for number in (1, 2)) == fastest
    assert plan.latency_s == pytest.approx(took, rel=0.1)
