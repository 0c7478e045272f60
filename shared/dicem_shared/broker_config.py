"""How to reach the MQTT broker: one section of the config, the same at the edge and in the cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator
from typing_extensions import Self

from .camera import Strict
from .secret import from_environment


class TlsConfig(Strict):
    """Files in PEM; without `ca_file` the system's authorities are trusted."""

    ca_file: Path | None = None
    """whom we trust"""
    cert_file: Path | None = None
    """who we are, where the broker asks for a certificate"""
    key_file: Path | None = None
    """the certificate's key"""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class BrokerConfig(Strict):
    """An MQTT 5 broker.  The password is never in a file: `password_env` names an environment variable."""

    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    """1883 in plain, 8883 with TLS by custom"""
    username: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    password_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """name of the environment variable that holds the password"""
    tls: TlsConfig | None = None
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    """seconds; the broker calls us offline after one and a half of these"""
    session_expiry_s: Annotated[int, Field(ge=0, le=7 * 86400)] = 3600
    """seconds for which the broker keeps what comes while we are away"""

    @model_validator(mode="after")
    def _whose(self) -> Self:
        if self.password_env is not None and self.username is None:
            raise ValueError("password_env needs a username")
        return self

    def password(self) -> str | None:
        """The password from the environment, or None where none is configured.

        :raises ConfigError: `password_env` names a variable that is not set
        """
        if self.password_env is None:
            return None
        return from_environment(self.password_env, what="the broker's password", setting="broker.password_env")

    def relative_to(self, folder: Path) -> BrokerConfig:
        """The same with the TLS files' paths taken from `folder`, where the config file lies."""
        if self.tls is None:
            return self
        files = {name: folder / path for name, path in self.tls if path is not None}
        return self.model_copy(update={"tls": self.tls.model_copy(update=files)})
