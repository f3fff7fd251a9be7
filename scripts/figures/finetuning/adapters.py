"""Figures of the page on adapters."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.finetuning.adapters import adapter
from scripts.figures.explorable import Explorable, Slider

Array = NDArray[np.float64]


class Place(NamedTuple):
    """Where a bottleneck sits at a sublayer of a transformer.

    Attributes:
        title: Whose place it is, and how many a layer has.
        boxes: Name and position of each box.
        arms: The way from where the bottleneck reads to where its output is added.
        top: Height of the last layer norm.
    """

    title: str
    boxes: dict[str, tuple[float, float]]
    arms: Array
    top: float


SIDE, SKIP = 1.7, -1.15
"""Where the bottleneck's arm and the layer's own skip run, seen from the column at 0."""


def places_data() -> list[Place]:
    """Return the three places, of bottlenecks that read h, LN(x + h) and x."""
    column = {"sublayer": (0.0, 1.3), "+": (0.0, 3.4)}

    def arms(start: float, end: float) -> Array:
        return np.asarray([[0.0, start], [SIDE, start], [SIDE, end], [0.25, end]])

    return [
        Place(
            "Houlsby: two a layer",
            column | {"adapter": (SIDE, 2.8), "LN": (0.0, 4.4)},
            arms(2.2, 3.4),
            4.4,
        ),
        Place(
            "Pfeiffer: one a layer",
            column
            | {"norm": (SIDE, 4.5), "adapter": (SIDE, 5.6), "second +": (0.0, 6.3)}
            | {"LN": (0.0, 7.2)},
            arms(3.9, 6.3),
            7.2,
        ),
        Place(
            "parallel: one a layer",
            column | {"adapter": (SIDE, 1.3), "LN": (0.0, 4.4)},
            arms(0.3, 3.4),
            4.4,
        ),
    ]


def written(name: str) -> str:
    """Return what stands in a box."""
    return {"second +": "+", "norm": "LN"}.get(name, name)


def skip_line() -> Array:
    """Return the layer's own skip: from the input around the sublayer."""
    return np.asarray([[0.0, 0.3], [SKIP, 0.3], [SKIP, 3.4], [-0.25, 3.4]])


def places() -> Figure:
    """Draw a sublayer with the bottleneck in each of three places."""
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 4.1), sharey=True)
    line, face = plt.rcParams["axes.edgecolor"], plt.rcParams["figure.facecolor"]
    for ax, place in zip(axes, places_data(), strict=True):
        ax.plot([0, 0], [0.2, place.top + 0.9], color=line, lw=1.2, zorder=1)
        ax.plot(*skip_line().T, color=line, lw=1.2, zorder=1, label="skip")
        ax.plot(*place.arms.T, color="C1", lw=1.8, zorder=1, label="bottleneck")
        for name, (x, y) in place.boxes.items():
            trained = name == "adapter"
            shape = "circle,pad=0.15" if written(name) == "+" else "round,pad=0.35"
            box = {"boxstyle": shape, "ec": "C1" if trained else line, "fc": face, "lw": 1.2}
            ax.text(x, y, written(name), ha="center", va="center", bbox=box, zorder=3)
        ax.text(-0.2, 0.1, "x", ha="right", va="top")
        ax.text(-0.2, 2.2, "h", ha="right", va="center")
        ax.set(xlim=(-1.6, 2.6), ylim=(-0.3, 8.2), title=place.title)
        ax.axis("off")
    return figure


def places_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    houlsby, pfeiffer, parallel = places_data()
    above = houlsby.boxes["sublayer"][1]
    return {
        "Houlsby: the adapter reads the sublayer's output h": above < houlsby.arms[0, 1] < 3.4,
        "Pfeiffer: it reads a layer norm of the sum x + h": (
            pfeiffer.arms[0, 1] > 3.4 and 3.9 < pfeiffer.boxes["norm"][1] < 5.6
        ),
        "parallel: it reads the sublayer's input x": parallel.arms[0, 1] < above,
        "In all three its output is added before the last layer norm": all(
            p.arms[-1, 1] < p.top for p in (houlsby, pfeiffer, parallel)
        ),
        "One formula, three inputs": len({p.arms[0, 1] for p in places_data()}) == 3,
        "Houlsby's layer has a second adapter, behind attention": "two" in houlsby.title,
    }


INPUTS = np.linspace(-1, 1, 41)
BIASES = (-1.25, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25)


class Fit(NamedTuple):
    """An adapter with one unit along a line, and the affine layer that is nearest to it.

    Attributes:
        adapter: Outputs at `INPUTS`.
        merged: Those of the affine function that fits them best.
        gap: Root mean square of the difference.
    """

    adapter: Array
    merged: Array
    gap: float


def fit(bias: float) -> Fit:
    """Fit y = t + max(0, t + b), t in [-1, 1], by a line."""
    one, zero = np.ones((1, 1)), np.zeros(1)
    y = adapter(INPUTS[:, None], one, one, np.asarray([bias]), zero)[:, 0]
    merged = np.asarray(np.polyval(np.polyfit(INPUTS, y, 1), INPUTS), np.float64)
    return Fit(y, merged, float(np.sqrt(np.mean((y - merged) ** 2))))


def gaps() -> Array:
    """Return the gap for every bias."""
    return np.asarray([fit(bias).gap for bias in BIASES])


def no_merge() -> Explorable:
    """Draw an adapter's unit and the nearest affine layer, for a bias of the unit."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9))
    (y,) = left.plot([], [], color="C0", label="adapter")
    (line,) = left.plot([], [], "--", color="C1", label="nearest linear layer")
    right.plot(BIASES, gaps(), color=plt.rcParams["axes.edgecolor"], label="gap")
    (here,) = right.plot([], [], "o", color="C3", label="this bias")
    left.set(
        xticks=[-1, -0.5, 0, 0.5, 1], xlim=(-1, 1), ylim=(-1.3, 3.4), xlabel="h", title="output"
    )
    left.legend(loc="upper left")
    right.set(xlabel="bias b of the unit", title="gap (root mean square)", ylim=(-0.01, 0.17))

    def show(bias: float) -> str:
        data = fit(bias)
        y.set_data(INPUTS, data.adapter)
        line.set_data(INPUTS, data.merged)
        here.set_data([bias], [data.gap])
        kink = f"its kink is at h = {-bias:g}" if abs(bias) < 1 else "its kink is outside"
        return f"With b = {bias:g} {kink}: the nearest linear layer misses by {data.gap:.3f}."

    return Explorable(figure, (Slider("bias b", BIASES, 5),), (y, line, here), show)


def no_merge_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    data, found = fit(0.0), gaps()
    outside = np.abs(BIASES) >= 1
    return {
        "An adapter of one unit bends at h = 0": bool(
            np.allclose(data.adapter, INPUTS + np.maximum(INPUTS, 0))
        ),
        f"the nearest straight line misses by {data.gap:.2f}": bool(
            abs(data.gap - found.max()) < 1e-12
        ),
        "Where the kink of the ReLU lies outside of what comes in, the merge is exact": bool(
            found[outside].max() < 1e-12 < found[~outside].min()
        ),
        "on the right the gap is largest in the middle and zero at both ends": bool(
            found.argmax() == len(found) // 2 and found[[0, -1]].max() < 1e-12
        ),
    }
