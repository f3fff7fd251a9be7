"""Figures of the page on Adam."""

from collections.abc import Iterable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.optimizers.adam import AdamState, adam, adam_init, step_bound

Vector = NDArray[np.float64]


def steps_taken(
    gradients: Iterable[float], *, start: int = 0, betas: tuple[float, float] = (0.9, 0.999)
) -> tuple[Vector, list[AdamState]]:
    """Feed scalar gradients to Adam with lr 1 and ε 0; return each step and each state.

    `start` gradients of zero came before, if any.
    """
    theta = np.zeros(1)
    state = adam_init(theta)._replace(step=start)
    steps, states = [], []
    for grad in gradients:
        new, state = adam(theta, np.asarray([grad]), state, lr=1.0, betas=betas, eps=0.0)
        steps.append((theta - new).item())
        states.append(state)
    return np.asarray(steps), states


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
    """Run Adam on a constant gradient."""
    step, states = steps_taken(np.ones(steps))
    m, v = np.asarray([(s.m.item(), s.v.item()) for s in states]).T
    return Averages(np.arange(1.0, steps + 1), m, v, step, m / np.sqrt(v))


def bias_correction() -> Figure:
    """Draw the averages of a constant gradient, and the step with and without correction."""
    data = averages()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.4), sharex=True)
    left.plot(data.t, np.ones_like(data.t), color="C2")
    left.plot(data.t, data.m, color="C0")
    left.plot(data.t, data.v, color="C1")
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
    for i in (0, peak):
        right.plot(data.t[i], data.raw_step[i], "o", color="C1")
        right.annotate(
            f"{data.raw_step[i]:.2f}",
            (data.t[i], data.raw_step[i]),
            textcoords="offset points",
            xytext=(8, 2),
        )
    right.set(ylim=(0, 7.5), xlabel="step t", title="step / lr")
    right.legend(loc="upper right")
    return figure


def reddi(*, amsgrad: bool, C: float = 3.0, steps: int = 3000, start: float = 0.0) -> Vector:
    """Run the example of Reddi et al.: gradient C every third step, else −1, on [−1, 1].

    The sum of three gradients is C − 2 > 0, so that −1 is the best point and 1 the worst.
    """
    x = np.asarray([start])
    state = adam_init(x, amsgrad=amsgrad)._replace(step=0)
    path = [start]
    for t in range(1, steps + 1):
        grad = np.asarray([C if t % 3 == 1 else -1.0])
        x, state = adam(x, grad, state, lr=0.1 / t**0.5, betas=(0.0, 1 / (1 + C**2)))
        x = np.clip(x, -1, 1)
        path.append(x.item())
    return np.asarray(path)


def counterexample() -> Figure:
    """Draw where Adam and AMSGrad go on the example of Reddi et al."""
    figure, ax = plt.subplots()
    for amsgrad, name, color in ((False, "Adam", "C1"), (True, "AMSGrad", "C0")):
        path = reddi(amsgrad=amsgrad)
        ax.plot(np.arange(len(path))[::3], path[::3], color=color)
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


class Onsets(NamedTuple):
    """Steps for lr 1 of three kinds of gradient that set in after an endless silence.

    Attributes:
        steps: One column a kind, `KINDS`, and a row a step.
        bound: What no sequence of gradients exceeds.
    """

    steps: Vector
    bound: float


KINDS = ("one spike", "constant", "growing")


def onsets(beta1: float, beta2: float, *, steps: int = 60) -> Onsets:
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
    figure, ax = plt.subplots(figsize=(6.2, 3.6))
    lines = [ax.plot([], [], color=f"C{i}", label=kind)[0] for i, kind in enumerate(KINDS)]
    (limit,) = ax.plot([], [], color="C3", linestyle="--", label="bound")
    ax.axhline(1, color=plt.rcParams["axes.edgecolor"], linewidth=0.8)
    ax.set(xlim=(1, 60), yscale="log", ylim=(0.1, 40), yticks=[0.1, 1, 10])
    ax.set_yticklabels(["0.1", "1", "10"])
    ax.set(xlabel="steps since the gradient set in", ylabel="step / lr")
    ax.legend(loc="upper right", ncols=4)

    def show(beta1: float, beta2: float) -> str:
        data = onsets(beta1, beta2)
        k = np.arange(1, len(data.steps) + 1)
        for line, steps in zip(lines, data.steps.T, strict=True):
            line.set_data(k, steps)
        limit.set_data([1, 60], [data.bound, data.bound])
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


class Bowl(NamedTuple):
    """Adam on the loss θ², ten starts at once.

    Attributes:
        t: The number of the step, 1, 2, …
        size: |θ| of the start at `STARTS[MIDDLE]`, one row a setting of `SETTINGS`.
    """

    t: Vector
    size: Vector


SETTINGS = {"ε = 1e-8": (1e-8, False), "ε = 1e-3": (1e-3, False), "AMSGrad": (1e-8, True)}


def bowl(*, start: float = 1.0, lr: float = 0.01, steps: int = 25_000) -> Bowl:
    """Run Adam on θ² from one start with two ε, and AMSGrad."""
    rows = []
    for eps, amsgrad in SETTINGS.values():
        theta = np.asarray(start)
        state = adam_init(theta, amsgrad=amsgrad)._replace(step=0)
        path = []
        for _ in range(steps):
            theta, state = adam(theta, 2 * theta, state, lr=lr, eps=eps)
            path.append(abs(float(theta)))
        rows.append(path)
    return Bowl(np.arange(1.0, steps + 1), np.asarray(rows))
