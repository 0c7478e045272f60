"""The modes side by side, for a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from .simulate import Result

Figures = dict[str, Any]
Row = tuple[str, Callable[[Figures], str]]


def ms(value: float | None) -> str:
    """Seconds as milliseconds."""
    return "-" if value is None else f"{value * 1000:,.0f} ms"


def share(value: float | None) -> str:
    """A share as a percentage."""
    return "-" if value is None else f"{value:.1%}"


def size(value: int) -> str:
    """Bytes with a unit (10^3, 10^6)."""
    return f"{value / 1e6:,.2f} MB" if value >= 1e6 else f"{value / 1e3:,.1f} kB"


def _times(kind: str) -> Callable[[Figures], str]:
    return lambda f: f"{ms(f['latency_s'][kind]['p50'])} / {ms(f['latency_s'][kind]['p95'])}"


ROWS: tuple[Row, ...] = (
    (
        "frames / answers",
        lambda f: f"{f['frames']} / {f['answers']}" + (f" ({f['failed']} failed)" if f["failed"] else ""),
    ),
    ("agrees with cloud-only", lambda f: share(f["agreement"])),
    ("  on frames with near litter", lambda f: share(f["agreement_litter"])),
    ("precision / recall of near litter", lambda f: f"{share(f['precision'])} / {share(f['recall'])}"),
    ("latency without litter, p50 / p95", _times("empty")),
    ("latency with litter, p50 / p95", _times("litter")),
    ("bytes up", lambda f: size(f["bytes_up"])),
    ("bytes down", lambda f: size(f["bytes_down"])),
    ("cloud GPU seconds", lambda f: f"{f['cloud_s']:.2f} s"),
    ("cost", lambda f: f"{f['cost_usd']:.4f} USD"),
    ("calls", lambda f: ", ".join(f"{name} {n}" for name, n in f["calls"].items())),
)


def print_tables(result: Result, console: Console) -> None:
    """The figures of every mode, and what ours saved against the baseline."""
    summary = result.summary()
    modes: dict[str, Figures] = summary["modes"]
    title = f"{summary['recording']} over {summary['link']}, seed {summary['seed']} (time and cost are simulated)"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in modes:
        table.add_column(name, justify="right", overflow="fold")
    for label, cell in ROWS:
        table.add_row(label, *(cell(figures) for figures in modes.values()))
    console.print(table)
    for line in savings(modes):
        console.print(line)
    console.print(
        f"edge: {result.edge_profile.name}; cloud: {result.cloud_profile.name}; link: {result.link.source}", style="dim"
    )


def savings(modes: dict[str, Figures]) -> list[str]:
    """One line: ours against shipping every frame, as ratios from this run."""
    if "cloud-only" not in modes or "split" not in modes:
        return []
    base, ours = modes["cloud-only"], modes["split"]
    parts = []
    empty_base, empty_ours = base["latency_s"]["empty"]["p50"], ours["latency_s"]["empty"]["p50"]
    if empty_base and empty_ours:
        parts.append(f"answers on frames without litter {empty_base / empty_ours:.1f}x sooner")
    if base["bytes_up"]:
        parts.append(f"{ours['bytes_up'] / base['bytes_up']:.1%} of the uplink bytes")
    if base["cost_usd"]:
        parts.append(f"{ours['cost_usd'] / base['cost_usd']:.1%} of the cost")
    return [f"split against cloud-only: {', '.join(parts)}"] if parts else []
