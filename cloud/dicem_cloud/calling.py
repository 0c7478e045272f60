"""A cloud's HTTP API from the caller's side, for `dicem call`: every failure is one line that says what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from dicem_shared.errors import (
    CallTimeout,
    ConfigError,
    DicemError,
    FunctionError,
    InvalidCall,
    MessageError,
    MissingExtra,
    SiteUnavailable,
)
from dicem_shared.topics import check_id

from .http.settings import LOOPBACK

if TYPE_CHECKING:
    import httpx

URL_ENV: Final = "DICEM_CLOUD_URL"
TOKEN_ENV: Final = "DICEM_TOKEN"
DEFAULT_URL: Final = "http://127.0.0.1:8080"
MAX_REPLY: Final = 16_000_000
MAX_SHOWN: Final = 500


class NoCloud(SiteUnavailable):
    """Nothing at the address answers as a cloud does."""


class Refused(FunctionError):
    """The cloud said no; `status` is HTTP's."""

    def __init__(self, what: str, *, status: int, expected: str = "", got: str = "", todo: str = "") -> None:
        self.status = status
        super().__init__(what, expected=expected, got=got, todo=todo)


class RemoteCloud:
    """One cloud.  A context manager."""

    def __init__(self, url: str | None = None, *, timeout_s: float = 60.0) -> None:
        """`url`: left out, `$DICEM_CLOUD_URL`, or this machine; the token is `$DICEM_TOKEN`, if it is set.

        :raises ConfigError: no address, or a token that cannot be sent
        :raises MissingExtra: httpx is not installed
        """
        try:
            import httpx
        except ImportError:
            raise MissingExtra("httpx", "cloud") from None
        self.url = _checked(url or os.environ.get(URL_ENV) or DEFAULT_URL)
        self._timeout_s = timeout_s
        self._errors = httpx
        self._client = httpx.Client(
            headers=_token(),
            timeout=httpx.Timeout(timeout_s, connect=min(10.0, timeout_s)),
            follow_redirects=False,  # the token is for the host that was named
            trust_env=urlsplit(self.url).hostname not in LOOPBACK,  # no proxy for this very machine
        )

    def __enter__(self) -> RemoteCloud:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._client.close()

    def functions(self) -> list[dict[str, Any]]:
        """Every function that it serves, as a resource.

        :raises DicemError: why not
        """
        items = self._asked("GET", "/v1/functions").get("items")
        if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
            raise self._no_cloud("it sent no list of functions")
        return items

    def function(self, name: str) -> dict[str, Any]:
        """One function, as a resource.

        :raises DicemError: why not
        """
        return self._asked("GET", f"/v1/functions/{_named(name)}")

    def call(self, name: str, params: Mapping[str, Any], images: Mapping[str, bytes]) -> dict[str, Any]:
        """What a call gave: `result` and the rest of it.

        Images go as the files of a form, unless another parameter is more than text.

        :raises DicemError: why not
        """
        path = f"/v1/functions/{_named(name)}:call"
        if images and all(_is_text(value) for value in params.values()):
            files = {key: (key, data) for key, data in images.items()}
            return self._asked("POST", path, files=files, data=dict(params))
        import base64

        encoded = {key: base64.b64encode(data).decode() for key, data in images.items()}
        return self._asked("POST", path, json=dict(params) | encoded)

    def _asked(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        try:
            with self._client.stream(method, f"{self.url}{path}", **how) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > MAX_REPLY:
                        raise self._no_cloud(f"it sent more than {MAX_REPLY} bytes")
        except self._errors.ConnectTimeout:
            raise self._no_cloud("no connection in time") from None
        except self._errors.TimeoutException:
            raise CallTimeout(
                f"{self.url} gave no answer in {self._timeout_s:g} s", todo="Try again, or allow more by --timeout."
            ) from None
        except self._errors.ConnectError as cause:
            raise self._no_cloud(_shown(cause)) from None
        except self._errors.HTTPError as cause:
            raise SiteUnavailable(f"the connection to {self.url} broke", got=_shown(cause)) from None
        return self._read(response, bytes(body))

    def _read(self, response: httpx.Response, body: bytes) -> dict[str, Any]:
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = None
        if response.is_success and isinstance(said, dict):
            return said
        raise self._refusal(response.status_code, said)

    def _refusal(self, status: int, said: Any) -> DicemError:
        parts = said.get("error") if isinstance(said, dict) else None
        if status == 401:
            had = bool(os.environ.get(TOKEN_ENV, "").strip())
            what = (
                f"the cloud at {self.url} does not know this token" if had else f"the cloud at {self.url} wants a token"
            )
            return Refused(what, status=status, todo=f"Put a token of its config into {TOKEN_ENV}.")
        if not isinstance(parts, dict) or not isinstance(parts.get("what"), str):
            return self._no_cloud(f"HTTP status {status}")
        texts = {key: clean(str(parts.get(key) or ""))[:MAX_SHOWN] for key in ("what", "expected", "got", "todo")}
        return Refused(status=status, **texts)

    def _no_cloud(self, got: str) -> NoCloud:
        return NoCloud(
            f"no dicem cloud answers at {self.url}",
            got=got,
            todo=f"Start one (dicem cloud --config cloud-demo), or name another by --url or {URL_ENV}.",
        )


def clean(text: str) -> str:
    """Text that does nothing to a terminal but be read."""
    return "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)


def _checked(url: str) -> str:
    """:raises ConfigError: no address of a cloud"""
    shown = clean(url)[:100]
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 80) and not parts.query
    except ValueError:
        usable = False
    if not usable or not url.isprintable():
        raise ConfigError(f"{shown!r} is no address of a cloud", expected=f"such as {DEFAULT_URL}")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("the address holds a user or a password", todo=f"Put the token into {TOKEN_ENV}.")
    return url.rstrip("/").removesuffix("/v1/functions")


def _named(function: str) -> str:
    """:raises InvalidCall: no function can have that name"""
    try:
        return check_id(function, "the function's name")
    except MessageError as cause:
        raise InvalidCall(cause.what, expected=cause.expected, got=clean(cause.got)) from None


def _token() -> dict[str, str]:
    """:raises ConfigError: it cannot be sent"""
    token = os.environ.get(TOKEN_ENV, "").strip()
    if token and not (token.isascii() and token.isprintable()):
        raise ConfigError(f"the token in {TOKEN_ENV} cannot be sent", expected="printable ASCII on one line")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
    )


def _shown(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
