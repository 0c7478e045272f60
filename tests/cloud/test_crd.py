"""`dicem functions --crd` and the definition of `kind: Function`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dicem_cloud import crd, described
from dicem_cloud.commands import register
from dicem_cloud.config import load_cloud_config
from dicem_cloud.functions import build
from dicem_shared.catalog import SPECS, catalog
from dicem_shared.errors import ConfigError
from dicem_shared.function_files import load_functions, spec_of
from dicem_shared.functions import Batch, FunctionSpec

from .manifests import KUBERNETES, ROOT

SCHEMA = crd.definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def printed(*arguments: str, code: int = 0) -> str:
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "120"}, catch_exceptions=False)
    assert result.exit_code == code
    return result.output


def kept(value: Any, schema: dict[str, Any] = SCHEMA) -> Any:
    """What an API server keeps of an object: fields that the schema does not name are dropped without a word."""
    if isinstance(value, dict) and "properties" in schema and value is not None:
        known = schema["properties"]
        return {key: kept(one, known[key]) for key, one in value.items() if key in known}
    if isinstance(value, list) and "items" in schema:
        return [kept(one, schema["items"]) for one in value]
    return value


def without_metadata(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "metadata"}


# The definition


def test_the_file_is_what_the_command_prints() -> None:
    file = KUBERNETES / "crd" / "function.yaml"
    assert printed("functions", "--crd-definition") == file.read_text(encoding="utf-8"), (
        f"{file.relative_to(ROOT)} is old: dicem functions --crd-definition > {file.relative_to(ROOT)}"
    )


def test_kubernetes_takes_the_definition() -> None:
    kinds = pytest.importorskip("kubernetes_validate", reason="needs the extra [test]")
    definition = yaml.safe_load(printed("functions", "--crd-definition"))
    assert definition == json.loads(printed("functions", "--crd-definition", "-o", "json")) == crd.definition()
    for version in ("1.29", kinds.latest_version()):
        kinds.validate(definition, version, strict=True)
    names = definition["spec"]["names"]
    assert definition["metadata"]["name"] == f"{names['plural']}.{definition['spec']['group']}"
    version = definition["spec"]["versions"][0]
    assert f"{definition['spec']['group']}/{version['name']}" == SPECS[0].resource()["apiVersion"]
    assert version["subresources"] == {"status": {}}


def test_the_schema_is_structural() -> None:
    """As Kubernetes wants it: a type everywhere, and of the metadata nothing but the name."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def look(schema: dict[str, Any], where: str) -> None:
        assert schema["type"] in ("object", "array", "string", "integer", "number", "boolean"), where
        assert not {"$ref", "additionalProperties", "oneOf", "patternProperties"} & set(schema), where
        assert set(schema.get("required", [])) <= set(schema.get("properties", {})), where
        for name, one in schema.get("properties", {}).items():
            look(one, f"{where}.{name}")
        if "items" in schema:
            look(schema["items"], f"{where}[]")

    look(SCHEMA, "")
    assert set(SCHEMA["properties"]["metadata"]["properties"]) == {"name"}


def test_columns_show_what_is_there() -> None:
    full = described.resource(build(load_cloud_config("cloud-demo"))["yolov8"])
    for column in crd.definition()["spec"]["versions"][0]["additionalPrinterColumns"]:
        if column["jsonPath"] in (".spec.aliasOf", ".metadata.creationTimestamp"):
            continue
        value: Any = full
        for key in column["jsonPath"].strip(".").split("."):
            value = value[key]
        assert value is not None


# The functions


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_function_of_the_catalog_fits(spec: FunctionSpec) -> None:
    for resource in (spec.resource(), crd.resource(spec)):
        CHECK.validate(resource)
        assert without_metadata(kept(resource)) == without_metadata(resource)


