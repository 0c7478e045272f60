"""Which of the calls that wait for a worker goes first: what the text of a program says of it.

    policy = looking_ahead(source, compiled, seconds)
    call = policy(queue, workers)

How long the way to the end of the program is behind a call follows from the call sites and what they wait for, as the
compiler found them.  `longest_way` takes the call with the longest one.  `looking_ahead` tries, for the calls that wait
now, all orders, and departs from that where another ends sooner.  What a call's answer will be nobody knows: whether a
loop behind it has many turns or none, or whether an `if` lets anything through.

A call does not say which site it comes from; the texts that it passes do (`verify_property("car", "red")`), and where
they do not, the longest of the sites that it may come from counts.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dicem_shared.runner import ProgramCall

from .types import CallNode, CallSite, CompiledProgram


@dataclass(frozen=True)
class Workers:
    """Those that carry out calls; at least one is free when somebody asks which call goes first."""

    free: int = 1
    busy: tuple[tuple[str, float], ...] = ()
    """of each of the others: the function that it carries out, and for how many seconds so far"""


Policy = Callable[[Sequence[ProgramCall], Workers], ProgramCall]
"""Of the calls that wait for a worker, in the order in which they were made, the one that goes first."""
ROUNDS = 3
"""So deep may helpers call helpers and still be reckoned exactly."""
MOST = 6
"""So many calls that wait are tried in all orders; where more wait, the longest way goes first."""
_NEARLY = 1e-9


def first_come(queue: Sequence[ProgramCall], workers: Workers = Workers()) -> ProgramCall:
    """The order of the program's `priority`, then the order in which calls were made."""
    return min(queue, key=lambda call: (call.priority, call.number))


def longest_way(source: str, compiled: CompiledProgram, seconds: Mapping[str, float]) -> Policy:
    """The longest way to the end first; of equals, the order in which they were made.

    :param source: the original program
    :param compiled: what was made of it
    :param seconds: what a call of each function is expected to take; of a function not named: the mean of these
    """
    ways = ways_to_the_end(source, compiled, seconds)
    return lambda queue, _: _longest_first(queue, ways)[0]


def looking_ahead(source: str, compiled: CompiledProgram, seconds: Mapping[str, float]) -> Policy:
    """The first call of the order in which those that wait now are expected to be behind them soonest, with all that
    follows; the longest way first where no other order is better.  The parameters are those of `longest_way`."""
    ways, usual = ways_to_the_end(source, compiled, seconds), _usual(seconds)

    def first(queue: Sequence[ProgramCall], workers: Workers) -> ProgramCall:
        order = _longest_first(queue, ways)
        urgent = [call for call in order if call.priority == order[0].priority]
        if not 1 < len(urgent) <= MOST:
            return order[0]
        jobs = []
        for call in urgent:
            own = seconds.get(call.function, usual)
            jobs.append((own, max(0.0, _way_of(call, ways) - own)))
        busy = [max(0.0, seconds.get(function, usual) - so_far) for function, so_far in workers.busy]
        return urgent[best_start(jobs, sorted([0.0] * workers.free + busy))]

    return first


def best_start(jobs: Sequence[tuple[float, float]], free: Sequence[float]) -> int:
    """The job that the best order begins with: the end of all, each with what follows it, is as soon as can be.

    :param jobs: for each its seconds, and those of what follows, which takes no worker; the order to be bettered
    :param free: from when each worker can take one, ascending
    """
    search = _Orders(jobs, _end_of(jobs, free) - _NEARLY)
    search.place((), tuple(free), 0.0)
    return search.best[0] if search.best else 0


def _end_of(jobs: Sequence[tuple[float, float]], free: Sequence[float]) -> float:
    times, end = list(free), 0.0
    for own, behind in jobs:
        times[0] += own
        end = max(end, times[0] + behind)
        times.sort()
    return end


class _Orders:
    """The tree of orders; those that cannot end before `end` are left out."""

    def __init__(self, jobs: Sequence[tuple[float, float]], end: float) -> None:
        self.jobs, self.end = jobs, end
        self.best: tuple[int, ...] = ()

    def place(self, placed: tuple[int, ...], free: tuple[float, ...], end: float) -> None:
        """Try each that is left as the next."""
        left = [number for number in range(len(self.jobs)) if number not in placed]
        if max([end, *(free[0] + sum(self.jobs[number]) for number in left)]) >= self.end:
            return
        if not left:
            self.best, self.end = placed, end - _NEARLY
            return
        tried = set()
        for number in left:
            if self.jobs[number] not in tried:
                tried.add(self.jobs[number])
                own, behind = self.jobs[number]
                ended = free[0] + own
                self.place((*placed, number), tuple(sorted((*free[1:], ended))), max(end, ended + behind))


