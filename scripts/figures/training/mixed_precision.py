"""Figures of the page on mixed precision."""

from functools import partial
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray
from torch import Tensor

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import digits
from dlkb.experiments.networks import draw, forward
from dlkb.experiments.rules import Rule, adam_rule
from dlkb.experiments.scores import cross_entropy
from dlkb.experiments.training import train
from dlkb.training.float_formats import (
    BFLOAT16,
    FLOAT8_E4M3,
    FLOAT16,
    FloatFormat,
    limits,
    round_to,
    stochastic_round,
)
from dlkb.training.mixed_precision import zero_bytes
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Vector = NDArray[np.float64]

FORMATS = {4: FLOAT8_E4M3, 5: FLOAT16, 8: BFLOAT16}
"""By the bits of their exponents."""
NAMES = {4: "float8 (E4M3)", 5: "float16", 8: "bfloat16"}
EDGES = np.arange(-64.0, 33.0, 2.0)
"""Of the bins, as powers of two."""


@kept
def activation_gradients() -> Vector:
    """Return the sizes of the gradients at hidden units of ten trained networks, zeros left out."""
    data = digits()
    rule, start = adam_rule(lr=0.01), draw((64, 32, 10), seeds=10)
    networks = train(start, data, rule=rule, steps=400, batch=32).networks
    theta = networks.theta.detach().requires_grad_()
    x, y = torch.tensor(data.x_train), torch.tensor(data.y_train)
    hidden, outputs = forward(networks._replace(theta=theta), x)
    (grad,) = torch.autograd.grad(cross_entropy(outputs, y).sum(), hidden)
    sizes = np.abs(grad.numpy()).ravel()
    return sizes[sizes > 0]


class Fates(NamedTuple):
    """What becomes of scaled gradients in a format, in percent for each bin.

    Attributes:
        zero: Rounded to zero.
        kept: Finite and not zero.
        infinite: Beyond the largest number.
    """

    zero: Vector
    kept: Vector
    infinite: Vector


@kept
def fates(power: float, exponent: float) -> Fates:
    """Scale the gradients by a power of two and round them to the format."""
    scaled = activation_gradients() * 2.0**power
    rounded = round_to(scaled, to=FORMATS[int(exponent)])
    groups = (rounded == 0, np.isfinite(rounded) & (rounded != 0), ~np.isfinite(rounded))
    counts = [np.histogram(np.log2(scaled[rows]), EDGES)[0] for rows in groups]
    return Fates(*(100 * count / scaled.size for count in counts))


def stairs(shares: Vector) -> NDArray[np.float64]:
    """Return the corners of a histogram."""
    x, y = np.repeat(EDGES, 2), np.concatenate([[0], np.repeat(shares, 2), [0]])
    return np.stack([x, y], axis=1)


def window(exponent: float) -> Vector:
    """Return between which powers of two a format holds numbers."""
    found = limits(FORMATS[int(exponent)])
    return np.log2([found.smallest / 2, found.largest])


def gradient_window() -> Explorable:
    """Draw the sizes of gradients, and which of them a format can hold."""
    figure, ax = plt.subplots(figsize=(6.6, 3.0))
    ax.set(xlim=(-52, 32), ylim=(0, 20), xticks=range(-45, 31, 15))
    ax.set_xticklabels([f"$2^{{{power}}}$" for power in range(-45, 31, 15)])
    ax.set(xlabel="size of the scaled gradient", ylabel="% of the gradients")
    shapes = []
    for name, color in (("zero", "C1"), ("kept", "C0"), ("infinite", "C3")):
        shape = Polygon(np.zeros((3, 2)), closed=True, facecolor=color, linewidth=0, label=name)
        shapes.append(ax.add_patch(shape))
    edge = plt.rcParams["axes.edgecolor"]
    (low,) = ax.plot([], [], color=edge, linestyle="--", linewidth=1)
    (high,) = ax.plot([], [], color=edge, linestyle="--", linewidth=1)
    ax.legend(handles=shapes, loc="upper left")

    def show(power: float, exponent: float) -> str:
        data = fates(power, exponent)
        for shape, shares in zip(shapes, data, strict=True):
            shape.set_xy(stairs(shares))
        for line, x in zip((low, high), window(exponent), strict=True):
            line.set_data([x, x], [0, 20])
        return (
            f"{NAMES[int(exponent)]}, loss times 2^{power:g}: {data.zero.sum():.1f} % of the "
            f"gradients become zero, {data.infinite.sum():.1f} % are too large."
        )

    sliders = (
        Slider("loss scale: 2 to the", (0, 4, 8, 12, 16, 20, 24, 28), 0),
        Slider("exponent bits", (4, 5, 8), 1),
    )
    return Explorable(figure, sliders, (*shapes, low, high), show)


