"""Conditions that every formula meets, besides libraries and dtypes: extremes, batches, shapes.

Each function takes a case and raises `AssertionError` if the formula fails. A case may excuse
itself by name in `Case.unless`; `tests/test_formulas.py` fails where the excuse is not needed.
"""

import inspect
import math
import typing
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from tests.cases import Case, leaves, map_arrays
from tests.close import assert_close, assert_close_in_size, dtype_name, to_numpy

FACTORS = {
    "float64": {"large": 1e150, "small": 1e-150, "huge": 1e160, "tiny": 1e-160},
    "float16": {"large": 1e3, "small": 1e-3},
}
"""Squares of 1e±150 fit into float64, those of 1e±160 do not; nor those of 1e±3 into float16."""

WIDER = {"float64": (np.longdouble, np.clongdouble), "float16": (np.float64, np.complex128)}


def is_float(x: Any) -> bool:
    return hasattr(x, "dtype") and x.dtype.kind in "fc"


def has_floats(tree: Any) -> bool:
    return any(is_float(leaf) for leaf in leaves(tree))


def scalings(case: Case, dtype: str) -> dict[str, dict[str, float]]:
    """Return the extremes of a case, "float16 large theta": each argument alone, then all."""
    arguments = case.arguments()
    if any(math.prod(x.shape) == 0 for x in leaves(arguments) if hasattr(x, "shape")):
        return {}
    names = [n for n, x in arguments.items() if n not in case.fixed and has_floats(x)]
    groups = {name: [name] for name in names} | ({"all": names} if len(names) > 1 else {})
    return {
        f"{dtype} {size} {group}": dict.fromkeys(members, factor)
        for size, factor in FACTORS[dtype].items()
        for group, members in groups.items()
    }


def excused(case: Case, name: str) -> bool:
    """Whether `Case.unless` names an extreme, for its format or for all."""
    return name in case.unless or name.partition(" ")[2] in case.unless


def undecided(case: Case, name: str) -> bool:
    """Whether `Case.either` names an extreme, for its format or for all."""
    return name in case.either or name.partition(" ")[2] in case.either


def _times(tree: Any, factor: float) -> Any:
    return map_arrays(lambda x: x * factor if is_float(x) else x, tree)


def _cast(tree: Any, real: type, complex_: type) -> Any:
    def cast(x: Any) -> Any:
        return x.astype({"f": real, "c": complex_}.get(x.dtype.kind, x.dtype))

    return map_arrays(cast, tree)


def _scaled(case: Case, factors: dict[str, float], dtype: str) -> dict[str, Any]:
    """Return fresh arguments, multiplied and rounded to `dtype`, as NumPy arrays."""
    arguments = {
        name: _times(value, factors.get(name, 1.0)) for name, value in case.arguments().items()
    }
    return _cast(arguments, np.dtype(dtype).type, np.complex128)


def meets_extreme(case: Case, factors: dict[str, float], dtype: str) -> int:
    """Compare a call in `dtype` with the same call in a wider one; return how much was compared.

    Also with the case's law, which sees what both calls do wrong, such as an absolute tolerance.
    Python numbers among the arguments are hyperparameters and stay as they are.
    """
    with np.errstate(all="ignore"):  # what overflows on the way of a choice is not chosen
        given = map_arrays(torch.as_tensor, _scaled(case, factors, dtype))
        actual = case.call(given)
        pairs = []
        try:
            wider = case.call(_cast(_scaled(case, factors, dtype), *WIDER[dtype]))
            pairs += zip(leaves(actual), leaves(wider), strict=True)
        except TypeError as error:  # NumPy decomposes float64 at most
            if case.law is None or "unsupported in linalg" not in str(error):
                raise
        if case.law is not None:
            by = {name: np.longdouble(factors.get(name, 1.0)) for name in case.arguments()}
            lawful = case.law(case.call(_scaled(case, {}, dtype)), by)
            pairs += zip(leaves(actual), leaves(lawful), strict=True)
        compared = 0
        for a, e in pairs:
            if is_float(e):
                compared += assert_close_in_size(a, e, dtype=dtype, scale=case.scale)
            else:
                assert_close(a, e, dtype=dtype)
                compared += 1
    return compared


def batched(case: Case) -> tuple[str, ...]:
    """Name the arguments that take axes in front."""
    if case.batch is not None:
        return case.batch
    return tuple(n for n, x in case.arguments().items() if any(map(_may_stack, leaves(x))))


def _may_stack(x: Any) -> bool:
    """Whether axes may stand in front: not before numbers and 0-d arrays, as counts of steps."""
    return hasattr(x, "shape") and x.ndim > 0


