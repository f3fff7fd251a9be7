"""Figures of the page on Xavier, He and orthogonal initialization."""

from itertools import pairwise
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import digits as digit_images
from dlkb.experiments.networks import draw
from dlkb.experiments.rules import sgd_rule
from dlkb.experiments.signals import jacobian, propagate
from dlkb.experiments.training import train
from dlkb.initialization.signal_scale import second_moment
from dlkb.initialization.xavier import (
    kaiming_std,
    leaky_relu_gain,
    scaled_normal,
    xavier_std,
)
from scripts.figures.explorable import Explorable, Slider

Values = NDArray[np.float64]


def quantiles(rows: Values) -> tuple[Values, Values, Values]:
    """Return the 5 %, 50 % and 95 % quantiles over the seeds."""
    low, middle, high = np.percentile(rows, [5, 50, 95], axis=0)
    return low, middle, high


def band(axis: Axes, x: Values, rows: Values, name: str, colour: str, style: str = "-") -> None:
    """Draw the median over the seeds, and the quantiles around it."""
    low, middle, high = quantiles(rows)
    axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0, gid=name)
    axis.plot(x, middle, color=colour, ls=style, lw=1.5, label=name)


LAYERS = 30
GAINS = (3**-0.5, 1.0, leaky_relu_gain(0.5), leaky_relu_gain(0.2), 2**0.5, 5 / 3)
SLOPES = (1.0, 0.5, 0.2, 0.0)


class Through(NamedTuple):
    """Mean squares through layers of one width, relative to where they set out.

    Attributes:
        layer: 1, 2, …
        signal: Relative to the first layer, a row a network.
        gradient: Relative to the last layer, on the way back.
        expected: What the factor of a layer makes of 1.
        factor: By what a layer multiplies the mean square, in expectation.
    """

    layer: Values
    signal: Values
    gradient: Values
    expected: Values
    factor: float


