"""Figures of the page on RMS normalization."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.experiments.digits import digits
from dlkb.experiments.networks import draw
from dlkb.experiments.rules import adam_rule
from dlkb.experiments.training import train
from dlkb.initialization.xavier import kaiming_std
from dlkb.normalization.layer_norm import layer_norm
from dlkb.normalization.rms_norm import rms_norm
from scripts.figures.explorable import Explorable, Slider

Array = NDArray[np.float64]

SHIFTS = (0.0, 0.25, 0.5, 1.0, 2.0)
SCALES = (0.1, 0.3, 1.0)


class Plane(NamedTuple):
    """Rows of two features, and what two normalizations make of them, each `(rows, 2)`."""

    x: Array
    rms: Array
    layer: Array


def plane_data(shift: float, scale: float) -> Plane:
    """Normalize 16 rows of two features, scaled, then shifted alike."""
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False) + 0.2
    radius = rng.uniform(0.4, 1.1, 16)
    x = shift + scale * np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return Plane(x, np.asarray(rms_norm(x, eps=1e-6)), np.asarray(layer_norm(x, eps=1e-6)))


def shift_and_scale() -> Explorable:
    """Draw two features in front of each normalization and behind it."""
    figure, axes = plt.subplots(1, 2, figsize=(6.8, 3.7), sharey=True)
    turn = np.linspace(0, 2 * np.pi, 101)
    muted = plt.rcParams["axes.edgecolor"]
    moving = []
    for ax, title in zip(axes, ("RMS norm", "layer norm"), strict=True):
        if title == "RMS norm":
            circle = np.sqrt(2) * np.cos(turn), np.sqrt(2) * np.sin(turn)
            ax.plot(*circle, color=muted, lw=1, ls="--", gid="circle")
        else:
            ax.plot([-1.7, 1.7], [1.7, -1.7], color=muted, lw=1, ls="--", gid="no mean")
        ax.set(title=title, xlabel="feature 1", xlim=(-1.8, 3.3), ylim=(-1.8, 3.3), aspect="equal")
        for name, color, size in (("in front", "C1", 4), ("behind", "C0", 7)):
            (dots,) = ax.plot([], [], color=color, marker="o", ms=size, ls="", label=name)
            moving.append(dots)
    axes[0].set_ylabel("feature 2")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)

    def show(shift: float, scale: float) -> str:
        data = plane_data(shift, scale)
        for dots, rows in zip(moving, (data.x, data.rms, data.x, data.layer), strict=True):
            dots.set_data(*rows.T)
        return (
            f"Behind RMS norm the rows have the mean {data.rms.mean():.2f} and lie up to "
            f"{span(data.rms):.2f} apart, behind layer norm the mean 0 and up to "
            f"{span(data.layer):.2f}."
        )

    sliders = (Slider("shift of both features", SHIFTS, 2), Slider("scale", SCALES, 1))
    return Explorable(figure, sliders, tuple(moving), show)


def span(rows: Array) -> float:
    """Return the largest distance between two rows."""
    return float(np.sqrt(((rows[:, None] - rows) ** 2).sum(-1)).max())


def shift_and_scale_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    here, centred = plane_data(0.5, 0.3), plane_data(0.0, 0.3)
    norms = np.sqrt((here.rms**2).sum(1))
    spans = [span(plane_data(shift, 0.3).rms) for shift in SHIFTS]
    layers = [plane_data(shift, scale).layer for shift in SHIFTS for scale in SCALES]
    scaled = [plane_data(0.0, scale).rms for scale in SCALES]
    return {
        f"{len(here.x)} rows of two features about (0.5, 0.5)": bool(
            here.x.shape[1] == 2 and np.abs(here.x.mean(0) - 0.5).max() < 0.1
        ),
        "behind RMS norm they crowd on an arc of a circle": bool(
            np.allclose(norms, 2**0.5, atol=1e-4) and span(here.rms) < 0.6 * span(centred.rms)
        ),
        "behind layer norm they lie on two points": bool(
            np.allclose(np.abs(here.layer), 1, atol=1e-2)
        ),
        "RMS norm keeps the direction of a row": bool(
            np.allclose(here.rms / norms[:, None], here.x / np.hypot(*here.x.T)[:, None])
        ),
        "A shift of all features crowds its outputs together": bool((np.diff(spans) < 0.01).all())
        and spans[-1] < 0.3 * spans[0],
        "layer norm's stay": all(np.allclose(rows, layers[1], atol=0.05) for rows in layers),
        "Without a shift, a scale changes neither": all(
            np.allclose(rows, centred.rms, atol=1e-3) for rows in scaled
        ),
    }


NORMS = {"": "none", "center": "subtract the mean", "rms": "RMS norm", "layer": "layer norm"}
SETTINGS = {
    "3 layers": (3, 1.0),
    "8 layers": (8, 1.0),
    "3 layers, large weights": (3, 4.2),
    "8 layers, large weights": (8, 4.2),
}
"""Hidden layers, and the gain of the initialization; He's is 1.4."""
STEPS, LR = 60, 0.005


