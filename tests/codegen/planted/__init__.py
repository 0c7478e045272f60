"""Miscompilations planted on purpose: what the verifier and the generated programs together have to notice."""

from __future__ import annotations

from . import ahead, control, names, order
from .kinds import PLANTED, Planted

__all__ = ["PLANTED", "Planted", "ahead", "control", "names", "order"]
