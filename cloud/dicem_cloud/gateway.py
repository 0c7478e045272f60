"""The gateway: requests in, replies out, whatever carried them.

It does no I/O and reads no clock of its own.  Every request gets exactly one reply; nothing that a vehicle sends makes
it raise.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Literal

from dicem_shared.blobs import BlobStore
from dicem_shared.clock import Clock
from dicem_shared.errors import (
    BlobMissing,
    CallTimeout,
    DicemError,
    FunctionError,
    ImageError,
    InvalidCall,
    MessageError,
    Overloaded,
    UnknownFunction,
)
from dicem_shared.functions import FunctionSpec
from dicem_shared.ids import blob_id
from dicem_shared.implementations import Implementation, Work
from dicem_shared.patches import Patch, PatchReader
from dicem_shared.types import Failure, Handle, Reply, Request

from .config import Limits
from .results import MemoryResults, ResultStore, repeated

log = logging.getLogger(__name__)

MAX_MESSAGE = 1000
"""Characters of a failure's message."""
Arrival = tuple[Request, str]
"""A request, and the vehicle as which its sender was authenticated."""


class Gateway:
    """Serves `implementations`; safe to share between threads, which it lets in one at a time.

    `prices` are USD an hour of the machine while a function computes, by function.
    """

    def __init__(
        self,
        implementations: Mapping[str, Implementation],
        store: BlobStore,
        clock: Clock,
        *,
        prices: Mapping[str, float] | None = None,
        limits: Limits | None = None,
        results: ResultStore | None = None,
    ) -> None:
        limits = limits or Limits()
        self._implementations = dict(implementations)
        self._store, self._clock = store, clock
        self._prices = dict(prices or {})
        self._reader = PatchReader(store, max_pixels=limits.max_pixels)
        self._results = results or MemoryResults(limits.results_kept)
        self._lock = Lock()

    @property
    def functions(self) -> dict[str, Implementation]:
        """What is served, by name."""
        return dict(self._implementations)

    @property
    def clock(self) -> Clock:
        """The clock that deadlines are held against."""
        return self._clock

    def function(self, name: str) -> Implementation:
        """The function of that name.

        :raises UnknownFunction: none is served; says which names come near
        """
        if name in self._implementations:
            return self._implementations[name]
        near = difflib.get_close_matches(name, self._implementations, n=3, cutoff=0.4)
        raise UnknownFunction(
            f"this cloud serves no function {name[:64]!r}",
            expected=", ".join(sorted(self._implementations)),
            todo=f"Did you mean {' or '.join(near)}?" if near else "",
        )

    def handle(self, request: Request, *, vehicle: str) -> Reply:
        """The reply to one request of an authenticated vehicle."""
        return self.handle_batch([(request, vehicle)])[0]

    def handle_batch(self, arrivals: Sequence[Arrival]) -> list[Reply]:
        """The replies, in order; calls of one function share passes through its model."""
        outcomes = self._outcomes(arrivals)
        return [
            outcome if isinstance(outcome, Reply) else _failed(request, outcome)
            for (request, _), outcome in zip(arrivals, outcomes, strict=True)
        ]

    def call(self, request: Request, *, vehicle: str) -> Reply:
        """As `handle`, for callers in this process.

        :raises DicemError: why there is no result
        """
        outcome = self._outcomes([(request, vehicle)])[0]
        if isinstance(outcome, DicemError):
            raise outcome
        return outcome

    def _outcomes(self, arrivals: Sequence[Arrival]) -> list[Reply | DicemError]:
        outcomes: dict[int, Reply | DicemError] = {}
        waiting: dict[str, list[int]] = {}
        twins: list[int] = []
        seen: set[tuple[str, str]] = set()
        with self._lock:
            for index, (request, vehicle) in enumerate(arrivals):
                known = self._admit(request, vehicle)
                if known is not None:
                    outcomes[index] = known
                elif (vehicle, request.call_id) in seen:
                    twins.append(index)
                else:
                    seen.add((vehicle, request.call_id))
                    waiting.setdefault(request.function, []).append(index)
            for name, indices in waiting.items():
                size = self._implementations[name].spec.batch.max_size
                for first in range(0, len(indices), size):
                    outcomes |= self._run(name, arrivals, indices[first : first + size])
        for index in twins:  # the first of the two has left its result, or failed
            outcomes[index] = self._outcomes([arrivals[index]])[0]
        return [outcomes[index] for index in range(len(arrivals))]

    def _admit(self, request: Request, vehicle: str) -> Reply | DicemError | None:
        """What can be said at once: a refusal, or the reply of a call that was answered before.  None: it may run."""
        if request.vehicle != vehicle:
            return MessageError(
                "the request is not its sender's own", expected=f"vehicle {vehicle}", got=f"vehicle {request.vehicle}"
            )
        try:
            self.function(request.function)
        except UnknownFunction as error:
            return error
        known = self._results.claim(vehicle, request.call_id)
        return repeated(known, attempt=request.attempt) if isinstance(known, Reply) else None

    def _run(self, name: str, arrivals: Sequence[Arrival], indices: Sequence[int]) -> dict[int, Reply | DicemError]:
        """One batch."""
        implementation = self._implementations[name]
        outcomes: dict[int, Reply | DicemError] = {}
        ready: dict[int, Work] = {}
        for index in indices:
            try:
                ready[index] = self._prepare(implementation.spec, *arrivals[index])
            except Exception as error:
                outcomes[index] = _explained(name, error)
        if not ready:
            return outcomes
        started = self._clock.monotonic()
        results = _results(implementation, list(ready.values()))
        compute_s = max(0.0, self._clock.monotonic() - started) / len(ready)
        for (index, work), result in zip(ready.items(), results, strict=True):
            request, vehicle = arrivals[index]
            if isinstance(result, Exception):
                outcomes[index] = _explained(name, result)
                continue
            reply = Reply(
                call_id=request.call_id,
                attempt=request.attempt,
                result=result,
                model=implementation.model_for(work),
                compute_s=compute_s,
                price_usd=compute_s * self._prices.get(name, 0.0) / 3600.0,
            )
            outcomes[index] = self._results.put(vehicle, reply)
        return outcomes

    def _prepare(self, spec: FunctionSpec, request: Request, vehicle: str) -> Work:
        """The arguments, checked, with patches in the place of handles.

        :raises DicemError: too late, a blob that is not what it says or not here, or parameters that do not fit
        """
        if request.deadline_utc <= self._clock.utc():
            raise CallTimeout("the deadline passed before the call could run")
        self._keep_blobs(request, vehicle)

        def read(handle: Handle) -> Patch:
            return self._reader.read(vehicle, handle, request.frame, request.blobs)

        def whole_frame() -> Patch | None:
            try:
                return read(request.frame.handle)
            except BlobMissing:
                return None

        params = spec.check_params(request.params)
        for name in spec.image_parameters:
            if params.get(name) is not None:
                params[name] = read(Handle.model_validate(params[name]))
        return Work(params, whole_frame)

    def _keep_blobs(self, request: Request, vehicle: str) -> None:
        """Keep the pixels that came along, under the vehicle's own name, once all are what they say."""
        for shipped in request.blobs:
            if shipped.data is not None and (actual := blob_id(shipped.data)) != shipped.blob:
                raise MessageError("a blob is not what its id says", expected=shipped.blob[:12], got=actual[:12])
        for shipped in request.blobs:
            if shipped.data is not None:
                self._store.put(vehicle, shipped.data)


