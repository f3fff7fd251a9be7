"""Figures of the page on momentum."""

import math
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.experiments.rules import sgd_rule, trajectory
from dlkb.gradients.loss_explosion import (
    convergence_rate,
    optimal_heavy_ball,
    stable_lr,
)
from dlkb.optimizers.momentum import optimal_nesterov, oscillation_period
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]

BOWL = np.asarray([1.0, 25.0])
"""Curvatures of a quadratic; descent starts at (1, 1)."""
STEPS = 40
BEST = optimal_heavy_ball(*BOWL.tolist())


CONTOURS = (0.01, 0.05, 0.2, 0.5, 1.0)
"""Losses of the ellipses, as shares of that at the start."""


class Descent(NamedTuple):
    """Heavy ball on the bowl.

    Attributes:
        path: Shape (steps + 1, 2), cut where it leaves the picture far behind.
        rates: Factor of the error a step in the long run, flat and steep direction.
    """

    path: Vector
    rates: Vector


def descend(lr: float, momentum: float) -> Descent:
    """Descend from rest."""
    start, rule = np.ones(2), sgd_rule(lr=lr, momentum=momentum)
    path = trajectory(start, lambda theta, t: BOWL * theta, rule=rule, steps=STEPS)
    return Descent(np.clip(path, -4, 4), convergence_rate(BOWL, lr=lr, momentum=momentum))


class Plane(NamedTuple):
    """The rate for each momentum (columns) and learning rate (rows)."""

    momentum: Vector
    lr: Vector
    rate: Vector
    limit: Vector


def plane() -> Plane:
    """Compute the slower of the two directions' rates, and where it is one."""
    momentum, lr = np.linspace(0, 0.995, 121), np.linspace(0.001, 0.17, 121)
    scaled = np.outer(lr, BOWL)  # η and λ matter by their product
    rate = [convergence_rate(scaled, lr=1.0, momentum=b).max(1) for b in momentum.tolist()]
    limit = [stable_lr(BOWL[1], momentum=b) for b in momentum.tolist()]
    return Plane(momentum, lr, np.stack(rate, axis=1), np.asarray(limit))


LEVELS = (0.7, 0.8, 0.9, 0.95, 0.98)


