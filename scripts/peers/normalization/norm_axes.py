"""Which channels a library's group norm puts together, found by running it."""

import inspect
from collections.abc import Callable

import keras
import mlx.core
import mlx.nn
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlkb.nn import GroupNorm

LIBRARIES = ("torch", "keras", "mlx")

CHANNELS, PLACES = 6, 5
Array = NDArray[np.float32]
Run = Callable[[Array], Array]
"""Two groups, of an image `(1, 6, 5)` with the channels first."""


def together(run: Run) -> str:
    """Say which channels share a group with the first: changing them changes its output."""
    x = np.random.default_rng(0).normal(size=(1, CHANNELS, PLACES)).astype(np.float32)
    before, found = run(x)[0, 0], []
    for channel in range(CHANNELS):
        changed = x.copy()
        changed[0, channel] += np.linspace(0, 3, PLACES, dtype=np.float32)
        if channel == 0 or not np.allclose(run(changed)[0, 0], before, atol=1e-4):
            found.append(channel)
    if found == [0, 1, 2]:
        return "neighbours: 1, 2, 3"
    if found == [0, 2, 4]:
        return "**every second: 1, 3, 5**"
    raise LookupError(f"channels {found} share a group")


def epsilon(run: Run) -> str:
    """Return ε from the spread of the output for inputs of spread 0.001."""
    x = np.random.default_rng(0).normal(size=(1, CHANNELS, PLACES)).reshape(2, -1)
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    small = (1e-3 * x).reshape(1, CHANNELS, PLACES).astype(np.float32)
    out = run(small).astype(np.float64).reshape(2, -1).std(1).mean()
    return f"{1e-6 * (1 / out**2 - 1):.0e}".replace("e-0", "e-")


def of_torch(kind: Callable[..., nn.Module]) -> Run:
    """Run a module of torch."""

    def run(x: Array) -> Array:
        with torch.no_grad():
            return np.asarray(kind(2, CHANNELS)(torch.tensor(x)).numpy())

    return run


def of_keras(x: Array) -> Array:
    """Run Keras's, which has the channels last."""
    layer = keras.layers.GroupNormalization(groups=2)
    out = layer(keras.ops.convert_to_tensor(x.transpose(0, 2, 1)))
    return np.asarray(keras.ops.convert_to_numpy(out)).transpose(0, 2, 1)


def of_mlx(*, compatible: bool) -> Run:
    """Run MLX's, which has the channels last."""

    def run(x: Array) -> Array:
        layer = mlx.nn.GroupNorm(2, CHANNELS, pytorch_compatible=compatible)
        return np.asarray(layer(mlx.core.array(x.transpose(0, 2, 1)))).transpose(0, 2, 1)

    return run


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return the axis of the channels, the first group of two among six, and ε."""
    default = inspect.signature(mlx.nn.GroupNorm).parameters["pytorch_compatible"].default
    keras_axis = keras.layers.GroupNormalization().axis
    if default is not False or keras_axis != -1:
        raise LookupError(f"MLX's default is {default}, Keras's axis {keras_axis}")
    ours, theirs = (
        ("1", together(run), epsilon(run)) for run in map(of_torch, (GroupNorm, nn.GroupNorm))
    )
    if ours != theirs:
        raise LookupError(f"this package and torch differ: {ours}, {theirs}")
    mlx_alone, mlx_alike = of_mlx(compatible=False), of_mlx(compatible=True)
    return {
        "this package, `torch.nn.GroupNorm`": theirs,
        "Keras `GroupNormalization`": ("last", together(of_keras), epsilon(of_keras)),
        "MLX `nn.GroupNorm`": ("last", together(mlx_alone), epsilon(mlx_alone)),
        "MLX, `pytorch_compatible=True`": ("last", together(mlx_alike), epsilon(mlx_alike)),
    }
