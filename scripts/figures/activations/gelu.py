"""Figures of the page on GELU, SiLU and Mish."""

from collections.abc import Callable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dlkb.activations.gelu import gelu, quick_gelu, silu, swish
from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import digits
from dlkb.experiments.networks import Networks, draw, forward
from dlkb.experiments.rules import adam_rule
from dlkb.experiments.training import train
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Vector = NDArray[np.float64]

GRID: Vector = np.linspace(-4.5, 4.5, 181)
FINE: Vector = np.linspace(-10, 10, 200_001)


class Gap(NamedTuple):
    """How a function differs from GELU.

    Attributes:
        values: Its values on `GRID`.
        difference: Its values minus GELU's, on `GRID`.
        largest: The largest difference, found on `FINE`, from 0 on.
        at: The distance from 0 where it is.
    """

    values: Vector
    difference: Vector
    largest: float
    at: float


def gap(beta: float) -> Gap:
    """Compare Swish with GELU."""
    values = swish(GRID, beta=beta)
    right = FINE[FINE >= 0]  # the difference is even
    apart = np.abs(swish(right, beta=beta) - gelu(right))
    return Gap(values, values - gelu(GRID), float(apart.max()), float(right[apart.argmax()]))


def swish_and_gelu() -> Explorable:
    """Draw x σ(βx) beside GELU and ReLU, and how far it is from GELU, for any β."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.4))
    left.plot(GRID, np.maximum(GRID, 0), color="C3", linewidth=1, label="ReLU")
    left.plot(GRID, gelu(GRID), color="C1", label="GELU")
    (curve,) = left.plot([], [], color="C0", label="x σ(βx)")
    left.set(xlim=(-4.5, 4.5), ylim=(-1.2, 4), xlabel="x", title="activation")
    left.legend(loc="upper left")
    edge = plt.rcParams["axes.edgecolor"]
    right.axhline(0, color=edge, linewidth=0.8, zorder=1.8)
    right.plot(GRID, np.maximum(GRID, 0) - gelu(GRID), color="C3", linewidth=1, label="ReLU")
    (difference,) = right.plot([], [], color="C0", label="x σ(βx)")
    right.set(xlim=(-4.5, 4.5), ylim=(-0.6, 0.3), xlabel="x", title="minus GELU")

    def show(beta: float) -> str:
        data = gap(beta)
        curve.set_data(GRID, data.values)
        difference.set_data(GRID, data.difference)
        return (
            f"At β = {beta:g} it differs from GELU by up to {data.largest:.3f}, "
            f"at x = ±{data.at:.2f}."
        )

    betas = (0.5, 0.75, 1.0, 1.25, 1.5, 1.702, 2.0, 3.0, 5.0, 10.0, 25.0)
    return Explorable(figure, (Slider("β", betas, 2),), (curve, difference), show)


def swish_and_gelu_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    one, quick, sharp = gap(1.0), gap(1.702), gap(25.0)
    kink = np.abs(np.maximum(FINE, 0) - gelu(FINE))
    lowest = FINE[silu(FINE).argmin()]
    return {
        "SiLU, GELU and ReLU": bool(np.allclose(one.values, silu(GRID))),
        f"SiLU dips to {silu(FINE).min():.2f} at {lowest:.2f}": bool(lowest < 0),
        f"GELU to {gelu(FINE).min():.2f} at {FINE[gelu(FINE).argmin()]:.2f}": True,
        "ReLU is 0 there": bool(lowest < 0),
        f"SiLU is below GELU by up to {one.largest:.2f}, at ±{one.at:.2f}": bool(
            (one.difference <= 1e-12).all()
        ),
        f"ReLU above it by up to {kink.max():.2f}": bool((np.maximum(GRID, 0) >= gelu(GRID)).all()),
        "at β = 1 it is SiLU": bool(np.allclose(one.values, silu(GRID))),
        f"at 1.702 the sigmoid form of GELU, {quick.largest:.2f} away": bool(
            np.allclose(quick.values, quick_gelu(GRID))
        ),
        "at 25 nearly ReLU": bool(np.abs(sharp.values - np.maximum(GRID, 0)).max() < 0.012),
    }


DISTANCES: Vector = np.linspace(0.02, 6, 300)
APPROXIMATIONS: dict[str, Callable[[Vector], Vector]] = {
    "ReLU": lambda x: np.maximum(x, 0),
    "SiLU": silu,
    "sigmoid": quick_gelu,
    "tanh": lambda x: gelu(x, approximate="tanh"),
}


def errors(x: Vector = DISTANCES) -> dict[str, Vector]:
    """Return how far from GELU each function is, at x and at −x alike."""
    return {name: np.abs(f(x) - gelu(x)) for name, f in APPROXIMATIONS.items()}


def approximations() -> Figure:
    """Draw the error of each form, and of functions that are not GELU."""
    figure, ax = plt.subplots(figsize=(6.2, 3.5))
    places = {"ReLU": (45, 6, "left"), "SiLU": (170, 6, "left"), "sigmoid": (215, 8, "left"),
              "tanh": (135, 6, "center")}  # fmt: skip
    colors = {"ReLU": "C3", "SiLU": "C2", "sigmoid": "C0", "tanh": "C1"}
    for name, error in errors().items():
        (line,) = ax.plot(DISTANCES, error, color=colors[name])
        at, up, ha = places[name]
        label_line(ax, line, name, at, offset=(0, up), ha=ha)
    ax.set(yscale="log", ylim=(1e-7, 1), xlim=(0, 6), xlabel="distance from 0, |x|")
    ax.set(ylabel="|difference from GELU|")
    return figure


def approximations_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    x = np.linspace(0, 10, 100_001)
    found = errors(x)
    peaks = {name: (error.max(), x[error.argmax()]) for name, error in found.items()}
    mirrored = errors(-x)
    even = all(np.allclose(found[name], mirrored[name], atol=1e-12) for name in found)
    beyond = x > 5
    order = [peaks[name][0] for name in ("tanh", "sigmoid", "ReLU", "SiLU")]
    far = [found[name][beyond].max() for name in ("tanh", "sigmoid", "SiLU")]
    return {
        f"The tanh form stays below {5e-4:g}, the sigmoid form below {0.021:g}": bool(
            peaks["tanh"][0] < 5e-4 and peaks["sigmoid"][0] < 0.021
        ),
        f"ReLU peaks at {peaks['ReLU'][0]:.2f} and SiLU at {peaks['SiLU'][0]:.2f}": bool(
            order == sorted(order)
        ),
        "Each curve is the same at x and −x": even,
        "they meet GELU at 0": all(error[0] < 1e-12 for error in found.values()),
        "Beyond 5 SiLU is the farthest": bool(far[2] == max(far)),
    }


DEPTHS = (2, 4, 8)
SWAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "ReLU": torch.relu,
    "SiLU": F.silu,
    "sigmoid": lambda x: x * torch.sigmoid(1.702 * x),
    "tanh": lambda x: F.gelu(x, approximate="tanh"),
}
ROUNDED = "bfloat16"


def trained(depth: int) -> Networks:
    """Train ten residual networks with exact GELU on the digits."""
    widths = (64,) + (24,) * depth + (10,)
    start = draw(widths, activation=F.gelu, norm="layer", skip=1.0, dtype="float32")
    return train(start, digits(), rule=adam_rule(lr=0.01), steps=100, batch=32).networks


@kept
def mismatch(depth: int) -> dict[str, Vector]:
    """Swap the activation after training.

    Returns:
        How much the outputs change, root mean square relative to their own, of ten networks.
    """
    networks = trained(depth)
    x = torch.tensor(digits(dtype="float32").x_test)

    def change(other: Networks) -> Vector:
        with torch.no_grad():
            before, after = forward(networks, x)[-1], forward(other, x)[-1]
        moved = (after - before).square().mean((1, 2)) / before.square().mean((1, 2))
        return np.asarray(moved.sqrt())

    rounded = networks._replace(theta=networks.theta.bfloat16().float())
    swapped = {name: change(networks._replace(activation=f)) for name, f in SWAPS.items()}
    return {**swapped, ROUNDED: change(rounded)}


def swapped() -> Figure:
    """Draw how much a trained network's outputs change with another activation."""
    figure, ax = plt.subplots(figsize=(6.2, 3.5))
    colors = {"ReLU": "C3", "SiLU": "C2", "sigmoid": "C0", "tanh": "C1", ROUNDED: "C4"}
    for i, (name, color) in enumerate(colors.items()):
        rows = np.stack([mismatch(depth)[name] for depth in DEPTHS])
        places = np.arange(len(DEPTHS)) + 0.06 * (i - 2)
        ax.vlines(places, rows.min(1), rows.max(1), color=color, linewidth=2, alpha=0.5)
        (line,) = ax.plot(places, np.median(rows, 1), "o-", color=color, linewidth=1)
        label_line(ax, line, name, -1, offset=(10, {"ReLU": 3, "SiLU": -12}.get(name, -4)))
    ax.set(yscale="log", ylim=(5e-5, 1), xlabel="hidden layers", ylabel="change of the outputs")
    ax.set_xticks(range(len(DEPTHS)), [str(depth) for depth in DEPTHS])
    ax.set_xlim(-0.3, len(DEPTHS) - 0.1)
    return figure


def swapped_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    rows = {name: np.stack([mismatch(d)[name] for d in DEPTHS]) for name in mismatch(DEPTHS[0])}
    seeds = rows["tanh"].shape[1]
    return {
        f"trained with exact GELU at {', '.join(map(str, DEPTHS[:-1]))} and {DEPTHS[-1]} "
        "hidden layers": seeds == 10,
        "The tanh form changes the outputs by less than a thousandth": bool(
            (rows["tanh"] < 0.7e-3).all()
        ),
        "the sigmoid form by about one hundredth": bool(
            ((rows["sigmoid"] > 0.005) & (rows["sigmoid"] < 0.03)).all()
        ),
        "SiLU and ReLU by about a tenth": all(
            bool(((rows[name] > 0.04) & (rows[name] < 0.2)).all()) for name in ("SiLU", "ReLU")
        ),
        "Medians of ten networks, and their range": seeds == 10,
        "Rounding the weights to bfloat16 changes more than the tanh form": bool(
            (rows[ROUNDED].min(1) > rows["tanh"].max(1)).all()
        ),
        "and less than the sigmoid form": bool(
            (rows[ROUNDED].max(1) < rows["sigmoid"].min(1)).all()
        ),
    }
