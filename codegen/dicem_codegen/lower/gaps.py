"""Words of Python that the runner's interpreter lacks or gets wrong, written with words that it has.

What is in these tables was tried, and `tests/codegen/test_lower_gaps.py` tries it again with each release.
"""

from __future__ import annotations

import ast
import builtins
from typing import Final

from ..walking import walk
from .build import located, name_of
from .exceptions import is_exception
from .order import is_quiet
from .refused import Refusals
from .scopes import Scope
from .unfold import Place, Replacement, Unfolding
from .values import NUMBERS, UNKNOWN, Box, Func, Value, named
from .words import RUNNER_MODULES

ALIASES: Final = {"IOError": "OSError", "EnvironmentError": "OSError"}
"""Other names of the same exception."""
NO_EXCEPTIONS: Final = frozenset(
    {"BlockingIOError", "BrokenPipeError", "BufferError", "BytesWarning", "ChildProcessError",
     "ConnectionAbortedError", "ConnectionError", "ConnectionRefusedError", "ConnectionResetError",
     "DeprecationWarning", "EOFError", "ExceptionGroup", "FloatingPointError", "GeneratorExit", "IndentationError",
     "InterruptedError", "ProcessLookupError", "ReferenceError", "RuntimeWarning", "StopAsyncIteration",
     "SystemError", "TabError", "UnicodeError", "UserWarning", "Warning"}
)  # fmt: skip
"""Exceptions that it lacks; nothing there raises them."""
NO_BUILTINS: Final = frozenset(
    {"aiter", "anext", "ascii", "breakpoint", "bytearray", "classmethod", "compile", "delattr", "dir", "exit",
     "globals", "help", "input", "issubclass", "memoryview", "quit", "staticmethod", "super", "vars", "__import__",
     "__build_class__"}
)  # fmt: skip
NOT_THE_SAME: Final = frozenset({"eval", "exec", "locals", "open", "property"})
"""Builtins that see the lowered program, or another world than the original's."""
_WORDS: Final = NO_EXCEPTIONS | NO_BUILTINS | NOT_THE_SAME | ALIASES.keys() | {"callable"}
NO_METHODS: Final[dict[str, frozenset[str]]] = {
    "str": frozenset({"translate", "maketrans", "format_map"}),
    "int": frozenset({"bit_length", "bit_count", "to_bytes", "from_bytes", "conjugate", "numerator", "denominator",
                      "real", "imag", "as_integer_ratio"}),
    "float": frozenset({"as_integer_ratio", "hex", "fromhex", "real", "imag", "conjugate"}),
    "set": frozenset({"difference_update", "intersection_update", "symmetric_difference_update"}),
    "range": frozenset({"start", "stop", "step", "index", "count"}),
}  # fmt: skip
MODULES: Final = RUNNER_MODULES | {"hermod", "PIL", "PIL.Image", "__future__", "os.path"}
"""Modules of the standard library, and ours, that there are; others of the standard library are missing there."""
NOT_IN_MODULES: Final[dict[str, frozenset[str]]] = {
    "collections": frozenset({"OrderedDict", "ChainMap", "UserDict", "UserList", "abc"}),
    "functools": frozenset({"cached_property", "cmp_to_key", "partialmethod", "singledispatch", "total_ordering",
                            "update_wrapper", "wraps"}),
    "re": frozenset({"subn", "VERBOSE", "X", "purge"}),
    "typing": frozenset({"NamedTuple", "TypedDict", "cast", "Awaitable", "Coroutine", "DefaultDict", "overload",
                         "Counter", "Deque"}),
    "asyncio": frozenset({"wait_for", "wait", "as_completed", "Semaphore", "Lock", "Queue", "Event", "TaskGroup",
                          "timeout", "ensure_future", "create_task", "get_event_loop", "to_thread", "shield",
                          "new_event_loop", "get_running_loop", "Task", "Future"}),
}  # fmt: skip
_METHOD_KINDS: Final = {"str": str, "bytes": bytes, "list": list, "dict": dict, "set": set, "tuple": tuple}
_TYPE_NAMES: Final = frozenset({"str", "int", "float", "list", "dict", "set", "tuple", "bytes"})
_WORKING_ON_TYPES: Final = frozenset({"fromkeys"})
_CONSUMED_AT_ONCE: Final = frozenset({"map", "filter", "min", "max", "sorted"})


