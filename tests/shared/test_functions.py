"""Functions: from a typed signature to schemas, and what is held against them."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import pytest
from pydantic import Field
from typing_extensions import TypedDict

from dicem_shared.errors import ConfigError, DicemError, InvalidCall, UnknownFunction
from dicem_shared.functions import Batch, FunctionSpec, ImageParam, Registry, function
from dicem_shared.types import Handle

HANDLE = {"blob": "ab" * 32, "box": [1, 2, 30, 40]}


class Found(TypedDict):
    name: str
    score: float


@function(sites=("edge", "cloud"), equivalent=True, batch=Batch(8, 0.02))
def sort_litter(image: ImageParam, names: list[str] | None = None, least: Annotated[float, Field(ge=0)] = 0.5) -> Found:
    """Sort the litter in the image.

    Two sentences of documentation.
    """


def test_a_signature_is_a_declaration() -> None:
    spec = sort_litter
    assert isinstance(spec, FunctionSpec)
    assert spec.name == "sort_litter"
    assert spec.documentation == "Sort the litter in the image.\n\nTwo sentences of documentation."
    assert (spec.sites, spec.equivalent, spec.pure, spec.idempotent) == (("edge", "cloud"), True, True, True)
    assert (spec.batch.max_size, spec.batch.max_wait_s) == (8, 0.02)
    assert spec.image_parameters == ("image",)


def test_schemas_come_from_the_types() -> None:
    parameters = sort_litter.parameters_schema
    assert parameters["required"] == ["image"]
    assert parameters["additionalProperties"] is False
    assert list(parameters["properties"]) == ["image", "names", "least"]
    assert parameters["properties"]["image"] == {
        "type": "string", "format": "binary", "python_type": "PIL.Image.Image", "title": "Image",
    }  # fmt: skip
    assert parameters["properties"]["least"] == {"type": "number", "minimum": 0, "default": 0.5, "title": "Least"}
    result = sort_litter.result_schema
    assert result["required"] == ["name", "score"]
    assert result["properties"]["score"]["type"] == "number"


def test_the_resource_is_kubernetes_like() -> None:
    resource = sort_litter.resource({"replicas": 2})
    assert list(resource) == ["apiVersion", "kind", "metadata", "spec", "status"]
    assert (resource["apiVersion"], resource["kind"]) == ("hermod.dicem.io/v1", "Function")
    assert resource["metadata"] == {"name": "sort_litter"}
    assert resource["spec"] == {
        "sites": ["edge", "cloud"], "equivalent": True, "pure": True, "idempotent": True,
        "batch": {"maxSize": 8, "maxWaitSeconds": 0.02},
    }  # fmt: skip
    assert resource["status"]["replicas"] == 2
    assert resource["status"]["documentation"].startswith("Sort the litter")
    assert json.loads(resource["status"]["parametersSchema"]) == sort_litter.parameters_schema
    assert json.loads(resource["status"]["resultSchema"]) == sort_litter.result_schema


def test_defaults_of_a_declaration_are_the_careful_ones() -> None:
    @function()
    def plain(text: str) -> str:
        """Say it."""

    assert (plain.sites, plain.equivalent, plain.batch) == (("cloud",), False, Batch(1, 0.0))
    assert plain.image_parameters == ()
    assert "aliasOf" not in plain.resource()["spec"]


def test_parameters_are_checked_and_defaults_left_out() -> None:
    checked = sort_litter.check_params({"image": HANDLE, "least": 1})
    assert checked == {"image": {"blob": "ab" * 32, "box": (1, 2, 30, 40)}, "least": 1.0}
    assert sort_litter.check_params({"image": Handle.model_validate(HANDLE)}) == {
        "image": {"blob": "ab" * 32, "box": (1, 2, 30, 40)}
    }


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "sort_litter: image: Field required (expected sort_litter(image, names, least))"),
        ({"image": HANDLE, "name": ["a"]}, "sort_litter: name: Extra inputs are not permitted"),
        ({"image": "a.jpg"}, "sort_litter: image: "),
        ({"image": HANDLE | {"box": [0, 0, -1, 1]}}, "sort_litter: image.box.2: "),
        ({"image": HANDLE, "names": [1]}, "sort_litter: names.0: Input should be a valid string"),
        ({"image": HANDLE, "least": -1}, "sort_litter: least: "),
        ({"image": HANDLE, "least": math.nan}, "sort_litter: least: "),
        ({"image": HANDLE, "least": math.inf}, "sort_litter: least: Input should be a finite number"),
    ],
)
def test_parameters_that_do_not_fit(params: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        sort_litter.check_params(params)
    assert str(caught.value).startswith(said)
    assert caught.value.got == ", ".join(params)


def test_results_are_plain_or_refused() -> None:
    assert sort_litter.check_result({"name": "bottle", "score": 1}) == {"name": "bottle", "score": 1.0}
    for wrong, said in (
        ({"name": "bottle"}, "schema does not allow: score: Field required"),
        ({"name": 3, "score": 0.5}, "name: Input should be a valid string"),
        ([], "schema does not allow: Input should be"),
        (None, "schema does not allow: "),
        ({"name": "bottle", "score": math.nan}, "it holds a number that is not finite"),
        ({"name": "bottle", "score": -math.inf}, "it holds a number that is not finite"),
    ):
        with pytest.raises(InvalidCall, match="sort_litter gave a result that its schema does not allow") as caught:
            sort_litter.check_result(wrong)
        assert said in str(caught.value)


def undocumented(text: str) -> str: ...


def untyped(text) -> str:  # type: ignore[no-untyped-def]
    """Say it."""


def no_return(text: str):  # type: ignore[no-untyped-def]
    """Say it."""


def takes_site(text: str, site: str) -> str:
    """Say it."""


def takes_at(at: str) -> str:
    """Say it."""


def takes_deadline(deadline_s: float) -> str:
    """Say it."""


def takes_priority(priority: int) -> str:
    """Say it."""


def hides(_text: str) -> str:
    """Say it."""


def takes_all(*texts: str) -> str:
    """Say it."""


def takes_any(**texts: str) -> str:
    """Say it."""


def no_schema(text: Registry) -> str:
    """Say it."""


def no_result_schema(text: str) -> Registry:
    """Say it."""


def nowhere(text: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821
    """Say it."""


def model_config(model_config: str) -> str:
    """Say it."""


def détecter(text: str) -> str:  # noqa: PLC2401
    """Say it."""


def a_name_that_is_longer_than_a_topic_takes(text: str) -> str:
    """Say it."""


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (undocumented, "function undocumented has no docstring. Say in one sentence what it answers."),
        (untyped, "parameter text has no type"),
        (no_return, "function no_return has no return type"),
        (takes_site, "parameter site has a reserved name"),
        (takes_at, "parameter at has a reserved name"),
        (takes_deadline, "parameter deadline_s has a reserved name"),
        (takes_priority, "parameter priority has a reserved name"),
        (hides, "parameter _text has a reserved name"),
        (takes_all, "parameter texts is variadic"),
        (takes_any, "parameter texts is variadic"),
        (no_schema, "function no_schema: its types make no schema"),
        (no_result_schema, "function no_result_schema: its types make no schema"),
        (nowhere, "its types make no schema (got name 'Nowhere' is not defined)"),
        (model_config, "parameter model_config has a reserved name"),
        (détecter, "function détecter cannot stand in a topic"),
        (a_name_that_is_longer_than_a_topic_takes, "cannot stand in a topic"),
    ],
)
def test_declarations_that_cannot_be_served(declared: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        function()(declared)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def named(name: str) -> FunctionSpec:
    def declared(text: str) -> str:
        """Say it."""

    declared.__name__ = name
    return function()(declared)


def test_a_registry_is_sorted_and_knows_its_own() -> None:
    registry = Registry([named("yolov8"), named("blip2"), named("depth")])
    assert [spec.name for spec in registry] == ["blip2", "depth", "yolov8"]
    assert len(registry) == 3
    assert "depth" in registry
    assert "glip" not in registry
    assert registry.get("depth").name == "depth"
    with pytest.raises(ConfigError, match="two functions are called depth"):
        registry.add(named("depth"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("blip3", "Did you mean blip2 or blip?"),
        ("yolo", "Did you mean yolov8?"),
        ("Depth", "Did you mean depth?"),
        ("zzzzzz", "`dicem functions` lists them."),
        ("", "`dicem functions` lists them."),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, hint: str) -> None:
    registry = Registry(map(named, ("yolov8", "blip", "blip2", "depth")))
    with pytest.raises(UnknownFunction) as caught:
        registry.get(name)
    assert str(caught.value).startswith(f"no function is called {name!r}")
    assert caught.value.todo in (hint, "Did you mean blip or blip2?" if name == "blip3" else hint)
    assert isinstance(caught.value, DicemError)