def path() -> Explorable:
    """Draw the path on a bowl, and where its parameters lie among all."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.5))
    muted = plt.rcParams["axes.edgecolor"]
    angle = np.linspace(0, 2 * np.pi, 121)
    for level in CONTOURS:
        size = np.sqrt(level * BOWL.sum() / BOWL)
        ellipse = size[0] * np.cos(angle), size[1] * np.sin(angle)
        left.plot(*ellipse, color=muted, lw=0.8, alpha=0.6, gid=f"level {level}")
    left.plot(0, 0, "+", color=muted, ms=10, gid="minimum")
    left.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    left.set(xlabel="flat: λ = 1", ylabel="steep: λ = 25")
    data = plane()
    lines = right.contour(
        data.momentum, data.lr, data.rate, LEVELS, colors="C2", linewidths=0.9, alpha=0.8
    )
    right.clabel(lines, fmt="%g", fontsize=10)
    right.plot(data.momentum, data.limit, color="C3", label="limit")
    right.plot(BEST.momentum, BEST.lr, "*", color="C3", ms=11, label="best")
    right.set(xlim=(-0.03, 1), ylim=(0, 0.2), yticks=np.arange(0, 0.21, 0.05))
    right.set(xlabel="momentum β", ylabel="learning rate η")
    right.set_title("factor of the error a step")
    right.legend(loc="upper left", ncols=2)
    (way,) = left.plot([], [], color="C0", lw=1.1, gid="way")
    (steps,) = left.plot([], [], "o", color="C0", ms=3, gid="steps")
    (here,) = right.plot([], [], "o", color="C0", ms=8, gid="here")

    def show(lr: float, momentum: float) -> str:
        data = descend(lr, momentum)
        way.set_data(*data.path.T)
        steps.set_data(*data.path.T)
        here.set_data([momentum], [lr])
        flat, steep = data.rates
        slower = max(flat, steep)
        if slower < 1 - 1e-9:
            count = math.log(1000) / -math.log(slower)
            fate = f"about {count:.0f} steps to a thousandth"
        else:
            fate = "it does not converge"
        return (
            f"In the long run a step multiplies the error by {flat:.3f} in the flat and by "
            f"{steep:.3f} in the steep direction: {fate}."
        )

    sliders = (
        Slider("learning rate η", (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.111, 0.13, 0.15), 2),
        Slider("momentum β", (0.0, 0.2, 0.444, 0.6, 0.8, 0.9, 0.95), 4),
    )
    return Explorable(figure, sliders, (way, steps, here), show)


def steps_to_a_thousandth(lr: float, momentum: float) -> int:
    """Count the steps to a thousandth in the long run."""
    slower = float(convergence_rate(BOWL, lr=lr, momentum=momentum).max())
    return round(math.log(1000) / -math.log(slower))


def path_says() -> dict[str, bool]:
    """Return what alt text and caption say of the start, and whether it is so."""
    data, grid = descend(0.04, 0.8), plane()
    best = np.unravel_index(grid.rate.argmin(), grid.rate.shape)
    nearest = grid.momentum[best[1]], grid.lr[best[0]]
    plain = 2 / BOWL.sum()
    return {
        "Left: forty steps of heavy ball with learning rate 0.04 and momentum 0.8 on a bowl with "
        "curvatures 1 and 25": len(data.path) == 41,
        "the path swings across the valley and overshoots the minimum": bool(
            (np.diff(np.sign(data.path), axis=0) != 0).any(0).all()
        ),
        "Below the line the method converges": bool(
            ((grid.rate < 1) == (grid.lr[:, None] < grid.limit)).mean() > 0.99
        ),
        "Right: the plane of momentum and learning rate; the star marks the best parameters, "
        f"momentum {BEST.momentum:.3f} and learning rate {BEST.lr:.3f}": bool(
            abs(nearest[0] - BEST.momentum) < 0.02 and abs(nearest[1] - BEST.lr) < 0.004
        ),
        f"At the star a step multiplies the error by {BEST.rate:.3f}": bool(
            grid.rate.min() >= BEST.rate - 1e-9
        ),
        "without momentum by 0.923 at best": round(
            float(convergence_rate(BOWL, lr=float(plain)).max()), 3
        )
        == 0.923,
        "With more momentum than there, no learning rate is as fast": bool(
            (grid.rate[:, grid.momentum > BEST.momentum + 0.01] > BEST.rate).all()
        ),
    }


PHASE_STEPS = 50


class Phase(NamedTuple):
    """Heavy ball along one direction, from an error of 1 at rest.

    Attributes:
        error: e₀, e₁, …
        move: (e_t − e_{t−1}) / √(ηλ), 0 at the start: with this scale a swing is about a circle.
        rate: Factor of the error a step in the long run.
        period: Steps of a swing.
    """

    error: Vector
    move: Vector
    rate: float
    period: float


def phase_data(rate: float, momentum: float) -> Phase:
    """Follow one direction with ηλ = `rate`."""
    rule = sgd_rule(lr=1.0, momentum=momentum)
    gradient = lambda theta, t: rate * theta  # noqa: E731
    error = trajectory(np.ones(1), gradient, rule=rule, steps=PHASE_STEPS)[:, 0]
    one = np.asarray(rate)
    found = convergence_rate(one, lr=1.0, momentum=momentum)
    period = oscillation_period(one, lr=1.0, momentum=momentum)
    move = np.diff(error, prepend=1.0) / math.sqrt(rate)
    return Phase(error, move, float(found), float(period))


def phase() -> Explorable:
    """Draw error and move against each other, and the error over the steps."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.3))
    muted = plt.rcParams["axes.edgecolor"]
    for ax in (left, right):
        ax.axhline(0, color=muted, lw=0.8, gid="zero")
    left.axvline(0, color=muted, lw=0.8, gid="no error")
    left.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), xlabel="error", ylabel="last move / √(ηλ)")
    right.set(xlim=(0, PHASE_STEPS), ylim=(-1.7, 1.7), xlabel="step t")
    right.set_title("error")
    left.set_title("phase portrait")
    (spiral,) = left.plot([], [], color="C0", lw=1.1, gid="spiral")
    (start,) = left.plot([], [], "o", color="C0", ms=4, gid="steps")
    (error,) = right.plot([], [], color="C1", label="error")

    def show(rate: float, momentum: float) -> str:
        data = phase_data(rate, momentum)
        spiral.set_data(data.error, data.move)
        start.set_data(data.error, data.move)
        error.set_data(np.arange(PHASE_STEPS + 1), data.error)
        if math.isinf(data.period):
            kind = "It creeps to zero without a swing"
        elif data.period <= 2 + 1e-9:
            kind = "It changes its sign at every step in the end"
        else:
            kind = f"It swings with a period of {data.period:.1f} steps"
        return f"{kind}, and shrinks by {data.rate:.3f} a step in the long run."

    sliders = (
        Slider("ηλ", (0.01, 0.05, 0.2, 1.0, 2.5), 1),
        Slider("momentum β", (0.1, 0.4, 0.6, 0.8, 0.9, 0.97), 4),
    )
    return Explorable(figure, sliders, (spiral, start, error), show)


