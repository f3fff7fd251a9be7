"""Write a step of the formula into the parameters: each large one by itself, small ones joined.

The formula is elementwise: to it, parameters are one long vector. Small tensors are joined, since
a call costs more than their arithmetic; large ones are taken as they lie in memory. So a single
kernel, compiled for a vector of any length, serves every model; it reads and writes each array
once.
"""

import functools
import math
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dlkb.optimizers.adam import AdamState, adam, bias_correction
from dlkb.optimizers.adamw import adamw

SMALL = 2**14
"""Tensors of up to so many entries are joined."""
JOINED = 2**18
"""Entries of a batch of joined tensors at the most: what it copies stays in the cache."""

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


@functools.cache
def _compiled() -> Callable[[Row, float | Tensor, Options], None]:
    return torch.compile(write_step, dynamic=True)


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


def _run(row: Row, step: float | Tensor, options: Options, compiled: bool) -> None:
    if compiled and not _failures and row[0].numel() > 1:  # one entry would be compiled anew
        try:
            if isinstance(step, Tensor):
                return _compiled()(row, step, options)
            return _compiled()(row, *without_correction(step, options))
        except torch._dynamo.exc.BackendCompilerFailed as error:  # before anything was written
            _failures.append(str(error).split("\n")[0])
            warnings.warn(
                f"the optimizer's step runs uncompiled, which is slower: {_failures[0]}. "
                "Install a C++ compiler, or pass fused=False",
                stacklevel=5,
            )
    return write_step(row, step, options)


def as_vectors(row: Row) -> Row | None:
    """View parameter and state as vectors without copying; None where memory has gaps."""
    order = sorted(range(row[0].ndim), key=row[0].stride, reverse=True)
    theta, grad, *state = (t.permute(order) for t in row)
    if not all(t.is_contiguous() for t in (theta, *state)):
        return None
    # Detached last: to the compiler a view of a view would be another kind of argument.
    return tuple(t.view(-1).detach() for t in (theta, grad.contiguous(), *state))


def batches(rows: Iterable[tuple[Hashable, Row]]) -> Iterator[tuple[Any, list[Row]]]:
    """Yield what one call can update: a large parameter, or small ones that share a key.

    Args:
        rows: The key, here the step, and the tensors of each parameter.

    Yields:
        The key and the rows of a batch.
    """
    waiting: dict[Any, list[Row]] = {}
    entries: dict[Any, int] = {}
    for key, row in rows:
        theta = row[0]
        if theta.numel() > SMALL:
            yield key, [row]
            continue
        kind = (key, theta.dtype, theta.device)
        if entries.get(kind, 0) + theta.numel() > JOINED:
            yield key, waiting.pop(kind)
            entries[kind] = 0
        waiting.setdefault(kind, []).append(row)
        entries[kind] = entries.get(kind, 0) + theta.numel()
    for (key, _, _), batch in waiting.items():
        yield key, batch


def advance(batch: list[Row], step: float | Tensor, options: Options, *, compiled: bool) -> None:
    """Take one step with all parameters of a batch, in place.

    Args:
        batch: Rows of `batches`.
        step: How many gradients they have seen before.
        options: Of their parameter group.
        compiled: Whether to compile. Where no compiler is, that warns once and runs eagerly.
    """
    if len(batch) == 1:
        vectors = as_vectors(batch[0])
        _run(vectors or batch[0], step, options, compiled and vectors is not None)
        return
    columns = [[t.detach() for t in column] for column in zip(*batch, strict=True)]
    joined = tuple(torch.cat([t.reshape(-1) for t in column]) for column in columns)
    _run(joined, step, options, compiled)
    sizes = [t.numel() for t in columns[0]]
    for column, vector in zip(columns, joined, strict=True):
        if column is not columns[1]:  # the gradient stays
            parts = zip(vector.split(sizes), column, strict=True)
            torch._foreach_copy_(column, [part.view_as(t) for part, t in parts])
