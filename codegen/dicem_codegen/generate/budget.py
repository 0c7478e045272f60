"""What a question may take: tokens and dollars, looked at before each request and counted after it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from .config import EndpointConfig
from .errors import BudgetExceeded
from .types import Usage

BYTES_A_TOKEN: Final = 2.5
"""Fewer than tokenizers need for English (4) and code (3), so that estimates are rather too high."""
TOKENS_A_MESSAGE: Final = 8
"""for its role and its ends"""


def estimated_tokens(text: str) -> int:
    """How many tokens a text has at most, as a rule."""
    return math.ceil(len(text.encode("utf-8", "replace")) / BYTES_A_TOKEN)


def estimated_prompt(texts: Iterable[str]) -> int:
    """The same of the messages of a request."""
    return sum(estimated_tokens(text) + TOKENS_A_MESSAGE for text in texts)


class Budget:
    """The account of one question."""

    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self.spent = Usage()

    def usage(self, prompt_tokens: int, completion_tokens: int, seconds: float) -> Usage:
        """Tokens with their price."""
        config = self._config
        usd = (
            prompt_tokens * config.usd_per_million_prompt_tokens
            + completion_tokens * config.usd_per_million_completion_tokens
        ) / 1e6
        return Usage(prompt_tokens, completion_tokens, usd, seconds)

    def allow(self, prompt_tokens: int) -> None:
        """Before a request: even if it takes all that it may, the question stays within its budget.

        :raises BudgetExceeded: it would not
        """
        config, spent = self._config, self.spent
        request = self.usage(prompt_tokens, config.max_tokens, 0.0)
        total = spent + request
        tokens = total.prompt_tokens + total.completion_tokens
        if tokens > config.budget_tokens:
            used = spent.prompt_tokens + spent.completion_tokens
            raise BudgetExceeded(
                "the question's token budget does not allow another request",
                expected=f"at most {config.budget_tokens:,} tokens",
                got=f"{used:,} spent and up to {tokens - used:,} for the next",
                todo="Raise budget_tokens, or lower max_tokens, in the endpoint's config.",
            )
        if config.budget_usd is not None and total.usd > config.budget_usd:
            raise BudgetExceeded(
                "the question's money budget does not allow another request",
                expected=f"at most {config.budget_usd:g} USD",
                got=f"{spent.usd:.4f} spent and up to {request.usd:.4f} for the next",
                todo="Raise budget_usd, or lower max_tokens, in the endpoint's config.",
            )

    def spend(self, usage: Usage) -> str:
        """After a request; says in one line where it took more than the budget allows, else nothing.

        What was paid for is used all the same: it is the next request that is refused.
        """
        self.spent += usage
        config, spent = self._config, self.spent
        tokens = spent.prompt_tokens + spent.completion_tokens
        if tokens > config.budget_tokens:
            return f"the question has taken {tokens:,} tokens of {config.budget_tokens:,}"
        if config.budget_usd is not None and spent.usd > config.budget_usd:
            return f"the question has cost {spent.usd:.4f} USD of {config.budget_usd:g}"
        return ""
