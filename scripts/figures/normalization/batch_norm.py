"""Figures of the page on batch normalization."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.covariate_shift import train_shifted
from dlkb.experiments.digits import digits
from dlkb.experiments.networks import draw
from dlkb.experiments.rules import sgd_rule
from dlkb.experiments.training import train
from dlkb.normalization.batch_moments import (
    Running,
    averaging_noise,
    batch_moments,
    update_running,
)
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Array = NDArray[np.float64]

STEPS, RAMP, RISE = 120, 60, 3.0
MOMENTA, SIZES = (0.01, 0.03, 0.1, 0.3, 1.0), (2, 8, 32, 128)


class Stored(NamedTuple):
    """Means of a unit, by step.

    Attributes:
        true: Of the distribution, which moves while the weights do.
        batch: Of the batches.
        stored: The running average of these.
    """

    true: Array
    batch: Array
    stored: Array


@kept
def stored_data(momentum: float, size: int) -> Stored:
    """Follow the mean of one unit, of standard deviation 1, that rises and then rests."""
    rng = np.random.default_rng(0)
    true = RISE * np.minimum(np.arange(1, STEPS + 1) / RAMP, 1)
    running, batches, kept = Running(np.zeros(1), np.ones(1)), [], []
    for mean in true:
        batch = batch_moments(mean + rng.normal(size=(128, 1))[:size])
        running = update_running(running, batch, momentum=momentum)
        batches.append(batch.mean[0])
        kept.append(running.mean[0])
    return Stored(true, np.asarray(batches), np.asarray(kept))


def stored_moments() -> Explorable:
    """Draw how the stored mean follows that of the distribution."""
    figure, ax = plt.subplots(figsize=(6.6, 3.4))
    steps = np.arange(1, STEPS + 1)
    (true,) = ax.plot(steps, stored_data(0.1, 8).true, color="C2", lw=2)
    label_line(ax, true, "all data", 104, offset=(0, -34), ha="center")
    (batches,) = ax.plot([], [], ".", color="C1", ms=4, label="each batch, as in training")
    (stored,) = ax.plot([], [], color="C0", lw=2, label="stored, for evaluation")
    ax.set(xlabel="step", ylabel="mean of a unit", xlim=(0, STEPS), ylim=(-1.5, 5.5))
    ax.legend(handles=[batches, stored], loc="upper left")

    def show(momentum: float, size: float) -> str:
        data = stored_data(momentum, int(size))
        batches.set_data(steps, data.batch)
        stored.set_data(steps, data.stored)
        lag = data.true[RAMP - 1] - data.stored[RAMP - 1]
        noise = averaging_noise(size, momentum=momentum)
        return (
            f"When the unit comes to rest the stored mean is {lag:.2f} behind; in the long run "
            f"it keeps a noise of {noise:.2f}."
        )

    sliders = (Slider("momentum", MOMENTA, 2), Slider("numbers in a batch", SIZES, 1))
    return Explorable(figure, sliders, (batches, stored), show)


def stored_moments_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = stored_data(0.1, 8)
    lag = data.true - data.stored
    by_momentum = [stored_data(m, 8) for m in MOMENTA]
    behind = [d.true[RAMP - 1] - d.stored[RAMP - 1] for d in by_momentum]
    noise = [averaging_noise(8, momentum=m) for m in MOMENTA]
    return {
        f"A line rises to {RISE:.0f} by step {RAMP} and stays": bool(
            data.true[RAMP - 1] == data.true[-1] == RISE
        ),
        "dots scatter about it": bool(0.2 < (data.batch - data.true).std() < 0.5),
        "the stored mean follows below it and catches up": bool(
            (lag[10:RAMP] > 0.2).all() and abs(lag[-20:]).max() < 0.35
        ),
        f"the stored mean is {lag[RAMP - 1]:.2f} behind": True,
        "Small momentum lags, large momentum keeps the noise of few batches": bool(
            behind[0] > behind[2] > behind[4] and noise[0] < noise[2] < noise[4]
        ),
    }


NOISE, GAIN = 0.3, 1.0


@kept
def shifts_data() -> dict[str, tuple[Array, Array]]:
    """Return loss and shift by step, (seeds, steps), of three ways to train sigmoid networks."""
    torch.set_num_threads(1)
    data, found = digits(train=128, scale="standard", dtype="float32"), {}
    for name, norm, noise in (
        ("plain", "", 0.0),
        ("batch norm", "batch", 0.0),
        ("batch norm, shifted", "batch", NOISE),
    ):
        widths = (64, 32, 32, 32, 10)
        networks = draw(widths, activation=torch.sigmoid, gain=GAIN, norm=norm, dtype="float32")
        run = train_shifted(networks, data, noise=noise, lr=1.0, steps=100)
        found[name] = (run.loss, run.shift)
    return found


def median_shift(name: str) -> float:
    """Return the median over networks of the mean shift a step."""
    return float(np.median(shifts_data()[name][1][:, 1:].mean(1)))


def shifts() -> Figure:
    """Draw how far the inputs shift, and how the loss falls all the same."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.4))
    for k, (name, (loss, shift)) in enumerate(shifts_data().items()):
        steps = np.arange(loss.shape[1])
        (line,) = left.plot(steps, np.median(loss, axis=0), color=f"C{k}")
        at, offset, ha = (
            (70, (0, 8), "left"),
            (26, (0, -30), "center"),
            (24, (8, 8), "left"),
        )[k]
        label_line(left, line, name, at, offset=offset, ha=ha)
        if name != "batch norm":
            (line,) = right.semilogy(steps[1:], np.median(shift, axis=0)[1:], color=f"C{k}")
            label_line(right, line, name, 40, offset=(0, 12), ha="center")
    left.set(title="training loss", xlabel="step", ylim=(0, 2.7))
    right.set(title="shift of a unit's mean a step", xlabel="step", ylim=(3e-4, 1.5))
    return figure


