"""A gateway of its own process that takes a call and never ends it: `gateway_process.py PORT URL`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any

from dicem_cloud.gateway import Gateway
from dicem_cloud.service import Service
from dicem_cloud.store.opened import open_store
from dicem_cloud.store.settings import StoreConfig
from dicem_cloud.worker import Worker
from dicem_shared import catalog
from dicem_shared.blobs import MemoryBlobStore
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.clock import SystemClock
from dicem_shared.implementations import Implementation, Work
from dicem_shared.types import ModelId


class Stuck(Implementation):
    """`llm` that says that it has begun, and no more."""

    spec = catalog.llm
    model = ModelId(function="llm", name="stuck", sha256="0" * 64)

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        print("computing", flush=True)
        threading.Event().wait()
        return []


def main(port: int, url: str) -> None:
    """Serve until killed."""
    clock = SystemClock()
    results = open_store(StoreConfig(url=url), clock).results
    gateway = Gateway({"llm": Stuck()}, MemoryBlobStore(clock), clock, results=results)
    with Worker(BrokerConfig(port=port), Service(gateway)).running():
        print("serving", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
