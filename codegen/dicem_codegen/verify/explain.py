"""Which calls a serial run would have gone on to make, had it not failed.

This is how rule 1 is held: where the serial program raises at point p, the compiled one may also have started pure
calls that p's successors would make with no undecided guard between.  For each failure of the serial run, of a call or
of an operation of the language, the original is run again up to that failure, and there it goes on: a call gives what
it might have given, an operation something unknown.  It does so several times, each time with another unknown.  A call
that it makes *every* time hangs on nothing that the failure left open.  (Calls that it makes only sometimes come from
the unknown, so their results count as unknown too.)  Later failures are either softened likewise, or they stay what
they are; a call is allowed if it is made in all the runs of one of the two ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

from dicem_shared.errors import ProgramError
from dicem_shared.runner import RunLimits

from .desk import Loaded, load, run
from .soften import Failures, Soft, softened
from .world import World

FIRST_LOOK: Final = range(3)
"""Variants of the unknown: what might have come, the least and the most."""
VARIANTS: Final = range(1, 6)
MOST_VARIANTS: Final = range(1, 9)
"""Where the program compares answers with several texts and numbers: each is tried."""
MAX_FAILURES: Final = 12
"""Of a run with more failures, the last are looked at."""


def made_later(
    source: str, world: World, limits: RunLimits, wanted: Iterable[str], before_each: Callable[[], None] = lambda: None
) -> frozenset[str]:
    """Those of the `wanted` calls (their keys) that the serial program would have made had it not failed.

    `before_each` is called before each of the many runs that this takes.
    """
    try:
        loaded = _loaded(source)
    except ProgramError:
        return frozenset()
    plain = Soft(Failures())
    before_each()
    run(loaded, world, limits, soft=plain)
    missing, found = set(wanted), set[str]()
    for failures in _ways(plain.failures.count):
        if not missing:
            break
        common = _always(loaded, world, limits, failures, FIRST_LOOK, before_each)
        if common & missing:
            # Calls that are not made every time come from the unknown: so do their results.
            variants = VARIANTS if len(world.hints) < len(VARIANTS) - 1 else MOST_VARIANTS
            found |= missing & _always(loaded, world, limits, failures, variants, before_each, known=common)
            missing -= found
    return frozenset(found)


@lru_cache(maxsize=8)
def _loaded(source: str) -> Loaded:
    """Worlds come in rows."""
    return load(source, rewrite=softened)


def _ways(count: int) -> Iterator[tuple[int, bool]]:
    """Which failure to soften first, and whether those after it too; the likeliest explanation first."""
    numbers = range(max(count - MAX_FAILURES, 0), count)
    yield from ((number, True) for number in reversed(numbers))
    yield from ((number, False) for number in reversed(numbers))


def _always(
    loaded: Loaded, world: World, limits: RunLimits, failures: tuple[int, bool], variants: range,
    before_each: Callable[[], None], known: frozenset[str] | None = None,
) -> frozenset[str]:  # fmt: skip
    """The pure calls that are made whatever the unknown turns out to be."""
    first, all_later = failures
    common: frozenset[str] | None = None
    for variant in variants:
        soft = Soft(Failures(first, all_later=all_later), variant, known)
        before_each()
        seen = run(loaded, world, limits, soft=soft).pure_keys
        common = seen if common is None else common & seen
        if not common:
            break
    return common or frozenset()
