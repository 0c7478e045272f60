"""The HTML page of a simulation: one file, nothing fetched, plots and crops inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from dicem_shared import images
from dicem_shared.recording import RecordedFrame
from dicem_shared.types import Answer

from .scoring import near_litter
from .simulate import Result
from .table import ROWS, savings

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

COLOURS = {"cloud-only": "#adb5bd", "per-call": "#e8a33d", "split": "#0b7285"}
MAX_CROPS = 24
CROP_MARGIN = 1.0
"""of the box's size, shown around each crop"""


def render_report(result: Result) -> str:
    """The page as text; the same result gives the same text."""
    summary = result.summary()
    modes: dict[str, dict[str, Any]] = summary["modes"]
    environment = Environment(
        loader=PackageLoader("dicem_simulators"), autoescape=select_autoescape(default=True), undefined=StrictUndefined
    )
    page = environment.get_template("report.html.j2")
    return page.render(
        result=result,
        summary=summary,
        modes=list(modes),
        rows=[(label.strip(), [(mode, cell(figures)) for mode, figures in modes.items()]) for label, cell in ROWS],
        savings=savings(modes),
        plots=[Markup(_svg(figure)) for figure in _figures(result)],
        crops=list(_crops(result)),
        assumptions=list(_assumptions(result)),
    )


def _figures(result: Result) -> Iterator[Figure]:
    yield _latency(result)
    yield _cumulative(result, "bytes up (MB)", lambda a: a.cost.bytes_up / 1e6)
    yield _cumulative(result, "cloud GPU seconds", lambda a: a.cost.cloud_s)
    yield _cumulative(result, "cost (USD)", lambda a: a.cost.usd)


def _axes(title: str) -> tuple[Figure, Any]:
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("frame")
    return figure, axes


def _latency(result: Result) -> Figure:
    figure, axes = _axes("latency of each frame (s, log); ticks below: litter within 5 m is there")
    for mode, answers in result.answers.items():
        numbers = sorted(answers)
        values = [max(answers[n].latency_s, 1e-4) for n in numbers]
        axes.plot(numbers, values, ".", markersize=4, color=COLOURS[mode], label=mode)
    axes.set_yscale("log")
    near = [frame.info.sequence for frame in result.frames if near_litter(frame.truth)]
    axes.plot(near, [axes.get_ylim()[0]] * len(near), "|", color="#c92a2a", markersize=8)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _cumulative(result: Result, title: str, value: Any) -> Figure:
    figure, axes = _axes(f"{title}, added up")
    for mode, answers in result.answers.items():
        total, line = 0.0, []
        for number in sorted(answers):
            total += value(answers[number])
            line.append(total)
        axes.plot(sorted(answers), line, color=COLOURS[mode], label=mode)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "dicem", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    plt.close(figure)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _crops(result: Result) -> Iterator[dict[str, Any]]:
    """The patches that our mode asked about, with what was said and what is really there."""
    answers: dict[int, Answer] = result.answers.get("split") or next(iter(result.answers.values()))
    shown = 0
    for frame in result.frames:
        answer = answers.get(frame.info.sequence)
        if answer is None or shown >= MAX_CROPS:
            continue
        asked = [o for o in answer.observations if o.facts]
        for observation in asked[:1]:
            shown += 1
            yield {
                "frame": frame.info.sequence,
                "image": _crop_uri(frame, observation.bbox),
                "text": str(answer.value),
                "truth": _truth_text(frame),
            }


def _crop_uri(frame: RecordedFrame, box: tuple[int, int, int, int]) -> str:
    pixels = images.decode(frame.data, max_pixels=40_000_000)
    x, y, width, height = box
    dx, dy = int(width * CROP_MARGIN), int(height * CROP_MARGIN)
    top, left = max(y - dy, 0), max(x - dx, 0)
    part = pixels[top : y + height + dy, left : x + width + dx]
    return "data:image/webp;base64," + base64.b64encode(images.encode(part, format="webp", quality=85)).decode()


def _truth_text(frame: RecordedFrame) -> str:
    if not frame.truth:
        return ""
    near = [o for o in frame.truth["objects"] if o.get("litter") and o["distance_m"] < 5]
    nearest = min(near, key=lambda o: o["distance_m"], default=None)
    if nearest is None:
        return "truth: no litter within five metres"
    return f"truth: {nearest['kind']}, {nearest['material']}, {nearest['distance_m']:.2f} m"


def _assumptions(result: Result) -> Iterator[tuple[str, str, str]]:
    first = result.link.at(0)
    rates = f"{first.up_kbps:g} / {first.down_kbps:g} kbit/s, {first.rtt_ms:g} ms, loss {first.loss:.1%}"
    yield f"link {result.link.name}", rates, result.link.source
    yield "price of the link", f"{result.link.usd_per_mb:g} USD/MB", result.link.source
    for profile in (result.edge_profile, result.cloud_profile):
        yield f"{profile.name}: the program", f"{profile.program_s * 1000:g} ms", profile.program_source
        if profile.encode_s:
            yield f"{profile.name}: one crop", f"{profile.encode_s * 1000:g} ms", profile.encode_source
        if profile.usd_per_hour:
            yield f"{profile.name}: price", f"{profile.usd_per_hour:g} USD/h", profile.usd_source
        for name, function in profile.functions.items():
            yield f"{profile.name}: {name}", f"{function.latency_s * 1000:g} ms", function.source
