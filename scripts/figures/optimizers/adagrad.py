"""Figures of the page on AdaGrad and RMSProp."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.optimizers.adagrad import adagrad, adagrad_init, rmsprop, rmsprop_init
from dlkb.optimizers.adam import adam, adam_init
from dlkb.optimizers.muon import COEFFICIENTS, newton_schulz
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Vector = NDArray[np.float64]

SPIKE_AT, STEPS = 100, 3000
DECAYS, SPIKES = (0.9, 0.99, 0.999), (1.0, 10.0, 100.0)
NAMES = ("AdaGrad", "RMSProp", "Adam")


class Rates(NamedTuple):
    """What three methods multiply a gradient by, in units of lr.

    Attributes:
        t: The number of the step, 1, 2, …
        rates: A row for each of `NAMES`.
    """

    t: Vector
    rates: Vector


@kept
def all_rates() -> Vector:
    """Run the methods on gradients of 1, but for one; Adam without its first average.

    Returns:
        Shape (methods, decays, spikes, steps).
    """
    zero = np.zeros((len(DECAYS), len(SPIKES)))
    decay: Any = np.asarray(DECAYS)[:, None]  # one for each row
    rules: list[Callable[..., Any]] = [
        partial(adagrad, lr=1.0, eps=0.0),
        partial(rmsprop, lr=1.0, eps=0.0, alpha=decay),
        partial(adam, lr=1.0, eps=0.0, betas=(0.0, decay)),
    ]
    states: list[Any] = [adagrad_init(zero), rmsprop_init(zero), adam_init(zero)._replace(step=0)]
    found = np.empty((len(rules), *zero.shape, STEPS))
    for t in range(STEPS):
        grad = zero + (SPIKES if t + 1 == SPIKE_AT else 1.0)
        for i, rule in enumerate(rules):
            new, states[i] = rule(zero, grad, states[i])
            found[i, ..., t] = -new / grad
    return found


def rates(decay: float = 0.99, spike: float = 100.0) -> Rates:
    """Return the rates for one decay and one spike."""
    found = all_rates()[:, DECAYS.index(decay), SPIKES.index(spike)]
    return Rates(np.arange(1.0, STEPS + 1), found)


def shown(t: Vector) -> NDArray[np.intp]:
    """Return the indices of the steps that the figure shows: fewer the later, all at the spike."""
    spread = np.geomspace(1, STEPS, 70).round().astype(int)
    around = np.arange(SPIKE_AT - 2, SPIKE_AT + 3)
    return np.unique(np.concatenate([spread, around])) - 1


def learning_rates() -> Explorable:
    """Draw the rate of each method over the steps, for any decay and any spike."""
    figure, ax = plt.subplots(figsize=(6.2, 3.5))
    colors = ("C1", "C0", "C2")
    lines = [
        ax.plot([], [], color=color, linestyle=style, label=name)[0]
        for name, color, style in zip(NAMES, colors, ("-", "-", "--"), strict=True)
    ]
    ax.set(xscale="log", xlim=(1, STEPS), yscale="log", ylim=(3e-4, 60))
    ax.set(yticks=[0.001, 0.01, 0.1, 1, 10], xticks=[1, 10, 100, 1000])
    ax.set_yticklabels(["0.001", "0.01", "0.1", "1", "10"])
    ax.set_xticklabels(["1", "10", "100", "1000"])
    ax.set(xlabel="step t", ylabel="rate / lr")
    ax.legend(loc="upper right", ncols=3)

    def show(decay: float, spike: float) -> str:
        data = rates(decay, spike)
        at = shown(data.t)
        for line, rate in zip(lines, data.rates, strict=True):
            line.set_data(data.t[at], rate[at])
        first, last = data.rates[:, 0], data.rates[:, -1]
        return (
            f"RMSProp's first rate is {first[1]:.1f} lr, the others' 1 lr. At step {STEPS} "
            f"AdaGrad's is {last[0]:.4f} lr, RMSProp's {last[1]:.2f} lr."
        )

    sliders = (
        Slider("decay ρ", DECAYS, 1),
        Slider("spike", SPIKES, 2),
    )
    return Explorable(figure, sliders, tuple(lines), show)


def learning_rates_says() -> dict[str, bool]:
    """Return what alt text and caption say of the start, and whether it is so."""
    data = rates()
    ada, rms, adam_rate = data.rates
    after = rms[SPIKE_AT - 1 :]
    back = int(np.argmax(after > 0.5))
    calm = rates(spike=1.0).rates[0]
    return {
        f"the gradient is {100} at step {SPIKE_AT} and 1 otherwise": True,
        f"Rates over {len(data.t)} steps": True,
        f"AdaGrad's falls from 1 to {ada[SPIKE_AT - 2]:.2f}, then to {ada[SPIKE_AT - 1]:.3f}, and "
        "does not rise again": bool((np.diff(ada[SPIKE_AT - 1 :]) < 0).all()),
        f"RMSProp's starts at {rms[0]:.0f}": True,
        f"drops to {after[0]:.1f} and is back at half within {round(back, -1)} steps": bool(
            after[-1] > 0.99 and abs(back - round(back, -1)) < 5
        ),
        f"Adam's starts at 1, drops to {adam_rate[SPIKE_AT - 1]:.2f} and is back at half as late": (
            math.isclose(adam_rate[0], 1)
            and abs(int(np.argmax(adam_rate[SPIKE_AT - 1 :] > 0.5)) - back) <= 2
        ),
        "What a gradient is multiplied by, in units of lr; Adam's with β₁ = 0 and "
        "β₂ = ρ = 0.99": bool(
            np.allclose(ada, np.cumsum(np.where(data.t == SPIKE_AT, 1e4, 1.0)) ** -0.5)
        ),
        "AdaGrad's rate falls with each gradient": bool(
            (np.diff(ada) < 0).all() and (np.diff(calm) < 0).all()
        ),
        "RMSProp's forgets": bool(after[-1] > 0.99),
    }


class Eps(NamedTuple):
    """The first step of AdaGrad, in units of lr, for ε in two places.

    Attributes:
        size: The size of the gradient.
        outside: With √G + ε.
        inside: With √(G + ε).
    """

    size: Vector
    outside: Vector
    inside: Vector


EPS = 1e-8


def eps_data() -> Eps:
    """Compute the first step by the formula; ε inside the root is an initial sum of ε."""
    size = np.geomspace(1e-12, 1.0, 121)
    zero = np.zeros_like(size)
    outside, _ = adagrad(zero, size, adagrad_init(zero), lr=1.0, eps=EPS)
    start = adagrad_init(zero, initial_accumulator_value=EPS)
    inside, _ = adagrad(zero, size, start, lr=1.0, eps=0.0)
    return Eps(size, -outside, -inside)


def eps_inside() -> Figure:
    """Draw the first step over the size of the gradient."""
    data = eps_data()
    figure, ax = plt.subplots(figsize=(6.2, 3.0))
    (out,) = ax.plot(data.size, data.outside, color="C0")
    (inner,) = ax.plot(data.size, data.inside, color="C1")
    ax.set(xscale="log", xlim=(1e-12, 1), ylim=(-0.03, 1.12))
    ax.set(xlabel="size of the gradient", ylabel="first step / lr")
    label_line(ax, out, "√G + ε", 38, offset=(-8, 0), ha="right")
    label_line(ax, inner, "√(G + ε)", 82, offset=(10, -4))
    return figure


def eps_inside_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = eps_data()
    half = [data.size[np.searchsorted(row, 0.5)] for row in (data.outside, data.inside)]
    return {
        "Both curves rise from 0 to 1": bool(
            max(data.outside[0], data.inside[0]) < 0.001
            and min(data.outside[-1], data.inside[-1]) > 0.999
        ),
        "with ε outside the root near a gradient of 1e-8": bool(0.9 < half[0] / EPS < 1.3),
        "with ε inside near 1e-4": bool(0.5 < half[1] / EPS**0.5 < 0.7),
        f"for ε = {EPS:.0e}".replace("e-0", "e-"): True,
        "Inside the root, ε has the unit of a squared gradient": bool(
            np.allclose(data.inside, data.size / np.sqrt(data.size**2 + EPS))
        ),
    }


class Singular(NamedTuple):
    """What five steps of an iteration make of a singular value.

    Attributes:
        before: Singular values of a matrix whose norm is at most 1.
        muon: With Muon's coefficients.
        cubic: With those of Newton and Schulz.
    """

    before: Vector
    muon: Vector
    cubic: Vector


CUBIC = (1.5, -0.5, 0.0)


def singular_data() -> Singular:
    """Run the iteration on diagonal matrices of two entries, whose Frobenius norm is 1."""
    before = np.geomspace(1e-3, 1.0, 481)
    matrices = np.zeros((len(before), 2, 2))
    matrices[:, 0, 0], matrices[:, 1, 1] = before, np.sqrt(1 - np.minimum(before, 1) ** 2)
    after = [
        newton_schulz(matrices, coefficients=c, eps=0.0)[:, 0, 0] for c in (COEFFICIENTS, CUBIC)
    ]
    return Singular(before, *after)


def singular_values() -> Figure:
    """Draw the singular values behind five steps over those before."""
    data = singular_data()
    figure, ax = plt.subplots(figsize=(6.2, 3.3))
    (ours,) = ax.plot(data.before, data.muon, color="C0")
    (cubic,) = ax.plot(data.before, data.cubic, color="C1")
    ax.axhline(1, color=plt.rcParams["axes.edgecolor"], linewidth=0.8, zorder=1.8)
    ax.set(xscale="log", xlim=(1e-3, 1), ylim=(-0.04, 1.4), xticks=[0.001, 0.01, 0.1, 1])
    ax.set_xticklabels(["0.001", "0.01", "0.1", "1"])
    ax.set(xlabel="singular value before", ylabel="after five steps")
    label_line(ax, ours, "Muon", 97, offset=(0, 5), ha="center")
    label_line(ax, cubic, "Newton–Schulz", 300, offset=(8, -8))
    return figure


def singular_values_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = singular_data()
    large = data.muon[data.before > 0.01]
    at = np.searchsorted(data.before, 0.01)
    return {
        "Singular values after five steps": bool(
            np.allclose(data.before[-1], 1) and np.allclose(data.cubic[-1], 1)
        ),
        f"Muon's curve is between {large.min():.2f} and {large.max():.2f} from 0.01 on": True,
        f"that of Newton and Schulz is at {data.cubic[at]:.2f} there and reaches 1 late": bool(
            data.cubic[-1] > 0.99 and data.cubic[data.before < 0.2].max() < 0.99
        ),
        "Muon's polynomial lifts small singular values fast": bool(
            (data.muon > data.cubic)[data.before < 0.1].all()
        ),
        "and does not settle at 1": bool(np.ptp(large) > 0.3),
    }