def _results(implementation: Implementation, batch: Sequence[Work]) -> list[Any | Exception]:
    """One outcome an item, each result held against the schema; whatever an implementation does wrong included."""
    name = implementation.spec.name
    try:
        outcomes = implementation.run(batch)
    except Exception as error:
        return [error] * len(batch)
    if len(outcomes) != len(batch):
        return [FunctionError(f"{name} lost calls of a batch", expected=str(len(batch)), got=str(len(outcomes)))] * len(
            batch
        )
    checked: list[Any | Exception] = []
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            checked.append(outcome)
            continue
        try:
            checked.append(implementation.spec.check_result(outcome))
        except InvalidCall as error:  # the function's fault, not the caller's
            checked.append(FunctionError(str(error)))
    return checked


def _explained(name: str, error: Exception) -> DicemError:
    """The error as one of ours.  What is no business of the caller's goes into the log, not onto the wire."""
    if isinstance(error, DicemError):
        return error
    log.error("%s failed", name, exc_info=error)
    return FunctionError(f"{name} failed ({type(error).__name__})", todo="The cloud's log says more.")


def _failed(request: Request, error: DicemError) -> Reply:
    kind: Literal["RuntimeError", "TimeoutError", "ValueError"]
    if isinstance(error, InvalidCall | ImageError):
        kind = "ValueError"
    elif isinstance(error, CallTimeout):
        kind = "TimeoutError"
    else:
        kind = "RuntimeError"
    failure = Failure(
        kind=kind,
        message=str(error)[:MAX_MESSAGE],
        retry_after_s=error.retry_after_s if isinstance(error, Overloaded) else None,
        blob_missing=error.blob if isinstance(error, BlobMissing) else None,
    )
    return Reply(call_id=request.call_id, attempt=request.attempt, failure=failure)