def _stack(names: tuple[str, ...], each: list[dict[str, Any]]) -> dict[str, Any]:
    def stack(trees: list[Any]) -> Any:
        rows = iter(zip(*(leaves(tree) for tree in trees), strict=True))

        def one(x: Any) -> Any:
            row = next(rows)
            return np.stack(row) if _may_stack(x) else x

        return _map_leaves(one, trees[0])

    return each[0] | {n: stack([arguments[n] for arguments in each]) for n in names}


def _map_leaves(change: Callable[[Any], Any], tree: Any) -> Any:
    """As `map_arrays`, for numbers too."""
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_map_leaves(change, leaf) for leaf in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(_map_leaves(change, leaf) for leaf in tree)
    return tree if tree is None else change(tree)


def keeps_batches_apart(case: Case) -> None:
    """Two draws stacked give the two results stacked; none give none, in the same dtype."""
    names = batched(case)
    first, second = (case.arguments(seed) for seed in (0, 1))
    second = first | {name: second[name] for name in names}
    alone = [case.call(dict(arguments)) for arguments in (first, second)]
    stacked = _stack(names, [first, second])
    both = case.call(dict(stacked))
    for a, *rows in zip(leaves(both), *map(leaves, alone), strict=True):
        if _may_stack(a):
            assert_close(a, np.stack(rows, axis=case.batch_axis), scale=case.scale)
    empty = {n: map_arrays(lambda x: x[:0] if x.ndim else x, stacked[n]) for n in names}
    for convert in (np.asarray, torch.as_tensor):
        none = case.call(map_arrays(convert, stacked | empty))
        for a, e in zip(leaves(none), leaves(both), strict=True):
            if _may_stack(e):
                shape = list(e.shape)
                shape[case.batch_axis] = 0
                assert list(a.shape) == shape, f"{tuple(a.shape)}, expected {tuple(shape)}"
                assert dtype_name(a) == dtype_name(e)


def one_entry(case: Case) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the arguments with one of their arrays cut down to one entry, for each array.

    Arrays without axes are numbers, which may stand beside any shape.
    """
    arguments = case.arguments()
    arrays = [
        (n, k) for n, x in arguments.items() for k, leaf in enumerate(leaves(x)) if _may_stack(leaf)
    ]
    if len(arrays) < 2:
        return
    for name, k in arrays:
        if name in case.broadcasts or math.prod(leaves(arguments[name])[k].shape) < 2:
            continue
        count = iter(range(10**9))

        def cut(x: Any, k: int = k, count: Iterator[int] = count) -> Any:
            return x[(slice(1),) * x.ndim] if next(count) == k else x

        yield name, arguments | {name: _map_leaves(cut, arguments[name])}


def refuses_one_entry(case: Case) -> None:
    """An array with one entry where another has many is an error, not repeated in silence."""
    for name, arguments in one_entry(case):
        try:
            case.call(arguments)
        except ValueError as error:
            problem = f"{name} fails unchecked: {error}" if "together" in str(error) else ""
        else:
            problem = f"{name} with one entry is accepted: refuse it, or broadcasts="
        if problem:
            raise AssertionError(problem)


def options(function: Callable[..., Any]) -> dict[str, tuple[Any, ...]]:
    """Return the options of a formula, and the values that some case must give each.

    Those of a flag and of a `Literal` are known; of others it is known that a case must give one.
    """
    hints = typing.get_type_hints(function)
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and name != "generator":
            hint = hints[name]
            literal = typing.get_origin(hint) is typing.Literal
            found[name] = (
                (False, True) if hint is bool else typing.get_args(hint) if literal else ()
            )
    return found


def option_problems(function: Callable[..., Any], cases: list[Case]) -> list[str]:
    """Say which options no case gives another value than the default, or gives without effect."""
    problems = []
    parameters = inspect.signature(function).parameters
    for name, values in options(function).items():
        default = parameters[name].default
        given = [(case, case.arguments()) for case in cases]
        changed = [(c, a) for c, a in given if name in a and not _same(a[name], default)]
        seen = [a.get(name, default) for _, a in given]
        problems += [f"{name}={value!r} is in no case" for value in values if value not in seen]
        if not changed:
            problems.append(f"{name} has its default in every case")
        elif default is not inspect.Parameter.empty and all(
            _same_result(case, name) for case, _ in changed
        ):
            problems.append(f"{name} changes no result")
    return problems


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and not hasattr(a, "shape") and a == b


def _same_result(case: Case, name: str) -> bool:
    without = case.arguments()
    del without[name]
    with_ = leaves(case.call(case.arguments()))
    try:
        without_ = leaves(case.call(without))
    except ValueError:  # the arrays fit together with this option alone: groups of channels
        return False
    pairs = zip(with_, without_, strict=False)
    return len(with_) == len(without_) and all(
        np.array_equal(to_numpy(a), to_numpy(b), equal_nan=True) for a, b in pairs
    )
