"""Layouts and kinks: what libraries return for one Jacobian, one layer and one ReLU at 0."""

from typing import Any

import jax
import jax.numpy as jnp
import keras
import mlx.core
import mlx.nn
import numpy as np
import torch

LIBRARIES = ("torch", "keras", "jax", "mlx")

OUT, IN = 2, 3
MATRIX = np.arange(6.0, dtype=np.float32).reshape(OUT, IN)


def layout(jacobian: Any) -> str:
    """Say which axes come first, from the Jacobian of x ↦ Mx."""
    found = np.asarray(jacobian)
    if np.array_equal(found, MATRIX):
        return "output, then input axes"
    if np.array_equal(found, MATRIX.T):
        return "input, then output axes"
    raise LookupError(f"neither the matrix nor its transpose: {found}")


def weight(shape: Any) -> str:
    """Say how the weight of a layer from 3 to 2 units lies."""
    return {(OUT, IN): "(out, in)", (IN, OUT): "(in, out)"}[tuple(shape)]


def slope(value: Any) -> str:
    """Write a slope at the kink."""
    return f"{float(value):g}"


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return Jacobian, weight, and the slopes of ReLU and of max(x, 0) at 0, of each library."""
    matrix = torch.tensor(MATRIX)
    x, kink = torch.zeros(IN), torch.zeros((), requires_grad=True)
    layouts = {
        layout(torch.autograd.functional.jacobian(lambda v: matrix @ v, x)),
        layout(torch.func.jacrev(lambda v: matrix @ v)(x)),
        layout(torch.func.jacfwd(lambda v: matrix @ v)(x)),
    }
    if len(layouts) != 1:
        raise LookupError(f"torch's functions differ: {layouts}")
    (of_relu,) = torch.autograd.grad(torch.relu(kink), kink)
    (of_maximum,) = torch.autograd.grad(torch.maximum(kink, torch.zeros(())), kink)
    dense = keras.layers.Dense(OUT)
    dense.build((None, IN))
    zero = mlx.core.array(0.0)
    has_jacobian = any(hasattr(mlx.core, name) for name in ("jacobian", "jacrev", "jacfwd"))
    return {
        "`torch`": (
            layouts.pop(),
            weight(torch.nn.Linear(IN, OUT).weight.shape),
            slope(of_relu),
            slope(of_maximum),
        ),
        "Keras": ("its backend's", weight(dense.kernel.shape), *["its backend's"] * 2),
        "JAX": (
            layout(jax.jacobian(lambda v: jnp.asarray(MATRIX) @ v)(jnp.zeros(IN))),
            "no layers",
            slope(jax.grad(jax.nn.relu)(0.0)),
            slope(jax.grad(lambda v: jnp.maximum(v, 0.0))(0.0)),
        ),
        "MLX": (
            "a function" if has_jacobian else "none; `vjp` and `jvp`",
            weight(mlx.nn.Linear(IN, OUT).weight.shape),
            slope(mlx.core.grad(mlx.nn.relu)(zero)),
            slope(mlx.core.grad(lambda v: mlx.core.maximum(v, 0.0))(zero)),
        ),
    }
