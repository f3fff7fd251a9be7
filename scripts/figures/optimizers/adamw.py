"""Figures of the page on AdamW."""

from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from dlkb.optimizers.adam import adam, adam_init
from dlkb.optimizers.adamw import adamw

Vector = NDArray[np.float64]
Rule = Callable[..., Any]


def half_life(rule: Rule, scale: float, *, lr: float = 0.01, weight_decay: float = 0.1) -> int:
    """Return the step at which the mean of 400 weights under pure noise falls below one half.

    All start at 1; the gradients of the loss are N(0, scale²).
    """
    rng = np.random.default_rng(0)
    theta = np.ones(400)
    state = adam_init(theta)._replace(step=0)
    step = 0
    while theta.mean() > 0.5:
        grad = scale * rng.normal(size=400)
        theta, state = rule(theta, grad, state, lr=lr, weight_decay=weight_decay)
        step += 1
    return step


class HalfLives(NamedTuple):
    """Half-lives in steps, for noise of several sizes.

    Attributes:
        scale: Standard deviations of the gradient.
        coupled: Adam with the penalty in the gradient.
        decoupled: AdamW.
        rate: The product ηλ of both.
        lr: The learning rate of both.
    """

    scale: Vector
    coupled: Vector
    decoupled: Vector
    rate: float
    lr: float


def half_lives() -> HalfLives:
    """Measure the half-life under both rules."""
    scale = 10.0 ** np.arange(-3, 0.6, 0.5)
    coupled, decoupled = ([half_life(rule, s) for s in scale] for rule in (adam, adamw))
    return HalfLives(scale, np.asarray(coupled), np.asarray(decoupled), 0.01 * 0.1, 0.01)


def decay_times() -> Figure:
    """Draw how long a weight lives, against the size of its gradient."""
    data = half_lives()
    figure, ax = plt.subplots()
    ax.plot(data.scale, np.full_like(data.scale, np.log(2) / data.rate), color="C0")
    ax.plot(data.scale, np.log(2) / data.rate * data.scale, color="C1", linestyle="--", lw=1.2)
    ax.axhline(0.5 / data.lr, color="C1", linestyle=":", linewidth=1.2)
    ax.plot(data.scale, data.decoupled, "o", color="C0")
    ax.plot(data.scale, data.coupled, "o-", color="C1")
    ax.text(0.0011, 800, "decoupled (AdamW)", color="C0")
    ax.text(0.0011, 105, "coupled (Adam): a step of size lr", color="C1")
    ax.text(1.4, 1500, "∝ gradient", color="C1", ha="right")
    ax.set(
        xscale="log",
        yscale="log",
        ylim=(25, 4e3),
        xlabel="size of the gradient (standard deviation)",
        ylabel="half-life in steps",
    )
    return figure


class Networks(NamedTuple):
    """Ten trained networks, described by their first layer; shape (seeds, pixels) or (seeds,).

    Attributes:
        weight: Root mean square of the weights that leave a pixel, at the end.
        grad: Root mean square of their gradients, over the whole training.
        error: Share of test images that are misread.
    """

    weight: Vector
    grad: Vector
    error: Vector


def train_digits(rule: Rule, weight_decay: float, *, seeds: int = 10, hidden: int = 16) -> Networks:
    """Train two-layer networks on the digits, one a seed: lr 0.01, 400 steps, batches of 64."""
    x, y = load_digits(return_X_y=True)
    x, one_hot = x / 16, np.eye(10)[y]
    rng = np.random.default_rng(1)
    weights = [
        rng.normal(size=(seeds, 64, hidden)) * (2 / 64) ** 0.5,
        rng.normal(size=(seeds, hidden, 10)) * (1 / hidden) ** 0.5,
    ]
    states = [adam_init(w)._replace(step=0) for w in weights]
    squares = np.zeros((seeds, 64, hidden))
    for _ in range(400):
        rows = rng.integers(0, 1200, size=(seeds, 64))
        h = np.maximum(x[rows] @ weights[0], 0)
        p = np.exp(h @ weights[1])
        d_out = (p / p.sum(-1, keepdims=True) - one_hot[rows]) / 64
        d_hidden = (d_out @ weights[1].swapaxes(1, 2)) * (h > 0)
        grads = [x[rows].swapaxes(1, 2) @ d_hidden, h.swapaxes(1, 2) @ d_out]
        squares += grads[0] ** 2 / 400
        for i, grad in enumerate(grads):
            weights[i], states[i] = rule(
                weights[i], grad, states[i], lr=0.01, weight_decay=weight_decay
            )
    guess = (np.maximum(x[1200:] @ weights[0], 0) @ weights[1]).argmax(-1)
    return Networks(
        np.sqrt((weights[0] ** 2).mean(-1)),
        np.sqrt(squares.mean(-1)),
        (guess != y[1200:]).mean(-1),
    )


