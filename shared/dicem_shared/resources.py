"""Where dicem's own files lie: configs, models and recordings of the checkout, or of the folder one works in."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import ConfigError


def roots() -> list[Path]:
    """The folders to look in, first one first: here, `$DICEM_HOME`, the checkout this package was installed from."""
    home = os.environ.get("DICEM_HOME")
    checkout = Path(__file__).resolve().parents[2]
    return [Path.cwd(), *([Path(home)] if home else []), checkout]


def find(given: str | Path, *places: str, suffix: str = "") -> Path | None:
    """The first that exists: the path as given, then each place of each root with the name, with and without suffix."""
    path = Path(given).expanduser()
    if os.path.exists(path):  # pathlib's own raises for a name that is too long or a folder that is closed
        return path
    if path.is_absolute():
        return None
    for root in roots():
        for place in ("", *places):
            for name in (path.name + suffix if place else str(path), str(path)):
                candidate = root / place / name
                if os.path.exists(candidate):
                    return candidate
    return None


def need(given: str | Path, what: str, *places: str, suffix: str = "") -> Path:
    """Like `find`.

    :raises ConfigError: nothing there; lists what there is
    """
    found = find(given, *places, suffix=suffix)
    if found is None:
        names = sorted(
            {f.name.removesuffix(suffix) for r in roots() for p in places for f in (r / p).glob(f"*{suffix}")}
        )
        have = f"there are: {', '.join(names)}" if names else ""
        raise ConfigError(f"{what} {given} is not there", got=have, todo="Give a path or one of the names.")
    return found
