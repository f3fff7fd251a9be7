"""Figures of the page on attention."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.losses.cross_entropy import softmax
from dlkb.transformers.attention import attention_weights
from dlkb.transformers.attention_masks import causal_mask
from dlkb.transformers.attention_scale import entropy, gaussian_entropy
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Vector = NDArray[np.float64]

KEYS = 16
WIDTHS = (4, 16, 64, 256, 1024)
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
QUERIES = 400


class Weights(NamedTuple):
    """What random queries read from 16 random keys.

    Attributes:
        one: The weights of the first query.
        read: e to the mean entropy of all queries, at each width.
    """

    one: Vector
    read: Vector


@cache
def weights_of(width: int, power: float) -> Vector:
    """Return the weights of queries whose scores are divided by a power of the width."""
    rng = np.random.default_rng(width)
    q = rng.normal(size=(QUERIES, 1, width))
    k = rng.normal(size=(QUERIES, KEYS, width))
    return np.asarray(attention_weights(q, k, scale=float(width) ** -power)[:, 0])


def weights_data(width: int, power: float) -> Weights:
    """Return the weights of one query, and how many keys queries read at each width."""
    read = [np.exp(np.mean(entropy(weights_of(w, power)))) for w in WIDTHS]
    return Weights(weights_of(width, power)[0], np.asarray(read))


def steps(values: Vector) -> NDArray[np.float64]:
    """Return the outline of bars of width 0.8 at 1, 2, …, as corners of a polygon."""
    corners = []
    for at, value in enumerate(values, 1):
        corners += [(at - 0.4, 0.0), (at - 0.4, value), (at + 0.4, value), (at + 0.4, 0.0)]
    return np.asarray(corners)


def weights() -> Explorable:
    """Draw the weights of a query, and how many keys are read, for a width and a division."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2))
    bars = left.add_patch(Polygon(steps(np.zeros(KEYS)), color="C0", lw=0))
    (curve,) = right.plot([], [], color="C1", label="every width")
    (dot,) = right.plot([], [], color="C1", marker="o", linestyle="none", label="this width")
    left.set(xlim=(0.2, KEYS + 0.8), ylim=(0, 1), xlabel="key", ylabel="weight")
    left.set_xticks([1, 4, 8, 12, 16])
    right.set(xlim=(3, 1400), ylim=(0, KEYS + 1), xscale="log")
    right.set(xlabel="width d", ylabel="keys read on average")
    right.set_xticks(WIDTHS, [str(width) for width in WIDTHS])
    right.set_xticks([], minor=True)
    right.set_yticks([1, 4, 8, 12, 16])

    def show(width: float, power: float) -> str:
        data = weights_data(int(width), power)
        bars.set_xy(steps(data.one))
        curve.set_data(WIDTHS, data.read)
        at = WIDTHS.index(int(width))
        dot.set_data([width], [data.read[at]])
        return (
            f"At width {width:g} the largest weight is {data.one.max():.2f}; queries read "
            f"{data.read[at]:.1f} of {KEYS} keys on average."
        )

    sliders = (
        Slider("width d of queries and keys", WIDTHS, 2),
        Slider("scores are divided by d to the power", POWERS, 0),
    )
    return Explorable(figure, sliders, (bars, curve, dot), show)


def weights_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    plain, halved, whole = (weights_data(64, power) for power in (0.0, 0.5, 1.0))
    return {
        "Random queries and keys": weights_of(64, 0.5).shape == (QUERIES, KEYS),
        "Keys read: e to the mean entropy": bool(
            np.isclose(plain.read[2], np.exp(np.mean(entropy(weights_of(64, 0.0)))))
        ),
        f"Undivided, queries of width {WIDTHS[2]} or more read fewer than two": bool(
            plain.read[2:].max() < 2
        ),
        f"Undivided, at width 64, one of {KEYS} keys takes {100 * plain.one.max():.1f} % of the "
        "weight of the query drawn": True,
        f"queries read {plain.read[2]:.1f} keys on average, fewer the wider they are": bool(
            (np.diff(plain.read) < 0).all()
        ),
        f"Divided by √d, they read between {halved.read.min():.1f} and "
        f"{halved.read.max():.1f} at all five widths": len(WIDTHS) == 5,
        f"divided by d, {whole.read[-1]:.1f} at the largest": bool(whole.read.argmax() == 4),
    }


PANELS = {
    "all": (6, 6, None),
    "causal": (6, 6, {}),
    "window of 3": (6, 6, {"window": 3}),
    "2 new, 4 cached": (2, 6, {"past": 4}),
}


