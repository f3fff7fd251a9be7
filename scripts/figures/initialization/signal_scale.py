"""Figures of the page on the scale of signals."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.arrays import erf
from dlkb.initialization.signal_scale import (
    length_map,
    length_trajectory,
    rectifier_spread,
    second_moment,
)

Values = NDArray[np.float64]

WIDTH, DEPTH, SEEDS = 256, 20, 20
STD = {"σ = 1": 1.0, "σ² = 1/√n": WIDTH**-0.25, "σ = √(2/n)": (2 / WIDTH) ** 0.5}
WIDTHS = (32, 128, 512)


def relu(z: Values) -> Values:
    """Return the positive part."""
    return np.maximum(z, 0)


def gelu(z: Values) -> Values:
    """Return z Φ(z)."""
    return z * (1 + erf(z.ravel() / 2**0.5).reshape(z.shape)) / 2


class Depths(NamedTuple):
    """Mean squares by layer, shape (seeds, depth + 1), and their expectation, (depth + 1,)."""

    measured: Values
    expected: Values


@cache
def relu_depths(std: float) -> Depths:
    """Send one signal of mean square 1 through fresh ReLU networks, one a seed."""
    rng = np.random.default_rng(0)
    h = rng.normal(size=(SEEDS, WIDTH, 1))
    h /= second_moment(h[..., 0])[:, None, None] ** 0.5
    rows = [second_moment(h[..., 0])]
    for _ in range(DEPTH):
        h = relu(std * rng.normal(size=(SEEDS, WIDTH, WIDTH)) @ h)
        rows.append(second_moment(h[..., 0]))
    factor = WIDTH * std**2 / 2
    expected = np.asarray(factor ** np.arange(DEPTH + 1), dtype=np.float64)
    return Depths(np.stack(rows, axis=1), expected)


def _band(axis: plt.Axes, rows: Values, colour: str, label: str) -> None:
    x = np.arange(rows.shape[1])
    low, middle, high = np.percentile(rows, [5, 50, 95], axis=0)
    axis.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
    axis.plot(x, middle, color=colour, label=label)


def depth() -> Figure:
    """Draw the mean square of the signal by depth for three scales of the weights."""
    figure, axis = plt.subplots()
    layers = np.arange(DEPTH + 1)
    for (label, std), colour in zip(STD.items(), ("C1", "C4", "C0"), strict=True):
        data = relu_depths(std)
        _band(axis, data.measured, colour, label)
        axis.plot(layers, data.expected, color=plt.rcParams["text.color"], lw=1, ls=":")
    axis.set(yscale="log", xlabel="layer", ylabel="mean square of the signal")
    axis.set_title(f"ReLU, width {WIDTH}")
    axis.set_xticks(range(0, DEPTH + 1, 5))
    axis.legend(title="weights N(0, σ²)")
    return figure


class Maps(NamedTuple):
    """The length map on `q`, and trajectories from `starts`, shape (starts, depth + 1)."""

    q: Values
    image: Values
    paths: Values


MAPS: dict[str, tuple[Callable[[Values], Values], float]] = {
    "tanh": (np.tanh, 1.5925),
    "ReLU": (relu, 2**0.5),
    "GELU": (gelu, 1.5335),
}
STARTS = np.asarray([0.3, 1.0, 2.0])


@cache
def length_maps_data(name: str) -> Maps:
    """Compute the length map at the gain that keeps q = 1 in place."""
    activation, sigma_w = MAPS[name]
    q = np.linspace(0, 3, 61)
    return Maps(
        q,
        length_map(q, activation, sigma_w=sigma_w),
        length_trajectory(STARTS, activation, sigma_w=sigma_w, depth=12),
    )


def length_maps() -> Figure:
    """Draw three length maps with the fixed point q = 1, and what iterating them does."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.6))
    muted = plt.rcParams["axes.edgecolor"]
    left.plot([0, 3], [0, 3], color=muted, lw=1, ls="--")
    for name, colour in zip(MAPS, ("C0", "C2", "C1"), strict=True):
        data = length_maps_data(name)
        left.plot(data.q, data.image, color=colour, label=name)
        for path in data.paths:
            right.plot(path, color=colour, lw=1.5)
    left.plot([1], [1], "o", color=plt.rcParams["text.color"])
    left.set(xlabel="q of this layer", ylabel="q of the next layer", title="the map")
    right.set(yscale="log", xlabel="layer", ylabel="q", title="iterated from 0.3, 1 and 2")
    right.set_xticks(range(0, 13, 3))
    left.legend()
    return figure


@cache
def width_spread_data(width: int, networks: int = 1000, layers: int = 50) -> Values:
    """Draw the mean square by depth in He-initialized ReLU networks, shape (networks, layers + 1).

    Given its input, a layer's pre-activations are independent normal draws of one variance, so the
    mean square of the next layer needs `width` draws and no matrix.
    """
    rng = np.random.default_rng(0)
    rows = [np.ones(networks)]
    for _ in range(layers):
        positive = relu(rng.normal(size=(networks, width)))
        rows.append(rows[-1] * 2 * second_moment(positive))
    return np.stack(rows, axis=1)


def width_spread() -> Figure:
    """Draw how far single networks stray from the expectation, for three widths."""
    figure, axis = plt.subplots()
    for width, colour in zip(WIDTHS, ("C1", "C4", "C0"), strict=True):
        rows = width_spread_data(width)
        spread = rectifier_spread(fan_in=width, depth=50)
        _band(axis, rows, colour, f"{width}: E[q²]/E[q]² = {spread:.1f}")
    axis.axhline(1, color=plt.rcParams["text.color"], lw=1, ls=":")
    axis.set(yscale="log", xlabel="layer", ylabel="mean square of the signal")
    axis.set_title("He initialization, ReLU")
    axis.legend(title="width, spread at layer 50", loc="lower left")
    return figure
