"""Answers as they come in, as server-sent events.

Each watcher reads the store from his own cursor, a page at a time, and the next page only when the one before has
left: one who is slow waits for himself alone, and nothing is kept for him.  The store is where all gateways put their
answers, so it does not matter which of them a watcher has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from anyio import CapacityLimiter, to_thread
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from dicem_shared.errors import DicemError, Overloaded

from ..store.answers import AnswerFilter, Answers, News
from .models import AnswerRecord

log = logging.getLogger(__name__)

POLL_S: Final = 1.0
"""How often the store is looked at for what other gateways put there."""
PAGE: Final = 100
READERS: Final = 4
"""Threads that read for all watchers: calls never wait for these."""
SEND_TIMEOUT_S: Final = 30.0
"""A watcher who takes nothing for so long is gone."""
FULL_RETRY_S: Final = 10.0
RETRY_MS: Final = 3000
"""After how long a browser that was cut off comes back."""


class Live:
    """Everybody who watches."""

    def __init__(self, answers: Answers, *, max_watchers: int, heartbeat_s: float, poll_s: float = POLL_S) -> None:
        self.heartbeat_s = heartbeat_s
        self._answers, self._max_watchers, self._poll_s = answers, max_watchers, poll_s
        self._watchers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._readers: CapacityLimiter | None = None
        self._closing = False

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def notify(self) -> None:
        """Something was stored: look now.  From any thread."""
        for woken, loop in tuple(self._watchers.items()):
            with suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(woken.set)

    def close(self) -> None:
        """End every stream, and let nobody in any more.  From any thread."""
        self._closing = True
        self.notify()

    async def watch(self, which: AnswerFilter, after: int | None) -> EventSourceResponse:
        """A stream of the answers that fit: what came after that number, or what comes from now on.

        :raises Overloaded: too many watch
        :raises StoreUnavailable: not now
        """
        if self._closing or len(self._watchers) >= self._max_watchers:
            expected = f"at most {self._max_watchers}"
            raise Overloaded("too many watch live answers", expected=expected, retry_after_s=FULL_RETRY_S)
        woken = asyncio.Event()
        self._watchers[woken] = asyncio.get_running_loop()
        try:
            news = await self._look(which, after)
        except BaseException:
            self.forget(woken)
            raise
        return _Stream(self, woken, self._events(which, news, woken))

    def forget(self, woken: asyncio.Event) -> None:
        """A watcher is gone."""
        self._watchers.pop(woken, None)

    async def _events(self, which: AnswerFilter, news: News, woken: asyncio.Event) -> AsyncIterator[ServerSentEvent]:
        first = None if news.answers else str(news.number)  # who is cut off before anything came resumes here
        yield ServerSentEvent(comment="answers follow", id=first, retry=RETRY_MS)
        while not self._closing:
            for stored in news.answers:
                data = AnswerRecord.of(stored).model_dump_json(by_alias=True)
                yield ServerSentEvent(data, event="answer", id=str(stored.number))
            if len(news.answers) < PAGE:
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), self._poll_s)
            woken.clear()
            try:
                news = await self._look(which, news.number)
            except Exception as error:  # the watcher comes back by himself, with the last id that he saw
                shown = error if isinstance(error, DicemError) else type(error).__name__
                log.warning("a stream of live answers has ended: %s", shown)
                return

    async def _look(self, which: AnswerFilter, after: int | None) -> News:
        if self._readers is None:
            self._readers = CapacityLimiter(READERS)
        return await to_thread.run_sync(self._read, which, after, limiter=self._readers)

    def _read(self, which: AnswerFilter, after: int | None) -> News:
        if after is None:
            return News([], self._answers.last_number())
        return self._answers.news(after, which, limit=PAGE)


class _Stream(EventSourceResponse):
    """Gives its place back however it ends, even if it never began."""

    def __init__(self, live: Live, woken: asyncio.Event, events: AsyncIterator[ServerSentEvent]) -> None:
        super().__init__(events, ping=live.heartbeat_s, sep="\n", send_timeout=SEND_TIMEOUT_S)
        self._live, self._woken = live, woken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `EventSourceResponse`."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._live.forget(self._woken)
