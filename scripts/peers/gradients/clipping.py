"""What a library's clipping does, found by running it on a few gradients of two arrays."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import keras
import mlx.core
import mlx.optimizers
import numpy as np
import optax
import torch
from numpy.typing import NDArray

import dlkb.nn

LIBRARIES = ("torch", "keras", "optax", "mlx")

Array = NDArray[np.float32]
Clip = Callable[[Sequence[Array], float], list[Array]]

LONG = ([3.0, 4.0], [12.0])  # norms 5 and 12, together 13


def arrays(values: Sequence[Sequence[float]]) -> list[Array]:
    """Make arrays of lists."""
    return [np.asarray(row, dtype=np.float32) for row in values]


def which(found: list[Array], conventions: dict[str, list[list[float]]]) -> str:
    """Return the words of the only convention that gives these arrays."""
    flat = np.concatenate(found)
    same = [
        words
        for words, expected in conventions.items()
        if np.allclose(flat, np.concatenate(expected), rtol=1e-4, atol=0, equal_nan=True)
    ]
    if len(same) != 1:
        raise LookupError(f"{len(same)} conventions give {found}: {same}")
    return same[0]


def limits(clip: Clip) -> str:
    """Say of what the size is limited."""
    return which(
        clip(arrays(LONG), 1.0),
        {
            "norm of all parameters": [[3 / 13, 4 / 13], [12 / 13]],
            "norm of **each variable**": [[3 / 5, 4 / 5], [1.0]],
            "each entry": [[1.0, 1.0], [1.0]],
        },
    )


def leaves(clip: Clip) -> str:
    """Say what is left of a norm of 2 at the threshold 1, in units of 1e-6."""
    return which(
        clip(arrays([[2e-6], [0.0]]), 1e-6),
        {
            "$t/(N + 10^{-6})$": [[2e-6 / 3], [0.0]],
            "$t/N$": [[1e-6], [0.0]],
        },
    )


def infinite(clip: Clip) -> str:
    """Say what becomes of an infinite entry and of the rest."""
    nan = float("nan")
    with np.errstate(invalid="ignore"):
        found = clip(arrays([[np.inf, 0.5], [0.25]]), 1.0)
    return which(
        found,
        {
            "NaN, all others 0": [[nan, 0.0], [0.0]],
            "NaN, others of its variable 0": [[nan, 0.0], [0.25]],
            "all NaN": [[nan, nan], [nan]],
            "$t$, the others stay": [[1.0, 0.5], [0.25]],
        },
    )


def row(*clips: Clip, factor: str | None = None) -> tuple[str, ...]:
    """Return the cells of several calls, which must agree."""
    found = {(limits(clip), factor or leaves(clip), infinite(clip)) for clip in clips}
    if len(found) != 1:
        raise LookupError(f"calls of one row differ: {found}")
    return found.pop()


def in_place(function: Callable[..., object]) -> Clip:
    """Make a clip of a function that changes `grad`."""

    def clip(grads: Sequence[Array], t: float) -> list[Array]:
        parameters = [torch.nn.Parameter(torch.zeros(len(g))) for g in grads]
        for p, g in zip(parameters, grads, strict=True):
            p.grad = torch.tensor(g)
        function(parameters, t)
        return [np.asarray(p.grad) for p in parameters]

    return clip


def by_keras(name: str) -> Clip:
    """Make a clip of an argument of Keras's optimizers: a step of SGD at lr = 1 shows it."""

    def clip(grads: Sequence[Array], t: float) -> list[Array]:
        variables = [keras.Variable(np.zeros(len(g), dtype=np.float32)) for g in grads]
        optimizer = keras.optimizers.SGD(1.0, **{name: t})
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in grads], variables)
        return [-v.numpy() for v in variables]

    return clip


def by_optax(make: Callable[[float], optax.GradientTransformation]) -> Clip:
    """Make a clip of a transformation of optax."""

    def clip(grads: Sequence[Array], t: float) -> list[Array]:
        transform = make(t)
        updates = [jnp.asarray(g) for g in grads]
        return [np.asarray(g) for g in transform.update(updates, transform.init(updates))[0]]

    return clip


def by_mlx(grads: Sequence[Array], t: float) -> list[Array]:
    """Clip with MLX."""
    return [
        np.asarray(g)
        for g in mlx.optimizers.clip_grad_norm([mlx.core.array(g) for g in grads], t)[0]
    ]


def adaptive() -> tuple[str, str]:
    """Say what optax's adaptive clipping compares with what: columns are units."""
    weights = np.asarray([[3.0, 0.3], [4.0, 0.4]], dtype=np.float32)  # norms 5 and 0.5
    grads = np.asarray([[60.0, 0.06], [80.0, 0.08]], dtype=np.float32)  # norms 100 and 0.1
    transform = optax.adaptive_grad_clip(0.1)
    found, _ = transform.update(jnp.asarray(grads), transform.init(weights), jnp.asarray(weights))
    expected = grads * np.asarray([0.1 * 5 / 100, 0.1 * 0.5 / 0.1])
    if not np.allclose(found, expected, rtol=1e-4):
        raise LookupError(f"adaptive clipping gives {found}")
    none = np.zeros_like(weights)
    of_none, _ = transform.update(jnp.asarray(grads), transform.init(none), jnp.asarray(none))
    if not np.allclose(of_none, grads * np.asarray([0.1 * 1e-3 / 100, 0.1 * 1e-3 / 0.1])):
        raise LookupError(f"adaptive clipping of weights at zero gives {of_none}")
    factor = r"$t\max(\lVert\mathbf{w}\rVert, 10^{-3})/N$"
    return "norm of each unit, relative to its weights", factor


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what is limited, the factor, and what an infinite entry leaves."""
    ours, theirs = in_place(dlkb.nn.clip_grad_norm_), in_place(torch.nn.utils.clip_grad_norm_)
    values = in_place(torch.nn.utils.clip_grad_value_), in_place(dlkb.nn.clip_grad_value_)
    return {
        "this package, `torch.nn.utils.clip_grad_norm_`, MLX `clip_grad_norm`": row(
            ours, theirs, by_mlx
        ),
        "optax `clip_by_global_norm`": row(by_optax(optax.clip_by_global_norm)),
        "Keras `global_clipnorm`": row(by_keras("global_clipnorm")),
        "Keras `clipnorm`": row(by_keras("clipnorm")),
        "`clip_grad_value_`, Keras `clipvalue`, optax `clip`": row(
            *values, by_keras("clipvalue"), by_optax(optax.clip), factor="–"
        ),
        "optax `adaptive_grad_clip`": (*adaptive(), "–"),
    }