class Shrinkage(NamedTuple):
    """What decay does to the weights of each pixel, sorted by the pixel's gradient.

    Attributes:
        grad: Size of the gradient without decay, mean over the seeds, per pixel.
        coupled: Size of the weights with decay over that without, (seeds, pixels): Adam.
        decoupled: The same for AdamW.
        errors: Test errors of each seed without decay, coupled and decoupled.
    """

    grad: Vector
    coupled: Vector
    decoupled: Vector
    errors: tuple[Vector, Vector, Vector]


def shrinkage() -> Shrinkage:
    """Train with no decay, a penalty in Adam, and AdamW; strengths chosen for equal error."""
    plain = train_digits(adamw, 0.0)
    coupled, decoupled = train_digits(adam, 1e-3), train_digits(adamw, 0.1)
    order = np.argsort(plain.grad.mean(0))
    return Shrinkage(
        plain.grad.mean(0)[order],
        (coupled.weight / plain.weight)[:, order],
        (decoupled.weight / plain.weight)[:, order],
        (plain.error, coupled.error, decoupled.error),
    )


def digits() -> Figure:
    """Draw how much each pixel's weights shrink, against the size of their gradients."""
    data = shrinkage()
    figure, ax = plt.subplots()
    seen = data.grad > 0
    for ratio, name, color, at in (
        (data.decoupled, "decoupled (AdamW)", "C0", (4e-5, 0.97)),
        (data.coupled, "coupled (Adam)", "C1", (3e-4, 0.1)),
    ):
        low, high = ratio.min(0)[seen], ratio.max(0)[seen]
        ax.vlines(data.grad[seen], low, high, color=color, alpha=0.35, linewidth=1.5)
        ax.plot(data.grad[seen], ratio.mean(0)[seen], "o", color=color, markersize=4)
        ax.text(*at, name, color=color)
    ax.set(
        xscale="log",
        ylim=(0, 1.1),
        xlabel="size of the gradient of a pixel’s weights",
        ylabel="size of the weights\nwith decay / without",
    )
    return figure


CURVATURE = np.asarray([[1.0, 0.4], [0.4, 0.5]])
MINIMUM = np.asarray([3.0, 0.5])


def descend(rule: Rule, *, weight_decay: float = 0.4, steps: int = 6000) -> Vector:
    """Minimize a quadratic with its exact gradient from zero; return the path.

    The gradient is CURVATURE (θ − MINIMUM), the learning rate 0.2/√t, β₂ = 0.99.
    """
    theta = np.zeros(2)
    state = adam_init(theta)._replace(step=0)
    path = [theta]
    for t in range(1, steps + 1):
        grad = CURVATURE @ (theta - MINIMUM)
        options = {"lr": 0.2 / t**0.5, "betas": (0.9, 0.99), "weight_decay": weight_decay}
        theta, state = rule(theta, grad, state, **options)
        path.append(theta)
    return np.asarray(path)


def box() -> Figure:
    """Draw where a penalty and a decay lead on one quadratic, for λ = 0.4."""
    figure, ax = plt.subplots(figsize=(6.2, 4.2))
    x, y = np.meshgrid(np.linspace(-0.4, 4.0, 120), np.linspace(-0.6, 2.3, 120))
    d = np.stack([x, y], -1) - MINIMUM
    loss = 0.5 * np.einsum("...i,ij,...j", d, CURVATURE, d)
    ax.contour(x, y, loss, levels=[0.05, 0.2, 0.5, 1, 2, 3.5], cmap="cividis", linewidths=0.8)
    ax.add_patch(Rectangle((-2.5, -2.5), 5, 5, fill=False, edgecolor="C0", linestyle="--"))
    ax.text(2.45, 2.1, "|θ| ≤ 1/λ", color="C0", ha="right")
    for rule, name, color, at in ((adamw, "AdamW", "C0", (8, 6)), (adam, "Adam", "C1", (-8, -17))):
        path = descend(rule)
        ax.plot(*path.T, color=color)
        ax.plot(*path[-1], "o", color=color)
        ax.annotate(name, path[-1], textcoords="offset points", xytext=at, color=color)
    ax.plot(*MINIMUM, "x", color="C2", markersize=8, markeredgewidth=2)
    ax.annotate("minimum", MINIMUM, textcoords="offset points", xytext=(4, 8), color="C2")
    ax.set(xlim=(-0.4, 4.0), ylim=(-0.6, 2.3), xlabel="θ₁", ylabel="θ₂")
    return figure
