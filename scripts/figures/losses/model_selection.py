"""Figures of the page on model selection."""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlkb.losses.model_selection import expected_best, k_fold, ordered_folds
from scripts.figures.explorable import Explorable, Slider

Vector = NDArray[np.float64]

MODELS = np.unique(np.geomspace(1, 10_000, 41).round())
EXAMPLES = (50, 100, 300, 1000, 3000)
ACCURACIES = (0.5, 0.7, 0.9, 0.95)


@cache
def scores(examples: int, accuracy: float) -> Vector:
    """Return the expected best score of each number of models in `MODELS`."""
    found = [expected_best(models=int(m), examples=examples, accuracy=accuracy) for m in MODELS]
    return np.asarray(found)


def best_of_many() -> Explorable:
    """Draw the expected best of many scores, though all models are equally good."""
    figure, ax = plt.subplots(figsize=(6.2, 3.2))
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
        return f"The best of 100 scores {hundred:.3f}, of 10,000 {data[-1]:.3f}; in truth each is {accuracy:g}."

    sliders = (Slider("validation examples", EXAMPLES, 1), Slider("true accuracy", ACCURACIES, 1))
    return Explorable(figure, sliders, (truth, best), show)