def shifts_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = shifts_data()
    end = {name: loss[:, -10:].mean(1) for name, (loss, _) in data.items()}
    return {
        f"after 100 steps the plain networks are at {np.median(end['plain']):.1f}": True,
        f"those with batch norm at {np.median(end['batch norm']):.1f}": True,
        f"with shifts at {np.median(end['batch norm, shifted']):.1f}": True,
        "the shifts of these lie far above those of the plain ones": bool(
            np.median(data["batch norm, shifted"][1][:, 1:]) > data["plain"][1].max()
        ),
        "The inputs of the shifted networks move more than 50 times as far a step as those of "
        "the plain ones": median_shift("batch norm, shifted") > 50 * median_shift("plain"),
        "all of them learn faster": bool(end["batch norm, shifted"].max() < end["plain"].min()),
        f"Medians of {len(end['plain'])} networks, gain {GAIN:.0f}": True,
    }


BATCHES, RATES, IMAGES = (2, 4, 8, 32), (0.03, 0.1), 1920


@kept
def few_data() -> dict[str, Array]:
    """Return test accuracies (batch sizes, seeds) at the better of two rates, by normalization."""
    torch.set_num_threads(1)
    data, found = digits(scale="standard", dtype="float32"), {}
    rule = sgd_rule(lr=torch.tensor(RATES).repeat_interleave(10)[:, None])
    for norm in ("batch", "layer"):
        networks, rows = draw((64, 32, 32, 10), norm=norm, dtype="float32"), []
        both = networks._replace(theta=networks.theta.repeat(len(RATES), 1))
        for size in BATCHES:
            run = train(both, data, rule=rule, steps=IMAGES // size, batch=size, seeds=10)
            rows.append(max(run.test_accuracy.reshape(len(RATES), -1), key=np.mean))
        found[f"{norm} norm"] = np.asarray(rows, dtype=np.float64)
    return found


def few_examples() -> Figure:
    """Draw the accuracy against the batch size."""
    figure, ax = plt.subplots(figsize=(6.2, 3.4))
    for k, (name, accuracy) in enumerate(few_data().items()):
        (line,) = ax.semilogx(BATCHES, accuracy.mean(1), color=f"C{k}", marker="o", ms=4)
        ax.fill_between(
            BATCHES, accuracy.min(1), accuracy.max(1), color=f"C{k}", alpha=0.25, lw=0, gid=name
        )
        label_line(ax, line, name, 0, offset=((14, 0), (0, 10))[k])
    ax.set(xlabel="batch size", ylabel="test accuracy", ylim=(0.4, 1.02), xticks=BATCHES)
    ax.set_xticklabels([str(n) for n in BATCHES])
    ax.minorticks_off()
    return figure


def few_examples_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    batch, layer = few_data().values()
    mean = batch.mean(1)
    return {
        f"batch norm comes to {mean[0]:.1f} with batches of {BATCHES[0]} and to {mean[2]:.2f} "
        f"with {BATCHES[2]}": True,
        "layer norm stays above 0.8": bool((layer.mean(1) > 0.8).all()),
        f"{batch.shape[1]} networks trained on {IMAGES} images each": bool(
            all(IMAGES % size == 0 for size in BATCHES)
        ),
        "at the better of two rates": len(RATES) == 2,
        "large batches make few steps": IMAGES // BATCHES[-1] < IMAGES // BATCHES[0] / 10,
    }
