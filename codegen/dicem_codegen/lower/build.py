"""Small pieces of tree, with the places of what they stand for."""

from __future__ import annotations

import ast
from typing import Final, TypeVar

from ..walking import children, walk
from .scopes import Fresh

Node = TypeVar("Node", bound=ast.AST)

HELPERS = {
    "settled": """
async def {name}(value):
    return await value if {type}(value).__name__ == 'coroutine' else value
""",
    "round": """
def {name}(number, digits):
    if {isinstance}(number, {float}) and {isinstance}(digits, {int}) and 0 <= digits < 300:
        return {float}(f'{{number:.{{digits}}f}}')
    return {round}(number, digits)
""",
    "callable": """
def {name}(value):
    kinds = ('function', 'method', 'builtin_function_or_method', 'type')
    return {type}(value).__name__ in kinds or {hasattr}(value, '__call__')
""",
    "is_integer": """
def {name}(number):
    return number - number == 0 and number == {int}(number)
""",
    "caught": """
async def {name}(job):
    try:
        return await job
    except {Exception} as error:
        return error
""",
    "attempts": """
def {name}(jobs):
    async def attempt(job):
        try:
            return (True, await job)
        except {Exception} as error:
            return (False, error)

    return [attempt(job) for job in jobs]
""",
    "in_order": """
def {name}(ended):
    for good, value in ended:
        if not good:
            raise value
    return [value for _, value in ended]
""",
    "next": """
def {name}(iterator):
    try:
        return {next}(iterator)
    except {StopIteration}:
        raise {RuntimeError}('generator raised StopIteration')
""",
    "added": """
def {name}(items, more):
    if {isinstance}(items, {list}):
        items.extend(more)
    else:
        items += more
    return items
""",
    "repeated": """
def {name}(items, times):
    if {isinstance}(items, {list}):
        items[:] = items * times
    else:
        items *= times
    return items
""",
    "kept": """
{name} = []
""",
    "exception": """
def {name}(kind, *given):
    if {len}(given) == 1 and {isinstance}(given[0], {str}):
        return kind(given[0])
    made = kind({str}(given[0] if {len}(given) == 1 else given)) if given else kind()
    {kept}.append((made, given))
    return made
""",
    "given": """
def {name}(error):
    for made, given in {kept}:
        if made is error:
            return given
    return error.args
""",
    "shown": """
def {name}(error):
    for made, given in {kept}:
        if made is error:
            return f'{{{type}(error).__name__}}({{", ".join([{repr}(value) for value in given])}})'
    return {repr}(error)
""",
    "unseen": """
def {name}(*values, sep=' ', end='\\n', flush=False):
    for value in values:
        {str}(value)
""",
    "enumerate": """
class {name}:
    def __init__(self, source, start=0):
        self.source = {iter}(source)
        self.count = start - 1
    def __iter__(self):
        return self
    def __next__(self):
        value = {next}(self.source)
        self.count += 1
        return (self.count, value)
""",
    "zip": """
class {name}:
    def __init__(self, *sources):
        self.sources = [{iter}(source) for source in sources]
    def __iter__(self):
        return self
    def __next__(self):
        if not self.sources:
            raise {StopIteration}
        return {tuple}([{next}(source) for source in self.sources])
""",
    "map": """
class {name}:
    def __init__(self, function, *sources):
        self.function = function
        self.sources = [{iter}(source) for source in sources]
    def __iter__(self):
        return self
    def __next__(self):
        function = self.function
        return function(*[{next}(source) for source in self.sources])
""",
    "filter": """
class {name}:
    def __init__(self, function, source):
        self.function = function
        self.source = {iter}(source)
    def __iter__(self):
        return self
    def __next__(self):
        function = self.function
        while True:
            value = {next}(self.source)
            if value if function is None else function(value):
                return value
""",
    "reversed": """
class {name}:
    def __init__(self, items):
        self.items = items
        self.at = {len}(items)
    def __iter__(self):
        return self
    def __next__(self):
        self.at -= 1
        if not 0 <= self.at < {len}(self.items):
            self.at = 0
            raise {StopIteration}
        return self.items[self.at]
""",
    "delete": """
def {name}(holder, key):
    if {isinstance}(holder, {list}):
        if not -{len}(holder) <= key < {len}(holder):
            raise {IndexError}('list assignment index out of range')
        holder.pop(key)
    elif {isinstance}(holder, {dict}):
        holder.pop(key)
    elif {hasattr}(holder, '__delitem__'):
        holder.__delitem__(key)
    else:
        raise {TypeError}(f"'{{{type}(holder).__name__}}' object doesn't support item deletion")
""",
}
"""functions that a lowered program brings along, by name"""
_SHARED = "kept"
"""what several helpers need"""


