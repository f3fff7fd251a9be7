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
from scripts.figures.explorable import Explorable, Slider

Matrix = NDArray[np.float64]

DEPTHS = (1, 4, 32)
CLIFF = {"depth": 50}
LAYERS = 60
RATES = (2.8, 3.2, 3.5, 3.56, 3.7, 3.84, 4.0)


class Growth(NamedTuple):
    """Logarithms to base 10 of the size of (fⁿ)′ after 1 … `LAYERS` maps.

    Attributes:
        median: Over 500 inputs, shape (LAYERS,).
        at_zero: At the input 0.
        law: Of the Lyapunov exponent alone, n λ / ln 10.
    """

    median: Matrix
    at_zero: Matrix
    law: Matrix


def growth_data(r: float) -> Growth:
    """Follow the derivative of a stack from layer to layer."""
    inputs = np.random.default_rng(0).uniform(size=500)
    points = orbit(inputs, r=r, steps=LAYERS)[:-1]
    slopes = np.cumsum(np.log10(np.abs(r * (1 - 2 * points))), axis=0)
    n = np.arange(1, LAYERS + 1)
    late = lyapunov_exponent(inputs, r=r, steps=2000, burn_in=500)
    return Growth(
        np.median(slopes, axis=1), n * np.log10(r), n * float(np.median(late)) / np.log(10)
    )


def growth() -> Explorable:
    """Draw the derivative of a stack against its depth, for any r."""
    figure, ax = plt.subplots(figsize=(6.4, 3.6))
    ax.set(xlim=(0, LAYERS), ylim=(-40, 40), xlabel="layers n", ylabel="log₁₀ |(fⁿ)′(x)|")
    ax.axhline(0, color=plt.rcParams["axes.edgecolor"], linewidth=1, linestyle=":")
    (zero,) = ax.plot([], [], color="C1", label="at x = 0")
    (median,) = ax.plot([], [], color="C0", label="median")
    (law,) = ax.plot([], [], color="C2", linestyle="--", label="exponent")
    ax.legend(loc="upper center", ncols=3)
    n = np.arange(1, LAYERS + 1)

    def show(r: float) -> str:
        data = growth_data(r)
        zero.set_data(n, data.at_zero)
        median.set_data(n, data.median)
        law.set_data(n, data.law)
        return (
            f"After {LAYERS} layers the logarithm of the derivative is {data.median[-1]:.0f} at "
            f"the median input and {data.at_zero[-1]:.0f} at the input 0."
        ).replace("-", "−")

    return Explorable(figure, (Slider("r", RATES, 2),), (zero, law, median), show)


def growth_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = growth_data(RATES[2])
    ends = {r: growth_data(r).median[-1] for r in RATES}
    parted = np.abs((data.median - data.law)[30:] - (data.median - data.law)[30])
    return {
        f"derivative of n stacked logistic maps at r = {RATES[2]}, logarithmic, over n up to "
        f"{LAYERS}": True,
        f"The median over 500 inputs falls to {10 ** data.median[-1]:.0e}": True,
        "is parallel to the dashed line of the Lyapunov exponent": bool(parted.max() < 2),
        f"At the input 0 it rises to {10 ** data.at_zero[-1]:.0e}": True,
        "One stack vanishes and explodes, at different inputs": bool(
            data.median[-1] < -10 < 10 < data.at_zero[-1]
        ),
        "Up to r = 3.56 the median falls or stays": all(ends[r] < 0 for r in RATES if r < 3.6),
        "at r = 4 it rises": bool(ends[4.0] > 10),
    }


class Stack(NamedTuple):
    """The iterates fⁿ and the sizes of their derivatives on a grid, one row a depth."""

    x: Matrix
    values: Matrix
    slopes: Matrix


EVEN = np.linspace(0, 1, 2001)
ENDS = np.sin(EVEN * np.pi / 2) ** 2
"""Dense where the iterates at r = 4 are: each of their laps gets as many points."""


def stack_data(r: float, depths: tuple[int, ...] = DEPTHS, x: Matrix = EVEN) -> Stack:
    """Compute fⁿ for some n."""
    points = orbit(x, r=r, steps=max(depths))
    slopes = np.stack([iterate_derivative(x, r=r, steps=n) for n in depths])
    return Stack(x, points[list(depths)], np.abs(slopes))


def stacked() -> Figure:
    """Draw the iterates at r = 3.5, where plateaus form, and at r = 4, where laps double."""
    figure, axes = plt.subplots(3, 2, figsize=(7.2, 5.4), sharex=True, sharey=True)
    kinds = ((3.5, DEPTHS, EVEN), (4.0, (1, 4, 7), ENDS))
    for column, (r, depths, grid) in enumerate(kinds):
        data = stack_data(r, depths, grid)
        for ax, values, n in zip(axes[:, column], data.values, depths, strict=True):
            ax.plot(data.x, values, color=f"C{column}", linewidth=1.2, label="fⁿ")
            ax.set_title(f"r = {r}, n = {n}")
            ax.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    axes[-1, 0].set_xlabel("x")
    axes[-1, 1].set_xlabel("x")
    for ax in axes[:, 0]:
        ax.set_ylabel("fⁿ(x)")
    return figure


