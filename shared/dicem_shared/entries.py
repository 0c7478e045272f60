"""How the runner calls a program's entry: what each of its parameters is given."""

from __future__ import annotations

import ast
from typing import Final

NEUTRAL: Final = {
    "question": '""', "query": '""', "query_text": '""', "prompt": '""',
    "possible_answers": "[]", "options": "[]", "option_list": "[]", "choices": "[]", "answers": "[]",
}  # fmt: skip
"""ViperGPT's programs for video take the question and its possible answers too, which a frame on a vehicle does not
bring: they get none."""


def frame_argument(parameter: str) -> str:
    """The expression that the parameter of a frame is given, as its name asks for."""
    if parameter.endswith("patch"):
        return "ImagePatch(_frame)"
    if "video" in parameter:
        return "_frames"
    if parameter.endswith(("filename", "path", "file")):
        return '"frame"'
    return "PILImage(_frame)"


def call_arguments(arguments: ast.arguments) -> list[str] | None:
    """The expressions with which an entry of these parameters is called; None if it cannot be called with a frame."""
    required = len(arguments.args) - len(arguments.defaults)
    more = [argument.arg for argument in arguments.args[1:required]]
    if arguments.posonlyargs or not arguments.args or any(default is None for default in arguments.kw_defaults):
        return None
    if any(name not in NEUTRAL for name in more):
        return None
    return [frame_argument(arguments.args[0].arg), *[NEUTRAL[name] for name in more]]
