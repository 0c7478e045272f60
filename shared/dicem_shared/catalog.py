"""The functions that dicem knows, in the shapes that the published programs use.

The name is the job, not the model: which model did it stands in every reply.  Boxes are top-left pixels of the image
that was passed.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from .functions import Batch, FunctionSpec, ImageParam, Registry, function

Score = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(max_length=2000)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=64)]

DetectedObject = TypedDict(
    "DetectedObject", {"class": str, "score": Score, "x": Pixels, "y": Pixels, "width": Pixels, "height": Pixels}
)


class Detections(TypedDict):
    objects: list[DetectedObject]


class BoundingBox(TypedDict):
    x: Pixels
    y: Pixels
    width: Pixels
    height: Pixels
    score: Score


class Output(TypedDict):
    output: str


class Reply(TypedDict):
    answer: str


class Metres(TypedDict):
    depth: Annotated[float, Field(ge=0, le=1000000.0)]


class Match(TypedDict):
    """Whether an image shows a property, and how sure that is; `scores` where options were given."""

    result: bool
    score: Score
    scores: list[Score]


@function(sites=("edge", "cloud"), equivalent=True)
def yolov8(image: ImageParam, classes: Texts | None = None) -> Detections:
    """Find the objects of a fixed list of classes in the image, or only those of `classes` (a class, or a group such
    as "litter"), best first."""


@function(batch=Batch(8, 0.02))
def glip(image: ImageParam, object_name: Text) -> list[BoundingBox]:
    """Find where `object_name`, any words, is in the image; a list of boxes, best first."""


@function(batch=Batch(8, 0.02))
def blip2(image: ImageParam, query: Text) -> Output:
    """Answer a short question about the image in a few words."""


@function(batch=Batch(8, 0.02), alias_of="blip2")
def blip(image: ImageParam, question: Text) -> Reply:
    """Answer a short question about the image in a few words."""


@function(batch=Batch(8, 0.02))
def xvlm(image: ImageParam, object_name: Text, property: Text = "", options: Texts | None = None) -> Match:
    """Say whether the `object_name` in the image has the `property`; with `options`, how well each text fits."""


@function(sites=("edge", "cloud"), equivalent=True)
def depth(image: ImageParam) -> Metres:
    """Metres from below the camera to the thing in the image, over the water."""


@function(batch=Batch(8, 0.05))
def llm(prompt: Text) -> Output:
    """Answer from general knowledge, in words."""


SPECS: tuple[FunctionSpec, ...] = (yolov8, glip, blip2, blip, xvlm, depth, llm)


def catalog() -> Registry:
    """All of them."""
    return Registry(SPECS)
