"""How a cloud's HTTP API is reached: with its token, for the host that was named and for nobody else."""

from __future__ import annotations

import os
import urllib.request
from typing import Any, Final
from urllib.parse import urlsplit

from dicem_shared.errors import ConfigError

from .config import LOOPBACK

TOKEN_ENV: Final = "DICEM_TOKEN"
"""Environment variable that holds the bearer token of a cloud's HTTP API."""


def opener_for(url: str) -> urllib.request.OpenerDirector:
    """Follows no redirect, and asks no proxy for this very machine."""
    handlers: list[Any] = [_NoRedirects()]
    if urlsplit(url).hostname in LOOPBACK:
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def authorised(request: urllib.request.Request) -> urllib.request.Request:
    """The request with the token, if there is one.

    :raises ConfigError: the token cannot be sent
    """
    if token := os.environ.get(TOKEN_ENV, "").strip():
        if not (token.isascii() and token.isprintable()):
            raise ConfigError(f"the token in {TOKEN_ENV} cannot be sent", expected="printable ASCII on one line")
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return request


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What is sent is for the host that was named."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """See `urllib.request.HTTPRedirectHandler`: none."""
