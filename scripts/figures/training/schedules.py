"""Figures of the page on learning-rate schedules."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import digits
from dlkb.experiments.networks import Networks, draw
from dlkb.experiments.rules import Rule, adam_rule, sgd_rule
from dlkb.experiments.scores import sharpness
from dlkb.experiments.training import train
from dlkb.gradients.loss_explosion import stable_lr
from dlkb.training.schedules import (
    cosine,
    exponential,
    inverse_root,
    linear,
    one_cycle,
    step_decay,
    warm_up,
    warmup_stable_decay,
)
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]
Schedule = Callable[[Vector], Vector]

torch.set_num_threads(1)

PEAK, STEPS, EVERY = 0.8, 160, 8
WARMUPS = (0, 5, 10, 20, 40, 80)
GAINS = (1.0, 4.0)
LEARNED = 0.3


class Start(NamedTuple):
    """Ten networks trained on all of 100 digits in each step.

    Attributes:
        step: Every eighth step, counted from 0.
        rate: The learning rate there.
        limit: 2 / λ there, median over the networks.
        low: The smallest limit of any network.
        loss: Shape (seeds, steps), at each step.
    """

    step: Vector
    rate: Vector
    limit: Vector
    low: float
    loss: Vector


@kept
def start(warmup: int, gain: float) -> Start:
    """Train with a warm-up, and measure the limit on the way.

    Args:
        warmup: Steps of the warm-up.
        gain: Factor of the last layer's initial weights.
    """
    data = digits(train=100, test=1, dtype="float32")
    rates = PEAK * warm_up(np.arange(1.0, STEPS + 1), warmup=warmup)

    def theta(networks: Networks, grad: torch.Tensor) -> torch.Tensor:
        return networks.theta

    first = draw((64, 32, 10), last_gain=gain, dtype="float32")
    run = train(first, data, rule=lambda t: sgd_rule(lr=rates[t - 1]), steps=STEPS, watch=theta)
    assert run.watched is not None
    at = np.arange(0, STEPS, EVERY)
    limits = np.asarray(
        [
            stable_lr(
                sharpness(
                    first._replace(theta=torch.tensor(run.watched[:, k])),
                    data.x_train,
                    data.y_train,
                    steps=15,
                )
            )
            for k in at
        ]
    )
    return Start(at.astype(float), rates[at], np.median(limits, 1), limits.min(), run.loss)


def against_the_limit() -> Explorable:
    """Draw the learning rate, the limit 2/λ and the loss, for each warm-up."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.4))
    (limit,) = left.plot([], [], color="C0", label="limit 2/λ")
    (rate,) = left.plot([], [], color="C1", label="learning rate")
    (worst,) = right.plot([], [], color="C3", label="worst network")
    (middle,) = right.plot([], [], color="C2", label="median")
    left.set(xlim=(0, STEPS), ylim=(0.008, 4), yscale="log", xlabel="step", ylabel="rate")
    right.set(xlim=(0, STEPS), ylim=(0.008, 30), yscale="log", xlabel="step", ylabel="loss")
    left.legend(loc="lower right")
    right.legend(loc="upper right")

    def show(warmup: float, gain: float) -> str:
        data = start(int(warmup), gain)
        limit.set_data(data.step, data.limit)
        rate.set_data(data.step, data.rate)
        shown = data.loss[:, ::4]
        steps = np.arange(0, STEPS, 4)
        worst.set_data(steps, shown.max(0))
        middle.set_data(steps, np.median(shown, 0))
        learned = int((data.loss[:, -1] < LEARNED).sum())
        return (
            f"With a warm-up of {warmup:g} steps {learned} of 10 networks end below a loss of "
            f"{LEARNED}."
        )

    sliders = (
        Slider("steps of warm-up", WARMUPS, 0),
        Slider("first weights of the last layer, times", GAINS, 1),
    )
    return Explorable(figure, sliders, (limit, rate, worst, middle), show)


def passed(warmup: int, gain: float) -> float:
    """Return the largest quotient of learning rate and limit on the way."""
    data = start(warmup, gain)
    return float((data.rate / data.limit).max())


def against_the_limit_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    first = start(0, 4.0)
    small = [start(warmup, 1.0) for warmup in WARMUPS]
    return {
        "Without warm-up the rate of 0.8 starts above the limit of 0.1": bool(
            first.rate[0] == PEAK and round(first.limit[0], 1) == 0.1
        ),
        "some of ten networks stay above a loss of 0.3 for 160 steps": bool(
            (first.loss[:, :STEPS].min(1) >= LEARNED).sum() >= 2
        ),
        "With a warm-up of 20 steps or more all networks learn": all(
            bool((start(warmup, 4.0).loss[:, -1] < LEARNED).all()) for warmup in (20, 40, 80)
        ),
        "the rate then exceeds the limit of stability less than threefold": all(
            1 < passed(warmup, 4.0) < 3 for warmup in (20, 40, 80)
        ),
        "without warm-up more than fivefold": passed(0, 4.0) > 5,
        "If the last layer starts with its usual weights, all learn with and without warm-up": all(
            bool((run.loss[:, -1] < LEARNED).all()) for run in small
        )
        and bool(small[0].limit[0] > PEAK),
    }


TOTAL = 100
STEPS_SHOWN: Vector = np.arange(TOTAL + 1.0)
SHAPES: dict[str, Schedule] = {
    "linear": partial(linear, total=TOTAL, warmup=10),
    "cosine": partial(cosine, total=TOTAL, warmup=10),
    "stable, then decay": partial(warmup_stable_decay, total=TOTAL, warmup=10, decay=20),
    "inverse root": partial(inverse_root, warmup=10),
    "one cycle": partial(one_cycle, total=TOTAL),
    "step": partial(step_decay, every=30, gamma=0.3),
    "exponential": partial(exponential, gamma=0.95),
}
PANELS = (
    ("linear", "cosine", "stable, then decay", "inverse root"),
    ("one cycle", "step", "exponential"),
)


