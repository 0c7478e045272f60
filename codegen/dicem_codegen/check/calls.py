"""Calls: is there such a function, and does it take these parameters?"""

from __future__ import annotations

import ast
import inspect
from functools import cache
from typing import Any, Final

import hermod
import hermod.prelude
from dicem_shared.errors import UnknownFunction
from dicem_shared.functions import RESERVED, FunctionSpec

from .near import did_you_mean
from .subject import Subject

_UNKNOWN: Final = object()
_NO_TEXT: Final = (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp)
_MODULE_FUNCTIONS: Final = frozenset(
    {"best_image_match", "distance", "bool_to_yesno", "llm_query", "coerce_to_numeric", "process_guesses"}
)
_OWN_METHODS: Final = frozenset(
    {"verify_property", "best_text_match", "simple_query", "llm_query", "compute_depth", "overlaps_with",
     "frame_from_index", "frame_iterator", "select_answer"}
)  # fmt: skip
"""Methods of the prelude's classes whose names nothing else in Python has."""


def check_calls(subject: Subject) -> None:
    """Unknown functions and wrong parameters of `hermod.call`; wrong arguments of the prelude's words."""
    defined = {node.name for node in subject.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    defined |= {n.attr for n in subject.nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    for node in subject.nodes:
        if not isinstance(node, ast.Call):
            continue
        origin = subject.origin(node.func) or ""
        if origin in ("hermod.call", "hermod.call_sync"):
            _check_call(subject, node, origin)
        elif origin.startswith("hermod.") and origin.count(".") == 1:
            _check_word(subject, node, origin)
        elif origin in _MODULE_FUNCTIONS or origin in ("ImagePatch", "VideoSegment"):
            check_arguments(subject, node, origin, getattr(hermod.prelude, origin), method=False)
        elif isinstance(node.func, ast.Attribute) and node.func.attr in _OWN_METHODS - defined:
            check_method(subject, node, node.func.attr)


def check_method(subject: Subject, node: ast.Call, name: str) -> None:
    """Whether a method of ImagePatch or VideoSegment takes these arguments."""
    if subject.origin(node.func) is not None:  # of a module that happens to have such a function
        return
    for owner in (hermod.prelude.ImagePatch, hermod.prelude.VideoSegment):
        if hasattr(owner, name):
            check_arguments(subject, node, name, getattr(owner, name), method=True)


def check_arguments(subject: Subject, node: ast.Call, name: str, function: Any, *, method: bool) -> None:
    """Warn where CPython would raise a TypeError, because the arguments do not fit."""
    if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
        return
    signature = _signature(function)
    receiver = [None] if method else []
    try:
        signature.bind(*receiver, *node.args, **{k.arg: None for k in node.keywords if k.arg is not None})
    except TypeError as cause:
        shown = signature.replace(parameters=list(signature.parameters.values())[1:]) if method else signature
        subject.say(node, "warning", "arguments", f"{name}: {cause}: a TypeError in this line", f"It is {name}{shown}")


@cache
def _signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


def _check_word(subject: Subject, node: ast.Call, origin: str) -> None:
    word = origin.removeprefix("hermod.")
    if word in hermod.__all__:
        return
    if word in subject.functions:
        hint = f'Write hermod.call("{word}", ...)'
    else:
        hint = did_you_mean(word, hermod.__all__, "Functions are called by hermod.call(name, ...)")
    subject.say(node, "error", "unknown-function", f"hermod has no {word}", hint)


def _check_call(subject: Subject, node: ast.Call, origin: str) -> None:
    given = {keyword.arg: keyword for keyword in node.keywords if keyword.arg is not None}
    open_ended = len(given) < len(node.keywords)
    if any(isinstance(argument, ast.Starred) for argument in node.args):
        return
    if not node.args:
        if not open_ended:
            named = given.get("name") or given.get("function")
            what = f'"{value}"' if isinstance(value := named and constant(named.value), str) else '"..."'
            subject.say(
                node, "error", "call-parameters", f"{origin}: no function is named", f"Write {origin}({what}, ...)"
            )
        return
    name = node.args[0]
    if isinstance(name, _NO_TEXT) or (isinstance(name, ast.Constant) and not isinstance(name.value, str)):
        hint = "`dicem functions` lists them"
        subject.say(name, "error", "unknown-function", f"{origin}: the first argument is a function's name", hint)
        return
    spec = _named(subject, name)
    if len(node.args) > 1:
        shown = _shown(spec) if spec else "name, image=..., question=..."
        hint = f"Write {origin}({shown})"
        subject.say(node.args[1], "error", "call-parameters", f"{origin}: parameters are given by name", hint)
    elif spec is not None:
        _check_parameters(subject, node, spec, given, open_ended=open_ended)
    _check_options(subject, given, spec)


def _named(subject: Subject, name: ast.expr) -> FunctionSpec | None:
    """The function that a constant names; None if it is not constant, or said to be unknown."""
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
        return None
    try:
        return subject.functions.get(name.value)
    except UnknownFunction as cause:
        have = f"There are {', '.join(spec.name for spec in list(subject.functions)[:12])}"
        hint = cause.todo if cause.todo.startswith("Did you mean") else have
        subject.say(name, "error", "unknown-function", cause.what, hint)
        return None


def _shown(spec: FunctionSpec) -> str:
    return ", ".join([f'"{spec.name}"', *[f"{name}=..." for name in _required(spec)]])


def _required(spec: FunctionSpec) -> list[str]:
    return [name for name, field in spec.parameters.model_fields.items() if field.is_required()]


def _check_parameters(
    subject: Subject, node: ast.Call, spec: FunctionSpec, given: dict[str, ast.keyword], *, open_ended: bool
) -> None:
    known = list(spec.parameters.model_fields)
    missing = [name for name in _required(spec) if name not in given]
    unknown = [name for name in given if name not in known and name not in RESERVED]
    for name in unknown:
        takes = f"It takes {', '.join(known)}" if known else "It takes nothing"
        hint = f"Did you mean {missing[0]}?" if len(missing) == len(unknown) == 1 else did_you_mean(name, known, takes)
        subject.say(given[name], "error", "call-parameters", f"{spec.name} has no parameter {name}", hint)
    if missing and not unknown and not open_ended:
        message = f"{spec.name} needs {' and '.join(missing)}"
        subject.say(node, "error", "call-parameters", message, f"Write hermod.call({_shown(spec)})")
    if not unknown:
        _check_values(subject, spec, given)


def _check_values(subject: Subject, spec: FunctionSpec, given: dict[str, ast.keyword]) -> None:
    """Constants that the function's schema does not allow, by the validator that would refuse them when it runs."""
    values: dict[str, Any] = {}
    for name, keyword in given.items():
        if name in RESERVED:
            continue
        value = constant(keyword.value)
        may_be_none = value is None and not spec.parameters.model_fields[name].is_required()
        if (
            name in spec.image_parameters
            and isinstance(keyword.value, (ast.JoinedStr, ast.Constant))
            and not may_be_none
        ):
            subject.say(
                keyword.value, "error", "call-value", f"{spec.name}: {name}: a patch or an image is wanted here"
            )
        elif isinstance(value, (bytes, complex, type(...))):
            message = f"{spec.name}: {name}: {type(value).__name__} cannot be passed to a function"
            subject.say(keyword.value, "error", "call-value", message)
        elif value is not _UNKNOWN:
            values[name] = value
    for name, message in _wrong(spec, values):
        got = ast.unparse(given[name].value)[:40]
        subject.say(given[name].value, "error", "call-value", f"{spec.name}: {name}: {message}: got {got}")


def _wrong(spec: FunctionSpec, values: dict[str, Any]) -> list[tuple[str, str]]:
    """Parameters whose values do not fit, with what is wrong; those that are not given do not count."""
    from pydantic import ValidationError

    try:
        spec.parameters.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return list({str(e["loc"][0]): e["msg"] for e in reversed(found) if e["loc"] and e["loc"][0] in values}.items())
    return []


def constant(node: ast.expr) -> Any:
    """The plain value that an expression is, or `_UNKNOWN`."""
    match node:
        case ast.Constant():
            return node.value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List() | ast.Tuple():
            items = [constant(item) for item in node.elts]
            return _UNKNOWN if any(item is _UNKNOWN for item in items) else items
        case ast.Dict():
            return _UNKNOWN if node.keys else {}
    return _UNKNOWN


def _check_options(subject: Subject, given: dict[str, ast.keyword], spec: FunctionSpec | None) -> None:
    """`site`, `at`, `deadline_s` and `priority`, where they are constant."""
    from pydantic import ValidationError

    from dicem_shared.runner import CallOptions

    values = {name: constant(given[name].value) for name in sorted(RESERVED & given.keys())}
    values = {name: value for name, value in values.items() if value is not _UNKNOWN and value is not None}
    try:
        said = CallOptions.model_validate(values, strict=True)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            name = str(each["loc"][0])
            subject.say(given[name].value, "error", "call-value", f"hermod.call: {name}: {each['msg']}")
        return
    if spec is not None and said.site is not None and said.site not in spec.sites:
        message = f"{spec.name} does not run on the {said.site}: the site is left open"
        subject.say(given["site"], "warning", "site", message, f"It runs on the {' and the '.join(spec.sites)}")