def stacked_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    deep, four = stack_data(3.5), stack_data(4.0, (6, 7), ENDS).values
    last = deep.values[-1]
    heights = orbit(np.asarray(0.3), r=3.5, steps=1000)[-4:]
    near = np.abs(last[:, None] - heights) < 0.01
    on_each = near.mean(0)
    flat = 100 * (deep.slopes[-1] < 1e-3).mean()
    mountains = [int(np.count_nonzero(np.diff(y > 0.5, append=False)) / 2) for y in four]
    return {
        "Graphs of stacked logistic maps, one, 4 and more layers deep": DEPTHS[:2] == (1, 4),
        "Left, r = 3.5: at 32 layers it consists of plateaus at four heights": bool(
            on_each.min() > 0.1 and near.any(1).mean() > 0.9
        ),
        "with steep steps between them": bool(deep.slopes[-1].max() > 1e3),
        f"Right, r = 4: at 7 layers it goes from 0 to 1 and back {mountains[1]} times": bool(
            four[1].max() > 0.99 and four[1].min() < 0.01
        ),
        "At r = 3.5 depth makes terraces": bool(near.any(1).mean() > 0.9),
        f"after 32 layers the slope is below 0.001 on {flat:.0f} % of the inputs": True,
        "At r = 4 it makes mountains": mountains[1] > 60,
        "twice as many with each layer": mountains[1] == 2 * mountains[0],
    }


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
    flat = np.tile(r, 60), points.ravel()
    above.plot(*flat, ",", color="C0", alpha=0.25, rasterized=True, label="orbits")
    above.set(ylabel="x after 600 steps")
    below.plot(r, exponent, color="C0", linewidth=1, label="exponent")
    below.axhline(0, color=plt.rcParams["axes.edgecolor"], linewidth=1)
    below.plot([3.5, 4.0], [-0.8725, np.log(2)], "o", color="C1", label="marks")
    below.text(3.52, -1.35, "r = 3.5: −0.87")
    below.text(3.98, 0.8, "r = 4: ln 2", ha="right")
    below.set(xlabel="r", ylabel="Lyapunov exponent", ylim=(-2, 1.1))
    return figure


def exponents_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    r, points, exponent = exponent_data()
    ends = [len(np.unique(points[:, np.argmin(abs(r - at))].round(4))) for at in (2.9, 3.3, 3.5)]
    stable = r < 3.56
    doubles = [exponent[np.argmin(abs(r - at))] for at in (3.0, 1 + 6**0.5)]
    chaos = r > 3.572
    window = r[chaos & (exponent < -0.1)]
    at_half = exponent[np.argmin(abs(r - 3.5))]
    middle = r[(abs(r - 3.84) < 0.015) & (exponent < 0)]
    return {
        "where orbits are after 600 steps, over r: one point, two, four, then bands": bool(
            ends == [1, 2, 4] and len(np.unique(points[:, -1].round(4))) > 50
        ),
        "the Lyapunov exponent is at most zero up to 3.56": bool(exponent[stable].max() < 0.01),
        f"is −{abs(at_half):.2f} at 3.5": bool(at_half < 0),
        "reaches ln 2 at 4": bool(abs(exponent[-1] - np.log(2)) < 0.02),
        "The exponent is negative where a cycle is stable": bool(
            (exponent[stable] < -0.01).mean() > 0.9
        ),
        "and zero where it doubles": bool(np.abs(doubles).max() < 0.02),
        "Beyond r ≈ 3.57 it is positive": bool((exponent[chaos] > 0).mean() > 0.8),
        "with windows of stable cycles, the widest at 3.84": bool(
            len(middle) / len(window) > 0.5 and (exponent[chaos] < 0).any()
        ),
    }


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
    left.plot(w, np.abs(cliff_loss_vjp(w, np.ones(500), **CLIFF)), color="C0", label="slope")
    left.set(xlabel="w", ylabel="|dL/dw|", yscale="log", ylim=(1e-7, 1e8))
    for i, (limit, name) in enumerate(((np.inf, "as it is"), (1.0, "clipped to norm 1"))):
        path = descent(max_norm=limit)
        right.plot(np.abs(path - 1), color=f"C{1 - i}", marker="o" if i == 0 else "", label=name)
    right.set(xlabel="step", ylabel="|w − 1|", yscale="log", xlim=(-15, 400))
    right.legend()
    return figure


def cliff_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    flat, steep = np.abs(cliff_loss_vjp(np.asarray([0.7, 1.1]), np.ones(2), **CLIFF))
    plain, clipped = descent(max_norm=np.inf), descent(max_norm=1.0)
    arrived = bool(abs(clipped[-1] - 1) < 1e-6)
    return {
        "the slope of the cliff over w, logarithmic, "
        f"from {flat:.0e} at 0.7 to {steep:.0e} at 1.1": True,
        "from w = 1.1 plain gradient descent jumps "
        f"{abs(plain[1] - 1):.0f} away from the minimum in one step": bool(plain[0] == 1.1),
        "the clipped one walks to the minimum": arrived,
        f"A chain of {CLIFF['depth']} units": True,
        "Descent with η = 3e-4 is stable at the minimum": 2 / (2 * CLIFF["depth"] ** 2) > 3e-4,
        f"started at {plain[0]}, on the cliff, it survives only clipped": bool(abs(plain[-1]) > 10)
        and arrived,
    }
