"""Figures of the page on layer normalization."""

from collections.abc import Callable
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.normalization.layer_norm import layer_norm
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Array = NDArray[np.float64]

FEATURES = 16
MEANS = (-2.0, -1.0, 0.0, 1.0, 2.0)
WIDTH = 512
STDS = (0.001, 0.003, 0.01, 0.1, 0.3, 1.0)


class Row(NamedTuple):
    """One row of features in front of layer norm and behind it."""

    x: Array
    y: Array


def row_data(mean: float, std: float) -> Row:
    """Normalize one pattern of features, shifted and scaled, at the default ε."""
    pattern = np.random.default_rng(4).normal(size=FEATURES)
    pattern = (pattern - pattern.mean()) / pattern.std()
    x = mean + std * pattern
    return Row(x, np.asarray(layer_norm(x)))


def before_and_behind() -> Explorable:
    """Draw a row of features in front of layer norm and behind it, for any mean and spread."""
    figure, axes = plt.subplots(1, 2, figsize=(6.8, 3.1), sharey=True)
    feature = np.arange(1, FEATURES + 1)
    moving = []
    for ax, title, color in zip(axes, ("in front", "behind"), ("C1", "C0"), strict=True):
        ax.set(title=title, xlabel="feature", xlim=(0, FEATURES + 1), ylim=(-4.5, 4.5))
        ax.set(xticks=(1, 8, 16))
        moving.append(ax.plot([], [], color=color, marker="o", ms=5, ls="", gid=title)[0])
        moving.append(ax.plot([], [], color=color, lw=1.5, gid=f"{title}, mean")[0])
    axes[0].set_ylabel("value")
    ends = np.asarray([0.3, FEATURES + 0.7])

    def show(mean: float, std: float) -> str:
        data = row_data(mean, std)
        for k, values in enumerate(data):
            moving[2 * k].set_data(feature, values)
            moving[2 * k + 1].set_data(ends, [values.mean()] * 2)
        return (
            f"In front the mean is {mean:g} and the standard deviation {std:g}; behind they are "
            f"0 and {data.y.std():.2f}."
        )

    sliders = (Slider("mean", MEANS, 4), Slider("standard deviation", STDS, 4))
    return Explorable(figure, sliders, tuple(moving), show)


def before_and_behind_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    mean, std = MEANS[4], STDS[4]
    here = row_data(mean, std)
    rows = {(m, s): row_data(m, s).y for m in MEANS for s in STDS}
    alike = all(np.allclose(rows[m, s], rows[0.0, s], atol=1e-6) for m in MEANS for s in STDS)
    wide = all(abs(rows[0.0, s].std() - 1) < 0.01 for s in STDS if s >= 0.1)
    narrow = [rows[0.0, s].std() for s in STDS[:2]]
    return {
        f"{FEATURES} values": len(here.x) == FEATURES,
        f"spread by {std:g} about {mean:g}": bool(
            abs(here.x.mean() - mean) < 1e-9 and abs(here.x.std() - std) < 1e-9
        ),
        "the same pattern about 0, of standard deviation 1": bool(
            abs(here.y.mean()) < 1e-9
            and abs(here.y.std() - 1) < 0.01
            and np.corrcoef(here.x, here.y)[0, 1] > 1 - 1e-9
        ),
        "Mean and scale in front do not matter": alike and wide,
        "until the standard deviation comes near √ε = 0.003": bool(
            abs(1e-5**0.5 - 0.003) < 5e-4 and narrow[1] < 0.75
        ),
        "Then ε takes over, and the output shrinks": bool(narrow[0] < narrow[1] < 0.9),
    }


class Precision(NamedTuple):
    """What rounding does to layer norm, mean over 100 rows.

    Attributes:
        width: Features of a row.
        ratio: Mean of a row in units of its standard deviation, in float32.
        one_pass: Largest error with the variance from E[x²] − μ².
        mean_first: Largest error with the mean taken away first.
        size: Standard deviation of a row, in float16.
        as_it_is: Standard deviation of the output, each step rounded to float16.
        widened: Likewise, computed in float32.
    """

    width: int
    ratio: Array
    one_pass: Array
    mean_first: Array
    size: Array
    as_it_is: Array
    widened: Array


