"""Figures of the page on sigmoid, tanh and softplus."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.activations.sigmoid import sigmoid_vjp, softplus, tanh_vjp
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Vector = NDArray[np.float64]

X: Vector = np.linspace(-10, 10, 401)
SPREADS = (0.5, 1.0, 2.0, 4.0, 8.0)
MEANS = (0.0, 2.0, 4.0)


class Slopes(NamedTuple):
    """Normal pre-activations, and what a gradient is multiplied with on average.

    Attributes:
        density: Of the pre-activations, at `X`.
        sigmoid: Mean slope of the sigmoid.
        tanh: Mean slope of tanh.
    """

    density: Vector
    sigmoid: float
    tanh: float


def mean_slopes(spread: float = 4.0, mean: float = 0.0) -> Slopes:
    """Average the slopes over normal pre-activations."""
    z = np.linspace(-60, 60, 24_001)
    weights = np.exp(-((z - mean) ** 2) / (2 * spread**2))
    weights /= weights.sum()
    density = np.exp(-((X - mean) ** 2) / (2 * spread**2)) / (spread * np.sqrt(2 * np.pi))
    ones = np.ones_like(z)
    return Slopes(
        density, float(weights @ sigmoid_vjp(z, ones)), float(weights @ tanh_vjp(z, ones))
    )


def slopes() -> Explorable:
    """Draw both slopes over the pre-activations, for any spread and mean of these."""
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    ones = np.ones_like(X)
    (bell,) = ax.fill([], [], color="C2", alpha=0.35, linewidth=0, label="pre-activations")
    ax.plot(X, sigmoid_vjp(X, ones), color="C0", label="slope of sigmoid")
    ax.plot(X, tanh_vjp(X, ones), color="C1", label="slope of tanh")
    ax.set(xlim=(-10, 10), ylim=(0, 1.35), xlabel="pre-activation z", xticks=[-10, -5, 0, 5, 10])
    ax.set_yticks([0, 0.25, 0.5, 1])
    ax.legend(loc="upper center", ncols=3)

    def show(spread: float, mean: float) -> str:
        data = mean_slopes(spread, mean)
        edge = np.stack([X, data.density], 1)
        bell.set_xy(np.concatenate([[[X[0], 0]], edge, [[X[-1], 0]]]))
        return (
            f"On average a gradient is multiplied by {data.sigmoid:.3f} behind the sigmoid, "
            f"by {data.tanh:.3f} behind tanh."
        )

    sliders = (Slider("standard deviation", SPREADS, 3), Slider("mean", MEANS, 0))
    return Explorable(figure, sliders, (bell,), show)


def slopes_says() -> dict[str, bool]:
    """Return what alt text and caption say of the start, and whether it is so."""
    data = mean_slopes()
    sigmoid, tanh = sigmoid_vjp(X, np.ones_like(X)), tanh_vjp(X, np.ones_like(X))
    both = [(mean_slopes(s, m).sigmoid, mean_slopes(s, m).tanh) for s in SPREADS for m in MEANS]
    wider = [mean_slopes(s) for s in SPREADS]
    return {
        f"The slope of the sigmoid peaks at {sigmoid.max():.2f}": bool(X[sigmoid.argmax()] == 0),
        "that of tanh at 1": bool(np.isclose(tanh.max(), 1)),
        "pre-activations of standard deviation 4 reach far beyond both": bool(
            data.density[X > 5].min() > 0.004 and sigmoid[X > 8].max() < 0.001
        ),
        f"is multiplied by {data.sigmoid:.2f} on average behind the sigmoid": True,
        f"by {data.tanh:.2f} behind tanh": True,
        "On average neither passes the gradient whole here": bool(max(map(max, both)) < 1),
        "The wider the pre-activations spread about 0, the less passes": bool(
            (np.diff([s.sigmoid for s in wider]) < 0).all()
            and (np.diff([s.tanh for s in wider]) < 0).all()
        ),
    }


class Errors(NamedTuple):
    """Relative errors of softplus, the largest of each window.

    Attributes:
        x: Middle of each window.
        naive: Of ln(1 + e^x) as it is written, by name of the dtype.
        stable: Of the stable form.
    """

    x: Vector
    naive: dict[str, Vector]
    stable: dict[str, Vector]


def softplus_errors() -> Errors:
    """Compute softplus in float32 and float64; the reference is e^x − e^2x/2 + … in float64."""
    x = np.linspace(-40, -1, 7801)[:-1]
    naive: dict[str, Vector] = {}
    stable: dict[str, Vector] = {}
    for dtype in (np.float32, np.float64):
        rounded = x.astype(dtype)
        exact = np.logaddexp(0, rounded.astype(np.longdouble))
        for errors, value in (
            (naive, np.log(1 + np.exp(rounded))),
            (stable, softplus(rounded)),
        ):
            relative = np.abs(value / exact - 1).astype(np.float64)
            errors[dtype.__name__] = relative.reshape(-1, 100).max(1)
    return Errors(x.reshape(-1, 100).mean(1), naive, stable)


def softplus_error() -> Figure:
    """Draw the relative errors of both forms."""
    data = softplus_errors()
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    for color, name, at, offset in (("C1", "float32", 20, (0, 6)), ("C0", "float64", 54, (-6, -9))):
        (naive,) = ax.plot(data.x, data.naive[name], color=color)
        (stable,) = ax.plot(data.x, data.stable[name], color=color, ls="--")
        ha = "left" if name == "float32" else "right"
        label_line(ax, naive, f"{name}, as written", at, offset=offset, ha=ha)
        label_line(ax, stable, f"{name}, stable", 2, offset=(0, 7 if name == "float64" else -13))
    ax.set(yscale="log", ylim=(1e-17, 1e3), xlim=(-40, 0), xlabel="x", ylabel="relative error")
    ax.set_yticks([1e-16, 1e-12, 1e-8, 1e-4, 1])
    return figure


def softplus_error_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = softplus_errors()
    gone = {name: data.x[errors >= 1].max() for name, errors in data.naive.items()}
    stable = {name: errors.max() for name, errors in data.stable.items()}
    return {
        f"reaches 100 % below −{abs(gone['float32']):.0f} in float32": bool(
            (data.naive["float32"][data.x < gone["float32"]] >= 1).all()
        ),
        f"below −{abs(gone['float64']):.0f} in float64": bool(
            (data.naive["float64"][data.x < gone["float64"]] >= 1).all()
        ),
        "The stable forms stay at the last digits": bool(
            stable["float32"] < 1e-6 and stable["float64"] < 1e-14
        ),
        "The relative error of softplus, as written and stable": all(
            (errors >= data.stable[name]).all() for name, errors in data.naive.items()
        ),
        "1 + eˣ rounds to 1, and the logarithm of 1 is 0": bool(
            np.log(1 + np.exp(np.float32(-20))) == 0
        ),
    }
