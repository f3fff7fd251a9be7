"""Figures of the page on cross entropy."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import digits
from dlkb.experiments.networks import draw, forward
from dlkb.experiments.rules import sgd_rule
from dlkb.experiments.training import train
from dlkb.losses.cross_entropy import (
    Reliability,
    binary_cross_entropy_with_logits_vjp,
    calibration_error,
    cross_entropy,
    cross_entropy_vjp,
    reliability,
    smoothing_floor,
    smoothing_gap,
    softmax,
)
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Vector = NDArray[np.float64]

GAPS = np.linspace(-5, 15, 81)
"""How far the label's logit is above the others, which are equal."""


class Smoothed(NamedTuple):
    """Loss and push along a gap between the label's logit and the others.

    Attributes:
        loss: At each of `GAPS`.
        push: Minus the gradient by the label's logit, at each of `GAPS`.
        start: The loss where all logits are equal.
        floor: The least loss.
    """

    loss: Vector
    push: Vector
    start: float
    floor: float


def smoothed(classes: int, label_smoothing: float) -> Smoothed:
    """Compute the loss of one example of class 0 for all gaps."""
    z = np.zeros((len(GAPS), classes))
    z[:, 0] = GAPS
    labels = np.zeros(len(GAPS), dtype=int)
    ones = np.ones(len(GAPS))
    loss = cross_entropy(z, labels, reduction="none", label_smoothing=label_smoothing)
    push = -cross_entropy_vjp(z, labels, ones, reduction="none", label_smoothing=label_smoothing)[
        :, 0
    ]
    start = float(loss[np.abs(GAPS).argmin()])
    return Smoothed(
        loss, push, start, smoothing_floor(classes=classes, label_smoothing=label_smoothing)
    )