def gradient_window_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    plain, scaled = fates(0, 5), fates(8, 5)
    examples, few = len(digits().y_train), 32
    of_few = round_to(activation_gradients() * (examples / few), to=FLOAT16)
    return {
        "Sizes of the gradients at hidden units of ten networks that have learned the digits, over "
        "more than ten powers of two": bool(
            np.ptp(np.percentile(np.log2(activation_gradients()), [5, 95])) > 10
        ),
        f"the loss is the mean over {examples} examples": True,
        "exact zeros are left out": bool((activation_gradients() > 0).all()),
        f"In a batch of {few}, {100 * (of_few == 0).mean():.1f} % are zero in float16 without "
        "it": True,
        f"Without a loss scale {plain.zero.sum():.0f} % of them are zero in float16": True,
        f"At a loss scale of {2**8} {scaled.zero.sum():.1f} % are zero": True,
        "none is too large": bool(scaled.infinite.sum() == 0),
        "A loss scale moves gradients into the window of float16; bfloat16 needs none": bool(
            fates(0, 8).zero.sum() == 0 and scaled.zero.sum() < 0.1 * plain.zero.sum()
        ),
    }


def rounded_rule(rule: Rule, to: FloatFormat, *, stochastic: bool) -> Rule:
    """Round the parameters after each step; all else stays exact."""
    rng = np.random.default_rng(0)

    def step(theta: Tensor, grad: Tensor, state: Any) -> tuple[Tensor, Any]:
        new, state = rule.step(theta, grad, state)
        if stochastic:
            u = torch.tensor(rng.random(new.shape))
            return stochastic_round(new, u, to=to), state
        return round_to(new, to=to), state

    return Rule(rule.start, step)


STEPS, SMOOTH = 300, 20
RULES = {
    "exact": None,
    "bfloat16, stochastic": True,
    "bfloat16, to nearest": False,
}


@kept
def lost_data() -> dict[str, Vector]:
    """Return training losses (seeds, steps), smoothed, under Adam at a rate of 0.001."""
    found = {}
    for name, stochastic in RULES.items():
        rule = adam_rule(lr=1e-3)
        if stochastic is not None:
            rule = rounded_rule(rule, BFLOAT16, stochastic=stochastic)
        run = train(draw((64, 16, 10), seeds=10), digits(), rule=rule, steps=STEPS, batch=32)
        mean = partial(np.convolve, np.full(SMOOTH, 1 / SMOOTH), mode="valid")
        found[name] = np.stack([mean(loss) for loss in run.loss])
    return found


def lost_updates() -> Figure:
    """Draw training with weights that are rounded, and with exact ones."""
    figure, ax = plt.subplots(figsize=(6.2, 3.0))
    steps = np.arange(SMOOTH, STEPS + 1)
    colors = {"exact": "C2", "bfloat16, stochastic": "C0", "bfloat16, to nearest": "C1"}
    for name, losses in lost_data().items():
        color = colors[name]
        dashed = "--" if name == "bfloat16, stochastic" else "-"
        if name != "bfloat16, stochastic":
            ax.fill_between(
                steps, losses.min(0), losses.max(0), color=color, alpha=0.2, label=f"all {name}"
            )
        ax.plot(steps, np.median(losses, 0), color=color, linestyle=dashed, label=name)
    ax.set(xlim=(0, STEPS), ylim=(0, 2.6), xlabel="step", ylabel="training loss")
    ax.legend(handles=list(ax.lines), loc="lower left")
    return figure


