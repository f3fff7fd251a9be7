"""Figures of the page on AdamW."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import digits as load
from dlkb.experiments.networks import Networks, draw, layers
from dlkb.experiments.rules import adam_rule, trajectory
from dlkb.experiments.training import train
from dlkb.optimizers.adam import adam_init
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]

LR, DECAY = 0.01, 0.1
SCALES = 10.0 ** np.arange(-3, 0.6, 0.5)


@kept
def half_life(decoupled: bool, lr: float, weight_decay: float) -> Vector:
    """Return after how many steps weights under pure noise have halved, for each of `SCALES`.

    A hundred weights start at 1; their mean counts. The noise of one half is the mirror image of
    that of the other, so that a rule that is linear in the weights shows its decay alone.
    """
    rule = adam_rule(lr=lr, weight_decay=weight_decay, decoupled=decoupled)
    rng = np.random.default_rng(0)
    theta = np.ones((len(SCALES), 100))
    state = adam_init(theta)._replace(step=0)
    halved, t = np.zeros(len(SCALES)), 0
    while not halved.all():
        t += 1
        noise = rng.normal(size=(len(SCALES), 50))
        grad = SCALES[:, None] * np.concatenate([noise, -noise], axis=1)
        theta, state = rule.step(theta, grad, state)
        halved = np.where((halved == 0) & (theta.mean(1) < 0.5), t, halved)
    return halved


def laws(lr: float, weight_decay: float) -> tuple[Vector, Vector, float]:
    """Return half-lives decoupled, coupled under a large gradient, and coupled without any."""
    slow = np.full_like(SCALES, np.log(2) / (lr * weight_decay))
    return slow, slow * SCALES, 0.5 / lr


def decay_times() -> Explorable:
    """Draw how long a weight lives, against the size of its gradient."""
    figure, ax = plt.subplots(figsize=(6.2, 3.6))
    (slow,) = ax.plot([], [], color="C0", label="ln 2 / (lr·λ)")
    (steep,) = ax.plot([], [], color="C1", linestyle="--", label="the same, times the gradient")
    (floor,) = ax.plot([], [], color="C1", linestyle=":", label="steps of lr")
    (decoupled,) = ax.plot([], [], "o", color="C0", label="decoupled (AdamW)")
    (coupled,) = ax.plot([], [], "o", color="C1", label="coupled (Adam)")
    ax.set(xscale="log", yscale="log", xlim=(7e-4, 5), ylim=(10, 1e6))
    ax.set(xlabel="size of the gradient (standard deviation)", ylabel="half-life in steps")
    ax.legend(loc="upper left", ncols=2)

    def show(lr: float, weight_decay: float) -> str:
        flat, rising, least = laws(lr, weight_decay)
        slow.set_data(SCALES, flat)
        steep.set_data(SCALES, rising)
        floor.set_data(SCALES, np.full_like(SCALES, least))
        kept = half_life(True, lr, weight_decay)
        erased = half_life(False, lr, weight_decay)
        decoupled.set_data(SCALES, kept)
        coupled.set_data(SCALES, erased)
        return (
            f"Decoupled, a weight halves in {kept[0]:.0f} steps. Coupled, in {erased[0]:.0f} "
            f"under a gradient of {SCALES[0]:.3f}, and in {erased[-1]:.0f} under one of "
            f"{SCALES[-1]:.2f}."
        )

    sliders = (Slider("lr", (0.003, 0.01, 0.03), 1), Slider("λ", (0.03, 0.1, 0.3), 1))
    return Explorable(figure, sliders, (slow, steep, floor, decoupled, coupled), show)


def decay_times_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    flat, rising, floor = laws(LR, DECAY)
    kept, erased = half_life(True, LR, DECAY), half_life(False, LR, DECAY)
    small, large = SCALES < 0.01, SCALES > 0.3
    figure, sliders, *_ = decay_times()
    (ax,) = figure.axes
    start = [slider.values[slider.start] for slider in sliders]
    return {
        "Half-life of a weight against the size of its gradient, both axes logarithmic": (
            ax.get_xscale() == ax.get_yscale() == "log"
        ),
        f"Decoupled: {kept[0]:.0f} steps, whatever the gradient": bool(
            np.ptp(kept) == 0 and abs(kept / flat - 1).max() < 0.01
        ),
        f"Coupled: {erased[0]:.0f} steps for the smallest": bool(erased.argmin() == 0),
        f"rising in proportion to the large ones, to {erased[-1]:.0f}": bool(
            (abs(erased / rising - 1)[large] < 0.1).all()
        ),
        f"when its gradient is noise, for λ = {DECAY} and lr = {LR} at first": start == [LR, DECAY],
        "Coupled, the half-life follows the gradient": bool((np.diff(erased) >= 0).all()),
        "where the loss is silent the penalty is all that Adam sees, and its step is lr": bool(
            (abs(erased / floor - 1)[small] < 0.15).all()
        ),
    }


class Shrinkage(NamedTuple):
    """What decay does to the weights of each pixel, pixels sorted by their gradient.

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


