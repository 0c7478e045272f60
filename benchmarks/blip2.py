"""BLIP-2 of its true size on this machine's GPU: seconds of a batch of 1 to 32, memory, how busy the device is kept.

    python benchmarks/blip2.py [--out configs/profiles/cloud-mine.yaml] [--tiny]

The network has the dimensions of Salesforce/blip2-opt-2.7b (ViT-g/14, Q-Former, OPT-2.7b: Li et al., 2023) and random
weights: its answers mean nothing, its arithmetic is the true one.  It never ends an answer early, so every call costs
`max_new_tokens`.  It is saved as safetensors and loaded and called through the same class that the cloud serves.

`--out` writes a profile (docs: `dicem_shared/profiles.py`) that says where its figures come from.  `--tiny` takes a
network of a few thousand weights, to try the command where there is no GPU.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.cloud.checkpoints import save_blip2, tokenizer  # noqa: E402

from dicem_cloud.batcher import Batcher  # noqa: E402
from dicem_cloud.device import held_seconds  # noqa: E402
from dicem_cloud.functions.blip2 import Blip2  # noqa: E402
from dicem_cloud.functions.torch_device import Devices  # noqa: E402
from dicem_cloud.functions.transformers_blip2 import TransformersBlip2  # noqa: E402
from dicem_cloud.waiting import Bounds, Flow  # noqa: E402
from dicem_shared.clock import SystemClock  # noqa: E402
from dicem_shared.ids import blob_id  # noqa: E402
from dicem_shared.implementations import Work  # noqa: E402
from dicem_shared.patches import Patch  # noqa: E402
from dicem_shared.types import FrameInfo  # noqa: E402

SIZES = (1, 2, 4, 8, 16, 32)
NEW_TOKENS = 16
QUESTION = "what is it ?"
HEIGHT, WIDTH = 480, 640
AT_LEAST_S, AT_LEAST = 2.0, 3
"""of each batch size"""


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write a profile there")
    parser.add_argument("--tiny", action="store_true", help="a toy network, on whatever there is")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the part that keeps the device busy")
    given = parser.parse_args()
    import torch

    if not given.tiny and not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU here; --tiny tries the command without one")
    with tempfile.TemporaryDirectory() as folder:
        save_blip2(Path(folder)) if given.tiny else save_true_size(Path(folder))
        devices = Devices()
        network = TransformersBlip2(folder, max_new_tokens=NEW_TOKENS, devices=devices)
        network.preload()
        where = torch.cuda.get_device_name() if torch.cuda.is_available() else "a CPU"
        weights_gb = network.placed.weights.size_bytes / 1e9
        title = f"BLIP-2 on {where}: {weights_gb:.2f} GB of weights, {network.place.dtype}, {NEW_TOKENS} new tokens"
        rows = [(size, *curve(network, size)) for size in SIZES]
        busy = {ahead: occupancy(network, given.seconds, ahead) for ahead in (0, 1)}
    show(title, rows, busy)
    if given.out:
        write(given.out, where, title, rows)


def save_true_size(folder: Path) -> None:
    """The published dimensions, random weights in half precision."""
    import torch
    import transformers

    words = tokenizer()
    config = transformers.Blip2Config(
        vision_config=transformers.Blip2VisionConfig(
            hidden_size=1408, intermediate_size=6144, num_hidden_layers=39, num_attention_heads=16, image_size=224,
            patch_size=14,
        ),
        qformer_config=transformers.Blip2QFormerConfig(
            hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
            encoder_hidden_size=1408, cross_attention_frequency=2,
        ),
        text_config=transformers.OPTConfig(
            vocab_size=50304, hidden_size=2560, ffn_dim=10240, num_hidden_layers=32, num_attention_heads=32,
            max_position_embeddings=2048, word_embed_proj_dim=2560, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        ),
        num_query_tokens=32,
        image_token_index=50265,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device("cuda"):
        network = transformers.Blip2ForConditionalGeneration(config).half()
    network.generation_config.eos_token_id = None
    network.save_pretrained(folder)
    del network
    torch.cuda.empty_cache()
    pixels = transformers.BlipImageProcessor(size={"height": 224, "width": 224})
    transformers.Blip2Processor(pixels, words, num_query_tokens=32).save_pretrained(folder)


def curve(network: TransformersBlip2, size: int) -> tuple[float, float, float]:
    """Median seconds of a batch, of which on the device, and its peak memory in GB."""
    import torch

    images = [picture(number) for number in range(size)]
    network.answer(images, [QUESTION] * size)
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    whole, held = list[float](), list[float]()
    while len(whole) < AT_LEAST or sum(whole) < AT_LEAST_S:
        began, before = time.perf_counter(), held_seconds()
        network.answer(images, [QUESTION] * size)
        whole.append(time.perf_counter() - began)
        held.append(held_seconds() - before)
    return statistics.median(whole), statistics.median(held), torch.cuda.max_memory_allocated() / 1e9 if cuda else 0.0


def picture(seed: int) -> Any:
    """Noise, as large as a crop of a frame."""
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def occupancy(network: TransformersBlip2, seconds: float, ahead: int) -> tuple[float, float]:
    """The share of time for which the device computes under 64 callers, and calls a second; `ahead` 0 reads no batch
    while another is computed."""
    function = Blip2(network, network.model, max_batch=16, reentrant=bool(ahead))
    device = network.place.device
    with Batcher(function, Bounds(16, 0.01, 1000), SystemClock(), ahead=ahead) as batcher, callers(batcher, 64) as done:
        time.sleep(min(2.0, seconds / 2))
        before, began, calls = device.busy_s, time.perf_counter(), sum(done)
        time.sleep(seconds)
        wall = time.perf_counter() - began
        return (device.busy_s - before) / wall, (sum(done) - calls) / wall


@contextmanager
def callers(batcher: Batcher, number: int) -> Iterator[list[int]]:
    """So many who each have one call at a time; how many each has had."""
    over, done = threading.Event(), [0] * number

    def caller(index: int) -> None:
        image = picture(index)
        frame = FrameInfo(camera="bow", sequence=0, t_utc=0, blob=blob_id(b""), width=WIDTH, height=HEIGHT)
        work = Work({"image": Patch(image, (0, 0, WIDTH, HEIGHT), frame), "query": QUESTION})
        while not over.is_set():
            found = batcher.submit(lambda: work, Flow(f"v{index}"), deadline_s=time.monotonic() + 600).result()
            if isinstance(found.outcome, Exception):
                raise found.outcome
            done[index] += 1

    threads = [threading.Thread(target=caller, args=(index,), daemon=True) for index in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        over.set()
        for thread in threads:
            thread.join()


def show(title: str, rows: list[tuple[int, float, float, float]], busy: dict[int, tuple[float, float]]) -> None:
    """The tables."""
    table = Table("batch", "s a batch", "of it on the device", "calls/s", "peak GB", title=title, title_justify="left")
    for size, whole, held, peak in rows:
        table.add_row(str(size), f"{whole:.4f}", f"{held:.4f}", f"{size / whole:.1f}", f"{peak:.1f}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for ahead, (share, per_s) in busy.items():
        how = "the next batch read while one is computed" if ahead else "one after the other"
        console.print(f"64 callers, batches of 16, {how}: device busy {share:.1%}, {per_s:.1f} calls/s")


def write(path: Path, where: str, title: str, rows: list[tuple[int, float, float, float]]) -> None:
    """The profile."""
    source = (
        f"measured: {title}; random weights, {HEIGHT}x{WIDTH} images; benchmarks/blip2.py, {time.strftime('%Y-%m-%d')}"
    )
    one: dict[str, Any] = {
        "latency_s": round(rows[0][1], 5),
        "source": source,
        "batches": {size: round(whole, 5) for size, whole, *_ in rows},
        "memory_mb": round(1000 * rows[-1][3]),
    }
    profile: dict[str, Any] = {"name": path.stem, "functions": {"blip2": one, "blip": one | {"source": "as blip2"}}}
    profile["functions"]["blip"]["batches"] = dict(one["batches"])  # else YAML refers to it
    text = yaml.safe_dump(profile, sort_keys=False, width=110)
    path.write_text(f"# BLIP-2 of its true size on {where}, by `python benchmarks/blip2.py`.\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()
