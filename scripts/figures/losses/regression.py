"""Figures of the page on regression."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.linear_model import QuantileRegressor

from dlkb.book.draw.kept import kept
from dlkb.losses.regression import (
    absolute_error,
    absolute_error_vjp,
    huber,
    huber_vjp,
    log_cosh,
    log_cosh_vjp,
    quantile_loss,
    quantile_loss_vjp,
    squared_error,
    squared_error_vjp,
)
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Vector = NDArray[np.float64]

POINTS = 21
X = np.linspace(0.0, 4.0, POINTS)
TRUTH = 0.5 + 0.8 * X
NOISE = 0.3
BAD = 17
"""Which point is the outlier: one near the right end."""
HEIGHTS = np.linspace(0.0, 12.0, 25)
DELTAS = (0.1, 0.3, 1.0, 3.0, 10.0)
ENDS = np.asarray([0.0, 4.0])


def targets(height: float) -> Vector:
    """Return noisy targets, one of which is moved to a height."""
    y: Vector = TRUTH + NOISE * np.random.default_rng(4).normal(size=POINTS)
    y[BAD] = height
    return y


def design(x: Vector) -> Vector:
    """Return a column of ones and one of x."""
    return np.stack([np.ones_like(x), x], axis=1)


def quantile_line(x: Vector, y: Vector, q: float) -> Vector:
    """Return intercept and slope of the line whose quantile loss is least."""
    line = QuantileRegressor(quantile=q, alpha=0.0).fit(x[:, None], y)
    return np.asarray([line.intercept_, *line.coef_], dtype=np.float64)


def huber_line(x: Vector, y: Vector, delta: float) -> Vector:
    """Return intercept and slope of the line whose Huber loss is least.

    An error beyond δ gets the weight δ / |r| in a least-squares fit, again and again.
    """
    a = design(x)
    line = np.linalg.lstsq(a, y, rcond=None)[0]
    for _ in range(500):
        r = np.abs(y - a @ line)
        weight = (delta / np.maximum(r, delta))[:, None]
        line = np.linalg.solve(a.T @ (weight * a), a.T @ (weight[:, 0] * y))
    return np.asarray(line, dtype=np.float64)


class Fits(NamedTuple):
    """What the three losses make of the points.

    Attributes:
        lines: Height at `ENDS` of the line of MSE, MAE and Huber, shape (3, 2).
        error: Root mean square distance of each line from the truth, shape (3,).
    """

    lines: Vector
    error: Vector


@cache
def fits(height: float, delta: float) -> Fits:
    """Fit three lines with the outlier at a height."""
    y = targets(height)
    found = (
        np.linalg.lstsq(design(X), y, rcond=None)[0],
        quantile_line(X, y, 0.5),
        huber_line(X, y, delta),
    )
    lines = np.stack([design(ENDS) @ line for line in found])
    error = np.stack([np.sqrt(np.mean((design(X) @ line - TRUTH) ** 2)) for line in found])
    return Fits(lines, error)


@kept
def errors(delta: float) -> Vector:
    """Return the error of the three lines for each height, shape (heights, 3)."""
    return np.stack([fits(float(height), delta).error for height in HEIGHTS])


NAMES = ("MSE", "MAE", "Huber")


def outlier() -> Explorable:
    """Draw three lines through points of which one moves, and how far they are from the truth."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2))
    others = np.arange(POINTS) != BAD
    left.plot(X[others], targets(0.0)[others], ".", color=plt.rcParams["axes.edgecolor"])
    moving = [left.plot([], [], color=f"C{k}", label=name)[0] for k, name in enumerate(NAMES)]
    (bad,) = left.plot([], [], "o", color="C3", label="outlier")
    curves = [right.plot([], [], color=f"C{k}", label=name)[0] for k, name in enumerate(NAMES)]
    dots = [
        right.plot([], [], "o", color=f"C{k}", label=f"{n} here")[0] for k, n in enumerate(NAMES)
    ]
    left.set(xlim=(-0.1, 4.1), ylim=(-0.8, 12.6), xlabel="x", title="three fitted lines")
    right.set(
        xlim=(-0.3, 12.3), ylim=(0, 0.9), xlabel="height of the outlier", title="error of the line"
    )
    left.legend(handles=[*moving, bad], loc="upper left")

    def show(height: float, delta: float) -> str:
        data, by_height = fits(height, delta), errors(delta)
        for k in range(3):
            moving[k].set_data(ENDS, data.lines[k])
            curves[k].set_data(HEIGHTS, by_height[:, k])
            dots[k].set_data([height], [data.error[k]])
        bad.set_data([X[BAD]], [height])
        said = ", ".join(f"{name} {e:.2f}" for name, e in zip(NAMES, data.error, strict=True))
        return f"Errors of the lines: {said}."

    sliders = (
        Slider("height of the outlier", (0.0, 3.0, 6.0, 9.0, 12.0), 3),
        Slider("Huber's δ", DELTAS, 2),
    )
    return Explorable(figure, sliders, (*moving, bad, *curves, *dots), show)


