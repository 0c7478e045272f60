"""Functions from a file: what `dicem functions -o yaml` (or `-o json`) prints, read back.

    functions = load_functions(Path("functions.yaml"))

A compiler needs to know the functions of a cloud it cannot reach; this is how it is told.  The schemas in the file stay
as they are; what checks parameters and results is built from them.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError

from .camera import Strict
from .config import parse_config
from .errors import ConfigError, MessageError
from .functions import RESERVED, Batch, FunctionSpec, Registry
from .schema_types import type_of
from .topics import check_id
from .types import Site

MAX_BYTES: Final = 500_000
_API: Final = re.compile(r"hermod(\.[a-z0-9-]+)+/v1")
_NO_DATES: Final = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Loader(yaml.SafeLoader):
    """Plain YAML without dates: documentation that looks like one is text."""

    yaml_implicit_resolvers = _NO_DATES


def _unpacked(value: Any) -> Any:
    """A schema is printed as JSON text, as in Kubernetes; a plain mapping will do."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None


Schema = Annotated[dict[str, Any], BeforeValidator(_unpacked)]


class _Lenient(BaseModel):
    """What is printed may hold more than is needed here: replicas, model ids, profiles."""

    model_config = ConfigDict(extra="ignore")


class _Metadata(_Lenient):
    name: str


class _BatchSpec(Strict):
    maxSize: Annotated[int, Field(ge=1, le=10_000)] = 1  # noqa: N815 - as Kubernetes spells
    maxWaitSeconds: Annotated[float, Field(ge=0, le=3600)] = 0.0  # noqa: N815


class _Spec(_Lenient):
    sites: Annotated[tuple[Site, ...], Field(min_length=1)] = ("cloud",)
    equivalent: bool = False
    pure: bool = True
    idempotent: bool = True
    batch: _BatchSpec = Field(default_factory=_BatchSpec)
    aliasOf: str | None = None  # noqa: N815


class _Status(_Lenient):
    documentation: Annotated[str, Field(max_length=20_000)] = ""
    parametersSchema: Schema  # noqa: N815
    resultSchema: Schema  # noqa: N815


class _Resource(_Lenient):
    metadata: _Metadata
    spec: _Spec = Field(default_factory=_Spec)
    status: _Status


def load_functions(path: Path) -> Registry:
    """The functions in a file: YAML documents, a JSON object, a list of resources or a Kubernetes `List`.

    :raises ConfigError: it cannot be read, holds no functions, or two of one name; says where
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as cause:  # ValueError: not UTF-8, or a path that no file can have
        got = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        raise ConfigError(f"functions {path} cannot be read", got=got) from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"functions {path}: too long", expected=f"at most {MAX_BYTES} bytes")
    registry = Registry()
    for where, resource in _resources(_documents(text, path), str(path)):
        registry.add(spec_of(resource, where=where))
    if not len(registry):
        raise ConfigError(f"{path} holds no functions", todo="Make one with: dicem functions -o yaml")
    return registry


def _documents(text: str, path: Path) -> list[Any]:
    if text.lstrip()[:1] in ("{", "["):
        try:
            return [json.loads(text)]
        except (ValueError, RecursionError):
            pass  # YAML's braces, maybe
    try:
        return list(yaml.load_all(text, Loader=_Loader))
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        line = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        got = " ".join(str(getattr(cause, "problem", None) or cause).split())[:80]
        raise ConfigError(f"{path}{line}: not YAML", got=got) from None
    except (ValueError, KeyError, RecursionError) as cause:  # PyYAML's own
        raise ConfigError(f"{path}: not YAML that can be used", got=str(cause)[:80]) from None


def _resources(documents: list[Any], where: str) -> Iterator[tuple[str, Any]]:
    """Each resource with the place where it stands, for messages."""
    for number, document in enumerate(documents, start=1):
        place = where if len(documents) == 1 else f"{where}: document {number}"
        items = document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else document
        if isinstance(items, list):
            yield from ((f"{place}: item {index}", item) for index, item in enumerate(items, start=1))
        elif items is not None:  # nothing between two `---`
            yield place, items


def spec_of(resource: Any, *, where: str = "function") -> FunctionSpec:
    """A function from its resource; `FunctionSpec.resource` is the way back.

    :raises ConfigError: no function, or its schemas cannot be used
    """
    if not isinstance(resource, dict) or resource.get("kind") != "Function":
        got = str(resource.get("kind", "no kind"))[:40] if isinstance(resource, dict) else type(resource).__name__
        raise ConfigError(f"{where}: not a function", expected="kind: Function", got=got)
    api = resource.get("apiVersion")
    if not isinstance(api, str) or not _API.fullmatch(api):
        raise ConfigError(f"{where}: apiVersion", expected="hermod.dicem.io/v1", got=str(api)[:60])
    read = parse_config(_Resource, resource, where=where)
    name = read.metadata.name
    where = f"{where}: function {name[:64]}"
    try:
        check_id(name, where)
    except MessageError as cause:
        raise ConfigError(str(cause)) from None
    return FunctionSpec(
        name=name,
        documentation=read.status.documentation,
        parameters=_parameters(read.status.parametersSchema, where),
        result=_result(read.status.resultSchema, where),
        parameters_schema=read.status.parametersSchema,
        result_schema=read.status.resultSchema,
        sites=read.spec.sites,
        equivalent=read.spec.equivalent,
        pure=read.spec.pure,
        idempotent=read.spec.idempotent,
        batch=Batch(read.spec.batch.maxSize, read.spec.batch.maxWaitSeconds),
        alias_of=read.spec.aliasOf,
    )


def _parameters(schema: dict[str, Any], where: str) -> type[BaseModel]:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        raise ConfigError(f"{where}: parametersSchema", expected="an object with `properties` and `required`")
    fields: dict[str, Any] = {}
    for name, property_schema in properties.items():
        if not isinstance(name, str) or not name.isidentifier() or name in RESERVED or name.startswith(("_", "model_")):
            raise ConfigError(f"{where}: a parameter cannot be called {str(name)[:40]!r}")
        default = ... if name in required else None
        fields[name] = (type_of(property_schema, schema, f"{where}: parameter {name}"), default)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a parameter may be called as a method of pydantic's
            return create_model("Parameters", __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)
    except _NO_MODEL as cause:
        raise ConfigError(f"{where}: parametersSchema cannot be used", got=_first_line(cause)) from None


def _result(schema: dict[str, Any], where: str) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(type_of(schema, schema, f"{where}: resultSchema"))
    except _NO_MODEL as cause:
        raise ConfigError(f"{where}: resultSchema cannot be used", got=_first_line(cause)) from None


_NO_MODEL: Final = (PydanticUserError, ValidationError, NameError, TypeError, ValueError, RecursionError)


def _first_line(cause: BaseException) -> str:
    return (str(cause).splitlines() or [type(cause).__name__])[0][:80]
