"""What vehicles publish, on its way into the store: answers, who is there, which programs run where.

Believed as in `worker.py`: the vehicle that a topic names is the one that the broker has authenticated, and a message
that says otherwise is dropped.  Answers come through a subscription that all gateways share, so each is stored by one
of them; the rest comes to all, and may be written down as often as it likes.

Nothing is acknowledged before it is stored: while the store is away the broker keeps what comes, for as long as
`broker.session_expiry_s` and `max_queued_messages` of the broker's own config let it.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, cast

from dicem_shared import messages
from dicem_shared.announcement import CLOUD
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.deployment import MAX_DEPLOYMENT_BYTES, MAX_SIGNED_BYTES, Deployed, Deployment, SignedDeployment
from dicem_shared.errors import MessageError
from dicem_shared.topics import ROOT, Topic, parse
from dicem_shared.types import Answer

from .held import Held, HoldingConnection
from .store.answers import StoredAnswer, check_storable
from .store.database import StoreUnavailable
from .store.opened import Store
from .store.vehicles import Presence

log = logging.getLogger(__name__)

GROUP: Final = "cloud"
"""of gateways, among which the broker deals out the answers"""
AT_ONCE: Final = 100
"""messages that are stored in one go"""
RETRY_S: Final = 1.0
"""until a store that is away is tried again"""
MAX_WAITING: Final = 1000
"""messages sent without a promise that may wait; the others are bounded by the broker's window"""
_NO_VEHICLES: Final = frozenset({"dicem-ask"})
"""take part in a fleet without being one of its vehicles"""


class Ingest:
    """One connection, and one thread that stores what came."""

    def __init__(
        self,
        broker: BrokerConfig,
        store: Store,
        *,
        name: str,
        fleets: frozenset[str] | None = None,
        message_bytes: int = messages.MAX_MESSAGE_BYTES,
        on_stored: Callable[[Sequence[StoredAnswer]], None] = lambda _: None,
    ) -> None:
        """`name`: of this gateway at the broker, the same after a restart, and nobody else's.

        `on_stored` is called, on our thread, with the answers that are new in the store.
        """
        self._store, self._fleets, self._on_stored = store, fleets, on_stored
        self._limit = max(message_bytes, MAX_SIGNED_BYTES)
        self._inbox: queue.Queue[Held | None] = queue.Queue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        below = [f"{ROOT}/{fleet}/+" for fleet in sorted(fleets)] if fleets is not None else [f"{ROOT}/+/+"]
        plain = [f"{one}/{kind}" for one in below for kind in ("status", "deploy/+", "deployed/+")]
        shared = [f"$share/{GROUP}/{one}/event" for one in below]
        self.connection = HoldingConnection(
            broker, f"cloud-store-{name}", subscriptions=(*plain, *shared), on_held=self._take
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Connected and storing as long as the block runs; what is not stored by its end stays with the broker.

        :raises BrokerError: no broker there, or it refused us
        """
        self._thread.start()
        try:
            self.connection.open()
            yield
        finally:
            self._stopping.set()
            self._inbox.put(None)
            self._thread.join()
            self.connection.close()

    def _take(self, held: Held) -> None:
        if not held.is_sure and self._inbox.qsize() >= MAX_WAITING:
            log.warning("too many messages are waiting; one from %s is lost", held.topic)
            return
        self._inbox.put(held)

    def _run(self) -> None:
        while not self._stopping.is_set():
            batch = self._next()
            if batch and self._keep(batch):
                for held in batch:
                    held.acknowledge()

    def _next(self) -> list[Held]:
        """Wait for a message; then it and what came with it."""
        found = [self._inbox.get()]
        while len(found) < AT_ONCE:
            try:
                found.append(self._inbox.get_nowait())
            except queue.Empty:
                break
        return [held for held in found if held is not None]

    def _keep(self, batch: Sequence[Held]) -> bool:
        """Store it, however long that takes; False: we are stopping, and it is not stored."""
        is_away = False
        while not self._stopping.is_set():
            try:
                self._write(batch)
            except StoreUnavailable as cause:
                if not is_away:
                    log.warning("what vehicles publish waits at the broker until the store is back: %s", cause)
                is_away = True
                self._stopping.wait(RETRY_S)
                continue
            except Exception:
                if len(batch) > 1:  # one of them is to blame
                    kept = [self._keep([one]) for one in batch]
                    return all(kept)
                log.exception("a message on %s could not be stored", batch[0].topic)
            if is_away:
                log.warning("the store is back")
            return True
        return False

    def _write(self, batch: Sequence[Held]) -> None:
        """:raises StoreUnavailable: not now; some of it may be stored"""
        answers: list[tuple[str, Answer]] = []
        spoke: list[tuple[str, str, Answer | None]] = []
        for held in batch:
            try:
                where = parse(held.topic)
                if where.fleet == CLOUD or where.vehicle in _NO_VEHICLES:
                    continue
                answer = self._note(where, held)
            except MessageError as cause:
                log.warning("a message on %s was dropped: %s", held.topic, cause)
                continue
            if answer is not None:
                answers.append((where.fleet, answer))
            if where.kind in ("event", "deployed") and not held.is_kept:
                spoke.append((where.fleet, where.vehicle, answer))
        if spoke:
            self._store.vehicles.answered(spoke)
        if answers and (new := self._store_answers(answers)):
            self._on_stored(new)

    def _note(self, where: Topic, held: Held) -> Answer | None:
        """Write down what is no answer; an answer comes back, checked.

        :raises MessageError: it cannot be believed, or read
        :raises StoreUnavailable: not now
        """
        payload = held.payload
        match where.kind:
            case "event":
                answer = messages.decode(Answer, payload, limit=self._limit)
                if answer.vehicle != where.vehicle:
                    raise MessageError("an answer is not its sender's own", got=answer.vehicle)
                check_storable(answer)
                return answer
            case "status":
                self._status(where, payload, is_news=not held.is_kept)
            case "deploy":
                wanted = _wanted(payload) if payload else None
                self._store.deployments.wanted(where.fleet, where.vehicle, where.name, wanted)
            case "deployed":
                report = messages.decode(Deployed, payload, limit=self._limit) if payload else None
                self._store.deployments.reported(where.fleet, where.vehicle, where.name, report)
        return None

    def _status(self, where: Topic, payload: bytes, *, is_news: bool) -> None:
        if not payload:  # somebody has taken the vehicle's last word off the broker: it is no more
            self._store.vehicles.forget(where.fleet, where.vehicle)
        elif payload in (b"online", b"offline", b"stopped"):
            said = cast(Presence, payload.decode("ascii"))
            self._store.vehicles.status(where.fleet, where.vehicle, said, is_news=is_news)
        else:
            raise MessageError("no status", expected="online, offline or stopped", got=repr(payload[:20]))

    def _store_answers(self, answers: Sequence[tuple[str, Answer]]) -> list[StoredAnswer]:
        """Those of them that are new.

        :raises StoreUnavailable: not now
        """
        try:
            return self._store.answers.put(answers)
        except MessageError as cause:
            if len(answers) == 1:
                log.warning("an answer of %s was dropped: %s", answers[0][1].vehicle, cause)
                return []
        # the database refuses one of them: the others stay
        return [new for one in answers for new in self._store_answers([one])]


def _wanted(payload: bytes) -> Deployment:
    """What an operator asks for.  Whether he may is for the vehicle to see: it has the keys."""
    signed = messages.decode(SignedDeployment, payload, limit=MAX_SIGNED_BYTES)
    return messages.decode(Deployment, signed.document, limit=MAX_DEPLOYMENT_BYTES)
