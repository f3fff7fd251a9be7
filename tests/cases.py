"""One table for every formula: the same call on every array library must give one value.

Each `tests/<family>/test_<topic>.py` lists its formulas in `CASES`. `tests/test_formulas.py`
runs them on all libraries, dtypes and under `torch.compile`; `tests/test_layout.py` fails when
a public formula has no case.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Law = Callable[[Any, dict[str, np.longdouble]], Any]


@dataclass(frozen=True)
class Case:
    """A call of `function` with float64 NumPy arguments made by `make`.

    `make(rng)` returns the positional arguments and the keyword arguments. Arrays may be nested
    in tuples and named tuples. A `numpy.random.Generator` among the keyword arguments marks a
    random draw: it runs on every library with the same draws, but is not compiled.
    `scale` widens the tolerance where a formula amplifies rounding, `half=False` leaves out
    bfloat16 and float16 where the algorithm (an eigendecomposition, say) does not exist in them.

    What the arguments are is said by their names. The defaults suit a formula that is elementwise
    in all its arrays; a case that differs says so:

    - `fixed`: arguments that are bounded by what they are (probabilities, unit vectors, counts),
      and are not multiplied by extreme factors.
    - `batch`: arguments that take axes in front; None for all arrays, () for none, as where a
      formula adds up over all entries. `batch_axis` is where these axes stand in the result.
    - `broadcasts`: arguments that may have one entry where the others have many.
    - `law(result, factors)`: what the result becomes when the arguments are multiplied by
      `factors`, by name. Needed where a formula decomposes a matrix, which NumPy does in no wider
      format, and where it compares with a tolerance.
    - `unless`: extremes of `tests/conditions.py` that cannot hold, each with the reason:
      "large grad", "small all", or "float16 large grad" for one format alone.
    - `either`: the same, of extremes that hold by the order in which a processor adds: ∞ − ∞.
    """

    function: Callable[..., Any]
    make: Callable[[np.random.Generator], tuple[tuple, dict[str, Any]]]
    label: str = ""
    scale: float = 1.0
    half: bool = True
    fixed: tuple[str, ...] = ()
    batch: tuple[str, ...] | None = None
    batch_axis: int = 0
    broadcasts: tuple[str, ...] = ()
    law: Law | None = None
    unless: Mapping[str, str] = field(default_factory=dict)
    either: Mapping[str, str] = field(default_factory=dict)

    def arguments(self, seed: int = 0) -> dict[str, Any]:
        """Return the arguments of a fresh draw by name, in their order."""
        args, keywords = self.make(np.random.default_rng(seed))
        return dict(inspect.signature(self.function).bind(*args, **keywords).arguments)

    def call(self, arguments: dict[str, Any]) -> Any:
        """Call the function with arguments by name."""
        bound = inspect.signature(self.function).bind(**arguments)
        return self.function(*bound.args, **bound.kwargs)

    def __str__(self) -> str:
        name = formula_name(self.function)
        return f"{name}-{self.label}" if self.label else name


def formula_name(function: Callable[..., Any]) -> str:
    """Return `optimizers.adam.adam` for the function `adam` of `dlkb.optimizers.adam`."""
    return f"{function.__module__.removeprefix('dlkb.')}.{function.__name__}"


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
