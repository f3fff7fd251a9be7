"""Figures of the page on trees."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.classic_ml.trees import grow_tree, mean_variance, predict_tree
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Vector = NDArray[np.float64]

GRID = np.linspace(0, 1, 181)
ROUNDS = (1, 3, 10, 30, 100, 200)
DEPTHS = (1, 2, 4)
RATE = 0.3


class Noisy(NamedTuple):
    """Points along a sine.

    Attributes:
        x: Where, in [0, 1].
        y: The sine there, plus noise.
    """

    x: Vector
    y: Vector


def curve(x: Vector) -> Vector:
    """Return the truth."""
    return np.sin(2 * np.pi * x)


def noisy(n: int = 60) -> Noisy:
    """Draw the points."""
    rng = np.random.default_rng(0)
    x = rng.random(n)
    return Noisy(x, curve(x) + 0.3 * rng.normal(size=n))


class Stage(NamedTuple):
    """The sum of so many trees.

    Attributes:
        on_grid: Its values on the grid.
        training: Mean squared error on the points.
        truth: Mean squared error to the sine, on the grid.
    """

    on_grid: Vector
    training: float
    truth: float


@kept
def stages(depth: int = 2) -> dict[int, Stage]:
    """Boost trees of a depth for the squared error, and keep what stands after some rounds."""
    data = noisy()
    fit, shown = np.zeros(len(data.x)), np.zeros(len(GRID))
    found = {}
    for done in range(1, max(ROUNDS) + 1):
        tree = grow_tree(data.x[:, None], fit - data.y, np.ones(len(fit)), depth=depth)
        fit = fit + RATE * predict_tree(tree, data.x[:, None])
        shown = shown + RATE * predict_tree(tree, GRID[:, None])
        if done in ROUNDS:
            errors = np.mean((fit - data.y) ** 2), np.mean((shown - curve(GRID)) ** 2)
            found[done] = Stage(shown, *map(float, errors))
    return found


def rounds() -> Explorable:
    """Draw the sum of boosted trees over the noisy points, for any number and depth."""
    data = noisy()
    figure, ax = plt.subplots(figsize=(6.2, 3.5))
    ax.plot(data.x, data.y, "o", color="C0", markersize=3.5, label="points", zorder=1.8)
    ax.plot(GRID, curve(GRID), "--", color="C2", label="sine", zorder=1.9)
    (line,) = ax.plot([], [], color="C1", label="sum of trees")
    ax.set(xlim=(0, 1), ylim=(-2, 2), xlabel="x", ylabel="y")
    ax.legend(loc="upper right")

    def show(number: float, depth: float) -> str:
        stage = stages(int(depth))[int(number)]
        line.set_data(GRID, stage.on_grid)
        return (
            f"{number:g} trees of depth {depth:g}: mean squared error {stage.training:.3f} on the "
            f"points, {stage.truth:.3f} to the sine."
        )

    sliders = (Slider("trees", ROUNDS, 2), Slider("depth", DEPTHS, 1))
    return Explorable(figure, sliders, (line,), show)


def rounds_says() -> dict[str, bool]:
    """Return what alt text and caption say of the start, and whether it is so."""
    all_stages = stages()
    start, one, many = all_stages[10], all_stages[1], all_stages[200]
    return {
        "Sixty noisy points along a sine, and the sum of 10 boosted trees of depth 2 at "
        f"learning rate {RATE}": len(noisy().x) == 60,
        f"follow the sine: the mean squared error to the curve is {start.truth:.3f}": True,
        "A few trees underfit, many of depth 2 fit the noise": bool(
            one.truth > 5 * start.truth and many.training < 0.3 * start.training
        ),
        "with 200 the training error is far lower, and the error to the curve higher, "
        "than with 10": bool(many.training < 0.3 * start.training and many.truth > start.truth),
    }


TREES = np.arange(1.0, 41.0)
CORRELATIONS = (0.7, 0.2)


def variance() -> Figure:
    """Draw the variance of a mean of trees of unit variance against their number."""
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
    for i, rho in enumerate(CORRELATIONS):
        (line,) = ax.plot(TREES, of_mean(rho), color=f"C{i}")
        label_line(ax, line, f"correlation {rho}", 19)
        ax.axhline(rho, color=f"C{i}", linestyle=":", linewidth=1)
    ax.set(xlim=(1, 40), ylim=(0, 1.05), xlabel="trees m", ylabel="variance of the mean")
    return figure


def of_mean(rho: float) -> Vector:
    """Return the variance for each number of trees."""
    return np.asarray([mean_variance(rho, variance=1.0, trees=m) for m in TREES])


def variance_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    high, low = (of_mean(rho) for rho in CORRELATIONS)
    return {
        f"At correlation 0.7 it falls from {high[0]:.0f} to {high[9]:.2f} at ten trees, and to "
        "no less than 0.7": bool(high.min() > 0.7),
        f"at 0.2 to {low[9]:.2f}, and no less than 0.2": bool(low.min() > 0.2),
        "more trees bring the variance down to the correlation, the dotted line, "
        "and no further": all(
            0 < mean_variance(rho, variance=1.0, trees=1e6) - rho < 1e-5 for rho in CORRELATIONS
        ),
        "Variance of the mean of m trees": bool((np.diff(high) < 0).all()),
    }
