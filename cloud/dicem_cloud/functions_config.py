"""Which functions a cloud serves, with which models, and how much of each device they may use.

Every key with its unit and its bounds; a key that is not here is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from dicem_shared.camera import Strict
from dicem_shared.implementations.yolov8 import DetectorConfig
from dicem_shared.resources import find

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")
"""`owner/name` on the Hugging Face hub"""
DEFAULT_BLIP2 = "Salesforce/blip2-opt-2.7b"
DEFAULT_DEPTH = "depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf"
DEFAULT_GLIP = "IDEA-Research/grounding-dino-base"
DEFAULT_XVLM = "Salesforce/blip-itm-base-coco"

Threads = Annotated[int, Field(ge=1, le=256)]
Model = Annotated[str, Field(min_length=1, max_length=1024)]
"""a path, taken from the config file's folder, or (backend transformers) a name on the Hugging Face hub"""
Price = Annotated[float, Field(ge=0, le=1000)]
"""USD an hour of the machine while this function computes"""
Backend = Literal["onnx", "transformers"]
DeviceName = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d{1,2})?)$")]
"""auto takes the first GPU where there is one; cuda:1 is the second GPU"""
Dtype = Literal["auto", "float16", "bfloat16", "float32"]
"""numbers that a network computes in; auto: half precision on a GPU where that is safe, float32 elsewhere"""
MaxBatch = Annotated[int, Field(ge=1, le=256)]
"""calls that share one pass"""
Share = Annotated[float, Field(ge=0, le=1)]
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class DeviceConfig(Strict):
    """How much of a device the functions may use together."""

    memory_gb: Literal["auto"] | Annotated[float, Field(gt=0, le=4096)] = "auto"
    """GB (10^9 bytes) for weights and for computing; auto: what is free on a GPU at the start, unbounded on a CPU"""


class Yolov8Config(DetectorConfig):
    """A detection network in one ONNX file."""

    price_usd_per_hour: Price = 0.0


class NetworkConfig(Strict):
    """What every network that runs through PyTorch has."""

    threads: Threads = 1
    """of PyTorch on a CPU; where functions differ, the largest number counts for all"""
    device: DeviceName = "auto"
    dtype: Dtype = "auto"
    preload: bool = False
    """read the weights when the cloud starts, not with the first call"""
    price_usd_per_hour: Price = 0.0


def _with_default(value: Any, default: str) -> Any:
    """The section with the checkpoint that it means where it names a backend only."""
    if isinstance(value, dict) and value.get("backend") == "transformers":
        return {"model": default} | value
    return value


class Blip2Config(NetworkConfig):
    """A BLIP-2 network: a folder of ONNX parts, or a checkpoint in safetensors.  Serves the alias `blip` too.

    `device`, `dtype`, `threads`, `preload`, `prompt` and `max_new_tokens` are for the backend transformers.
    """

    backend: Backend = "onnx"
    model: Model
    """left out with the backend transformers: Salesforce/blip2-opt-2.7b"""
    prompt: Annotated[str, Field(max_length=1000)] = "Question: {query} Answer:"
    """what the network reads, with {query} in it"""
    max_new_tokens: Annotated[int, Field(ge=1, le=256)] = 16
    """of an answer"""
    max_batch: MaxBatch = 8

    @model_validator(mode="before")
    @classmethod
    def _default_model(cls, value: Any) -> Any:
        return _with_default(value, DEFAULT_BLIP2)

    @model_validator(mode="after")
    def _has_query(self) -> Self:
        if self.prompt.count("{query}") != 1:
            raise ValueError("prompt must hold {query} once")
        return self


class DepthConfig(NetworkConfig):
    """The horizon, and optionally a network for frames without an attitude.

    `device`, `dtype`, `threads`, `preload` and `max_batch` are for the backend transformers.
    """

    backend: Backend = "onnx"
    model: Model | None = None
    """left out: only frames with calibration and attitude can be measured; with the backend transformers:
    depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf"""
    max_batch: MaxBatch = 8

    @model_validator(mode="before")
    @classmethod
    def _default_model(cls, value: Any) -> Any:
        return _with_default(value, DEFAULT_DEPTH)


class GlipConfig(NetworkConfig):
    """A network that finds what words name: Grounding DINO or OWLv2, in safetensors."""

    model: Model = DEFAULT_GLIP
    score: Share = 0.3
    """boxes below it are dropped"""
    iou: Share = 0.6
    """overlap above which the weaker of two boxes is dropped"""
    max_objects: Annotated[int, Field(ge=1, le=900)] = 64
    """the best ones of an image; the others are dropped"""
    prompt: Annotated[str, Field(max_length=200)] = "{object}"
    """what the network reads, with {object} in it; OWLv2 likes "a photo of a {object}" """
    max_batch: MaxBatch = 8

    @model_validator(mode="after")
    def _has_object(self) -> Self:
        if self.prompt.count("{object}") != 1:
            raise ValueError("prompt must hold {object} once")
        return self


