"""Mistakes in what names stand for: aliases, copies, closures, defaults."""

from __future__ import annotations

import ast
import copy

from .kinds import asks, blocks, functions, loads, planted, rewritten, stores


@planted()
def shared_result(tree: ast.Module) -> bool:
    """Two equal calls give one and the same object, and not a copy each."""
    changed = False
    for block in blocks(tree):
        known: dict[str, str] = {}
        for statement in block:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if asks(value):
                    question = ast.dump(value)
                    if question in known:
                        statement.value = ast.Name(known[question], ast.Load())
                        changed = True
                    else:
                        known = {q: n for q, n in known.items() if n != name and name not in q} | {question: name}
                case _:
                    bound = stores(statement)
                    known = {q: n for q, n in known.items() if n not in bound and not any(f"'{b}'" in q for b in bound)}
    return changed


@planted()
def copied_alias(tree: ast.Module) -> bool:
    """`a = b` makes a copy."""

    def copied(node: ast.AST) -> ast.AST | None:
        match node:
            case ast.Assign(targets=[ast.Name(), *more], value=ast.Name() | ast.List() as value):
                if isinstance(value, ast.List) and not more:
                    return None
                if more:
                    node.targets = node.targets[:1]
                    second = ast.Assign(more, copy.deepcopy(value))
                    return ast.If(ast.Constant(True), [node, second], [])
                test = ast.Call(ast.Name("isinstance", ast.Load()), [value, ast.Name("list", ast.Load())], [])
                listed = ast.Call(ast.Name("list", ast.Load()), [copy.deepcopy(value)], [])
                node.value = ast.IfExp(test, listed, copy.deepcopy(value))
                return node
        return None

    return rewritten(tree, copied)


@planted()
def added_as_new(tree: ast.Module) -> bool:
    """`a += [x]` makes a new list, of which aliases know nothing."""

    def bound_anew(node: ast.AST) -> ast.AST | None:
        match node:
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=ast.List()):
                return ast.Assign([node.target], ast.BinOp(ast.Name(name, ast.Load()), ast.Add(), node.value))
        return None

    return rewritten(tree, bound_anew)


@planted()
def ignored_del(tree: ast.Module) -> bool:
    """`del` does nothing."""
    return rewritten(tree, lambda node: ast.Pass() if isinstance(node, ast.Delete) else None)


@planted()
def default_at_the_call(tree: ast.Module) -> bool:
    """A default is computed when the function is called, not when it is defined."""
    changed = False
    for function in functions(tree):
        arguments = function.args
        if arguments.defaults and not isinstance(arguments.defaults[-1], ast.Constant):
            name, default = arguments.args[-1].arg, arguments.defaults[-1]
            if isinstance(default, ast.Name) and default.id == name:
                continue
            arguments.defaults[-1] = ast.Constant(None)
            test = ast.Compare(ast.Name(name, ast.Load()), [ast.Is()], [ast.Constant(None)])
            function.body.insert(0, ast.If(test, [ast.Assign([ast.Name(name, ast.Store())], default)], []))
            changed = True
    return changed


@planted()
def early_capture(tree: ast.Module) -> bool:
    """A nested function keeps what a name stood for when it was defined."""
    changed = False
    for function in functions(tree):
        for inner in ast.walk(function):
            if inner is function or not isinstance(inner, (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            arguments = inner.args
            own = {a.arg for a in (*arguments.args, *arguments.kwonlyargs)} | stores(inner)
            if (
                arguments.vararg
                or arguments.kwarg
                or any(isinstance(n, (ast.Nonlocal, ast.Global)) for n in ast.walk(inner))
            ):
                continue
            for name in sorted(loads(inner) - own):
                if _bound_after(function, name, inner):
                    arguments.args.append(ast.arg(name))
                    arguments.defaults.append(ast.Name(name, ast.Load()))
                    changed = True
    return changed


def _bound_after(function: ast.AST, name: str, inner: ast.AST) -> bool:
    """Whether the name is bound again later; what stands in a loop before the function comes later as well."""
    line = getattr(inner, "lineno", 0)
    bound = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store)]
    return any(n.lineno > line for n in bound) or any(
        isinstance(loop, ast.For) and name in stores(loop.target) and any(n is inner for n in ast.walk(loop))
        for loop in ast.walk(function)
    )


@planted()
def late_capture(tree: ast.Module) -> bool:
    """A default that keeps a loop's value is forgotten: the function sees the last one."""
    changed = False
    for inner in ast.walk(tree):
        if isinstance(inner, (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = inner.args
            for argument, default in list(zip(arguments.args[::-1], arguments.defaults[::-1], strict=False)):
                if isinstance(default, ast.Name) and default.id == argument.arg:
                    arguments.args.remove(argument)
                    arguments.defaults.remove(default)
                    changed = True
    return changed
