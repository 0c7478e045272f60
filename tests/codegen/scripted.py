"""A world whose answers stand in the test: patches are told apart by their left edge, calls by what they ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from dicem_codegen.verify.chance import Traits
from dicem_codegen.verify.trace_graph import Graph, Node
from dicem_codegen.verify.world import World
from dicem_shared.runner import Outcome
from dicem_shared.types import Failure

Answers = dict[str, Any]
FRAME = (1000, 100)


class Scripted(World):
    """`answers`: from a call's name (see `name_of`) to its answer: a number of patches for `find`, a bool for
    `exists` (found or not) and `verify_property`, text, metres, or an exception, which is how it fails.  What is not
    named: 3 patches, yes, "some", 7.0 metres.
    """

    def __init__(self, answers: Answers | None = None, seconds: Callable[[str], float] | None = None) -> None:
        super().__init__(0)
        object.__setattr__(self, "_answers", answers or {})
        object.__setattr__(self, "_seconds", seconds or (lambda name: 1.0))

    @cached_property
    def traits(self) -> Traits:
        return Traits(FRAME, (), 0.0, "", "equal", 3, 100)

    def outcome(self, name: str, params: dict[str, Any], occurrence: int = 0) -> Outcome:
        said = self._answers.get(name_of(name, params))  # type: ignore[attr-defined]
        if isinstance(said, Exception):
            return Outcome(failure=Failure(kind=type(said).__name__, message=str(said)))
        return Outcome(result=_result(name, params, said, occurrence))

    def latency(self, name: str, params: dict[str, Any], occurrence: int = 0) -> float:
        seconds: float = self._seconds(name_of(name, params))  # type: ignore[attr-defined]
        return seconds


def name_of(function: str, params: dict[str, Any]) -> str:
    """`find litter`, `depth 20`, `verify 20 red`, `ask 20 what?`, `llm text`, `log_event text`, `match 20`; the number
    is the left edge of the patch, absent for the whole frame."""
    image = params.get("image")
    left = f" {image['box'][0]}" if image and image["box"][2] != FRAME[0] else ""
    match function:
        case "glip":
            return f"find{left} {params['object_name']}"
        case "xvlm":
            return f"match{left}" if "options" in params else f"verify{left} {params['property']}"
        case "blip2":
            return f"ask{left} {params['query']}"
        case "llm":
            return f"llm {params['prompt']}"
        case "log_event":
            return f"log {params['text']}"
    return f"{function}{left}"


def _result(name: str, params: dict[str, Any], said: Any, occurrence: int) -> Any:
    match name:
        case "glip":
            count = 3 if said is None else int(said)
            left, width = (100, 10) if params["image"]["box"][2] == FRAME[0] else (0, 1)
            return [
                {
                    "x": (index + 1) * left + (0 if left else index * 2),
                    "y": 0,
                    "width": width,
                    "height": 10,
                    "score": 1.0,
                }
                for index in range(count)
            ]
        case "xvlm":
            scores = (
                [float(index + 1 == len(params["options"])) for index in range(len(params["options"]))]
                if ("options" in params)
                else []
            )
            return {"result": True if said is None else said, "score": 1.0, "scores": scores}
        case "blip2" | "llm":
            return {"output": "some" if said is None else said}
        case "depth":
            return {"depth": 7.0 if said is None else said}
        case "log_event":
            return {"ok": True}
    return {"n": occurrence + 1}


def edges(graph: Graph) -> dict[str, str]:
    """For each node its name and, sorted, the names of those that it waits for directly: edges that follow from others
    left out.  Equal calls are numbered from the second on: `depth 100 #2`.
    """
    by_number = {node.number: node for node in graph.nodes}
    names: dict[int, str] = {}
    before: dict[int, frozenset[int]] = {}
    shown: dict[str, str] = {}
    for node in graph.nodes:
        names[node.number] = _name(node)
        inherited = frozenset().union(*(before[number] for number in node.after)) if node.after else frozenset()
        before[node.number] = node.after | inherited
        direct = sorted(node.after - inherited, key=lambda number: by_number[number].number)
        shown[names[node.number]] = ", ".join(names[number] for number in direct)
    return shown


def _name(node: Node) -> str:
    name = f"print {node.params['text'].strip()}" if node.kind == "print" else name_of(node.function, node.params)
    return name + (f" #{node.occurrence + 1}" if node.occurrence else "")
