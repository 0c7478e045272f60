"""`dicem verify`: whether a compiled program, or somebody's rewrite, means what the original means.

`world` makes functions from a seed, `oracle` runs the original in CPython, `drive` runs the compiled program in the
runner, `compare` holds one against the other, and `verifier` does it all:

    from dicem_codegen.verify import Verifier

    with Verifier() as verifier:
        verdict = verifier.check(source, compiled_source, range(100))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .compare import Aspect, Kind
    from .observed import MadeCall, Observed, Raised
    from .oracle import Oracle, OracleTrouble
    from .reduce import smaller
    from .verifier import Difference, Totals, Verdict, Verifier
    from .world import World, with_effects

_HOMES: Final = {
    "Aspect": "compare", "Kind": "compare", "MadeCall": "observed", "Observed": "observed", "Raised": "observed",
    "Oracle": "oracle", "OracleTrouble": "oracle", "smaller": "reduce", "Difference": "verifier", "Totals": "verifier",
    "Verdict": "verifier", "Verifier": "verifier", "World": "world", "with_effects": "world",
}  # fmt: skip
__all__ = [
    "Aspect", "Difference", "Kind", "MadeCall", "Observed", "Oracle", "OracleTrouble", "Raised", "Totals", "Verdict",
    "Verifier", "World", "smaller", "with_effects",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Loaded by those who verify: `dicem` asks every part for its commands at each start."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
