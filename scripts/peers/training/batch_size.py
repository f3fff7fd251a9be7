"""What the losses of libraries make of a batch, found by running them.

Each loss is asked for its gradient on a batch and on the same batch twice over.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import keras
import mlx.core
import mlx.nn
import numpy as np
import optax
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

LIBRARIES = ("torch", "keras", "optax", "mlx")

Values = NDArray[np.float64]
RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(size=(4, 3)), np.asarray([0, 2, 1, 1])


def per_example(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], twice: bool) -> float:
    """Return the length of the gradient in a shift that all examples share."""
    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    copies = 2 if twice else 1
    logits = torch.tensor(np.tile(LOGITS, (copies, 1))) + shift
    labels = torch.tensor(np.tile(LABELS, copies))
    loss(logits, labels).backward()
    assert shift.grad is not None
    return float(shift.grad.norm())


def divisor(value: float, losses: Values) -> str:
    """Say which number a loss is of the losses of single entries."""
    named = {
        "the sum": losses.sum(),
        "the mean over examples": losses.sum() / len(losses),
        "the mean over all entries": losses.mean(),
    }
    for name, expected in named.items():
        if np.isclose(value, expected, rtol=1e-5):
            return name
    raise LookupError(f"{value} is none of {named}")


def of_torch(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], losses: Values
) -> tuple[str, ...]:
    """Return the cells of a loss of torch; `losses` are those of single entries."""
    value = float(loss(torch.tensor(LOGITS), torch.tensor(LABELS)))
    growth = per_example(loss, True) / per_example(loss, False)
    return divisor(value, losses), f"{growth:.0f}"


def of_array(result: object) -> tuple[str, ...]:
    """Return the cells of a loss that leaves the reduction to the caller."""
    shape = tuple(np.asarray(result).shape)
    if shape != (4,):
        raise LookupError(f"shape {shape}: one loss for each of four examples was expected")
    return "one loss an example", "as you reduce"


def which_reduction() -> dict[str, tuple[str, ...]]:
    """Return, for each loss, what it is by default, and how the gradient grows with the batch."""
    log_p = LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True))
    entropy = -log_p[np.arange(4), LABELS][:, None]
    onehot = np.eye(3)[LABELS]
    target = torch.tensor(onehot)

    def squares(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.mse_loss(x, torch.eye(3, dtype=torch.float64)[y])

    def divergence(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.kl_div(x.log_softmax(-1), torch.eye(3, dtype=torch.float64)[y])

    if target.shape != (4, 3):
        raise LookupError("three classes were expected")
    found = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, LOGITS)
    keras_value = float(keras.ops.convert_to_numpy(found))
    twice = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(
        np.tile(LABELS, 2), np.tile(LOGITS, (2, 1))
    )
    growth = float(keras.ops.convert_to_numpy(twice)) / keras_value
    jax.config.update("jax_enable_x64", True)
    per_row = optax.softmax_cross_entropy_with_integer_labels(
        jnp.asarray(LOGITS), jnp.asarray(LABELS)
    )
    mlx_rows = mlx.nn.losses.cross_entropy(mlx.core.array(LOGITS), mlx.core.array(LABELS))
    return {
        "torch `cross_entropy`": of_torch(F.cross_entropy, entropy),
        'torch `cross_entropy`, `reduction="sum"`': of_torch(
            partial(F.cross_entropy, reduction="sum"), entropy
        ),
        "torch `mse_loss`": of_torch(squares, (LOGITS - onehot) ** 2),
        "torch `kl_div`": of_torch(divergence, -onehot * log_p),
        "Keras `SparseCategoricalCrossentropy`": (
            divisor(keras_value, entropy),
            f"{growth:.0f}",
        ),
        "optax `softmax_cross_entropy_with_integer_labels`": of_array(per_row),
        "MLX `cross_entropy`": of_array(mlx_rows),
    }
