"""Figures of the page on L1 and L2 penalties."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_digits

from dlkb.regularization.l1_l2 import (
    FistaState,
    fista,
    fista_bound,
    ista,
    ista_bound,
    l1_max,
    min_subgradient,
    penalty,
    penalty_vjp,
    prox,
    ridge,
)
from scripts.figures.explorable import Explorable, Slider

Values = NDArray[np.float64]

HESSIAN = np.asarray([[1.0, 0.5], [0.5, 1.0]])
CENTER = np.asarray([1.6, 0.8])
"""The loss ½(θ − CENTER)ᵀ HESSIAN (θ − CENTER) of the figure on the balls."""


def minimize(H: Values, b: Values, *, l1: float = 0.0, l2: float = 0.0) -> Values:
    """Minimize ½θᵀHθ − bᵀθ plus the penalty by FISTA, until the subgradient is short."""
    lr = float(1 / np.linalg.norm(H, 2))
    lookahead = np.zeros(len(b))
    state = FistaState(lookahead, 1.0)
    for _ in range(20_000):
        lookahead, state = fista(lookahead, H @ lookahead - b, state, lr=lr, l1=l1, l2=l2)
        rest = min_subgradient(state.theta, H @ state.theta - b, l1=l1, l2=l2)
        if np.abs(rest).max() <= 1e-8 * np.abs(b).max():
            return state.theta
    raise RuntimeError("FISTA has not converged")


@cache
def ball_path(p: int) -> Values:
    """Return the solutions for rising strength, shape (strengths, 2), from `CENTER` to 0."""
    b = HESSIAN @ CENTER
    if p == 1:
        return np.stack([minimize(HESSIAN, b, l1=l1) for l1 in np.linspace(0, 2.1, 43)])
    return np.stack([minimize(HESSIAN, b, l2=l2) for l2 in np.geomspace(1e-3, 100, 60)])


class Ball(NamedTuple):
    """A solution, and where the ball and the contour through it run.

    Attributes:
        solution: Shape (2,).
        edge: Points on the edge of the ball, shape (2, points).
        contour: Points of equal loss, shape (2, points).
    """

    solution: Values
    edge: Values
    contour: Values


@cache
def ball_data(p: int, strength: float) -> Ball:
    """Solve the problem penalized by the norm of order p = 1 or by half the squared norm, p = 2."""
    b = HESSIAN @ CENTER
    solution = minimize(HESSIAN, b, **{f"l{p}": strength})
    angle = np.linspace(0, 2 * np.pi, 5 if p == 1 else 49)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    edge = np.linalg.norm(solution, p) * circle / np.linalg.norm(circle, p, axis=0)
    gap = solution - CENTER
    angle = np.linspace(0, 2 * np.pi, 49)
    unit = np.linalg.solve(np.linalg.cholesky(HESSIAN).T, [np.cos(angle), np.sin(angle)])
    return Ball(solution, edge, CENTER[:, None] + np.sqrt(gap @ HESSIAN @ gap) * unit)


def balls() -> Explorable:
    """Draw where a contour of the loss touches a ball of each norm, for any strength."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.7), sharex=True, sharey=True)
    muted = plt.rcParams["axes.edgecolor"]
    moving = []
    for ax, p in zip(axes, (1, 2), strict=True):
        ax.plot(*ball_path(p).T, color=muted, linestyle=":")
        ax.plot(*CENTER, "+", color="C0", markersize=10)
        ax.axhline(0, color=muted, linewidth=0.8)
        ax.axvline(0, color=muted, linewidth=0.8)
        ax.set(title=f"L{p}", aspect="equal", xlabel="θ₁", xticks=range(-2, 4), yticks=range(-1, 3))
        ax.set(xlim=(-2.4, 3.3), ylim=(-2.1, 2.5))
        (edge,) = ax.plot([], [], color="C1")
        (contour,) = ax.plot([], [], color="C0", linewidth=1.2)
        (solution,) = ax.plot([], [], "o", color="C1")
        moving.append((edge, contour, solution))
    axes[0].set_ylabel("θ₂")
    handles = [
        plt.Line2D([], [], color="C0", linewidth=1.2),
        plt.Line2D([], [], color="C1"),
        plt.Line2D([], [], color="C1", marker="o", linestyle=""),
        plt.Line2D([], [], color=muted, linestyle=":"),
    ]
    names = ["loss", "ball", "solution", "solutions for other λ"]
    figure.legend(handles, names, loc="outside lower center", ncols=4)

    def show(strength: float) -> str:
        said = []
        for p, (edge, contour, solution) in enumerate(moving, 1):
            data = ball_data(p, strength)
            edge.set_data(*data.edge)
            contour.set_data(*data.contour)
            solution.set_data(*data.solution[:, None])
            zeros = ("none is zero", "one is exactly zero", "both are exactly zero")
            first, second = data.solution
            said.append(
                f"L{p}: θ = ({first:.2f}, {second:.2f}), {zeros[int((data.solution == 0).sum())]}."
            )
        return " ".join(said)

    slider = Slider("strength λ", tuple(k / 20 for k in range(43)), 26, "{:.2f}")
    return Explorable(figure, (slider,), tuple(sum(moving, ())), show)


