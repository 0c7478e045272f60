"""The gateway: requests in, replies out, whatever carried them.

It does no I/O and reads no clock of its own.  Every request gets exactly one reply; nothing that a vehicle sends makes
it raise.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
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
from dicem_shared.ids import blob_id
from dicem_shared.implementations import Implementation, Work, run_batch
from dicem_shared.patches import Patch, PatchReader
from dicem_shared.types import Failure, Handle, Reply, Request

from .config import Limits
from .results import MemoryResults, ResultStore, repeated

log = logging.getLogger(__name__)

MAX_MESSAGE = 1000
"""Characters of a failure's message."""
MAX_PARAMS = 64
"""Of one call: no function has as many."""
Arrival = tuple[Request, str]
"""A request, and the vehicle as which its sender was authenticated."""


@dataclass(frozen=True)
class Admitted:
    """A call that may run: what it asks is served here, and its sender is who it says."""

    request: Request
    vehicle: str
    implementation: Implementation
    params: dict[str, Any]
    """held against its schema"""
    fleet: str = ""

    @property
    def scope(self) -> str:
        """Whose blobs and results these are: nobody else sees them, nor a vehicle of that name in another fleet."""
        return f"{self.fleet}/{self.vehicle}" if self.fleet else self.vehicle


class Gateway:
    """Serves `implementations`; safe to share between threads.

    A call goes through `admit`, `prepare`, the implementation, `finish`.  The service in front of it (`service.py`) has
    a queue and batches between these steps; `handle`, `handle_batch` and `call` take them here and now, one caller at
    a time.

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
        self.limits = limits or Limits()
        self._implementations = dict(implementations)
        self._store, self._clock = store, clock
        self._prices = dict(prices or {})
        self._reader = PatchReader(store, max_pixels=self.limits.max_pixels)
        self.results = MemoryResults(self.limits.results_kept) if results is None else results
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

    # A call, step by step

    def admit(self, request: Request, vehicle: str, fleet: str = "") -> Admitted:
        """The call of an authenticated vehicle.  What does not fit is refused here: it could be anything, of any size,
        and would wait with the others.

        :raises MessageError: it is not the sender's own
        :raises UnknownFunction: nothing of that name is served
        :raises InvalidCall: parameters that do not fit
        """
        if request.vehicle != vehicle:
            raise MessageError(
                "the request is not its sender's own", expected=f"vehicle {vehicle}", got=f"vehicle {request.vehicle}"
            )
        implementation = self.function(request.function)
        spec = implementation.spec
        if len(request.params) > MAX_PARAMS:  # else each of them would be told
            raise InvalidCall(
                f"{spec.name}: too many parameters", expected=f"{spec.name}({', '.join(spec.parameters.model_fields)})",
                got=str(len(request.params)),
            )  # fmt: skip
        return Admitted(request, vehicle, implementation, spec.check_params(request.params), fleet)

    def prepare(self, call: Admitted) -> Work:
        """The arguments, with patches in the place of handles.

        :raises DicemError: too late, or a blob that is not what it says or not here
        """
        request, scope, spec = call.request, call.scope, call.implementation.spec
        if request.deadline_utc <= self._clock.utc():
            raise CallTimeout("the deadline passed before the call could run")
        self._keep_blobs(request, scope)

        def read(handle: Handle) -> Patch:
            return self._reader.read(scope, handle, request.frame, request.blobs)

        def whole_frame() -> Patch | None:
            try:
                return read(request.frame.handle)
            except BlobMissing:
                return None

        params = dict(call.params)
        for name in spec.image_parameters:
            if params.get(name) is not None:
                params[name] = read(Handle.model_validate(params[name]))
        return Work(params, whole_frame, request.deadline_utc)

    def finish(
        self, call: Admitted, work: Work | None, outcome: Any, *, compute_s: float, queue_s: float = 0.0
    ) -> Reply:
        """The reply to a call that had `outcome` (a result, or an exception); `compute_s` is its share of its batch.

        :raises DicemError: why there is no result
        """
        implementation, name = call.implementation, call.implementation.spec.name
        if not isinstance(outcome, Exception):
            try:
                outcome = implementation.spec.check_result(outcome)
            except InvalidCall as error:  # the function's fault, not the caller's
                outcome = FunctionError(str(error))
        if isinstance(outcome, Exception) or work is None:
            raise explained(name, outcome)
        reply = Reply(
            call_id=call.request.call_id,
            attempt=call.request.attempt,
            result=outcome,
            model=implementation.model_for(work),
            queue_s=queue_s,
            compute_s=compute_s,
            price_usd=compute_s * self._prices.get(name, 0.0) / 3600.0,
        )
        kept = self.results.put(call.scope, reply)
        return kept if kept is reply else repeated(kept, attempt=call.request.attempt)  # another gateway was faster

    def _keep_blobs(self, request: Request, scope: str) -> None:
        """Keep the pixels that came along, for their sender alone, once all are what they say."""
        for shipped in request.blobs:
            if shipped.data is not None and (actual := blob_id(shipped.data)) != shipped.blob:
                raise MessageError("a blob is not what its id says", expected=shipped.blob[:12], got=actual[:12])
        for shipped in request.blobs:
            if shipped.data is not None:
                self._store.put(scope, shipped.data)

    # All steps at once

    def handle(self, request: Request, *, vehicle: str) -> Reply:
        """The reply to one request of an authenticated vehicle."""
        return self.handle_batch([(request, vehicle)])[0]

    def handle_batch(self, arrivals: Sequence[Arrival]) -> list[Reply]:
        """The replies, in order; calls of one function share passes through its model."""
        outcomes = self._outcomes(arrivals)
        return [
            outcome if isinstance(outcome, Reply) else failed(request, outcome)
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
        waiting: dict[str, dict[int, Admitted]] = {}
        twins: list[int] = []
        seen: set[tuple[str, str]] = set()
        with self._lock:
            for index, (request, vehicle) in enumerate(arrivals):
                try:
                    call = self.admit(request, vehicle)
                except DicemError as error:
                    outcomes[index] = error
                    continue
                known = self.results.claim(vehicle, request.call_id)
                if isinstance(known, Reply):
                    outcomes[index] = repeated(known, attempt=request.attempt)
                elif (vehicle, request.call_id) in seen:
                    twins.append(index)
                else:
                    seen.add((vehicle, request.call_id))
                    waiting.setdefault(request.function, {})[index] = call
            for name, calls in waiting.items():
                size = self._implementations[name].spec.batch.max_size
                for batch in _batched(calls, size):
                    outcomes |= self._run(self._implementations[name], batch)
        for index in twins:  # the first of the two has left its result, or failed
            outcomes[index] = self._outcomes([arrivals[index]])[0]
        return [outcomes[index] for index in range(len(arrivals))]

    def _run(self, implementation: Implementation, calls: Mapping[int, Admitted]) -> dict[int, Reply | DicemError]:
        """One batch."""
        replies: dict[int, Reply | DicemError] = {}
        ready: dict[int, Work] = {}
        for index, call in calls.items():
            try:
                ready[index] = self.prepare(call)
            except Exception as error:
                replies[index] = explained(implementation.spec.name, error)
        if not ready:
            return replies
        started = self._clock.monotonic()
        outcomes = run_batch(implementation, list(ready.values()))
        compute_s = max(0.0, self._clock.monotonic() - started) / len(ready)
        for (index, work), outcome in zip(ready.items(), outcomes, strict=True):
            try:
                replies[index] = self.finish(calls[index], work, outcome, compute_s=compute_s)
            except DicemError as error:
                replies[index] = error
        return replies


def _batched(calls: Mapping[int, Admitted], size: int) -> Iterator[dict[int, Admitted]]:
    items = iter(calls.items())
    while batch := dict(islice(items, size)):
        yield batch


def explained(name: str, error: Exception) -> DicemError:
    """The error as one of ours.  What is no business of the caller's goes into the log, not onto the wire."""
    if isinstance(error, DicemError):
        return error
    log.error("%s failed", name, exc_info=error)
    return FunctionError(f"{name} failed ({type(error).__name__})", todo="The cloud's log says more.")


def failed(request: Request, error: DicemError) -> Reply:
    """The reply that says why there is no result."""
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
        reason=error.reason,
        retry_after_s=error.retry_after_s if isinstance(error, Overloaded) else None,
        blob_missing=error.blob if isinstance(error, BlobMissing) else None,
    )
    return Reply(call_id=request.call_id, attempt=request.attempt, failure=failure)
