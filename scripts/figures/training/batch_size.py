"""Figures of the page on the batch size."""

from collections.abc import Callable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import digits
from dlkb.experiments.networks import Networks, draw, forward
from dlkb.experiments.rules import Rule, adam_rule, sgd_rule
from dlkb.experiments.scores import cross_entropy
from dlkb.experiments.training import train
from dlkb.training.batch_size import (
    noise_from_examples,
    noise_from_two_batches,
    scaled_lr,
    steps_needed,
)
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]

torch.set_num_threads(1)

WIDTHS = (64, 32, 10)
TARGETS = (1.0, 0.7, 0.5, 0.35)
BATCHES = (2, 8, 32, 128, 512)
STEPS = {2: 640, 8: 240, 32: 100, 128: 64, 512: 48}
EVERY = {2: 16, 8: 6, 32: 2, 128: 1, 512: 1}
RULES: dict[str, Callable[[torch.Tensor], Rule]] = {
    "SGD": lambda lr: sgd_rule(lr=lr),
    "Adam": lambda lr: adam_rule(lr=lr),
}
# The exponents of 2 of the rates that are tried.
EXPONENTS = {
    "SGD": {2: range(-4, -1), 8: range(-3, 1), 32: range(-2, 2), 128: range(-1, 2),
            512: range(-1, 2)},
    "Adam": {2: range(-7, -4), 8: range(-7, -3), 32: range(-6, -2), 128: range(-5, -2),
             512: range(-5, -2)},
}  # fmt: skip


class Tuned(NamedTuple):
    """For each batch size, at the rate that reaches the goal in the fewest steps.

    Attributes:
        steps: Median over ten networks.
        rate: That rate.
    """

    steps: Vector
    rate: Vector


@kept
def hits(optimizer: str, batch: int) -> Vector:
    """Return after how many steps each target is reached, or infinity.

    Returns:
        Shape (targets, rates, seeds).
    """
    data, start = digits(train=1200, test=300, dtype="float32"), draw(WIDTHS, dtype="float32")
    rates = 2.0 ** torch.tensor(EXPONENTS[optimizer][batch])
    run = train(
        start._replace(theta=start.theta.repeat(len(rates), 1)),
        data,
        rule=RULES[optimizer](rates.repeat_interleave(len(start.theta))[:, None]),
        steps=STEPS[batch],
        batch=batch,
        every=EVERY[batch],
        seeds=len(start.theta),
    )
    below = run.test_loss[None] < np.asarray(TARGETS)[:, None, None]
    first = np.where(below.any(2), run.test_steps[below.argmax(2)], np.inf)
    return first.reshape(len(TARGETS), len(rates), -1)


@kept
def tuned(optimizer: str, target: float) -> Tuned:
    """Return steps and rate of each batch size."""
    k, steps, rates = TARGETS.index(target), [], []
    for batch in BATCHES:
        found = np.median(hits(optimizer, batch)[k], axis=1)
        steps.append(found.min())
        rates.append(2.0 ** EXPONENTS[optimizer][batch][found.argmin()])
    return Tuned(np.asarray(steps), np.asarray(rates))


class Fit(NamedTuple):
    """The curve of `steps_needed` that is nearest in logarithms."""

    least: float
    critical: float


@kept
def fitted(optimizer: str, target: float) -> Fit:
    """Fit the two numbers of the curve."""
    batch, measured = np.asarray(BATCHES, dtype=float), tuned(optimizer, target).steps
    critical = np.geomspace(1, 200, 400)
    off = np.log(measured) - np.log([steps_needed(batch, least=1.0, critical=c) for c in critical])
    best = off.var(1).argmin()
    return Fit(float(np.exp(off[best].mean())), float(critical[best]))


CURVE: Vector = np.geomspace(1.4, 720, 40)


