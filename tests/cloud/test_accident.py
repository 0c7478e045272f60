"""The published insurance program on the real classes: every car of a frame, by Grounding DINO, BLIP-2 and BLIP-ITM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dicem_cloud.config import CloudConfig
from dicem_cloud.functions import build
from dicem_cloud.gateway import Gateway
from dicem_cloud.service import Service
from dicem_codegen.compile import compile_program
from dicem_shared import images
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.catalog import catalog
from dicem_shared.clock import SystemClock
from dicem_shared.errors import InvalidCall
from dicem_shared.ids import blob_id
from dicem_shared.program import prepare
from dicem_shared.runner import Context, Finished, Interpreter, Outcome, ProgramCall, RunLimits, Waiting
from dicem_shared.types import FrameInfo, ModelId, Reply, Request, ShippedBlob

pytest.importorskip("torch", reason="needs the extra [transformers]")
pytest.importorskip("transformers", reason="needs the extra [transformers]")

from .checkpoints import build_accident_checkpoints, noise

SOURCE = (Path(__file__).resolve().parents[2] / "configs" / "programs" / "accident.py").read_text(encoding="utf-8")
WIDTH, HEIGHT = 160, 120


@dataclass
class Ran:
    """What became of a run."""

    printed: str
    waves: list[list[str]] = field(default_factory=list)
    """the functions that were called together"""
    answers: dict[str, Any] = field(default_factory=dict)
    """call id -> result"""
    models: set[ModelId] = field(default_factory=set)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    functions = build_accident_checkpoints(tmp_path_factory.mktemp("checkpoints"))
    clock = SystemClock()
    built = build(CloudConfig.model_validate({"functions": functions}))
    with Service(Gateway(built, MemoryBlobStore(clock), clock)) as opened:
        yield opened


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter(catalog(), RunLimits(cpu_s=1, calls=200), max_runs=2) as opened:
        yield opened


@pytest.fixture(scope="module")
def run(service: Service, interpreter: Interpreter) -> Callable[[str, int], Ran]:
    """Run a program's source on a frame of noise; every call goes through batcher, gateway and schemas."""

    def start(source: str, seed: int) -> Ran:
        data = images.encode(noise(HEIGHT, WIDTH, seed), format="png")
        frame = FrameInfo(camera="bow", sequence=seed, t_utc=0.0, blob=blob_id(data), width=WIDTH, height=HEIGHT)
        going = interpreter.start(prepare(source, name="accident"), Context("boat", frame))
        ran = Ran("")
        while isinstance(going.step, Waiting):
            calls = going.step.calls
            ran.waves.append([call.function for call in calls])
            replies = [service.submit(_request(call, frame, data), vehicle="boat") for call in calls]
            outcomes = []
            for call, future in zip(calls, replies, strict=True):
                reply: Reply = future.result(60)
                assert reply.model is not None
                ran.models.add(reply.model)
                ran.answers[call.id] = reply.result
                outcomes.append((call.number, Outcome(result=reply.result, model=reply.model, site="cloud")))
            going.resume(outcomes)
        assert isinstance(going.step, Finished), going.step
        ran.printed = going.step.printed
        return ran

    return start


def _request(call: ProgramCall, frame: FrameInfo, data: bytes) -> Request:
    return Request(
        call_id=call.id,
        vehicle="boat",
        program="accident",
        frame=frame,
        function=call.function,
        params=call.params,
        blobs=(ShippedBlob(blob=frame.blob, source=frame.handle, data=data),),
        deadline_utc=SystemClock().utc() + 60,
        reply_topic="",
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_line_for_each_car(seed: int, run: Callable[[str, int], Ran]) -> None:
    ran = run(SOURCE, seed)
    lines = ran.printed.splitlines()
    cars = next(result for result in ran.answers.values() if isinstance(result, list))
    assert len(lines) == len(cars) > 1
    for number, line in enumerate(lines, 1):
        assert line.startswith(f"Car {number}: Color - ")
        assert line.rpartition("Overturned - ")[2] in ("True", "False")
    assert sorted(model.function for model in ran.models) == ["blip", "glip", "xvlm"]
    assert all(len(model.sha256) == 64 for model in ran.models)


@pytest.mark.parametrize("seed", range(3))
def test_compiled_it_says_the_same_in_two_waves(seed: int, run: Callable[[str, int], Ran]) -> None:
    serial, compiled = run(SOURCE, seed), run(compile_program(SOURCE, name="accident").source, seed)
    assert compiled.printed == serial.printed
    assert all(len(wave) == 1 for wave in serial.waves)
    first, second = compiled.waves
    assert first == ["glip"]
    assert sorted(second) == sorted(name for (name,) in serial.waves[1:])
    assert len(compiled.answers) == len(serial.answers)


def test_the_answers_are_not_all_alike(run: Callable[[str, int], Ran]) -> None:
    """Else a mix-up of images, texts or callers could not be seen."""
    answers = [result for seed in range(3) for result in run(SOURCE, seed).answers.values()]
    assert len({str(answer["answer"]) for answer in answers if "answer" in answer}) > 2
    assert {answer["result"] for answer in answers if "result" in answer} == {True, False}


def test_a_question_of_ten_thousand_characters_is_refused_for_itself(service: Service) -> None:
    data = images.encode(noise(HEIGHT, WIDTH), format="png")
    frame = FrameInfo(camera="bow", sequence=1, t_utc=0.0, blob=blob_id(data), width=WIDTH, height=HEIGHT)
    futures = []
    for number, question in enumerate(("a" * 10_000, "what " * 300, "what?")):
        params = {"image": frame.handle.model_dump(), "question": question}
        call = ProgramCall(number=number, id=f"{number:032x}", function="blip", params=params)
        futures.append(service.submit(_request(call, frame, data), vehicle="boat"))
    for future, reason in zip(futures, ("at most 2000 characters", "too long for this network"), strict=False):
        with pytest.raises(InvalidCall, match=reason):
            future.result(60)
    assert isinstance(futures[2].result(60).result["answer"], str)
