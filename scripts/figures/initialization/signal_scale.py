"""Figures of the page on the scale of signals."""

from collections.abc import Callable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.arrays import erf
from dlkb.book.draw.kept import kept
from dlkb.initialization.signal_scale import (
    gradient_factor,
    length_map,
    length_trajectory,
    rectifier_spread,
    second_moment,
)
from scripts.figures.explorable import Explorable, Slider

Values = NDArray[np.float64]

WIDTH, DEPTH, SEEDS = 256, 20, 20
STD = {"σ = 1": 1.0, "σ² = 1/√n": WIDTH**-0.25, "σ = √(2/n)": (2 / WIDTH) ** 0.5}
WIDTHS = (32, 128, 512)
BAND = (5, 50, 95)
"""Percentiles of the lower edge, the line and the upper edge."""


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


@kept
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
    low, middle, high = np.percentile(rows, BAND, axis=0)
    axis.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0, gid=label)
    axis.plot(x, middle, color=colour, label=label)


def depth() -> Figure:
    """Draw the mean square of the signal by depth for three scales of the weights."""
    figure, axis = plt.subplots()
    layers = np.arange(DEPTH + 1)
    for (label, std), colour in zip(STD.items(), ("C1", "C4", "C0"), strict=True):
        data = relu_depths(std)
        _band(axis, data.measured, colour, label)
        ink = plt.rcParams["text.color"]
        axis.plot(layers, data.expected, color=ink, lw=1, ls=":", gid=f"{label}, expected")
    axis.set(yscale="log", xlabel="layer", ylabel="mean square of the signal")
    axis.set_title(f"ReLU, width {WIDTH}")
    axis.set_xticks(range(0, DEPTH + 1, 5))
    axis.legend(title="weights N(0, σ²)")
    return figure


def depth_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    one, root, he = (relu_depths(std) for std in STD.values())
    factor = (root.measured[:, -1] / root.measured[:, 0]) ** (1 / DEPTH)
    logs = [abs(np.log10(data.measured / data.expected)) for data in (one, root, he)]
    return {
        "Three lines with narrow bands": all(bool((log < 1).mean() > 0.95) for log in logs),
        "With a standard deviation of 1 the mean square rises above 1e40": bool(
            (one.measured[:, -1] > 1e40).all()
        ),
        "with a variance of one over root n above 1e16": bool((root.measured[:, -1] > 1e16).all()),
        "with a standard deviation of root of 2 over n it stays near 1": bool(
            (abs(np.log10(he.measured)) < 1).mean() > 0.9
        ),
        f"Twenty seeds of a ReLU network of width {WIDTH}": SEEDS == 20,
        "dotted, the expectation": bool(np.isclose(he.expected, 1).all()),
        f"The variance 1/√n multiplies by √n/2 = {WIDTH**0.5 / 2:.0f} in each layer": bool(
            np.isclose(factor.mean(), WIDTH**0.5 / 2, rtol=0.1)
        ),
    }


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


@kept
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
        for start, path in zip(STARTS, data.paths, strict=True):
            right.plot(path, color=colour, lw=1.5, gid=f"{name} from {start:g}")
    left.plot([1], [1], "o", color=plt.rcParams["text.color"])
    left.set(xlabel="q of this layer", ylabel="q of the next layer", title="the map")
    right.set(yscale="log", xlabel="layer", ylabel="q", title="iterated from 0.3, 1 and 2")
    right.set_xticks(range(0, 13, 3))
    left.legend()
    return figure


def length_maps_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    tanh, line, bent = (length_maps_data(name) for name in ("tanh", "ReLU", "GELU"))
    inner = (tanh.q > 0.05) & (tanh.q < 0.95)
    outer = tanh.q > 1.05
    ends = {name: length_maps_data(name).paths[:, -1] for name in MAPS}
    return {
        "three curves through the point (1, 1)": all(
            bool(np.isclose(np.interp(1, data.q, data.image), 1, atol=1e-3))
            for data in (tanh, line, bent)
        ),
        "tanh crosses the diagonal from above": bool(
            (tanh.image > tanh.q)[inner].all() and (tanh.image < tanh.q)[outer].all()
        ),
        "ReLU lies on it": bool(np.allclose(line.image, line.q)),
        "GELU crosses from below": bool(
            (bent.image < bent.q)[inner].all() and (bent.image > bent.q)[outer].all()
        ),
        "iterated from 0.3, 1 and 2, tanh returns to 1": bool(
            np.allclose(STARTS, [0.3, 1, 2]) and np.allclose(ends["tanh"], 1, atol=0.02)
        ),
        "ReLU stays": bool(np.allclose(ends["ReLU"], STARTS)),
        "GELU falls from 0.3 and rises from 2": bool(ends["GELU"][0] < 0.1 and ends["GELU"][2] > 5),
        "at the gain that keeps q = 1, without biases": all(
            bool(np.isclose(length_map(np.asarray(1.0), phi, sigma_w=gain), 1, atol=1e-3))
            for phi, gain in MAPS.values()
        ),
        "Of the three fixed points only that of tanh attracts": bool(
            np.allclose(ends["tanh"], 1, atol=0.02) and not np.isclose(ends["GELU"][0], 1, atol=0.5)
        ),
        "that of GELU repels": bool(ends["GELU"][0] < STARTS[0] and ends["GELU"][2] > STARTS[2]),
    }


@kept
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


