"""How libraries turn and mix images, found by running them on an image without symmetry."""

from typing import Any

import keras
import numpy as np
import torch
from numpy.typing import NDArray

from dlkb.nn import MixUp
from dlkb.regularization.augmentation import rotation_grid, warp
from scripts.peers.apart import torchvision

LIBRARIES = ("torchvision", "keras")

Array = NDArray[Any]
v2 = torchvision("transforms.v2")
IMAGE = np.arange(1.0, 65.0).reshape(8, 8)


def side(turned: Array) -> str:
    """Return to which side a quarter turn went."""
    for name, quarters in (("left", 1), ("right", -1)):
        if np.allclose(turned, np.rot90(IMAGE, quarters), atol=0.1):
            return name
    raise LookupError("no quarter turn")


def corner(turned: Array) -> str:
    """Return what stands in the corners of an image that was turned by 45 degrees."""
    return "0" if turned[0, 0] == 0 else "the image, mirrored"


def between(turned: Array) -> str:
    """Return whether values lie between those of pixels."""
    inner = turned[2:6, 2:6]
    return "the nearest pixel" if np.allclose(inner, np.round(inner)) else "bilinear"


def weights(mixed: Array) -> str:
    """Return what draws λ, from a batch of constant images."""
    share = mixed.reshape(len(mixed), -1).mean(1)
    moved = {round(float(abs(s - i)) % 1, 3) for i, s in enumerate(share)}
    return "the batch" if len(moved) <= 2 else "an image"


def alike(batch: Array) -> str:
    """Return whether the images of a batch were turned alike."""
    return "the batch" if np.allclose(batch, batch[:1]) else "an image"


def _ours() -> tuple[str, ...]:
    def turned(angle: float) -> Array:
        return np.asarray(warp(IMAGE, rotation_grid(IMAGE, angle=np.asarray(angle))))

    angles = np.linspace(0, 1, 20)
    stack = np.broadcast_to(IMAGE, (20, 8, 8))
    batch = np.asarray(warp(stack, rotation_grid(stack, angle=angles)))
    half = turned(np.pi / 4)
    torch.manual_seed(0)
    constant = torch.arange(20.0)[:, None, None, None].expand(20, 1, 2, 2)
    mixed, _ = MixUp(num_classes=20)(constant, torch.arange(20))
    unit = {side(turned(np.pi / 2)): "radians"}
    (left,) = unit
    return (
        f"{unit[left]}, to the {left}",
        corner(half),
        between(half),
        alike(batch),
        weights(mixed.numpy()),
    )


def _torchvision() -> tuple[str, ...]:
    def turned(angle: float, count: int = 1, spread: float = 0.0) -> Array:
        images = torch.tensor(IMAGE).expand(count, 1, 8, 8)
        return np.asarray(v2.RandomRotation((angle, angle + spread))(images)[:, 0])

    torch.manual_seed(0)
    half = turned(45.0)[0]
    constant = torch.arange(20.0)[:, None, None, None].expand(20, 1, 2, 2)
    mixed, _ = v2.MixUp(num_classes=20)(constant, torch.arange(20))
    return (
        f"degrees, to the {side(turned(90.0)[0])}",
        corner(half),
        between(half),
        alike(turned(0.0, 20, 60.0)),
        weights(mixed.numpy()),
    )


def _keras() -> tuple[str, ...]:
    layers = keras.layers

    def turned(turns: float, count: int = 1, spread: float = 0.0) -> Array:
        layer = layers.RandomRotation((turns, turns + spread), seed=0)
        images = np.broadcast_to(IMAGE[..., None], (count, 8, 8, 1)).astype("float32")
        return np.asarray(keras.ops.convert_to_numpy(layer(images, training=True)))[..., 0]

    half = turned(0.125)[0]
    constant = np.broadcast_to(np.arange(20.0)[:, None, None, None], (20, 2, 2, 1))
    mixed = layers.MixUp(alpha=1.0, seed=0)(
        {"images": constant.astype("float32"), "labels": np.eye(20, dtype="float32")},
        training=True,
    )
    labels = keras.ops.convert_to_numpy(mixed["labels"])
    draws = {round(float(row.max()), 3) for row in labels if 0 < row.max() < 1}
    return (
        f"turns, to the {side(turned(0.25)[0])}",
        corner(half),
        between(half),
        alike(turned(0.0, 20, 0.2)),
        "the batch" if len(draws) <= 2 else "an image",
    )


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return unit and side of an angle, edge, interpolation, and what has a draw of its own."""
    return {
        "this package": _ours(),
        "torchvision `v2`": _torchvision(),
        "Keras": _keras(),
    }
