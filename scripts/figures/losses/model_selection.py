"""Figures of the page on model selection."""

from itertools import pairwise
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.book.draw.kept import kept
from dlkb.losses.model_selection import expected_best, grouped_folds, k_fold, ordered_folds
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]

MODELS = np.unique(np.geomspace(1, 10_000, 41).round())
EXAMPLES = (50, 100, 300, 1000, 3000)
ACCURACIES = (0.5, 0.7, 0.9, 0.95)
PERFECT = 1 - 1e-9
"""A score above this is 1 but for rounding."""


@kept
def scores(examples: int, accuracy: float) -> Vector:
    """Return the expected best score of each number of models in `MODELS`."""
    found = [expected_best(models=int(m), examples=examples, accuracy=accuracy) for m in MODELS]
    return np.asarray(found)


def best_of_many() -> Explorable:
    """Draw the expected best of many scores, though all models are equally good."""
    figure, ax = plt.subplots(figsize=(6.2, 2.2))
    (truth,) = ax.plot([], [], color="C1", linestyle="--", label="truth")
    (best,) = ax.plot([], [], color="C0", label="best score")
    ax.set(xscale="log", xlim=(1, 10_000), ylim=(0.45, 1.01))
    ax.set(xlabel="models compared", ylabel="accuracy")
    ax.legend(loc="lower right", ncols=2)

    def show(examples: float, accuracy: float) -> str:
        data = scores(int(examples), accuracy)
        truth.set_data([1, 10_000], [accuracy, accuracy])
        best.set_data(MODELS, data)
        hundred = expected_best(models=100, examples=int(examples), accuracy=accuracy)
        best_two = f"The best of 100 scores {hundred:.3f} on average, of 10,000 {data[-1]:.3f}"
        return f"{best_two}; the truth is {accuracy:g}."

    sliders = (Slider("validation examples", EXAMPLES, 1), Slider("true accuracy", ACCURACIES, 1))
    return Explorable(figure, sliders, (truth, best), show)


def best_of_many_says() -> dict[str, bool]:
    """Return what alt text and caption say of the first frame, and whether it is so."""
    data = scores(100, 0.7)
    hundred = expected_best(models=100, examples=100, accuracy=0.7)
    return {
        "The expected best score of models that are all right in 70 % of cases": ACCURACIES[1]
        == 0.7,
        "on 100 examples": EXAMPLES[1] == 100,
        f"rises from 0.70 for one model to {hundred:.2f} for 100 and {data[-1]:.2f} "
        "for 10,000; the truth stays where it is": bool(
            np.isclose(data[0], 0.7) and MODELS[-1] == 10_000 and (np.diff(data) > 0).all()
        ),
        "Below 1, the best score exceeds the truth by more with more models": all(
            best > fewer or fewer > PERFECT
            for a in ACCURACIES
            for n in EXAMPLES
            for fewer, best in pairwise(scores(n, a))
        ),
        "by less with more examples": all(
            more < best or best > PERFECT
            for a in ACCURACIES
            for m, n in pairwise(EXAMPLES)
            for best, more in zip(scores(m, a)[1:], scores(n, a)[1:], strict=True)
        ),
    }


SHOWN = 12
GROUPS = "aaabbccccdde"
FOLDS = 3
GAP = 1


class Scheme(NamedTuple):
    """Which examples are trained on and scored in which fold, numbered from 1.

    Attributes:
        train: Pairs of example and fold, shape (n, 2).
        test: Such pairs.
    """

    train: Vector
    test: Vector


def schemes() -> dict[str, Scheme]:
    """Return three ways to split twelve examples, by title."""
    ways = {
        "K folds": k_fold(SHOWN, folds=FOLDS),
        "groups apart": grouped_folds(GROUPS, folds=FOLDS),
        "in order, gap of 1": ordered_folds(SHOWN, folds=FOLDS, gap=GAP),
    }
    return {
        title: Scheme(
            *(
                np.asarray([(i + 1, k + 1) for k, fold in enumerate(folds) for i in fold[part]])
                for part in (0, 1)
            )
        )
        for title, folds in ways.items()
    }


def borders() -> Vector:
    """Return where one group ends and the next begins."""
    ends = np.flatnonzero(np.diff([ord(group) for group in GROUPS]))
    return np.asarray(ends + 1.5, dtype=np.float64)


def splits() -> Figure:
    """Draw which examples are trained on and which are scored, fold by fold, in three ways."""
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.2), sharey=True)
    for ax, (title, scheme) in zip(axes, schemes().items(), strict=True):
        ax.plot(*scheme.train.T, "o", color="C0", markersize=4, label="train")
        ax.plot(*scheme.test.T, "s", color="C1", markersize=7, label="score")
        ax.set(title=title, xlabel="example", xlim=(0.2, 12.8), ylim=(3.6, 0.4))
        ax.set(xticks=[1, 6, 12], yticks=[1, 2, 3])
        ax.grid(visible=False)
    for border in borders():
        line = axes[1].axvline(border, color=plt.rcParams["axes.edgecolor"], linewidth=0.8)
        line.set_gid(f"border {border:g}")
    axes[0].set_ylabel("fold")
    axes[2].legend(loc="upper right")
    return figure


def splits_says() -> dict[str, bool]:
    """Return what alt text and caption say, and whether it is so."""
    plain, grouped, ordered = schemes().values()
    held = [{GROUPS[int(i) - 1] for i, f in grouped.test if f == k + 1} for k in range(FOLDS)]
    later = all(
        grouped_train[0] < ordered.test[ordered.test[:, 1] == grouped_train[1], 0].min() - GAP
        for grouped_train in ordered.train
    )
    return {
        "Twelve examples in three folds, split in three ways": SHOWN == 12 and FOLDS == 3,
        "With groups apart, no group is on both sides": sum(map(len, held)) == len(set(GROUPS)),
        "In order, a fold is scored by what lies before it, and one example between is left "
        "out": bool(later),
        "K folds train on the rest of a group that they score, and on what comes later": bool(
            any(
                {GROUPS[int(i) - 1] for i, f in plain.train if f == k}
                & {GROUPS[int(i) - 1] for i, f in plain.test if f == k}
                for k in range(1, FOLDS + 1)
            )
            and (plain.train[:, 0].max() > plain.test[plain.test[:, 1] == 1, 0].max())
        ),
    }
