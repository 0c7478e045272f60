"""The compiler: from a query and a serial program to a distributed one.

from dicem_codegen import compile_program

print(compile_program(source, link="satellite").source)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .types import CallSite, CompiledProgram, Diagnostic, Placement, Plan

if TYPE_CHECKING:
    from .compile import compile_program

__all__ = ["CallSite", "CompiledProgram", "Diagnostic", "Placement", "Plan", "compile_program"]


def __getattr__(name: str) -> Any:
    """The compiler itself is loaded by those who compile: `dicem` asks every part for its commands at each start."""
    if name == "compile_program":
        from .compile import compile_program

        return compile_program
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
