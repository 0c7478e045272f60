"""Functions read back from what `dicem functions` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dicem_shared.catalog import SPECS, catalog
from dicem_shared.errors import ConfigError, DicemError, InvalidCall
from dicem_shared.function_files import MAX_BYTES, load_functions, spec_of
from dicem_shared.functions import FunctionSpec

HANDLE = {"blob": "ab" * 32, "box": [0, 0, 10, 10]}
BOX = {"x": 1, "y": 2, "width": 3, "height": 4, "score": 0.5}

# As DiCE-C prints it; its page breaks taken out.
PUBLISHED = """
apiVersion: hermod.nec-labs.com/v1
kind: Function
metadata:
  name: glip
status:
  documentation: Finds the locations of object_name in the image. Returns a list of
   bounding boxes.
  parametersSchema: '{"properties": {"image": {"format": "binary", "python_type":
    "PIL.Image.Image", "title": "Image", "type": "string"}, "object_name": {"title":
    "Object Name", "type": "string"}}, "required": ["image", "object_name"], "title":
    "Parameters", "type": "object"}'
  resultSchema: '{"$defs": {"BoundingBox": {"properties": {"x": {"title": "X", "type":
    "integer"}, "y": {"title": "Y", "type": "integer"}, "width": {"title": "Width",
    "type": "integer"}, "height": {"title": "Height", "type": "integer"}}, "required":
    ["x", "y", "width", "height"], "title": "BoundingBox", "type": "object"}}, "properties":
    {"result": {"items": {"$ref": "#/$defs/BoundingBox"}, "title": "Result", "type":
    "array"}}, "required": ["result"], "title": "Result", "type": "object"}'
