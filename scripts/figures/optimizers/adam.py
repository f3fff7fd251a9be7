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


class Onsets(NamedTuple):
    """Steps for lr 1 of three kinds of gradient that set in after a long silence, and the bound."""

    spike: Vector
    constant: Vector
    growing: Vector
    bound: float


def onsets(*, silence: int = 20_000, steps: int = 60) -> Onsets:
    """Let gradients set in after silence: one spike, a constant, and growth by β₂/β₁ a step."""
    k = np.arange(steps)
    gradients = (np.where(k == 0, 1.0, 0.0), np.ones(steps), (0.999 / 0.9) ** k)
    spike, constant, growing = (steps_taken(g, start=silence)[0] for g in gradients)
    return Onsets(spike, constant, growing, step_bound(lr=1.0))


def largest_steps() -> Figure:
    """Draw how large Adam's step gets when gradients set in after silence."""
    data = onsets()
    figure, ax = plt.subplots()
    k = np.arange(1, len(data.spike) + 1)
    ax.axhline(data.bound, color="C2", linestyle="--")
    ax.text(k[-1], data.bound + 0.15, f"bound {data.bound:.2f}", color="C2", ha="right")
    for i, (steps, name) in enumerate(
        zip(data[:3], ("one spike", "constant", "growing"), strict=True)
    ):
        color = ("C0", "C1", "C3")[i]
        ax.plot(k, steps, color=color, label=name)
    ax.set(ylim=(0, 8.3), xlabel="steps since the gradient set in", ylabel="step / lr")
    ax.legend(loc="center right", bbox_to_anchor=(1.0, 0.3))
    return figure


def largest_steps_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = onsets()
    growth = 0.999 / 0.9 - 1
    return {
        "step after gradients set in": bool(min(steps[0] for steps in data[:3]) > 0),
        f"One spike starts at {data.spike[0]:.2f} and decays": bool(
            (np.diff(data.spike) < 0).all()
        ),
        f"A constant gradient peaks at {data.constant.max():.2f} after twelve steps": bool(
            data.constant.argmax() + 1 == 12
        ),
        f"A growing gradient approaches the dashed bound at {data.bound:.2f}": bool(
            0.999 * data.bound < data.growing[-1] < data.bound
        ),
        "The largest steps come after silence": bool(
            min(steps.max() for steps in data[:3]) > averages().step.max()
        ),
        "A gradient that stays passes the value of a single spike": bool(
            data.constant.max() > data.spike.max()
        ),
        f"one that grows by {100 * growth:.0f} % a step reaches the bound": bool(
            data.growing[-1] > 0.999 * data.bound
        ),
    }
