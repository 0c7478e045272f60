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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, WithJsonSchema, create_model

from .errors import ConfigError, InvalidCall, UnknownFunction
from .types import Handle, Site

API_VERSION = "hermod.dicem.io/v1"
ImageParam = Annotated[
    Handle, WithJsonSchema({"type": "string", "format": "binary", "python_type": "PIL.Image.Image", "title": "Image"})
]
"""A parameter that takes a patch.  Programs hand over handles; people and HTTP clients hand over image bytes."""
RESERVED = frozenset({"site", "at", "deadline_s", "priority"})
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
        try:
            return self.result.dump_python(self.result.validate_python(result), mode="json", by_alias=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise InvalidCall(f"{self.name} gave a result that its schema does not allow: {first['msg']}") from None

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

    :raises ConfigError: no docstring, an untyped or reserved parameter, or no return type
    """

    def declare(declared: Callable[..., Any]) -> FunctionSpec:
        name = declared.__name__
        documentation = inspect.cleandoc(declared.__doc__ or "")
        if not documentation:
            raise ConfigError(f"function {name} has no docstring", todo="Say in one sentence what it answers.")
        hints = typing.get_type_hints(declared, include_extras=True)
        if "return" not in hints:
            raise ConfigError(f"function {name} has no return type", todo="Annotate what it returns.")
        fields: dict[str, Any] = {}
        for parameter in inspect.signature(declared).parameters.values():
            if parameter.name not in hints or parameter.name in RESERVED:
                raise ConfigError(f"function {name}: parameter {parameter.name} is untyped or reserved")
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints[parameter.name], default)
        parameters = create_model("Parameters", __config__=ConfigDict(extra="forbid"), **fields)
        result: TypeAdapter[Any] = TypeAdapter(hints["return"])
        return FunctionSpec(
            name=name,
            documentation=documentation,
            parameters=parameters,
            result=result,
            parameters_schema=parameters.model_json_schema(),
            result_schema=result.json_schema(by_alias=True),
            sites=sites,
            equivalent=equivalent,
            pure=pure,
            idempotent=idempotent,
            batch=batch or Batch(),
            alias_of=alias_of,
        )

    return declare


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

    def get(self, name: str) -> FunctionSpec:
        """The function of that name.

        :raises UnknownFunction: none; says which names come near
        """
        if name in self._specs:
            return self._specs[name]
        near = difflib.get_close_matches(name, self._specs, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else "`dicem functions` lists them."
        raise UnknownFunction(f"no function is called {name!r}", todo=hint)


OutputKind = Literal["yaml", "json", "table"]