@kept
def at_gain_one(slope: float, width: int) -> tuple[Values, Values]:
    """Send signals and gradients through ten fresh Xavier networks of leaky ReLUs."""

    def activation(z: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu(z, slope)

    networks = draw(
        (width,) * (LAYERS + 1), activation=activation, init="xavier", gain=1.0, bias=False,
        seeds=10,
    )  # fmt: skip
    found = propagate(networks, np.random.default_rng(0).normal(size=(1, width)))
    return found.signal / found.signal[:, :1], found.gradient / found.gradient[:, -1:]


def through(gain: float, slope: float, width: int = 128) -> Through:
    """Return what is left, layer by layer: without biases a layer's gain factors out."""
    signal, gradient = at_gain_one(slope, width)
    layer = np.arange(1.0, LAYERS + 1)
    factor = (gain / leaky_relu_gain(slope)) ** 2
    more = gain ** (2 * (layer - 1))
    return Through(layer, signal * more, gradient * more[::-1], factor ** (layer - 1), factor)


def gain_and_slope() -> Explorable:
    """Draw what is left of a signal in a deep network, for any gain and slope of the ReLU."""
    figure, axis = plt.subplots(figsize=(6.2, 3.5))
    axis.axhline(1, color=plt.rcParams["axes.edgecolor"], linewidth=0.8)
    (area,) = axis.fill([1], [1], color="C0", alpha=0.25, linewidth=0, label="ten networks")
    (median,) = axis.plot([], [], color="C0", label="their median")
    (expected,) = axis.plot([], [], color="C1", ls="--", label="expected")
    axis.set(yscale="log", ylim=(1e-12, 1e6), xlim=(1, LAYERS), xlabel="layer")
    axis.set(ylabel="mean square, layer 1 = 1", xticks=[1, 10, 20, 30])
    axis.legend(loc="upper center", ncols=3)

    def show(gain: float, slope: float) -> str:
        data = through(gain, slope)
        low, middle, high = quantiles(data.signal)
        around = np.concatenate([data.layer, data.layer[::-1]])
        area.set_xy(np.stack([around, np.concatenate([low, high[::-1]])], axis=1))
        median.set_data(data.layer, middle)
        expected.set_data(data.layer[[0, -1]], data.expected[[0, -1]])
        verdict = "The gain fits." if np.isclose(data.factor, 1) else "The gain does not fit."
        return f"Each layer multiplies the mean square by {data.factor:.2f}. {verdict}"

    sliders = (Slider("gain", GAINS, 1, "{:.3g}"), Slider("negative slope", SLOPES, 3))
    return Explorable(figure, sliders, (area, median, expected), show)


def gain_and_slope_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    start, fits = through(1.0, 0.0), through(2**0.5, 0.0)
    last, kept = np.median(start.signal[:, -1]), np.median(fits.signal[:, -1])
    first = np.median(start.gradient[:, 0])
    return {
        f"{LAYERS} ReLU layers drawn by Xavier with gain 1": start.signal.shape == (10, LAYERS),
        "the mean square of the signal falls along a straight line to about a billionth": bool(
            0.2e-9 < last < 5e-9 and np.isclose(start.expected[-1], 1e-9, rtol=1)
        ),
        "half of it in each layer": bool(np.isclose(start.factor, 0.5)),
        "Ten networks of 128 units": through(1.0, 0.0).signal.shape[0] == 10,
        "Move the gain to 1.41, and the signal stays": bool(
            0.2 < kept < 5 and np.isclose(fits.factor, 1)
        ),
        "every slope has a gain that fits": all(
            any(np.isclose(through(gain, slope).factor, 1) for gain in GAINS) for slope in SLOPES
        ),
        "A gradient on its way back meets the same factor": bool(0.1 < first / last < 10),
    }


class Panel(NamedTuple):
    """What is trained in one panel: the activation's name, its gain, the rules to compare."""

    name: str
    gain: float
    rules: tuple[str, ...]


PANELS = (
    Panel("relu", leaky_relu_gain(), ("PyTorch", "Xavier", "He", "orthogonal")),
    Panel("tanh", 1.0, ("PyTorch", "LeCun", "orthogonal")),
)
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}
INITS = {"PyTorch": "torch", "Xavier": "xavier", "He": "fan_in", "LeCun": "fan_in"}
COLOURS = {"PyTorch": "C5", "Xavier": "C0", "He": "C1", "LeCun": "C1", "orthogonal": "C2"}
DEPTH, UNITS, STEPS, BATCH, LR = 20, 32, 150, 32, 0.05


@kept
def losses(rule: str, panel: Panel, depth: int = DEPTH, lr: float = LR) -> Values:
    """Train ten deep networks on the digits; return their losses, (seeds, steps)."""
    gain = 1.0 if rule == "Xavier" else panel.gain
    networks = draw(
        (64,) + (UNITS,) * depth + (10,),
        activation=ACTIVATIONS[panel.name],
        init=INITS.get(rule, rule),
        gain=gain,
        dtype="float32",
    )
    data = digit_images(scale="standard", test=1, dtype="float32")
    return train(networks, data, rule=sgd_rule(lr=lr), steps=STEPS, batch=BATCH).loss


