"""The daemon with several programs on every frame, and with nobody in the cloud."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from dicem_edge.answers import AnswerStore
from dicem_edge.config import EdgeConfig, load_edge_config
from dicem_edge.daemon import Daemon
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.recording import RecordedFrame, Recording, open_recording
from dicem_shared.resources import need
from dicem_shared.types import Answer

from .conftest import Broker

HEAD = "import hermod\nasync def execute_command(image):\n"
COUNT = "    found = (await hermod.call('yolov8', image=image{}))['objects']\n    return len(found)\n"
CLASSES = (
    "    found = (await hermod.call('yolov8', image=image))['objects']\n    return sorted(o['class'] for o in found)\n"
)
FRAMES = 6


class Short(Recording):
    """The shipped recording's first frames that show something."""

    def frames(self) -> Iterator[RecordedFrame]:
        """See `Recording.frames`."""
        return islice((frame for frame in super().frames() if frame.truth), FRAMES)


@pytest.fixture
def recording() -> Recording:
    opened = open_recording(need("litter-mission", "recording", "recordings"))
    opened.__class__ = Short
    return opened


def config(folder: Path, broker: Broker, *programs: str, **more: object) -> EdgeConfig:
    paths = []
    for number, source in enumerate(programs):
        path = folder / f"p{number}.py"
        path.write_text(HEAD + source, encoding="utf-8")
        paths.append(str(path))
    changes = {"broker": BrokerConfig(port=broker.port), "answers": str(folder / "answers.db")}
    changes |= {"program": paths[0], "programs": paths[1:], **more}
    return load_edge_config("edge-demo").model_copy(update=changes)


def test_all_programs_answer_every_frame_and_the_detector_looks_once(
    broker: Broker, tmp_path: Path, recording: Recording
) -> None:
    answers: list[Answer] = []
    settings = config(tmp_path, broker, COUNT.format(""), CLASSES, COUNT.format(""))  # the third is the first again
    tally = Daemon(settings, on_answer=answers.append).run(recording, rate=1000)
    assert (tally.frames, tally.answers, tally.failed, tally.missed) == (FRAMES, 2 * FRAMES, 0, 0)
    counts, classes = ([a for a in answers if isinstance(a.value, kind)] for kind in (int, list))
    assert {a.frame: a.value for a in counts} == {a.frame: len(a.value) for a in classes}
    assert sum(a.cost.calls.get("yolov8", 0) for a in answers) == FRAMES
    assert sum(a.cost.shared.get("yolov8", 0) for a in answers) == FRAMES
    assert len(AnswerStore(tmp_path / "answers.db")) == 2 * FRAMES


def test_with_nobody_in_the_cloud_the_vehicle_answers(broker: Broker, tmp_path: Path, recording: Recording) -> None:
    """The broker says that nobody listens, and the calls that were on their way are done on board."""
    answers: list[Answer] = []
    settings = config(tmp_path, broker, COUNT.format(", site='cloud'"), away={"yolov8": "edge"})
    tally = Daemon(settings, on_answer=answers.append).run(recording, rate=1000)
    assert (tally.answers, tally.failed) == (FRAMES, 0)
    assert {a.source for a in answers} == {"edge"}
    assert {a.reason for a in answers} == {"the cloud was out of reach: yolov8 on board instead"}
