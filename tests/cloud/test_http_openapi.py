"""What the API says of itself to machines: whole, true to the functions that are served, and nothing that dangles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from dicem_cloud.metrics import Meter
from dicem_cloud.store.opened import open_store
from dicem_cloud.store.settings import StoreConfig
from dicem_shared import catalog
from dicem_shared.implementations import Implementation
from dicem_shared.types import ModelId

from .http_client import Asker, Finder, answer, png, serving


class Boxes(Implementation):
    """A `glip`: its result's schema has definitions of its own."""

    spec = catalog.glip
    model = ModelId(function="glip", name="boxes", sha256="3" * 64)

    def run(self, batch: Any) -> list[Any | Exception]:
        return [[] for _ in batch]


@pytest.fixture
def described(clock: Any) -> Iterator[dict[str, Any]]:
    with open_store(StoreConfig(), clock) as store, serving(
        clock, Asker(), Boxes(), Finder(), records=store, meter=Meter([])
    ) as client:  # fmt: skip
        store.answers.put([("demo", answer(1))])
        yield client.get("/v1/openapi.json").json() | {"client": client}


def parts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from parts(one)


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    references = {one["$ref"] for one in parts(described) if isinstance(one.get("$ref"), str)}
    assert "#/components/schemas/glip.BoundingBox" in references
    known = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    assert references <= known
    assert not any("ValidationError" in name for name in known)


def test_each_function_is_a_path_with_its_own_types(described: dict[str, Any]) -> None:
    paths = described["paths"]
    assert {path for path in paths if path.endswith(":call")} == {
        f"/v1/functions/{name}:call" for name in ("{name}", "blip2", "glip", "yolov8")
    }
    one = paths["/v1/functions/blip2:call"]["post"]
    assert (one["operationId"], one["description"]) == ("call_blip2", catalog.blip2.documentation)
    assert "name" not in [parameter["name"] for parameter in one["parameters"]]
    content = one["requestBody"]["content"]
    assert content["multipart/form-data"]["schema"]["properties"]["image"]["format"] == "binary"
    assert content["application/json"]["schema"]["properties"]["image"]["contentEncoding"] == "base64"
    assert content["application/json"]["schema"]["properties"]["query"]["maxLength"] == 2000
    assert content["application/json"]["example"].keys() == {"image", "query"}
    assert one["security"]


def test_operations_have_names_and_tags_of_their_own(described: dict[str, Any]) -> None:
    operations = [one for methods in described["paths"].values() for one in methods.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names)
    assert {"functions", "function", "call", "answers", "watch", "answer", "vehicles"} <= set(names)
    tags = {tag["name"] for tag in described["tags"]}
    assert all(set(one["tags"]) <= tags and one["tags"] for one in operations)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/healthz", "/healthz"), ("/readyz", "/readyz"), ("/v1/functions", "/v1/functions"),
        ("/v1/functions/glip", "/v1/functions/{name}"), ("/v1/answers", "/v1/answers"),
        (f"/v1/answers/{1:032x}", "/v1/answers/{id}"), ("/v1/programs/p1", "/v1/programs/{id}"),
        ("/v1/functions/nothing", "/v1/functions/{name}"), ("/v1/answers?limit=0", "/v1/answers"),
    ],
)  # fmt: skip
def test_what_comes_is_what_was_described(described: dict[str, Any], path: str, route: str) -> None:
    client = described.pop("client")
    response = client.get(path)
    responses = described["paths"][route]["get"]["responses"]
    schema = responses["200" if response.status_code == 200 else "4XX"]["content"]["application/json"]["schema"]
    jsonschema.validate(response.json(), schema | {"components": described["components"]})


def test_a_call_gives_what_was_described(described: dict[str, Any]) -> None:
    client = described.pop("client")
    response = client.post("/v1/functions/blip2:call", files={"image": ("a.png", png())}, data={"query": "x"})
    one = described["paths"]["/v1/functions/blip2:call"]["post"]["responses"]["200"]
    schema = one["content"]["application/json"]["schema"]
    assert schema["properties"]["result"]["properties"]["output"]["type"] == "string"
    jsonschema.validate(response.json(), schema | {"components": described["components"]})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(response.json() | {"result": 7}, schema | {"components": described["components"]})