class Gaps:
    """The planner for single words."""

    statements: frozenset[type[ast.stmt]] = frozenset()

    def __init__(self, unfolding: Unfolding, refuse: Refusals) -> None:
        self._unfolding, self._refuse = unfolding, refuse
        self._kinds, self._words = unfolding.kinds, unfolding.words
        self._done: set[ast.AST] = set()

    def statement(self, node: ast.stmt, function: Scope) -> list[ast.stmt] | None:
        """Nothing to do."""
        return None

    def cares(self, kind: type[ast.AST], parent: type[ast.AST]) -> bool:
        """Which expressions it looks at."""
        return kind in (ast.Name, ast.Attribute, ast.Call, ast.Compare, ast.Await)

    def expression(self, node: ast.expr, place: Place) -> Replacement | None:
        """What to write instead."""
        if node in self._done:
            return None
        match node:
            case ast.Name(ctx=ast.Load()):
                return self._name(node)
            case ast.Attribute(ctx=ast.Load()):
                return self._attribute(node, place)
            case ast.Call():
                return self._call(node)
            case ast.Compare():
                return self._type_test(node)
            case ast.Await(value=ast.Call() as call) if self._kinds.callees.get(call) == {"module:asyncio.gather"}:
                return self._gathered(node, call)
        return None

    def _only(self, node: ast.expr) -> Value | None:
        values = self._kinds.values_of(node)
        return next(iter(values)) if len(values) == 1 else None

    # Names

    def _name(self, node: ast.Name) -> Replacement | None:
        if node.id not in _WORDS:
            return None
        scope = self._kinds.scopes.of.get(node)
        if scope is None or scope.where(node.id) is not None:
            return None
        if node.id in ALIASES:
            return located(self._words.name(ALIASES[node.id]), node)
        if node.id == "callable":
            return name_of(self._words.helper("callable"), node)
        self._refuse(node, "missing", node.id)

    # Attributes

    def _attribute(self, node: ast.Attribute, place: Place) -> Replacement | None:
        called = isinstance(place.parent, ast.Call) and place.parent.func is node
        if node.attr == "__class__":
            return located(ast.Call(self._words.name("type"), [node.value], []), node)
        path = self._only(node)
        if path in ("module:asyncio.TimeoutError", "module:asyncio.exceptions.TimeoutError"):
            return located(self._words.name("TimeoutError"), node)
        self._check_attribute(node)
        if called:
            return None
        owner = self._only(node.value)
        if node.attr == "__name__" and isinstance(owner, Func) and not isinstance(owner.node, ast.Lambda):
            return located(ast.Constant(owner.node.name), node)
        type_name = named(owner, "builtin") if owner is not None else None
        if type_name is not None and node.attr == "__name__" and hasattr(builtins, type_name):
            return located(ast.Constant(getattr(builtins, type_name).__name__), node)
        if type_name in _TYPE_NAMES and node.attr not in _WORKING_ON_TYPES:
            return self._as_lambda(None, node)
        if self._is_builtin_method(node):
            return self._as_lambda(node.value, node, at_once=self._is_consumed_at_once(place))
        return None

    def _check_attribute(self, node: ast.Attribute) -> None:
        for value in self._kinds.values_of(node.value):
            path = named(value, "module")
            if path is not None and node.attr in NOT_IN_MODULES.get(path, ()):
                code = "tasks" if path == "asyncio" else "missing"
                self._refuse(node, code, f"{path}.{node.attr}")
            kind = value.kind if isinstance(value, Box) else value
            if isinstance(kind, str) and node.attr in NO_METHODS.get(kind, ()):
                self._refuse(node, "missing", f"{kind}.{node.attr}")

    def _is_builtin_method(self, node: ast.Attribute) -> bool:
        values = self._kinds.values_of(node.value)
        kinds = {value.kind if isinstance(value, Box) else value for value in values}
        named_so = node.attr in dir(str) or any(node.attr in dir(kind) for kind in _METHOD_KINDS.values())
        return bool(values) and named_so and not node.attr.startswith("__") and kinds <= _METHOD_KINDS.keys()

    def _is_consumed_at_once(self, place: Place) -> bool:
        parent = place.parent
        if isinstance(parent, ast.keyword):
            return parent.arg == "key"
        if isinstance(parent, ast.Call):
            names = {named(value, "builtin") for value in self._kinds.callees.get(parent, set())}
            at_keyword = any(keyword.arg == "key" for keyword in parent.keywords)
            return bool(names) and names <= _CONSUMED_AT_ONCE | {None} and (at_keyword or names <= {"map", "filter"})
        return False

    def _as_lambda(self, receiver: ast.expr | None, node: ast.Attribute, *, at_once: bool = True) -> ast.expr:
        """A method as a value: `lambda *rest: receiver.method(*rest)`; a type's: `lambda x, *rest: x.method(*rest)`."""
        rest = ast.Starred(ast.Name("rest", ast.Load()), ast.Load())
        holder: ast.expr = ast.Name("value", ast.Load())
        first = [ast.arg("value")] if receiver is None else []
        keyword: list[ast.arg] = []
        defaults: list[ast.expr | None] = []
        if receiver is not None and at_once and isinstance(receiver, ast.Name):
            holder = receiver
        elif receiver is not None:
            keyword, defaults = [ast.arg("value")], [receiver]
        arguments = ast.arguments([], first, ast.arg("rest"), keyword, defaults, None, [])
        call = ast.Call(ast.Attribute(holder, node.attr, ast.Load()), [rest], [])
        made = located(ast.Lambda(arguments, call), node)
        self._done |= set(walk(call))
        self._kinds.say(made, self._kinds.values_of(node))
        return made

    # Calls

    def _call(self, node: ast.Call) -> Replacement | None:
        callees = self._kinds.callees.get(node, set())
        only = next(iter(callees)) if len(callees) == 1 else None
        if only == "builtin:round" and len(node.args) + len(node.keywords) == 2:
            return self._round(node)
        if only == "builtin:object":
            self._refuse(node, "missing", "object()")
        if only == "module:re.sub" and len(node.args) > 1 and not self._kinds.values_of(node.args[1]) <= {"str"}:
            if any(not isinstance(v, str) for v in self._kinds.values_of(node.args[1])):
                self._refuse(node, "missing", "re.sub with a function")
        if only == "module:asyncio.gather" and node.keywords:
            return self._gather(node)
        match node.func:
            case ast.Attribute(value=ast.Name() as owner, attr=name) if self._is_type(owner) and node.args:
                if name not in _WORKING_ON_TYPES and not isinstance(node.args[0], ast.Starred):
                    node.func.value, node.args = node.args[0], node.args[1:]
                    return node
            case ast.Attribute(value=number, attr="is_integer") if not node.args:
                values = self._kinds.values_of(number)
                if values and values <= NUMBERS:
                    helper = name_of(self._words.helper("is_integer"), node)
                    return located(ast.Call(helper, [number], []), node)
        return None

    def _is_type(self, node: ast.Name) -> bool:
        only = self._only(node)
        return only is not None and named(only, "builtin") in _TYPE_NAMES

    def _round(self, node: ast.Call) -> ast.expr | None:
        values = self._kinds.values_of(node.args[0]) if node.args else frozenset()
        if values and values <= {"int", "bool"}:
            return None
        node.func = name_of(self._words.helper("round"), node.func)
        for keyword in node.keywords:
            keyword.arg = "digits" if keyword.arg == "ndigits" else keyword.arg
        self._kinds.callees[node] = {UNKNOWN}
        return node

    def _gather(self, node: ast.Call) -> ast.expr:
        """`return_exceptions=True`: each of them is caught by itself."""
        match node.keywords:
            case [ast.keyword(arg="return_exceptions", value=ast.Constant(value=bool() as caught))]:
                pass
            case _:
                self._refuse(node, "tasks", "keywords of asyncio.gather")
        node.keywords = []
        if caught:
            self._done.add(node)
            helper = self._words.helper("caught")
            given: list[ast.expr] = []
            for argument in node.args:
                if isinstance(argument, ast.Starred):
                    each = ast.comprehension(ast.Name("job", ast.Store()), argument.value, [], 0)
                    caught_all = ast.ListComp(ast.Call(name_of(helper), [name_of("job")], []), [each])
                    given.append(located(ast.Starred(caught_all, ast.Load()), argument))
                else:
                    given.append(located(ast.Call(name_of(helper), [argument], []), argument))
            node.args = given
        return node

    def _gathered(self, node: ast.Await, call: ast.Call) -> ast.expr | None:
        """Of several that fail, the first as they stand is raised, and not the first in time."""
        is_list = len(call.args) == 1 and isinstance(call.args[0], ast.Starred)
        if node in self._done or call in self._done or call.keywords or (len(call.args) < 2 and not is_list):
            return None
        self._done |= {node, call}
        attempts = ast.Call(name_of(self._words.helper("attempts")), [ast.List(call.args, ast.Load())], [])
        call.args = [located(ast.Starred(attempts, ast.Load()), node)]
        made = ast.Call(name_of(self._words.helper("in_order")), [node], [])
        self._kinds.say(made, self._kinds.values_of(node))
        return located(made, node)

    # Tests of types

    def _type_test(self, node: ast.Compare) -> Replacement | None:
        """`type(e) is ValueError` is false there; `type(e).__name__ == "ValueError"` is what it says."""
        match node:
            case ast.Compare(left=ast.Call(args=[_]) as left, ops=[op], comparators=[ast.Name(id=name) as right]):
                if not isinstance(op, (ast.Is, ast.IsNot, ast.Eq, ast.NotEq)) or not self._is_exception(right):
                    return None
            case _:
                return None
        if self._kinds.callees.get(left, set()) != {"builtin:type"} or not is_quiet(
            left.args[0], self._kinds, self._unfolding.attributes_set
        ):
            return None
        node.left = located(ast.Attribute(left, "__name__", ast.Load()), left)
        node.comparators = [located(ast.Constant(ALIASES.get(name, name)), right)]
        node.ops = [ast.Eq() if isinstance(op, (ast.Is, ast.Eq)) else ast.NotEq()]
        return node

    def _is_exception(self, node: ast.Name) -> bool:
        only = self._only(node)
        return only is not None and is_exception(only)
