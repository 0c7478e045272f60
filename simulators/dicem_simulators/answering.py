"""One program on one recording, answer by answer: what `dicem ask` and `dicem programs run` show.

The functions, the runner, the codec and the gateway are the real ones; time and money are simulated, as in `dicem
simulate`, with the link and the devices that the program was compiled for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dicem_cloud.config import CloudConfig, load_cloud_config
from dicem_cloud.functions import build
from dicem_cloud.gateway import Gateway
from dicem_codegen.library.stored import StoredProgram
from dicem_edge.config import EdgeConfig, load_edge_config
from dicem_edge.functions import build_edge
from dicem_edge.shipping import LoadedFrame
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.catalog import catalog
from dicem_shared.clock import VirtualClock
from dicem_shared.demo import demo_notice
from dicem_shared.implementations import Implementation
from dicem_shared.links import load_link
from dicem_shared.profiles import load_profile
from dicem_shared.program import prepare
from dicem_shared.recording import RecordedFrame, open_recording
from dicem_shared.resources import need
from dicem_shared.runner import Interpreter
from dicem_shared.types import Answer

from .modes import Mission, World

OnAnswer = Callable[[Answer], None]


@dataclass(frozen=True)
class Look:
    """What to look at, and with what."""

    recording: str = "litter-mission"
    """a folder, a photograph, or the name of a shipped one"""
    frames: int | None = None
    """the first so many; None: all"""
    edge_config: str = "edge-demo"
    cloud_config: str = "cloud-demo"
    cloud: Mapping[str, Implementation] | None = None
    """functions of the cloud, where they are not those of `cloud_config`"""
    seed: int = 0


@dataclass(frozen=True)
class Opened:
    """A recording, and the functions that look at it."""

    look: Look
    frames: tuple[RecordedFrame, ...]
    vehicle: str
    edge: Mapping[str, Implementation]
    cloud: Mapping[str, Implementation]
    vocabulary: tuple[str, ...]
    edge_config: EdgeConfig
    cloud_config: CloudConfig
    notice: str
    """what must be said of the models"""


def open_look(look: Look) -> Opened:
    """Open the recording and load the models.

    :raises DicemError: a recording, a config or a model that cannot be used, or no frame in it
    """
    edge_config, cloud_config = load_edge_config(look.edge_config), load_cloud_config(look.cloud_config)
    recording = open_recording(need(look.recording, "recording", "recordings"))
    recording.limit = look.frames
    frames = tuple(recording.frames())
    edge = build_edge(edge_config, can_range=recording.can_range)
    cloud = build(cloud_config) if look.cloud is None else look.cloud
    models = [edge_config.detector.model, *(cloud_config.functions.models.values() if look.cloud is None else ())]
    return Opened(
        look, frames, recording.manifest.vehicle, edge.functions, cloud, edge.vocabulary, edge_config, cloud_config,
        demo_notice(models) or "",
    )  # fmt: skip


def answers_of(program: StoredProgram, opened: Opened, on_answer: OnAnswer = lambda _: None) -> list[Answer]:
    """Run a program on every frame; the answers in the order in which the vehicle has them.

    :raises DicemError: its link or a profile is not there any more
    """
    plan = program.plan
    world = World(
        edge=opened.edge,
        cloud=opened.cloud,
        edge_profile=load_profile(plan.edge_profile),
        cloud_profile=load_profile(plan.cloud_profile),
        link=load_link(plan.link),
        seed=opened.look.seed,
        vehicle=opened.vehicle,
        vocabulary=opened.vocabulary,
    )
    limits = opened.cloud_config.limits

    def gateway_of(clock: VirtualClock) -> Gateway:
        return Gateway(opened.cloud, MemoryBlobStore(clock), clock, limits=limits)

    runnable = replace(prepare(program.distributed, name=program.name, where=program.name), name=program.name)
    with Interpreter(catalog(), opened.edge_config.limits.program) as interpreter:
        mission = Mission("split", world, interpreter, gateway_of, opened.frames[0].info.t_utc)
        for frame in opened.frames:
            mission.offer(runnable, LoadedFrame(frame.info, frame.data))
        told: dict[int, Answer] = {}

        def watch() -> bool:
            for number, answer in mission.answers.items():
                if number not in told:
                    told[number] = answer
                    on_answer(answer)
            return False

        mission.clock.run(until=watch)
        watch()
    return list(told.values())
