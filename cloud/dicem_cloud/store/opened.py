"""The store that a config describes."""

from __future__ import annotations

from dataclasses import dataclass

from dicem_shared.clock import Clock

from ..results import MemoryResults, ResultStore
from .answers import Answers
from .database import MEMORY, Database
from .deployments import Deployments
from .programs import Programs
from .results import SqlResults
from .safe import SafeResults
from .settings import StoreConfig
from .vehicles import Vehicles


@dataclass(frozen=True)
class Store:
    """Everything that gateways share.  Use as a context manager."""

    database: Database
    results: ResultStore
    """never raises, whatever becomes of the database"""
    answers: Answers
    vehicles: Vehicles
    deployments: Deployments
    programs: Programs

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Write down what is still owed to the database, and close it."""
        if isinstance(self.results, SafeResults):
            self.results.settle()
        self.database.close()


def open_store(config: StoreConfig, clock: Clock, *, hot: int = 4096) -> Store:
    """The store; without a URL it is in memory, for this gateway alone.

    :param hot: how many replies are kept in memory too, before the database
    :raises ConfigError: the URL, the file or the password cannot be used
    :raises MissingExtra: the database's driver is not installed
    """
    database = Database(config.url or MEMORY, password=config.password())
    results: ResultStore = MemoryResults(hot)
    if config.url is not None:
        shared = SqlResults(
            database, clock, keep=config.results_kept, max_age_s=config.results_max_age_s, lease_s=config.lease_s
        )
        results = SafeResults(shared, clock, hot=hot)
    return Store(
        database,
        results,
        Answers(database, clock, keep=config.answers_kept, max_age_s=config.answers_max_age_s),
        Vehicles(database, clock),
        Deployments(database),
        Programs(database),
    )
