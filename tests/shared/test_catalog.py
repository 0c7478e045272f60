"""The functions that dicem knows, in the shapes of the published programs."""

from __future__ import annotations

import math
from typing import Any

import jsonschema
import pytest

from dicem_shared.catalog import SPECS, catalog
from dicem_shared.errors import InvalidCall
from dicem_shared.topics import requests

HANDLE = {"blob": "ab" * 32, "box": [0, 0, 3, 4]}
BOX = {"x": 1, "y": 2, "width": 3, "height": 4, "score": 0.5}

GOOD: dict[str, tuple[dict[str, Any], Any]] = {
    "yolov8": ({"image": HANDLE, "classes": ["litter"]}, {"objects": [{"class": "bottle", **BOX}]}),
    "glip": ({"image": HANDLE, "object_name": "bottle"}, [BOX]),
    "blip2": ({"image": HANDLE, "query": "What is this?"}, {"output": "a bottle"}),
    "blip": ({"image": HANDLE, "question": "What is this?"}, {"answer": "a bottle"}),
    "xvlm": (
        {"image": HANDLE, "object_name": "bottle", "property": "floating"},
        {"result": True, "score": 0.9, "scores": []},
    ),
    "depth": ({"image": HANDLE}, {"depth": 4.5}),
    "llm": ({"prompt": "Is PET a plastic?"}, {"output": "yes"}),
}


def test_the_catalog_is_the_documented_set() -> None:
    assert [spec.name for spec in catalog()] == sorted(GOOD)
    assert {spec.name for spec in SPECS} == set(GOOD)
    assert catalog().get("blip").alias_of == "blip2"


@pytest.mark.parametrize("name", GOOD)
def test_calls_and_results_have_the_documented_shape(name: str) -> None:
    spec, (params, result) = catalog().get(name), GOOD[name]
    assert set(spec.check_params(params)) == set(params)
    assert spec.check_result(result) == result
    jsonschema.validate(result, spec.result_schema)
    assert spec.image_parameters == (("image",) if "image" in params else ())
    assert spec.documentation
    assert requests(name)  # its name can stand in a topic


@pytest.mark.parametrize("name", GOOD)
def test_what_a_schema_asks_for_is_asked_for(name: str) -> None:
    spec, (params, _) = catalog().get(name), GOOD[name]
    for needed in spec.parameters_schema["required"]:
        with pytest.raises(InvalidCall, match=f"{name}: {needed}: Field required"):
            spec.check_params({key: value for key, value in params.items() if key != needed})


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("yolov8", {"objects": [{"class": "bottle", **BOX, "score": 1.1}]}),
        ("yolov8", {"objects": [{"class": "bottle", **BOX, "x": -1}]}),
        ("yolov8", [BOX]),
        ("glip", {"objects": [BOX]}),
        ("glip", [{**BOX, "width": 1.5}]),
        ("blip2", {"answer": "a bottle"}),
        ("blip", {"output": "a bottle"}),
        ("depth", {"depth": -1.0}),
        ("depth", {"depth": math.nan}),
        ("depth", {"depth": math.inf}),
        ("xvlm", {"result": True, "score": math.nan, "scores": []}),
        ("llm", "yes"),
    ],
)
def test_results_that_break_their_promise(name: str, result: Any) -> None:
    with pytest.raises(InvalidCall, match=f"{name} gave a result that its schema does not allow"):
        catalog().get(name).check_result(result)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("yolov8", {"image": HANDLE, "classes": []}),
        ("yolov8", {"image": HANDLE, "classes": ["x"] * 65}),
        ("blip2", {"image": HANDLE, "query": "x" * 2001}),
        ("blip2", {"image": HANDLE, "question": "x"}),
        ("depth", {"image": HANDLE, "picture": HANDLE}),
        ("llm", {"prompt": 5}),
    ],
)
def test_calls_that_do_not_fit(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(InvalidCall, match=f"^{name}: "):
        catalog().get(name).check_params(params)


def test_only_what_both_sites_do_alike_may_be_placed_freely() -> None:
    free = {spec.name for spec in SPECS if spec.equivalent}
    assert free == {"yolov8", "depth"}
    assert all(set(spec.sites) == {"edge", "cloud"} for spec in SPECS if spec.equivalent)
