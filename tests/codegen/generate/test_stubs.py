"""Stubs made from a registry: whatever stands in it, they are Python, and say what the functions take and give."""

from __future__ import annotations

import ast
from importlib import resources
from typing import Any

import pytest

from dicem_codegen.generate.prelude_stubs import WORDS
from dicem_codegen.generate.stubs import MAX_TYPES, Stubs, is_name, stubs_of
from dicem_codegen.generate.type_check import TypeChecker
from dicem_codegen.lower.words import prelude_globals
from dicem_shared.catalog import catalog
from dicem_shared.errors import ConfigError
from dicem_shared.function_files import spec_of
from dicem_shared.functions import Registry


def registry(parameters: dict[str, Any], result: Any, *, name: str = "look", documentation: str = "Looks.") -> Registry:
    """One function, as somebody else's registry describes it, beside `depth`."""
    resource = {
        "apiVersion": "hermod.dicem.io/v1", "kind": "Function", "metadata": {"name": name},
        "status": {"documentation": documentation, "parametersSchema": parameters, "resultSchema": result},
    }  # fmt: skip
    return Registry([spec_of(resource, where="test"), catalog().get("depth")])


def of(properties: dict[str, Any], result: Any) -> Stubs:
    return stubs_of(registry({"type": "object", "properties": properties}, result))


def line_of(stubs: Stubs, start: str) -> str:
    return next(line for line in stubs.modules["hermod"].split("\n") if line.startswith(start))


def test_every_stub_is_python() -> None:
    stubs = stubs_of(catalog())
    for text in [stubs.prelude, *stubs.modules.values()]:
        ast.parse(text)


def test_each_function_says_what_it_takes_and_gives() -> None:
    stubs = stubs_of(catalog())
    assert line_of(stubs, "def f_glip").startswith("def f_glip(*, image: Picture, object_name: str, site:")
    assert "classes: Iterable[str] | None = ..." in line_of(stubs, "def f_yolov8")
    gives = line_of(stubs, "def s_depth").partition(" -> ")[2].removesuffix(": ...")
    assert stubs.results[gives] == "depth"
    assert stubs.keys[gives] == "{'depth': float}"


def test_the_prelude_is_all_there() -> None:
    """Each word of the prelude that a program may use is in the stubs, and each method of its classes."""
    ours = ast.parse(WORDS)
    said = {node.name: node for node in ours.body if isinstance(node, ast.ClassDef)}
    names = {getattr(node, "name", "") for node in ours.body} | {"hermod", "PIL", "Hermod"}
    names |= {
        node.target.id for node in ours.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert {name for name in prelude_globals() if not name.startswith("_")} - names == set()
    real = ast.parse(resources.files("hermod").joinpath("prelude.py").read_text(encoding="utf-8"))
    for node in real.body:
        if isinstance(node, ast.ClassDef):
            have = {each.name for each in said[node.name].body if isinstance(each, ast.FunctionDef)}
            public = {each.name for each in node.body if isinstance(each, ast.FunctionDef) and each.name[0] != "_"}
            assert public <= have
            kept = {
                each.target.id
                for each in said[node.name].body
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            }
            stored = {
                each.attr
                for each in ast.walk(node)
                if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)
            }
            assert stored <= kept


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "integer"}, "int"),
        ({"type": "null"}, "None"),
        ({"type": ["string", "null"]}, "str | None"),
        ({"anyOf": [{"type": "number"}, {"type": "boolean"}]}, "float | bool"),
        ({"oneOf": [{"type": "number"}, {}]}, "Any"),
        ({"enum": ["a", "b"]}, "Literal['a', 'b']"),
        ({"const": 3}, "Literal[3]"),
        ({"enum": ["x"] * 100}, "str"),
        ({"type": "array", "items": {"type": "string"}}, "list[str]"),
        ({"type": "object"}, "dict[str, Any]"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "dict[str, int]"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True}, "dict[str, Any]"),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}}, "str"),
        ({}, "Any"),
    ],
)
def test_schemas_become_types(schema: Any, kind: str) -> None:
    assert line_of(of({}, schema), "def s_look").endswith(f" -> {kind}: ...")


