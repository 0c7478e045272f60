"""What pixels a call takes along: a crop, encoded once and sent once, or the whole frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from dicem_shared import images
from dicem_shared.camera import Strict
from dicem_shared.ids import blob_id
from dicem_shared.images import Pixels, Redactor
from dicem_shared.types import Box, FrameInfo, Handle, ShippedBlob


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
    _encoded: dict[Handle, tuple[str, bytes, Handle]] = field(default_factory=dict)

    def pack(
        self, frame: LoadedFrame, params: dict[str, Any], image_parameters: tuple[str, ...]
    ) -> tuple[ShippedBlob, ...]:
        """The pixels that a call with these parameters needs at the other site."""
        shipped: dict[str, ShippedBlob] = {}
        for name in image_parameters:
            if params.get(name) is not None:
                blob, data, source = self._encode(frame, Handle.model_validate(params[name]))
                known = self.config.once and blob in self._sent
                shipped[blob] = ShippedBlob(blob=blob, source=source, data=None if known else data)
                self._sent.add(blob)
        return tuple(shipped.values())

    def repack(self, blobs: tuple[ShippedBlob, ...]) -> tuple[ShippedBlob, ...]:
        """The same blobs with all their bytes, after the cloud said that it lacks one."""
        data = {blob: data for blob, data, _ in self._encoded.values()}
        return tuple(b.model_copy(update={"data": data.get(b.blob, b.data)}) for b in blobs)

    def forget(self, frame: FrameInfo) -> None:
        """The frame is answered: its encoded crops are not needed any more."""
        for handle in [h for h in self._encoded if h.blob == frame.blob]:
            self._sent.discard(self._encoded.pop(handle)[0])

    def _encode(self, frame: LoadedFrame, handle: Handle) -> tuple[str, bytes, Handle]:
        """Blob id, bytes, and the part of the frame that they show."""
        if handle not in self._encoded:
            if self.config.whole_frames and self.redact is None:
                self._encoded[handle] = (frame.info.blob, frame.data, frame.info.handle)
            else:
                box = frame.info.handle.box if self.config.whole_frames else self._with_context(handle.box, frame.info)
                x, y, width, height = box
                pixels = frame.pixels[y : y + height, x : x + width]
                if self.redact is not None:
                    pixels = self.redact(pixels)
                data = images.encode(pixels, format=self.config.format, quality=self.config.quality)
                self._encoded[handle] = (blob_id(data), data, Handle(blob=frame.info.blob, box=box))
        return self._encoded[handle]

    def _with_context(self, box: Box, frame: FrameInfo) -> Box:
        x, y, width, height = box
        dx, dy = round(width * self.config.context), round(height * self.config.context)
        left, top = max(x - dx, 0), max(y - dy, 0)
        right, bottom = min(x + width + dx, frame.width), min(y + height + dy, frame.height)
        return left, top, right - left, bottom - top
