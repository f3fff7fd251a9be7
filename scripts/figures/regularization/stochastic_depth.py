"""Figures of the page on stochastic depth."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.regularization.stochastic_depth import (
    depth_distribution,
    depth_moments,
    linear_survival,
    stochastic_depth,
    survivors,
)
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Array = NDArray[np.float64]
LAST = (0.0, 0.2, 0.5, 0.8, 0.9)
BLOCKS = (12, 24, 54, 110)
START = (2, 2)
"""A last survival of 0.5 and 54 blocks: the paper's residual network of 110 layers."""


class Depths(NamedTuple):
    """Survival of each block, and the chance of each number of surviving blocks."""

    block: Array
    survival: Array
    depth: Array
    chance: Array
    mean: float
    std: float


@cache
def depth_data(last: float, blocks: int) -> Depths:
    """Compute the paper's linear rule and what it makes of the depth."""
    block = np.arange(1.0, blocks + 1)
    survival = linear_survival(block, blocks=blocks, last=last)
    mean, variance = depth_moments(survival)
    chance = depth_distribution(survival)
    return Depths(
        block, survival, np.arange(blocks + 1.0), chance, float(mean), float(variance) ** 0.5
    )


def depths() -> Explorable:
    """Draw survival by block, and the distribution of the depth, for any last survival and size."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 3.2))
    (survival,) = left.plot([], [], color="C0")
    left.set(xlim=(0, 1), ylim=(0, 1.05), xlabel="block i / L", ylabel="survival")
    (chance,) = right.plot([], [], color="C1")
    (mean,) = right.plot([], [], color="C1", ls="--", gid="mean")
    right.set(xlim=(0, 1), ylim=(0, 0.6), xlabel="share of blocks that survive", ylabel="chance")

    def show(last: float, blocks: int) -> str:
        data = depth_data(last, blocks)
        survival.set_data(data.block / blocks, data.survival)
        chance.set_data(data.depth / blocks, data.chance)
        mean.set_data([data.mean / blocks] * 2, [0, data.chance.max()])
        return (
            f"Of {blocks} blocks {data.mean:.2f} survive on average, give or take {data.std:.1f}."
        )

    sliders = (
        Slider("survival of the last block", LAST, START[0]),
        Slider("blocks L", BLOCKS, START[1]),
    )
    return Explorable(figure, sliders, (survival, chance, mean), show)


def depths_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    last, blocks = LAST[START[0]], BLOCKS[START[1]]
    data = depth_data(last, blocks)
    spreads = [depth_data(last, n).std / n for n in BLOCKS]
    slopes = np.diff(data.survival)
    falls = f"falls in a straight line to {data.survival[-1]:.1f} at the last of {blocks} blocks"
    return {
        f"Left, the survival {falls}": bool(np.allclose(slopes, slopes[0]) and slopes[0] < 0),
        f"a bell around {data.mean:.2f} blocks": bool(
            abs(data.depth[data.chance.argmax()] - data.mean) < 1
        ),
        "Each example of each step trains a shallower network, of a random depth": bool(
            data.chance[:-1].sum() > 0.999 and data.chance.max() < 0.5
        ),
        "As a share of its blocks, the bell is narrower the deeper the network": (
            spreads == sorted(spreads, reverse=True)
        ),
    }


class Noise(NamedTuple):
    """Variance of the mean of a batch of equal branches, by its size."""

    size: Array
    row: Array
    batch: Array
    law: Array


@kept
def noise_data(p: float = 0.25, draws: int = 1000) -> Noise:
    """Draw masks for batches of several sizes, in both modes."""
    sizes = 2 ** np.arange(8)
    found: dict[str, list[float]] = {"row": [], "batch": []}
    for mode, variances in found.items():
        for size in sizes:
            rng, branch = np.random.default_rng(int(size)), np.ones(size)
            means = [
                stochastic_depth(
                    branch, survivors(branch, p=p, mode=mode, generator=rng), p=p
                ).mean()
                for _ in range(draws)
            ]
            variances.append(float(np.var(means)))
    law = p / (1 - p) / sizes
    return Noise(sizes.astype(float), np.asarray(found["row"]), np.asarray(found["batch"]), law)


def row_or_batch() -> Figure:
    """Draw how the noise of the batch's mean falls with its size, or does not."""
    data = noise_data()
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    (row,) = ax.loglog(data.size, data.row, "o", color="C0")
    (law,) = ax.loglog(data.size, data.law, color="C0")
    (batch,) = ax.loglog(data.size, data.batch, "o-", color="C1")
    ax.set(xlabel="examples in the batch, B", ylabel="variance of the batch's mean")
    label_line(ax, batch, "one draw for the batch", 2)
    label_line(ax, law, "one draw for each: p/((1 − p) B)", 1, offset=(6, 6))
    row.set_gid("drawn")
    return figure


def row_or_batch_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = noise_data()
    return {
        "with one draw for each example it falls like 1/B": bool(
            np.allclose(data.row * data.size, data.law[0], rtol=0.15)
        ),
        "with one draw for the batch it stays near a third": bool(
            np.allclose(data.batch, 1 / 3, rtol=0.15)
        ),
        "Equal branches, p = 1/4": bool(np.isclose(data.law[0], 0.25 / 0.75)),
    }
