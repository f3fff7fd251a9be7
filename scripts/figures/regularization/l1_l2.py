"""Figures of the page on L1 and L2 penalties."""

from functools import cache, partial
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from torch import Tensor

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import digits
from dlkb.experiments.networks import Networks, draw
from dlkb.experiments.rules import plain_rule
from dlkb.experiments.training import train
from dlkb.regularization.l1_l2 import (
    FistaState,
    fista,
    ista,
    l1_max,
    min_subgradient,
    penalty_vjp,
    prox,
    ridge,
)
from scripts.figures.explorable import Explorable, Slider

Values = NDArray[np.float64]

HESSIAN = np.asarray([[1.0, 0.5], [0.5, 1.0]])
CENTER = np.asarray([1.6, 0.8])
"""The loss ½(θ − CENTER)ᵀ HESSIAN (θ − CENTER) of the figure on the balls."""
STRENGTHS, START = tuple(k / 20 for k in range(43)), 26


def minimize(
    H: Values, b: Values, *, l1: float = 0.0, l2: float = 0.0, start: Values | float = 0.0
) -> Values:
    """Minimize ½θᵀHθ − bᵀθ plus the penalty by FISTA, until the subgradient is short."""
    lr = float(1 / np.linalg.norm(H, 2))
    lookahead = start + np.zeros(len(b))
    state = FistaState(lookahead, 1.0)
    for _ in range(2000):
        for _ in range(10):
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
    """A solution, shape (2,), and points of the ball and the contour through it, (2, points)."""

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
        (path,) = ax.plot(*ball_path(p).T, color=muted, linestyle=":", gid="path")
        ax.plot(*CENTER, "+", color="C0", markersize=10, gid="center")
        ax.axhline(0, color=muted, linewidth=0.8, gid="across")
        ax.axvline(0, color=muted, linewidth=0.8, gid="upright")
        ax.set(title=f"L{p}", aspect="equal", xlabel="θ₁", xticks=range(-2, 4), yticks=range(-1, 3))
        ax.set(xlim=(-2.4, 3.3), ylim=(-2.1, 2.5))
        (edge,) = ax.plot([], [], color="C1", gid="edge")
        (contour,) = ax.plot([], [], color="C0", linewidth=1.2, gid="contour")
        (solution,) = ax.plot([], [], "o", color="C1", gid="solution")
        moving.append((edge, contour, solution))
    axes[0].set_ylabel("θ₂")
    names = ["ball", "loss", "solution", "solutions for other λ"]
    figure.legend([*moving[0], path], names, loc="outside lower center", ncols=4)

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

    slider = Slider("strength λ", STRENGTHS, START, "{:.2f}")
    return Explorable(figure, (slider,), tuple(sum(moving, ())), show)


def balls_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    sharp, smooth = ball_data(1, STRENGTHS[START]).solution, ball_data(2, STRENGTHS[START]).solution
    zero = {value: ball_data(1, value).solution == 0 for value in STRENGTHS}
    on_axis = min(value for value, at in zero.items() if at.any())
    origin = min(value for value, at in zero.items() if at.all())
    stay = all(at.any() == (v >= on_axis) and at.all() == (v >= origin) for v, at in zero.items())
    path, smooth_path = ball_path(1), ball_path(2)
    first = np.argmax(path[:, 1] == 0)
    runs = (path[:first, 1] > 0).all() and (path[first:, 1] == 0).all() and (path[-1] == 0).all()
    return {
        "an elliptic contour of one loss": bool(np.linalg.cond(HESSIAN) > 2),
        "Left: it touches the L1 diamond at its right corner": bool(sharp[0] > 0),
        "where the second parameter is zero": bool(sharp[1] == 0),
        "the dotted line of solutions runs into the axis and along it": bool(runs),
        "Right: it touches the L2 circle at a point with both parameters positive": bool(
            (smooth > 0).all()
        ),
        "the line of solutions bends to the origin without meeting an axis": bool(
            (smooth_path > 0).all() and np.linalg.norm(smooth_path[-1]) < 0.05
        ),
        "One loss, under": np.allclose([ball_data(p, 0.0).solution for p in (1, 2)], CENTER),
        f"from {on_axis:.1f} on, L1 sits on the axis": stay,
        f"from {origin:.0f} on, at the origin": stay,
    }


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
    for color, (name, theta) in zip(("C1", "C4", "C2"), data.items(), strict=True):
        ax.plot(z, theta, color=color, label=name)
    ax.set(xlabel="z, where the loss alone is least", ylabel="θ, the solution")
    ax.legend()
    return figure


def shrinkage_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = shrinkage_data()
    z, sharp, smooth, both = data["z"], data["L1"], data["L2"], data["both, half each"]
    outside, free = z > 1, prox(z, lr=1.0)
    return {
        "The solution against z, without a penalty the diagonal": bool((free == z).all()),
        "parallel to the diagonal, with a flat piece at zero between −1 and 1": bool(
            ((sharp == 0) == (abs(z) <= 1)).all() and np.allclose(z[outside] - sharp[outside], 1)
        ),
        "a straight line of half the slope": bool(np.allclose(smooth, z / 2)),
        "a flat piece half as long, then a slope of two thirds": bool(
            ((both == 0) == (abs(z) <= 0.5)).all()
            and np.allclose(np.diff(both[outside]), 2 / 3 * np.diff(z[outside]))
        ),
        "plus a penalty of strength 1 is least": bool(np.allclose(sharp, prox(z, lr=1.0, l1=1.0))),
        "L1 subtracts, and stops at zero": bool((sharp * z >= 0).all()),
        "L2 divides": bool(np.allclose(smooth, z / 2)),
    }