def shrinkage_data() -> dict[str, Values]:
    """Return z, and the minimizer of ½(θ − z)² + penalty for three penalties of strength 1."""
    z = np.linspace(-3, 3, 241)
    return {
        "z": z,
        "L1": prox(z, lr=1.0, l1=1.0),
        "L2": prox(z, lr=1.0, l2=1.0),
        "both, half each": prox(z, lr=1.0, l1=0.5, l2=0.5),
    }


def shrinkage() -> Figure:
    """Draw the proximal maps of L1, L2 and the elastic net."""
    data = shrinkage_data()
    z = data.pop("z")
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    ax.plot(z, z, color=plt.rcParams["axes.edgecolor"], linestyle=":", label="no penalty")
    for i, (name, theta) in enumerate(data.items()):
        ax.plot(z, theta, color=f"C{i}", label=name)
    ax.set(xlabel="z, where the loss alone is least", ylabel="θ, the solution")
    ax.legend()
    return figure


class Paths(NamedTuple):
    """Coefficients of the diabetes data for rising strength, shape (strengths, 10) each."""

    l1: Values
    lasso: Values
    l2: Values
    ridge: Values


@cache
def paths_data() -> Paths:
    """Compute the paths of lasso and ridge."""
    X, y = load_diabetes(return_X_y=True)
    y = y - y.mean()
    l1 = np.geomspace(1e-3, 1.2, 60) * float(l1_max(-X.T @ y))
    l2 = np.geomspace(1e-3, 100, 60)
    lasso = np.stack([minimize(X.T @ X, X.T @ y, l1=strength) for strength in l1])
    return Paths(l1, lasso, l2, np.stack([ridge(X, y, l2=strength) for strength in l2]))


def paths() -> Figure:
    """Draw the ten coefficients against the strength."""
    data = paths_data()
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.3), sharey=True)
    for ax, name, strengths, theta in (
        (axes[0], "lasso", data.l1, data.lasso),
        (axes[1], "ridge", data.l2, data.ridge),
    ):
        for i in range(theta.shape[1]):
            ax.plot(strengths, theta[:, i], color=f"C{i % 8}", linestyle="--" if i > 7 else "-")
        ax.set(xscale="log", title=name)
    axes[0].set(xlabel="λ₁", ylabel="coefficient")
    axes[1].set(xlabel="λ₂")
    return figure


class Convergence(NamedTuple):
    """How far the objective is above its minimum after each step from 0.

    Attributes:
        gaps: One array for each method, step 1 first.
        lr: The step size 1/ℓ.
        distance: From 0 to the minimizer.
    """

    gaps: dict[str, Values]
    lr: float
    distance: float