def digits() -> Figure:
    """Draw the training loss of deep networks for each initialization."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.6), sharey=True)
    steps = np.arange(1.0, STEPS + 1)
    for axis, panel in zip(axes, PANELS, strict=True):
        for rule in panel.rules:
            band(axis, steps, losses(rule, panel), rule, COLOURS[rule])
        axis.axhline(np.log(10), color=plt.rcParams["text.color"], lw=1, ls=":")
        axis.set(title=f"{DEPTH} {panel.name} layers", xlabel="step")
        axis.legend(loc="lower left")
    axes[0].set(ylabel="training loss", ylim=(0, 3))
    return figure


def digits_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    relu, tanh = (
        {rule: losses(rule, panel)[:, -20:].mean(1) for rule in panel.rules} for panel in PANELS
    )
    chance = np.log(10)

    def flat(ends: Values) -> bool:
        return bool((abs(ends - chance) < 0.1).mean() >= 0.9)

    def falls(ends: Values) -> bool:
        return bool((ends < chance - 0.2).mean() >= 0.8)

    medians = {rule: np.median(ends) for rule, ends in tanh.items()}
    return {
        f"networks of {DEPTH} layers": DEPTH == 20,
        f"With ReLU, PyTorch's default and Xavier stay at {chance:.1f} for {STEPS} steps": (
            flat(relu["PyTorch"]) and flat(relu["Xavier"])
        ),
        "He and orthogonal fall": falls(relu["He"]) and falls(relu["orthogonal"]),
        "With tanh, the default stays": flat(tanh["PyTorch"]),
        "LeCun falls below 1.2 and orthogonal below 0.6": bool(
            medians["LeCun"] < 1.2 and medians["orthogonal"] < 0.6
        ),
        f"{DEPTH} layers of {UNITS} units, the digits": True,
        f"SGD at {LR} in batches of {BATCH}, ten seeds": len(relu["He"]) == 10,
        "dotted, chance": bool(np.isclose(chance, np.log(10))),
        "For ReLU Xavier lacks the gain √2": bool(np.isclose(PANELS[0].gain, 2**0.5)),
        "LeCun is He with gain 1, and Xavier at constant width": bool(
            PANELS[1].gain == 1
            and np.isclose(kaiming_std(UNITS, gain=1.0), xavier_std(UNITS, UNITS))
        ),
    }


class Spectrum(NamedTuple):
    """Singular values of a product by depth, shape (seeds, depth): extremes, share below 1/10."""

    smallest: Values
    largest: Values
    flattened: Values


@kept
def spectrum(rule: str, n: int = 64, depth: int = LAYERS) -> Spectrum:
    """Return the extreme singular values of linear networks without activation."""
    networks = draw(
        (n,) * (depth + 1), activation=torch.clone, init=rule, gain=1.0, bias=False, seeds=10
    )
    rows = []
    for layers in range(1, depth + 1):
        shorter = networks._replace(
            widths=(n,) * (layers + 1), theta=networks.theta[:, : layers * n * n]
        )
        values = np.linalg.svd(jacobian(shorter, np.ones(n)), compute_uv=False)
        rows.append((values[:, -1], values[:, 0], (values < 0.1).mean(axis=1)))
    smallest, largest, flattened = np.asarray(rows).transpose(1, 2, 0)
    return Spectrum(smallest, largest, flattened)


def products() -> Figure:
    """Draw the extreme singular values of a linear network by depth."""
    figure, axis = plt.subplots(figsize=(6.2, 3.5))
    layers = np.arange(1.0, LAYERS + 1)
    for name, rule in (("Xavier", "xavier"), ("orthogonal", "orthogonal")):
        data = spectrum(rule)
        band(axis, layers, data.largest, f"{name}, largest", COLOURS[name])
        band(axis, layers, data.smallest, f"{name}, smallest", COLOURS[name], "--")
    axis.set(yscale="log", ylim=(1e-12, 1e2), xlabel="layers", ylabel="singular value")
    axis.set_title("product of 64 × 64 weights")
    axis.legend()
    return figure


def products_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    gaussian, orthogonal = spectrum("xavier"), spectrum("orthogonal")
    ones = bool(np.allclose(orthogonal.smallest, 1) and np.allclose(orthogonal.largest, 1))
    return {
        "both stay at 1 for orthogonal weights": ones,
        "for Xavier the largest grows above 3": bool((gaussian.largest[:, -1] > 3).all()),
        "the smallest falls below 1e-12": bool((gaussian.smallest[:, -1] < 1e-12).all()),
        "Right on average is not right for each direction": bool(
            (gaussian.smallest[:, -1] < 1e-6 * gaussian.largest[:, -1]).all()
        ),
        "A product of square Xavier matrices flattens most of them": bool(
            (gaussian.flattened[:, -1] > 0.5).all()
        ),
        "of square orthogonal ones none": ones,
    }


NARROW, WIDE, CHAIN = 64, 256, 16
RULES = {"fan-in": "C1", "fan-out": "C2", "Xavier": "C0", "geometric": "C4"}


class Chain(NamedTuple):
    """Mean squares by layer, first layer first, shape (seeds, layers + 1)."""

    signal: Values
    gradient: Values


def chain_std(rule: str, fan_in: int, fan_out: int) -> float:
    """Return the standard deviation of a weight by the rule of that name, for linear layers."""
    if rule == "Xavier":
        return xavier_std(fan_in, fan_out)
    fan = {"fan-in": fan_in, "fan-out": fan_out, "geometric": (fan_in * fan_out) ** 0.5}[rule]
    return kaiming_std(fan, gain=1.0)


@kept
def chain(rule: str, seeds: int = 10) -> Chain:
    """Send signals and gradients through linear layers that alternate between two widths."""
    rng = np.random.default_rng(0)
    widths = [NARROW, WIDE] * (CHAIN // 2) + [NARROW]
    weights = [
        scaled_normal(np.zeros((seeds, o, i)), std=chain_std(rule, i, o), generator=rng)
        for i, o in pairwise(widths)
    ]
    h, g = rng.normal(size=(seeds, NARROW, 1)), rng.normal(size=(seeds, NARROW, 1))
    signal, gradient = [second_moment(h[..., 0])], [second_moment(g[..., 0])]
    for weight in weights:
        h = weight @ h
        signal.append(second_moment(h[..., 0]))
    for weight in weights[::-1]:
        g = weight.swapaxes(1, 2) @ g
        gradient.append(second_moment(g[..., 0]))
    return Chain(np.stack(signal, axis=1), np.stack(gradient[::-1], axis=1))


def changing_widths() -> Figure:
    """Draw signal and gradient by layer where the width changes at every layer."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.6), sharey=True)
    layers = np.arange(CHAIN + 1.0)
    for rule, colour in RULES.items():
        for axis, rows in zip(axes, chain(rule), strict=True):
            band(axis, layers, rows, rule, colour)
    axes[0].set(yscale="log", xlabel="layer", ylabel="mean square", title="signal, left to right")
    axes[1].set(xlabel="layer", title="gradient, right to left")
    axes[0].legend(ncols=2)
    return figure


