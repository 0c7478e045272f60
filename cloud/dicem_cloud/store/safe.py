"""Results that are there whatever becomes of the database.

While it is there, it decides.  While it is away (or full, or may not be written) each gateway answers alone, from
memory: no call is refused and no reply is lost, but a call that comes to two gateways may be computed by both.  What is
answered meanwhile is written down when it is back.  One line says that it is gone, one that it is back.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from threading import Lock, Thread
from typing import Final, TypeVar

from dicem_shared.clock import Clock
from dicem_shared.errors import MessageError
from dicem_shared.types import Reply

from ..results import Claim, MemoryResults, ResultStore
from .database import StoreUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
PATIENCE_S: Final = 0.2
"""so long the one caller who finds out whether the database is back waits for it"""
PAY_AT_ONCE: Final = 16
"""replies that one call writes down on behalf of those that came while the database was away"""


class SafeResults(ResultStore):
    """`shared`, with the last replies in memory before it and in its place.  No method raises."""

    def __init__(self, shared: ResultStore, clock: Clock, *, hot: int = 4096, retry_s: float = 1.0) -> None:
        """`hot`: replies in memory; `retry_s`: seconds until a database that is away is asked again."""
        self._shared, self._clock, self._retry_s = shared, clock, retry_s
        self._hot, self._most = MemoryResults(hot), hot
        self._owed: OrderedDict[tuple[str, str], Reply] = OrderedDict()
        self._lock = Lock()
        self._retry_at: float | None = None
        """when a database that is away is asked again; None: it is there"""
        self._is_trying = False
        """somebody is asking it just now"""

    @property
    def is_shared(self) -> bool:
        """Whether the database took part in the last call; else this gateway is on its own."""
        return self._retry_at is None

    @property
    def owed(self) -> int:
        """Replies that are still to be written to the database."""
        return len(self._owed)

    def known(self, vehicle: str, call_id: str) -> Reply | None:
        """See `ResultStore.known`."""
        return self._hot.known(vehicle, call_id)

    def claim(self, vehicle: str, call_id: str) -> Reply | Claim:
        """See `ResultStore.claim`; OURS while the database is away."""
        known = self.known(vehicle, call_id)
        if known is not None:
            return known
        try:
            outcome = self._asked(lambda: self._shared.claim(vehicle, call_id))
        except MessageError as cause:
            log.warning("a call is kept in memory only: %s", cause)
            return Claim.OURS
        if isinstance(outcome, Reply):
            return self._hot.put(vehicle, outcome)
        return Claim.OURS if outcome is None else outcome

    def put(self, vehicle: str, reply: Reply) -> Reply:
        """See `ResultStore.put`."""
        try:
            kept = self._asked(lambda: self._shared.put(vehicle, reply))
        except MessageError as cause:
            log.warning("a reply is kept in memory only: %s", cause)
            self.release(vehicle, reply.call_id)
            return self._hot.put(vehicle, reply)
        if kept is not None:
            return self._hot.put(vehicle, kept)
        kept = self._hot.put(vehicle, reply)
        with self._lock:
            self._owed[vehicle, reply.call_id] = kept
            while len(self._owed) > self._most:
                self._owed.popitem(last=False)
        return kept

    def release(self, vehicle: str, call_id: str) -> None:
        """See `ResultStore.release`."""
        self._asked(lambda: self._shared.release(vehicle, call_id))

    def settle(self) -> None:
        """Write down everything that is owed, if the database is there: before the end."""
        while self.owed and self._tried(lambda: True):
            pass

    def _asked(self, work: Callable[[], T]) -> T | None:
        """What `work` gives; None while the database is away.  One caller in `retry_s` finds out whether it is back."""
        with self._lock:
            is_away = self._retry_at is not None
            if self._retry_at is not None:
                if self._is_trying or self._clock.monotonic() < self._retry_at:
                    return None
                self._is_trying = True
        return self._try_again(work) if is_away else self._tried(work)

    def _tried(self, work: Callable[[], T]) -> T | None:
        try:
            self._pay()
            outcome = work()
        except StoreUnavailable as cause:
            self._lost(cause)
            return None
        self._found()
        return outcome

    def _try_again(self, work: Callable[[], T]) -> T | None:
        """As `_tried`, on a thread of its own: a database that is locked or gone without a word takes seconds to say
        so, and the caller is perhaps the one through whom all calls come."""
        outcome: Future[T | None] = Future()

        def tried() -> None:
            try:
                outcome.set_result(self._tried(work))
            except BaseException as error:
                outcome.set_exception(error)
            finally:
                with self._lock:
                    self._is_trying = False

        Thread(target=tried, name="store-again", daemon=True).start()
        try:
            return outcome.result(PATIENCE_S)
        except TimeoutError:
            return None

    def _pay(self) -> None:
        """Write down some of what is owed.

        :raises StoreUnavailable: not now
        """
        for _ in range(PAY_AT_ONCE):
            with self._lock:
                if not self._owed:
                    return
                key, reply = self._owed.popitem(last=False)
            try:
                self._shared.put(key[0], reply)
            except MessageError as cause:
                log.warning("a reply is kept in memory only: %s", cause)
            except BaseException:
                with self._lock:
                    self._owed[key] = reply
                    self._owed.move_to_end(key, last=False)
                raise

    def _lost(self, cause: StoreUnavailable) -> None:
        with self._lock:
            is_news = self._retry_at is None
            self._retry_at = self._clock.monotonic() + self._retry_s
        if is_news:
            log.warning("results are kept in memory only until the database is back: %s", cause)

    def _found(self) -> None:
        with self._lock:
            is_news = self._retry_at is not None
            self._retry_at = None
        if is_news:
            log.warning("the database of results is back")