def pixel_gradient(networks: Networks, grad: Tensor) -> Tensor:
    """Return the mean square of the gradient of each pixel's weights, (seeds, pixels)."""
    return layers(networks._replace(theta=grad))[0].weight.square().mean(-1)


@kept
def shrinkage() -> Shrinkage:
    """Train ten networks on the digits with no decay, a penalty in Adam, and AdamW."""
    torch.set_num_threads(1)
    start, data = draw((64, 16, 10), bias=False, seeds=10), load(train=1200)
    runs, sizes = [], []
    for strength, decoupled in ((0.0, True), (1e-3, False), (0.1, True)):
        rule = adam_rule(lr=LR, weight_decay=strength, decoupled=decoupled)
        run = train(start, data, rule=rule, steps=400, batch=64, watch=pixel_gradient)
        runs.append(run)
        weight = layers(run.networks)[0].weight
        sizes.append(weight.square().mean(-1).sqrt().numpy())
    assert runs[0].watched is not None
    grad = np.sqrt(runs[0].watched.mean(1)).mean(0)
    order = np.argsort(grad)
    plain, coupled, kept = (1 - run.test_accuracy[:, -1] for run in runs)
    return Shrinkage(
        grad[order],
        (sizes[1] / sizes[0])[:, order],
        (sizes[2] / sizes[0])[:, order],
        (plain, coupled, kept),
    )


def digits() -> Figure:
    """Draw how much each pixel's weights shrink, against the size of their gradients."""
    data = shrinkage()
    figure, ax = plt.subplots()
    seen = data.grad > 0
    for ratio, name, color, at in (
        (data.decoupled, "decoupled (AdamW)", "C0", (4e-5, 1.02)),
        (data.coupled, "coupled (Adam)", "C1", (3e-4, 0.1)),
    ):
        low, high = ratio.min(0)[seen], ratio.max(0)[seen]
        ax.vlines(data.grad[seen], low, high, color=color, alpha=0.35, linewidth=1.5)
        ax.plot(data.grad[seen], ratio.mean(0)[seen], "o", color=color, markersize=4, label=name)
        ax.text(*at, name, color=color)
    ax.set(xscale="log", ylim=(0, 1.15), ylabel="size of the weights\nwith decay / without")
    ax.set(xlabel="size of the gradient of a pixel’s weights")
    return figure


def digits_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = shrinkage()
    seen = data.grad > 0
    dim, bright = seen & (data.grad < 1e-4), data.grad > 1e-2
    coupled, kept = data.coupled.mean(0), data.decoupled.mean(0)
    erased, alike = data.coupled[:, dim].mean(1), data.decoupled[:, dim].mean(1)
    return {
        "Weights of each pixel after training with decay, relative to training without, "
        "against the size of the pixel's gradient": bool(
            data.grad.shape == (64,) and (np.diff(data.grad) >= 0).all()
        ),
        "AdamW: between 0.7 and 1 for nearly all pixels": bool(
            ((kept > 0.7) & (kept < 1))[seen].mean() > 0.95
        ),
        "Adam with a penalty: near zero for dim pixels": bool(coupled[dim].max() < 0.1),
        f"{coupled[bright].mean():.1f} for the brightest": bool(bright.sum() > 10),
        "first layer of ten networks; bars reach from the least to the greatest": bool(
            len(data.coupled) == 10
        ),
        "The strengths were chosen to shrink the weights of bright pixels equally": bool(
            abs(coupled[bright].mean() - kept[bright].mean()) < 0.05
        ),
        "The penalty then erases those of dim pixels; the decay leaves them": bool(
            (erased < 0.05).all() and (alike > 0.7).all()
        ),
    }


CURVATURE = np.asarray([[1.0, 0.4], [0.4, 0.5]])
MINIMUM = np.asarray([3.0, 0.5])
LAMBDAS = (0.2, 0.3, 0.4, 0.6, 1.0)


