"""The questions that the demo BLIP-2 is taught, with the truth as answers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from dicem_simulators.scenes.objects import COLOURS, KINDS, MATERIAL
from dicem_simulators.scenes.render import Truth

WORD = r"\w+|[^\w\s]+"
PROMPT = "Question: {query} Answer:"

NAME = (
    "What is this?",
    "What is it?",
    "What is that?",
    "What is this object?",
    "What object is this?",
    "What is in the image?",
    "What is in this image?",
    "What is the object?",
    "What is floating in the water?",
    "What kind of object is this?",
    "Which object is this?",
    "What type of litter is this?",
    "What is the name of this object?",
    "What do you see?",
    "Answer briefly. What is this?",
    "Answer briefly. What object is this?",
)
MATERIALS = (
    "What material is this made of?",
    "What material is this?",
    "What material is it?",
    "What material is it made of?",
    "What is this made of?",
    "What is it made of?",
    "What is the material?",
    "What is the object made of?",
    "What is the material of this object?",
    "What material is the object made of?",
    "What material is this object made of?",
    "Which material is this?",
    "Which material is it made of?",
    "What is the material of the object?",
    "Answer briefly. What material is this made of?",
    "Answer briefly. What is this made of?",
    "Answer briefly. What material is this?",
)
_COLOUR = (
    "What colour is this?",
    "What colour is it?",
    "What is the colour?",
    "What is its colour?",
    "What colour is the object?",
    "What colour is this object?",
    "What is the colour of this object?",
    "What is the colour of the object?",
    "Which colour is this?",
    "Which colour is it?",
    "Answer briefly. What colour is this?",
)
COLOUR = _COLOUR + tuple(q.replace("colour", "color") for q in _COLOUR)

IS_KIND = ("Is this a {}?", "Is it a {}?", "Is this {}?", "Is the object a {}?", "Is there a {}?")
IS_MATERIAL = ("Is this made of {}?", "Is it made of {}?", "Is the object made of {}?")
IS_COLOUR = ("Is this {}?", "Is it {}?", "Is the object {}?", "Is this object {}?")

_MATERIAL_NAMES = sorted(set(MATERIAL.values()))


@dataclass(frozen=True)
class Asked:
    """A question of some type, and its right answer."""

    type: str
    question: str
    answer: str


def _yes_no(rng: np.random.Generator, type_: str, forms: tuple[str, ...], right: str, all_: list[str]) -> Asked:
    asked = right if rng.uniform() < 0.5 else str(rng.choice([a for a in all_ if a != right]))
    return Asked(type_, str(rng.choice(forms)).format(asked), "yes" if asked == right else "no")


def ask(rng: np.random.Generator, truth: Truth) -> list[Asked]:
    """Four questions about an object: its name, material and colour, and something to say yes or no to."""
    asked = [
        Asked("name", str(rng.choice(NAME)), truth.kind),
        Asked("material", str(rng.choice(MATERIALS)), truth.material),
        Asked("colour", str(rng.choice(COLOUR)), truth.colour),
    ]
    match int(rng.integers(3)):
        case 0:
            asked.append(_yes_no(rng, "is it a ...", IS_KIND, truth.kind, list(KINDS)))
        case 1:
            asked.append(_yes_no(rng, "is it made of ...", IS_MATERIAL, truth.material, _MATERIAL_NAMES))
        case _:
            asked.append(_yes_no(rng, "is it of the colour ...", IS_COLOUR, truth.colour, list(COLOURS)))
    return asked


def words() -> list[str]:
    """Every word of every question and answer, and some that a user might well add, in order."""
    texts = [PROMPT.format(query=q) for q in (*NAME, *MATERIALS, *COLOUR, *IS_KIND, *IS_MATERIAL, *IS_COLOUR)]
    texts += [*KINDS, *_MATERIAL_NAMES, *COLOURS, "yes no an does the have please one word in with and or litter"]
    seen = dict.fromkeys(w for text in texts for w in split(text.replace("{}", "")))
    return sorted(seen)


def split(text: str) -> list[str]:
    """Lower-case words and punctuation marks, as the tokenizer splits them."""
    return re.findall(WORD, text.lower())
