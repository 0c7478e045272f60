"""From the choice to the plan: figures, reasons, margins, and what to do when the cloud is away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicem_shared.functions import Registry
from dicem_shared.types import Site, WhenAway

from ..types import Alternative, CallNode, Placement, Plan
from .jobs import SITES, Job, fixed_site
from .schedule import CLOUD, EDGE, NOWHERE, Schedule, State
from .search import Found, Search
from .words import WHERE, amount, dollars, seconds, size, why, why_only

MARGIN_STEPS = 4_000
"""jobs that may be played to find margins"""
OUTAGE_S = 15.0
"""declared: how long nothing moves in configs/links/dead-zones.csv"""


@dataclass
class _Placed:
    """A job in the plan."""

    job: Job
    index: int
    """in the schedule"""
    site: Site | None
    unsent: float
    """the part of its pixels that the cloud would not have yet"""


@dataclass(frozen=True)
class _Said:
    """What a plan says of a job."""

    sites: tuple[tuple[str, Site | None]]
    reason: str
    alternatives: tuple[Alternative, ...]
    away: tuple[WhenAway, str]
    calls: float


class Planner:
    """Writes one plan."""

    def __init__(
        self, nodes: Sequence[CallNode], functions: Registry, schedule: Schedule, search: Search, found: Found
    ) -> None:
        self.nodes, self.functions, self.schedule, self.search, self.found = nodes, functions, schedule, search, found
        self.world = schedule.world
        self.problems: list[str] = []
        self._choice = list(found.at)
        self._of_site: dict[int, list[_Placed]] = {}
        self._known: dict[tuple[int, Site | None, Site | None, float], _Said] = {}
        self.end = self._final_pass()

    def plan(self) -> Plan:
        """The whole."""
        world, found, objective = self.world, self.found, self.search.objective
        margins = self._margins()
        placements = {
            node.site.number: self._placement(node, margins.get(node.site.number))
            for node in sorted(self.nodes, key=lambda node: node.site.number)
        }
        value = found.score[1]
        return Plan(
            placements=placements,
            objective=objective,
            link=world.link.name,
            edge_profile=world.edge.name,
            cloud_profile=world.cloud.name,
            latency_s=self.end.end,
            cost_usd=self.end.usd,
            bytes_up=self.end.bytes_up,
            proved=found.proved,
            gap=0.0 if found.proved or value <= 0 else (value - found.bound) / value,
            problems=tuple(dict.fromkeys([*self._missed(), *self.problems])),
            assumptions=self._assumptions(),
        )

    def _final_pass(self) -> State:
        """Play the choice once more and note which pixels were still to be sent when each job's turn came."""
        schedule = self.schedule
        state = schedule.start()
        for i, job in enumerate(schedule.jobs):
            unsent = schedule.unsent(state, schedule.in_cloud[i])
            schedule.play(state, i, i + 1, self._choice)
            at = self._choice[i]
            if job.function:
                placed = _Placed(job, i, None if at == NOWHERE else SITES[at], unsent)
                self._of_site.setdefault(job.number, []).append(placed)
        return state

    # One call site

    def _placement(self, node: CallNode, margin: float | None) -> Placement:
        number, placed = node.site.number, self._of_site.get(node.site.number, [])
        if not placed:
            return Placement(number, None, "it makes its calls elsewhere", calls=0.0)
        if len(placed) == 1:
            said = self._said(placed[0], node.said)
            return Placement(
                number, said.sites[0][1], said.reason, *said.away, said.alternatives, said.sites, said.calls, margin
            )
        placed.sort(key=lambda one: node.site.functions.index(one.job.function))
        each = [self._said(one, node.said) for one in placed]
        sites = tuple([said.sites[0] for said in each])
        where = [
            f"{name} {WHERE[site] if site else 'anywhere'} ({said.reason})"
            for (name, site), said in zip(sites, each, strict=True)
        ]
        reason = f"which it is turns out at run time: {', '.join(where)}"
        return Placement(
            number,
            self._tag(sites),
            reason,
            *self._away(list(zip(placed, [site for _, site in sites], strict=True))),
            tuple(other for said in each for other in said.alternatives),
            sites,
            sum(said.calls for said in each),
            margin,
        )

    def _tag(self, sites: Sequence[tuple[str, Site | None]]) -> Site | None:
        """What can be said for all the functions of a site: one that is not served there ignores it."""
        for tag in dict.fromkeys(site for _, site in sites):
            if tag and all(site == tag or tag not in self.functions.get(name).sites for name, site in sites):
                return tag
        return None

    def _said(self, one: _Placed, by_program: Site | None) -> _Said:
        """What there is to say of a job; the same for all that are alike."""
        key = (id(one.job.figures), one.site, by_program, one.unsent)
        if key not in self._known:
            site, reason = self._settle(one, by_program)
            sites, calls = ((one.job.function, site),), one.job.p * one.job.n
            self._known[key] = _Said(sites, reason, self._alternatives(one), self._away([(one, site)]), calls)
        return self._known[key]

    def _settle(self, one: _Placed, by_program: Site | None) -> tuple[Site | None, str]:
        """Where it goes, and why."""
        job = one.job
        if one.site is None:
            site = fixed_site(self.functions.get(job.function), by_program, job.refused)
            reason = why_only(job, site)
            self.problems.append(reason)
            return site, reason
        if len(job.sites) == 1:
            return one.site, why_only(job, one.site)
        return one.site, why(job, one.site, one.unsent, self._in_cloud_s(one), self.world, self.search.objective)

    def _in_cloud_s(self, one: _Placed) -> float:
        """Expected of a frame, with nothing in the way but a link that is down."""
        return self.schedule.cloud_alone(one.index, one.unsent) + one.job.p * self.world.starts_in_s

    def _alternatives(self, one: _Placed) -> tuple[Alternative, ...]:
        """What either site would take, with nothing in the way."""
        job, world, of = one.job, self.world, one.job.figures
        found = []
        for site in SITES:
            if site not in job.sites:
                found.append(Alternative(site, 0.0, 0.0, 0.0, False, job.refused[site], job.function))
            elif site == "edge":
                found.append(Alternative(site, of.edge_alone_s, 0.0, 0.0, True, "", job.function))
            else:
                sent = of.bytes_up + one.unsent * of.pixels_up
                usd = of.cloud_s * self.schedule.usd_s + (sent + of.bytes_down) * self.schedule.usd_byte
                late = world.starts_in_s
                reason = f"the link carries nothing for {seconds(late)} yet" if late else ""
                found.append(Alternative(site, self._in_cloud_s(one), usd, sent, True, reason, job.function))
        return tuple(found)

    # When the cloud is away

    def _away(self, placed: Sequence[tuple[_Placed, Site | None]]) -> tuple[WhenAway, str]:
        """What a site does while the cloud is away, and why."""
        away = [one for one, site in placed if site != "edge"]
        if not away:
            return "edge", "on board, where nothing is ever away"
        stand_ins = [one for one in away if one.job.equivalent and "edge" in one.job.sites and self._has_room(one)]
        if stand_ins:
            names = " and ".join(one.job.function for one in stand_ins)
            took = max(one.job.figures.edge_alone_s / (one.job.p or 1.0) for one in stand_ins)
            return "edge", f"{names} on board says the same in {seconds(took)}"
        deadline, outage = self.world.constraints.deadline_s, self._outage_s()
        if deadline is not None and deadline - self.end.end < outage:
            left = max(0.0, deadline - self.end.end)
            return "fail", f"a dead zone lasts {seconds(outage)}, and the deadline leaves {seconds(left)}"
        return "wait", "nothing on board says the same"

    def _has_room(self, one: _Placed) -> bool:
        schedule = self.schedule
        if schedule.memory_limit is None:
            return True
        state = self.end.copy([])
        state.on_board |= {schedule.model[one.index]}
        return schedule.fits(state)

    def _outage_s(self) -> float:
        given, traced = self.world.constraints.outage_s, self.world.link.longest_outage_s
        return given if given is not None else traced if traced is not None else OUTAGE_S

    # The whole

    def _margins(self) -> dict[int, float]:
        """By how much moving each call site that can be moved makes the plan worse."""
        schedule, search = self.schedule, self.search
        margins: dict[int, float] = {}
        steps = 0
        for i in schedule.free:
            steps += len(schedule.jobs)
            if steps > MARGIN_STEPS:
                break
            moved = self._choice.copy()
            moved[i] = CLOUD if moved[i] == EDGE else EDGE
            (_, value, _), state = search.score_of(moved)
            if schedule.fits(state):
                number = schedule.jobs[i].number
                worse = value - self.found.score[1]
                margins[number] = min(margins.get(number, worse), worse)
        return margins

    def _missed(self) -> list[str]:
        limits, missed = self.world.constraints, []
        which = "no plan keeps" if self.found.proved else "this plan misses"
        if limits.deadline_s is not None and self.end.end > limits.deadline_s + 1e-9:
            missed.append(
                f"{which} the deadline of {seconds(limits.deadline_s)}: the best takes {seconds(self.end.end)}"
            )
        if limits.budget_usd is not None and self.end.usd > limits.budget_usd + 1e-12:
            missed.append(
                f"{which} the budget of {dollars(limits.budget_usd)} a frame: the best costs {dollars(self.end.usd)}"
            )
        return missed

    def _assumptions(self) -> tuple[str, ...]:
        load, world = self.world.workload, self.world
        said = [
            f"a frame is {size(load.frame_bytes)}, a crop {size(load.crop_bytes)}; a loop makes {load.trips:.3g} "
            f"trips, an `if` lets {load.taken:.0%} through ({load.source})",
            f"{world.link.name}: {world.link.source}",
        ]
        for site in SITES:
            profile = world.profile(site)
            for name in sorted({job.function for job in self.schedule.jobs} & profile.functions.keys()):
                of = profile.functions[name]
                said.append(f"{profile.name}: {name} {seconds(of.latency_s)} ({of.source})")
        return tuple(said)


