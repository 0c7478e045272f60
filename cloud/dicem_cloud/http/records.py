"""What the routes need of the store; `store.opened.Store` is one, in memory or in a database.

Each method of these may take its time: no event loop calls one itself.
"""

from __future__ import annotations

from typing import Protocol

from ..store.answers import Answers
from ..store.programs import Programs
from ..store.vehicles import Vehicles


class Records(Protocol):
    """Three views of one database."""

    @property
    def answers(self) -> Answers: ...
    @property
    def vehicles(self) -> Vehicles: ...
    @property
    def programs(self) -> Programs: ...
