"""Graphs, links and devices for the tests of placement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from dicem_codegen.place.jobs import Constraints, World, jobs_of
from dicem_codegen.place.schedule import Schedule
from dicem_codegen.types import CallNode, CallSite
from dicem_shared.catalog import catalog
from dicem_shared.functions import Batch, FunctionSpec, ImageParam, Registry, function
from dicem_shared.links import Condition, Link
from dicem_shared.profiles import DeviceProfile, Workload

CATALOG = catalog()


def node(number: int, functions: str | tuple[str, ...], after: Iterable[int] = (), **more: Any) -> CallNode:
    """A call site of the catalogue's functions; one name or several."""
    names = (functions,) if isinstance(functions, str) else functions
    site = CallSite(number, number, 1, "call" if names else "helper", names[0] if names else "h", names, True, "")
    return CallNode(site, tuple(after), **more)


def link(
    up_kbps: float = 8000, *, rtt_ms: float = 100, loss: float = 0.0, usd_per_mb: float = 1.0, down_kbps: float = 8000
) -> Link:
    """A link that stays as it is."""
    condition = Condition(t_s=0, up_kbps=up_kbps, down_kbps=down_kbps, rtt_ms=rtt_ms, loss=loss)
    return Link("wire", (condition,), usd_per_mb, "test")


def device(
    name: str, slots: int = 1, *, memory_mb: float | None = None, **functions: float | dict[str, Any]
) -> DeviceProfile:
    """A device whose functions take so many seconds."""
    profiles = {
        function: {"latency_s": value, "source": "test"}
        if isinstance(value, (int, float))
        else {"source": "test", **value}
        for function, value in functions.items()
    }
    more = {"usd_per_hour": 360.0, "program_s": 0.0} if name == "cloud" else {"memory_mb": memory_mb}
    return DeviceProfile.model_validate({"name": name, "slots": slots, "functions": profiles, **more})


EDGE = device("edge", yolov8=0.3, depth=0.1)
CLOUD = device("cloud", yolov8=0.01, depth=0.01, blip2=0.4, glip=0.4, xvlm=0.4)
ROUND = Workload(
    frame_bytes=14_600,
    crop_bytes=1_460,
    request_bytes=1_460,
    reply_bytes=1_460,
    trips=2,
    taken=0.5,
    source="round sums",
)
"""ten packets a frame, one a crop, one a request, one a reply: 12 kbit each with headers"""
PACKET_S = 1500 * 8 / 8e6
"""of one packet on `link()`"""


@function(sites=("edge", "cloud"), equivalent=True)
def speak(prompt: str) -> str:
    """Looks at no pixels."""


@function(sites=("edge", "cloud"))
def guess(image: ImageParam) -> str:
    """Another model on board than in the cloud."""


@function(sites=("cloud", "edge"), equivalent=True, batch=Batch(4, 0.1))
def look(image: ImageParam) -> str:
    """The same on board and in the cloud."""


@function(sites=("edge",))
def blink(image: ImageParam) -> str:
    """On board only."""


MORE = Registry([*CATALOG, *(spec for spec in (speak, guess, look, blink) if isinstance(spec, FunctionSpec))])


def schedule(
    nodes: Sequence[CallNode], on: Link, edge: DeviceProfile, cloud: DeviceProfile, load: Workload, **limits: Any
) -> Schedule:
    """What `place` searches in."""
    up = on.next_up(0)
    assert up is not None
    world = World(on, *up, edge, cloud, load, Constraints(**limits))
    return Schedule(jobs_of(nodes, MORE, world), world)


@st.composite
def graphs(draw: st.DrawFn, most: int = 9) -> list[CallNode]:
    """Call sites of all kinds: free and fixed ones, guarded, in loops, some that carry something from trip to trip."""
    nodes = []
    for number in range(1, draw(st.integers(1, most)) + 1):
        earlier = list(range(1, number))
        after = set(draw(st.lists(st.sampled_from(earlier), max_size=2))) if earlier else set()
        if draw(st.integers(0, 9)) == 0:
            after.add(number)  # its own last trip
        nodes.append(
            node(
                number,
                draw(st.sampled_from(["yolov8", "yolov8", "depth", "depth", "speak", "blip2", ("yolov8", "glip")])),
                after,
                loops=draw(st.sampled_from([(), (), ("a",), ("a", "b")])),
                guarded=draw(st.booleans()),
                image=draw(st.sampled_from(["frame", "crop", "crop", "none", "unknown"])),
                image_key=draw(st.sampled_from(["", "k", "l"])),
            )
        )
    return nodes


figures = st.sampled_from([0.001, 0.02, 0.07, 0.3, 1.1])
links = st.builds(
    link, st.sampled_from([200.0, 1000.0, 8000.0, 50_000.0]), rtt_ms=st.sampled_from([0, 15, 60, 650]),
    loss=st.sampled_from([0.0, 0.01]), usd_per_mb=st.sampled_from([0.0, 0.005, 0.5]),
)  # fmt: skip
edges = st.builds(device, st.just("edge"), st.integers(1, 2), yolov8=figures, depth=figures, speak=figures)
clouds = st.builds(
    device, st.just("cloud"), st.integers(1, 3), yolov8=figures, depth=figures, speak=figures,
    blip2=figures, glip=figures,
)  # fmt: skip
loads = st.builds(Workload, trips=st.sampled_from([0.0, 0.5, 1.5, 4.0]), taken=st.sampled_from([0.0, 0.4, 1.0]))