def width_spread_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    ends = [width_spread_data(width)[:, -1] for width in WIDTHS]
    bands = [np.ptp(np.percentile(np.log10(end), BAND)) for end in ends]
    medians = [np.median(end) for end in ends]
    top = np.sort(ends[0])[::-1]
    return {
        "widths 32, 128 and 512": WIDTHS == (32, 128, 512),
        "the narrower the network, the wider its band and the lower its median": bool(
            bands[0] > bands[1] > bands[2] and medians[0] < medians[1] < medians[2]
        ),
        "He initialization in a thousand networks for each width": len(ends[0]) == 1000,
        f"median and {BAND[0]} to {BAND[2]} %": BAND[1] == 50,
        "The expectation is 1, held up by networks that are far above": bool(
            0.3 < ends[0].mean() < 3 and top[:100].sum() > 0.5 * top.sum()
        ),
    }


class Both(NamedTuple):
    """Signal and gradient in tanh networks, and what the limit of large width expects.

    Attributes:
        signal: Mean squares of the pre-activations by layer, shape (seeds, depth).
        gradient: Mean squares of their gradients, 1 in the last layer, shape (seeds, depth).
        expected_signal: Shape (depth,).
        expected_gradient: Shape (depth,).
    """

    signal: Values
    gradient: Values
    expected_signal: Values
    expected_gradient: Values


def tanh_slope(z: Values) -> Values:
    """Return the derivative of tanh."""
    return 1 - np.tanh(z) ** 2


@kept
def tanh_depths(gain: float, depth: int, width: int = 128, seeds: int = 10) -> Both:
    """Send signals of mean square 1 forth and random gradients back through fresh networks."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(seeds, width, 1))
    rows, weights = [z], []
    for _ in range(depth - 1):
        weights.append(gain * width**-0.5 * rng.normal(size=(seeds, width, width)))
        rows.append(weights[-1] @ np.tanh(rows[-1]))
    back = [rng.normal(size=z.shape)]
    for weight, z in zip(weights[::-1], rows[-2::-1], strict=True):
        back.append(tanh_slope(z) * (weight.swapaxes(1, 2) @ back[-1]))
    q = length_trajectory(np.asarray(1.0), np.tanh, sigma_w=gain, depth=depth - 1)
    factors = gradient_factor(q[:-1], tanh_slope, sigma_w=gain)
    return Both(
        np.stack([second_moment(row[..., 0]) for row in rows], axis=1),
        np.stack([second_moment(row[..., 0]) for row in back[::-1]], axis=1),
        q,
        np.append(np.cumprod(factors[::-1])[::-1], 1.0),
    )


def _written(number: float) -> str:
    """Write a number with two digits, large and small ones as a power of ten."""
    if 1e-3 < number < 1e4:
        return f"{number:.2g}"
    return "10" + f"{np.log10(number):.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def scale_and_depth() -> Explorable:
    """Draw signal and gradient of tanh networks for any scale of the weights and any depth."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.6), sharex=True)
    axes[0].set(yscale="log", ylim=(1e-6, 1e2), xlim=(1, 40), title="signal, left to right")
    axes[1].set(yscale="log", ylim=(1e-8, 1e10), title="gradient, right to left")
    axes[0].set(ylabel="mean square", xlabel="layer", xticks=[1, 10, 20, 30, 40])
    axes[1].set(xlabel="layer")
    moving = []
    for axis, colour in zip(axes, ("C0", "C1"), strict=True):
        (band,) = axis.fill([1], [1], color=colour, alpha=0.25, linewidth=0)
        (line,) = axis.plot([], [], color=colour, label="median")
        ink = plt.rcParams["text.color"]
        (limit,) = axis.plot([], [], color=ink, lw=1, ls=":", label="wide limit")
        moving.append((band, line, limit))

    def show(gain: float, depth: float) -> str:
        data = tanh_depths(gain, int(depth))
        layers = np.arange(1, depth + 1)
        around = np.concatenate([layers, layers[::-1]])
        for (band, line, limit), rows, expected in zip(
            moving,
            (data.signal, data.gradient),
            (data.expected_signal, data.expected_gradient),
            strict=True,
        ):
            low, middle, high = np.percentile(rows, BAND, axis=0)
            band.set_xy(np.stack([around, np.concatenate([low, high[::-1]])], axis=1))
            line.set_data(layers, middle)
            limit.set_data(layers, expected)
        last, first = np.median(data.signal[:, -1]), np.median(data.gradient[:, 0])
        return (
            f"The signal arrives at layer {depth:.0f} with mean square {_written(last)}; "
            f"the gradient arrives at layer 1 with {_written(first)} times what it was."
        )

    gains = (0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5929, 2.0, 3.0)
    sliders = (
        Slider("scale of the weights σ√n", gains, 8, "{:.2f}"),
        Slider("depth", (5, 10, 20, 40), 2),
    )
    return Explorable(figure, sliders, tuple(sum(moving, ())), show)


def scale_and_depth_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    kept, still = tanh_depths(1.5929, 20), tanh_depths(1.0, 20)
    grown, signal = np.median(kept.gradient[:, 0]), np.median(kept.signal, axis=0)
    fell = [np.median(rows) for rows in (still.signal[:, -1], still.gradient[:, 0])]
    return {
        "the signal stays at 1": bool((abs(np.log(signal)) < np.log(1.25)).all()),
        "the mean square of the gradient grows severalfold from layer 20 back to layer 1": bool(
            grown > 3 and kept.gradient.shape[1] == 20
        ),
        "Ten tanh networks of width 128 without biases": len(kept.signal) == 10,
        "dotted, the limit of large width": bool(np.allclose(kept.expected_signal, 1, atol=1e-2)),
        "At gain 1.59 the signal keeps its size and the gradient grows": bool(
            0.8 < signal[-1] < 1.25 and grown > 3
        ),
        "at gain 1.00 both shrink": bool(max(fell) < 0.1),
    }
