"""Figures of the page on Xavier, He and orthogonal initialization."""

from functools import cache
from itertools import pairwise
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor

from dlkb.initialization.signal_scale import second_moment
from dlkb.initialization.xavier import (
    kaiming_std,
    leaky_relu_gain,
    orthogonalize,
    scaled_normal,
    scaled_uniform,
    xavier_std,
)

Values = NDArray[np.float64]

COLOURS = {"PyTorch": "C5", "Xavier": "C0", "He": "C1", "LeCun": "C1", "orthogonal": "C2"}


class Panel(NamedTuple):
    """What is trained in one panel: activation, its gain, the rules that are compared."""

    activation: str
    gain: float
    rules: tuple[str, ...]


PANELS = (
    Panel("relu", leaky_relu_gain(), ("PyTorch", "Xavier", "He", "orthogonal")),
    Panel("tanh", 1.0, ("PyTorch", "LeCun", "orthogonal")),
)
SEEDS, LAYERS, UNITS, STEPS = 10, 20, 32, 150


def draw(rule: str, fan_in: int, fan_out: int, gain: float, rng: np.random.Generator) -> Values:
    """Draw a weight (out, in) by the rule of that name."""
    like = np.zeros((fan_out, fan_in))
    if rule == "PyTorch":
        return scaled_uniform(like, std=kaiming_std(fan_in, gain=3**-0.5), generator=rng)
    if rule == "Xavier":
        return scaled_normal(like, std=xavier_std(fan_in, fan_out), generator=rng)
    if rule in ("He", "LeCun"):
        return scaled_normal(like, std=kaiming_std(fan_in, gain=gain), generator=rng)
    return orthogonalize(rng.normal(size=like.shape), gain=gain)


@cache
def losses(rule: str, activation: str, gain: float) -> Values:
    """Train deep networks on the digits, all seeds at once; return losses, (seeds, steps)."""
    features, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(labels))
    features = (features[order] - features.mean()) / features.std()
    x, y = torch.tensor(features, dtype=torch.float32), torch.tensor(labels[order])
    sizes = [64, *[UNITS] * LAYERS, 10]
    weights: list[Tensor] = []
    for fan_in, fan_out in pairwise(sizes):
        g = gain if fan_out != 10 else 1.0
        stack = np.stack([draw(rule, fan_in, fan_out, g, rng).T for _ in range(SEEDS)])
        weights.append(torch.tensor(stack, dtype=torch.float32, requires_grad=True))
    rows = []
    for _ in range(STEPS):
        batch = torch.tensor(rng.integers(0, 1200, size=(SEEDS, 64)))
        h = x[batch]
        for weight in weights[:-1]:
            h = getattr(torch, activation)(h @ weight)
        log_p = (h @ weights[-1]).log_softmax(-1)
        loss = -log_p.gather(-1, y[batch][..., None]).mean((1, 2))
        rows.append(loss.detach().numpy())
        gradients = torch.autograd.grad(loss.sum(), weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= 0.05 * gradient
    return np.stack(rows, axis=1).astype(np.float64)


def digits() -> Figure:
    """Draw the training loss of deep networks for each initialization."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.6), sharey=True)
    steps = np.arange(STEPS)
    for axis, panel in zip(axes, PANELS, strict=True):
        for rule in panel.rules:
            low, middle, high = np.percentile(
                losses(rule, panel.activation, panel.gain), [5, 50, 95], axis=0
            )
            axis.fill_between(steps, low, high, color=COLOURS[rule], alpha=0.25, linewidth=0)
            axis.plot(steps, middle, color=COLOURS[rule], lw=1.5, label=rule)
        axis.axhline(np.log(10), color=plt.rcParams["text.color"], lw=1, ls=":")
        axis.set(title=f"{LAYERS} {panel.activation} layers", xlabel="step")
        axis.legend(loc="lower left")
    axes[0].set(ylabel="training loss", ylim=(0, 3))
    return figure


@cache
def angles(corrected: bool, n: int = 4, draws: int = 4000) -> Values:
    """Return the angles of the eigenvalues of random orthogonal matrices, n for each draw."""
    z = np.random.default_rng(0).normal(size=(draws, n, n))
    matrices = [orthogonalize(one) if corrected else np.linalg.qr(one)[0] for one in z]
    return np.angle(np.linalg.eigvals(np.stack(matrices)))


def haar() -> Figure:
    """Draw the distribution of the eigenvalues' angles with and without the correction of signs."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.2), sharey=True)
    for axis, corrected in zip(axes, (False, True), strict=True):
        bins = np.linspace(-180, 180, 37)
        axis.hist(np.degrees(angles(corrected).ravel()), bins, density=True, color="C0")
        axis.set(xlabel="angle of the eigenvalue (degrees)", xticks=[-180, -90, 0, 90, 180])
        axis.set_title("signs corrected" if corrected else "Q of QR as it comes")
    axes[0].set(ylabel="density", yticks=[])
    return figure


class Spectrum(NamedTuple):
    """Smallest and largest singular value of a product by depth, shape (seeds, depth)."""

    smallest: Values
    largest: Values


@cache
def spectrum(rule: str, n: int = 64, depth: int = 30, seeds: int = 10) -> Spectrum:
    """Return the extreme singular values of products of fresh weight matrices."""
    rng = np.random.default_rng(0)
    product = np.broadcast_to(np.eye(n), (seeds, n, n))
    rows = []
    for _ in range(depth):
        layer = np.stack([draw(rule, n, n, 1.0, rng) for _ in range(seeds)])
        product = layer @ product
        values = np.linalg.svd(product, compute_uv=False)
        rows.append(values[:, [-1, 0]])
    both = np.stack(rows, axis=1)
    return Spectrum(both[..., 0], both[..., 1])


def products() -> Figure:
    """Draw the extreme singular values of a linear network by depth."""
    figure, axis = plt.subplots()
    layers = np.arange(1, 31)
    for rule in ("Xavier", "orthogonal"):
        data = spectrum(rule)
        for values, style in ((data.largest, "-"), (data.smallest, "--")):
            low, middle, high = np.percentile(values, [5, 50, 95], axis=0)
            axis.fill_between(layers, low, high, color=COLOURS[rule], alpha=0.25, linewidth=0)
            name = "largest" if style == "-" else "smallest"
            axis.plot(layers, middle, color=COLOURS[rule], ls=style, label=f"{rule}, {name}")
    axis.set(yscale="log", ylim=(1e-12, 1e2), xlabel="layers", ylabel="singular value")
    axis.set_title("product of 64 × 64 weights")
    axis.legend()
    return figure


NARROW, WIDE, CHAIN = 64, 256, 16
RULES = ("fan-in", "fan-out", "Xavier", "geometric")


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


@cache
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
    layers = np.arange(CHAIN + 1)
    for rule, colour in zip(RULES, ("C1", "C2", "C0", "C4"), strict=True):
        for axis, rows in zip(axes, chain(rule), strict=True):
            low, middle, high = np.percentile(rows, [5, 50, 95], axis=0)
            axis.fill_between(layers, low, high, color=colour, alpha=0.15, linewidth=0)
            axis.plot(layers, middle, color=colour, lw=1.5, label=rule)
    axes[0].set(yscale="log", xlabel="layer", ylabel="mean square", title="signal, left to right")
    axes[1].set(xlabel="layer", title="gradient, right to left")
    axes[0].legend(ncols=2)
    return figure
