"""Figures of the page on pix2pix."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from dlkb.experiments.digits import digits
from dlkb.vision.pix2pix import KERNEL, patch_count, patch_field
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