def loss_and_push() -> Explorable:
    """Draw loss and gradient against the gap, for any number of classes and smoothing."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.4), sharex=True)
    (loss,) = left.plot([], [], color="C0", label="loss")
    (floor,) = left.plot([], [], color="C3", linestyle="--", label="floor")
    (start,) = left.plot([], [], "o", color="C1", label="log K")
    (push,) = right.plot([], [], color="C0", label="push")
    right.axhline(0, color=plt.rcParams["axes.edgecolor"], linewidth=0.8, zorder=1.8)
    left.set(xlim=(-5, 15), ylim=(0, 16), title="loss of one example")
    left.legend(loc="upper right")
    right.set(ylim=(-0.6, 1.05), title="push on the label's logit")
    for ax in (left, right):
        ax.set_xlabel("label's logit − the others")

    def show(classes: float, label_smoothing: float) -> str:
        data = smoothed(int(classes), label_smoothing)
        loss.set_data(GAPS, data.loss)
        floor.set_data([-5, 15], [data.floor, data.floor])
        start.set_data([0], [data.start])
        push.set_data(GAPS, data.push)
        said = f"Equal logits cost {data.start:.2f}. "
        if label_smoothing == 0:
            return said + "The loss falls for ever, and the push towards the label fades."
        gap = smoothing_gap(classes=int(classes), label_smoothing=label_smoothing)
        return said + f"The least loss is {data.floor:.2f}, at a gap of {gap:.2f}."

    sliders = (
        Slider("classes K", (2, 10, 100, 1000, 20000), 3),
        Slider("label smoothing ε", (0.0, 0.05, 0.1, 0.2, 0.5), 2),
    )
    return Explorable(figure, sliders, (floor, loss, start, push), show)


def loss_and_push_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    data = smoothed(1000, 0.1)
    gap = smoothing_gap(classes=1000, label_smoothing=0.1)
    least = GAPS[data.loss.argmin()]
    plain = smoothed(1000, 0.0)
    risen = np.diff(data.loss) / np.diff(GAPS)
    return {
        "Loss and push against the lead of the label's logit": bool(
            np.allclose(-risen, (data.push[1:] + data.push[:-1]) / 2, atol=0.02)
        ),
        "The loss falls, for 1000 classes and a label smoothing of 0.1, "
        f"from {data.start:.2f} where the logits are equal "
        f"to a least value of {data.floor:.2f}": bool(
            np.isclose(data.start, np.log(1000)) and abs(data.loss.min() - data.floor) < 1e-3
        ),
        f"where the label's logit leads by {gap:.2f}": bool(abs(least - gap) < 0.26),
        f"At right the push on it falls from {data.push[0]:.2f} through zero there "
        "to a small negative value": bool(
            (np.diff(data.push) < 0).all()
            and (data.push > 0).sum() == (gap > GAPS).sum()
            and -0.11 < data.push[-1] < 0
        ),
        "Without smoothing a sure wrong answer is pushed with full force, a right one hardly": bool(
            plain.push[0] > 0.99 and plain.push[-1] < 0.01
        ),
        "With it the loss has a floor above zero, at a finite lead": bool(
            data.floor > 0.5 and np.isfinite(gap)
        ),
    }


LOGITS = np.linspace(-8, 8, 129)


def slopes() -> tuple[Vector, Vector]:
    """Return the push on the logit of a yes by cross entropy and by squared error."""
    ones = np.ones_like(LOGITS)
    entropy = -binary_cross_entropy_with_logits_vjp(LOGITS, ones, ones, reduction="none")
    p = 1 - entropy
    return entropy, 2 * (1 - p) * p * (1 - p)


def squared_error() -> Figure:
    """Draw how hard a yes is pushed, by the logit, under cross entropy and squared error."""
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
    entropy, squared = slopes()
    (first,) = ax.plot(LOGITS, entropy, color="C0")
    (second,) = ax.plot(LOGITS, squared, color="C1")
    label_line(ax, first, "cross entropy", 56, offset=(8, 4))
    label_line(ax, second, "squared error", 60, offset=(-10, 4), ha="right")
    ax.set(xlabel="logit of yes, which is right", ylabel="push", ylim=(-0.03, 1.1))
    return figure


def squared_error_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    entropy, squared = slopes()
    at, peak = int(np.abs(LOGITS + 6).argmin()), int(squared.argmax())
    return {
        f"At a logit of −6 cross entropy pushes with {entropy[at]:.3f}": LOGITS[at] == -6,
        f"the squared error of the probability with {squared[at]:.3f}": LOGITS[at] == -6,
        f"Its push is at most {squared.max():.2f}, at a logit of {-np.log(2):.2f}".replace(
            "-", "−"
        ): bool(
            abs(LOGITS[peak] + np.log(2)) <= np.diff(LOGITS)[0]  # where p = 1/3, off the grid
        ),
        "Left of its peak, the surer the wrong answer, the less squared error corrects it": bool(
            (np.diff(squared[: peak + 1]) > 0).all() and squared[0] < 0.001
        ),
    }


SETTINGS = {"20 % of labels redrawn": (0.2, 0.0), "labels smoothed, ε = 0.1": (0.0, 0.1)}
"""Share of the training labels that are redrawn, and label smoothing."""


TRAIN = 100
"""Images that each network sees."""


TEMPERATURES = np.geomspace(0.2, 5, 162)
"""Tried one after the other: steps of two per cent."""


class Calibration(NamedTuple):
    """What ten networks make of the second half of the test images, all together.

    Attributes:
        before: Their reliability.
        after: That behind a temperature, each fitted on its first half.
        errors: Calibration error of each network before and after, shape (10, 2).
        temperatures: Shape (10,).
    """

    before: Reliability
    after: Reliability
    errors: Vector
    temperatures: Vector


@kept
def calibration(noise: float, label_smoothing: float) -> Calibration:
    """Train ten networks on a hundred digits each, and calibrate them."""

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        labels = targets.expand(outputs.shape[:-1])
        each = cross_entropy(outputs, labels, reduction="none", label_smoothing=label_smoothing)
        return torch.as_tensor(each.mean(1))

    data = digits(train=TRAIN, noise=noise, seeds=10)
    start = draw((64, 32, 10), seeds=10)
    run = train(start, data, rule=sgd_rule(lr=0.5), steps=300, loss=loss)
    logits = forward(run.networks, torch.tensor(data.x_test))[-1].detach().numpy()
    half = logits.shape[1] // 2
    found: tuple[list[Vector], ...] = ([], [], [])
    errors, temperatures = [], []
    for z, y in zip(logits, data.y_test, strict=True):
        losses = [float(cross_entropy(z[:half] / t, y[:half])) for t in TEMPERATURES]
        best = TEMPERATURES[np.argmin(losses)]
        temperatures.append(best)
        right = (z.argmax(1) == y)[half:].astype(float)
        sure = [softmax(z[half:] / t).max(1) for t in (1.0, best)]
        errors.append([float(calibration_error(c, right)) for c in sure])
        for part, values in zip(found, (right, *sure), strict=True):
            part.append(values)
    right, before, after = map(np.concatenate, found)
    return Calibration(
        reliability(before, right, bins=10),
        reliability(after, right, bins=10),
        np.asarray(errors),
        np.asarray(temperatures),
    )


def shown(data: Reliability) -> tuple[Vector, Vector]:
    """Return confidence and accuracy of the bins that hold one prediction in two hundred."""
    enough = data.share > 0.005
    return data.confidence[enough], data.accuracy[enough]


def temperature() -> Figure:
    """Draw accuracy against confidence, before and after temperature scaling."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.6), sharey=True)
    for ax, (title, setting) in zip(axes, SETTINGS.items(), strict=True):
        data = calibration(*setting)
        ax.plot([0, 1], [0, 1], color=plt.rcParams["axes.edgecolor"], linewidth=0.8)
        ax.plot(*shown(data.before), "o-", color="C1", label="T = 1")
        ax.plot(*shown(data.after), "o-", color="C2", label="T fitted")
        ax.set(title=title, xlabel="confidence", xlim=(0, 1.03), ylim=(0, 1.04))
        ax.legend(loc="upper left")
    axes[0].set_ylabel("accuracy")
    return figure


def temperature_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    noisy, smooth = (calibration(*setting) for setting in SETTINGS.values())
    confidence, accuracy = shown(noisy.before)
    low, high = shown(smooth.before)
    gaps = [
        [float(np.abs(np.subtract(*shown(bins))).max()) for bins in (d.before, d.after)]
        for d in (noisy, smooth)
    ]
    return {
        "at left, where a fifth of the training labels is redrawn, "
        "accuracy is below confidence in most bins": bool((accuracy < confidence).mean() > 0.7),
        "at right, where labels are smoothed, it lies above": bool((high > low).all()),
        "A fitted temperature brings both near the diagonal": all(
            before > 0.12 and after < 0.1 for before, after in gaps
        ),
        "Ten networks": len(noisy.errors) == 10,
        f"each trained on {TRAIN} digits": digits(train=TRAIN).x_train.shape == (TRAIN, 64),
        "Temperatures above one make those at left less sure, below one those at right surer": bool(
            (noisy.temperatures > 1).all() and (smooth.temperatures < 1).all()
        ),
    }
