"""What libraries call a squared error or Huber's loss, and what they return, found by running them.

Each cell is decided alike: errors for which the conventions differ, and the words of the only
convention that gives what the library gives.
"""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import mlx.core
import mlx.nn
import numpy as np
import optax
import torch
from sklearn import metrics
from torch import nn

from dlkb.losses.regression import huber, smooth_l1, squared_error, squared_log_error

LIBRARIES = ("torch", "keras", "optax", "mlx", "scikit-learn")

Loss = Callable[[Any, Any], Any]

THREE = np.asarray([[3.0]], dtype=np.float32)
ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)
COLUMN = np.arange(4, dtype=np.float32)[:, None]


def run(loss: Loss, prediction: Any, target: Any) -> Any:
    """Return what a loss gives for NumPy arrays, as one."""
    return np.asarray(loss(prediction, target), dtype=float)


def which(found: Any, conventions: dict[str, Any]) -> str:
    """Return the words of the only convention that gives this."""
    same = [
        words
        for words, value in conventions.items()
        if np.shape(value) == np.shape(found) and np.allclose(found, value, rtol=1e-5)
    ]
    if len(same) != 1:
        raise LookupError(f"{len(same)} conventions give {found}: {same}")
    return same[0]


def square(loss: Loss) -> str:
    """Say whether the square of an error is halved."""
    found = float(run(loss, THREE, 0 * THREE).sum())
    return which(found, {"r²": 9.0, "½ r²": 4.5})


def joint(loss: Loss) -> str:
    """Say what an error of 3 costs with a joint at 2."""
    found = float(run(loss, THREE, 0 * THREE).sum())
    return which(found, {"4": 4.0, "2": 2.0})


def gives(loss: Loss) -> str:
    """Say what the squared errors of a batch of rows become."""
    squares = ROWS**2
    factor = 1 if square(loss) == "r²" else 2
    return which(
        factor * run(loss, ROWS, 0 * ROWS),
        {"mean of all": squares.mean(), "a mean a row": squares.mean(1), "each": squares},
    )


def shapes(loss: Loss) -> str:
    """Say what becomes of predictions (4, 1) for equal targets (4)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = run(loss, COLUMN, COLUMN[:, 0])
        except ValueError as error:
            return f"`{type(error).__name__}`"
    words = "equal" if not found.any() else "all with all"
    told = any("different to the input size" in str(w.message) for w in caught)
    return f"{words}, with a warning" if told else words


def below(loss: Loss) -> str:
    """Say what the loss on logarithms makes of a prediction of −1.5 for 0."""
    try:
        with np.errstate(invalid="ignore"):
            found = run(loss, -THREE / 2, 0 * THREE)
    except ValueError as error:
        return f"`{type(error).__name__}`"
    return "NaN" if np.isnan(found).all() else which(float(found.sum()), {"that of 0": 0.0})


def on_torch(loss: Callable[..., Any]) -> Loss:
    """Give a loss of PyTorch NumPy arrays."""
    return lambda p, y: loss(torch.tensor(p), torch.tensor(y)).numpy()


def on_mlx(loss: Callable[..., Any], **options: Any) -> Loss:
    """Give a loss of MLX NumPy arrays."""
    return lambda p, y: loss(mlx.core.array(p), mlx.core.array(y), **options)


def on_keras(loss: Callable[..., Any]) -> Loss:
    """Give a loss of Keras its arguments in their order: targets first."""
    return lambda p, y: keras.ops.convert_to_numpy(loss(y, p))


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what each library calls a square, Huber's loss, a mean, and equal shapes."""
    for ours, theirs in (
        (squared_error, nn.MSELoss()),
        (lambda p, y: huber(p, y, delta=2.0), nn.HuberLoss(delta=2.0)),
        (lambda p, y: smooth_l1(p, y, beta=2.0), nn.SmoothL1Loss(beta=2.0)),
    ):
        if not np.allclose(run(ours, ROWS, 0 * ROWS), run(on_torch(theirs), ROWS, 0 * ROWS)):
            raise LookupError(f"this package and {theirs} differ")
    mse, losses = keras.losses.MeanSquaredError(), mlx.nn.losses
    mlx_huber = on_mlx(losses.huber_loss, delta=2.0)
    mlx_smooth = on_mlx(losses.smooth_l1_loss, beta=2.0)
    return {
        "this package": (
            square(squared_error),
            joint(lambda p, y: huber(p, y, delta=2.0)),
            gives(squared_error),
            shapes(squared_error),
            below(squared_log_error),
        ),
        "`torch.nn`": (
            square(on_torch(nn.MSELoss())),
            joint(on_torch(nn.HuberLoss(delta=2.0)))
            + f"; `SmoothL1Loss` {joint(on_torch(nn.SmoothL1Loss(beta=2.0)))}",
            gives(on_torch(nn.MSELoss())),
            f"**{shapes(on_torch(nn.MSELoss()))}**",
            "–",
        ),
        "Keras": (
            square(on_keras(mse)),
            joint(on_keras(keras.losses.Huber(delta=2.0))),
            f"{gives(on_keras(mse))}; functions: "
            + gives(on_keras(keras.losses.mean_squared_error)),
            shapes(on_keras(mse)),
            below(on_keras(keras.losses.MeanSquaredLogarithmicError())),
        ),
        "optax": (
            f"{square(optax.squared_error)}; `l2_loss` {square(optax.l2_loss)}",
            joint(lambda p, y: optax.huber_loss(p, y, delta=2.0)),
            gives(optax.squared_error),
            shapes(optax.squared_error),
            "–",
        ),
        "MLX": (
            square(on_mlx(losses.mse_loss)),
            f"{joint(mlx_huber)}; `smooth_l1_loss` {joint(mlx_smooth)}",
            f"{gives(on_mlx(losses.mse_loss))}; Huber: "
            + ("each" if run(mlx_huber, ROWS, 0 * ROWS).shape == ROWS.shape else ""),
            f"{shapes(on_mlx(losses.mse_loss))}; Huber: **{shapes(mlx_huber)}**",
            "–",
        ),
        "scikit-learn metrics": (
            square(lambda p, y: metrics.mean_squared_error(y, p)),
            "–",
            gives(lambda p, y: metrics.mean_squared_error(y, p)),
            shapes(lambda p, y: metrics.mean_squared_error(y, p)),
            below(lambda p, y: metrics.mean_squared_log_error(y, p)),
        ),
    }
