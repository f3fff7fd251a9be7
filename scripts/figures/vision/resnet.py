"""Figures of the page on residual networks."""

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import digits
from dlkb.experiments.networks import draw
from dlkb.experiments.rules import sgd_rule
from dlkb.experiments.signals import propagate
from dlkb.experiments.training import Run, train
from dlkb.vision.resnet import gradient_growth
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Array = NDArray[np.float64]
SEEDS, WIDTH = 10, 32
DEPTHS = (8, 16, 32)
SCALES = (1.0, 2**0.5, 2.0)
START = (2, 1)
CHI = math.pi / (math.pi - 1)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "skips": {"skip": 1.0},
    "plain, batch norm": {"norm": "batch"},
    "skips, batch norm": {"skip": 1.0, "norm": "batch"},
}


@kept
def gradients(kind: str, depth: int, scale: float) -> Array:
    """Return the gradient's norm, over that at the last hidden layer, shape (seeds, layers).

    Layers are counted from the last one back: the first column is 1.
    """
    torch.set_num_threads(1)
    x = np.random.default_rng(1000).normal(size=(64, WIDTH))
    networks = draw(
        (WIDTH,) * (depth + 1) + (10,), gain=scale, bias=False, seeds=SEEDS, **KINDS[kind]
    )
    back = np.sqrt(propagate(networks, x).gradient[:, depth - 1 :: -1])
    return back / back[:, :1]


def median(kind: str, depth: int, scale: float) -> Array:
    """Return the medians that are drawn; batch norm undoes the scale, so that it is not varied."""
    scale = 2**0.5 if "norm" in kind else scale
    return np.median(gradients(kind, depth, scale), axis=0)


def law(depth: int) -> Array:
    """Return what the closed form says of skips with batch norm."""
    growth = [float(gradient_growth(np.asarray(CHI), blocks=blocks)) for blocks in range(depth)]
    return np.sqrt(growth[-1] / np.asarray(growth[::-1]))


def gradient() -> Explorable:
    """Draw how the gradient grows or shrinks on its way back, for four kinds of network."""
    figure, ax = plt.subplots(figsize=(6.4, 3.8))
    ax.set(yscale="log", xlim=(0, 31), ylim=(1e-6, 1e8), xlabel="layers back from the last one")
    ax.set_ylabel("norm of the gradient / at the last")
    ax.axhline(1, color=plt.rcParams["axes.edgecolor"], linewidth=0.8, linestyle=":")
    (closed,) = ax.plot([], [], color=plt.rcParams["text.color"], linestyle="--", linewidth=1)
    closed.set_label("closed form")
    lines = {kind: ax.plot([], [], color=f"C{i}", label=kind)[0] for i, kind in enumerate(KINDS)}
    ax.legend(handles=[*lines.values(), closed], loc="upper left", ncols=2)

    def show(depth: int, scale: float) -> str:
        back = np.arange(depth)
        ends = []
        for kind, line in lines.items():
            y = median(kind, depth, scale)
            line.set_data(back, y)
            ends.append(f"{y[-1]:.2g} ({kind})")
        closed.set_data(back, law(depth))
        return (
            f"Back through {depth} layers the gradient's norm becomes {', '.join(ends)} times "
            "what it was."
        )

    sliders = (
        Slider("layers", DEPTHS, START[0]),
        Slider("scale of the weights σ_w", SCALES, START[1], "{:.2f}"),
    )
    return Explorable(figure, sliders, (*lines.values(), closed), show)


def gradient_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    depth, scale = DEPTHS[START[0]], SCALES[START[1]]
    ends = {kind: median(kind, depth, scale)[-1] for kind in KINDS}
    grown = {kind: {d: [median(kind, d, s)[-1] for s in SCALES] for d in DEPTHS} for kind in KINDS}
    both = "skips, batch norm"
    return {
        f"The gradient's norm on its way back through {depth} layers, logarithmic": True,
        f"plain with batch norm it grows {ends['plain, batch norm']:.0f}-fold": bool(
            (gradients("plain, batch norm", depth, scale)[:, -1] > 200).all()
        ),
        f"with skips alone {ends['skips']:.0f}-fold": bool(ends["skips"] > 1e4),
        f"with both it grows {ends[both]:.0f}-fold, along the dashed closed form": bool(
            np.allclose(median(both, depth, scale), law(depth), rtol=0.2)
        ),
        f"plain without batch norm it shrinks to {ends['plain']:.1f}": bool(ends["plain"] < 1),
        f"Untrained ReLU layers of width {WIDTH}, medians of {SEEDS} networks": True,
        "With skips or batch norm alone the gradient grows exponentially with depth, with both "
        "together like a power": all(
            grown[kind][32][1] > 20 * grown[kind][16][1] for kind in ("skips", "plain, batch norm")
        )
        and bool(grown[both][32][1] < 2 * grown[both][16][1]),
    }


LAYERS = (3, 6, 12, 24)
LR = 0.1


@kept
def trained(depth: int, skip: float, lr: float = LR, steps: int = 40, seeds: int = SEEDS) -> Run:
    """Train networks with batch norm on 400 digits."""
    torch.set_num_threads(1)
    data = digits(train=400, test=400, seeds=seeds, dtype="float32")
    widths = (64,) + (WIDTH,) * depth + (10,)
    start = draw(widths, norm="batch", skip=skip, seeds=seeds, dtype="float32")
    return train(start, data, rule=sgd_rule(lr=lr), steps=steps, batch=50)


def final_loss(skip: float) -> Array:
    """Return the mean training loss of the last ten steps, shape (depths, seeds)."""
    runs = [trained(depth, skip) for depth in LAYERS]
    return np.stack([run.loss[:, -10:].mean(1) for run in runs])


def degradation() -> Figure:
    """Draw the training loss by depth, with skips and without, both with batch norm."""
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    for skip, name, color, at in ((0.0, "plain", "C2", 2), (1.0, "with skips", "C3", 2)):
        loss = final_loss(skip)
        (line,) = ax.plot(LAYERS, np.median(loss, axis=1), "o-", color=color)
        ax.fill_between(LAYERS, loss.min(1), loss.max(1), color=color, alpha=0.2, lw=0, label=name)
        label_line(ax, line, name, at, offset=(-8, 8), ha="right")
    ax.set(xscale="log", xlabel="hidden layers", ylabel="training loss", ylim=(0, 2.4))
    ax.set_xticks(LAYERS, [str(depth) for depth in LAYERS])
    ax.minorticks_off()
    return figure


def degradation_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    plain, skips = (np.median(final_loss(skip), axis=1) for skip in (0.0, 1.0))
    first = [trained(depth, 0.0).layer_grad_norm[:, 0] for depth in LAYERS]
    return {
        "Training loss after 40 steps by depth: without skips it rises, from about 1 at 3 hidden "
        "layers to about 2 at 24": bool(
            plain[-1] > plain[-2] > max(plain[:2])
            and 0.8 < plain[0] < 1.2
            and 1.8 < plain[-1] < 2.3
        ),
        "with skips it falls, from about 0.5 to about 0.3": bool(
            0.4 < skips[0] < 0.65 and 0.2 < skips[-1] < 0.4
        ),
        f"Digits, width {WIDTH}, batch norm in both, learning rate {LR}, {SEEDS} networks, bands "
        "from the best to the worst": True,
        "Deeper plain networks fit the training set worse, and their gradients have not "
        "vanished": all(bool((g[:, 0] > g[:, -2]).all()) for g in first)
        and bool(final_loss(0.0)[-1].min() > final_loss(0.0)[0].max()),
    }