def plan_text(plan: Plan, names: dict[int, str] | None = None) -> str:
    """The plan for people: the same plan, the same text.  `names` says what stands at each call site."""
    bounds = "no plan is better" if plan.proved else f"another may be {plan.gap:.1%} better at most"
    lines = [
        f"plan for {'low latency' if plan.objective == 'latency' else 'low cost'} over {plan.link}, "
        f"{plan.edge_profile} on board, {plan.cloud_profile} in the cloud",
        f"expected of a frame: {seconds(plan.latency_s)}, {dollars(plan.cost_usd)}, {size(plan.bytes_up)} up; {bounds}",
    ]
    lines += [f"problem: {problem}" for problem in plan.problems]
    for number, placement in sorted(plan.placements.items()):
        lines += _call_lines(plan, placement, (names or {}).get(number, ""))
    return "\n".join([*lines, *(f"assumed: {each}" for each in plan.assumptions)]) + "\n"


def _call_lines(plan: Plan, placement: Placement, name: str) -> list[str]:
    where = placement.site or ("vehicle's choice" if placement.sites else "-")
    lines = [f"call {placement.number}{f' {name}' if name else ''}: {where}: {placement.reason}"]
    chosen = dict(placement.sites)
    several = len(chosen) > 1
    for other in placement.alternatives:
        mark = "*" if other.feasible and chosen.get(other.function) == other.site else " "
        what = f"{other.function} {other.site}" if several else other.site
        if other.feasible:
            figures = f"{seconds(other.latency_s)}, {dollars(other.cost_usd)}, {size(other.bytes_up)} up"
            lines.append(f"  {mark} {what}: {figures}{f'; {other.reason}' if other.reason else ''}")
        else:
            lines.append(f"    {what}: no, {other.reason}")
    if placement.margin is not None:
        worse = "worse" if placement.margin >= 0 else "better"  # a plan that is not proved may be improved on
        by = amount(abs(placement.margin), plan.objective)
        lines.append(f"    margin: the plan would be {by} {worse} with it elsewhere")
    if any(site != "edge" for site in chosen.values()):
        lines.append(f"    cloud away: {placement.when_away}, {placement.away_reason}")
    return lines
