"""From call sites to jobs: for each function that a site may call, where it can run and what that takes.

All figures are expectations of one frame.  A job is reached with probability `p` and then made `n` times; both enter
its seconds, bytes and dollars.  A site that calls one function or another becomes one job for each, one after the
other, each with its share of the probability: their expected times add up to the site's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from dicem_shared.functions import FunctionSpec, Registry
from dicem_shared.links import Condition, Link, expected_retries, wire_bytes
from dicem_shared.profiles import DeviceProfile, Workload
from dicem_shared.types import Site

from ..types import CallNode
from .order import in_order

SITES: tuple[Site, Site] = ("edge", "cloud")
FRAME = 0
"""the key of the whole frame's pixels"""


@dataclass(frozen=True)
class Constraints:
    """What a plan must keep to."""

    deadline_s: float | None = None
    """from the frame to its answer"""
    budget_usd: float | None = None
    """a frame"""
    edge_memory_mb: float | None = None
    """for the models on board; None: what the edge's profile says"""
    forbidden: frozenset[Site] = frozenset()
    """where nothing may run"""
    outage_s: float | None = None
    """how long a dead zone is expected to last; None: the longest of the link's trace, else 15 s"""


@dataclass(frozen=True)
class World:
    """What jobs are measured against."""

    link: Link
    condition: Condition
    starts_in_s: float
    """how long the link carries nothing yet"""
    edge: DeviceProfile
    cloud: DeviceProfile
    workload: Workload
    constraints: Constraints

    def profile(self, site: Site) -> DeviceProfile:
        """The device at a site."""
        return self.edge if site == "edge" else self.cloud


@dataclass(frozen=True)
class Figures:
    """What a job takes at either site.  Seconds; a `_share` is the part after which its first call goes on."""

    edge_s: float = 0.0
    """of the edge's slots"""
    edge_alone_s: float = 0.0
    """from start to end where it has the edge to itself"""
    first_share: float = 1.0
    encode_s: float = 0.0
    """of all its pixels"""
    up_s: float = 0.0
    """of the uplink, without pixels"""
    pixels_up_s: float = 0.0
    go_s: float = 0.0
    """half a round trip and what is sent again, without pixels"""
    pixels_go_s: float = 0.0
    cloud_s: float = 0.0
    """of one of the cloud's slots"""
    cloud_call_s: float = 0.0
    """what a call takes at least, however many slots there are"""
    back_s: float = 0.0
    bytes_up: float = 0.0
    """without pixels"""
    pixels_up: float = 0.0
    bytes_down: float = 0.0


@dataclass(slots=True)
class Job:
    """One function of one call site."""

    number: int
    function: str
    p: float
    n: float
    upto: float
    """the probability that this or an earlier function of the same site is called in the cloud, if all are there"""
    before: tuple[int, ...]
    """indexes of the jobs that must have ended"""
    sites: tuple[Site, ...]
    """where it may run; none: it counts for nothing"""
    refused: Mapping[Site, str]
    """why not elsewhere"""
    equivalent: bool
    key: int
    """which pixels it looks at; -1: none"""
    figures: Figures


@dataclass(frozen=True)
class _May:
    """Where a function may run."""

    sites: tuple[Site, ...]
    refused: Mapping[Site, str]
    equivalent: bool
    looks: bool
    """at pixels"""


def jobs_of(nodes: Sequence[CallNode], functions: Registry, world: World) -> list[Job]:
    """The jobs, each after those that it waits for.

    :raises UnknownFunction: a site calls what is no function
    """
    return _Builder(functions, world).jobs(nodes)


class _Builder:
    """Makes jobs; what is alike is worked out once."""

    def __init__(self, functions: Registry, world: World) -> None:
        self._functions, self._world = functions, world
        self._keys: dict[str, int] = {"": FRAME}
        self._may: dict[tuple[str, Site | None], _May] = {}
        self._figures: dict[tuple[str, float, float, bool, int, float, bool], Figures] = {}

    def jobs(self, nodes: Sequence[CallNode]) -> list[Job]:
        """See `jobs_of`."""
        last: dict[int, int] = {}
        jobs: list[Job] = []
        for node, waits, serial in in_order(nodes):
            before = tuple([last[number] for number in waits])
            of_site = self._of_site(node, serial)
            if not of_site:  # a helper: nothing by itself, but others wait for what it waits for
                of_site = [Job(node.site.number, "", 0.0, 0.0, 0.0, (), (), {}, False, -1, Figures())]
            for job in of_site:
                job.before, before = before, (len(jobs),)
                jobs.append(job)
            last[node.site.number] = len(jobs) - 1
        return jobs

    def _of_site(self, node: CallNode, serial: bool) -> list[Job]:
        names, load = node.site.functions, self._world.workload
        n = self._trips(node.loops)
        around = node.loops if node.image_loops is None else node.image_loops
        images = 1.0 if node.image == "frame" else self._trips(around)
        jobs = []
        for name in names:
            may = self._may_run(name, node.said)
            p = (load.taken if node.guarded else 1.0) / len(names)
            key, pixels = self._pixels(node) if may.looks else (-1, 0)
            figures = self._figures_of(name, p, n, serial, pixels, min(images, n), key not in (FRAME, -1))
            jobs.append(Job(node.site.number, name, p, n, p, (), may.sites, may.refused, may.equivalent, key, figures))
        if len(jobs) > 1:
            jobs.sort(key=lambda job: job.sites != ("cloud",))  # first those that are in the cloud anyway
            for job, total in zip(jobs, accumulate(job.p for job in jobs), strict=True):
                job.upto = total
        return jobs

    def _trips(self, loops: Sequence[str]) -> float:
        load = self._world.workload
        return prod([load.trips_of.get(loop, load.trips) for loop in loops])

    def _pixels(self, node: CallNode) -> tuple[int, int]:
        """A number for the pixels that a site looks at, and their bytes; sites that name none look at their own."""
        load = self._world.workload
        if node.image == "none":
            return -1, 0
        if node.image == "frame":
            return FRAME, load.frame_bytes
        key = self._keys.setdefault(node.image_key or f"#{node.site.number}", len(self._keys))
        return key, load.crop_bytes if node.image == "crop" else load.frame_bytes

    def _may_run(self, name: str, said: Site | None) -> _May:
        if (name, said) not in self._may:
            spec = self._functions.get(name)
            sites, refused = _sites(spec, said, self._world)
            self._may[name, said] = _May(sites, refused, spec.equivalent, bool(spec.image_parameters))
        return self._may[name, said]

    def _figures_of(
        self, name: str, p: float, n: float, serial: bool, pixels: int, images: float, encoded: bool
    ) -> Figures:
        key = (name, p, n, serial, pixels, images, encoded)
        if key not in self._figures:
            self._figures[key] = _figures(*key, self._world)
        return self._figures[key]


