"""The `store` section of the cloud's config."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field, model_validator
from typing_extensions import Self

from dicem_shared.camera import Strict
from dicem_shared.secret import from_environment
from dicem_shared.types import Id

_KIND: Final = re.compile(r"(sqlite|postgresql|postgresql\+psycopg|postgres)://")
_PASSWORD: Final = re.compile(r"://[^/@]*:[^/]*@|[?&]password=")


class StoreConfig(Strict):
    """Where results, answers, vehicles and programs are kept; the gateways that share one URL work as one."""

    url: Annotated[str, Field(max_length=1000)] | None = None
    """`sqlite:///file.db` (taken from the working folder) for the gateways of one machine, `postgresql://user@host/name`
    for more; left out: in memory, for one gateway, until it ends"""
    password_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """name of the environment variable that holds PostgreSQL's password"""
    name: Id | None = None
    """of this gateway at the broker, which keeps under it what the store has not taken yet; no two gateways may have
    the same.  Left out: the host's name and the HTTP port"""
    lease_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """seconds after which a call that another gateway took and did not answer is taken over: more than a call takes"""
    results_kept: Annotated[int, Field(ge=1, le=100_000_000)] = 100_000
    """replies, for calls that come again"""
    results_max_age_s: Annotated[float, Field(ge=60, le=366 * 86_400)] = 86_400.0
    """seconds"""
    answers_kept: Annotated[int, Field(ge=1, le=1_000_000_000)] = 500_000
    """answers, of all vehicles; the oldest go first"""
    answers_max_age_s: Annotated[float, Field(ge=60, le=100 * 366 * 86_400)] = 90 * 86_400.0
    """seconds since an answer came"""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.url is not None and not _KIND.match(self.url):
            raise ValueError("url must begin with sqlite:// or postgresql://")
        if self.url is not None and _PASSWORD.search(self.url):
            raise ValueError(
                "url must hold no password: put it into an environment variable and name it in password_env"
            )
        if self.password_env is not None and (self.url is None or self.url.startswith("sqlite")):
            raise ValueError("password_env needs a url of PostgreSQL")
        return self

    def password(self) -> str | None:
        """The password from the environment, or None where none is configured.

        :raises ConfigError: `password_env` names a variable that is not set
        """
        if self.password_env is None:
            return None
        return from_environment(self.password_env, what="the database's password", setting="store.password_env")
