"""An audit of rounded numbers: which would another processor round the other way?

Floating-point results differ in the last bits between machines. A page that prints
`round(x, 2)` where x is 0.12500001 passes here and fails there. The audit rewrites the page's
syntax tree so that `round(x, n)`, `x.round(n)` and formatted values report the number before it
is rounded.
"""

import ast
import re
from collections.abc import Callable
from typing import Any

from dlkb.book.run.compare import BOUNDARY

WATCH = "__dlkb_watch__"

_SPEC = re.compile(r"[^\d.]*\d*,?(?:\.(\d+))?([feg%]?)$")


class _Watch(ast.NodeTransformer):
    """Wrap every operand that is about to be rounded: x becomes __dlkb_watch__(x, digits)."""

    def _wrap(self, value: ast.expr, digits: ast.expr, kind: str, line: int) -> ast.Call:
        name = ast.Name(WATCH, ast.Load())
        return ast.Call(name, [value, digits, ast.Constant(kind), ast.Constant(line)], [])

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called = node.func
        if isinstance(called, ast.Name) and called.id == "round" and len(node.args) == 2:
            node.args[0] = self._wrap(node.args[0], node.args[1], "f", node.lineno)
        elif isinstance(called, ast.Attribute) and called.attr == "round":
            # x.round(n), x.round(decimals=n), np.round(x, n), torch.round(x, decimals=n)
            named = [keyword.value for keyword in node.keywords if keyword.arg == "decimals"]
            places = named or node.args[-1:]
            if len(node.args) + len(named) == 2:
                node.args[0] = self._wrap(node.args[0], places[0], "f", node.lineno)
            elif places:
                called.value = self._wrap(called.value, places[0], "f", node.lineno)
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.format_spec, ast.JoinedStr) and node.conversion == -1:
            spec = ast.JoinedStr(node.format_spec.values)
            node.value = self._wrap(node.value, spec, "spec", node.lineno)
        return node


def watch_rounding(tree: ast.AST) -> Any:
    """Return the tree with every rounded operand passed through `__dlkb_watch__`."""
    return ast.fix_missing_locations(_Watch().visit(tree))


def _numbers(value: Any) -> list[float]:
    if isinstance(value, float):
        return [value]
    if hasattr(value, "shape") and "float" in str(getattr(value, "dtype", "")):
        if hasattr(value, "detach"):
            value = value.detach()
        rows = value.tolist()
        while isinstance(rows, list) and rows and isinstance(rows[0], list):
            rows = [entry for row in rows for entry in row]
        return rows if isinstance(rows, list) else [rows]
    return []


def is_fragile(value: float, digits: int, kind: str = "f") -> bool:
    """Return whether `value`, rounded to `digits`, sits on a rounding boundary.

    Exact multiples of a power of two up to 1/1024 are let pass: they are the same everywhere.

    Example:
        >>> is_fragile(0.123499, 3), is_fragile(0.1234, 3), is_fragile(0.5, 0)
        (True, False, False)
    """
    if value != value or value in (float("inf"), float("-inf")) or value * 1024 % 1 == 0:
        return False
    if kind in ("e", "g"):
        text = f"{value:.25e}"
        mantissa = float(text.partition("e")[0])
        scaled = mantissa * 10 ** (digits if kind == "e" else digits - 1)
    else:
        scaled = value * 10.0 ** (digits + (2 if kind == "%" else 0))
    if abs(scaled) > 1e12:  # more digits than a double holds: nothing is rounded
        return False
    return abs(abs(scaled) % 1 - 0.5) < float(BOUNDARY)


def watcher(report: Callable[[int, float, int], None]) -> Callable[..., Any]:
    """Return the function to be known as `__dlkb_watch__` in a page's namespace.

    Args:
        report: Called with line, value and digits for every fragile number.
    """

    def watch(value: Any, digits: Any, kind: str, line: int) -> Any:
        if kind == "spec":
            found = _SPEC.match(str(digits))
            if not found or found[1] is None:
                return value
            digits, kind = int(found[1]), found[2] or "g"
        if isinstance(digits, int):
            for number in _numbers(value):
                if is_fragile(number, digits, kind):
                    report(line, number, digits)
        return value

    return watch