def test_what_a_cloud_says_of_its_functions_fits() -> None:
    """With models, words and all: nothing of it would be dropped."""
    for implementation in build(load_cloud_config("cloud-demo")).values():
        resource = described.resource(implementation)
        CHECK.validate(resource)
        assert without_metadata(kept(resource)) == without_metadata(resource)


def test_what_is_printed_can_be_read_back(tmp_path: Path) -> None:
    file = tmp_path / "functions.yaml"
    file.write_text(printed("functions", "--crd"), encoding="utf-8")
    read = load_functions(file)
    assert {one.name: one.version for one in read} == {one.name: one.version for one in catalog()}
    listed = json.loads(printed("functions", "--crd", "-o", "json"))
    assert listed["items"] == list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    assert {one["metadata"]["labels"]["app.kubernetes.io/part-of"] for one in listed["items"]} == {"dicem"}
    assert yaml.safe_load(printed("functions", "depth", "--crd")) == crd.resource(catalog().get("depth"))


@given(
    sites=st.sampled_from([("edge",), ("cloud",), ("edge", "cloud"), ("cloud", "edge")]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    batch=st.builds(Batch, st.integers(-1, 10_002), st.floats(-1, 3601, allow_nan=False)),
    alias=st.sampled_from([None, "blip2"]),
)
def test_whatever_is_declared_fits_exactly_where_it_can_be_read_back(
    sites: Any, flags: tuple[bool, bool, bool], batch: Batch, alias: str | None
) -> None:
    equivalent, pure, idempotent = flags
    resource = replace(
        SPECS[0], sites=sites, equivalent=equivalent, pure=pure, idempotent=idempotent, batch=batch, alias_of=alias
    ).resource()  # fmt: skip
    try:
        spec_of(resource)
        readable = True
    except ConfigError:
        readable = False
    assert CHECK.is_valid(resource) == readable


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: one.update(apiVersion="hermod.dicem.io/v2"),
        lambda one: one.update(kind="Funktion"),
        lambda one: one.pop("spec"),
        lambda one: one["metadata"].update(name="Best_Match"),
        lambda one: one["metadata"].update(name="a" * 33),
        lambda one: one["spec"].update(sites=[]),
        lambda one: one["spec"].update(sites=["moon"]),
        lambda one: one["spec"].update(sites="cloud"),
        lambda one: one["spec"].pop("pure"),
        lambda one: one["spec"].update(pure="yes"),
        lambda one: one["spec"].update(batch={"maxSize": 8}),
        lambda one: one["spec"]["batch"].update(maxSize=0),
        lambda one: one["spec"]["batch"].update(maxSize=1.5),
        lambda one: one["spec"]["batch"].update(maxWaitSeconds=-0.1),
        lambda one: one["spec"].update(aliasOf="no such/name"),
        lambda one: one["status"].pop("resultSchema"),
        lambda one: one["status"].update(parametersSchema={"type": "object"}),
        lambda one: one["status"].update(documentation=None),
        lambda one: one["status"].update(documentation="x" * 20_001),
        lambda one: one["status"].update(replicas=-1),
        lambda one: one["status"].update(model={"name": "m"}),
        lambda one: one["status"].update(vocabulary=[1]),
    ],
)
def test_what_does_not_fit(spoil: Callable[[dict[str, Any]], Any]) -> None:
    resource = json.loads(json.dumps(SPECS[0].resource()))
    CHECK.validate(resource)
    spoil(resource)
    with pytest.raises(jsonschema.ValidationError):
        CHECK.validate(resource)


@pytest.mark.parametrize("name", ["best_match", "Depth", "-depth", "depth-", "a" * 33, "", "depth\n", "a.b"])
def test_a_name_that_kubernetes_does_not_take(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be an object of Kubernetes"):
        crd.resource(replace(SPECS[0], name=name))


def test_an_option_that_says_nothing_is_refused() -> None:
    assert "stands alone" in printed("functions", "depth", "--crd-definition", code=2)
    assert "stands alone" in printed("functions", "--crd", "--crd-definition", code=2)
