"""Miscompilations planted on purpose: what the verifier and the generated programs together have to notice."""

from __future__ import annotations

from . import control, names, order
from .kinds import PLANTED, Planted

__all__ = ["PLANTED", "Planted", "control", "names", "order"]
