"""Figures of the page on gradient descent and SGD."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.optimizers.sgd import batch_variance, epoch_ball, expected_square, noise_ball, sgd
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]
ONE = np.ones(1)
STEPS = 300
SHOWN = 3
"""Every third step of a run is drawn."""


class Noisy(NamedTuple):
    """SGD from an error of 1 on a quadratic of curvature 1, one example's gradient of variance 1.

    Attributes:
        run: Square of the error of one run, each step from 0 on.
        expected: Its mean over all runs, by the formula.
        floor: Where the mean stays.
        measured: Its mean over `runs` runs.
    """

    run: Vector
    expected: Vector
    floor: float
    measured: Vector


def noisy(lr: float, batch: int, *, runs: int = 1, seed: int = 3) -> Noisy:
    """Descend with independent noise, that of a batch drawn with replacement."""
    variance = batch_variance(1.0, batch=batch)
    noise = np.random.default_rng(seed).normal(scale=variance**0.5, size=(STEPS, runs))
    theta, path = np.ones(runs), [np.ones(runs)]
    for kick in noise:
        theta = sgd(theta, theta + kick, lr=lr)
        path.append(theta)
    squares = np.asarray(path) ** 2
    options = {"lr": lr}
    expected = [
        expected_square(ONE, ONE, variance, **options, step=t).item() for t in range(STEPS + 1)
    ]
    floor = noise_ball(ONE, variance, lr=lr).item()
    return Noisy(squares[:, 0], np.asarray(expected), floor, squares.mean(1))


def noise() -> Explorable:
    """Draw the way to the floor and the floor, for any learning rate and batch."""
    figure, ax = plt.subplots(figsize=(6.2, 3.5))
    ax.set(xlim=(0, STEPS), yscale="log", ylim=(1e-5, 30), xlabel="step t")
    ax.set_ylabel("square of the error")
    (run,) = ax.plot([], [], color="C0", lw=0.9, alpha=0.7, label="one run")
    (expected,) = ax.plot([], [], color="C1", label="mean over runs")
    (floor,) = ax.plot([], [], color="C3", ls="--", label="floor")
    ax.legend(loc="upper right", ncols=3)
    steps = np.arange(STEPS + 1)

    def show(lr: float, batch: float) -> str:
        data = noisy(lr, int(batch))
        run.set_data(steps[::SHOWN], data.run[::SHOWN])
        expected.set_data(steps[::5], data.expected[::5])
        floor.set_data([0, STEPS], [data.floor] * 2)
        near = np.flatnonzero(data.expected < 2 * data.floor)
        when = f"after {near[0]} steps" if near.size else f"in more than {STEPS} steps"
        return f"The mean square error comes within twice its floor of {data.floor:.2g} {when}."

    sliders = (
        Slider("ηλ", (0.01, 0.03, 0.1, 0.3, 1.0, 1.9), 2),
        Slider("batch", (1, 4, 16, 64), 0),
    )
    return Explorable(figure, sliders, (run, expected, floor), show)


def noise_says() -> dict[str, bool]:
    """Return what alt text and caption say of the start, and whether it is so."""
    data = noisy(0.1, 1)
    many = noisy(0.1, 1, runs=2000)
    near = int(np.flatnonzero(data.expected < 2 * data.floor)[0])
    larger, below_one = noisy(0.1, 16), [noisy(lr, 1) for lr in (0.01, 0.03, 0.1, 0.3, 1.0)]
    floors = [each.floor for each in below_one]
    times = [np.flatnonzero(each.expected < 2 * each.floor)[0] for each in below_one]
    falls = [(each.expected - each.floor) / (1 - each.floor) for each in (data, larger)]
    return {
        f"SGD with ηλ = 0.1 and batch 1 over {STEPS} steps, logarithmic": True,
        f"The mean square of the error falls from 1 to twice its floor of {data.floor:.3f} "
        f"within {near} steps": bool((np.diff(data.expected) <= 0).all()),
        "one run goes on jumping, far below the floor and above": bool(
            (data.run[near:] > 2 * data.floor).any() and (data.run[near:] < 0.1 * data.floor).any()
        ),
        "Below ηλ = 1 a smaller learning rate lowers the floor and takes longer": bool(
            (np.diff(floors) > 0).all() and (np.diff(times) < 0).all()
        ),
        "A larger batch lowers it, and the mean falls towards it as steeply as before": bool(
            larger.floor < data.floor / 15
            and np.allclose(falls[1], falls[0], rtol=1e-9)
            and np.allclose(many.measured[150:].mean(), data.floor, rtol=0.05)
        ),
    }


EXAMPLES = 32
RATES = np.geomspace(1e-3, 1, 13)


class Balls(NamedTuple):
    """Mean squares of the error, for each of `RATES`.

    Attributes:
        independent: Every example drawn from all, by the formula.
        epochs: Every epoch a fresh order, by the formula, at the ends of the epochs.
        fixed: Every epoch in one sorted order, the most negative noise first.
        measured: Runs of `sgd` in fresh orders.
    """

    independent: Vector
    epochs: Vector
    fixed: Vector
    measured: Vector


def gradients_of_examples() -> Vector:
    """Draw the noise of each example: of mean 0 and variance 1."""
    drawn = np.random.default_rng(0).normal(size=EXAMPLES)
    return (drawn - drawn.mean()) / drawn.std()


@kept
def balls(runs: int = 400) -> Balls:
    """Compute the mean squares, and run one of them."""
    kicks, rng = gradients_of_examples(), np.random.default_rng(1)
    measured, fixed = [], []
    for lr in RATES:
        theta, one = np.zeros(runs), np.zeros(1)
        for _ in range(2 + round(2 / (lr * EXAMPLES))):
            order = rng.permuted(np.tile(kicks, (runs, 1)), axis=1)
            for column, kick in zip(order.T, np.sort(kicks), strict=True):
                theta = sgd(theta, theta + column, lr=float(lr))
                one = sgd(one, one + kick, lr=float(lr))
        measured.append(np.mean(theta**2))
        fixed.append(one.item() ** 2)
    independent = [noise_ball(ONE, 1.0, lr=lr).item() for lr in RATES]
    epochs = [epoch_ball(ONE, 1.0, lr=lr, examples=EXAMPLES).item() for lr in RATES]
    return Balls(*map(np.asarray, (independent, epochs, fixed, measured)))


def sampling() -> Figure:
    """Draw where the error stays, over the learning rate, for three ways to draw examples."""
    data = balls()
    figure, ax = plt.subplots(figsize=(6.2, 3.5))
    for i, (name, values) in enumerate(
        (
            ("independent draws", data.independent),
            ("each epoch in one sorted order", data.fixed),
            ("each epoch in a fresh order", data.epochs),
        )
    ):
        ax.plot(RATES, values, color=f"C{i}", label=name)
    ax.plot(RATES, data.measured, "o", color="C2", ms=4, gid="measured")
    ax.set(xscale="log", yscale="log", xlabel="learning rate, ηλ", ylim=(1e-8, 10))
    ax.set_ylabel("mean square of the error")
    ax.legend(loc="lower right")
    return figure


def sampling_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = balls()
    slopes = [
        np.log(row[1] / row[0]) / np.log(RATES[1] / RATES[0])
        for row in (data.independent, data.fixed, data.epochs)
    ]
    ratio = data.independent[0] / data.epochs[0]
    same = data.epochs[-1] / data.independent[-1]
    return {
        "Mean square of the error against the learning rate, both logarithmic, for 32 examples": (
            EXAMPLES == 32
        ),
        "For small rates independent draws rise with slope 1, epochs in a fresh order with "
        "slope 3": bool(np.allclose(slopes[::2], [1, 3], atol=0.1)),
        "one sorted order lies between them, with slope 2": bool(
            abs(slopes[1] - 2) < 0.1
            and ((data.epochs < data.fixed) & (data.fixed < data.independent))[RATES < 0.005].all()
        ),
        "Points are 400 runs in fresh orders": bool(
            np.allclose(data.measured, data.epochs, rtol=0.35)
        ),
        "At ηλ = 0.001 a fresh order leaves less than a ten-thousandth of the mean square of "
        "independent draws": RATES[0] == 1e-3 and ratio > 10_000,
        "at 1 they are equal": bool(abs(same - 1) < 1e-9),
        "A sorted order costs more than independent draws from 0.01 on": bool(
            ((data.fixed > data.independent) == (RATES > 0.009)).all()
        ),
    }
