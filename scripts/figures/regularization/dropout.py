"""Figures of the page on dropout."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

from dlkb.nn import Dropout
from dlkb.regularization.dropout import (
    dropout,
    dropout_moments,
    keep_mask,
    linear_moments,
    ridge_equivalent_solution,
)
from scripts.figures.explorable import Explorable, Slider

Array = NDArray[np.float64]


def mask_matrices() -> tuple[Array, Array]:
    """Return what multiplies a 12×16 weight matrix under dropout and under DropConnect, p = 1/2."""
    rng, like = np.random.default_rng(3), np.zeros((12, 16))
    units = keep_mask(like[0], p=0.5, generator=rng)
    connections = keep_mask(like, p=0.5, generator=rng)
    return dropout(like + 1, units, p=0.5), dropout(like + 1, connections, p=0.5)


def masks() -> Figure:
    """Draw which weights take part in one training step."""
    figure, axes = plt.subplots(1, 2, figsize=(6.6, 2.9))
    titles = ("dropout: columns", "DropConnect: entries")
    for ax, matrix, title in zip(axes, mask_matrices(), titles, strict=True):
        ax.imshow(matrix, vmin=-0.6, vmax=2.6)
        ax.set(title=title, xlabel="input unit", ylabel="output unit", xticks=[], yticks=[])
        ax.grid(visible=False)
    return figure


class Variance(NamedTuple):
    """Variance of an activation of size 1 against `p`."""

    p: Array
    closed: Array
    sampled: Array
    unscaled: Array


def variance_data() -> Variance:
    """Compare the closed form with 20,000 draws at each p."""
    rng, one = np.random.default_rng(0), np.ones(20_000)
    p = np.arange(0, 0.85, 0.05)
    sampled = [dropout(one, keep_mask(one, p=q, generator=rng), p=q).var() for q in p]
    closed = [float(dropout_moments(np.ones(1), p=q).variance[0]) for q in p]
    return Variance(p, np.asarray(closed), np.asarray(sampled), p * (1 - p))


def variance() -> Figure:
    """Draw p/(1 − p), its estimate by sampling, and p(1 − p) without rescaling."""
    data = variance_data()
    figure, ax = plt.subplots()
    ax.plot(data.p, data.closed, color="C0", label="rescaled: p/(1 − p)")
    ax.plot(data.p, data.sampled, "o", color="C0", ms=5, label="sampled, 20,000 draws")
    ax.plot(data.p, data.unscaled, "--", color="C1", label="not rescaled: p(1 − p)")
    ax.set(xlabel="p, probability of dropping", ylabel="variance for x = 1", ylim=(0, None))
    ax.legend()
    return figure


class Paths(NamedTuple):
    """Weights of linear regression under dropout, `(len(p), d)`."""

    p: Array
    closed: Array
    sampled: Array


def path_data(copies: int = 2000) -> Paths:
    """Compare the closed form with least squares on many masked copies of the data."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 4)) * np.asarray([1.0, 1.0, 2.0, 0.5])
    X[:, 1] += 0.8 * X[:, 0]
    y = X @ np.asarray([1.5, -1.0, 0.5, 2.0]) + rng.normal(size=40)
    p = np.asarray([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    closed = np.stack([ridge_equivalent_solution(X, y, p=q) for q in p])
    stacked, targets = np.tile(X, (copies, 1)), np.tile(y, copies)
    sampled = []
    for q in p:
        masked = dropout(stacked, keep_mask(stacked, p=q, generator=rng), p=q)
        sampled.append(np.linalg.lstsq(masked, targets, rcond=None)[0])
    return Paths(p, closed, np.stack(sampled))


def ridge_paths() -> Figure:
    """Draw each weight against p, closed form and sampled."""
    data = path_data()
    figure, ax = plt.subplots()
    for j in range(data.closed.shape[1]):
        ax.plot(data.p, data.closed[:, j], color=f"C{j}", label=f"$w_{j + 1}$")
        ax.plot(data.p, data.sampled[:, j], "o", color=f"C{j}", ms=5)
    ax.axhline(0, lw=0.8, color=plt.rcParams["axes.edgecolor"])
    ax.set(xlabel="p, probability of dropping an input", ylabel="weight")
    ax.legend(ncols=2)
    return figure


class Bands(NamedTuple):
    """A regression on the line and two kinds of spread around its prediction."""

    x: Array
    y: Array
    grid: Array
    mean: Array
    mc: Array
    refit: Array


def bumps(x: Array) -> Array:
    """Return 12 Gaussian features of points on the line, `(n, 12)`."""
    return np.exp(-0.5 * ((x[:, None] - np.linspace(-3, 3, 12)) / 0.6) ** 2)


@cache
def band_data(p: float, n: int, refits: int = 60) -> Bands:
    """Fit under dropout; compute the spread of MC dropout, and that over fresh data sets."""
    rng, grid = np.random.default_rng(0), np.linspace(-3, 3, 61)
    weights = []
    for _ in range(refits):
        x = rng.uniform(-3, 3, n)
        y = np.sin(2 * x) + 0.3 * rng.normal(size=n)
        weights.append(ridge_equivalent_solution(bumps(x), y, p=p))
    moments = linear_moments(bumps(grid), weights[-1], p=p)
    refit = np.std([bumps(grid) @ w for w in weights], axis=0)
    return Bands(x, y, grid, moments.mean, np.sqrt(moments.variance), refit)


def mc_bands() -> Figure:
    """Draw the bands of MC dropout for two p and two sizes of the data set."""
    figure, axes = plt.subplots(2, 2, figsize=(7.0, 5.0), sharex=True, sharey=True)
    for row, p in zip(axes, (0.05, 0.3), strict=True):
        for ax, n in zip(row, (50, 5000), strict=True):
            data = band_data(p, n)
            ax.plot(data.x[:200], data.y[:200], ".", ms=3, alpha=0.5, color="C2")
            for spread, color, alpha in ((data.mc, "C0", 0.3), (data.refit, "C1", 0.7)):
                low, high = data.mean - 2 * spread, data.mean + 2 * spread
                ax.fill_between(data.grid, low, high, color=color, alpha=alpha, lw=0)
            ax.plot(data.grid, data.mean, color="C0")
            ax.set(title=f"p = {p}, {n} examples")
    handles = [plt.Rectangle((0, 0), 1, 1, color=f"C{i}", alpha=a) for i, a in ((0, 0.3), (1, 0.7))]
    figure.legend(
        handles,
        ["± 2 MC-dropout std", "± 2 std over data sets"],
        loc="outside lower center",
        ncols=2,
    )
    return figure


def explore_bands() -> Explorable:
    """Draw the bands of MC dropout for any p and several sizes of the data set."""
    figure, ax = plt.subplots(figsize=(6.6, 3.9))
    line = np.linspace(-3, 3, 241)
    ax.plot(line, np.sin(2 * line), color=plt.rcParams["axes.edgecolor"], lw=1, ls="--")
    (wide,) = ax.fill([0], [0], color="C0", alpha=0.3, lw=0, label="± 2 MC-dropout std")
    (narrow,) = ax.fill([0], [0], color="C1", alpha=0.7, lw=0, label="± 2 std over data sets")
    (mean,) = ax.plot([], [], color="C0", label="prediction")
    ax.set(xlim=(-3, 3), ylim=(-2.6, 2.6), xlabel="x", ylabel="y")
    figure.legend(loc="outside lower center", ncols=3)

    def show(p: float, n: float) -> str:
        data = band_data(p, int(n))
        mean.set_data(data.grid, data.mean)
        around = np.concatenate([data.grid, data.grid[::-1]])
        for band, spread in ((wide, data.mc), (narrow, data.refit)):
            low, high = data.mean - 2 * spread, data.mean + 2 * spread
            band.set_xy(np.stack([around, np.concatenate([low, high[::-1]])], axis=1))
        return (
            f"On average over x, the standard deviation of MC dropout is {data.mc.mean():.2f}; "
            f"that of the prediction over fresh data sets of {n:,.0f} examples is "
            f"{data.refit.mean():.2g}."
        )

    sliders = (
        Slider("dropout p", (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7), 3),
        Slider("examples", (30, 100, 500, 5000), 1, "{:,.0f}"),
    )
    return Explorable(figure, sliders, (wide, narrow, mean), show)


class Regime(NamedTuple):
    """Networks trained on some digits: images, hidden units, share of labels drawn at random."""

    images: int
    hidden: int
    noise: float


OVERFITS, UNDERFITS = Regime(100, 64, 0.3), Regime(500, 5, 0.0)
SEEDS, RATES = 12, (0.0, 0.2, 0.4, 0.6, 0.8)


class Losses(NamedTuple):
    """Cross-entropy of each seed."""

    train: Array
    test: Array


def digit_losses(regime: Regime, p: float, steps: int = 150) -> Losses:
    """Train one network a seed, side by side, and return the losses without dropout."""
    features, labels = load_digits(return_X_y=True)
    torch.manual_seed(0)
    orders = [np.random.default_rng(seed).permutation(len(labels)) for seed in range(SEEDS)]
    chosen = torch.tensor(np.stack(orders))
    X = torch.tensor(features / 16, dtype=torch.float32)[chosen]
    y = torch.tensor(labels)[chosen]
    n = regime.images
    flip = torch.rand(SEEDS, n) < regime.noise
    fit_y = torch.where(flip, torch.randint(10, (SEEDS, n)), y[:, :n])
    W = torch.randn(SEEDS, 64, regime.hidden) * (2 / 64) ** 0.5
    V = torch.randn(SEEDS, regime.hidden, 10) * (1 / regime.hidden) ** 0.5
    b, c = torch.zeros(SEEDS, 1, regime.hidden), torch.zeros(SEEDS, 1, 10)
    parameters = [t.requires_grad_() for t in (W, V, b, c)]
    layer, optimizer = Dropout(p), torch.optim.Adam(parameters, lr=0.01)

    def losses(X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        logits = layer(torch.relu(X @ W + b)) @ V + c
        return cross_entropy(logits.mT, y, reduction="none").mean(1)

    for _ in range(steps):
        optimizer.zero_grad()
        losses(X[:, :n], fit_y).sum().backward()
        optimizer.step()
    layer.eval()
    with torch.no_grad():
        train, test = losses(X[:, :n], fit_y), losses(X[:, n:], y[:, n:])
    return Losses(train.double().numpy(), test.double().numpy())


def digits() -> Figure:
    """Draw training and test loss against p where the network overfits, and where it underfits."""
    figure, axes = plt.subplots(1, 2, figsize=(7.0, 3.4))
    titles = ("64 units, noisy labels", "5 units, clean labels")
    for ax, regime, title in zip(axes, (OVERFITS, UNDERFITS), titles, strict=True):
        runs = [digit_losses(regime, p) for p in RATES]
        for name, color in (("train", "C1"), ("test", "C0")):
            values = np.stack([getattr(run, name) for run in runs])
            ax.fill_between(RATES, values.min(1), values.max(1), color=color, alpha=0.25, lw=0)
            ax.plot(RATES, values.mean(1), "o-", ms=5, color=color, label=name)
        ax.set(title=title, xlabel="p", ylim=(0, None))
    axes[0].set(ylabel="cross-entropy")
    axes[0].legend()
    return figure
