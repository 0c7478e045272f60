"""What the passes know of the prelude: which of its words make calls, and what kind of value each gives."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from ..walking import walk


@dataclass(frozen=True)
class Remote:
    """A method or function of the prelude that makes calls.

    `parameters`: its parameters in order, without `self`; `required`: how many must be given; `again`: those that its
    `finish` takes too, after the result.
    """

    name: str
    owner: str
    """the class, or "" for a function of the module"""
    functions: tuple[str, ...]
    parameters: tuple[str, ...]
    required: int
    again: tuple[str, ...] = ()

    def accepts(self, call: ast.Call) -> bool:
        """Whether the arguments fit; those that do not are left to fail as they would."""
        if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
            return not self.again
        given = [*self.parameters[: len(call.args)], *[k.arg for k in call.keywords]]
        fits = len(call.args) <= len(self.parameters) and len(set(given)) == len(given)
        return fits and set(given) <= set(self.parameters) and set(self.parameters[: self.required]) <= set(given)


_FIND = ("yolov8", "glip")
METHODS: Final[dict[str, Remote]] = {
    remote.name: remote
    for remote in (
        Remote("find", "ImagePatch", _FIND, ("object_name",), 1),
        Remote("exists", "ImagePatch", _FIND, ("object_name",), 1),
        Remote("verify_property", "ImagePatch", ("xvlm",), ("object_name", "property"), 2),
        Remote("best_text_match", "ImagePatch", ("xvlm",), ("option_list", "prefix"), 1, ("option_list",)),
        Remote("simple_query", "ImagePatch", ("blip2",), ("question",), 0),
        Remote("llm_query", "ImagePatch", ("llm",), ("question", "long_answer"), 1),
        Remote("compute_depth", "ImagePatch", ("depth",), (), 0),
        Remote("select_answer", "VideoSegment", ("llm",), ("info", "question", "options"), 2, ("options",)),
    )
}
FUNCTIONS: Final[dict[str, Remote]] = {
    remote.name: remote
    for remote in (
        Remote("llm_query", "", ("llm",), ("query", "context", "long_answer"), 1),
        Remote("process_guesses", "", ("llm",), ("prompt", "guess1", "guess2"), 1, ("guess1", "guess2")),
        Remote("best_image_match", "", ("xvlm",), ("list_patches", "content", "return_index"), 2),
    )
}
CLASSES: Final = {"ImagePatch": "patch", "VideoSegment": "video"}
"""the classes that have remote methods, and the kind of their instances"""
PATCH_NUMBERS: Final = frozenset(
    {"left", "lower", "right", "upper", "width", "height", "horizontal_center", "vertical_center"}
)
START_SUFFIX: Final = "_start"
FINISH_SUFFIX: Final = "_finish"
ENTRIES: Final = ("execute_command", "execute_query")


def _text(name: str) -> str:
    return resources.files("hermod").joinpath(name).read_text(encoding="utf-8")


@cache
def prelude_globals() -> frozenset[str]:
    """Every name that the sandbox's bootstrap and prelude, or the runner, bind before a program's first line."""
    names = {"_frame", "_frames", "hermod", "_hermod_host"}
    for file in ("prelude.py", "bootstrap.py"):
        for node in ast.parse(_text(file)).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.Import):
                names |= {alias.asname or alias.name for alias in node.names}
            elif isinstance(node, ast.Assign):
                names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(names)


@cache
def prelude_reads() -> frozenset[str]:
    """Every name that a function of the prelude looks up in the module or among the builtins."""
    names = set()
    for file in ("prelude.py", "bootstrap.py"):
        tree = ast.parse(_text(file))
        names |= {node.id for node in walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return frozenset(names)


RUNNER_MODULES: Final = frozenset(
    {
        "asyncio", "base64", "binascii", "bisect", "collections", "copy", "csv", "dataclasses", "datetime",
        "decimal", "functools", "hashlib", "itertools", "json", "math", "os", "pathlib", "posixpath", "random", "re",
        "sys", "time", "tomllib", "typing", "unicodedata",
    }
)  # fmt: skip
"""Modules that the runner's interpreter has, in part; a test asks it."""
