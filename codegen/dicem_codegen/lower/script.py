"""Code at module level that makes calls: it moves into a coroutine, which the module then runs."""

from __future__ import annotations

import ast

from ..walking import walk
from .build import Words, located, name_of
from .colour import Colours, called_functions
from .scopes import DEFINITIONS, own_nodes, own_nodes_of
from .values import named


def wrap(tree: ast.Module, entry: str, colours: Colours, words: Words) -> str:
    """Move the module's statements, from the first that makes calls on, into `async def main()`.

    :returns: the entry function's name, which is a new one where there was none
    """
    calling = [statement for statement in tree.body if _makes_calls(statement, colours)]
    if not calling:
        return entry
    if entry and all(_run_at_once(statement, colours) is not None for statement in calling):
        for statement in calling:
            call = _run_at_once(statement, colours)
            assert call is not None
            call.args = [_with_strands(call.args[0], words)]
        _need(tree, ("hermod",))
        return entry
    first = tree.body.index(calling[0])
    moved = tree.body[first:]
    stay = [statement for statement in moved if _may_stay(statement, moved, tree)]
    moved = [statement for statement in moved if statement not in stay]
    name = (entry and words.fresh.word("main", plain=True)) or "execute_command"
    body = [_without_annotation(statement) for statement in moved]
    bound = sorted(_bound_by(body))
    if bound:
        body.insert(0, located(ast.Global(bound), calling[0]))
    no_arguments = ast.arguments([], [], None, [], [], None, [])
    main = located(ast.AsyncFunctionDef(name, no_arguments, body, [], None), calling[0])
    run = ast.Attribute(words.name("asyncio"), "run", ast.Load())
    started = _with_strands(ast.Call(name_of(name), [], []), words)
    last = located(ast.Expr(ast.Call(run, [started], [])), calling[0])
    tree.body[first:] = [*stay, main, last]
    _need(tree, ("asyncio", "hermod"))
    return entry or name


def _makes_calls(statement: ast.stmt, colours: Colours) -> bool:
    if isinstance(statement, DEFINITIONS):
        return False
    for node in own_nodes_of([statement]):
        if isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith)):
            return True
        if isinstance(node, ast.Call):
            if colours.what(node)[0] != "plain":
                return True
            called = called_functions(colours.kinds.callees.get(node, set()), colours.kinds)
            if any(func in colours.makes_calls and not func.is_async for func in called):
                return True
    return False


def _run_at_once(statement: ast.stmt, colours: Colours) -> ast.Call | None:
    """The `asyncio.run(...)` that is all that a statement does."""
    match statement:
        case ast.Expr(value=ast.Call(args=[ast.Call() as inner], keywords=[]) as call):
            pass
        case ast.Assign(value=ast.Call(args=[ast.Call() as inner], keywords=[]) as call):
            pass
        case _:
            return None
    names = {named(value, "module") for value in colours.kinds.callees.get(call, set())}
    others = [n for n in own_nodes_of([statement]) if isinstance(n, ast.Call) and n not in (call, inner)]
    callees = colours.kinds.callees.get(inner, set())
    called = list(called_functions(callees, colours.kinds))
    plain = bool(called) and len(called) == len(callees) and all(func.is_async for func in called)
    return call if names == {"asyncio.run"} and plain and not others else None


def _with_strands(coroutine: ast.expr, words: Words) -> ast.Call:
    run = ast.Attribute(words.name("hermod"), "run", ast.Load())
    return (
        located(ast.Call(run, [coroutine], []), coroutine)
        if hasattr(coroutine, "lineno")
        else ast.Call(run, [coroutine], [])
    )


def _may_stay(statement: ast.stmt, moved: list[ast.stmt], tree: ast.Module) -> bool:
    """Whether a definition may come before all that is moved: nobody can tell that it was not there yet."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return False
    if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    arguments = statement.args
    defaults = [*arguments.defaults, *[d for d in arguments.kw_defaults if d is not None]]
    if statement.decorator_list or not all(isinstance(default, ast.Constant) for default in defaults):
        return False
    before = moved[: moved.index(statement)]
    earlier = [s for s in tree.body if s not in moved] + before
    mentioned = {n.id for s in earlier for n in walk(s) if isinstance(n, ast.Name)}
    return statement.name not in mentioned


def _without_annotation(statement: ast.stmt) -> ast.stmt:
    """A global cannot be annotated in a function."""
    match statement:
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            return located(ast.Assign([target], value), statement)
        case ast.AnnAssign():
            return located(ast.Pass(), statement)
    return statement


def _bound_by(body: list[ast.stmt]) -> set[str]:
    """The names that statements bind where they run."""
    names: set[str] = set()
    for node in own_nodes(ast.Module(body, [])):
        match node:
            case ast.Name(ctx=ast.Store() | ast.Del()):
                names.add(node.id)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.alias():
                names.add(node.asname or node.name.split(".")[0])
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                names.add(name)
            case ast.MatchMapping(rest=str(name)):
                names.add(name)
    return names - _only_in_comprehensions(body)


def _only_in_comprehensions(body: list[ast.stmt]) -> set[str]:
    """The names that nothing but comprehensions bind, in scopes of their own."""
    inner: set[str] = set()
    outer: set[str] = set()
    targets: set[int] = set()
    for node in own_nodes(ast.Module(body, [])):
        if isinstance(node, ast.comprehension):
            targets |= {id(part) for part in walk(node.target)}
    for node in own_nodes(ast.Module(body, [])):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            (inner if id(node) in targets else outer).add(node.id)
    return inner - outer


def _need(tree: ast.Module, modules: tuple[str, ...]) -> None:
    """Import what the module's end uses, where the program did not."""
    have = {
        alias.asname or alias.name
        for statement in tree.body if isinstance(statement, ast.Import) for alias in statement.names
    }  # fmt: skip
    missing = [module for module in modules if module not in have]
    position = 1 if ast.get_docstring(tree) is not None else 0
    while position < len(tree.body) and _is_future(tree.body[position]):
        position += 1
    like = tree.body[position] if position < len(tree.body) else tree
    tree.body[position:position] = [located(ast.Import([ast.alias(module)]), like) for module in missing]


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
