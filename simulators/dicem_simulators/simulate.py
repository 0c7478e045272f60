"""`dicem simulate`: one recording, one program, one link, the modes side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dicem_cloud.config import load_cloud_config
from dicem_cloud.functions import build
from dicem_cloud.gateway import Gateway
from dicem_codegen import compile_program
from dicem_edge.config import load_edge_config
from dicem_edge.functions import build_edge
from dicem_edge.shipping import LoadedFrame
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.catalog import catalog
from dicem_shared.clock import VirtualClock
from dicem_shared.demo import demo_notice
from dicem_shared.errors import ProgramError
from dicem_shared.links import Link, load_link
from dicem_shared.profiles import DeviceProfile, load_profile
from dicem_shared.program import Program, load_program, prepare
from dicem_shared.recording import RecordedFrame, Recording, open_recording
from dicem_shared.resources import need
from dicem_shared.runner import Interpreter
from dicem_shared.types import Answer, Cost

from .modes import Mission, Mode, World
from .scoring import summarise

GIVE_UP_AFTER = 3
"""A program that computed for too long on each of so many first frames is not run on the rest."""
Progress = Callable[[str, int, int], None]
"""mode, frames done, frames in all"""
DEFAULT_PROGRAMS: dict[Mode, str] = {"cloud-only": "litter_best", "per-call": "litter", "split": "litter_serial"}
"""DiCE-M's mode runs the program that DiCE-M published, the cloud the best that we could write by hand; ours compiles
the serial one.
"""


@dataclass(frozen=True)
class Setting:
    """What to simulate.  `program` None means the litter mission, with DiCE-M's own program in DiCE-M's mode."""

    recording: str
    program: str | None = None
    link: str = "coastal-lte"
    modes: tuple[Mode, ...] = ("cloud-only", "per-call", "split")
    seed: int = 0
    edge_config: str = "edge-demo"
    cloud_config: str = "cloud-demo"
    edge_profile: str = "jetson-orin-nano"
    cloud_profile: str = "cloud-a100"


@dataclass
class Result:
    """What came out, mode by mode."""

    setting: Setting
    recording: Recording
    link: Link
    edge_profile: DeviceProfile
    cloud_profile: DeviceProfile
    programs: dict[Mode, Program]
    frames: list[RecordedFrame]
    answers: dict[Mode, dict[int, Answer]] = field(default_factory=dict)
    totals: dict[Mode, Cost] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The published JSON: a function of the inputs and the seed, byte for byte."""
        truth = {frame.info.sequence: frame.truth for frame in self.frames}
        baseline = self.answers.get("cloud-only")
        programs = sorted({program.name for program in self.programs.values()})
        return {
            "recording": self.recording.manifest.name,
            "program": self.setting.program or " / ".join(programs),
            "link": self.link.name,
            "seed": self.setting.seed,
            "skipped_frames": len(self.recording.skipped),
            "profiles": {"edge": self.edge_profile.name, "cloud": self.cloud_profile.name},
            "time": "simulated",
            "modes": {m: summarise(answers, truth, baseline, self.totals[m]) for m, answers in self.answers.items()},
        }


def simulate(setting: Setting, progress: Progress = lambda *_: None) -> Result:
    """Run every mode of the setting.

    :raises DicemError: a recording, program, link, config, profile or model that cannot be used
    """
    recording = open_recording(need(setting.recording, "recording", "recordings"))
    edge_config, cloud_config = load_edge_config(setting.edge_config), load_cloud_config(setting.cloud_config)
    programs = {mode: _program(setting, mode) for mode in setting.modes}
    link, edge_profile, cloud_profile = (
        load_link(setting.link), load_profile(setting.edge_profile), load_profile(setting.cloud_profile)
    )  # fmt: skip
    edge, cloud = build_edge(edge_config, can_range=recording.can_range), build(cloud_config)
    frames = list(recording.frames())
    world = World(
        edge=edge.functions,
        cloud=cloud,
        edge_profile=edge_profile,
        cloud_profile=cloud_profile,
        link=link,
        seed=setting.seed,
        vehicle=recording.manifest.vehicle,
        vocabulary=edge.vocabulary,
    )
    result = Result(setting, recording, link, edge_profile, cloud_profile, programs, frames)
    if notice := demo_notice([edge_config.detector.model, *cloud_config.functions.models.values()]):
        result.notices.append(notice)

    def gateway_of(clock: VirtualClock) -> Gateway:
        return Gateway(cloud, MemoryBlobStore(clock), clock, limits=cloud_config.limits)

    with Interpreter(catalog(), edge_config.limits.program) as interpreter:
        for mode in setting.modes:
            mission = Mission(mode, world, interpreter, gateway_of, frames[0].info.t_utc)
            result.answers[mode] = _fly(mission, programs[mode], frames, progress)
            result.totals[mode] = mission.totals()
    return result


def _program(setting: Setting, mode: Mode) -> Program:
    """The program of a mode; ours is compiled for the link and the devices.

    :raises DicemError: it cannot be read, or not be compiled
    """
    name = setting.program or DEFAULT_PROGRAMS[mode]
    program = load_program(path := need(name, "program", "configs/programs", suffix=".py"))
    if mode != "split":
        return program
    compiled = compile_program(
        program.source, catalog(), name=program.name, where=str(path), link=setting.link,
        edge_profile=setting.edge_profile, cloud_profile=setting.cloud_profile,
    )  # fmt: skip
    return prepare(compiled.source, name=program.name, where=str(path))


def _fly(mission: Mission, program: Program, frames: Sequence[RecordedFrame], progress: Progress) -> dict[int, Answer]:
    """Let every frame arrive and run the clock until all is answered.

    :raises ProgramError: the program fails on every frame: then it is its own fault, not the frames'
    """
    for frame in frames:
        mission.offer(program, LoadedFrame(frame.info, frame.data))
    seen = -1

    def watch() -> bool:
        """Shows progress; true when the program has only used up its time so far."""
        nonlocal seen
        if len(mission.answers) != seen:
            seen = len(mission.answers)
            progress(mission.mode, seen, len(frames))
        return seen >= GIVE_UP_AFTER and all("computed for too long" in a.reason for a in mission.answers.values())

    mission.clock.run(until=watch)
    progress(mission.mode, len(mission.answers), len(frames))
    if all(answer.status == "failed" for answer in mission.answers.values()):
        raise ProgramError(next(iter(mission.answers.values())).reason)
    return mission.answers
