"""Write a step of the formula into the parameters: each large one by itself, small ones joined.

The formula is elementwise: to it, parameters are one long vector. Small tensors are joined, since
a call costs more than their arithmetic; large ones are taken as they lie in memory. So a single
kernel, compiled for a vector of any length, serves every model; it reads and writes each array
once.
"""

import functools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from dlkb.optimizers.adam import AdamState, adam, bias_correction
from dlkb.optimizers.adamw import adamw

SMALL = 2**14
"""Tensors of up to so many entries are joined."""
JOINED = 2**18
"""Entries of a batch of joined tensors at the most: what it copies stays in the cache."""
TOGETHER = 8
"""Vectors of one call of the compiled step, which costs as much as 100 000 entries."""

Row = tuple[Tensor, ...]
"""Parameter, gradient, m, v, and with AMSGrad the maximum of v."""


class Options(NamedTuple):
    """What a parameter group says of the step."""

    lr: float | Tensor
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    maximize: bool
    decoupled: bool


def write_step(row: Row, step: float | Tensor, options: Options) -> None:
    """Take a step of Adam or AdamW and write it, and the new state, over the old."""
    theta, grad, m, v, *v_max = row
    new_theta, new = (adamw if options.decoupled else adam)(
        theta,
        grad,
        AdamState(step, m, v, *v_max),
        lr=options.lr,
        betas=options.betas,
        eps=options.eps,
        weight_decay=options.weight_decay,
        maximize=options.maximize,
    )
    theta.copy_(new_theta)
    for old, value in zip((m, v, *v_max), new[1:], strict=False):
        old.copy_(value)


def write_steps(rows: list[Row], step: float | Tensor, options: Options) -> None:
    """Take the step of several parameters."""
    for row in rows:
        write_step(row, step, options)


@functools.cache
def _compiled() -> Callable[[list[Row], float | Tensor, Options], None]:
    return torch.compile(write_steps, dynamic=True)


_failures: list[str] = []
"""Why compilation failed; it is not tried a second time."""


def without_correction(step: float, options: Options) -> tuple[float, Options]:
    """Put the bias correction of a step into its scalars: there is none left for t → ∞.

    η m̂/(√v̂ + ε) = η' m/(√v + ε') with η' = η √(1−β₂ᵗ)/(1−β₁ᵗ) and ε' = ε √(1−β₂ᵗ), as in
    section 2 of Kingma and Ba, Adam (2015). A kernel then reads numbers; it would compute the
    two powers for each entry anew.
    """
    beta1, beta2 = options.betas
    root = bias_correction(step + 1, beta=beta2) ** 0.5
    factor = root / bias_correction(step + 1, beta=beta1)
    decay = options.weight_decay
    return math.inf, options._replace(
        lr=options.lr * factor,
        eps=options.eps * root,
        weight_decay=decay / factor if options.decoupled else decay,
    )


def _run(rows: list[Row], step: float | Tensor, options: Options, compiled: bool) -> None:
    if not compiled or _failures or any(row[0].numel() < 2 for row in rows):
        return write_steps(rows, step, options)  # one entry would be compiled anew
    try:
        if isinstance(step, Tensor):
            return _compiled()(rows, step, options)
        return _compiled()(rows, *without_correction(step, options))
    except torch._dynamo.exc.BackendCompilerFailed as error:  # before anything was written
        _failures.append(str(error).split("\n")[0])
        warnings.warn(
            f"the optimizer's step runs uncompiled, which is slower: {_failures[0]}. "
            "Install a C++ compiler, or pass fused=False",
            stacklevel=5,
        )
        return write_steps(rows, step, options)


def as_vectors(row: Row) -> Row | None:
    """View parameter and state as vectors without copying; None where memory has gaps."""
    theta, grad, *state = row
    if not theta.is_contiguous():
        order = sorted(range(theta.ndim), key=theta.stride, reverse=True)
        theta, grad, *state = (t.permute(order) for t in row)
    if not all(t.is_contiguous() for t in (theta, *state)):
        return None
    # Detached last: to the compiler a view of a view would be another kind of argument.
    return tuple(t.view(-1).detach() for t in (theta, grad.contiguous(), *state))


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield a large parameter by itself, small ones together.

    One whose memory is not in order is taken by itself.

    Args:
        rows: Tensors of one dtype on one device.
    """
    batch: list[Row] = []
    entries = 0
    for row in rows:
        theta = row[0]
        if theta.numel() > SMALL or not theta.is_contiguous():
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


def advance(rows: Iterable[Row], step: float | Tensor, options: Options, compiled: bool) -> None:
    """Take one step with all parameters, in place.

    Args:
        rows: Tensors of one dtype on one device.
        step: How many gradients they have seen before.
        options: Of their parameter group.
        compiled: Whether to compile. Where no compiler is, that warns once and runs eagerly.
    """
    waiting = batches(rows)
    while chunk := list(islice(waiting, TOGETHER)):
        joined = [(batch, _join(batch)) for batch in chunk]
        vectors = [v for _, v in joined if v is not None]
        # Two kernels, one of many vectors and one of a single one, whatever their number.
        for part in [vectors] if len(vectors) == TOGETHER else [[v] for v in vectors]:
            _run(part, step, options, compiled)
        for batch, v in joined:
            if v is None:
                write_step(batch[0], step, options)
            elif len(batch) > 1:
                _write_back(batch, v)
