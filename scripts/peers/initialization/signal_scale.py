"""What libraries draw by default, found by building layers and measuring their weights."""

import warnings
from collections.abc import Sequence

import keras
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from torch import nn

LIBRARIES = ("torch", "keras", "scikit-learn")

SMALL, LARGE = 200, 800
"""Two sizes that tell fan-in from the mean of both fans."""

Weights = NDArray[np.float64]


def rule_words(weight: Weights, fan_in: int, fan_out: int) -> str:
    """Say by which uniform distribution a weight was drawn."""
    bounds = {
        r"$U(\pm1/\sqrt{n_\text{in}})$": fan_in**-0.5,
        "Glorot uniform": (6 / (fan_in + fan_out)) ** 0.5,
    }
    top, spread = abs(weight).max(), weight.std() * 3**0.5
    fits = [
        words
        for words, bound in bounds.items()
        if np.isclose(top, bound, rtol=0.01) and np.isclose(spread, bound, rtol=0.02)
    ]
    if len(fits) != 1:
        raise LookupError(f"{len(fits)} rules fit a weight that reaches {top}: {fits}")
    return fits[0]


def bias_words(bias: Weights, weight: Weights) -> str:
    """Say how a bias was drawn."""
    if not bias.any():
        return "0"
    if not np.isclose(abs(bias).max(), abs(weight).max(), rtol=0.1):
        raise LookupError(f"biases reach {abs(bias).max()}, weights {abs(weight).max()}")
    return "like the weights"


def left_words(square: Weights, fan_in: int, bias: Weights) -> str:
    """Say what a ReLU leaves of the mean square behind a layer with equal fans."""
    left = fan_in * square.var() / 2
    (words,) = (
        words
        for words, share in {"1/6": 1 / 6, "1/2": 1 / 2}.items()
        if np.isclose(left, share, rtol=0.05)
    )
    return f"{words}, and the bias" if bias.any() else words


Layer = tuple[Weights, Weights, int, int]
"""Weight, bias, fan-in and fan-out."""


def row(tall: Sequence[Layer], square: Layer) -> tuple[str, str, str]:
    """Return the cells of a library, which must hold for each of its layers."""
    cells = {(rule_words(w, i, o), bias_words(b, w)) for w, b, i, o in tall}
    if len(cells) != 1:
        raise LookupError(f"the layers differ: {cells}")
    ((rule, bias),) = cells
    return rule, bias, left_words(square[0], square[2], square[1])


def of_torch(layer: nn.Linear | nn.Conv2d, fan_in: int, fan_out: int) -> Layer:
    """Return what PyTorch drew."""
    if layer.bias is None:
        raise LookupError("the layer has no bias")
    weight, bias = (part.detach().double().numpy() for part in (layer.weight, layer.bias))
    return weight, bias, fan_in, fan_out


def of_keras(
    layer: keras.layers.Layer, shape: tuple[int | None, ...], fans: Sequence[int]
) -> Layer:
    """Return what Keras drew."""
    layer.build(shape)
    weight, bias = (keras.ops.convert_to_numpy(w).astype(np.float64) for w in layer.weights)
    return weight, bias, fans[0], fans[1]


def of_sklearn(fan_in: int, fan_out: int) -> Layer:
    """Return what scikit-learn drew: a fit with a vanishing learning rate leaves it in place."""
    x = np.random.default_rng(0).normal(size=(20, fan_in))
    model = MLPClassifier((fan_out,), max_iter=1, learning_rate_init=1e-12, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, np.arange(20) % 2)
    return model.coefs_[0], model.intercepts_[0], fan_in, fan_out


def which_default() -> dict[str, tuple[str, ...]]:
    """Return weights, biases and what is left of the mean square, by default."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tall_torch = [
            of_torch(nn.Linear(SMALL, LARGE), SMALL, LARGE),
            of_torch(nn.Conv2d(20, 90, 3), 9 * 20, 9 * 90),
        ]
        square_torch = of_torch(nn.Linear(LARGE, LARGE), LARGE, LARGE)
    keras.utils.set_random_seed(0)
    kinds = keras.layers
    tall_keras = [
        of_keras(kinds.Dense(LARGE), (None, SMALL), (SMALL, LARGE)),
        of_keras(kinds.Conv2D(90, 3), (None, 9, 9, 20), (9 * 20, 9 * 90)),
    ]
    square_keras = of_keras(kinds.Dense(LARGE), (None, LARGE), (LARGE, LARGE))
    return {
        "PyTorch `Linear`, `Conv2d`": row(tall_torch, square_torch),
        "Keras `Dense`, `Conv2D`": row(tall_keras, square_keras),
        "scikit-learn `MLPClassifier`": row([of_sklearn(SMALL, LARGE)], of_sklearn(SMALL, SMALL)),
    }
