"""What a library's cross entropy takes and returns, found by running it.

Each cell is decided alike: two examples whose losses differ, and the words of the only convention
that gives what the library gives.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import mlx.core
import mlx.nn
import numpy as np
import optax
import torch
from sklearn.metrics import log_loss
from torch.nn import functional as F

from dlkb.losses.cross_entropy import binary_cross_entropy, cross_entropy

LIBRARIES = ("torch", "keras", "optax", "mlx", "scikit-learn")

LOGITS = np.asarray([[2.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=np.float32)
LABELS = np.asarray([0, 1])
SHARES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
FIRST, SECOND = (float(x) for x in -np.log(SHARES[[0, 1], LABELS]))
WEIGHTS = np.asarray([2.0, 1.0], dtype=np.float32)

Loss = Callable[..., Any]


def which(found: Any, conventions: dict[str, Any]) -> str:
    """Return the words of the only convention that gives this."""
    found = np.asarray(found, dtype=float)
    same = [
        words
        for words, value in conventions.items()
        if np.shape(value) == found.shape and np.allclose(found, value, rtol=1e-4)
    ]
    if len(same) != 1:
        raise LookupError(f"{len(same)} conventions give {found}: {same}")
    return same[0]


def takes(loss: Loss) -> str:
    """Say what the loss takes: what gives the losses of the same examples."""
    fits = []
    for words, outputs in (("logits", LOGITS), ("probabilities", SHARES)):
        value = np.asarray(loss(outputs, LABELS), dtype=float)
        fits += [words] if np.isclose(value.mean(), (FIRST + SECOND) / 2, rtol=1e-4) else []
    if len(fits) != 1:
        raise LookupError(f"takes {fits}")
    return fits[0]


def gives(loss: Loss, outputs: Any) -> str:
    """Say what the loss returns for a batch, unless it is told otherwise."""
    return which(
        loss(outputs, LABELS),
        {"mean": (FIRST + SECOND) / 2, "sum": FIRST + SECOND, "a loss each": [FIRST, SECOND]},
    )


def weighted(found: Any) -> str:
    """Say by what a mean with the weights 2 and 1 divides."""
    total = 2 * FIRST + SECOND
    return which(found, {"÷ Σ weights": total / 3, "÷ examples": total / 2})


def out_of_bounds(loss: Loss, outputs: Any) -> str:
    """Say what becomes of a label −1."""
    try:
        found = np.asarray(loss(outputs, np.asarray([0, -1])), dtype=float)
    except (IndexError, RuntimeError, ValueError) as error:
        return f"`{type(error).__name__}`"
    last = -math.log(SHARES[1, 2])
    if np.isnan(found).any():
        return "NaN"
    return which(found, {"the **last class**": [FIRST, last], "the last class": (FIRST + last) / 2})


def ceiling(found: float) -> str:
    """Write what a certain answer costs that is wrong."""
    return "∞" if math.isinf(found) else f"{found:.1f}".removesuffix(".0")


def of_torch(outputs: Any, labels: Any, **options: Any) -> Any:
    """Run PyTorch's."""
    return F.cross_entropy(torch.tensor(outputs), torch.tensor(labels), **options).numpy()


def of_keras(outputs: Any, labels: Any, **options: Any) -> Any:
    """Run Keras's."""
    loss = keras.losses.SparseCategoricalCrossentropy()
    return float(loss(labels, outputs, **options))


def of_mlx(outputs: Any, labels: Any, **options: Any) -> Any:
    """Run MLX's."""
    return np.asarray(
        mlx.nn.losses.cross_entropy(mlx.core.array(outputs), mlx.core.array(labels), **options)
    )


def of_sklearn(outputs: Any, labels: Any, **options: Any) -> Any:
    """Run scikit-learn's, which takes rows that sum to one."""
    if not np.allclose(outputs.sum(1), 1, atol=1e-6):
        return math.nan
    return log_loss(labels, outputs, labels=[0, 1, 2], **options)


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what each library's cross entropy takes, returns and does at the edges."""
    yes, zero = np.ones(1), np.zeros(1)
    by_class = torch.tensor([2.0, 1.0, 1.0])
    ours = cross_entropy(LOGITS, LABELS, weight=by_class.numpy())
    theirs = of_torch(LOGITS, LABELS, weight=by_class)
    floor = F.binary_cross_entropy(torch.tensor(zero), torch.tensor(yes)).item()
    if not np.isclose(ours, theirs) or floor != float(binary_cross_entropy(zero, yes)):
        raise LookupError(f"this package and torch differ: {ours}, {theirs}")
    certain = np.asarray([[1.0, 0.0, 0.0]])
    mlx_weighted = of_mlx(LOGITS, LABELS, weights=mlx.core.array(WEIGHTS), reduction="mean")
    mlx_floor = mlx.nn.losses.binary_cross_entropy(
        mlx.core.zeros(1), mlx.core.ones(1), with_logits=False
    )
    optax_loss = optax.softmax_cross_entropy_with_integer_labels
    return {
        "this package, `torch`": (
            takes(of_torch),
            gives(of_torch, LOGITS),
            weighted(theirs) + " (of classes)",
            out_of_bounds(of_torch, LOGITS) + "; here NaN"
            if np.isnan(cross_entropy(LOGITS, np.asarray([0, -1])))
            else "",
            ceiling(floor),
        ),
        "Keras `SparseCategoricalCrossentropy`": (
            f"**{takes(of_keras)}**",
            gives(of_keras, SHARES),
            weighted(of_keras(SHARES, LABELS, sample_weight=WEIGHTS)),
            out_of_bounds(of_keras, SHARES) + " on PyTorch",
            ceiling(of_keras(certain, np.ones(1, int))),
        ),
        "optax": (
            takes(optax_loss),
            gives(optax_loss, LOGITS),
            "–",
            out_of_bounds(optax_loss, LOGITS),
            "–",
        ),
        "MLX": (
            takes(of_mlx),
            gives(of_mlx, LOGITS),
            weighted(mlx_weighted),
            out_of_bounds(of_mlx, LOGITS),
            ceiling(mlx_floor.item()),
        ),
        "scikit-learn `log_loss`": (
            f"**{takes(of_sklearn)}**",
            gives(of_sklearn, SHARES),
            weighted(of_sklearn(SHARES, LABELS, sample_weight=WEIGHTS)),
            out_of_bounds(of_sklearn, SHARES),
            ceiling(of_sklearn(certain, np.ones(1, int))),
        ),
    }
