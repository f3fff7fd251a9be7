"""One table for every formula: the same call on every array library must give one value.

Each `tests/<family>/test_<topic>.py` lists its formulas in `CASES`. `tests/test_formulas.py`
runs them on all libraries, dtypes and under `torch.compile`; `tests/test_layout.py` fails when
a public formula has no case.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """A call of `function` with float64 NumPy arguments made by `make`.

    `make(rng)` returns the positional arguments and the keyword arguments. Arrays may be nested
    in tuples and named tuples. A `numpy.random.Generator` among the keyword arguments marks a
    random draw: it runs on every library with the same draws, but is not compiled.
    `scale` widens the tolerance where a formula amplifies rounding, `half=False` leaves out
    bfloat16 where the algorithm (an eigendecomposition, say) does not exist in it.
    """

    function: Callable[..., Any]
    make: Callable[[np.random.Generator], tuple[tuple, dict[str, Any]]]
    label: str = ""
    scale: float = 1.0
    half: bool = True

    def __str__(self) -> str:
        name = f"{self.function.__module__.removeprefix('dlkb.')}.{self.function.__name__}"
        return f"{name}-{self.label}" if self.label else name


def map_arrays(change: Callable[[Any], Any], tree: Any) -> Any:
    """Apply `change` to every array in nested tuples, named tuples, lists and dicts."""
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_arrays(change, leaf) for leaf in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(map_arrays(change, leaf) for leaf in tree)
    if isinstance(tree, dict):
        return {key: map_arrays(change, leaf) for key, leaf in tree.items()}
    return change(tree) if hasattr(tree, "shape") else tree


def leaves(tree: Any) -> list[Any]:
    """Return the arrays and scalars of nested tuples, lists and dicts, in order."""
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, tuple | list):
        return [leaf for branch in tree for leaf in leaves(branch)]
    return [] if tree is None else [tree]
