"""Calls under way, and who waits for them: what several programs ask of one frame is asked once.

Only calls of pure functions are shared, and only between runs: how often one run asks is its own affair.  The first run
that is still there when the result comes pays for it and reports what was learned; the others say that they shared it.
A failure goes to those that waited for it and to nobody after them.
"""

from __future__ import annotations

import json
import math
from collections import Counter, deque
from collections.abc import Callable, Hashable
from copy import deepcopy
from dataclasses import dataclass, field, replace

from dicem_shared.runner import Outcome, ProgramCall, Run, Waiting
from dicem_shared.types import Answer, Box, FrameInfo, Site

from .shipping import LoadedFrame
from .spending import Spending

OnAnswer = Callable[[Answer], None]


@dataclass(eq=False)
class Task:
    """One run on one frame, and what it took so far."""

    frame: LoadedFrame
    run: Run
    on_answer: OnAnswer
    due: float = math.inf
    """when it has used up its time, on the monotonic clock"""
    started: Counter[str] = field(default_factory=Counter)
    shared: dict[int, str] = field(default_factory=dict)
    """the functions of the calls that another run paid for, by number"""
    stood_in: set[str] = field(default_factory=set)
    """functions that were asked here because the other site could not be reached"""
    sites: set[Site] = field(default_factory=set)
    cached: int = 0
    up: int = 0
    down: int = 0
    cloud_s: float = 0.0
    spending: Spending = field(default_factory=Spending)
    shipped: dict[Box, str] = field(default_factory=dict)
    to_start: deque[ProgramCall] = field(default_factory=deque)
    to_deliver: deque[tuple[int, Outcome]] = field(default_factory=deque)
    in_step: bool = False
    answered: bool = False

    @property
    def done(self) -> bool:
        """Whether its run has ended: whatever comes now is nobody's."""
        return not isinstance(self.run.step, Waiting)


@dataclass(eq=False)
class Asked:
    """A call that is carried out, for the run that made it and for those that made the same one."""

    askers: list[tuple[Task, ProgramCall]]
    key: Hashable = None
    """what is the same question; None: nobody else's"""
    outcome: Outcome | None = None
    moved: bool = False
    """it was sent to the other site, and is now asked here too"""

    @property
    def payer(self) -> Task:
        """The first that is still there; else the first."""
        return next((task for task, _ in self.askers if not task.done), self.askers[0][0])

    @property
    def call(self) -> ProgramCall:
        """The call as the first made it."""
        return self.askers[0][1]

    @property
    def wanted(self) -> bool:
        """Whether it has no outcome yet and somebody waits for one."""
        return self.outcome is None and any(not task.done for task, _ in self.askers)

    def deliver(self, outcome: Outcome) -> list[tuple[Task, ProgramCall, Outcome]]:
        """Who gets what: the payer the outcome itself, every other a copy."""
        self.outcome = outcome
        first = self.askers[0][0]
        waiting = [(task, call) for task, call in self.askers if not task.done]
        for i, (task, call) in enumerate(waiting):
            if i > 0:
                task.shared[call.number] = call.function
            elif task is not first:
                task.started[call.function] += 1  # whoever began it has gone
            task.shipped = first.shipped | task.shipped
        return [(task, call, outcome if i == 0 else copy_of(outcome)) for i, (task, call) in enumerate(waiting)]


def copy_of(outcome: Outcome) -> Outcome:
    """The same for another run: what one program does to its result, no other sees."""
    return replace(outcome, result=deepcopy(outcome.result))


@dataclass
class _Frame:
    runs: int = 0
    """that were submitted and have not ended"""
    asked: dict[Hashable, Asked] = field(default_factory=dict)


class Questions:
    """What was asked of the frames that are being looked at."""

    def __init__(self) -> None:
        self._frames: dict[Hashable, _Frame] = {}

    def begin(self, frame: FrameInfo) -> None:
        """One more program is to look at the frame."""
        self._frames.setdefault(_frame_key(frame), _Frame()).runs += 1

    def end(self, frame: FrameInfo) -> bool:
        """A program has looked at the frame; True if it was the last, and all is forgotten."""
        key = _frame_key(frame)
        self._frames[key].runs -= 1
        if self._frames[key].runs:
            return False
        del self._frames[key]
        return True

    def ask(self, task: Task, call: ProgramCall, site: Site, *, pure: bool) -> tuple[Asked, bool]:
        """The call as it is carried out, and whether another run has asked it already."""
        if not pure:
            return Asked([(task, call)]), False
        asked = self._frames[_frame_key(task.frame.info)].asked
        key = (call.function, site, call.deadline_s, json.dumps(call.params, sort_keys=True))
        known = asked.get(key)
        if known is None:
            known = asked[key] = Asked([(task, call)], key)
            return known, False
        if known.askers[0][0] is task:
            return Asked([(task, call)]), False
        known.askers.append((task, call))
        return known, True

    def forget(self, asked: Asked) -> None:
        """What failed, or was never sent, is asked again by whoever comes next."""
        if asked.key is not None:
            frame = self._frames.get(_frame_key(asked.payer.frame.info))
            if frame is not None and frame.asked.get(asked.key) is asked:
                del frame.asked[asked.key]


def _frame_key(frame: FrameInfo) -> Hashable:
    """The same picture at another moment is another frame: pose and stamp are parts of what is asked."""
    return frame.camera, frame.sequence, frame.t_utc, frame.blob
