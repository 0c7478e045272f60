"""What a program imports.

    job = hermod.call("depth", image=patch)   # starts now
    metres = (await job)["depth"]             # awaited at first use, as often as you like

The same words mean the same in the runner, where the interpreter hands every call to dicem, and in CPython, where
`hermod.connect(backend)` says who carries the calls out: that is how a program is tested on a desk and how the
compiler's oracle runs.

A call fails with a RuntimeError (the function failed, or its site is away), a TimeoutError (no answer before the
deadline) or a ValueError (the parameters do not fit), and with nothing else.
"""

from __future__ import annotations

from ._cpython import (
    Ahead,
    Backend,
    Call,
    again,
    ahead,
    call,
    call_sync,
    connect,
    early,
    functions,
    promise,
    reject,
    resolve,
    share_calls,
)
from ._strands import run, spawn

__all__ = [
    "Ahead", "Backend", "Call", "again", "ahead", "call", "call_sync", "connect", "early", "functions", "promise",
    "reject", "resolve", "run", "share_calls", "spawn",
]  # fmt: skip
