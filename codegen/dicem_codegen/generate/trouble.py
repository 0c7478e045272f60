"""What went wrong with a request to a model endpoint: in one line, and whether to try again."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from .config import EndpointConfig
from .errors import EndpointError

AGAIN: Final = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which a request is repeated."""
NO_SCHEMA: Final = frozenset({400, 422})
"""What endpoints answer to a `response_format` that they do not have."""
MAX_WAIT_S: Final = 60.0
"""An endpoint that asks for a longer pause is not waited for."""
_KEY_LIKE: Final = re.compile(r"\b(sk|pk|key|gsk|hf)[-_][\w*.-]{4,}")
_LENGTH: Final = 200
_PARAMETER_HINTS: Final = {
    "max_tokens": "Set max_tokens_as: max_completion_tokens in the endpoint's config.",
    "temperature": "Set temperature: null in the endpoint's config.",
    "seed": "Set seed: null in the endpoint's config.",
    "response_format": "Set format: text in the endpoint's config.",
}


class OutOfBounds(Exception):
    """What came back is too much, or nothing that is read here; `str` says what."""


class NotAStream(Exception):
    """The endpoint answered with something else than a stream of events; `start` is how it begins."""

    def __init__(self, content_type: str, start: bytes) -> None:
        self.content_type, self.start = content_type, start.decode("utf-8", "replace")
        super().__init__(content_type)


@dataclass(frozen=True)
class Trouble:
    """A request that gave no reply."""

    error: EndpointError
    again: bool = False
    """whether the same request may do better"""
    after_s: float | None = None
    """what the endpoint says to wait"""
    billed: bool = False
    """whether the endpoint may charge for it"""
    no_schema: bool = False
    """whether it may be the schema that the endpoint refuses"""


class Secret:
    """Takes a key out of what is shown or stored; an endpoint may repeat it."""

    def __init__(self, key: str | None) -> None:
        self._key = key if key is not None and len(key) >= 8 else None

    def hide(self, text: str) -> str:
        """`text` without the key."""
        return text if self._key is None else text.replace(self._key, "[key]")

    def line(self, text: object) -> str:
        """What a stranger said, short, on one line, without anything that looks like a key."""
        plain = " ".join("".join(c if c.isprintable() else " " for c in self.hide(str(text))[:2000]).split())
        plain = _KEY_LIKE.sub("[key]", plain)
        return plain if len(plain) <= _LENGTH else plain[: _LENGTH - 1] + "…"


def trouble_of(cause: Exception, config: EndpointConfig, secret: Secret, now: float) -> Trouble:
    """What became of a request that failed.

    :param now: UTC seconds, for a `Retry-After` that is a date
    """
    import openai

    where = f"the model endpoint {config.base_url}"
    match cause:
        case openai.APIStatusError():
            return _status(cause, config, secret, now)
        case openai.APITimeoutError() | TimeoutError():
            said = f"at most {config.timeout_s:g} s of silence, {config.reply_timeout_s:g} s for a reply"
            todo = "Is it overloaded? timeout_s and reply_timeout_s in its config say how long it may take."
            error = EndpointError(f"{where} did not answer in time", expected=said, todo=todo)
            return Trouble(error, again=True, billed=True)
        case openai.APIConnectionError():
            got = secret.line(cause.__cause__ or cause)
            todo = "Is it running, and is base_url in its config right?"
            return Trouble(EndpointError(f"{where} cannot be reached, or hung up", got=got, todo=todo), again=True)
        case openai.APIError():
            got = secret.line(cause.message)
            return Trouble(EndpointError(f"{where} broke off with an error", got=got), again=True, billed=True)
        case NotAStream():
            got = f"{cause.content_type or 'no content type'}: {secret.line(cause.start)}"
            todo = "Is base_url right? It ends in /v1, as a rule."
            return Trouble(EndpointError(f"{where} sent no reply that can be read", expected="text/event-stream",
                                         got=got, todo=todo))  # fmt: skip
        case OutOfBounds():
            return Trouble(EndpointError(f"{where} sent what is not read", got=str(cause)), billed=True)
        case ValueError() | RecursionError():
            got = secret.line(cause)
            return Trouble(EndpointError(f"{where} sent events that are no JSON", got=got), again=True, billed=True)
    got = f"{type(cause).__name__}: {secret.line(cause)}"
    return Trouble(EndpointError(f"{where} cannot be used", got=got), billed=True)


def broke_off(config: EndpointConfig) -> Trouble:
    """A reply that ends without its end."""
    error = EndpointError(f"the model endpoint {config.base_url} broke off in the middle of a reply")
    return Trouble(error, again=True, billed=True)


def _status(cause: Any, config: EndpointConfig, secret: Secret, now: float) -> Trouble:
    status: int = cause.status_code
    where, got = f"the model endpoint {config.base_url}", secret.line(_message(cause))
    if 300 <= status < 400:
        to = urlsplit(secret.line(cause.response.headers.get("location", ""))).netloc or "somewhere else"
        todo = "Redirects are not followed: set base_url to where it really is."
        return Trouble(EndpointError(f"{where} redirects to {to} ({status})", todo=todo))
    if status in (401, 403):
        todo = f"Check the key in {config.api_key_env}." if config.api_key_env else "Set api_key_env in its config."
        return Trouble(EndpointError(f"{where} refused us ({status})", got=got, todo=todo))
    if status == 404:
        todo = "Check base_url (it ends in /v1, as a rule) and model."
        what = f"{where} has no model {config.model}, or is not there (404)"
        return Trouble(EndpointError(what, got=got, todo=todo))
    if status == 429 and cause.code == "insufficient_quota":
        return Trouble(EndpointError(f"the account at {config.base_url} has no quota left", got=got))
    after = _retry_after(cause.response.headers, now)
    again = status in AGAIN or status >= 500
    if again and after is not None and after > MAX_WAIT_S:
        error = EndpointError(f"{where} is busy ({status}) and asks to wait {after:.0f} s", got=got, todo="Ask later.")
        return Trouble(error)
    if again:
        what = "is busy" if status == 429 else "has failed"
        return Trouble(EndpointError(f"{where} {what} ({status})", got=got), True, after)
    parameter = cause.param.partition(".")[0] if isinstance(cause.param, str) else ""
    error = EndpointError(f"{where} refused the request ({status})", got=got, todo=_PARAMETER_HINTS.get(parameter, ""))
    return Trouble(error, no_schema=status in NO_SCHEMA and parameter in ("", "response_format"))


def _message(cause: Any) -> str:
    """What an error's body says; OpenAI, vLLM, Ollama and others nest it differently."""
    body = cause.body
    for key in ("error", "message", "detail"):
        if isinstance(body, dict) and key in body:
            body = body[key]
    if isinstance(body, str):
        return body
    return "" if body is None else json.dumps(body, default=str)[:1000]


def _retry_after(headers: Any, now: float) -> float | None:
    """Seconds that the endpoint asks to wait: `retry-after-ms`, or `Retry-After` as seconds or as a date."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / scale
        except ValueError:
            continue
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        return max(parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - now, 0.0)
    except (ValueError, TypeError, OverflowError):
        return None
