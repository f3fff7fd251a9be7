"""Figures of the page on the explosion of the loss."""

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import all_digits
from dlkb.gradients.loss_explosion import (
    convergence_rate,
    iteration_matrix,
    largest_curvature,
    stable_lr,
)
from scripts.figures.explorable import Explorable, Slider

Matrix = NDArray[np.float64]

IMAGES, LABELS = (part[:60] for part in all_digits())
X = torch.tensor((IMAGES - IMAGES.mean(0)) / 16, dtype=torch.float32)
Y = torch.eye(10)[LABELS.tolist()]

SEEDS = 12
LEARNING_RATES = (0.3, 0.6, 1.2)
RULES: dict[str, dict[str, Any]] = {
    "gradient descent": {},
    "heavy ball, β = 0.9": {"momentum": 0.9},
    "Nesterov, β = 0.9": {"momentum": 0.9, "nesterov": True},
}


def initial(seeds: int = SEEDS) -> torch.Tensor:
    """Draw the weights of 64-16-16-10 networks, shape (seeds, 1440), variance 1/fan-in."""
    deviation = np.repeat([1 / 8, 1 / 4], [1024, 416])
    draw = np.random.default_rng(0).normal(size=(seeds, 1440)) * deviation
    return torch.tensor(draw, dtype=X.dtype, requires_grad=True)


def loss(weights: torch.Tensor) -> torch.Tensor:
    """Return the squared error of each network on all digits."""
    W1, W2, W3 = weights.split((1024, 256, 160), dim=1)
    hidden = torch.tanh(torch.tanh(X @ W1.view(-1, 64, 16)) @ W2.view(-1, 16, 16))
    return ((hidden @ W3.view(-1, 16, 10) - Y) ** 2).sum(-1).mean(-1) / 2


def gradient(weights: torch.Tensor, create_graph: bool = False) -> torch.Tensor:
    """Return the gradient of each network's loss; the networks do not share any weight."""
    return torch.autograd.grad(loss(weights).sum(), weights, create_graph=create_graph)[0]


