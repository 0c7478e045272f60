"""The model endpoint's config: which one, what it may cost, how long it may take.

It comes from the operator alone: `--endpoint FILE`, else the file that $DICEM_ENDPOINT names, else
`~/.config/dicem/endpoint.yaml`.  The key is in no file: `api_key_env` names the environment variable that holds it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from dicem_shared.camera import Strict
from dicem_shared.config import load_config
from dicem_shared.errors import ConfigError
from dicem_shared.resources import need

ENDPOINT_ENV: Final = "DICEM_ENDPOINT"
"""Environment variable that names the config file."""
ReplyFormat = Literal["schema", "text", "auto"]
Price = Annotated[float, Field(ge=0, le=100_000)]
"""USD a million tokens"""
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_ENV_NAME: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
_SETUP: Final = (
    "Copy configs/endpoint.yaml to ~/.config/dicem/endpoint.yaml and say base_url and model there, or give "
    "--endpoint FILE; `dicem programs` works without a model."
)


class EndpointConfig(Strict):
    """An OpenAI-compatible endpoint (Chat Completions)."""

    base_url: Annotated[str, Field(min_length=8, max_length=1000)]
    """up to and with `/v1`, as a rule"""
    model: Annotated[str, Field(min_length=1, max_length=256)]
    """as the endpoint names it"""
    api_key_env: str | None = None
    """name of the environment variable that holds the key; left out: none is sent"""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """seconds without a sign of life: to connect, and between two pieces of a reply"""
    reply_timeout_s: Annotated[float, Field(gt=0, le=7200)] = 300.0
    """seconds for one whole reply"""
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """how often a request is repeated that met a busy or broken server"""
    rounds: Annotated[int, Field(ge=0, le=10)] = 3
    """how often the model may mend its program"""
    max_tokens: Annotated[int, Field(ge=64, le=200_000)] = 4096
    """of one reply"""
    max_tokens_as: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """what the endpoint calls that; OpenAI's reasoning models want the latter"""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 0.0
    """null leaves it out, for models that refuse it"""
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = 0
    """null leaves it out"""
    format: ReplyFormat = "auto"
    """schema: JSON by a schema; text: a fenced block; auto: schema, and text where the endpoint has none"""
    usd_per_million_prompt_tokens: Price = 0.0
    usd_per_million_completion_tokens: Price = 0.0
    budget_tokens: Annotated[int, Field(ge=1000, le=100_000_000)] = 100_000
    """of one question, prompts and replies together"""
    budget_usd: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """of one question"""

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

    @field_validator("model")
    @classmethod
    def _printable(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must be printable")
        return value

    @model_validator(mode="after")
    def _dollars_need_prices(self) -> Self:
        if self.budget_usd is not None and not (
            self.usd_per_million_prompt_tokens or self.usd_per_million_completion_tokens
        ):
            raise ValueError("budget_usd needs usd_per_million_prompt_tokens and usd_per_million_completion_tokens")
        return self

    @property
    def url(self) -> SplitResult:
        """`base_url`, parsed."""
        return urlsplit(self.base_url)

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return self.url.hostname in LOOPBACK

    def api_key(self) -> str | None:
        """The key from the environment, or None where none is configured.

        :raises ConfigError: `api_key_env` names a variable that is not set, or whose value no header can carry
        """
        if self.api_key_env is None:
            return None
        value = os.environ.get(self.api_key_env, "").strip()
        if not value:
            raise ConfigError(
                f"the environment variable {self.api_key_env} is not set", expected="the model endpoint's key",
                todo=f"Set {self.api_key_env}, or take api_key_env out of the endpoint's config.",
            )  # fmt: skip
        if not (value.isascii() and value.isprintable()):
            raise ConfigError(f"the key in {self.api_key_env} cannot be sent", expected="printable ASCII on one line")
        return value


def usual_path() -> Path:
    """Where an operator's own config lies."""
    base = os.environ.get("XDG_CONFIG_HOME")
    folder = Path(base) if base and os.path.isabs(base) else Path("~/.config").expanduser()
    return folder / "dicem" / "endpoint.yaml"


def load_endpoint(given: str | Path | None = None) -> EndpointConfig:
    """The endpoint's config: `given` (a path, or a name in configs/), $DICEM_ENDPOINT's file, or the usual file.

    :raises ConfigError: there is none (says how to set one up), or it cannot be used
    """
    named = given or os.environ.get(ENDPOINT_ENV)
    if named:
        return load_config(EndpointConfig, need(named, "endpoint config", "configs", suffix=".yaml"))
    path = usual_path()
    if not os.path.exists(path):
        raise ConfigError("no model endpoint is configured", todo=_SETUP)
    return load_config(EndpointConfig, path)
