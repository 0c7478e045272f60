"""Functions: declared as typed Python, known everywhere by documentation and schemas.

    @function(sites=("edge", "cloud"), pure=True)
    def depth(image: ImageParam) -> DepthResult:
        '''How far away the thing in the image is.'''

The signature gives `parametersSchema`, the return annotation `resultSchema`, the docstring the documentation: what
an operator reads with `dicem functions`, a language model in its prompt and the checker before a program runs.
"""

from __future__ import annotations

import difflib
import inspect
import json
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, WithJsonSchema, create_model
from pydantic.errors import PydanticUserError

from .errors import ConfigError, InvalidCall, MessageError, UnknownFunction
from .ids import digest
from .topics import check_id
from .types import Handle, Site, is_finite

API_VERSION = "hermod.dicem.io/v1"
ImageParam = Annotated[
    Handle, WithJsonSchema({"type": "string", "format": "binary", "python_type": "PIL.Image.Image", "title": "Image"})
]
"""A parameter that takes a patch.  Programs hand over handles; people and HTTP clients hand over image bytes."""
RESERVED = frozenset({"site", "at", "deadline_s", "priority", "away"})
"""Keywords of `hermod.call` itself: no function may have a parameter of such a name."""


@dataclass(frozen=True)
class Batch:
    """How many calls may share one pass through the model, and how long the first waits for company."""

    max_size: int = 1
    max_wait_s: float = 0.0


