"""Figures of the page on iterated maps."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.gradients.clipping import clip_factor
from dlkb.gradients.iterated_maps import (
    cliff_loss_vjp,
    iterate_derivative,
    lyapunov_exponent,
    orbit,
)

Matrix = NDArray[np.float64]

DEPTHS = (1, 4, 32)
CLIFF = {"depth": 50}


class Stack(NamedTuple):
    """The iterates fⁿ and the sizes of their derivatives on a grid, one row a depth."""

    x: Matrix
    values: Matrix
    slopes: Matrix


def stack_data(r: float, depths: tuple[int, ...] = DEPTHS) -> Stack:
    """Compute fⁿ for some n."""
    x = np.linspace(0, 1, 2001)
    points = orbit(x, r=r, steps=max(depths))
    slopes = np.stack([iterate_derivative(x, r=r, steps=n) for n in depths])
    return Stack(x, points[list(depths)], np.abs(slopes))


def stacked() -> Figure:
    """Draw the iterates at r = 3.5, where plateaus form, and at r = 4, where laps double."""
    figure, axes = plt.subplots(3, 2, figsize=(7.2, 5.4), sharex=True, sharey=True)
    for column, (r, depths) in enumerate([(3.5, (1, 4, 32)), (4.0, (1, 4, 7))]):
        data = stack_data(r, depths)
        for ax, values, n in zip(axes[:, column], data.values, depths, strict=True):
            ax.plot(data.x, values, color=f"C{column}", linewidth=1.2)
            ax.set_title(f"r = {r}, n = {n}")
            ax.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes[-1, 0].set_xlabel("x")
    axes[-1, 1].set_xlabel("x")
    for ax in axes[:, 0]:
        ax.set_ylabel("fⁿ(x)")
    return figure


def exponent_data() -> tuple[Matrix, Matrix, Matrix]:
    """Return r, the last 60 points of an orbit for each, and the Lyapunov exponents."""
    r = np.linspace(2.8, 4, 1201)
    start = np.full_like(r, 0.3)
    points = orbit(start, r=r, steps=660)[-60:]
    return r, points, lyapunov_exponent(start, r=r, steps=2000, burn_in=600)


def exponents() -> Figure:
    """Draw where orbits end up, and their Lyapunov exponent, over r."""
    r, points, exponent = exponent_data()
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(6.2, 5.0), sharex=True, height_ratios=(1, 1)
    )
    above.plot(np.tile(r, 60), points.ravel(), ",", color="C0", alpha=0.25, rasterized=True)
    above.set(ylabel="x after 600 steps")
    below.plot(r, exponent, color="C0", linewidth=1)
    below.axhline(0, color=plt.rcParams["axes.edgecolor"], linewidth=1)
    below.plot([3.5, 4.0], [-0.8725, np.log(2)], "o", color="C1")
    below.text(3.52, -1.35, "r = 3.5: −0.87")
    below.text(3.98, 0.8, "r = 4: ln 2", ha="right")
    below.set(xlabel="r", ylabel="Lyapunov exponent", ylim=(-2, 1.1))
    return figure


def descent(*, max_norm: float, lr: float = 3e-4, steps: int = 400) -> Matrix:
    """Run gradient descent on the chain of 50 units from w = 1.1; stop where it overflows."""
    w, path = np.asarray([1.1]), [1.1]
    for _ in range(steps):
        slope = cliff_loss_vjp(w, np.ones(1), **CLIFF)
        w = w - lr * slope * clip_factor(np.abs(slope), max_norm=max_norm)
        path.append(float(w[0]))
        if abs(w[0]) > 10:
            break
    return np.asarray(path)


def cliff() -> Figure:
    """Draw the slope of the cliff, and descent on it with and without clipping."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.3))
    w = np.linspace(0.7, 1.15, 500)
    left.plot(w, np.abs(cliff_loss_vjp(w, np.ones(500), **CLIFF)), color="C0")
    left.set(xlabel="w", ylabel="|dL/dw|", yscale="log", ylim=(1e-7, 1e8))
    for i, (limit, name) in enumerate(((np.inf, "as it is"), (1.0, "clipped to norm 1"))):
        path = descent(max_norm=limit)
        right.plot(np.abs(path - 1), color=f"C{1 - i}", marker="o" if i == 0 else "", label=name)
    right.set(xlabel="step", ylabel="|w − 1|", yscale="log", xlim=(-15, 400))
    right.legend()
    return figure
