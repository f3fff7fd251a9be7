r"""Turn the equations of a page into SymPy, for derivations that start from the page's own TeX."""

import sys
from collections.abc import Callable, Iterable
from functools import reduce
from operator import mul
from pathlib import Path
from typing import Any

import sympy

from dlkb.book.read.book import resolve
from dlkb.book.read.formula import read_formula
from dlkb.book.read.nodes import Node, Statement
from dlkb.book.read.pages import read_page
from dlkb.book.read.parts import PageError
from dlkb.book.read.roots import find_root
from dlkb.book.read.tex import equations
from dlkb.book.read.tokens import FormulaError

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": sympy.Abs,
    "arccos": sympy.acos,
    "arcsin": sympy.asin,
    "arctan": sympy.atan,
    "ceil": sympy.ceiling,
    "max": sympy.Max,
    "min": sympy.Min,
    "normal_cdf": lambda x: (1 + sympy.erf(x / sympy.sqrt(2))) / 2,
    "sqrt": sympy.root,
}
_SAME = frozenset("exp log sin cos tan sinh cosh tanh sign erf erfc digamma gamma floor".split())
"""Functions that SymPy calls so, too."""
_RELATIONS = dict.fromkeys(("=", "<-", "->", "~"), sympy.Eq)
_RELATIONS |= {"!=": sympy.Ne, "<": sympy.Lt, ">": sympy.Gt, "<=": sympy.Le, ">=": sympy.Ge}


def equation(page: str, label: str) -> Any:
    r"""Return an equation as SymPy reads it, from the TeX that the page's reader sees.

    Symbols are called as in Python (`\hat m_t` is `m_hat_t`), matrices and vectors (bold) do not
    commute, an entry `g_s` under a sum is `Indexed`, an unknown function an undefined one.

    Args:
        page: Stem of the page, `optimizers/adam`.
        label: Label of a display equation on it, `eq:unrolled`.

    Returns:
        The relation (`Eq`, `Le`, …); its sides are `.lhs` and `.rhs`. The expression, if there
        is no relation; a tuple of relations between neighbours, if there are more than two sides.

    Raises:
        PageError: If there is no such page or equation, or its TeX cannot be read.
    """
    docs = _docs(sys._getframe(1).f_code.co_filename)
    stems = [path.relative_to(docs).with_suffix("").as_posix() for path in docs.rglob("*.md")]
    read = read_page(docs / f"{resolve(page, stems)}.md", docs)
    labelled = {eq.label: eq for eq in equations(read.text) if eq.label}
    if label not in labelled:
        raise PageError(f"{read.path}: no equation is labelled {label!r}: {', '.join(labelled)}")
    numbers = {name for tie in read.ties if tie.label == label for name in tie.names}
    try:
        found = [
            part for st in read_formula(labelled[label].tex, numbers) for part in _statement(st)
        ]
    except FormulaError as error:
        line = read.first_line + labelled[label].line - 1
        raise PageError(f"{read.path}:{line}: {error}") from None
    return found[0] if len(found) == 1 else tuple(found)


def _docs(caller: str) -> Path:
    """Return the book's Markdown: of the page that calls, of the checkout, or of the wheel."""
    # Fences are compiled under the file name of their page.
    start = Path(caller).resolve().parent if caller.endswith(".md") else None
    return find_root(start) / "docs"


def _statement(statement: Statement) -> Iterable[Any]:
    sides = [to_sympy(side) for side in statement.sides]
    if not statement.relations:
        return sides
    pairs = zip(statement.relations, sides, sides[1:], strict=False)
    return [_RELATIONS[name](left, right, evaluate=False) for name, left, right in pairs]


def to_sympy(node: Node) -> Any:
    r"""Return a formula as a SymPy expression.

    Raises:
        FormulaError: If SymPy has no such thing: dots, a sum without bounds.

    Example:
        >>> to_sympy(read_formula(r"\frac{\hat m}{1-\beta_1^t}")[0].sides[0])
        m_hat/(1 - beta_1**t)
    """
    if node.kind == "over":
        return _over(node)
    args = [to_sympy(arg) for arg in node.args]
    match node.kind:
        case "number":
            return sympy.Rational(node.name)
        case "constant":
            known = {"e": sympy.E, "pi": sympy.pi, "inf": sympy.oo, "true": sympy.true}
            return known[node.name]
        case "symbol":
            return sympy.Symbol(node.name)
        case "bold":
            return sympy.Symbol(node.name, commutative=False)
        case "index":
            return sympy.IndexedBase(node.name)[tuple(args)]
        case "neg":
            return -args[0]
        case "add":
            return sum(args[1:], args[0])
        case "mul" | "hadamard":
            return reduce(mul, args)
        case "div":
            return args[0] / args[1]
        case "pow":
            return args[0] ** args[1]
        case "transpose":
            return sympy.transpose(args[0])
        case "relation":
            return _RELATIONS[node.name](*args)
        case "cases":
            return sympy.Piecewise(*zip(args[::2], args[1::2], strict=True))
        case "call" if node.name in _SAME:
            return getattr(sympy, node.name)(*args)
        case "call" if node.name in _FUNCTIONS:
            return _FUNCTIONS[node.name](*args)
        case "apply" | "call":
            return sympy.Function(node.name)(*args)
        case "norm":
            return sympy.Function("_".join(filter(None, ("norm", node.name))))(*args)
    raise FormulaError(f"{node.name} has no meaning that could be computed: write it as a sum")


def _over(node: Node) -> Any:
    if len(node.args) != 4 or node.name not in ("sum", "prod"):
        raise FormulaError(f"the {node.name} has no bounds: write them, as in _{{i=1}}^{{n}}")
    body, index, low, high = (to_sympy(arg) for arg in node.args)
    return {"sum": sympy.Sum, "prod": sympy.Product}[node.name](body, (index, low, high))
