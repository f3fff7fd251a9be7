"""What a binary loss makes of a logit of 200 whose label is 0, in float32, found by running.

The right loss is 200 and its slope 1. Where the probability is computed first, it has rounded
to 1: what a library then returns is its guard against ln 0.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import keras
import mlx.core as mx
import mlx.nn
import numpy as np
import optax
import torch
from sklearn.metrics import log_loss
from torch.nn import functional as F

LIBRARIES = ("torch", "keras", "optax", "mlx", "scikit-learn")
LOGIT = 200.0

Words = tuple[str, str, str]


def words(given: str, loss: float, slope: float | None) -> Words:
    """Write what a function takes, its loss, and its slope, as they stand in a table."""
    return given, f"{loss:.4g}", "–" if slope is None else f"{slope:.4g}"


def of_torch(given: str, loss: Callable[[torch.Tensor], torch.Tensor]) -> Words:
    """Run a loss on a logit in torch, on which Keras runs too."""
    x = torch.tensor([LOGIT], requires_grad=True)
    value = loss(x)
    (slope,) = torch.autograd.grad(value, x)
    return words(given, float(value.item()), float(slope.item()))


def of_optax() -> Words:
    """Run optax's loss."""
    value, slope = jax.value_and_grad(
        lambda x: optax.sigmoid_binary_cross_entropy(x, jnp.zeros(1)).sum()
    )(jnp.full(1, LOGIT, dtype=jnp.float32))
    return words("the logit", float(value), float(slope[0]))


def of_mlx(*, with_logits: bool) -> Words:
    """Run MLX's loss."""

    def loss(x: mx.array) -> mx.array:
        given = x if with_logits else mx.sigmoid(x)
        return mlx.nn.losses.binary_cross_entropy(
            given, mx.zeros(1), with_logits=with_logits, reduction="sum"
        )

    value, slope = mx.value_and_grad(loss)(mx.array([LOGIT]))
    return words(
        "the logit" if with_logits else "the probability",
        float(np.asarray(value)),
        float(np.asarray(slope)[0]),
    )


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what each function is given, its loss, and the slope that reaches the logit."""
    zero = torch.zeros(1)
    from_logits, from_probabilities = (
        keras.losses.BinaryCrossentropy(from_logits=flag) for flag in (True, False)
    )
    probability = 1 / (1 + np.exp(np.float32(-LOGIT)))
    return {
        "PyTorch `BCEWithLogitsLoss`": of_torch(
            "the logit", lambda x: F.binary_cross_entropy_with_logits(x, zero)
        ),
        "optax `sigmoid_binary_cross_entropy`": of_optax(),
        "MLX `binary_cross_entropy`": of_mlx(with_logits=True),
        "Keras, `from_logits=True`": of_torch("the logit", lambda x: from_logits(zero, x)),
        "MLX, `with_logits=False`": of_mlx(with_logits=False),
        "PyTorch `BCELoss`": of_torch(
            "the probability", lambda x: F.binary_cross_entropy(torch.sigmoid(x), zero)
        ),
        "Keras, by default": of_torch(
            "the probability", lambda x: from_probabilities(zero, keras.ops.sigmoid(x))
        ),
        "scikit-learn `log_loss`": words(
            "the probability", log_loss([0], np.asarray([probability]), labels=[0, 1]), None
        ),
    }
