"""Figures of the page on CLIP."""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.digit_pairs import PAIRS, Aligned, align, kept_out
from dlkb.vision.clip import loss_floor
from scripts.figures.explorable import Explorable, Slider

Array = NDArray[np.float64]
BATCHES = 2.0 ** np.arange(1, 21)
TEMPERATURES = (0.01, 0.03, 0.07, 0.2, 0.5, 1.0, 2.0)
START = 5
CLIP_BATCH = 32_768


def floors(temperature: float) -> Array:
    """Return the least loss at each of `BATCHES`."""
    return np.asarray([loss_floor(batch=int(n), temperature=temperature) for n in BATCHES])


def floor() -> Explorable:
    """Draw what the loss can be between, by batch size, for any temperature."""
    figure, ax = plt.subplots(figsize=(6.2, 3.5))
    ax.set(xscale="log", xlim=(2, 1e6), ylim=(0, 15), xlabel="pairs in the batch, N")
    ax.set_ylabel("loss")
    ax.plot(BATCHES, np.log(BATCHES), color="C1", label="at chance, log N")
    (least,) = ax.plot([], [], color="C0", label="least possible")
    (dot,) = ax.plot([], [], "o", color="C0")
    ax.legend(loc="upper left")

    def show(temperature: float) -> str:
        least.set_data(BATCHES, floors(temperature))
        low = loss_floor(batch=CLIP_BATCH, temperature=temperature)
        dot.set_data([CLIP_BATCH], [low])
        return (
            f"At the temperature {temperature:g} no embeddings bring a batch of {CLIP_BATCH} below "
            f"{low:.2f}; at chance it has {math.log(CLIP_BATCH):.2f}."
        )

    sliders = (Slider("temperature τ", TEMPERATURES, START, "{:g}"),)
    return Explorable(figure, sliders, (least, dot), show)


def floor_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    temperature = TEMPERATURES[START]
    low, chance = loss_floor(batch=CLIP_BATCH, temperature=temperature), math.log(CLIP_BATCH)
    warm = loss_floor(batch=CLIP_BATCH, temperature=0.07)
    gap = np.log(BATCHES) - floors(temperature)
    return {
        f"at the temperature 1 the least loss of {CLIP_BATCH} pairs is {low:.1f}, "
        f"and {chance:.1f} at chance": temperature == 1.0,
        "With cosines alone, τ = 1, no training brings the loss as much as 1 below chance": bool(
            gap.max() < 1
        ),
        f"At CLIP's start of 0.07 the floor is {warm:.2f}": True,
    }


@kept
def trained() -> Aligned:
    """Train on eighty pairs of digits; the run that the page shows."""
    torch.set_num_threads(1)
    return align()


def unseen_pairs() -> list[int]:
    """Return the numbers of the pairs that are kept from training."""
    return [
        pair for pair in range(PAIRS) if kept_out(np.asarray(pair // 10), np.asarray(pair % 10))
    ]


def table() -> Array:
    """Return the mean cosine of the unseen pairs' images with each of their names."""
    at = unseen_pairs()
    found: Array = trained().cosines.mean(0)[np.ix_(at, at)]
    return found


def unseen() -> Figure:
    """Draw the cosines between images and names of pairs that were not in training."""
    figure, ax = plt.subplots(figsize=(4.4, 3.7))
    image = ax.imshow(table(), vmin=-1, vmax=1, cmap="RdBu_r")
    image.set_gid("cosines")
    ticks = range(0, 20, 2)
    names = [f"{pair:02}" for pair in unseen_pairs()][::2]
    ax.set_xticks(ticks, names)
    ax.set_yticks(ticks, names)
    ax.grid(False)
    ax.set(xlabel="name of", ylabel="images of")
    figure.colorbar(image, ax=ax, label="mean cosine", shrink=0.8)
    return figure


def unseen_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = table()
    second = np.argsort(data, axis=1)[:, -2]
    digits = np.asarray([divmod(pair, 10) for pair in unseen_pairs()])
    shared = (digits[:, None] == digits[None]).any(-1) & ~np.eye(20, dtype=bool)
    found = shared[np.arange(20), second].sum()
    return {
        f"cosines of {len(data)} pairs of digits with their names": True,
        "each row is largest on the diagonal": bool((data.argmax(1) == np.arange(20)).all()),
        "Pairs not in training, means over ten networks": bool(
            len(trained().unseen) == 10 and kept_out(*digits.T).all()
        ),
        f"In {found} of {len(data)} rows the second largest shares a digit": True,
    }
