"""Which replica gets a batch: the one with the fewest, of all.  Imported by Ray only.

Ray's own router looks at two that it draws by lot.  For short requests that is as good; batches take long, and where
both of the two are busy, a batch would wait behind another one though a third replica is free.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Sequence
from typing import Any

_router: Any = importlib.import_module("ray.serve.request_router")


class LeastLoaded(_router.FIFOMixin, _router.RequestRouter):  # type: ignore[misc]  # Ray's classes, by name
    """See the module's text."""

    async def choose_replicas(self, candidate_replicas: Sequence[Any], pending_request: Any = None) -> list[list[Any]]:
        """All of them, from which Ray takes the one with the shortest queue; of equals, any."""
        return [random.sample(candidate_replicas, len(candidate_replicas))]