@dataclass(frozen=True)
class FunctionSpec:
    """A function as Hermod knows it.

    `equivalent`: its sites may be chosen between freely, because they give the same answers; otherwise a program gets
    the site that its plan names and no other.
    """

    name: str
    documentation: str
    parameters: type[BaseModel]
    result: TypeAdapter[Any]
    parameters_schema: dict[str, Any]
    result_schema: dict[str, Any]
    sites: tuple[Site, ...] = ("cloud",)
    equivalent: bool = False
    pure: bool = True
    idempotent: bool = True
    batch: Batch = field(default_factory=Batch)
    alias_of: str | None = None

    @property
    def image_parameters(self) -> tuple[str, ...]:
        """The parameters that take a patch."""
        properties = self.parameters_schema.get("properties", {})
        return tuple(name for name, schema in properties.items() if schema.get("format") == "binary")

    @property
    def version(self) -> str:
        """The same as long as calls look the same and mean the same: its schemas and its promises, not its words."""
        schemas = [_without_words(self.parameters_schema), _without_words(self.result_schema)]
        return digest("function", self.name, schemas, [self.pure, self.idempotent, self.equivalent])

    def check_params(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters, validated and with defaults left out.

        :raises InvalidCall: they do not fit
        """
        try:
            model = self.parameters.model_validate(params)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            known = ", ".join(self.parameters.model_fields)
            raise InvalidCall(
                f"{self.name}: {where}: {first['msg']}", expected=f"{self.name}({known})", got=", ".join(params)
            ) from None
        return model.model_dump(exclude_unset=True)

    def check_result(self, result: Any) -> Any:
        """The result as plain values.

        :raises InvalidCall: the implementation broke its promise
        """
        refused = f"{self.name} gave a result that its schema does not allow"
        try:
            plain = self.result.dump_python(self.result.validate_python(result), mode="json", by_alias=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InvalidCall(
                f"{refused}: {where}: {first['msg']}" if where else f"{refused}: {first['msg']}"
            ) from None
        if not is_finite(plain):
            raise InvalidCall(f"{refused}: it holds a number that is not finite")
        return plain

    def resource(self, status: dict[str, Any] | None = None) -> dict[str, Any]:
        """The Kubernetes-like resource that `dicem functions NAME -o yaml` prints."""
        return {
            "apiVersion": API_VERSION,
            "kind": "Function",
            "metadata": {"name": self.name},
            "spec": {
                "sites": list(self.sites),
                "equivalent": self.equivalent,
                "pure": self.pure,
                "idempotent": self.idempotent,
                "batch": {"maxSize": self.batch.max_size, "maxWaitSeconds": self.batch.max_wait_s},
                **({"aliasOf": self.alias_of} if self.alias_of else {}),
            },
            "status": {
                "documentation": self.documentation,
                "parametersSchema": json.dumps(self.parameters_schema),
                "resultSchema": json.dumps(self.result_schema),
                **(status or {}),
            },
        }


def _without_words(schema: Any) -> Any:
    """A JSON Schema without what is only for readers."""
    if isinstance(schema, list):
        return [_without_words(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in ("title", "description", "examples")}
    return {
        key: {name: _without_words(part) for name, part in value.items()}  # what it maps are names, not keywords
        if key in ("properties", "$defs") and isinstance(value, dict) else _without_words(value)
        for key, value in kept.items()
    }  # fmt: skip


def function(
    *,
    sites: tuple[Site, ...] = ("cloud",),
    equivalent: bool = False,
    pure: bool = True,
    idempotent: bool = True,
    batch: Batch | None = None,
    alias_of: str | None = None,
) -> Callable[[Callable[..., Any]], FunctionSpec]:
    """Turn a typed signature into a `FunctionSpec`; the body, if any, is not used.

    :raises ConfigError: a name that cannot stand in a topic, no docstring, an untyped, reserved or variadic parameter,
        no return type, or a type that no JSON Schema describes
    """

    def declare(declared: Callable[..., Any]) -> FunctionSpec:
        name = declared.__name__
        try:
            check_id(name, f"function {name}")
        except MessageError as cause:
            raise ConfigError(str(cause)) from None
        documentation = inspect.cleandoc(declared.__doc__ or "")
        if not documentation:
            raise ConfigError(f"function {name} has no docstring", todo="Say in one sentence what it answers.")
        try:
            hints = typing.get_type_hints(declared, include_extras=True)
            if "return" not in hints:
                raise ConfigError(f"function {name} has no return type", todo="Annotate what it returns.")
            parameters = create_model(
                "Parameters", __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **_fields(declared, hints)
            )
            result: TypeAdapter[Any] = TypeAdapter(hints["return"])
            parameters_schema, result_schema = parameters.model_json_schema(), result.json_schema(by_alias=True)
        except (PydanticUserError, NameError, TypeError, ValueError) as cause:
            got = str(cause).splitlines()[0]
            raise ConfigError(f"function {name}: its types make no schema", got=got) from None
        return FunctionSpec(
            name=name,
            documentation=documentation,
            parameters=parameters,
            result=result,
            parameters_schema=parameters_schema,
            result_schema=result_schema,
            sites=sites,
            equivalent=equivalent,
            pure=pure,
            idempotent=idempotent,
            batch=batch or Batch(),
            alias_of=alias_of,
        )

    return declare


def _fields(declared: Callable[..., Any], hints: dict[str, Any]) -> dict[str, Any]:
    """Type and default of each parameter, as pydantic wants them."""
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(declared).parameters.values():
        where = f"function {declared.__name__}: parameter {parameter.name}"
        if parameter.name not in hints:
            raise ConfigError(f"{where} has no type", todo="Annotate it.")
        if parameter.name in RESERVED or parameter.name.startswith(("_", "model_")):  # pydantic's own
            raise ConfigError(f"{where} has a reserved name", todo="Call it something else.")
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(f"{where} is variadic", expected="parameters that each have a name")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    return fields


class Registry:
    """The functions somebody can call, by name."""

    def __init__(self, specs: Iterable[FunctionSpec] = ()) -> None:
        self._specs: dict[str, FunctionSpec] = {}
        for spec in specs:
            self.add(spec)

    def add(self, spec: FunctionSpec) -> None:
        """Add one.

        :raises ConfigError: the name is taken
        """
        if spec.name in self._specs:
            raise ConfigError(f"two functions are called {spec.name}")
        self._specs[spec.name] = spec

    def __iter__(self) -> Iterator[FunctionSpec]:
        return iter(sorted(self._specs.values(), key=lambda spec: spec.name))

    def __len__(self) -> int:
        return len(self._specs)

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def changed_since(self, versions: Mapping[str, str]) -> dict[str, Literal["missing", "changed"]]:
        """Those of the named functions that are not there, or not as they were, by name."""
        found: dict[str, Literal["missing", "changed"]] = {}
        for name, version in sorted(versions.items()):
            if name not in self:
                found[name] = "missing"
            elif self.get(name).version != version:
                found[name] = "changed"
        return found

    def get(self, name: str) -> FunctionSpec:
        """The function of that name.

        :raises UnknownFunction: none; says which names come near
        """
        if name in self._specs:
            return self._specs[name]
        name = name[:64]
        near = difflib.get_close_matches(name, self._specs, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else "`dicem functions` lists them."
        raise UnknownFunction(f"no function is called {name!r}", todo=hint)


OutputKind = Literal["yaml", "json", "table"]
