"""The Python expressions of a tie: one call of this package, and what else they may use."""

import ast
import builtins
import pkgutil
from collections.abc import Collection, Mapping
from types import CodeType
from typing import Any

import numpy as np

import dlkb
from dlkb.book.read.tokens import FormulaError

_BUILTINS = ("abs", "min", "max", "sum", "len", "float")


def compile_call(text: str, names: Collection[str]) -> CodeType:
    """Compile the title of a tie: one call of this package, of which an entry may be taken.

    Its arguments may use NumPy and calls of this package.

    Raises:
        FormulaError: If it is anything else, or uses what is not given.
    """
    tree = _parsed(text)
    call = tree.body
    while isinstance(call, ast.Attribute | ast.Subscript):
        call = call.value
    if not isinstance(call, ast.Call) or not _dotted(call.func).startswith("dlkb."):
        raise FormulaError(f"{text!r} is not one call like dlkb.optimizers.adam.adam(...)")
    return _checked(tree, text, names)


def compile_value(text: str, names: Collection[str]) -> CodeType:
    """Compile what stands in data-let or data-left: also NumPy and a few built-in functions.

    Raises:
        FormulaError: If it uses what is not given.
    """
    return _checked(_parsed(text), text, {*names, *_BUILTINS})


def run(code: CodeType, values: Mapping[str, Any]) -> Any:
    """Evaluate what was compiled.

    Raises:
        FormulaError: If it fails.
    """
    known = {name: getattr(builtins, name) for name in _BUILTINS}
    scope = {"__builtins__": {}, **known, "dlkb": dlkb, "np": np, **values}
    try:
        return eval(code, scope)
    except Exception as error:
        raise FormulaError(f"{type(error).__name__} at {dict(values)}: {error}") from None


def used(text: str) -> set[str]:
    """Return the names that an expression uses."""
    return {node.id for node in ast.walk(_parsed(text)) if isinstance(node, ast.Name)}


def _parsed(text: str) -> ast.Expression:
    try:
        return ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise FormulaError(f"{text!r} is no Python expression: {error.msg}") from None


def _dotted(node: ast.expr) -> str:
    """Return `a.b.c` for a chain of names, nothing for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def _checked(tree: ast.Expression, text: str, names: Collection[str]) -> CodeType:
    parameters = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = _dotted(node.func)
            if not (called.startswith(("dlkb.", "np.")) or called in names):
                raise FormulaError(f"{text!r} calls {called or 'something'}: call dlkb and np only")
            if called.startswith("dlkb."):
                _resolve(called)
        if isinstance(node, ast.Name) and node.id not in {*names, *parameters, "dlkb", "np"}:
            raise FormulaError(f"{text!r} uses {node.id}: give its range in data-where")
    return compile(tree, "<tie>", "eval")


def _resolve(called: str) -> None:
    try:
        pkgutil.resolve_name(called)  # imports the modules on the way
    except (ImportError, AttributeError, ValueError) as error:
        raise FormulaError(f"there is no {called}: {error}") from None