@kept
def descend(decoupled: bool, weight_decay: float = 0.4) -> Vector:
    """Minimize a quadratic with its exact gradient from zero; return the path.

    The gradient is CURVATURE (θ − MINIMUM), the learning rate 0.2/√t, β₂ = 0.99.
    """
    return np.asarray(
        trajectory(
            np.zeros(2),
            lambda theta, t: CURVATURE @ (theta - MINIMUM),
            rule=lambda t: adam_rule(
                lr=0.2 / t**0.5, betas=(0.9, 0.99), weight_decay=weight_decay, decoupled=decoupled
            ),
            steps=6000,
        )
    )


def in_box(weight_decay: float) -> Vector:
    """Return the best point of the box |θ| ≤ 1/λ, which θ₁ leaves first."""
    side = 1 / weight_decay
    first = min(side, MINIMUM[0])
    second = MINIMUM[1] + CURVATURE[0, 1] / CURVATURE[1, 1] * (MINIMUM[0] - first)
    return np.asarray([first, min(side, second)])


def square(weight_decay: float) -> Vector:
    """Return the corners of the box, the first of them twice."""
    corners = np.asarray([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
    return corners / weight_decay


def shown(path: Vector) -> Vector:
    """Return a hundred points of a path or fewer, closer at its start, none twice."""
    points = path[np.unique(np.geomspace(1, len(path), 120).astype(int) - 1)]
    apart = np.linalg.norm(np.diff(points, axis=0), axis=1) > 0.003
    return points[np.concatenate([[True], apart[:-1], [True]])]  # where it ends, too


def box() -> Explorable:
    """Draw where a penalty and a decay lead on one quadratic."""
    figure, ax = plt.subplots(figsize=(6.2, 4.2))
    x, y = np.meshgrid(np.linspace(-0.4, 4.0, 120), np.linspace(-0.6, 2.5, 120))
    d = np.stack([x, y], -1) - MINIMUM
    loss = 0.5 * np.einsum("...i,ij,...j", d, CURVATURE, d)
    ax.contour(x, y, loss, levels=[0.05, 0.2, 0.5, 1, 2, 3.5], cmap="cividis", linewidths=0.8)
    minimum = ax.plot(*MINIMUM, "x", color="C2", markersize=8, markeredgewidth=2, label="minimum")
    (edge,) = ax.plot([], [], color="C0", linewidth=0.9, label="|θ| ≤ 1/λ")
    rules = ((True, "AdamW", "C0"), (False, "Adam", "C1"))
    paths = [ax.plot([], [], color=color, label=name)[0] for _, name, color in rules]
    ends = [ax.plot([], [], "o", color=color, label=f"end, {name}")[0] for _, name, color in rules]
    ax.set(xlim=(-0.4, 4.0), ylim=(-0.6, 2.5), xlabel="θ₁", ylabel="θ₂")
    ax.legend(handles=[*paths, edge, *minimum], loc="upper left")

    def show(weight_decay: float) -> str:
        side = 1 / weight_decay
        edge.set_data(*square(weight_decay).T)
        for (decoupled, _, _), path, end in zip(rules, paths, ends, strict=True):
            points = descend(decoupled, weight_decay)
            path.set_data(*shown(points).T)
            end.set_data(*points[-1:].T)
        (a, b), (c, e) = descend(True, weight_decay)[-1], descend(False, weight_decay)[-1]
        return (
            f"The box reaches to {side:.2f}. AdamW ends at ({a:.2f}, {b:.2f}), "
            f"Adam with the penalty at ({c:.2f}, {e:.2f})."
        )

    return Explorable(figure, (Slider("λ", LAMBDAS, 2),), (edge, *paths, *ends), show)


def box_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    decay, penalty = descend(True)[-1], descend(False)[-1]
    ridge = np.linalg.solve(CURVATURE + 0.4 * np.eye(2), CURVATURE @ MINIMUM)
    on_edge = bool(np.allclose(decay, in_box(0.4), atol=0.01))
    nearer = bool(np.linalg.norm(penalty) < np.linalg.norm(decay))
    return {
        "Contours of a quadratic whose minimum lies to the right of a thin line, "
        f"the edge of the box at {1 / 0.4}": bool(MINIMUM[0] > 1 / 0.4),
        "The path of AdamW ends on that edge, "
        "that of Adam with a penalty left of it, closer to the origin": on_edge and nearer,
        "One quadratic, exact gradients, λ = 0.4": bool(
            0.4 in LAMBDAS and (np.linalg.eigvalsh(CURVATURE) > 0).all()
        ),
        "AdamW stops at the best point of the box, Adam with a penalty at the ridge solution": (
            on_edge and bool(np.allclose(penalty, ridge, atol=1e-3))
        ),
    }
