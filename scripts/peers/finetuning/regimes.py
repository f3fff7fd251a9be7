"""What a frozen batch norm does in a library, found by running it in training mode."""

from collections.abc import Callable

import keras
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from scripts.peers.apart import torchvision

LIBRARIES = ("torch", "keras", "torchvision")

Array = NDArray[np.float64]

X = np.random.default_rng(0).normal(3.0, 2.0, size=(64, 5)).astype("float32")


def _words(y: Array, mean: Array, trained: int) -> tuple[str, ...]:
    """Say what the layer normalized by, whether its averages moved, and what is trained."""
    by_batch = abs(y.mean()) < 0.01
    if not by_batch and not np.allclose(y, X, atol=0.01):  # the stored mean 0 and variance 1
        raise LookupError("normalized by neither the batch nor the stored averages")
    moved = bool(np.any(mean))
    return (
        "the batch" if by_batch else "stored averages",
        "move" if moved else "stay",
        "gain and shift" if trained else "nothing",
    )


def _torch(freeze: Callable[[nn.Module], object]) -> tuple[str, ...]:
    layer = nn.BatchNorm1d(5)
    freeze(layer)
    y = layer(torch.tensor(X)).detach().numpy()
    trained = sum(p.requires_grad for p in layer.parameters())
    return _words(y, layer.running_mean.numpy(), trained)


def _keras() -> tuple[str, ...]:
    layer = keras.layers.BatchNormalization()
    layer.build((None, 5))
    layer.trainable = False
    y = keras.ops.convert_to_numpy(layer(X, training=True))
    mean = keras.ops.convert_to_numpy(layer.moving_mean)
    dropout = keras.layers.Dropout(0.5)
    dropout.trainable = False
    if not (keras.ops.convert_to_numpy(dropout(X, training=True)) == 0).any():
        raise LookupError("trainable = False switches dropout off: the page says it does not")
    return _words(y, mean, len(layer.trainable_weights))


def _torchvision() -> tuple[str, ...]:
    layer = torchvision("ops").FrozenBatchNorm2d(5).train()
    y = layer(torch.tensor(X)[..., None, None])[..., 0, 0].numpy()
    return _words(y, layer.running_mean.numpy(), len(list(layer.parameters())))


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what each way to freeze a batch norm does while training."""
    return {
        "PyTorch, as it is": _torch(lambda layer: None),
        "PyTorch, `requires_grad_(False)`": _torch(lambda layer: layer.requires_grad_(False)),
        "PyTorch, `.eval()`": _torch(lambda layer: layer.eval()),
        "PyTorch, both": _torch(lambda layer: layer.eval().requires_grad_(False)),
        "Keras, `trainable = False`": _keras(),
        "torchvision `FrozenBatchNorm2d`": _torchvision(),
    }