def changing_widths_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    ends = {rule: (chain(rule).signal[:, -1], chain(rule).gradient[:, 0]) for rule in RULES}
    forth, back = (np.median(rows, axis=0) for rows in chain("fan-in"))
    there, again = (np.median(rows, axis=0) for rows in chain("fan-out"))
    ratio = WIDE / NARROW
    back_home = all(
        bool(0.2 < np.median(rows) < 5) for rule in RULES if rule != "Xavier" for rows in ends[rule]
    )
    return {
        f"{CHAIN} layers of alternating widths": len(forth) == CHAIN + 1,
        "Xavier falls below a tenth in both panels": all(
            bool(np.median(rows) < 0.1) for rows in ends["Xavier"]
        ),
        "Fan-in is level forwards and swings between two values backwards": bool(
            forth.max() < ratio * forth.min() and back.max() > ratio * back.min() / 1.3
        ),
        "fan-out the reverse": bool(
            again.max() < ratio * again.min() and there.max() > ratio * there.min() / 1.3
        ),
        f"Linear layers that alternate between {NARROW} and {WIDE} units, ten seeds": len(
            ends["Xavier"][0]
        )
        == 10,
        "Only Xavier drifts": back_home,
        "the other rules swing and come back": back_home and bool(back.max() > 2 * back.min()),
    }