"""


def resource(parameters: Any = None, result: Any = None, **spec: Any) -> dict[str, Any]:
    plain = {"type": "object", "properties": {}}
    return {
        "apiVersion": "hermod.dicem.io/v1",
        "kind": "Function",
        "metadata": {"name": "f"},
        "spec": spec,
        "status": {"documentation": "d", "parametersSchema": parameters or plain, "resultSchema": result or plain},
    }


def taking(schema: dict[str, Any], *, required: bool = True, **more: Any) -> FunctionSpec:
    """A function of one parameter."""
    return spec_of(resource({"properties": {"x": schema}, "required": ["x"] if required else [], **more}))


def giving(schema: dict[str, Any]) -> FunctionSpec:
    return spec_of(resource(result=schema))


@pytest.mark.parametrize("spec", SPECS, ids=[spec.name for spec in SPECS])
def test_there_and_back(spec: FunctionSpec) -> None:
    back = spec_of(json.loads(json.dumps(spec.resource({"replicas": 2}))))
    assert back.resource() == spec.resource()
    assert back.image_parameters == spec.image_parameters
    assert back.batch == spec.batch


CALLS = [
    ("glip", {"image": HANDLE, "object_name": "x"}),
    ("glip", {"image": HANDLE}),
    ("glip", {"image": "x", "object_name": 3}),
    ("glip", {"image": HANDLE, "object_name": "x" * 2001}),
    ("xvlm", {"image": HANDLE, "object_name": "a", "options": []}),
    ("xvlm", {"image": HANDLE, "object_name": "a", "options": ["b"], "property": ""}),
    ("yolov8", {"image": HANDLE, "classes": None}),
    ("yolov8", {"image": HANDLE, "classes": ["a", 1]}),
    ("llm", {"promt": 1}),
]
RESULTS = [
    ("glip", [BOX]),
    ("glip", []),
    ("glip", [{**BOX, "x": -1}]),
    ("glip", {"objects": []}),
    ("yolov8", {"objects": [{**BOX, "class": "a", "more": 1}]}),
    ("depth", {"depth": 1}),
    ("depth", {"depth": float("nan")}),
    ("xvlm", {"result": True, "score": 1.5, "scores": []}),
    ("blip", {"answer": 3}),
]


def outcome(action: Any, value: Any) -> Any:
    try:
        return action(value)
    except InvalidCall as cause:
        return str(cause)


def test_what_is_read_back_judges_as_the_catalog_does(tmp_path: Path) -> None:
    path = tmp_path / "functions.json"
    path.write_text(json.dumps({"kind": "List", "items": [spec.resource() for spec in SPECS]}))
    known, back = catalog(), load_functions(path)
    assert [spec.resource() for spec in back] == [spec.resource() for spec in known]
    for name, params in CALLS:
        assert outcome(back.get(name).check_params, params) == outcome(known.get(name).check_params, params)
    for name, result in RESULTS:
        assert outcome(back.get(name).check_result, result) == outcome(known.get(name).check_result, result)


@pytest.mark.parametrize("shape", ["documents", "list", "one", "flow"])
def test_shapes_of_files(tmp_path: Path, shape: str) -> None:
    resources = [spec.resource() for spec in SPECS[:2]]
    path = tmp_path / "functions.yaml"
    text = {
        "documents": "---\n".join(yaml.safe_dump(each) for each in resources) + "---\n",
        "list": yaml.safe_dump(resources),
        "one": "\ufeff" + yaml.safe_dump(resources[0]),
        "flow": "{kind: List, items: " + json.dumps(resources) + "}",  # YAML, not JSON
    }[shape]
    path.write_text(text, encoding="utf-8")
    assert [spec.name for spec in load_functions(path)] == (["yolov8"] if shape == "one" else ["glip", "yolov8"])


def test_the_published_resource(tmp_path: Path) -> None:
    path = tmp_path / "glip.yaml"
    path.write_text(PUBLISHED)
    (glip,) = load_functions(path)
    assert (glip.sites, glip.pure, glip.image_parameters) == (("cloud",), True, ("image",))
    assert glip.documentation == "Finds the locations of object_name in the image. Returns a list of bounding boxes."
    assert glip.check_params({"image": HANDLE, "object_name": "car"})
    assert glip.check_result({"result": [BOX]}) == {"result": [{k: v for k, v in BOX.items() if k != "score"}]}


# Schemas


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 5}, [1, 4], [0, 5, "a", None]),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, [0.5, 1], [0, 1.5, "x"]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "abc"], ["a", "abcd", 3]),
        ({"type": "boolean"}, [True, False], ["maybe", 3]),
        ({"type": "null"}, [None], [0]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2}, [[1], [1, 2]], [[], [1, 2, 3]]),
        ({"type": "array", "items": {"type": "integer"}}, [[], [1]], [["a"], 1]),
        ({"type": "array"}, [[1, "a"], []], [3]),
        ({"type": "object"}, [{"a": 1}, {}], [[1]]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, [{"a": 1}], [{"a": "b"}]),
        ({"type": "object", "properties": {"class": {"const": 1}}, "required": ["class"]}, [{"class": 1}], [{}]),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, [{}, {"a": "b"}], [{"a": 1}]),
        ({"enum": ["a", "b", 3]}, ["a", 3], ["c"]),
        ({"const": "a"}, ["a"], ["b"]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, [1, None], ["a"]),
        ({"oneOf": [{"type": "array", "items": {"type": "string"}}, {"const": "all"}]}, [["a"], "all"], ["b"]),
        ({"type": ["string", "null"]}, ["a", None], [3]),
        ({"$ref": "#/$defs/A"}, [3], ["a"]),
        ({}, [3, "a", None], []),
    ],
    ids=str,
)  # fmt: skip
def test_schemas_as_types(schema: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    root = {"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"type": "integer"}}}
    spec = taking(schema, **root)
    judge = jsonschema.Draft202012Validator({**schema, **root})
    for value in good:
        assert spec.check_params({"x": value}) == {"x": value}
        assert judge.is_valid(value)
    for value in bad:
        with pytest.raises(InvalidCall):
            spec.check_params({"x": value})
        assert not judge.is_valid(value)


def test_what_may_be_left_out_has_no_value() -> None:
    spec = taking({"type": "string"}, required=False)
    assert spec.check_params({}) == {}
    with pytest.raises(InvalidCall):
        spec.check_params({"x": None})
    with pytest.raises(InvalidCall):
        spec.check_params({"y": 1})


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "tuple"}, "parameter x: type (expected integer, number, string, boolean, null, array, obj"),
        ({"type": 3}, "parameter x: type (expected integer"),
        ({"type": "integer", "minimum": "a"}, "parameter x: a bound (expected a number, got a)"),
        ({"type": "string", "minLength": True}, "parameter x: a bound (expected a number, got True)"),
        ({"enum": []}, "parameter x (expected choices that are text or whole numbers, got [])"),
        ({"enum": [[1]]}, "parameter x (expected choices"),
        ({"anyOf": []}, "parameter x (expected a list of schemas, got list)"),
        ({"$ref": "#/$defs/None"}, "parameter x (expected a $ref to #/$defs of the same schema, got dict)"),
        ({"$ref": "#/$defs/Round"}, "parameter x (expected a $ref"),
        ({"$ref": "#/$defs/Deep"}, "parameter x (expected a schema at most 32 deep that does not hold itself)"),
        ({"$ref": "#/$defs/Wide"}, "parameter x (expected a schema at most 32 deep that does not hold itself)"),
        ({"type": "object", "properties": [1]}, "parameter x (expected `properties` to be a mapping"),
        ({"type": "array", "items": 3}, "parameter x (expected a JSON Schema, got int)"),
        ("integer", "parameter x (expected a JSON Schema, got str)"),
    ],
    ids=str,
)  # fmt: skip
def test_schemas_that_cannot_be_used(schema: Any, said: str) -> None:
    definitions = {
        "Round": {"$ref": "#/$defs/Round"},
        "Deep": {"type": "array", "items": {"$ref": "#/$defs/Deep"}},
        "Wide": {"anyOf": [{"$ref": "#/$defs/Wide"}] * 50},
    }
    with pytest.raises(ConfigError) as caught:
        taking(schema, **{"$defs": definitions})
    assert str(caught.value).startswith(f"function: function f: {said}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "Pod"}, "r: not a function (expected kind: Function, got Pod)"),
        ({"apiVersion": "v1"}, "r: apiVersion (expected hermod.dicem.io/v1, got v1)"),
        ({"apiVersion": 1}, "r: apiVersion (expected hermod.dicem.io/v1, got 1)"),
        ({"metadata": {}}, "r: metadata.name: Field required"),
        ({"metadata": {"name": "a/b"}}, "r: function a/b"),
        ({"metadata": {"name": "x" * 99}}, "r: function xxxxxxx"),
        ({"spec": {"sites": ["moon"]}}, "r: spec.sites.0: Input should be 'edge' or 'cloud'"),
        ({"spec": {"sites": []}}, "r: spec.sites: Tuple should have at least 1 item"),
        ({"spec": {"batch": {"maxSize": 0}}}, "r: spec.batch.maxSize: Input should be greater than or equal to 1"),
        ({"status": {}}, "r: status.parametersSchema: Field required"),
        ({"status": {"parametersSchema": "{", "resultSchema": "{}"}}, "r: status.parametersSchema: not JSON"),
        ({"status": {"parametersSchema": "[]", "resultSchema": "{}"}}, "r: status.parametersSchema: Input should be"),
        ({"status": {"parametersSchema": {"properties": {"site": {}}}, "resultSchema": {}}},
         "r: function f: a parameter cannot be called 'site'"),
        ({"status": {"parametersSchema": {"properties": {"a b": {}}}, "resultSchema": {}}},
         "r: function f: a parameter cannot be called 'a b'"),
        ({"status": {"parametersSchema": {"properties": []}, "resultSchema": {}}},
         "r: function f: parametersSchema (expected an object with `properties` and `required`)"),
    ],
    ids=str,
)  # fmt: skip
def test_resources_that_cannot_be_used(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec_of(resource() | change, where="r")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, "x", [], {"kind": "List"}])
def test_what_is_no_resource(value: Any) -> None:
    with pytest.raises(ConfigError, match="not a function"):
        spec_of(value)


def test_a_parameter_may_be_called_as_a_method_of_pydantics(recwarn: pytest.WarningsRecorder) -> None:
    spec = spec_of(resource({"properties": {"json": {"type": "string"}, "copy": {"type": "integer"}}}))
    assert spec.check_params({"json": "a", "copy": 1}) == {"json": "a", "copy": 1}
    assert not recwarn.list


# Files


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no functions. Make one with: dicem functions -o yaml"),
        (b"---\n---\n", "holds no functions"),
        (b"a: [1", ":1:6: not YAML"),
        (b"a: 2024-99-99", "not a function"),
        (b"{" * 2000, "not YAML"),
        (b"[" * 2000, "not YAML"),
        (b"\xff\xfe", "cannot be read"),
        (b"kind: Pod", "not a function (expected kind: Function, got Pod)"),
        (b"[{kind: Function}, 3]", ": item 1: apiVersion"),
        (b"kind: Pod\n---\nkind: Pod", ": document 1: not a function"),
        (b"!!python/object/apply:os.system [true]", "not YAML"),
        (b"# " + b"x" * MAX_BYTES, "too long"),
        (b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nkind: *c", "not a function"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_files_that_cannot_be_used(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "functions.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_functions(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "functions.json"
    path.write_text(json.dumps([SPECS[0].resource()] * 2))
    with pytest.raises(ConfigError, match="two functions are called yolov8"):
        load_functions(path)


@pytest.mark.parametrize("name", ["missing.yaml", ".", "a\0b", "x" * 5000])
def test_files_that_are_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_functions(tmp_path / name)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
words = st.sampled_from(["type", "properties", "items", "$ref", "anyOf", "enum", "required", "minimum", "format", "x"])
anything = st.recursive(
    leaves | st.sampled_from(["object", "array", "integer", "binary", "#/$defs/x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None, database=None, max_examples=300)
@given(anything, anything)
def test_any_schema_is_read_or_refused(parameters: Any, result: Any) -> None:
    try:
        spec = spec_of(resource(parameters, result))
    except DicemError as cause:
        said = str(cause)
    else:
        said = f"function {spec.name}"
    assert "function" in said
