"""Figures of the page on gradient clipping."""

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.gradients.clipping import (
    clip_by_global_norm,
    clip_by_value,
    clip_each_by_norm,
    clip_factor,
    cosine,
    shrink_when_large,
)
from dlkb.optimizers.adam import adam, adam_init
from scripts.figures.explorable import Explorable, Slider

Matrix = NDArray[np.float64]

SEEDS = 20
SCALES, ENTRIES = (1.0, 3.0, 10.0, 30.0), 1000
SPIKE = 1000.0
SPIKES, BETAS2 = (10, 30, 100, 300, 1000), (0.95, 0.98, 0.99, 0.999)
STEPS = 8000
SHOWN = np.unique(np.geomspace(1, STEPS, 120).round().astype(int))


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
    ax.plot(norm[:jump], constant[:jump], color="C1", label="constant: 0.01 if ‖g‖ > t")
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


@kept
def direction_data() -> Directions:
    """Clip four arrays of heavy-tailed entries and of scales 1, 3, 10 and 30."""
    thresholds = np.logspace(-3, 0, 31)
    rows = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        g = tuple(s * rng.standard_t(3, size=ENTRIES) for s in SCALES)
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
        ax.fill_between(
            data.thresholds, low, high, color=f"C{i}", alpha=0.25, linewidth=0, gid=name
        )
        ax.plot(data.thresholds, middle, color=f"C{i}", label=name)
    ax.set(
        xscale="log",
        xlabel="threshold / largest value of what is limited",
        ylabel="cosine to the gradient",
        ylim=(0, 1.05),
    )
    ax.legend(loc="lower right")
    return figure


@kept
def all_spikes() -> Matrix:
    """Return Adam's steps in units of η, shape (steps, as they are or clipped, spikes, β₂).

    The gradients are 1, but for the first, the spike.
    """
    spikes = np.repeat(np.asarray(SPIKES, dtype=float)[:, None], len(BETAS2), axis=1)
    first = np.stack([spikes, spikes * clip_factor(spikes, max_norm=2.0)])
    usual = np.ones_like(first)
    state = adam_init(usual)._replace(step=200_000, m=usual, v=usual)
    path = np.zeros((STEPS + 1, *first.shape))
    betas: Any = (0.9, np.asarray(BETAS2))  # one for each column
    for t in range(STEPS):
        grad = usual if t else first
        path[t + 1], state = adam(path[t], grad, state, lr=1.0, betas=betas)
    return -np.diff(path, axis=0)


def spike_data(spike: float = SPIKE, beta2: float = 0.999, *, clip: bool = False) -> Matrix:
    """Return Adam's steps after one spike."""
    return all_spikes()[:, int(clip), SPIKES.index(int(spike)), BETAS2.index(beta2)]


def below_half(steps: Matrix) -> int:
    """Count the steps that are shorter than half the usual one."""
    return int((steps < 0.5).sum())


def adam_spike() -> Explorable:
    """Draw Adam's steps after a spike of any size, with clipping and without."""
    figure, ax = plt.subplots(figsize=(6.2, 3.5))
    (clipped,) = ax.plot([], [], color="C0", label="clipped to norm 2")
    (free,) = ax.plot([], [], color="C1", label="as they are")
    ax.axhline(0.5, color=plt.rcParams["axes.edgecolor"], linewidth=0.8, zorder=1.8)
    ax.set(xscale="log", xlim=(1, STEPS), yscale="log", ylim=(0.01, 10))
    ax.set(yticks=[0.1, 0.5, 1, 10], yticklabels=["0.1", "0.5", "1", "10"])
    ax.set(xlabel="step, the spike is at 1", ylabel="step / lr")
    ax.legend(loc="lower left")

    def show(spike: float, beta2: float) -> str:
        steps = spike_data(spike, beta2)
        free.set_data(SHOWN, steps[SHOWN - 1])
        clipped.set_data(SHOWN, spike_data(spike, beta2, clip=True)[SHOWN - 1])
        return (
            f"Without clipping the shortest step is {steps.min():.2f} lr, and "
            f"{below_half(steps)} steps are shorter than half the usual one."
        )

    sliders = (
        Slider("spike, in usual gradients", SPIKES, 4),
        Slider("β₂", BETAS2, 3),
    )
    return Explorable(figure, sliders, (free, clipped), show)


def adam_spike_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    free, clipped = spike_data(), spike_data(clip=True)
    count = below_half(free)
    sizes = np.asarray(SPIKES)
    counts = np.asarray([[below_half(spike_data(k, b)) for b in BETAS2] for k in SPIKES])
    return {
        f"Adam's step after one gradient {SPIKE:.0f} times the others": bool(free.max() == free[0]),
        f"Unclipped, steps start at {free[0]:.1f} lr, fall to {free.min():.2f} lr": True,
        f"{count} of them are shorter than half the usual": bool(free[-1] > 0.5),
        "Clipped, they stay at 1 lr": bool((abs(clipped - 1) < 0.1).all()),
        "Steps are first too long, then too short for thousands of steps": bool(
            free[0] > 2 and count > 2000
        ),
        "A smaller spike shortens this time": bool((np.diff(counts[:, -1]) >= 0).all()),
        "a lower β₂ from spikes of 100 on": bool((np.diff(counts[sizes >= 100]) > 0).all()),
        "A spike of 30 halves the step under a lower β₂ only": bool(
            (counts[sizes == 30, :-1] > 0).all() and not counts[sizes == 30, -1].any()
        ),
    }


def rules_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    norm, clipped, constant = rule_data()
    above = norm > 1
    crossing = norm[above][constant[above] > 1].min()
    follows = bool(np.allclose(clipped, np.minimum(norm, 1), rtol=1e-5))
    return {
        "Norm after against norm before: clipping follows the diagonal up to 1": follows,
        "is flat from there": follows,
        "The constant factor 0.01 drops from 1 to 0.01 at the threshold": bool(
            constant[~above].max() > 0.97 and 0.0099 < constant[above].min() < 0.0105
        ),
        f"then rises, above 1 again from norm {round(crossing, -1):.0f} on": bool(
            (np.diff(constant[above]) > 0).all()
        ),
        "A constant factor is no bound: it moves the explosion to the right": bool(
            constant.max() > 50
        ),
    }


def direction_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = direction_data()
    each, value = (np.median(rows[0]) for rows in (data.each, data.value))
    return {
        "by global norm it is one throughout": bool(np.allclose(data.together, 1)),
        f"By the norm of each array it falls to {each:.1f}, by value to {value:.1f}": True,
        "when the threshold is small": bool(
            (np.diff(np.median(data.each, axis=1)) >= -1e-9).all()
            and (np.diff(np.median(data.value, axis=1)) >= -1e-9).all()
        ),
        f"Four arrays of {ENTRIES} heavy-tailed entries each, of scales 1, 3, 10 and 30": (
            SCALES == (1.0, 3.0, 10.0, 30.0)
        ),
        f"{SEEDS} seeds, bands from lowest to highest": data.each.shape[1] == SEEDS,
    }
