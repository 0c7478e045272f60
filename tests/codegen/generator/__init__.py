"""Random programs such as people and language models write, for the compiler's property tests."""

from __future__ import annotations

from .program import Generated, generate
from .rows import FORMS, ROWS, TABLE

__all__ = ["FORMS", "ROWS", "TABLE", "Generated", "generate"]