def only_weights_are_rounded() -> bool:
    """Say whether a rounded step is the exact one, rounded, with the exact state."""
    exact, rng = adam_rule(lr=1e-3), np.random.default_rng(1)
    rule = rounded_rule(exact, BFLOAT16, stochastic=False)
    theta, grad = (torch.tensor(rng.normal(size=(2, 5))) for _ in "tg")
    new, state = exact.step(theta, grad, exact.start(theta))
    rounded, same = rule.step(theta, grad, rule.start(theta))
    return bool(
        torch.equal(rounded, round_to(new, to=BFLOAT16))
        and torch.equal(state.m, same.m)
        and torch.equal(state.v, same.v)
    )


def lost_updates_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = lost_data()
    exact, noisy, nearest = (data[name][:, -1] for name in RULES)
    return {
        "Ten networks on the digits under Adam at a rate of 0.001": len(exact) == 10,
        f"after 300 steps the median training loss is {np.median(exact):.2f} with exact "
        "weights": STEPS == 300,
        f"{np.median(noisy):.2f} with stochastic rounding to bfloat16": True,
        f"{np.median(nearest):.2f} with rounding to nearest": True,
        "Gradients are exact, only the weights are rounded": only_weights_are_rounded(),
        "to nearest, steps are lost and all ten fall behind": bool((nearest > exact).all()),
        "at random, they count on average": bool(np.abs(noisy - exact).max() < 0.05),
    }


PARAMS = 7.5e9
PROCESSES = 2 ** np.arange(0, 8)


def zero_data() -> dict[str, Vector]:
    """Return GB in each process, for the stages of ZeRO."""
    names = ("no sharing", "ZeRO-1", "ZeRO-2", "ZeRO-3")
    return {
        name: np.asarray([zero_bytes(PARAMS, stage=s, processes=int(n)) / 1e9 for n in PROCESSES])
        for s, name in enumerate(names)
    }


def zero_memory() -> Figure:
    """Draw the memory of the training state against the number of processes."""
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
    for color, at, offset, (name, size) in zip(
        ("C3", "C1", "C2", "C0"),
        (4, 4, 5, 4),
        ((0, 5), (0, 5), (0, -15), (4, 4)),
        zero_data().items(),
        strict=True,
    ):
        (line,) = ax.plot(PROCESSES, size, "o-", color=color)
        label_line(ax, line, name, at, offset=offset)
    ax.set(xscale="log", yscale="log", ylim=(0.8, 200), xticks=PROCESSES, yticks=[1, 10, 100])
    ax.set_xticklabels([str(n) for n in PROCESSES])
    ax.set_yticklabels(["1", "10", "100"])
    ax.minorticks_off()
    ax.set(xlabel="processes", ylabel="GB in each")
    return figure


def zero_memory_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    plain, one, two, three = zero_data().values()
    at = int(np.flatnonzero(PROCESSES == 64)[0])
    return {
        f"For 7.5 billion parameters {plain[0]:.0f} GB without sharing": PARAMS == 7.5e9,
        f"on 64 processes {one[at]:.1f}, {two[at]:.1f} and {three[at]:.1f} GB under the stages 1, "
        "2 and 3": True,
        "Stages 1 and 2 level off at what each process keeps whole, 4 and 2 bytes a "
        "parameter": bool(one[-1] < 4.2 * PARAMS / 1e9 and two[-1] < 2.3 * PARAMS / 1e9),
        "stage 3 goes on": bool(np.allclose(three * PROCESSES, plain[0])),
    }