def steps_to_target() -> Explorable:
    """Draw steps and examples until a test loss is reached, against the batch size."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.4))
    (curve,) = left.plot([], [], color="C0", label="fitted curve")
    (measured,) = left.plot([], [], "o", color="C1", markersize=6, label="measured")
    (cost,) = right.plot([], [], color="C0", label="fitted curve")
    (spent,) = right.plot([], [], "o", color="C1", markersize=6, label="measured")
    left.set(xlim=(1.4, 720), ylim=(5, 900), xscale="log", yscale="log", xlabel="batch size")
    right.set(xlim=(1.4, 720), ylim=(80, 5e4), xscale="log", yscale="log", xlabel="batch size")
    left.set(ylabel="steps")
    right.set(ylabel="examples")
    for ax in (left, right):
        ax.set_xticks(BATCHES, [f"{b}" for b in BATCHES])
        ax.set_xticks([], minor=True)
    left.legend(loc="upper right")

    def show(target: float) -> str:
        batch, data = np.asarray(BATCHES, dtype=float), tuned("SGD", target)
        fit = fitted("SGD", target)
        line = steps_needed(CURVE, least=fit.least, critical=fit.critical)
        curve.set_data(CURVE, line)
        measured.set_data(batch, data.steps)
        cost.set_data(CURVE, CURVE * line)
        spent.set_data(batch, batch * data.steps)
        return (
            f"To a test loss of {target:g} the critical batch size is {fit.critical:.0f}, and no "
            f"batch needs fewer than {fit.least:.0f} steps."
        )

    sliders = (Slider("test loss to reach", TARGETS, 2),)
    return Explorable(figure, sliders, (curve, measured, cost, spent), show)


def steps_to_target_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    steps = tuned("SGD", 0.5).steps
    fits = [fitted("SGD", target) for target in TARGETS]
    gains = steps[:-1] / steps[1:]
    return {
        "From 2 to 8 examples the steps to a test loss of 0.5 fall to less than half": bool(
            gains[0] > 2
        ),
        "from 128 to 512 by less than a third": bool(steps[-1] > 2 / 3 * steps[-2]),
        "Four times the batch saves most of the steps on the left and hardly any on the right": (
            bool(gains[0] > 2 and gains[-1] < 1.5)
        ),
        "the bend between lies at about 20 examples": bool(12 < fits[2].critical < 32),
        "with Adam at more than twice as many": all(
            fitted("Adam", target).critical > 2 * fitted("SGD", target).critical
            for target in TARGETS
        ),
        "The examples spent grow throughout": bool((np.diff(steps * BATCHES) > 0).all()),
    }


def scaling_rules() -> Figure:
    """Draw the best rate for each batch size, beside the two rules."""
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.4))
    batch = np.asarray(BATCHES, dtype=float)
    for ax, optimizer in zip(panels, RULES, strict=True):
        rate = tuned(optimizer, 0.5).rate
        for rule, name, color in (("linear", "linear rule", "C0"), ("root", "root rule", "C2")):
            ax.plot(batch, guide(optimizer, rule), color=color, label=name)
        ax.plot(batch, rate, "o", color="C1", markersize=6, label="best rate")
        ax.set(xscale="log", yscale="log", xlabel="batch size", title=optimizer)
        ax.set(ylim=(rate[0] / 2, rate[0] * 64), xlim=(1.4, 720))
        ax.set_xticks(BATCHES, [f"{b}" for b in BATCHES])
        ax.set_xticks([], minor=True)
    panels[0].set(ylabel="learning rate")
    panels[0].legend(loc="lower right")
    return figure


def guide(optimizer: str, rule: str) -> Vector:
    """Return the rates that a rule makes of the best one at the smallest batch."""
    first = tuned(optimizer, 0.5).rate[0]
    return np.asarray([scaled_lr(first, old=BATCHES[0], new=b, rule=rule) for b in BATCHES])


def scaling_rules_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    sgd, adam = tuned("SGD", 0.5).rate, tuned("Adam", 0.5).rate
    root, at_end = guide("SGD", "root"), [guide(o, "linear")[-1] for o in RULES]
    return {
        "With SGD the best rate follows the linear rule from 2 to 8 examples": bool(
            sgd[1] == 4 * sgd[0]
        ),
        "and is at or below the root rule from 32 on": bool((sgd[2:] <= 1.01 * root[2:]).all()),
        "With Adam it follows the root rule from 2 to 32, then stays": bool(
            adam[2] == 4 * adam[0] and (adam[2:] == adam[2]).all()
        ),
        "Rates were tried in powers of two": all(
            float(np.log2(rate)).is_integer() for rate in (*sgd, *adam)
        ),
        "At 512 the linear rule asks for more than thirty times the best one": bool(
            at_end[0] > 30 * sgd[-1] and at_end[1] > 30 * adam[-1]
        ),
    }


class Scales(NamedTuple):
    """Noise scales on the way, shape (seeds,) each.

    Attributes:
        examples: From the gradients of all examples.
        batches: From squared norms at two batch sizes, drawn without replacement.
    """

    examples: Vector
    batches: Vector


SMALL, BIG, DRAWS = 8, 128, 1000
AT = (0, 10, 40, 160)


def example_grads(networks: Networks, s: int, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the gradient of each example for network s, shape (examples, parameters)."""
    theta = networks.theta[s].repeat(len(x), 1).requires_grad_()
    outputs = forward(networks._replace(theta=theta), x[:, None])[-1]  # a network an example
    return torch.autograd.grad(cross_entropy(outputs, y[:, None]).sum(), theta)[0]


