"""Write a step of the formula into the parameters: each large one by itself, small ones joined.

The formula is elementwise: to it, parameters are one long vector. Small tensors are joined, since
a call costs more than their arithmetic; large ones are taken as they lie in memory. So two kernels,
compiled for one vector and for several of any length, serve every model; they read and write each
array once.
"""

import functools
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from dlkb._own_code import with_own_code
from dlkb.optim._memory import Row, as_vectors, is_plain

SMALL = 2**14
"""Tensors of up to so many entries are joined."""
JOINED = 2**18
"""Entries of a batch of joined tensors at the most: what it copies stays in the cache."""
TOGETHER = 8
"""Vectors of one call of the compiled step, which costs as much as 100 000 entries."""

Rule = Callable[[Row, Any, Any], Row]
"""Maps a row, the gradients seen before and the options to the new parameter and state."""
Steps = Callable[[Rule, list[Row], float | Tensor, Any], None]


def write_step(rule: Rule, row: Row, step: float | Tensor, options: Any) -> None:
    """Take a step and write the new parameter, and the new state, over the old."""
    theta, _, *state = row
    for old, value in zip((theta, *state), rule(row, step, options), strict=True):
        old.copy_(value)


def write_steps(rule: Rule, rows: list[Row], step: float | Tensor, options: Any) -> None:
    """Take the step of several parameters."""
    for row in rows:
        write_step(rule, row, step, options)


@functools.cache
def _compiled(rule: Rule, dtype: torch.dtype, together: bool) -> Steps:
    """Compile the steps of one kind of optimizer, of one dtype, of one vector or of many.

    Each has code of its own: of one code object the compiler keeps eight kernels.
    """
    del rule, dtype, together
    return torch.compile(with_own_code(write_steps), dynamic=True)


def _as_tensors(options: Any) -> Any:
    """Return an options tuple with 0-d tensors for its numbers, which may differ at each step.

    The compiler reads a number so, too, unless it fixes its value and compiles anew when it
    changes, as PyTorch 2.11 does for a factor 1 - lr * weight_decay. Zero stays: it is left out.
    """
    if isinstance(options, tuple):
        values = [_as_tensors(value) for value in options]
        return options._make(values) if hasattr(options, "_make") else tuple(values)
    if isinstance(options, float) and options != 0:
        return torch.tensor(options, dtype=torch.float64, device="cpu")
    return options


_failures: list[str] = []
"""Why compilation failed; it is not tried a second time."""


def _run(rule: Rule, rows: list[Row], step: float | Tensor, options: Any, compiled: bool) -> None:
    if not compiled or _failures or any(row[0].numel() < 2 for row in rows):
        return write_steps(rule, rows, step, options)  # one entry would be compiled anew
    try:
        steps = _compiled(rule, rows[0][0].dtype, len(rows) > 1)
        return steps(rule, rows, step, options)
    except torch._dynamo.exc.BackendCompilerFailed as error:  # before anything was written
        _failures.append(str(error).split("\n")[0])
        warnings.warn(
            f"the optimizer's step runs uncompiled, which is slower: {_failures[0]}. "
            "Install a C++ compiler, or pass fused=False (RMSprop, Lion: in a parameter group)",
            stacklevel=5,
        )
        return write_steps(rule, rows, step, options)


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield a large parameter by itself, small ones together.

    One whose memory is not in order, or hidden in a subclass, is taken by itself.

    Args:
        rows: Tensors of one dtype on one device.
    """
    batch: list[Row] = []
    entries = 0
    for row in rows:
        theta = row[0]
        if theta.numel() == 0:  # nothing to change
            continue
        plain = all(map(is_plain, row))
        if not plain or theta.numel() > SMALL or not theta.is_contiguous():
            yield [row]
            continue
        if entries + theta.numel() > JOINED:
            yield batch
            batch, entries = [], 0
        batch.append(row)
        entries += theta.numel()
    if batch:
        yield batch


def _join(batch: list[Row]) -> Row | None:
    if len(batch) == 1:
        return as_vectors(batch[0])
    return tuple(_flatten_dense_tensors(column) for column in zip(*batch, strict=True))


def _write_back(batch: list[Row], vectors: Row) -> None:
    old: list[Tensor] = []
    new: list[Tensor] = []
    for i, column in enumerate(zip(*batch, strict=True)):
        if i != 1:  # the gradient stays
            old += column
            new += _unflatten_dense_tensors(vectors[i], column)
    torch._foreach_copy_(old, new)


def advance(
    rule: Rule, rows: Iterable[Row], step: float | Tensor, options: Any, compiled: bool
) -> None:
    """Take one step with all parameters, in place.

    Args:
        rule: The formula, elementwise.
        rows: Tensors of one dtype on one device.
        step: How many gradients they have seen before.
        options: Of their parameter group.
        compiled: Whether to compile. Where no compiler is, that warns once and runs eagerly.
    """
    options = _as_tensors(options) if compiled else options
    waiting = batches(rows)
    while chunk := list(islice(waiting, TOGETHER)):
        joined = [(batch, _join(batch)) for batch in chunk]
        vectors = [v for _, v in joined if v is not None]
        # Two kernels, one of many vectors and one of a single one, whatever their number.
        for part in [vectors] if len(vectors) == TOGETHER else [[v] for v in vectors]:
            _run(rule, part, step, options, compiled)
        for batch, v in joined:
            if v is None:
                write_step(rule, batch[0], step, options)
            elif len(batch) > 1:
                _write_back(batch, v)