def outlier_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    data, high = fits(9.0, 1.0), errors(1.0)[HEIGHTS >= 5]
    mse, mae, near = data.error
    return {
        f"Three lines through {POINTS} points, one of which lies far above the rest": bool(
            targets(9.0)[BAD] > 1.5 * np.delete(targets(9.0), BAD).max()
        ),
        "The line of MSE is pulled up to it": bool(data.lines[0, 1] > max(data.lines[1:, 1]) + 0.5),
        f"its error is {mse:.2f}, those of MAE and Huber are {mae:.2f} and {near:.2f}": True,
        "At right the error of MSE grows with the height of the outlier from 5 on": bool(
            (np.diff(high[:, 0]) > 0).all() and (np.diff(errors(1.0)[:, 0]) < 0).any()
        ),
        "those of the other two stay as they are": bool(np.ptp(high[:, 1:], axis=0).max() < 1e-6),
        "How far above its line the outlier lies does not matter to MAE, "
        "nor to Huber's loss once it is well beyond δ": bool(
            all(
                np.ptp(errors(d)[HEIGHTS - d >= 6, 1:], axis=0).max() < 1e-4
                for d in DELTAS
                if 6 + d < HEIGHTS[-1]
            )
        ),
    }


R = np.linspace(-4, 4, 161)


def curves() -> dict[str, tuple[Vector, Vector]]:
    """Return the loss and its slope at each error of `R`, by name."""
    zero, ones = np.zeros_like(R), np.ones_like(R)
    return {
        "½ r²": (
            squared_error(R, zero, reduction="none") / 2,
            squared_error_vjp(R, zero, ones, reduction="none") / 2,
        ),
        "|r|": (
            absolute_error(R, zero, reduction="none"),
            absolute_error_vjp(R, zero, ones, reduction="none"),
        ),
        "Huber, δ = 1": (
            huber(R, zero, delta=1.0, reduction="none"),
            huber_vjp(R, zero, ones, delta=1.0, reduction="none"),
        ),
        "log cosh": (
            log_cosh(R, zero, reduction="none"),
            log_cosh_vjp(R, zero, ones, reduction="none"),
        ),
        "q = 0.9": (
            quantile_loss(R, zero, q=0.9, reduction="none"),
            quantile_loss_vjp(R, zero, ones, q=0.9, reduction="none"),
        ),
    }


STYLES = ("-", "-", "-", "--", ":")