def sharpness(
    weights: torch.Tensor, start: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest curvature of each network's loss, and its direction."""
    g = gradient(weights, create_graph=True)
    return largest_curvature(
        lambda v: torch.autograd.grad(g, weights, v, retain_graph=True)[0], start, steps=steps
    )


class Run(NamedTuple):
    """Full-batch descent: (steps, seeds), every tenth step (steps / 10, seeds), and the end."""

    loss: Matrix
    sharpness: Matrix
    weights: torch.Tensor


@kept
def train(lr: float, steps: int = 500) -> Run:
    """Train with one learning rate for all seeds."""
    weights = initial()
    direction = torch.tensor(np.random.default_rng(1).normal(size=weights.shape)).to(X)
    losses, curvatures = [], []
    for step in range(steps):
        if step % 10 == 0:
            value, direction = sharpness(weights, direction, 40 if step == 0 else 6)
            curvatures.append(value)
        losses.append(loss(weights).detach())
        weights = (weights - lr * gradient(weights)).detach().requires_grad_()
    return Run(torch.stack(losses).numpy(), torch.stack(curvatures).numpy(), weights)


@kept
def continued(share: float, steps: int = 120) -> Matrix:
    """Go on from one and the same point with a share of each network's own 2/λ; the losses."""
    weights = train(0.3).weights
    direction = torch.tensor(np.random.default_rng(2).normal(size=weights.shape)).to(X)
    value, _ = sharpness(weights, direction, 150)
    lr = share * stable_lr(value)[:, None]
    losses = []
    for _ in range(steps):
        losses.append(loss(weights).detach())
        weights = (weights - lr * gradient(weights)).detach().requires_grad_()
    return torch.stack(losses).numpy()


def rate_data() -> tuple[Matrix, dict[str, Matrix]]:
    """Return η λ and the factor of the error a step for three rules."""
    x = np.linspace(0.01, 4.2, 400)
    return x, {name: convergence_rate(x, lr=1.0, **rule) for name, rule in RULES.items()}


def rates() -> Figure:
    """Draw the factor of the error a step over the learning rate."""
    x, curves = rate_data()
    figure, ax = plt.subplots()
    for i, (name, rate) in enumerate(curves.items()):
        limit = float(stable_lr(1.0, **RULES[name]))
        ax.plot(x, rate, color=f"C{i}", label=name)
        ax.plot(limit, 1, "o", color=f"C{i}", gid=f"limit of {name}")
        ax.annotate(
            f"{limit:.3g}", (limit, 1), xytext=(-5, 6), textcoords="offset points", ha="right"
        )
    ax.axhline(1, color=plt.rcParams["axes.edgecolor"], linestyle="--", linewidth=1)
    ax.set(xlabel="η λ", ylabel="factor of the error a step", ylim=(0, 1.9), xlim=(0, 4.2))
    ax.legend(loc="upper left")
    return figure


def _band(ax: plt.Axes, x: NDArray[Any], values: Matrix, color: str, label: str) -> None:
    low, middle, high = np.quantile(values, (0.0, 0.5, 1.0), axis=1)
    ax.fill_between(x, low, high, color=color, alpha=0.25, linewidth=0).set_gid(label)
    ax.plot(x, middle, color=color, label=label, linewidth=1.5)


def rates_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    x, curves = rate_data()
    plain, heavy, nesterov = curves.values()
    limits = [float(stable_lr(1.0, **rule)) for rule in RULES.values()]
    low, high = (1 - 0.9**0.5) ** 2, (1 + 0.9**0.5) ** 2
    flat = heavy[(x > low) & (x < high)]
    crossing = [float(x[curve > 1][0]) for curve in (plain, heavy, nesterov)]
    right = bool(np.allclose(crossing, limits, atol=0.02))
    return {
        "gradient descent falls to zero at 1 and crosses one at 2": right
        and bool(abs(x[plain.argmin()] - 1) < 0.02 and plain.min() < 0.02),
        f"Heavy ball is flat at {flat[0]:.2f} and crosses one at {limits[1]:.1f}": right
        and bool(np.ptp(flat) < 1e-9),
        f"Nesterov crosses one already at {limits[2]:.2f}": right,
        "Below the dashed line the error shrinks": right,
        "With momentum 0.9 heavy ball shrinks at one rate for all ηλ from "
        f"{low:.3f} to {int(100 * high) / 100}": bool(np.ptp(flat) < 1e-9),
        "Nesterov's limit is the lowest of the three": min(limits) == limits[2],
    }


def edge_of_stability() -> Figure:
    """Draw sharpness and loss of twelve networks at three learning rates."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(6.2, 5.6), sharex=True)
    for i, lr in enumerate(LEARNING_RATES):
        run = train(lr)
        _band(above, np.arange(0, 500, 10), run.sharpness, f"C{i}", f"η = {lr}")
        above.axhline(2 / lr, color=f"C{i}", linestyle="--", linewidth=1)
        _band(below, np.arange(500), run.loss, f"C{i}", f"η = {lr}")
    above.set(ylabel="largest curvature λ", ylim=(0, 9), title="dashed: 2/η")
    below.set(xlabel="step", ylabel="loss", yscale="log")
    below.legend()
    return figure


def edge_of_stability_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    low, middle, high = (train(lr) for lr in LEARNING_RATES)
    settled = [
        np.abs(run.sharpness[-10:].mean(0) / (2 / lr) - 1) < 0.15
        for run, lr in ((middle, 0.6), (high, 1.2))
    ]
    rises = [(np.diff(run.loss, axis=0) > 0).any(0) for run in (low, middle, high)]
    ends = [float(np.median(run.loss[-50:].mean(0))) for run in (low, middle, high)]
    return {
        "the largest curvature of twelve networks settles near 2/η for η = 0.6 and η = 1.2": bool(
            np.mean(settled) > 0.9
        ),
        "For η = 0.3 it stays below 2/η in most": bool(
            (low.sharpness < 2 / 0.3).all(0).mean() > 0.7
        ),
        "the loss of most falls without a rise for η = 0.3, and with spikes for the other two": (
            bool(np.mean(rises[0]) < 0.3 and np.mean(rises[1:]) > 0.9)
        ),
        "Twelve networks on digits, full-batch gradient descent": low.loss.shape[1] == SEEDS,
        "At the end the loss is lowest for η = 1.2": ends[2] == min(ends),
        "which is beyond the limit of all twelve at the start": bool(
            (high.sharpness[0] > 2 / 1.2).all()
        ),
    }


def one_point() -> Figure:
    """Draw the loss from one point on, just below and just above the limit."""
    figure, ax = plt.subplots()
    for i, share in enumerate((0.9, 1.1)):
        losses = continued(share)
        lines = ax.plot(losses / losses[0], color=f"C{i}", linewidth=1, alpha=0.8)
        lines[0].set_label(f"η = {share} · 2/λ")
        for seed, line in enumerate(lines[1:], 1):
            line.set_gid(f"_{share} {seed}")
    ax.set(xlabel="step", ylabel="loss / loss at the start", ylim=(0, 6.5))
    ax.legend()
    return figure


def one_point_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    below, above = continued(0.9), continued(1.1)
    return {
        f"The loss of twelve networks over {len(below)} steps from one point each, "
        "relative to it": below.shape[1] == 12,
        "At 0.9 times the limit most fall smoothly": bool(
            (np.diff(below, axis=0) < 0).all(0).mean() > 0.7
        ),
        "At 1.1 times the limit most more than double, then all fall again": bool(
            (above.max(0) > 2 * above[0]).mean() > 0.7 and (above[-1] < above.max(0)).all()
        ),
        "Twelve such networks, each with one gradient and two learning rates": bool(
            (below[0] == above[0]).all()
        ),
        "In the end most are below their start": bool((above[-1] < above[0]).mean() > 0.7),
    }


BOWL = np.asarray([1.0, 10.0])
"""Curvatures of a quadratic; it starts at (1, 1)."""


class Descent(NamedTuple):
    """Heavy ball: (steps + 1, 2), the loss relative to the start, each direction's rate."""

    path: Matrix
    loss: Matrix
    rates: Matrix


def descend(lr: float, momentum: float, steps: int = 30) -> Descent:
    """Descend from rest."""
    matrix = iteration_matrix(BOWL, lr=lr, momentum=momentum)
    error = np.ones((2, 2, 1))  # direction, now and one step before
    rows = [error[:, 0, 0]]
    for _ in range(steps):
        error = matrix @ error
        rows.append(error[:, 0, 0])
    path = np.stack(rows)
    rates = convergence_rate(BOWL, lr=lr, momentum=momentum)
    return Descent(path, path**2 @ BOWL / BOWL.sum(), rates)


def quadratic() -> Explorable:
    """Draw the path and the loss of heavy ball for any learning rate and momentum."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.4))
    muted = plt.rcParams["axes.edgecolor"]
    angle = np.linspace(0, 2 * np.pi, 181)
    for level in (0.02, 0.1, 0.3, 0.6, 1.0):
        size = np.sqrt(level * BOWL.sum() / BOWL)
        left.plot(size[0] * np.cos(angle), size[1] * np.sin(angle), color=muted, lw=0.8, alpha=0.6)
    left.plot(0, 0, "+", color=muted, ms=10)
    left.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), xlabel="flat: λ = 1", ylabel="steep: λ = 10")
    right.set(xlim=(0, 30), yscale="log", ylim=(1e-8, 1e3), xlabel="step")
    right.set_title("loss / loss at the start")
    right.axhline(1, color=muted, lw=1, ls="--")
    left.set_title("distance to the minimum")
    (path,) = left.plot([], [], color="C0", lw=1.2)
    (end,) = left.plot([], [], "o", color="C0")
    (loss,) = right.plot([], [], color="C1", label="loss")

    def show(lr: float, momentum: float) -> str:
        data = descend(lr, momentum)
        path.set_data(*data.path.T)
        end.set_data(*data.path[-1:].T)
        loss.set_data(np.arange(len(data.loss)), data.loss)
        flat, steep = data.rates
        limit = float(stable_lr(BOWL.max(), momentum=momentum))
        if max(flat, steep) < 1 - 1e-9:
            fate = f"converges, the {'flat' if flat > steep + 1e-9 else 'steep'} direction last"
            if abs(flat - steep) < 1e-9:
                fate = "converges in both directions alike"
        else:
            fate = "diverges" if steep > 1 + 1e-9 else "swings for ever"
        return (
            f"A step multiplies the error by {flat:.3g} in the flat and by {steep:.3g} in the "
            f"steep direction: it {fate}. The limit at this momentum is η = {limit:.3g}."
        )

    rates = (0.02, 0.05, 0.1, 0.15, 0.18, 0.19, 0.2, 0.21, 0.25, 0.3, 0.35, 0.38, 0.4)
    sliders = (
        Slider("learning rate η", rates, 4),
        Slider("momentum β", (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95), 5),
    )
    return Explorable(figure, sliders, (path, end, loss), show)


def quadratic_says() -> dict[str, bool]:
    """Return what alt text and caption say of the start, and whether it is so."""
    data = descend(0.18, 0.9)
    tried = np.linspace(0.01, 0.4, 391)
    best = min(tried, key=lambda lr: descend(float(lr), 0.0).rates.max())
    limits = [float(stable_lr(BOWL.max(), momentum=momentum)) for momentum in (0.0, 0.9)]
    rises = bool((np.diff(data.loss) > 0).any())
    return {
        f"{('thirty' if len(data.path) == 31 else 'other')} steps of heavy ball, with learning "
        "rate 0.18 and momentum 0.9, on a bowl with curvatures 1 and 10": True,
        "the loss falls in waves, to below a tenth of its start": rises and data.loss[-1] < 0.1,
        f"Without momentum the limit is {limits[0]:.1f}": True,
        f"{best:.2f} is the best rate here": True,
        f"With momentum 0.9 the limit is {limits[1]:.2f}, and the loss also rises": rises,
    }
