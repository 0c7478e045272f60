"""Ranges of seeds, checked by several processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

from dicem_codegen.verify import Verifier

from .checking import Trouble, troubles
from .program import generate

CHUNK = 50
_Chunk = tuple[Counter[str], Trouble | None]
_verifier: Verifier | None = None


def check_range(
    first: int, count: int, *, jobs: int, worlds: int, rows: Counter[str], progress: Callable[[int], None]
) -> Trouble | None:
    """Check `count` programs from seed `first` on, up to the first trouble; count in `rows` those that reach each row.

    `progress` is told how many have been checked, in the order of their seeds.
    """
    last = first + count
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin) as pool:
        waiting: list[tuple[int, Future[_Chunk]]] = []
        starts = iter(range(first, last, CHUNK))
        try:
            for end, future in _in_order(pool, starts, last, worlds, waiting, jobs * 2):
                reached, trouble = future.result()
                rows.update(reached)
                if trouble is not None:
                    return trouble
                progress(end - first)
        finally:
            for _, future in waiting:
                future.cancel()
    return None


def _in_order(
    pool: ProcessPoolExecutor, starts: Iterator[int], last: int, worlds: int,
    waiting: list[tuple[int, Future[_Chunk]]], ahead: int,
) -> Iterator[tuple[int, Future[_Chunk]]]:  # fmt: skip
    """The chunks in order; only so many are handed out ahead that little is lost when somebody stops."""
    while True:
        while len(waiting) < ahead and (start := next(starts, None)) is not None:
            end = min(start + CHUNK, last)
            waiting.append((end, pool.submit(_check_chunk, start, end, worlds)))
        if not waiting:
            return
        yield waiting.pop(0)


def _begin() -> None:
    """A process of the pool keeps one verifier, which ends with it."""
    global _verifier  # noqa: PLW0603 - each process has its own
    _verifier = Verifier().__enter__()


def _check_chunk(start: int, end: int, worlds: int) -> _Chunk:
    assert _verifier is not None
    rows: Counter[str] = Counter()
    for generated, trouble in troubles(_verifier, map(generate, range(start, end)), worlds=worlds):
        rows.update(set(generated.rows))
        if trouble is not None:
            return rows, trouble
    return rows, None
