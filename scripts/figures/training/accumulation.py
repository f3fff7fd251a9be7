"""Figures of the page on gradient accumulation."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.experiments.digits import digits
from dlkb.training.accumulation import pooled_variance, token_weight
from scripts.figures.explorable import Explorable, Slider
from scripts.figures.labels import label_line

Vector = NDArray[np.float64]

RATIOS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""How many times as many tokens the longest micro-batch has as the shortest."""


class Means(NamedTuple):
    """What the mean of the means of K micro-batches does to their tokens.

    Attributes:
        weight: Of a token of each micro-batch, from short to long, relative to the right one.
        worth: Share of the tokens that a mean over all would need to be as noisy, where the
            gradients of tokens are independent and alike.
    """

    weight: Vector
    worth: float


def mean_of_means(ratio: float, count: int) -> Means:
    """Compute both for lengths that grow by a constant factor."""
    weight = token_weight(np.geomspace(1, ratio, count))
    return Means(weight, float(1 / weight.mean()))


def worth(count: int) -> Vector:
    """Return the share for all ratios."""
    return np.asarray([mean_of_means(ratio, count).worth for ratio in RATIOS])


def token_weights() -> Explorable:
    """Draw what a token weighs in a mean of means, and how many tokens the step is worth."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.6))
    edge = plt.rcParams["axes.edgecolor"]
    left.axhline(1, color=edge, linestyle="--", linewidth=1, label="should be")
    (weights,) = left.plot([], [], "o", color="C0", label="token")
    (curve,) = right.plot([], [], color="C3", label="step")
    (here,) = right.plot([], [], "o", color="C1", label="this ratio")
    left.set(xlim=(0, 1), yscale="log", ylim=(0.25, 20), yticks=[0.5, 1, 2, 5, 10])
    left.set_yticklabels(["0.5", "1", "2", "5", "10"])
    left.minorticks_off()
    left.set(
        xticks=[0, 1],
        xticklabels=["shortest", "longest"],
        xlabel="micro-batch",
        title="a token weighs (should be 1)",
    )
    left.set_xlim(-0.06, 1.06)
    right.set(xscale="log", xlim=(0.9, 36), ylim=(0, 105), xticks=RATIOS)
    right.set_xticklabels([f"{ratio:g}" for ratio in RATIOS])
    right.minorticks_off()
    right.set(xlabel="longest / shortest", title="% of tokens that count")

    def show(ratio: float, count: float) -> str:
        data = mean_of_means(ratio, int(count))
        weights.set_data(np.linspace(0, 1, int(count)), data.weight)
        curve.set_data(RATIOS, 100 * worth(int(count)))
        here.set_data([ratio], [100 * data.worth])
        return (
            f"A token of the shortest micro-batch weighs {data.weight[0]:.2f}, one of the longest "
            f"{data.weight[-1]:.2f}; {100 * data.worth:.0f} % of the tokens count."
        )

    sliders = (
        Slider("longest / shortest", RATIOS, 4),
        Slider("micro-batches", (2, 4, 8, 16), 2),
    )
    return Explorable(figure, sliders, (curve, weights, here), show)


def token_weights_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    data = mean_of_means(16, 8)
    shares = np.stack([worth(count) for count in (2, 4, 8, 16)])
    return {
        "Eight micro-batches, the longest 16 times the shortest": len(data.weight) == 8,
        f"in a mean of means a token of the shortest weighs {data.weight[0]:.1f}": True,
        f"one of the longest {data.weight[-1]:.2f}": True,
        "For independent tokens that are alike, the step is as noisy as one on "
        f"{100 * data.worth:.0f} % of them": True,
        "The more unequal the micro-batches, the more a token of a short one weighs, and the "
        "noisier is the step": bool(
            (np.diff(shares) < 0).all()
            and all(
                (np.diff([mean_of_means(r, k).weight[0] for r in RATIOS]) > 0).all()
                for k in (2, 4, 8, 16)
            )
        ),
    }


BATCHES = (2, 4, 8, 16, 32, 64)
"""Examples in a micro-batch."""


def missing_data() -> dict[str, Vector]:
    """Return the share of the pixels' variance that micro-batches do not see, by their size."""
    split = digits()
    found = {}
    for name, order in (
        ("sorted by class", np.argsort(split.y_train, kind="stable")),
        ("shuffled", np.random.default_rng(0).permutation(len(split.y_train))),
    ):
        shares = []
        for size in BATCHES:
            rows = order[: len(order) // size * size]
            parts = np.asarray(split.x_train, dtype=np.float64)[rows].reshape(-1, size, 64)
            means, variances = parts.mean(1), parts.var(1)
            whole = pooled_variance(means, variances, np.full(len(parts), float(size)))
            shares.append(1 - variances.mean(0).sum() / whole.sum())
        found[name] = np.asarray(shares)
    return found


def missing_variance() -> Figure:
    """Draw what batch norm misses of the variance when it sees micro-batches."""
    figure, ax = plt.subplots(figsize=(6.2, 2.8))
    for color, (name, shares) in zip(("C1", "C0"), missing_data().items(), strict=True):
        (line,) = ax.plot(BATCHES, 100 * shares, "o-", color=color)
        label_line(ax, line, name, 2, offset=(6, 5))
    ax.set(xscale="log", ylim=(0, 80), xticks=BATCHES)
    ax.set_xticklabels([str(size) for size in BATCHES])
    ax.minorticks_off()
    ax.set(xlabel="examples in a micro-batch", ylabel="% of the variance missed")
    return figure


def missing_variance_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    data = missing_data()
    by_class, shuffled = data["sorted by class"], data["shuffled"]
    return {
        f"Of the variance of the digits' pixels, shuffled micro-batches of 2 miss "
        f"{100 * shuffled[0]:.0f} %": True,
        f"those of 64 miss {100 * shuffled[-1]:.0f} %": True,
        f"sorted by class they miss {100 * by_class[0]:.0f} % and {100 * by_class[-1]:.0f} %": True,
        "Shuffled, micro-batches of n miss about 1/n": bool(
            np.allclose(shuffled, 1 / np.asarray(BATCHES), rtol=0.2)
        ),
        "Sorted data keeps missing what lies between classes": bool(by_class[-1] > 0.2),
    }
