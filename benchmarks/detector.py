"""What the detector adds to the bare network, and what ultralytics would take for the same work.

    python benchmarks/detector.py [MODEL.onnx] [--frame 640x480] [--runs 300] [--json]

Everything runs on one thread.  Network and pipeline alternate, so that a busy machine slows both; medians are shown.
`crowded` repeats the pipeline with the score threshold lowered until about a hundred candidates reach suppression: an
untrained or well-behaved network finds little, and that would flatter us.

If ultralytics is installed, the CPU seconds (all threads, `time.process_time`) of its `predict` on the same file and
frames are compared: as it comes, which the bar is about, and held to one thread.  There the network itself is nearly
all that either takes, so `ceiling` says what even a pipeline of no cost could reach.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import statistics
import sys
import time
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

import numpy as np

from dicem_shared.detector.letterbox import Letterbox
from dicem_shared.detector.model import Detector
from dicem_shared.errors import DicemError
from dicem_shared.images import Pixels

RATIO_BAR = 1.25
"""full pipeline over bare session.run, at 320 px"""
CPU_BAR = 2.0
"""CPU of ultralytics over ours"""
CROWD = 100
WARM_UP = 20


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", nargs="?", default="models/yolov8/model.onnx")
    parser.add_argument("--frame", default="640x480", help="width x height of the frames, in pixels")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.frame.split("x"))
    frames = water(width, height)
    try:
        result = measure(options.model, frames, options.runs)
    except DicemError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0


def water(width: int, height: int, count: int = 8) -> list[Pixels]:
    """Frames with a horizon, noise for waves and a few blocks that float; the same every time."""
    random = np.random.default_rng(7)
    frames = []
    for _ in range(count):
        frame = random.integers(60, 110, (height, width, 3)).astype(np.uint8)
        frame[: height // 3] = (170, 190, 210)
        for _ in range(12):
            y, x = random.integers(height // 3, height - 20), random.integers(0, width - 20)
            frame[y : y + 14, x : x + 18] = random.integers(0, 255, 3)
        frames.append(frame)
    return frames


def measure(model: str, frames: list[Pixels], runs: int) -> dict[str, Any]:
    """All figures; times in milliseconds a frame."""
    detector = Detector(model, threads=1)
    bare, full, prepare = pipeline(detector, frames, runs)
    cpu = cpu_ms(detector.detect, frames, runs)
    score, candidates = crowding_score(detector, frames)
    crowd_bare, crowded, _ = pipeline(Detector(model, threads=1, score=score), frames, runs)
    height, width, _ = frames[0].shape
    return {
        "model": os.path.basename(model),
        "sha256": detector.sha256,
        "input": list(detector.input_size),
        "frame": [width, height],
        "runs": runs,
        "session_run_ms": bare,
        "pipeline_ms": full,
        "letterbox_ms": prepare,
        "ratio": full / bare,
        "ratio_bar": RATIO_BAR,
        "crowded": {"candidates": candidates, "pipeline_ms": crowded, "ratio": crowded / crowd_bare},
        "cpu_ms": cpu,
        "ultralytics": against_ultralytics(model, detector.input_size, frames, runs, ours_ms=cpu, bare_ms=bare),
    }


def pipeline(detector: Detector, frames: list[Pixels], runs: int) -> tuple[float, float, float]:
    """Median ms of the bare network, of the pipeline and of the letterbox."""
    box, canvas = painted(detector, frames[0])
    feed = {detector.network.input_name: canvas.astype(detector.network.element)}
    session, style = detector.network.session, detector.layout.style
    steps: tuple[Callable[[Pixels], object], ...] = (
        lambda frame: session.run(None, feed),
        detector.detect,
        lambda frame: box.paint(frame, style),
    )
    times: tuple[list[float], ...] = ([], [], [])
    for index in range(-WARM_UP, runs):
        frame = frames[index % len(frames)]
        for step, taken in zip(steps, times, strict=True):
            before = time.perf_counter()
            step(frame)
            if index >= 0:
                taken.append((time.perf_counter() - before) * 1e3)
    bare, full, prepare = map(statistics.median, times)
    return bare, full, prepare


def cpu_ms(detect: Callable[[Pixels], object], frames: list[Pixels], runs: int) -> float:
    """CPU ms a frame of all threads: the median of ten batches, after a warm-up."""
    for index in range(WARM_UP):
        detect(frames[index % len(frames)])
    batches = []
    size = max(1, runs // 10)
    for _ in range(10):
        before = time.process_time()
        for index in range(size):
            detect(frames[index % len(frames)])
        batches.append((time.process_time() - before) / size * 1e3)
    return statistics.median(batches)


def painted(detector: Detector, frame: Pixels) -> tuple[Letterbox, Any]:
    """How the detector lays `frame` out, and the canvas that its network sees."""
    box = detector.letterbox(frame.shape[1], frame.shape[0])
    return box, box.paint(frame, detector.layout.style)


def crowding_score(detector: Detector, frames: list[Pixels]) -> tuple[float, int]:
    """A score at which `CROWD` candidates pass on the first frame, and how many did (fewer where there are no more)."""
    box, canvas = painted(detector, frames[0])
    found = detector.layout.decode(detector.network.run(canvas), (box.canvas_width, box.canvas_height), 0.0)
    best = np.sort(found.scores)[::-1][:CROWD]
    return min(1.0, max(0.0, float(best[-1]))), len(best)


def against_ultralytics(
    model: str, input_size: tuple[int, int], frames: list[Pixels], runs: int, *, ours_ms: float, bare_ms: float
) -> dict[str, Any] | None:
    """CPU ms a frame of `predict`, as it comes and on one thread; None where ultralytics is not installed."""
    if importlib.util.find_spec("ultralytics") is None:
        return None
    stand_in_for_torchvision()
    onnxruntime, torch = importlib.import_module("onnxruntime"), importlib.import_module("torch")
    ultralytics = importlib.import_module("ultralytics")

    bgr = [np.ascontiguousarray(frame[:, :, ::-1]) for frame in frames]
    width, height = input_size
    settings = {"imgsz": [height, width], "conf": 0.25, "iou": 0.45, "verbose": False, "device": "cpu"}

    def predict_ms() -> float:
        network = ultralytics.YOLO(model, task="detect")
        return cpu_ms(lambda frame: network.predict(frame, **settings), bgr, runs)

    as_it_comes = predict_ms()
    open_session = onnxruntime.InferenceSession

    def open_on_one_thread(path: Any, settings: Any = None, **rest: Any) -> Any:
        settings = settings or onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        return open_session(path, settings, **rest)

    torch.set_num_threads(1)
    vars(onnxruntime)["InferenceSession"] = open_on_one_thread
    one_thread = predict_ms()
    return {
        "version": importlib.metadata.version("ultralytics"),
        "as_it_comes_cpu_ms": as_it_comes,
        "one_thread_cpu_ms": one_thread,
        "as_it_comes_ratio": as_it_comes / ours_ms,
        "one_thread_ratio": one_thread / ours_ms,
        "one_thread_ceiling": one_thread / bare_ms,
        "ratio_bar": CPU_BAR,
    }


def stand_in_for_torchvision() -> None:
    """Answer the two things ultralytics asks of torchvision, which must not be installed: its version and its NMS.

    The NMS is the one that ultralytics itself falls back to.
    """
    os.environ.update(YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
    if importlib.util.find_spec("torchvision") is not None:
        return
    installed = importlib.metadata.version
    version = "0.28.0"
    vars(importlib.metadata)["version"] = lambda name: version if name == "torchvision" else installed(name)
    package, ops = types.ModuleType("torchvision"), types.ModuleType("torchvision.ops")
    package.__spec__ = ModuleSpec("torchvision", None)
    vars(package).update(__version__=version, ops=ops)
    sys.modules.update({"torchvision": package, "torchvision.ops": ops})
    vars(ops).update(nms=importlib.import_module("ultralytics.utils.nms").TorchNMS.nms)


def table(result: dict[str, Any]) -> str:
    """The figures for a reader."""

    def verdict(met: bool, bar: str) -> str:
        return f"{'meets' if met else 'MISSES'} the bar of {bar}"

    crowd, other = result["crowded"], result["ultralytics"]
    lines = [
        "{model} at {input[0]}x{input[1]}, frames of {frame[0]}x{frame[1]}, one thread, {runs} runs".format(**result),
        f"  session.run          {result['session_run_ms']:7.2f} ms",
        f"  full pipeline        {result['pipeline_ms']:7.2f} ms   {result['ratio']:.3f}x: "
        + verdict(result["ratio"] <= RATIO_BAR, f"{RATIO_BAR}x"),
        f"    of that letterbox  {result['letterbox_ms']:7.2f} ms",
        f"  crowded              {crowd['pipeline_ms']:7.2f} ms   {crowd['ratio']:.3f}x, "
        f"{crowd['candidates']} candidates",
        f"  CPU a frame          {result['cpu_ms']:7.2f} ms",
    ]
    if other is None:
        return "\n".join([*lines, "  ultralytics is not installed: no comparison"])
    return "\n".join(
        [
            *lines,
            f"ultralytics {other['version']} predict, CPU a frame",
            f"  as it comes          {other['as_it_comes_cpu_ms']:7.2f} ms   {other['as_it_comes_ratio']:.2f}x ours: "
            + verdict(other["as_it_comes_ratio"] >= CPU_BAR, f"{CPU_BAR}x"),
            f"  on one thread        {other['one_thread_cpu_ms']:7.2f} ms   {other['one_thread_ratio']:.2f}x ours "
            f"(ceiling {other['one_thread_ceiling']:.2f}x)",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