class Paths(NamedTuple):
    """Coefficients of the diabetes data for rising strength, shape (strengths, 10) each."""

    l1: Values
    lasso: Values
    l2: Values
    ridge: Values


@kept
def paths_data() -> Paths:
    """Compute the paths of lasso and ridge."""
    X, y = load_diabetes(return_X_y=True)
    y = y - y.mean()
    l1 = np.geomspace(1e-3, 1.2, 60) * float(l1_max(-X.T @ y))
    l2 = np.geomspace(1e-3, 100, 60)
    lasso = [np.zeros(X.shape[1])]
    for strength in l1[::-1]:  # each from the one before
        lasso.append(minimize(X.T @ X, X.T @ y, l1=strength, start=lasso[-1]))
    return Paths(
        l1, np.stack(lasso[:0:-1]), l2, np.stack([ridge(X, y, l2=strength) for strength in l2])
    )


def paths() -> Figure:
    """Draw the ten coefficients against the strength."""
    data = paths_data()
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.3), sharey=True)
    names, coefficients = ("lasso", "ridge"), (data.lasso, data.ridge)
    for ax, name, strengths, theta in zip(axes, names, data[::2], coefficients, strict=True):
        for i in range(theta.shape[1]):
            ax.plot(strengths, theta[:, i], f"C{i % 8}", ls="--" if i > 7 else "-", gid=str(i))
        ax.set(xscale="log", title=name)
    axes[0].set(xlabel="λ₁", ylabel="coefficient")
    axes[1].set(xlabel="λ₂")
    return figure


NUMBERS = "no one two three four five six seven eight nine ten eleven twelve".split()


def paths_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = paths_data()
    last = [data.l1[np.flatnonzero(column)[-1]] for column in data.lasso.T]
    grow = (np.diff(abs(data.ridge), axis=0) > 0).any(0)
    turn = (np.sign(data.ridge) != np.sign(data.ridge[0])).any(0)
    edge, norms = data.l1[-1] / 1.2, np.linalg.norm(data.ridge, axis=1)
    return {
        f"{NUMBERS[len(last)].capitalize()} coefficients of the diabetes data": True,
        "Left, lasso: they reach zero at different strengths, "
        f"the last at about {round(edge, -1):.0f}": bool(
            len(set(last)) == len(last) and max(last) < edge and (data.lasso[-1] == 0).all()
        ),
        f"Right, ridge: {NUMBERS[grow.sum()]} of {NUMBERS[len(last)]} grow somewhere, "
        f"{NUMBERS[turn.sum()]} cross zero on the way, none stays there": bool(
            (data.ridge != 0).all()
        ),
        "Paths of lasso and ridge": data.lasso.shape == data.ridge.shape,
        "Ridge coefficients may grow, and may change sign, while their norm falls": bool(
            grow.any() and turn.any() and (np.diff(norms) < 0).all()
        ),
    }


@kept
def zeros_data(*, steps: int = 150, l1: float = 0.01, lr: float = 0.5) -> dict[str, Values]:
    """Train softmax regression on the digits with an L1 penalty, by minibatches, two ways.

    Returns:
        The share of weights that are exactly zero before each step, shape (steps, seeds).
    """

    def subgradient(theta: Tensor, grad: Tensor) -> Tensor:
        return theta - lr * (grad + penalty_vjp(theta, 1.0, l1=l1))

    def share(networks: Networks, grad: Tensor) -> Tensor:
        return (networks.theta == 0).double().mean(1)

    start, data, found = draw((64, 10), seeds=12, bias=False), digits(train=1000), {}
    for name, step in (("subgradient", subgradient), ("proximal", partial(ista, lr=lr, l1=l1))):
        run = train(start, data, rule=plain_rule(step), steps=steps, batch=100, watch=share)
        assert run.watched is not None
        found[name] = run.watched.T
    return found


def zeros() -> Figure:
    """Draw the share of exact zeros while training, median and range over the seeds."""
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
    for color, (name, share) in zip(("C3", "C1"), zeros_data().items(), strict=True):
        step, low, high = np.arange(len(share)), share.min(1), share.max(1)
        ax.fill_between(step, low, high, color=color, alpha=0.25, linewidth=0, gid=name)
        ax.plot(step, np.median(share, axis=1), color=color, label=name)
    ax.set(xlabel="steps", ylabel="share of weights = 0", ylim=(-0.03, 1))
    ax.legend()
    return figure


def zeros_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = zeros_data()
    rising, none = data["proximal"], bool((data["subgradient"] == 0).all())
    seeds = rising.shape[1]
    return {
        "Share of weights that are exactly zero against steps": bool((abs(rising) <= 1).all()),
        f"band over {NUMBERS[seeds]} seeds": True,
        "from 0 to above one half in each seed": bool(
            rising[0].max() == 0 < 0.5 < rising[-1].min()
        ),
        "The subgradient step: flat at 0": none,
        f"median and range over {seeds} seeds": True,
        "Without the proximal step none of the weights is zero": none,
    }
