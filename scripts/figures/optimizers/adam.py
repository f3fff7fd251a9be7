"""Figures of the page on Adam."""

import math
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.optimizers.adam import adam, adam_init, step_bound
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]


class Averages(NamedTuple):
    """The averages of a gradient that is always one, and the steps that follow from them.

    Attributes:
        t: The number of the step, 1, 2, …
        m: First moment as stored; corrected it is one.
        v: Second moment as stored; corrected it is one.
        step: Adam's step for lr 1.
        raw_step: The step m / √v that the stored averages would give.
    """

    t: Vector
    m: Vector
    v: Vector
    step: Vector
    raw_step: Vector


def averages(*, steps: int = 5000) -> Averages:
    """Run Adam with lr 1 and ε 0 on a constant gradient."""
    theta, grad = np.zeros(1), np.ones(1)
    state = adam_init(theta)._replace(step=0)
    rows = []
    for _ in range(steps):
        new, state = adam(theta, grad, state, lr=1.0, eps=0.0)
        rows.append((state.m.item(), state.v.item(), (theta - new).item()))
        theta = new
    m, v, step = np.asarray(rows).T
    return Averages(np.arange(1.0, steps + 1), m, v, step, m / np.sqrt(v))


def bias_correction() -> Figure:
    """Draw the averages of a constant gradient, and the step with and without correction."""
    data = averages()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.4), sharex=True)
    left.plot(data.t, np.ones_like(data.t), color="C2", label="m̂, v̂")
    left.plot(data.t, data.m, color="C0", label="m")
    left.plot(data.t, data.v, color="C1", label="v")
    for name, t, y, color in (
        ("m̂, v̂", 1, 1.04, "C2"),
        ("m", 3.5, 0.55, "C0"),
        ("v", 160, 0.35, "C1"),
    ):
        left.text(t, y, name, color=color)
    left.set(xscale="log", xlabel="step t", ylim=(-0.02, 1.15), title="averages of g = 1")
    right.plot(data.t, data.raw_step, color="C1", label="m / √v")
    right.plot(data.t, data.step, color="C2", label="m̂ / √v̂")
    peak = data.raw_step.argmax()
    for i, name in ((0, "first"), (peak, "peak")):
        right.plot(data.t[i], data.raw_step[i], "o", color="C1", gid=name)
        right.annotate(
            f"{data.raw_step[i]:.2f}",
            (data.t[i], data.raw_step[i]),
            textcoords="offset points",
            xytext=(8, 2),
        )
    right.set(ylim=(0, 7.5), xlabel="step t", title="step / lr")
    right.legend(loc="upper right")
    return figure


def bias_correction_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = averages()
    peak = data.raw_step.argmax()
    slow = np.searchsorted(data.v, 0.99) + 1  # the first step at which v is nearly one
    return {
        f"m climbs from {data.m[0]:.1f} to one within 50 steps": bool(0.99 < data.m[49] < 1),
        "and v within 5000": bool(0.99 < data.v[4999] < 1 and slow > 4000),
        "the corrected averages are one from the start": bool(np.allclose(data.step, 1)),
        f"the step m over root v starts at {data.raw_step[0]:.2f}, "
        f"peaks at {data.raw_step[peak]:.2f} at step {peak + 1} and falls to one": bool(
            1 < data.raw_step[-1] < 1.01 and (np.diff(data.raw_step[peak:]) < 0).all()
        ),
        "the corrected step is one throughout": bool(np.allclose(data.step, 1)),
        "for a gradient that is always 1": bool(np.allclose(data.m, 1 - 0.9**data.t)),
        "Both averages start too low": bool(data.m[0] < 1 and data.v[0] < 1),
        "the slower v": bool((data.v < data.m).all()),
        "makes their quotient too large for thousands of steps": bool(
            data.t[data.raw_step > 1.01].max() > 2000
        ),
        "The correction removes all of it": bool(np.allclose(data.step, 1)),
    }


LR = 0.1
"""The learning rate of the example of Reddi et al. at the first step."""


def reddi(*, amsgrad: bool, C: float = 3.0, steps: int = 3000, start: float = 0.0) -> Vector:
    """Run the example of Reddi et al.: gradient C every third step, else −1, on [−1, 1].

    The sum of three gradients is C − 2 > 0, so that −1 is the best point and 1 the worst.
    """
    x = np.asarray([start])
    state = adam_init(x, amsgrad=amsgrad)._replace(step=0)
    path = [start]
    for t in range(1, steps + 1):
        grad = np.asarray([C if t % 3 == 1 else -1.0])
        x, state = adam(x, grad, state, lr=LR / t**0.5, betas=(0.0, 1 / (1 + C**2)))
        x = np.clip(x, -1, 1)
        path.append(x.item())
    return np.asarray(path)


