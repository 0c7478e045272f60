"""The language model: one request at a time, bounded in time, size, tries and money.

    endpoint = Endpoint(load_endpoint())
    reply = endpoint.ask(lambda form: [{"role": "user", "content": "..."}], Budget(endpoint.config))

A reply that holds no program (cut off, refused, empty) is a `Reply` with a `problem`: the model can mend that.  An
endpoint that cannot be used is an `EndpointError`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from dicem_shared.errors import DicemError, MissingExtra

from . import prompt_text
from .budget import Budget, estimated_prompt, estimated_tokens
from .config import EndpointConfig
from .errors import EndpointError
from .interrupt import run
from .trouble import MAX_WAIT_S, OutOfBounds, Secret, Trouble, broke_off, trouble_of
from .types import Usage

Form = Literal["schema", "text"]
"""How the model is asked to reply: JSON by a schema, or plain text with a fenced block."""
Message = dict[str, str]
"""`role` and `content`"""
Progress = Callable[[int], None]
"""Gets the number of tokens so far, roughly, whenever there are more; 0 when a request begins."""
Say = Callable[[str], None]
"""Gets one line about something that is not as it should be, but no reason to stop."""

MAX_CHARACTERS: Final = 200_000
"""of one reply: as many as a program may have"""
FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 20.0
MAX_TOKENS_REPORTED: Final = 10**9
_STOPPED: Final = {
    "length": "the reply was cut off at the limit of its length; write a shorter program and a shorter plan",
    "content_filter": "the endpoint's content filter stopped the reply",
    "tool_calls": "the reply calls a tool; there are none: write the program into the reply",
    "function_call": "the reply calls a tool; there are none: write the program into the reply",
}


@dataclass(frozen=True)
class Reply:
    """What the model wrote."""

    text: str
    usage: Usage
    """of all requests that it took"""
    problem: str = ""
    """why there is no whole reply: cut off, refused, empty"""
    form: Form = "schema"
    """how it was asked for"""


@dataclass
class _Heard:
    """A reply while it comes in."""

    texts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    characters: int = 0
    chunks: int = 0
    finish: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def take(self, chunk: Any) -> None:
        """One event.  The client does not check what is in it, so nothing of it is believed.

        :raises OutOfBounds: the reply is longer than any program
        """
        usage = getattr(chunk, "usage", None)
        self.prompt_tokens = _count(getattr(usage, "prompt_tokens", None), self.prompt_tokens)
        self.completion_tokens = _count(getattr(usage, "completion_tokens", None), self.completion_tokens)
        choices = getattr(chunk, "choices", None)
        if not isinstance(choices, list) or not choices:
            return
        delta, finish = getattr(choices[0], "delta", None), getattr(choices[0], "finish_reason", None)
        self.chunks += 1
        self.finish = finish if isinstance(finish, str) and finish else self.finish
        for name, kept in (("content", self.texts), ("refusal", self.refusals)):
            text = getattr(delta, name, None)
            if isinstance(text, str) and text:
                kept.append(text)
                self.characters += len(text)
        if self.characters > MAX_CHARACTERS:
            raise OutOfBounds(f"a reply of more than {MAX_CHARACTERS:,} characters")

    def problem(self) -> str:
        """Why this is no whole reply, if it is none."""
        if refusal := " ".join("".join(self.refusals).split()):
            return f"the model refused: {refusal[:300]}"
        if self.finish in _STOPPED:
            return _STOPPED[self.finish]
        return "" if "".join(self.texts).strip() else "the reply is empty"


def _count(reported: Any, before: int | None) -> int | None:
    """A number of tokens, if it is one."""
    fits = type(reported) is int and 0 < reported <= MAX_TOKENS_REPORTED
    return reported if fits else before


def _need_client() -> None:
    """:raises MissingExtra: the client is not installed"""
    try:
        from . import transport  # noqa: F401
    except ImportError as cause:
        raise MissingExtra(f"the client of model endpoints ({cause.name})", "codegen") from None


class Endpoint:
    """A language model behind an OpenAI-compatible API.  For one thread at a time, and not for coroutines.

    :param say: gets notes for people: a busy server, a format that the endpoint does not have
    :param progress: gets the number of tokens so far
    :param sleep: waits so many seconds between two tries
    :param chance: a number from 0 to 1, for jitter
    :raises ConfigError: the key is not in the environment
    :raises MissingExtra: the client is not installed
    """

    def __init__(
        self,
        config: EndpointConfig,
        *,
        say: Say = lambda _line: None,
        progress: Progress = lambda _tokens: None,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.form: Form = "text" if config.format == "text" else "schema"
        self._say, self._progress, self._sleep, self._chance, self._clock = say, progress, sleep, chance, clock
        self._utc = utc
        self._key = config.api_key()
        self._secret = Secret(self._key)
        _need_client()

    def plain_text(self, why: str) -> bool:
        """From now on ask for plain text; False where the config insists on the schema, or it is so already."""
        if self.config.format != "auto" or self.form == "text":
            return False
        self.form = "text"
        self._say(f"the model endpoint {why}: asked for plain text from now on")
        return True

    def ask(self, messages: Callable[[Form], Sequence[Message]], budget: Budget) -> Reply:
        """What the model replies to the messages, which may differ by how it is asked to reply.

        :raises BudgetExceeded: the question may not take so much
        :raises EndpointError: no reply, in spite of all tries
        """
        total, tries = Usage(), 0
        while True:
            given = list(messages(self.form))
            estimate = estimated_prompt(message["content"] for message in given)
            budget.allow(estimate)
            heard, began = _Heard(), self._clock()
            trouble = self._try(given, heard)
            usage = self._usage(budget, heard, trouble, estimate, self._clock() - began)
            total += usage
            if over := budget.spend(usage):
                self._say(over)
            if trouble is None:
                return Reply(self._text("".join(heard.texts)), total, self._text(heard.problem()), self.form)
            if trouble.no_schema and self.plain_text("does not take a JSON schema"):
                continue
            if not trouble.again or tries >= self.config.retries:
                raise self._final(trouble, tries)
            self._wait(trouble, tries)
            tries += 1

    def _try(self, messages: Sequence[Message], heard: _Heard) -> Trouble | None:
        """One request; what is wrong with it, if anything."""
        self._progress(0)
        try:
            run(self._listen(messages, heard))
        except DicemError:
            raise
        except Exception as cause:  # a stranger's bytes went through three libraries
            if not heard.finish or isinstance(cause, OutOfBounds):
                return trouble_of(cause, self.config, self._secret, self._utc())
        return None if heard.finish else broke_off(self.config)

    async def _listen(self, messages: Sequence[Message], heard: _Heard) -> None:
        from .transport import make_client

        async with asyncio.timeout(self.config.reply_timeout_s), make_client(self.config, self._key) as client:
            create: Any = client.chat.completions.create
            async with await create(**self._request(messages)) as stream:
                async for chunk in stream:
                    heard.take(chunk)
                    self._progress(heard.chunks)

    def _request(self, messages: Sequence[Message]) -> dict[str, Any]:
        config = self.config
        request: dict[str, Any] = {
            "model": config.model,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            config.max_tokens_as: config.max_tokens,
        }
        if config.temperature is not None:
            request["temperature"] = config.temperature
        if config.seed is not None:
            request["seed"] = config.seed
        if self.form == "schema":
            schema = {"name": "program", "strict": True, "schema": prompt_text.SCHEMA}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request

    def _text(self, text: str) -> str:
        """Without the key, and such that it can be written down: half a surrogate pair cannot."""
        return self._secret.hide(text).encode("utf-8", "replace").decode("utf-8")

    def _usage(self, budget: Budget, heard: _Heard, trouble: Trouble | None, estimate: int, seconds: float) -> Usage:
        """As the endpoint counts, else as estimated; nothing for a request that nobody charges for."""
        if trouble is not None and not trouble.billed and not heard.chunks:
            return Usage(seconds=seconds)
        written = estimated_tokens("".join(heard.texts)) if heard.completion_tokens is None else heard.completion_tokens
        return budget.usage(heard.prompt_tokens or estimate, written, seconds)

    def _wait(self, trouble: Trouble, tries: int) -> None:
        if trouble.after_s is not None:
            seconds = min(trouble.after_s * (1 + 0.1 * self._chance()), MAX_WAIT_S)
        else:
            seconds = min(FIRST_WAIT_S * 2**tries, LONGEST_WAIT_S) * (0.5 + 0.5 * self._chance())
        left = self.config.retries - tries
        self._say(f"{trouble.error.what}; again in {seconds:.1f} s ({left} {'try' if left == 1 else 'tries'} left)")
        self._sleep(seconds)

    @staticmethod
    def _final(trouble: Trouble, tries: int) -> EndpointError:
        error = trouble.error
        if not tries:
            return error
        what = f"{error.what}, {tries + 1} times"
        return EndpointError(what, expected=error.expected, got=error.got, todo=error.todo)