def losses() -> Figure:
    """Draw five losses and their slopes against the error."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.2), sharex=True)
    for k, (name, pair) in enumerate(curves().items()):
        for ax, values in zip(axes, pair, strict=True):
            ax.plot(R, values, color=f"C{k}", linestyle=STYLES[k], label=name)
    axes[0].set(ylim=(-0.1, 4.2), title="loss", xlabel="error: prediction − target")
    axes[1].set(ylim=(-2.2, 3.4), title="slope", xlabel="error: prediction − target")
    axes[1].legend(loc="upper left")
    return figure


def losses_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    slope = {name: pair[1] for name, pair in curves().items()}
    limited = ("|r|", "Huber, δ = 1", "log cosh", "q = 0.9")
    far, straight = np.abs(R) >= 2, slope["½ r²"]
    high, low = (slope["q = 0.9"][R > 0][0], slope["q = 0.9"][0])
    return {
        "Five losses against the error, and their slopes": len(slope) == 5,
        "The slope of ½ r² grows without limit, the other four level off at 1 or below": bool(
            np.allclose(straight, R) and all(np.abs(slope[name]).max() <= 1 for name in limited)
        ),
        "An outlier pulls as hard as the slope says": bool(
            all(np.ptp(np.abs(slope[n][R > 3])) < 0.01 for n in limited)
        ),
        "At q = 0.9 the quantile loss pulls up nine times as hard as down": bool(
            np.isclose(-low / high, 9)
        ),
        "log cosh is Huber's loss with a soft joint": bool(
            np.abs(slope["log cosh"] - slope["Huber, δ = 1"])[far].max() < 0.04
            and np.abs(slope["log cosh"] - slope["Huber, δ = 1"]).max() < 0.25
        ),
    }


LEVELS = (0.1, 0.5, 0.9)
SAMPLE = 300


class Spread(NamedTuple):
    """Points whose scatter grows, and lines that a share of them lies below.

    Attributes:
        x: Shape (n,).
        y: Shape (n,).
        lines: Height of each line at `ENDS`, shape (levels, 2).
        below: Share of 100,000 new points below each line.
    """

    x: Vector
    y: Vector
    lines: Vector
    below: Vector


def scattered(n: int, seed: int) -> tuple[Vector, Vector]:
    """Draw points whose scatter grows with x, skewed upwards."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 4, size=n)
    return x, 1 + 0.5 * x + (0.2 + 0.4 * x) * (rng.exponential(size=n) - 1)


@kept
def spread() -> Spread:
    """Fit a line for each of `LEVELS`, and count new points below it."""
    x, y = scattered(SAMPLE, 2)
    found = [quantile_line(x, y, q) for q in LEVELS]
    new_x, new_y = scattered(100_000, 3)
    below = np.asarray([np.mean(new_y < design(new_x) @ line) for line in found])
    return Spread(x, y, np.stack([design(ENDS) @ line for line in found]), below)


def quantiles() -> Figure:
    """Draw lines for three quantiles through points whose scatter grows."""
    data = spread()
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
    ax.plot(data.x, data.y, ".", color=plt.rcParams["axes.edgecolor"], alpha=0.45, label="points")
    for k, q in enumerate(LEVELS):
        (line,) = ax.plot(ENDS, data.lines[k], color=f"C{k}", linewidth=2)
        label_line(ax, line, f"q = {q}", 1, offset=(6, -4))
    ax.set(xlim=(0, 4.7), ylim=(0, 8), xlabel="x", ylabel="y")
    return figure


def quantiles_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = spread()
    shares = ", ".join(f"{100 * share:.0f}" for share in data.below[:2])
    widths = np.diff(data.lines[[0, 2]], axis=0)[0]
    return {
        "Points whose scatter grows to the right, and three lines that fan out": bool(
            widths[1] > 4 * widths[0] > 0
        ),
        f"{shares} and {100 * data.below[2]:.0f} % of new points lie below them": bool(
            np.abs(data.below - LEVELS).max() < 0.04
        ),
        "One model for each level, or one output for each, gives an interval "
        "that widens where the scatter grows": bool((np.diff(data.lines, axis=0)[:, 1] > 0).all()),
    }
