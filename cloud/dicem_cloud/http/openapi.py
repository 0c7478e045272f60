"""What `/v1/openapi.json` says beyond the routes: each served function as a path of its own, with its true types, and
the one shape of all errors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from dicem_shared.functions import FunctionSpec
from dicem_shared.implementations import Implementation

from .body import FORM, JSON
from .errors import ErrorBody
from .models import CallResult

ABOUT: Final = """Functions of a dicem cloud: list them, call them with an image, read and watch what boats answered.

Every answer that is not 2xx has one shape (`ErrorBody`). `Retry-After` stands where a retry makes sense (429, 503)."""
TAGS: Final = [
    {"name": "functions", "description": "What can be called, and the calls. Roles: call; read to list them."},
    {"name": "answers", "description": "What programs answered for frames, stored and live. Role: read."},
    {"name": "vehicles", "description": "Boats: presence, position, what they run. Role: read."},
    {"name": "programs", "description": "Programs: where they run, what they answered. Role: read."},
    {"name": "health", "description": "For those who look after the process."},
]
EXAMPLES: Final[Mapping[str, Any]] = {
    "query": "What is it made of?",
    "question": "What is it made of?",
    "object_name": "bottle",
    "property": "floating",
    "prompt": "How long does a plastic bottle last in the sea?",
    "classes": ["litter"],
    "options": ["plastic", "glass"],
}
"""By a parameter's name."""
GENERIC: Final = "/v1/functions/{name}:call"


def describe(app: FastAPI, functions: Mapping[str, Implementation]) -> None:
    """Have `app` describe itself so."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app, functions)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _described(app: FastAPI, functions: Mapping[str, Implementation]) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version="1", description=ABOUT, routes=app.routes, tags=TAGS)
    components: dict[str, Any] = schema["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)
    error = _lifted(ErrorBody.model_json_schema(), "", components)
    components["ErrorBody"] = error
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            refused = {"description": "Why not", "content": {JSON: {"schema": _ref("ErrorBody")}}}
            operation["responses"] |= {"4XX": refused, "5XX": refused}
    generic = schema["paths"][GENERIC]["post"]
    generic["requestBody"] = {
        "required": True,
        "content": {kind: {"schema": {"type": "object"}} for kind in (FORM, JSON)},
    }
    for name, one in sorted(functions.items()):
        schema["paths"][GENERIC.replace("{name}", name)] = {"post": _call(one.spec, generic, components)}
    return schema


def _call(spec: FunctionSpec, generic: Mapping[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The call of one function."""
    operation = copy.deepcopy({key: value for key, value in generic.items() if key not in ("requestBody", "responses")})
    parameters = _lifted(spec.parameters_schema, f"{spec.name}.", components)
    result = _lifted(CallResult.model_json_schema(), "", components)
    result["properties"]["result"] = _lifted(spec.result_schema, f"{spec.name}.", components)
    return operation | {
        "operationId": f"call_{spec.name}",
        "summary": f"Call {spec.name}",
        "description": spec.documentation,
        "parameters": [one for one in operation["parameters"] if one["in"] != "path"],
        "requestBody": {
            "required": True,
            "content": {
                FORM: {"schema": parameters},
                JSON: {"schema": _in_json(parameters, spec), "example": _example(spec)},
            },
        },
        "responses": dict(generic["responses"])
        | {"200": {"description": "Its result", "content": {JSON: {"schema": result}}}},
    }


def _in_json(parameters: dict[str, Any], spec: FunctionSpec) -> dict[str, Any]:
    """Images are text there."""
    properties = {
        name: {"type": "string", "contentEncoding": "base64"} if name in spec.image_parameters else one
        for name, one in parameters["properties"].items()
    }
    return parameters | {"properties": properties}


def _example(spec: FunctionSpec) -> dict[str, Any]:
    names = spec.parameters_schema.get("properties", {})
    required = spec.parameters_schema.get("required", [])
    return {
        name: "/9j/4AAQSkZJRg..." if name in spec.image_parameters else EXAMPLES.get(name, "")
        for name in names
        if name in required or name in EXAMPLES
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _lifted(schema: Mapping[str, Any], prefix: str, components: dict[str, Any]) -> dict[str, Any]:
    """A copy whose definitions lie among the components, where OpenAPI looks for them."""

    def moved(part: Any) -> Any:
        if isinstance(part, list):
            return [moved(one) for one in part]
        if not isinstance(part, dict):
            return part
        target = part.get("$ref")
        if isinstance(target, str) and target.startswith("#/$defs/"):
            return part | _ref(prefix + target.removeprefix("#/$defs/"))
        return {key: moved(value) for key, value in part.items() if key != "$defs"}

    for name, definition in schema.get("$defs", {}).items():
        components.setdefault(prefix + name, moved(definition))
    lifted: dict[str, Any] = moved(dict(schema))
    return lifted
