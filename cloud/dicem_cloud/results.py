"""What was answered before: a call that arrives twice is computed once."""

from __future__ import annotations

from collections import OrderedDict

from dicem_shared.types import Reply


class ResultCache:
    """Replies by authenticated vehicle and call id; the least recently asked for go first beyond `keep`.

    Failures do not belong here: the next attempt may fare better.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._replies: OrderedDict[tuple[str, str], Reply] = OrderedDict()

    def __len__(self) -> int:
        return len(self._replies)

    def put(self, vehicle: str, reply: Reply) -> None:
        """Remember a reply that holds a result."""
        self._replies[vehicle, reply.call_id] = reply
        self._replies.move_to_end((vehicle, reply.call_id))
        while len(self._replies) > self._keep:
            self._replies.popitem(last=False)

    def get(self, vehicle: str, call_id: str, *, attempt: int) -> Reply | None:
        """The reply, marked as cached and for this attempt; its cost stays what it was, for the sender counts one reply
        a call and may never have seen the first."""
        reply = self._replies.get((vehicle, call_id))
        if reply is None:
            return None
        self._replies.move_to_end((vehicle, call_id))
        return reply.model_copy(update={"cached": True, "attempt": attempt})
