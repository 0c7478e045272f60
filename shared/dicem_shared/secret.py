"""Secrets come from environment variables that a config names; they never stand in it."""

from __future__ import annotations

import os

from .errors import ConfigError


def from_environment(variable: str, *, what: str, setting: str) -> str:
    """The value of a variable.

    :param what: what it should hold, and `setting` which key of the config names it, for the message
    :raises ConfigError: it is not set
    """
    value = os.environ.get(variable)
    if not value:
        raise ConfigError(
            f"the environment variable {variable} is not set",
            expected=what,
            todo=f"Set {variable}, or take {setting} out of the config.",
        )
    return value
