"""Figures of the page on gradient clipping."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.gradients.clipping import (
    adam_recovery_steps,
    clip_by_global_norm,
    clip_by_value,
    clip_each_by_norm,
    clip_factor,
    cosine,
    shrink_when_large,
)
from dlkb.optimizers.adam import adam, adam_init

Matrix = NDArray[np.float64]

SEEDS = 20
SPIKE = 1000.0


def rule_data() -> tuple[Matrix, Matrix, Matrix]:
    """Return norms, and what clipping to norm 1 and the notes' rule with ε = 0.01 make of them."""
    norm = np.logspace(-2, 4, 601)
    constant = [shrink_when_large(np.asarray([t]), threshold=1.0, factor=0.01)[0] for t in norm]
    return norm, norm * clip_factor(norm, max_norm=1.0), np.asarray(constant)


def rules() -> Figure:
    """Draw the norm after over the norm before."""
    norm, clipped, constant = rule_data()
    figure, ax = plt.subplots()
    muted = plt.rcParams["axes.edgecolor"]
    ax.plot(norm, norm, color=muted, linestyle=":", linewidth=1, label="as it is")
    ax.plot(norm, clipped, color="C0", label="clipped: min(1, t/‖g‖)")
    jump = np.searchsorted(norm, 1.0, side="right")
    ax.plot(norm[:jump], constant[:jump], color="C1", label="notes: ε if ‖g‖ > t")
    ax.plot(norm[jump:], constant[jump:], color="C1")
    ax.set(xscale="log", yscale="log", xlabel="‖g‖ before, t = 1", ylabel="‖g‖ after")
    ax.legend()
    return figure


class Directions(NamedTuple):
    """Cosines between a gradient and what clipping makes of it, shape (thresholds, seeds).

    Attributes:
        thresholds: As shares of the norm (global, each) or of the largest entry (value).
        together: By the global norm.
        each: Each array by its norm.
        value: By value.
    """

    thresholds: Matrix
    together: Matrix
    each: Matrix
    value: Matrix


@cache
def direction_data() -> Directions:
    """Clip four arrays of heavy-tailed entries and of scales 1, 3, 10 and 30."""
    thresholds = np.logspace(-3, 0, 31)
    rows = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        g = tuple(s * rng.standard_t(3, size=(50, 20)) for s in (1.0, 3.0, 10.0, 30.0))
        norm = float(clip_by_global_norm(g, max_norm=1.0).norm)
        largest = max(float(np.abs(x).max()) for x in g)
        for t in thresholds:
            values = tuple(clip_by_value(x, clip_value=t * largest) for x in g)
            together = clip_by_global_norm(g, max_norm=t * norm).grads
            each = clip_each_by_norm(g, max_norm=t * norm)
            rows.append([float(cosine(g, found)) for found in (together, each, values)])
    table = np.asarray(rows).reshape(SEEDS, len(thresholds), 3).transpose(2, 1, 0)
    return Directions(thresholds, *table)


def direction() -> Figure:
    """Draw the cosine to the gradient over the threshold for three rules."""
    data = direction_data()
    figure, ax = plt.subplots()
    names = ("global norm", "norm of each array", "value")
    for i, (values, name) in enumerate(zip(data[1:], names, strict=True)):
        low, middle, high = np.quantile(values, (0.0, 0.5, 1.0), axis=1)
        ax.fill_between(data.thresholds, low, high, color=f"C{i}", alpha=0.25, linewidth=0)
        ax.plot(data.thresholds, middle, color=f"C{i}", label=name)
    ax.set(
        xscale="log",
        xlabel="threshold / largest value of what is limited",
        ylabel="cosine to the gradient",
        ylim=(0, 1.05),
    )
    ax.legend(loc="lower right")
    return figure


@cache
def spike_data(clip: bool, steps: int = 8000) -> Matrix:
    """Return Adam's steps, in units of η, around one gradient 1000 times the usual size."""
    state = adam_init(np.zeros(1))._replace(step=30_000, m=np.ones(1), v=np.ones(1))
    theta, path = np.zeros(1), []
    for t in range(steps):
        grad = np.asarray([SPIKE if t == 0 else 1.0])
        if clip:
            grad = clip_by_global_norm([grad], max_norm=2.0).grads[0]
        after, state = adam(theta, grad, state, lr=1.0)
        path.append(float(theta[0] - after[0]))
        theta = after
    return np.asarray(path)


def adam_spike() -> Figure:
    """Draw Adam's steps after a spike, with clipping and without."""
    figure, ax = plt.subplots()
    ax.plot(spike_data(clip=True), color="C0", label="gradients clipped to norm 2")
    ax.plot(spike_data(clip=False), color="C1", label="as they are")
    n = float(adam_recovery_steps(np.asarray(SPIKE)))
    ax.plot(n, 0.5, "o", color="C1")
    ax.annotate(
        f"half again after {n:.0f} steps",
        (n, 0.5),
        xytext=(-10, 4),
        textcoords="offset points",
        ha="right",
    )
    ax.set(xlabel="steps since the spike", ylabel="step / η", ylim=(0, 1.6))
    ax.legend(loc="upper right")
    return figure
