"""Figures of the page on nearest neighbours and k-means."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_iris, load_wine

from dlkb.book.draw.kept import kept
from dlkb.classic_ml.neighbours_and_clusters import (
    distances,
    inertia,
    lloyd_step,
    plus_plus,
    votes,
)
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Array = NDArray[np.float64]

CENTERS = np.asarray([[-3.0, 2.6], [2.6, 3.0], [-2.4, -2.4], [2.9, -2.6]])
TRIES = range(1, 101)
STEPS = 6


def plane() -> Array:
    """Return four groups of twelve points."""
    rng = np.random.default_rng(1)
    return np.concatenate([c + 0.7 * rng.normal(size=(12, 2)) for c in CENTERS])


class Run(NamedTuple):
    """One run of k-means.

    Attributes:
        centers: Before each step, (steps + 1, k, d).
        inertia: Of them.
        label: Which center each point is nearest to, (steps + 1, n).
    """

    centers: Array
    inertia: Array
    label: NDArray[np.int64]


@cache
def run(start: int) -> Run:
    """Run k-means from four points, drawn without regard to where they are."""
    x = plane()
    centers = [x[np.random.default_rng(start).choice(len(x), 4, replace=False)]]
    for _ in range(STEPS):
        centers.append(lloyd_step(x, centers[-1]))
    each = np.stack(centers)
    label = np.stack([distances(x, c).argmin(1) for c in each])
    return Run(each, np.stack([inertia(x, c) for c in each]), label)


@cache
def least() -> float:
    """Return the smallest inertia of many runs."""
    return min(run(start).inertia[-1] for start in TRIES)


def settled(start: int) -> bool:
    """Return whether the last step changed nothing."""
    return np.array_equal(*run(start).centers[-2:])


@cache
def stuck() -> int:
    """Return the first start from 11 on that settles far above the best, no center empty."""
    return next(
        s
        for s in TRIES[10:]
        if settled(s) and len(set(run(s).label[-1])) == 4 and run(s).inertia[-1] > 1.5 * least()
    )


def near() -> tuple[int, ...]:
    """Return the starts that can be looked at: that one and those around it."""
    return tuple(range(stuck() - 1, stuck() + 5))


def starts() -> Explorable:
    """Draw the points, each in the colour of its center, and the inertia step by step."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.1), width_ratios=(1.25, 1))
    groups = [left.plot([], [], "o", ms=4, color=f"C{j}", label=f"group {j}")[0] for j in range(4)]
    ink = plt.rcParams["text.color"]
    (means,) = left.plot([], [], "o", ms=11, color=ink, fillstyle="none", mew=1.6, label="centers")
    (curve,) = right.plot([], [], color="C0", label="inertia")
    (here,) = right.plot([], [], "o", color="C1", label="this step")
    left.set(xlim=(-5, 4.5), ylim=(-4.6, 5), xticks=[], yticks=[])
    left.set_title("points and centers")
    right.axhline(1, color="C2", linestyle="--", linewidth=1.4)
    right.set(xlim=(0, STEPS), ylim=(0, 20), xlabel="step", title="inertia / best")

    def show(start: float, step: float) -> str:
        data, t, x = run(int(start)), int(step), plane()
        for j, group in enumerate(groups):
            group.set_data(*x[data.label[t] == j].T)
        means.set_data(*data.centers[t].T)
        ratio = data.inertia / least()
        curve.set_data(np.arange(STEPS + 1), ratio)
        here.set_data([t], [ratio[t]])
        return f"Start {start:g}, step {t}: {ratio[t]:.2f} times the best inertia."

    sliders = (Slider("start", near(), 1), Slider("step", tuple(range(STEPS + 1)), STEPS))
    return Explorable(figure, sliders, (*groups, means, curve, here), show)


def starts_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    shown = run(stuck())
    ratio = shown.inertia[-1] / least()
    ended = [s for s in TRIES if settled(s)]
    far = sum(bool(run(s).inertia[-1] > 3 * least()) for s in TRIES)
    group = np.arange(48) // 12
    held = np.asarray([np.bincount(group[shown.label[-1] == j], minlength=4) for j in range(4)])
    return {
        f"From start {stuck()} k-means ends at {ratio:.1f} times the best inertia": True,
        "one center between two groups and two centers in one": bool(
            (both := (held > 6).sum(1) == 2).any()
            and np.bincount(held[~both].argmax(1), minlength=4).max() == 2
        ),
        "Nearly all starts end within six steps": len(ended) > 85 and STEPS == 6,
        f"{far} of 100 end at over three times the best": len(TRIES) == 100,
    }


def blobs(gap: float, *, seed: int = 0) -> Array:
    """Return ten groups of ten points around centers drawn from a square of that side."""
    rng = np.random.default_rng(seed)
    centers = gap * rng.uniform(size=(10, 2))
    return np.concatenate([c + rng.normal(size=(10, 2)) for c in centers])


