"""What the functions of a made-up world give: results that fit the schema, from few values, so that guards go both
ways, ties happen, and lists are empty now and then.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from dicem_shared.catalog import SPECS
from dicem_shared.errors import ConfigError, InvalidCall
from dicem_shared.functions import FunctionSpec

from .chance import Dice, Traits
from .schemas import WORDS, Schema, box_within, from_schema

ATTEMPTS: Final = 20
MOST_HINTED_BOXES: Final = 12

DEPTHS: Final = (0.5, 1.0, 2.25, 2.25, 4.5, 5.0, 5.0, 6.5, 9.0, 12.0, 40.0)
SCORES: Final = (0.25, 0.5, 0.5, 0.75, 0.9)
CLASSES: Final = ("litter", "bottle", "can", "car", "person", "boat", "buoy", "bag")
YES_NO: Final = ("no", "No", "maybe", "yes", "Yes", " yes")
COUNTS: Final = ("", "none", "0", "1", "two", "about 4", "12")
COLOURS: Final = ("red", "blue", "red", "white")
MATERIALS: Final = ("plastic", "metal", "glass", "plastic")


def make_result(spec: FunctionSpec, params: dict[str, Any], occurrence: int, dice: Dice, traits: Traits) -> Any:
    """A result of `spec` for `params`, plain and valid.

    :raises ConfigError: none can be made from its schema
    """
    known = _MAKERS.get(spec.name)
    if known is not None and spec.result_schema == _SCHEMAS.get(spec.name, spec.result_schema):
        return spec.check_result(known(params, occurrence, dice, traits))
    wrong = ""
    for _ in range(ATTEMPTS):
        made = from_schema(spec.result_schema, dice, traits, _image_box(params))
        try:
            return spec.check_result(made)
        except InvalidCall as cause:  # what the schema's text does not say, such as a validator
            wrong = str(cause)
    raise ConfigError(f"function {spec.name}: no result can be made from its schema", got=wrong)


def _image_box(params: dict[str, Any]) -> tuple[int, int]:
    """Width and height of the first image among the parameters."""
    for value in params.values():
        if isinstance(value, dict) and value.keys() == {"blob", "box"}:
            return value["box"][2], value["box"][3]
    return 100, 100


# The functions of the catalog


def _boxes(params: dict[str, Any], dice: Dice, traits: Traits) -> list[dict[str, Any]]:
    """Boxes within the image, best first; often one within the one before, sometimes twins, seldom without area."""
    width, height = _image_box(params)
    boxes: list[dict[str, Any]] = []
    count, hint = dice.between(0, traits.most_boxes), traits.hinted(dice, float)
    if hint is not None and hint <= MOST_HINTED_BOXES:
        count = dice.choose((int(hint), int(hint) + 1))
    for _ in range(count):
        kind = dice.between(0, 9)
        if boxes and kind == 0:
            box = dict(boxes[-1])
        elif boxes and kind <= 3:
            outer = boxes[-1]
            box = box_within(dice, outer["width"], outer["height"])
            box["x"], box["y"] = box["x"] + outer["x"], box["y"] + outer["y"]
        else:
            box = box_within(dice, width, height)
        _put_at_hint(box, height, dice, traits)
        if kind == 9 and not dice.lean and dice.between(0, 3) == 0:
            box["width"] = 0
        boxes.append(box)
    scores = sorted((dice.pick(traits.some(SCORES)) for _ in boxes), reverse=True)
    return [box | {"score": score} for box, score in zip(boxes, scores, strict=True)]


def _put_at_hint(box: dict[str, Any], image_height: int, dice: Dice, traits: Traits) -> None:
    """Now and then move or shrink a box: its left, lower edge, width or height is then just what a guard asks for."""
    hint = traits.hinted(dice, float)
    if hint is None:
        return
    pixels, side = int(hint), dice.choose(("x", "y", "width", "height"))
    wanted = image_height - box["height"] - pixels if side == "y" else pixels  # programs count from below
    if (side in ("x", "y") or wanted > 0) and 0 <= wanted <= box[side]:
        box[side] = wanted


def _yolov8(params: dict[str, Any], _: int, dice: Dice, traits: Traits) -> Any:
    classes = params.get("classes") or traits.some(CLASSES)
    return {"objects": [{"class": dice.pick(classes), **box} for box in _boxes(params, dice, traits)]}


def _glip(params: dict[str, Any], _: int, dice: Dice, traits: Traits) -> Any:
    return _boxes(params, dice, traits)


def _depth(params: dict[str, Any], _: int, dice: Dice, traits: Traits) -> Any:
    hint = traits.hinted(dice, float)
    if hint is not None:
        return {"depth": max(hint + dice.choose((-0.5, 0.0, 0.5)), 0.0)}
    return {"depth": dice.pick(traits.some(DEPTHS))}


def _xvlm(params: dict[str, Any], _: int, dice: Dice, traits: Traits) -> Any:
    scores = [dice.pick(traits.some(SCORES)) for _ in params.get("options") or ()]
    score = max(scores, default=dice.pick(traits.some(SCORES)))
    return {"result": dice.pick((False, True)), "score": score, "scores": scores}


def _said(question: str, dice: Dice, traits: Traits) -> str:
    """An answer in words: one of the options where the question names some, else of the kind that it asks for."""
    offered = re.search(r"(?:Answer with one of|Guesses): (.+)", question)
    if offered and dice.between(0, 4):
        return dice.pick([option.strip() for option in offered.group(1).split(";")])
    hint = traits.hinted(dice, str)
    if hint is not None:
        return str(hint)
    asked = question.lower()
    if re.search(r"how many|number|count", asked):
        return dice.pick(traits.some(COUNTS))
    if re.search(r"\bcolou?r\b", asked):
        return dice.pick(traits.some(COLOURS))
    if "material" in asked:
        return dice.pick(traits.some(MATERIALS))
    if re.match(r"(is|are|was|does|do|did|has|have|can)\b", asked) or "yes or no" in asked:
        return dice.pick(traits.some(YES_NO))
    return dice.pick(traits.some(WORDS))


def _output(params: dict[str, Any], _: int, dice: Dice, traits: Traits) -> Any:
    return {"output": _said(params.get("query", params.get("prompt", "")), dice, traits)}


def _answer(params: dict[str, Any], _: int, dice: Dice, traits: Traits) -> Any:
    return {"answer": _said(params["question"], dice, traits)}


def _log_event(params: dict[str, Any], _: int, dice: Dice, traits: Traits) -> Any:
    return {"ok": dice.pick((False, True))}


def _counter(_: dict[str, Any], occurrence: int, dice: Dice, traits: Traits) -> Any:
    return {"n": occurrence + 1}


_MAKERS: Final[dict[str, Callable[[dict[str, Any], int, Dice, Traits], Any]]] = {
    "yolov8": _yolov8, "glip": _glip, "blip2": _output, "blip": _answer, "xvlm": _xvlm, "depth": _depth,
    "llm": _output, "log_event": _log_event, "counter": _counter,
}  # fmt: skip
_SCHEMAS: Final[dict[str, Schema]] = {spec.name: spec.result_schema for spec in SPECS}
"""Somebody else's function of the same name may give something else; then its own schema counts."""
