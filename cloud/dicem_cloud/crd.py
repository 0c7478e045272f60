"""Functions as Kubernetes takes them: the definition of their kind, and each of them ready for `kubectl apply`.

    dicem functions --crd-definition | kubectl apply -f -     # once: what a Function is
    dicem functions --crd | kubectl apply -f -                # each of them

The definition's schema says of `FunctionSpec.resource()` what `dicem_shared.function_files` says of a file that it
reads: no more and no less.
"""

from __future__ import annotations

import re
from typing import Any, Final, get_args

from dicem_shared.errors import ConfigError
from dicem_shared.functions import API_VERSION, FunctionSpec
from dicem_shared.types import Site

GROUP, VERSION = API_VERSION.split("/")
PLURAL: Final = "functions"
PART_OF: Final = {"app.kubernetes.io/part-of": "dicem"}
NAME: Final = r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$"
"""What may stand in a topic and may be the name of a Kubernetes object as well."""

_NAME_SCHEMA: Final = {"type": "string", "maxLength": 32, "pattern": NAME}
_WORDS: Final = 20_000
"""Characters of a function's documentation, as `function_files` reads them."""
_SCHEMA: Final = 100_000
"""Characters of one schema."""


def resource(spec: FunctionSpec) -> dict[str, Any]:
    """The function as an object that a cluster takes.

    :raises ConfigError: its name cannot be the name of a Kubernetes object
    """
    if not re.fullmatch(NAME, spec.name):
        raise ConfigError(
            f"function {spec.name} cannot be an object of Kubernetes",
            expected="a name of lower-case letters, digits and -, with no - at its ends",
            todo="`dicem functions -o yaml` prints it all the same.",
        )
    made = spec.resource()
    return made | {"metadata": made["metadata"] | {"labels": dict(PART_OF)}}


def definition() -> dict[str, Any]:
    """The CustomResourceDefinition of `kind: Function` (apiextensions.k8s.io/v1, a structural schema)."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}", "labels": dict(PART_OF)},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": "Function",
                "listKind": "FunctionList",
                "plural": PLURAL,
                "singular": "function",
                "shortNames": ["fn", "fns"],
                "categories": ["dicem"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(),
                    "schema": {"openAPIV3Schema": _schema()},
                }
            ],
        },
    }


def _columns() -> list[dict[str, Any]]:
    return [
        {"name": "Sites", "type": "string", "jsonPath": ".spec.sites"},
        {"name": "Equivalent", "type": "boolean", "jsonPath": ".spec.equivalent", "priority": 1},
        {"name": "Pure", "type": "boolean", "jsonPath": ".spec.pure", "priority": 1},
        {"name": "Batch", "type": "integer", "jsonPath": ".spec.batch.maxSize"},
        {"name": "Alias of", "type": "string", "jsonPath": ".spec.aliasOf", "priority": 1},
        {"name": "Model", "type": "string", "jsonPath": ".status.model.name"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".status.replicas"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]


def _schema() -> dict[str, Any]:
    return {
        "description": "A model service as programs call it.",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"type": "string", "enum": [API_VERSION]},
            "kind": {"type": "string", "enum": ["Function"]},
            "metadata": {"type": "object", "properties": {"name": dict(_NAME_SCHEMA)}},
            "spec": _spec(),
            "status": _status(),
        },
    }


def _spec() -> dict[str, Any]:
    return {
        "description": "What is promised of the function, wherever it runs.",
        "type": "object",
        "required": ["sites", "equivalent", "pure", "idempotent", "batch"],
        "properties": {
            "sites": {
                "description": "Where calls can run.",
                "type": "array",
                "minItems": 1,
                "maxItems": len(get_args(Site)),
                "x-kubernetes-list-type": "set",
                "items": {"type": "string", "enum": sorted(get_args(Site))},
            },
            "equivalent": {
                "description": "The sites give the same answers, and may be chosen between freely.",
                "type": "boolean",
            },
            "pure": {"description": "A call changes nothing.", "type": "boolean"},
            "idempotent": {"description": "Calling twice is calling once.", "type": "boolean"},
            "batch": {
                "description": "Calls that share one pass through the model.",
                "type": "object",
                "required": ["maxSize", "maxWaitSeconds"],
                "properties": {
                    "maxSize": {"description": "calls", "type": "integer", "minimum": 1, "maximum": 10_000},
                    "maxWaitSeconds": {
                        "description": "for how long the first call waits for company",
                        "type": "number",
                        "minimum": 0,
                        "maximum": 3600,
                    },
                },
            },
            "aliasOf": {"description": "The function whose model answers."} | _NAME_SCHEMA,
        },
    }


def _status() -> dict[str, Any]:
    return {
        "description": "What the function says of itself, and which model answers.",
        "type": "object",
        "required": ["documentation", "parametersSchema", "resultSchema"],
        "properties": {
            "documentation": {"type": "string", "maxLength": _WORDS},
            "parametersSchema": {"description": "JSON Schema, as text.", "type": "string", "maxLength": _SCHEMA},
            "resultSchema": {"description": "JSON Schema, as text.", "type": "string", "maxLength": _SCHEMA},
            "model": {
                "type": "object",
                "required": ["name", "sha256"],
                "properties": {
                    "name": {"type": "string", "maxLength": 1024},
                    "sha256": {"type": "string", "maxLength": 64},
                },
            },
            "replicas": {"type": "integer", "minimum": 0},
            "vocabulary": {
                "description": "The classes that a detector knows.",
                "type": "array",
                "maxItems": 10_000,
                "items": {"type": "string", "maxLength": 256},
            },
        },
    }