def phase_says() -> dict[str, bool]:
    """Return what alt text and caption say of the start, and whether it is so."""
    data, damped = phase_data(0.05, 0.9), phase_data(0.05, 0.6)
    faster = [phase_data(0.05, beta).rate for beta in (0.6, 0.1, 0.4, 0.8, 0.9, 0.97)]
    return {
        "Left: error and last move spiral into zero for ηλ = 0.05 and momentum 0.9": bool(
            data.rate < 1 and 2 < data.period < math.inf
        ),
        f"Right: the error swings with a period of {data.period:.0f} steps": bool(
            (data.error < 0).any()
        ),
        "critical momentum is 0.603": bool(
            round((1 - 0.05**0.5) ** 2, 3) == 0.603 and (damped.error > 0).all()
        ),
        "At 0.6 the error creeps to zero fastest of the values here": min(faster) == faster[0],
        "with more it swings, ever longer": bool((np.diff(faster[3:]) > 0).all()),
    }


CYCLE_STEPS = 60
CYCLE_START = 3.3


def kinked_gradient(x: Vector) -> Vector:
    """Return the gradient of a convex function whose curvature is 25, then 1, then 25."""
    return np.where(x < 1, 25 * x, np.where(x < 2, x + 24, 25 * x - 24))


def cycle_data() -> dict[str, Vector]:
    """Run heavy ball and Nesterov at the best parameters for quadratics, and gradient descent."""
    nesterov = optimal_nesterov(*BOWL.tolist())
    rules = {
        "heavy ball": sgd_rule(lr=BEST.lr, momentum=BEST.momentum),
        "Nesterov": sgd_rule(lr=nesterov.lr, momentum=nesterov.momentum, nesterov=True),
        "gradient descent": sgd_rule(lr=float(2 / BOWL.sum())),
    }
    start = np.asarray([CYCLE_START])
    return {
        name: trajectory(start, lambda x, t: kinked_gradient(x), rule=rule, steps=CYCLE_STEPS)[:, 0]
        for name, rule in rules.items()
    }


def cycle() -> Figure:
    """Draw three methods on a convex function that is no quadratic."""
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
    for i, (name, values) in enumerate(cycle_data().items()):
        ax.plot(np.arange(CYCLE_STEPS + 1), values, color=f"C{i}", label=name, lw=1.4)
    ax.set(xlabel="step t", ylabel="x", xlim=(0, CYCLE_STEPS), ylim=(-3.3, 5.5))
    ax.legend(loc="upper center", ncols=3)
    return figure


def cycle_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    heavy, nesterov, plain = cycle_data().values()
    late = heavy[-30:]
    return {
        "Three methods on a convex function of one variable over 60 steps": len(heavy) == 61,
        "Heavy ball ends in a cycle of three values": bool(
            np.allclose(late[3:], late[:-3], atol=1e-3) and np.ptp(late) > 1
        ),
        "Nesterov and gradient descent reach zero": bool(
            abs(nesterov[-1]) < 1e-3 and abs(plain[-1]) < 0.1
        ),
        "Curvature 25, then 1, then 25": bool(
            np.allclose(np.diff(kinked_gradient(np.asarray([0, 1, 2, 3]))), [25, 1, 25])
        ),
        "Heavy ball has the parameters that are best on every quadratic with these curvatures": (
            tuple(BEST) == tuple(optimal_heavy_ball(1.0, 25.0))
        ),
    }