GAPS = {"groups far apart": 60.0, "groups that overlap": 4.0}
RUNS = 100


@kept
def ends(gap: float) -> dict[str, Array]:
    """Return for each kind of start the final inertia of many runs over the best, sorted."""
    x, rng = blobs(gap), np.random.default_rng(1)
    picked = np.argsort(rng.uniform(size=(RUNS, len(x))), axis=1)[:, :10]
    many = np.broadcast_to(x, (RUNS, *x.shape))
    drawn = {
        "uniform": x[picked],
        "k-means++": plus_plus(many, rng.uniform(size=(RUNS, 10, len(x)))),
    }
    found = {}
    for name, centers in drawn.items():
        for _ in range(15):
            centers = lloyd_step(many, centers)
        found[name] = inertia(many, centers)
    best = min(values.min() for values in found.values())
    found["best of 10 uniform"] = found["uniform"].reshape(-1, 10).min(1)
    return {name: np.sort(values) / best for name, values in found.items()}


def seeding() -> Figure:
    """Draw the share of runs that end within a factor of the best inertia."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.1), sharey=True)
    for ax, (title, gap) in zip(axes, GAPS.items(), strict=True):
        for (name, values), color in zip(ends(gap).items(), ("C3", "C0", "C2"), strict=True):
            share = np.arange(1, len(values) + 1) / len(values)
            ax.step(values, share, where="post", color=color, label=name)
        ax.set(xscale="log", xlabel="inertia / best", title=title, ylim=(0, 1.02))
    axes[0].set(xlim=(0.95, 60), ylabel="share of runs", xticks=[1, 3, 10, 30])
    axes[0].set_xticklabels(["1", "3", "10", "30"])
    axes[1].set(xlim=(0.99, 1.5), xticks=[1, 1.2, 1.4])
    axes[1].set_xticklabels(["1", "1.2", "1.4"])
    for ax in axes:
        ax.minorticks_off()
    axes[0].legend(loc="lower right")
    return figure


def seeding_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    far, near = (ends(gap) for gap in GAPS.values())
    middle = {name: float(np.median(values)) for name, values in far.items()}
    return {
        f"Far apart, half of the uniform starts end above {middle['uniform']:.0f} times the best "
        f"inertia, half of those of k-means++ below {middle['k-means++']:.1f}": True,
        "Where groups overlap, the medians of the two are within 0.05": bool(
            abs(np.median(near["uniform"]) - np.median(near["k-means++"])) < 0.05
        ),
        "The start decides where groups are far apart": middle["uniform"] > 2,
        "where they overlap, it hardly matters": bool(
            abs(np.median(near["uniform"]) - np.median(near["k-means++"])) < 0.05
        ),
    }


NEIGHBOURS = np.arange(1, 31)
SETS = {"wine: mixed units": load_wine, "iris: all in cm": load_iris}


@kept
def accuracy(name: str) -> Array:
    """Return the share of examples that the others classify, raw and standardized, by k."""
    x, y = SETS[name](return_X_y=True)
    n = len(x)
    others = np.asarray([np.delete(np.arange(n), i) for i in range(n)])
    rest, one, rows = x[others], x[:, None], []
    mean, spread = (f(rest, axis=1, keepdims=True) for f in (np.mean, np.std))
    for points, query in ((rest, one), ((rest - mean) / spread, (one - mean) / spread)):
        rows.append([
            (votes(query, points, y[others], k=int(k), classes=3)[:, 0].argmax(-1) == y).mean()
            for k in NEIGHBOURS
        ])  # fmt: skip
    return np.asarray(rows)


def scaling() -> Figure:
    """Draw accuracy against k, raw and standardized, for two data sets."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.0), sharey=True)
    for ax, name in zip(axes, SETS, strict=True):
        raw, standard = accuracy(name)
        _line(ax, standard, "standardized", "C0", -16)
        _line(ax, raw, "raw", "C3", 8)
        ax.set(xlim=(1, 30), ylim=(0.6, 1.02), xlabel="neighbours k", title=name)
    axes[0].set_ylabel("accuracy")
    return figure


def _line(ax: Axes, values: Array, name: str, color: str, up: float) -> None:
    (line,) = ax.plot(NEIGHBOURS, values, color=color)
    label_line(ax, line, name, 14, offset=(0, up), ha="center")


def scaling_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    wine, iris = (accuracy(name) for name in SETS)
    return {
        f"On wine accuracy is at most {wine[0].max():.2f} raw and at least "
        f"{wine[1].min():.2f} standardized": True,
        "on iris the two differ by less than 0.05": bool(np.abs(iris[0] - iris[1]).max() < 0.05),
        "The spreads of wine's features differ a thousandfold": bool(
            np.ptp(np.log10(load_wine().data.std(0))) > 3
        ),
        "where all is in centimetres, scaling changes little": bool(
            np.abs(iris[0] - iris[1]).max() < 0.05
        ),
    }
