"""`llm`: answers from general knowledge, by a language model behind the endpoint that the config names.

Nothing of a stranger's is believed: replies are bounded in size and time, not compressed, and no redirect is followed.
What an endpoint says of itself (its address, its complaints) goes into the log, not to the vehicles.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from dicem_shared import catalog
from dicem_shared.errors import CallTimeout, ConfigError, DicemError, FunctionError, MissingExtra, Overloaded
from dicem_shared.ids import digest
from dicem_shared.implementations import Implementation, Work, each
from dicem_shared.types import ModelId

from ..functions_config import LlmConfig

log = logging.getLogger(__name__)

MAX_REPLY_BYTES = 2_000_000
FIRST_WAIT_S = 0.5
BUSY_RETRY_S = 2.0
"""when to come back to an endpoint that is busy and does not say for how long"""
LONGEST_RETRY_S = 300.0
AGAIN = frozenset({408, 425, 500, 502, 503, 504})
"""Statuses after which the same request may do better."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class _Again(Exception):
    """A request that gave no reply, and may give one the next time."""


class Llm(Implementation):
    """One request a prompt, `max_batch` of them at once.  `sleep` waits so many seconds between two tries.

    The model's hash stands for what is asked of the endpoint (address, name, settings): its weights are not seen here.

    :raises ConfigError: the key is not in the environment
    :raises MissingExtra: the HTTP client is not installed
    """

    reentrant = True

    def __init__(self, config: LlmConfig, *, sleep: Callable[[float], None] = time.sleep) -> None:
        try:
            import httpx
        except ImportError:
            raise MissingExtra("the HTTP client httpx", "cloud") from None
        self._httpx, self._config, self._sleep = httpx, config, sleep
        self._key = _key(config)
        self._client = httpx.Client(
            timeout=config.timeout_s,
            follow_redirects=False,
            trust_env=urlsplit(config.base_url).hostname not in LOOPBACK,
        )
        spec = catalog.llm
        self.spec = replace(spec, batch=replace(spec.batch, max_size=config.max_batch))
        said = digest("llm", config.model_dump(mode="json", exclude={"api_key_env", "price_usd_per_hour"}))
        self.model = ModelId(function="llm", name=config.model, sha256=said)
        self._pool = ThreadPoolExecutor(config.max_batch, thread_name_prefix="llm")

    def run(self, batch: Sequence[Work]) -> list[Any | Exception]:
        """See `Implementation.run`."""
        asked = [self._pool.submit(self._answer, work.params["prompt"]) for work in batch]
        waiting = iter(asked)
        return each(batch, lambda _work: {"output": next(waiting).result()})

    def _answer(self, prompt: str) -> str:
        """What the model says.

        :raises Overloaded: the endpoint is busy, and says so
        :raises CallTimeout: it does not answer in time
        :raises FunctionError: it cannot be reached, refuses us, or answers what cannot be read
        """
        for left in range(self._config.retries, -1, -1):
            try:
                return self._text(self._post(self._request(prompt)))
            except _Again as error:
                if not left:
                    raise FunctionError(
                        str(error), got=f"the same {self._config.retries + 1} times", todo="The cloud's log says more."
                    ) from None
                self._sleep(FIRST_WAIT_S * 2.0 ** (self._config.retries - left))
        raise AssertionError("the last try returns or raises")

    def _request(self, prompt: str) -> dict[str, Any]:
        config = self._config
        told = [{"role": "system", "content": config.system}] if config.system else []
        request: dict[str, Any] = {
            "model": config.model,
            "messages": [*told, {"role": "user", "content": prompt}],
            config.max_tokens_as: config.max_tokens,
        }
        if config.temperature is not None:
            request["temperature"] = config.temperature
        if config.seed is not None:
            request["seed"] = config.seed
        return request

    def _post(self, request: dict[str, Any]) -> bytes:
        """The body of a reply that is a success."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "dicem"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        url = f"{self._config.base_url}/chat/completions"
        try:
            with self._client.stream("POST", url, json=request, headers=headers) as response:
                body = self._body(response)
                self._check(response, body)
                return body
        except self._httpx.TimeoutException:
            raise _late(self._config) from None
        except self._httpx.HTTPError as error:
            log.warning("the language model at %s cannot be reached: %s", self._config.base_url, error)
            raise _Again("the language model's endpoint cannot be reached, or hung up") from None

    def _body(self, response: Any) -> bytes:
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise FunctionError("the language model's endpoint compressed its reply, which was not asked for")
        ends, body = time.monotonic() + self._config.timeout_s, bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > MAX_REPLY_BYTES:
                raise FunctionError(
                    "the language model's reply is too long", expected=f"at most {MAX_REPLY_BYTES} bytes"
                )
            if time.monotonic() > ends:
                raise _late(self._config)
        return bytes(body)

    def _check(self, response: Any, body: bytes) -> None:
        """:raises DicemError, _Again: it is no success"""
        status = response.status_code
        if 200 <= status < 300:
            return
        said = self._hidden(body[:300].decode("utf-8", "replace"))
        log.warning("the language model at %s answered %s: %s", self._config.base_url, status, said)
        if status == 429:
            raise Overloaded("the language model is busy", retry_after_s=_retry_after(response.headers))
        if status in AGAIN:
            raise _Again(f"the language model's endpoint has failed ({status})")
        todo = "The cloud's operator must look at `functions.llm` in its config, and at its log."
        raise FunctionError(f"the language model's endpoint refused the request ({status})", todo=todo)

    def _text(self, body: bytes) -> str:
        try:
            choice = json.loads(body)["choices"][0]["message"]
            text = choice["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            said = self._hidden(body[:300].decode("utf-8", "replace"))
            log.warning("the language model at %s answered what cannot be read: %s", self._config.base_url, said)
            raise FunctionError("the language model's endpoint answered what cannot be read") from None
        if not isinstance(text, str) or not text.strip():
            raise FunctionError("the language model gave no answer", todo="Ask another way.")
        return self._hidden(text.strip()).encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is no text

    def _hidden(self, text: str) -> str:
        """Without the key, which an endpoint may repeat."""
        return text if self._key is None else text.replace(self._key, "[key]")


def _late(config: LlmConfig) -> DicemError:
    return CallTimeout("the language model did not answer in time", expected=f"at most {config.timeout_s:g} s")


def _key(config: LlmConfig) -> str | None:
    """The key from the environment.

    :raises ConfigError: the variable is not set, or holds what no header can carry
    """
    name = config.api_key_env
    if name is None:
        return None
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(
            f"the environment variable {name} is not set", expected="the key of the language model's endpoint",
            todo=f"Set {name}, or take functions.llm.api_key_env out of the config.",
        )  # fmt: skip
    if not (value.isascii() and value.isprintable()):
        raise ConfigError(f"the key in {name} cannot be sent", expected="printable ASCII on one line")
    return value


def _retry_after(headers: Any) -> float:
    """Seconds that the endpoint asks to wait; a date is as good as nothing said."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return BUSY_RETRY_S
    return min(max(seconds, 0.1), LONGEST_RETRY_S) if math.isfinite(seconds) else BUSY_RETRY_S
