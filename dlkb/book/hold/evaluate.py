"""Evaluate a formula with NumPy.

Matrices are two-dimensional, vectors columns of them: their product is the matrix product.
Everything else is multiplied elementwise.
"""

import operator
from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np

from dlkb.book.read.nodes import Node, key, show
from dlkb.book.read.tokens import FormulaError

_ELEMENTWISE = {
    **{name: getattr(np, name) for name in "exp sin cos tan sinh cosh tanh sign abs".split()},
    **{name: getattr(np, name) for name in "arcsin arccos arctan ceil floor".split()},
}
_SCIPY = {"erf": "erf", "erfc": "erfc", "digamma": "digamma", "gamma": "gamma"}
_SCIPY |= {"normal_cdf": "ndtr"}
_COMPARE: dict[str, Any] = {
    "<": np.less,
    ">": np.greater,
    "<=": np.less_equal,
    ">=": np.greater_equal,
}
_COMPARE |= {"=": np.equal, "!=": np.not_equal}
_CONSTANTS = {"e": np.e, "pi": np.pi, "inf": np.inf, "true": True}
_ALL_AT_ONCE = frozenset("number constant symbol neg add mul div pow call".split())
_OVER: dict[str, Any] = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}


def evaluate(node: Node, values: Mapping[str, Any]) -> Any:
    r"""Return the value of a formula.

    Args:
        node: The formula.
        values: What its symbols stand for, and its unknown functions as `key` writes them: `E(z)`.

    Raises:
        FormulaError: If something has no value.

    Example:
        >>> from dlkb.book.read.formula import read_formula
        >>> print(evaluate(read_formula(r"\frac{x}{1-p}")[0].sides[0], {"x": 3, "p": 0.25}))
        4.0
    """
    if node.kind in ("symbol", "bold", "apply"):
        given = values.get(key(show(node)))
        if given is not None and not callable(given):
            return _number(given)
        if node.kind == "apply" and not callable(values.get(node.name)):
            raise FormulaError(f"nothing gives a value to {show(node)}")
    if node.kind == "over":
        return _over(node, values)
    args = [evaluate(arg, values) for arg in node.args]
    match node.kind:
        case "number":
            return np.float64(node.name)
        case "constant":
            return _CONSTANTS[node.name]
        case "index":
            return _entry(node, values, args)
        case "neg":
            return -args[0]
        case "add":
            return reduce(operator.add, args)
        case "mul":
            return reduce(_times, args)
        case "hadamard":
            return args[0] * args[1]
        case "div":
            return args[0] / args[1]
        case "pow":
            return _power(args[0], args[1])
        case "transpose":
            return args[0].T
        case "norm":
            return _norm(node, args[0])
        case "relation":
            return _COMPARE[node.name](args[0], args[1])
        case "cases":
            return _cases(args)
        case "call":
            return _call(node.name, args)
        case "apply":
            return values[node.name](*args)
    raise FormulaError(f"nothing gives a value to {show(node)}")


def _number(value: Any) -> Any:
    array = np.asarray(value)
    return array if array.dtype == np.bool_ else array.astype(np.float64)[()]


def _is_matrix(value: Any) -> bool:
    return np.ndim(value) == 2


def _times(left: Any, right: Any) -> Any:
    if not (_is_matrix(left) and _is_matrix(right)):
        return left * right
    product = left @ right
    return product[0, 0] if product.shape == (1, 1) else product


def _power(base: Any, exponent: Any) -> Any:
    if _is_matrix(base):
        if exponent != int(exponent):
            raise FormulaError("a matrix has whole powers only")
        return np.linalg.matrix_power(base, int(exponent))
    return np.power(base, exponent)


def _norm(node: Node, value: Any) -> Any:
    order = {"": 2, "F": "fro", "infty": np.inf, "1": 1, "2": 2}.get(node.name)
    if order is None:
        raise FormulaError(f"no norm is called {node.name}")
    if min(np.shape(value), default=1) > 1 and node.name not in ("2", "F"):
        raise FormulaError(r"which norm of a matrix? Write \lVert…\rVert_2 or _F")
    if min(np.shape(value), default=1) == 1:
        value, order = np.ravel(value), 2 if order == "fro" else order
    return np.linalg.norm(np.atleast_1d(value), order)  # type: ignore[call-overload]