@cache
def convergence_data(*, steps: int = 1000) -> Convergence:
    """Run three methods on the lasso of the diabetes data."""
    X, y = load_diabetes(return_X_y=True)
    y = y - y.mean()
    H, b, l1 = X.T @ X, X.T @ y, 20.0
    lr = float(1 / np.linalg.norm(H, 2))

    def objective(theta: Values) -> float:
        return 0.5 * theta @ H @ theta - b @ theta + float(penalty(theta, l1=l1))

    best = minimize(H, b, l1=l1)
    theta = {name: np.zeros(10) for name in ("subgradient", "ISTA", "FISTA")}
    gaps: dict[str, list[float]] = {name: [] for name in theta}
    lookahead, state = np.zeros(10), FistaState(np.zeros(10), 1.0)
    for _ in range(steps):
        at = theta["subgradient"]
        theta["subgradient"] = at - lr * (H @ at - b + penalty_vjp(at, 1.0, l1=l1))
        theta["ISTA"] = ista(theta["ISTA"], H @ theta["ISTA"] - b, lr=lr, l1=l1)
        lookahead, state = fista(lookahead, H @ lookahead - b, state, lr=lr, l1=l1)
        theta["FISTA"] = state.theta
        for name, values in gaps.items():
            values.append(objective(theta[name]) - objective(best))
    distance = float(np.linalg.norm(best))
    return Convergence({name: np.asarray(v) for name, v in gaps.items()}, lr, distance)


def convergence() -> Figure:
    """Draw the gaps with the two bounds."""
    data = convergence_data()
    k = np.arange(1.0, len(data.gaps["ISTA"]) + 1)
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    for i, (name, gap) in enumerate(data.gaps.items()):
        ax.plot(k, np.where(gap > 1e-3, gap, np.nan), color=f"C{i}", label=name)
    for i, bound in ((1, ista_bound), (2, fista_bound)):
        line = bound(k, lr=data.lr, distance=data.distance)
        ax.plot(k, line, color=f"C{i}", linestyle="--", linewidth=1)
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel="objective above its minimum")
    ax.legend()
    return figure


class Zeros(NamedTuple):
    """Share of weights that are exactly zero, shape (steps + 1, seeds), and test accuracy."""

    subgradient: Values
    proximal: Values
    subgradient_accuracy: Values
    proximal_accuracy: Values


@cache
def zeros_data(*, seeds: int = 12, steps: int = 150, l1: float = 0.01, lr: float = 0.5) -> Zeros:
    """Train softmax regression on the digits with an L1 penalty, by minibatches, two ways."""
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    found = {}
    for method in ("subgradient", "proximal"):
        rng = np.random.default_rng(0)
        order = np.stack([rng.permutation(len(labels)) for _ in range(seeds)])
        X, Y = images[order], np.eye(10)[labels[order]]
        W = 0.1 * rng.normal(size=(seeds, 64, 10))
        share = [(W == 0).mean((1, 2))]
        for step in range(steps):
            batch = slice(100 * (step % 10), 100 * (step % 10) + 100)
            logits = X[:, batch] @ W
            chance = np.exp(logits - logits.max(-1, keepdims=True))
            chance /= chance.sum(-1, keepdims=True)
            grad = X[:, batch].swapaxes(1, 2) @ (chance - Y[:, batch]) / 100
            if method == "proximal":
                W = ista(W, grad, lr=lr, l1=l1)
            else:
                W = W - lr * (grad + penalty_vjp(W, 1.0, l1=l1))
            share.append((W == 0).mean((1, 2)))
        right = (X[:, 1000:] @ W).argmax(-1) == Y[:, 1000:].argmax(-1)
        found[method] = np.stack(share), right.mean(1)
    return Zeros(
        found["subgradient"][0],
        found["proximal"][0],
        found["subgradient"][1],
        found["proximal"][1],
    )


def zeros() -> Figure:
    """Draw the share of exact zeros while training, median and range over the seeds."""
    data = zeros_data()
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
    step = np.arange(len(data.proximal))
    for i, (name, share) in enumerate(
        {"subgradient": data.subgradient, "proximal": data.proximal}.items()
    ):
        ax.fill_between(step, share.min(1), share.max(1), color=f"C{i}", alpha=0.25, linewidth=0)
        ax.plot(step, np.median(share, axis=1), color=f"C{i}", label=name)
    ax.set(xlabel="steps", ylabel="share of weights = 0", ylim=(-0.03, 1))
    ax.legend()
    return figure
