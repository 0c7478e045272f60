"""`make train`: render the scenes, train the three demo models side by side, measure them, write them to `models/`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from dicem_shared.errors import DicemError
from dicem_simulators.scenes.objects import KINDS
from dicem_simulators.training import cards, depth, detector, metrics, vqa
from dicem_simulators.training.heldout import heldout
from dicem_simulators.training.libraries import library
from dicem_simulators.training.scenes import read_scenes, write_scenes

NAMES = ("yolov8", "blip2", "depth")
MODELS = Path(__file__).resolve().parents[3] / "models"


def log(text: str) -> None:
    """One line, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def train(name: str, scenes: Path, models: Path) -> None:
    """Train one model on one thread, measure it, and put it in its place once it is whole."""
    library("torch").set_num_threads(1)
    data = read_scenes(scenes)
    folder = models / f"{name}.part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    match name:
        case "yolov8":
            detector.export(detector.train(data, log), folder / "model.onnx")
        case "blip2":
            vqa.save(vqa.train(data, log), folder)
        case _:
            depth.save(depth.train(data, log), folder)
    measure(name, folder)
    place = models / name
    shutil.rmtree(place, ignore_errors=True)
    folder.rename(place)


def measure(name: str, folder: Path) -> None:
    """Write `metrics.json` and `card.md` of a trained model."""
    from dicem_cloud.functions.onnx_blip2 import OnnxBlip2
    from dicem_cloud.functions.onnx_depth import OnnxDepth

    held = [metrics.Held(picture.image, picture.truths) for picture in heldout()]
    match name:
        case "yolov8":
            figures = metrics.detector_metrics(folder / "model.onnx", held)
        case "blip2":
            crops = vqa.heldout_crops((each.image, each.truths) for each in held)
            figures = metrics.vqa_metrics(OnnxBlip2(folder), crops)
        case _:
            figures = metrics.depth_metrics(OnnxDepth(folder), held)
    metrics.write(folder / "metrics.json", figures)
    cards.write_card(folder, name, ", ".join(KINDS))
    log(f"{name}: {json.dumps(figures)}")


def train_all(scenes: Path, models: Path) -> int:
    """The detector on one core; on the other BLIP-2, then depth.  The first exit status that is not 0."""
    log("rendering the training scenes")
    write_scenes(scenes, lambda done, of: log(f"scene {done}/{of}") if done % 400 == 0 else None)
    command = [sys.executable, "-m", "dicem_simulators.training", "--scenes", str(scenes), "--models", str(models)]
    surroundings = os.environ | {"OMP_NUM_THREADS": "1"}
    beside = subprocess.Popen([*command, "yolov8"], env=surroundings)
    try:
        status = subprocess.run([*command, "blip2", "depth"], env=surroundings, check=False).returncode
        return beside.wait() or status
    finally:
        beside.kill()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m dicem_simulators.training", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"train these only, one after the other: {', '.join(NAMES)}")
    parser.add_argument("--scenes", type=Path, default=Path("out/training-scenes"), help="where the scenes are kept")
    parser.add_argument("--models", type=Path, default=MODELS, help="where the models go")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(NAMES)):
        parser.error(f"no model is called {unknown[0]}; there are {', '.join(NAMES)}")
    try:
        if not given.names:
            return train_all(given.scenes, given.models)
        write_scenes(given.scenes)
        for name in given.names:
            train(name, given.scenes, given.models)
    except DicemError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
