"""What libraries differentiate a kink to, and the slopes that they start with, found by running.

Each slope is the library's own derivative at exactly 0. `KERAS_BACKEND` decides what Keras runs
on: with torch its `relu` is differentiated by torch, with Keras's own choice of function.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import keras
import mlx.core as mx
import mlx.nn
import numpy as np
import torch
from sklearn.neural_network import _base as sklearn_mlp
from torch import Tensor, nn
from torch.nn import functional as F

from dlkb.activations.relu import leaky_relu_vjp, relu_vjp

LIBRARIES = ("torch", "jax", "mlx", "keras", "scikit-learn")

NONE = "–"


def words(slope: float) -> str:
    """Write a slope as it stands in a table."""
    return f"{slope:g}"


def of_torch(function: Callable[[Tensor], Tensor]) -> str:
    """Return torch's derivative at 0."""
    x = torch.zeros(1, requires_grad=True)
    (slope,) = torch.autograd.grad(function(x).sum(), x)
    return words(slope.item())


def of_jax(function: Callable[[jax.Array], jax.Array]) -> str:
    """Return JAX's derivative at 0."""
    return words(float(jax.grad(lambda x: function(x).sum())(jnp.zeros(1))[0]))


def of_mlx(function: Callable[[mx.array], mx.array]) -> str:
    """Return MLX's derivative at 0."""
    return words(float(mx.grad(lambda x: function(x).sum())(mx.zeros(1))[0].item()))


def of_sklearn() -> str:
    """Return what scikit-learn's perceptron multiplies a gradient of 1 with, at 0."""
    delta = np.ones((1, 1))
    sklearn_mlp.inplace_relu_derivative(np.zeros((1, 1)), delta)  # works on the output
    return words(float(delta[0, 0]))


def slope_at_zero() -> dict[str, tuple[str, ...]]:
    """Return, for each library, the slope at 0 of five ways to write a kink."""
    here = relu_vjp(np.zeros(1), np.ones(1)).item()
    torch_row = (
        of_torch(torch.relu),
        of_torch(lambda x: torch.maximum(x, torch.zeros(1))),
        of_torch(lambda x: x.clamp(min=0)),
        of_torch(lambda x: (x + x.abs()) / 2),
        of_torch(lambda x: torch.relu(x) - torch.relu(-x)),
    )
    if words(here) != torch_row[0]:
        raise LookupError(f"this package and torch differ: {here}, {torch_row[0]}")
    ops = keras.ops
    return {
        "this package, `torch.relu`": torch_row,
        "JAX": (
            of_jax(jax.nn.relu),
            of_jax(lambda x: jnp.maximum(x, 0)),
            of_jax(lambda x: jnp.clip(x, 0)),
            of_jax(lambda x: (x + jnp.abs(x)) / 2),
            of_jax(lambda x: jax.nn.relu(x) - jax.nn.relu(-x)),
        ),
        "MLX": (
            of_mlx(mlx.nn.relu),
            of_mlx(lambda x: mx.maximum(x, 0)),
            of_mlx(lambda x: mx.clip(x, 0, None)),
            of_mlx(lambda x: (x + mx.abs(x)) / 2),
            of_mlx(lambda x: mlx.nn.relu(x) - mlx.nn.relu(-x)),
        ),
        "Keras on torch": (
            of_torch(ops.relu),
            of_torch(lambda x: ops.maximum(x, ops.zeros(1))),
            of_torch(lambda x: ops.clip(x, 0, np.inf)),
            of_torch(lambda x: (x + ops.abs(x)) / 2),
            of_torch(lambda x: ops.relu(x) - ops.relu(-x)),
        ),
        "scikit-learn `MLPClassifier`": (of_sklearn(), *[NONE] * 4),
    }


def shared(shape: Sequence[int]) -> str:
    """Say for what of an image of shape (2, 5, 5, 3), channels last, there is a slope each."""
    kinds = {1: "one for all", 3: "one a channel", 75: "one a channel and pixel"}
    return kinds[int(np.prod(shape))]


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return the default slopes of leaky ReLU and PReLU, and how these share theirs."""
    ours = leaky_relu_vjp(np.asarray([-1.0]), np.ones(1)).item()
    leaky = of_torch_slope(F.leaky_relu)
    if words(ours) != leaky:
        raise LookupError(f"this package and torch differ: {ours}, {leaky}")
    of_keras = keras.layers.PReLU()
    of_keras.build((2, 5, 5, 3))
    mlx_prelu = mlx.nn.PReLU()
    keras_function = round(-float(keras.activations.leaky_relu(-np.ones(1, "float32"))), 6)
    return {
        "this package, PyTorch": (
            leaky,
            words(nn.PReLU().weight.item()),
            shared(nn.PReLU().weight.shape),
        ),
        "JAX": (
            words(-float(jax.nn.leaky_relu(jnp.asarray(-1.0)))),
            NONE,
            NONE,
        ),
        "MLX": (
            words(-mlx.nn.leaky_relu(mx.array(-1.0)).item()),
            words(mlx_prelu.weight.item()),
            shared(mlx_prelu.weight.shape),
        ),
        "Keras": (
            f"{words(keras.layers.LeakyReLU().negative_slope)}; function: {keras_function:g}",
            words(float(of_keras.alpha.numpy().max())),
            shared(of_keras.alpha.shape),
        ),
    }


def of_torch_slope(function: Callable[[Tensor], Tensor]) -> str:
    """Return torch's derivative at −1."""
    x = torch.full((1,), -1.0, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(function(x).sum(), x)
    return words(slope.item())
