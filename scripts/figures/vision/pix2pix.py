"""Figures of the page on pix2pix."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from dlkb.experiments.digits import digits
from dlkb.vision.pix2pix import KERNEL, patch_count, patch_field, unet_blocks
from scripts.figures.explorable import Explorable, Slider

SIZE = 256
LAYERS = (0, 1, 2, 3, 4)
PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Patch(NamedTuple):
    """What one output of a patch discriminator sees of an image of 256 by 256.

    Attributes:
        number: Outputs along an axis.
        field: Side of the patch.
        step: Pixels from one patch to the next.
        low: The patch's first pixel, negative where it begins in the padding.
    """

    number: int
    field: int
    step: int
    low: int


def patch(layers: int, place: float) -> Patch:
    """Find the patch of an output, from the first (0) to the last (1) of the diagonal."""
    count, field, step = patch_count(SIZE, layers=layers), patch_field(layers), 2**layers
    # Each layer pads by 1, that is by its jump in pixels: a third of what the kernels add.
    padded = (field - 1) // (KERNEL - 1)
    return Patch(count, field, step, round(place * (count - 1)) * step - padded)


def square(low: int, side: int) -> NDArray[np.float64]:
    """Return the corners of a square on the diagonal, cut off at the image's edges."""
    near, far = np.clip([low, low + side], 0, SIZE).astype(float)
    return np.asarray([[near, near], [far, near], [far, far], [near, far]])


def outline(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners with the first one again."""
    return np.concatenate([corners, corners[:1]])


def patches() -> Explorable:
    """Draw what an output of the discriminator sees, and what its neighbour sees."""
    figure, ax = plt.subplots(figsize=(6.2, 4.2))
    image = digits(train=20).x_train[3].reshape(8, 8)
    shown = ax.imshow(image, cmap="gray", extent=(0, SIZE, SIZE, 0), alpha=0.35)
    shown.set_label("image")
    one = Polygon(square(0, 1), closed=True, facecolor="C0", linewidth=0, alpha=0.55)
    ax.add_patch(one)
    (other,) = ax.plot([], [], color="C1", label="neighbour")
    ax.set(xlim=(0, SIZE), ylim=(SIZE, 0), xticks=[0, 128, 256], yticks=[0, 128, 256])
    ax.grid(visible=False)

    def show(layers: float, place: float) -> str:
        seen = patch(int(layers), place)
        one.set_xy(square(seen.low, seen.field))
        other.set_data(*outline(square(seen.low + seen.step, seen.field)).T)
        return (
            f"{seen.number} by {seen.number} patches of {seen.field} by {seen.field} pixels, "
            f"{seen.step} pixels apart."
        )

    return Explorable(
        figure,
        (
            Slider("convolutions of stride 2", LAYERS, 3),
            Slider("place on the diagonal", PLACES, 2),
        ),
        (one, other),
        show,
    )


def patches_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    seen = patch(3, 0.5)
    return {
        f"A filled square of {seen.field} by {seen.field} pixels in an image of {SIZE} by {SIZE}": (
            seen.low >= 0 and seen.low + seen.field <= SIZE
        ),
        f"its neighbour, an outline, is {seen.step} pixels further": True,
        "cut off at the edge, where a patch sees padding": patch(3, 0.0).low < 0,
    }


def unet() -> Figure:
    """Draw what each block of the U-Net takes: from the block before, and from its skip."""
    blocks = unet_blocks()
    figure, ax = plt.subplots(figsize=(7.2, 3.3))
    at = np.arange(1, len(blocks) + 1)
    below, skips = taken()
    ax.bar(at, below, color="C0", label="from the block before")
    ax.bar(at, skips, bottom=below, color="C1", label="from the skip")
    for x, block in zip(at, blocks, strict=True):
        total = block.channels_in
        ax.annotate(
            f"{block.size}",
            (float(x), float(total)),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
        )
    names = [*(f"{i}" for i in range(1, 9)), *(f"{i}" for i in range(8, 0, -1))]
    ax.set(xticks=at, xticklabels=names, ylim=(0, 1500), xlabel="block, down and up again")
    ax.set(title="channels taken, and the side of what is given")
    ax.legend(loc="upper left")
    return figure


def taken() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the channels that each block takes from the one before, and from its skip."""
    blocks = unet_blocks()
    before = [blocks[0].channels_in, *(block.channels_out for block in blocks[:-1])]
    below = np.asarray(before, dtype=np.float64)
    return below, np.asarray([block.channels_in for block in blocks]) - below


def unet_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    below, skips = taken()
    blocks = unet_blocks()
    return {
        "Sixteen bars": len(blocks) == 16,
        "the last seven have a second part of the same height": bool(
            (skips[:9] == 0).all() and (skips[9:] == below[9:]).all()
        ),
        f"The side falls to {blocks[7].size} and returns to {blocks[-1].size}": blocks[7].size
        == min(block.size for block in blocks),
    }