def one_pass(x: torch.Tensor) -> torch.Tensor:
    """Normalize with the variance as a difference of two means."""
    mean = x.mean(-1, keepdim=True)
    variance = ((x * x).mean(-1, keepdim=True) - mean * mean).clamp(min=0)
    return (x - mean) / torch.sqrt(variance + 1e-5)


def mean_first(x: torch.Tensor) -> torch.Tensor:
    """Normalize step by step, each rounded to the precision of the input."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)


def precision_data() -> Precision:
    """Measure on rows of normal features."""
    rng = np.random.default_rng(0)
    draws = torch.tensor(rng.normal(size=(100, WIDTH)))
    jitter = torch.tensor(rng.uniform(0.8, 1.25, size=(100, 1)))

    def error(x: torch.Tensor, way: Callable[[torch.Tensor], torch.Tensor]) -> float:
        return float((way(x).double() - layer_norm(x.double())).abs().amax(-1).mean())

    def spread(x: torch.Tensor, way: Callable[[torch.Tensor], torch.Tensor]) -> float:
        return float(way(x).double().std(-1, correction=0).mean())

    ratio, size = np.geomspace(1, 1e4, 13), np.geomspace(0.1, 1e4, 16)
    offset = [(draws + r * jitter).float() for r in ratio]
    scaled = [(draws * s * jitter).half() for s in size]
    return Precision(
        WIDTH,
        ratio,
        np.asarray([error(x, one_pass) for x in offset]),
        np.asarray([error(x, layer_norm) for x in offset]),
        size,
        np.asarray([spread(x, mean_first) for x in scaled]),
        np.asarray([spread(x, layer_norm) for x in scaled]),
    )


def precision() -> Figure:
    """Draw the errors of two formulas in float32, and what is left in float16."""
    data = precision_data()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.6))
    (naive,) = left.loglog(data.ratio, data.one_pass, color="C1")
    (ours,) = left.loglog(data.ratio, data.mean_first, color="C0")
    label_line(left, naive, "E[x²] − μ²", 7, offset=(-6, 4), ha="right")
    label_line(left, ours, "mean first", 11, offset=(-8, -24), ha="center")
    left.set(title="float32", xlabel="mean / standard deviation", ylabel="largest error")
    left.set(ylim=(1e-8, 1e3))
    (kept,) = right.semilogx(data.size, data.widened, color="C0")
    (lost,) = right.semilogx(data.size, data.as_it_is, color="C1")
    label_line(right, kept, "computed in float32", 0, offset=(0, 6))
    label_line(right, lost, "as it is", 13, offset=(0, 8), ha="center")
    right.set(title="float16", xlabel="standard deviation in front", ylim=(-0.05, 1.25))
    right.set(ylabel="behind")
    return figure


def precision_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = precision_data()
    rise = data.ratio > 30
    slope = np.polyfit(np.log(data.ratio[rise]), np.log(data.one_pass[rise]), 1)[0]
    return {
        "the error of squaring first grows steeply with the ratio of mean to spread": (
            bool(slope > 1.8)
        ),
        "from below 0.00001 to above 1": bool(data.one_pass[0] < 1e-5 and data.one_pass[-1] > 1),
        "with the mean taken away first it stays below 0.001": bool(data.mean_first.max() < 1e-3),
        "in float16 the output falls from 1 to 0": bool(
            abs(data.as_it_is[0] - 1) < 0.01 and data.as_it_is[-1] == 0
        ),
        "computed in float32 it stays 1": bool(np.abs(data.widened - 1).max() < 0.01),
        f"Rows of {data.width} features": data.width > 1,
        "Left: subtract the mean before you square": bool(
            (data.mean_first[1:] < data.one_pass[1:]).all()
        ),
        "Right: squares overflow in float16 from 256 on": bool(
            255.0**2 < float(np.finfo(np.float16).max) < 256.0**2
        ),
    }
