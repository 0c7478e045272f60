"""What pixels a call takes along: a crop, encoded once and sent once, or the whole frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from dicem_shared import images
from dicem_shared.camera import Strict
from dicem_shared.errors import ImageError
from dicem_shared.ids import blob_id
from dicem_shared.images import Pixels, Redactor
from dicem_shared.messages import MAX_MESSAGE_BYTES
from dicem_shared.types import Box, FrameInfo, Handle, ShippedBlob

ENVELOPE_BYTES = 8_000
"""Room for the rest of a request, most of it parameters."""


@dataclass
class LoadedFrame:
    """A frame with its encoded bytes; decoded when somebody looks."""

    info: FrameInfo
    data: bytes
    max_pixels: int = 40_000_000

    @cached_property
    def pixels(self) -> Pixels:
        """uint8 (height, width, 3), RGB."""
        return images.decode(self.data, max_pixels=self.max_pixels)


class ShippingConfig(Strict):
    """How crops are made."""

    whole_frames: bool = False
    """send the frame instead of crops"""
    once: bool = True
    """pixels that were sent are named afterwards, not sent again"""
    format: Literal["jpeg", "webp"] = "webp"
    quality: Annotated[int, Field(ge=30, le=100)] = 90
    context: Annotated[float, Field(ge=0, le=1)] = 0.0
    """how much of the box's size is added on every side, for models that want surroundings"""


@dataclass
class Shipper:
    """Cuts, encodes and remembers what the cloud has."""

    config: ShippingConfig
    redact: Redactor | None = None
    """runs on the pixels before they are encoded; nothing leaves without it where it is given"""
    _sent: set[str] = field(default_factory=set)
    _encoded: dict[Handle, tuple[str, bytes]] = field(default_factory=dict)
    """by the part of the frame that they show"""

    def pack(
        self, frame: LoadedFrame, params: dict[str, Any], image_parameters: tuple[str, ...]
    ) -> tuple[ShippedBlob, ...]:
        """The pixels that a call with these parameters needs at the other site.

        :raises ImageError: the frame cannot be decoded, or the crop not encoded or redacted
        """
        shipped: dict[str, ShippedBlob] = {}
        for name in image_parameters:
            if params.get(name) is not None:
                source = self._source(Handle.model_validate(params[name]), frame.info)
                blob, data = self._encode(frame, source)
                known = self.config.once and blob in self._sent
                shipped[blob] = ShippedBlob(blob=blob, source=source, data=None if known else data)
        return tuple(shipped.values())

    def mark_sent(self, blobs: tuple[ShippedBlob, ...]) -> None:
        """The transport has taken them: from now on they are named, not sent again."""
        self._sent.update(blob.blob for blob in blobs)

    def repack(self, frame: LoadedFrame, blobs: tuple[ShippedBlob, ...]) -> tuple[ShippedBlob, ...]:
        """The same blobs with all their bytes, after the cloud said that it lacks one.

        :raises ImageError: as `pack`
        """
        return tuple(b.model_copy(update={"data": self._encode(frame, b.source)[1]}) for b in blobs)

    def forget(self, frame: FrameInfo) -> None:
        """The frame is answered: its encoded crops are not needed any more."""
        for source in [s for s in self._encoded if s.blob == frame.blob]:
            self._sent.discard(self._encoded.pop(source)[0])

    def _source(self, handle: Handle, frame: FrameInfo) -> Handle:
        """The part of the frame that is shipped for a patch: itself, unless the cloud has the whole frame."""
        if self.config.whole_frames or (self.config.once and self._has_gone(frame.handle)):
            return frame.handle
        return Handle(blob=frame.blob, box=self._with_context(handle.box, frame))

    def _has_gone(self, source: Handle) -> bool:
        return source in self._encoded and self._encoded[source][0] in self._sent

    def _goes_as_it_is(self, frame: LoadedFrame, source: Handle) -> bool:
        """Whether the camera's own bytes are sent: encoding them anew takes time and changes what is seen in them.

        Not those that have no room in a message; encoded as crops are, they may have.
        """
        if self.redact is not None or source != frame.info.handle:
            return False
        small = len(frame.data) <= MAX_MESSAGE_BYTES - ENVELOPE_BYTES
        return self.config.whole_frames or (small and images.probe(frame.data)[0] in ("jpeg", "webp"))

    def _encode(self, frame: LoadedFrame, source: Handle) -> tuple[str, bytes]:
        """Blob id and bytes of a part of the frame."""
        if source not in self._encoded:
            if self._goes_as_it_is(frame, source):
                self._encoded[source] = (frame.info.blob, frame.data)
            else:
                x, y, width, height = source.box
                pixels = frame.pixels[y : y + height, x : x + width]
                if self.redact is not None:
                    pixels = self._redacted(pixels, self.redact)
                data = images.encode(pixels, format=self.config.format, quality=self.config.quality)
                self._encoded[source] = (blob_id(data), data)
        return self._encoded[source]

    @staticmethod
    def _redacted(pixels: Pixels, redact: Redactor) -> Pixels:
        """A copy that has been through the redactor: the frame itself stays as it was for the models on board."""
        try:
            redacted = redact(pixels.copy())
        except Exception as cause:
            raise ImageError("the redactor failed: nothing is sent", got=f"{type(cause).__name__}: {cause}") from cause
        shape = getattr(redacted, "shape", "no image")
        if shape != pixels.shape:
            raise ImageError("the redactor changed the size", expected=str(pixels.shape), got=str(shape))
        return redacted

    def _with_context(self, box: Box, frame: FrameInfo) -> Box:
        x, y, width, height = box
        dx, dy = round(width * self.config.context), round(height * self.config.context)
        left, top = max(x - dx, 0), max(y - dy, 0)
        right, bottom = min(x + width + dx, frame.width), min(y + height + dy, frame.height)
        return left, top, right - left, bottom - top