@kept
def halves_data() -> Array:
    """Return test accuracies on the digits, `(settings, norms, seeds)`."""
    data = digits(dtype="float32")
    rows = []
    for depth, gain in SETTINGS.values():
        for norm in NORMS:
            widths = (64, *[32] * depth, 10)
            start = draw(widths, seeds=10, norm=norm, gain=gain, dtype="float32")
            run = train(start, data, rule=adam_rule(lr=LR), steps=STEPS, batch=50)
            rows.append(np.asarray(run.test_accuracy[:, -1]))
    return np.asarray(rows, dtype=np.float64).reshape(len(SETTINGS), len(NORMS), -1)


def halves() -> Figure:
    """Draw the accuracy with both halves of layer norm, with one, and with none."""
    data = halves_data().mean(-1)
    figure, ax = plt.subplots(figsize=(7.0, 3.6))
    for k, name in enumerate(NORMS.values()):
        ax.bar(
            np.arange(len(SETTINGS)) + 0.2 * (k - 1.5),
            data[:, k],
            0.18,
            color=f"C{k - 1}" if k else plt.rcParams["axes.edgecolor"],
            label=name,
        )
    ax.set_xticks(
        range(len(SETTINGS)),
        [name.replace(", ", "\n").replace("large ", "large\n") for name in SETTINGS],
    )
    ax.set(ylabel="test accuracy", ylim=(0, 1))
    ax.grid(visible=False, axis="x")
    figure.legend(loc="outside upper center", ncols=2, columnspacing=1.0, handlelength=1.0)
    return figure


def halves_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    every = halves_data()
    none, centred, rms, layer = every.mean(-1).T
    return {
        f"Test accuracy of four kinds of network after {STEPS} steps of Adam": every.shape[1] == 4,
        "with RMS norm it is within a few points of layer norm": bool(
            (
                np.abs(rms - layer)
                < [0.06 if depth > 3 else 0.03 for depth, _ in SETTINGS.values()]
            ).all()
        ),
        "with the subtraction alone and with nothing lower, most so at 8 layers": bool(
            (np.minimum(rms, layer) > np.maximum(none, centred) + 0.02).all()
            and (rms - none)[1] > (rms - none)[0]
            and (rms - none)[3] > (rms - none)[2]
        ),
        f"Digits, mean of {every.shape[2]} networks, learning rate {LR}": every.shape[1]
        == len(NORMS),
        "weights off He's scale": all(
            abs(gain / kaiming_std(1) - 1) > 0.25 for _, gain in SETTINGS.values()
        ),
        "Here the division does the work, early in training": bool(
            (rms - none > 1.5 * (centred - none)).all()
        ),
    }