def test_a_dict_with_odd_keys_is_written_with_literals() -> None:
    keys = ["class", "a b", "x'); import os #", 'quote"', "new\nline", "ünï", "\\", "'''", '"""', "\u2028"]
    schema = {"type": "object", "properties": {key: {"type": "string"} for key in keys}, "required": keys[:1]}
    stubs = of({}, schema)
    module = ast.parse(stubs.modules["hermod"])
    (made,) = [n for n in module.body if isinstance(n, ast.Assign) and ast.unparse(n.value).count("NotRequired") > 3]
    assert isinstance(made.value, ast.Call)
    assert isinstance(made.value.args[1], ast.Dict)
    assert [key.value for key in made.value.args[1].keys if isinstance(key, ast.Constant)] == keys


INJECTED = "x = 1\nimport os\nos.system('id')"
EVIL = ['"""', "'''", "\\", INJECTED, "'] | Any", "\n    evil: int", "a\r\nb", "#", "\u2028evil = 1", "{}", "\x00"]


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_breaks_out(evil: str) -> None:
    """Texts of a registry stand in literals only: the stub has the same statements, whatever they say."""
    parameters = {"type": "object", "properties": {evil: {"type": "string"}, "image": {"enum": [evil]}}, "title": evil}
    result = {
        "type": "object",
        "title": evil.replace("\x00", "") or "Result",  # of which pydantic makes a class
        "description": evil,
        "properties": {evil: {"enum": [evil, "b"], "description": evil}},
        "required": [evil],
    }
    try:
        functions = registry(parameters, result, documentation=evil)
    except ConfigError:  # no parameter may be called that
        functions = registry({"type": "object", "properties": {}}, result, documentation=evil)
    tame = registry({"type": "object", "properties": {}}, {**result, "properties": {"a": {"enum": ["a", "b"]}}})
    kinds, expected = (
        [(type(n).__name__, getattr(n, "name", "")) for n in ast.parse(stubs_of(each).modules["hermod"]).body]
        for each in (functions, tame)
    )
    assert kinds == expected


@pytest.mark.parametrize("name", ["a-b", "9lives", "def", "call", "None", "Result1"])
def test_functions_of_any_name_can_be_called(name: str) -> None:
    functions = registry({"type": "object", "properties": {}}, {"type": "string"}, name=name)
    source = f"import hermod\nasync def execute_command(image):\n    return (await hermod.call('{name}')).foo\n"
    with TypeChecker(functions) as checker:
        found = checker.findings(source)
        assert found is not None
        assert [each.code for each in found] == ["unresolved-attribute"]


def test_names_that_look_alike_do_not_become_one() -> None:
    twice = registry({"type": "object", "properties": {}}, {"type": "string"}, name="a-b")
    twice.add(next(iter(registry({"type": "object", "properties": {}}, {"type": "integer"}, name="a_b"))))
    stubs = stubs_of(twice)
    assert sum(line.startswith("def f_a_b(") for line in stubs.modules["hermod"].split("\n")) == 1
    assert not is_name("\uff41")
    assert not is_name("class")


@pytest.mark.parametrize("count", [0, 1])
def test_few_functions(count: int) -> None:
    functions = Registry(list(catalog())[:count])
    with TypeChecker(functions) as checker:
        assert checker.findings("import hermod\nx = hermod.call_sync('y', image=1)\n") == []


def test_a_schema_that_holds_itself_or_is_huge_ends() -> None:
    inside: Any = {"type": "object", "properties": {"next": {"$ref": "#/$defs/A"}, "a": {"type": "string"}}}
    held = {"$ref": "#/$defs/A", "$defs": {"A": inside}}
    spec = catalog().get("depth")
    vast = {
        "type": "object",
        "properties": {f"k{i}": {"type": "object", "properties": {f"a{i}": {}}} for i in range(900)},
    }
    for schema in (held, vast):
        stubs = stubs_of(Registry([type(spec)(**{**vars(spec), "result_schema": schema})]))
        assert len(stubs.results) <= MAX_TYPES + 1
        ast.parse(stubs.modules["hermod"])
