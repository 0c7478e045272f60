"""Placement: where each call runs, so that the frame's answer comes soonest, or costs least.

`order` puts call sites after what they wait for, `jobs` says what each takes at either site, `schedule` what a choice
comes to, `search` finds the best one, `plan` puts it into words.
"""

from __future__ import annotations

from collections.abc import Sequence

from dicem_shared.errors import ConfigError
from dicem_shared.functions import Registry
from dicem_shared.links import Link
from dicem_shared.profiles import DeviceProfile, Workload

from ..types import CallNode, Objective, Plan
from .jobs import Constraints, Job, World, jobs_of
from .plan import Planner, plan_text
from .schedule import Schedule
from .search import Search

__all__ = ["Constraints", "place", "plan_text"]


def place(
    nodes: Sequence[CallNode],
    functions: Registry,
    *,
    link: Link,
    edge: DeviceProfile,
    cloud: DeviceProfile,
    objective: Objective = "latency",
    constraints: Constraints | None = None,
    workload: Workload | None = None,
    at_s: float = 0.0,
) -> Plan:
    """The plan for the call sites of a program over the link as it is at second `at_s`.

    Among plans that keep the deadline and the budget the one with the least latency (or cost), then the least of the
    other; where none keeps them, the one that misses them least, and `problems` says so.

    :raises ConfigError: something can run nowhere under the constraints, or the link never carries anything
    :raises UnknownFunction: a site calls what is no function
    """
    limits = constraints or Constraints()
    up = link.next_up(at_s)
    if up is None:
        raise ConfigError(
            f"link {link.name} carries nothing from second {at_s:g} on", todo="Add a row with the link up."
        )
    world = World(link, *up, edge, cloud, workload or Workload(), limits)
    jobs = jobs_of(nodes, functions, world)
    schedule = Schedule(jobs, world)
    _check(jobs, schedule)
    search = Search(schedule, objective)
    return Planner(nodes, functions, schedule, search, search.best()).plan()


def _check(jobs: Sequence[Job], schedule: Schedule) -> None:
    """:raises ConfigError: the constraints leave nothing to choose from"""
    for job in jobs:
        if not job.sites and any("may run" in reason for reason in job.refused.values()):
            raise ConfigError(
                f"{job.function} can run nowhere", got="; ".join(job.refused.values()),
                todo="Forbid no site that a function of the program needs.",
            )  # fmt: skip
    start = schedule.start()
    if not schedule.fits(start):
        names = ", ".join(schedule.functions[model] for model in sorted(start.on_board))
        raise ConfigError(
            f"what must run on board has no room there: {names}", expected=f"at most {schedule.memory_limit:g} MB",
            got=f"{schedule.memory_of(start):g} MB",
        )  # fmt: skip
