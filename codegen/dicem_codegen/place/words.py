"""Figures and reasons in words."""

from __future__ import annotations

from collections.abc import Mapping

from dicem_shared.types import Site

from ..types import Objective
from .jobs import Job, World

WHERE: Mapping[Site, str] = {"edge": "on board", "cloud": "in the cloud"}


def seconds(value: float) -> str:
    """`0.83 s`, `12 ms`."""
    return f"{value:.2f} s" if value >= 0.0995 else f"{value * 1000:.3g} ms"


def dollars(value: float) -> str:
    """`0.00012 USD`."""
    return f"{value:.2g} USD" if value else "0 USD"


def size(value: float) -> str:
    """`44.6 kB`, `310 B`."""
    return f"{value / 1000:.1f} kB" if value >= 999.5 else f"{value:.0f} B"


def amount(value: float, objective: Objective) -> str:
    """What the objective counts."""
    return seconds(value) if objective == "latency" else dollars(value)


def why_only(job: Job, site: Site | None) -> str:
    """Why a function has no choice."""
    if site is None:
        return "; ".join(dict.fromkeys(job.refused.values())) + ": left to the vehicle"
    others = [reason for other, reason in job.refused.items() if other != site]
    unknown = [reason for other, reason in job.refused.items() if other == site]
    return "; ".join(dict.fromkeys([*others, *(f"{reason}, so its time is not counted" for reason in unknown)]))


def why(job: Job, site: Site, unsent: float, in_cloud_s: float, world: World, objective: Objective) -> str:
    """Why a call that could run at both sites runs at this one.

    `in_cloud_s` and the job's figures are expected of a frame; what is said is of a frame where the call is reached.
    """
    of, reached = job.figures, job.p or 1.0
    sent = (of.bytes_up + unsent * of.pixels_up) / reached
    pixels = "" if job.key < 0 or unsent else ", pixels sent before,"
    calls = f"{job.n:.3g} calls, " if job.n != 1 else ""
    text = f"{calls}{size(sent)}{pixels} over {world.link.name} take {seconds(in_cloud_s / reached)}"
    text += f"; on board {seconds(of.edge_alone_s / reached)}"
    if objective == "cost":
        return text + ("; on board it costs nothing" if site == "edge" else "; no cheaper plan keeps the limits")
    faster: Site = "edge" if of.edge_alone_s <= in_cloud_s else "cloud"
    return text if site == faster else f"{text}; but for the plan as a whole {WHERE[site]} is better"
