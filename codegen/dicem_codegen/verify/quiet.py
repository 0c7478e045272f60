"""Reading programs without the warnings that CPython has about them: those are for their authors."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def parsed(source: str) -> ast.Module:
    """:raises SyntaxError: it does not parse"""
    with quiet():
        return ast.parse(source)