@dataclass(frozen=True)
class Way:
    """Seconds from the start of a call of `function` at a site to the end of what may wait for it."""

    function: str
    texts: frozenset[str]
    """what the site's arguments say literally"""
    seconds: float


def _longest_first(queue: Sequence[ProgramCall], ways: Sequence[Way]) -> list[ProgramCall]:
    return sorted(queue, key=lambda call: (call.priority, -_way_of(call, ways), call.number))


def _usual(seconds: Mapping[str, float]) -> float:
    return sum(seconds.values()) / len(seconds) if seconds else 1.0


def _way_of(call: ProgramCall, ways: Sequence[Way]) -> float:
    said = list(_texts_in(call.params))
    found = [way for way in ways if way.function == call.function and _says(said, way.texts)]
    # The site of which most is recognised; where sites say the same, the longest way.
    return max(((len(way.texts), way.seconds) for way in found), default=(0, 0.0))[1]


def _says(said: Sequence[str], texts: frozenset[str]) -> bool:
    return all(any(text in each for each in said) for text in texts)


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts_in(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts_in(each)


def ways_to_the_end(source: str, compiled: CompiledProgram, seconds: Mapping[str, float]) -> list[Way]:
    """For each site and each function that it may call."""
    known = {node.site.number for node in compiled.nodes}
    nodes = [*compiled.nodes, *(CallNode(site, ()) for site in compiled.sites if site.number not in known)]
    usual = _usual(seconds)
    text = _Text(source)
    lasts: dict[str, float] = {}
    """what a call of each helper takes"""
    behind: dict[int, float] = {}
    for _ in range(ROUNDS):
        behind, lasts = _round(text, nodes, lasts, lambda name: seconds.get(name, usual))
    return [
        Way(name, text.texts(node), seconds.get(name, usual) + behind[node.site.number])
        for node in nodes
        for name in node.site.functions
        if node.site.form != "helper"
    ]


def _round(
    text: _Text, nodes: Sequence[CallNode], lasts: dict[str, float], takes: Callable[[str], float]
) -> tuple[dict[int, float], dict[str, float]]:
    """What is behind each site, given what helpers take; and what helpers take."""
    behind: dict[int, float] = defaultdict(float)
    behind_helper: dict[str, float] = defaultdict(float)
    new_lasts: dict[str, float] = defaultdict(float)
    # Sites are numbered as the program stands: what waits for one comes later, but around a loop, which is left out; so
    # do the calls of a helper, which stands above them.
    for node in sorted(nodes, key=lambda node: node.site.number, reverse=True):
        number, helper = node.site.number, text.function_around(node)
        inside = behind[number]
        behind[number] += behind_helper[helper]
        own = max(map(takes, node.site.functions), default=0.0)
        if node.site.form == "helper":
            own = lasts.get(node.site.name, 0.0)
            behind_helper[node.site.name] = max(behind_helper[node.site.name], behind[number])
        new_lasts[helper] = max(new_lasts[helper], own + inside)
        for earlier in node.after:
            if earlier < number:
                behind[earlier] = max(behind[earlier], own + inside)
    return behind, new_lasts


class _Text:
    """The original program: what arguments say, and which function a site stands in."""

    def __init__(self, source: str) -> None:
        tree = ast.parse(source)
        self._lines = source.split("\n")
        self._calls: dict[tuple[int, str], list[ast.Call]] = defaultdict(list)
        self._functions = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                self._calls[node.lineno, name].append(node)

    def texts(self, node: CallNode) -> frozenset[str]:
        """The literal texts among a site's arguments; of several calls that may be meant, what they have in common."""
        found = []
        for call in self._calls_at(node.site):
            values = call.args[1:] if node.site.form == "call" else call.args
            arguments = [*values, *(keyword.value for keyword in call.keywords)]
            found.append(frozenset(text for argument in arguments for text in _literals(argument)))
        return frozenset.intersection(*found) if found else frozenset()

    def _calls_at(self, site: CallSite) -> list[ast.Call]:
        """The calls of a site's name on its line; of these, those that begin where it stands."""
        calls = self._calls[site.line, "call" if site.form == "call" else site.name]
        return [call for call in calls if self._column(call) == site.column] or calls

    def _column(self, node: ast.Call) -> int:
        """From 1, in characters."""
        before = self._lines[node.lineno - 1].encode("utf-8", "surrogatepass")[: node.col_offset]
        return len(before.decode("utf-8", "ignore")) + 1

    def function_around(self, node: CallNode) -> str:
        """The innermost function around a site; nothing at the top."""
        around = [f for f in self._functions if f.lineno <= node.site.line <= (f.end_lineno or f.lineno)]
        return max(around, key=lambda function: function.lineno).name if around else ""


def _literals(argument: ast.expr) -> Iterator[str]:
    for node in ast.walk(argument):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            yield node.value