def counterexample() -> Figure:
    """Draw where Adam and AMSGrad go on the example of Reddi et al."""
    figure, ax = plt.subplots()
    for amsgrad, name, color in ((False, "Adam", "C1"), (True, "AMSGrad", "C0")):
        path = reddi(amsgrad=amsgrad)
        ax.plot(np.arange(len(path))[::3], path[::3], color=color, label=name)
        ax.annotate(
            name,
            (len(path) / 2, path[len(path) // 2]),
            textcoords="offset points",
            xytext=(0, -16 if not amsgrad else 10),
            color=color,
        )
    ax.set(xlabel="step t", ylabel="x", ylim=(-1.15, 1.15), yticks=[-1, 0, 1])
    ax.set_yticklabels(["best  −1", "0", "worst  1"])
    return figure


def counterexample_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    adam, ams = reddi(amsgrad=False), reddi(amsgrad=True)
    arrived = np.flatnonzero(adam[::3] == 1)[0] * 3
    return {
        "Adam moves from 0 to plus one, the worst point, within 600 steps and stays": bool(
            adam[0] == 0 and 500 < arrived <= 600 and (adam[arrived::3] == 1).all()
        ),
        "AMSGrad moves to minus one, the best point": bool(-1 <= ams[::3].min() < -0.99),
        f"lr = {LR}/√t, one point every three steps": bool(
            np.array_equal(adam, reddi(amsgrad=False, C=3.0))
        ),
        "Each cycle of three leads Adam away from the optimum": bool(
            (np.diff(adam[::3]) >= 0).all()
        ),
        "and AMSGrad towards it": bool((np.diff(ams[: 3 * 300 : 3]) < 0).all()),
    }


KINDS = ("one spike", "constant", "growing")


class Onsets(NamedTuple):
    """Steps for lr 1 of three kinds of gradient that set in after an endless silence.

    Attributes:
        steps: A row a step, a column for each of `KINDS`.
        bound: What no sequence of gradients exceeds.
    """

    steps: Vector
    bound: float


def onsets(beta1: float = 0.9, beta2: float = 0.999, *, steps: int = 60) -> Onsets:
    """Let gradients set in after silence: one spike, a constant, and growth by β₂/β₁ a step."""
    k = np.arange(steps)
    gradients = np.stack([np.where(k == 0, 1.0, 0.0), np.ones(steps), (beta2 / beta1) ** k], 1)
    theta = np.zeros(3)
    state = adam_init(theta)._replace(step=math.inf)
    taken = []
    for grad in gradients:
        new, state = adam(theta, grad, state, lr=1.0, betas=(beta1, beta2), eps=0.0)
        taken.append(theta - new)
        theta = new
    return Onsets(np.asarray(taken), step_bound(lr=1.0, betas=(beta1, beta2)))


def largest_steps() -> Explorable:
    """Draw how large Adam's step gets when gradients set in after silence, for any β₁ and β₂."""
    figure, ax = plt.subplots(figsize=(6.2, 3.5))
    lines = [ax.plot([], [], color=f"C{i}", label=kind)[0] for i, kind in enumerate(KINDS)]
    (limit,) = ax.plot([], [], color="C3", linestyle="--", label="bound", zorder=1.9)
    ax.axhline(1, color=plt.rcParams["axes.edgecolor"], linewidth=0.8, zorder=1.8)
    ax.set(xlim=(0, 60), yscale="log", ylim=(0.1, 100), yticks=[0.1, 1, 10, 100])
    ax.set_yticklabels(["0.1", "1", "10", "100"])
    ax.set(xlabel="steps since the gradient set in", ylabel="step / lr")
    ax.legend(loc="upper center", ncols=4)

    def show(beta1: float, beta2: float) -> str:
        data = onsets(beta1, beta2)
        k = np.arange(1, len(data.steps) + 1)
        for line, steps in zip(lines, data.steps.T, strict=True):
            line.set_data(k, steps)
        limit.set_data([0, 60], [data.bound, data.bound])
        spike, constant, _ = data.steps.max(0)
        return (
            f"One spike makes a step of {spike:.2f} lr, a constant gradient of up to "
            f"{constant:.2f} lr. The bound on every step is {data.bound:.2f} lr."
        )

    sliders = (
        Slider("β₁", (0.5, 0.7, 0.8, 0.9, 0.95), 3),
        Slider("β₂", (0.95, 0.98, 0.99, 0.999, 0.9999), 3),
    )
    return Explorable(figure, sliders, (limit, *lines), show)


def largest_steps_says() -> dict[str, bool]:
    """Return what alt text and caption say of the defaults, and whether it is so."""
    data = onsets()
    spike, constant, growing = data.steps.T
    lower = [onsets(beta2=beta2).bound for beta2 in (0.999, 0.95, 0.9, 0.85)]
    return {
        "Adam's step after gradients set in, at the default betas": bool((data.steps > 0).all()),
        f"One spike makes a step of {spike[0]:.2f} lr, then decays": bool(
            (np.diff(spike) < 0).all()
        ),
        f"A constant gradient reaches {constant.max():.2f} lr at the twelfth step": bool(
            constant.argmax() + 1 == 12
        ),
        f"A growing gradient approaches the dashed bound, {data.bound:.2f} lr": bool(
            0.999 * data.bound < growing[-1] < data.bound and (np.diff(growing) > 0).all()
        ),
        "The largest steps come after silence": bool(
            data.steps.max(0).min() > averages().step.max()
        ),
        f"At the default betas the bound is {data.bound:.2f} lr": True,
        "Lower β₂, and the bound falls until β₂ = β₁": bool(np.argmin(lower) == 2),
    }


SETTINGS = {"ε = 1e-8": (1e-8, False), "ε = 1e-3": (1e-3, False), "AMSGrad": (1e-8, True)}
LR_BOWL = 0.01


class Bowl(NamedTuple):
    """Adam on the loss θ², from θ = 1.

    Attributes:
        t: Every fiftieth step: 50, 100, …
        sizes: The largest |θ| of the fifty steps up to it, a row for each of `SETTINGS`.
    """

    t: Vector
    sizes: Vector


@kept
def bowl(*, steps: int = 25_000) -> Bowl:
    """Run Adam with two ε, side by side, and AMSGrad."""
    paths: list[Vector] = []
    settings: list[tuple[Any, bool]] = [(np.asarray([1e-8, 1e-3]), False), (1e-8, True)]
    for eps, amsgrad in settings:
        theta = np.ones(np.shape(eps))
        state = adam_init(theta, amsgrad=amsgrad)._replace(step=0)
        path = np.empty((steps, theta.size))
        for t in range(steps):
            theta, state = adam(theta, 2 * theta, state, lr=LR_BOWL, eps=eps)
            path[t] = abs(theta)
        paths += list(path.T)
    sizes = np.asarray(paths).reshape(len(paths), -1, 50).max(2)
    return Bowl(np.arange(50.0, steps + 1, 50), sizes)


def late_bursts() -> Figure:
    """Draw how far Adam is from the minimum of θ², for a long time."""
    data = bowl()
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
    for name, size, color in zip(SETTINGS, data.sizes, ("C3", "C0", "C2"), strict=True):
        ax.plot(data.t, size, color=color, label=name)
    ax.set(yscale="log", ylim=(1e-40, 1e9), xlim=(0, data.t[-1]), xlabel="step t", ylabel="|θ|")
    ax.legend(loc="upper center", ncols=3)
    return figure


def late_bursts_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = bowl()
    small = data.sizes[0]
    fallen = np.argmax(small < 1e-40)
    first = data.t[fallen + np.argmax(small[fallen:] > 1e-5)]
    late = small[data.t > 20_000].reshape(-1, 20).max(1)
    stay = all(row[np.argmax(row < 1e-40) :].max() < 1e-40 for row in data.sizes[1:])
    return {
        f"The size of θ on the loss θ² over {data.t[-1]:.0f} steps, logarithmic": True,
        "With ε = 1e-8 it falls below 1e-40, bursts from about step "
        f"{round(first, -3):.0f} on, and goes on bursting": bool((late > 1e-5).all()),
        "With ε = 1e-3 and with AMSGrad it stays below 1e-40": stay,
        f"Adam from θ = 1 with lr = {LR_BOWL}": bool(small[0] < 1),
        "The second moment decays until the quadratic is too steep": first > 10_000,
        "a larger ε or AMSGrad keeps the denominator up": stay,
    }
