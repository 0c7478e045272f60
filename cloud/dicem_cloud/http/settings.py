"""The sections `http:`, `metrics:` and `tracing:` of the cloud's config.  Nothing here needs a web framework."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from dicem_shared.camera import Strict
from dicem_shared.errors import ConfigError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
Role = Literal["read", "call", "admin"]
"""read: what is stored, and the metrics; call: the functions; admin: everything."""
ROLES: Final[frozenset[Role]] = frozenset({"read", "call", "admin"})
OLD_TOKEN: Final = "default"
"""Name of the token of `token_env`."""
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
TokenName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,26}$")]
"""stands behind `_http-` in the vehicle as which its calls are known: 32 characters together"""


class RateConfig(Strict):
    """A token bucket."""

    per_s: Annotated[float, Field(gt=0, le=100_000)]
    """requests a second in the long run"""
    burst: Annotated[int, Field(ge=1, le=100_000)] = 20
    """requests at once, after a pause"""


class TokenConfig(Strict):
    """One caller: who shows the token, and what it may do.  The token itself never stands here."""

    name: TokenName
    env: EnvName | None = None
    """name of the environment variable that holds the token"""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """or the SHA-256 of the token, in hex: printf %s "$TOKEN" | sha256sum"""
    roles: Annotated[frozenset[Role], Field(min_length=1)]
    rate: RateConfig | None = None
    """left out: `http.rate`"""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.env is None) == (self.sha256 is None):
            raise ValueError(f"token {self.name} needs either env or sha256")
        return self


@dataclass(frozen=True)
class Key:
    """A token as the API knows it: its SHA-256, never the token."""

    name: str
    sha256: bytes
    roles: frozenset[Role]
    rate: RateConfig | None


class HttpConfig(Strict):
    """Where the HTTP API listens, for whom, and how much it takes."""

    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    token_env: EnvName | None = None
    """name of the environment variable that holds a token with every role; no token at all on loopback only"""
    tokens: Annotated[tuple[TokenConfig, ...], Field(max_length=256)] = ()
    rate: RateConfig | None = None
    """for each token by itself; left out: no limit"""
    max_body_mb: Annotated[float, Field(gt=0, le=64)] = 8.0
    """MB (10^6 bytes) of one body"""
    max_bodies_mb: Annotated[float, Field(gt=0, le=65536)] = 256.0
    """MB (10^6 bytes) of all bodies that are being read at once"""
    body_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """seconds within which a body must have come"""
    call_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """seconds after which a call is given up that names no `deadline_s`, and the most that one may name"""
    max_live: Annotated[int, Field(ge=0, le=10_000)] = 64
    """how many may watch live answers at once"""
    heartbeat_s: Annotated[float, Field(gt=0, le=3600)] = 15.0
    """seconds between the comments that keep a stream of live answers open"""

    @model_validator(mode="after")
    def _no_open_door(self) -> Self:
        if self.host not in LOOPBACK and self.token_env is None and not self.tokens:
            raise ValueError(f"listening on {self.host} needs token_env or tokens: only loopback may go without")
        if self.max_bodies_mb < self.max_body_mb:
            raise ValueError("max_bodies_mb must be at least max_body_mb")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [token.name for token in self.tokens] + ([OLD_TOKEN] if self.token_env else [])
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two tokens are called {', '.join(twice)}")
        return self

    def token_keys(self) -> tuple[Key, ...]:
        """The tokens, read from the environment where they lie there; none: everybody may do everything.

        :raises ConfigError: a variable is not set, or two names share a token
        """
        keys = [
            Key(one.name, _hash_of(one, f"http.tokens ({one.name})"), one.roles, one.rate or self.rate)
            for one in self.tokens
        ]
        if self.token_env is not None:
            keys.append(Key(OLD_TOKEN, _from_environment(self.token_env, "http.token_env"), ROLES, self.rate))
        if len({key.sha256 for key in keys}) < len(keys):
            raise ConfigError("two names of http.tokens share a token", todo="Give each caller a token of its own.")
        return tuple(keys)


class MetricsConfig(Strict):
    """`GET /metrics`, for Prometheus."""

    public: bool = False
    """anybody may read them; else a token with the role read"""
    max_pairs: Annotated[int, Field(ge=1, le=10_000)] = 200
    """pairs of vehicle and program whose cost is counted apart; the rest is `other`"""


class TracingConfig(Strict):
    """Where traces go (OpenTelemetry, OTLP over HTTP)."""

    endpoint: Annotated[str, Field(min_length=1, max_length=1024)]
    """such as http://127.0.0.1:4318/v1/traces"""
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    """share of the traces that are kept; all spans of a trace are, or none, whichever gateway they come from"""
    service: Annotated[str, Field(min_length=1, max_length=128)] = "dicem-cloud"

    @field_validator("endpoint")
    @classmethod
    def _is_http(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("endpoint must be an http or https URL")
        return value


def _hash_of(token: TokenConfig, where: str) -> bytes:
    if token.sha256 is not None:
        return bytes.fromhex(token.sha256)
    assert token.env is not None
    return _from_environment(token.env, where)


def _from_environment(variable: str, where: str) -> bytes:
    value = os.environ.get(variable)
    if not value:
        raise ConfigError(
            f"the environment variable {variable} is not set",
            expected="a token of the HTTP API",
            todo=f"Set {variable}, or take it out of {where} in the config.",
        )
    return hashlib.sha256(value.encode()).digest()
