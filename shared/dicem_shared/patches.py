"""From handles to pixels: the same at the edge, where whole frames lie, and in the cloud, where crops arrive."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock

from . import images
from .blobs import BlobStore
from .errors import DicemError, InvalidCall
from .images import Pixels
from .types import Box, FrameInfo, Handle, ShippedBlob


@dataclass(frozen=True)
class Patch:
    """What a function gets for an image parameter.

    `pixels` is uint8 (height, width, 3), RGB; `box` says where they lie in the frame.
    """

    pixels: Pixels
    box: Box
    frame: FrameInfo


def check_handle(handle: Handle, frame: FrameInfo) -> None:
    """Hold a program to its own frame.

    :raises InvalidCall: another frame's blob, an empty box, or one that leaves the frame
    """
    x, y, width, height = handle.box
    if handle.blob != frame.blob:
        raise InvalidCall("a patch of another frame", todo="A program sees only the frame it was started for.")
    if width == 0 or height == 0:
        raise InvalidCall("ImagePatch has no area", got=f"box {handle.box}")
    if x + width > frame.width or y + height > frame.height:
        raise InvalidCall(
            "a patch leaves its frame", expected=f"within {frame.width} x {frame.height}", got=str(handle.box)
        )


def contains(outer: Box, inner: Box) -> bool:
    """True where `inner` lies wholly in `outer`."""
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and inner[0] + inner[2] <= outer[0] + outer[2]
        and inner[1] + inner[3] <= outer[1] + outer[3]
    )


class PatchReader:
    """Decodes each blob once and cuts patches out of it.  Keeps the `keep` most recent decoded images.

    Safe to be used by any thread; different blobs are decoded side by side.
    """

    def __init__(self, store: BlobStore, *, max_pixels: int = images.NETWORK_MAX_PIXELS, keep: int = 8) -> None:
        self._store, self._max_pixels, self._keep = store, max_pixels, keep
        self._decoded: OrderedDict[tuple[str, str], _Image] = OrderedDict()
        self._lock = Lock()

    def read(self, scope: str, handle: Handle, frame: FrameInfo, shipped: Iterable[ShippedBlob] = ()) -> Patch:
        """The pixels of `handle`.

        `shipped` are the crops that may stand for the frame; the smallest one that covers the box is used.

        :raises BlobMissing: neither the frame nor a crop that covers the box is here
        :raises ImageError: the blob is no image
        :raises InvalidCall: the handle is not the frame's, or a crop is not as large as it says
        """
        check_handle(handle, frame)
        covering = sorted(
            (s for s in shipped if s.source.blob == frame.blob and contains(s.source.box, handle.box)),
            key=lambda s: s.source.box[2] * s.source.box[3],
        )
        blob, origin = (covering[0].blob, covering[0].source.box) if covering else (frame.blob, frame.handle.box)
        image = self._image(scope, blob)
        if image.shape[:2] != (origin[3], origin[2]):
            raise InvalidCall(
                "a crop is not as large as its box", expected=f"{origin[2]} x {origin[3]}",
                got=f"{image.shape[1]} x {image.shape[0]}",
            )  # fmt: skip
        x, y, width, height = handle.box
        left, top = x - origin[0], y - origin[1]
        return Patch(image[top : top + height, left : left + width], handle.box, frame)

    def _image(self, scope: str, blob: str) -> Pixels:
        with self._lock:
            kept = self._decoded.setdefault((scope, blob), _Image())
            self._decoded.move_to_end((scope, blob))
            while len(self._decoded) > self._keep:
                self._decoded.popitem(last=False)
        with kept.lock:
            if kept.pixels is None:
                try:
                    kept.pixels = images.decode(self._store.get(scope, blob), max_pixels=self._max_pixels)
                except DicemError:
                    with self._lock:
                        self._decoded.pop((scope, blob), None)
                    raise
            return kept.pixels


@dataclass
class _Image:
    lock: Lock = field(default_factory=Lock)
    """held while it is decoded"""
    pixels: Pixels | None = None
