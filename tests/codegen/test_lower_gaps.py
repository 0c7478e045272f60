"""The tables of what the runner's interpreter lacks are true of the release that we have: an upgrade shows here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicem_codegen.lower.classes import NO_SPECIAL
from dicem_codegen.lower.exceptions import NO_ATTRIBUTES
from dicem_codegen.lower.gaps import MODULES, NO_BUILTINS, NO_EXCEPTIONS, NO_METHODS, NOT_IN_MODULES

from ..shared.conftest import Desk

VALUES = {"str": "'a'", "int": "(1)", "float": "1.5", "set": "{1}", "range": "range(3)"}


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    opened = Desk()
    yield opened
    opened.close()


def told(desk: Desk, *lines: str) -> str:
    """What a body ends with, in words."""
    body = "".join(f"    {line}\n" for line in lines)
    found = desk.sandboxed(f"def execute_command(image):\n{body}")
    return ": ".join(found.error) if found.error else str(found.value)


@pytest.mark.parametrize("name", sorted(NO_BUILTINS | NO_EXCEPTIONS | {"callable"}))
def test_a_builtin_that_is_missing(desk: Desk, name: str) -> None:
    assert told(desk, name) == f"NameError: name '{name}' is not defined"


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in NO_METHODS.items() for name in sorted(names)]
)
def test_a_method_that_is_missing(desk: Desk, kind: str, name: str) -> None:
    assert told(desk, f"{VALUES[kind]}.{name}") == f"AttributeError: '{kind}' object has no attribute '{name}'"


@pytest.mark.parametrize("name", sorted(NO_ATTRIBUTES))
def test_an_attribute_that_no_exception_has(desk: Desk, name: str) -> None:
    assert told(desk, f"return [hasattr(kind('a'), '{name}') for kind in (OSError, StopIteration)]") == "[False, False]"


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in NOT_IN_MODULES.items() for name in sorted(names)]
)
def test_a_word_of_a_module_that_is_missing(desk: Desk, module: str, name: str) -> None:
    assert told(desk, f"import {module}", f"return hasattr({module}, '{name}')") == "False"


@pytest.mark.parametrize("module", sorted(MODULES - {"__future__"}))
def test_a_module_that_there_is(desk: Desk, module: str) -> None:
    assert told(desk, f"import {module}") == "None"


@pytest.mark.parametrize("module", ["statistics", "string", "operator", "heapq", "contextlib", "abc", "enum"])
def test_a_module_that_there_is_not(desk: Desk, module: str) -> None:
    assert told(desk, f"import {module}").startswith("ModuleNotFoundError")


UNCALLED = {
    "__len__": "len(a)", "__bool__": "(2 if a else 3)", "__lt__": "a < a", "__le__": "a <= a", "__gt__": "a > a",
    "__ge__": "a >= a", "__ne__": "a != a", "__reversed__": "list(reversed(a))", "__format__": "f'{a:x}'",
    "__getattr__": "a.missing",
}  # fmt: skip


@pytest.mark.parametrize(("name", "expression"), UNCALLED.items())
def test_a_special_method_that_nobody_calls(desk: Desk, name: str, expression: str) -> None:
    assert name in NO_SPECIAL
    lines = [
        "class A:",
        f"    def {name}(self, *rest):",
        "        raise KeyError('called')",
        "a = A()",
        f"return {expression}",
    ]
    assert "KeyError" not in told(desk, *lines)


@pytest.mark.parametrize(
    ("lines", "here"),
    [
        (["return round(2.675, 2)"], "2.68"),  # 2.67 in CPython
        (["try:", "    raise ValueError('x')", "except ValueError as e:", "    return type(e) is ValueError"], "False"),
        (["return [1].append"], "AttributeError: 'list' object has no attribute 'append'"),
        (["return sorted('ab', key=str.lower)"], "AttributeError: type object 'str' has no attribute 'lower'"),
        (["xs = [1, 2]", "out = []", "for i, x in enumerate(xs):", "    out.append(x)", "    xs.append(3)" ,
          "    if i > 3:", "        break", "return out"], "[1, 2]"),  # [1, 2, 3, 3, 3] in CPython
        (["return next(zip([1], [2]))"], "TypeError: 'list' object is not an iterator"),
        (["raise ValueError(3)"],
         "RuntimeError: Internal error in monty: exceptions can only be called with zero or one string argument"),
        (["import sys", "print('x', file=sys.stderr)", "return 1"], "1"),
        (["def f(x: Missing): pass", "return 1"], "1"),  # a NameError in CPython
    ],
)  # fmt: skip
def test_what_means_something_else_there(desk: Desk, lines: list[str], here: str) -> None:
    assert told(desk, *lines) == here
