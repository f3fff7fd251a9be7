"""Figures of the page on overfitting."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

from dlkb.regularization.overfitting import (
    expected_maximum,
    filter_risk,
    filtered_least_squares,
    flow_filter,
    gaussian_design_error,
    gd_filter,
    ridge_filter,
    standard_error,
    stopping_point,
)

Array = NDArray[np.float64]
SEEDS, VALIDATION, TEST = 12, 100, 200


class Curves(NamedTuple):
    """What was measured before each step, `(steps, SEEDS)`.

    Losses and `val_accuracy` are against the labels as given, `test_accuracy` against the true
    ones; `right` and `wrong` are the shares of training labels that the network reproduces.
    """

    train_loss: Array
    val_loss: Array
    right: Array
    wrong: Array
    val_accuracy: Array
    test_accuracy: Array


@cache
def train(noise: float, images: int = 200, steps: int = 100) -> Curves:
    """Train a 64-64-10 network a seed on digits; a share `noise` of the labels is drawn anew."""
    features, digits = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    total = images + VALIDATION + TEST
    order = np.stack([rng.permutation(len(digits)) for _ in range(SEEDS)])[:, :total]
    X, y = torch.tensor(features[order] / 16).float(), torch.tensor(digits[order])
    drawn, labels = rng.random(order.shape) < noise, rng.integers(0, 10, order.shape)
    given = torch.where(torch.tensor(drawn), torch.tensor(labels), y)
    W = torch.tensor(rng.normal(size=(SEEDS, 64, 64)) / 32**0.5).float().requires_grad_()
    V = torch.tensor(rng.normal(size=(SEEDS, 64, 10)) / 8).float().requires_grad_()
    optimizer = torch.optim.Adam([W, V], lr=0.03)
    fit, val, test = slice(images), slice(images, images + VALIDATION), slice(-TEST, None)
    good = (given == y)[:, fit]
    rows = []
    for _ in range(steps):
        with torch.no_grad():
            logits = (torch.relu(X @ W) @ V).mT
            losses, guess = cross_entropy(logits, given, reduction="none"), logits.argmax(1)
            hits = (guess == given)[:, fit]
            row = (
                losses[:, fit].mean(1),
                losses[:, val].mean(1),
                (hits & good).sum(1) / good.sum(1),
                (hits & ~good).sum(1) / (~good).sum(1).clamp(min=1),
                (guess == given)[:, val].float().mean(1),
                (guess == y)[:, test].float().mean(1),
            )
        rows.append(torch.stack(row))
        optimizer.zero_grad()
        logits = (torch.relu(X[:, fit] @ W) @ V).mT
        cross_entropy(logits, given[:, fit], reduction="none").mean(1).sum().backward()
        optimizer.step()
    return Curves(*torch.stack(rows).double().numpy().swapaxes(0, 1))


def _band(ax: Axes, x: Array, values: Array, color: str, label: str) -> None:
    """Draw mean and range over the last axis."""
    ax.fill_between(x, values.min(-1), values.max(-1), color=color, alpha=0.25, lw=0)
    ax.plot(x, values.mean(-1), color=color, label=label)


def memorization() -> Figure:
    """Draw which labels are fitted when, and what becomes of the test accuracy."""
    noisy, clean = train(0.4), train(0.0)
    step = np.arange(len(noisy.right), dtype=float)
    figure, axes = plt.subplots(1, 2, figsize=(7.0, 3.5), sharey=True)
    _band(axes[0], step, noisy.right, "C0", "right labels")
    _band(axes[0], step, noisy.wrong, "C1", "wrong labels")
    axes[0].set(title="training labels reproduced", xlabel="step", ylabel="share", ylim=(0, 1.02))
    _band(axes[1], step, clean.test_accuracy, "C2", "all labels right")
    _band(axes[1], step, noisy.test_accuracy, "C3", "40 % drawn anew")
    axes[1].set(title="test accuracy", xlabel="step")
    for ax in axes:
        ax.legend(loc="lower right")
    return figure


def curves() -> Figure:
    """Draw loss and accuracy, few images, right labels: the first gets worse alone."""
    data = train(0.0, images=50)
    step = np.arange(len(data.val_loss), dtype=float)
    stop = stopping_point(data.val_loss.mean(1), patience=5)
    figure, axes = plt.subplots(1, 2, figsize=(7.0, 3.4))
    _band(axes[0], step, data.train_loss, "C1", "training")
    _band(axes[0], step, data.val_loss, "C0", "validation")
    axes[0].set(title="cross-entropy", xlabel="step", ylim=(0, None))
    axes[0].legend()
    _band(axes[1], step, data.val_accuracy, "C0", "validation")
    axes[1].set(title="validation accuracy", xlabel="step", ylim=(0, 1.02))
    for ax in axes:
        ax.axvline(int(stop.best_step), ls="--", lw=1, color=plt.rcParams["axes.labelcolor"])
    return figure


class Filters(NamedTuple):
    """Factors against λ·τ, with τ = ηt = 1/α."""

    x: Array
    descent: Array
    flow: Array
    ridge: Array


def filter_data(steps: int = 50) -> Filters:
    """Compute the three filters at one time; λ·τ up to the limit of stability."""
    x = np.geomspace(0.02, 1.9 * steps, 400)
    descent = gd_filter(x / steps, lr=1.0, steps=steps)
    return Filters(x, descent, flow_filter(x, time=1.0), ridge_filter(x, penalty=1.0))


def filters() -> Figure:
    """Draw what gradient descent has fitted, and what ridge keeps."""
    data = filter_data()
    figure, ax = plt.subplots()
    ax.plot(data.x, data.descent, color="C0", label="gradient descent, 50 steps")
    ax.plot(data.x, data.flow, ":", color="C3", label="gradient flow")
    ax.plot(data.x, data.ridge, "--", color="C1", label="ridge, α = 1/(ηt)")
    ax.set(xscale="log", xlabel="λ η t", ylabel="part fitted", ylim=(0, 1.05))
    ax.legend()
    return figure


class RiskCurves(NamedTuple):
    """Error on the noiseless targets against the number of steps, a mean over n examples."""

    steps: Array
    bias: Array
    variance: Array
    sampled: Array
    train: Array


@cache
def risk_data(draws: int = 1500) -> RiskCurves:
    """Follow gradient descent on a regression with a decaying spectrum; compare with draws."""
    rng, n, d, sigma = np.random.default_rng(0), 60, 40, 2.0
    X = rng.normal(size=(n, d)) / np.arange(1, d + 1) ** 0.7
    truth = X @ rng.normal(size=d)
    U, s, _ = np.linalg.svd(X, full_matrices=False)
    lr = 1 / s[0] ** 2
    noisy = truth[:, None] + sigma * rng.normal(size=(n, draws))
    steps = np.unique(np.geomspace(1, 3000, 25).astype(int))
    rows = []
    for t in steps:

        def shrink(eigenvalue: Array, t: int = int(t)) -> Array:
            return np.asarray(gd_filter(eigenvalue, lr=lr, steps=t))

        risk = filter_risk(shrink(s**2), (U.T @ truth) ** 2, noise_variance=sigma**2)
        fits = X @ filtered_least_squares(X, noisy, shrink)
        sampled, seen = ((fits - truth[:, None]) ** 2).mean(), ((fits - noisy) ** 2).mean()
        rows.append((t, risk.bias.sum() / n, risk.variance.sum() / n, sampled, seen))
    return RiskCurves(*np.asarray(rows, dtype=float).T)


def risk() -> Figure:
    """Draw bias falling, variance rising, and the least sum between."""
    data = risk_data()
    total = data.bias + data.variance
    figure, ax = plt.subplots()
    ax.plot(data.steps, data.bias, "--", color="C2", label="bias²")
    ax.plot(data.steps, data.variance, "--", color="C1", label="variance")
    ax.plot(data.steps, total, color="C0", label="error: their sum")
    ax.plot(data.steps, data.sampled, "o", ms=5, color="C0", label="error over 1500 noise draws")
    ax.plot(data.steps, data.train, ":", color="C3", label="training error")
    ax.set(xscale="log", xlabel="steps of gradient descent", ylabel="mean squared error")
    ax.set(ylim=(0, 6))
    ax.legend()
    return figure


SIZES = (25, 50, 100, 200, 400, 800)


@cache
def digit_errors() -> tuple[Array, Array]:
    """Return training and test error after 60 steps, `(len(SIZES), SEEDS)`, right labels."""
    runs = [train(0.0, images=n, steps=61) for n in SIZES]
    seen = np.stack([1 - run.right[-1] for run in runs])
    return seen, np.stack([1 - run.test_accuracy[-1] for run in runs])


class Descent(NamedTuple):
    """Test error of linear regression with 40 weights against the number of examples."""

    n: Array
    closed: Array
    sampled: Array
    ridge: Array


@cache
def descent_data(d: int = 40, noise: float = 0.25, draws: int = 400) -> Descent:
    """Simulate least squares of least norm, and ridge with the best penalty, ‖w‖² = 1."""
    sizes = np.asarray([5, 10, 15, 20, 25, 30, 34, 37, 40, 43, 46, 50, 60, 70, 80, 100, 120])
    rng = np.random.default_rng(0)
    rows = []
    for n in sizes:
        X = rng.normal(size=(draws, n, d))
        w = rng.normal(size=(draws, d, 1)) / d**0.5
        y = X @ w + noise**0.5 * rng.normal(size=(draws, n, 1))
        Xt = X.swapaxes(1, 2)
        penalized = np.linalg.solve(Xt @ X + noise * d * np.eye(d), Xt @ y)
        least = np.linalg.pinv(X) @ y
        errors = [((fit - w) ** 2).sum((1, 2)).mean() + noise for fit in (least, penalized)]
        closed = gaussian_design_error(n=int(n), d=d, noise_variance=noise, signal=1.0)
        rows.append((n, closed, *errors))
    return Descent(*np.asarray(rows, dtype=float).T)


def learning_curves() -> Figure:
    """Draw error against the number of examples: digits, and least squares where it goes up."""
    figure, axes = plt.subplots(1, 2, figsize=(7.0, 3.5))
    for values, color, label in zip(
        digit_errors(), ("C1", "C0"), ("training", "test"), strict=True
    ):
        _band(axes[0], np.asarray(SIZES, dtype=float), values, color, label)
    axes[0].set(title="digits, 64-64-10 network", xlabel="training images", ylabel="error")
    axes[0].set(xscale="log", xticks=SIZES, xticklabels=SIZES, ylim=(-0.01, None))
    axes[0].minorticks_off()
    data, dense = descent_data(), np.arange(4, 121)
    closed = [gaussian_design_error(n=int(n), d=40, noise_variance=0.25, signal=1.0) for n in dense]
    far = np.abs(data.n - 40) > 3
    axes[1].plot(dense, closed, color="C0", label="least squares")
    axes[1].plot(data.n[far], data.sampled[far], "o", ms=5, color="C0", label="sampled")
    axes[1].plot(data.n, data.ridge, "--", color="C2", label="best ridge")
    axes[1].set(title="linear, 40 weights", xlabel="training examples", ylim=(0, 4))
    axes[1].set(ylabel="mean squared error")
    for ax in axes:
        ax.legend()
    return figure


class Selection(NamedTuple):
    """By how much the best of k scores is too good, for each test size."""

    k: Array
    closed: dict[int, Array]
    sampled: dict[int, Array]


@cache
def selection_data(accuracy: float = 0.9, draws: int = 4000) -> Selection:
    """Score k models, each of the same accuracy, on n examples, and take the best score."""
    rng, k = np.random.default_rng(0), np.asarray([1, 2, 5, 10, 20, 50, 100, 200])
    closed, sampled = {}, {}
    for n in (100, 1000, 10_000):
        error = float(standard_error(np.asarray([accuracy]), n=n)[0])
        closed[n] = error * np.asarray([expected_maximum(int(count)) for count in k])
        scores = rng.binomial(n, accuracy, size=(draws, k[-1])) / n
        sampled[n] = np.asarray([scores[:, :count].max(1).mean() - accuracy for count in k])
    return Selection(k, closed, sampled)


def selection() -> Figure:
    """Draw the optimism of the best of k scores."""
    data = selection_data()
    figure, ax = plt.subplots()
    for i, n in enumerate(data.closed):
        ax.plot(data.k, 100 * data.closed[n], color=f"C{i}", label=f"{n} test examples")
        ax.plot(data.k, 100 * data.sampled[n], "o", ms=5, color=f"C{i}")
    ax.set(xscale="log", xlabel="k, models that are tried", ylabel="too good by, points")
    ax.set(ylim=(0, None))
    ax.legend()
    return figure