@kept
def scales(steps: int) -> Scales:
    """Train ten networks for some steps with batches of 32, and estimate in two ways."""
    data = digits(train=600)
    networks = train(draw(WIDTHS), data, rule=sgd_rule(lr=0.3), steps=steps, batch=32).networks
    x, y = torch.tensor(data.x_train), torch.tensor(data.y_train)
    exact, paired = [], []
    for s in range(len(networks.theta)):
        g = example_grads(networks, s, x, y).numpy()
        exact.append(float(noise_from_examples(g).scale))
        products, rng = g @ g.T, np.random.default_rng(s)
        # Without replacement: with it the scale would be that of these 600 images alone.
        order = rng.random((DRAWS, len(g))).argsort(1)
        shares = [(order < n) / n for n in (SMALL, BIG)]
        norms = [(share @ products * share).sum(1).mean() for share in shares]
        found = noise_from_two_batches(*map(np.asarray, norms), small=SMALL, big=BIG)
        paired.append(float(found.scale))
    return Scales(np.asarray(exact), np.asarray(paired))


def noise_grows() -> Figure:
    """Draw the noise scale over the training, estimated in two ways."""
    figure, ax = plt.subplots(figsize=(6.2, 3.3))
    for offset, name, color in ((-0.06, "examples", "C0"), (0.06, "batches", "C1")):
        values = np.asarray([getattr(scales(steps), name) for steps in AT])
        low, middle, high = values.min(1), np.median(values, 1), values.max(1)
        at = np.arange(len(AT)) + offset
        ax.vlines(at, low, high, color=color, linewidth=1.2)
        label = {"examples": "gradients of examples", "batches": "two batch sizes"}[name]
        ax.plot(at, middle, "o", color=color, label=label)
    ax.set(yscale="log", xlabel="steps of training", ylabel="noise scale")
    ax.set_xticks(range(len(AT)), [f"{steps}" for steps in AT])
    ax.legend(loc="upper left")
    return figure


def noise_grows_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    found = [scales(steps) for steps in AT]
    medians = np.asarray([[np.median(one.examples), np.median(one.batches)] for one in found])
    return {
        "Both estimates grow from about 40 at the start by more than half": bool(
            (np.abs(medians[0] - 40) < 15).all() and (medians[-1] > 1.5 * medians[0]).all()
        ),
        "Their medians agree within a tenth": bool(
            (np.abs(np.log(medians[:, 0] / medians[:, 1])) < np.log(1.1)).all()
        ),
        "and stand above the critical size of SGD": bool(
            fitted("SGD", 0.5).critical < medians.min()
        ),
        "at the end networks differ by far more": bool(
            found[-1].examples.max() > 3 * found[-1].examples.min()
        ),
        "Between 10 and 40 steps the medians fall": bool((medians[2] < medians[1]).all()),
    }