class XvlmConfig(NetworkConfig):
    """A network that says how well texts fit an image: BLIP-ITM, SigLIP or SigLIP 2, in safetensors."""

    model: Model = DEFAULT_XVLM
    threshold: Share | None = None
    """score from which a property is there; left out: 0.5 for BLIP-ITM, 0.1 for SigLIP, whose scores are lower"""
    prompt: Annotated[str, Field(max_length=200)] = "a photo of {text}"
    """what the network reads, with {text} in it: the property and the object, or the object and an option"""
    max_batch: MaxBatch = 8
    max_pairs: Annotated[int, Field(ge=1, le=4096)] = 64
    """images with a text each that share one pass: a call with 20 options is 20 of them"""

    @model_validator(mode="after")
    def _has_text(self) -> Self:
        if self.prompt.count("{text}") != 1:
            raise ValueError("prompt must hold {text} once")
        return self


class LlmConfig(Strict):
    """A language model behind an OpenAI-compatible endpoint (Chat Completions); prompts of programs go there."""

    base_url: Annotated[str, Field(min_length=8, max_length=1000)]
    """up to and with `/v1`, as a rule"""
    model: Annotated[str, Field(min_length=1, max_length=256)]
    """as the endpoint names it"""
    api_key_env: str | None = None
    """name of the environment variable that holds the key; left out: none is sent"""
    system: Annotated[str, Field(max_length=4000)] = "Answer briefly and with nothing but the answer."
    """what the model is told before each prompt; empty: nothing"""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    """seconds for one whole reply"""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """how often a request is repeated that met a broken server; one that is busy is left to the caller"""
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] = 512
    """of one reply"""
    max_tokens_as: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """what the endpoint calls that; OpenAI's reasoning models want the latter"""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.0
    """null leaves it out, for models that refuse it"""
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = 0
    """null leaves it out"""
    max_batch: MaxBatch = 8
    """requests under way at once"""
    price_usd_per_hour: Price = 0.0

    @field_validator("base_url")
    @classmethod
    def _url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError("not a URL, such as https://api.openai.com/v1") from None
        if parts.scheme not in ("http", "https") or not host or not value.isprintable() or " " in value:
            raise ValueError("must be an http:// or https:// URL, such as https://api.openai.com/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("must hold no user, password, query or fragment: the key goes to api_key_env's variable")
        return value.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _name_only(cls, value: str | None) -> str | None:
        # What stands here may be the key itself: it must not be repeated in the message.
        if value is not None and not _ENV_NAME.fullmatch(value):
            raise ValueError("must be the NAME of an environment variable (A-Z 0-9 _), never the key itself")
        return value


class FunctionsConfig(Strict):
    """Which functions are served.  `blip` comes with `blip2`."""

    yolov8: Yolov8Config | None = None
    blip2: Blip2Config | None = None
    depth: DepthConfig | None = None
    glip: GlipConfig | None = None
    xvlm: XvlmConfig | None = None
    llm: LlmConfig | None = None

    @model_validator(mode="after")
    def _serves_something(self) -> Self:
        if not self.configured:
            raise ValueError("no function is configured")
        return self

    @property
    def configured(self) -> tuple[str, ...]:
        """The functions that have a section."""
        return tuple(name for name, one in self if one is not None)

    @property
    def models(self) -> dict[str, str]:
        """Function -> its file, folder or name on the hub, where it has one."""
        return {
            name: one.model
            for name, one in self
            if one is not None and not isinstance(one, LlmConfig) and one.model is not None
        }

    @property
    def prices(self) -> dict[str, float]:
        """Function -> USD an hour."""
        prices = {name: one.price_usd_per_hour for name, one in self if one is not None}
        return prices | ({"blip": prices["blip2"]} if "blip2" in prices else {})

    def relative_to(self, folder: Path) -> FunctionsConfig:
        """The same with every path taken from `folder`, where the config file lies."""
        located = {
            name: getattr(self, name).model_copy(update={"model": locate(model, folder)})
            for name, model in self.models.items()
        }
        return self.model_copy(update=located)


def locate(model: str, folder: Path) -> str:
    """The path of `model`: beside the config in `folder`, or where dicem's own files lie.

    A name on the Hugging Face hub stays as it is; so does what is nowhere, for the function to say so.
    """
    beside = folder / Path(model).expanduser()
    if beside.exists():
        return str(beside.resolve())
    found = find(model)
    if found is not None:
        return str(found.resolve())
    return model if HUB_NAME.match(model) else str(beside)