_PLACE: Final = ("lineno", "col_offset", "end_lineno", "end_col_offset")


def located(node: Node, like: ast.AST) -> Node:
    """`node`, standing where `like` stands, with all in it that stands nowhere; what has a place is not looked into."""
    place = {name: getattr(like, name) for name in _PLACE if hasattr(like, name)}
    stack: list[ast.AST] = [node]
    while stack:
        part = stack.pop()
        if "lineno" not in part.__dict__:
            if part._attributes:
                part.__dict__.update(place)
            stack += children(part)
    return node


def place_all(tree: ast.Module) -> None:
    """Give each node a place that has none yet."""
    if any("lineno" not in node.__dict__ and node._attributes for node in walk(tree)):
        ast.fix_missing_locations(tree)


def name_of(name: str, like: ast.AST | None = None) -> ast.Name:
    """A name that is read."""
    node = ast.Name(name, ast.Load())
    return located(node, like) if like is not None else node


def await_of(value: ast.expr, like: ast.AST) -> ast.Await:
    """`await value`."""
    return located(ast.Await(value), like)


def is_repeatable(node: ast.expr) -> bool:
    """Whether evaluating it twice in a row is like once: names, their attributes, and items of them."""
    match node:
        case ast.Name() | ast.Constant():
            return True
        case ast.Attribute(value=inner):
            return is_repeatable(inner)
        case ast.Subscript(value=inner, slice=index):
            return is_repeatable(inner) and is_repeatable(index)
        case ast.UnaryOp(operand=ast.Constant()):
            return True
    return False


class Words:
    """Names that the passes write: the language's own, which a program may have given another meaning, and new ones."""

    def __init__(self, tree: ast.Module) -> None:
        self.fresh = Fresh(tree)
        self._shadowed = shadowing(tree)
        self._aliases: dict[str, str] = {}
        self._helpers: dict[str, str] = {}

    def name(self, word: str) -> ast.Name:
        """A builtin or a word of the prelude, by another name where the program uses this one for something else."""
        if word not in self._shadowed:
            return name_of(word)
        if word not in self._aliases:
            self._aliases[word] = self.fresh.word(word)
        return name_of(self._aliases[word])

    def helper(self, name: str) -> str:
        """The name of a function of `HELPERS`, which is then defined at the top."""
        if name not in self._helpers:
            self._helpers[name] = self.fresh.word(name)
        return self._helpers[name]

    def preamble(self) -> list[ast.stmt]:
        """What must stand at the top of the program."""
        text = [HELPERS[key].format_map(_Spelling(self, name)) for key, name in list(self._helpers.items())]
        if _SHARED in self._helpers:
            text.insert(0, HELPERS[_SHARED].format(name=self._helpers[_SHARED]))
        aliases = [
            f"import {word} as {alias}" if word in ("asyncio", "hermod") else f"{alias} = {word}"
            for word, alias in self._aliases.items()
        ]
        made = ast.parse("\n".join([*aliases, *text])).body
        return [located(ast.increment_lineno(statement, -statement.lineno + 1), statement) for statement in made]


class _Spelling(dict[str, str]):
    """How a helper's words are spelt in this program."""

    def __init__(self, words: Words, name: str) -> None:
        super().__init__(name=name)
        self._words = words

    def __missing__(self, word: str) -> str:
        return self._words.helper(word) if word == _SHARED else self._words.name(word).id


def shadowing(tree: ast.Module) -> set[str]:
    """The names that the program itself binds somewhere."""
    bound = set()
    for node in walk(tree):
        if node.__class__ in (ast.Constant, ast.Attribute, ast.Call):
            continue
        match node:
            case ast.Name(ctx=ast.Store() | ast.Del()):
                bound.add(node.id)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                bound.add(node.name)
            case ast.arg():
                bound.add(node.arg)
            case ast.alias(name="asyncio" | "hermod", asname=None):
                pass  # the very same
            case ast.alias():
                bound.add(node.asname or node.name.split(".")[0])
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                bound.add(name)
            case ast.MatchMapping(rest=str(name)):
                bound.add(name)
    return bound
