"""Encoded images by their content hash, kept for a bounded time and size."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Protocol

from .clock import Clock
from .errors import BlobMissing
from .ids import blob_id


class BlobStore(Protocol):
    """Where encoded images lie.  Keys are scoped: one vehicle never sees what another sent."""

    def put(self, scope: str, data: bytes) -> str:
        """Keep `data` and return its id; keeping it twice is the same as once."""

    def get(self, scope: str, blob: str) -> bytes:
        """The bytes.

        :raises BlobMissing: not here, or not this scope's
        """

    def pin(self, scope: str, blob: str) -> None:
        """Keep it as evidence, whatever the bounds say."""


class MemoryBlobStore:
    """The least recently used go first once `max_bytes` or `max_age_s` is passed; pinned ones stay and do not count.
    Safe to be used by any thread."""

    def __init__(self, clock: Clock, *, max_bytes: int = 256 * 2**20, max_age_s: float = 3600.0) -> None:
        self._clock, self._max_bytes, self._max_age_s = clock, max_bytes, max_age_s
        self._blobs: OrderedDict[tuple[str, str], tuple[float, bytes]] = OrderedDict()
        self._pinned: dict[tuple[str, str], bytes] = {}
        self._bytes = 0
        self._lock = Lock()

    def put(self, scope: str, data: bytes) -> str:
        """See `BlobStore.put`."""
        blob = blob_id(data)
        key = (scope, blob)
        with self._lock:
            if key not in self._pinned:
                if key not in self._blobs:
                    self._bytes += len(data)
                self._touch(key, data)
                self._evict()
        return blob

    def get(self, scope: str, blob: str) -> bytes:
        """See `BlobStore.get`."""
        key = (scope, blob)
        with self._lock:
            if key in self._pinned:
                return self._pinned[key]
            self._evict()
            if key not in self._blobs:
                raise BlobMissing(blob)
            _, data = self._blobs[key]
            self._touch(key, data)
            return data

    def pin(self, scope: str, blob: str) -> None:
        """See `BlobStore.pin`."""
        key = (scope, blob)
        with self._lock:
            if key in self._pinned:
                return
            self._evict()
            if key not in self._blobs:
                raise BlobMissing(blob)
            _, data = self._blobs.pop(key)
            self._bytes -= len(data)
            self._pinned[key] = data

    def __len__(self) -> int:
        return len(self._blobs) + len(self._pinned)

    def _touch(self, key: tuple[str, str], data: bytes) -> None:
        self._blobs[key] = (self._clock.monotonic(), data)
        self._blobs.move_to_end(key)

    def _evict(self) -> None:
        oldest_allowed = self._clock.monotonic() - self._max_age_s
        while self._blobs:
            key = next(iter(self._blobs))
            stamp, data = self._blobs[key]
            if self._bytes <= self._max_bytes and stamp >= oldest_allowed:
                return
            del self._blobs[key]
            self._bytes -= len(data)