def readable(name: str) -> tuple[Vector, Vector]:
    """Return the keys and the queries of all pairs that a mask lets through, from 1."""
    queries, keys, options = PANELS[name]
    q, k = np.ones((queries, 1)), np.ones((keys, 1))
    mask = np.ones((queries, keys), bool) if options is None else causal_mask(q, k, **options)
    row, column = np.nonzero(mask)
    return np.asarray(column + 1.0), np.asarray(row + 1.0)


def masks() -> Figure:
    """Draw four masks, a dot where a query may read a key."""
    figure, panels = plt.subplots(1, 4, figsize=(7.2, 2.3))
    for ax, name in zip(panels, PANELS, strict=True):
        ax.plot(*readable(name), "o", color="C0", markersize=5, label=name)
        queries = PANELS[name][0]
        ax.set(xlim=(0.4, 6.6), ylim=(6.6, 0.4), title=name, xlabel="key", aspect="equal")
        ax.set_xticks([1, 6])
        ax.set_yticks([1, queries])
    panels[0].set_ylabel("query")
    return figure


def masks_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    dots = {name: set(zip(*readable(name), strict=True)) for name in PANELS}
    return {
        "Without a mask each of 6 queries reads 6 keys": len(dots["all"]) == 36,
        "a causal mask leaves the lower triangle": dots["causal"]
        == {(j, i) for i in range(1, 7) for j in range(1, i + 1)},
        "a window of 3 a band": max(i - j for j, i in dots["window of 3"]) == 2,
        "Two new queries after a cache of 4 keys read 5 and 6": [
            sum(i == row for _, i in dots["2 new, 4 cached"]) for row in (1, 2)
        ]
        == [5, 6],
        "The last mask is the two bottom rows of the second": {
            (j, i + 4) for j, i in dots["2 new, 4 cached"]
        }
        == {(j, i) for j, i in dots["causal"] if i > 4},
    }


COUNTS = (64, 1024, 16384)
SPREADS: Vector = np.linspace(0, 8, 33)


@kept
def entropy_data(keys: int) -> tuple[Vector, Vector]:
    """Return the mean entropy of a softmax of normal scores, and what is expected."""
    scores = np.random.default_rng(keys).normal(size=(2**18 // keys, keys))
    found = [float(np.mean(entropy(softmax(std * scores)))) for std in SPREADS]
    expected = [gaussian_entropy(keys=keys, std=float(std)) for std in SPREADS]
    return np.asarray(found), np.asarray(expected)


def entropies() -> Figure:
    """Draw the entropy of the weights against the spread of the scores."""
    figure, ax = plt.subplots(figsize=(7.2, 3.4))
    for k, keys in enumerate(COUNTS):
        found, expected = entropy_data(keys)
        ax.plot(SPREADS, expected, color=f"C{k}", lw=1, ls="--", label=f"expected, {keys}")
        (line,) = ax.plot(SPREADS, found, color=f"C{k}")
        label_line(ax, line, f"{keys} keys", 2, offset=(2, 6))
    ax.axvline(1, color=plt.rcParams["axes.edgecolor"], lw=0.8, ls=":")
    ax.set(xlim=(0, 8), ylim=(0, 11.5), ylabel="entropy in nats")
    ax.set_xlabel("standard deviation of the scores")
    return figure


def entropies_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    at = {std: int(np.argmin(abs(SPREADS - std))) for std in (1.0, 8.0)}
    lost = [np.log(keys) - entropy_data(keys)[0][at[1.0]] for keys in COUNTS]
    end = [entropy_data(keys)[0][at[8.0]] for keys in COUNTS]
    near = [np.abs(np.subtract(*entropy_data(keys)))[SPREADS <= 2].max() for keys in COUNTS]
    return {
        "At a standard deviation of 1 the entropy of 64, 1024 and 16384 keys is half a nat below "
        "its largest value": max(abs(x - 0.5) for x in lost) < 0.05,
        f"at 8 it is below {np.ceil(10 * max(end)) / 10:.1f} nats for all three": len(end) == 3,
        "Dashed: the log of the number of keys, less half the variance, until that is 0": all(
            bool(np.allclose(entropy_data(n)[1], np.maximum(np.log(n) - SPREADS**2 / 2, 0)))
            for n in COUNTS
        ),
        f"Up to a standard deviation of 2 it is within {np.ceil(10 * max(near)) / 10:.1f} nats": (
            max(near) > 0.1
        ),
        "where the line turns it is far too low": all(
            entropy_data(keys)[0][entropy_data(keys)[1] == 0][0] > 1 for keys in COUNTS
        ),
    }