def shapes() -> Figure:
    """Draw the schedules."""
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.2), sharey=True)
    colors = dict(
        zip(SHAPES, ("C0", "C1", "C2", "C3", plt.rcParams["text.color"], "C4", "C5"), strict=True)
    )
    for ax, names in zip(panels, PANELS, strict=True):
        for name in names:
            ax.plot(STEPS_SHOWN, SHAPES[name](STEPS_SHOWN), color=colors[name], label=name)
        ax.set(xlim=(0, TOTAL), ylim=(0, 1.45), xlabel="step")
        ax.set_yticks([0, 0.5, 1])
        ax.set_xticks([0, 30, 60, 90])
        ax.legend(loc="upper right", ncols=2)
    panels[0].set(ylabel="factor of the peak")
    return figure


def shapes_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    drawn = {name: shape(STEPS_SHOWN) for name, shape in SHAPES.items()}
    first = [drawn[name] for name in PANELS[0]]
    to_zero = ("linear", "cosine", "stable, then decay")
    return {
        "four schedules rise from 0 to the peak over 10 steps": all(
            bool(y[0] == 0 and y[10] == 1 and (np.diff(y[:11]) > 0).all()) for y in first
        ),
        "three of them end at 0": all(drawn[name][-1] == 0 for name in to_zero)
        and drawn["inverse root"][-1] > 0.3,
        "one cycle peaks at step 29 of 100": drawn["one cycle"].argmax() == 29,
        "a staircase": bool(len(np.unique(drawn["step"])) == 4),
        "an exponential that is below 0.01 at the end": bool(drawn["exponential"][-1] < 0.01),
        "0.95 a step leaves 0.6 after 10 steps": bool(round(drawn["exponential"][10], 1) == 0.6),
        "and under 0.01 after 100": bool(drawn["exponential"][100] < 0.01),
    }


LENGTH, BATCH = 400, 16
STEP: Vector = np.arange(1.0, LENGTH + 1)
RATES = {"SGD": (0.05, 0.1, 0.2, 0.4, 0.8), "Adam": (0.003, 0.006, 0.012, 0.024, 0.048)}
RULES: dict[str, Callable[..., Rule]] = {"SGD": sgd_rule, "Adam": adam_rule}
COMPARED: dict[str, Schedule] = {
    "constant": partial(warm_up, warmup=20),
    "inverse root": partial(inverse_root, warmup=20),
    "linear": partial(linear, total=LENGTH, warmup=20),
    "stable, then decay": partial(warmup_stable_decay, total=LENGTH, warmup=20, decay=80),
}
WIDTHS = {"SGD": (64, 48, 48, 10), "Adam": (64, 32, 10)}


def at_step(make: Callable[..., Rule], peak: float, factor: Vector, t: int) -> Rule:
    """Return the rule of step t, counted from 1."""
    return make(lr=peak * factor[t - 1])


@kept
def ends(optimizer: str, name: str) -> Vector:
    """Return the test loss after training, shape (rates, seeds).

    A fifth of the training labels is drawn anew, so that no network should fit them all.
    """
    data = digits(train=1000, noise=0.2, seeds=10, dtype="float32")
    start, factor = draw(WIDTHS[optimizer], dtype="float32"), COMPARED[name](STEP)
    found = []
    for peak in RATES[optimizer]:
        rule = partial(at_step, RULES[optimizer], peak, factor)
        run = train(start, data, rule=rule, steps=LENGTH, batch=BATCH)
        found.append(run.test_loss[:, -1])
    return np.asarray(found)


def decay_pays() -> Figure:
    """Draw the test loss against the peak of the learning rate."""
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.4), sharey=True)
    places = {"constant": 1, "inverse root": 1, "linear": -1, "stable, then decay": -1}
    for ax, optimizer in zip(panels, RATES, strict=True):
        for k, name in enumerate(places):
            middle = np.median(ends(optimizer, name), 1)
            ax.plot(RATES[optimizer], middle, color=f"C{k}", marker="o", markersize=4, label=name)
        ax.set(xscale="log", ylim=(0.3, 1.0), xlabel="peak learning rate", title=optimizer)
        ax.set_xticks(RATES[optimizer], [f"{rate:g}" for rate in RATES[optimizer]], minor=False)
        ax.set_xticks([], minor=True)
    panels[0].set(ylabel="test loss")
    panels[1].legend(loc="upper right")
    return figure


def best(optimizer: str, name: str) -> Vector:
    """Return each network's loss at the rate whose median is best."""
    found = ends(optimizer, name)
    return found[np.median(found, 1).argmin()]


def decay_pays_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    both = tuple(RATES)
    better = [
        int((best(o, name) < best(o, "constant")).sum())
        for o in both
        for name in ("linear", "stable, then decay")
    ]
    peaks = {
        name: np.asarray([np.median(ends(o, name), 1).argmin() for o in both])
        for name in ("linear", "constant")
    }
    higher = peaks["linear"] - peaks["constant"]
    return {
        "at its best rate, each schedule that decays to 0 ends below the constant rate, in most "
        "of ten networks": min(better) > 5,
        "Linear decay takes a peak at least as high as the constant rate": bool(
            (higher >= 0).all()
        ),
        "with Adam a higher one": bool(higher[both.index("Adam")] > 0),
    }
