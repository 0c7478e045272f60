"""Results of any function, made from its schema, as far as pydantic writes such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from dicem_shared.errors import ConfigError

from .chance import Dice, Traits

Schema = dict[str, Any]
MAX_DEPTH: Final = 12
SHALLOW: Final = MAX_DEPTH // 2
"""Deeper than that, lists stay short and what may be left out is."""
WORDS: Final = ("", "no", "unknown", "2", "red", "a small boat", "bottle", "yes")
_NOTHING_SAID: Final = frozenset({"title", "description", "default"})


def from_schema(schema: Schema, dice: Dice, traits: Traits, image: tuple[int, int]) -> Any:
    """A value that fits a JSON Schema; boxes (`x`, `y`, `width`, `height`) lie within an image of that size.

    :raises ConfigError: it holds what we do not know
    """
    return _Maker(schema.get("$defs", {}), dice, traits, image).make(schema, 0)


def box_within(dice: Dice, width: int, height: int) -> dict[str, Any]:
    """A box in an image of that size: `x`, `y`, `width` and `height` in pixels."""
    wide, high = (dice.between(max(side // 8, 1), max(side * 3 // 4, 1)) for side in (width, height))
    left, top = dice.between(0, max(width - wide, 0)), dice.between(0, max(height - high, 0))
    return {"x": left, "y": top, "width": min(wide, width), "height": min(high, height)}


class _Maker:
    def __init__(self, definitions: Schema, dice: Dice, traits: Traits, image: tuple[int, int]) -> None:
        self._definitions, self._dice, self._traits, self._image = definitions, dice, traits, image

    def make(self, part: Schema, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ConfigError("a result schema that holds itself without end")
        if "$ref" in part:
            return self.make(self._definitions[part["$ref"].rpartition("/")[2]], depth + 1)
        if "const" in part:
            return part["const"]
        if "enum" in part:
            return self._dice.pick(part["enum"])
        for choice in ("anyOf", "oneOf", "allOf"):
            if choice in part:
                # Deep down, the last of several: pydantic writes `null` there, which ends what holds itself.
                return self.make(part[choice][-1] if depth > SHALLOW else self._dice.pick(part[choice]), depth + 1)
        kind = part.get("type")
        return self._of_type(self._dice.pick(kind) if isinstance(kind, list) else kind, part, depth)

    def _of_type(self, kind: Any, part: Schema, depth: int) -> Any:
        match kind:
            case "null":
                return None
            case "boolean":
                return self._dice.pick((False, True))
            case "integer" | "number":
                return _number(part, self._dice, whole=kind == "integer")
            case "string":
                return _text(part, self._dice, self._traits)
            case "array":
                return self._array(part, depth)
            case "object":
                return self._object(part, depth)
            case None if not part.keys() - _NOTHING_SAID:
                return self._dice.pick((None, 1, "yes"))
        raise ConfigError("a result schema that no value can be made from", got=str(part)[:200])

    def _array(self, part: Schema, depth: int) -> list[Any]:
        fixed: Sequence[Schema] = part.get("prefixItems", ())
        if fixed:
            return [self.make(item, depth + 1) for item in fixed]
        least = part.get("minItems", 0)
        most = min(part.get("maxItems", least + self._traits.most_boxes), least + self._traits.most_boxes)
        count = least if depth > SHALLOW else self._dice.between(least, most)
        return [self.make(part.get("items", {}), depth + 1) for _ in range(count)]

    def _object(self, part: Schema, depth: int) -> dict[str, Any]:
        required = set(part.get("required", ()))
        made = {
            name: self.make(each, depth + 1)
            for name, each in part.get("properties", {}).items()
            if name in required or (depth <= SHALLOW and self._dice.between(0, 3))
        }
        extra = part.get("additionalProperties")
        if isinstance(extra, dict):
            made |= {key: self.make(extra, depth + 1) for key in ("a", "b")[: self._dice.between(0, 2)]}
        if {"x", "y", "width", "height"} <= made.keys():
            made |= box_within(self._dice, *self._image)
        return made


def _number(part: Schema, dice: Dice, *, whole: bool) -> Any:
    least = part.get("minimum", part.get("exclusiveMinimum"))
    most = part.get("maximum", part.get("exclusiveMaximum"))
    if least is None:
        least = 0 if most is None else most - 5
    if most is None:
        most = least + 5
    if whole:
        first = int(least) + (1 if part.get("exclusiveMinimum") == least else 0)
        last = int(most) - (1 if part.get("exclusiveMaximum") == most else 0)
        step = int(part.get("multipleOf", 1))
        return -(-first // step) * step if step > 1 else dice.between(first, max(min(last, first + 5), first))
    quarter = dice.between(1, 3) if "exclusiveMinimum" in part or "exclusiveMaximum" in part else dice.between(0, 4)
    return least + (most - least) * quarter / 4


def _text(part: Schema, dice: Dice, traits: Traits) -> str:
    match part.get("format"):
        case "date-time":
            return dice.pick(("2023-11-14T22:13:20Z", "2024-02-29T00:00:00Z"))
        case "date":
            return dice.pick(("2023-11-14", "2024-02-29"))
        case "uuid":
            return f"00000000-0000-4000-8000-{dice.between(0, 9):012d}"
    if "pattern" in part:
        raise ConfigError("a result schema with a pattern for text", got=str(part["pattern"])[:100])
    text = dice.pick(traits.some(WORDS))
    return text.ljust(part.get("minLength", 0), "x")[: part.get("maxLength", 1000)]
