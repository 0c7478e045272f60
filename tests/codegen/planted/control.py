"""Mistakes in loops, handlers and comprehensions."""

from __future__ import annotations

import ast

from .kinds import asks, blocks, planted, reversed_list, rewritten, stores


@planted()
def lost_loop_variable(tree: ast.Module) -> bool:
    """A loop's variable is the loop's own: after it, the name is what it was before."""
    changed = False
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for loop in ast.walk(function):
            match loop:
                case ast.For(target=ast.Name(id=name)) if _read_after(function, loop, name) and not _is_argument(
                    loop, name
                ):
                    for node in (n for part in (loop.target, *loop.body) for n in ast.walk(part)):
                        if isinstance(node, ast.Name) and node.id == name:
                            node.id = f"_own_{name}"
                    changed = True
    return changed


def _read_after(function: ast.AST, loop: ast.For, name: str) -> bool:
    end = loop.end_lineno or 0
    uses = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name and n.lineno > end]
    return bool(uses) and isinstance(min(uses, key=lambda n: (n.lineno, n.col_offset)).ctx, ast.Load)


def _is_argument(loop: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.arg) and n.arg == name for n in ast.walk(loop))


@planted()
def last_instead_of_first(tree: ast.Module) -> bool:
    """A loop that ends at the first that fits ends at the last."""

    def backwards(node: ast.AST) -> ast.AST | None:
        match node:
            case ast.For() if any(isinstance(n, (ast.Return, ast.Break)) for s in node.body for n in ast.walk(s)):
                node.iter = reversed_list(node.iter)
                return node
            case ast.Call(func=ast.Name(id="next"), args=[ast.GeneratorExp(generators=[first, *_]), *_]):
                first.iter = reversed_list(first.iter)
                return node
        return None

    return rewritten(tree, backwards)


@planted()
def order_of_a_sum(tree: ast.Module) -> bool:
    """What a loop adds up is added in another order."""

    def backwards(node: ast.AST) -> ast.AST | None:
        if isinstance(node, ast.For) and len(node.body) == 1 and _carries(node.body[0]):
            node.iter = reversed_list(node.iter)
            return node
        return None

    return rewritten(tree, backwards)


def _carries(node: ast.AST) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.BinOp() as value):
            return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(value))
    return False


@planted()
def ignored_break(tree: ast.Module) -> bool:
    """A loop goes on after `break`."""
    return _leaves(tree, ast.Break, ast.Pass())


@planted()
def break_for_continue(tree: ast.Module) -> bool:
    """`continue` ends the loop."""
    return _leaves(tree, ast.Continue, ast.Break())


def _leaves(tree: ast.Module, old: type[ast.stmt], new: ast.stmt) -> bool:
    """Replace in `for` loops: a `while` might never end."""
    changed = False
    for loop in ast.walk(tree):
        if isinstance(loop, ast.For):
            for block in (b for s in loop.body if not isinstance(s, (ast.For, ast.While)) for b in blocks(s)):
                for index, statement in enumerate(block):
                    if isinstance(statement, old):
                        block[index] = new
                        changed = True
    return changed


@planted()
def dropped_else(tree: ast.Module) -> bool:
    """The `else` of a loop is lost."""

    def drop(node: ast.AST) -> ast.AST | None:
        if isinstance(node, (ast.For, ast.While)) and node.orelse:
            node.orelse = []
            return node
        return None

    return rewritten(tree, drop)


@planted()
def while_once(tree: ast.Module) -> bool:
    """A `while` makes one turn."""

    def once(node: ast.AST) -> ast.AST | None:
        if isinstance(node, ast.While) and not any(isinstance(n, (ast.Break, ast.Continue)) for n in ast.walk(node)):
            return ast.If(node.test, node.body, [])
        return None

    return rewritten(tree, once)


@planted()
def dropped_finally(tree: ast.Module) -> bool:
    """`finally` is lost."""

    def drop(node: ast.AST) -> ast.AST | None:
        if isinstance(node, ast.Try) and node.finalbody and node.handlers:
            node.finalbody = []
            return node
        return None

    return rewritten(tree, drop)


@planted()
def swallowed_exception(tree: ast.Module) -> bool:
    """A handler catches what is not its own."""

    def widen(node: ast.AST) -> ast.AST | None:
        match node:
            case ast.ExceptHandler(type=ast.Name(id=name)) if name != "Exception":
                node.type = ast.Name("Exception", ast.Load())
                return node
        return None

    return rewritten(tree, widen)


@planted()
def ignored_filter(tree: ast.Module) -> bool:
    """The filter of a comprehension is asked, and lets everything through."""

    def let_through(node: ast.AST) -> ast.AST | None:
        if isinstance(node, ast.comprehension) and node.ifs and asks(*node.ifs):
            node.ifs = [ast.BoolOp(ast.Or(), [test, ast.Constant(True)]) for test in node.ifs]
            return node
        return None

    return rewritten(tree, let_through)


@planted()
def order_of_a_dict(tree: ast.Module) -> bool:
    """A dict is walked backwards."""

    def backwards(node: ast.AST) -> ast.AST | None:
        match node:
            case ast.For(iter=ast.Call(func=ast.Attribute(attr="items"))):
                node.iter = reversed_list(node.iter)
                return node
        return None

    return rewritten(tree, backwards)


@planted()
def unbound_as_none(tree: ast.Module) -> bool:
    """A name that only one branch binds is None elsewhere, and nobody is told."""
    changed = False
    for block in blocks(tree):
        for index in range(len(block) - 1, -1, -1):
            branch = block[index]
            if isinstance(branch, ast.If) and not branch.orelse:
                earlier = {name for statement in block[:index] for name in stores(statement)}
                only = sorted(name for s in branch.body for name in stores(s) - earlier)
                block[index:index] = [ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None)) for name in only]
                changed = changed or bool(only)
    return changed
