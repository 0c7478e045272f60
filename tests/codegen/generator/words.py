"""What generated programs talk about."""

from __future__ import annotations

OBJECTS = ("car", "boat", "person", "buoy", "bottle", "net", "dog", "chair", "sign", "bag")
PROPERTIES = ("red", "blue", "open", "broken", "floating", "metal", "empty")
QUESTIONS = (
    "What is this?",
    "What color is this?",
    "What material is this made of?",
    "Is it moving?",
    "How many are there?",
    "Who owns this?",
)
YES_NO = ("Is it open?", "Is this dangerous?", "Is it in the water?")
FACTS = ("What is it used for?", "How heavy is it?", "Is it rare?", "What does it cost?")
OPTIONS = (
    ("red", "blue", "green"),
    ("plastic", "metal"),
    ("small", "large", "huge"),
    ("left", "right"),
)
LABELS = ("near", "far", "seen", "extra", "none", "kept")
ATTRIBUTES = ("horizontal_center", "vertical_center", "width", "height", "left", "lower", "right", "upper")
"""of an ImagePatch; without a question"""