def _figures(
    function: str, p: float, n: float, serial: bool, pixels: int, images: float, encoded: bool, world: World
) -> Figures:
    """What `n` calls that look at `images` different images take, where they are made with probability `p`."""
    condition, load = world.condition, world.workload
    edge, cloud = world.edge.functions.get(function), world.cloud.functions.get(function)
    edge_s, cloud_s = edge.latency_s if edge else 0.0, cloud.latency_s if cloud else 0.0
    in_a_row = n if serial else min(n, 1.0)
    # What travels side by side waits for the slowest of all its packets; what goes in a row, for each by itself.
    together = 1.0 if serial else max(n, 1.0)
    of_each = images / max(n, 1.0) * pixels
    rtt_s, loss = condition.rtt_ms / 1000, condition.loss
    plain, full = wire_bytes(load.request_bytes), wire_bytes(load.request_bytes + pixels)
    reply = wire_bytes(load.reply_bytes)
    retries = expected_retries(round(together * load.request_bytes), loss)
    with_pixels = expected_retries(round(together * (load.request_bytes + of_each)), loss)
    back = expected_retries(round(together * load.reply_bytes), loss)
    return Figures(
        edge_s=p * n * edge_s / world.edge.slots,
        edge_alone_s=p * max(in_a_row, n / world.edge.slots) * edge_s,
        first_share=1.0 if serial else 1.0 / max(n, 1.0),
        encode_s=p * images * world.edge.encode_s if encoded else 0.0,
        up_s=p * n * _seconds(plain, condition.up_kbps),
        pixels_up_s=p * images * _seconds(full - plain, condition.up_kbps),
        go_s=p * in_a_row * (0.5 + retries) * rtt_s,
        pixels_go_s=p * in_a_row * (with_pixels - retries) * rtt_s,
        cloud_s=p * n * cloud_s,
        cloud_call_s=p * in_a_row * cloud_s,
        back_s=p * in_a_row * ((0.5 + back) * rtt_s + _seconds(reply, condition.down_kbps)),
        bytes_up=p * n * plain,
        pixels_up=p * images * (full - plain),
        bytes_down=p * n * reply,
    )


def _seconds(size: int, kbps: float) -> float:
    return size * 8 / 1000 / kbps


def _sites(spec: FunctionSpec, said: Site | None, world: World) -> tuple[tuple[Site, ...], dict[Site, str]]:
    """Where a function may run, best known first, and why nowhere else."""
    refused: dict[Site, str] = {}
    for site in SITES:
        where = "on board" if site == "edge" else "in the cloud"
        if site not in spec.sites:
            refused[site] = f"{spec.name} is not served {where}"
        elif site in world.constraints.forbidden:
            refused[site] = f"nothing may run {where}"
        elif spec.name not in world.profile(site).functions:
            refused[site] = f"profile {world.profile(site).name} has no {spec.name}"
        elif said is not None and site != said:
            refused[site] = f"the program says {said}"
    possible = tuple(site for site in SITES if site not in refused)
    if len(possible) == 2 and not (spec.equivalent and spec.pure):
        why = (
            "are not equivalent: its answers would be others" if spec.pure else "keep their own state: it stays at one"
        )
        refused["cloud"] = f"the sites of {spec.name} {why}"
        possible = ("edge",)  # where it runs if the program says nothing
    return possible, refused


def fixed_site(spec: FunctionSpec, said: Site | None, refused: Mapping[Site, str]) -> Site | None:
    """Where a function that can run nowhere, as far as the profiles know, would have to run all the same."""
    if said is not None:
        return said
    if not spec.pure and not all("may run" in why for why in refused.values()):
        return "edge" if "edge" in spec.sites and "may run" not in refused["edge"] else "cloud"
    if len(spec.sites) == 1 and "may run" not in refused[spec.sites[0]]:
        return spec.sites[0]
    return None
