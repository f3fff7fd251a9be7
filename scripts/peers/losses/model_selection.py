"""How libraries split data unless told otherwise, found by splitting.

Eight examples in order, six of the class 0 and then two of the class 1, a quarter of them scored.
"""

import warnings
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import torch
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    TimeSeriesSplit,
    check_cv,
    train_test_split,
)

from dlkb.losses.model_selection import k_fold

LIBRARIES = ("scikit-learn", "torch", "keras")

N = 8
LABELS = np.asarray([0, 0, 0, 0, 0, 0, 1, 1])


def order(test: Sequence[int], again: Sequence[int]) -> str:
    """Say which examples are scored, from two first test parts under different seeds."""
    if list(test) != list(again):
        return "drawn"
    words = {0: "the first", N - len(test): "the last"}
    return words[min(test)] if max(test) - min(test) < len(test) else "apart"


def classes(tests: Iterable[Sequence[int]]) -> str:
    """Say whether each test part has its share of the rare class."""
    shares = {float(np.mean(LABELS[list(test)])) for test in tests}
    return "kept" if shares == {0.25} else "not kept"


def drawn(library: str, seed: int) -> list[int]:
    """Return the test part of a library that draws once."""
    if library == "torch":
        parts = torch.utils.data.random_split(
            list(range(N)), [6, 2], generator=torch.Generator().manual_seed(seed)
        )
        return sorted(parts[1])
    return sorted(train_test_split(np.arange(N), test_size=2, random_state=seed)[1].tolist())


def of_keras() -> str:
    """Say which examples `validation_split` takes, from the loss of a model that says 0."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x, y = np.ones((N, 1)), np.arange(float(N))[:, None]
        history = model.fit(x, y, validation_split=0.25, verbose=0, shuffle=True).history
    found = history["val_loss"][0]
    (test,) = [pair for pair in ([0, 1], [6, 7]) if np.isclose(found, np.mean(y[pair] ** 2))]
    return order(test, test)


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return which examples are scored, and whether the shares of classes are kept."""
    x = np.zeros((N, 1))
    plain = [test.tolist() for _, test in KFold(4).split(x)]
    ours = [list(fold.test) for fold in k_fold(N, folds=4)]
    if ours != plain:
        raise LookupError("this package and scikit-learn differ")
    binary = check_cv(2, LABELS, classifier=True)
    even = [test.tolist() for _, test in binary.split(x, LABELS)]
    if type(binary).__name__ != "StratifiedKFold":
        raise LookupError(f"a number of folds means {binary}")
    grouped = list(GroupKFold(4).split(x, groups=[0, 0, 1, 1, 2, 2, 3, 3]))
    apart = all(not {i // 2 for i in a} & {i // 2 for i in b} for a, b in grouped)
    ordered = list(TimeSeriesSplit(3).split(x))
    past = all(max(a) < min(b) for a, b in ordered)
    once, again = (
        (
            order(drawn(library, 0), drawn(library, 1)),
            classes(drawn(library, seed) for seed in range(20)),
        )
        for library in ("sklearn", "torch")
    )
    if once != again:
        raise LookupError(f"train_test_split: {once}, random_split: {again}")
    return {
        "this package, `KFold`": (f"in order: {order(ours[0], ours[0])}", classes(ours)),
        "scikit-learn, `cv=2`, classifier": (
            "in order, class by class" if even[0] == sorted(even[0]) else "drawn",
            classes(even),
        ),
        "`GroupKFold`": ("whole groups" if apart else "", classes(test for _, test in grouped)),
        "`TimeSeriesSplit`": (
            "what comes later" if past else "",
            classes(test for _, test in ordered),
        ),
        "`train_test_split`, PyTorch `random_split`": once,
        "Keras `validation_split`": (f"**{of_keras()}**", classes([[6, 7]])),
    }