def _cases(args: list[Any]) -> Any:
    *conditions, last = args[1::2]
    values = args[::2]
    shape = np.broadcast_shapes(*(np.shape(arg) for arg in args))
    rest = values[-1] if last is True else np.where(last, values[-1], np.nan)
    if not conditions:
        return rest
    choices = [np.broadcast_to(value, shape) for value in values[:-1]]
    return np.select([np.broadcast_to(c, shape) for c in conditions], choices, rest)[()]


def _call(name: str, args: list[Any]) -> Any:
    if name in _ELEMENTWISE:
        return _ELEMENTWISE[name](args[0])
    if name in _SCIPY:
        import scipy.special  # type: ignore[import-untyped] # half a second: only where needed

        return getattr(scipy.special, _SCIPY[name])(args[0])
    match name:
        case "log":
            return np.log(args[0]) / (np.log(args[1]) if len(args) > 1 else 1)
        case "sqrt":
            return np.power(args[0], 1 / args[1])
        case "max" | "min":
            return reduce(np.maximum if name == "max" else np.minimum, args)
        case "det":
            return np.linalg.det(args[0])
        case "tr":
            return np.trace(args[0])
    if name == "diag" and _is_matrix(args[0]):
        column = args[0].shape[1] == 1
        return np.diag(args[0][:, 0]) if column else np.diag(np.diag(args[0]))
    raise FormulaError(f"{name} has no meaning here")


def _entry(node: Node, values: Mapping[str, Any], places: list[Any]) -> Any:
    """Return an entry; entries are counted from 1."""
    whole = values.get(node.name)
    if whole is None:
        raise FormulaError(f"nothing gives a value to {node.name}, whose entries are used")
    whole = np.asarray(whole)
    if whole.ndim == 2 and whole.shape[1] == 1:
        whole = whole[:, 0]
    key = tuple(round(float(place)) - 1 for place in places)
    if len(key) == 1 and whole.ndim == 2:
        return whole[:, key[0] : key[0] + 1]  # a column of a matrix
    if min(key) < 0 or any(k >= size for k, size in zip(key, whole.shape, strict=True)):
        raise FormulaError(f"{show(node)} is outside of {node.name}, counted from 1")
    return whole[key]


def _over(node: Node, values: Mapping[str, Any]) -> Any:
    body, index, *bounds = node.args
    if bounds:
        low, high = (round(float(evaluate(bound, values))) for bound in bounds)
    else:
        low, high = 1, _length(node, values)
    places = np.arange(low, high + 1.0)
    if not places.size:
        if node.name in ("max", "min"):
            raise FormulaError(f"{show(node)} has nothing to choose from")
        return np.float64(node.name == "prod")
    kinds = {part.kind for part in body.walk()}
    axes = max(np.ndim(values.get(part.name, 0)) for part in body.walk())
    if axes < 2 and kinds <= _ALL_AT_ONCE:
        places = places.reshape(-1, *[1] * axes)
        terms = evaluate(body, {**values, index.name: places})
        return _OVER[node.name](np.broadcast_arrays(terms, places)[0], axis=0)
    parts = [evaluate(body, {**values, index.name: place}) for place in places]
    return _OVER[node.name](np.stack(np.broadcast_arrays(*parts)), axis=0)


def _length(node: Node, values: Mapping[str, Any]) -> int:
    """Return how many entries a sum without bounds runs over."""
    lengths = set()
    for part in node.walk():
        for axis, place in enumerate(part.args if part.kind == "index" else ()):
            if place.name == node.args[1].name and part.name in values:
                entries = np.asarray(values[part.name])
                columns = entries.ndim == 2 and len(part.args) == 1 and entries.shape[1] > 1
                lengths.add(entries.shape[1 if columns else axis])
    if len(lengths) != 1:
        raise FormulaError(f"{show(node)} has no bounds, and its entries do not tell: write them")
    return lengths.pop()
